// dL/dx = sum over the patches p around x of a_p (x - mean_p), with a_p = grad_p / (k^2 sigma_p D)
// and D = max sigma + floor; and, for the patch that is the maximum, - (sum grad sigma) / D^2 more.
//
// a and a * mean are spread back by window sums again: the adjoint of padding and window. A pixel
// gathers from its window, from windows that reach it through the padding, and writes once.
#pragma once

#include "backward_rows.h"
#include "backward_sweep.h"
#include "short_backward.h"

namespace neurn::NEURN_ISA {

template <class T>
class Backward {
 public:
  Backward(const Problem& p, const Array& grad, const Array& x, const Peaks& peaks, const Array& dx)
      : p_(p), grad_(grad), x_(x), peaks_(peaks), dx_(dx), blocks_(p, x, dx) {}

  void run(const Parallel& pool) {
#if defined(__AVX512F__)
    if constexpr (Same<T, float>::value) {
      auto took = [&]<int K, int V>() {
        if (!ShortBackward<K, V>::takes(p_, x_, dx_)) return false;
        run_with<ShortBackward<K, V>>(pool);
        return true;
      };
      if (some_short_row(took)) return;
    }
#endif
    if constexpr (!Same<T, double>::value) {
      if (p_.k == 3) return run_with<BackwardRows<T, float, 3>>(pool);
      if (p_.k == 5 && p_.width > 64) return run_with<BackwardRows<T, float, 5>>(pool);
      // Rows must be long to be worth work that grows with k.
      if (p_.k == 7 && p_.width > 64) return run_with<BackwardRows<T, float, 7>>(pool);
      if (p_.k == 9 && p_.width > 64) return run_with<BackwardRows<T, float, 9>>(pool);
    }
    run_with<BackwardSweep<T, float>>(pool);
  }

 private:
  // `Narrow` sweeps in float what float can hold.
  template <class Narrow>
  void run_with(const Parallel& pool) {
    Scratch<double> row_sums(p_.samples * p_.channels * p_.out_height);
    const int64_t units = p_.samples * blocks_.count;
    // The cut into parts follows the image alone, so that any number of threads gives the same
    // bits.
    const int64_t rows = Simd<double>::lanes * 8;
    const int64_t parts = units >= 4 * pool.threads ? 1 : (p_.height + rows - 1) / rows;
    Scratch<int> wide(units);
    for (int64_t unit = 0; unit < units; ++unit) wide[unit] = !in_float(unit);
    parallel(pool, units * parts, [&](int64_t begin, int64_t end) {
      Worker<float, Narrow> worker(*this);
      for (int64_t job = begin; job < end; ++job) {
        const int64_t from = job % parts * rows, unit = job / parts;
        if (__atomic_load_n(&wide[unit], __ATOMIC_RELAXED)) continue;
        if (!worker.run(unit, parts == 1 ? 0 : from, parts == 1 ? p_.height : from + rows,
                        row_sums.data())) {
          __atomic_store_n(&wide[unit], 1, __ATOMIC_RELAXED);
        }
      }
    });
    parallel(pool, units, [&](int64_t begin, int64_t end) {
      bool any = false;
      for (int64_t unit = begin; unit < end; ++unit) any |= wide[unit] != 0;
      if (!any) return;
      Worker<double, BackwardSweep<T, double>> worker(*this);
      for (int64_t unit = begin; unit < end; ++unit) {
        if (wide[unit]) worker.run(unit, 0, p_.height, row_sums.data());
      }
    });
    if (p_.scope == Scope::none) return;
    Scratch<Peak> peaks(p_.scopes());
    parallel(pool, p_.scopes(), [&](int64_t begin, int64_t end) {
      for (int64_t scope = begin; scope < end; ++scope) {
        peaks[scope] = find_peak(scope, row_sums.data());
        if (!rounds_once && peaks[scope].plane >= 0) add_peak(peaks[scope]);
      }
    });
    if (!rounds_once) return;
    parallel(pool, units, [&](int64_t begin, int64_t end) {
      Worker<float, Narrow> narrow(*this);
      Worker<double, BackwardSweep<T, double>> exact(*this);
      for (int64_t unit = begin; unit < end; ++unit) {
        if (wide[unit]) {
          repeat_with_peaks(exact, unit, peaks.data());
        } else {
          repeat_with_peaks(narrow, unit, peaks.data());
        }
      }
    });
  }

