// The two sums over pairs that a continuous-filter convolution and all its derivatives are made of.
//
// With features a, b of atoms and filters W of unordered pairs p = (i, j), all of one width:
//
//     convolve:  m_i += W_p o b_j,  m_j += W_p o b_i                                         (1)
//     product:   G_p = a_i o b_j + a_j o b_i                                                 (2)
//
// Both derive from the trilinear form sum_p W_p . (a_i o b_j + a_j o b_i), so the derivatives of
// either are again (1) and (2), to any order. Rows may lie apart (strides, in numbers). Threads
// share the columns: each number is summed by one thread in the order of the pairs, so results do
// not depend on how many there are.

#include "convolution.h"

#include <algorithm>
#include <system_error>

#include "../../inference/schnet/csrc/team.h"
#include "processor.h"

namespace {

using mlpotential::run_side_by_side;

constexpr int64_t COLUMNS_AT_ONCE = 16;  // of a thread's share, a multiple: a cache line of float

template <class Real> struct Rows {
    const Real* first;
    int64_t stride;
    const Real* operator[](int64_t row) const { return first + row * stride; }
};

template <class Real>
void add_product(Real* sum, const Real* a, const Real* b, int64_t begin, int64_t end) {
#pragma GCC ivdep
    for (int64_t f = begin; f < end; ++f) sum[f] += a[f] * b[f];
}

// Work on columns [begin, end), shared by threads where there is enough.
template <class Work> void on_columns(int64_t n_columns, int64_t n_threads, const Work& work) {
    const int64_t blocks = (n_columns + COLUMNS_AT_ONCE - 1) / COLUMNS_AT_ONCE;
    n_threads = std::max<int64_t>(1, std::min(n_threads, blocks));
    const auto share = [&](int64_t k) {
        return std::min(n_columns, COLUMNS_AT_ONCE * (blocks * k / n_threads));
    };
    if (n_threads == 1) return work(0, n_columns);
    try {
        run_side_by_side(static_cast<int>(n_threads), [&](int k) { work(share(k), share(k + 1)); });
    } catch (const std::system_error&) {
        work(0, n_columns);  // the system gives no threads: the numbers are the same
    }
}

template <class Real>
void convolve(const ConvolutionPairs& pairs, Rows<Real> b, Rows<Real> filters, Real* messages,
              int64_t width, int64_t n_threads) {
    on_columns(width, n_threads, [&](int64_t begin, int64_t end) {
        for (int64_t p = 0; p < pairs.n_pairs; ++p) {
            const int64_t i = pairs.i[p], j = pairs.j[p];
            add_product(messages + i * width, filters[p], b[j], begin, end);  // (1)
            add_product(messages + j * width, filters[p], b[i], begin, end);
        }
    });
}

template <class Real>
void product(const ConvolutionPairs& pairs, Rows<Real> a, Rows<Real> b, Real* products,
             int64_t width, int64_t n_threads) {
    on_columns(width, n_threads, [&](int64_t begin, int64_t end) {
        for (int64_t p = 0; p < pairs.n_pairs; ++p) {
            const int64_t i = pairs.i[p], j = pairs.j[p];
            const Real *a_i = a[i], *a_j = a[j], *b_i = b[i], *b_j = b[j];
            Real* out = products + p * width;
#pragma GCC ivdep
            for (int64_t f = begin; f < end; ++f) out[f] = a_i[f] * b_j[f] + a_j[f] * b_i[f];  // (2)
        }
    });
}

}  // namespace

extern "C" {

int64_t convolution_interface() { return CONVOLUTION_INTERFACE; }

int64_t convolution_processor() { return mlpotential::processor_level(); }

void convolve_float32(const ConvolutionPairs* pairs, const float* b, int64_t b_stride,
                      const float* filters, int64_t filter_stride, float* messages, int64_t width,
                      int64_t n_threads) {
    convolve<float>(*pairs, {b, b_stride}, {filters, filter_stride}, messages, width, n_threads);
}

void convolve_float64(const ConvolutionPairs* pairs, const double* b, int64_t b_stride,
                      const double* filters, int64_t filter_stride, double* messages,
                      int64_t width, int64_t n_threads) {
    convolve<double>(*pairs, {b, b_stride}, {filters, filter_stride}, messages, width, n_threads);
}

void product_float32(const ConvolutionPairs* pairs, const float* a, int64_t a_stride,
                     const float* b, int64_t b_stride, float* products, int64_t width,
                     int64_t n_threads) {
    product<float>(*pairs, {a, a_stride}, {b, b_stride}, products, width, n_threads);
}

void product_float64(const ConvolutionPairs* pairs, const double* a, int64_t a_stride,
                     const double* b, int64_t b_stride, double* products, int64_t width,
                     int64_t n_threads) {
    product<double>(*pairs, {a, a_stride}, {b, b_stride}, products, width, n_threads);
}

}  // extern "C"
