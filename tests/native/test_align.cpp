// Runs the aligner on every instruction set against a brute-force reference, for the sanitizers to
// watch, and checks that every path is the first of the best ones and scores what is reported.
#include <algorithm>
#include <cstdio>
#include <limits>
#include <memory>
#include <random>
#include <stdexcept>
#include <vector>

#include "align/engine.h"
#include "align/kernels.h"
#include "align/threads.h"

namespace neurn::align {
namespace {

int64_t cases = 0, failures = 0;

// Exactly as large as the sequence, so that a read past it is seen.
struct Tokens {
  std::unique_ptr<Token[]> data;
  int64_t size;
  explicit Tokens(int64_t n) : data(new Token[n]), size(n) {}
  operator Sequence() const { return {data.get(), size}; }
};

struct Case {
  Scoring scoring;
  Region region;
};

bool in_band(const Region& region, int64_t n, int64_t m, int64_t i, int64_t j) {
  if (region.band < 0) return true;
  return j - i >= std::min<int64_t>(0, m - n) - region.band &&
         j - i <= std::max<int64_t>(0, m - n) + region.band;
}

int64_t step_score(const Case& t, Sequence a, Sequence b, int64_t i, int64_t j, Move move,
                   bool opens) {
  if (move == Move::diagonal) return t.scoring(a.data[i - 1], b.data[j - 1]);
  const Region& r = t.region;
  const bool is_free = move == Move::up ? (j == 0 && r.a_begin) || (j == b.size && r.a_end)
                                        : (i == 0 && r.b_begin) || (i == a.size && r.b_end);
  return is_free ? 0 : t.scoring.gap_extend + (opens ? t.scoring.gap_open : 0);
}

// Best score of a path from (0, 0) to each cell that ends in each move: straight from the
// definition, with no thought of speed.
struct Reference {
  static constexpr int64_t none = std::numeric_limits<int64_t>::min() / 4;
  int64_t n, m;
  std::vector<int64_t> best;  // [move][i][j], moves in the order of preference

  static constexpr Move moves[] = {Move::diagonal, Move::up, Move::left};
  int64_t& at(int k, int64_t i, int64_t j) { return best[(k * (n + 1) + i) * (m + 1) + j]; }
  int64_t cell(int64_t i, int64_t j) {
    return i + j == 0 ? 0 : std::max({at(0, i, j), at(1, i, j), at(2, i, j)});
  }

  Reference(const Case& t, Sequence a, Sequence b) : n(a.size), m(b.size) {
    best.assign(3 * (n + 1) * (m + 1), none);
    for (int64_t i = 0; i <= n; ++i)
      for (int64_t j = 0; j <= m; ++j)
        for (int k = 0; k < 3; ++k) {
          const int64_t i0 = i - (k != 2), j0 = j - (k != 1);
          if (i0 < 0 || j0 < 0 || !in_band(t.region, n, m, i, j)) continue;
          if (i0 + j0 == 0) {
            at(k, i, j) = step_score(t, a, b, i, j, moves[k], true);
            continue;
          }
          for (int before = 0; before < 3; ++before) {
            if (at(before, i0, j0) == none) continue;
            at(k, i, j) = std::max(
                at(k, i, j), at(before, i0, j0) + step_score(t, a, b, i, j, moves[k], before != k));
          }
        }
  }

