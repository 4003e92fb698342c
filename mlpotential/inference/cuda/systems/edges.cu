// Pairs within the cutoff, and the sums over them: convolutions and dE/dr.
//
// A warp takes an atom and 32 features. LANES threads share a pair, WIDTH features each, so AT_ONCE
// pairs are read at a time; their sums are added in a fixed order. Where the filters of 32 features
// fit there, a block keeps them in shared memory for all its atoms. Atoms come in the order of the
// cell list, so that blocks at work at the same time read the same neighbours.
#include "systems.h"

constexpr int BLOCKS = sizeof(Real) == 4 && THREADS <= 384 ? 2 : 1;  // for their registers

struct Layer {
    long long number;
    long long blocks;  // of each slice of features
};
struct Least {  // of the pairs of an atom
    double value;
    long long where;
    int atom;
};

// Of all lanes; of equal ones the first in the row.
__device__ inline void reduce(Least& own) {
#pragma unroll
    for (int bits = 16; bits; bits /= 2) {
        const double value = from_lane(own.value, bits);
        const long long where = from_lane(own.where, bits);
        const int atom = from_lane(own.atom, bits);
        if (value < own.value || (value == own.value && where < own.where))
            own = {value, where, atom};
    }
}

// The interval of the table that a distance is in, and where in it.
__device__ inline Edge edge_to(const Network& net, int neighbor, double r) {
    const double scaled = r / net.spacing;
    const int k = scaled < net.n_knots - 2 ? int(scaled) : int(net.n_knots - 2);
    const double t = scaled - k;
    const bool varies = r < net.spacing * (net.n_knots - 1);
    return {varies ? Real(t < 1 ? t : 1) : Real(2), neighbor, k};
}

// Edges of each atom from its listed pairs, in their order, and what the guard asks of distances.
extern "C" __global__ __launch_bounds__(THREADS) void find_edges(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Answer answer) {
    const long long k = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    const int lane = threadIdx.x % 32;
    if (k >= system.n_atoms) return;
    const int i = system.order[k];
    const long long begin = system.row_start[i], end = system.row_start[i + 1];
    const long long z = system.atomic_numbers[i], never = system.n_listed;
    Least nearest{INFINITE, never, i}, closest = nearest, excess = nearest;
    int count = 0, coordination = 0;
    for (long long base = begin; base < end; base += 32) {
        const long long own = base + lane;
        int j = i, image = NO_IMAGE;
        double d[3], r = INFINITE;
        if (own < end) {
            j = system.neighbors[own], image = system.images[own];
            displacement(system, i, j, image, d);
            r = sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
        }
        const bool inside = r < net.cutoff && own < end;
        const unsigned all = ballot(inside);
        if (inside) {
            const long long place = begin + count + ones(all & ((1u << lane) - 1));
            work.edges[place] = edge_to(net, j, r);
            work.images[place] = image;
            const long long kinds = z * net.n_elements + system.atomic_numbers[j];
            if (r < nearest.value) nearest = {r, own, j};
            if (net.bond_lengths) coordination += r < net.bond_lengths[kinds];
            if (j >= i) {  // each pair is of its first atom
                if (r < closest.value) closest = {r, own, j};
                if (net.shortest && r - net.shortest[kinds] < excess.value)
                    excess = {r - net.shortest[kinds], own, j};
            }
        }
        count += ones(all);
    }
    reduce(closest);
    if (answer.findings) {
        reduce(nearest);
        reduce(excess);
#pragma unroll
        for (int bits = 16; bits; bits /= 2) coordination += from_lane(coordination, bits);
    }
    if (lane) return;
    work.counts[i] = count;
    answer.closest[2 * i] = closest.value;
    answer.closest[2 * i + 1] = double(system.first_atom + closest.atom);
    if (!answer.findings) return;
    double ratio = 0, lacking = 0;
    const double* known = net.neighborhoods ? net.neighborhoods + 3 * z : nullptr;
    if (known && !(known[2] != 0 && nearest.value == INFINITE))
        ratio = nearest.value / known[0], lacking = double((long long)known[1] - coordination);
    double* finding = answer.findings + 5 * i;
    finding[0] = -excess.value;
    finding[1] = double(system.first_atom + excess.atom);
    finding[3] = ratio;
    finding[4] = lacking;
}

