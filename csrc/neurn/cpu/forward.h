// y = sigma / (max sigma + floor), with every patch's sum of squared deviations M = k^2 sigma^2 in
// place of sigma until the last step: y = sqrt(M * factor).
#pragma once

#include "output.h"
#include "rows.h"
#include "short_sweep.h"

namespace neurn::NEURN_ISA {

// Sweeps the tiles of one block, in one thread.
template <class T, class F>
class Sweep {
 public:
  static constexpr int64_t N = Simd<F>::lanes;
  static constexpr bool raw_only = false;

  Sweep(const Problem& p, const Blocks& blocks)
      : p_(p),
        blocks_(blocks),
        windows_(strip_windows(p.out_width, p.k, blocks.width)),
        moments_(p.k, p.rows, p.columns, blocks.width, windows_),
        result_((windows_ * blocks.width + N) * N),
        rows_(N * (windows_ * blocks.width + N)) {}

  // Tiles [from, to) of a block. `tops`, [tile][channel], takes the largest M where it is not null;
  // y, where it is not null, takes M itself (raw) or sqrt(M * factors[channel]). False: some M left
  // F's range.
  bool run(const Array& x, const Array* y, int64_t unit, int64_t from, int64_t to, F* tops,
           const F* factors, bool raw) {
    const int64_t step = select(x, unit);
    const int64_t width = blocks_.width;
    moments_.forget();
    for (int64_t first = 0; first < p_.out_width; first += windows_) {
      const int64_t windows = begin_strip(step, first);
      for (int64_t tile = from; tile < to; ++tile) {
        compute(tile, hint_for(y, unit, tile, first));
        for (int64_t c = 0; tops != nullptr && c < step; ++c) {
          F& top = tops[tile * width + c];
          const F found = largest<F>(largest_[c]);
          if (first == 0 || !(found <= top)) top = found;
        }
        if (y != nullptr) write(*y, unit, tile, step, first, windows, factors, raw);
      }
    }
    return moments_.exact();
  }

  // The lowest (row, column) of a tile where channel c has exactly this M.
  bool locate(const Array& x, int64_t unit, int64_t tile, int64_t c, F value, int64_t* row,
              int64_t* column) {
    const int64_t step = select(x, unit);
    *row = p_.out_height;
    for (int64_t first = 0; first < p_.out_width; first += windows_) {
      const int64_t windows = begin_strip(step, first);
      compute(tile, [](int64_t) {});
      for (int64_t m = 0; m < windows; ++m) {
        for (int64_t lane = 0; lane < N && tile * N + lane < *row; ++lane) {
          if (result_[(m * step + c) * N + lane] == value) {
            *row = tile * N + lane;
            *column = first + m;
          }
        }
      }
    }
    return *row < p_.out_height;
  }

 private:
  // Prefetches the tile's rows of y for writing and the next tile's rows of x, in the next plane if
  // need be.
  auto hint_for(const Array* y, int64_t unit, int64_t tile, int64_t first) const {
    const int64_t lead = p_.padding == Padding::valid ? p_.k - 1 : p_.k / 2;
    const T* x = pixels_.origin + ((tile + 1) * N + lead) * pixels_.row_stride +
                 first * pixels_.column_stride;
    const int64_t x_stride = pixels_.row_stride;
    const T* out = y == nullptr ? x
                                : static_cast<const T*>(y->data) + unit / blocks_.count * y->n +
                                      blocks_.first_channel(unit % blocks_.count) * y->c +
                                      tile * N * y->h + first * y->w;
    const int64_t stride = y == nullptr ? x_stride : y->h;
    return [=](int64_t at) {
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) {
        __builtin_prefetch(x + t * x_stride + at, 0, 2);
        __builtin_prefetch(out + t * stride + at, 1, 2);
      }
    };
  }

