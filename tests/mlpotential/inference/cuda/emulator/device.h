// The words of `mlpotential/inference/cuda/device.h` on a CPU, where every thread is a fiber.
//
// Shared memory begins as NaN. A barrier at which not all threads stop at the same line, or that not
// all of them reach, ends the process in words. Which fiber runs next is up to `emulator.cpp`.
#pragma once

#include <cmath>
#include <type_traits>

using std::exp;
using std::floor;
using std::log1p;
using std::sqrt;
using std::tanh;

#define __global__
#define __device__
#define __grid_constant__
#define __align__(n) alignas(n)
#define __launch_bounds__(...)
#define BLOCKS_OF_A_CLUSTER
#define INFINITE HUGE_VAL

namespace emulated {
struct Index {
    int x;
};
struct Barrier;
enum Members { WARP, BLOCK, CLUSTER };

extern Index thread, block;
extern int rank;                     // of the block in its cluster
unsigned char* shared_memory(int rank);
void wait(Members members, int line);
double& lane(int bits);              // of the thread whose number differs in these bits

template <class... Arguments>
void call(void (*kernel)(Arguments...), void** arguments) {
    int k = 0;
    // Braces evaluate from left to right.
    struct Call {
        Call(void (*kernel)(Arguments...), Arguments... all) { kernel(all...); }
    };
    Call{kernel, *static_cast<std::remove_const_t<Arguments>*>(arguments[k++])...};
}
}  // namespace emulated

#define threadIdx emulated::thread
#define blockIdx emulated::block
#define SHARED_MEMORY(Type, name) \
    Type& name = *reinterpret_cast<Type*>(emulated::shared_memory(emulated::rank))

inline int cluster_rank() { return M_CLUSTER > 1 ? emulated::rank : 0; }
template <class T> T* in_block(T* mine, int rank) {
    unsigned char* there = reinterpret_cast<unsigned char*>(mine);
    there += emulated::shared_memory(rank) - emulated::shared_memory(emulated::rank);
    return reinterpret_cast<T*>(there);
}
#define sync_block() emulated::wait(emulated::BLOCK, __LINE__)
#define sync_cluster() \
    emulated::wait(M_CLUSTER > 1 ? emulated::CLUSTER : emulated::BLOCK, __LINE__)

template <class T> T fixed(const T* address) { return *address; }
template <class T> T from_lane(T value, int bits) {
    emulated::lane(0) = value;
    emulated::wait(emulated::WARP, -1);
    const T other = T(emulated::lane(bits));
    emulated::wait(emulated::WARP, -2);
    return other;
}
inline unsigned ballot(bool yes) {
    unsigned bits = yes ? 1u << emulated::thread.x % 32 : 0u;
    for (int n = 16; n; n /= 2) bits |= from_lane(bits, n);
    return bits;
}
inline int ones(unsigned bits) { return __builtin_popcount(bits); }
template <class T> T rounded_product(T a, T b) { return a * b; }