// Filters of a layer and slice, rows of 32 features: three for each knot.
struct Filters {
    const Real* rows;
    long long stride;  // from row to row
};
struct Table {
    Vector rows[1];
};

__device__ inline Filters filters_of(const Network& net, long long l, int slice) {
    const Real* first = net.table + l * F + slice * SLICE;
    const long long stride = net.n_interactions * F;
#if M_TABLE
    SHARED_MEMORY(Table, table);
    Vector* rows = &table.rows[0];
    for (int o = threadIdx.x; o < 3 * net.n_knots * LANES; o += THREADS)
        rows[o] = *reinterpret_cast<const Vector*>(first + o / LANES * stride + o % LANES * WIDTH);
    sync_block();
    return {reinterpret_cast<const Real*>(rows), SLICE};
#else
    return {first, stride};
#endif
}

// Quintic Hermite polynomials: what f, h f' and h^2 f'' of both knots contribute, as
//     W = f_0 + rise (f_1 - f_0) + first[0] h f_0' + first[1] h^2 f_0'' + last[0] h f_1' + ...,
// and for dW/dr without f_0. In factors that lose no digits, u = 1 - t.
struct Hermite {
    Real rise, first[2], last[2];
};

__device__ inline Hermite values_at(Real t) {
    t = t < 1 ? t : Real(1);
    const Real u = 1 - t, t2 = t * t, u2 = u * u, t3 = t2 * t, u3 = u2 * u;
    return {t3 * (10 + t * (-15 + t * 6)),
            {t * u3 * (1 + 3 * t), Real(0.5) * t2 * u3},
            {-u * t3 * (1 + 3 * u), Real(0.5) * t3 * u2}};
}
__device__ inline Hermite slopes_at(Real t, Real per_spacing) {
    const Real on = t < Real(1.5) ? per_spacing : Real(0);
    t = t < 1 ? t : Real(1);
    const Real u = 1 - t, t2 = on * t * t, u2 = on * u * u;
    return {30 * t2 * (u * u),
            {u2 * (1 + t * (2 - 15 * t)), t * u2 * (1 - Real(2.5) * t)},
            {t2 * (1 + u * (2 - 15 * u)), -u * t2 * (1 - Real(2.5) * u)}};
}

__device__ inline Vector vector_at(const Real* from) {
    return *reinterpret_cast<const Vector*>(from);
}

// The rows of both knots at a pair, f_1 - f_0 in place of f_1.
struct Knots {
    Vector rows[6];
};
__device__ inline Knots knots_at(const Filters& filters, int knot, int column) {
    const Real* from = filters.rows + 3 * knot * filters.stride + column;
    Knots k;
#pragma unroll
    for (int m = 0; m < 6; ++m) k.rows[m] = vector_at(from + m * filters.stride);
#pragma unroll
    for (int v = 0; v < WIDTH; ++v) k.rows[3].v[v] -= k.rows[0].v[v];
    return k;
}
__device__ inline Real interpolated(const Knots& k, const Hermite& h, Real from, int v) {
    return from + h.rise * k.rows[3].v[v] + h.first[0] * k.rows[1].v[v] +
           h.first[1] * k.rows[2].v[v] + h.last[0] * k.rows[4].v[v] + h.last[1] * k.rows[5].v[v];
}

// Over the pairs that a warp reads at once.
__device__ inline void add_up(Vector& sum) {
#pragma unroll
    for (int bits = LANES; bits < 32; bits *= 2)
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) sum.v[v] += from_lane(sum.v[v], bits);
}

