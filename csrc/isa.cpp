#include "isa.h"

#include <cstdlib>
#include <cstring>

namespace neurn {
namespace {

Isa choose() {
#if defined(NEURN_X86)
  const char* asked = std::getenv("NEURN_CPU");
  const bool any = asked == nullptr || *asked == 0;
  __builtin_cpu_init();
  if ((any || std::strcmp(asked, "avx512") == 0) && __builtin_cpu_supports("x86-64-v4")) {
    return Isa::avx512;
  }
  if ((any || std::strncmp(asked, "avx", 3) == 0) && __builtin_cpu_supports("x86-64-v3")) {
    return Isa::avx2;
  }
#endif
  return Isa::baseline;
}

}  // namespace

Isa isa() {
  static const Isa chosen = choose();
  return chosen;
}

}  // namespace neurn
