// Moments of every K x K patch in row order, for small K: nothing is transposed, and what
// neighbouring rows of windows share stays in registers. The work grows with K; Moments is for the
// others.
#pragma once

#include "ahead.h"
#include "patch.h"

namespace neurn::NEURN_ISA {

// Rows of windows are computed R at a time.
template <class T, class F, int K, int R>
class RowMoments {
 public:
  static constexpr int64_t N = Simd<F>::lanes;

  // Strips of at most max_windows windows over up to `step` interleaved channels.
  RowMoments(const Axis& rows, const Axis& columns, int64_t step, int64_t max_windows)
      : rows_(rows),
        columns_(columns),
        padding_(padding_of(columns)),
        keeps_plane_(columns.outputs <= max_windows &&
                     (max_windows + K) * step * rows.size <= 2048),
        pitch_(Moments<F>::odd_vectors((max_windows + K) * step + N +
                                       (keeps_plane_ ? 0 : 2 * edge_pitch(step)))),
        slots_(keeps_plane_ ? Moments<F>::power_of_two(rows.padded(K) + 4 * R) : 2 * R),
        table_(slots_),
        copies_((keeps_plane_ ? rows.size + R : slots_) * pitch_),
        zeros_(pitch_ > columns.size * step ? pitch_ : columns.size * step),
        state_((max_windows * step / N + 4) * P::state_size) {
    // What is never read must not be a number out of range either.
    copies_.zero();
    zeros_.zero();
    const int64_t last = rows.padded(K) - 1;
    for (int64_t v = 0; keeps_plane_ && v < slots_; ++v) {
      const int64_t source = rows.source[v < last ? v : last];
      const F* copy = source < 0 ? zeros_.data() : copies_.data() + source * pitch_;
      table_[v] = {copy, copy, copy};
    }
  }

  // Starts a strip of `windows` windows from padded column `first` on, at padded row `row`.
  // `origin`, for blocks with a mean, holds a value for every element of the strip.
  void start(const Pixels<T>& pixels, int64_t step, int64_t first, int64_t windows, int64_t row,
             const F* origin) {
    pixels_ = pixels;
    step_ = step;
    first_ = first;
    windows_ = windows;
    elements_ = windows * step;
    origin_ = origin;
    short_mask_ = row_mask<F>(elements_);
    const int64_t edge = edge_windows(step) * step;
    left_ = first < columns_.lead ? edge : 0;
    right_ = first + windows + K - 1 > columns_.lead + columns_.size ? elements_ - edge : elements_;
    in_place_ = Same<T, F>::value && pixels.column_stride == step && elements_ >= 2 * edge &&
                (right_ == left_ || right_ - left_ >= N);
    right_copy_ = edge_pitch(step);
    copied_ = keeps_plane_ || !in_place_ || right_ == left_;
    first_end_ = copied_ ? elements_ : left_;
    next_ = prepared_ = row;
    if (keeps_plane_) copy_plane();
    prepare<K - 1>();
    auto begin = [&, step](Rows x, int64_t e, int64_t, F* state) NEURN_INLINE {
#pragma GCC unroll 8
      for (int j = 0; j < K - 1; ++j) P::keep(state, j, across(x[j] + e, step));
    };
    each_column<K - 1>(begin);
    next_ = row + K - 1;
    prepare<R>();
  }

