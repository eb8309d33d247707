"""The tensors that are timed."""

from __future__ import annotations

import torch
from torch import Tensor

BATCH = (64, 3, 224, 224)  # a sample fits in the L2 cache of a core
SMALL = (256, 3, 32, 32)
LARGE = (4, 3, 1024, 1024)  # a plane does not fit
SHAPES = (BATCH, SMALL, LARGE)


def label(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def normal(shape: tuple[int, ...], quick: bool, seed: int = 0) -> Tensor:
    if quick:
        samples, channels, height, width = shape
        shape = (min(samples, 2), channels, min(height, 40), min(width, 40))
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=generator)


def as_kind(x: Tensor, kind: str) -> Tensor:
    """`x` as one line of the table of other types and layouts."""
    if kind == "float32, channels last":
        return x.contiguous(memory_format=torch.channels_last)
    return x.to(getattr(torch, kind))


KINDS = ("bfloat16", "float64", "float32, channels last")
