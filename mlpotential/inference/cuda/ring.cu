// A ring polymer from one evaluation of its forces to the next: half a thermostat, BAB, half a
// thermostat (OBABO), in mass-weighted normal modes and in float64.
//
//     ring_start     O  p <- c p + s xi,  B  p <- p + h f,  A  the free ring polymer for 2 h
//     ring_finish    f of the new forces, B, O;  h is half the time step
//
// The equations are those of `md_runs/pimd/ring_polymer/`, in the same order; where the center of
// mass is held, its momentum is taken out after O and B. One block moves the whole ring polymer: it
// has barriers for what all modes need. Sums have an order that M_THREADS (of a block) alone decides.
//
// Noise: Philox 4x64-10 (J. K. Salmon et al., SC11 (2011), doi:10.1145/2063384.2063405), with the
// seed as its key and (block of four words, 0, step, stream) as its counter, so that the noise of a
// step is the same in every run; then G. E. P. Box, M. E. Muller, Ann. Math. Stat. 29, 610 (1958).
#include "device.h"

typedef unsigned long long Word;
constexpr int THREADS = M_THREADS;
constexpr int THERMOSTAT = 1;  // the stream
static_assert(THREADS >= 32 && (THREADS & (THREADS - 1)) == 0, "sums are made by halves");

struct Ring {                                // `ring.py` makes it
    const double* modes;                     // C, [n_modes, n_beads]
    const double *keeps, *shakes;            // c and s of O, [n_modes]; null without a thermostat
    const double *stays, *drifts, *pulls;    // of A, [n_modes]
    const double *inverse_roots, *of_center; // of masses, and shares of the center, [n_atoms]
    const Word* key;                         // of the noise, [2]
    long long* n_done;                       // steps
    double half_step;
    long long n_atoms, n_beads, holds_center;
};
struct Moment {                          // of a run
    double *positions, *momenta, *forces;  // of modes, [n_modes, 3 n_atoms]
    double* heat;                          // taken away, and kinetic energy before the last O, [2]
};
struct Beads {
    double *positions, *forces;  // [n_beads, 3 n_atoms] (A, eV/A)
};
struct Shared {
    double part[THREADS];
    double center[3];
};

__device__ inline void philox(Word counter[4], Word k0, Word k1) {
    for (int round = 0; round < 10; ++round) {
        const Word a = 0xD2E7470EE14C6C93ull, b = 0xCA5A826395121157ull;
        const Word low0 = a * counter[0], high0 = high_product(a, counter[0]);
        const Word low1 = b * counter[2], high1 = high_product(b, counter[2]);
        counter[0] = high1 ^ counter[1] ^ k0;
        counter[1] = low1;
        counter[2] = high0 ^ counter[3] ^ k1;
        counter[3] = low0;
        k0 += 0x9E3779B97F4A7C15ull;
        k1 += 0xBB67AE8584CAA73Bull;
    }
}

// Between 0 and 1, without both.
__device__ inline double uniform(Word word) { return ((word >> 11) + 0.5) * 0x1p-53; }

// The normal number of this index in the noise of a step.
__device__ inline double normal(const Ring& ring, long long step, long long index) {
    Word words[4] = {Word(index / 4 + 1), 0, Word(step), Word(THERMOSTAT)};
    philox(words, ring.key[0], ring.key[1]);
    const bool second = index % 4 >= 2;
    const double length = sqrt(-2.0 * log(uniform(second ? words[2] : words[0])));
    const double turns = uniform(second ? words[3] : words[1]);
    return length * (index % 2 ? sine_of_turns(turns) : cosine_of_turns(turns));
}

// Over all threads, for the first of them, which alone needs it.
__device__ inline double total(Shared& s, double own) {
    s.part[threadIdx.x] = own;
    sync_block();
    for (int half = THREADS / 2; half; half /= 2) {
        if (threadIdx.x < half) s.part[threadIdx.x] += s.part[threadIdx.x + half];
        sync_block();
    }
    return threadIdx.x == 0 ? s.part[0] : 0;
}

// A thread has the same numbers of modes in every one of these functions.
__device__ inline double kinetic(Shared& s, const Ring& ring, const double* momenta) {
    const int size = int(3 * ring.n_atoms * ring.n_beads);
    double sum = 0;
    for (int e = threadIdx.x; e < size; e += THREADS) sum += 0.5 * momenta[e] * momenta[e];
    return total(s, sum);
}

