// The CUDA kernels of the backward pass as plain C++.
#include "neurn/cuda/backward.cu"
