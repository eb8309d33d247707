"""Any model as a sequence of layers."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import UninitializedParameter

from neurn.arch.files import is_file, read_file
from neurn.arch.graph import exported, graph
from neurn.arch.inputs import Arguments, arguments, described
from neurn.arch.keras import keras_layers
from neurn.arch.layers import Layer, LayerSequence, tokenize
from neurn.arch.modules import modules
from neurn.arch.onnx import onnx_layers
from neurn.arch.trace import mapped, trace
from neurn.arch.vocabulary import Vocabulary, find

METHODS = ("auto", "trace", "modules", "graph")


class TraceError(ValueError):
    """A model could not be read; the message says what failed and which method to use."""


def sequence(
    model: Any,
    vocabulary: str | Vocabulary = "canonical",
    *,
    method: str = "auto",
    input: Any = None,
    unknown: str | None = None,
) -> LayerSequence:
    """Read a model as a sequence of layers.

    Parameters
    ----------
    model : torch.nn.Module, keras.Model, ExportedProgram, str, path or list
        A str is a name of `neurn.arch.zoo`, or the path of a file, as a path is: ``.onnx``,
        ``.pt2`` of `torch.export.save`, ``.keras``, or ``.json`` of ``neurn arch show --json``. A
        list holds kinds (names of classes or functions), tokens of the vocabulary, or `Layer`.
    vocabulary : str or Vocabulary
        ``"published"``: letters by exact class name. ``"canonical"``: conv, norm, activation, pool
        and so on. ``"fine"``: the same with kernels, strides, and kinds of norms, activations and
        pools.
    method : {"auto", "trace", "modules", "graph"}
        Of torch models. ``"trace"``: the functions of one forward pass on the meta device, which
        needs neither weights nor memory; on the model's own device where that fails. ``"modules"``:
        the modules in the order of their definition, which runs nothing and sees no functions.
        ``"graph"``: the graph of `torch.export` in a canonical topological order, in which parallel
        branches come by depth, however the model was written. ``"auto"``: modules for the
        vocabulary ``"published"``, else trace, and modules with a warning where that fails.
    input : tuple of int, tensor, tuple or mapping of arguments, optional
        Shape of the input with its batch, or the arguments themselves, by position or by name. By
        default a batch of one, of the size that the model tells (timm, Hugging Face); else of what
        its first layer takes, images with 224, 32 or 28 pixels a side, the first that fits.
    unknown : {"keep", "drop", "error"}, optional
        What becomes of layers that the vocabulary lacks; the vocabulary's own choice by default.

    Returns
    -------
    LayerSequence

    Raises
    ------
    TraceError
        If the model cannot be run or exported.
    TypeError
        If `model` or `input` is none of these.
    ValueError
        If a file cannot be read; if `method`, `vocabulary` or `unknown` is another one, or an
        unknown layer is met and `unknown` is ``"error"``.

    Examples
    --------
    >>> import torch
    >>> from neurn import arch
    >>> model = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU())
    >>> arch.sequence(model).tokens
    ('conv', 'activation')
    """
    vocabulary = find(vocabulary)
    if method not in METHODS:
        raise ValueError(f"method must be one of {', '.join(map(repr, METHODS))}, got {method!r}")
    if isinstance(model, LayerSequence):
        return tokenize(model.layers, vocabulary, unknown, model.source)
    if _is_keras(model):
        layers, source = keras_layers(model), "layers of Keras"
    elif isinstance(model, nn.Module):
        layers, source = _torch(model, vocabulary, method, input)
    elif isinstance(model, torch.export.ExportedProgram):
        layers, source = exported(model), "graph"
    elif is_file(model):
        layers, source = read_file(Path(model))
    elif type(model).__name__ == "ModelProto":
        layers, source = onnx_layers(model), "operators of ONNX"
    elif isinstance(model, str):
        from neurn.arch import zoo

        return zoo.sequence(model, vocabulary, unknown=unknown)
    elif isinstance(model, (list, tuple)):
        layers, source = tuple(map(_plain, range(len(model)), model)), "list"
    else:
        raise TypeError(
            "model must be a torch module, a Keras model, a file, a name of the zoo or a list "
            f"of layers, got {type(model).__name__}"
        )
    return tokenize(layers, vocabulary, unknown, source)


def _is_keras(model: Any) -> bool:
    if not (hasattr(model, "layers") and hasattr(model, "get_config")):
        return False
    # With the torch backend a Keras model is a torch module too.
    keras = any(base.__module__.startswith("keras.") for base in type(model).__mro__)
    return keras or not isinstance(model, nn.Module)


def _plain(place: int, layer: Any) -> Layer:
    if isinstance(layer, Layer):
        return layer
    if not isinstance(layer, str):
        hint = ": put modules in a torch.nn.Sequential" if isinstance(layer, nn.Module) else ""
        raise TypeError(
            f"model must hold names of layers or Layer, got {type(layer).__name__} at {place}{hint}"
        )
    return Layer(str(place), layer)


def _torch(
    model: nn.Module, vocabulary: Vocabulary, method: str, input: Any
) -> tuple[tuple[Layer, ...], str]:
    if method != "auto":
        return read_torch(model, method, input=input)
    if vocabulary.name == "published":
        return read_torch(model, "modules")
    try:
        return read_torch(model, "trace", input=input)
    except TraceError as error:
        warnings.warn(f"{error} Its modules are read instead.", stacklevel=3)
        return read_torch(model, "modules")


def read_torch(
    model: nn.Module, method: str, *, input: Any = None
) -> tuple[tuple[Layer, ...], str]:
    """Return the layers of a torch model, and how they were read.

    Parameters
    ----------
    model : torch.nn.Module
    method : {"trace", "modules", "graph"}
    input
        As in `sequence`.

    Raises
    ------
    TraceError
        If the model cannot be run or exported.
    """
    if isinstance(model, torch.jit.ScriptModule):
        raise TypeError(
            "model must show its layers, and a ScriptModule does not: give the module that it was "
            "made of"
        )
    if method == "modules":
        return modules(model), "modules"
    guesses = arguments(model, input)
    if method == "graph":
        return _graph(model, guesses), "graph"
    return _trace(model, guesses)


def _trace(model: nn.Module, guesses: list[Arguments]) -> tuple[tuple[Layer, ...], str]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    where: list[tuple[str, str | None]] = [("meta", "meta")]
    if device.type != "meta":
        where.append((device.type, None))
    if any(isinstance(p, UninitializedParameter) for p in model.parameters()):
        model = copy.deepcopy(model)  # a lazy model stays as it is
    first: Exception | None = None
    for place, on in where:
        for inputs in guesses:
            found = _failure(trace, model, inputs if on else _to(device, inputs), on)
            if not isinstance(found, Exception):
                return found, f"trace on {place}"
            # That of the model's own device says more than meta's, that of the first guess too.
            if inputs is guesses[0]:
                first = found
    raise TraceError(
        f"{type(model).__name__} cannot be traced with an input of {described(guesses[0])} "
        f"({_first_line(first)}): give input=, its arguments or their shape, or use "
        "method='modules'."
    ) from first


def _graph(model: nn.Module, guesses: list[Arguments]) -> tuple[Layer, ...]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    first: Exception | None = None
    for inputs in guesses:
        found = _failure(graph, model, _to(device, inputs))
        if not isinstance(found, Exception):
            return found
        first = first or found
    raise TraceError(
        f"{type(model).__name__} cannot be exported with an input of {described(guesses[0])} "
        f"({_first_line(first)}): give input=, its arguments or their shape, or use "
        "method='trace'."
    ) from first


def _to(device: torch.device, inputs: Arguments) -> Arguments:
    moved: Arguments = mapped(lambda tensor: tensor.to(device), inputs)
    return moved


def _failure(
    call: Callable[..., tuple[Layer, ...]], *arguments: Any
) -> tuple[Layer, ...] | Exception:
    try:
        return call(*arguments)
    except Exception as error:  # a model's own code may raise anything
        return error


def _first_line(error: Exception | None) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__
