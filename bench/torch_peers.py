"""NeuRN as people write it in torch, each for (N, C, H, W) and scope "image", on any device.

All of them square before they average, so they lose digits where the mean is far from 0.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Peer = Callable[[Tensor, int], Tensor]


def over_maximum(sigma: Tensor) -> Tensor:
    return sigma / sigma.amax((1, 2, 3), keepdim=True)


def _pad(x: Tensor, k: int) -> Tensor:
    return F.pad(x, (k // 2,) * 4, mode="reflect")


def avg_pool(x: Tensor, k: int) -> Tensor:
    padded = _pad(x, k)
    mean = F.avg_pool2d(padded, k, 1)
    square = F.avg_pool2d(padded * padded, k, 1)
    return over_maximum((square - mean * mean).clamp_min(0).sqrt())


def shifted_slices(x: Tensor, k: int) -> Tensor:
    height, width = x.shape[-2:]
    padded = _pad(x, k)
    mean = torch.zeros_like(x)
    square = torch.zeros_like(x)
    for i in range(k):
        for j in range(k):
            shifted = padded[..., i : i + height, j : j + width]
            mean = mean + shifted
            square = square + shifted * shifted
    mean = mean / k**2
    return over_maximum((square / k**2 - mean * mean).clamp_min(0).sqrt())


def unfold(x: Tensor, k: int) -> Tensor:
    patches = _pad(x, k).unfold(-2, k, 1).unfold(-2, k, 1)
    return over_maximum(patches.std((-2, -1), unbiased=False))


def reference(x: Tensor, k: int) -> Tensor:
    """What every contestant must compute: float64, rows before columns, so any k is affordable."""

    def mean(values: Tensor) -> Tensor:
        return F.avg_pool2d(F.avg_pool2d(values, (k, 1), 1), (1, k), 1)

    padded = _pad(x.double(), k)
    return over_maximum((mean(padded * padded) - mean(padded) ** 2).clamp_min(0).sqrt())
