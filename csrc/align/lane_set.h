// Sets of pairs with one pair a lane: for many pairs of like lengths.
#pragma once

#include <vector>

#include "bit_kernels.h"

namespace neurn::align {

// Sequences that have tokens, shortest first.
std::vector<int64_t> by_size(const Sequences& sequences);

// Work of lane_scores in cells, those computed in vain included.
double lane_cost(const BitKernels& kernels, const Sequences& a, const Sequences& b, bool symmetric);

// cross_scores (engine.h) for a linear gap.
bool lane_scores(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
                 const Sequences& a, const Sequences& b, bool symmetric, int64_t* out,
                 int64_t stride, const Parallel& parallel);

// pair_scores (engine.h) for a linear gap, of the pairs chosen[0 .. count - 1]; both sequences of
// each have tokens.
bool lane_pair_scores(const BitKernels& kernels, const BitScoring& scoring, int64_t gap,
                      const Sequences& sequences, const int64_t* pairs, const int64_t* chosen,
                      int64_t count, int64_t* out, const Parallel& parallel);

}  // namespace neurn::align
