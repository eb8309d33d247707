// Runs the aligner's kernels on bit planes, each by name and whatever a planner would choose,
// against a row-by-row reference: any scoring, lengths that are no multiple of anything, and paths
// move by move.
#include <algorithm>
#include <cstdio>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "align/engine.h"
#include "align/kernels.h"
#include "align/lane_set.h"
#include "align/plan.h"
#include "align/strip_pair.h"
#include "align/strip_set.h"
#include "align/strip_sweep.h"
#include "align/strip_walk.h"
#include "align/threads.h"

// Cells in a namespace of their own, with vectors that every processor has.
#define NEURN_ISA cell_test
#undef NEURN_VECTOR_BYTES
#define NEURN_VECTOR_BYTES 16
#include "align/cpu/bits.h"

namespace neurn::align {
namespace {

int64_t cases = 0, failures = 0;
std::mt19937 random_bits(7);

int64_t below(int64_t n) { return static_cast<int64_t>(random_bits() % static_cast<uint64_t>(n)); }

void expect(bool holds, const std::string& what) {
  ++cases;
  if (!holds && ++failures <= 20) std::printf("FAILED %s\n", what.c_str());
}

std::string name(const Scoring& s) {
  return std::to_string(s.match) + "/" + std::to_string(s.mismatch) + "/" +
         std::to_string(s.gap_extend);
}

// Exactly as large as the tokens, so that a read past them is seen.
struct Set {
  std::unique_ptr<Token[]> tokens;
  std::vector<int64_t> offsets{0};

  Set(const std::vector<int64_t>& sizes, int64_t alphabet) {
    for (const int64_t size : sizes) offsets.push_back(offsets.back() + size);
    tokens = std::make_unique<Token[]>(static_cast<size_t>(offsets.back()));
    for (int64_t i = 0; i < offsets.back(); ++i) tokens[i] = static_cast<Token>(below(alphabet));
  }
  int64_t count() const { return static_cast<int64_t>(offsets.size()) - 1; }
  Sequences view() const { return {tokens.get(), offsets.data(), count()}; }
};

int64_t reference(const Scoring& s, Sequence a, Sequence b) {
  std::vector<int64_t> row(static_cast<size_t>(b.size + 1));
  for (int64_t j = 0; j <= b.size; ++j) row[j] = s.gap_extend * j;
  for (int64_t i = 0; i < a.size; ++i) {
    int64_t diagonal = row[0];
    row[0] += s.gap_extend;
    for (int64_t j = 0; j < b.size; ++j) {
      const int64_t here =
          std::max(diagonal + s(a.data[i], b.data[j]), std::max(row[j], row[j + 1]) + s.gap_extend);
      diagonal = row[j + 1];
      row[j + 1] = here;
    }
  }
  return row[b.size];
}

// Diagonal before up before left, read from the end.
std::vector<Move> reference_path(const Scoring& s, Sequence a, Sequence b) {
  const int64_t width = b.size + 1;
  std::vector<int32_t> h(static_cast<size_t>((a.size + 1) * width));
  for (int64_t i = 0; i <= a.size; ++i) {
    for (int64_t j = 0; j <= b.size; ++j) {
      int64_t best = s.gap_extend * (i + j);
      if (i > 0 && j > 0) {
        best = std::max(h[(i - 1) * width + j - 1] + s(a.data[i - 1], b.data[j - 1]),
                        std::max(h[(i - 1) * width + j], h[i * width + j - 1]) + s.gap_extend);
      }
      h[i * width + j] = static_cast<int32_t>(best);
    }
  }
  std::vector<Move> path;
  for (int64_t i = a.size, j = b.size; i + j > 0;) {
    const int64_t here = h[i * width + j];
    if (i > 0 && j > 0 && here == h[(i - 1) * width + j - 1] + s(a.data[i - 1], b.data[j - 1])) {
      path.push_back(Move::diagonal), --i, --j;
    } else if (i > 0 && here == h[(i - 1) * width + j] + s.gap_extend) {
      path.push_back(Move::up), --i;
    } else {
      path.push_back(Move::left), --j;
    }
  }
  std::reverse(path.begin(), path.end());
  return path;
}

const Scoring scorings[] = {
    {1, -2, nullptr, 0, 0, -2}, {1, -1, nullptr, 0, 0, -1},  {0, -1, nullptr, 0, 0, -1},
    {1, 0, nullptr, 0, 0, 0},   {2, -1, nullptr, 0, 0, -3},  {4, -2, nullptr, 0, 0, -1},
    {5, -4, nullptr, 0, 0, -5}, {1, 2, nullptr, 0, 0, -1},   {-1, -3, nullptr, 0, 0, -2},
    {1, -5, nullptr, 0, 0, -2}, {-4, -5, nullptr, 0, 0, -1}, {-9, 1, nullptr, 0, 0, -2}};
const int64_t alphabets[] = {2, 5, 20, 250, 3, 60000};

void test_sets(const Scoring& scoring, int round) {
  const int64_t alphabet = alphabets[round % 6];
  std::vector<int64_t> sizes;
  const int64_t count = round == 3 ? 6 : 45;
  for (int64_t i = 0; i < count; ++i)
    sizes.push_back(below(round == 3 ? 2600 : round == 1 ? 9 : 160));
  const Set set(sizes, alphabet);
  const Sequences all = set.view();
  const auto bits = bit_scoring(scoring, Region{}, token_bits(all));
  expect(bits.has_value(), "bit planes hold " + name(scoring));
  if (!bits) return;
  const Parallel parallel = on_threads(1 + round % 2);
  std::vector<int64_t> expected(static_cast<size_t>(count * count)), pairs, chosen;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < count; ++j) {
      expected[i * count + j] =
          j < i ? expected[j * count + i] : reference(scoring, all[i], all[j]);
      if (all[i].size > 0 && all[j].size > 0) {
        chosen.push_back(i * count + j);
      }
      pairs.push_back(i);
      pairs.push_back(j);
    }
  }
  const std::string about = name(scoring) + " round " + std::to_string(round);
  const int64_t gap = scoring.gap_extend, unset = int64_t{1} << 60;
  for (const bool symmetric : {true, false}) {
    std::vector<int64_t> lanes(expected.size(), unset), strips(lanes), planned(lanes);
    lane_scores(bit_kernels(), *bits, gap, all, all, symmetric, lanes.data(), count, parallel);
    strip_scores(bit_kernels(), *bits, gap, all, all, symmetric, strips.data(), count, parallel);
    cross_scores(all, all, symmetric, scoring, Region{}, planned.data(), count, parallel);
    expect(lanes == expected, "lanes " + about);
    expect(strips == expected, "strips " + about);
    expect(planned == expected, "cross_scores " + about);
  }
  std::vector<int64_t> listed(expected.size(), unset), planned(listed);
  lane_pair_scores(bit_kernels(), *bits, gap, all, pairs.data(), chosen.data(),
                   static_cast<int64_t>(chosen.size()), listed.data(), parallel);
  bool equal = true;
  for (const int64_t p : chosen) equal = equal && listed[p] == expected[p];
  expect(equal, "list of pairs " + about);
  pair_scores(all, pairs.data(), count * count, scoring, Region{}, planned.data(), parallel);
  expect(planned == expected, "pair_scores " + about);
}

