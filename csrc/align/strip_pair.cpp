#include "strip_pair.h"

#include <algorithm>
#include <optional>

#include "strip_walk.h"

namespace neurn::align {
namespace {

// A band is worth the risk of a second sweep below this share of what the whole matrix costs.
constexpr double worthwhile = 0.9;
// The parts of a pair that tell how wide a band it needs, and the band of such a trial: the first
// tells related pairs from others at little cost, the second, of related ones, the width.
constexpr int64_t first_trial_rows = 256, trial_rows = 2048, trial_width = 256;
// Width by length from which on a pair is not related: then all its parts need about the same.
constexpr double unrelated = 0.2;

// Share of its length that the beginning of a pair needs as a band's width.
double needed_share(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
                    int64_t part, const std::function<void()>& poll) {
  StripSweep trial(kernels, scoring, {a.data, part}, {b.data, part}, poll);
  const int64_t needed = trial.certain_width(trial.sweep(trial_width, false));
  return static_cast<double>(needed) / static_cast<double>(part);
}

// The width that a band will probably need, from the pair's beginning.
std::optional<int64_t> guess_width(const BitKernels& kernels, const BitScoring& scoring, Sequence a,
                                   Sequence b, const std::function<void()>& poll) {
  const int64_t shorter = std::min(a.size, b.size);
  if (shorter < 2 * trial_rows || std::max(scoring.equal, scoring.unequal) <= 0) return {};
  double share = needed_share(kernels, scoring, a, b, first_trial_rows, poll), margin = 1.0 / 16;
  if (share < unrelated) {
    share = needed_share(kernels, scoring, a, b, trial_rows, poll);
    margin = 1.0 / 8;
  }
  const double width = share * (1 + margin) * static_cast<double>(shorter);
  return std::min(shorter, static_cast<int64_t>(width) + 32);
}

// Shifted score, proven to be the best; keep: as StripSweep::sweep.
int64_t best(StripSweep& pair, std::optional<int64_t> width, bool keep) {
  while (width && pair.cost(*width) < worthwhile) {
    const int64_t score = pair.sweep(*width, keep);
    const int64_t needed = pair.certain_width(score);
    if (*width >= needed) return score;
    width = needed;
  }
  return pair.sweep(-1, keep);
}

}  // namespace

int64_t strip_score(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll) {
  // Two scores are the same both ways: fewer strips where the shorter is in the rows.
  if (a.size > b.size) std::swap(a, b);
  const std::optional<int64_t> width = guess_width(kernels, scoring, a, b, poll);
  StripSweep pair(kernels, scoring, a, b, poll);
  return best(pair, width, false) + gap * (a.size + b.size);
}

int64_t strip_align(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll, std::vector<Move>& path) {
  const std::optional<int64_t> width = guess_width(kernels, scoring, a, b, poll);
  StripSweep pair(kernels, scoring, a, b, poll);
  const int64_t score = best(pair, width, true);
  walk(pair, path);
  return score + gap * (a.size + b.size);
}

}  // namespace neurn::align
