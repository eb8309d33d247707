// How a call is cut into tiles, and which threads hold what: from sizes, layout and device alone,
// never from the number of samples, so that a sample's result does not depend on its batch.
#pragma once

#include "backward.cuh"
#include "forward.cuh"
#include "kernels.h"

namespace neurn::cuda {

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Channels side by side in memory that a tile takes together: all sectors it reads are its own.
inline int step_of(const Problem& p, const Array& x) {
  const bool interleaved = p.channels > 1 && x.c == 1 && x.w >= p.channels;
  if (!interleaved || p.scope == Scope::channel) return 1;
  return static_cast<int>(p.channels < 8 ? p.channels : 8);
}

// Tiles of about equal size, at most `most` long where a multiple of `multiple` can be.
inline int even_length(int64_t length, int most, int multiple) {
  most = most / multiple * multiple;
  if (most < multiple) most = multiple;
  const int64_t even = ceil_div(length, ceil_div(length, most));
  return static_cast<int>(ceil_div(even, multiple) * multiple);
}

inline Tiling tiling_of(const Problem& p, int64_t height, int64_t width, int step, int rows,
                        int elements, int multiple) {
  const int k = static_cast<int>(p.k);
  Tiling t;
  t.step = step;
  t.rows = even_length(height, rows, multiple);
  // Where the halo is narrow, rows of pixels that fill warps.
  if (k <= 9 && elements >= 32) elements -= (k - 1) * step;
  t.columns = even_length(width, elements / step, multiple);
  t.down = ceil_div(height, t.rows);
  t.across = ceil_div(width, t.columns);
  t.slabs = ceil_div(p.channels, step);
  t.tiles = t.slabs * t.down * t.across;
  return t;
}

inline int team_threads(const Tiling& t) {
  const int elements = t.rows * t.columns * t.step;
  return elements > 1024 ? 256 : elements > 256 ? 128 : 64;
}

// Threads of the block that brings the `count` partial results of a scope together.
inline int reducing_threads(int64_t count) { return count > 1024 ? 1024 : 128; }

struct ForwardPlan {
  bool plain = true;
  Tiling tiling{};
  int threads = 0;
  // Where a scope fits in shared memory:
  bool resident = false;
  Holder holder = Holder::team;
  int groups = 1, cluster = 1, slots = 1;
  int64_t resident_shared = 0;
  int64_t shared = 0;  // of one tile, with its deviations
};

// single: float16, bfloat16 and float32, whose larger windows need double.
inline bool is_plain(const Problem& p, bool single) { return p.k == 1 || (single && p.k > 31); }

template <class F>
ForwardPlan plan_forward(const Problem& p, const Array& x, const Device& device, int multiple) {
  using Shared = ForwardShared<F>;
  ForwardPlan plan;
  const int k = static_cast<int>(p.k), step = step_of(p, x);
  if (is_plain(p, sizeof(F) == 4) || p.k > 1024) return plan;
  auto with = [&](int elements) {
    plan.tiling = tiling_of(p, p.out_height, p.out_width, step, 32, elements, multiple);
    plan.threads = team_threads(plan.tiling);
    plan.shared = Shared::header + Shared::team_bytes(plan.tiling, k, false) +
                  Shared::slot_bytes(plan.tiling);
    return plan.shared <= device.shared_block;
  };
  if (p.scope == Scope::image || p.scope == Scope::channel) {
    // A third of a processor's memory for each block, then half, then all there is: blocks that
    // are at different stages keep memory and arithmetic busy.
    for (const int share : {3, 2, 1}) {
      int64_t room = device.shared_processor / share - 1024;
      if (share == 1 || room > device.shared_block) room = device.shared_block;
      for (const int elements : {64, 32}) {
        if (!with(elements)) continue;
        const int64_t tiles =
            p.scope == Scope::image ? plan.tiling.tiles : plan.tiling.down * plan.tiling.across;
        const int64_t team = Shared::team_bytes(plan.tiling, k, true);
        const int64_t slot = Shared::slot_bytes(plan.tiling);
        plan.resident = true;
        if (tiles <= 4 && Shared::header + team + tiles * slot <= room) {
          plan.holder = Holder::team;
          plan.slots = static_cast<int>(tiles);
          plan.groups = 1;
          auto bytes = [&](int groups) { return Shared::header + groups * (team + tiles * slot); };
          while (2 * plan.groups * plan.threads <= most_threads && bytes(2 * plan.groups) <= room) {
            plan.groups *= 2;
          }
          plan.resident_shared = bytes(plan.groups);
          plan.plain = false;
          return plan;
        }
        plan.holder = Holder::block;
        for (int cluster = 1; cluster <= device.cluster && cluster <= tiles; cluster *= 2) {
          for (const int groups : {4, 2, 1}) {
            const int64_t slots = ceil_div(tiles, cluster);
            const int64_t bytes = Shared::header + groups * team + slots * slot;
            if (bytes > room || groups > slots || groups * plan.threads > most_threads) continue;
            plan.cluster = cluster;
            plan.groups = groups;
            plan.slots = static_cast<int>(slots);
            plan.resident_shared = bytes;
            plan.plain = false;
            return plan;
          }
        }
        plan.resident = false;
      }
    }
  }
  for (const int elements : {64, 32, 16, 8}) {
    if (with(elements)) {
      plan.plain = false;
      return plan;
    }
  }
  return plan;
}

struct BackwardPlan {
  bool plain = true, whole = false;
  Tiling tiling{};
  int threads = 0, groups = 1;
  int64_t shared = 0;
};

template <class F>
BackwardPlan plan_backward(const Problem& p, const Array& x, const Device& device, int multiple) {
  using Shared = BackwardShared<F>;
  BackwardPlan plan;
  const int k = static_cast<int>(p.k), step = step_of(p, x);
  if (is_plain(p, sizeof(F) == 4) || p.k > 1024) return plan;
  // Rows of windows, rows + k - 1, fill warps.
  const int most = (k <= 9 ? 32 : 64) - (k - 1);
  for (const int rows : {most, 16, 8}) {
    for (const int elements : {64, 32, 16, 8}) {
      if (rows > most && rows > 8) continue;
      plan.tiling = tiling_of(p, p.height, p.width, step, rows, elements, multiple);
      const int64_t team = Shared::team_bytes(plan.tiling, k, multiple);
      if (Shared::header + team > device.shared_block) continue;
      plan.plain = false;
      plan.threads = team_threads(plan.tiling);
      const int64_t planes = p.scope == Scope::channel ? 1
                             : p.scope == Scope::image ? p.channels
                                                       : p.samples * p.channels;
      plan.whole =
          p.scope != Scope::none && planes == 1 && plan.tiling.down == 1 && plan.tiling.across == 1;
      const int64_t room = device.shared_processor / 3 - 1024;
      auto bytes = [&](int groups) { return Shared::header + groups * team; };
      while (plan.whole && 2 * plan.groups * plan.threads <= most_threads &&
             bytes(2 * plan.groups) <= room && bytes(2 * plan.groups) <= device.shared_block) {
        plan.groups *= 2;
      }
      plan.shared = bytes(plan.groups);
      return plan;
    }
  }
  return plan;
}

}  // namespace neurn::cuda
