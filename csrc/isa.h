// Which of the instruction sets that kernels are compiled for is used.
#pragma once

namespace neurn {

enum class Isa { baseline, avx2, avx512 };

// The widest that this processor has. The environment variable NEURN_CPU (baseline, avx2, avx512)
// asks for less.
Isa isa();

}  // namespace neurn
