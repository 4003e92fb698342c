// What the processor can run.

#pragma once

#include <cstdint>

namespace mlpotential {

// 2 for AVX-512 (F, DQ, BW, VL) and AVX2, 1 for AVX2 with FMA, 0 for neither.
inline int64_t processor_level() {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_cpu_init();
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                        __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl");
    return avx2 && avx512 ? 2 : avx2 ? 1 : 0;
#else
    return 0;
#endif
}

}  // namespace mlpotential
