// Vectors of the widest registers the compiler may use, and the activation function on them.

#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>

#if defined(__AVX__)
#include <immintrin.h>
#endif

namespace mlpotential {

#if defined(__AVX512F__)
constexpr int VECTOR_BYTES = 64;
constexpr int TILE_ROWS = 12;  // 12 x 2 accumulators of 32 registers
#elif defined(__AVX2__)
constexpr int VECTOR_BYTES = 32;
constexpr int TILE_ROWS = 6;  // 6 x 2 accumulators of 16 registers
#else
constexpr int VECTOR_BYTES = 16;
constexpr int TILE_ROWS = 6;
#endif

constexpr double LOG_2 = 0.69314718055994530942;

template <class T> struct VectorOf;
template <> struct VectorOf<float> {
    typedef float type __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef int32_t bits __attribute__((vector_size(VECTOR_BYTES)));
};
template <> struct VectorOf<double> {
    typedef double type __attribute__((vector_size(VECTOR_BYTES), may_alias));
    typedef int64_t bits __attribute__((vector_size(VECTOR_BYTES)));
};
template <class T> using Vector = typename VectorOf<T>::type;
template <class T> constexpr int LANES = VECTOR_BYTES / int(sizeof(T));

template <class T> inline Vector<T> broadcast(T x) { return x - Vector<T>{}; }

template <class T> inline Vector<T>& at(T* row, int vector) {
    return reinterpret_cast<Vector<T>*>(row)[vector];
}
template <class T> inline const Vector<T>& at(const T* row, int vector) {
    return reinterpret_cast<const Vector<T>*>(row)[vector];
}

// Sum of all lanes, halving the vector each time.
template <class T, int BYTES> struct Lanes {
    typedef T Whole __attribute__((vector_size(BYTES)));
    typedef T Half __attribute__((vector_size(BYTES / 2)));
    static T sum(Whole v) {
        Half low, high;
        split(v, low, high);
        return Lanes<T, BYTES / 2>::sum(low + high);
    }
    static void split(Whole v, Half& low, Half& high) {
#if defined(__AVX512F__)
        if constexpr (BYTES == 64) {
            low = (Half)_mm512_castpd512_pd256((__m512d)v);
            high = (Half)_mm512_extractf64x4_pd((__m512d)v, 1);
            return;
        }
#endif
#if defined(__AVX__)
        if constexpr (BYTES == 32) {
            low = (Half)_mm256_castpd256_pd128((__m256d)v);
            high = (Half)_mm256_extractf128_pd((__m256d)v, 1);
            return;
        }
#endif
        std::memcpy(&low, &v, sizeof low);
        std::memcpy(&high, reinterpret_cast<const char*>(&v) + sizeof low, sizeof high);
    }
};
template <class T> struct Lanes<T, 2 * sizeof(T)> {
    typedef T Whole __attribute__((vector_size(2 * sizeof(T))));
    static T sum(Whole v) { return v[0] + v[1]; }
};
template <class T> inline T lane_sum(Vector<T> v) { return Lanes<T, VECTOR_BYTES>::sum(v); }

// Where the series below end: the first term left out is under half a unit in the last place.
template <class T> struct Series;
template <> struct Series<float> {
    static constexpr int exp_terms = 8, log_terms = 8, mantissa_bits = 23, exponent_bias = 127;
    static constexpr float rounding = 12582912.0f;  // 1.5 * 2^23: adding it rounds to whole numbers
    static constexpr float lowest = -87.0f;         // e^lowest is still a normal number
    static constexpr float log2_high = 0.693359375f, log2_low = -2.12194440e-4f;
};
template <> struct Series<double> {
    static constexpr int exp_terms = 14, log_terms = 17, mantissa_bits = 52, exponent_bias = 1023;
    static constexpr double rounding = 6755399441055744.0;  // 1.5 * 2^52
    static constexpr double lowest = -708.0;
    static constexpr double log2_high = 6.93147180369123816490e-01;
    static constexpr double log2_low = 1.90821492927058770002e-10;
};

// e^x for x <= 0: x = n ln 2 + r, |r| <= ln 2 / 2, e^r = sum_k r^k / k!. NaN stays NaN.
template <class T> inline Vector<T> exp_of_negative(Vector<T> x) {
    using S = Series<T>;
    using Bits = typename VectorOf<T>::bits;
    x = x < S::lowest ? broadcast<T>(S::lowest) : x;
    const Vector<T> shifted = x * T(1.4426950408889634) + S::rounding;
    const Vector<T> n = shifted - S::rounding;
    const Vector<T> r = (x - n * S::log2_high) - n * S::log2_low;
    T factorial = 1;
    for (int k = 2; k < S::exp_terms; ++k) factorial *= T(k);
    Vector<T> sum = broadcast<T>(T(1) / factorial);
#pragma GCC unroll 16
    for (int k = S::exp_terms - 1; k > 0; --k) {
        factorial /= T(k);
        sum = sum * r + T(1) / factorial;
    }
    Bits exponent;
    std::memcpy(&exponent, &shifted, sizeof exponent);
    Bits origin;
    const Vector<T> rounding = broadcast<T>(S::rounding);
    std::memcpy(&origin, &rounding, sizeof origin);
    exponent = (exponent - origin + S::exponent_bias) << S::mantissa_bits;
    Vector<T> power;
    std::memcpy(&power, &exponent, sizeof power);
    return sum * power;
}

// ssp(x) = ln(0.5 e^x + 0.5) and its derivative, the sigmoid, from one exponential e = e^-|x|:
// ln(1 + e) = 2 artanh(s) = 2 sum_k s^(2k+1) / (2k+1) with s = e / (2 + e) <= 1/3.
template <class T> struct Activated {
    Vector<T> value, slope;
};
template <class T> inline Activated<T> shifted_softplus(Vector<T> x) {
    const Vector<T> zero{};
    const Vector<T> e = exp_of_negative<T>(x < zero ? x : -x);
    const Vector<T> reciprocal = T(1) / ((T(1) + e) * (T(2) + e));
    const Vector<T> s = e * (T(1) + e) * reciprocal, s2 = s * s;
    Vector<T> sum = broadcast<T>(T(2) / T(2 * Series<T>::log_terms - 1));
#pragma GCC unroll 20
    for (int k = Series<T>::log_terms - 2; k >= 0; --k) sum = sum * s2 + T(2) / T(2 * k + 1);
    const Vector<T> larger = (T(2) + e) * reciprocal;  // 1 / (1 + e)
    return {(x < zero ? zero : x) + (sum * s - T(LOG_2)),
            x < zero ? e * larger : larger};
}

}  // namespace mlpotential
