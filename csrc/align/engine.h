// Alignment of one pair and of sets of pairs: chooses a kernel that is exact for the scoring at
// hand, proven before it runs.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "problem.h"

namespace neurn::align {

// Largest absolute score that any cell of an n x m problem can hold. Scores beyond `limit` are
// refused (std::overflow_error) before anything runs.
inline constexpr int64_t limit = int64_t{1} << 61;

// Whether to go on.
using Poll = std::function<bool()>;
struct Stopped {};

// poll: asked every few milliseconds of a long pair; where it says false, Stopped is thrown.
int64_t score(Sequence a, Sequence b, const Scoring& scoring, const Region& region,
              const Poll& poll = nullptr);

// The path from the first tokens to the last. Of several optimal ones: read from the end,
// diagonal before up before left. Free ends are part of the path as up or left moves.
int64_t align(Sequence a, Sequence b, const Scoring& scoring, const Region& region,
              std::vector<Move>& path, const Poll& poll = nullptr);

// What fill writes for a cell outside the band.
inline constexpr int64_t outside = std::numeric_limits<int64_t>::min();

// scores and arrows are (n + 1) x (m + 1), row-major. An arrow holds the Move flags of every
// optimal last step into the cell; none outside the band.
void fill(Sequence a, Sequence b, const Scoring& scoring, const Region& region, int64_t* scores,
          uint8_t* arrows);

// out[i * stride + j] = score of a[i] and b[j]. symmetric: a and b are the same set and the scoring
// is symmetric, so that each unordered pair is computed once and written twice.
// False where parallel.poll stopped it; that is also asked, with a count of 0, inside long pairs.
bool cross_scores(const Sequences& a, const Sequences& b, bool symmetric, const Scoring& scoring,
                  const Region& region, int64_t* out, int64_t stride, const Parallel& parallel);

// out[p] = score of sequences pairs[2 p] and pairs[2 p + 1].
bool pair_scores(const Sequences& sequences, const int64_t* pairs, int64_t count,
                 const Scoring& scoring, const Region& region, int64_t* out,
                 const Parallel& parallel);

}  // namespace neurn::align
