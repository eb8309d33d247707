// Sets of pairs with one pair a lane, in numbers: any two scores or table, linear or affine gaps.
#pragma once

#include "number_kernels.h"

namespace neurn::align {

// Work of number_scores in cells, those computed in vain and those looked up included.
double number_cost(const NumberKernels& kernels, const NumberScoring& numbers,
                   const Scoring& scoring, const Sequences& a, const Sequences& b, bool symmetric);

// cross_scores (engine.h). No sequence is longer than most_number_columns, here and below.
bool number_scores(const NumberKernels& kernels, const NumberScoring& numbers,
                   const Scoring& scoring, const Sequences& a, const Sequences& b, bool symmetric,
                   int64_t* out, int64_t stride, const Parallel& parallel);

// pair_scores (engine.h) of the pairs chosen[0 .. count - 1]; both sequences of each have tokens.
// With a table, pairs that share their first sequence share lanes.
bool number_pair_scores(const NumberKernels& kernels, const NumberScoring& numbers,
                        const Scoring& scoring, const Sequences& sequences, const int64_t* pairs,
                        const int64_t* chosen, int64_t count, int64_t* out,
                        const Parallel& parallel);

}  // namespace neurn::align
