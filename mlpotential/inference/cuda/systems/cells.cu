// Neighbours within a radius by a cell list, and whether a list made earlier still has all.
//
// Space is cut into bins between planes along the reduced lattice vectors of a structure (along x,
// y, z of a molecule). Two atoms within the radius are at most `reach` bins apart along each,
// counting on through periodic images; so bins may be larger than the cell or smaller. One thread
// for each atom looks through the bins around it: once to count, once to list. A row is then put
// into an order that depends neither on bins nor on wrapping, so that sums over it do not depend on
// the list's age.
#include "cells.h"

struct Lattice {                 // of a structure, when the list is made; `neighbor_list.py`
    double box[9], inverse[9];   // reduced vectors as rows (A); fractional = r . inverse
    double change[9];            // M: box = M . cell
    double origin[3], scale[3];  // bin = (fractional - origin) scale
    int bins[3], reach[3], periodic[3], first_bin;
};
struct Search {
    const double* positions;     // [n_atoms, 3] (A)
    const int* graph_of;         // [n_atoms]
    const Lattice* lattices;     // [n_graphs]
    int *wraps, *bins;           // of each atom, [n_atoms, 3], [n_atoms]
    const int* order;            // atoms by bins, [n_atoms]
    const long long* bin_start;  // [n_bins + 1]
    long long* lengths;          // of rows, [n_atoms]
    const long long* row_start;  // [n_atoms + 1]
    int *found, *found_images;   // as they are met, [n_listed]
    int *neighbors, *images;     // the same in order
    double radius;               // (A)
    long long n_atoms;
};

extern "C" __global__ void place_atoms(const __grid_constant__ Search s) {
    const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (i >= s.n_atoms) return;
    const Lattice& lattice = s.lattices[s.graph_of[i]];
    const double* r = s.positions + 3 * i;
    int bin = 0;
    for (int v = 0; v < 3; ++v) {
        double f = r[0] * lattice.inverse[v] + r[1] * lattice.inverse[3 + v] +
                   r[2] * lattice.inverse[6 + v];
        const double whole = lattice.periodic[v] ? floor(f) : 0;
        s.wraps[3 * i + v] = int(whole);
        f = (f - whole - lattice.origin[v]) * lattice.scale[v];
        const int last = lattice.bins[v] - 1;
        const int own = f < 0 ? 0 : f < last ? int(f) : last;  // rounding leaves none outside
        bin = bin * lattice.bins[v] + own;
    }
    s.bins[i] = lattice.first_bin + bin;
}

// The bin `own + by` along one vector, and the image it is in; false where there is none.
__device__ inline bool folded(const Lattice& lattice, int v, int own, int by, int& bin,
                              int& image) {
    const int n = lattice.bins[v];
    bin = own + by, image = 0;
    if (bin >= 0 && bin < n) return true;
    if (!lattice.periodic[v]) return false;
    image = bin >= 0 ? bin / n : -((n - 1 - bin) / n);
    bin -= image * n;
    return true;
}

// Atoms of one bin in one image that are within the radius of atom i; returns the next free place.
__device__ inline long long look_into(const Search& s, const Lattice& lattice, int i, int bin,
                                      const int* image, long long place) {
    double moved[3], radius2 = s.radius * s.radius;
    for (int c = 0; c < 3; ++c) moved[c] = -s.positions[3 * i + c];
    for (long long k = s.bin_start[bin]; k < s.bin_start[bin + 1]; ++k) {
        const int j = s.order[k];
        if (j == i && !image[0] && !image[1] && !image[2]) continue;
        double n[3], square = 0;
        for (int v = 0; v < 3; ++v)
            n[v] = double(image[v]) + (double(s.wraps[3 * i + v]) - s.wraps[3 * j + v]);
        for (int c = 0; c < 3; ++c) {
            const double d = (s.positions[3 * j + c] + moved[c]) + n[0] * lattice.box[c] +
                             n[1] * lattice.box[3 + c] + n[2] * lattice.box[6 + c];
            square += d * d;
        }
        if (!(square < radius2)) continue;
        if (s.found) {
            s.found[place] = j;
            s.found_images[place] = packed_image(image[0], image[1], image[2]);
        }
        ++place;
    }
    return place;
}

