// Rows that fit in one or two registers: neighbours are shifts of registers, and what padding shows
// is a permutation. AVX-512 only, which permutes any lanes of two registers at once.
#pragma once

#include "patch.h"

#if defined(__AVX512F__)

namespace neurn::NEURN_ISA {

// V registers hold a row, lane 0 being column 0.
template <int K, int V>
struct ShortRow {
  using Vector = Vec<float>;
  static constexpr int N = Simd<float>::lanes;

  // Each end of a row lies in one register, with all pixels that its padding repeats.
  static bool fits(int64_t width) {
    return width > N * (V - 1) + (V > 1 ? K / 2 : K) && width <= N * V;
  }

  // Lanes of register v that hold columns [from, to).
  static __mmask16 lanes(int v, int64_t from, int64_t to) {
    auto before = [=](int64_t column) {
      const int64_t count = column - int64_t(v) * N;
      return count <= 0 ? 0u : count >= N ? 0xffffu : (1u << count) - 1;
    };
    return static_cast<__mmask16>(before(to) & ~before(from));
  }

  // Lanes t further right (t < 0: left) of a register between two others.
  [[gnu::always_inline]] static Vector shifted(Vector before, Vector at, Vector after, int t) {
    const __m512i low = _mm512_castps_si512(before), middle = _mm512_castps_si512(at),
                  high = _mm512_castps_si512(after);
    // The instruction takes constants only. Masked, for GCC warns of the other's operand.
    constexpr __mmask16 all = 0xffff;
    switch (t) {
      case -3:
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(all, middle, low, N - 3));
      case -2:
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(all, middle, low, N - 2));
      case -1:
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(all, middle, low, N - 1));
      case 1:
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(all, high, middle, 1));
      case 2:
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(all, high, middle, 2));
      case 3:
        return _mm512_castsi512_ps(_mm512_maskz_alignr_epi32(all, high, middle, 3));
      default:
        return at;
    }
  }
};

// Whether took<K, V>(), asked for each window and number of registers, says so once.
template <class Took>
bool some_short_row(Took&& took) {
  return took.template operator()<3, 1>() || took.template operator()<3, 2>() ||
         took.template operator()<5, 1>() || took.template operator()<5, 2>() ||
         took.template operator()<7, 1>() || took.template operator()<7, 2>();
}

// The K pixels around each of a row, with their padding.
template <int K, int V>
class ShortPadding {
 public:
  static constexpr int N = ShortRow<K, V>::N;

  struct Row {
    const float* pixels;
    Vec<float> first, last;    // registers; they may be the same
    Vec<float> before, after;  // what their padding repeats beside them
  };

  explicit ShortPadding(const Axis& columns)
      : last_lanes_(ShortRow<K, V>::lanes(V - 1, 0, columns.size)) {
    for (int t = 1; t <= K / 2; ++t) {
      set(left_[t - 1], columns, 0, -t);
      set(right_[t - 1], columns, V - 1, t);
    }
  }

  [[gnu::always_inline]] Row read(const float* pixels) const {
    Row row;
    row.pixels = pixels;
    row.last = _mm512_maskz_loadu_ps(last_lanes_, pixels + N * (V - 1));
    row.first = V > 1 ? load(pixels) : row.last;
    row.before = wraps_ ? row.last : Vec<float>{};
    row.after = wraps_ ? row.first : Vec<float>{};
    return row;
  }

  // The pixels t columns right of register v.
  [[gnu::always_inline]] Vec<float> pixels(const Row& row, int v, int t) const {
    if (v == 0 && t < 0) return permuted(left_[-t - 1], row.first, row.before);
    if (v == V - 1 && t > 0) return permuted(right_[t - 1], row.last, row.after);
    if (t > 0) return load(row.pixels + t);
    return ShortRow<K, V>::shifted(row.first, v == 0 ? row.first : row.last, row.last, t);
  }

