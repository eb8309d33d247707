#include "strip_walk.h"

#include <algorithm>
#include <vector>

namespace neurn::align {
namespace {

// Of each row: where its bits are in the trace of the step in which the first lane is at its
// column.
struct Places {
  std::vector<int32_t> word;
  std::vector<int8_t> bit;
};

// Computes parts of strips again, with the steps that are optimal.
class Walk {
 public:
  explicit Walk(const StripSweep& sweep)
      : sweep_(sweep),
        shape_(sweep.kernels()),
        state_(sweep.state_words()),
        trace_words_(2 * shape_.depth * shape_.words) {
    borders_.get(shape_.lanes(), sweep_.kept_every(), sweep_.scoring().planes);
    if (traces_windows()) prepare_windows();
  }

  void run(std::vector<Move>& path) {
    const size_t most = static_cast<size_t>(sweep_.a_size() + sweep_.b_size());
    path.resize(most);
    i_ = sweep_.a_size() - 1, j_ = sweep_.b_size() - 1;
    to_ = path.data() + most;
    for (int64_t strip = sweep_.strips() - 1; strip >= 0; --strip) {
      sweep_.poll();
      // A best path never leaves what was swept.
      const int64_t low = sweep_.window(strip).first;
      const int64_t top = sweep_.top(strip);  // of row 0
      const int64_t first = std::max<int64_t>(top, 0);
      ahead_.clear();
      while (i_ >= first && j_ >= low) {
        again(strip, low, shape_.lane_of(i_ - top));
        follow(top, first, low);
      }
    }
    up_to(-1);
    left_to(-1);
    path.erase(path.begin(), path.begin() + (to_ - path.data()));
  }

 private:
  void up_to(int64_t row) {
    for (; i_ > row; --i_) *--to_ = Move::up;
  }
  void left_to(int64_t column) {
    for (; j_ > column; --j_) *--to_ = Move::left;
  }

  // Up to the strip's end or that of the trace. No branch tells up from left, which are as good as
  // random; most steps are diagonal.
  void follow(int64_t top, int64_t first, int64_t low) {
    const int64_t column_words = trace_words_, half = column_words / 2;
    const int64_t first_row = top + now_.first_lane * shape_.depth;
    const int64_t first_column = now_.begin - now_.first_lane;
    const uint64_t* const trace = now_.trace;
    const int32_t* const place = now_.places->word.data();
    const int8_t* const bits = now_.places->bit.data();
    const int64_t last_row = first - first_row, last_column = (low - first_column) * column_words;
    int64_t row = i_ - first_row, column = (j_ - first_column) * column_words;
    Move* to = to_;
    while (row >= last_row && column >= last_column) {
      const int64_t at = column + place[row];
      if (at < 0) break;
      const int bit = bits[row];
      if ((trace[at] >> bit & 1) != 0) {
        *--to = Move::diagonal;
        --row;
        column -= column_words;
      } else {
        const int64_t up = trace[at + half] >> bit & 1;
        *--to = static_cast<Move>(4 >> up);
        row -= up;
        column -= column_words & (up - 1);
      }
    }
    i_ = row + first_row, j_ = column / column_words + first_column;
    to_ = to;
  }

  // What is known of a strip's steps: those of lanes first_lane .. from step `begin` on.
  struct Known {
    const uint64_t* trace;
    int64_t begin, first_lane;
    const Places* places;
  };

  // Makes the steps known that lead to `lane` in the path's column, from the last kept state on.
  void again(int64_t strip, int64_t low, int64_t lane) {
    const int64_t last = j_ + lane, step = sweep_.kept_step(strip, last - low);
    for (const Known& known : ahead_) {
      if (known.begin != low + step || !holds(known.first_lane, lane)) continue;
      now_ = known;
      return;
    }
    trace_ = trace_memory_.get(sweep_.kept_every() * trace_words_);
    if (!traces_windows() || !trace_windows(strip, low, step, lane)) {
      trace_strip(strip, low, step, last);
    }
  }

  bool traces_windows() const {
    return sweep_.kernels().trace_windows != nullptr && sweep_.kept_every() <= window_lanes() / 2;
  }
  int64_t window_lanes() const { return shape_.lanes() / windows_at_once; }
  int64_t window_words() const { return shape_.words / windows_at_once; }

  // Whether a window beginning with `first` has all that a path which ends in `lane` may depend on.
  // In each step back it comes from the same lane or the one above.
  bool holds(int64_t first, int64_t lane) const {
    return lane < first + window_lanes() && (first == 0 || lane - first >= sweep_.kept_every());
  }

  void trace_strip(int64_t strip, int64_t low, int64_t step, int64_t last) {
    const int64_t begin = low + step;
    const uint64_t* state = sweep_.kept_state(strip, step);
    std::copy_n(state, state_.size(), state_.begin());
    const StripSweep::KeptBorder above = sweep_.kept_border(strip);
    const int planes = sweep_.scoring().planes;
    for (int k = 0; k < planes; ++k) {
      sweep_.kernels().unpack_border(above.bits + k, above.words, planes, begin - above.first,
                                     last + 1 - begin, borders_.above(0) + k * borders_.stride());
    }
    StripCall call = sweep_.prepare(sweep_.kept_rows(strip), state_, borders_);
    call.border = borders_.above(0) - begin;
    call.border_below = borders_.above(1) - begin;
    call.kind = step < shape_.lanes() ? SweepKind::trace_begin : SweepKind::trace_middle;
    call.column_starts = sweep_.starts(low);
    call.begin = begin;
    call.end = last + 1;
    call.trace = trace_;
    sweep_.kernels().run_strip(call);
    if (whole_.word.empty()) whole_ = places<1>();
    now_ = {trace_, begin, 0, &whole_};
  }

