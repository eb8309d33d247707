// Chooses and starts the kernels of neurn::forward_stats.
#include "../../cuda/launch.h"
#include "forward.cuh"
#include "kernels.h"
#include "plain.cuh"
#include "plan.h"

namespace neurn::cuda {
namespace {

constexpr int peak_bytes = 32 * sizeof(Peak);

template <class F>
void reduce(int64_t scopes, const Peak* partial, int64_t per_scope, const Peaks& peaks,
            const Stream& stream) {
  launch(reduce_peaks<F>, {scopes, reducing_threads(per_scope), 1, peak_bytes}, stream, partial,
         per_scope, peaks);
}

template <class T>
void run_plain(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
               const Stream& stream) {
  using F = typename Compute<T>::Type;
  constexpr int threads = 128;
  const bool normalized = p.scope != Scope::none;
  PlainCall call{};
  call.p = p;
  call.x = x;
  call.out = y;
  call.peaks = peaks;
  call.scopes = normalized ? p.scopes() : 1;
  call.per_scope = p.samples * p.channels * p.out_height * p.out_width / call.scopes;
  call.blocks_per_scope = ceil_div(call.per_scope, threads);
  const Shape shape{call.scopes * call.blocks_per_scope, threads, 1, peak_bytes};
  if (normalized) {
    call.partial_peaks = allocate<Peak>(stream, shape.blocks);
    launch(plain_forward<T>, shape, stream, call, false);
    reduce<F>(call.scopes, call.partial_peaks, call.blocks_per_scope, peaks, stream);
  }
  launch(plain_forward<T>, shape, stream, call, true);
}

template <class T, int K>
void run_tiles(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
               const Stream& stream) {
  using F = typename Compute<T>::Type;
  const ForwardPlan plan = plan_forward<F>(p, x, stream.device, together(K));
  if (plan.plain) return run_plain<T>(p, x, y, peaks, stream);
  ForwardCall call{};
  call.p = p;
  call.x = x;
  call.y = y;
  call.peaks = peaks;
  call.tiling = plan.tiling;
  call.holder = plan.holder;
  call.tiles = p.samples * plan.tiling.tiles;
  call.cluster = plan.cluster;
  call.slots = plan.slots;
  const int64_t scopes = p.scope == Scope::none ? 1 : p.scopes();
  call.per_scope = call.tiles / scopes;
  if (plan.resident) {
    const bool teams = plan.holder == Holder::team;
    const Shape shape{teams ? ceil_div(scopes, plan.groups) : scopes * plan.cluster, plan.threads,
                      plan.groups, plan.resident_shared, plan.cluster};
    // Few scopes that are large would leave most of the device idle.
    const bool enough = call.per_scope == 1 || 2 * shape.blocks >= stream.device.processors ||
                        shape.blocks >= call.tiles;
    if (enough && has_room(forward_tiles<T, K>, shape, stream)) {
      call.pass = ForwardPass::resident;
      return launch(forward_tiles<T, K>, shape, stream, call);
    }
  }
  const Shape shape{call.tiles, plan.threads, 1, plan.shared};
  if (p.scope != Scope::none) {
    call.pass = ForwardPass::peaks;
    call.partial = allocate<Peak>(stream, call.tiles);
    launch(forward_tiles<T, K>, shape, stream, call);
    reduce<F>(scopes, call.partial, call.per_scope, peaks, stream);
  }
  call.pass = ForwardPass::write;
  launch(forward_tiles<T, K>, shape, stream, call);
}

template <class T>
void run(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
         const Stream& stream) {
  switch (p.k) {
    case 1:
      return run_plain<T>(p, x, y, peaks, stream);
    case 3:
      return run_tiles<T, 3>(p, x, y, peaks, stream);
    case 5:
      return run_tiles<T, 5>(p, x, y, peaks, stream);
    case 7:
      return run_tiles<T, 7>(p, x, y, peaks, stream);
    default:
      return run_tiles<T, 0>(p, x, y, peaks, stream);
  }
}

}  // namespace

void forward(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
             const Stream& stream) {
  switch (p.dtype) {
    case DType::float16:
      return run<Half>(p, x, y, peaks, stream);
    case DType::bfloat16:
      return run<BFloat16>(p, x, y, peaks, stream);
    case DType::float32:
      return run<float>(p, x, y, peaks, stream);
    case DType::float64:
      return run<double>(p, x, y, peaks, stream);
  }
}

}  // namespace neurn::cuda