  int64_t select(const Array& x, int64_t unit) {
    const int64_t block = unit % blocks_.count;
    pixels_ = pixels_of<T>(x, unit / blocks_.count, blocks_.first_channel(block));
    return blocks_.step(block);
  }

  int64_t begin_strip(int64_t step, int64_t first) {
    const int64_t windows = p_.out_width - first < windows_ ? p_.out_width - first : windows_;
    step_ = step;
    count_ = windows;
    moments_.start(step, first, windows);
    return windows;
  }

  // M of a tile into result_, and the largest of each channel.
  template <class Hint>
  void compute(int64_t tile, Hint&& hint) {
    F* result = result_.data();
    const int64_t step = step_, elements = count_ * step;
    moments_.template tile<false>(pixels_, tile * N, nullptr, hint,
                                  [=](int64_t m, int64_t c, Vec<F> squares, Vec<F>) NEURN_INLINE {
                                    store(result + (m * step + c) * N, squares);
                                  });
    const Bits<F> valid = row_mask<F>(p_.out_height - tile * N);
    for (int64_t c = 0; c < step; ++c) {
      Bits<F> top{};
      for (int64_t e = c; e < elements; e += step) {
        top = maximum(top, (Bits<F>)load(result + e * N));
      }
      largest_[c] = top & valid;
    }
  }

  void write(const Array& y, int64_t unit, int64_t tile, int64_t step, int64_t first,
             int64_t windows, const F* factors, bool raw) {
    const int64_t height = p_.out_height - tile * N < N ? p_.out_height - tile * N : N;
    const int64_t elements = windows * step, pitch = windows_ * blocks_.width + N;
    if (!raw) {
      for (int64_t m = 0; m < windows; ++m) {
        for (int64_t c = 0; c < step; ++c) {
          F* at = result_.data() + (m * step + c) * N;
          store(at, scaled_root<F>(load(at), broadcast(factors[c])));
        }
      }
    }
    const int64_t block = unit % blocks_.count;
    T* out = static_cast<T*>(y.data) + unit / blocks_.count * y.n +
             blocks_.first_channel(block) * y.c + tile * N * y.h + first * y.w;
    const bool direct = Same<T, F>::value && y.w == step;
    for (int64_t e = 0; e < elements; e += N) {
      Vec<F> square[N];
#pragma GCC unroll 16
      for (int64_t t = 0; t < N; ++t) square[t] = load(result_.data() + (e + t) * N);
      transpose<F>(square);
      if (direct && e + N <= elements && height == N) {
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) {
          store(reinterpret_cast<F*>(out) + t * y.h + e, square[t]);
        }
      } else if (direct) {
        for (int64_t t = 0; t < height; ++t) {
          const int64_t count = elements - e < N ? elements - e : N;
          memcpy(out + t * y.h + e, &square[t], count * sizeof(F));
        }
      } else {
#pragma GCC unroll 16
        for (int64_t t = 0; t < N; ++t) store(rows_.data() + t * pitch + e, square[t]);
      }
    }
    if (direct) return;
    for (int64_t t = 0; t < height; ++t) {
      write_row(rows_.data() + t * pitch, windows, step, y, out + t * y.h);
    }
  }

  const Problem& p_;
  const Blocks& blocks_;
  const int64_t windows_;
  Moments<F> moments_;
  Scratch<F> result_;  // transposed: M of a tile
  Scratch<F> rows_;
  Bits<F> largest_[16];
  Pixels<T> pixels_{};
  int64_t step_ = 1, count_ = 0;
};

template <class T, class F, class S = Sweep<T, F>>
class Forward {
 public:
  static constexpr int64_t N = Simd<F>::lanes;
  // M is kept in y between the passes where y can hold it, else it is computed twice.
  static constexpr bool stored = Same<T, F>::value;

  Forward(const Problem& p, const Array& x, const Array& y, const Peaks& peaks)
      : p_(p), x_(x), y_(y), peaks_(peaks), blocks_(p, x, y), tiles_((p.out_height + N - 1) / N) {}

