// What each atom does by itself between two convolutions: chains of dense layers.
//
// A block takes ROWS atoms. Their features are staged in shared memory, [feature][atom]; a thread
// multiplies them with one column of the weights, for TILE atoms. Every sum runs over all inputs in
// their order, so it depends neither on ROWS nor on other atoms. Equations are numbered as in
// `schnet/tabulated.py`.
#include "systems.h"

constexpr int TILE = M_TILE;
constexpr int ROWS = TILE * (THREADS / F);
constexpr int STRIDE = ROWS + WIDTH;  // so that threads of neighbouring features meet no bank twice
static_assert(THREADS % F == 0 && TILE % WIDTH == 0, "tiles");

struct Shared {
    alignas(16) Real in[F * STRIDE];
};
struct Place {  // of a thread: a feature, and TILE atoms from the first on
    int f, row;
    long long first, n_atoms;
};

__device__ inline Place place_of(const Listed& system) {
    const int row = int(threadIdx.x) / F * TILE;
    return {int(threadIdx.x) % F, row, (long long)blockIdx.x * ROWS + row, system.n_atoms};
}
__device__ inline void load(const Place& p, const Real* from, Real* v) {
#pragma unroll
    for (int n = 0; n < TILE; ++n)
        v[n] = p.first + n < p.n_atoms ? from[(p.first + n) * F + p.f] : Real(0);
}
__device__ inline void keep(const Place& p, const Real* v, Real* to) {
#pragma unroll
    for (int n = 0; n < TILE; ++n)
        if (p.first + n < p.n_atoms) to[(p.first + n) * F + p.f] = v[n];
}
// Becomes the input; nobody reads the last one any more.
__device__ inline void stage(Shared& s, const Place& p, const Real* v) {
    sync_block();
    Vector* to = reinterpret_cast<Vector*>(s.in + p.f * STRIDE + p.row);
#pragma unroll
    for (int n = 0; n < TILE / WIDTH; ++n) {
        Vector x;
#pragma unroll
        for (int w = 0; w < WIDTH; ++w) x.v[w] = v[n * WIDTH + w];
        to[n] = x;
    }
    sync_block();
}
// sum[n] = sum over k of in[k][n] weights[k][f].
__device__ inline void multiply(const Shared& s, const Place& p, const Real* weights, Real* sum) {
#pragma unroll
    for (int n = 0; n < TILE; ++n) sum[n] = 0;
#pragma unroll 4
    for (int k = 0; k < F; ++k) {
        const Real w = fixed(weights + k * F + p.f);
        const Vector* in = reinterpret_cast<const Vector*>(s.in + k * STRIDE + p.row);
#pragma unroll
        for (int n = 0; n < TILE / WIDTH; ++n) {
            const Vector x = in[n];
#pragma unroll
            for (int v = 0; v < WIDTH; ++v) sum[n * WIDTH + v] += w * x.v[v];
        }
    }
}
__device__ inline const Real* weights_of(const Real* all, long long l, int which) {
    return all + (3 * l + which) * F * F;
}

// x of the elements, and y of the first interaction.
extern "C" __global__ __launch_bounds__(THREADS, 1) void embed(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work) {
    SHARED_MEMORY(Shared, s);
    const Place p = place_of(system);
    Real v[TILE], sum[TILE];
#pragma unroll
    for (int n = 0; n < TILE; ++n) {
        const long long i = p.first + n, z = i < p.n_atoms ? system.atomic_numbers[i] : 0;
        v[n] = i < p.n_atoms ? fixed(net.embedding + z * F + p.f) : Real(0);
    }
    keep(p, v, work.x);
    stage(s, p, v);
    multiply(s, p, net.forward, sum);
    keep(p, sum, work.y);
}

struct Layer {
    long long number;
    long long blocks;  // of each slice of features, in a convolution
};

// From m of an interaction to x, and to y of the next one. Eq. (1)
extern "C" __global__ __launch_bounds__(THREADS, 1) void interact(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Layer layer) {
    SHARED_MEMORY(Shared, s);
    const Place p = place_of(system);
    const long long l = layer.number, size = system.n_atoms * F;
    Real v[TILE], sum[TILE];
    load(p, work.m, v);
    stage(s, p, v);
    multiply(s, p, weights_of(net.forward, l, 1), v);
    const Real b = fixed(net.bias + 2 * l * F + p.f), c = fixed(net.bias + (2 * l + 1) * F + p.f);
#pragma unroll
    for (int n = 0; n < TILE; ++n) v[n] += b;
    keep(p, v, work.a + l * size);
#pragma unroll
    for (int n = 0; n < TILE; ++n) v[n] = ssp(v[n]);
    stage(s, p, v);
    multiply(s, p, weights_of(net.forward, l, 2), sum);
    load(p, work.x, v);
#pragma unroll
    for (int n = 0; n < TILE; ++n) v[n] = v[n] + sum[n] + c;
    keep(p, v, work.x);
    if (l + 1 == net.n_interactions) return;
    stage(s, p, v);
    multiply(s, p, weights_of(net.forward, l + 1, 0), sum);
    keep(p, sum, work.y + (l + 1) * size);
}

