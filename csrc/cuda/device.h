// What kernels ask of the machine beyond plain C++. The same kernels run on a processor, thread by
// thread, where tests/native/cuda_emulator.h stands in for it.
#pragma once

#include <cstdint>

#if defined(__CUDACC__)
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_runtime.h>
#else
#include "cuda_emulator.h"
#endif

// NEURN_APART: a path that is seldom taken, kept out of the registers of the others.
#if defined(__CUDACC__)
#define NEURN_DEVICE __device__ __forceinline__
#define NEURN_APART __device__ __noinline__
#define NEURN_UNROLL _Pragma("unroll")
#define NEURN_ROLLED _Pragma("unroll 1")
#else
#define NEURN_DEVICE inline
#define NEURN_APART inline
#define NEURN_UNROLL
#define NEURN_ROLLED
#endif

namespace neurn::cuda {

// The most blocks of a cluster on every GPU that has clusters.
constexpr int max_cluster = 8;

#if defined(__CUDACC__)

NEURN_DEVICE unsigned char* shared_memory() {
  extern __shared__ __align__(16) unsigned char memory[];
  return memory;
}

// Waits for `threads` threads (whole warps) that name the same barrier, 1 .. 4. Constant names: for
// others a block is given all 16 barriers, and a processor soon has none left for more blocks.
NEURN_DEVICE void named_barrier(int name, int threads) {
  switch (name) {
    case 1:
      asm volatile("barrier.sync 1, %0;" ::"r"(threads) : "memory");
      break;
    case 2:
      asm volatile("barrier.sync 2, %0;" ::"r"(threads) : "memory");
      break;
    case 3:
      asm volatile("barrier.sync 3, %0;" ::"r"(threads) : "memory");
      break;
    default:
      asm volatile("barrier.sync 4, %0;" ::"r"(threads) : "memory");
  }
}

template <class V>
NEURN_DEVICE V shuffle_down(V value, int offset) {
  return __shfl_down_sync(0xffffffffu, value, offset);
}

// From the lane `offset` before, of each `width` lanes; the first ones keep their own.
template <class V>
NEURN_DEVICE V shuffle_up(V value, int offset, int width) {
  static_assert(sizeof(V) == 4 || sizeof(V) == 8 || sizeof(V) == 16);
  union {
    V value;
    uint32_t words[sizeof(V) / 4];
  } both;
  both.value = value;
  NEURN_UNROLL
  for (unsigned i = 0; i < sizeof(V) / 4; ++i) {
    both.words[i] = __shfl_up_sync(0xffffffffu, both.words[i], offset, width);
  }
  return both.value;
}
// The largest of a warp's lanes, and what lane 0 has.
NEURN_DEVICE int warp_largest(int value) {
  for (int offset = 16; offset > 0; offset /= 2) {
    const int other = __shfl_xor_sync(0xffffffffu, value, offset);
    value = other > value ? other : value;
  }
  return value;
}
NEURN_DEVICE int64_t from_first_lane(int64_t value) {
  return __shfl_sync(0xffffffffu, static_cast<long long>(value), 0);
}
// After it a lane sees what the others of its warp have written.
NEURN_DEVICE void warp_barrier() { __syncwarp(); }

NEURN_DEVICE int atomic_add(int* at, int value) { return atomicAdd(at, value); }
NEURN_DEVICE int64_t atomic_add(int64_t* at, int64_t value) {
  return static_cast<int64_t>(
      atomicAdd(reinterpret_cast<unsigned long long*>(at), static_cast<unsigned long long>(value)));
}
// atomic_add(at, 1) of each lane that is here: one addition for all with the same place. For blocks
// of one dimension.
NEURN_DEVICE int count_up(int* at) {
  const unsigned same = __match_any_sync(__activemask(), reinterpret_cast<unsigned long long>(at));
  const unsigned lane = threadIdx.x % 32;
  const int first = __ffs(static_cast<int>(same)) - 1;
  int before = 0;
  if (static_cast<int>(lane) == first) before = atomicAdd(at, __popc(same));
  return __shfl_sync(same, before, first) + __popc(same & ((1u << lane) - 1));
}
NEURN_DEVICE void atomic_or(int* at, int value) { atomicOr(at, value); }
NEURN_DEVICE void atomic_max(int* at, int value) { atomicMax(at, value); }
NEURN_DEVICE void atomic_max(int64_t* at, int64_t value) {
  atomicMax(reinterpret_cast<long long*>(at), static_cast<long long>(value));
}

// Between blocks: what a thread wrote before publish is there for one that has read it by
// published. Other data of the kind must be read by read_fresh.
NEURN_DEVICE void publish(int64_t* at, int64_t value) {
  __threadfence();
  asm volatile("st.relaxed.gpu.global.s64 [%0], %1;" ::"l"(at), "l"(value) : "memory");
}
NEURN_DEVICE int64_t published(const int64_t* at) {
  int64_t value;
  asm volatile("ld.relaxed.gpu.global.s64 %0, [%1];" : "=l"(value) : "l"(at) : "memory");
  __threadfence();
  return value;
}
template <class V>
NEURN_DEVICE V read_fresh(const V* at) {
  return __ldcg(at);
}
// While a thread waits for another.
NEURN_DEVICE void pause() { __nanosleep(64); }

// Copies one element to shared memory, from sm_80 on without waiting for it: that is for
// copies_done, after which a barrier tells the other threads.
template <class V>
NEURN_DEVICE void copy_to_shared(V* to, const V* from) {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.ca.shared.global [%0], [%1], %2;" ::"r"(
                   static_cast<uint32_t>(__cvta_generic_to_shared(to))),
               "l"(from), "n"(sizeof(V))
               : "memory");
#else
  *to = *from;
#endif
}
NEURN_DEVICE void copies_done() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_all;" ::: "memory");
#endif
}

// A block's rank in its cluster; what is in another block's shared memory at the address that
// `own` has here. Before sm_90 a block is alone.
#if __CUDA_ARCH__ >= 900
NEURN_DEVICE int cluster_rank() {
  uint32_t rank;
  asm volatile("mov.u32 %0, %%cluster_ctarank;" : "=r"(rank));
  return static_cast<int>(rank);
}
NEURN_DEVICE void cluster_barrier() {
  asm volatile("barrier.cluster.arrive;\n\tbarrier.cluster.wait;" ::: "memory");
}
NEURN_DEVICE uint64_t read_remote(const uint64_t* own, int rank) {
  const uint32_t here = static_cast<uint32_t>(__cvta_generic_to_shared(own));
  uint32_t there;
  uint64_t value;
  asm volatile("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(there) : "r"(here), "r"(rank));
  asm volatile("ld.shared::cluster.u64 %0, [%1];" : "=l"(value) : "r"(there) : "memory");
  return value;
}
#else
NEURN_DEVICE int cluster_rank() { return 0; }
NEURN_DEVICE void cluster_barrier() { __syncthreads(); }
NEURN_DEVICE uint64_t read_remote(const uint64_t* own, int) { return *own; }
#endif

#endif

}  // namespace neurn::cuda
