// Chooses and starts the kernels of nw_scores and nw_paths.
#include <algorithm>
#include <stdexcept>

#include "../../cuda/launch.h"
#include "bits.cuh"
#include "kernels.h"
#include "paths.cuh"
#include "plan.cuh"
#include "wavefront.cuh"

namespace neurn::align::cuda {

int64_t most_border_bytes = int64_t{256} << 20;

namespace {

using neurn::cuda::allocate;
using neurn::cuda::launch;
using neurn::cuda::Shape;

constexpr int plan_threads = 256;
constexpr int most_shared_symbols = 256;
// Shared memory that the system takes of each block.
constexpr int64_t block_bytes = 1024;
// Memory that bit planes may take for what is between their passes.
constexpr int64_t most_bit_bytes = int64_t{1} << 30;
// The share of lanes that must have something to do, for bit planes to be faster than numbers.
constexpr double least_filled = 0.1;

int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

// Of a kernel that goes through `items` in strides.
Shape strided(int64_t items, const Stream& stream) {
  const int64_t most = int64_t{8} * stream.device.processors;
  return {std::clamp<int64_t>(ceil_div(items, plan_threads), 1, most), plan_threads, 1, 0};
}

template <class V>
V* cleared(int64_t count, const Stream& stream) {
  const int64_t words = ceil_div(count * static_cast<int64_t>(sizeof(V)), 4);
  V* out = reinterpret_cast<V*>(allocate<int>(stream, words));
  const Shape shape = strided(words, stream);
  launch(clear, shape, stream, reinterpret_cast<int*>(out), words, shape.blocks);
  return out;
}

// What the device has found out, after waiting for it.
template <class V>
V read(const V* from, const Stream& stream) {
  V out;
#if defined(__CUDACC__)
  const auto handle = static_cast<cudaStream_t>(stream.handle);
  neurn::cuda::check(cudaMemcpyAsync(&out, from, sizeof out, cudaMemcpyDeviceToHost, handle));
  neurn::cuda::check(cudaStreamSynchronize(handle));
#else
  (void)stream;
  out = *from;
#endif
  return out;
}

class Scores {
 public:
  Scores(const Problem& p, void* out, const Stream& stream) : stream_(stream) {
    if (p.pairs.count >= int64_t{1} << 31) {
      throw std::runtime_error("pairs must be fewer than 2^31 on CUDA, got " +
                               std::to_string(p.pairs.count) + ": cut the list");
    }
    call_.p = p;
    call_.out = out;
    call_.report = cleared<Report>(1, stream);
    call_.table = allocate<int32_t>(stream, std::max<int64_t>(scores_of(p), 1));
    call_.tokens = allocate<Token>(stream, std::max<int64_t>(p.token_count, 1));
  }

  bool run(bool waits) {
    look();
    if (waits) {
      known_ = read(call_.report, stream_);
      if (known_.errors != 0) return false;
      if (!known_.not_two) call_.p.symbols = 0;
      if (run_bits()) return true;
    }
    sort();
    if (waits) {
      known_ = read(call_.report, stream_);
      waits_ = true;
    }
    const bool affine = call_.p.gap_open != 0;
    affine ? run_kinds<true>() : run_kinds<false>();
    return true;
  }

  bool trace(const Paths& out, int64_t memory) {
    call_.traces = true;
    look();
    launch(count_moves, scan_shape(), stream_, call_, out.starts);
    known_ = read(call_.report, stream_);
    if (known_.errors != 0) return false;
    if (!known_.not_two) call_.p.symbols = 0;
    const int64_t count = call_.p.pairs.count;
    if (count == 0) return true;
    const int64_t total = read(out.starts + count, stream_);
    uint8_t* moves = out.moves(out.context, total);
    const bool compares = call_.p.symbols == 0;
    if (call_.p.gap_open != 0) {
      compares ? run_paths<true, Compare<OneLong>>(out, moves, memory)
               : run_paths<true, GlobalTable<OneLong>>(out, moves, memory);
    } else {
      compares ? run_paths<false, Compare<OneLong>>(out, moves, memory)
               : run_paths<false, GlobalTable<OneLong>>(out, moves, memory);
    }
    return true;
  }

