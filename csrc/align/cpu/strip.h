// One matrix, or many side by side, swept along anti-diagonals: each lane holds a few rows, one
// under the other, each in a vector of its own, and lane l is at column t - l in step t.
#pragma once

#include "../bit_kernels.h"
#include "bits.h"

namespace neurn::align::NEURN_ISA {

// Rows of a lane: horizontal differences pass from one to the next without leaving the lane.
// Few where vectors are wide, so that little of a strip is empty.
inline constexpr int strip_depth = words == 8 ? 2 : 4;
static_assert(std::has_single_bit(unsigned{strip_depth}));
// Whether a step of one strip leaves room for one of another: it does where it is little work.
inline constexpr bool two_strips_pay = strip_depth == 2;
// Lanes are dealt to the words in turn, so that the step to the next lane moves whole words, but
// for one: lane l is bit l / words of word words - 1 - l % words. The last lane's word is the
// first, its bit the last.

// What the columns show to the rows. Bit i of word t of a plane is that of column t - words * i, so
// that the vector that ends at word t shows to each row its column at step t. Columns before the
// first are there, as zeros: `lanes` of them.
struct Columns {
  const uint64_t* token;   // word of column 0, planes of the token's number one after the other
  int64_t stride;          // words from one plane to the next
  const uint64_t* starts;  // 1 where a target begins
};

// A vector for each row of a lane.
template <int K>
struct Rows {
  Bits token[strip_depth][K];
  Bits keep[strip_depth];      // 0 where a query begins
  Bits selected[strip_depth];  // rows whose horizontal differences are wanted, one a word
};

// Vertical differences of every row, horizontal ones of the last row of each lane.
template <class Cell>
struct State {
  Bits v[strip_depth][Cell::planes], h[Cell::planes];
};

// Horizontal differences above row 0 and, as steps go by, below the last row, by column: bit 63 of
// word column of each plane. A column is written `lanes` - 1 steps after it is read.
struct Border {
  const uint64_t* above;
  uint64_t* below;
  int64_t stride;
};

// What a lane held and was shown before its target began: the strip above ends while the one below
// begins.
template <int K>
struct Before {
  Rows<K> rows;
  const uint64_t *token, *started;  // as Columns; 1 from the target's beginning on
};

// Each lane's value, passed on to the next lane; the first one takes the highest bit of `from`.
[[gnu::always_inline]] inline Bits next_lane(Bits x, uint64_t from) {
#if defined(__AVX512F__)
  // The last word becomes the first, doubled: all but the turn is done on 128 bits.
  const __m512i y = reinterpret_cast<__m512i>(x);
  const __m128i first = _mm512_castsi512_si128(y);
  const __m128i carry = _mm_srli_epi64(_mm_cvtsi64_si128(static_cast<int64_t>(from)), 63);
  const __m128i last = _mm_or_si128(_mm_add_epi64(first, first), carry);
  return reinterpret_cast<Bits>(_mm512_alignr_epi64(_mm512_castsi128_si512(last), y, 1));
#else
  Bits order, last{};
  for (int w = 0; w < words; ++w) order[w] = (w + 1) % words;
  last[words - 1] = ~uint64_t{0};
  const Bits turned = __builtin_shuffle(x, order);
  return (turned + (turned & last)) | (broadcast(from >> 63) & last);
#endif
}

// Bit w: whether word w has a bit.
[[gnu::always_inline]] inline uint8_t words_with(Bits x, Bits mask) {
#if defined(__AVX512F__)
  return _mm512_test_epi64_mask(reinterpret_cast<__m512i>(x), reinterpret_cast<__m512i>(mask));
#elif defined(__AVX2__)
  const __m256i y = reinterpret_cast<__m256i>(x & mask);
  const __m256i none = _mm256_cmpeq_epi64(y, _mm256_setzero_si256());
  return static_cast<uint8_t>(~_mm256_movemask_pd(_mm256_castsi256_pd(none)) & 15);
#else
  uint8_t out = 0;
  const Bits y = x & mask;
  for (int w = 0; w < words; ++w) out |= (y[w] != 0) << w;
  return out;
#endif
}

// What a sweep does besides.
struct Sweep {
  bool starts;   // targets begin inside
  bool keeps;    // queries begin inside
  bool selects;  // selected[((t - begin) * strip_depth + u) * 4 + k]: bit w tells plane k of the
                 // difference in the selected row of word w of vector u
  bool borders;
  bool joins;   // a lane's rows are others before its target begins
  bool traces;  // trace + (t - begin) * 2 * strip_depth * words: whether diagonal is optimal,
                // lane after lane of each vector, then whether up is
};

// A strip on its way: step(t) for one step after the other.
template <Sweep sweep, class Cell, int K>
class StripRun {
 public:
  // Copies: stores could otherwise be to these.
  [[gnu::always_inline]] StripRun(const Cell& cell, const Columns& columns, const Rows<K>& rows,
                                  const Before<K>& before, const State<Cell>& state, int64_t begin,
                                  uint8_t* selected, const Border& border, uint64_t* trace)
      : cell_(cell),
        rows_(rows),
        before_(before),
        now_(state),
        starts_(columns.starts - (words - 1)),
        started_(before.started - (sweep.joins ? words - 1 : 0)),
        selected_(selected - (sweep.selects ? begin * 4 * U : 0)),
        trace_(trace - (sweep.traces ? begin * 2 * U * words : 0)) {
    for (int k = 0; k < K; ++k) {
      const int64_t at = k * columns.stride - (words - 1);
      plane_[k] = columns.token + at;
      plane_before_[k] = before.token + (sweep.joins ? at : 0);
    }
    for (int k = 0; k < B; ++k) {
      over_[k] = border.above + (sweep.borders ? k * border.stride : 0);
      under_[k] = border.below + (sweep.borders ? k * border.stride - (lanes - 1) : 0);
    }
  }

