// SchNet for molecules: energy and derivatives in one launch, a cluster of blocks for each.
//
// The network is that of `schnet/tabulated.py`, whose equations are numbered there. All pairs of
// atoms are taken; features are spread over the C blocks of a cluster, FS = F / C for each:
//
// - a dense layer multiplies all features of all atoms (`in`) by the own columns of the weights; the
//   outcome (`stage`) goes into `in` of every block, and one cluster barrier makes it the next input;
// - a convolution is local to a feature, so pairs need no exchange until their forces at the end.
//
// Sums have an order that depends on the sizes in `molecule.h` alone: neither on other molecules nor
// on which thread comes first. Distances, sums over atoms and forces are float64 whatever Real is.
#include "pairs.h"

// Parts of the sums over all inputs k, of each own feature f and atom n: in[k][n] w[k][f].
__device__ inline void multiply(Shared& s, const Real* in, const Real* weights) {
    const int f = threadIdx.x % FS, group = threadIdx.x / FS;
    const int tile = group % TILES, part = group / TILES;
    Real sum[TILE];
#pragma unroll
    for (int n = 0; n < TILE; ++n) sum[n] = 0;
#pragma unroll 4
    for (int k = part; k < F; k += PARTS) {
        const Real w = fixed(weights + k * F + f);
        const Vector* row = reinterpret_cast<const Vector*>(in + k * N + tile * TILE);
#pragma unroll
        for (int n = 0; n < TILE / WIDTH; ++n) {
            const Vector x = row[n];
#pragma unroll
            for (int v = 0; v < WIDTH; ++v) sum[n * WIDTH + v] += w * x.v[v];
        }
    }
    Vector* out = reinterpret_cast<Vector*>(s.part + (part * FS + f) * N + tile * TILE);
#pragma unroll
    for (int n = 0; n < TILE / WIDTH; ++n) {
        Vector x;
#pragma unroll
        for (int v = 0; v < WIDTH; ++v) x.v[v] = sum[n * WIDTH + v];
        out[n] = x;
    }
    sync_block();
}

// The sum of the parts, of o = feature * N + atom.
__device__ inline Real product(const Shared& s, int o) {
    Real sum = 0;
#pragma unroll
    for (int part = 0; part < PARTS; ++part) sum += s.part[part * FS * N + o];
    return sum;
}

// What all blocks staged becomes the next input of all blocks.
__device__ inline void publish(Shared& s, int& now) {
    if (BUFFERS == 1)
        sync_cluster();  // they all have used the last one
    else
        sync_block();
    const int next = BUFFERS == 1 ? 0 : now ^ 1, rank = cluster_rank();
    constexpr int SIZE = FS * N / WIDTH;
    for (int o = threadIdx.x; o < SIZE * C; o += THREADS) {
        Vector* there = reinterpret_cast<Vector*>(in_block(&s, o / SIZE)->in[next]);
        there[rank * SIZE + o % SIZE] = reinterpret_cast<const Vector*>(s.stage)[o % SIZE];
    }
    sync_cluster();
    now = next;
}

// Distances, pairs and weights of atoms.
__device__ inline void measure(Shared& s, const Network& net, const double* positions, int n) {
    const int tid = threadIdx.x;
    for (int o = tid; o < 3 * n; o += THREADS) s.position[o] = positions[o];
    for (int o = tid; o < SLOTS * P; o += THREADS) s.tension[o] = 0;
    for (int i = tid; i < n; i += THREADS)
        for (int j = i + 1; j < n; ++j) {
            const int p = pair_of(i, j, n);
            s.first[p] = i;
            s.second[p] = j;
        }
    sync_block();
    for (int p = tid; p < n * (n - 1) / 2; p += THREADS) {
        double square = 0;
        for (int c = 0; c < 3; ++c) {
            const double d = s.position[3 * s.second[p] + c] - s.position[3 * s.first[p] + c];
            square += d * d;
        }
        s.distance[p] = sqrt(square);
    }
    sync_block();
    for (int i = tid; i < N; i += THREADS) {  // 1 / number of neighbours where a cutoff is hard
        int count = 0;
        if (net.averages)
            for (int j = 0; j < n; ++j)
                count += i < n && j != i && s.distance[pair_of(i, j, n)] < net.cutoff;
        s.weight[i] = Real(1) / Real(count > 0 ? count : 1);
    }
}

