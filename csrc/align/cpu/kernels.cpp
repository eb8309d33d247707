// Compiled once per instruction set (NEURN_ISA).
#include "diagonal.h"

namespace neurn::align::NEURN_ISA {

#define NEURN_STRING_(name) #name
#define NEURN_STRING(name) NEURN_STRING_(name)

extern const Kernels table;
const Kernels table{NEURN_STRING(NEURN_ISA), sweep_strip<int32_t>, sweep_strip<int64_t>};

}  // namespace neurn::align::NEURN_ISA