 private:
  template <bool affine, class Look>
  void run_paths(const Paths& out, uint8_t* moves, int64_t memory) {
    using Border = Edge<OneLong, affine>;
    using Note = Notes<affine, path_rows / 32>;
    const int64_t columns = std::max<int64_t>(known_.second_longest, 1);
    const int64_t strips = std::max<int64_t>(ceil_div(known_.first_longest, path_rows), 1);
    const int64_t each = columns * ((strips - 1) * static_cast<int64_t>(sizeof(Border)) +
                                    32 * static_cast<int64_t>(sizeof(Note)));
    if (each > memory) {
      throw std::runtime_error("memory must be at least " + std::to_string(each) +
                               " bytes for alignments of " + std::to_string(known_.first_longest) +
                               " with " + std::to_string(known_.second_longest) + " tokens, got " +
                               std::to_string(memory));
    }
    constexpr int most_warps = wavefront_threads / 32;
    const int64_t fitting = std::min(memory / each, call_.p.pairs.count);
    const int64_t warps = std::min(fitting, int64_t{2} * most_warps * stream_.device.processors);
    PathCall call{call_, 0, 0, out.starts, out.begins, moves, columns, strips, nullptr, nullptr};
    const int64_t per_block = std::min<int64_t>(warps, most_warps);
    call.threads = 32 * per_block;
    call.blocks = warps / per_block;
    const int64_t all = call.blocks * per_block;
    call.borders = allocate<Border>(stream_, std::max<int64_t>(all * (strips - 1) * columns, 1));
    call.notes = allocate<Note>(stream_, all * columns * 32);
    launch(trace_paths<affine, Look>, {call.blocks, static_cast<int>(call.threads), 1, 0}, stream_,
           call);
  }

  template <class... More>
  void start(void (*kernel)(PlanCall, More...), int64_t items, const More&... more) {
    const Shape shape = strided(items, stream_);
    call_.blocks = shape.blocks;
    launch(kernel, shape, stream_, call_, more...);
  }
  void start_scan(void (*kernel)(PlanCall)) { launch(kernel, scan_shape(), stream_, call_); }
  static Shape scan_shape() {
    return {1, plan_threads, 1, (plan_threads + 1) * static_cast<int64_t>(sizeof(int64_t))};
  }

  // What the arguments are like.
  void look() {
    const Problem& p = call_.p;
    if (p.floating) start(find_scale, scores_of(p) + 2);
    start(make_whole, scores_of(p));
    start(narrow_tokens, p.token_count);
    start(check_offsets, p.sequences + 1);
    start(check_pairs, p.pairs.count);
  }

  void sort() {
    call_.bins = cleared<int>(bins_in_all, stream_);
    call_.order = allocate<uint32_t>(stream_, std::max<int64_t>(call_.p.pairs.count, 1));
    start(sort_pairs, call_.p.pairs.count, false);
    start_scan(find_starts);
    start(sort_pairs, call_.p.pairs.count, true);
  }

  const uint32_t* sorted_side(const int64_t* side, int64_t count) {
    SideCall call{call_,
                  side,
                  count,
                  0,
                  cleared<int>(side_bins, stream_),
                  allocate<uint32_t>(stream_, count)};
    const Shape shape = strided(count, stream_);
    call.blocks = shape.blocks;
    launch(sort_side, shape, stream_, call, false);
    launch(find_side_starts, scan_shape(), stream_, call);
    launch(sort_side, shape, stream_, call, true);
    return call.order;
  }

