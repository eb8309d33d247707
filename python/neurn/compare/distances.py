"""Root mean squared differences of all pairs of maps, in blocks, and who goes with whom."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from neurn._optional import import_optional

_BLOCK_BYTES = 64 * 1024**2


@dataclass(frozen=True)
class Found:
    """What each neuron got.

    Attributes
    ----------
    score : Tensor, shape (neurons,)
        Root mean squared difference to the chosen map, or the mean over all; NaN where a neuron
        has no partner.
    choice : Tensor of int64, shape (neurons,)
        Which map; -1 for none or all.
    """

    score: Tensor
    choice: Tensor


def blocks(
    x: Tensor, y: Tensor, block_bytes: int = _BLOCK_BYTES
) -> Iterator[tuple[int, int, Tensor]]:
    """Yield mean squared differences of rows of x and rows of y, block by block.

    Parameters
    ----------
    x, y : Tensor, shapes (n, cells) and (m, cells)
    block_bytes : int
        Size of a block at most.

    Yields
    ------
    tuple of int, int, Tensor
        First row of x and of y, and the block.
    """
    cells = x.shape[1]
    width = min(len(y), 8192)
    height = max(1, min(len(x), block_bytes // (width * x.element_size())))
    xx, yy = x.square().sum(1), y.square().sum(1)
    for j in range(0, len(y), width):
        other = y[j : j + width].T
        for i in range(0, len(x), height):
            block = x[i : i + height] @ other
            block.mul_(-2).add_(xx[i : i + height, None]).add_(yy[None, j : j + width])
            yield i, j, block.clamp_(min=0).div_(cells)


def pair(x: Tensor, y: Tensor, pairing: str) -> Found:
    """Pair each row of x with rows of y.

    Parameters
    ----------
    x, y : Tensor, shapes (n, cells) and (m, cells)
    pairing : {"mean", "best", "assignment"}

    Returns
    -------
    Found
    """
    n = len(x)
    if pairing == "mean":
        total = x.new_zeros(n)
        for i, _, block in blocks(x, y):
            total[i : i + len(block)] += block.sqrt_().sum(1)
        return Found(total / len(y), torch.full((n,), -1, device=x.device))
    if pairing == "assignment":
        cost = x.new_empty(n, len(y))
        for i, j, block in blocks(x, y):
            cost[i : i + block.shape[0], j : j + block.shape[1]] = block.sqrt_()
        optimize = import_optional("scipy.optimize", "mouse")
        rows, columns = optimize.linear_sum_assignment(cost.cpu().numpy())
        choice = torch.full((n,), -1, device=x.device)
        choice[torch.from_numpy(rows)] = torch.from_numpy(columns).to(x.device)
        return Found(between(x, y, choice), choice)
    best, choice = (
        x.new_full((n,), float("inf")),
        torch.zeros(n, dtype=torch.int64, device=x.device),
    )
    for i, j, block in blocks(x, y):
        value, place = block.min(1)
        rows_ = slice(i, i + len(block))
        closer = value < best[rows_]
        best[rows_] = torch.where(closer, value, best[rows_])
        choice[rows_] = torch.where(closer, place + j, choice[rows_])
    return Found(between(x, y, choice), choice)


def between(x: Tensor, y: Tensor, choice: Tensor) -> Tensor:
    """Return root mean squared differences of each row of x and its own row of y.

    Computed from the differences themselves: exact where both are the same.
    """
    result = x.new_full((len(x),), float("nan"))
    each = torch.nonzero(choice >= 0)[:, 0]
    step = max(1, _BLOCK_BYTES // (x.shape[1] * x.element_size()))
    for begin in range(0, len(each), step):
        part = each[begin : begin + step]
        result[part] = (x[part] - y[choice[part]]).square().mean(1).sqrt()
    return result


Normalizer = Callable[[Tensor], Tensor]


def normalizer(normalize: str) -> Normalizer:
    """Return what normalizes maps (maps, cells); a constant map becomes zeros."""

    def apply(maps: Tensor) -> Tensor:
        if normalize == "none":
            return maps
        if normalize == "minmax":
            shift = maps.amin(1, keepdim=True)
            scale = maps.amax(1, keepdim=True) - shift
        elif normalize == "zscore":
            shift = maps.mean(1, keepdim=True)
            # Of the differences: as exact as torch.std here, and several times as fast.
            scale = (maps - shift).square_().mean(1, keepdim=True).sqrt_()
        else:
            shift = maps.new_zeros(len(maps), 1)
            scale = maps.norm(dim=1, keepdim=True)
        rounding = 8 * torch.finfo(maps.dtype).eps * maps.abs().amax(1, keepdim=True)
        flat = scale <= rounding
        return torch.where(flat, 0, (maps - shift) / torch.where(flat, 1, scale))

    return apply


def to_tensor(values: Any, device: str | torch.device, dtype: torch.dtype) -> Tensor:
    """Return an array as a tensor of that type there."""
    return torch.from_numpy(np.ascontiguousarray(values)).to(device=device, dtype=dtype)