  // The next R rows of windows: emit(element, fresh, M[R], mean[R]) once per vector; its lanes
  // before `fresh` came in another vector too. M is k^2 times the variance, `mean` that of
  // x - origin (only WithMean). Windows past the axis see its last row repeated; lanes past the
  // strip's end are zero.
  template <bool WithMean, class Emit>
  [[gnu::always_inline]] void block(Emit&& emit) {
    // Loads across what was just stored would wait for it: rows are copied a block ahead.
    prepare<R>();
    // The rows after these, if padding does not reorder them, or those of the next plane.
    const F* ahead_rows =
        keeps_plane_ && in_place_ ? pixels_of_row(rows_.size + next_) : row(next_ + R).middle;
    const Ahead<F, R> ahead(ahead_rows, in_place_ ? pixels_.row_stride : 0, elements_);
    const int64_t step = step_;
    const bool cut = elements_ < N;
    const F* const origins = origin_;
    auto column = [&](Rows x, int64_t e, int64_t fresh, F* state) NEURN_INLINE {
      ahead.ask(e);
      Vec<F> squares[R], means[R];
      const F* const origin = WithMean ? origins + e : nullptr;
      auto next = [=](int r) NEURN_INLINE { return across(x[r] + e, step); };
      P::template down<WithMean>(next, state, origin, squares, means);
      for (int r = 0; r < R && __builtin_expect(cut, 0); ++r) {
        squares[r] = (Vec<F>)((Bits<F>)squares[r] & short_mask_);
        if constexpr (WithMean) means[r] = (Vec<F>)((Bits<F>)means[r] & short_mask_);
      }
      emit(e, fresh, squares, means);
    };
    each_column<R>(column);
    next_ += R;
  }

 private:
  using Rows = const F* const*;
  using P = Patch<F, K, R>;

  // Where the elements [0, left_), [left_, right_) and [right_, elements_) of a padded row are; all
  // of them at `left` if it was copied.
  struct Row {
    const F *left, *middle, *right;
  };

  static int64_t padding_of(const Axis& axis) {
    const int64_t trail = axis.padded(K) - axis.lead - axis.size;
    return axis.lead > trail ? axis.lead : trail;
  }

  // Windows at each end of a row that are read from a copy, which has the padding: a vector or
  // more.
  int64_t edge_windows(int64_t step) const {
    const int64_t vector = (N + step - 1) / step;
    return padding_ > vector ? padding_ : vector;
  }

  Row& row(int64_t v) { return table_[v & (slots_ - 1)]; }

  int64_t edge_pitch(int64_t step) const {
    return Moments<F>::round_up((edge_windows(step) + K) * step + N, N);
  }

  // All rows of a small plane, once each, for all rows that show them.
  void copy_plane() {
    for (int64_t first = 0; first < rows_.size; first += R) {
      const F* pixels[R];
      F* copy[R];
      for (int r = 0; r < R; ++r) {
        const int64_t source = first + r < rows_.size ? first + r : rows_.size - 1;
        copy[r] = copies_.data() + (first + r) * pitch_;
        pixels[r] = pixels_of_row(source);
        if (!in_place_) read_row(rows_.lead + source, copy[r]);
      }
      if (in_place_) copy_row<R>(pixels, copy);
    }
  }

  const F* pixels_of_row(int64_t source) const {
    if constexpr (Same<T, F>::value) return pixels_.origin + source * pixels_.row_stride;
    return nullptr;
  }

  void read_row(int64_t v, F* copy) {
    read_padded_row(pixels_, rows_, columns_, step_, v, first_, windows_ + K - 1, copy);
  }

  // The next `count` rows. They are done side by side, for there is little to do in each.
  template <int count>
  void prepare() {
    if (keeps_plane_) return;
    const int64_t last = rows_.padded(K) - 1;
    const F* pixels[count];
    F* copy[count];
    for (int r = 0; r < count; ++r, ++prepared_) {
      const int64_t v = prepared_ < last ? prepared_ : last;
      const int64_t source = rows_.source[v];
      copy[r] = copies_.data() + (prepared_ & (2 * R - 1)) * pitch_;
      pixels[r] = source < 0 || !in_place_ ? zeros_.data() : pixels_of_row(source);
      row(prepared_) = copied_ ? Row{copy[r], copy[r], copy[r]}
                               : Row{copy[r], pixels[r] + (first_ - columns_.lead) * step_,
                                     copy[r] + right_copy_ - right_};
      if (!in_place_) read_row(v, copy[r]);
    }
    if (!in_place_) return;
    for (int r = 0; r < count; ++r) {
      const F* later = pixels[r] + R * pixels_.row_stride + first_ * step_;
      __builtin_prefetch(later, 0, 3);
      __builtin_prefetch(later + elements_ - 1, 0, 3);
    }
    copy_row<count>(pixels, copy);
  }