  // Scores by bit planes where these can and pay.
  bool run_bits() {
    const Problem& p = call_.p;
    if (p.pairs.list != nullptr || p.pairs.count == 0 || p.symbols != 0) return false;
    if (p.gap_open != 0 || known_.range() > 15 || known_.second_longest > longest_target) {
      return false;
    }
    BitCall call{};
    call.threads =
        static_cast<int>(std::min<int64_t>(ceil_div(p.pairs.row_count, 32) * 32, bit_threads));
    const int64_t chunks = ceil_div(p.pairs.row_count, call.threads);
    const int64_t groups = ceil_div(p.pairs.column_count, lanes);
    const double places =
        static_cast<double>(chunks * call.threads) * static_cast<double>(groups * lanes);
    if (static_cast<double>(p.pairs.count) < least_filled * places) return false;
    call.symbols = known_.largest_token + 1;
    call.quads = quads_of(known_.second_longest);
    const int64_t shared = bit_shared(call.symbols, call.quads);
    if (shared > stream_.device.shared_block) return false;
    call.equal = known_.match - 2 * known_.gap_extend;
    call.unequal = known_.mismatch - 2 * known_.gap_extend;
    const int planes = std::max(planes_for(std::max(call.equal, call.unequal)), 1);
    const int64_t each =
        call.threads * int64_t{call.quads} * planes * static_cast<int64_t>(sizeof(Quad));
    const int64_t processors = stream_.device.processors;
    const int64_t fitting =
        std::min<int64_t>(stream_.device.shared_processor / (shared + block_bytes), 2);
    call.blocks =
        static_cast<int>(std::min({groups * chunks, fitting * processors, most_bit_bytes / each}));
    // Few blocks would leave most of the device idle.
    if (2 * call.blocks < processors) return false;
    call.plan = call_;
    call.rows = sorted_side(p.pairs.rows, p.pairs.row_count);
    call.columns = sorted_side(p.pairs.columns, p.pairs.column_count);
    call.borders = reinterpret_cast<Quad*>(allocate<char>(stream_, each * call.blocks));
    const Shape shape{call.blocks, static_cast<int>(call.threads), 1, shared};
    if (call.equal == 5 && call.unequal == 2) {  // the published scoring
      launch(score_bits<PublishedCell<>>, shape, stream_, call);
    } else if (planes == 1) {
      launch(score_bits<AnyCell<1>>, shape, stream_, call);
    } else if (planes == 2) {
      launch(score_bits<AnyCell<2>>, shape, stream_, call);
    } else if (planes == 3) {
      launch(score_bits<AnyCell<3>>, shape, stream_, call);
    } else {
      launch(score_bits<AnyCell<4>>, shape, stream_, call);
    }
    return true;
  }

  // Whether there may be pairs of a kind.
  bool any(int kind) const { return !waits_ || known_.starts[kind + 1] > known_.starts[kind]; }
  int64_t count(int kind) const {
    return waits_ ? known_.starts[kind + 1] - known_.starts[kind] : call_.p.pairs.count;
  }
  // Tokens of the longest second sequence.
  int64_t columns() const { return waits_ ? known_.second_longest : call_.p.token_count; }
  int64_t rows() const { return waits_ ? known_.first_longest : call_.p.token_count; }

  template <bool affine>
  void run_kinds() {
    const bool compares = call_.p.symbols == 0;
    const bool shares =
        call_.p.symbols <= most_shared_symbols && table_bytes(1) <= stream_.device.shared_block;
    if (any(long64)) {
      // Affine gaps that open for nothing are linear ones.
      compares ? run_long<OneLong, true, Compare<OneLong>>(long64)
               : run_long<OneLong, true, GlobalTable<OneLong>>(long64);
    }
    if (any(long32)) {
      compares ? run_long<OneInt, affine, Compare<OneInt>>(long32)
               : run_long<OneInt, affine, GlobalTable<OneInt>>(long32);
    }
    if (any(short32)) {
      if (compares) {
        run_short<OneInt, affine, Compare<OneInt>, 8>(short32, 0, -1);
      } else {
        if (shares) run_short<OneInt, affine, SharedTable<OneInt>, 8>(short32, table_copies(), 1);
        run_short<OneInt, affine, GlobalTable<OneInt>, 8>(short32, 0, shares ? 0 : -1);
      }
    }
    if (any(short16)) {
      if (compares) {
        run_short<TwoShorts, affine, Compare<TwoShorts>, 4>(short16, 0, -1);
      } else if (shares) {
        run_short<TwoShorts, affine, SharedTable<TwoShorts>, 4>(short16, table_copies(), -1);
      } else {
        run_short<TwoShorts, affine, GlobalTable<TwoShorts>, 4>(short16, 0, -1);
      }
    }
  }