  // Adding to what was rounded to half precision would round twice: rows that see a maximum are
  // computed again instead.
  static constexpr bool rounds_once = sizeof(T) == 2;

  struct Peak {
    int64_t plane;  // sample * channels + channel; -1: none
    int64_t row, column;
    double share;  // of the gradient with respect to this output: - sum grad sigma / D
  };

  template <class F, class Sweep>
  struct Worker {
    const Backward& call;
    Sweep sweep;
    Scratch<F> scales;

    explicit Worker(const Backward& b) : call(b), sweep(b.p_, b.blocks_), scales(b.blocks_.width) {}

    // Rows [from, to) of a unit's gradient.
    bool run(int64_t unit, int64_t from, int64_t to, double* row_sums,
             const Share* shares = nullptr, int64_t count = 0) {
      constexpr int64_t N = Simd<F>::lanes;
      const int64_t plane = call.first_plane(unit);
      for (int64_t c = 0; c < call.blocks_.step(unit % call.blocks_.count); ++c) {
        scales[c] = static_cast<F>(call.scale(plane + c));
      }
      if (to > call.p_.height) to = call.p_.height;
      return sweep.run(
          call.grad_, call.x_, call.dx_, unit, from / N, (to + N - 1) / N, scales.data(),
          row_sums == nullptr ? nullptr : row_sums + plane * call.p_.out_height, shares, count);
    }
  };

  int64_t first_plane(int64_t unit) const {
    return unit / blocks_.count * p_.channels + blocks_.first_channel(unit % blocks_.count);
  }

  // Whether float keeps k x k squares' digits and holds the scale; else the unit takes double.
  bool in_float(int64_t unit) const {
    if (Same<T, double>::value || p_.k > 31) return false;
    for (int64_t c = 0; c < blocks_.step(unit % blocks_.count); ++c) {
      const double size = scale(first_plane(unit) + c);
      if (size != 0 && !(size > 1e-15 && size < 1e15)) return false;
    }
    return true;
  }

  double peak(int64_t slot) const {
    return p_.dtype == DType::float64 ? static_cast<const double*>(peaks_.value)[slot]
                                      : static_cast<const float*>(peaks_.value)[slot];
  }

  // 1 / D of a plane (sample * channels + channel), 0 where nothing deviates.
  double scale(int64_t plane) const {
    if (p_.scope == Scope::none) return 1;
    const double top = peak(p_.scope == Scope::channel ? plane
                            : p_.scope == Scope::image ? plane / p_.channels
                                                       : 0);
    return top == 0 ? 0 : 1 / (top + p_.floor);
  }

  // The maximum is one patch's deviation: its pixels move the whole scope.
  Peak find_peak(int64_t scope, const double* row_sums) const {
    const double top = peak(scope);
    int64_t index = peaks_.index[scope];
    if (index < 0 || !(top > 0)) return {-1, 0, 0, 0};
    const int64_t planes = p_.scope == Scope::image     ? p_.channels
                           : p_.scope == Scope::channel ? 1
                                                        : p_.samples * p_.channels;
    const int64_t first = scope * planes;
    // Several chains, which the processor runs side by side.
    double sums[4] = {};
    const double* const rows = row_sums + first * p_.out_height;
    for (int64_t i = 0; i < planes * p_.out_height; ++i) sums[i % 4] += rows[i];
    const double total = (sums[0] + sums[1]) + (sums[2] + sums[3]);
    const int64_t column = index % p_.out_width;
    index /= p_.out_width;
    return {first + index / p_.out_height, index % p_.out_height, column,
            -total / double(p_.k) / (top + p_.floor)};
  }

  template <class Worker>
  void repeat_with_peaks(Worker& worker, int64_t unit, const Peak* peaks) const {
    const int64_t first = first_plane(unit), step = blocks_.step(unit % blocks_.count);
    const int64_t margin = backward_margin(p_.k, p_.padding);
    Share shares[16];
    int64_t count = 0, from = p_.height, to = 0;
    for (int64_t c = 0; c < step; ++c) {
      const Peak& found = peaks[p_.scope == Scope::channel ? first + c
                                : p_.scope == Scope::image ? unit / blocks_.count
                                                           : 0];
      if (found.plane != first + c) continue;
      shares[count++] = {found.row, found.column, c, found.share};
      for (int64_t v = found.row + margin; v < found.row + margin + p_.k; ++v) {
        const int64_t row = p_.rows.source[v];
        if (row >= 0 && row < from) from = row;
        if (row >= to) to = row + 1;
      }
    }
    if (count > 0 && from < to) worker.run(unit, from, to, nullptr, shares, count);
  }

