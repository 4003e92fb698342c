// Sizes, pairs within the cutoff, and what the kernels of one evaluation hand on to each other.
//
// Sizes are macros, `systems/plans.py` chooses them: M_REAL, M_FEATURES, M_THREADS (of a block),
// M_TILE (atoms of a thread in a dense layer), M_TABLE (whether shared memory has the filters).
#pragma once
#include "cells.h"
#include "network.h"

constexpr int F = M_FEATURES;
constexpr int WIDTH = 16 / sizeof(Real);
constexpr int SLICE = 32, SLICES = F / SLICE;  // features of a block in a convolution
constexpr int LANES = SLICE / WIDTH;           // threads of one pair, WIDTH features each
constexpr int AT_ONCE = 32 / LANES;            // pairs of a warp
static_assert(F % SLICE == 0 && THREADS % 32 == 0, "threads");

struct alignas(16) Vector {
    Real v[WIDTH];
};
struct alignas(16) Edge {  // within the cutoff
    Real t;                // (r - r_k) / h in the table's interval k; 2 where filters are constant
    int neighbor, knot;
};
struct Work {
    Edge* edges;           // in the rows of the list, from the start of each, [n_listed]
    int* images;           // of edges, [n_listed]
    int* counts;           // edges of each atom, [n_atoms]
    Real *x, *m;           // features, and sums over neighbours of both passes, [n_atoms, F]
    Real *y, *a;           // of Eq. (1) of all interactions, [T, n_atoms, F]
    Real *g, *q;           // dE/dx and Eq. (2), [n_atoms, F]
    double* tensions;      // dE/dr of edges from each slice of features, [SLICES, n_listed]
    double* virials;       // of each atom: xx, yy, zz, yz, xz, xy, [n_atoms, 6]
};

// w of Eq. (1): 1 / number of neighbours where a cutoff is hard.
__device__ inline Real weight_of(const Network& net, const Work& work, long long i) {
    return net.averages && work.counts[i] > 1 ? Real(1) / Real(work.counts[i]) : Real(1);
}
