// Deviations of every window of a region, from pixels in shared memory.
//
// As on the CPU, all sums are of differences to a pixel inside the window, in two steps. With k
// rows of a column: c = sum (x - ref), q = k sum (x - ref)^2 - c^2, k^2 times their variance. With
// k columns, relative to one of them: D_j = k (ref_j - ref) + c_j - c, and
//   V = k sum q_j + k sum D_j^2 - (sum D_j)^2 = k^4 sigma^2,
// exact where pixels are small integers. R windows side by side share a core of k - R + 1 rows (or
// columns), which holds the reference; a window adds only pixels of its own, so that a constant
// window gives exactly 0 and a NaN reaches its windows alone.
//
// Down the columns, lanes are columns; along the rows, lanes are rows: with an odd pitch, every
// lane finds a bank of its own.
#pragma once

#include "direct.cuh"

namespace neurn::cuda {

// Tells the compiler that an address of a function that is not inlined is in shared memory: it
// would otherwise use instructions for memory of any kind, with addresses of 64 bits.
template <class V>
NEURN_DEVICE V* in_shared(V* at) {
#if defined(__CUDACC__)
  __builtin_assume(__isShared(at));
#endif
  return at;
}

// Sums start here: x + -0 is x for every x, so that nothing is added; x + 0 is not, for x = -0.
template <class F>
constexpr F nothing = -F(0);

// Windows that a thread computes together; at most k.
constexpr int together(int k) { return k == 3 ? 2 : k == 5 || k == 7 ? 4 : 8; }

// Loads that a thread has under way; threads of a block; and blocks of that many threads that a
// processor's registers shall hold, which is what they are shared out by.
constexpr int loads_at_once = 5, most_threads = 256;
template <class T, int K>
constexpr int blocks_at_once() {
  return K == 0 || sizeof(T) == 8 ? 2 : 3;
}

// Windows first_row .. first_row + rows - 1, and the same of columns, of `step` channels.
struct Region {
  int rows, columns, step;
  int64_t sample, channel, first_row, first_column;
  int channels;
};

NEURN_DEVICE constexpr int odd(int count) { return count | 1; }

// What one team keeps of a region.
template <class F>
struct Moments {
  F* x;  // rows + k - 1 rows of pixels
  F* c;  // rows
  F* q;
  int pitch;

