#include "strip_pair.h"

#include <algorithm>
#include <bit>
#include <optional>

#include "strip_rows.h"

namespace neurn::align {
namespace {

// Steps between two states that are kept for the way back, unless these take more words: then more.
constexpr int64_t least_steps_kept = 128, most_kept_words = int64_t{1} << 23;
// Of two strips that go on side by side, at most.
constexpr int64_t steps_at_once = 256;
// A band is worth its two sweeps below this share of the whole matrix.
constexpr double worthwhile = 0.7;
// The parts of a pair that tell how wide a band it needs, and the band of such a trial: the first
// tells related pairs from others at little cost, the second the width.
constexpr int64_t first_trial_rows = 256, trial_rows = 2048, trial_width = 256;

class Pair {
 public:
  Pair(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
       const std::function<void()>& poll)
      : kernels_(kernels),
        shape_(kernels),
        scoring_(scoring),
        a_(a),
        b_(b),
        poll_(poll),
        strips_((a.size + shape_.rows() - 1) / shape_.rows()),
        pad_(strips_ * shape_.rows() - a.size) {
    const int64_t most_states = most_kept_words / static_cast<int64_t>(state_words());
    while (kept_every_ < b.size && strips_ * (b.size / kept_every_) > most_states) kept_every_ *= 2;
    std::vector<Token> twice;
    if (joins()) {
      twice.reserve(static_cast<size_t>(b.size + shape_.lanes()));
      twice.assign(b.data, b.data + b.size);
      twice.insert(twice.end(), b.data, b.data + shape_.lanes());
      b = {twice.data(), static_cast<int64_t>(twice.size())};
    }
    tokens_.fill(kernels, b.data, b.size, scoring.token_planes);
    std::vector<Token> start(static_cast<size_t>(kept_every_ + shape_.lanes()), 1);
    started_.fill(kernels, start.data(), static_cast<int64_t>(start.size()), 1);
    std::fill(start.begin() + 1, start.end(), 0);
    start_.fill(kernels, start.data(), static_cast<int64_t>(start.size()), 1);
    borders_.get(shape_.lanes(), b_.size, scoring.planes);
  }

  // Shifted score (cpu/bits.h) of the best path whose cells (i, j) lie in the band; width < 0: of
  // the best path. keep: what walk needs.
  int64_t sweep(int64_t width, bool keep) {
    width_ = width;
    // Nothing is above the first strip; below a band's strips there is nothing where they end.
    for (int64_t strip = 0; strip < (width < 0 ? 1 : 2); ++strip) {
      for (int k = 0; k < scoring_.planes; ++k) {
        std::fill_n(borders_.above(strip) + k * borders_.stride(), b_.size, 0);
      }
    }
    kept_.clear();
    if (keep) prepare_kept();
    return width < 0 && joins() ? sweep_joined(keep) : sweep_apart(keep);
  }

  // Share of the whole matrix that a band costs.
  double cost(int64_t width) {
    width_ = width;
    double steps = 0;
    for (int64_t strip = 0; strip < strips_; ++strip) {
      const auto [low, high] = window(strip);
      steps += static_cast<double>(high - low + shape_.lanes());
    }
    return steps / (static_cast<double>(b_.size + shape_.lanes()) * static_cast<double>(strips_));
  }

  // The least width whose band holds every path that reaches a shifted score: one that leaves it
  // has at most min(n, m) - width - 1 diagonal steps, and only these gain anything.
  int64_t certain_width(int64_t score) const {
    const int64_t most = std::max(scoring_.equal, scoring_.unequal);
    return std::min(a_.size, b_.size) - score / most - (score % most != 0);
  }

  // Back from the end through the last sweep, which kept what it needs.
  void walk(std::vector<Move>& path) const;

 private:
  struct Kept {
    std::vector<uint64_t>
        border;           // above the strip, from column low on, a bit each, plane by plane
    int64_t first_state;  // the one before step low; the next is of step low + kept_every_
  };

  // Whether each strip of the whole matrix can begin while the one above ends.
  bool joins() const { return strips_ > 1 && b_.size >= shape_.lanes(); }