// Sums of own hidden features, of each atom, to block 0; slopes by them are staged.
__device__ inline void read_out(Shared& s, const Readout& readout, const Real* in, int n,
                                double* gathered) {
    const int column = cluster_rank() * FS, activation = int(readout.activation);
    multiply(s, in, readout.hidden + column);
    for (int o = threadIdx.x; o < FS * N; o += THREADS) {
        const int hidden = column + o / N;
        const Real a = product(s, o) + fixed(readout.hidden_bias + hidden);
        const Real weight = fixed(readout.output + hidden);
        s.y[o] = weight * activated(activation, a);
        s.stage[o] = weight * activation_slope(activation, a);
    }
    sync_block();
    for (int i = threadIdx.x; i < n; i += THREADS) {
        double sum = 0;
        for (int f = 0; f < FS; ++f) sum += s.y[f * N + i];
        in_block(gathered, 0)[cluster_rank() * N + i] = sum;
    }
}

// The largest |x - c| s of own features, of each atom, to block 0.
__device__ inline void deviate(Shared& s, const Network& net, const int* elements, int n) {
    for (int i = threadIdx.x; i < n; i += THREADS) {
        double largest = 0;
        const long long row = (long long)elements[i] * F + cluster_rank() * FS;
        for (int f = 0; f < FS; ++f) {
            const Real away = (s.x[f * N + i] - net.centers[row + f]) * net.scales[row + f];
            const double size = away < 0 ? -away : away;
            if (size > largest) largest = size;
        }
        in_block(s.deviation, 0)[cluster_rank() * N + i] = largest;
    }
}

// dE/dr of all pairs, complete, to block 0: each block sums up a share of them.
// The barrier behind the last `pull` has made the own parts complete.
__device__ inline void gather_tensions(Shared& s, const Network& net, int n) {
    const int n_pairs = n * (n - 1) / 2, rank = cluster_rank();
    for (int p = threadIdx.x; p < n_pairs; p += THREADS) {
        double sum = 0;
        for (int slot = 0; slot < SLOTS; ++slot) sum += s.tension[slot * P + p];
        in_block(s.gathered, p / SHARE)[rank * SHARE + p % SHARE] = sum;
    }
    sync_cluster();
    for (int p = rank * SHARE + threadIdx.x; p < n_pairs && p < (rank + 1) * SHARE; p += THREADS) {
        double sum = 0;
        for (int block = 0; block < C; ++block) sum += s.gathered[block * SHARE + p % SHARE];
        in_block(s.tension, 0)[p] = net.energy_scale * sum;
    }
    sync_cluster();
}

// By block 0.
__device__ inline void answer_forces(Shared& s, const Answer& answer, long long graph,
                                     long long start, int n) {
    const int tid = threadIdx.x, n_pairs = n * (n - 1) / 2;
    for (int p = tid; p < n_pairs; p += THREADS) s.tension[p] /= s.distance[p];
    sync_block();
    for (int o = tid; o < 3 * n; o += THREADS) {
        const int i = o / 3, c = o % 3;
        double force = 0;
        for (int j = 0; j < n; ++j)
            if (j != i)
                force += s.tension[pair_of(i, j, n)] * (s.position[3 * j + c] - s.position[o]);
        answer.forces[3 * start + o] = force;
    }
    if (tid < 9 * VIRIAL_PARTS) {  // -sum over pairs of r (x) dE/dr
        const int a = tid % 9 / 3, b = tid % 3;
        double sum = 0;
        for (int p = tid / 9; p < n_pairs; p += VIRIAL_PARTS) {
            const double* i = s.position + 3 * s.first[p];
            const double* j = s.position + 3 * s.second[p];
            sum -= s.tension[p] * (j[a] - i[a]) * (j[b] - i[b]);
        }
        s.virial[tid] = sum;
    }
    sync_block();
    if (tid < 9) {
        double sum = 0;
        for (int part = 0; part < VIRIAL_PARTS; ++part) sum += s.virial[9 * part + tid];
        answer.virials[9 * graph + tid] = sum;
    }
}

