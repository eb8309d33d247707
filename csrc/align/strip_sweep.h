// The sweeps over the matrix of one long pair, strip by strip, and what they keep for the way back.
#pragma once

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "bit_kernels.h"
#include "strip_rows.h"

namespace neurn::align {

class StripSweep {
 public:
  StripSweep(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
             const std::function<void()>& poll);

  // Shifted score (bit_cell.h) of the best path whose cells (i, j) lie in the band; width < 0: of
  // the best path. keep: what the way back needs.
  int64_t sweep(int64_t width, bool keep);

  // What a band costs, as a share of what the whole matrix does.
  double cost(int64_t width);

  // The least width whose band holds every path that reaches a shifted score: one that leaves it
  // has at most min(n, m) - width - 1 diagonal steps, and only these gain anything.
  int64_t certain_width(int64_t score) const {
    const int64_t most = std::max(scoring_.equal, scoring_.unequal);
    return std::min(a_.size, b_.size) - score / most - (score % most != 0);
  }

  // For the way back.
  const BitKernels& kernels() const { return kernels_; }
  const BitScoring& scoring() const { return scoring_; }
  int64_t a_size() const { return a_.size; }
  int64_t b_size() const { return b_.size; }
  int64_t strips() const { return strips_; }
  // The row of a that is a strip's first; below 0 where the first strip has too many.
  int64_t top(int64_t strip) const { return strip * shape_.rows() - pad_; }
  size_t state_words() const { return static_cast<size_t>(shape_.state_words(scoring_.planes)); }
  void poll() const { poll_(); }
  // Columns [low, high) that a strip sweeps: those of the band in any of its rows.
  std::pair<int64_t, int64_t> window(int64_t strip) const;
  // The first strip's rows begin with those that are too many.
  void place(int64_t strip, StripRows& rows) const;
  const ColumnPlanes& tokens() const { return tokens_; }
  // Where the target begins, for the steps of a strip that begins with column `low` in which some
  // lane comes to it.
  const uint64_t* starts(int64_t low) const { return start_.first() - low; }
  StripCall prepare(const StripRows& rows, std::vector<uint64_t>& state,
                    const Borders& borders) const;

  // Steps of a strip are counted from the one in which lane 0 is at its first column.
  int64_t kept_every() const { return kept_every_; }
  // The last step not after `step` before which the state is kept.
  int64_t kept_step(int64_t strip, int64_t step) const {
    return std::max(step / kept_every_ * kept_every_, first_step(strip));
  }
  const uint64_t* kept_state(int64_t strip, int64_t step) const { return place_of(strip, step); }
  // Above a strip, from column low on, a bit each, plane by plane.
  const std::vector<uint64_t>& kept_border(int64_t strip) const {
    return kept_[static_cast<size_t>(strip)].border;
  }

 private:
  struct Kept {
    std::vector<uint64_t> border;
    int64_t first_state;  // that before the strip's first step; one more each kept_every_ steps
  };

  // Strips that follow one another in the same lanes.
  struct Stream {
    StripRows rows, before;
    std::vector<uint64_t> state;
    StripCall call{};  // of the steps that come next
    int64_t strip;
    const int64_t stride;                        // to the strip that follows
    int64_t low = 0, high = 0, high_before = 0;  // columns of the strip, and of the one before
    int64_t step = 0;
    bool ended = false;

    Stream(const BitKernels& kernels, int token_planes, size_t state_words, int64_t first,
           int64_t stride)
        : rows(kernels, token_planes),
          before(rows),
          state(state_words),
          strip(first),
          stride(stride) {}
    int64_t steps() const { return call.end - call.begin; }
  };

  // How many strips can be swept at a time, each of which begins while the one before it in the
  // same lanes ends; 0: each has to end before the next begins.
  int64_t streams() const;
  // The fewest columns that any two strips so far from each other have in common.
  int64_t overlap(int64_t apart) const;
  // Lanes above all rows have nothing to do.
  int64_t first_step(int64_t strip) const { return strip == 0 ? pad_ / shape_.depth : 0; }

  int64_t sweep_apart(bool keep);

  // So many strips at a time, of which each is followed by the next but that many: lane after lane
  // goes over from the last column of one to the first of the other.
  int64_t sweep_joined(int64_t count, bool keep);
  bool joined(const Stream& stream) const {
    return stream.strip >= stream.stride && stream.step < shape_.lanes() - 1;
  }
  void enter(Stream& stream, bool keep);
  // The steps that come next: until another kernel has to go on or a state has to be kept.
  void choose(Stream& stream, bool keep);
  // Whether the border above is there for all of the next steps.
  bool ready(const Stream& stream, const std::vector<Stream>& streams) const;
  void advance(Stream& stream, bool keep);
  // Once the border below a strip is there.
  void leave(int64_t strip, bool keep);

  void prepare_kept();
  uint64_t* place_of(int64_t strip, int64_t step) const {
    const int64_t which = kept_[static_cast<size_t>(strip)].first_state + step / kept_every_;
    return states_ + which * static_cast<int64_t>(state_words());
  }
  void keep_border(int64_t strip) {
    const auto [low, high] = window(strip);
    kept_[static_cast<size_t>(strip)].border = pack_border(strip, low, high);
  }
  void keep_state(const std::vector<uint64_t>& state, int64_t strip, int64_t step) {
    if (step != kept_step(strip, step)) return;
    std::copy(state.begin(), state.end(), place_of(strip, step));
  }

  // Once all lanes have begun: gives the rows that are too many the largest difference, so that
  // nothing more comes down from them. It never changes, and no query need be seen to begin.
  void settle(int64_t strip, std::vector<uint64_t>& state) const;

  // Of the border above a strip.
  int64_t sum_border(int64_t strip, int64_t from, int64_t to) const;
  double steps(int64_t width);
  std::vector<uint64_t> pack_border(int64_t strip, int64_t low, int64_t high) const;

  const BitKernels& kernels_;
  const StripShape shape_;
  const BitScoring scoring_;
  const Sequence a_, b_;
  const std::function<void()>& poll_;
  const int64_t strips_, pad_;
  int64_t kept_every_;
  int64_t width_ = -1, gained_ = 0;
  ColumnPlanes tokens_, start_, started_;
  Borders borders_;
  std::vector<Kept> kept_;
  Buffer states_memory_;
  uint64_t* states_ = nullptr;
};

}  // namespace neurn::align
