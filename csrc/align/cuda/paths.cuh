// Best alignments of many pairs, a warp each. Scores are computed once, and of every strip the row
// above it is kept; then, from the last strip to the first, each is computed again up to the column
// where the path leaves it, with notes of 2 bits a cell, or 8 where gaps are affine.
#pragma once

#include "wavefront.cuh"

namespace neurn::align::cuda {

constexpr int path_rows = 256;

struct PathCall {
  PlanCall plan;
  int64_t blocks, threads;
  const int64_t* starts;  // room for the moves of each pair, one behind the other
  int64_t* begins;        // where they begin; they end with their room
  uint8_t* moves;
  // Of each warp:
  int64_t columns, strips;
  void* borders;  // [strip but one][column]
  void* notes;    // [column][lane]
};

// Room for each pair's moves. One block.
__global__ void count_moves(const __grid_constant__ PlanCall call, int64_t* starts) {
  if (call.report->errors != 0) return;
  int64_t* shared = reinterpret_cast<int64_t*>(neurn::cuda::shared_memory());
  const auto moves = [&](int64_t i) {
    return size_of(call.p, first_of(call.p.pairs, i)) + size_of(call.p, second_of(call.p.pairs, i));
  };
  sums_before(call.p.pairs.count, shared, moves, [&](int64_t i, int64_t sum) { starts[i] = sum; });
}

// Walks from the end of a path, as Walk (../universal.cpp) does: of all best ways on diagonal, else
// up, else left. An affine gap may have to go on, to end, or be free to do either.
template <bool affine>
class Walk {
 public:
  int i, j;

  NEURN_DEVICE Walk(int n, int m, uint8_t* end) : i(n), j(m), to_(end) {}
  NEURN_DEVICE uint8_t* begin() const { return to_; }

  NEURN_DEVICE void take(int note) {
    if (may_end_ && (note & note_diagonal) != 0) {
      move(diagonal);
    } else if (gap_ == up || (may_end_ && (note & note_up) != 0)) {
      move(up);
      if (affine) follow(up, (note & note_up_opens) != 0, (note & note_up_extends) != 0);
    } else {
      move(left);
      if (affine) follow(left, (note & note_left_opens) != 0, (note & note_left_extends) != 0);
    }
  }
  NEURN_DEVICE void finish() {
    while (i > 0) move(up);
    while (j > 0) move(left);
  }

 private:
  // As Move in ../problem.h.
  static constexpr uint8_t diagonal = 1, up = 2, left = 4;

  NEURN_DEVICE void move(uint8_t which) {
    *--to_ = which;
    if (which != left) --i;
    if (which != up) --j;
    may_end_ = true;
    gap_ = diagonal;
  }
  NEURN_DEVICE void follow(uint8_t gap, bool opens, bool extends) {
    may_end_ = opens;
    gap_ = extends ? gap : diagonal;
  }

  uint8_t* to_;
  bool may_end_ = true;
  uint8_t gap_ = diagonal;  // up or left: that gap may go on
};

template <bool affine, class Look>
__global__ void __launch_bounds__(wavefront_threads)
    trace_paths(const __grid_constant__ PathCall call) {
  using S = OneLong;
  using Border = Edge<S, affine>;
  constexpr int T = 32, R = path_rows / T;
  using Note = Notes<affine, R>;
  const Report& report = *call.plan.report;
  if (report.errors != 0) return;
  const Look look(call.plan, SharedScores{});
  const int lane = static_cast<int>(threadIdx.x) % T;
  const int64_t warps_of_block = call.threads / T, warps = call.blocks * warps_of_block;
  const int64_t warp = blockIdx.x * warps_of_block + threadIdx.x / T;
  Border* borders = static_cast<Border*>(call.borders) + warp * (call.strips - 1) * call.columns;
  Note* notes = static_cast<Note*>(call.notes) + warp * call.columns * T;
  for (int64_t number = warp; number < call.plan.p.pairs.count; number += warps) {
    PairsAt<S> pairs;
    pairs.set(call.plan, 0, static_cast<uint32_t>(number));
    const int n = pairs.n[0], m = pairs.m[0], strips = (n + path_rows - 1) / path_rows;
    Walk<affine> walk(n, m, call.moves + call.starts[number + 1]);
    // Columns of strip s, with notes or with the row below it.
    const auto run = [&](int s, int columns, bool noting) {
      Strip<S, affine, Look, T, R, true> strip(call.plan, look, pairs, lane, s * path_rows);
      const Border* const above = borders + (s - 1) * call.columns;
      Border* const below = borders + s * call.columns;
      const bool reads = lane == 0 && s > 0;
      Border edge = strip.first_row();
      for (int t = 0; t < columns + T - 1; ++t) {
        if (reads && t < columns) edge = above[t];
        strip.step(call.plan, t, columns, true, edge, [&](int j, const Border& last, Note note) {
          if (noting) {
            notes[static_cast<int64_t>(j) * T + lane] = note;
          } else if (lane == T - 1) {
            below[j] = last;
          }
        });
      }
      warp_barrier();
    };
    if (n > 0 && m > 0) {
      for (int s = 0; s + 1 < strips; ++s) run(s, m, false);
      int columns = m;
      for (int s = strips - 1; s >= 0 && columns > 0; --s) {
        run(s, columns, true);
        const int top = s * path_rows;
        while (lane == 0 && walk.i > top && walk.j > 0) {
          const int row = walk.i - 1 - top;
          const Note here = notes[static_cast<int64_t>(walk.j - 1) * T + row / R];
          constexpr int bits = note_bits<affine>;
          walk.take(static_cast<int>(here >> (bits * (row % R))) & ((1 << bits) - 1));
        }
        // Also: nobody writes notes anew before they are read.
        columns = static_cast<int>(from_first_lane(walk.j));
      }
    } else if (lane == 0) {
      put_score(call.plan, number,
                n + m == 0 ? 0 : report.gap_open + (int64_t{n} + m) * report.gap_extend);
    }
    if (lane == 0) {
      walk.finish();
      call.begins[number] = walk.begin() - call.moves;
    }
  }
}

}  // namespace neurn::align::cuda