__device__ inline double over_blocks(const double* gathered, int i) {
    double sum = 0;
    for (int block = 0; block < C; ++block) sum += gathered[block * N + i];
    return sum;
}

// By one thread: an atom with its neighbours, and with the training data where that is asked for.
__device__ inline void answer_atom(const Shared& s, const Network& net, const Answer& answer,
                                   const int* elements, long long start, int i, int n) {
    const long long z = elements[i], atom = start + i;
    double closest = INFINITE, nearest = INFINITE, deficit = -INFINITE;
    int partner = i, of_closest = i, coordination = 0;
    const bool guarded = answer.findings;
    for (int j = 0; j < n; ++j) {
        const double r = j == i ? INFINITE : s.distance[pair_of(i, j, n)];
        if (!(r < net.cutoff)) continue;
        const long long kinds = z * net.n_elements + elements[j];
        if (r < nearest) nearest = r;
        if (guarded && net.bond_lengths) coordination += r < net.bond_lengths[kinds];
        if (j < i) continue;  // each pair is of its first atom
        if (r < closest) closest = r, of_closest = j;
        if (guarded && net.shortest && net.shortest[kinds] - r > deficit)
            deficit = net.shortest[kinds] - r, partner = j;
    }
    answer.closest[2 * atom] = closest;
    answer.closest[2 * atom + 1] = double(start + of_closest);
    if (!guarded) return;
    double* finding = answer.findings + 5 * atom;
    double ratio = 0, lacking = 0, deviation = 0;
    const double* known = net.neighborhoods ? net.neighborhoods + 3 * z : nullptr;
    if (known && !(known[2] != 0 && nearest == INFINITE))
        ratio = nearest / known[0], lacking = double((long long)known[1] - coordination);
    if (net.centers)
        for (int block = 0; block < C; ++block)
            if (s.deviation[block * N + i] > deviation) deviation = s.deviation[block * N + i];
    finding[0] = deficit;
    finding[1] = double(start + partner);
    finding[2] = deviation;
    finding[3] = ratio;
    finding[4] = lacking;
}

// The interactions forward, Eq. (1); what the way back needs goes to the trace.
__device__ inline void interact(Shared& s, const Network& net, Real* trace, int& now, int n) {
    const int tid = threadIdx.x, column = cluster_rank() * FS;
    for (int l = 0; l < net.n_interactions; ++l) {
        const Real* weights = net.forward + (long long)l * 3 * F * F + column;
        Real* kept = trace + (long long)l * 2 * N * F;
        multiply(s, s.in[now], weights);
        for (int o = tid; o < FS * N; o += THREADS) {
            const Real y = product(s, o);
            s.y[o % N * FS + o / N] = y;
            kept[o] = y;
        }
        for (int begin = 0, end; begin < n; begin = end) {
            end = chunk_end(begin, n);
            const int first = row_start(begin, n), last = row_start(end, n);
            if (!WHOLE) {
                locate(s, net, first, last);
                sync_block();
            }
            make_filters(s, net, l, first, last);
            sync_block();
            convolve(s, s.y, begin, end, n);
        }
        for (int i = tid / FS; i < N; i += PER_FEATURE) s.stage[tid % FS * N + i] *= s.weight[i];
        publish(s, now);
        multiply(s, s.in[now], weights + F * F);
        for (int o = tid; o < FS * N; o += THREADS) {
            const Real a = product(s, o) + fixed(net.bias + l * 2 * F + column + o / N);
            kept[N * F + o] = a;
            s.stage[o] = ssp(a);
        }
        publish(s, now);
        multiply(s, s.in[now], weights + 2 * F * F);
        for (int o = tid; o < FS * N; o += THREADS) {
            const Real c = fixed(net.bias + (l * 2 + 1) * F + column + o / N);
            s.x[o] = s.stage[o] = s.x[o] + product(s, o) + c;
        }
        publish(s, now);
    }
}