  // How often a patch shows each of the source positions from `from` on.
  struct Times {
    int64_t from, count;
    double* times;  // room for the axis

    Times(const Axis& axis, int64_t first, int64_t k, double* room)
        : from(axis.size), count(0), times(room) {
      int64_t to = 0;
      for (int64_t v = first; v < first + k; ++v) {
        const int64_t source = axis.source[v];
        if (source < 0) continue;
        from = source < from ? source : from;
        to = source < to ? to : source + 1;
      }
      count = to > from ? to - from : 0;
      memset(times, 0, count * sizeof(double));
      for (int64_t v = first; v < first + k; ++v) {
        if (axis.source[v] >= 0) times[axis.source[v] - from] += 1;
      }
    }
    double total() {
      double sum = 0;
      for (int64_t i = 0; i < count; ++i) sum += times[i];
      return sum;
    }
  };

  void add_peak(const Peak& found) const {
    const int64_t margin = backward_margin(p_.k, p_.padding);
    const int64_t sample = found.plane / p_.channels, channel = found.plane % p_.channels;
    const int64_t width = p_.columns.size;
    Scratch<double> room(p_.rows.size + 4 * width);
    double *row = room.data(), *sums = row + width, *squares = sums + width;
    Times rows(p_.rows, found.row + margin, p_.k, squares + 2 * width);
    Times columns(p_.columns, found.column + margin, p_.k, squares + width);
    const T* x = static_cast<const T*>(x_.data) + sample * x_.n + channel * x_.c +
                 rows.from * x_.h + columns.from * x_.w;
    T* dx = static_cast<T*>(dx_.data) + sample * dx_.n + channel * dx_.c + rows.from * dx_.h +
            columns.from * dx_.w;
    // visit(row of the patch, how often it shows, row of dx), once for every row.
    auto each_row = [&](auto&& visit) {
      for (int64_t i = 0; i < rows.count; ++i) {
        if (rows.times[i] == 0) continue;
        read_run(x + i * x_.h, x_.w, columns.count, row);
        visit(row, rows.times[i], dx + i * dx_.h);
      }
    };
    // All relative to a pixel of the patch; what is left of n are the zeros of the padding.
    const double n = double(p_.k) * double(p_.k), origin = widen(*x);
    double sum = -origin * (n - rows.total() * columns.total()), square = -origin * sum;
    memset(sums, 0, 2 * width * sizeof(double));
    each_row([&, sum_of = sums, square_of = squares](const double* value, double times, T*) {
      for (int64_t j = 0; j < columns.count; ++j) {
        const double d = value[j] - origin;
        sum_of[j] += times * d;
        square_of[j] += times * d * d;
      }
    });
    for (int64_t j = 0; j < columns.count; ++j) {
      sum += columns.times[j] * sums[j];
      square += columns.times[j] * squares[j];
    }
    const double mean = origin + sum / n, variance = (square - sum * sum / n) / n;
    const double factor = found.share * scale(found.plane) / (n * __builtin_sqrt(variance));
    each_row([&](const double* value, double times, T* target) {
      for (int64_t j = 0; j < columns.count; ++j) {
        T& at = target[j * dx_.w];
        const double part = times * columns.times[j] * factor * (value[j] - mean);
        at = Narrow<T>::from(double(widen(at)) + part);
      }
    });
  }

  const Problem& p_;
  const Array& grad_;
  const Array& x_;
  const Peaks& peaks_;
  const Array& dx_;
  const Blocks blocks_;
};

template <class T>
inline void backward(const Problem& p, const Array& grad, const Array& x, const Peaks& peaks,
                     const Array& dx, const Parallel& pool) {
  Backward<T>(p, grad, x, peaks, dx).run(pool);
}

}  // namespace neurn::NEURN_ISA