  static NEURN_DEVICE constexpr int pitch_of(int columns, int step, int k) {
    return odd((columns + k - 1) * step);
  }
};

// Rows x columns of `step` channels into shared memory: `down` and `along` say where each lies in
// the array; -1: zeros.
template <class T, class F>
NEURN_APART void load(const Array array, const Region region, const Line down, const Line along,
                      int rows, int columns, F* out, int pitch) {
  const Team own = team();
  const int elements = columns * region.step, warps = own.warps();
  const int inside_from = down.inside_from(rows), inside_to = down.inside_to(rows);
  const int64_t jump = warps * array.h;
  const T* origin =
      static_cast<const T*>(array.data) + region.sample * array.n + region.channel * array.c;
  out = in_shared(out);
  for (int e = own.lane(); e < elements; e += 32) {
    const int pixel = region.step == 1 ? e : e / region.step;
    const int channel = e - pixel * region.step;
    const int64_t column = along.at(pixel);
    const bool exists = column >= 0 && channel < region.channels;
    const T* in = origin + (exists ? column * array.w + channel * array.c : 0);
    F* to = out + e;
    auto fetch = [&](int r, const T* from) {
      if constexpr (sizeof(T) == sizeof(F)) {
        copy_to_shared(to + r * pitch, from);
      } else {
        to[r * pitch] = widen(*from);
      }
    };
    auto fetch_any = [&](int r) {
      const int64_t row = exists ? down.at(r) : -1;
      if (row >= 0) {
        fetch(r, in + row * array.h);
      } else {
        to[r * pitch] = F(0);
      }
    };
    int r = own.warp();
    if (exists) {
      for (; r < inside_from; r += warps) fetch_any(r);
      const T* from = in + (down.first + r) * array.h;
      if constexpr (sizeof(T) == sizeof(F)) {
        for (; r < inside_to; r += warps, from += jump) fetch(r, from);
      } else {
        for (int first = r; first < inside_to; first += loads_at_once * warps) {
          F values[loads_at_once];
          NEURN_UNROLL
          for (int i = 0; i < loads_at_once; ++i) {
            values[i] = first + i * warps < inside_to ? widen(from[i * jump]) : F(0);
          }
          NEURN_UNROLL
          for (int i = 0; i < loads_at_once; ++i) {
            if (first + i * warps < inside_to) to[(first + i * warps) * pitch] = values[i];
          }
          from += loads_at_once * jump;
        }
        while (r < inside_to) r += warps;
      }
    }
    for (; r < rows; r += warps) fetch_any(r);
  }
}

// The pixels that the windows of a region see.
template <class T, class F>
NEURN_DEVICE void load_pixels(const Problem& p, const Array& x, const Region& region, int k,
                              const Moments<F>& m) {
  const int64_t lead = lead_of(p.k, p.padding);
  load<T>(x, region, Line{region.first_row - lead, p.height, p.padding, true},
          Line{region.first_column - lead, p.width, p.padding, true}, region.rows + k - 1,
          region.columns + k - 1, m.x, m.pitch);
}

template <int K, class F>
NEURN_APART void column_moments(const Region region, int k, const Moments<F> m) {
  constexpr int R = together(K);
  if constexpr (K > 0) k = K;
  const Team own = team();
  const int elements = (region.columns + k - 1) * region.step, pitch = m.pitch;
  const F* const x = in_shared(m.x);
  F* const sums = in_shared(m.c);
  F* const deviations = in_shared(m.q);
  for (int group = own.warp(); group < region.rows / R; group += own.warps()) {
    for (int e = own.lane(); e < elements; e += 32) {
      const F* in = x + group * R * pitch + e;
      const F reference = in[(k + R - 2) / 2 * pitch];
      F sum = nothing<F>, squares = nothing<F>;
      NEURN_UNROLL
      for (int t = R - 1; t < k; ++t) {
        if (K > 0 && t == (k + R - 2) / 2) continue;  // reference - reference
        const F d = in[t * pitch] - reference;
        sum += d;
        squares += d * d;
      }
      F before[R], before_squares[R];
      before[R - 1] = before_squares[R - 1] = nothing<F>;
      NEURN_UNROLL
      for (int i = R - 2; i >= 0; --i) {
        const F d = in[i * pitch] - reference;
        before[i] = before[i + 1] + d;
        before_squares[i] = before_squares[i + 1] + d * d;
      }
      F after = nothing<F>, after_squares = nothing<F>;
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        if (i > 0) {
          const F d = in[(k - 1 + i) * pitch] - reference;
          after += d;
          after_squares += d * d;
        }
        const F c = sum + before[i] + after, square = squares + before_squares[i] + after_squares;
        F q = F(k) * square - c * c;
        if (Range<F>::guarded && square < Range<F>::least_square) {
          // Nothing, or squares that were lost: infinity sends the windows the slow way.
          bool differs = false;
          for (int t = 0; t < k; ++t) differs |= in[(i + t) * pitch] != reference;
          q = differs ? infinity<F>() : F(0);
        }
        sums[(group * R + i) * pitch + e] = c;
        deviations[(group * R + i) * pitch + e] = q;
      }
    }
  }
}

// Visits each window of the region that this thread has: visit(row, column, channel).
template <int R, class Visit>
NEURN_DEVICE void own_windows(const Region& region, Visit&& visit) {
  const Team own = team();
  const int groups = region.columns / R * region.step;
  for (int row = own.lane(); row < region.rows; row += 32) {
    for (int group = own.warp(); group < groups; group += own.warps()) {
      const int first = group / region.step, channel = group - first * region.step;
      NEURN_ROLLED
      for (int i = 0; i < R; ++i) visit(row, first * R + i, channel);
    }
  }
}

