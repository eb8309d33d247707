// Sliding moments of every k x k patch at a cost that does not depend on k.
//
// Raw moments lose the deviation where it is small beside the mean, and running sums carry rounding
// from pixels that left the window. Here every sum is of differences to a pixel inside the window:
//   M = sum_j M_j + (1/k) (sum_j c_j^2 - (sum_j c_j)^2 / k)
// where M_j is the squared deviation within column j of the patch, and c_j its column sum minus
// that of one column of the same patch. Neighbouring windows share a core (rows or columns common
// to all of them), which holds the reference; what they do not share is a prefix or a suffix sum.
// A constant patch gives exactly 0, and a NaN reaches only the patches that contain it.
//
// The vertical half works on rows (lanes are columns) and knows no padding on the left and right;
// its results are transposed, so that in the horizontal half lanes are rows and the windows slide
// from vector to vector, through a map of the padded columns.
#pragma once

#include "../problem.h"
#include "element.h"
#include "scratch.h"

namespace neurn::NEURN_ISA {

// The pixels of a block: `step` channels that lie side by side in memory, or one plane (step 1).
template <class T>
struct Pixels {
  const T* origin;
  int64_t row_stride, column_stride;
};

// Reads padded pixels [first, first + count) of padded row v.
template <class T, class F>
inline void read_padded_row(const Pixels<T>& pixels, const Axis& rows, const Axis& columns,
                            int64_t step, int64_t v, int64_t first, int64_t count, F* out) {
  const int64_t row = rows.source[v];
  if (row < 0) {
    memset(out, 0, count * step * sizeof(F));
    return;
  }
  const T* source = pixels.origin + row * pixels.row_stride;
  const int64_t stride = pixels.column_stride;
  const int64_t end = first + count;
  auto read_mapped = [&](int64_t from, int64_t to) {
    for (int64_t q = from; q < to; ++q) {
      const int64_t column = columns.source[q];
      const T* pixel = source + (column < 0 ? 0 : column) * stride;
      F* target = out + (q - first) * step;
      if (step == 1) {
        *target = column < 0 ? F(0) : static_cast<F>(widen(*pixel));
        continue;
      }
      for (int64_t c = 0; c < step; ++c) {
        target[c] = column < 0 ? F(0) : static_cast<F>(widen(pixel[c]));
      }
    }
  };
  int64_t inner = columns.lead < first ? first : columns.lead;
  inner = inner > end ? end : inner;
  int64_t outer = columns.lead + columns.size;
  outer = outer > end ? end : (outer < inner ? inner : outer);
  read_mapped(first, inner);
  const T* dense = source + (inner - columns.lead) * stride;
  F* target = out + (inner - first) * step;
  if (step == 1) {
    read_run(dense, stride, outer - inner, target);
  } else if (stride == step) {
    read_run(dense, 1, (outer - inner) * step, target);
  } else {
    for (int64_t q = 0; q < outer - inner; ++q) {
      read_run(dense + q * stride, 1, step, target + q * step);
    }
  }
  read_mapped(outer, end);
}

template <class F>
class Moments {
 public:
  static constexpr int64_t N = Simd<F>::lanes;

  // Windows of k over up to `step` interleaved channels, at most max_windows windows a strip.
  Moments(int64_t k, const Axis& rows, const Axis& columns, int64_t step, int64_t max_windows)
      : k_(k),
        rows_(rows),
        columns_(columns),
        pitch_(odd_vectors((max_windows + k - 1 + N) * step)),
        slots_(power_of_two(k - 1 + 2 * N)),
        ring_((slots_ + 1) * pitch_),
        transposed_(pitch_ * 3 * N),
        suffixes_(2 * k * N),
        row_pointers_(N + k - 1),
        places_(max_windows + k - 1),
        apart_(max_windows + k - 1) {
    ring_.zero();
  }

  static int64_t round_up(int64_t value, int64_t multiple) {
    return (value + multiple - 1) / multiple * multiple;
  }

  // Rows that are an odd number of vectors apart do not compete for the same places in the cache.
  static int64_t odd_vectors(int64_t elements) { return ((elements + N - 1) / N | 1) * N; }

  static int64_t power_of_two(int64_t least) {
    int64_t power = 1;
    while (power < least) power *= 2;
    return power;
  }

  // Starts a strip of `step` channels at padded column `first`, `windows` windows wide.
  void start(int64_t step, int64_t first, int64_t windows) {
    next_row_ = 0;
    if (step == step_ && first == first_ && windows == windows_) return;
    step_ = step;
    first_ = first;
    windows_ = windows;
    place_columns();
  }

