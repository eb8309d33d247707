#include "plan.h"

#include <algorithm>

#include "lane_set.h"
#include "number_set.h"
#include "strip_set.h"

namespace neurn::align {
namespace {

// Times of a cell, measured, as many times as long as each other.
constexpr double strip_time = 1.5;      // where a cell of lanes has 1
constexpr double lane_pair_time = 1.9;  // likewise
constexpr double diagonal_time = 13;
constexpr double affine_diagonal_time = 16;
constexpr double diagonal_table_times = 1.7;
constexpr double pair_time = 4000;  // of a pair by itself, whatever its size
// Of a byte in lanes of numbers.
constexpr double number_time = 0.7;
constexpr double affine_number_time = 1.2;

// Of a cell of lanes. Without operations of three operands planes cost more.
double bit_time(const BitKernels& kernels, const BitScoring& bits) {
  constexpr double with[] = {0.24, 0.3, 0.49, 0.68}, without[] = {0.28, 0.55, 1.33, 1.84};
  const bool published = bits.equal == 5 && bits.unequal == 2;  // in a kernel of their own
  if (published) return kernels.words == 8 ? 0.33 : 0.66;
  return (kernels.words == 8 ? with : without)[bits.planes - 1];
}

double cell_time(const NumberKernels& kernels, const NumberScoring& numbers) {
  // The baseline of x86 has no maximum of such numbers.
  const bool slow = kernels.vector_bytes == 16 && numbers.bytes == 4;
  return numbers.bytes * (numbers.affine ? affine_number_time : number_time) * (slow ? 3 : 1);
}

// As many times as long: pairs of a list have to be packed.
double list_times(const NumberScoring& numbers) { return 1 + 1.1 / numbers.bytes; }

int64_t longest(const Sequences& sequences) {
  int64_t out = 0;
  for (int64_t i = 0; i < sequences.count; ++i) out = std::max(out, sequences[i].size);
  return out;
}

// What there is to compute.
struct Extent {
  double cells = 0, pairs;