  int64_t sweep_apart(bool keep) {
    StripRows rows(kernels_, scoring_.token_planes);
    std::vector<uint64_t> state(state_words());
    StripCall call = prepare(rows, state, borders_);
    int64_t score = 0, from = 0;
    for (int64_t strip = 0; strip < strips_; ++strip) {
      poll_();
      const auto [low, high] = window(strip);
      // Down the column before the first, nothing is gained.
      score += sum_border(strip, from, low);
      from = low;
      if (keep) keep_border(strip);
      call.border = borders_.above(strip);
      call.border_below = borders_.above(strip + 1);
      place(strip, rows);
      std::fill(state.begin(), state.end(), 0);
      const int64_t end = high + shape_.lanes() - 1;
      for (int64_t t = low + first_step(strip); t < end;) {
        const int64_t step = t - low;
        const bool begins = step < shape_.lanes();
        int64_t next = begins ? std::min(end, low + shape_.lanes()) : end;
        if (keep) next = std::min(next, low + (step / kept_every_ + 1) * kept_every_);
        if (step == shape_.lanes()) settle(strip, state);
        if (keep) keep_state(state, strip, step);
        call.column_starts = starts(low);
        call.kind = begins ? SweepKind::begin : SweepKind::middle;
        call.begin = t;
        call.end = next;
        kernels_.run_strip(call);
        t = next;
      }
    }
    return score + sum_border(strips_, from, b_.size);
  }

  // One or two strips at a time, of which each is followed by the next but that many: lane after
  // lane goes over from the last column of one to the first of the other.
  int64_t sweep_joined(bool keep) {
    // The first must come so far that the other, too, can begin before the first ends.
    const bool two =
        kernels_.run_two_strips != nullptr && b_.size >= 2 * (shape_.lanes() + steps_at_once);
    const int64_t count = two ? 2 : 1;
    std::vector<Stream> streams;
    for (int64_t strip = 0; strip < std::min(count, strips_); ++strip) {
      streams.emplace_back(kernels_, scoring_.token_planes, state_words(), strip, count);
    }
    for (Stream& stream : streams) {
      stream.call = prepare(stream.rows, stream.state, borders_);
      stream.call.rows_before = stream.before.data();
      enter(stream, keep);
    }
    if (keep) keep_border(0);
    // The strip furthest up can always go on: it waits for nothing.
    const auto ended = [](const Stream& stream) { return stream.ended; };
    while (!std::all_of(streams.begin(), streams.end(), ended)) {
      Stream *next = nullptr, *other = nullptr;
      for (Stream& stream : streams) {
        if (stream.ended || !ready(stream, streams)) continue;
        // Two middles go together; what can't is done first.
        if (next == nullptr || stream.call.kind != SweepKind::middle) {
          other = next, next = &stream;
        } else {
          other = &stream;
        }
      }
      if (other != nullptr && next->call.kind == other->call.kind &&
          next->call.kind == SweepKind::middle) {
        const int64_t steps = std::min(next->steps(), other->steps());
        next->call.end = next->call.begin + steps;
        other->call.end = other->call.begin + steps;
        kernels_.run_two_strips(next->call, other->call);
        advance(*other, keep);
      } else {
        kernels_.run_strip(next->call);
      }
      advance(*next, keep);
    }
    return sum_border(strips_, 0, b_.size);
  }

  // Strips that follow one another in the same lanes.
  struct Stream {
    StripRows rows, before;
    std::vector<uint64_t> state;
    StripCall call{};  // of the steps that come next
    int64_t strip;
    const int64_t stride;  // to the strip that follows
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

  bool joined(const Stream& stream) const {
    return stream.strip >= stream.stride && stream.step < shape_.lanes() - 1;
  }

  void enter(Stream& stream, bool keep) {
    poll_();
    std::swap(stream.rows, stream.before);
    place(stream.strip, stream.rows);
    stream.call.rows = stream.rows.data();
    stream.call.rows_before = stream.before.data();
    stream.step = first_step(stream.strip);
    choose(stream, keep);
  }

