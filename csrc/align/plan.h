// Which kernels serve a problem.
#pragma once

#include <optional>

#include "bit_kernels.h"
#include "number_kernels.h"
#include "problem.h"

namespace neurn::align {

// A table that only tells equal tokens from others, written as two scores.
Scoring simplified(const Scoring& scoring);

// How bit planes hold the problem, where they can: linear gaps, two scores of which neither is much
// above two gaps, no free ends, no band. tokens: every bit that any token has.
std::optional<BitScoring> bit_scoring(const Scoring& scoring, const Region& region, Token tokens);

// How lanes of numbers hold the problem, where they can: scores of up to 2^31, no free ends, no
// band.
std::optional<NumberScoring> number_scoring(const Scoring& scoring, const Region& region);

// Bits that any token has.
Token token_bits(Sequence a);
Token token_bits(const Sequences& sequences);
Token largest_token(Sequence a);
Token largest_token(const Sequences& sequences);

// Whether strips of bit planes align one pair faster than anti-diagonals of numbers do.
bool strips_pay(const BitKernels& kernels, Sequence a, Sequence b);

// How sets hold a scoring; in neither way where pairs go one by one.
struct SetScoring {
  Scoring scoring;  // simplified
  std::optional<BitScoring> bits;
  std::optional<NumberScoring> numbers;

  SetScoring(const Scoring& scoring, const Region& region, Token tokens);
};

enum class SetKernel { lanes, strips, lane_pairs, number_lanes, number_pairs, one_by_one };

// The fastest for all pairs of a with b.
SetKernel set_kernel(const BitKernels& bit_kernels, const NumberKernels& number_kernels,
                     const SetScoring& scoring, const Sequences& a, const Sequences& b,
                     bool symmetric);

// The fastest for a list of pairs: lane_pairs, number_pairs or one_by_one.
SetKernel list_kernel(const BitKernels& kernels, const SetScoring& scoring);

// Longest sequence that lanes take, and that sets of strips take: others go one by one.
inline constexpr int64_t longest_in_lanes = 4096;
inline constexpr int64_t longest_in_strips = 16384;

}  // namespace neurn::align
