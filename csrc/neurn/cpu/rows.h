// Forward sweep for small patches, in row order.
#pragma once

#include "row_moments.h"

namespace neurn::NEURN_ISA {

template <class T, class F, int K>
class RowSweep {
 public:
  static constexpr int64_t N = Simd<F>::lanes;
  // The most that registers hold.
  static constexpr int R = K == 3 && N >= 8 ? 8 : 4;
  static_assert(N % R == 0);
  static constexpr bool raw_only = false;

  RowSweep(const Problem& p, const Blocks& blocks)
      : p_(p),
        blocks_(blocks),
        windows_(strip_windows(p.out_width, K, blocks.width)),
        pitch_(Moments<F>::round_up(windows_ * blocks.width, N)),
        moments_(p.rows, p.columns, blocks.width, windows_),
        result_(R * pitch_),
        tops_(pitch_) {}

  // As Sweep::run.
  bool run(const Array& x, const Array* y, int64_t unit, int64_t from, int64_t to, F* tops,
           const F* factors, bool raw) {
    const int64_t step = select(x, unit), width = blocks_.width, block = unit % blocks_.count;
    bool exact = true;
    clear_lost_digits();
    for (int64_t first = 0; first < p_.out_width; first += windows_) {
      begin_strip(step, first, from * N);
      T* target = y == nullptr ? nullptr
                               : static_cast<T*>(y->data) + unit / blocks_.count * y->n +
                                     blocks_.first_channel(block) * y->c + first * y->w;
      const bool direct =
          y != nullptr && Same<T, F>::value && raw && y->w == step && elements_ >= N;
      for (int64_t tile = from; tile < to; ++tile) {
        const int64_t end = (tile + 1) * N < p_.out_height ? (tile + 1) * N : p_.out_height;
        for (int64_t e = 0; e < (step == 1 ? N : elements_); e += N) {
          store(tops_.data() + e, Vec<F>{});
        }
        for (int64_t o = tile * N; o < end; o += R) {
          const int64_t count = end - o < R ? end - o : R;
          const bool in_place = direct && count == R;
          F* out = in_place ? reinterpret_cast<F*>(target + o * y->h) : result_.data();
          if (count == R) {
            compute<true>(out, in_place ? y->h : pitch_, count);
          } else {
            compute<false>(out, pitch_, count);
          }
          if (target == nullptr || in_place) continue;
          // Narrowing may lose digits too, and that is as it should be.
          exact = exact && !lost_digits();
          for (int64_t r = 0; r < count; ++r) {
            write(out + r * pitch_, target + (o + r) * y->h, *y, factors, raw);
          }
          clear_lost_digits();
        }
        for (int64_t c = 0; tops != nullptr && c < step; ++c) {
          F& top = tops[tile * width + c];
          const F found = largest_of(c);
          if (first == 0 || !(found <= top)) top = found;
        }
      }
    }
    return exact && !lost_digits();
  }

  // As Sweep::locate.
  bool locate(const Array& x, int64_t unit, int64_t tile, int64_t c, F value, int64_t* row,
              int64_t* column) {
    const int64_t step = select(x, unit);
    const int64_t end = (tile + 1) * N < p_.out_height ? (tile + 1) * N : p_.out_height;
    *row = p_.out_height;
    for (int64_t first = 0; first < p_.out_width; first += windows_) {
      begin_strip(step, first, tile * N);
      for (int64_t o = tile * N; o < end && o < *row; o += R) {
        compute<false>(result_.data(), pitch_, 0);
        for (int64_t r = 0; r < R && o + r < end && o + r < *row; ++r) {
          for (int64_t m = 0; m < count_ && o + r < *row; ++m) {
            if (result_[r * pitch_ + m * step + c] != value) continue;
            *row = o + r;
            *column = first + m;
          }
        }
      }
    }
    return *row < p_.out_height;
  }

 private:
  int64_t select(const Array& x, int64_t unit) {
    const int64_t block = unit % blocks_.count;
    x_ = pixels_of<T>(x, unit / blocks_.count, blocks_.first_channel(block));
    return blocks_.step(block);
  }

  void begin_strip(int64_t step, int64_t first, int64_t row) {
    step_ = step;
    count_ = p_.out_width - first < windows_ ? p_.out_width - first : windows_;
    elements_ = count_ * step;
    moments_.start(x_, step, first, count_, row, nullptr);
  }

  // The next R rows to out, `stride` apart; the first `count` of them (Full: all) count for the
  // maximum.
  template <bool Full>
  void compute(F* out, int64_t stride, int64_t count) {
    const bool single = step_ == 1;
    F* tops_of = tops_.data();
    Bits<F> tops{};
    const Ahead<F, R> ahead(out + R * stride, stride, elements_);
    auto emit = [&, out, stride, single, tops_of](int64_t e, int64_t, const Vec<F>* squares,
                                                  const Vec<F>*) NEURN_INLINE {
      ahead.ask(e);
      Bits<F> top{};
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r) {
        store(out + r * stride + e, squares[r]);
        if (Full || r < count) top = maximum(top, (Bits<F>)squares[r]);
      }
      if (single) {
        tops = maximum(tops, top);
      } else {
        store(tops_of + e, (Vec<F>)maximum((Bits<F>)load(tops_of + e), top));
      }
    };
    moments_.template block<false>(emit);
    if (single) store(tops_of, (Vec<F>)maximum((Bits<F>)load(tops_of), tops));
  }

  F largest_of(int64_t c) {
    if (step_ == 1) return largest<F>((Bits<F>)load(tops_.data()));
    using Word = typename Simd<F>::Word;
    Word word = 0;
    for (int64_t m = 0; m < count_; ++m) {
      const Word lane = __builtin_bit_cast(Word, tops_[m * step_ + c]);
      word = lane > word ? lane : word;
    }
    return __builtin_bit_cast(F, word);
  }

  void write(F* result, T* target, const Array& y, const F* factors, bool raw) {
    if (!raw && step_ == 1) {
      const Vec<F> factor = broadcast(factors[0]);
      for (int64_t e = 0; e < elements_; e += N) {
        store(result + e, scaled_root<F>(load(result + e), factor));
      }
    } else if (!raw) {
      for (int64_t m = 0; m < count_; ++m) {
        for (int64_t c = 0; c < step_; ++c) {
          F& value = result[m * step_ + c];
          value = __builtin_sqrtf(value * factors[c]);
        }
      }
    }
    write_row(result, count_, step_, y, target);
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t windows_, pitch_;
  RowMoments<T, F, K, R> moments_;
  Scratch<F> result_, tops_;
  Pixels<T> x_{};
  int64_t step_ = 1, count_ = 0, elements_ = 0;
};

}  // namespace neurn::NEURN_ISA
