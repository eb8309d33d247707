// Runs CUDA kernels on a processor: the threads of a block, or of a cluster of blocks, take turns
// as fibers that change at barriers, shuffles and pauses only. A barrier that is missing shows as a
// wrong result in at least one of the orders that threads can be run in; a barrier that not all
// threads reach is reported. Shared memory is poisoned before use and allocated to the byte, so
// that the address sanitizer sees what leaves it.
#pragma once

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <random>
#include <tuple>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

#define __global__
#define __grid_constant__
#define __launch_bounds__(...)
#define threadIdx (::neurn::emulator::current().thread_index)
#define blockIdx (::neurn::emulator::current().block->index)
#define blockDim (::neurn::emulator::grid().block)

namespace neurn::emulator {

struct Dim {
  unsigned x = 1, y = 1, z = 1;
};

enum class Order { forward, reverse, random };
inline Order order = Order::forward;
// Whether all blocks of a launch take turns, for kernels whose blocks wait for each other; else one
// cluster runs after the other.
inline bool together = false;

enum class Wait { block, named, warp, cluster };
constexpr const char* wait_names[] = {"__syncthreads", "a named barrier", "a shuffle",
                                      "a cluster barrier"};

struct Block {
  Dim index;
  int rank;
  unsigned char* shared;
  uint64_t gathered[2][2][1024];  // of two shuffles, each in two parts
};

struct Thread {
  ucontext_t context;
  void* stack;
  Dim thread_index;
  Block* block;
  int number;  // in its block
  int shuffles;
  enum { ready, waiting, done } state;
  std::tuple<int, int, int> barrier;                           // kind, block, name
  std::vector<std::tuple<void*, const void*, size_t>> copies;  // under way
};

struct Grid {
  Dim block;
  int cluster;
  int64_t shared;
  const std::function<void()>* body;
  std::vector<Thread> threads;  // of the blocks that run
  std::map<std::tuple<int, int, int>, std::vector<Thread*>> waiting;
  ucontext_t scheduler;
  void* scheduler_stack;
  size_t scheduler_size;
};

inline Grid& grid() {
  static Grid grid;
  return grid;
}
inline Thread* running = nullptr;
inline Thread& current() { return *running; }

constexpr size_t stack_bytes = 128 * 1024;

[[noreturn]] inline void fail(const char* what) {
  std::printf("FAILED emulation: %s\n", what);
  for (const auto& [barrier, threads] : grid().waiting) {
    if (threads.empty()) continue;
    std::printf("  %zu threads of block %d wait at %s %d\n", threads.size(), std::get<1>(barrier),
                wait_names[std::get<0>(barrier)], std::get<2>(barrier));
  }
  std::fflush(stdout);
  std::exit(1);
}

// Stacks are kept: a launch would otherwise spend its time in mmap.
inline void* stack(size_t number) {
  static std::vector<void*> stacks;
  while (stacks.size() <= number) {
    void* memory = mmap(nullptr, stack_bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) fail("no memory for stacks");
    stacks.push_back(memory);
  }
  return stacks[number];
}

inline void to_scheduler(bool ends) {
  Thread& self = *running;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(ends ? nullptr : &fake, grid().scheduler_stack,
                                 grid().scheduler_size);
#endif
  (void)ends;
  swapcontext(&self.context, &grid().scheduler);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
}

inline void enter() {
#if defined(__SANITIZE_ADDRESS__)
  const void* bottom;
  size_t size;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &size);
  grid().scheduler_stack = const_cast<void*>(bottom);
  grid().scheduler_size = size;
#endif
  (*grid().body)();
  running->state = Thread::done;
  to_scheduler(true);
}

inline void prepare(Thread& thread, void* stack) {
  thread.stack = stack;
  getcontext(&thread.context);
  thread.context.uc_stack.ss_sp = stack;
  thread.context.uc_stack.ss_size = stack_bytes;
  thread.context.uc_link = nullptr;
  makecontext(&thread.context, enter, 0);
}

