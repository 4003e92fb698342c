// Filters, forces and convolutions of pairs of atoms, of the own features of a block.
#pragma once
#include "molecule.h"

// Weights of the values at the knots around pairs [begin, end), for W and dW/dr.
__device__ inline void locate(Shared& s, const Network& net, int begin, int end) {
    for (int p = begin + threadIdx.x; p < end; p += THREADS) {
        const double r = s.distance[p], scaled = r / net.spacing;
        const double last = net.spacing * (net.n_knots - 1);
        int k = scaled < net.n_knots - 2 ? int(scaled) : int(net.n_knots - 2);
        double t = scaled - k;
        if (t > 1) t = 1;
        const double on = r < net.cutoff ? 1 : 0;
        const double sloped = r < last ? on / net.spacing : 0;  // it is constant beyond
        const double t2 = t * t, t3 = t2 * t;
        const double step = t3 * (10 + t * (-15 + t * 6)), rise = t2 * (30 + t * (-60 + t * 30));
        Real* value = s.value + 6 * (p - begin);
        Real* slope = s.slope + 6 * (p - begin);
        value[0] = on * (1 - step);
        value[1] = on * (t + t3 * (-6 + t * (8 - t * 3)));
        value[2] = on * (0.5 * t2 + t3 * (-1.5 + t * (1.5 - t * 0.5)));
        value[3] = on * step;
        value[4] = on * (t3 * (-4 + t * (7 - t * 3)));
        value[5] = on * (t3 * (0.5 + t * (-1 + t * 0.5)));
        slope[0] = -sloped * rise;
        slope[1] = sloped * (1 + t2 * (-18 + t * (32 - t * 15)));
        slope[2] = sloped * (t + t2 * (-4.5 + t * (6 - t * 2.5)));
        slope[3] = sloped * rise;
        slope[4] = sloped * (t2 * (-12 + t * (28 - t * 15)));
        slope[5] = sloped * (t2 * (1.5 + t * (-4 + t * 2.5)));
        s.knot[p - begin] = k;
    }
}

// Own features of the knots at a pair in layer l: six rows, n_interactions * F apart.
__device__ inline const Real* knots_of(const Shared& s, const Network& net, int listed, int l) {
    const long long row = 3 * s.knot[listed] * net.n_interactions + l;
    return net.table + row * F + cluster_rank() * FS + threadIdx.x % FS;
}

// W of pairs [begin, end) in layer l.
__device__ inline void make_filters(Shared& s, const Network& net, int l, int begin, int end) {
    const int f = threadIdx.x % FS, stride = int(net.n_interactions) * F;
#pragma unroll 4
    for (int p = threadIdx.x / FS; p < end - begin; p += PER_FEATURE) {
        const Real* knots = knots_of(s, net, p, l);
        Real w = 0;
#pragma unroll
        for (int m = 0; m < 6; ++m) w += s.value[6 * p + m] * fixed(knots + m * stride);
        s.filter[p * FS + f] = w;
    }
}

// The same, and dE/dr of these pairs. Eq. (3)
__device__ inline void pull(Shared& s, const Network& net, int l, int begin, int end) {
    const int f = threadIdx.x % FS, stride = int(net.n_interactions) * F;
    for (int first = begin; first < end; first += PER_FEATURE) {  // as often for every thread
        const int own = first + threadIdx.x / FS, pair = own < end ? own : end - 1;
        const int listed = pair - begin, i = s.first[pair], j = s.second[pair];
        const Real* knots = knots_of(s, net, listed, l);
        Real w = 0, dw = 0;
#pragma unroll
        for (int m = 0; m < 6; ++m) {
            const Real knot = fixed(knots + m * stride);
            w += s.value[6 * listed + m] * knot;
            dw += s.slope[6 * listed + m] * knot;
        }
        Real force = (s.q[i * FS + f] * s.y[j * FS + f] + s.q[j * FS + f] * s.y[i * FS + f]) * dw;
#pragma unroll
        for (int bits = LANES / 2; bits; bits /= 2) force += from_lane(force, bits);
        if (own < end) {
            s.filter[listed * FS + f] = w;
            if (f % LANES == 0) s.tension[f / LANES * P + pair] += force;
        }
    }
}

// stage[f][i] += sum over j of from[j][f] W_ij[f], of pairs in rows [begin, end).
// Over all chunks j ascends, so the outcome does not depend on their size.
__device__ inline void convolve(Shared& s, const Real* from, int begin, int end, int n) {
    const int f = threadIdx.x % FS, listed = row_start(begin, n);
    for (int i = threadIdx.x / FS; i < N; i += PER_FEATURE) {
        Real sum = begin == 0 ? Real(0) : s.stage[f * N + i];
        if (i < n) {
            for (int j = begin; j < end && j < i; ++j)
                sum += from[j * FS + f] * s.filter[(pair_of(j, i, n) - listed) * FS + f];
            if (begin <= i && i < end)
                for (int j = i + 1; j < n; ++j)
                    sum += from[j * FS + f] * s.filter[(pair_of(i, j, n) - listed) * FS + f];
        }
        s.stage[f * N + i] = sum;
    }
}
