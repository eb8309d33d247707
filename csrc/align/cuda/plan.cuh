// What the device finds out about a call before it computes scores: what the numbers are worth,
// whether the arguments hold what they must, and which kernel serves each pair.
#pragma once

#include "../../cuda/device.h"
#include "kernels.h"

namespace neurn::align::cuda {

using neurn::cuda::atomic_add;
using neurn::cuda::atomic_max;
using neurn::cuda::atomic_or;
using neurn::cuda::count_up;
using Token = uint16_t;

// How scores are held. Pairs that are long are cut into strips for all of the device; of the others
// each is a few lanes' work.
enum Kind { long64, long32, short32, short16, kinds };

// Longest side of a short pair.
constexpr int longest_short = 2048;
// Rows of a strip of a short pair.
constexpr int short_rows = 64;

enum Error { wrong_substitution = 1, wrong_tokens = 2, wrong_pairs = 4, too_large = 8 };

// Scores are shifted as in cpu/numbers.h: H'[i][j] = H[i][j] - G (i + j), G the score of a gap's
// next token. A gap then costs O <= 0 whatever its length, a substitution s stands as
// max(s - 2 G, 2 O), two gaps being as good, and with D the largest of these or 0
//   2 O <= H'[i][j] <= D min(i, j).
struct Report {
  int errors;
  int exponent;                // scores times 2^exponent are whole
  int64_t most, most_negated;  // of all scores, and of these times -1; or 0
  int not_two;                 // set where the table does more than tell equal tokens from others
  int largest_token;
  int64_t gap_open, gap_extend;  // whole
  int64_t match, mismatch;       // where there are only two scores
  int64_t first_longest, second_longest;
  int64_t starts[kinds + 1];  // where the pairs of a kind begin in the order of pairs
  int64_t strips[2];          // of all pairs of the long kinds
  int64_t tickets[2];         // strips of the long kinds that are taken

  NEURN_DEVICE double scale() const { return static_cast<double>(int64_t{1} << exponent); }
  // D; every number is below 2^55.
  constexpr int64_t range() const {
    const int64_t d = most - 2 * gap_extend;
    return d > 0 ? d : 0;
  }
  NEURN_DEVICE bool narrow_table() const { return range() <= 32767 && -4 * gap_open <= 32768; }
};

constexpr double largest_exact = 9007199254740992;  // 2^53
constexpr int largest_exponent = 20;

NEURN_DEVICE int64_t thread_number() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}
NEURN_DEVICE int64_t thread_count(int64_t blocks) { return blocks * blockDim.x; }

struct PlanCall {
  Problem p;
  int64_t blocks;  // of this launch
  Report* report;
  int32_t* table;  // symbols x symbols whole numbers
  Token* tokens;
  int* bins;
  uint32_t* order;  // numbers of pairs
  void* out;
  bool traces;  // a score that two gaps are as good as must then be told from these

  // What shifted scores are raised to.
  NEURN_DEVICE int64_t least() const { return traces ? -(int64_t{1} << 60) : 2 * report->gap_open; }
  NEURN_DEVICE int64_t shifted(int64_t score) const {
    const int64_t s = score - 2 * report->gap_extend, bottom = least();
    return s > bottom ? s : bottom;
  }
};

__global__ void clear(int* words, int64_t count, int64_t blocks) {
  for (int64_t i = thread_number(); i < count; i += thread_count(blocks)) words[i] = 0;
}

// The least power of two that makes every score whole.
__global__ void find_scale(const __grid_constant__ PlanCall call) {
  const Problem& p = call.p;
  const double* scores = static_cast<const double*>(p.substitution);
  const int64_t count = scores_of(p);
  int exponent = 0;
  for (int64_t i = thread_number(); i < count + 2; i += thread_count(call.blocks)) {
    double score = i < count ? scores[i] : i == count ? p.gap_open : p.gap_extend;
    if (!(score - score == 0)) {  // NaN or infinite
      atomic_or(&call.report->errors, wrong_substitution);
      continue;
    }
    int own = 0;
    for (; own < largest_exponent && score != floor(score); ++own) score *= 2;
    if (score != floor(score)) atomic_or(&call.report->errors, wrong_substitution);
    exponent = own > exponent ? own : exponent;
  }
  if (exponent > 0) atomic_max(&call.report->exponent, exponent);
}

