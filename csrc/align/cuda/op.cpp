// neurn::nw_scores and neurn::nw_cross_scores of CUDA tensors.
#include "../../cuda/torch_stream.h"
#include "../call.h"
#include "kernels.h"

namespace neurn::align {
namespace {

using neurn::cuda::Launch;

void check_devices(const Tensor& first, std::initializer_list<const Tensor*> others) {
  for (const Tensor* other : others) {
    if (!other->is_cuda() || other->get_device_index() != first.get_device_index()) {
      refuse("all tensors of a call must be on one device");
    }
  }
}

// Elements of another type or elsewhere, in order.
Tensor in_order(const Tensor& t, ScalarType dtype) {
  const bool same = t.scalar_type() == dtype;
  return torch::stable::contiguous(same ? t : torch::stable::to(t, dtype));
}

Tensor on_cpu(const Tensor& t) {
  return torch::stable::to(t, torch::stable::Device(torch::headeronly::DeviceType::CPU));
}

bool is_captured(const Launch& launch) {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  neurn::cuda::check_runtime(
      cudaStreamIsCapturing(static_cast<cudaStream_t>(launch.stream().handle), &status));
  return status != cudaStreamCaptureStatusNone;
}

// A call's tensors as the kernels read them.
struct Arguments {
  Tensor tokens, offsets, substitution;
  cuda::Problem problem;

  Arguments(const Tensor& given_tokens, const Tensor& given_offsets, const Tensor& scores,
            double gap_open, double gap_extend)
      : tokens(in_order(given_tokens, ScalarType::Long)),
        offsets(in_order(given_offsets, ScalarType::Long)),
        substitution(in_order(scores, is_floating(scores) ? ScalarType::Double : ScalarType::Long)),
        problem{} {
    problem.tokens = static_cast<const int64_t*>(tokens.const_data_ptr());
    problem.token_count = tokens.numel();
    problem.offsets = static_cast<const int64_t*>(offsets.const_data_ptr());
    problem.sequences = offsets.numel() - 1;
    problem.floating = is_floating(scores);
    problem.substitution = substitution.const_data_ptr();
    problem.symbols = scores.dim() == 1 ? 0 : scores.size(0) > 0 ? scores.size(0) : -1;
    problem.gap_open = gap_open;
    problem.gap_extend = gap_extend;
  }
};

Tensor empty_scores(const std::vector<int64_t>& sizes, const Tensor& substitution,
                    const Tensor& like) {
  return torch::stable::new_empty(like, sizes,
                                  is_floating(substitution) ? ScalarType::Double : ScalarType::Int);
}

Tensor cuda_nw_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                      const Tensor& substitution, double gap_open, double gap_extend) {
  check_listed(pairs);
  check_call(tokens, offsets, substitution, gap_open, gap_extend);
  check_devices(tokens, {&offsets, &pairs, &substitution});
  const Launch launch(tokens);
  Arguments arguments(tokens, offsets, substitution, gap_open, gap_extend);
  const Tensor listed = in_order(pairs, ScalarType::Long);
  const int64_t count = pairs.size(0);
  arguments.problem.pairs = {
      static_cast<const int64_t*>(listed.const_data_ptr()), nullptr, nullptr, 0, 0, count};
  Tensor out = empty_scores({count}, substitution, pairs);
  if (!cuda::scores(arguments.problem, out.mutable_data_ptr(), !is_captured(launch),
                    launch.stream())) {
    // The CPU's operator says what is wrong.
    nw_scores(on_cpu(tokens), on_cpu(offsets), on_cpu(pairs), on_cpu(substitution), gap_open,
              gap_extend);
    refuse("scores of these sequences are beyond what the result holds exactly");
  }
  return out;
}

Tensor cuda_nw_cross_scores(const Tensor& tokens, const Tensor& offsets, const Tensor& rows,
                            const Tensor& columns, const Tensor& substitution, double gap_open,
                            double gap_extend) {
  check_sides(rows, columns);
  check_call(tokens, offsets, substitution, gap_open, gap_extend);
  check_devices(tokens, {&offsets, &rows, &columns, &substitution});
  const Launch launch(tokens);
  Arguments arguments(tokens, offsets, substitution, gap_open, gap_extend);
  const Tensor first = in_order(rows, ScalarType::Long),
               second = in_order(columns, ScalarType::Long);
  const int64_t height = rows.size(0), width = columns.size(0);
  arguments.problem.pairs = {nullptr,
                             static_cast<const int64_t*>(first.const_data_ptr()),
                             static_cast<const int64_t*>(second.const_data_ptr()),
                             height,
                             width,
                             height * width};
  Tensor out = empty_scores({height, width}, substitution, rows);
  if (!cuda::scores(arguments.problem, out.mutable_data_ptr(), !is_captured(launch),
                    launch.stream())) {
    nw_cross_scores(on_cpu(tokens), on_cpu(offsets), on_cpu(rows), on_cpu(columns),
                    on_cpu(substitution), gap_open, gap_extend);
    refuse("scores of these sequences are beyond what the result holds exactly");
  }
  return out;
}

PathTensors cuda_nw_paths(const Tensor& tokens, const Tensor& offsets, const Tensor& pairs,
                          const Tensor& substitution, double gap_open, double gap_extend,
                          int64_t memory) {
  check_listed(pairs);
  check_call(tokens, offsets, substitution, gap_open, gap_extend);
  check_devices(tokens, {&offsets, &pairs, &substitution});
  const Launch launch(tokens);
  if (is_captured(launch)) refuse("nw_paths cannot be captured: its result has no known size");
  Arguments arguments(tokens, offsets, substitution, gap_open, gap_extend);
  const Tensor listed = in_order(pairs, ScalarType::Long);
  const int64_t count = pairs.size(0);
  arguments.problem.pairs = {
      static_cast<const int64_t*>(listed.const_data_ptr()), nullptr, nullptr, 0, 0, count};
  Tensor scores = empty_scores({count}, substitution, pairs);
  Tensor starts = torch::stable::new_empty(pairs, {count + 1}, ScalarType::Long);
  Tensor begins = torch::stable::new_empty(pairs, {count}, ScalarType::Long);
  Tensor moves = torch::stable::new_empty(pairs, {0}, ScalarType::Byte);
  const cuda::Paths out{scores.mutable_data_ptr(), static_cast<int64_t*>(starts.mutable_data_ptr()),
                        static_cast<int64_t*>(begins.mutable_data_ptr()), &moves,
                        [](void* self, int64_t size) {
                          Tensor& tensor = *static_cast<Tensor*>(self);
                          tensor = torch::stable::new_empty(tensor, {size}, ScalarType::Byte);
                          return static_cast<uint8_t*>(tensor.mutable_data_ptr());
                        }};
  if (!cuda::paths(arguments.problem, out, memory, launch.stream())) {
    nw_paths(on_cpu(tokens), on_cpu(offsets), on_cpu(pairs), on_cpu(substitution), gap_open,
             gap_extend, memory);
    refuse("scores of these sequences are beyond what the result holds exactly");
  }
  return {scores, moves, begins, torch::stable::narrow(starts, 0, 1, count)};
}

}  // namespace
}  // namespace neurn::align

STABLE_TORCH_LIBRARY_IMPL(neurn, CUDA, m) {
  m.impl("nw_scores", TORCH_BOX(&neurn::align::cuda_nw_scores));
  m.impl("nw_cross_scores", TORCH_BOX(&neurn::align::cuda_nw_cross_scores));
  m.impl("nw_paths", TORCH_BOX(&neurn::align::cuda_nw_paths));
}