  int64_t groups() const {
    return p_.scope == Scope::image   ? p_.samples
           : p_.scope == Scope::batch ? 1
                                      : p_.samples * blocks_.count;
  }

  // What one thread needs for any number of groups.
  struct Worker {
    S sweep;
    Scratch<F> tops, factors;

    explicit Worker(const Forward& f)
        : sweep(f.p_, f.blocks_),
          tops(f.members(0).count * f.blocks_.width * f.tiles_),
          factors(f.members(0).count * f.blocks_.width) {}
  };

  // All planes that share a maximum (by channel: one block of them). False: some M is out of F's
  // range, and nothing that was written counts.
  bool group(int64_t g, const Parallel& pool, Worker& worker) {
    const Units units = members(g);
    const int64_t width = blocks_.width, entries = units.count * width;
    Scratch<F>&tops = worker.tops, &factors = worker.factors;
    const bool normalized = p_.scope != Scope::none;
    for (int64_t i = 0; i < entries; ++i) factors[i] = static_cast<F>(1 / (double(p_.k) * p_.k));

    const Array* y = stored || !normalized ? &y_ : nullptr;
    const bool raw = normalized || S::raw_only;
    if (!sweep(units, pool, worker.sweep, y, tops.data(), factors.data(), raw)) return false;
    if (!normalized) {
      if constexpr (S::raw_only) rescale(units, pool, factors.data());
      return true;
    }

    const bool by_channel = p_.scope == Scope::channel;
    const int64_t maxima = by_channel ? blocks_.step(units.first % blocks_.count) : 1;
    for (int64_t m = 0; m < maxima; ++m) {
      const Place place = find_peak(units, tops.data(), by_channel ? m : -1);
      const F factor = output_factor<F>(place.value, p_.k, p_.floor);
      if (place.value > F(0) && !holds(factor)) return false;
      for (int64_t i = 0; i < entries; ++i) {
        if (!by_channel || i % width == m) factors[i] = factor;
      }
      publish(units, place, by_channel);
    }
    if constexpr (stored) {
      rescale(units, pool, factors.data());
    } else {
      sweep(units, pool, worker.sweep, &y_, nullptr, factors.data(), false);
    }
    return true;
  }

 private:
  struct Units {
    int64_t first, count;  // (sample, block) pairs, blocks varying fastest
  };

  struct Place {
    F value;  // M
    int64_t unit, channel, tile;
  };

  Units members(int64_t g) const {
    switch (p_.scope) {
      case Scope::image:
        return {g * blocks_.count, blocks_.count};
      case Scope::batch:
        return {0, p_.samples * blocks_.count};
      default:
        return {g, 1};
    }
  }

  // Whether a factor has all its digits in float.
  static bool holds(float factor) {
    return factor != factor || (factor >= 1e-36f && factor <= 1e36f);
  }
  static bool holds(double) { return true; }

  bool sweep(const Units& units, const Parallel& pool, S& alone, const Array* y, F* tops,
             const F* factors, bool raw) {
    bool exact = true;
    const int64_t parts = pool.threads <= 1 ? 1 : (tiles_ + 3) / 4;
    const int64_t tiles = (tiles_ + parts - 1) / parts, width = blocks_.width;
    auto jobs = [&](S& one, int64_t begin, int64_t end) {
      for (int64_t job = begin; job < end; ++job) {
        const int64_t unit = job / parts, from = job % parts * tiles;
        const int64_t to = from + tiles < tiles_ ? from + tiles : tiles_;
        const int64_t at = unit * tiles_ * width;
        if (!one.run(x_, y, units.first + unit, from, to, tops ? tops + at : nullptr,
                     factors + unit * width, raw)) {
          __atomic_store_n(&exact, false, __ATOMIC_RELAXED);
        }
      }
    };
    if (pool.threads <= 1) {
      jobs(alone, 0, units.count * parts);
      return exact || !Same<F, float>::value;
    }
    parallel(pool, units.count * parts, [&](int64_t begin, int64_t end) {
      S own(p_, blocks_);
      jobs(own, begin, end);
    });
    // There is nothing wider than double: what it cannot hold is as good as it gets.
    return exact || !Same<F, float>::value;
  }

