// Forward sweep for small patches, row by row: the sums of Moments without its transpositions,
// every difference taken to the pixel (and the row) in the middle of the window. Its work grows
// with K.
#pragma once

#include "output.h"

namespace neurn::NEURN_ISA {

template <class T, class F, int K>
class RowSweep {
 public:
  static constexpr int64_t N = Simd<F>::lanes;
  // Rows are read this far ahead: loads across what was just stored would wait for it.
  static constexpr int64_t read_ahead = 2;
  static constexpr int64_t rows_kept = 4;

  RowSweep(const Problem& p, const Blocks& blocks)
      : p_(p),
        blocks_(blocks),
        windows_(row_strip(p.out_width, blocks.width)),
        pitch_(Moments<F>::round_up((windows_ + K - 1) * blocks.width, N) + K * blocks.width + N),
        pixels_(rows_kept * pitch_),
        sums_(K * pitch_),
        within_(K * pitch_),
        steps_(K * pitch_),
        result_(pitch_),
        tops_(pitch_) {
    // What is never read must not be a number out of range either.
    pixels_.zero();
    sums_.zero();
    within_.zero();
    steps_.zero();
  }

  // As Sweep::run.
  bool run(const Array& x, const Array* y, int64_t unit, int64_t from, int64_t to, F* tops,
           const F* factors, bool raw) {
    const int64_t step = select(x, unit), width = blocks_.width, block = unit % blocks_.count;
    bool exact = true;
    for (int64_t first = 0; first < p_.out_width; first += windows_) {
      begin_strip(step, first, from * N);
      T* target = y == nullptr ? nullptr
                               : static_cast<T*>(y->data) + unit / blocks_.count * y->n +
                                     blocks_.first_channel(block) * y->c + first * y->w;
      const bool direct = y != nullptr && Same<T, F>::value && raw && y->w == step;
      for (int64_t tile = from; tile < to; ++tile) {
        const int64_t end = (tile + 1) * N < p_.out_height ? (tile + 1) * N : p_.out_height;
        if (tops != nullptr) tops_.zero();
        clear_lost_digits();
        for (int64_t o = tile * N; o < end; ++o) {
          F* out = direct ? reinterpret_cast<F*>(target + o * y->h) : result_.data();
          const T* ahead = x_ahead(o);
          const T* written = target == nullptr ? ahead : target + next_row(o) * y->h;
          compute(o, out, ahead, written);
          exact = exact && !lost_digits();
          if (target != nullptr && !direct) {
            write(target + o * y->h, *y, factors, raw);
            clear_lost_digits();
          }
        }
        for (int64_t c = 0; tops != nullptr && c < step; ++c) {
          F& top = tops[tile * width + c];
          const F found = largest_of(c);
          if (first == 0 || !(found <= top)) top = found;
        }
      }
    }
    return exact;
  }

  // As Sweep::locate.
  bool locate(const Array& x, int64_t unit, int64_t tile, int64_t c, F value, int64_t* row,
              int64_t* column) {
    const int64_t step = select(x, unit);
    const int64_t end = (tile + 1) * N < p_.out_height ? (tile + 1) * N : p_.out_height;
    *row = p_.out_height;
    for (int64_t first = 0; first < p_.out_width; first += windows_) {
      begin_strip(step, first, tile * N);
      for (int64_t o = tile * N; o < end && o < *row; ++o) {
        compute(o, result_.data(), x_ahead(o), x_ahead(o));
        for (int64_t m = 0; m < count_ && o < *row; ++m) {
          if (result_[m * step + c] != value) continue;
          *row = o;
          *column = first + m;
        }
      }
    }
    return *row < p_.out_height;
  }

 private:
  static int64_t row_strip(int64_t outputs, int64_t step) {
    const int64_t most = 512 / step > 8 ? 512 / step : 8;
    const int64_t strips = (outputs + most - 1) / most;
    return (outputs + strips - 1) / strips;
  }

  int64_t select(const Array& x, int64_t unit) {
    const int64_t block = unit % blocks_.count;
    x_ = pixels_of<T>(x, unit / blocks_.count, blocks_.first_channel(block));
    return blocks_.step(block);
  }

  void begin_strip(int64_t step, int64_t first, int64_t row) {
    step_ = step;
    first_ = first;
    count_ = p_.out_width - first < windows_ ? p_.out_width - first : windows_;
    next_ = loaded_ = row;
  }

  int64_t next_row(int64_t o) const { return o + 4 < p_.out_height ? o + 4 : p_.out_height - 1; }

  // A row that will be read soon, to be prefetched.
  const T* x_ahead(int64_t o) const {
    const int64_t row = next_row(o) + K - 1 < p_.height ? next_row(o) + K - 1 : p_.height - 1;
    return x_.origin + row * x_.row_stride + first_ * x_.column_stride;
  }

