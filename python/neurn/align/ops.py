"""The Python half of torch.ops.neurn.nw_scores and its kin: shapes without data.

``nw_scores(tokens, offsets, pairs, substitution, gap_open, gap_extend)`` scores a list of pairs of
sequences, ``nw_cross_scores(tokens, offsets, rows, columns, ...)`` every one of `rows` with every
one of `columns`, both int64 numbers of sequences. Sequence i is ``tokens[offsets[i] :
offsets[i + 1]]``, of tokens 0 to 65535; `substitution` has shape (symbols, symbols), or (2,) for
match and mismatch; a gap of length L scores ``gap_open + L * gap_extend``. The result is int32
where `substitution` is of integers, else float64, and exact. See csrc/align/op.cpp.

``nw_paths(tokens, offsets, pairs, substitution, gap_open, gap_extend, memory=2**30)`` gives scores
and paths of a list of pairs, as `neurn.align.align` does: the moves of pair p (1 diagonal, 2 up, 4
left) are ``moves[begins[p]:ends[p]]``. On CUDA it takes at most `memory` bytes beside its results.

On CUDA work is put on the current stream. The call waits for the device once, to tell whether the
arguments hold what they must. While a CUDA graph is captured it cannot: where they do not, all
scores are then NaN, or -2^31.

Scores are those of a problem over whole numbers: there is no gradient.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64)
_FLOATS = (torch.float32, torch.float64)


def _refuse_cuda(*_: Any) -> Any:
    raise RuntimeError(
        "neurn was built without CUDA kernels: move all tensors to the CPU, or install neurn again "
        "where nvcc is"
    )


# Without a kernel for autograd torch would warn of a missing derivative.
_library = torch.library.Library("neurn", "IMPL")
for _name in ("nw_scores", "nw_cross_scores", "nw_paths"):
    _library.impl(_name, torch.library.fallthrough_kernel, "Autograd")
    if not torch._C._dispatch_has_kernel_for_dispatch_key(f"neurn::{_name}", "CUDA"):
        _library.impl(_name, _refuse_cuda, "CUDA")


@torch.library.register_fake("neurn::nw_scores")
def _(
    tokens: Tensor,
    offsets: Tensor,
    pairs: Tensor,
    substitution: Tensor,
    gap_open: float,
    gap_extend: float,
) -> Tensor:
    _check_pairs(pairs)
    dtype = _check(tokens, offsets, substitution)
    return pairs.new_empty((pairs.shape[0],), dtype=dtype)


@torch.library.register_fake("neurn::nw_cross_scores")
def _(
    tokens: Tensor,
    offsets: Tensor,
    rows: Tensor,
    columns: Tensor,
    substitution: Tensor,
    gap_open: float,
    gap_extend: float,
) -> Tensor:
    for name, side in (("rows", rows), ("columns", columns)):
        if side.dim() != 1 or side.dtype != torch.int64:
            raise RuntimeError(f"{name} must be of int64 and have 1 dimension")
    dtype = _check(tokens, offsets, substitution)
    return rows.new_empty((rows.shape[0], columns.shape[0]), dtype=dtype)


@torch.library.register_fake("neurn::nw_paths")
def _(
    tokens: Tensor,
    offsets: Tensor,
    pairs: Tensor,
    substitution: Tensor,
    gap_open: float,
    gap_extend: float,
    memory: int = 2**30,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    _check_pairs(pairs)
    dtype = _check(tokens, offsets, substitution)
    count = pairs.shape[0]
    moves = pairs.new_empty((torch.library.get_ctx().new_dynamic_size(),), dtype=torch.uint8)
    begins, ends = (pairs.new_empty((count,)) for _ in range(2))
    return pairs.new_empty((count,), dtype=dtype), moves, begins, ends


def _check_pairs(pairs: Tensor) -> None:
    if pairs.dim() != 2 or pairs.shape[1] != 2 or pairs.dtype != torch.int64:
        raise RuntimeError("pairs must be of int64 and have shape (pairs, 2)")


def _check(tokens: Tensor, offsets: Tensor, substitution: Tensor) -> torch.dtype:
    """Refuse what can be told from shapes and types; return the scores' type."""
    if tokens.dim() != 1:
        raise RuntimeError(f"tokens must have 1 dimension, got {tokens.dim()}")
    if offsets.dim() != 1 or offsets.shape[0] == 0 or offsets.dtype != torch.int64:
        raise RuntimeError("offsets must be of int64 and have shape (sequences + 1,)")
    shape = substitution.shape
    if not (len(shape) == 2 and shape[0] == shape[1]) and tuple(shape) != (2,):
        raise RuntimeError(
            "substitution must have shape (symbols, symbols), or (2,) for match and mismatch"
        )
    for name, tensor, allowed in (
        ("tokens", tokens, _INTEGERS),
        ("substitution", substitution, _INTEGERS + _FLOATS),
    ):
        if tensor.dtype not in allowed:
            kind = "an integer" + (" or floating (32 or 64 bits)" if allowed != _INTEGERS else "")
            got = str(tensor.dtype).removeprefix("torch.")
            raise RuntimeError(f"{name} must have {kind} dtype, got {got}")
    return torch.int32 if substitution.dtype in _INTEGERS else torch.float64
