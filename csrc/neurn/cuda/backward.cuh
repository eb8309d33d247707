// dL/dx = sum over the patches p around x of a_p (x - mean_p) / D, with a_p = grad_p / (k^2
// sigma_p) and D = max sigma + floor; and the share of the patch that is the maximum (share.cuh).
//
// A tile of pixels computes a and a mean of all patches around it and gathers: sums along the rows,
// then down the columns, by the adjoint of window and padding. x and grad are read once, dx is
// written once. Where a tile is a whole scope, the share goes into a itself.
#pragma once

#include "moments.cuh"
#include "share.cuh"

namespace neurn::cuda {

struct BackwardCall {
  Problem p;
  Array grad, x, dx;
  PeakView peaks;
  Tiling tiling;
  int64_t tiles;     // of all samples
  bool whole;        // each tile is a scope
  double* partial;   // of each tile: sum of grad sigma (not whole)
  float* unrounded;  // as ShareCall::unrounded (not whole, half precision)
};

template <class F>
struct BackwardShared {
  static constexpr int header = 32 * sizeof(double) + 8 * sizeof(double);

  static constexpr int rounded(int count, int multiple) {
    return (count + multiple - 1) / multiple * multiple;
  }
  static constexpr int64_t team_bytes(const Tiling& t, int k, int R) {
    const int64_t rows = rounded(t.rows + k - 1, R), columns = rounded(t.columns + k - 1, R);
    const int64_t pitch = (columns + k - 1) * t.step | 1, window_pitch = columns * t.step | 1;
    return (pitch * (rows + k - 1) + 2 * pitch * rows + 2 * window_pitch * rows) *
           int64_t{sizeof(F)};
  }
};

// For R pixels side by side, the sum over the k windows t = i .. i + k - 1 of each:
//   sum_a[i] = sum a(t) and sum_b[i] = sum b(t) + a(t) (pixel(i) - near(t)).
// What they share is added once, relative to a pixel that all windows of the share hold: however
// far apart pixels of the tile are, no term is larger than its window's own gradient makes it.
template <int R, class F, class A, class B, class Near, class Pixel>
NEURN_DEVICE void gather(int k, A&& a, B&& b, Near&& near, Pixel&& pixel, F* sum_a, F* sum_b) {
  const F first = pixel(0), last = pixel(R - 1);
  F core_a = 0, core_b = 0;
  NEURN_UNROLL
  for (int t = R - 1; t < k; ++t) {
    const F weight = a(t);
    core_a += weight;
    core_b += b(t) + weight * (first - near(t));
  }
  F before_a[R], before_b[R];
  before_a[R - 1] = before_b[R - 1] = 0;
  NEURN_UNROLL
  for (int i = R - 2; i >= 0; --i) {
    const F weight = a(i);
    before_a[i] = before_a[i + 1] + weight;
    before_b[i] = before_b[i + 1] + (b(i) + weight * (first - near(i)));
  }
  F after_a = 0, after_b = 0;
  NEURN_UNROLL
  for (int i = 0; i < R; ++i) {
    const F held = core_a + before_a[i], here = pixel(i);
    F moved = core_b + before_b[i] + held * (here - first);
    if (i > 0) {
      const int t = k - 1 + i;
      const F weight = a(t);
      after_a += weight;
      after_b += b(t) + weight * (last - near(t));
      moved += after_b + after_a * (here - last);
    }
    sum_a[i] = held + after_a;
    sum_b[i] = moved;
  }
}

// What windows give to their pixels: a, in the place of the incoming gradient, and
// b = a (near - mean), near being the pixel that window_moments takes.
template <class F>
struct Spread {
  F *a, *b;
  int pitch;
  PeakPatch patch;
  double* peak_mean;  // of the patch that is the maximum, where a tile is a scope
  bool whole;

  // In b: that a still holds the gradient.
  static NEURN_DEVICE F marked() { return -infinity<F>(); }

