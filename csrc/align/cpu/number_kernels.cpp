// Compiled once per instruction set (NEURN_ISA, NEURN_VECTOR_BYTES).
#include "../number_kernels.h"

#include "look_up.h"
#include "numbers.h"

namespace neurn::align::NEURN_ISA {
namespace {

template <class T, bool affine>
void run_scored(const NumberCall& call) {
  return call.scores == nullptr ? run_numbers<T, affine, true>(call)
                                : run_numbers<T, affine, false>(call);
}

template <bool affine, class Byte, class Short, class Long>
void run_sized(const NumberCall& call) {
  switch (call.scoring.bytes) {
    case 1:
      return run_scored<Byte, affine>(call);
    case 2:
      return run_scored<Short, affine>(call);
    default:
      return run_scored<Long, affine>(call);
  }
}

void run(const NumberCall& call) {
  return call.scoring.affine ? run_sized<true, int8_t, int16_t, int32_t>(call)
                             : run_sized<false, uint8_t, uint16_t, uint32_t>(call);
}

}  // namespace

extern const NumberKernels number_table;
const NumberKernels number_table{NEURN_VECTOR_BYTES, quick_symbols, run, look_up};

}  // namespace neurn::align::NEURN_ISA