// Whole scores, and what they are like.
__global__ void make_whole(const __grid_constant__ PlanCall call) {
  const Problem& p = call.p;
  Report& report = *call.report;
  const double scale = report.scale();
  const int64_t count = scores_of(p);
  int errors = 0;
  const auto whole = [&](int64_t i) {
    const double score = p.floating
                             ? static_cast<const double*>(p.substitution)[i] * scale
                             : static_cast<double>(static_cast<const int64_t*>(p.substitution)[i]);
    if (score > -largest_exact && score < largest_exact) return static_cast<int64_t>(score);
    errors |= p.floating ? wrong_substitution : too_large;
    return int64_t{0};
  };
  int64_t most = 0, most_negated = 0;
  bool differs = false;
  const int64_t match = count > 0 ? whole(0) : 0;
  const int64_t mismatch = count > 1 ? whole(1) : match;
  for (int64_t i = thread_number(); i < count; i += thread_count(call.blocks)) {
    const int64_t score = whole(i);
    if (p.symbols > 0) {
      if (score != static_cast<int32_t>(score)) errors |= wrong_substitution;
      call.table[i] = static_cast<int32_t>(score);
      differs |= score != (i / p.symbols == i % p.symbols ? match : mismatch);
    }
    most = score > most ? score : most;
    most_negated = -score > most_negated ? -score : most_negated;
  }
  if (errors != 0) atomic_or(&report.errors, errors);
  if (differs) atomic_or(&report.not_two, 1);
  atomic_max(&report.most, most);
  atomic_max(&report.most_negated, most_negated);
  if (thread_number() == 0) {
    report.match = match;
    report.mismatch = mismatch;
    report.gap_open = static_cast<int64_t>(p.gap_open * scale);
    report.gap_extend = static_cast<int64_t>(p.gap_extend * scale);
    if (!(p.gap_open * scale > -largest_exact && p.gap_extend * scale > -largest_exact)) {
      atomic_or(&report.errors, wrong_substitution);
    }
  }
}

__global__ void narrow_tokens(const __grid_constant__ PlanCall call) {
  const Problem& p = call.p;
  const int64_t most = p.symbols > 0 && p.symbols <= 65535 ? p.symbols - 1 : 65535;
  int largest = 0;
  bool wrong = false;
  for (int64_t i = thread_number(); i < p.token_count; i += thread_count(call.blocks)) {
    const int64_t token = p.tokens[i];
    wrong |= token < 0 || token > most || p.symbols < 0;
    const Token narrow = static_cast<Token>(token);
    call.tokens[i] = narrow;
    largest = narrow > largest ? narrow : largest;
  }
  if (wrong) atomic_or(&call.report->errors, wrong_tokens);
  if (largest > 0) atomic_max(&call.report->largest_token, largest);
}

__global__ void check_offsets(const __grid_constant__ PlanCall call) {
  const Problem& p = call.p;
  bool wrong = false;
  for (int64_t i = thread_number(); i <= p.sequences; i += thread_count(call.blocks)) {
    const int64_t before = i > 0 ? p.offsets[i - 1] : 0;
    wrong |= p.offsets[i] < before || p.offsets[i] < 0 || p.offsets[i] > p.token_count;
  }
  if (wrong) atomic_or(&call.report->errors, wrong_pairs);
}

NEURN_DEVICE int64_t first_of(const Pairs& pairs, int64_t p) {
  return pairs.list != nullptr ? pairs.list[2 * p] : pairs.rows[p / pairs.column_count];
}
NEURN_DEVICE int64_t second_of(const Pairs& pairs, int64_t p) {
  return pairs.list != nullptr ? pairs.list[2 * p + 1] : pairs.columns[p % pairs.column_count];
}
NEURN_DEVICE int64_t size_of(const Problem& p, int64_t sequence) {
  return p.offsets[sequence + 1] - p.offsets[sequence];
}

// After check_offsets: whether numbers are those of sequences, and scores fit the result.
__global__ void check_pairs(const __grid_constant__ PlanCall call) {
  const Problem& p = call.p;
  Report& report = *call.report;
  if (report.errors != 0) return;
  const double magnitude =
      static_cast<double>(report.most > report.most_negated ? report.most : report.most_negated);
  int errors = 0;
  int64_t first_longest = 0, second_longest = 0;
  for (int64_t i = thread_number(); i < p.pairs.count; i += thread_count(call.blocks)) {
    const int64_t first = first_of(p.pairs, i), second = second_of(p.pairs, i);
    if (first < 0 || first >= p.sequences || second < 0 || second >= p.sequences) {
      errors |= wrong_pairs;
      continue;
    }
    const int64_t n = size_of(p, first), m = size_of(p, second);
    first_longest = n > first_longest ? n : first_longest;
    second_longest = m > second_longest ? m : second_longest;
    // As Bounds::of (bounds.h) has it.
    const double bound = magnitude * static_cast<double>((n < m ? n : m) + 1) -
                         static_cast<double>(report.gap_extend) * static_cast<double>(n + m + 1) -
                         3 * static_cast<double>(report.gap_open) + 1;
    if (bound > (p.floating ? largest_exact : 2147483647.0)) errors |= too_large;
  }
  if (errors != 0) atomic_or(&report.errors, errors);
  atomic_max(&report.first_longest, first_longest);
  atomic_max(&report.second_longest, second_longest);
}

