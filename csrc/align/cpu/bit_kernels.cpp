// Compiled once per instruction set (NEURN_ISA, NEURN_VECTOR_BYTES).
#include "../bit_kernels.h"

#include <algorithm>

#include "lanes.h"
#include "pack.h"
#include "strip.h"
#include "windows.h"

namespace neurn::align::NEURN_ISA {
namespace {

// Calls f with the cell of the scoring and the number of token planes, both known when compiled.
template <class F>
[[gnu::always_inline]] inline void specialize(const BitScoring& scoring, F f) {
  const auto with_cell = [&]<class Cell>(std::type_identity<Cell>) NEURN_LAMBDA {
    const Cell cell(scoring.equal, scoring.unequal);
    constexpr int kinds = sizeof token_plane_counts / sizeof *token_plane_counts;
    unroll<kinds>([&](auto kind) NEURN_LAMBDA {
      constexpr int planes = token_plane_counts[decltype(kind)::value];
      if (scoring.token_planes == planes) f(cell, std::integral_constant<int, planes>());
    });
  };
  using Published = PublishedCell<>;
  if (scoring.equal == Published::equal && scoring.unequal == Published::unequal) {
    return with_cell(std::type_identity<Published>());
  }
  switch (scoring.planes) {
    case 1:
      return with_cell(std::type_identity<AnyCell<1>>());
    case 2:
      return with_cell(std::type_identity<AnyCell<2>>());
    case 3:
      return with_cell(std::type_identity<AnyCell<3>>());
    default:
      return with_cell(std::type_identity<AnyCell<4>>());
  }
}

template <int K>
[[gnu::always_inline]] inline Rows<K> load_rows(const uint64_t* from) {
  Rows<K> rows;
  for (int u = 0; u < strip_depth; ++u) {
    for (int k = 0; k < K; ++k, from += words) rows.token[u][k] = load(from);
  }
  for (int u = 0; u < strip_depth; ++u, from += words) rows.keep[u] = load(from);
  for (int u = 0; u < strip_depth; ++u, from += words) rows.selected[u] = load(from);
  return rows;
}

template <Sweep sweep, int K, class Cell>
[[gnu::always_inline]] inline StripRun<sweep, Cell, K> load_strip(const StripCall& call,
                                                                  const Cell& cell) {
  constexpr int B = Cell::planes;
  const Columns columns{call.column_token, call.column_stride, call.column_starts};
  Before<K> before{};
  if constexpr (sweep.joins) {
    before = {load_rows<K>(call.rows_before), call.column_before, call.column_started};
  }
  State<Cell> state;
  const uint64_t* from = call.state;
  for (int u = 0; u < strip_depth; ++u) {
    for (int k = 0; k < B; ++k, from += words) state.v[u][k] = load(from);
  }
  for (int k = 0; k < B; ++k, from += words) state.h[k] = load(from);
  return {cell,
          columns,
          load_rows<K>(call.rows),
          before,
          state,
          call.begin,
          call.selected,
          Border{call.border, call.border_below, call.border_stride},
          call.trace};
}

template <class Cell>
[[gnu::always_inline]] inline void store_state(const State<Cell>& state, uint64_t* to) {
  constexpr int B = Cell::planes;
  for (int u = 0; u < strip_depth; ++u) {
    for (int k = 0; k < B; ++k, to += words) store(to, state.v[u][k]);
  }
  for (int k = 0; k < B; ++k, to += words) store(to, state.h[k]);
}

// States of a strip that are kept on the way.
template <class Cell>
class Keeper {
 public:
  [[gnu::always_inline]] explicit Keeper(const StripCall& call)
      : to_(call.kept),
        at_(call.kept == nullptr ? call.end : call.keep_at),
        every_(call.keep_every) {}

  int64_t at() const { return at_; }
  [[gnu::always_inline]] void keep(const State<Cell>& state, int64_t t) {
    if (t != at_) return;
    store_state<Cell>(state, to_);
    to_ += (strip_depth + 1) * Cell::planes * words;
    at_ += every_;
  }

