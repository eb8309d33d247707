#include "strip_pair.h"

#include <algorithm>

#include "strip_walk.h"

namespace neurn::align {
namespace {

// The parts of a pair that tell what score it has: the first tells related pairs from others at
// little cost, the second the score of related ones.
constexpr int64_t first_trial_rows = 128, trial_rows = 2048;
// Of the most that a pair of a length can gain, what unrelated pairs lack. All parts of these lack
// about the same.
constexpr double unrelated = 0.2;
// Pairs that lack more are swept as a whole.
constexpr double most_lacking = 0.8;

// A score that a pair probably reaches, from what its beginning lacks.
int64_t guess(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
              const std::function<void()>& poll) {
  const int64_t shorter = std::min(a.size, b.size), most = std::max(scoring.equal, scoring.unequal);
  if (shorter < 2 * trial_rows || most <= 0) return 0;
  const auto score_lacking = [&](double share, int64_t length) {
    const double lacking = share * static_cast<double>(length);
    return most * std::max<int64_t>(length - static_cast<int64_t>(lacking) - 32, 0);
  };
  const auto lacking = [&](int64_t part, int64_t at_least) {
    StripSweep trial(kernels, scoring, {a.data, part}, {b.data, part}, poll);
    const int64_t score = trial.sweep(at_least, false);
    return 1 - static_cast<double>(score) / static_cast<double>(most * part);
  };
  double share = lacking(first_trial_rows, 0), margin = 1.0 / 16;
  if (share < unrelated) {
    share = lacking(trial_rows, score_lacking(2 * share, trial_rows));
    margin = 1.0 / 8;
  }
  share *= 1 + margin;
  return share > most_lacking ? 0 : score_lacking(share, shorter);
}

// Shifted score, proven to be the best; keep: as StripSweep::sweep.
int64_t best(StripSweep& pair, int64_t at_least, bool keep) {
  const int64_t score = pair.sweep(at_least, keep);
  return score < at_least ? pair.sweep(score, keep) : score;
}

}  // namespace

int64_t strip_score(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll) {
  // Two scores are the same both ways: fewer strips where the shorter is in the rows.
  if (a.size > b.size) std::swap(a, b);
  const int64_t at_least = guess(kernels, scoring, a, b, poll);
  StripSweep pair(kernels, scoring, a, b, poll);
  return best(pair, at_least, false) + gap * (a.size + b.size);
}

int64_t strip_align(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll, std::vector<Move>& path) {
  const int64_t at_least = guess(kernels, scoring, a, b, poll);
  StripSweep pair(kernels, scoring, a, b, poll);
  const int64_t score = best(pair, at_least, true);
  walk(pair, path);
  return score + gap * (a.size + b.size);
}

}  // namespace neurn::align
