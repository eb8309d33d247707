// Runs the aligner's CUDA kernels on a processor (cuda_emulator.h), in several orders of their
// threads, against the kernels of the processor: random sets and scorings of every kind, ragged and
// empty sequences, and sizes that are no multiple of any tile.
#include <algorithm>
#include <cinttypes>
#include <cstdio>
#include <limits>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

#include "align/cuda/kernels.h"
#include "align/engine.h"
#include "align/threads.h"
#include "cuda_emulator.h"
#include "cuda_memory.h"

namespace neurn::align {
namespace {

using neurn::cuda::Memory;
namespace emulator = neurn::emulator;

int failures = 0;
int64_t passed = 0;
std::mt19937 random_bits(5);

int64_t draw(int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(random_bits);
}

void expect(bool holds, const std::string& what) {
  if (holds) {
    ++passed;
  } else {
    ++failures;
    std::printf("FAILED %s\n", what.c_str());
  }
}

// Sequences of given sizes, one after the other.
struct Set {
  std::vector<int64_t> tokens, offsets{0};

  Set(const std::vector<int64_t>& sizes, int64_t symbols) {
    for (const int64_t size : sizes) {
      // Like its forerunner here and there, as architectures are.
      const int64_t before = offsets.size() > 1 ? offsets[offsets.size() - 2] : 0;
      for (int64_t i = 0; i < size; ++i) {
        const bool again = draw(0, 1) == 0 && before + i < offsets.back();
        tokens.push_back(again ? tokens[before + i] : draw(0, symbols - 1));
      }
      offsets.push_back(int64_t(tokens.size()));
    }
  }
  int64_t count() const { return int64_t(offsets.size()) - 1; }
};

// Scores as the operator takes them; whole ones are these times `scale`.
struct Costs {
  std::string name;
  std::vector<int64_t> substitution;
  int64_t symbols;  // 0: two scores
  int64_t gap_open, gap_extend;
  double scale = 1;
  bool floating = false;
};

Costs two(int64_t match, int64_t mismatch, int64_t gap_open, int64_t gap_extend) {
  return {"two scores", {match, mismatch}, 0, gap_open, gap_extend};
}

Costs table(int64_t symbols, int64_t low, int64_t high, int64_t gap_open, int64_t gap_extend) {
  Costs costs{"table", {}, symbols, gap_open, gap_extend};
  for (int64_t i = 0; i < symbols * symbols; ++i) costs.substitution.push_back(draw(low, high));
  return costs;
}

// Scores and paths of the processor's kernels.
struct Expected {
  std::vector<Token> tokens;
  std::vector<int32_t> entries;
  Scoring scoring;
  const Set& set;

  Expected(const Set& set, const Costs& costs)
      : tokens(set.tokens.begin(), set.tokens.end()),
        entries(costs.substitution.begin(), costs.substitution.end()),
        scoring{0, 0, nullptr, 0, costs.gap_open, costs.gap_extend},
        set(set) {
    if (costs.symbols == 0) {
      scoring.match = costs.substitution[0], scoring.mismatch = costs.substitution[1];
    } else {
      scoring.table = entries.data(), scoring.symbols = costs.symbols;
    }
  }
  Sequences sequences() const { return {tokens.data(), set.offsets.data(), set.count()}; }
};

std::vector<double> expected(const Set& set, const std::vector<int64_t>& pairs,
                             const Costs& costs) {
  const Expected call(set, costs);
  const int64_t count = int64_t(pairs.size()) / 2;
  std::vector<int64_t> scores(count);
  pair_scores(call.sequences(), pairs.data(), count, call.scoring, {}, scores.data(),
              on_threads(1));
  std::vector<double> out;
  for (const int64_t score : scores) out.push_back(double(score) / costs.scale);
  return out;
}

// What the kernels make of a call, and whether they take it.
struct Outcome {
  bool right;
  std::vector<double> scores;
};

// A call's substitution as the kernels read it.
struct Given {
  std::vector<double> floats;
  cuda::Problem problem;

