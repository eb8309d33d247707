#include "strip_pair.h"

#include <algorithm>

#include "strip_walk.h"

namespace neurn::align {
namespace {

// From which length on parts of the matrix are left out.
constexpr int64_t least_leaving_out = 4096;

// Shifted score, proven to be the best; keep: as StripSweep::sweep.
int64_t best(StripSweep& pair, bool keep) {
  const bool expects = std::min(pair.a_size(), pair.b_size()) >= least_leaving_out;
  const int64_t score = pair.sweep(0, keep, expects);
  return score < pair.at_least() ? pair.sweep(score, keep, false) : score;
}

}  // namespace

int64_t strip_score(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll) {
  // Two scores are the same both ways: fewer strips where the shorter is in the rows.
  if (a.size > b.size) std::swap(a, b);
  StripSweep pair(kernels, scoring, a, b, poll);
  return best(pair, false) + gap * (a.size + b.size);
}

int64_t strip_align(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll, std::vector<Move>& path) {
  StripSweep pair(kernels, scoring, a, b, poll);
  const int64_t score = best(pair, true);
  walk(pair, path);
  return score + gap * (a.size + b.size);
}

}  // namespace neurn::align
