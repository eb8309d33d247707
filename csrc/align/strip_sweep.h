// The sweeps over the matrix of one long pair, strip by strip, and what they keep for the way back.
//
// A sweep leaves out what no path of a given score comes through. Of a path that comes to boundary
// j of row i, with the shifted score H' (bit_cell.h) it has there, min(n - i, m - j) diagonal steps
// are left at most, and only these gain anything: at most `most` each. Above a strip H' is known
// before the strip is swept: boundaries from which the score cannot be reached are an interval at
// each end.
#pragma once

#include <algorithm>
#include <cstdint>
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

  // Shifted score of a path: the best one if it is at least at_least(); 0: whatever it is. keep:
  // what the way back needs. expects: at_least() rises while strips are swept, to the score of a
  // pair that lacks as much of the most that it could gain everywhere as in their rows, and a
  // little more.
  int64_t sweep(int64_t at_least, bool keep, bool expects);
  int64_t at_least() const { return at_least_; }

  // For the way back.
  const BitKernels& kernels() const { return kernels_; }
  const BitScoring& scoring() const { return scoring_; }
  int64_t a_size() const { return a_.size; }
  int64_t b_size() const { return b_.size; }
  int64_t strips() const { return count_; }
  // The row of a that is a strip's first; below 0 where the first strip has too many.
  int64_t top(int64_t strip) const { return strip * shape_.rows() - pad_; }
  size_t state_words() const { return static_cast<size_t>(shape_.state_words(scoring_.planes)); }
  void poll() const { poll_(); }
  // Columns [low, high) that a strip sweeps.
  std::pair<int64_t, int64_t> window(int64_t strip) const {
    return {at(strip).low, at(strip).high};
  }
  const ColumnPlanes& tokens() const { return tokens_; }
  // Where the target begins, for the steps of a strip that begins with column `low` in which some
  // lane comes to it.
  const uint64_t* starts(int64_t low) const { return start_.first() - low; }
  StripCall prepare(const uint64_t* rows, std::vector<uint64_t>& state,
                    const Borders& borders) const;

  // Steps of a strip are counted from the one in which lane 0 is at its first column.
  int64_t kept_every() const { return kept_every_; }
  // The last step not after `step` before which the state is kept.
  int64_t kept_step(int64_t strip, int64_t step) const {
    return std::max(step / kept_every_ * kept_every_, first_step(strip));
  }
  const uint64_t* kept_state(int64_t strip, int64_t step) const { return place_of(strip, step); }
  const uint64_t* kept_rows(int64_t strip) const {
    return kept_[static_cast<size_t>(strip)].rows.data();
  }
  // Above a strip, a bit for each column from `first` on: of 64 columns a word for each plane.
  struct KeptBorder {
    const uint64_t* bits;
    int64_t first, words;
  };
  KeptBorder kept_border(int64_t strip) const {
    static constexpr uint64_t nothing[most_planes] = {};
    if (strip == 0) return {nothing, 0, 0};
    const std::vector<uint64_t>& border = kept_[static_cast<size_t>(strip)].border;
    return {border.data(), at(strip - 1).low,
            static_cast<int64_t>(border.size()) / scoring_.planes};
  }

 private:
  struct Strip {
    int64_t low = 0, high = 0;
    int64_t gained = 0;  // H' above the strip at its first column
    // Whether low and high are what they will be, and the whole border below is there.
    bool begins = false, ends = false, finished = false;
    // Of the border below: the columns that are there, those that have been added, and H' there.
    int64_t written = 0, summed = 0, sum = 0;
  };

  struct Kept {
    std::vector<uint64_t> rows, border;
  };

  // Strips that follow one another in the same lanes.
  struct Stream {
    enum class Phase {
      waits,    // for its strip's first column
      goes_on,  // with the steps of `call`
      joins,    // could begin the next strip, were the border above it there
      ended
    };

    StripRows rows, before;
    std::vector<uint64_t> state;
    StripCall call{};
    int64_t strip;
    const int64_t stride;  // to the strip that follows
    Phase phase = Phase::waits;
    int64_t ending = -1;  // the strip before in these lanes, while it ends
    bool apart = false;   // ends before the next strip begins
    int64_t high = 0;     // of the strip when the steps of `call` were chosen
    int64_t step = 0;

    Stream(const BitKernels& kernels, int token_planes, size_t state_words, int64_t first,
           int64_t stride)
        : rows(kernels, token_planes),
          before(rows),
          state(state_words),
          strip(first),
          stride(stride) {}
    int64_t steps() const { return call.end - call.begin; }
  };

  Strip& at(int64_t strip) { return strips_[static_cast<size_t>(strip)]; }
  const Strip& at(int64_t strip) const { return strips_[static_cast<size_t>(strip)]; }
  int64_t first_row(int64_t strip) const { return std::max<int64_t>(top(strip), 0); }
  // Lanes above all rows have nothing to do.
  int64_t first_step(int64_t strip) const { return strip == 0 ? pad_ / shape_.depth : 0; }
  bool last(const Stream& stream) const { return stream.strip + stream.stride >= count_; }

  void enter(Stream& stream, bool keep);
  bool can_join(const Stream& stream) const;
  void join(Stream& stream, bool keep);
  // Whether a stream's next steps can be done.
  bool ready(Stream& stream, bool keep);
  // The steps that come next: until another kernel has to go on or a state has to be kept.
  void choose(Stream& stream, bool keep);
  void advance(Stream& stream, bool keep);
  void place(int64_t strip, StripRows& rows) const;

  // Once the first column of a strip is known; with it that of others may be.
  void begin(int64_t strip);
  // Adds what is there of the border below a strip; what that says of the next strip. Not below the
  // strip that tells until it has told.
  void sum(int64_t strip, bool keep);
  // What the score of the pair's first `size` tokens says of it: the border below a strip has it.
  void tell(int64_t size, int64_t score);
  void finish(int64_t strip, bool keep);
  // Where nothing below a strip is of use: the score is one that the border below it has.
  void lose(int64_t strip);
  // Once a boundary above a strip is known behind which none is of use.
  void end_at(int64_t strip, int64_t boundary);
  // The last one of use, where H' is the same from there on.
  int64_t last_boundary(int64_t gained) const;
  // The least H' above a strip that is of use.
  int64_t least_above(int64_t strip) const {
    return at_least_ - most_ * (a_.size - first_row(strip));
  }
  void clear_border(int64_t strip, int64_t from, int64_t to) const;

  uint64_t* place_of(int64_t strip, int64_t step) const {
    const int64_t which = strip * states_of_strip_ + step / kept_every_;
    return states_ + which * static_cast<int64_t>(state_words());
  }
  void keep_state(const std::vector<uint64_t>& state, int64_t strip, int64_t step) {
    if (step != kept_step(strip, step)) return;
    std::copy(state.begin(), state.end(), place_of(strip, step));
  }

  // Once all lanes have begun: gives the rows that are too many the largest difference, so that
  // nothing more comes down from them. It never changes, and no query need be seen to begin.
  void settle(int64_t strip, std::vector<uint64_t>& state) const;

  const BitKernels& kernels_;
  const StripShape shape_;
  const BitScoring scoring_;
  const Sequence a_, b_;
  const std::function<void()>& poll_;
  const int64_t most_, count_, pad_;
  int64_t kept_every_, states_of_strip_;
  ColumnPlanes tokens_, start_, started_;
  Borders borders_;
  std::vector<Strip> strips_;
  int64_t at_least_ = 0, score_ = 0;
  // Whether at_least_ rises; whether the first strip that tells, telling_, has, or none will.
  bool expects_ = false, told_ = true;
  const int64_t telling_;
  bool lost_ = false;  // no path comes to at_least_
  std::vector<Kept> kept_;
  Buffer states_memory_;
  uint64_t* states_ = nullptr;
};

}  // namespace neurn::align
