// Sets of pairs by strips: queries packed into the rows, targets one after the other.
#pragma once

#include "bit_kernels.h"

namespace neurn::align {

// Work of strip_scores in cells, those computed in vain included: what a planner compares.
double strip_cost(const BitKernels& kernels, const Sequences& a, const Sequences& b,
                  bool symmetric);

// cross_scores (engine.h) for a linear gap.
bool strip_scores(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
                  const Sequences& a, const Sequences& b, bool symmetric, int64_t* out,
                  int64_t stride, const Parallel& parallel);

}  // namespace neurn::align