  // The steps that come next: until another kernel has to go on or a state has to be kept.
  void choose(Stream& stream, bool keep) {
    const int64_t columns = b_.size, over = shape_.lanes() - 1, t = stream.step;
    StripCall& call = stream.call;
    int64_t end = t + steps_at_once;
    if (keep) end = std::min(end, t + kept_every_ - t % kept_every_);
    if (joined(stream)) {
      // Steps columns .. of the strip before in this stream.
      end = std::min(end, over);
      if (keep) {
        keep_state(stream.state, stream.strip, t);
        keep_state(stream.state, stream.strip - stream.stride, columns + t);
        end = std::min(end, t + kept_every_ - (columns + t) % kept_every_);
      }
      call.kind = SweepKind::join;
      call.column_starts = start_.first() - columns;
      call.column_started = started_.first() - columns;
      call.border = borders_.above(stream.strip) - columns;
      call.border_below = borders_.above(stream.strip - stream.stride + 1);
      call.begin = columns + t;
      call.end = columns + end;
      return;
    }
    const bool begins = t < shape_.lanes();
    const bool last = stream.strip + stream.stride >= strips_;
    end = std::min(end, begins ? shape_.lanes() : last ? columns + over : columns);
    if (t == shape_.lanes()) settle(stream.strip, stream.state);
    if (keep) keep_state(stream.state, stream.strip, t);
    call.kind = begins ? SweepKind::begin : SweepKind::middle;
    call.column_starts = starts(0);
    call.border = borders_.above(stream.strip);
    call.border_below = borders_.above(stream.strip + 1);
    call.begin = t;
    call.end = end;
  }

  // Whether the border above is there for all of the next steps.
  bool ready(const Stream& stream, const std::vector<Stream>& streams) const {
    if (stream.strip == 0 || streams.size() == 1) return true;
    const Stream& above = streams[static_cast<size_t>(1 - (&stream - streams.data()))];
    if (above.ended) return true;
    const int64_t over = shape_.lanes() - 1;
    const int64_t written = above.strip < stream.strip ? above.step - over
                            : joined(above)            ? b_.size + above.step - over
                                                       : b_.size;
    return std::min(stream.step + stream.steps(), b_.size) <= written;
  }

  void advance(Stream& stream, bool keep) {
    const bool was_joined = joined(stream);
    const bool last = stream.strip + stream.stride >= strips_;
    stream.step += stream.steps();
    // Below the strip that has ended.
    if (keep && was_joined && !joined(stream)) keep_border(stream.strip - stream.stride + 1);
    if (stream.step < b_.size || (last && stream.step < b_.size + shape_.lanes() - 1)) {
      return choose(stream, keep);
    }
    if (!last) {
      stream.strip += stream.stride;
      return enter(stream, keep);
    }
    stream.ended = true;
    if (keep && stream.strip + 1 < strips_) keep_border(stream.strip + 1);
  }

  void keep_border(int64_t strip) {
    const auto [low, high] = window(strip);
    kept_[static_cast<size_t>(strip)].border = pack_border(strip, low, high);
  }
  void prepare_kept() {
    int64_t states = 0;
    for (int64_t strip = 0; strip < strips_; ++strip) {
      const auto [low, high] = window(strip);
      kept_.push_back({{}, states});
      states += (high - low + shape_.lanes() - 2) / kept_every_ + 1;
    }
    states_ = states_memory_.get(states * static_cast<int64_t>(state_words()));
  }
  // Steps of a strip are counted from the one in which lane 0 is at its first column. Lanes above
  // all rows have nothing to do.
  int64_t first_step(int64_t strip) const { return strip == 0 ? pad_ / shape_.depth : 0; }
  // The last step not after `step` before which the state is kept.
  int64_t kept_step(int64_t strip, int64_t step) const {
    return std::max(step / kept_every_ * kept_every_, first_step(strip));
  }
  uint64_t* kept_state(int64_t strip, int64_t step) const {
    const int64_t which = kept_[static_cast<size_t>(strip)].first_state + step / kept_every_;
    return states_ + which * static_cast<int64_t>(state_words());
  }
  void keep_state(const std::vector<uint64_t>& state, int64_t strip, int64_t step) {
    if (step != kept_step(strip, step)) return;
    std::copy(state.begin(), state.end(), kept_state(strip, step));
  }

  // Columns [low, high) that a strip sweeps: those of the band in any of its rows.
  std::pair<int64_t, int64_t> window(int64_t strip) const {
    if (width_ < 0) return {0, b_.size};
    const int64_t top = std::max<int64_t>(strip * shape_.rows() - pad_, 0);
    const int64_t bottom = (strip + 1) * shape_.rows() - pad_;
    const int64_t offset = b_.size - a_.size;
    return {std::clamp<int64_t>(top + std::min<int64_t>(offset, 0) - width_, 0, b_.size - 1),
            std::clamp<int64_t>(bottom + std::max<int64_t>(offset, 0) + width_, 1, b_.size)};
  }