  // Returns grad sigma, where the tile is the one to count the window: that which holds the pixel
  // of the same place.
  NEURN_DEVICE double window(const Problem& p, const Tiling& tiling, const Tile& tile, int row,
                             int column, int channel, F sigma, F near, F shift) const {
    const int at = row * pitch + column * tiling.step + channel;
    const F grad = a[at];
    const F weight = sigma == F(0) ? F(0) : grad / sigma / (F(p.k) * F(p.k));
    a[at] = weight;
    b[at] = -(weight * shift);
    const int64_t first = first_window(p.k, p.padding);
    const int64_t i = row + first, j = column + first;  // in the tile
    if (i < 0 || i >= tiling.rows || tile.row + i >= p.out_height || j < 0 || j >= tiling.columns ||
        tile.column + j >= p.out_width || sigma == F(0)) {
      return 0;
    }
    if (whole && tile.row + i == patch.row && tile.column + j == patch.column) {
      *peak_mean = static_cast<double>(near) + static_cast<double>(shift);
    }
    return static_cast<double>(grad * sigma);
  }
};

// Windows of this thread that are marked in b.
template <class T, int K, class F>
NEURN_APART double backward_apart(const BackwardCall& call, const Tile tile, const Region region,
                                  const Spread<F> spread, const Moments<F> m) {
  const Problem& p = call.p;
  const int step = region.step, k = static_cast<int>(p.k);
  double moved = 0;
  own_windows<together(K)>(region, [&](int row, int column, int channel) {
    if (spread.b[row * spread.pitch + column * step + channel] != Spread<F>::marked()) return;
    const WindowStats stats =
        direct_window<T>(p, call.x, tile.sample, tile.channel + channel,
                         window_at(region.first_row + row, p.out_height, p.padding),
                         window_at(region.first_column + column, p.out_width, p.padding));
    const F near = near_pixel<together(K)>(m, k, row, column, step, channel);
    moved += spread.window(p, call.tiling, tile, row, column, channel, static_cast<F>(stats.sigma),
                           near, static_cast<F>(stats.mean - static_cast<double>(near)));
  });
  return moved;
}

template <class T, int K>
__global__ void __launch_bounds__(most_threads, blocks_at_once<T, K>())
    backward_tiles(const __grid_constant__ BackwardCall call) {
  using F = typename Compute<T>::Type;
  using Shared = BackwardShared<F>;
  constexpr int R = together(K);
  const Problem& p = call.p;
  const Tiling& tiling = call.tiling;
  const Team own = team();
  const int k = K > 0 ? K : static_cast<int>(p.k), step = tiling.step;
  const int group = static_cast<int>(threadIdx.y), groups = static_cast<int>(blockDim.y);
  const int64_t number = static_cast<int64_t>(blockIdx.x) * groups + group;
  if (number >= call.tiles) return;
  const Tile tile = tile_at(p, tiling, number);
  const Region region{Shared::rounded(tiling.rows + k - 1, R),
                      Shared::rounded(tiling.columns + k - 1, R),
                      step,
                      tile.sample,
                      tile.channel,
                      tile.row + first_window(k, p.padding),
                      tile.column + first_window(k, p.padding),
                      tile.channels};
  double* sums = reinterpret_cast<double*>(shared_memory()) + group * own.warps();
  // The mean of the patch that is the maximum (whole).
  double* peak_mean = reinterpret_cast<double*>(shared_memory()) + 32 + group;
  Moments<F> m;
  m.pitch = Moments<F>::pitch_of(region.columns, step, k);
  m.x = reinterpret_cast<F*>(shared_memory() + Shared::header +
                             group * Shared::team_bytes(tiling, k, R));
  m.c = m.x + m.pitch * (region.rows + k - 1);
  m.q = m.c + m.pitch * region.rows;
  const int window_pitch = odd(region.columns * step);
  F* a = m.q + m.pitch * region.rows;  // grad, then a
  F* b = a + window_pitch * region.rows;

  auto window_row = [first = region.first_row, windows = p.out_height, padding = p.padding](
                        int row) { return window_at(first + row, windows, padding); };
  auto window_column = [first = region.first_column, windows = p.out_width, padding = p.padding](
                           int column) { return window_at(first + column, windows, padding); };
  load_pixels<T>(p, call.x, region, k, m);
  load<T>(call.grad, region, region.rows, region.columns, a, window_pitch, window_row,
          window_column);
  copies_done();
  team_barrier();
  column_moments<K>(region, k, m);
  team_barrier();

  const int64_t scope = scope_of(p, tile.sample, tile.channel);
  const PeakPatch patch = peak_patch<F>(p, call.peaks, scope);
  const Spread<F> spread{a, b, window_pitch, patch, peak_mean, call.whole};
  double moved = 0;
  const bool apart = window_moments<K>(
      region, k, m, [&](int row, int column, int channel, F sigma, F near, F shift) {
        const int at = row * window_pitch + column * step + channel;
        if (window_row(row) < 0 || window_column(column) < 0 || channel >= tile.channels) {
          a[at] = b[at] = F(0);
        } else if (sigma == F(-1)) {
          b[at] = Spread<F>::marked();
        } else {
          moved += spread.window(p, tiling, tile, row, column, channel, sigma, near, shift);
        }
      });
  if (apart) moved += backward_apart<T, K>(call, tile, region, spread, m);

  if (p.scope != Scope::none) {
    for (int offset = 16; offset > 0; offset /= 2) moved += shuffle_down(moved, offset);
    if (own.lane() == 0) sums[own.warp()] = moved;
    team_barrier();
    double total = 0;
    for (int i = 0; i < own.warps(); ++i) total += sums[i];
    if (!call.whole) {
      if (own.thread == 0) call.partial[number] = total;
    } else if (patch.exists) {
      const double top = static_cast<double>(call.peaks.top<F>(scope));
      const double count = static_cast<double>(p.k) * static_cast<double>(p.k);
      const F share = static_cast<F>(-total / (top + p.floor) / (count * top));
      // Circular padding shows a window in several places.
      for (int row = own.thread; row < region.rows; row += own.threads) {
        if (window_row(row) != patch.row) continue;
        for (int column = 0; column < region.columns; ++column) {
          if (window_column(column) != patch.column) continue;
          a[row * window_pitch + column] += share;
          const double near = near_pixel<R>(m, k, row, column, 1, 0);
          b[row * window_pitch + column] += share * static_cast<F>(near - *peak_mean);
        }
      }
    }
  }
  team_barrier();

  // What each pixel of a tile's columns gathers from one row of windows, relative to the pixel of
  // its column in the row that holds near.
  F* row_a = m.c;
  F* row_b = m.q;
  const int pitch = odd(tiling.columns * step), window_rows = tiling.rows + k - 1;
  for (int row = own.lane(); row < window_rows; row += 32) {
    for (int run = own.warp(); run < tiling.columns / R * step; run += own.warps()) {
      const int first = step == 1 ? run : run / step, channel = run - first * step;
      const F* in_a = a + row * window_pitch + first * R * step + channel;
      const F* in_b = b + row * window_pitch + first * R * step + channel;
      // The first window's first pixel, in the row of near.
      const F* x = m.x + near_at<R>(k, row) * m.pitch + first * R * step + channel;
      F sums_a[R], sums_b[R];
      auto pixel = [&](int i) { return x[(k - 1 + i) * step]; };
      auto near = [&](int t) { return x[near_at<R>(k, t) * step]; };
      gather<R>(
          k, [&](int t) { return in_a[t * step]; }, [&](int t) { return in_b[t * step]; }, near,
          pixel, sums_a, sums_b);
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        const int64_t v = tile.column + first * R + i;
        if (v < p.width && sees_padding(v, p.width, k, p.padding)) {
          visit_through_padding(v, p.width, k, p.padding, [&](int64_t window, int64_t times) {
            const int t = static_cast<int>(window - region.first_column) - first * R;
            const F weight = in_a[t * step] * F(times);
            sums_a[i] += weight;
            sums_b[i] += in_b[t * step] * F(times) + weight * (pixel(i) - near(t));
          });
        }
        const int at = row * pitch + (first * R + i) * step + channel;
        row_a[at] = sums_a[i];
        row_b[at] = sums_b[i];
      }
    }
  }
  team_barrier();

