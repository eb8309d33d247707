#include "strip_sweep.h"

#include <bit>
#include <tuple>

namespace neurn::align {
namespace {

// Steps between two states that are kept for the way back, unless these take more words: then more.
// Windows have room for half of their lanes.
int64_t least_steps_kept(const BitKernels& kernels) {
  return kernels.trace_windows == nullptr ? 128 : StripShape(kernels).lanes() / windows_at_once / 2;
}
constexpr int64_t most_kept_words = int64_t{1} << 23;
// At a time, of strips that go on side by side, so that one does not wait long for the other.
constexpr int64_t steps_at_once = 256;
// A step of a strip alone, in steps of two side by side.
constexpr double step_alone = 1.4;

}  // namespace

StripSweep::StripSweep(const BitKernels& kernels, const BitScoring& scoring, Sequence a, Sequence b,
                       const std::function<void()>& poll)
    : kernels_(kernels),
      shape_(kernels),
      scoring_(scoring),
      a_(a),
      b_(b),
      poll_(poll),
      strips_((a.size + shape_.rows() - 1) / shape_.rows()),
      pad_(strips_ * shape_.rows() - a.size),
      kept_every_(least_steps_kept(kernels)) {
  const int64_t most_states = most_kept_words / static_cast<int64_t>(state_words());
  while (kept_every_ < b.size && strips_ * (b.size / kept_every_) > most_states) kept_every_ *= 2;
  tokens_.fill(kernels, b.data, b.size, scoring.token_planes);
  std::vector<Token> start(static_cast<size_t>(kept_every_ + shape_.lanes()), 1);
  started_.fill(kernels, start.data(), static_cast<int64_t>(start.size()), 1);
  std::fill(start.begin() + 1, start.end(), 0);
  start_.fill(kernels, start.data(), static_cast<int64_t>(start.size()), 1);
  borders_.get(shape_.lanes(), b_.size, scoring.planes);
}

int64_t StripSweep::sweep(int64_t width, bool keep) {
  width_ = width;
  // Nothing is above the first strip; below a band's strips there is nothing where they end.
  for (int64_t strip = 0; strip < (width < 0 ? 1 : 2); ++strip) {
    for (int k = 0; k < scoring_.planes; ++k) {
      std::fill_n(borders_.above(strip) + k * borders_.stride(), b_.size, 0);
    }
  }
  kept_.clear();
  if (keep) prepare_kept();
  const int64_t count = streams();
  return count > 0 ? sweep_joined(count, keep) : sweep_apart(keep);
}

double StripSweep::cost(int64_t width) { return steps(width) / steps(-1); }

double StripSweep::steps(int64_t width) {
  width_ = width;
  const int64_t count = streams();
  int64_t steps = shape_.lanes();
  for (int64_t strip = 0; strip < strips_; ++strip) {
    const auto [low, high] = window(strip);
    steps += high - low + (count > 0 ? 0 : shape_.lanes());
  }
  return static_cast<double>(steps) * (count == 2 ? 1 : step_alone);
}

int64_t StripSweep::overlap(int64_t apart) const {
  int64_t least = b_.size;
  for (int64_t strip = apart; strip < strips_; ++strip) {
    least = std::min(least, window(strip - apart).second - window(strip).first);
  }
  return least;
}

int64_t StripSweep::streams() const {
  // Not before all lanes of a strip have begun, and it is settled.
  if (strips_ == 1 || overlap(1) <= shape_.lanes()) return 0;
  // While one joins its next strip, the other has to come far enough for that: it needs as many
  // columns.
  const int64_t enough = 2 * (shape_.lanes() + steps_at_once);
  const bool two = kernels_.run_two_strips != nullptr && std::min(overlap(1), overlap(2)) >= enough;
  return two ? 2 : 1;
}

int64_t StripSweep::sweep_apart(bool keep) {
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

int64_t StripSweep::sweep_joined(int64_t count, bool keep) {
  gained_ = 0;
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
  // One of the two is always ready.
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
  return gained_;
}

void StripSweep::enter(Stream& stream, bool keep) {
  poll_();
  std::swap(stream.rows, stream.before);
  place(stream.strip, stream.rows);
  stream.call.rows = stream.rows.data();
  stream.call.rows_before = stream.before.data();
  stream.high_before = stream.high;
  std::tie(stream.low, stream.high) = window(stream.strip);
  stream.step = first_step(stream.strip);
  choose(stream, keep);
}

void StripSweep::choose(Stream& stream, bool keep) {
  const int64_t lanes = shape_.lanes(), over = lanes - 1, t = stream.step;
  const int64_t columns = stream.high - stream.low;
  StripCall& call = stream.call;
  int64_t end = stream.stride == 1 ? columns + over : t + steps_at_once;
  if (t == lanes) settle(stream.strip, stream.state);
  if (keep) {
    end = std::min(end, t + kept_every_ - t % kept_every_);
    keep_state(stream.state, stream.strip, t);
  }
  call.column_starts = starts(stream.low);
  call.border = borders_.above(stream.strip);
  if (joined(stream)) {
    const int64_t strip = stream.strip - stream.stride;
    const int64_t step = stream.high_before - window(strip).first + t;
    end = std::min(end, over);
    if (keep) {
      keep_state(stream.state, strip, step);
      end = std::min(end, t + kept_every_ - step % kept_every_);
    }
    const int64_t behind = stream.high_before - stream.low;
    call.kind = SweepKind::join;
    call.column_before = tokens_.first() + behind;
    call.column_started = started_.first() - stream.low;
    call.border_below = borders_.above(strip + 1) + behind;
  } else {
    const bool begins = t < lanes, last = stream.strip + stream.stride >= strips_;
    end = std::min(end, begins ? lanes : last ? columns + over : columns);
    call.kind = begins ? SweepKind::begin : SweepKind::middle;
    call.border_below = borders_.above(stream.strip + 1);
  }
  call.begin = stream.low + t;
  call.end = stream.low + end;
}

bool StripSweep::ready(const Stream& stream, const std::vector<Stream>& streams) const {
  if (stream.strip == 0 || streams.size() == 1) return true;
  const Stream& other = streams[static_cast<size_t>(1 - (&stream - streams.data()))];
  // Below the strip above: nothing from its last column on.
  const int64_t over = shape_.lanes() - 1, columns = window(stream.strip - 1).second;
  const int64_t written = other.strip < stream.strip && !other.ended ? other.low + other.step - over
                          : other.strip > stream.strip && joined(other)
                              ? columns + other.step - over
                              : columns;
  return std::min(stream.call.end, columns) <= written;
}

void StripSweep::advance(Stream& stream, bool keep) {
  const bool was_joined = joined(stream);
  const bool last = stream.strip + stream.stride >= strips_;
  const int64_t columns = stream.high - stream.low;
  stream.step += stream.steps();
  if (was_joined && !joined(stream)) leave(stream.strip - stream.stride, keep);
  if (stream.step < columns || (last && stream.step < columns + shape_.lanes() - 1)) {
    return choose(stream, keep);
  }
  if (!last) {
    stream.strip += stream.stride;
    return enter(stream, keep);
  }
  stream.ended = true;
  leave(stream.strip, keep);
}

void StripSweep::leave(int64_t strip, bool keep) {
  const int64_t from = window(strip).first, below = strip + 1;
  // Down the column before the first of the next strip, nothing is gained.
  gained_ += sum_border(below, from, below < strips_ ? window(below).first : b_.size);
  if (keep && below < strips_) keep_border(below);
}

void StripSweep::prepare_kept() {
  int64_t states = 0;
  for (int64_t strip = 0; strip < strips_; ++strip) {
    const auto [low, high] = window(strip);
    kept_.push_back({{}, states});
    states += (high - low + shape_.lanes() - 2) / kept_every_ + 1;
  }
  states_ = states_memory_.get(states * static_cast<int64_t>(state_words()));
}

std::pair<int64_t, int64_t> StripSweep::window(int64_t strip) const {
  if (width_ < 0) return {0, b_.size};
  const int64_t top = std::max<int64_t>(strip * shape_.rows() - pad_, 0);
  const int64_t bottom = (strip + 1) * shape_.rows() - pad_;
  const int64_t offset = b_.size - a_.size;
  return {std::clamp<int64_t>(top + std::min<int64_t>(offset, 0) - width_, 0, b_.size - 1),
          std::clamp<int64_t>(bottom + std::max<int64_t>(offset, 0) + width_, 1, b_.size)};
}

StripCall StripSweep::prepare(const StripRows& rows, std::vector<uint64_t>& state,
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

void StripSweep::settle(int64_t strip, std::vector<uint64_t>& state) const {
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

void StripSweep::place(int64_t strip, StripRows& rows) const {
  rows.clear();
  const int64_t from = std::max<int64_t>(strip * shape_.rows() - pad_, 0);
  const int64_t first = strip == 0 ? pad_ : 0;
  rows.place({a_.data + from, shape_.rows() - first}, first);
  if (strip == 0) rows.begin_at(first);
  rows.pack();
}

int64_t StripSweep::sum_border(int64_t strip, int64_t from, int64_t to) const {
  const std::vector<uint64_t> bits = pack_border(strip, from, to);
  const size_t words = bits.size() / static_cast<size_t>(scoring_.planes);
  int64_t sum = 0;
  for (size_t i = 0; i < bits.size(); ++i) sum += int64_t{std::popcount(bits[i])} << (i / words);
  return sum;
}

std::vector<uint64_t> StripSweep::pack_border(int64_t strip, int64_t low, int64_t high) const {
  const int64_t words = (high - low + 63) / 64;
  const uint64_t* border = borders_.above(strip) + low;
  std::vector<uint64_t> out(static_cast<size_t>(words * scoring_.planes));
  for (int k = 0; k < scoring_.planes; ++k) {
    kernels_.pack_border(border + k * borders_.stride(), high - low, out.data() + k * words);
  }
  return out;
}

}  // namespace neurn::align
