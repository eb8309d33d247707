"""The layers of one forward pass, seen as the calls of torch's functions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from itertools import groupby
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from neurn.arch.inputs import Arguments
from neurn.arch.layers import Layer
from neurn.arch.vocabulary import CANONICAL

# Python's operators and in-place forms of the functions they stand for.
_SAME = {"iadd": "add", "radd": "add", "imul": "mul", "rmul": "mul", "multiply": "mul"}
_CATS = ("concat", "concatenate")

# Where the parameters that matter stand among a function's arguments.
_CONV = ("input", "weight", "bias", "stride", "padding", "dilation", "groups")
_TRANSPOSED = ("input", "weight", "bias", "stride", "padding", "output_padding", "groups")
_POOL = ("input", "kernel_size", "stride")
_WEIGHTED = ("input", "weight")

# What moves, makes or asks about numbers, and is no layer under any vocabulary.
_MOVES = frozenset(
    """
    size dim numel view reshape flatten permute transpose contiguous expand expand_as chunk
    split unbind unsqueeze squeeze getitem setitem get set type to float half bfloat16 stack pad
    roll clone detach zeros ones empty full arange linspace zeros_like ones_like empty_like
    full_like tensor repeat repeat_interleave masked_fill where tril triu movedim moveaxis
    swapaxes swapdims unfold narrow select index_select gather view_as reshape_as
    is_floating_point is_complex item tolist stride is_contiguous data_ptr element_size
    new_zeros new_ones new_empty new_full new_tensor type_as unflatten channel_shuffle
    native_channel_shuffle pixel_shuffle pixel_unshuffle long int bool cpu t interpolate
    upsample broadcast_to tile copy fill eq ne lt le gt ge rsub sub div truediv rdiv neg pow
    sqrt rsqrt floordiv mod len hash format repr device dtype shape requires_grad is_cuda
    is_nested ndim data grad_fn result_type promote_types sum amax amin exp log abs clamp argmax
    argmin all any sort cumsum hstack vstack is_meta layout names set_grad_enabled max min norm
    meshgrid cos sin outer scalar_tensor and or invert xor as_strided slice alias
    lift_fresh_copy sym_size embedding_renorm
    """.split()
)


class _Mode(TorchFunctionMode):
    """Notes each call that is a layer."""

    def __init__(self, name: Callable[[], tuple[str, str]]) -> None:
        super().__init__()
        self.name = name
        self.layers: list[Layer] = []

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        kind = plain_name(getattr(func, "__name__", ""))
        if kind and kind not in _MOVES:
            name, module = self.name()
            self.layers += _layers(kind, name, module, args, kwargs, result)
        return result


def plain_name(name: str) -> str:
    """Return a function's name without what in-place forms, operators and overloads add to it."""
    name = name.partition(".")[0].strip("_")
    if name in _CATS:
        return "cat"
    return _SAME.get(name, name)


def _layers(
    kind: str, name: str, module: str, args: Any, kwargs: Mapping[str, Any], result: Any
) -> Iterator[Layer]:
    first = result
    while isinstance(first, (tuple, list)) and first:
        first = first[0]
    if not isinstance(first, torch.Tensor):
        return
    shape = tuple(int(side) for side in first.shape)
    if kind == "multi_head_attention_forward":
        # Its projections are layers as they are of those who write them out.
        for part in ("linear", "scaled_dot_product_attention", "linear"):
            yield Layer(name, part, module, {}, shape)
    elif is_layer(kind, args, kwargs):
        yield Layer(name, kind, module, parameters(kind, args, kwargs, shape), shape)


def is_layer(kind: str, args: Any, kwargs: Mapping[str, Any]) -> bool:
    """Return whether a call does what its name says: not of numbers, not on one."""
    if kind in ("add", "mul"):
        operands = [*args, *kwargs.values()][:2]
        return sum(_dimensions(operand) > 0 for operand in operands) == 2
    if kind == "mean":
        dims = kwargs.get("dim", args[1] if len(args) > 1 else None)
        return dims is not None and _dimensions(args[0]) > 2
    if "dropout" in kind:
        return bool(_argument(("input", "p"), "p", args, kwargs, 0.5) != 0)
    return True