  // The first of the best paths, moves read from the end.
  std::vector<Move> path(const Case& t, Sequence a, Sequence b) {
    std::vector<Move> found;
    int64_t i = n, j = m;
    // What paths that end in each move here still have to score.
    int64_t rest[3] = {cell(n, m), cell(n, m), cell(n, m)};
    while (i + j > 0) {
      int k = 0;
      while (at(k, i, j) == none || at(k, i, j) != rest[k]) ++k;
      const int64_t left = rest[k];
      found.push_back(moves[k]);
      for (int before = 0; before < 3; ++before) {
        rest[before] = left - step_score(t, a, b, i, j, moves[k], before != k);
      }
      i -= k != 2;
      j -= k != 1;
    }
    std::reverse(found.begin(), found.end());
    return found;
  }
};

int64_t rescore(const Case& t, Sequence a, Sequence b, const std::vector<Move>& path) {
  int64_t i = 0, j = 0, sum = 0;
  Move before = Move::diagonal;
  for (const Move move : path) {
    i += move != Move::left;
    j += move != Move::up;
    sum += step_score(t, a, b, i, j, move, move != before);
    before = move;
  }
  return i == a.size && j == b.size ? sum : std::numeric_limits<int64_t>::min();
}

void expect(bool holds, const char* what, const Case& t, int64_t n, int64_t m) {
  ++cases;
  if (holds) return;
  ++failures;
  std::printf(
      "FAILED %s: %s n=%lld m=%lld match=%lld mismatch=%lld table=%d open=%lld extend=%lld "
      "free=%d%d%d%d band=%lld\n",
      kernels().name, what, (long long)n, (long long)m, (long long)t.scoring.match,
      (long long)t.scoring.mismatch, t.scoring.table != nullptr, (long long)t.scoring.gap_open,
      (long long)t.scoring.gap_extend, t.region.a_begin, t.region.a_end, t.region.b_begin,
      t.region.b_end, (long long)t.region.band);
}

void check_pair(const Case& t, const Tokens& a, const Tokens& b) {
  const int64_t n = a.size, m = b.size;
  Reference reference(t, a, b);
  const int64_t expected = reference.cell(n, m);
  expect(score(a, b, t.scoring, t.region) == expected, "score", t, n, m);
  std::vector<Move> path;
  expect(align(a, b, t.scoring, t.region, path) == expected, "align's score", t, n, m);
  expect(rescore(t, a, b, path) == expected, "the path's score", t, n, m);
  expect(path == reference.path(t, a, b), "the path", t, n, m);

  std::unique_ptr<int64_t[]> scores(new int64_t[(n + 1) * (m + 1)]);
  std::unique_ptr<uint8_t[]> arrows(new uint8_t[(n + 1) * (m + 1)]);
  fill(a, b, t.scoring, t.region, scores.get(), arrows.get());
  bool same = true;
  for (int64_t i = 0; i <= n; ++i)
    for (int64_t j = 0; j <= m; ++j) {
      const bool inside = in_band(t.region, n, m, i, j);
      int arrow = 0;
      for (int k = 0; k < 3 && inside && i + j > 0; ++k) {
        if (reference.at(k, i, j) == reference.cell(i, j)) arrow |= int(Reference::moves[k]);
      }
      same &= scores[i * (m + 1) + j] == (inside ? reference.cell(i, j) : outside);
      same &= arrows[i * (m + 1) + j] == arrow;
    }
  expect(same, "the matrix", t, n, m);
}

Tokens tokens(std::mt19937& random, int64_t n, int64_t symbols) {
  Tokens t(n);
  for (int64_t i = 0; i < n; ++i) t.data[i] = Token(random() % symbols);
  return t;
}

// b is a with every eighth token changed, left out or doubled.
Tokens relative(std::mt19937& random, const Tokens& a, int64_t symbols) {
  std::vector<Token> out;
  for (int64_t i = 0; i < a.size; ++i) {
    const unsigned kind = random() % 24;
    if (kind != 0) out.push_back(kind == 1 ? Token(random() % symbols) : a.data[i]);
    if (kind == 2) out.push_back(a.data[i]);
  }
  Tokens t(int64_t(out.size()));
  std::copy(out.begin(), out.end(), t.data.get());
  return t;
}

Case any_case(std::mt19937& random, const std::vector<int32_t>& table, int64_t symbols) {
  Case t{};
  // Now and then too large for 32 bits.
  const int64_t scale = random() % 4 == 0 ? int64_t{1} << 28 : 1;
  t.scoring.match = scale * (int64_t(random() % 9) - 2);
  t.scoring.mismatch = scale * (int64_t(random() % 7) - 5);
  t.scoring.table = random() % 3 == 0 ? table.data() : nullptr;
  t.scoring.symbols = symbols;
  t.scoring.gap_open = random() % 2 == 0 ? 0 : -scale * int64_t(random() % 6);
  t.scoring.gap_extend = -scale * int64_t(random() % 4);
  const unsigned ends = random() % 2 == 0 ? 0 : random() % 16;
  t.region = {bool(ends & 1), bool(ends & 2), bool(ends & 4), bool(ends & 8),
              random() % 2 == 0 ? -1 : int64_t(random() % 12)};
  return t;
}

void check_random(int64_t count, int64_t longest) {
  std::mt19937 random(3);
  for (int64_t k = 0; k < count; ++k) {
    const int64_t symbols = 1 + int64_t(random() % 6);
    std::vector<int32_t> table(symbols * symbols);
    for (int32_t& s : table) s = int32_t(random() % 12) - 6;
    const Case t = any_case(random, table, symbols);
    const Tokens a = tokens(random, int64_t(random() % longest), symbols);
    const Tokens b = random() % 3 == 0 ? relative(random, a, symbols)
                                       : tokens(random, int64_t(random() % longest), symbols);
    check_pair(t, a, b);
  }
}

// Several strips and blocks.
void check_long() {
  std::mt19937 random(4);
  const int64_t symbols = 4;
  std::vector<int32_t> table(symbols * symbols);
  for (int32_t& s : table) s = int32_t(random() % 12) - 6;
  for (int k = 0; k < 6; ++k) {
    Case t = any_case(random, table, symbols);
    t.scoring.gap_open = k % 2 == 0 ? 0 : -3;
    if (k == 4) t.region.band = 300;
    const Tokens a = tokens(random, k == 5 ? 700 : 2500, symbols);
    const Tokens b =
        k == 4 ? relative(random, a, symbols) : tokens(random, k == 5 ? 5300 : 2300, symbols);
    check_pair(t, a, b);
  }
}

void check_sets() {
  std::mt19937 random(5);
  std::vector<Token> all;
  std::vector<int64_t> offsets{0};
  const int64_t count = 40;
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t n = int64_t(random() % 50); n > 0; --n) all.push_back(Token(random() % 5));
    offsets.push_back(int64_t(all.size()));
  }
  const Sequences set{all.data(), offsets.data(), count};
  const Case t{{2, -1, nullptr, 0, -2, -1}, {false, false, false, false, -1}};
  std::vector<int64_t> pairs, listed(count * count);
  for (int64_t i = 0; i < count * count; ++i) {
    pairs.push_back(i / count);
    pairs.push_back(i % count);
  }
  for (const int64_t threads : {1, 2, 5}) {
    const Parallel parallel = on_threads(threads);
    for (const bool symmetric : {false, true}) {
      std::vector<int64_t> out(count * count, -1000);
      bool same =
          cross_scores(set, set, symmetric, t.scoring, t.region, out.data(), count, parallel);
      for (int64_t i = 0; i < count * count; ++i) {
        same &= out[i] == score(set[i / count], set[i % count], t.scoring, t.region);
      }
      expect(same, "cross_scores", t, count, threads);
      const bool done = pair_scores(set, pairs.data(), count * count, t.scoring, t.region,
                                    listed.data(), parallel);
      expect(done && listed == out, "pair_scores", t, count, threads);
    }
  }
  const Parallel stops = on_threads(2, [](void*, int64_t, int64_t) { return false; });
  expect(!cross_scores(set, set, false, t.scoring, t.region, listed.data(), count, stops), "stops",
         t, count, 2);
  const Case huge{{limit / 4, -1, nullptr, 0, 0, -1}, t.region};
  try {
    cross_scores(set, set, false, huge.scoring, t.region, listed.data(), count, on_threads(2));
    expect(false, "refuses what may overflow", huge, count, 2);
  } catch (const std::overflow_error&) {
    expect(true, "", huge, count, 2);
  }
}

}  // namespace
}  // namespace neurn::align

int main() {
  using namespace neurn::align;
  check_random(4000, 40);
  check_random(300, 150);
  check_long();
  check_sets();
  std::printf("%s: %lld passed, %lld failed\n", kernels().name, (long long)(cases - failures),
              (long long)failures);
  return failures == 0 ? 0 : 1;
}