  // And from all rows of windows.
  F divisor = F(1);
  if (p.scope != Scope::none) divisor = divisor_of(call.peaks.top<F>(scope), p.floor);
  T* out = static_cast<T*>(call.dx.data) + tile.sample * call.dx.n + tile.channel * call.dx.c;
  const bool keeps = sizeof(T) == 2 && !call.whole && patch.exists && patch.sample == tile.sample &&
                     patch.channel >= tile.channel && patch.channel < tile.channel + tile.channels;
  for (int run = own.warp(); run < tiling.rows / R; run += own.warps()) {
    for (int e = own.lane(); e < tiling.columns * step; e += 32) {
      const int pixel = step == 1 ? e : e / step, channel = e - pixel * step;
      const int64_t v = tile.column + pixel;
      if (v >= p.width || channel >= tile.channels) continue;
      const F* in_a = row_a + run * R * pitch + e;
      const F* in_b = row_b + run * R * pitch + e;
      // The column of the pixel, from the first row of the first window.
      const F* x = m.x + run * R * m.pitch + (k - 1) * step + e;
      F sums_a[R], sums_b[R];
      auto near = [&](int t) { return x[near_at<R>(k, t) * m.pitch]; };
      auto own_pixel = [&](int i) { return x[(k - 1 + i) * m.pitch]; };
      gather<R>(
          k, [&](int t) { return in_a[t * pitch]; }, [&](int t) { return in_b[t * pitch]; }, near,
          own_pixel, sums_a, sums_b);
      NEURN_UNROLL
      for (int i = 0; i < R; ++i) {
        const int row = run * R + i;
        const int64_t u = tile.row + row;
        if (u >= p.height) continue;
        if (sees_padding(u, p.height, k, p.padding)) {
          visit_through_padding(u, p.height, k, p.padding, [&](int64_t window, int64_t times) {
            const int t = static_cast<int>(window - region.first_row) - run * R;
            sums_b[i] += (in_b[t * pitch] + in_a[t * pitch] * (own_pixel(i) - near(t))) * F(times);
          });
        }
        const F value = normalized(sums_b[i], divisor);
        assign(out[u * call.dx.h + v * call.dx.w + channel * call.dx.c], value);
        if constexpr (sizeof(T) == 2) {
          if (keeps && tile.channel + channel == patch.channel) {
            const int64_t at = position_in_patch(patch.row, u, p.height, k, p.padding);
            const int64_t to =
                at < 0 ? -1 : position_in_patch(patch.column, v, p.width, k, p.padding);
            if (to >= 0) call.unrounded[(scope * k + at) * k + to] = value;
          }
        }
      }
    }
  }
}

}  // namespace neurn::cuda