  Given(const Set& set, const cuda::Pairs& pairs, const Costs& costs) {
    for (const int64_t score : costs.substitution) floats.push_back(double(score) / costs.scale);
    const double scale = costs.floating ? costs.scale : 1;
    problem = {set.tokens.data(),
               int64_t(set.tokens.size()),
               set.offsets.data(),
               set.count(),
               pairs,
               costs.floating,
               costs.floating ? static_cast<const void*>(floats.data()) : costs.substitution.data(),
               costs.symbols,
               double(costs.gap_open) / scale,
               double(costs.gap_extend) / scale};
  }
};

Outcome run(const Set& set, const cuda::Pairs& pairs, const Costs& costs, bool waits,
            const neurn::cuda::Device& device) {
  Memory memory;
  const neurn::cuda::Stream stream{device, {&memory, &Memory::allocate}, nullptr};
  const Given given(set, pairs, costs);
  const bool floating = costs.floating;
  std::vector<double> wide(pairs.count);
  std::vector<int32_t> narrow(pairs.count);
  const bool right = cuda::scores(
      given.problem, floating ? static_cast<void*>(wide.data()) : narrow.data(), waits, stream);
  if (!floating) wide.assign(narrow.begin(), narrow.end());
  return {right, wide};
}

const neurn::cuda::Device small{1, 227 << 10, 228 << 10, 1};
const neurn::cuda::Device large{3, 99 << 10, 100 << 10, 1};

void check(const Set& set, const std::vector<int64_t>& listed, const Costs& costs) {
  static int turn = 0;
  ++turn;
  emulator::order = emulator::Order(turn % 3);
  const cuda::Pairs pairs{listed.data(), nullptr, nullptr, 0, 0, int64_t(listed.size()) / 2};
  const Outcome outcome = run(set, pairs, costs, turn % 2 == 0, turn % 5 < 3 ? small : large);
  const std::vector<double> wanted = expected(set, listed, costs);
  expect(outcome.right && outcome.scores == wanted,
         costs.name + ", open " + std::to_string(costs.gap_open) + ", gap " +
             std::to_string(costs.gap_extend) + ", " + std::to_string(set.count()) + " sequences");
  for (size_t i = 0; i < wanted.size() && outcome.scores != wanted; ++i) {
    if (outcome.scores[i] == wanted[i]) continue;
    std::printf("  pair %zu: %g, not %g\n", i, outcome.scores[i], wanted[i]);
    break;
  }
}

std::vector<int64_t> random_pairs(const Set& set, int64_t count) {
  std::vector<int64_t> pairs;
  for (int64_t i = 0; i < 2 * count; ++i) pairs.push_back(draw(0, set.count() - 1));
  return pairs;
}

std::vector<int64_t> sizes(int64_t count, int64_t low, int64_t high) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(draw(low, high));
  return out;
}

std::vector<Costs> every_kind(int64_t symbols) {
  std::vector<Costs> all{two(1, -2, 0, -2),
                         two(1, -2, -3, -1),
                         two(5, -4, 0, 0),
                         two(-1, 3, -7, -2),
                         two(1000, -500, 0, -20),
                         two(1000, -500, -4000, -20),
                         two(30000, -30000, -9000, -30000),
                         table(symbols, -4, 11, 0, -3),
                         table(symbols, -4, 11, -10, -1),
                         table(symbols, -900, 900, -100, -11),
                         table(symbols, -20000, 20000, 0, -1)};
  Costs halves = two(4, -2, 0, -1);
  halves.scale = 2, halves.floating = true;
  all.push_back(halves);
  Costs wide = two(int64_t{1} << 40, -3, -5, -(int64_t{1} << 33));
  wide.floating = true;
  all.push_back(wide);
  Costs wide_table = table(symbols, -2000000000, 2000000000, -9, -100);
  wide_table.floating = true;
  all.push_back(wide_table);
  Costs same = table(symbols, -3, -3, -1, -2);
  for (int64_t i = 0; i < symbols; ++i) same.substitution[size_t(i * symbols + i)] = 2;
  all.push_back(same);
  return all;
}

void check_scores() {
  for (const Costs& costs : every_kind(7)) {
    const Set ragged(sizes(17, 0, 90), 7);
    check(ragged, random_pairs(ragged, 21), costs);
    const Set strips({1, 63, 64, 65, 130, 4, 129, 0}, 7);
    check(strips, random_pairs(strips, 9), costs);
  }
  const Set equal(sizes(40, 30, 30), 4);
  check(equal, random_pairs(equal, 150), two(1, -2, 0, -2));
  // Tables of any size.
  for (const int64_t symbols : {1, 2, 255, 256, 257, 300}) {
    const Set set(sizes(9, 0, 40), symbols);
    check(set, random_pairs(set, 11), table(symbols, -5, 9, -3, -1));
    check(set, random_pairs(set, 11), table(symbols, -100000, 100000, 0, -1));
  }
  // In shared memory, 32 copies of it, 16, or one, as they fit.
  for (const int64_t symbols : {27, 28, 29, 42, 43, 60, 61}) {
    const Set set(sizes(9, 0, 70), symbols);
    for (int device = 0; device < 5; ++device) {
      check(set, random_pairs(set, 11), table(symbols, -5, 9, -3, -1));
    }
    check(set, random_pairs(set, 11), table(symbols, -5000, 9000, 0, -1));
  }
  const Set rare(sizes(6, 0, 50), 65536);
  check(rare, random_pairs(rare, 9), two(2, -1, -1, -1));
}

// The most that 16 and 32 bits are taken for, and 1 more.
void check_limits() {
  const std::vector<int64_t> lengths{7, 7, 1, 1, 40, 6, 2, 8, 0, 4, 70};
  const Set set(lengths, 2), alike(lengths, 1);  // alike: scores that are as large as can be
  const int64_t most = int64_t{1} << 30;
  for (const int64_t further : {0, 1}) {
    Costs all[] = {two(32767 + further, -32768, -8192, 0),
                   two(4681 + further, -32768, -8192, 0),
                   two(4679 + further, -32768, -8192, -1),
                   two(4681, -32768, -8192 - further, 0),
                   two(16384, -32768, -8192, 0),
                   two(4096, -32768, -8192, 0),
                   two(most / 2, -most, 1 - most / 4, 0),
                   two(most - 1 + further, -most, 1 - most / 4, 0),
                   two(153391689 + further, -most, 1 - most / 4, 0),
                   two(153391687 + further, -most, 1 - most / 4, -1),
                   two(153391689, -most, 1 - most / 4 - further, 0),
                   table(2, -2 * most, 4681 + further, -8192, 0),
                   table(2, -2 * most, most - 1 + further, 1 - most / 4, 0)};
    for (Costs& costs : all) {
      costs.floating = true;  // sums beyond int32 among them
      if (costs.symbols > 0) {
        costs.substitution[0] = costs.substitution[3] = 4681 + further;
        costs.substitution[1] = -2 * most;
      }
      check(set, random_pairs(set, 40), costs);
      check(alike, random_pairs(alike, 60), costs);
    }
  }
}

// Every one of some sequences with every one of others.
void check_all(const Set& set, const std::vector<int64_t>& first,
               const std::vector<int64_t>& second, const Costs& costs) {
  static int turn = 0;
  ++turn;
  emulator::order = emulator::Order(turn % 3);
  const int64_t rows = int64_t(first.size()), columns = int64_t(second.size());
  std::vector<int64_t> listed;
  for (const int64_t i : first) {
    for (const int64_t j : second) listed.push_back(i), listed.push_back(j);
  }
  const cuda::Pairs pairs{nullptr, first.data(), second.data(), rows, columns, rows * columns};
  const Outcome outcome = run(set, pairs, costs, turn % 4 != 0, turn % 5 < 3 ? small : large);
  expect(outcome.right && outcome.scores == expected(set, listed, costs),
         "all " + std::to_string(rows) + " with all " + std::to_string(columns) + ", match " +
             std::to_string(costs.substitution[0]) + ", mismatch " +
             std::to_string(costs.substitution[1]) + ", gap " + std::to_string(costs.gap_extend));
}

void check_cross(const Set& set, int64_t rows, int64_t columns, const Costs& costs) {
  std::vector<int64_t> first, second;
  for (int64_t i = 0; i < rows; ++i) first.push_back(draw(0, set.count() - 1));
  for (int64_t j = 0; j < columns; ++j) second.push_back(draw(0, set.count() - 1));
  check_all(set, first, second, costs);
}

void check_crosses() {
  // Bit planes: the published scoring, and 1 to 4 planes with scores that never and always pay.
  const Costs scorings[] = {two(1, -2, 0, -2), two(1, -2, 0, -2), two(0, -1, 0, 0),
                            two(1, 0, 0, 0),   two(1, -1, 0, -1), two(-3, 1, 0, -1),
                            two(4, -2, 0, -1), two(7, 3, 0, -1),  two(5, -20, 0, -5),
                            two(9, -9, 0, -3), two(2, 2, 0, -1),  two(-5, -7, 0, -1)};
  for (const Costs& costs : scorings) {
    const Set ragged(sizes(50, 0, 70), 6);
    check_cross(ragged, draw(20, 45), draw(20, 70), costs);
    const Set exact({16, 32, 31, 33, 15, 17, 1, 0, 64}, 3);
    check_cross(exact, 64, 64, costs);
  }
  Costs halves = two(4, -2, 0, -1);
  halves.scale = 2, halves.floating = true;
  const Set set(sizes(30, 0, 40), 20);
  check_cross(set, 33, 95, halves);
  Costs same = table(20, -3, -3, 0, -2);
  for (int64_t i = 0; i < 20; ++i) same.substitution[size_t(i * 20 + i)] = 1;
  check_cross(set, 300, 40, same);
  check_cross(set, 64, 33, two(1, -2, -1, -2));
  check_cross(set, 64, 33, two(20, -2, 0, -2));
  check_cross(set, 1, 50, two(1, -2, 0, -2));
  check_cross(set, 0, 5, two(1, -2, 0, -2));
  const Set many(sizes(20, 0, 60), 5000);
  check_cross(many, 40, 40, two(1, -2, 0, -2));
  const Set empty({0, 0, 0}, 2);
  check_cross(empty, 40, 40, two(1, -2, 0, -2));
  // Queries may be longer than targets may.
  const Set tall({4097, 5, 20, 0, 4099, 17}, 3);
  check_all(tall, {0, 4, 1, 4, 0, 2}, {1, 2, 3, 5, 5, 1}, two(1, -2, 0, -2));
  // Sums of differences near what their planes hold.
  const Set longest({4096, 3, 40, 0, 1, 2, 1, 5, 4096}, 1);
  check_all(longest, {0, 1, 2, 3, 4, 5, 6, 7, 1, 2, 3, 4, 5, 6, 7, 1}, {8, 1, 8, 7, 4, 5, 6, 3},
            two(13, 0, 0, -1));
}

// Longer than what a few lanes take.
void check_long() {
  const Set set({2049, 300, 2050, 7, 0, 600, 1}, 5);
  const std::vector<int64_t> pairs{0, 3, 3, 0, 0, 1, 1, 2, 6, 2, 4, 0, 5, 5, 0, 6};
  check(set, pairs, two(1, -2, 0, -2));
  check(set, pairs, two(1, -2, -5, -1));
  check(set, pairs, table(5, -4, 11, -10, -1));
  Costs wide = two(int64_t{1} << 36, -3, -5, -(int64_t{1} << 33));
  wide.floating = true;
  check(set, pairs, wide);
  // More pairs than have room at a time, by blocks one after the other and all together.
  const Set many({2049, 2300, 2304, 2305, 1, 5, 31, 32, 33}, 3);
  std::vector<int64_t> crowd;
  for (int64_t p = 0; p < 20; ++p) crowd.push_back(draw(0, 3)), crowd.push_back(draw(4, 8));
  const int64_t enough = cuda::most_border_bytes;
  for (const bool together : {false, true}) {
    emulator::together = together;
    for (const int64_t bytes : {int64_t{1}, int64_t{1000}, enough}) {
      cuda::most_border_bytes = bytes;
      check(many, crowd, two(1, -2, 0, -2));
    }
    check(many, crowd, table(3, -4, 11, -10, -1));
    check(many, crowd, wide);
  }
  emulator::together = false;
  // The longest that sets promise.
  const Set longest({65535, 3, 0, 1}, 4);
  check(longest, {0, 1, 1, 0, 0, 2, 2, 0, 3, 0}, two(2, -1, 0, -1));
  check(longest, {0, 1, 3, 0, 2, 0}, table(4, -4, 11, -10, -1));
}

// Paths of pairs, in memory for `slots` of them at a time.
void check_paths(const Set& set, const std::vector<int64_t>& listed, const Costs& costs,
                 int64_t memory) {
  static int turn = 0;
  ++turn;
  emulator::order = emulator::Order(turn % 3);
  const int64_t count = int64_t(listed.size()) / 2;
  const cuda::Pairs pairs{listed.data(), nullptr, nullptr, 0, 0, count};
  const Given given(set, pairs, costs);
  Memory taken;
  const neurn::cuda::Stream stream{
      turn % 2 == 0 ? small : large, {&taken, &Memory::allocate}, nullptr};
  std::vector<double> wide(count);
  std::vector<int32_t> narrow(count);
  std::vector<int64_t> starts(count + 1), begins(count);
  std::vector<uint8_t> moves;
  const auto make = [](void* self, int64_t size) {
    auto& moves = *static_cast<std::vector<uint8_t>*>(self);
    moves.resize(size_t(size));
    return moves.data();
  };
  const cuda::Paths out{costs.floating ? static_cast<void*>(wide.data()) : narrow.data(),
                        starts.data(), begins.data(), &moves, make};
  const std::string what = "paths of " + costs.name + ", open " + std::to_string(costs.gap_open) +
                           ", gap " + std::to_string(costs.gap_extend);
  if (!cuda::paths(given.problem, out, memory, stream)) return expect(false, what);
  const int64_t arguments = 2 * int64_t(set.tokens.size()) + 4 * int64_t(costs.substitution.size());
  expect(taken.taken <= memory + arguments + 1024, what + ", in the memory that they may take");
  const Expected call(set, costs);
  bool right = true;
  for (int64_t p = 0; p < count; ++p) {
    std::vector<Move> path;
    const Sequences all = call.sequences();
    const int64_t score = align(all[listed[2 * p]], all[listed[2 * p + 1]], call.scoring, {}, path);
    right = right && (costs.floating ? wide[p] : narrow[p]) == double(score) / costs.scale;
    right = right && starts[p + 1] - begins[p] == int64_t(path.size());
    for (size_t k = 0; right && k < path.size(); ++k) {
      right = moves[size_t(begins[p]) + k] == uint8_t(path[k]);
    }
  }
  expect(right, what);
}

void check_every_path() {
  for (const Costs& costs : every_kind(5)) {
    const Set ragged(sizes(15, 0, 60), 5);
    check_paths(ragged, random_pairs(ragged, 12), costs, 1 << 20);
    const Set alike({90, 90, 89, 1, 0}, 2);
    check_paths(alike, random_pairs(alike, 5), costs, 1 << 20);
  }
  // Several strips; memory for one pair at a time.
  const Set tall({600, 40, 257, 256, 513, 1, 0}, 4);
  const std::vector<int64_t> pairs{0, 1, 2, 3, 4, 1, 1, 0, 3, 2, 5, 0, 0, 5, 6, 4, 2, 2};
  check_paths(tall, pairs, two(1, -2, 0, -2), 600 * (2 * 8 + 64));
  check_paths(tall, pairs, two(1, -2, -4, -1), 600 * (2 * 16 + 256));
  check_paths(tall, pairs, table(4, -3, 5, 0, -1), 4 * 600 * (2 * 8 + 64));
  bool refused = false;
  try {
    check_paths(tall, pairs, two(1, -2, 0, -2), 600 * (2 * 8 + 64) - 1);
  } catch (const std::runtime_error& error) {
    refused = std::string(error.what()).find("memory must be at least 48000 bytes") == 0;
  }
  expect(refused, "refuses to take more memory");
  const Set longest({65535, 2}, 3);
  check_paths(longest, {0, 1}, two(1, -2, 0, -2), 1 << 20);
  check_paths(longest, {0, 1}, two(1, -2, -3, -1), 1 << 20);
  check_paths(longest, {1, 0}, two(1, -2, 0, -2), 65535 * 64);
}

void refused(const char* what, const Set& set, const std::vector<int64_t>& listed,
             const Costs& costs) {
  const cuda::Pairs pairs{listed.data(), nullptr, nullptr, 0, 0, int64_t(listed.size()) / 2};
  expect(!run(set, pairs, costs, true, small).right, std::string("refuses ") + what);
  const Outcome outcome = run(set, pairs, costs, false, small);
  bool none = true;
  for (const double score : outcome.scores) {
    none =
        none && (costs.floating ? std::isnan(score) : score == std::numeric_limits<int32_t>::min());
  }
  expect(none, std::string("has no scores for ") + what);
}

void check_refusals() {
  const Set good(sizes(5, 3, 9), 4);
  const std::vector<int64_t> pairs{0, 1, 2, 3};
  refused("a number of no sequence", good, {0, 1, 2, 5}, two(1, -2, 0, -2));
  refused("a negative number of a sequence", good, {-1, 1}, two(1, -2, 0, -2));
  Set bad = good;
  bad.tokens[4] = 65536;
  refused("a large token", bad, pairs, two(1, -2, 0, -2));
  bad.tokens[4] = -1;
  refused("a negative token", bad, pairs, two(1, -2, 0, -2));
  refused("a token that the table lacks", good, pairs, table(2, 1, 2, 0, -1));
  bad = good;
  bad.offsets[2] = bad.offsets[1] - 1;
  refused("offsets that fall", bad, pairs, two(1, -2, 0, -2));
  bad.offsets[2] = bad.offsets.back() + 1;
  refused("offsets behind the tokens", bad, pairs, two(1, -2, 0, -2));
  refused("scores beyond int32", good, pairs, two(1 << 30, 0, 0, 0));
  Costs wrong = two(1, -2, 0, -2);
  wrong.floating = true, wrong.scale = 3;
  refused("scores that no power of two makes whole", good, pairs, wrong);
  wrong.scale = std::numeric_limits<double>::quiet_NaN();
  refused("scores that are no numbers", good, pairs, wrong);
  wrong.scale = 0x1p-60;
  refused("scores beyond 2^53", good, pairs, wrong);
  refused("a table beyond int32", good, pairs, table(4, int64_t{1} << 31, int64_t{1} << 31, 0, 0));
}

}  // namespace
}  // namespace neurn::align

int main() {
  using namespace neurn::align;
  check_scores();
  check_limits();
  check_crosses();
  check_long();
  check_every_path();
  check_refusals();
  std::printf("%" PRId64 " passed, %d failed\n", passed, failures);
  return failures == 0 ? 0 : 1;
}