// Every number of targets that may be left over, against numbers of queries about the lanes.
void test_cross(const Scoring& scoring, int64_t targets, int round) {
  const int64_t counts[] = {1, 7, 9, 16, 33, 65, 130};
  const int64_t queries = counts[targets % 7], alphabet = alphabets[round % 6];
  const auto sizes = [&](int64_t count) {
    std::vector<int64_t> out;
    for (int64_t i = 0; i < count; ++i) out.push_back(round % 3 == 0 ? 17 : below(20));
    return out;
  };
  const Set a(sizes(queries), alphabet), b(sizes(targets), alphabet);
  const auto bits = bit_scoring(scoring, Region{}, token_bits(a.view()) | token_bits(b.view()));
  if (!bits) return;
  for (const bool symmetric : {true, false}) {
    const Sequences from = symmetric ? b.view() : a.view(), to = b.view();
    std::vector<int64_t> expected, lanes;
    for (int64_t i = 0; i < from.count; ++i) {
      for (int64_t j = 0; j < to.count; ++j) {
        const bool lower = symmetric && j < i;
        expected.push_back(lower ? expected[static_cast<size_t>(j * to.count + i)]
                                 : reference(scoring, from[i], to[j]));
      }
    }
    lanes.assign(expected.size(), int64_t{1} << 60);
    lane_scores(bit_kernels(), *bits, scoring.gap_extend, from, to, symmetric, lanes.data(),
                to.count, on_threads(1 + round % 2));
    expect(lanes == expected, "lanes of " + std::to_string(from.count) + " x " +
                                  std::to_string(to.count) + " " + name(scoring));
  }
}

