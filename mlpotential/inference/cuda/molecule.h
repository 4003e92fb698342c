// The sizes of `molecule.cu` and what its blocks have in shared memory.
//
// Sizes are macros, `plans.py` chooses them: M_REAL, M_FEATURES, M_ATOMS (the most), M_CLUSTER,
// M_THREADS (of a block), M_BUFFERS (of `in`: with one there are more barriers), M_CHUNK (pairs
// whose filters are in shared memory at once).
#pragma once
#include "network.h"

constexpr int F = M_FEATURES, N = M_ATOMS, C = M_CLUSTER, THREADS = M_THREADS;
constexpr int BUFFERS = M_BUFFERS, CHUNK = M_CHUNK;
constexpr int P = N * (N - 1) / 2;
constexpr bool WHOLE = CHUNK >= P;              // all pairs at once
constexpr int FS = F / C;                       // features of a block
constexpr int PER_FEATURE = THREADS / FS;       // threads
constexpr int TILE = N <= 32 ? N : N / 2;       // atoms of a thread in a dense layer
constexpr int TILES = N / TILE;
constexpr int PARTS = PER_FEATURE / TILES;      // of the sum over inputs in a dense layer
constexpr int LANES = FS < 32 ? FS : 32;        // of a warp that belong to one pair
constexpr int SLOTS = FS / LANES;               // warps of a pair
constexpr int SHARE = (P + C - 1) / C;          // pairs whose forces a block sums up
constexpr int VIRIAL_PARTS = 8;
constexpr int WIDTH = 16 / sizeof(Real);
struct alignas(16) Vector {
    Real v[WIDTH];
};
static_assert(F % C == 0 && THREADS % 32 == 0 && THREADS % (FS * TILES) == 0, "threads");
static_assert((FS >= 32 ? FS % 32 : 32 % FS) == 0 && 9 * VIRIAL_PARTS <= THREADS, "lanes");
static_assert(N % 4 == 0 && TILE % 4 == 0 && TILE * TILES == N && CHUNK >= N - 1, "atoms");

struct Shared {
    alignas(16) Real in[BUFFERS][F * N];  // inputs of a dense layer, [feature][atom]
    alignas(16) Real part[THREADS * TILE];
    alignas(16) Real stage[FS * N];       // own features of the next input, [feature][atom]
    alignas(16) Real x[FS * N];           // own features, later dE/dx
    alignas(16) Real y[FS * N];           // [atom][feature], and so is q
    alignas(16) Real q[FS * N];
    alignas(16) Real filter[CHUNK * FS];  // W of each pair
    Real value[CHUNK * 6], slope[CHUNK * 6];
    Real weight[N];                       // w of Eq. (1)
    double position[3 * N], distance[P];
    double tension[SLOTS * P];            // dE/dr
    double gathered[C * SHARE];
    double energy[C * N], charge[C * N], deviation[C * N];
    double virial[9 * VIRIAL_PARTS];
    int knot[CHUNK];
    unsigned char first[P], second[P];    // atoms of each pair
};

// Pairs are listed row by row, i < j.
__device__ inline int row_start(int i, int n) { return i * (2 * n - i - 1) / 2; }
__device__ inline int pair_of(int i, int j, int n) {
    return i < j ? row_start(i, n) + j - i - 1 : row_start(j, n) + i - j - 1;
}
// The end of as many rows from i as a chunk holds.
__device__ inline int chunk_end(int i, int n) {
    if (WHOLE) return n;
    int end = i + 1;
    while (end < n && row_start(end + 1, n) - row_start(i, n) <= CHUNK) ++end;
    return end;
}
