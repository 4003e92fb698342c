// Forces and virials from dE/dr of pairs, and sums over the atoms of a structure; all in float64.
#include "systems.h"

constexpr int SUMS = 7;  // of a structure: its energy and six of its virial

struct Shared {
    double part[SUMS * THREADS];
};

// A warp for each atom.
extern "C" __global__ __launch_bounds__(THREADS) void answer_forces(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Answer answer) {
    const long long k = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (k >= system.n_atoms) return;
    const int i = system.order[k];
    const long long begin = system.row_start[i], end = begin + work.counts[i];
    double sums[9] = {};  // the force, and xx, yy, zz, yz, xz, xy of sum r (x) dE/dr
    for (long long e = begin + lane; e < end; e += 32) {
        double d[3], tension = 0;
        displacement(system, i, work.edges[e].neighbor, work.images[e], d);
        for (int slice = 0; slice < SLICES; ++slice)
            tension += work.tensions[slice * system.n_listed + e];
        tension *= net.energy_scale / sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
#pragma unroll
        for (int c = 0; c < 3; ++c) {
            sums[c] += tension * d[c];
            sums[3 + c] += tension * (d[c] * d[c]);
            sums[6 + c] += tension * (d[(c + 1) % 3] * d[(c + 2) % 3]);
        }
    }
#pragma unroll
    for (int n = 0; n < 9; ++n)
#pragma unroll
        for (int bits = 16; bits; bits /= 2) sums[n] += from_lane(sums[n], bits);
    if (lane) return;
    for (int c = 0; c < 3; ++c) answer.forces[3 * i + c] = sums[c];
    for (int n = 0; n < 6; ++n)
        work.virials[6 * i + n] = -0.5 * sums[3 + n];  // each pair has two ends
}

// A block for each structure.
extern "C" __global__ void sum_up(const __grid_constant__ Listed system,
                                  const __grid_constant__ Work work,
                                  const __grid_constant__ Answer answer) {
    SHARED_MEMORY(Shared, s);
    const long long graph = blockIdx.x;
    const long long first = system.starts[graph], end = system.starts[graph + 1];
    const int n_sums = answer.virials ? SUMS : 1;
    double sums[SUMS] = {};
    for (long long i = first + threadIdx.x; i < end; i += THREADS) {
        sums[0] += answer.atomic_energies[i];
        if (answer.virials)
#pragma unroll
            for (int n = 1; n < SUMS; ++n) sums[n] += work.virials[6 * i + n - 1];
    }
#pragma unroll
    for (int n = 0; n < SUMS; ++n) s.part[n * THREADS + threadIdx.x] = sums[n];
    sync_block();
    if (int(threadIdx.x) >= n_sums) return;
    double sum = 0;
    for (int part = 0; part < THREADS; ++part) sum += s.part[threadIdx.x * THREADS + part];
    if (threadIdx.x == 0) {
        answer.energies[graph] = sum;
        return;
    }
    const int n = threadIdx.x - 1, a = n < 3 ? n : (n - 2) % 3, b = n < 3 ? n : (n - 1) % 3;
    answer.virials[9 * graph + 3 * a + b] = answer.virials[9 * graph + 3 * b + a] = sum;
}
