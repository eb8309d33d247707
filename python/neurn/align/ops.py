"""The Python half of torch.ops.neurn.nw_scores: shapes without data. See csrc/align/op.cpp.

Scores are those of a problem over whole numbers: there is no gradient.
"""

from __future__ import annotations

import torch
from torch import Tensor

_INTEGERS = (torch.uint8, torch.int8, torch.int16, torch.uint16, torch.int32, torch.int64)
_FLOATS = (torch.float32, torch.float64)


# Without a kernel for autograd torch would warn of a missing derivative.
_library = torch.library.Library("neurn", "IMPL")
_library.impl("nw_scores", torch.library.fallthrough_kernel, "Autograd")


@torch.library.register_fake("neurn::nw_scores")
def _(
    tokens: Tensor,
    offsets: Tensor,
    pairs: Tensor,
    substitution: Tensor,
    gap_open: float,
    gap_extend: float,
) -> Tensor:
    if tokens.dim() != 1:
        raise RuntimeError(f"tokens must have 1 dimension, got {tokens.dim()}")
    if offsets.dim() != 1 or offsets.shape[0] == 0 or offsets.dtype != torch.int64:
        raise RuntimeError("offsets must be of int64 and have shape (sequences + 1,)")
    if pairs.dim() != 2 or pairs.shape[1] != 2 or pairs.dtype != torch.int64:
        raise RuntimeError("pairs must be of int64 and have shape (pairs, 2)")
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
    whole = substitution.dtype in _INTEGERS
    return pairs.new_empty((pairs.shape[0],), dtype=torch.int32 if whole else torch.float64)
