// What a kernel of SchNet reads and writes, field by field as in `interface.py`.
#pragma once
#include "device.h"

typedef M_REAL Real;

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
    double* findings;  // of the guard, [n_atoms, 5]: `FINDINGS` of `answers.py`
};

constexpr Real LOG_2 = Real(0.69314718055994530942);
enum Activation { SSP = 0, SSP_LINEAR_FROM_14 = 1, SILU = 2, TANH = 3 };  // `packing.ACTIVATIONS`

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