  size_t state_words() const { return static_cast<size_t>(shape_.state_words(scoring_.planes)); }

  StripCall prepare(const StripRows& rows, std::vector<uint64_t>& state,
                    const Borders& borders) const {
    StripCall call{};
    call.scoring = scoring_;
    call.column_token = tokens_.first();
    call.column_stride = tokens_.stride();
    call.rows = rows.data();
    call.state = state.data();
    call.border_stride = borders.stride();
    return call;
  }

  // Where the target begins, for the steps of a strip that begins with column `low` in which some
  // lane comes to it.
  const uint64_t* starts(int64_t low) const { return start_.first() - low; }

  // Once all lanes have begun: gives the rows that are too many the largest difference, so that
  // nothing more comes down from them. It never changes, and no query need be seen to begin.
  void settle(int64_t strip, std::vector<uint64_t>& state) const {
    if (strip > 0) return;
    const int64_t most = std::max({scoring_.equal, scoring_.unequal, int64_t{0}});
    const int planes = scoring_.planes;
    const auto set = [&](int64_t vector, int64_t row, int64_t value) {
      for (int k = 0; k < planes; ++k) {
        uint64_t& word =
            state[static_cast<size_t>((vector * planes + k) * shape_.words + shape_.word_of(row))];
        const uint64_t bit = uint64_t{1} << shape_.bit_of(row);
        word = (value >> k & 1) != 0 ? word | bit : word & ~bit;
      }
    };
    for (int64_t row = 0; row < pad_; ++row) {
      set(shape_.vector_of(row), row, most);
      // Of a lane's last row: what goes on to the next.
      if (shape_.vector_of(row) == shape_.depth - 1) set(shape_.depth, row, 0);
    }
  }

  // The first strip's rows begin with those that are too many.
  void place(int64_t strip, StripRows& rows) const {
    rows.clear();
    const int64_t from = std::max<int64_t>(strip * shape_.rows() - pad_, 0);
    const int64_t first = strip == 0 ? pad_ : 0;
    rows.place({a_.data + from, shape_.rows() - first}, first);
    if (strip == 0) rows.begin_at(first);
    rows.pack();
  }

  // Of the border above a strip.
  int64_t sum_border(int64_t strip, int64_t from, int64_t to) const {
    const std::vector<uint64_t> bits = pack_border(strip, from, to);
    const size_t words = bits.size() / static_cast<size_t>(scoring_.planes);
    int64_t sum = 0;
    for (size_t i = 0; i < bits.size(); ++i) sum += int64_t{std::popcount(bits[i])} << (i / words);
    return sum;
  }

  std::vector<uint64_t> pack_border(int64_t strip, int64_t low, int64_t high) const {
    const int64_t words = (high - low + 63) / 64;
    const uint64_t* border = borders_.above(strip) + low;
    std::vector<uint64_t> out(static_cast<size_t>(words * scoring_.planes));
    for (int k = 0; k < scoring_.planes; ++k) {
      kernels_.pack_border(border + k * borders_.stride(), high - low, out.data() + k * words);
    }
    return out;
  }

  const BitKernels& kernels_;
  const StripShape shape_;
  const BitScoring scoring_;
  const Sequence a_, b_;
  const std::function<void()>& poll_;
  const int64_t strips_, pad_;
  int64_t kept_every_ = least_steps_kept;
  int64_t width_ = -1;
  ColumnPlanes tokens_, start_, started_;
  Borders borders_;
  std::vector<Kept> kept_;
  Buffer states_memory_;
  uint64_t* states_ = nullptr;

