// The CUDA kernels as the host calls them, without torch: pointers are the device's, work is put
// on a stream, and nothing waits.
#pragma once

#include "../../cuda/stream.h"
#include "../problem.h"

namespace neurn::cuda {

// Maxima of any strides: [scope / columns][scope % columns].
struct StridedPeaks {
  Peaks peaks;
  int64_t value_strides[2], index_strides[2], columns;
};

// Problem::rows and Problem::columns are not used. Both throw std::runtime_error with one sentence.
void forward(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
             const Stream& stream);
void backward(const Problem& p, const Array& grad, const Array& x, const StridedPeaks& peaks,
              const Array& dx, const Stream& stream);

}  // namespace neurn::cuda