  Place find_peak(const Units& units, const F* tops, int64_t only_channel) const {
    const int64_t width = blocks_.width;
    Place best{F(0), -1, 0, 0};
    for (int64_t unit = 0; unit < units.count; ++unit) {
      const int64_t step = blocks_.step((units.first + unit) % blocks_.count);
      for (int64_t c = 0; c < step; ++c) {
        if (only_channel >= 0 && c != only_channel) continue;
        for (int64_t tile = 0; tile < tiles_; ++tile) {
          const F top = tops[(unit * tiles_ + tile) * width + c];
          if (top != top) return {top, -1, c, 0};
          if (best.unit < 0 || top > best.value) best = {top, unit, c, tile};
        }
      }
    }
    return best;
  }

  void publish(const Units& units, const Place& place, bool by_channel) {
    const int64_t unit = units.first + (place.unit < 0 ? 0 : place.unit);
    const int64_t sample = unit / blocks_.count;
    const int64_t channel = blocks_.first_channel(unit % blocks_.count) + place.channel;
    const int64_t slot = p_.scope == Scope::image     ? sample
                         : p_.scope == Scope::channel ? sample * p_.channels + channel
                                                      : 0;
    const double sigma = __builtin_sqrt(double(place.value)) / double(p_.k);
    if (p_.dtype == DType::float64) {
      static_cast<double*>(peaks_.value)[slot] = sigma;
    } else {
      static_cast<float*>(peaks_.value)[slot] = static_cast<float>(sigma);
    }
    int64_t row = 0, column = 0;
    if (place.unit < 0 || !locate(unit, place, &row, &column)) {
      peaks_.index[slot] = -1;
      return;
    }
    int64_t plane = by_channel ? 0 : channel;
    if (p_.scope == Scope::batch) plane += sample * p_.channels;
    peaks_.index[slot] = (plane * p_.out_height + row) * p_.out_width + column;
  }

  bool locate(int64_t unit, const Place& place, int64_t* row, int64_t* column) {
    if constexpr (!stored) {
      return S(p_, blocks_).locate(x_, unit, place.tile, place.channel, place.value, row, column);
    } else {
      const int64_t channel = blocks_.first_channel(unit % blocks_.count) + place.channel;
      const F* plane =
          static_cast<const F*>(y_.data) + unit / blocks_.count * y_.n + channel * y_.c;
      const int64_t below = (place.tile + 1) * N;
      const int64_t end = below < p_.out_height ? below : p_.out_height;
      for (*row = place.tile * N; *row < end; ++*row) {
        const F* values = plane + *row * y_.h;
        int64_t seen = 0;
        if (y_.w == 1) {
          Mask<F> found{};
          for (; seen + N <= p_.out_width; seen += N) {
            found |= load(values + seen) == broadcast(place.value);
          }
          if (any(found)) seen = 0;
        }
        for (*column = seen; *column < p_.out_width; ++*column) {
          if (values[*column * y_.w] == place.value) return true;
        }
      }
      return false;
    }
  }

