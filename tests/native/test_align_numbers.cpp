// Runs the aligner's lanes of numbers, by name and whatever a planner would choose, against a
// row-by-row reference: scorings at every bound of every size of number.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "align/engine.h"
#include "align/kernels.h"
#include "align/number_set.h"
#include "align/plan.h"
#include "align/threads.h"

namespace neurn::align {
namespace {

int64_t cases = 0, failures = 0;
std::mt19937 random_bits(11);

int64_t below(int64_t n) { return static_cast<int64_t>(random_bits() % static_cast<uint64_t>(n)); }

void expect(bool holds, const std::string& what) {
  ++cases;
  if (!holds && ++failures <= 20) std::printf("FAILED %s\n", what.c_str());
}

// Exactly as large as the tokens, so that a read past them is seen.
struct Set {
  std::unique_ptr<Token[]> tokens;
  std::vector<int64_t> offsets{0};

  Set(const std::vector<int64_t>& sizes, int64_t alphabet) {
    for (const int64_t size : sizes) offsets.push_back(offsets.back() + size);
    tokens = std::make_unique<Token[]>(static_cast<size_t>(offsets.back()));
    // Runs of one token, so that gaps of several tokens pay.
    for (int64_t i = 0; i < offsets.back(); ++i) {
      const bool same = i > 0 && below(3) == 0;
      tokens[i] = same ? tokens[i - 1] : static_cast<Token>(below(alphabet));
    }
  }
  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  Sequences view() const { return {tokens.get(), offsets.data(), count()}; }
};

int64_t reference(const Scoring& s, Sequence a, Sequence b) {
  constexpr int64_t none = int64_t{-1} << 60;
  const auto border = [&](int64_t i) { return i == 0 ? 0 : s.gap_open + s.gap_extend * i; };
  std::vector<int64_t> best(static_cast<size_t>(b.size + 1)), up(best.size(), none);
  for (int64_t j = 0; j <= b.size; ++j) best[j] = border(j);
  for (int64_t i = 0; i < a.size; ++i) {
    int64_t diagonal = best[0], left = none;
    best[0] = border(i + 1);
    for (int64_t j = 1; j <= b.size; ++j) {
      up[j] = std::max(up[j], best[j] + s.gap_open) + s.gap_extend;
      left = std::max(left, best[j - 1] + s.gap_open) + s.gap_extend;
      const int64_t step = diagonal + s(a.data[i], b.data[j - 1]);
      diagonal = best[j];
      best[j] = std::max(step, std::max(up[j], left));
    }
  }
  return best[b.size];
}

struct Case {
  std::string name;
  Scoring scoring;
  int64_t alphabet;
  int bytes;
  bool symmetric;
  std::vector<int32_t> table;
};

Case two_scores(int64_t match, int64_t mismatch, int64_t open, int64_t extend, int64_t alphabet,
                int bytes) {
  const std::string name = std::to_string(match) + "/" + std::to_string(mismatch) + "/" +
                           std::to_string(open) + "/" + std::to_string(extend);
  return {name, {match, mismatch, nullptr, 0, open, extend}, alphabet, bytes, true, {}};
}

// A table from low to high, both of which are in it.
Case with_table(int64_t low, int64_t high, int64_t open, int64_t extend, int64_t alphabet,
                bool symmetric, int bytes) {
  std::vector<int32_t> table(static_cast<size_t>(alphabet * alphabet));
  for (int64_t i = 0; i < alphabet; ++i) {
    for (int64_t j = 0; j < alphabet; ++j) {
      const int64_t score = i == j ? high - below(2) : low + below((high - low + 2) / 2);
      table[i * alphabet + j] = symmetric && j < i ? table[j * alphabet + i] : int32_t(score);
    }
  }
  table[0] = int32_t(high);
  table[alphabet * alphabet - 1] = int32_t(low);
  const std::string name = "table " + std::to_string(low) + ".." + std::to_string(high) + " of " +
                           std::to_string(alphabet) + "/" + std::to_string(open) + "/" +
                           std::to_string(extend) + (symmetric ? "" : " asymmetric");
  return {name, {0, 0, nullptr, alphabet, open, extend}, alphabet, bytes, symmetric, table};
}

std::vector<Case> all_cases() {
  std::vector<Case> out;
  const auto add = [&](Case of) { out.push_back(std::move(of)); };
  // Linear: the largest difference is match - 2 gaps.
  add(two_scores(5, -4, 0, -8, 20, 1));
  add(two_scores(1, -2, 0, -2, 4, 1));
  add(two_scores(55, -100, 0, -100, 5, 1));
  add(two_scores(56, -100, 0, -100, 5, 2));
  add(two_scores(255, 0, 0, 0, 300, 1));
  add(two_scores(-1, -7, 0, -128, 300, 1));
  add(two_scores(-9, 7, 0, -20, 3, 1));
  add(two_scores(-9, -7, 0, -2, 3, 1));
  add(two_scores(35535, -20000, 0, -15000, 20, 2));
  add(two_scores(35536, -20000, 0, -15000, 20, 4));
  add(two_scores(2000000000, -2000000000, 0, -1000000000, 300, 4));
  add(two_scores(2294967295, -2000000000, 0, -1000000000, 9, 4));
  // Affine: it is match - 2 extends - 3 opens.
  add(two_scores(1, -2, -3, -1, 4, 1));
  add(two_scores(1, -2, -3, -1, 300, 1));
  add(two_scores(2, -9, -1, 0, 2, 1));
  add(two_scores(8, -40, -30, -15, 6, 1));
  add(two_scores(9, -40, -30, -15, 6, 2));
  add(two_scores(128 - 126, -90, -42, 0, 6, 1));
  add(two_scores(-10, -90, -36, -15, 6, 1));
  add(two_scores(-10, 12, -31, -11, 6, 1));
  add(two_scores(-50, -60, -42, -1, 6, 1));
  add(two_scores(768, -4000, -10000, -1000, 20, 2));
  add(two_scores(769, -4000, -10000, -1000, 20, 4));
  add(two_scores(147483648, -1000000000, -500000000, -250000000, 20, 4));
  for (const bool symmetric : {true, false}) {
    add(with_table(-4, 11, 0, -4, 24, symmetric, 1));
    add(with_table(-4, 11, -10, -1, 24, symmetric, 1));
    add(with_table(-4, 11, -11, -1, 2, symmetric, 1));
    add(with_table(-90, 55, 0, -100, 70, symmetric, 1));
    add(with_table(-90, 56, 0, -100, 70, symmetric, 2));
    add(with_table(-30, 8, -30, -15, 300, symmetric, 1));
    add(with_table(-30, 9, -30, -15, 300, symmetric, 2));
    add(with_table(-3000, 768, -10000, -1000, 9, symmetric, 2));
    add(with_table(-300, 769, -10000, -1000, 9, symmetric, 4));
    add(with_table(-70000, 70000, 0, -9000, 20, symmetric, 4));
  }
  return out;
}

// All pairs of a and b, by every way.
void test_cross(const Case& of, const Scoring& scoring, const NumberScoring& numbers,
                const Sequences& a, const Sequences& b, bool symmetric, int threads) {
  const std::string about = of.name + " " + std::to_string(a.count) + " x " +
                            std::to_string(b.count) + (symmetric ? " symmetric" : "");
  const Parallel parallel = on_threads(threads);
  const int64_t all = a.count * b.count, stride = b.count + 1, unset = int64_t{1} << 60;
  std::vector<int64_t> expected(static_cast<size_t>(a.count * stride), unset);
  for (int64_t i = 0; i < a.count; ++i) {
    for (int64_t j = 0; j < b.count; ++j) {
      expected[i * stride + j] =
          symmetric && j < i ? expected[j * stride + i] : reference(scoring, a[i], b[j]);
    }
  }
  std::vector<int64_t> lanes(expected.size(), unset), planned(lanes);
  number_scores(number_kernels(), numbers, scoring, a, b, symmetric, lanes.data(), stride,
                parallel);
  cross_scores(a, b, symmetric, scoring, Region{}, planned.data(), stride, parallel);
  expect(lanes == expected, "lanes " + about);
  expect(planned == expected, "cross_scores " + about);
  if (symmetric || a.tokens != b.tokens || a.count != b.count) return;
  std::vector<int64_t> pairs, chosen, want, listed(static_cast<size_t>(all), unset), scored(listed);
  for (int64_t k = 0; k < all; ++k) {
    const int64_t p = k * 7919 % all;  // some order
    pairs.push_back(p / b.count);
    pairs.push_back(p % b.count);
    want.push_back(expected[p / b.count * stride + p % b.count]);
    if (a[p / b.count].size > 0 && b[p % b.count].size > 0) chosen.push_back(k);
  }
  const int64_t count = static_cast<int64_t>(chosen.size());
  number_pair_scores(number_kernels(), numbers, scoring, a, pairs.data(), chosen.data(), count,
                     listed.data(), parallel);
  bool equal = true;
  for (const int64_t k : chosen) equal = equal && listed[k] == want[k];
  expect(equal, "list of pairs " + about);
  pair_scores(a, pairs.data(), all, scoring, Region{}, scored.data(), parallel);
  expect(scored == want, "pair_scores " + about);
}

std::vector<int64_t> sizes(int64_t count, int64_t longest) {
  std::vector<int64_t> out;
  for (int64_t i = 0; i < count; ++i) out.push_back(below(longest));
  return out;
}

void test_case(const Case& of, int round) {
  Scoring scoring = of.scoring;
  if (!of.table.empty()) scoring.table = of.table.data();
  const auto numbers = number_scoring(scoring, Region{});
  expect(numbers && numbers->bytes == of.bytes, "bytes of " + of.name);
  if (!numbers) return;
  const Set few(sizes(7, 200), of.alphabet), many(sizes(70, 12), of.alphabet);
  const Set one(sizes(5, 70), of.alphabet);
  const int threads = 1 + round % 2;
  test_cross(of, scoring, *numbers, few.view(), few.view(), false, threads);
  test_cross(of, scoring, *numbers, many.view(), many.view(), false, threads);
  test_cross(of, scoring, *numbers, one.view(), many.view(), false, threads);
  test_cross(of, scoring, *numbers, few.view(), one.view(), false, threads);
  if (!of.symmetric) return;
  test_cross(of, scoring, *numbers, few.view(), few.view(), true, threads);
  test_cross(of, scoring, *numbers, many.view(), many.view(), true, threads);
}

// Sums along long rows, and more symbols than a profile has room for.
void test_long() {
  const Case linear = two_scores(65535, -9, 0, 0, 2, 2);
  const Case affine = two_scores(60, -20, -20, -4, 2, 1);
  const Case symbols = with_table(-4, 11, -10, -1, 300, false, 1);
  const Set few({150, 90}, 2), wide({4000}, 2), rows({200}, 300), columns({3900}, 300);
  const auto run = [](const Case& of, const Set& a, const Set& b) {
    Scoring scoring = of.scoring;
    if (!of.table.empty()) scoring.table = of.table.data();
    const auto numbers = number_scoring(scoring, Region{});
    test_cross(of, scoring, *numbers, a.view(), b.view(), false, 1);
  };
  run(linear, few, wide);
  run(affine, few, wide);
  run(symbols, rows, columns);
}

// What lanes of numbers do not hold.
void test_refused() {
  Region region;
  const Scoring scoring{5, -4, nullptr, 0, 0, -8};
  region.band = 3;
  expect(!number_scoring(scoring, region), "a band goes pair by pair");
  region = {};
  region.a_end = true;
  expect(!number_scoring(scoring, region), "free ends go pair by pair");
  expect(!number_scoring({2294967296, 0, nullptr, 0, 0, -1000000000}, {}), "linear, too large");
  expect(!number_scoring({147483649, 0, nullptr, 0, -500000000, -250000000}, {}),
         "affine, too large");
  expect(!number_scoring({1, int64_t{-1} << 62, nullptr, 0, 0, -1}, {}), "beyond all bounds");
}

}  // namespace
}  // namespace neurn::align

int main() {
  using namespace neurn::align;
  int round = 0;
  for (const Case& of : all_cases()) test_case(of, round++);
  test_long();
  test_refused();
  std::printf("%s: %lld passed, %lld failed\n", kernels().name,
              static_cast<long long>(cases - failures), static_cast<long long>(failures));
  return failures == 0 ? 0 : 1;
}