// From g = dE/dx behind interaction l, in v, to its q. Eq. (2)
__device__ inline void descend(Shared& s, const Place& p, const Network& net, const Listed& system,
                               const Work& work, long long l, Real* v) {
    Real sum[TILE];
    keep(p, v, work.g);
    stage(s, p, v);
    multiply(s, p, weights_of(net.backward, l, 2), sum);
    load(p, work.a + l * system.n_atoms * F, v);
#pragma unroll
    for (int n = 0; n < TILE; ++n) v[n] = sigmoid(v[n]) * sum[n];
    stage(s, p, v);
    multiply(s, p, weights_of(net.backward, l, 1), sum);
#pragma unroll
    for (int n = 0; n < TILE; ++n)
        if (p.first + n < p.n_atoms) sum[n] *= weight_of(net, work, p.first + n);
    keep(p, sum, work.q);
}

// Features in the input through a readout: the sum of its outputs for each atom of the block goes
// to `gather`; v becomes the slopes by hidden features.
template <class Gather>
__device__ inline void read_out(Shared& s, const Place& p, const Readout& readout, Real* v,
                                Gather gather) {
    Real sum[TILE];
    multiply(s, p, readout.hidden, sum);
    const int activation = int(readout.activation);
    const Real bias = fixed(readout.hidden_bias + p.f), weight = fixed(readout.output + p.f);
#pragma unroll
    for (int n = 0; n < TILE; ++n) {
        v[n] = weight * activation_slope(activation, sum[n] + bias);
        sum[n] = weight * activated(activation, sum[n] + bias);
    }
    stage(s, p, sum);
    for (int row = threadIdx.x; row < ROWS; row += THREADS) {
        const long long i = (long long)blockIdx.x * ROWS + row;
        if (i >= p.n_atoms) break;
        double total = 0;
        for (int f = 0; f < F; ++f) total += s.in[f * STRIDE + row];
        gather(i, total + readout.bias);
    }
}

// Energies and charges of atoms, how far features are from those of training; and the way back to q
// of the last interaction.
extern "C" __global__ __launch_bounds__(THREADS, 1) void answer_atoms(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Answer answer) {
    SHARED_MEMORY(Shared, s);
    const Place p = place_of(system);
    Real v[TILE], sum[TILE];
    load(p, work.x, v);
    stage(s, p, v);
    if (answer.findings)
        for (int row = threadIdx.x; row < ROWS; row += THREADS) {
            const long long i = (long long)blockIdx.x * ROWS + row;
            if (i >= p.n_atoms) break;
            double largest = 0;
            const long long first = (long long)system.atomic_numbers[i] * F;
            for (int f = 0; net.centers && f < F; ++f) {
                const Real from = s.in[f * STRIDE + row] - net.centers[first + f];
                const Real away = from * net.scales[first + f];
                const double size = away < 0 ? -away : away;
                if (size > largest) largest = size;
            }
            answer.findings[5 * i + 2] = largest;
        }
    if (answer.charges) {
        read_out(s, p, net.charge, sum,
                 [&](long long i, double charge) { answer.charges[i] = charge; });
        stage(s, p, v);
    }
    read_out(s, p, net.energy, sum, [&](long long i, double energy) {
        const double alone = net.atom_energies[system.atomic_numbers[i]];
        answer.atomic_energies[i] = net.energy_scale * energy + alone;
    });
    if (!answer.forces) return;
    stage(s, p, sum);
    multiply(s, p, net.energy.hidden_transposed, v);
    descend(s, p, net, system, work, net.n_interactions - 1, v);
}

// From the sums over q of interaction l to dE/dx before it, Eq. (4), and to q of the one before.
extern "C" __global__ __launch_bounds__(THREADS, 1) void differentiate(
    const __grid_constant__ Network net, const __grid_constant__ Listed system,
    const __grid_constant__ Work work, const __grid_constant__ Layer layer) {
    SHARED_MEMORY(Shared, s);
    const Place p = place_of(system);
    Real v[TILE], sum[TILE];
    load(p, work.m, v);
    stage(s, p, v);
    multiply(s, p, weights_of(net.backward, layer.number, 0), sum);
    load(p, work.g, v);
#pragma unroll
    for (int n = 0; n < TILE; ++n) v[n] += sum[n];
    descend(s, p, net, system, work, layer.number - 1, v);
}