  // Moments of the windows that start at padded rows o .. o + N - 1 (o never decreases in a strip),
  // emit(window, phase, M, sum) once per window column and channel (phase), lanes being rows. M is
  // k^2 times the variance, `sum` the patch's sum of x - origin[phase] (only WithSum). Rows past
  // the axis repeat its last one.
  //
  // hint(x) runs between the vector columns x of the vertical half: the place to ask for memory
  // that is needed next while the arithmetic goes on.
  template <bool WithSum, class T, class Hint, class Emit>
  void tile(const Pixels<T>& pixels, int64_t o, const F* origin, Hint&& hint, Emit&& emit) {
    find_rows(pixels, o);
    clear_lost_digits();
    if (k_ >= 16 && N >= 16) {
      vertical<16>(hint);
    } else if (k_ >= 8 && N >= 8) {
      vertical<8>(hint);
    } else if (k_ >= 4 && N >= 4) {
      vertical<4>(hint);
    } else if (k_ >= 2) {
      vertical<2>(hint);
    } else {
      vertical<1>(hint);
    }
    for (int64_t phase = 0; phase < step_; ++phase) {
      horizontal<WithSum>(phase, WithSum ? origin[phase] : F(0), emit);
    }
    exact_ = exact_ && !lost_digits();
  }

  // Whether every square so far was in F's range; what was not has lost digits or all of itself.
  bool exact() const { return exact_; }
  void forget() { exact_ = true; }

 private:
  // Where each padded column is. What padding repeats is there once; columns that lie apart from
  // the strip, or that are zero, follow it.
  void place_columns() {
    const int64_t end = first_ + windows_ + k_ - 1, size = columns_.size;
    // Vectors that start where lines of the cache do are read faster.
    from_ = first_ > columns_.lead ? (first_ - columns_.lead) / N * N : 0;
    const int64_t to = end - columns_.lead < size ? end - columns_.lead : size;
    inside_ = to > from_ ? to - from_ : 0;
    count_apart_ = 0;
    int64_t zeros = -1;
    for (int64_t q = first_; q < end; ++q) {
      const int64_t source = columns_.source[q];
      int64_t place = source - from_;
      if (source < from_ || place >= inside_) {
        place = inside_ + count_apart_;
        if (source < 0 && zeros >= 0) {
          place = zeros;
        } else {
          apart_[count_apart_++] = q;
        }
        if (source < 0) zeros = place;
      }
      places_[q - first_] = place * step_ * 3 * N;
    }
  }

  // The rows of the tile without the padding of columns: where they are, if nothing has to be
  // converted or gathered, or copies.
  template <class T>
  void find_rows(const Pixels<T>& pixels, int64_t o) {
    const int64_t last = rows_.padded(k_) - 1, count = N + k_ - 1;
    const F** pointers = row_pointers_.data();
    if constexpr (Same<T, F>::value) {
      if (pixels.column_stride == step_ && count_apart_ == 0 && inside_ * step_ >= N) {
        const F* first = pixels.origin + from_ * step_;
        const F* zeros = ring_.data() + slots_ * pitch_;
        const int64_t* source = rows_.source;
        const int64_t stride = pixels.row_stride;
        for (int64_t t = 0; t < count; ++t) {
          const int64_t row = source[o + t < last ? o + t : last];
          pointers[t] = row < 0 ? zeros : first + row * stride;
        }
        return;
      }
    }
    for (int64_t t = 0; t < count; ++t) {
      const int64_t v = o + t < last ? o + t : last;
      F* copy = ring_.data() + (v & (slots_ - 1)) * pitch_;
      pointers[t] = copy;
      if (v < next_row_) continue;
      next_row_ = v + 1;
      read_padded_row(pixels, rows_, columns_, step_, v, columns_.lead + from_, inside_, copy);
      for (int64_t i = 0; i < count_apart_; ++i) {
        read_padded_row(pixels, rows_, columns_, step_, v, apart_[i], 1,
                        copy + (inside_ + i) * step_);
      }
    }
  }

  static void store_transposed(Vec<F>* block, F* out) {
    transpose<F>(block);
#pragma GCC unroll 16
    for (int64_t t = 0; t < N; ++t) store(out + t * 3 * N, block[t]);
  }