// b is a with a share of its tokens changed, removed or doubled; share >= 1: another sequence.
Set related(int64_t n, int64_t m, int64_t alphabet, double share) {
  if (share >= 1) return Set({n, m}, alphabet);
  const Set a({n}, alphabet);
  std::vector<Token> tokens;
  for (int64_t i = 0; i < n; ++i) {
    const double x = static_cast<double>(below(1 << 20)) / (1 << 20);
    if (x < share / 3) continue;
    tokens.push_back(x < 2 * share / 3 ? static_cast<Token>(below(alphabet)) : a.tokens[i]);
    if (x > 1 - share / 3) tokens.push_back(static_cast<Token>(below(alphabet)));
  }
  if (tokens.empty()) tokens.push_back(0);
  Set both({n, static_cast<int64_t>(tokens.size())}, alphabet);
  std::copy_n(a.tokens.get(), n, both.tokens.get());
  std::copy(tokens.begin(), tokens.end(), both.tokens.get() + n);
  return both;
}

// Only the first tokens of a are such as b has: the path leaves few of b for the rows below.
Set apart(int64_t n, int64_t m, int64_t alphabet) {
  Set both({n, m}, alphabet);
  std::fill(both.tokens.get() + std::min<int64_t>(20, n), both.tokens.get() + n,
            static_cast<Token>(alphabet));
  return both;
}

// The first tokens of both are the same, so that a pair's beginning says nothing of its end; or the
// last ones, so that it says too little.
Set alike_at(bool beginning, int64_t n, int64_t m, int64_t alphabet) {
  Set both({n, m}, alphabet);
  const int64_t shorter = std::min(n, m), size = std::min<int64_t>(2500, shorter / 2);
  Token *a = both.tokens.get(), *b = a + n;
  beginning ? std::copy_n(a, size, b) : std::copy_n(a + n - size, size, b + m - size);
  return both;
}

void test_pair(const Scoring& scoring, const Set& set, const std::string& what) {
  const Sequence a = set.view()[0], b = set.view()[1];
  const auto bits = bit_scoring(scoring, Region{}, token_bits(set.view()));
  const std::string about =
      name(scoring) + " " + std::to_string(a.size) + " x " + std::to_string(b.size) + " " + what;
  const std::vector<Move> expected = reference_path(scoring, a, b);
  const int64_t best = reference(scoring, a, b);
  std::vector<Move> path;
  const std::function<void()> poll = [] {};
  expect(strip_score(bit_kernels(), *bits, scoring.gap_extend, a, b, poll) == best,
         "strip_score " + about);
  expect(strip_align(bit_kernels(), *bits, scoring.gap_extend, a, b, poll, path) == best,
         "strip_align's score " + about);
  expect(path == expected, "strip_align's path " + about);
}

// The first strip is alike: more than can be is expected of the rest while a part is swept already.
// What the second strip is alike to stands too far off.
Set misleading(int64_t rows) {
  const int64_t size = 4096, away = rows + 6 * rows / 5;
  Set both({size, size}, 20);
  Token *a = both.tokens.get(), *b = a + size;
  std::copy_n(a, rows, b);
  std::fill(b + rows, b + size, Token{21});
  std::copy_n(a + rows, rows, b + away);
  return both;
}

// b is a behind so many other tokens.
Set shifted(int64_t size, int64_t by) {
  Set both({size, size}, 20);
  Token* const a = both.tokens.get();
  std::copy_n(a, size - by, a + size + by);
  return both;
}

void test_pair(const Scoring& scoring, int64_t n, int64_t m, int64_t alphabet, double share) {
  test_pair(scoring, related(n, m, alphabet, share), "share " + std::to_string(share));
}

// What no path of a score comes through is left out: whatever score is expected, right or wrong.
void test_sweep(const Scoring& scoring, const Set& set) {
  const Sequence a = set.view()[0], b = set.view()[1];
  const auto bits = bit_scoring(scoring, Region{}, token_bits(set.view()));
  const std::vector<Move> expected = reference_path(scoring, a, b);
  const int64_t best = reference(scoring, a, b) - scoring.gap_extend * (a.size + b.size);
  const std::function<void()> poll = [] {};
  StripSweep pair(bit_kernels(), *bits, a, b, poll);
  const int64_t scores[] = {
      0, best, best - best / 40, best - best / 7, best + 1, best + best / 30, 3 * best + 9};
  for (const int64_t at_least : scores) {
    const bool keep = below(2) == 0;
    const std::string about = name(scoring) + " " + std::to_string(a.size) + " x " +
                              std::to_string(b.size) + " at least " + std::to_string(at_least) +
                              " of " + std::to_string(best);
    const int64_t score = pair.sweep(at_least, keep, below(2) == 0);
    const bool reached = pair.at_least() <= best;
    expect(reached ? score == best : score <= best, "sweep " + about);
    if (!reached && keep) expect(pair.sweep(score, keep, false) == best, "sweep again " + about);
    if (!keep) continue;
    std::vector<Move> path;
    walk(pair, path);
    expect(path == expected, "path " + about);
  }
}

