#include "plan.h"

#include <algorithm>

#include "lane_set.h"
#include "strip_set.h"

namespace neurn::align {
namespace {

// Cells in the time of one cell of lanes, measured (bench/README.md).
constexpr double strip_time = 1.5;
constexpr double lane_pair_time = 1.9;
constexpr double diagonal_time = 13;
constexpr double pair_time = 4000;  // of a pair by itself, whatever its size

int64_t longest(const Sequences& sequences) {
  int64_t out = 0;
  for (int64_t i = 0; i < sequences.count; ++i) out = std::max(out, sequences[i].size);
  return out;
}

}  // namespace

Scoring simplified(const Scoring& scoring) {
  if (scoring.table == nullptr || scoring.symbols == 0) return scoring;
  const int64_t n = scoring.symbols;
  const int64_t match = scoring.table[0], mismatch = n > 1 ? scoring.table[1] : match;
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      if (scoring.table[i * n + j] != (i == j ? match : mismatch)) return scoring;
    }
  }
  return {match, mismatch, nullptr, 0, scoring.gap_open, scoring.gap_extend};
}

std::optional<BitScoring> bit_scoring(const Scoring& scoring, const Region& region, Token tokens) {
  const bool whole_matrix =
      !region.a_begin && !region.a_end && !region.b_begin && !region.b_end && region.band < 0;
  if (scoring.table != nullptr || scoring.gap_open != 0 || !whole_matrix) return {};
  // Far from the ends of int64, so that differences are exact.
  constexpr int64_t large = int64_t{1} << 40;
  for (const int64_t score : {scoring.match, scoring.mismatch, scoring.gap_extend}) {
    if (score < -large || score > large) return {};
  }
  BitScoring bits{};
  bits.equal = scoring.match - 2 * scoring.gap_extend;
  bits.unequal = scoring.mismatch - 2 * scoring.gap_extend;
  const int64_t most = std::max({bits.equal, bits.unequal, int64_t{0}});
  if (most >= int64_t{1} << most_planes) return {};
  bits.planes = 1;
  while (most >> bits.planes != 0) ++bits.planes;
  for (const int planes : token_plane_counts) {
    bits.token_planes = planes;
    if (tokens >> planes == 0) break;
  }
  return bits;
}

Token token_bits(Sequence a) {
  Token out = 0;
  for (int64_t i = 0; i < a.size; ++i) out |= a.data[i];
  return out;
}

Token token_bits(const Sequences& sequences) {
  if (sequences.count == 0) return 0;
  const int64_t first = sequences.offsets[0];
  return token_bits({sequences.tokens + first, sequences.offsets[sequences.count] - first});
}

bool strips_pay(const BitKernels& kernels, Sequence a, Sequence b) {
  const double rows = 64.0 * kernels.words * kernels.strip_vectors;
  const double strips = std::max(1.0, static_cast<double>(a.size) / rows);
  const double work = strips * rows * (static_cast<double>(b.size) + rows);
  const double cells = static_cast<double>(a.size) * static_cast<double>(b.size);
  return work * strip_time < cells * diagonal_time;
}

SetKernel set_kernel(const BitKernels& kernels, const Sequences& a, const Sequences& b,
                     bool symmetric) {
  const int64_t most = std::max(longest(a), longest(b));
  if (most > longest_in_strips) return SetKernel::one_by_one;
  double columns = 0, cells = 0;
  for (int64_t j = 0; j < b.count; ++j) columns += static_cast<double>(b[j].size);
  for (int64_t i = 0; i < a.count; ++i) cells += static_cast<double>(a[i].size) * columns;
  double pairs = static_cast<double>(a.count) * static_cast<double>(b.count);
  if (symmetric) cells /= 2, pairs /= 2;
  double best = cells * diagonal_time + pairs * pair_time;
  SetKernel chosen = SetKernel::one_by_one;
  const auto consider = [&](SetKernel kernel, double time) {
    if (time < best) best = time, chosen = kernel;
  };
  consider(SetKernel::strips, strip_cost(kernels, a, b, symmetric) * strip_time);
  if (most <= longest_in_lanes) {
    consider(SetKernel::lanes, lane_cost(kernels, a, b, symmetric));
    // Lanes are full where there are pairs enough; lengths differ more in few.
    const double lanes = 64.0 * kernels.words;
    if (pairs >= 4 * lanes && !symmetric) {
      consider(SetKernel::lane_pairs, cells * lane_pair_time);
    }
  }
  return chosen;
}

}  // namespace neurn::align