  template <int G, class Hint>
  void vertical(Hint&& hint) {
    constexpr int group = G < N ? G : static_cast<int>(N);
    const F* const* rows = row_pointers_.data();
    const int64_t elements = (inside_ + count_apart_) * step_;
    for (int64_t from = 0; from < elements; from += N) {
      hint(from);
      // Rows are not read past their end, unless it is that of a copy.
      const int64_t x = from + N <= elements || elements < N ? from : elements - N;
      F* out = transposed_.data() + x * 3 * N;
      Vec<F> sum[N], deviation[N];
      for (int64_t g = 0; g < N; g += group) {
        vertical_group<group>(rows + g, x, sum + g, deviation + g);
      }
      store_transposed(sum, out);
      store_transposed(deviation, out + N);
      if constexpr (group == N) {
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) {
          store(out + (t * 3 + 2) * N, broadcast(rows[N - 1][x + t]));
        }
      } else if constexpr (2 * group == N) {
        // Fewer shuffles than a transposition.
        Mask<F> first{};
        for (int t = 0; t < group; ++t) first[t] = -1;
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) {
          store(out + (t * 3 + 2) * N,
                first ? broadcast(rows[group - 1][x + t]) : broadcast(rows[N - 1][x + t]));
        }
      } else {
        Vec<F> reference[N];
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) {
          reference[t] = load(rows[t / group * group + group - 1] + x);
        }
        store_transposed(reference, out + 2 * N);
      }
    }
  }

  // Windows rows[t] .. rows[t + k - 1] for t < G; row G - 1 is in all of them: the reference that
  // sums are relative to. The deviation is k times that of the column.
  template <int G>
  [[gnu::always_inline]] void vertical_group(const F* const* rows, int64_t x, Vec<F>* sums,
                                             Vec<F>* deviation) {
    const Vec<F> reference = load(rows[G - 1] + x);
    Vec<F> left_sum[G], left_square[G];
    // Not a plain 0: a window of one row must show a NaN or an infinity.
    left_sum[G - 1] = left_square[G - 1] = reference - reference;
#pragma GCC unroll 16
    for (int t = G - 2; t >= 0; --t) {
      const Vec<F> d = load(rows[t] + x) - reference;
      left_sum[t] = left_sum[t + 1] + d;
      left_square[t] = left_square[t + 1] + d * d;
    }
    Vec<F> sum{}, square{};
    for (int64_t r = G; r < k_; ++r) {
      const Vec<F> d = load(rows[r] + x) - reference;
      sum += d;
      square += d * d;
    }
#pragma GCC unroll 16
    for (int t = 0; t < G; ++t) {
      if (t > 0) {
        const Vec<F> d = load(rows[k_ - 1 + t] + x) - reference;
        sum += d;
        square += d * d;
      }
      sums[t] = sum + left_sum[t];
      deviation[t] = (square + left_square[t]) * F(k_) - sums[t] * sums[t];
    }
  }

  // The windows of a group have its column `core` in common.
  template <bool WithSum, class Emit>
  [[gnu::always_inline]] void horizontal(int64_t phase, F origin, Emit&& emit) {
    const F k = F(k_), inverse_k = F(1) / k;
    const F* columns = transposed_.data() + phase * 3 * N;
    const int64_t* places = places_.data();
    F* left = suffixes_.data();
    for (int64_t m = 0; m < windows_; m += k_) {
      const int64_t count = windows_ - m < k_ ? windows_ - m : k_;
      const F* core = columns + places[m + count - 1];
      const Vec<F> core_sum = load(core), reference = load(core + 2 * N);
      Vec<F> sum{}, square{};
      auto add = [&](int64_t column) NEURN_INLINE {
        const F* at = columns + places[column];
        const Vec<F> c = (load(at) - core_sum) + (load(at + 2 * N) - reference) * k;
        sum += c;
        square += c * c + load(at + N);
      };
      for (int64_t t = count - 1;; --t) {
        store(left + 2 * t * N, sum);
        store(left + (2 * t + 1) * N, square);
        if (t == 0) break;
        add(m + t - 1);
      }
      sum = Vec<F>{};
      square = load(core + N);
      for (int64_t column = m + count; column < m + k_; ++column) add(column);
      Vec<F> base{};
      if constexpr (WithSum) base = (core_sum + (reference - origin) * k) * k;
      for (int64_t t = 0; t < count; ++t) {
        if (t > 0) add(m + k_ - 1 + t);
        const Vec<F> s = sum + load(left + 2 * t * N);
        const Vec<F> squares = square + load(left + (2 * t + 1) * N);
        emit(m + t, phase, (squares - s * s * inverse_k) * inverse_k, base + s);
      }
    }
  }

  const int64_t k_;
  const Axis& rows_;
  const Axis& columns_;
  const int64_t pitch_, slots_;
  bool exact_ = true;
  int64_t step_ = 0, first_ = 0, windows_ = 0, next_row_ = 0;
  int64_t from_ = 0, inside_ = 0, count_apart_ = 0;  // source columns of the strip
  Scratch<F> ring_;                                  // rows that are copied, and zeros
  Scratch<F> transposed_;                            // of each column: sum, deviation, reference
  Scratch<F> suffixes_;
  Scratch<const F*> row_pointers_;
  Scratch<int64_t> places_;  // of padded columns, in transposed_
  Scratch<int64_t> apart_;   // padded columns
};

}  // namespace neurn::NEURN_ISA
