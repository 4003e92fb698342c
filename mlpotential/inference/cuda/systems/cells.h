// Which atoms may see which: the list of pairs that `neighbor_list.py` makes, and how to read it.
#pragma once
#include "device.h"

constexpr int THREADS = M_THREADS, WARPS = THREADS / 32;

// The translation of a pair in one number, for each reduced lattice vector 10 bits.
constexpr int IMAGE_BITS = 10, NO_IMAGE = 1 << (IMAGE_BITS - 1), IMAGE_MASK = (1 << IMAGE_BITS) - 1;
__device__ inline int packed_image(int a, int b, int c) {
    return ((a + NO_IMAGE) << 2 * IMAGE_BITS) | ((b + NO_IMAGE) << IMAGE_BITS) | (c + NO_IMAGE);
}
__device__ inline int image_along(int packed, int vector) {
    return ((packed >> (2 - vector) * IMAGE_BITS) & IMAGE_MASK) - NO_IMAGE;
}

struct Listed {  // structures with all pairs within the cutoff and the skin, each from both ends
    const double* positions;     // [n_atoms, 3] (A)
    const double* cells;         // vectors as rows, zeros for a molecule, [n_graphs, 3, 3] (A)
    const double* changes;       // M of `reduction`, by which the list was made, [n_graphs, 3, 3]
    const long long* starts;     // first atom of each graph and the end, [n_graphs + 1]
    const int* graph_of;         // [n_atoms]
    const int* atomic_numbers;   // [n_atoms]
    const int* order;            // atoms one after another that are near each other, [n_atoms]
    const int* wraps;            // reduced cells between atoms and the first cell, [n_atoms, 3]
    const long long* row_start;  // pairs of an atom, and the end, [n_atoms + 1]
    const int* neighbors;        // [n_listed], in each row ascending, then by shift
    const int* images;           // packed, between the images in the first cell, [n_listed]
    long long n_atoms, n_listed, first_atom;  // the number of the first among all atoms
};

// Whole lattice vectors of the cell itself by which the neighbour j of i is moved.
__device__ inline void shift_of(const int* wraps, const double* change, int i, int j, int packed,
                                double* shift) {
    double n[3];
    for (int v = 0; v < 3; ++v)
        n[v] = double(image_along(packed, v)) + (double(wraps[3 * i + v]) - wraps[3 * j + v]);
    for (int c = 0; c < 3; ++c)
        shift[c] = n[0] * change[c] + n[1] * change[3 + c] + n[2] * change[6 + c];
}

// From i to the image of j, (r_j - r_i) + shift . cell: exactly the opposite from the other end.
__device__ inline void displacement(const Listed& s, int i, int j, int packed, double* d) {
    const long long graph = s.graph_of[i];
    const double* cell = s.cells + 9 * graph;
    double shift[3];
    shift_of(s.wraps, s.changes + 9 * graph, i, j, packed, shift);
    for (int c = 0; c < 3; ++c)
        d[c] = (s.positions[3 * j + c] - s.positions[3 * i + c]) +
               (shift[0] * cell[c] + shift[1] * cell[3 + c] + shift[2] * cell[6 + c]);
}
