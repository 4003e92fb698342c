// The words of CUDA that the kernels use beside the language itself.
//
// A kernel knows only these words, so that another header of this name can give them another
// meaning: the tests have one under which every thread is a fiber on a CPU.
#pragma once

#define SHARED_MEMORY(Type, name)                                \
    extern __shared__ __align__(16) unsigned char shared_bytes[]; \
    Type& name = *reinterpret_cast<Type*>(shared_bytes)

#if M_CLUSTER > 1
#define BLOCKS_OF_A_CLUSTER __cluster_dims__(M_CLUSTER, 1, 1)

__device__ inline int cluster_rank() {
    unsigned rank;
    asm("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
    return int(rank);
}

// All threads of all blocks; what they wrote before is seen behind.
__device__ inline void sync_cluster() {
    asm volatile("barrier.cluster.arrive.release.aligned;\n"
                 "barrier.cluster.wait.acquire.aligned;" ::: "memory");
}

// The same place in the shared memory of another block of the cluster.
template <class T> __device__ inline T* in_block(T* mine, int rank) {
    unsigned long long there;
    asm("mapa.u64 %0, %1, %2;" : "=l"(there) : "l"((unsigned long long)mine), "r"(rank));
    return reinterpret_cast<T*>(there);
}
#else
#define BLOCKS_OF_A_CLUSTER
__device__ inline int cluster_rank() { return 0; }
__device__ inline void sync_cluster() { __syncthreads(); }
template <class T> __device__ inline T* in_block(T* mine, int) { return mine; }
#endif

#define sync_block() __syncthreads()
#define INFINITE __longlong_as_double(0x7ff0000000000000LL)

// From global memory that nothing writes to while the kernel runs.
template <class T> __device__ inline T fixed(const T* address) { return __ldg(address); }

// Of the thread whose number differs in these bits; all 32 threads of a warp take part.
template <class T> __device__ inline T from_lane(T value, int bits) {
    return __shfl_xor_sync(0xffffffffu, value, bits);
}
// Which threads of a warp say so, a bit for each; and how many bits there are.
__device__ inline unsigned ballot(bool yes) { return __ballot_sync(0xffffffffu, yes); }
__device__ inline int ones(unsigned bits) { return __popc(bits); }

// Never fused with an addition, so that a b + c d = c d + a b.
__device__ inline float rounded_product(float a, float b) { return __fmul_rn(a, b); }
__device__ inline double rounded_product(double a, double b) { return __dmul_rn(a, b); }
