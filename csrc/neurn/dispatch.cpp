// Chooses among the kernels compiled for several instruction sets.
#include "../isa.h"
#include "problem.h"

namespace neurn {

namespace baseline {
extern const Kernels table;
}
#if defined(NEURN_X86)
namespace avx2 {
extern const Kernels table;
}
namespace avx512 {
extern const Kernels table;
}
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

}  // namespace neurn

extern "C" [[gnu::visibility("default")]] const char* neurn_cpu_kernels() {
  return neurn::kernels().name;
}