// The row (or column) of the pixels that holds what windows of this row (or column) are relative
// to: one that all of R windows side by side share.
template <int R>
NEURN_DEVICE constexpr int near_at(int k, int window) {
  return window / R * R + (k + R - 2) / 2;
}

// The pixel that window_moments takes for near.
template <int R, class F>
NEURN_DEVICE F near_pixel(const Moments<F>& m, int k, int row, int column, int step, int channel) {
  return m.x[near_at<R>(k, row) * m.pitch + near_at<R>(k, column) * step + channel];
}

// As window_moments, with a step that is known where it is 1: the offsets are constants then.
template <int K, int Step, class F, class Emit>
NEURN_DEVICE bool window_moments_of(const Region& region, int k, const Moments<F>& m, Emit&& emit) {
  constexpr int R = together(K);
  if constexpr (K > 0) k = K;
  const Team own = team();
  const int pitch = m.pitch, step = Step > 0 ? Step : region.step;
  const int groups = region.columns / R * step;
  const int middle = (k + R - 2) / 2;
  const F count = F(k), inverse = F(1) / F(k), per_pixel = F(1) / (F(k) * F(k));
  bool apart = false;
  for (int row = own.lane(); row < region.rows; row += 32) {
    for (int group = own.warp(); group < groups; group += own.warps()) {
      const int first = step == 1 ? group : group / step, channel = group - first * step;
      const int e = first * R * step + channel;
      const F* x = m.x + near_at<R>(k, row) * pitch + e;
      const F* c = m.c + row * pitch + e;
      const F* q = m.q + row * pitch + e;
      const F near = x[middle * step], c_near = c[middle * step];
      auto relative = [&](int t) { return count * (x[t * step] - near) + (c[t * step] - c_near); };
      F sum = nothing<F>, squares = nothing<F>, inner = nothing<F>;
      NEURN_UNROLL
      for (int t = R - 1; t < k; ++t) {
        inner += q[t * step];
        if (K > 0 && t == middle) continue;  // near - near
        const F d = relative(t);
        sum += d;
        squares += d * d;
      }
      F before[R], before_squares[R], before_inner[R];
      before[R - 1] = before_squares[R - 1] = before_inner[R - 1] = nothing<F>;
      NEURN_UNROLL
      for (int i = R - 2; i >= 0; --i) {
        const F d = relative(i);
        before[i] = before[i + 1] + d;
        before_squares[i] = before_squares[i + 1] + d * d;
        before_inner[i] = before_inner[i + 1] + q[i * step];
      }
      F after = nothing<F>, after_squares = nothing<F>, after_inner = nothing<F>;
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        if (i > 0) {
          const F d = relative(k - 1 + i);
          after += d;
          after_squares += d * d;
          after_inner += q[(k - 1 + i) * step];
        }
        const F d = sum + before[i] + after, d2 = squares + before_squares[i] + after_squares;
        const F variance = count * (inner + before_inner[i] + after_inner) + (count * d2 - d * d);
        F sigma = square_root(variance) * per_pixel;
        if (!(variance >= Range<F>::low && variance < Range<F>::high)) {
          if constexpr (Range<F>::guarded) {
            bool constant = variance == F(0);
            for (int t = 0; constant && t < k; ++t) constant = relative(i + t) == F(0);
            sigma = constant ? F(0) : F(-1);
            apart = apart || !constant;
          } else {
            sigma = variance < Range<F>::high ? F(0) : not_a_number<F>();
          }
        }
        emit(row, first * R + i, channel, sigma, near, (c_near + d * inverse) * inverse);
      }
    }
  }
  return apart;
}

// emit(row, column, channel, sigma, near, shift) for every window of the region, its mean being
// near + shift. What F cannot hold is emitted as -1, and the result is true: own_windows finds
// such windows again, out of the way of the others.
template <int K, class F, class Emit>
NEURN_DEVICE bool window_moments(const Region& region, int k, const Moments<F>& m, Emit&& emit) {
  return region.step == 1 ? window_moments_of<K, 1>(region, k, m, emit)
                          : window_moments_of<K, 0>(region, k, m, emit);
}

}  // namespace neurn::cuda