NEURN_DEVICE void put_score(const PlanCall& call, int64_t pair, int64_t score) {
  if (call.p.floating) {
    static_cast<double*>(call.out)[pair] = static_cast<double>(score) / call.report->scale();
  } else {
    static_cast<int32_t*>(call.out)[pair] = static_cast<int32_t>(score);
  }
}

// Short pairs in bins of like sizes, large ones first: lanes that work together then end together.
constexpr int row_bins = longest_short / short_rows + 1, column_bins = longest_short / 4 + 1;
constexpr int size_bins = row_bins * column_bins;
constexpr int bins_in_all = 2 + 2 * size_bins;

NEURN_DEVICE int kind_of(const Report& report, int64_t n, int64_t m) {
  const double range = static_cast<double>(report.range());
  const double most = range * static_cast<double>(n < m ? n : m);
  const double open = -4 * static_cast<double>(report.gap_open);
  const bool is_short = n <= longest_short && m <= longest_short;
  if (is_short && most <= 32767 && report.narrow_table()) return short16;
  if (most < 1 << 30 && open < 1 << 30 && range < 1 << 30) return is_short ? short32 : long32;
  return long64;
}

// -1: the pair has no cells, and its score is written.
NEURN_DEVICE int bin_of(const PlanCall& call, int64_t pair) {
  const Problem& p = call.p;
  const Report& report = *call.report;
  const int64_t n = size_of(p, first_of(p.pairs, pair)), m = size_of(p, second_of(p.pairs, pair));
  if (n == 0 || m == 0) {
    put_score(call, pair, n + m == 0 ? 0 : report.gap_open + (n + m) * report.gap_extend);
    return -1;
  }
  const int kind = kind_of(report, n, m);
  if (kind == long64) return 0;
  if (kind == long32) return 1;
  const int rows = static_cast<int>((n + short_rows - 1) / short_rows);
  const int columns = static_cast<int>((m + 3) / 4);
  const int size = (row_bins - 1 - rows) * column_bins + column_bins - 1 - columns;
  return 2 + (kind == short16 ? size_bins : 0) + size;
}

// place: after find_starts, else counts. Sets of one length are one bin: lanes count together.
__global__ void sort_pairs(const __grid_constant__ PlanCall call, bool place) {
  const bool wrong = call.report->errors != 0;
  for (int64_t i = thread_number(); i < call.p.pairs.count; i += thread_count(call.blocks)) {
    if (wrong) {
      if (call.p.floating) {
        static_cast<double*>(call.out)[i] = __builtin_nan("");
      } else {
        static_cast<int32_t*>(call.out)[i] = INT32_MIN;
      }
      continue;
    }
    const int bin = bin_of(call, i);
    if (bin < 0) continue;
    const int at = count_up(&call.bins[bin]);
    if (place) call.order[at] = static_cast<uint32_t>(i);
  }
}

// The sum of value(i) over 0 .. count - 1, and each one's sum of those before it to write(i, sum).
// One block; `shared` has a number for each thread and one more.
template <class Value, class Write>
NEURN_DEVICE void sums_before(int64_t count, int64_t* shared, const Value& value,
                              const Write& write) {
  const int64_t threads = blockDim.x, own = threadIdx.x, each = (count + threads - 1) / threads;
  const int64_t begin = own * each < count ? own * each : count;
  const int64_t end = begin + each < count ? begin + each : count;
  int64_t sum = 0;
  for (int64_t i = begin; i < end; ++i) sum += value(i);
  shared[own] = sum;
  __syncthreads();
  if (own == 0) {
    int64_t before = 0;
    for (int64_t t = 0; t <= threads; ++t) {
      const int64_t here = t < threads ? shared[t] : 0;
      shared[t] = before;
      before += here;
    }
  }
  __syncthreads();
  sum = shared[own];
  for (int64_t i = begin; i < end; ++i) {
    const int64_t here = value(i);
    write(i, sum);
    sum += here;
  }
  if (own == 0) write(count, shared[threads]);
}

// Where bins begin, in place of how many pairs they hold.
__global__ void find_starts(const __grid_constant__ PlanCall call) {
  int64_t* shared = reinterpret_cast<int64_t*>(neurn::cuda::shared_memory());
  sums_before(
      bins_in_all, shared, [&](int64_t bin) { return int64_t{call.bins[bin]}; },
      [&](int64_t bin, int64_t start) {
        const int64_t first[] = {0, 1, 2, 2 + size_bins, bins_in_all};
        for (int kind = 0; kind <= kinds; ++kind) {
          if (bin == first[kind]) call.report->starts[kind] = start;
        }
        if (bin < bins_in_all) call.bins[bin] = static_cast<int>(start);
      });
}

}  // namespace neurn::align::cuda