inline void resume(Thread& thread) {
  running = &thread;
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(&fake, thread.stack, stack_bytes);
#endif
  swapcontext(&grid().scheduler, &thread.context);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#endif
  running = nullptr;
}

// Until `expected` threads wait at the same place.
inline void wait(Wait kind, int name, size_t expected) {
  Thread& self = *running;
  const int block = kind == Wait::cluster ? -1 : self.block->rank;
  self.barrier = {static_cast<int>(kind), block, name};
  std::vector<Thread*>& there = grid().waiting[self.barrier];
  there.push_back(&self);
  self.state = Thread::waiting;
  if (there.size() > expected) fail("more threads at a barrier than it is for");
  if (there.size() == expected) {
    for (Thread* thread : there) thread->state = Thread::ready;
    there.clear();
  }
  to_scheduler(false);
}

inline void run_cluster() {
  Grid& g = grid();
  static std::mt19937 random(1);
  std::vector<Thread*> turn;
  for (Thread& thread : g.threads) turn.push_back(&thread);
  if (order == Order::reverse) std::reverse(turn.begin(), turn.end());
  for (;;) {
    if (order == Order::random) std::shuffle(turn.begin(), turn.end(), random);
    bool any = false, all = true;
    for (Thread* thread : turn) {
      if (thread->state == Thread::ready) {
        any = true;
        resume(*thread);
      }
      all = all && thread->state == Thread::done;
    }
    if (all) break;
    if (!any) fail("some threads never reach a barrier at which others wait");
  }
}

inline void launch(int64_t blocks, int threads, int groups, int64_t shared, int cluster,
                   const std::function<void()>& body) {
  Grid& g = grid();
  g.block = {static_cast<unsigned>(threads), static_cast<unsigned>(groups), 1};
  g.cluster = cluster;
  g.shared = shared;
  g.body = &body;
  const int per_block = threads * groups;
  if (blocks <= 0 || blocks > INT32_MAX || blocks % cluster != 0) fail("not a possible grid");
  if (per_block > 1024 || threads % 32 != 0 || cluster > 8) fail("not a possible block");
  if (together && cluster > 1) fail("clusters run one after the other only");
  const int at_once = together ? static_cast<int>(blocks) : cluster;
  for (int64_t first = 0; first < blocks; first += at_once) {
    std::vector<Block> members(static_cast<size_t>(at_once));
    g.threads.assign(static_cast<size_t>(at_once) * static_cast<size_t>(per_block), Thread{});
    for (int rank = 0; rank < at_once; ++rank) {
      Block& block = members[static_cast<size_t>(rank)];
      block.index = {static_cast<unsigned>(first + rank), 0, 0};
      block.rank = rank;
      block.shared = static_cast<unsigned char*>(std::malloc(static_cast<size_t>(shared)));
      std::memset(block.shared, 0xff, static_cast<size_t>(shared));
      for (int i = 0; i < per_block; ++i) {
        const size_t number =
            static_cast<size_t>(rank) * static_cast<size_t>(per_block) + static_cast<size_t>(i);
        Thread& thread = g.threads[number];
        thread.thread_index = {static_cast<unsigned>(i % threads),
                               static_cast<unsigned>(i / threads), 0};
        thread.block = &block;
        thread.number = i;
        prepare(thread, stack(number));
      }
    }
    run_cluster();
    for (Block& block : members) std::free(block.shared);
  }
}

}  // namespace neurn::emulator

inline void __syncthreads() {
  const neurn::emulator::Dim block = neurn::emulator::grid().block;
  neurn::emulator::wait(neurn::emulator::Wait::block, 0, block.x * block.y);
}