// m = w sum over neighbours of y o W. Eq. (1)
extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void convolve(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Layer layer) {
    const int slice = int(blockIdx.x) % SLICES, lane = threadIdx.x % 32;
    const int column = lane % LANES * WIDTH;
    const Filters filters = filters_of(net, layer.number, slice);
    const Real* y = work.y + layer.number * system.n_atoms * F + slice * SLICE + column;
    const long long first = (long long)(int(blockIdx.x) / SLICES) * WARPS + threadIdx.x / 32;
    for (long long k = first; k < system.n_atoms; k += layer.blocks * WARPS) {
        const long long i = system.order[k];
        const long long begin = system.row_start[i], end = begin + work.counts[i];
        Vector sum{};
#pragma unroll 2
        for (long long e = begin + lane / LANES; e < end; e += AT_ONCE) {
            const Edge edge = work.edges[e];
            const Vector from = vector_at(y + (long long)edge.neighbor * F);
            const Knots knots = knots_at(filters, edge.knot, column);
            const Hermite values = values_at(edge.t);
#pragma unroll
            for (int v = 0; v < WIDTH; ++v)
                sum.v[v] += from.v[v] * interpolated(knots, values, knots.rows[0].v[v], v);
        }
        add_up(sum);
        if (lane >= LANES) continue;
        const Real weight = weight_of(net, work, i);
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) sum.v[v] *= weight;
        *reinterpret_cast<Vector*>(work.m + i * F + slice * SLICE + column) = sum;
    }
}

// dE/dr of pairs, Eq. (3), whole and the same from both ends, and the sums over q o W of Eq. (4).
extern "C" __global__ __launch_bounds__(THREADS, BLOCKS) void pull(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Layer layer) {
    const int slice = int(blockIdx.x) % SLICES, lane = threadIdx.x % 32;
    const int column = lane % LANES * WIDTH;
    const bool is_last = layer.number + 1 == net.n_interactions;
    const Real per_spacing = Real(1 / net.spacing);
    const Filters filters = filters_of(net, layer.number, slice);
    const Real* q = work.q + slice * SLICE + column;
    const Real* y = work.y + layer.number * system.n_atoms * F + slice * SLICE + column;
    double* tensions = work.tensions + slice * system.n_listed;
    const long long first = (long long)(int(blockIdx.x) / SLICES) * WARPS + threadIdx.x / 32;
    for (long long k = first; k < system.n_atoms; k += layer.blocks * WARPS) {
        const long long i = system.order[k];
        const long long begin = system.row_start[i], end = begin + work.counts[i];
        const Vector own_q = vector_at(q + i * F), own_y = vector_at(y + i * F);
        Vector sum{};
        const auto take = [&](long long base, bool all_there) {
            const long long e = base + lane / LANES;
            const bool is_there = all_there || e < end;
            const Edge edge = work.edges[is_there ? e : base];
            const Vector from_q = vector_at(q + (long long)edge.neighbor * F);
            const Vector from_y = vector_at(y + (long long)edge.neighbor * F);
            const Knots knots = knots_at(filters, edge.knot, column);
            const Hermite values = values_at(edge.t), slopes = slopes_at(edge.t, per_spacing);
            Real tension = 0;
#pragma unroll
            for (int v = 0; v < WIDTH; ++v) {
                const Real w = interpolated(knots, values, knots.rows[0].v[v], v);
                const Real dw = interpolated(knots, slopes, Real(0), v);
                if (is_there) sum.v[v] += from_q.v[v] * w;
                tension += (rounded_product(own_q.v[v], from_y.v[v]) +
                            rounded_product(from_q.v[v], own_y.v[v])) * dw;
            }
#pragma unroll
            for (int bits = LANES / 2; bits; bits /= 2) tension += from_lane(tension, bits);
            if (is_there && column == 0) tensions[e] = tension + (is_last ? 0 : tensions[e]);
        };
        long long base = begin;
        for (; base + AT_ONCE <= end; base += AT_ONCE) take(base, true);
        if (base < end) take(base, false);  // by all threads of the warp, too
        add_up(sum);
        if (layer.number && lane < LANES)
            *reinterpret_cast<Vector*>(work.m + i * F + slice * SLICE + column) = sum;
    }
}