void test_misleading() {
  const Scoring scoring{1, -2, nullptr, 0, 0, -1};
  const Set set = misleading(64 * bit_kernels().words * bit_kernels().strip_depth);
  test_pair(scoring, set, "misleading");
  const auto bits = bit_scoring(scoring, Region{}, token_bits(set.view()));
  const std::function<void()> poll = [] {};
  StripSweep pair(bit_kernels(), *bits, set.view()[0], set.view()[1], poll);
  pair.sweep(7800, true, true);
  for (int64_t strip = 0; strip < pair.strips(); ++strip) {
    const auto [low, high] = pair.window(strip);
    expect(low <= high, "misleading strip " + std::to_string(strip));
  }
}

// Of pairs that are the same everywhere, a score is expected that they reach, and no more
// than a share of the matrix is swept.
void test_expected(const Set& set, double most) {
  const Scoring scoring{1, -2, nullptr, 0, 0, -2};
  const auto bits = bit_scoring(scoring, Region{}, token_bits(set.view()));
  const Sequence a = set.view()[0], b = set.view()[1];
  const std::function<void()> poll = [] {};
  StripSweep pair(bit_kernels(), *bits, a, b, poll);
  const int64_t score = pair.sweep(0, false, true);
  int64_t swept = 0;  // columns of strips
  for (int64_t strip = 0; strip < pair.strips(); ++strip) {
    const auto [low, high] = pair.window(strip);
    swept += high - low;
  }
  expect(0 < pair.at_least() && pair.at_least() <= score &&
             static_cast<double>(swept) < most * static_cast<double>(pair.strips() * b.size),
         "expected score " + std::to_string(a.size) + " x " + std::to_string(b.size));
}

// Of a pair that lacks almost all at first, nothing is expected, whatever it is alike to later.
void test_lacking() {
  const int64_t size = 6000;
  Set both({size, size}, 1000);
  Token* const a = both.tokens.get();
  for (int64_t j = 0; j < size; ++j) {
    a[size + j] = j >= 1100 && j < 3000 ? a[j] : static_cast<Token>(a[j] + 1000);
  }
  const auto bits = bit_scoring({1, -2, nullptr, 0, 0, -1}, Region{}, token_bits(both.view()));
  const std::function<void()> poll = [] {};
  StripSweep pair(bit_kernels(), *bits, both.view()[0], both.view()[1], poll);
  for (const bool keep : {false, true}) {
    const int64_t score = pair.sweep(0, keep, true);
    expect(pair.at_least() == 0 && score >= 3 * 1900, "lacking " + std::to_string(score));
  }
}

// A cell on every input that it can meet, all of them side by side.
template <class Cell>
void test_cell(int64_t equal, int64_t unequal) {
  using namespace cell_test;
  constexpr int B = Cell::planes;
  const Cell cell(equal, unequal);
  const int64_t most = std::max({equal, unequal, int64_t{0}});
  for (int64_t v = 0; v <= most; ++v) {
    for (int64_t h = 0; h <= most; ++h) {
      for (const bool differ : {false, true}) {
        const auto bits = [](bool one) { return broadcast(one ? ~uint64_t{0} : 0); };
        Bits vs[B], hs[B], diagonal, up;
        for (int k = 0; k < B; ++k) vs[k] = bits(v >> k & 1), hs[k] = bits(h >> k & 1);
        cell.template step<true>(vs, hs, bits(differ), &diagonal, &up);
        const int64_t s = differ ? unequal : equal, best = std::max({s, v, h, int64_t{0}});
        bool right = true;
        const auto same = [&](Bits x, bool one) {
          for (int w = 0; w < words; ++w) right &= x[w] == (one ? ~uint64_t{0} : 0);
        };
        for (int k = 0; k < B; ++k) {
          same(vs[k], (best - h) >> k & 1);
          same(hs[k], (best - v) >> k & 1);
        }
        same(diagonal, best == s);
        same(up, best == h);
        expect(right, "cell " + std::to_string(equal) + "/" + std::to_string(unequal) + " at " +
                          std::to_string(v) + " " + std::to_string(h));
      }
    }
  }
}