// Counts pairs, or lists them where there is memory for that.
extern "C" __global__ void search(const __grid_constant__ Search s) {
    const long long k = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (k >= s.n_atoms) return;
    const int i = s.order[k];
    const Lattice& lattice = s.lattices[s.graph_of[i]];
    const int n1 = lattice.bins[1], n2 = lattice.bins[2];
    const int own = s.bins[i] - lattice.first_bin;
    const int a = own / (n1 * n2), b = own / n2 % n1, c = own % n2;
    long long place = s.found ? s.row_start[i] : 0;
    int bin[3], image[3];
    for (int x = -lattice.reach[0]; x <= lattice.reach[0]; ++x) {
        if (!folded(lattice, 0, a, x, bin[0], image[0])) continue;
        for (int y = -lattice.reach[1]; y <= lattice.reach[1]; ++y) {
            if (!folded(lattice, 1, b, y, bin[1], image[1])) continue;
            for (int z = -lattice.reach[2]; z <= lattice.reach[2]; ++z) {
                if (!folded(lattice, 2, c, z, bin[2], image[2])) continue;
                const int there = lattice.first_bin + (bin[0] * n1 + bin[1]) * n2 + bin[2];
                place = look_into(s, lattice, i, there, image, place);
            }
        }
    }
    if (!s.found) s.lengths[i] = place;
}

// Whether pair a of atom i comes before pair b: by neighbour, then by shift.
__device__ inline bool before(const Search& s, const double* change, int i, long long a,
                              long long b) {
    const int j = s.found[a];
    if (j != s.found[b]) return j < s.found[b];
    double one[3], other[3];
    shift_of(s.wraps, change, i, j, s.found_images[a], one);
    shift_of(s.wraps, change, i, j, s.found_images[b], other);
    for (int c = 0; c < 3; ++c)
        if (one[c] != other[c]) return one[c] < other[c];
    return false;
}

// A warp for each row: a pair goes behind as many as come before it.
extern "C" __global__ void sort_rows(const __grid_constant__ Search s) {
    const long long i = (long long)blockIdx.x * WARPS + threadIdx.x / 32;
    if (i >= s.n_atoms) return;
    const double* change = s.lattices[s.graph_of[i]].change;
    const long long begin = s.row_start[i], end = s.row_start[i + 1];
    for (long long own = begin + threadIdx.x % 32; own < end; own += 32) {
        long long place = begin;
        for (long long other = begin; other < end; ++other)
            place += before(s, change, int(i), other, own);
        s.neighbors[place] = s.found[own];
        s.images[place] = s.found_images[own];
    }
}

struct Watch {
    const double *positions, *listed;  // now, and when the list was made, [n_atoms, 3] (A)
    const int* graph_of;               // [n_atoms]
    const double* deformations;        // F of `verlet_list.py` of each graph, [n_graphs, 3, 3]
    const double* allowed;             // largest square of u, [n_graphs] (A^2)
    double* stale;                     // becomes 1 where the list may lack a pair
    long long n_atoms;
};

// Eq. (1) of `verlet_list.py`. Whoever finds the list stale writes the same number.
extern "C" __global__ void watch(const __grid_constant__ Watch s) {
    const long long i = (long long)blockIdx.x * THREADS + threadIdx.x;
    if (i >= s.n_atoms) return;
    const double *r = s.positions + 3 * i, *before = s.listed + 3 * i;
    const double* by = s.deformations + 9 * s.graph_of[i];
    double square = 0;
    for (int c = 0; c < 3; ++c) {
        const double u = r[c] - (before[0] * by[c] + before[1] * by[3 + c] + before[2] * by[6 + c]);
        square += u * u;
    }
    if (!(square <= s.allowed[s.graph_of[i]])) *s.stale = 1;
}