  Extent(const Sequences& a, const Sequences& b, bool symmetric)
      : pairs(static_cast<double>(a.count) * static_cast<double>(b.count)) {
    double columns = 0;
    for (int64_t j = 0; j < b.count; ++j) columns += static_cast<double>(b[j].size);
    for (int64_t i = 0; i < a.count; ++i) cells += static_cast<double>(a[i].size) * columns;
    if (symmetric) cells /= 2, pairs /= 2;
  }
};

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

std::optional<NumberScoring> number_scoring(const Scoring& scoring, const Region& region) {
  const bool whole_matrix =
      !region.a_begin && !region.a_end && !region.b_begin && !region.b_end && region.band < 0;
  constexpr int64_t large = int64_t{1} << 40;
  if (!whole_matrix || scoring.gap_open < -large || scoring.gap_extend < -large) return {};
  int64_t most = std::max(scoring.match, scoring.mismatch);
  int64_t least = std::min(scoring.match, scoring.mismatch);
  if (scoring.table != nullptr) {
    const int64_t size = scoring.symbols * scoring.symbols;
    if (size == 0) return {};
    const auto [low, high] = std::minmax_element(scoring.table, scoring.table + size);
    least = *low, most = *high;
  }
  if (least < -large || most > large) return {};
  NumberScoring out{};
  out.affine = scoring.gap_open != 0;
  out.open = scoring.gap_open;
  out.shift = -2 * scoring.gap_extend;
  out.least = 2 * out.open;
  out.equal = std::max(scoring.match + out.shift, out.least);
  out.unequal = std::max(scoring.mismatch + out.shift, out.least);
  // The bounds that cpu/numbers.h proves.
  const int64_t difference = std::max<int64_t>(most + out.shift, 0);
  const int64_t range = out.affine ? difference - 3 * out.open : difference;
  for (out.bytes = 1; out.bytes <= 4; out.bytes *= 2) {
    const int64_t values = int64_t{1} << (8 * out.bytes);
    if (range <= (out.affine ? values / 2 : values - 1)) return out;
  }
  return {};
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

Token largest_token(Sequence a) {
  Token out = 0;
  for (int64_t i = 0; i < a.size; ++i) out = std::max(out, a.data[i]);
  return out;
}

Token largest_token(const Sequences& sequences) {
  if (sequences.count == 0) return 0;
  const int64_t first = sequences.offsets[0];
  return largest_token({sequences.tokens + first, sequences.offsets[sequences.count] - first});
}

bool strips_pay(const BitKernels& kernels, Sequence a, Sequence b) {
  const double lanes = 64.0 * kernels.words;
  const double rows = lanes * kernels.strip_depth;
  const double strips = std::max(1.0, static_cast<double>(a.size) / rows);
  const double work = strips * rows * (static_cast<double>(b.size) + lanes);
  const double cells = static_cast<double>(a.size) * static_cast<double>(b.size);
  return work * strip_time < cells * diagonal_time;
}

SetScoring::SetScoring(const Scoring& given, const Region& region, Token tokens)
    : scoring(simplified(given)),
      bits(bit_scoring(scoring, region, tokens)),
      numbers(number_scoring(scoring, region)) {}

SetKernel set_kernel(const BitKernels& bit_kernels, const NumberKernels& number_kernels,
                     const SetScoring& held, const Sequences& a, const Sequences& b,
                     bool symmetric) {
  const int64_t most = std::max(longest(a), longest(b));
  if (most > longest_in_strips || (!held.bits && !held.numbers)) return SetKernel::one_by_one;
  const Extent all(a, b, symmetric);
  const bool affine = held.scoring.gap_open != 0, table = held.scoring.table != nullptr;
  SetKernel chosen = SetKernel::one_by_one;
  double best = all.cells * (affine ? affine_diagonal_time : diagonal_time) *
                    (table ? diagonal_table_times : 1) +
                all.pairs * pair_time;
  const auto consider = [&](SetKernel kernel, double time) {
    if (time < best) best = time, chosen = kernel;
  };
  if (held.bits) {
    const double time = bit_time(bit_kernels, *held.bits);
    consider(SetKernel::strips, strip_cost(bit_kernels, a, b, symmetric) * strip_time * time);
    if (most <= longest_in_lanes) {
      consider(SetKernel::lanes, lane_cost(bit_kernels, a, b, symmetric) * time);
      // Lanes are full where there are pairs enough; lengths differ more in few.
      const double lanes = 64.0 * bit_kernels.words;
      if (all.pairs >= 4 * lanes) {
        consider(SetKernel::lane_pairs, all.cells * lane_pair_time * time);
      }
    }
  }
  if (held.numbers && most <= longest_in_lanes) {
    const double time = cell_time(number_kernels, *held.numbers);
    consider(SetKernel::number_lanes,
             number_cost(number_kernels, *held.numbers, held.scoring, a, b, symmetric) * time);
    const double lanes = static_cast<double>(number_kernels.vector_bytes) / held.numbers->bytes;
    if (!table && all.pairs >= 4 * lanes) {
      consider(SetKernel::number_pairs, all.cells * list_times(*held.numbers) * time);
    }
  }
  return chosen;
}

SetKernel list_kernel(const BitKernels& kernels, const SetScoring& held) {
  if (!held.numbers && !held.bits) return SetKernel::one_by_one;
  if (!held.bits) return SetKernel::number_pairs;
  if (!held.numbers) return SetKernel::lane_pairs;
  const double numbers = number_time * held.numbers->bytes * list_times(*held.numbers);
  return lane_pair_time * bit_time(kernels, *held.bits) < numbers ? SetKernel::lane_pairs
                                                                  : SetKernel::number_pairs;
}

}  // namespace neurn::align
