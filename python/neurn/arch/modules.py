"""The layers of a torch model as it defines them, without running it."""

from __future__ import annotations

from typing import Any

from torch import nn

from neurn.arch.layers import Layer

_CHANNELS = (("in_channels", "out_channels"), ("in_features", "out_features"))


def modules(model: nn.Module) -> tuple[Layer, ...]:
    """Return the modules that compute, in the order of their definition.

    Those without children, and those with parameters or buffers of their own (MultiheadAttention).
    A module that is used twice counts once; functions are not seen.

    Parameters
    ----------
    model : torch.nn.Module
    """
    return tuple(
        Layer(name, _kind(module), type(module).__name__, _parameters(module))
        for name, module in model.named_modules()
        if _computes(module)
    )


def _computes(module: nn.Module) -> bool:
    own = any(True for _ in module.parameters(False)) or any(True for _ in module.buffers(False))
    return own or next(module.children(), None) is None


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def _parameters(module: nn.Module) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kernel = getattr(module, "kernel_size", None)
    if kernel is not None:
        count = int(name[-2]) if (name := type(module).__name__)[-2:-1].isdigit() else 1
        stride = getattr(module, "stride", None) or 1
        found = {"kernel": _each(kernel, count), "stride": _each(stride, count)}
    groups = getattr(module, "groups", None)
    if isinstance(groups, int):
        found["groups"] = groups
    for names in _CHANNELS:
        if all(isinstance(getattr(module, name, None), int) for name in names):
            found["channels"] = tuple(getattr(module, name) for name in names)
    return found


def _each(value: Any, count: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (tuple, list)) else (value,) * count
