// Prefetching.
#pragma once

#include "simd.h"

namespace neurn::NEURN_ISA {

// Asks for R rows that will be needed soon, a little at each vector of the rows before: in the
// order of their addresses where they follow each other, which the processor then anticipates.
template <class F, int R>
class Ahead {
 public:
  Ahead(const F* rows, int64_t stride, int64_t elements)
      : at_(rows),
        per_element_(stride == elements ? R : 1),
        stride_(stride == elements ? Simd<F>::lanes : stride) {}
  [[gnu::always_inline]] void ask(int64_t e) const {
    const F* at = at_ + e * per_element_;
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) __builtin_prefetch(at + r * stride_, 0, 2);
  }

 private:
  const F* at_;
  int64_t per_element_, stride_;
};

}  // namespace neurn::NEURN_ISA
