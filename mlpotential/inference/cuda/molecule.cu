// SchNet for molecules: energy and derivatives in one launch, a cluster of blocks for each.
//
// The network is that of `schnet/tabulated.py`, whose equations are numbered there. All pairs of
// atoms are taken; features are spread over the C blocks of a cluster, FS = F / C for each:
//
// - a dense layer multiplies all features of all atoms (`in`) by the own columns of the weights; the
//   outcome (`stage`) goes into `in` of every block, and one cluster barrier makes it the next input;
// - a convolution is local to a feature, so pairs need no exchange until their forces at the end.
//
// Sums have an order that depends on the sizes below alone: neither on other molecules nor on which
// thread comes first. Distances, sums over atoms and forces are float64 whatever Real is.
//
// Sizes are macros, `plans.py` chooses them: M_REAL, M_FEATURES, M_ATOMS (the most), M_CLUSTER,
// M_THREADS (of a block), M_BUFFERS (of `in`: with one there are more barriers), M_CHUNK (pairs
// whose filters are in shared memory at once).
#include "device.h"

typedef M_REAL Real;
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
static_assert(N % 4 == 0 && TILE % 4 == 0 && N * TILES >= N && CHUNK >= N - 1, "atoms");

constexpr Real LOG_2 = Real(0.69314718055994530942);
enum Activation { SSP = 0, SSP_LINEAR_FROM_14 = 1, SILU = 2, TANH = 3 };  // `packing.ACTIVATIONS`

struct Readout {  // atomwise, F inputs, F hidden; null where there is none
    const Real *hidden, *hidden_transposed;  // [F, F], [input, hidden] and [hidden, input]
    const Real *hidden_bias, *output;        // [F]
    double bias;
    long long activation;
};
struct Network {           // `packing.py` makes it
    const Real* table;     // f, h f', h^2 f'' of each knot, [n_knots, 3, T, F]
    const Real* embedding; // [n_elements, F]
    const Real* forward;   // A, B, C of Eqs. (1), each [input, output], [T, 3, F, F]
    const Real* backward;  // the same, each [output, input]
    const Real* bias;      // b, c, [T, 2, F]
    const double* atom_energies;                           // [n_elements] (eV)
    const double *shortest, *bond_lengths, *neighborhoods; // of training, or null
    const Real *centers, *scales;                          // [n_elements, F], or null
    Readout energy, charge;
    double spacing, cutoff, energy_scale;
    long long n_interactions, n_knots, n_elements, averages;
};
struct Batch {                   // of molecules that fit these sizes
    const long long* graphs;     // their numbers, one for each cluster
    const long long* starts;     // first atom of each graph and the end, [n_graphs + 1]
    const int* atomic_numbers;   // [n_atoms]
    const double* positions;     // [n_atoms, 3] (A)
    Real* trace;                 // what the backward pass needs, [clusters, T, 2, N, F]
};
struct Answer {  // null where not wanted; forces and virials are wanted both or none
    double *energies, *atomic_energies, *charges;  // [n_graphs], [n_atoms], [n_atoms]
    double *forces, *virials;                      // [n_atoms, 3], [n_graphs, 3, 3]
    double* closest;   // of later atoms of the molecule: distance and number, [n_atoms, 2]
    double* findings;  // of the guard, [n_atoms, 5]: `FINDINGS` of `schnet.py`
};

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

__device__ inline Real sigmoid(Real x) { return Real(1) / (Real(1) + exp(-x)); }
__device__ inline Real ssp(Real x) {
    const Real positive = x > 0 ? x : Real(0);
    return positive + log1p(exp(x > 0 ? -x : x)) - LOG_2;
}
__device__ inline Real activated(int activation, Real x) {
    if (activation == SILU) return x * sigmoid(x);
    if (activation == TANH) return tanh(x);
    return activation == SSP_LINEAR_FROM_14 && x > 14 ? x - LOG_2 : ssp(x);
}
__device__ inline Real activation_slope(int activation, Real x) {
    if (activation == TANH) {
        const Real t = tanh(x);
        return 1 - t * t;
    }
    const Real s = sigmoid(x);
    if (activation == SILU) return s * (1 + x * (1 - s));
    return activation == SSP_LINEAR_FROM_14 && x > 14 ? Real(1) : s;
}

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