 private:
  // For every lane of a register the lane of another one that it takes, or N + that of a second.
  struct Permutation {
    alignas(64) int32_t lanes[N];
  };

  void set(Permutation& permutation, const Axis& columns, int v, int t) {
    const int64_t width = columns.size;
    for (int64_t lane = 0; lane < N; ++lane) {
      const int64_t column = v * N + lane + t, padded = column + columns.lead;
      const bool seen = column < width + K / 2 && padded >= 0 && padded < columns.padded(K);
      // Windows past the row's ends count for nothing, but must not be out of range where others
      // are not: they see its last pixel, too.
      const int64_t source = seen ? columns.source[padded] : column < 0 ? 0 : width - 1;
      const bool near = source >= 0 && source / N == v;
      wraps_ = wraps_ || (source >= 0 && !near);
      permutation.lanes[lane] = static_cast<int32_t>(source < 0 ? N : source % N + (near ? 0 : N));
    }
  }

  [[gnu::always_inline]] static Vec<float> permuted(const Permutation& permutation,
                                                    Vec<float> first, Vec<float> second) {
    return _mm512_permutex2var_ps(first, _mm512_load_si512(permutation.lanes), second);
  }

  const __mmask16 last_lanes_;
  bool wraps_ = false;
  Permutation left_[K / 2], right_[K / 2];
};

// Moments of every K x K patch of a plane of short rows, R rows of windows at a time; the lane of a
// window is that of its middle column.
template <int K, int R, int V>
class ShortMoments {
 public:
  static constexpr int N = ShortRow<K, V>::N;

  ShortMoments(const Axis& rows, const Axis& columns)
      : rows_(rows), padding_(columns), zeros_(N * V), state_(V * P::state_size) {
    zeros_.zero();
  }

  // Starts at padded row `row`. `origin` is N times what means are relative to, or null.
  void start(const Pixels<float>& pixels, int64_t row, const float* origin) {
    pixels_ = pixels;
    origin_ = origin;
    next_ = row;
    for (int j = 0; j < K - 1; ++j, ++next_) {
      const Row row = padding_.read(row_at(next_));
#pragma GCC unroll 2
      for (int v = 0; v < V; ++v) {
        P::keep(state_.data() + v * P::state_size, j, across(row, v));
      }
    }
  }

  // The next R rows of windows: emit(register, M[R], mean[R]), as in RowMoments. Windows past the
  // axis see its last row repeated; lanes that are no window hold anything.
  template <bool WithMean, class Emit>
  [[gnu::always_inline]] void block(Emit&& emit) {
    Row rows[R];
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) rows[r] = padding_.read(row_at(next_ + r));
#pragma GCC unroll 2
    for (int v = 0; v < V; ++v) {
      Vec<float> squares[R], means[R];
      auto next = [&](int r) NEURN_INLINE { return across(rows[r], v); };
      P::template down<WithMean>(next, state_.data() + v * P::state_size, origin_, squares, means);
      emit(v, squares, means);
    }
    next_ += R;
  }

 private:
  using P = Patch<float, K, R>;
  using Row = typename ShortPadding<K, V>::Row;

  const float* row_at(int64_t v) {
    const int64_t last = rows_.padded(K) - 1, source = rows_.source[v < last ? v : last];
    return source < 0 ? zeros_.data() : pixels_.origin + source * pixels_.row_stride;
  }

  [[gnu::always_inline]] auto across(const Row& row, int v) const {
    return P::across([&, v](int t) NEURN_INLINE { return padding_.pixels(row, v, t); });
  }

  const Axis& rows_;
  const ShortPadding<K, V> padding_;
  Scratch<float> zeros_;
  Scratch<float> state_;  // of every register: the last K - 1 rows
  Pixels<float> pixels_{};
  const float* origin_ = nullptr;
  int64_t next_ = 0;
};

}  // namespace neurn::NEURN_ISA

#endif
