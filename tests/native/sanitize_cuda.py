"""Runs the CUDA kernels on odd sizes, for compute-sanitizer to watch: see `make sanitize-cuda`."""

import sys

import torch

import neurn

SHAPES = [(1, 1, 1, 8), (3, 2, 5, 7), (5, 1, 28, 28), (1, 3, 67, 75), (2, 11, 20, 35)]
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def main() -> int:
    """Run every path; compute-sanitizer reports by its exit status."""
    if not torch.cuda.is_available():
        print("no CUDA device is present: nothing to watch")
        return 1
    count = 0
    shapes = [*SHAPES, (1, 3, 224, 224)]
    for number, shape in enumerate(shapes):
        for kernel_size in (1, 3, 5, 7, 9, 31, 33):
            for turn, padding in enumerate(("reflect", "replicate", "circular", "zeros", "valid")):
                if kernel_size > 7 and shape[-1] > 100:
                    continue
                scope = ("image", "channel", "batch", "none")[count % 4]
                x = torch.randn(shape, device="cuda").to(DTYPES[(number + turn) % 4])
                if count % 3 == 0:
                    x = x.contiguous(memory_format=torch.channels_last)
                try:
                    y = neurn.neurn(x.requires_grad_(), kernel_size, padding, scope)
                except RuntimeError as error:
                    if "too small" not in str(error):
                        raise
                    continue
                torch.autograd.grad(y, x, torch.ones((), device="cuda", dtype=y.dtype).expand_as(y))
                count += 1
    torch.cuda.synchronize()
    print(f"{count} calls, forward and backward")
    return 0


if __name__ == "__main__":
    sys.exit(main())