def _dimensions(value: Any) -> int:
    return value.dim() if isinstance(value, torch.Tensor) else 0


def _argument(
    names: tuple[str, ...], name: str, args: Any, kwargs: Mapping[str, Any], default: Any
) -> Any:
    place = names.index(name)
    value = args[place] if len(args) > place else kwargs.get(name)
    return default if value is None else value


def parameters(
    kind: str, args: Any, kwargs: Mapping[str, Any], shape: tuple[int, ...]
) -> dict[str, Any]:
    """Return the parameters that matter of a call.

    Parameters
    ----------
    kind : str
    args, kwargs
        As the function was called.
    shape : tuple of int
        Of what it returned.
    """
    if kind.startswith("conv"):
        names = _TRANSPOSED if "transpose" in kind else _CONV
        weight = _argument(names, "weight", args, kwargs, None)
        sides = tuple(int(side) for side in weight.shape)
        groups = int(_argument(names, "groups", args, kwargs, 1))
        into, out = (sides[0], sides[1] * groups)
        if names is _CONV:
            into, out = sides[1] * groups, sides[0]
        stride = _argument(names, "stride", args, kwargs, 1)
        found = {"kernel": sides[2:], "stride": _each(stride, len(sides) - 2)}
        return {**found, "groups": groups, "channels": (into, out)}
    if "pool" in kind and "adaptive" not in kind:
        size = _argument(_POOL, "kernel_size", args, kwargs, 1)
        stride = _argument(_POOL, "stride", args, kwargs, size) or size
        count = int(kind[kind.index("pool") + 4])
        return {"kernel": _each(size, count), "stride": _each(stride, count)}
    if kind in ("linear", "embedding"):
        weight = _argument(_WEIGHTED, "weight", args, kwargs, None)
        if kind == "embedding":
            weight = args[0] if len(args[0].shape) == 2 else weight
        sides = tuple(int(side) for side in weight.shape)
        return {"channels": sides[::-1] if kind == "linear" else sides}
    return {}


def _each(value: Any, count: int) -> tuple[int, ...]:
    found = tuple(int(x) for x in value) if isinstance(value, (tuple, list)) else (int(value),)
    return found * count if len(found) == 1 else found


def trace(model: nn.Module, inputs: Arguments, device: str | None) -> tuple[Layer, ...]:
    """Run a model once, in evaluation mode and without gradients, and return its layers.

    Parameters
    ----------
    model : torch.nn.Module
        As it was afterwards: its own weights are used only without `device`.
    inputs : tuple of (tuple, dict)
        Arguments by position and by name.
    device : {"meta"}, optional
        Where weights and inputs have shapes but no numbers.
    """
    stack: list[tuple[str, str]] = [("", type(model).__name__)]
    mode = _Mode(lambda: stack[-1])
    positions, names = inputs
    with quiet(model), _names(model, stack), torch.no_grad():
        if device is None:
            with mode:
                model(*positions, **names)
        else:
            with torch.device(device), mode:
                arguments = to_meta(positions), to_meta(names)
                torch.func.functional_call(model, on_meta(model), *arguments)
    return written_out_attention(written_out_modules(mode.layers))


# Modules that are one layer, by the end of their class, and what such a layer is called where the
# vocabularies lack the class.
_NORM = re.compile(r"Norm(\dd)?$")
_ACTIVATION = re.compile(r"(Activation|GELU|SiLU|Swish|Mish)(\w?)$")
_WRITTEN = frozenset(["activation", "add", "mul", "pool", None])


