#include "strip_sweep.h"

#include <bit>
#include <cmath>

namespace neurn::align {
namespace {

// Steps between two states that are kept for the way back, unless these take more words: then more.
// Windows have room for half of their lanes.
int64_t least_steps_kept(const BitKernels& kernels) {
  return kernels.trace_windows == nullptr ? 128 : StripShape(kernels).lanes() / windows_at_once / 2;
}
constexpr int64_t most_kept_words = int64_t{1} << 24;
// At a time, of strips that go on side by side, so that one does not wait long for the other, and
// of one that is to tell what may be left out.
constexpr int64_t steps_at_once = 256;
// Columns of a border that are added at a time.
constexpr int64_t block = 64;
// Rows from which on a pair's beginning tells what the whole pair lacks.
constexpr int64_t telling_rows = 256;
// What a pair may lack more than its beginning: that of unrelated sequences varies with the root of
// its rows, that of related ones with the root of what it lacks, which is little. Pairs that lack
// almost all are swept as a whole.
constexpr double unrelated = 0.25, unrelated_margin = 0.5, related_margin = 2, most_lacking = 0.8;
// Besides, in diagonal steps: the ends of a short band.
constexpr int64_t spare_steps = 32;

}  // namespace

StripSweep::StripSweep(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
                       const std::function<void()>& poll)
    : kernels_(kernels),
      shape_(kernels),
      scoring_(scoring),
      a_(a),
      b_(b),
      poll_(poll),
      most_(std::max({scoring.equal, scoring.unequal, int64_t{0}})),
      count_((a.size + shape_.rows() - 1) / shape_.rows()),
      pad_(count_ * shape_.rows() - a.size),
      kept_every_(least_steps_kept(kernels)),
      telling_(shape_.rows() - pad_ >= telling_rows ? 0 : 1) {
  const int64_t most_states = most_kept_words / static_cast<int64_t>(state_words());
  while (kept_every_ < b.size && count_ * (b.size / kept_every_) > most_states) kept_every_ *= 2;
  states_of_strip_ = (b.size + shape_.lanes() - 2) / kept_every_ + 1;
  tokens_.fill(kernels, b.data, b.size, scoring.token_planes);
  std::vector<Token> start(static_cast<size_t>(kept_every_ + shape_.lanes()), 1);
  started_.fill(kernels, start.data(), static_cast<int64_t>(start.size()), 1);
  std::fill(start.begin() + 1, start.end(), 0);
  start_.fill(kernels, start.data(), static_cast<int64_t>(start.size()), 1);
  borders_.get(shape_.lanes(), b_.size, scoring.planes);
}

int64_t StripSweep::sweep(int64_t at_least, bool keep, bool expects) {
  at_least_ = at_least;
  expects_ = expects && most_ > 0;
  told_ = !expects_ || telling_ + 1 >= count_;
  lost_ = false;
  strips_.assign(static_cast<size_t>(count_), {});
  kept_.clear();
  if (keep) {
    kept_.resize(static_cast<size_t>(count_));
    states_ = states_memory_.get(count_ * states_of_strip_ * static_cast<int64_t>(state_words()));
  }
  // Nothing is above the first strip.
  Strip& first = at(0);
  first.high = std::min(b_.size, last_boundary(0) + first_row(1));
  first.ends = true;
  clear_border(0, 0, first.high);
  begin(0);

  const int64_t stride = kernels_.run_two_strips == nullptr ? 1 : 2;
  std::vector<Stream> streams;
  for (int64_t strip = 0; strip < std::min(stride, count_); ++strip) {
    streams.emplace_back(kernels_, scoring_.token_planes, state_words(), strip, stride);
  }
  const auto ended = [](const Stream& stream) { return stream.phase == Stream::Phase::ended; };
  while (!lost_ && !std::all_of(streams.begin(), streams.end(), ended)) {
    Stream *next = nullptr, *other = nullptr;
    for (Stream& stream : streams) {
      if (!ready(stream, keep)) continue;
      // Two middles go together; what can't is done first.
      if (next == nullptr || stream.call.kind != SweepKind::middle) {
        other = next, next = &stream;
      } else {
        other = &stream;
      }
    }
    if (next == nullptr) {
      // All that could be joined waits for what these lanes hold.
      for (Stream& stream : streams) {
        const bool joins = stream.phase == Stream::Phase::joins;
        if (joins && (next == nullptr || stream.strip < next->strip)) next = &stream;
      }
      next->apart = true;
      choose(*next, keep);
      continue;
    }
    // Then the other is middle, too.
    if (other != nullptr && next->call.kind == SweepKind::middle) {
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
  return score_;
}

void StripSweep::enter(Stream& stream, bool keep) {
  poll_();
  place(stream.strip, stream.rows);
  if (keep) kept_[static_cast<size_t>(stream.strip)].rows = stream.rows.words();
  stream.call = prepare(stream.rows.data(), stream.state, borders_);
  stream.call.rows_before = stream.before.data();
  stream.step = first_step(stream.strip);
  choose(stream, keep);
}

// More columns than lanes: then the lanes are settled.
bool StripSweep::can_join(const Stream& stream) const {
  const int64_t lanes = shape_.lanes(), strip = stream.strip + stream.stride;
  const Strip &own = at(stream.strip), &next = at(strip);
  return own.high - own.low > lanes && next.begins &&
         next.low + lanes <= std::min(next.high, at(strip - 1).written);
}

void StripSweep::join(Stream& stream, bool keep) {
  stream.ending = stream.strip;
  stream.strip += stream.stride;
  std::swap(stream.rows, stream.before);
  enter(stream, keep);
}

bool StripSweep::ready(Stream& stream, bool keep) {
  using enum Stream::Phase;
  if (stream.phase == waits && at(stream.strip).begins) {
    std::fill(stream.state.begin(), stream.state.end(), 0);
    enter(stream, keep);
  } else if (stream.phase == joins && can_join(stream)) {
    join(stream, keep);
  }
  if (stream.phase != goes_on) return false;
  const int64_t high = at(stream.strip).high;
  if (stream.high != high) choose(stream, keep);
  return stream.strip == 0 || std::min(stream.call.end, high) <= at(stream.strip - 1).written;
}

void StripSweep::choose(Stream& stream, bool keep) {
  const Strip& own = at(stream.strip);
  const int64_t lanes = shape_.lanes(), over = lanes - 1, t = stream.step;
  StripCall& call = stream.call;
  stream.phase = Stream::Phase::goes_on;
  stream.high = own.high;
  int64_t end = own.high - own.low + (stream.apart || last(stream) ? over : 0);
  if (stream.stride > 1 || !told_) end = std::min(end, t + steps_at_once);
  if (t == lanes) settle(stream.strip, stream.state);
  call.kept = nullptr;
  if (keep) {
    keep_state(stream.state, stream.strip, t);
    const int64_t next = t + kept_every_ - t % kept_every_;
    call.kept = place_of(stream.strip, next);
    call.keep_at = own.low + next;
    call.keep_every = kept_every_;
  }
  call.column_starts = starts(own.low);
  call.border = borders_.above(stream.strip);
  if (stream.ending >= 0) {
    const Strip& ending = at(stream.ending);
    const int64_t step = ending.high - ending.low + t, behind = ending.high - own.low;
    end = std::min(end, over);
    if (keep) {
      keep_state(stream.state, stream.ending, step);
      end = std::min(end, t + kept_every_ - step % kept_every_);
    }
    call.kind = SweepKind::join;
    call.column_before = tokens_.first() + behind;
    call.column_started = started_.first() - own.low;
    call.border_below = borders_.above(stream.ending + 1) + behind;
  } else {
    const bool begins = t < lanes;
    if (begins) end = std::min(end, lanes);
    call.kind = begins ? SweepKind::begin : SweepKind::middle;
    call.border_below = borders_.above(stream.strip + 1);
  }
  call.begin = own.low + t;
  call.end = own.low + end;
}

void StripSweep::advance(Stream& stream, bool keep) {
  using enum Stream::Phase;
  Strip& own = at(stream.strip);
  const int64_t over = shape_.lanes() - 1;
  stream.step += stream.steps();
  if (stream.ending >= 0) {
    Strip& ending = at(stream.ending);
    ending.written = ending.high + stream.step - over;
    sum(stream.ending, keep);
    if (stream.step == over) {
      finish(stream.ending, keep);
      stream.ending = -1;
    }
  } else {
    own.written = own.low + stream.step - over;
    sum(stream.strip, keep);
  }
  const int64_t columns = own.high - own.low;  // fewer than before where the strip told
  if (stream.step < columns) return choose(stream, keep);
  if (!stream.apart && !last(stream)) {
    stream.phase = joins;
  } else if (stream.step < columns + over) {
    choose(stream, keep);
  } else {
    finish(stream.strip, keep);
    stream.phase = last(stream) ? ended : waits;
    stream.strip += stream.stride;
    stream.apart = false;
  }
}

void StripSweep::begin(int64_t strip) {
  for (;; ++strip) {
    Strip& own = at(strip);
    own.begins = true;
    own.summed = own.low;
    own.sum = own.gained;
    if (strip + 1 == count_) return;
    Strip& next = at(strip + 1);
    next.low = own.low;
    next.gained = own.gained;
    next.high = b_.size;
    next.ends = told_ && at_least_ <= 0;
    // The one that goes on beside the strip that tells does not wait for it.
    if ((!told_ && strip > telling_) || next.gained < least_above(strip + 1)) return;
  }
}

void StripSweep::sum(int64_t strip, bool keep) {
  Strip& own = at(strip);
  Strip* const next = strip + 1 < count_ ? &at(strip + 1) : nullptr;
  if (lost_ || (!told_ && strip > telling_)) return;
  if (told_ && next != nullptr && next->begins && next->ends && !keep) return;
  while (own.summed + block <= own.written || (own.finished && own.summed < own.high)) {
    const int64_t count = own.finished ? std::min(block, own.high - own.summed) : block;
    const uint64_t* border = borders_.above(strip + 1) + own.summed;
    uint64_t bits[most_planes];
    const int64_t before = own.sum;
    own.sum += kernels_.sum_border(border, borders_.stride(), scoring_.planes, count, bits);
    if (keep && next != nullptr) {
      std::vector<uint64_t>& kept = kept_[static_cast<size_t>(strip + 1)].border;
      if (kept.empty()) {
        const int64_t blocks = (own.high - own.low + block - 1) / block;
        kept.reserve(static_cast<size_t>(blocks * scoring_.planes));
      }
      kept.insert(kept.end(), bits, bits + scoring_.planes);
    }
    own.summed += count;
    if (next == nullptr) continue;
    if (const int64_t size = first_row(strip + 1), behind = own.summed - size;
        expects_ && strip >= telling_ && behind >= 0 && behind < count) {
      int64_t score = before;
      for (int k = 0; k < scoring_.planes; ++k) {
        score += int64_t{std::popcount(bits[k] << (64 - count + behind))} << k;
      }
      tell(size, score);
    }
    if (!next->begins) {
      if (own.sum >= least_above(strip + 1)) {
        begin(strip + 1);
      } else {
        next->low = own.summed;
        next->gained = own.sum;
        // Its end may be from before at_least_ rose.
        if (next->ends && next->low >= next->high) return lose(strip);
      }
    }
    if (!next->ends && own.sum + most_ * (b_.size - own.summed) < at_least_) {
      end_at(strip + 1, own.summed);
    }
  }
}

void StripSweep::tell(int64_t size, int64_t score) {
  told_ = true;
  const double share = 1 - static_cast<double>(score) / static_cast<double>(most_ * size);
  if (share > most_lacking) {
    expects_ = false;
    return;
  }
  const double margin = share < unrelated
                            ? related_margin / std::sqrt(share * static_cast<double>(size) + 1)
                            : unrelated_margin / std::sqrt(static_cast<double>(size));
  const int64_t shorter = std::min(a_.size, b_.size);
  const int64_t lacks = static_cast<int64_t>(share * (1 + margin) * static_cast<double>(shorter));
  at_least_ = std::max(at_least_, most_ * (shorter - lacks - spare_steps));
  if (at_least_ <= 0) return;
  for (int64_t first = 0; first <= telling_; ++first) {
    Strip& own = at(first);
    // Columns that have been begun are swept to their end. `written` may be as of before the steps
    // that were done last.
    const int64_t begun = own.written + shape_.lanes() + steps_at_once;
    const int64_t last = last_boundary(most_ * first_row(first));  // or before
    own.high = std::min(own.high, std::max(last + first_row(first + 1) - first_row(first), begun));
  }
}

void StripSweep::finish(int64_t strip, bool keep) {
  Strip& own = at(strip);
  own.finished = true;
  sum(strip, keep);
  told_ |= strip == telling_;
  if (lost_) return;
  own.written = b_.size + shape_.lanes();
  score_ = own.sum;
  if (strip + 1 == count_) return;
  const Strip& next = at(strip + 1);
  if (!next.begins) return lose(strip);
  if (!next.ends) end_at(strip + 1, std::max(own.high, last_boundary(own.sum)));
  // The strip above may not have come so far yet, but all that uses it there ends before.
  clear_border(strip + 1, own.high, next.high);
}

void StripSweep::lose(int64_t strip) {
  lost_ = true;
  score_ = at(strip).sum;
}

void StripSweep::end_at(int64_t strip, int64_t boundary) {
  Strip& own = at(strip);
  own.ends = true;
  own.high = std::min(own.high, boundary + first_row(strip + 1) - first_row(strip));
}

int64_t StripSweep::last_boundary(int64_t gained) const {
  if (gained >= at_least_ || most_ == 0) return b_.size;
  return std::max<int64_t>(b_.size - (at_least_ - gained + most_ - 1) / most_, 0);
}

void StripSweep::clear_border(int64_t strip, int64_t from, int64_t to) const {
  for (int k = 0; k < scoring_.planes && from < to; ++k) {
    std::fill_n(borders_.above(strip) + k * borders_.stride() + from, to - from, 0);
  }
}

StripCall StripSweep::prepare(const uint64_t* rows, std::vector<uint64_t>& state,
                              const Borders& borders) const {
  StripCall call{};
  call.scoring = scoring_;
  call.column_token = tokens_.first();
  call.column_stride = tokens_.stride();
  call.rows = rows;
  call.state = state.data();
  call.border_stride = borders.stride();
  return call;
}

void StripSweep::settle(int64_t strip, std::vector<uint64_t>& state) const {
  if (strip > 0) return;
  const int words = shape_.words, depth = shape_.depth, planes = scoring_.planes;
  // Of the lanes before one, those of a word.
  const auto lanes_before = [&](int64_t lane, int word) {
    const int64_t count = (lane + word) >> std::countr_zero(static_cast<unsigned>(words));
    return count == 0 ? 0 : ~uint64_t{0} >> (64 - count);
  };
  for (int w = 0; w < words; ++w) {
    for (int u = 0; u < depth; ++u) {
      const uint64_t too_many = lanes_before((pad_ - u + depth - 1) / depth, w);
      for (int k = 0; k < planes; ++k) {
        uint64_t& v = state[static_cast<size_t>((u * planes + k) * words + w)];
        v = (most_ >> k & 1) != 0 ? v | too_many : v & ~too_many;
        // Of a lane's last row: what goes on to the next.
        if (u == depth - 1)
          state[static_cast<size_t>((depth * planes + k) * words + w)] &= ~too_many;
      }
    }
  }
}

void StripSweep::place(int64_t strip, StripRows& rows) const {
  const int64_t from = first_row(strip), first = from - top(strip);
  rows.clear();
  rows.place({a_.data + from, shape_.rows() - first}, first);
  if (strip == 0) rows.begin_at(first);
  rows.pack();
}

}  // namespace neurn::align
