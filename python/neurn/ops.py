"""The Python half of torch.ops.neurn: shapes without data, autograd, vmap.

`neurn::forward` is a composite of `neurn::forward_stats`, which also returns the maxima and their
places, and `neurn::backward` is its gradient. Kernels are native; see csrc/neurn.
"""

from __future__ import annotations

import math
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch._functorch.utils import enable_single_level_autograd_function
from torch.autograd.function import _SingleLevelFunction

PADDINGS = ("reflect", "replicate", "circular", "zeros", "valid")
SCOPES = ("image", "channel", "batch", "none")
_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def argument_error(kernel_size: int, padding: str, scope: str, floor: float) -> str | None:
    """Return the sentence for wrong parameters, or None. The native library says the same."""
    if not isinstance(kernel_size, Integral) or kernel_size < 1 or kernel_size % 2 == 0:
        return f"kernel_size must be an odd integer >= 1, got {kernel_size}"
    if padding not in PADDINGS:
        return f"padding must be one of {', '.join(map(repr, PADDINGS))}, got {padding!r}"
    if scope not in SCOPES:
        return f"scope must be one of {', '.join(map(repr, SCOPES))}, got {scope!r}"
    if not math.isfinite(floor) or floor < 0:
        return f"floor must be a finite number >= 0, got {floor:g}"
    return None


def _check(x: Tensor, kernel_size: int, padding: str, scope: str, floor: float) -> None:
    error = argument_error(kernel_size, padding, scope, floor)
    if error is not None:
        raise RuntimeError(error)
    if x.dim() not in (3, 4):
        plural = "dimension" if x.dim() == 1 else "dimensions"
        raise RuntimeError(f"x must have shape (C, H, W) or (N, C, H, W), got {x.dim()} {plural}")
    if x.dtype not in _DTYPES:
        name = str(x.dtype).removeprefix("torch.")
        raise RuntimeError(
            f"x must have a floating dtype (float16, bfloat16, float32 or float64), got {name}"
        )
    half = kernel_size // 2
    least = {"reflect": half + 1, "circular": max(half, 1), "valid": kernel_size}.get(padding, 1)
    height, width = x.shape[-2:]
    if height < least or width < least:
        raise RuntimeError(
            f"x of height {height} and width {width} is too small for kernel_size {kernel_size} "
            f"with padding {padding!r}: both must be at least {least}"
        )


def _empty_image(x: Tensor, height: int, width: int) -> Tensor:
    y = x.new_empty((*x.shape[:-2], height, width))
    if x.dim() == 4:
        y = y.contiguous(memory_format=torch._prims_common.suggest_memory_format(x))
    return y


def _peak_shape(x: Tensor, scope: str) -> tuple[int, ...]:
    samples = x.shape[0] if x.dim() == 4 else 1
    if scope == "image":
        return (samples,)
    if scope == "channel":
        return (samples, x.shape[-3])
    return (1,) if scope == "batch" else (0,)


