// Half lists of pairs by a cell list: see cell_list.cpp.
//
// All arrays belong to the caller. Lengths are in A.

#pragma once

#include <cstdint>

#define CELL_LIST_INTERFACE 1  // changes whenever something below does

#pragma GCC visibility push(default)

extern "C" {

// Boxes in which atoms are sorted. All within the radius of an atom are in the boxes up to `reach`
// from its own along each vector, which may be images of one and the same box.
struct CellListSearch {
    int64_t n_atoms;
    const double* positions;          // [n_atoms, 3]
    const double* cell;               // [3, 3], vectors as rows
    const double* inverse;            // [3, 3], of the cell
    const int64_t* periodic;          // [3]
    const double* low;                // [3]: where the boxes begin, in parts of the cell
    const double* extent;             // [3]: of all boxes, in parts of the cell; 1 where periodic
    const int64_t* n_boxes;           // [3]
    const int64_t* reach;             // [3]
    double radius;
};

// Pairs by i, j, then shift, where i < j, or i = j and the first shift but 0 is positive. j is moved by a whole number of each vector, the shift, which is
// numbered: ((s0 - first[0]) size[1] + s1 - first[1]) size[2] + s2 - first[2].
struct CellListShifts {
    int64_t first[3], size[3];
};

enum CellListStatus { CELL_LIST_DONE = 0, CELL_LIST_NO_MEMORY = 1, CELL_LIST_NO_THREADS = 2 };

int64_t cell_list_interface();

// What this processor can run: 2 AVX-512, 1 AVX2 and FMA, 0 neither.
int64_t cell_list_processor();

// Sorts atoms and counts: `row_start` [n_atoms + 1] are the pairs of each first atom. The arrays of
// the search are read until it is destroyed.
int64_t cell_list_count(const CellListSearch* search, int64_t n_threads, int64_t* row_start,
                        CellListShifts* shifts, void** counted);

// Second atoms and, in ascending order of their numbers, which of the shifts there are:
// `neighbors` and `shift_index` are [n_pairs], `present` [product of the sizes].
int64_t cell_list_fill(void* counted, int64_t n_threads, const int64_t* row_start,
                       int32_t* neighbors, int32_t* shift_index, uint8_t* present);

void cell_list_destroy(void* counted);
}

#pragma GCC visibility pop