  F* at(Scratch<F>& rows, int64_t v) { return rows.data() + v % K * pitch_; }
  F* pixels_at(int64_t v) { return pixels_.data() + v % rows_kept * pitch_; }

  // Sums of padded row v's horizontal windows, relative to their middle pixels, and what the column
  // sum of the window grows by from row v - 1 to v.
  void add_row(int64_t v) {
    const int64_t last = p_.rows.padded(K) - 1;
    for (; loaded_ <= v + read_ahead && loaded_ <= last; ++loaded_) {
      read_padded_row(x_, p_.rows, p_.columns, step_, loaded_, first_, count_ + K - 1,
                      pixels_at(loaded_));
    }
    const F* x = pixels_at(v);
    F* sums = at(sums_, v);
    F* within = at(within_, v);
    F* steps = at(steps_, v);
    const int64_t middle = K / 2 * step_;
    const F* above_x = pixels_at(v + rows_kept - 1) + middle;
    const F* above_sums = at(sums_, v + K - 1);
    const F inverse = F(1) / F(K);
    for (int64_t e = 0; e < count_ * step_; e += N) {
      const Vec<F> center = load(x + middle + e);
      Vec<F> sum{}, square{};
#pragma GCC unroll 8
      for (int t = 0; t < K; ++t) {
        if (t == K / 2) continue;
        const Vec<F> d = load(x + t * step_ + e) - center;
        sum += d;
        square += d * d;
      }
      store(sums + e, sum);
      store(within + e, square - sum * sum * inverse);
      store(steps + e, (sum - load(above_sums + e)) + (center - load(above_x + e)) * F(K));
    }
  }

  void compute(int64_t o, F* out, const T* read_next, const T* write_next) {
    for (; next_ < o + K; ++next_) add_row(next_);
    const F *steps[K], *within[K];
    for (int t = 0; t < K; ++t) {
      steps[t] = at(steps_, o + t);
      within[t] = at(within_, o + t);
    }
    const F inverse = F(1) / F(K);
    const int64_t elements = count_ * step_;
    auto moment = [&](int64_t e) {
      Vec<F> sum{}, square{}, inside = load(within[K / 2] + e), up{}, down{};
#pragma GCC unroll 4
      for (int t = 1; t <= K / 2; ++t) {
        down += load(steps[K / 2 + t] + e);
        up -= load(steps[K / 2 + 1 - t] + e);
        sum += up + down;
        square += up * up;
        square += down * down;
        inside += load(within[K / 2 + t] + e) + load(within[K / 2 - t] + e);
      }
      return inside + (square - sum * sum * inverse) * inverse;
    };
    Bits<F> top{};
    const bool single = step_ == 1;
    int64_t e = 0;
    for (; e + N <= elements; e += N) {
      __builtin_prefetch(read_next + e, 0, 2);
      __builtin_prefetch(write_next + e, 1, 2);
      const Vec<F> v = moment(e);
      store(out + e, v);
      if (single) {
        top = maximum(top, (Bits<F>)v);
      } else {
        store(tops_.data() + e, (Vec<F>)maximum((Bits<F>)load(tops_.data() + e), (Bits<F>)v));
      }
    }
    if (single) {
      store(tops_.data(), (Vec<F>)maximum((Bits<F>)load(tops_.data()), top));
    }
    if (e < elements) {
      const Vec<F> v = moment(e);
      memcpy(out + e, &v, (elements - e) * sizeof(F));
      const int64_t into = single ? 0 : e;
      const Bits<F> valid = row_mask<F>(elements - e);
      store(tops_.data() + into,
            (Vec<F>)maximum((Bits<F>)load(tops_.data() + into), (Bits<F>)v & valid));
    }
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

  void write(T* target, const Array& y, const F* factors, bool raw) {
    F* result = result_.data();
    const int64_t elements = count_ * step_;
    if (!raw && step_ == 1) {
      const Vec<F> factor = broadcast(factors[0]);
      for (int64_t e = 0; e < elements; e += N) {
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
    if (y.w == step_ && (step_ == 1 || y.c == 1)) {
      write_run(result, 1, elements, target);
    } else {
      for (int64_t m = 0; m < count_; ++m) {
        write_run(result + m * step_, y.c, step_, target + m * y.w);
      }
    }
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t windows_, pitch_;
  Scratch<F> pixels_, sums_, within_, steps_;  // rings of K rows
  Scratch<F> result_, tops_;
  Pixels<T> x_{};
  int64_t step_ = 1, first_ = 0, count_ = 0, next_ = 0, loaded_ = 0;
};

}  // namespace neurn::NEURN_ISA