def written_out_modules(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Make one layer of a norm or activation whose module writes out what it computes.

    A module is known by its class: ``LlamaRMSNorm``, ``NewGELUActivation``. One that calls a
    function for it, or any other layer, stays as it is.

    Parameters
    ----------
    layers : sequence of Layer
    """
    found: list[Layer] = []
    for _, run in groupby(layers, key=lambda layer: (layer.name, layer.module)):
        each = list(run)
        kind = _written_kind(each[0].module)
        tokens = [CANONICAL.tokens.get(layer.kind) for layer in each]
        plain = _WRITTEN.issuperset(tokens) and tokens.count("activation") < 2
        if kind and plain and (len(each) > 1 or tokens == ["pool"]):
            last = each[-1]
            each = [Layer(last.name, kind, last.module, {}, last.shape)]
        found += each
    return tuple(found)


def _written_kind(module: str) -> str:
    """Return what a module is that may write out a norm or an activation, "" for others."""
    if _NORM.search(module):
        if CANONICAL.tokens.get(module) == "norm":
            return module
        return "rms_norm" if "RMS" in module else "layer_norm" if "LayerNorm" in module else "norm"
    if _ACTIVATION.search(module):
        return module if CANONICAL.tokens.get(module) == "activation" else "activation"
    return ""


# ONNX begins with capitals, and moves numbers between them.
_PRODUCTS = frozenset(["MatMul", "baddbmm", "bmm", "einsum", "matmul"])
_SOFTMAX = frozenset(["Softmax", "softmax"])
_BETWEEN = frozenset(["Add", "Dropout", "Mul", "add", "dropout", "mul"])


def written_out_attention(layers: Sequence[Layer]) -> tuple[Layer, ...]:
    """Make one layer of product, softmax and product: attention as those see it who call it so.

    Parameters
    ----------
    layers : sequence of Layer
    """
    found: list[Layer] = []
    rest = iter(range(len(layers)))
    for i in rest:
        found.append(layers[i])
        if layers[i].kind not in _SOFTMAX:
            continue
        first, last = len(found) - 2, i + 1
        while first >= 0 and found[first].kind in _BETWEEN:
            first -= 1
        while last < len(layers) and layers[last].kind in _BETWEEN:
            last += 1
        products = (found[first : first + 1] if first >= 0 else []) + list(layers[last : last + 1])
        if len(products) == 2 and all(layer.kind in _PRODUCTS for layer in products):
            place = found[first]
            kind = "scaled_dot_product_attention"
            found[first:] = [Layer(place.name, kind, place.module, {}, products[1].shape)]
            for _ in range(i, last):
                next(rest)
    return tuple(found)


@contextmanager
def quiet(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode, and each of its modules back at the end."""
    training = [(module, module.training) for module in model.modules()]
    with suppress(NotImplementedError):  # exported modules are in the mode they were exported in
        model.eval()
    try:
        yield
    finally:
        for module, was in training:
            module.training = was


@contextmanager
def _names(model: nn.Module, stack: list[tuple[str, str]]) -> Iterator[None]:
    """Keep the module that runs, by name and class, on top of a stack."""
    handles: list[Any] = []

    def follow(name: str, module: nn.Module) -> None:
        entry = (name, type(module).__name__)
        handles.append(module.register_forward_pre_hook(lambda *_: stack.append(entry)))
        handles.append(module.register_forward_hook(lambda *_: stack.pop() and None))

    try:
        for name, module in model.named_modules():
            if name:
                follow(name, module)
        yield
    finally:
        for handle in handles:
            handle.remove()


def on_meta(model: nn.Module) -> dict[str, torch.Tensor]:
    """Return a model's parameters and buffers without numbers."""
    tensors = [*model.named_parameters(), *model.named_buffers()]
    return {name: torch.empty_like(tensor, device="meta") for name, tensor in tensors}


def to_meta(value: Any) -> Any:
    """Return arguments with every tensor on the meta device."""
    return mapped(lambda tensor: tensor.to("meta"), value)


def mapped(change: Callable[[torch.Tensor], torch.Tensor], value: Any) -> Any:
    """Return arguments, nested or not, with every tensor changed."""
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, dict):
        return {key: mapped(change, each) for key, each in value.items()}
    if type(value) in (tuple, list):
        return type(value)(mapped(change, each) for each in value)
    return value