template <int B>
void test_any_cell() {
  for (int64_t equal = -1; equal < int64_t{1} << B; ++equal) {
    for (int64_t unequal = -1; unequal < int64_t{1} << B; ++unequal) {
      test_cell<cell_test::AnyCell<B, false>>(equal, unequal);
      test_cell<cell_test::AnyCell<B, true>>(equal, unequal);
    }
  }
}

void test_cells() {
  test_cell<cell_test::PublishedCell<false>>(5, 2);
  test_cell<cell_test::PublishedCell<true>>(5, 2);
  test_any_cell<1>();
  test_any_cell<2>();
  test_any_cell<3>();
  test_any_cell<4>();
}

}  // namespace
}  // namespace neurn::align

int main() {
  using namespace neurn::align;
  test_cells();
  int64_t k = 0;
  for (const Scoring& scoring : scorings) {
    for (int round = 0; round < 6; ++round) {
      if (round != 3 || k % 4 == 0) test_sets(scoring, round);
    }
    const double shares[] = {1, 0.1, 0.02};
    for (int round = 0; round < 9; ++round) {
      const int64_t longest = round < 3 ? 300 : 2500;
      test_pair(scoring, 1 + below(longest), 1 + below(longest), alphabets[round % 4],
                shares[round % 3]);
    }
    // Strips that begin while the one above ends, at every place where a state is kept.
    const int64_t lanes = 64 * bit_kernels().words;
    const int64_t rows = lanes * bit_kernels().strip_depth;
    const int64_t sizes[] = {lanes - 1, lanes, lanes + 1, lanes + 255, rows + 256, 2 * rows + 77};
    for (const int64_t m : k % 3 == 0 ? std::span(sizes) : std::span(sizes).first(2)) {
      const int64_t n = rows + 1 + below(rows);
      test_pair(scoring, n, m, alphabets[k % 4], 1);
      test_pair(scoring, apart(n, m, alphabets[k % 4]), "apart");
    }
    // Three to five strips, of which two may go on side by side.
    if (k % 3 == 1) {
      for (const int64_t m : {2 * lanes + 511, 2 * lanes + 512, 2 * lanes + 650, 5 * lanes}) {
        const int64_t n = (2 + below(3)) * rows + 1 + below(rows);
        test_pair(scoring, n, m, alphabets[k % 4], 1);
        test_pair(scoring, apart(n, m, alphabets[k % 4]), "apart");
      }
    }
    for (int round = 0; round < 24; ++round) test_cross(scoring, 1 + below(200), round);
    for (const int64_t m : {lanes / 2, lanes + 100, rows + 700, 2 * rows + 300}) {
      const int64_t n = rows / 2 + below(3 * rows), alphabet = alphabets[k % 4];
      test_sweep(scoring, Set({n, m}, alphabet));
      test_sweep(scoring, related(m, 1, alphabet, k % 2 == 0 ? 0.3 : 0.05));
      test_sweep(scoring, alike_at(k % 2 == 0, n, m, alphabet));
    }
    // Long: a part of the matrix is left out.
    test_pair(scoring, k % 3 == 0 ? 8300 : 3100, 1, alphabets[k % 4], k % 2 == 0 ? 0.02 : 0.1);
    if (k % 3 == 2) {
      test_pair(scoring, 4100, 4500, alphabets[k % 4], 1);
      test_pair(scoring, alike_at(k % 2 == 0, 5000, 4700, 20), "alike at one end");
    }
    ++k;
  }
  test_misleading();
  test_lacking();
  // A few rows above the first whole strip: the second one tells while the first is under way.
  for (const int64_t by : {1743, 1764, 1931, 1973, 2061}) {
    for (const int64_t more : {193, 203, 254}) {
      test_pair({1, -2, nullptr, 0, 0, -2}, shifted(4096 + more, by), "by " + std::to_string(by));
    }
  }
  for (const int64_t size : {4100, 4300, 4600, 5000, 7300}) {
    test_expected(Set({size, size}, 20), 0.9);
    test_expected(related(size, 1, 20, 0.1), 0.6);
  }
  for (int64_t targets = 1; targets <= 130; ++targets) {
    test_cross(scorings[targets % 12], targets, static_cast<int>(targets));
  }
  std::printf("%s: %lld passed, %lld failed\n", kernels().name,
              static_cast<long long>(cases - failures), static_cast<long long>(failures));
  return failures == 0 ? 0 : 1;
}
