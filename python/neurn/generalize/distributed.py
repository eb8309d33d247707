"""One training on several processes: what each of them works on, and what they share."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


@contextmanager
def process_group(device: str = "cpu") -> Iterator[None]:
    """Join the processes that ``torchrun`` started, for the time of the block.

    Without ``torchrun`` (no ``WORLD_SIZE``), and inside another block, nothing happens.

    Parameters
    ----------
    device : str
        ``"cuda"`` uses NCCL and the GPU of the local rank; anything else uses gloo.
    """
    if "WORLD_SIZE" not in os.environ or dist.is_initialized():
        yield
        return
    if device.startswith("cuda"):
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def world() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the number of this process, 0 for the first."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_first() -> bool:
    """Say whether this process writes files and shows progress."""
    return rank() == 0


def share(value: Any) -> Any:
    """Return the first process's `value` in all of them."""
    if world() == 1:
        return value
    box = [value]
    dist.broadcast_object_list(box, src=0)
    return box[0]


def gather_rows(rows: Tensor, count: int) -> Tensor:
    """Join what each process made of every `world`-th row.

    Parameters
    ----------
    rows : Tensor, shape (ceil or floor of count / world, K)
        Rows rank, rank + world, ... of the whole.
    count : int
        Rows of the whole.

    Returns
    -------
    Tensor, shape (count, K)
        In every process, on the CPU.
    """
    if world() == 1:
        return rows
    parts: list[Any] = [None] * world()
    dist.all_gather_object(parts, rows.cpu())
    whole = torch.empty(count, *rows.shape[1:], dtype=rows.dtype)
    for place, part in enumerate(parts):
        whole[place :: world()] = part
    return whole
