"""Devices that torch can compute on."""

from __future__ import annotations

import torch


def check_device(device: str | torch.device) -> None:
    """Raise ValueError, in one sentence, unless torch can compute there."""
    try:
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device must be one that torch has here, got {str(device)!r}") from error