  // What is read from copies.
  template <int count>
  void copy_row(const F* const* pixels, F* const* copy) const {
    const int64_t before = columns_.lead > first_ ? columns_.lead - first_ : 0;
    const int64_t inside = columns_.lead + columns_.size, end = first_ + windows_ + K - 1;
    if (copied_) {
      const int64_t from = first_ + before - columns_.lead, to = inside < end ? inside : end;
      copy_padding<count>(pixels, copy, first_, before, 0);
      copy_inside<count>(pixels, copy, from * step_, (to - first_ - before) * step_,
                         before * step_);
      copy_padding<count>(pixels, copy, to, end - to, (to - first_) * step_);
      return;
    }
    if (left_ > 0) {
      copy_padding<count>(pixels, copy, first_, before, 0);
      copy_inside<count>(pixels, copy, 0, left_ + (K - 1 - before) * step_, before * step_);
    }
    if (right_ < elements_) {
      const int64_t begin = first_ + right_ / step_, size = (inside - begin) * step_;
      copy_inside<count>(pixels, copy, (begin - columns_.lead) * step_, size, right_copy_);
      copy_padding<count>(pixels, copy, inside, end - inside, right_copy_ + size);
    }
  }

  template <int count>
  void copy_padding(const F* const* pixels, F* const* copy, int64_t from, int64_t columns,
                    int64_t to) const {
    for (int64_t q = from; q < from + columns; ++q) {
      const int64_t column = columns_.source[q];
      for (int64_t c = 0; c < step_; ++c, ++to) {
#pragma GCC unroll 8
        for (int r = 0; r < count; ++r) {
          copy[r][to] = column < 0 ? F(0) : pixels[r][column * step_ + c];
        }
      }
    }
  }

  // A vector of elements or more.
  template <int count>
  static void copy_inside(const F* const* pixels, F* const* copy, int64_t from, int64_t elements,
                          int64_t to) {
    for (int64_t e = 0; e < elements; e += N) {
      const int64_t at = e + N <= elements ? e : elements - N;
#pragma GCC unroll 8
      for (int r = 0; r < count; ++r) store(copy[r] + to + at, load(pixels[r] + from + at));
    }
  }

  // body(x, element, fresh, state) for every vector of `count` rows from next_ on; row j is at
  // x[j].
  template <int count, class Body>
  [[gnu::always_inline]] void each_column(Body&& body) {
    static constexpr const F* Row::* const parts[] = {&Row::left, &Row::middle, &Row::right};
    const int64_t ends[] = {first_end_, right_, elements_};
    F* state = state_.data();
    int64_t from = 0;
    for (int part = 0; from < elements_; ++part) {
      const F* x[count];
      for (int j = 0; j < count; ++j) x[j] = row(next_ + j).*parts[part];
      const int64_t to = ends[part];
      for (int64_t e = from; e < to; e += N) {
        const int64_t at = e + N <= to || to < N ? e : to - N;
        body(x, at, e - at, state);
        state += P::state_size;
      }
      from = to;
    }
  }

  [[gnu::always_inline]] static auto across(const F* x, int64_t step) {
    return P::across([=](int t) NEURN_INLINE { return load(x + (K / 2 + t) * step); });
  }

  const Axis& rows_;
  const Axis& columns_;
  const int64_t padding_;
  const bool keeps_plane_;  // small planes are copied whole, at the start
  const int64_t pitch_, slots_;
  Scratch<Row> table_;  // of the next padded rows, or of all of a small plane
  Scratch<F> copies_, zeros_;
  Scratch<F> state_;  // of every vector: the last K - 1 rows
  Pixels<T> pixels_{};
  const F* origin_ = nullptr;
  Bits<F> short_mask_{};
  bool in_place_ = false;  // rows need no conversion
  bool copied_ = false;    // rows are read from copies only
  int64_t step_ = 1, first_ = 0, windows_ = 0, elements_ = 0;
  int64_t left_ = 0, right_ = 0;  // elements where the parts of a row end
  int64_t right_copy_ = 0, first_end_ = 0;
  int64_t next_ = 0, prepared_ = 0;
};

}  // namespace neurn::NEURN_ISA