def _forward(
    x: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> Tensor:
    y: Tensor = _forward_stats(x, kernel_size, padding, scope, floor)[0]
    return y


_forward_stats = torch.ops.neurn.forward_stats.default
_backward = torch.ops.neurn.backward.default
_library = torch.library.Library("neurn", "IMPL")
_library.impl("forward", _forward, "CompositeImplicitAutograd")


def _refuse_cuda(*_: Any) -> Any:
    raise RuntimeError(
        "neurn was built without CUDA kernels: move x to the CPU, or install neurn again where "
        "nvcc is"
    )


for _name in ("forward_stats", "backward"):
    if not torch._C._dispatch_has_kernel_for_dispatch_key(f"neurn::{_name}", "CUDA"):
        _library.impl(_name, _refuse_cuda, "CUDA")


@torch.library.register_fake("neurn::forward_stats")
def _(
    x: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    _check(x, kernel_size, padding, scope, floor)
    lost = kernel_size - 1 if padding == "valid" else 0
    y = _empty_image(x, x.shape[-2] - lost, x.shape[-1] - lost)
    shape = _peak_shape(x, scope)
    dtype = torch.float64 if x.dtype == torch.float64 else torch.float32
    return y, x.new_empty(shape, dtype=dtype), x.new_empty(shape, dtype=torch.int64)


@torch.library.register_fake("neurn::backward")
def _(
    grad: Tensor,
    x: Tensor,
    peak: Tensor,
    index: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> Tensor:
    _check(x, kernel_size, padding, scope, floor)
    return _empty_image(x, *x.shape[-2:])


def _below(op: Any, keys: Any, *arguments: Any) -> Any:
    with torch._C._AutoDispatchBelowAutograd():
        return op.redispatch(keys, *arguments)


# A Function's forward runs without gradients. They are switched on again for the levels of
# torch.func further out; at this level nothing is recorded below autograd.
class _ForwardStats(_SingleLevelFunction):
    @staticmethod
    def forward(keys: Any, *arguments: Any) -> tuple[Tensor, Tensor, Tensor]:
        with torch.enable_grad():
            result: tuple[Tensor, Tensor, Tensor] = _below(_forward_stats, keys, *arguments)
        return result

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
        _, x, *ctx.parameters = inputs
        _, peak, index = output
        ctx.mark_non_differentiable(peak, index)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x, peak, index)

    @staticmethod
    def backward(ctx: Any, grad: Tensor | None, *_: Any) -> tuple[Tensor | None, ...]:
        x, peak, index = ctx.saved_tensors
        dx = None
        if grad is not None:
            dx = torch.ops.neurn.backward(grad, x, peak, index, *ctx.parameters)
        return None, dx, None, None, None, None


class _Backward(_SingleLevelFunction):
    @staticmethod
    def forward(keys: Any, *arguments: Any) -> Tensor:
        with torch.enable_grad():
            dx: Tensor = _below(_backward, keys, *arguments)
        return dx

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        _, grad, x, _, index, *ctx.parameters = inputs
        ctx.save_for_backward(grad, x, index)

    @staticmethod
    def backward(ctx: Any, grad_dx: Tensor) -> tuple[Tensor | None, ...]:
        """Differentiate <grad_dx, d<grad, y>/dx> in torch operators: rarely needed, never wrong."""
        grad, x, index = ctx.saved_tensors
        dtype = grad_dx.dtype

        def gradient(grad: Tensor, x: Tensor) -> Any:
            pull = torch.func.vjp(lambda x: _composite(x, index, *ctx.parameters), x)[1]
            return pull(grad)[0]

        pull = torch.func.vjp(gradient, grad.double(), x.double())[1]
        grad_grad, grad_x = pull(grad_dx.double())
        return None, grad_grad.to(dtype), grad_x.to(dtype), None, None, None, None, None, None


def _apply(function: Any, *arguments: Any) -> Any:
    with enable_single_level_autograd_function():
        return function.apply(*arguments)


def _autograd_forward_stats(
    keys: Any,
    x: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> Any:
    keys = keys & torch._C._after_autograd_keyset
    arguments = (keys, x, kernel_size, padding, scope, floor)
    if torch.is_grad_enabled() and x.requires_grad:
        return _apply(_ForwardStats, *arguments)
    return _below(_forward_stats, *arguments)


def _autograd_backward(
    keys: Any,
    grad: Tensor,
    x: Tensor,
    peak: Tensor,
    index: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> Any:
    keys = keys & torch._C._after_autograd_keyset
    arguments = (keys, grad, x, peak, index, kernel_size, padding, scope, floor)
    if torch.is_grad_enabled() and (grad.requires_grad or x.requires_grad):
        return _apply(_Backward, *arguments)
    return _below(_backward, *arguments)


# As torch.library.register_autograd, which does not nest in torch.func (vmap of grad).
_library.impl("forward_stats", _autograd_forward_stats, "Autograd", with_keyset=True)
_library.impl("backward", _autograd_backward, "Autograd", with_keyset=True)


def _composite(
    x: Tensor, index: Tensor, kernel_size: int, padding: str, scope: str, floor: float
) -> Tensor:
    """NeuRN of a float64 x in differentiable torch operators, its maxima at `index`."""
    shape = x.shape
    flat = x.detach().flatten(0, -4) if x.dim() > 4 else x.detach()
    deviates = torch.ops.neurn.forward(flat, kernel_size, padding, "none").reshape(
        *shape[:-2], *_out_size(shape, kernel_size, padding)
    )
    deviates = deviates != 0
    half = kernel_size // 2
    planes = x.reshape(-1, 1, *shape[-2:])
    if padding != "valid" and half > 0:
        mode = "constant" if padding == "zeros" else padding
        planes = torch.nn.functional.pad(planes, (half,) * 4, mode=mode)
    # Variance does not depend on the origin; near the mean, squares keep their digits.
    planes = planes - planes.detach().mean((-2, -1), keepdim=True)
    mean = torch.nn.functional.avg_pool2d(planes, kernel_size, 1)
    square = torch.nn.functional.avg_pool2d(planes * planes, kernel_size, 1)
    variance = (square - mean * mean).reshape(deviates.shape)
    sigma = torch.where(deviates, torch.where(deviates, variance, 1.0).clamp_min(0).sqrt(), 0.0)
    if scope == "none":
        return sigma
    start = {"image": -3, "channel": -2, "batch": -sigma.dim()}[scope]
    per_scope = sigma.flatten(start)
    place = index.reshape(per_scope.shape[:-1]).unsqueeze(-1)
    peak = per_scope.gather(-1, place.clamp_min(0))
    peak = torch.where(place < 0, math.nan, peak)
    safe = torch.where(peak == 0, 1.0, peak + floor)
    return (per_scope / safe).reshape(sigma.shape)


def _out_size(shape: torch.Size, kernel_size: int, padding: str) -> tuple[int, int]:
    lost = kernel_size - 1 if padding == "valid" else 0
    return shape[-2] - lost, shape[-1] - lost


# vmap: a mapped dimension is one more batch dimension; where a scope spans a whole batch, the batch
# becomes channels, whose flat order is the same.


def _to_front(x: Tensor, dim: int | None, size: int) -> Tensor:
    return x.unsqueeze(0).expand(size, *x.shape) if dim is None else x.movedim(dim, 0)


def _merge(x: Tensor, scope: str) -> Tensor:
    if x.dim() == 4:
        return x
    return x.flatten(1, 2) if scope == "batch" else x.flatten(0, 1)


def _merged_scope(scope: str) -> str:
    return "image" if scope == "batch" else scope


@torch.library.register_vmap("neurn::forward_stats")
def _(
    info: Any,
    in_dims: tuple[int | None, ...],
    x: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[int, int, int]]:
    x = _to_front(x, in_dims[0], info.batch_size)
    y, peak, index = torch.ops.neurn.forward_stats(
        _merge(x, scope), kernel_size, padding, _merged_scope(scope), floor
    )
    y = y.reshape(*x.shape[:-2], *y.shape[-2:])
    shape = (info.batch_size, *_peak_shape(x[0], scope))
    return (y, peak.reshape(shape), index.reshape(shape)), (0, 0, 0)


@torch.library.register_vmap("neurn::backward")
def _(
    info: Any,
    in_dims: tuple[int | None, ...],
    grad: Tensor,
    x: Tensor,
    peak: Tensor,
    index: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> tuple[Tensor, int]:
    grad, x, peak, index = (
        _to_front(t, dim, info.batch_size)
        for t, dim in zip((grad, x, peak, index), in_dims[:4], strict=True)
    )
    merged = _merge(x, scope)
    merged_scope = _merged_scope(scope)
    shape = _peak_shape(merged, merged_scope)
    dx = torch.ops.neurn.backward(
        _merge(grad, scope),
        merged,
        peak.reshape(shape).contiguous(),
        index.reshape(shape).contiguous(),
        kernel_size,
        padding,
        merged_scope,
        floor,
    )
    return dx.reshape(x.shape), 0