// The interactions backward from dE/dx in `x` and in the input, Eqs. (2) to (4).
__device__ inline void differentiate(Shared& s, const Network& net, const Real* trace, int& now,
                                     int n) {
    const int tid = threadIdx.x, column = cluster_rank() * FS;
    for (int l = int(net.n_interactions) - 1; l >= 0; --l) {
        const Real* weights = net.backward + (long long)l * 3 * F * F + column;
        const Real* kept = trace + (long long)l * 2 * N * F;
        multiply(s, s.in[now], weights + 2 * F * F);
        for (int o = tid; o < FS * N; o += THREADS)
            s.stage[o] = sigmoid(kept[N * F + o]) * product(s, o);
        publish(s, now);
        multiply(s, s.in[now], weights + F * F);
        for (int o = tid; o < FS * N; o += THREADS) {
            s.q[o % N * FS + o / N] = product(s, o) * s.weight[o % N];
            s.y[o % N * FS + o / N] = kept[o];
        }
        if (WHOLE) sync_block();
        for (int begin = 0, end; begin < n; begin = end) {
            end = chunk_end(begin, n);
            const int first = row_start(begin, n), last = row_start(end, n);
            if (!WHOLE) {
                locate(s, net, first, last);
                sync_block();
            }
            pull(s, net, l, first, last);
            sync_block();
            if (l > 0) convolve(s, s.q, begin, end, n);
        }
        if (l == 0) break;
        publish(s, now);
        multiply(s, s.in[now], weights);
        for (int o = tid; o < FS * N; o += THREADS) s.x[o] = s.stage[o] = s.x[o] + product(s, o);
        publish(s, now);
    }
}

extern "C" __global__ BLOCKS_OF_A_CLUSTER __launch_bounds__(THREADS, 1) void molecule(
    const __grid_constant__ Network net, const __grid_constant__ Batch batch,
    const __grid_constant__ Answer answer) {
    SHARED_MEMORY(Shared, s);
    const int tid = threadIdx.x, rank = cluster_rank(), column = rank * FS;
    const long long cluster = blockIdx.x / C, graph = batch.graphs[cluster];
    const long long start = batch.starts[graph];
    const int n = int(batch.starts[graph + 1] - start);
    const int* elements = batch.atomic_numbers + start;
    Real* trace = batch.trace + cluster * net.n_interactions * 2 * N * F + rank * FS * N;

    measure(s, net, batch.positions + 3 * start, n);
    if (WHOLE) locate(s, net, 0, row_start(n, n));
    int now = 0;
    for (int o = tid; o < F * N; o += THREADS) {
        const int k = o / N, i = o % N;
        const Real x = i < n ? fixed(net.embedding + (long long)elements[i] * F + k) : Real(0);
        s.in[0][o] = x;
        if (k / FS == rank) s.x[o - column * N] = x;
    }
    sync_cluster();  // all blocks are there, too

    interact(s, net, trace, now, n);
    if (answer.charges) read_out(s, net.charge, s.in[now], n, s.charge);
    read_out(s, net.energy, s.in[now], n, s.energy);
    if (answer.findings && net.centers) deviate(s, net, elements, n);
    if (answer.forces) {
        publish(s, now);
        multiply(s, s.in[now], net.energy.hidden_transposed + column);
        for (int o = tid; o < FS * N; o += THREADS) s.x[o] = s.stage[o] = product(s, o);
        publish(s, now);
        differentiate(s, net, trace, now, n);
        gather_tensions(s, net, n);
    } else {
        sync_cluster();
    }
    if (rank) return;  // nobody reads or writes there any more

    for (int i = tid; i < n; i += THREADS) {
        answer_atom(s, net, answer, elements, start, i, n);
        const double y = over_blocks(s.energy, i) + net.energy.bias;
        answer.atomic_energies[start + i] = net.energy_scale * y + net.atom_energies[elements[i]];
        if (answer.charges)
            answer.charges[start + i] = over_blocks(s.charge, i) + net.charge.bias;
    }
    if (tid == 0) {
        double energy = 0;
        for (int i = 0; i < n; ++i)
            energy += net.energy_scale * (over_blocks(s.energy, i) + net.energy.bias) +
                      net.atom_energies[elements[i]];
        answer.energies[graph] = energy;
    }
    if (answer.forces) answer_forces(s, answer, graph, start, n);
}