  friend class Walk;
};

// Of each row: where its bits are in the trace of the step in which the first lane is at its
// column.
struct Places {
  std::vector<int32_t> word;
  std::vector<int8_t> bit;
};

// Computes parts of strips again, with the steps that are optimal.
class Walk {
 public:
  explicit Walk(const Pair& pair)
      : pair_(pair),
        shape_(pair.shape_),
        rows_(pair.kernels_, pair.scoring_.token_planes),
        state_(pair.state_words()),
        trace_words_(2 * shape_.depth * shape_.words),
        whole_(places(shape_.rows(), [&](int64_t lane) {
          return Place{shape_.words - 1 - lane % shape_.words, lane / shape_.words};
        })) {
    borders_.get(shape_.lanes(), pair_.kept_every_, pair_.scoring_.planes);
    if (pair_.kernels_.trace_windows == nullptr) return;
    second_border_.get(shape_.lanes(), pair_.kept_every_, pair_.scoring_.planes);
    // A window's lanes have half of each word, and the second window comes behind the first.
    for (int which = 0; which < 2; ++which) {
      window_[which] = places(shape_.rows() / 2, [&](int64_t lane) {
        const int64_t half = (which + 1) * shape_.words - 1 - lane % shape_.words;
        return Place{half / 2, half % 2 * 32 + lane / shape_.words};
      });
    }
  }

  void run(std::vector<Move>& path) {
    const size_t most = static_cast<size_t>(pair_.a_.size + pair_.b_.size);
    path.resize(most);
    i_ = pair_.a_.size - 1, j_ = pair_.b_.size - 1;
    to_ = path.data() + most;
    for (int64_t strip = pair_.strips_ - 1; strip >= 0; --strip) {
      pair_.poll_();
      const auto [low, high] = pair_.window(strip);
      const int64_t top = strip * shape_.rows() - pair_.pad_;  // of row 0
      const int64_t first = std::max<int64_t>(top, 0);
      left_to(high - 1);
      if (i_ >= first && j_ >= low) pair_.place(strip, rows_);
      ahead_.reset();
      while (i_ >= first && j_ >= low) {
        again(strip, low, shape_.lane_of(i_ - top));
        follow(top, first, low);
      }
      if (low > 0) up_to(first - 1);
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
    const int64_t last = j_ + lane, step = pair_.kept_step(strip, last - low);
    if (ahead_ && ahead_->begin == low + step && holds(ahead_->first_lane, lane)) {
      now_ = *ahead_;
      return;
    }
    trace_ = trace_memory_.get(pair_.kept_every_ * trace_words_);
    const bool windows = pair_.kernels_.trace_windows != nullptr &&
                         pair_.kept_every_ <= shape_.lanes() / 4 &&
                         step - pair_.kept_every_ >= shape_.lanes();
    if (windows) {
      trace_windows(strip, low, step, lane);
    } else {
      trace_strip(strip, low, step, last);
    }
  }

  // Whether a window beginning with `first` has all that a path which ends in `lane` may depend on.
  // In each step back it comes from the same lane or the one above.
  bool holds(int64_t first, int64_t lane) const {
    return lane < first + shape_.lanes() / 2 && (first == 0 || lane - first >= pair_.kept_every_);
  }

  void trace_strip(int64_t strip, int64_t low, int64_t step, int64_t last) {
    const int64_t begin = low + step;
    const uint64_t* state = pair_.kept_state(strip, step);
    std::copy_n(state, state_.size(), state_.begin());
    unpack(strip, step, last + 1 - begin, borders_);
    StripCall call = pair_.prepare(rows_, state_, borders_);
    call.border = borders_.above(0) - begin;
    call.border_below = borders_.above(1) - begin;
    call.kind = step < shape_.lanes() ? SweepKind::trace_begin : SweepKind::trace_middle;
    call.column_starts = pair_.starts(low);
    call.begin = begin;
    call.end = last + 1;
    call.trace = trace_;
    pair_.kernels_.run_strip(call);
    now_ = {trace_, begin, 0, &whole_};
  }

  // The steps asked for, and those before, which the path probably comes to next.
  void trace_windows(int64_t strip, int64_t low, int64_t step, int64_t lane) {
    const int64_t every = pair_.kept_every_, half = shape_.lanes() / 2;
    // How many lanes above this one the path may be when it comes to the second window, or nearly.
    const int64_t spare = half - every - shape_.words;
    WindowsCall call{};
    call.scoring = pair_.scoring_;
    call.column_token = pair_.tokens_.first();
    call.column_stride = pair_.tokens_.stride();
    call.rows = rows_.data();
    call.steps = every;
    call.trace = trace_;
    call.border_stride = borders_.stride();
    const Borders* const borders[] = {&borders_, &second_border_};
    for (int which = 0; which < 2; ++which) {
      Window& window = call.windows[which];
      const int64_t from = step - which * every;
      const int64_t lowest = lane - every - (which == 0 ? 0 : spare);
      window.first_lane = std::clamp<int64_t>(lowest / shape_.words * shape_.words, 0, half);
      window.begin = low + from;
      window.state = pair_.kept_state(strip, from);
      window.border = borders[which]->above(0);
      if (window.first_lane == 0) unpack(strip, from, every, *borders[which]);
      (which == 0 ? now_ : ahead_.emplace()) = {trace_, window.begin, window.first_lane,
                                                &window_[which]};
    }
    pair_.kernels_.trace_windows(call);
  }

  // The border above a strip from a step on.
  void unpack(int64_t strip, int64_t step, int64_t steps, const Borders& to) const {
    const std::vector<uint64_t>& bits = pair_.kept_[static_cast<size_t>(strip)].border;
    const int planes = pair_.scoring_.planes;
    const int64_t words = static_cast<int64_t>(bits.size()) / planes;
    for (int k = 0; k < planes; ++k) {
      pair_.kernels_.unpack_border(bits.data() + k * words, words, step, steps,
                                   to.above(0) + k * to.stride());
    }
  }

  struct Place {
    int64_t word, bit;
  };
  template <class PlaceOf>
  Places places(int64_t rows, const PlaceOf& place_of) const {
    const size_t size = static_cast<size_t>(rows);
    Places out{std::vector<int32_t>(size), std::vector<int8_t>(size)};
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t lane = shape_.lane_of(row), vector = shape_.vector_of(row);
      const Place at = place_of(lane);
      const size_t i = static_cast<size_t>(row);
      out.word[i] = static_cast<int32_t>(lane * trace_words_ + vector * shape_.words + at.word);
      out.bit[i] = static_cast<int8_t>(at.bit);
    }
    return out;
  }