  void prepare_windows() {
    const int64_t above_words = sweep_.kept_every() * sweep_.scoring().planes * shape_.words;
    above_ = above_memory_.get(above_words);
    std::fill_n(above_, above_words, 0);
    window_ = places<windows_at_once>();
  }

  // The steps asked for, and those before, which the path probably comes to next. Not where a
  // window has lanes that have not begun, or rows that are too many and not yet settled.
  bool trace_windows(int64_t strip, int64_t low, int64_t step, int64_t lane) {
    const int64_t every = sweep_.kept_every();
    // A window has room for a path that goes straight to the matrix's beginning, and for as many
    // lanes to both sides.
    const double rows = static_cast<double>(i_ + 1) / shape_.depth;
    const double slope = rows / (rows + static_cast<double>(j_ + 1));
    const int64_t spare = (window_lanes() - every - shape_.words) / 2;
    WindowsCall call{};
    call.scoring = sweep_.scoring();
    call.column_token = sweep_.tokens().first();
    call.column_stride = sweep_.tokens().stride();
    call.rows = sweep_.kept_rows(strip);
    // What comes to a window that does not begin with lane 0 is wrong in any case.
    call.above = above_;
    call.steps = every;
    call.trace = trace_;
    ahead_.clear();
    for (int which = 0; which < windows_at_once; ++which) {
      const int64_t from = step - which * every;
      int64_t expected = lane;
      if (which > 0) {
        const int64_t back = j_ + lane - low - (from + every - 1);
        expected -= static_cast<int64_t>(slope * static_cast<double>(back)) + spare;
      }
      Window& window = call.windows[which];
      window.first_lane = std::clamp<int64_t>((expected - every) / shape_.words * shape_.words, 0,
                                              shape_.lanes() - window_lanes());
      const int64_t first_row = sweep_.top(strip) + window.first_lane * shape_.depth;
      const bool above = expected + 2 * spare < 0;
      const bool fresh =
          from < shape_.lanes() && (from < window.first_lane + window_lanes() || first_row < 0);
      if (above || fresh) {
        if (which == 0) return false;
        // The window before once more.
        window = call.windows[which - 1];
        continue;
      }
      window.begin = low + from;
      window.state = sweep_.kept_state(strip, from);
      if (window.first_lane == 0) {
        fill_above(strip, window.begin, which);
        call.above_stride = sweep_.scoring().planes * shape_.words;
      }
      ahead_.push_back(
          {trace_ + which * window_words(), window.begin, window.first_lane, &window_});
    }
    now_ = ahead_.front();
    sweep_.kernels().trace_windows(call);
    return true;
  }

  // What comes down to lane 0 from a column on, for a window that begins with it.
  void fill_above(int64_t strip, int64_t begin, int which) {
    const int64_t word = which * window_words() + window_.word[0];
    const int planes = sweep_.scoring().planes;
    const StripSweep::KeptBorder above = sweep_.kept_border(strip);
    const int64_t from = (begin - above.first) / 64, behind = (begin - above.first) % 64;
    for (int k = 0; k < planes; ++k) {
      const auto at = [&](int64_t i) { return i < above.words ? above.bits[i * planes + k] : 0; };
      uint64_t own = at(from) >> behind;
      if (behind > 0) own |= at(from + 1) << (64 - behind);
      for (int64_t t = 0; t < sweep_.kept_every(); ++t, own >>= 1) {
        above_[(t * planes + k) * shape_.words + word] = (own & 1) << window_.bit[0];
      }
    }
  }

  // Of the first of so many windows, which have a part of each word and come one behind the other.
  template <int windows>
  Places places() const {
    const size_t size = static_cast<size_t>(shape_.rows() / windows);
    Places out{std::vector<int32_t>(size), std::vector<int8_t>(size)};
    for (size_t i = 0; i < size; ++i) {
      const int64_t row = static_cast<int64_t>(i);
      const int part = shape_.word_of(row);
      out.word[i] = static_cast<int32_t>(shape_.lane_of(row) * trace_words_ +
                                         shape_.vector_of(row) * shape_.words + part / windows);
      out.bit[i] = static_cast<int8_t>(part % windows * (64 / windows) + shape_.bit_of(row));
    }
    return out;
  }

  const StripSweep& sweep_;
  const StripShape shape_;
  // Where the path stands, and the last of its moves that are known.
  int64_t i_ = 0, j_ = 0;
  Move* to_ = nullptr;
  std::vector<uint64_t> state_;
  Buffer trace_memory_;
  Borders borders_;
  uint64_t* trace_ = nullptr;
  const int64_t trace_words_;  // of a step
  Places whole_, window_;
  Buffer above_memory_;
  uint64_t* above_ = nullptr;
  Known now_{};
  std::vector<Known> ahead_;
};

}  // namespace

void walk(const StripSweep& sweep, std::vector<Move>& path) { Walk(sweep).run(path); }

}  // namespace neurn::align
