// A call of the operators as tensors tell it, on any device: what they say and what comes out.
#pragma once

#include <torch/csrc/stable/library.h>
#include <torch/csrc/stable/ops.h>
#include <torch/csrc/stable/tensor.h>

#include <array>
#include <stdexcept>
#include <string>
#include <vector>

#include "check.h"
#include "problem.h"

namespace neurn {

using torch::headeronly::ScalarType;
using torch::stable::Tensor;

inline DType dtype_of(const Tensor& x) {
  switch (x.scalar_type()) {
    case ScalarType::Half:
      return DType::float16;
    case ScalarType::BFloat16:
      return DType::bfloat16;
    case ScalarType::Float:
      return DType::float32;
    case ScalarType::Double:
      return DType::float64;
    case ScalarType::Bool:
      refuse_dtype("bool");
    case ScalarType::Byte:
      refuse_dtype("uint8");
    case ScalarType::Char:
      refuse_dtype("int8");
    case ScalarType::Short:
      refuse_dtype("int16");
    case ScalarType::Int:
      refuse_dtype("int32");
    case ScalarType::Long:
      refuse_dtype("int64");
    case ScalarType::ComplexFloat:
      refuse_dtype("complex64");
    case ScalarType::ComplexDouble:
      refuse_dtype("complex128");
    default:
      refuse_dtype(torch::headeronly::toString(x.scalar_type()));
  }
}

// Sizes of a (C, H, W) or (N, C, H, W) tensor, N = 1 where there is none.
inline std::array<int64_t, 4> sizes_of(const Tensor& x) {
  const int64_t offset = x.dim() - 3;
  return {offset == 0 ? 1 : x.size(0), x.size(offset), x.size(offset + 1), x.size(offset + 2)};
}

inline Array array_of(const Tensor& x, bool written = false) {
  const int64_t offset = x.dim() - 3;
  return {written ? x.mutable_data_ptr() : const_cast<void*>(x.const_data_ptr()),
          offset == 0 ? 0 : x.stride(0), x.stride(offset), x.stride(offset + 1),
          x.stride(offset + 2)};
}

// torch's own reading of strides as channels-last (c10/core/MemoryFormat.h), so that the output is
// laid out as that of torch's operators and of our fake kernels.
inline bool is_channels_last(const Tensor& x) {
  if (x.dim() != 4 || x.stride(1) == 0) return false;
  int64_t least = 0;
  for (const int64_t d : {1, 3, 2, 0}) {
    if (x.size(d) == 0 || x.stride(d) < least) return false;
    if (d == 0 && least == x.stride(1)) return false;
    least = x.stride(d);
    if (x.size(d) > 1) least *= x.size(d);
  }
  return true;
}

inline Tensor empty(const std::vector<int64_t>& sizes, const std::vector<int64_t>& strides,
                    ScalarType dtype, const Tensor& like) {
  int32_t device_type;
  AtenTensorHandle handle;
  TORCH_ERROR_CODE_CHECK(aoti_torch_get_device_type(like.get(), &device_type));
  TORCH_ERROR_CODE_CHECK(aoti_torch_empty_strided(
      static_cast<int64_t>(sizes.size()), sizes.data(), strides.data(),
      torch::stable::detail::to<int32_t>(torch::stable::detail::from(dtype)), device_type,
      like.get_device_index(), &handle));
  return Tensor(handle);
}

// An image tensor of x's kind: channels-last where x is, else contiguous.
inline Tensor empty_image(const Tensor& x, int64_t height, int64_t width) {
  const std::array<int64_t, 4> size = sizes_of(x);
  std::vector<int64_t> sizes{size[0], size[1], height, width}, strides;
  if (is_channels_last(x)) {
    strides = {size[1] * height * width, 1, width * size[1], size[1]};
  } else {
    strides = {size[1] * height * width, height * width, width, 1};
  }
  if (x.dim() == 3) {
    sizes.erase(sizes.begin());
    strides.erase(strides.begin());
  }
  return empty(sizes, strides, x.scalar_type(), x);
}

inline Problem describe(const Tensor& x, int64_t k, const std::string& padding,
                        const std::string& scope, double floor) {
  check_arguments(k, padding, scope, floor);
  check_dimensions(x.dim());
  Problem p{};
  p.dtype = dtype_of(x);
  const std::array<int64_t, 4> size = sizes_of(x);
  p.samples = size[0];
  p.channels = size[1];
  p.height = size[2];
  p.width = size[3];
  p.k = k;
  p.padding = parse_padding(padding);
  p.scope = parse_scope(scope);
  p.floor = floor;
  check_size(p.height, p.width, k, p.padding);
  const int64_t lost = p.padding == Padding::valid ? k - 1 : 0;
  p.out_height = p.height - lost;
  p.out_width = p.width - lost;
  return p;
}

inline bool is_empty(const Problem& p) { return p.samples == 0 || p.channels == 0; }

inline std::vector<int64_t> peak_sizes(const Problem& p) {
  switch (p.scope) {
    case Scope::image:
      return {p.samples};
    case Scope::channel:
      return {p.samples, p.channels};
    case Scope::batch:
      return {1};
    default:
      return {0};
  }
}

// y, peak and index of a forward pass, as yet without values.
struct Stats {
  Tensor y, peak, index;

  Stats(const Tensor& x, const Problem& p) : y(empty_image(x, p.out_height, p.out_width)) {
    const std::vector<int64_t> sizes = peak_sizes(p);
    std::vector<int64_t> strides{1};
    if (sizes.size() == 2) strides = {sizes[1] > 0 ? sizes[1] : 1, 1};
    const bool is_wide = p.dtype == DType::float64;
    peak = empty(sizes, strides, is_wide ? ScalarType::Double : ScalarType::Float, x);
    index = empty(sizes, strides, ScalarType::Long, x);
  }
  Peaks peaks() {
    return {peak.mutable_data_ptr(), static_cast<int64_t*>(index.mutable_data_ptr())};
  }
};

inline void check_same(bool same, const char* name, const char* what) {
  if (!same) throw std::runtime_error(std::string(name) + " must have " + what);
}

// Whether the tensors that backward gets belong together; returns the number of scopes.
inline int64_t check_backward(const Problem& p, const Tensor& grad, const Tensor& x,
                              const Tensor& peak, const Tensor& index) {
  check_same(grad.dim() == x.dim() && grad.scalar_type() == x.scalar_type() &&
                 sizes_of(grad) ==
                     std::array<int64_t, 4>{p.samples, p.channels, p.out_height, p.out_width},
             "grad", "the shape and dtype of the output");
  const std::vector<int64_t> sizes = peak_sizes(p);
  int64_t count = 1;
  for (const int64_t size : sizes) count *= size;
  check_same(peak.numel() == count && peak.dim() == static_cast<int64_t>(sizes.size()) &&
                 peak.scalar_type() ==
                     (p.dtype == DType::float64 ? ScalarType::Double : ScalarType::Float),
             "peak", "the shape and dtype that forward_stats gives");
  check_same(index.numel() == count && index.dim() == static_cast<int64_t>(sizes.size()) &&
                 index.scalar_type() == ScalarType::Long,
             "index", "the shape and dtype that forward_stats gives");
  return count;
}

}  // namespace neurn