  const Pair& pair_;
  const StripShape shape_;
  StripRows rows_;
  // Where the path stands, and the last of its moves that are known.
  int64_t i_ = 0, j_ = 0;
  Move* to_ = nullptr;
  std::vector<uint64_t> state_;
  Buffer trace_memory_;
  Borders borders_, second_border_;
  uint64_t* trace_ = nullptr;
  const int64_t trace_words_;  // of a step
  const Places whole_;
  Places window_[2];
  Known now_{};
  std::optional<Known> ahead_;
};

void Pair::walk(std::vector<Move>& path) const { Walk(*this).run(path); }

// The width that a band will probably need, from the pair's beginning; none where a band is not
// worth it.
std::optional<int64_t> guess_width(const BitKernels& kernels, const BitScoring& scoring, Sequence a,
                                   Sequence b, const std::function<void()>& poll) {
  const int64_t shorter = std::min(a.size, b.size);
  if (shorter < 2 * trial_rows || std::max(scoring.equal, scoring.unequal) <= 0) return {};
  std::optional<int64_t> width;
  for (const int64_t part : {first_trial_rows, trial_rows}) {
    Pair trial(kernels, scoring, {a.data, part}, {b.data, part}, poll);
    const int64_t needed = trial.certain_width(trial.sweep(trial_width, false));
    width = std::min(shorter, needed * (shorter / part + 1) + needed * (shorter / part) / 8 + 32);
    if (2 * static_cast<double>(*width) >= worthwhile * static_cast<double>(shorter)) return {};
  }
  return width;
}

// Shifted score, proven to be the best; keep: as Pair::sweep.
int64_t best(Pair& pair, std::optional<int64_t> width, bool keep) {
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
  Pair pair(kernels, scoring, a, b, poll);
  return best(pair, width, false) + gap * (a.size + b.size);
}

int64_t strip_align(const BitKernels& kernels, const BitScoring& scoring, int64_t gap, Sequence a,
                    Sequence b, const std::function<void()>& poll, std::vector<Move>& path) {
  const std::optional<int64_t> width = guess_width(kernels, scoring, a, b, poll);
  Pair pair(kernels, scoring, a, b, poll);
  const int64_t score = best(pair, width, true);
  pair.walk(path);
  return score + gap * (a.size + b.size);
}

}  // namespace neurn::align