 private:
  uint64_t* to_;
  int64_t at_;
  const int64_t every_;
};

template <Sweep sweep, class Cell, int K>
[[gnu::noinline]] void strip(const StripCall& call, const Cell& cell) {
  StripRun<sweep, Cell, K> one = load_strip<sweep, K>(call, cell);
  Keeper<Cell> kept(call);
  for (int64_t t = call.begin; t < call.end;) {
    for (const int64_t end = std::min(call.end, kept.at()); t < end; ++t) one.step(t);
    if (t < call.end) kept.keep(one.state(), t);
  }
  store_state<Cell>(one.state(), call.state);
}

constexpr Sweep middle{false, false, false, true, false, false};
constexpr Sweep set{true, true, true, false, false, false};

template <Sweep sweep, class Cell, int K>
[[gnu::noinline]] void two_strips(const StripCall& call, const StripCall& other, const Cell& cell) {
  StripRun<sweep, Cell, K> one = load_strip<sweep, K>(call, cell);
  StripRun<sweep, Cell, K> two = load_strip<sweep, K>(other, cell);
  Keeper<Cell> first(call), second(other);
  const int64_t ahead = other.begin - call.begin;
  for (int64_t t = call.begin; t < call.end;) {
    for (const int64_t end = std::min({call.end, first.at(), second.at() - ahead}); t < end; ++t) {
      one.begin(t);
      two.begin(t + ahead);
      unroll<strip_depth>([&](auto u) NEURN_LAMBDA {
        one.template row<decltype(u)::value>(t);
        two.template row<decltype(u)::value>(t + ahead);
      });
      one.end(t);
      two.end(t + ahead);
    }
    if (t == call.end) break;
    first.keep(one.state(), t);
    second.keep(two.state(), t + ahead);
  }
  store_state<Cell>(one.state(), call.state);
  store_state<Cell>(two.state(), other.state);
}

void run_strip_call(const StripCall& call) {
  specialize(call.scoring, [&](const auto& cell, auto planes) NEURN_LAMBDA {
    using Cell = std::remove_cvref_t<decltype(cell)>;
    constexpr int K = decltype(planes)::value;
    switch (call.kind) {
      case SweepKind::set:
        return strip<set, Cell, K>(call, cell);
      case SweepKind::long_set:
        return strip<Sweep{true, true, true, true, false, false}, Cell, K>(call, cell);
      case SweepKind::begin:
        return strip<Sweep{true, true, false, true, false, false}, Cell, K>(call, cell);
      case SweepKind::middle:
        return strip<middle, Cell, K>(call, cell);
      case SweepKind::join:
        return strip<Sweep{true, false, false, true, true, false}, Cell, K>(call, cell);
      case SweepKind::trace_begin:
        return strip<Sweep{true, true, false, true, false, true}, Cell, K>(call, cell);
      case SweepKind::trace_middle:
        return strip<Sweep{false, false, false, true, false, true}, Cell, K>(call, cell);
    }
  });
}

void run_two_strips([[maybe_unused]] const StripCall& call,
                    [[maybe_unused]] const StripCall& other) {
  if constexpr (two_strips_pay) {
    specialize(call.scoring, [&](const auto& cell, auto planes) NEURN_LAMBDA {
      using Cell = std::remove_cvref_t<decltype(cell)>;
      constexpr int K = decltype(planes)::value;
      if (call.kind == SweepKind::middle) return two_strips<middle, Cell, K>(call, other, cell);
      return two_strips<set, Cell, K>(call, other, cell);
    });
  }
}

void run_trace_windows([[maybe_unused]] const WindowsCall& call) {
#if defined(__AVX512F__)
  specialize(call.scoring, [&](const auto& cell, auto planes) NEURN_LAMBDA {
    using Cell = std::remove_cvref_t<decltype(cell)>;
    return trace_windows<Cell, decltype(planes)::value>(call, cell);
  });
#endif
}

// Numbers of `words` tokens.
[[gnu::always_inline]] inline Bits widened(const Token* tokens) {
#if defined(__AVX512F__)
  return reinterpret_cast<Bits>(
      _mm512_cvtepu16_epi64(_mm_loadu_si128(reinterpret_cast<const __m128i*>(tokens))));
#elif defined(__AVX2__)
  return reinterpret_cast<Bits>(
      _mm256_cvtepu16_epi64(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(tokens))));
#else
  Bits out{};
  for (int w = 0; w < words; ++w) out[w] = tokens[w];
  return out;
#endif
}

void fill_columns(const Token* tokens, int64_t size, int64_t after, int token_planes,
                  uint64_t* planes, int64_t stride) {
  for (int k = 0; k < token_planes; ++k) {
    uint64_t* plane = planes + k * stride;
    for (int w = 1; w <= words; ++w) plane[-w] = 0;
    int64_t t = 0;
    Bits shown{};
    for (; t + words <= size; t += words) {
      shown = shown << 1 | (widened(tokens + t) >> k & 1);
      store(plane + t, shown);
    }
    for (; t < size + after; ++t) {
      plane[t] = plane[t - words] << 1 | (t < size ? tokens[t] >> k & 1 : 0);
    }
  }
}

void fill_rows(const Token* const* sequence, int64_t in_word, int64_t rows, int token_planes,
               uint64_t* planes) {
  const int64_t width = 64 / in_word;
  for (int64_t r = 0; r < rows; ++r, planes += token_planes * words) {
    for (int64_t i = 0; i < in_word; ++i) {
      const Bits own = broadcast(~uint64_t{0} >> (64 - width) << (i * width));
      Bits token{};
      for (int w = 0; w < words; ++w) token[w] = sequence[w * in_word + i][r];
      for (int k = 0; k < token_planes; ++k) {
        uint64_t* plane = planes + k * words;
        const Bits bits = -(token >> k & 1) & own;
        store(plane, i == 0 ? bits : load(plane) | bits);
      }
    }
  }
}

int64_t sum_selected(const uint8_t* selected, int64_t steps, int u, int w, int planes) {
  // 8 bytes have the planes of two vectors.
  constexpr int step_words = strip_depth / 2;
  const int64_t size = steps * step_words;
  int64_t count[most_planes] = {};
  const auto add = [&](uint64_t bytes, int by) NEURN_LAMBDA {
    for (int k = 0; k < planes; ++k) {
      count[k] += bytes >> (8 * (u % 2 * 4 + k)) & (by == 8 ? 255 : 1);
    }
  };
  int64_t t = 0;
  while (t + words <= size) {
    // 255: as many as a byte can count.
    const int64_t end = size - t < 255 * words ? size : t + 255 * words;
    Bits sum{};
    for (; t + words <= end; t += words) {
      sum += (load(reinterpret_cast<const uint64_t*>(selected + 8 * t)) >> w) &
             broadcast(0x0101010101010101);
    }
    for (int i = u / 2; i < words; i += step_words) add(sum[i], 8);
  }
  for (t += u / 2; t < size; t += step_words) {
    uint64_t bytes;
    memcpy(&bytes, selected + 8 * t, 8);
    add(bytes >> w, 1);
  }
  int64_t out = 0;
  for (int k = 0; k < planes; ++k) out += count[k] << k;
  return out;
}

int64_t sum_border(const uint64_t* border, int64_t stride, int planes, int64_t count,
                   uint64_t* bits) {
  int64_t sum = 0;
  for (int k = 0; k < planes; ++k, border += stride) {
    uint64_t out = 0;
    int64_t i = 0;
#if defined(__AVX512DQ__)
    for (; i + words <= count; i += words) {
      const uint64_t some = _mm512_movepi64_mask(reinterpret_cast<__m512i>(load(border + i)));
      out |= some << i;
    }
#endif
    for (; i < count; ++i) out |= (border[i] >> 63) << i;
    bits[k] = out;
    sum += int64_t{std::popcount(out)} << k;
  }
  return sum;
}

void unpack_border(const uint64_t* bits, int64_t bit_words, int64_t apart, int64_t first,
                   int64_t count, uint64_t* border) {
  Bits up{};
  for (int w = 0; w < words; ++w) up[w] = static_cast<uint64_t>(words - 1 - w);
  for (int64_t bit = first & -words; bit < first + count; bit += words) {
    const int64_t word = bit / 64;
    const uint64_t left = word < bit_words ? bits[word * apart] << (64 - words - bit % 64) : 0;
    store(border + (bit - first), broadcast(left) << up);
  }
}

void run_lanes_call(const LaneCall& call) {
  specialize(call.scoring, [&](const auto& cell, auto planes) NEURN_LAMBDA {
    constexpr int K = decltype(planes)::value;
    return call.shared ? run_lanes<true, K>(cell, call) : run_lanes<false, K>(cell, call);
  });
}

}  // namespace

extern const BitKernels bit_table;
const BitKernels bit_table{words,
                           strip_depth,
                           run_strip_call,
                           two_strips_pay ? run_two_strips : nullptr,
                           has_windows ? run_trace_windows : nullptr,
                           fill_columns,
                           sum_selected,
                           sum_border,
                           unpack_border,
                           fill_rows,
                           run_lanes_call,
                           pack};

}  // namespace neurn::align::NEURN_ISA