  int64_t table_bytes(int64_t copies) const {
    return SharedScores::words_of(call_.p.symbols, copies) * static_cast<int64_t>(sizeof(uint32_t));
  }
  // A bank for every lane, or for every two, where two blocks then fit on a processor.
  int table_copies() const {
    for (const int copies : {32, 16}) {
      const int64_t bytes = table_bytes(copies);
      if (bytes <= stream_.device.shared_block &&
          2 * (bytes + block_bytes) <= stream_.device.shared_processor) {
        return copies;
      }
    }
    return 1;
  }

  // Blocks that fill the device, or do all there is to do.
  int64_t blocks_for(int64_t warps, int64_t shared) const {
    const int64_t fitting = stream_.device.shared_processor / (shared + block_bytes);
    const int64_t most = stream_.device.processors * std::clamp<int64_t>(fitting, 1, 2);
    return std::clamp<int64_t>(warps, 1, most);
  }

  template <class S, bool affine, class Look, int T>
  void run_short(int kind, int copies, int narrow) {
    constexpr int R = short_rows / T, groups = 32 / T;
    const int64_t shared = copies > 0 ? table_bytes(copies) : 0;
    const int64_t warps = ceil_div(count(kind), groups * S::pairs);
    ShortCall call{call_, blocks_for(warps, shared), kind, copies, narrow, nullptr, 0};
    call.columns = std::clamp<int64_t>(columns(), 1, longest_short);
    const int64_t lanes = call.blocks * wavefront_threads / T;
    if (rows() > short_rows) {
      call.borders = allocate<Edge<S, affine>>(stream_, lanes * call.columns);
    }
    launch(score_short<S, affine, Look, T, R>, {call.blocks, wavefront_threads, 1, shared}, stream_,
           call);
  }

  template <class S, bool affine, class Look>
  void run_long(int kind) {
    const int64_t pairs = count(kind);
    int64_t* strips_before = allocate<int64_t>(stream_, pairs + 1);
    launch(count_strips, scan_shape(), stream_, call_, kind, strips_before);
    LongCall call{call_, kind, strips_before, 0, 0, 0, nullptr, nullptr, nullptr};
    call.columns = std::max<int64_t>(columns(), 1);
    call.most_strips = std::max<int64_t>(ceil_div(rows(), long_rows), 1);
    // Few strips spread over all blocks.
    const int64_t strips = pairs * call.most_strips, blocks = blocks_for(strips, 0);
    const int64_t warps = std::clamp<int64_t>(ceil_div(strips, blocks), 1, wavefront_threads / 32);
    // Every warp may be at another pair.
    const int64_t each = call.columns * static_cast<int64_t>(sizeof(Edge<S, affine>)) +
                         call.most_strips * static_cast<int64_t>(sizeof(int64_t));
    call.slots = std::clamp<int64_t>(most_border_bytes / each, 1, std::min(pairs, blocks * warps));
    call.borders = allocate<Edge<S, affine>>(stream_, call.slots * call.columns);
    call.progress = cleared<int64_t>(call.slots * call.most_strips, stream_);
    call.finished = cleared<int64_t>(call.slots, stream_);
    launch(score_long<S, affine, Look>, {blocks, static_cast<int>(32 * warps), 1, 0}, stream_,
           call);
  }

  const Stream& stream_;
  PlanCall call_{};
  Report known_{};
  bool waits_ = false;
};

}  // namespace

bool scores(const Problem& problem, void* out, bool waits, const Stream& stream) {
  if (problem.pairs.count == 0 && !waits) return true;
  return Scores(problem, out, stream).run(waits);
}

bool paths(const Problem& problem, const Paths& out, int64_t memory, const Stream& stream) {
  return Scores(problem, out.scores, stream).trace(out, memory);
}

}  // namespace neurn::align::cuda