  [[gnu::always_inline]] void step(int64_t t) {
    begin(t);
    unroll<U>([&](auto u) NEURN_LAMBDA { row<decltype(u)::value>(t); });
    end(t);
  }

  // A step in parts, for strips that take turns: begin, each row of the lanes, end.
  [[gnu::always_inline]] void begin(int64_t t) {
    if constexpr (sweep.starts) fresh_ = load(starts_ + t);
    if constexpr (sweep.joins) begun_ = load(started_ + t);
    compare(rows_, plane_, t, differ_);
    if constexpr (sweep.joins) {
      Bits earlier[U];
      compare(before_.rows, plane_before_, t, earlier);
      for (int u = 0; u < U; ++u) {
        differ_[u] =
            logic([](auto x, auto y, auto now) NEURN_LAMBDA { return (x & now) | (y & ~now); },
                  differ_[u], earlier[u], begun_);
      }
    }
    for (int k = 0; k < B; ++k) now_.h[k] = next_lane(now_.h[k], sweep.borders ? over_[k][t] : 0);
  }

  template <int u>
  [[gnu::always_inline]] void row(int64_t t) {
    Bits *const v = now_.v[u], *const h = now_.h;
    if constexpr (sweep.keeps) {
      for (int k = 0; k < B; ++k) h[k] &= rows_.keep[u];
    }
    if constexpr (sweep.starts) {
      for (int k = 0; k < B; ++k) v[k] &= ~fresh_;
    }
    if constexpr (sweep.traces) {
      Bits diagonal, up;
      cell_.template step<true>(v, h, differ_[u], &diagonal, &up);
      uint64_t* const to = trace_ + t * 2 * U * words;
      store(to + u * words, diagonal);
      store(to + (U + u) * words, up);
    } else {
      cell_.template step<false>(v, h, differ_[u], nullptr, nullptr);
    }
    if constexpr (sweep.selects) {
      for (int k = 0; k < B; ++k) {
        selected_[(t * U + u) * 4 + k] = words_with(h[k], rows_.selected[u]);
      }
    }
  }

  [[gnu::always_inline]] void end(int64_t t) {
    if constexpr (sweep.borders) {
      for (int k = 0; k < B; ++k) under_[k][t] = now_.h[k][0];
    }
  }

  const State<Cell>& state() const { return now_; }

 private:
  static constexpr int B = Cell::planes, U = strip_depth;

  [[gnu::always_inline]] static void compare(const Rows<K>& rows, const uint64_t* const* plane,
                                             int64_t t, Bits* differ) {
    for (int k = 0; k < K; ++k) {
      const Bits shown = load(plane[k] + t);
      for (int u = 0; u < U; ++u) {
        differ[u] = k == 0 ? shown ^ rows.token[u][0]
                           : logic([](auto d, auto p, auto q) NEURN_LAMBDA { return d | (p ^ q); },
                                   differ[u], shown, rows.token[u][k]);
      }
    }
  }

  const Cell cell_;
  const Rows<K> rows_;
  const Before<K> before_;
  State<Cell> now_;
  Bits differ_[U], fresh_{}, begun_{};
  const uint64_t *plane_[K], *plane_before_[K];
  const uint64_t* const starts_;
  const uint64_t* const started_;
  const uint64_t* over_[B];
  uint64_t* under_[B];
  uint8_t* const __restrict selected_;
  uint64_t* const __restrict trace_;
};

}  // namespace neurn::align::NEURN_ISA
