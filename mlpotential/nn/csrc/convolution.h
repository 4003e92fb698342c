// Sums over pairs of atoms for training, float32 and float64: see convolution.cpp.

#pragma once

#include <cstdint>

#define CONVOLUTION_INTERFACE 1

#pragma GCC visibility push(default)

extern "C" {

// Unordered pairs of atoms (i, j); both arrays have n_pairs elements.
struct ConvolutionPairs {
    int64_t n_pairs;
    const int64_t* i;
    const int64_t* j;
};

int64_t convolution_interface();

// 2 for AVX-512, 1 for AVX2, 0 for neither: see processor.h.
int64_t convolution_processor();

// messages [n_atoms, width] are added to; b is [n_atoms, width], filters [n_pairs, width].
void convolve_float32(const ConvolutionPairs*, const float* b, int64_t b_stride,
                      const float* filters, int64_t filter_stride, float* messages, int64_t width,
                      int64_t n_threads);
void convolve_float64(const ConvolutionPairs*, const double* b, int64_t b_stride,
                      const double* filters, int64_t filter_stride, double* messages,
                      int64_t width, int64_t n_threads);

// products [n_pairs, width] are written; a and b are [n_atoms, width].
void product_float32(const ConvolutionPairs*, const float* a, int64_t a_stride, const float* b,
                     int64_t b_stride, float* products, int64_t width, int64_t n_threads);
void product_float64(const ConvolutionPairs*, const double* a, int64_t a_stride, const double* b,
                     int64_t b_stride, double* products, int64_t width, int64_t n_threads);
}

#pragma GCC visibility pop