namespace neurn::cuda {

inline unsigned char* shared_memory() { return emulator::current().block->shared; }

inline void named_barrier(int name, int threads) {
  if (name < 1 || name > 4) emulator::fail("no such barrier");
  emulator::wait(emulator::Wait::named, name, static_cast<size_t>(threads));
}

// Every lane's value, once all of them have come; read by lane number.
template <class V>
class Gathered {
 public:
  explicit Gathered(V value) {
    static_assert(sizeof(V) <= 16);
    emulator::Thread& self = emulator::current();
    first_ = self.number / 32 * 32;
    for (size_t part = 0; part < sizeof(V); part += 8) {
      const size_t bytes = std::min<size_t>(8, sizeof(V) - part);
      // Two sets in turn, each in two halves: a lane may be one shuffle ahead of those that read.
      uint64_t* values = self.block->gathered[self.shuffles % 2][part / 8];
      std::memcpy(&values[self.number], reinterpret_cast<const char*>(&value) + part, bytes);
    }
    values_ = self.block->gathered[self.shuffles++ % 2];
    emulator::wait(emulator::Wait::warp, self.number / 32, 32);
  }
  V of(int lane) const {
    V value;
    for (size_t part = 0; part < sizeof(V); part += 8) {
      const size_t bytes = std::min<size_t>(8, sizeof(V) - part);
      std::memcpy(reinterpret_cast<char*>(&value) + part, &values_[part / 8][first_ + lane], bytes);
    }
    return value;
  }

 private:
  uint64_t (*values_)[1024];
  int first_;
};

template <class V>
V shuffle_down(V value, int offset) {
  const int lane = emulator::current().number % 32;
  const Gathered<V> all(value);
  return lane + offset < 32 ? all.of(lane + offset) : value;
}
template <class V>
V shuffle_up(V value, int offset, int width) {
  const int lane = emulator::current().number % 32;
  const Gathered<V> all(value);
  return lane % width >= offset ? all.of(lane - offset) : value;
}
inline int warp_largest(int value) {
  const Gathered<int> all(value);
  for (int lane = 0; lane < 32; ++lane) value = std::max(value, all.of(lane));
  return value;
}
inline int64_t from_first_lane(int64_t value) { return Gathered<int64_t>(value).of(0); }
inline void warp_barrier() {
  emulator::wait(emulator::Wait::warp, emulator::current().number / 32, 32);
}

// Threads change at barriers only.
template <class V>
V atomic_add(V* at, V value) {
  const V old = *at;
  *at += value;
  return old;
}
inline int count_up(int* at) { return atomic_add(at, 1); }
inline void atomic_or(int* at, int value) { *at |= value; }
template <class V>
void atomic_max(V* at, V value) {
  *at = std::max(*at, value);
}
inline void publish(int64_t* at, int64_t value) { *at = value; }
inline int64_t published(const int64_t* at) { return *at; }
template <class V>
V read_fresh(const V* at) {
  return *at;
}
inline void pause() { emulator::to_scheduler(false); }

// Nothing arrives before it is waited for.
template <class V>
void copy_to_shared(V* to, const V* from) {
  emulator::current().copies.push_back({to, from, sizeof(V)});
}
inline void copies_done() {
  for (const auto& [to, from, bytes] : emulator::current().copies) std::memcpy(to, from, bytes);
  emulator::current().copies.clear();
}

inline int cluster_rank() { return emulator::current().block->rank; }

inline void cluster_barrier() {
  emulator::wait(emulator::Wait::cluster, 0, emulator::grid().threads.size());
}

inline uint64_t read_remote(const uint64_t* own, int rank) {
  emulator::Grid& g = emulator::grid();
  const size_t per_block = g.threads.size() / static_cast<size_t>(g.cluster);
  const emulator::Block* other = g.threads[static_cast<size_t>(rank) * per_block].block;
  const auto offset = reinterpret_cast<const unsigned char*>(own) - shared_memory();
  uint64_t value;
  std::memcpy(&value, other->shared + offset, sizeof value);
  return value;
}

}  // namespace neurn::cuda