  void rescale(const Units& units, const Parallel& pool, const F* factors) {
    const int64_t width = blocks_.width;
    // y is dense: rows of one plane, or of all channels, follow each other.
    parallel(pool, units.count * tiles_, [&](int64_t begin, int64_t end) {
      for (int64_t job = begin; job < end; ++job) {
        const int64_t unit = units.first + job / tiles_, block = unit % blocks_.count;
        const int64_t first = job % tiles_ * N, step = blocks_.step(block);
        const int64_t height = p_.out_height - first < N ? p_.out_height - first : N;
        F* data = static_cast<F*>(y_.data) + unit / blocks_.count * y_.n +
                  blocks_.first_channel(block) * y_.c + first * y_.h;
        const F* factor = factors + job / tiles_ * width;
        bool uniform = true;
        for (int64_t c = 1; c < step; ++c) uniform &= factor[c] == factor[0];
        if (uniform && y_.w == step && y_.h == p_.out_width * step) {
          rescale_run(data, height * y_.h, factor[0]);
          continue;
        }
        for (int64_t t = 0; t < height; ++t) {
          for (int64_t m = 0; m < p_.out_width; ++m) {
            F* at = data + t * y_.h + m * y_.w;
            for (int64_t c = 0; c < step; ++c) at[c * y_.c] = root(at[c * y_.c] * factor[c]);
          }
        }
      }
    });
  }

  static float root(float v) { return __builtin_sqrtf(v); }
  static double root(double v) { return __builtin_sqrt(v); }

  static void rescale_run(F* data, int64_t count, F factor) {
    const Vec<F> f = broadcast(factor);
    int64_t i = 0;
    for (; i + N <= count; i += N) store(data + i, scaled_root<F>(load(data + i), f));
    for (; i < count; ++i) data[i] = root(data[i] * factor);
  }

  const Problem& p_;
  const Array& x_;
  const Array& y_;
  const Peaks& peaks_;
  const Blocks blocks_;
  const int64_t tiles_;
};

// Groups side by side while there are enough of them, else one after the other in parallel parts.
// `fallback(g, pool)` does the groups that `first` cannot.
template <class First, class Fallback>
inline void run_groups(First& first, const Parallel& pool, Fallback&& fallback) {
  const int64_t groups = first.groups();
  if (groups >= 2 * pool.threads) {
    parallel(pool, groups, [&](int64_t begin, int64_t end) {
      const Parallel alone{1, nullptr};
      typename First::Worker worker(first);
      for (int64_t g = begin; g < end; ++g) {
        if (!first.group(g, alone, worker)) fallback(g, alone);
      }
    });
    return;
  }
  typename First::Worker worker(first);
  for (int64_t g = 0; g < groups; ++g) {
    if (!first.group(g, pool, worker)) fallback(g, pool);
  }
}

// float first, double where float cannot hold the squares or where k x k of them lose digits.
template <class T>
inline void forward(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
                    const Parallel& pool) {
  Forward<T, double> wide(p, x, y, peaks);
  if constexpr (!Same<T, double>::value) {
    auto run = [&](auto&& narrow) {
      run_groups(narrow, pool, [&](int64_t g, const Parallel& inner) {
        typename Forward<T, double>::Worker worker(wide);
        wide.group(g, inner, worker);
      });
    };
#if defined(__AVX512F__)
    if constexpr (Same<T, float>::value) {
      auto took = [&]<int K, int V>() {
        if (!ShortSweep<K, V>::takes(p, x, y)) return false;
        run(Forward<T, float, ShortSweep<K, V>>(p, x, y, peaks));
        return true;
      };
      if (some_short_row(took)) return;
    }
#endif
    if (p.k == 3) return run(Forward<T, float, RowSweep<T, float, 3>>(p, x, y, peaks));
    if (p.k == 5) return run(Forward<T, float, RowSweep<T, float, 5>>(p, x, y, peaks));
    if (p.k == 7) return run(Forward<T, float, RowSweep<T, float, 7>>(p, x, y, peaks));
    // Rows must be long to be worth work that grows with k.
    if (p.k == 9 && p.out_width > 64) {
      return run(Forward<T, float, RowSweep<T, float, 9>>(p, x, y, peaks));
    }
    if (p.k <= 31) return run(Forward<T, float>(p, x, y, peaks));
  }
  run_groups(wide, pool, [](int64_t, const Parallel&) {});
}

}  // namespace neurn::NEURN_ISA
