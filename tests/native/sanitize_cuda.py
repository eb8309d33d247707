"""Runs the CUDA kernels on odd sizes, for compute-sanitizer to watch: see `make sanitize-cuda`."""

import sys

import torch

import neurn

SHAPES = [(1, 1, 1, 8), (3, 2, 5, 7), (5, 1, 28, 28), (1, 3, 67, 75), (2, 11, 20, 35)]
DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def watch_alignment() -> int:
    """Score pairs by every kind of kernel, and trace some; return the number of calls."""
    random = torch.Generator().manual_seed(0)
    sizes = [0, 1, 63, 64, 65, 130, 7, 300, 16, 17, 2049, 33]
    offsets = torch.tensor([0, *sizes]).cumsum(0).cuda()
    tokens = torch.randint(0, 7, (sum(sizes),), generator=random).cuda()
    every = torch.arange(len(sizes), device="cuda")
    pairs = torch.cartesian_prod(every, every)
    table = torch.randint(-5, 9, (7, 7), generator=random)
    count = 0
    for substitution, gap_open, gap in (
        (torch.tensor([1, -2]), 0.0, -2.0),
        (torch.tensor([2.0, -1.0]), 0.0, -0.5),
        (torch.tensor([1, -2]), -3.0, -1.0),
        (torch.tensor([5000, -4000]), 0.0, -100.0),
        (torch.tensor([2.0**40, -1.0]), -3.0, -1.0),
        (table, 0.0, -2.0),
        (table, -10.0, -1.0),
        (table * 1000, -10.0, -1.0),
    ):
        call = substitution.cuda(), gap_open, gap
        torch.ops.neurn.nw_scores(tokens, offsets, pairs, *call)
        torch.ops.neurn.nw_cross_scores(tokens, offsets, every, every.flip(0), *call)
        torch.ops.neurn.nw_cross_scores(tokens, offsets, every[:10], every[:9], *call)
        torch.ops.neurn.nw_paths(tokens, offsets, pairs[::5], *call)
        count += 4
    return count


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
    aligned = watch_alignment()
    torch.cuda.synchronize()
    print(f"{aligned} calls of the aligner")
    return 0


if __name__ == "__main__":
    sys.exit(main())
