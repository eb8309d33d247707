// The CUDA kernels of nw_scores as plain C++.
#include "align/cuda/scores.cu"
