// The C interface of the SchNet kernel. `kernel.py` mirrors these structures field by field.
//
// All arrays belong to the caller and are only read during the call, but for those of the answer.
// Lengths are in A, energies in eV, but for the network's own scale (`energy_scale` converts).

#pragma once

#include <cstdint>

#define SCHNET_INTERFACE 6  // changes whenever a structure below does

#pragma GCC visibility push(default)

extern "C" {

// Weights as torch stores them, [n_out, n_in], row by row, in float64; L interactions, F features.
struct SchNetModel {
    int64_t n_interactions, n_features, n_hidden, n_elements;
    int64_t n_intervals;              // of the table
    double spacing, last;             // of the intervals; where the filters become constant
    double cutoff;                    // pairs beyond it are left out; infinite where there is none
    int64_t averages;                 // nonzero: messages are averaged over the neighbours (hard)
    double energy_scale;              // eV per unit of the readout
    double readout_bias;
    int64_t readout_activation;       // SchNetReadoutActivation
    const double* table;              // [n_intervals, degree + 1, L, F]: in each interval W is a
                                      // polynomial of t, 0 to 1; degree 4 in float32, else 5
    const double* embedding;          // [n_elements, F]
    const double* first_products;     // embedding times in_to_filter of the first block
    const double* atom_energies;      // [n_elements]: mean and reference (eV)
    const double* in_to_filter;       // [L, F, F]
    const double* filter_to_out;      // [L, F, F]
    const double* filter_to_out_bias; // [L, F]
    const double* output;             // [L, F, F]
    const double* output_bias;        // [L, F]
    const double* readout_hidden;     // [n_hidden, F]
    const double* readout_hidden_bias;// [n_hidden]
    const double* readout_output;     // [n_hidden]
    // A second readout of the same shape and activation, of charges (e); null where there is none.
    double charge_bias;
    const double* charge_hidden;      // [n_hidden, F]
    const double* charge_hidden_bias; // [n_hidden]
    const double* charge_output;      // [n_hidden]
    // Where the network was trained; null where that is not known: nothing is found against it.
    const double* shortest;           // [n_elements, n_elements]: least distance (A)
    const double* feature_centers;    // [n_elements, F]: middle of the range of the last features
    const double* feature_scales;     // [n_elements, F]: one over half the width of that range
    const double* bond_lengths;       // [n_elements, n_elements]: nearer atoms are coordinated (A)
    const double* neighborhoods;      // [n_elements, 3]: largest distance of a nearest neighbour
                                      // (A), least coordination, nonzero: there were atoms alone
};

// One structure that several processes share: atoms from `n_owned` on are copies of others' atoms.
// Each process has all pairs of its own atoms; pairs of an own atom with a copy are in both, and
// follow its pairs with own atoms.
struct SchNetHalo {
    int64_t n_owned;
    void* context;
    // Overwrites the rows of the copies with those of their owners; rows are of all atoms. Called in
    // the thread of `schnet_evaluate`, equally often and in the same order in all processes.
    void (*fetch)(void* context, void* rows, int64_t bytes_per_row);
};

// Structures one after another; each unordered pair once, grouped by its first atom.
struct SchNetGraph {
    int64_t n_graphs, n_atoms;
    const int64_t* graph_start;       // [n_graphs + 1]: atoms of each structure
    const int32_t* atomic_numbers;    // [n_atoms]: rows of the embedding
    const double* positions;          // [n_atoms, 3]
    const int64_t* row_start;         // [n_atoms + 1]: pairs of each first atom
    const int32_t* neighbors;         // [n_pairs]: the second atom
    const int32_t* shift_index;       // [n_pairs]: row of `translations`; null without cells
    const double* translations;       // [n_translations, 3] (A)
    const SchNetHalo* halo;           // of one structure; null: all atoms are owned. Copies are no
                                      // first atoms; answers hold for owned atoms alone, and the
                                      // sum of the virials of all processes is that of all atoms
};

// An atom against the training of the network.
struct SchNetFinding {
    double distance_deficit;          // the largest shortest - distance over the pairs of which it
                                      // is the first atom (A), -infinity without pairs
    double feature_deviation;         // the largest |x - center| scale of its last features
    double nearest_ratio;             // distance of its nearest neighbour over the largest of its
                                      // element; infinite where it is alone
    int64_t coordination_deficit;     // the least of its element - its own
    int64_t partner;                  // the second atom of the pair of the distance deficit
};

struct SchNetResult {
    double* atomic_energies;          // [n_atoms]
    double* charges;                  // [n_atoms]; null: not wanted, or not there
    double* forces;                   // [n_atoms, 3]; null: not wanted
    double* virial;                   // [n_graphs, 3, 3]; null: not wanted
    double closest;                   // smallest distance of a pair (A), infinite without pairs
    int64_t closest_pair[2];
    double distance_deficit, feature_deviation, nearest_ratio;  // the largest of all findings
    int64_t coordination_deficit;
    SchNetFinding* findings;          // [n_atoms]; null: not wanted
};

enum SchNetReadoutActivation { SCHNET_SSP = 0, SCHNET_SSP_LINEAR_FROM_14 = 1, SCHNET_SILU = 2 };
enum SchNetStatus { SCHNET_DONE = 0, SCHNET_NO_MEMORY = 1, SCHNET_NO_THREADS = 2 };

// SCHNET_INTERFACE of the library.
int64_t schnet_interface();

// What this processor can run: 2 AVX-512, 1 AVX2 and FMA, 0 neither.
int64_t schnet_processor();

// A packed network in float32 or float64 (8 bytes); null if memory is short.
void* schnet_create(const SchNetModel* model, int64_t bytes_per_number);
void schnet_destroy(void* network);

// Calls from several threads for one network wait for each other.
int64_t schnet_evaluate(void* network, const SchNetGraph* graph, int64_t n_threads,
                        SchNetResult* answer);
}

#pragma GCC visibility pop
