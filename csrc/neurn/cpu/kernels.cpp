// Compiled once per instruction set (NEURN_ISA, NEURN_VECTOR_BYTES).
#include <cstdlib>

#include "backward.h"
#include "forward.h"

namespace neurn::NEURN_ISA {
namespace {

void run_forward(const Problem& p, const Array& x, const Array& y, const Peaks& peaks,
                 const Parallel& pool) {
  switch (p.dtype) {
#if !defined(NEURN_FEW_KERNELS)
    case DType::float16:
      return forward<Half>(p, x, y, peaks, pool);
    case DType::bfloat16:
      return forward<BFloat16>(p, x, y, peaks, pool);
#endif
    case DType::float32:
      return forward<float>(p, x, y, peaks, pool);
    case DType::float64:
      return forward<double>(p, x, y, peaks, pool);
    default:  // sanitizers' builds: each type takes long to compile there
      std::abort();
  }
}

void run_backward(const Problem& p, const Array& grad, const Array& x, const Peaks& peaks,
                  const Array& dx, const Parallel& pool) {
  switch (p.dtype) {
#if !defined(NEURN_FEW_KERNELS)
    case DType::float16:
      return backward<Half>(p, grad, x, peaks, dx, pool);
    case DType::bfloat16:
      return backward<BFloat16>(p, grad, x, peaks, dx, pool);
#endif
    case DType::float32:
      return backward<float>(p, grad, x, peaks, dx, pool);
    case DType::float64:
      return backward<double>(p, grad, x, peaks, dx, pool);
    default:  // sanitizers' builds: each type takes long to compile there
      std::abort();
  }
}

#define NEURN_STRING_(name) #name
#define NEURN_STRING(name) NEURN_STRING_(name)

}  // namespace

extern const Kernels table;
const Kernels table{NEURN_STRING(NEURN_ISA), run_forward, run_backward};

}  // namespace neurn::NEURN_ISA
