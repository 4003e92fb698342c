// Products of a few rows with a matrix that is packed once: tiles of rows x two vectors of columns,
// each accumulator staying in a register for the whole sum over k. The order of that sum does not
// depend on the number of rows, so neither do the bits of a result.

#pragma once

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "vector.h"

namespace mlpotential {

// Memory on cache lines. It is not initialised, and keeps its content only while it does not grow.
template <class T> class Aligned {
public:
    Aligned() = default;
    explicit Aligned(size_t n) { reserve(n); }
    T* reserve(size_t n) {
        if (n > capacity_) {
            memory_.reset();
            capacity_ = 0;
            const size_t bytes = (n * sizeof(T) + 63) / 64 * 64;
            memory_.reset(static_cast<T*>(std::aligned_alloc(64, bytes)));
            if (!memory_) throw std::bad_alloc();
            capacity_ = n;
        }
        return memory_.get();
    }
    T* get() const { return memory_.get(); }
    size_t bytes() const { return capacity_ * sizeof(T); }

private:
    struct Free {
        void operator()(T* p) const { std::free(p); }
    };
    std::unique_ptr<T, Free> memory_;
    size_t capacity_ = 0;
};

template <class T> constexpr int PANEL = 2 * LANES<T>;  // columns of a tile

template <class T> inline int padded(int n) { return (n + PANEL<T> - 1) / PANEL<T> * PANEL<T>; }

// out[row, n] = start[n] + sum_k in[row, k] matrix[k, n], or with that added to what is there.
template <class T> class Matrix {
public:
    // From [n_out, n_in] as torch stores a linear layer, or from its transpose.
    Matrix(const double* weight, int n_in, int n_out, bool transposed)
        : n_in_(padded<T>(n_in)), n_out_(padded<T>(n_out)), packed_(size_t(n_in_) * n_out_) {
        for (int k = 0; k < n_in_; ++k)
            for (int n = 0; n < n_out_; ++n) {
                const bool inside = k < n_in && n < n_out;
                const size_t from = transposed ? size_t(k) * n_out + n : size_t(n) * n_in + k;
                packed_.get()[(size_t(n / PANEL<T>) * n_in_ + k) * PANEL<T> + n % PANEL<T>] =
                    inside ? T(weight[from]) : T(0);
            }
    }

    void times(int n_rows, const T* in, T* out, const T* start = nullptr) const {
        run<false>(n_rows, in, out, start);
    }
    void add_times(int n_rows, const T* in, T* out, const T* start = nullptr) const {
        run<true>(n_rows, in, out, start);
    }

private:
    template <bool ADD> void run(int n_rows, const T* in, T* out, const T* start) const {
        for (int n = 0; n < n_out_; n += PANEL<T>) {
            const T* panel = packed_.get() + size_t(n) * n_in_;
            int n_tiles = (n_rows + TILE_ROWS - 1) / TILE_ROWS;
            for (int row = 0; row < n_rows; --n_tiles) {
                const int height = (n_rows - row + n_tiles - 1) / n_tiles;
                tile_of_height<TILE_ROWS, ADD>(height, in + size_t(row) * n_in_, panel,
                                               out + size_t(row) * n_out_ + n,
                                               start ? start + n : nullptr);
                row += height;
            }
        }
    }

    template <int HEIGHT, bool ADD>
    void tile_of_height(int height, const T* in, const T* panel, T* out, const T* start) const {
        if constexpr (HEIGHT > 0) {
            if (height == HEIGHT) return tile<HEIGHT, ADD>(in, panel, out, start);
            tile_of_height<HEIGHT - 1, ADD>(height, in, panel, out, start);
        }
    }

    template <int HEIGHT, bool ADD>
    __attribute__((noinline)) void tile(const T* in, const T* panel, T* out,
                                        const T* start) const {
        const size_t stride = n_in_;
        Vector<T> sum[HEIGHT][2];
#pragma GCC unroll 12
        for (int row = 0; row < HEIGHT; ++row)
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) {
                sum[row][v] = start ? at(start, v) : Vector<T>{};
                if (ADD) sum[row][v] += at(out + size_t(row) * n_out_, v);
            }
        for (int k = 0; k < n_in_; ++k) {
            const Vector<T> left = at(panel, 2 * k), right = at(panel, 2 * k + 1);
#pragma GCC unroll 12
            for (int row = 0; row < HEIGHT; ++row) {
                const T x = in[row * stride + k];
                sum[row][0] += x * left;
                sum[row][1] += x * right;
            }
        }
#pragma GCC unroll 12
        for (int row = 0; row < HEIGHT; ++row)
#pragma GCC unroll 2
            for (int v = 0; v < 2; ++v) at(out + size_t(row) * n_out_, v) = sum[row][v];
    }

    int n_in_, n_out_;
    Aligned<T> packed_;
};

}  // namespace mlpotential
