#include "bounds.h"

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <string>

#include "engine.h"

namespace neurn::align {
namespace {

int64_t magnitude(int64_t x) {
  if (x == std::numeric_limits<int64_t>::min()) return std::numeric_limits<int64_t>::max();
  return x < 0 ? -x : x;
}

}  // namespace

Bounds::Bounds(const Scoring& scoring)
    : largest(0), gap_open(magnitude(scoring.gap_open)), gap_extend(magnitude(scoring.gap_extend)) {
  if (scoring.table == nullptr) {
    largest = std::max(magnitude(scoring.match), magnitude(scoring.mismatch));
    return;
  }
  const int64_t size = scoring.symbols * scoring.symbols;
  for (int64_t i = 0; i < size; ++i) largest = std::max(largest, magnitude(scoring.table[i]));
}

// A cell is at least its diagonal run to the border and one gap along that, and at most its
// diagonal steps; the first token of one more gap, or one more step, may be added to it.
int64_t Bounds::of(int64_t n, int64_t m) const {
  int64_t steps, gaps, opens, sum;
  if (__builtin_mul_overflow(largest, std::min(n, m) + 1, &steps) ||
      __builtin_mul_overflow(gap_extend, n + m + 1, &gaps) ||
      __builtin_mul_overflow(gap_open, int64_t{3}, &opens) ||
      __builtin_add_overflow(steps, gaps, &sum) || __builtin_add_overflow(sum, opens, &sum) ||
      sum >= limit) {
    throw std::overflow_error("scores of sequences of " + std::to_string(n) + " and " +
                              std::to_string(m) +
                              " tokens can exceed 2^61 under this scoring: use smaller scores");
  }
  return sum + 1;
}

}  // namespace neurn::align
