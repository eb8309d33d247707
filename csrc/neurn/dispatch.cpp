// Chooses among the kernels compiled for several instruction sets.
#include <cstdlib>
#include <cstring>

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

namespace {

const Kernels& choose() {
#if defined(NEURN_X86)
  const char* asked = std::getenv("NEURN_CPU");
  const bool any = asked == nullptr || *asked == 0;
  __builtin_cpu_init();
  if ((any || std::strcmp(asked, "avx512") == 0) && __builtin_cpu_supports("x86-64-v4")) {
    return avx512::table;
  }
  if ((any || std::strncmp(asked, "avx", 3) == 0) && __builtin_cpu_supports("x86-64-v3")) {
    return avx2::table;
  }
#endif
  return baseline::table;
}

}  // namespace

const Kernels& kernels() {
  static const Kernels& chosen = choose();
  return chosen;
}

}  // namespace neurn

extern "C" [[gnu::visibility("default")]] const char* neurn_cpu_kernels() {
  return neurn::kernels().name;
}
