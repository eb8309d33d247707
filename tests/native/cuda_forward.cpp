// The CUDA kernels of the forward pass as plain C++.
#include "neurn/cuda/forward.cu"
