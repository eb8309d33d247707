// Chooses among the kernels compiled for several instruction sets.
#include "../isa.h"
#include "bit_kernels.h"
#include "kernels.h"
#include "number_kernels.h"

namespace neurn::align {

namespace baseline {
extern const Kernels table;
extern const BitKernels bit_table;
extern const NumberKernels number_table;
}  // namespace baseline
#if defined(NEURN_X86)
namespace avx2 {
extern const Kernels table;
extern const BitKernels bit_table;
extern const NumberKernels number_table;
}  // namespace avx2
namespace avx512 {
extern const Kernels table;
extern const BitKernels bit_table;
extern const NumberKernels number_table;
}  // namespace avx512
#endif

const Kernels& kernels() {
  switch (isa()) {
#if defined(NEURN_X86)
    case Isa::avx512:
      return avx512::table;
    case Isa::avx2:
      return avx2::table;
#endif
    default:
      return baseline::table;
  }
}

const BitKernels& bit_kernels() {
  switch (isa()) {
#if defined(NEURN_X86)
    case Isa::avx512:
      return avx512::bit_table;
    case Isa::avx2:
      return avx2::bit_table;
#endif
    default:
      return baseline::bit_table;
  }
}

const NumberKernels& number_kernels() {
  switch (isa()) {
#if defined(NEURN_X86)
    case Isa::avx512:
      return avx512::number_table;
    case Isa::avx2:
      return avx2::number_table;
#endif
    default:
      return baseline::number_table;
  }
}

}  // namespace neurn::align
