#include "strip_pair.h"

#include <algorithm>

#include "strip_walk.h"

namespace neurn::align {
namespace {

// The parts of a pair that tell what score it has: the first tells related pairs from others at
// little cost, the second the score of related ones.
constexpr int64_t first_trial_rows = 128, trial_rows = 2048;
// Of the most that a pair of a length can gain, what unrelated pairs lack. All parts of these lack
// about the same, long ones a little less: the margins are for what chance does.
constexpr double unrelated = 0.2, unrelated_margin = 1.0 / 16, strip_margin = 1.0 / 32;
constexpr double related_margin = 1.0 / 8;
// Pairs that lack more are swept as a whole.
constexpr double most_lacking = 0.8;

// A score that a pair probably reaches.
struct Guess {
  int64_t at_least = 0;
  double margin = 0;  // as StripSweep::sweep has it
};

// From what the pair's beginning lacks.
Guess guess(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
            const std::function<void()>& poll) {
  const int64_t shorter = std::min(a.size, b.size), most = std::max(scoring.equal, scoring.unequal);
  if (shorter < 2 * trial_rows || most <= 0) return {};
  const auto lacking = [&](int64_t part, int64_t at_least) {
    StripSweep trial(kernels, scoring, {a.data, part}, {b.data, part}, poll);
    const int64_t score = trial.sweep(at_least, false);
    return 1 - static_cast<double>(score) / static_cast<double>(most * part);
  };
  const double first = lacking(first_trial_rows, 0);
  if (first < unrelated) {
    const double share = lacking(trial_rows, score_lacking(2 * first, trial_rows, most));
    return {score_lacking(share * (1 + related_margin), shorter, most), 0};
  }
  if (first > most_lacking) return {};
  return {score_lacking(first * (1 + unrelated_margin), shorter, most), strip_margin};
}

// Shifted score, proven to be the best; keep: as StripSweep::sweep.
int64_t best(StripSweep& pair, const Guess& guess, bool keep) {
  const int64_t score = pair.sweep(guess.at_least, keep, guess.margin);
  return score < pair.at_least() ? pair.sweep(score, keep) : score;
}

}  // namespace

int64_t strip_score(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll) {
  // Two scores are the same both ways: fewer strips where the shorter is in the rows.
  if (a.size > b.size) std::swap(a, b);
  const Guess reached = guess(kernels, scoring, a, b, poll);
  StripSweep pair(kernels, scoring, a, b, poll);
  return best(pair, reached, false) + gap * (a.size + b.size);
}

int64_t strip_align(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll, std::vector<Move>& path) {
  const Guess reached = guess(kernels, scoring, a, b, poll);
  StripSweep pair(kernels, scoring, a, b, poll);
  const int64_t score = best(pair, reached, true);
  walk(pair, path);
  return score + gap * (a.size + b.size);
}

}  // namespace neurn::align
