// neurn::forward and what it is made of, registered through torch's stable ABI.
#include <tuple>

#include "axis.h"
#include "call.h"

namespace neurn {
namespace {

// A call with the index maps that it points into.
struct Call {
  Problem problem;
  OwnedAxis rows, columns;

  Call(const Tensor& x, int64_t k, const std::string& padding, const std::string& scope,
       double floor, bool backward)
      : problem(describe(x, k, padding, scope, floor)),
        rows(problem.height, problem.out_height, k, problem.padding,
             backward ? backward_margin(k, problem.padding) : 0),
        columns(problem.width, problem.out_width, k, problem.padding,
                backward ? backward_margin(k, problem.padding) : 0) {
    problem.rows = rows.axis;
    problem.columns = columns.axis;
  }
};

Parallel pool() {
  return {static_cast<int64_t>(torch::stable::get_num_threads()),
          [](int64_t count, void* context, void (*body)(void*, int64_t, int64_t)) {
            torch::stable::parallel_for(
                0, count, 1, [=](int64_t begin, int64_t end) { body(context, begin, end); });
          }};
}

std::tuple<Tensor, Tensor, Tensor> forward_stats(const Tensor& x, int64_t kernel_size,
                                                 std::string padding, std::string scope,
                                                 double floor) {
  const Call call(x, kernel_size, padding, scope, floor, false);
  const Problem& p = call.problem;
  Stats stats(x, p);
  const Peaks peaks = stats.peaks();
  if (is_empty(p)) {
    for (int64_t i = 0; i < stats.peak.numel(); ++i) {
      if (p.dtype == DType::float64) {
        static_cast<double*>(peaks.value)[i] = 0;
      } else {
        static_cast<float*>(peaks.value)[i] = 0;
      }
      peaks.index[i] = -1;
    }
  } else {
    kernels().forward(p, array_of(x), array_of(stats.y, true), peaks, pool());
  }
  return {stats.y, stats.peak, stats.index};
}

// Where element i, in the order of its dimensions, of a tensor of one or two dimensions lies.
int64_t flat_offset(const Tensor& t, int64_t i) {
  if (t.dim() == 1) return i * t.stride(0);
  return i / t.size(1) * t.stride(0) + i % t.size(1) * t.stride(1);
}

Tensor backward(const Tensor& grad, const Tensor& x, const Tensor& peak, const Tensor& index,
                int64_t kernel_size, std::string padding, std::string scope, double floor) {
  const Call call(x, kernel_size, padding, scope, floor, true);
  const Problem& p = call.problem;
  const int64_t count = check_backward(p, grad, x, peak, index);
  Tensor dx = empty_image(x, p.height, p.width);
  if (is_empty(p)) return dx;
  // Few values, of any strides.
  std::vector<double> wide(count);
  std::vector<float> narrow(count);
  std::vector<int64_t> places(count);
  const bool is_wide = p.dtype == DType::float64;
  for (int64_t i = 0; i < count; ++i) {
    const int64_t peak_at = flat_offset(peak, i), index_at = flat_offset(index, i);
    if (is_wide) {
      wide[i] = static_cast<const double*>(peak.const_data_ptr())[peak_at];
    } else {
      narrow[i] = static_cast<const float*>(peak.const_data_ptr())[peak_at];
    }
    places[i] = static_cast<const int64_t*>(index.const_data_ptr())[index_at];
    check_same(places[i] < p.samples * p.channels * p.out_height * p.out_width / count, "index",
               "positions inside the output");
  }
  const Peaks peaks{is_wide ? static_cast<void*>(wide.data()) : narrow.data(), places.data()};
  kernels().backward(p, array_of(grad), array_of(x), peaks, array_of(dx, true), pool());
  return dx;
}

}  // namespace
}  // namespace neurn

// forward is composed of forward_stats in python/neurn/ops.py: a composite here would lose the
// sentence of an error on its way through the dispatcher.
STABLE_TORCH_LIBRARY(neurn, m) {
  m.def(
      "forward(Tensor x, int kernel_size=3, str padding='reflect', str scope='image', "
      "float floor=0.0) -> Tensor");
  m.def(
      "forward_stats(Tensor x, int kernel_size=3, str padding='reflect', str scope='image', "
      "float floor=0.0) -> (Tensor y, Tensor peak, Tensor index)");
  m.def(
      "backward(Tensor grad, Tensor x, Tensor peak, Tensor index, int kernel_size=3, "
      "str padding='reflect', str scope='image', float floor=0.0) -> Tensor");
}

STABLE_TORCH_LIBRARY_IMPL(neurn, CPU, m) {
  m.impl("forward_stats", TORCH_BOX(&neurn::forward_stats));
  m.impl("backward", TORCH_BOX(&neurn::backward));
}