// Gives the kinetic energy that goes with the momentum of the center.
__device__ inline double hold_center(Shared& s, const Ring& ring, double* momenta) {
    if (!ring.holds_center) return 0;
    const int tid = threadIdx.x, n = int(ring.n_atoms);
    sync_block();  // all momenta are there
    if (tid < 3) {
        double sum = 0;
        for (int i = 0; i < n; ++i) sum += ring.of_center[i] * momenta[3 * i + tid];
        s.center[tid] = sum;
    }
    sync_block();
    for (int o = tid; o < 3 * n; o += THREADS) momenta[o] -= ring.of_center[o / 3] * s.center[o % 3];
    return 0.5 * (s.center[0] * s.center[0] + s.center[1] * s.center[1] + s.center[2] * s.center[2]);
}

// O, for the first or the second time in a step. Gives the heat, to the first thread.
__device__ inline double exchange_heat(Shared& s, const Ring& ring, double* momenta,
                                       double before, long long step, int time) {
    const int width = int(3 * ring.n_atoms), size = width * int(ring.n_beads);
    for (int e = threadIdx.x; e < size; e += THREADS) {
        const double noise = ring.shakes[e / width] * normal(ring, step, (long long)time * size + e);
        momenta[e] = momenta[e] * ring.keeps[e / width] + noise;
    }
    const double heat = before - kinetic(s, ring, momenta);
    return heat + hold_center(s, ring, momenta);
}

extern "C" __global__ __launch_bounds__(THREADS, 1) void ring_start(
    const __grid_constant__ Ring ring, const __grid_constant__ Moment old,
    const __grid_constant__ Moment now, const __grid_constant__ Beads beads) {
    SHARED_MEMORY(Shared, s);
    const int width = int(3 * ring.n_atoms), n_beads = int(ring.n_beads), size = width * n_beads;
    double* p = now.momenta;
    for (int e = threadIdx.x; e < size; e += THREADS) p[e] = old.momenta[e];
    double heat = old.heat[0];
    if (ring.keeps) heat += exchange_heat(s, ring, p, kinetic(s, ring, p), *ring.n_done + 1, 0);
    for (int e = threadIdx.x; e < size; e += THREADS) p[e] += ring.half_step * old.forces[e];
    heat += hold_center(s, ring, p);
    for (int e = threadIdx.x; e < size; e += THREADS) {
        const int k = e / width;
        const double q = old.positions[e], moving = p[e];
        now.positions[e] = q * ring.stays[k] + moving * ring.drifts[k];
        p[e] = moving * ring.stays[k] + q * ring.pulls[k];
    }
    sync_block();
    for (int e = threadIdx.x; e < size; e += THREADS) {
        const int j = e / width, c = e % width;
        double sum = 0;
        for (int k = 0; k < n_beads; ++k)
            sum += ring.modes[k * n_beads + j] * now.positions[k * width + c];
        beads.positions[e] = sum * ring.inverse_roots[c / 3];
    }
    if (threadIdx.x == 0) now.heat[0] = heat;
}

extern "C" __global__ __launch_bounds__(THREADS, 1) void ring_finish(
    const __grid_constant__ Ring ring, const __grid_constant__ Moment now,
    const __grid_constant__ Beads beads) {
    SHARED_MEMORY(Shared, s);
    const int width = int(3 * ring.n_atoms), n_beads = int(ring.n_beads), size = width * n_beads;
    const long long step = *ring.n_done + 1;
    double *p = now.momenta, heat = now.heat[0];
    for (int e = threadIdx.x; e < size; e += THREADS) {
        const int k = e / width, c = e % width;
        double sum = 0;
        for (int j = 0; j < n_beads; ++j)
            sum += ring.modes[k * n_beads + j] * beads.forces[j * width + c];
        now.forces[e] = sum * ring.inverse_roots[c / 3];
        p[e] += ring.half_step * now.forces[e];
    }
    heat += hold_center(s, ring, p);
    const double hottest = kinetic(s, ring, p);  // before a thermostat could cool it
    if (ring.keeps) heat += exchange_heat(s, ring, p, hottest, step, 1);
    if (threadIdx.x == 0) {
        now.heat[0] = heat;
        now.heat[1] = hottest;
        *ring.n_done = step;
    }
}
