// y = sigma / (max sigma + floor). Where the deviations of a scope fit in the shared memory of a
// team of threads, a block or a cluster of blocks, they wait there for the maximum: x is read once
// and y written once. Else one pass finds the maxima and another computes again and writes.
#pragma once

#include "moments.cuh"
#include "peak.cuh"

namespace neurn::cuda {

enum class ForwardPass { peaks, write, resident };
enum class Holder { team, block };  // of a scope: a block may be one of a cluster

struct ForwardCall {
  Problem p;
  Array x, y;
  Peaks peaks;
  Tiling tiling;
  ForwardPass pass;
  Holder holder;
  int64_t tiles;      // of all samples
  int64_t per_scope;  // tiles of a scope
  int cluster;        // blocks that hold a scope
  int slots;          // tiles of deviations that a holder keeps
  Peak* partial;      // of each tile (peaks)
};

template <class F>
struct ForwardShared {
  static constexpr int warps = 32, header = (warps + 1 + max_cluster) * sizeof(Peak);

  // Bytes of a team's pixels and column moments (resident: and of the next tile's pixels), and of
  // a tile of deviations.
  static constexpr int64_t team_bytes(const Tiling& t, int k, bool resident) {
    const int64_t pitch = (t.columns + k - 1) * t.step | 1, pixels = pitch * (t.rows + k - 1);
    return (pixels * (resident ? 2 : 1) + 2 * pitch * t.rows) * int64_t{sizeof(F)};
  }
  static constexpr int64_t slot_bytes(const Tiling& t) {
    return int64_t{t.rows} * (t.columns * t.step | 1) * int64_t{sizeof(F)};
  }
};

NEURN_DEVICE Region region_of(const Tiling& tiling, const Tile& tile) {
  return {tiling.rows,  tiling.columns, tiling.step, tile.sample,
          tile.channel, tile.row,       tile.column, tile.channels};
}

NEURN_DEVICE bool exists(const Problem& p, const Tile& tile, int row, int column, int channel) {
  return tile.row + row < p.out_height && tile.column + column < p.out_width &&
         channel < tile.channels;
}

template <class F>
NEURN_DEVICE void consider(const Problem& p, const Tile& tile, int row, int column, int channel,
                           F sigma, Peak& best) {
  using Bits = typename Range<F>::Bits;
  const uint64_t bits = peak_bits(sigma);
  if (static_cast<Bits>(bits) < static_cast<Bits>(best.bits) ||
      !exists(p, tile, row, column, channel))
    return;
  best = larger(best, {bits, scope_index(p, tile.sample, tile.channel + channel, tile.row + row,
                                         tile.column + column)});
}

// Windows of this thread that are marked in `kept`.
template <class T, int K, class F>
NEURN_APART Peak forward_apart(const ForwardCall& call, const Tile tile, F* kept, Peak best) {
  const Problem& p = call.p;
  const Tiling& tiling = call.tiling;
  const int pitch = odd(tiling.columns * tiling.step);
  own_windows<together(K)>(region_of(tiling, tile), [&](int row, int column, int channel) {
    F& sigma = kept[row * pitch + column * tiling.step + channel];
    if (sigma != F(-1) || !exists(p, tile, row, column, channel)) return;
    sigma = static_cast<F>(direct_window<T>(p, call.x, tile.sample, tile.channel + channel,
                                            tile.row + row, tile.column + column)
                               .sigma);
    consider(p, tile, row, column, channel, sigma, best);
  });
  return best;
}

template <class T, class F>
NEURN_DEVICE void load_tile(const ForwardCall& call, const Tile& tile, const Moments<F>& m) {
  load_pixels<T>(call.p, call.x, region_of(call.tiling, tile), static_cast<int>(call.p.k), m);
}

// Deviations of a tile, whose pixels are there for all threads, into `kept`, and the largest of
// this thread. The same instructions in every pass: a result does not depend on which one there is
// room for.
template <class T, int K, class F>
NEURN_APART Peak forward_tile(const ForwardCall& call, const Tile tile, Moments<F> m, F* kept,
                              Peak best) {
  m = {in_shared(m.x), in_shared(m.c), in_shared(m.q), m.pitch};
  kept = in_shared(kept);
  const Problem& p = call.p;
  const int k = K > 0 ? K : static_cast<int>(p.k), step = call.tiling.step;
  const int pitch = odd(call.tiling.columns * step);
  const Region region = region_of(call.tiling, tile);
  column_moments<K>(region, k, m);
  team_barrier();
  const bool seeks = call.pass != ForwardPass::write;
  const bool apart =
      window_moments<K>(region, k, m, [&](int row, int column, int channel, F sigma, F, F) {
        kept[row * pitch + column * step + channel] = sigma;
        if (seeks && sigma != F(-1)) consider(p, tile, row, column, channel, sigma, best);
      });
  return apart ? forward_apart<T, K>(call, tile, kept, best) : best;
}

template <class T, class F>
NEURN_APART void write_tile(const ForwardCall& call, const Tile tile, const F* kept, F divisor) {
  const Problem& p = call.p;
  const Tiling& tiling = call.tiling;
  const Team own = team();
  const int64_t down = p.out_height - tile.row, across = p.out_width - tile.column;
  const int rows = static_cast<int>(down < tiling.rows ? down : tiling.rows);
  const int columns = static_cast<int>(across < tiling.columns ? across : tiling.columns);
  const int elements = columns * tiling.step, pitch = odd(tiling.columns * tiling.step);
  T* out = static_cast<T*>(call.y.data) + tile.sample * call.y.n + tile.channel * call.y.c +
           tile.row * call.y.h + tile.column * call.y.w;
  const bool as_is = p.scope == Scope::none;
  const int64_t jump = own.warps() * call.y.h;
  kept = in_shared(kept);
  for (int e = own.lane(); e < elements; e += 32) {
    const int pixel = tiling.step == 1 ? e : e / tiling.step, channel = e - pixel * tiling.step;
    if (channel >= tile.channels) continue;
    T* to = out + pixel * call.y.w + channel * call.y.c + own.warp() * call.y.h;
    for (int row = own.warp(); row < rows; row += own.warps(), to += jump) {
      const F sigma = kept[row * pitch + e];
      assign(*to, as_is ? sigma : normalized(sigma, divisor));
    }
  }
}

template <class T, int K>
__global__ void __launch_bounds__(most_threads, blocks_at_once<T, K>())
    forward_tiles(const __grid_constant__ ForwardCall call) {
  using F = typename Compute<T>::Type;
  using Shared = ForwardShared<F>;
  const Tiling& tiling = call.tiling;
  const Team own = team();
  const int k = K > 0 ? K : static_cast<int>(call.p.k);
  const int group = static_cast<int>(threadIdx.y), groups = static_cast<int>(blockDim.y);
  Peak* peaks = reinterpret_cast<Peak*>(shared_memory());
  Peak* team_peaks = peaks + group * own.warps();
  unsigned char* after = shared_memory() + Shared::header;
  Moments<F> m;
  m.pitch = Moments<F>::pitch_of(tiling.columns, tiling.step, k);
  const bool resident = call.pass == ForwardPass::resident;
  const int64_t team_bytes = Shared::team_bytes(tiling, k, resident);
  m.x = reinterpret_cast<F*>(after + group * team_bytes);
  m.c = m.x + m.pitch * (tiling.rows + k - 1);
  m.q = m.c + m.pitch * tiling.rows;
  F* kept = reinterpret_cast<F*>(after + groups * team_bytes);
  const int64_t slot = Shared::slot_bytes(tiling) / int64_t{sizeof(F)};
  Peak best = no_peak();

  if (!resident) {
    const int64_t number = static_cast<int64_t>(blockIdx.x) * groups + group;
    if (number >= call.tiles) return;
    const Tile tile = tile_at(call.p, tiling, number);
    load_tile<T>(call, tile, m);
    copies_done();
    team_barrier();
    best = forward_tile<T, K>(call, tile, m, kept + group * slot, best);
    if (call.pass == ForwardPass::peaks) {
      best = warp_peak(best);
      if (own.lane() == 0) team_peaks[own.warp()] = best;
      team_barrier();
      if (own.thread == 0) call.partial[number] = largest(team_peaks, own.warps());
      return;
    }
    F divisor = F(1);
    if (call.p.scope != Scope::none) {
      const F* top = static_cast<const F*>(call.peaks.value);
      divisor = divisor_of(top[scope_of(call.p, tile.sample, tile.channel)], call.p.floor);
    }
    team_barrier();
    write_tile<T>(call, tile, kept + group * slot, divisor);
    return;
  }

  const bool shares = call.holder == Holder::block;
  const int64_t scope = shares ? static_cast<int64_t>(blockIdx.x) / call.cluster
                               : static_cast<int64_t>(blockIdx.x) * groups + group;
  const int64_t first = scope * call.per_scope;
  if (!shares) {
    if (first >= call.tiles) return;
    kept += group * call.slots * slot;
  }
  // Slot s holds tile rank + s * cluster of the scope.
  const int rank = call.cluster > 1 ? cluster_rank() : 0;
  const int tiles = static_cast<int>(call.per_scope);
  auto tile_in = [&](int s) { return rank + s * call.cluster; };
  const int start = shares ? group : 0, stride = shares ? groups : 1;
  const Tile first_tile = tile_at(call.p, tiling, first);
  auto tile_of = [&](int s) { return tile_of_scope(call.p, tiling, first_tile, tile_in(s)); };
  // The next tile's pixels are on their way while this one is computed.
  Moments<F> next = m;
  next.x = m.q + m.pitch * tiling.rows;
  Tile tile = tile_of(start);
  if (tile_in(start) < tiles) load_tile<T>(call, tile, m);
  for (int s = start; tile_in(s) < tiles; s += stride) {
    copies_done();
    team_barrier();
    const Tile following = tile_of(s + stride);
    if (tile_in(s + stride) < tiles) load_tile<T>(call, following, next);
    best = forward_tile<T, K>(call, tile, m, kept + s * slot, best);
    tile = following;
    F* const other = m.x;
    m.x = next.x;
    next.x = other;
  }
  best = warp_peak(best);
  if (own.lane() == 0) team_peaks[own.warp()] = best;
  if (!shares) {
    team_barrier();
    best = largest(team_peaks, own.warps());
  } else {
    __syncthreads();
    best = largest(peaks, own.warps() * groups);
    if (call.cluster > 1) {
      Peak* own_peak = peaks + Shared::warps;
      Peak* others = own_peak + 1;
      const int thread = group * own.threads + own.thread;
      if (thread == 0) *own_peak = best;
      cluster_barrier();
      if (thread < call.cluster) {
        others[thread] = {read_remote(&own_peak->bits, thread),
                          static_cast<int64_t>(read_remote(
                              reinterpret_cast<const uint64_t*>(&own_peak->index), thread))};
      }
      // No block ends while another may still read from it.
      cluster_barrier();
      best = largest(others, call.cluster);
    }
  }
  if (rank == 0 && own.thread == 0 && (group == 0 || !shares)) publish<F>(call.peaks, scope, best);
  F top;
  from_bits(best.bits, &top);
  const F divisor = divisor_of(top, call.p.floor);
  for (int s = start; tile_in(s) < tiles; s += stride) {
    write_tile<T>(call, tile_of(s), kept + s * slot, divisor);
  }
}

// A block finds the largest of a scope's `count` partial maxima.
template <class F>
__global__ void __launch_bounds__(1024)
    reduce_peaks(const Peak* partial, int64_t count, Peaks peaks) {
  const Team own = team();
  Peak* shared = reinterpret_cast<Peak*>(shared_memory());
  const int64_t scope = blockIdx.x;
  Peak best = no_peak();
  for (int64_t i = own.thread; i < count; i += own.threads) {
    best = larger(best, partial[scope * count + i]);
  }
  best = warp_peak(best);
  if (own.lane() == 0) shared[own.warp()] = best;
  __syncthreads();
  if (own.thread == 0) publish<F>(peaks, scope, largest(shared, own.warps()));
}

}  // namespace neurn::cuda
