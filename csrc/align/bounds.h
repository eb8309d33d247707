// What scores a problem can hold, proven before it runs.
#pragma once

#include <cstdint>

#include "problem.h"

namespace neurn::align {

// Of one scoring: enough to bound any problem under it.
struct Bounds {
  int64_t largest;  // absolute score of two tokens
  int64_t gap_open, gap_extend;

  explicit Bounds(const Scoring&);

  // Larger than every absolute score in an n x m problem, intermediate sums included. Throws
  // std::overflow_error beyond `limit`.
  int64_t of(int64_t n, int64_t m) const;
};

}  // namespace neurn::align
