"""Any model as a sequence of layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from neurn.arch.graph import graph
from neurn.arch.keras import keras_layers
from neurn.arch.layers import Layer, LayerSequence, tokenize
from neurn.arch.modules import modules
from neurn.arch.onnx import onnx_layers
from neurn.arch.trace import trace
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
    model : torch.nn.Module, keras.Model, str, path or list
        A str is a name of `neurn.arch.zoo`, or the path of an ONNX file, as a path is. A list holds
        kinds, for example names of classes, or `Layer`.
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
    input : tuple of int, tensor, or tuple of tensors, optional
        Shape of the input with its batch, or the arguments themselves. By default a batch of one
        image of the model's own size if it tells, else 3 x 224 x 224.
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
        If `model` is none of these.
    ValueError
        If `method`, `vocabulary` or `unknown` is another one, or an unknown layer is met and
        `unknown` is ``"error"``.

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
    elif _is_onnx(model):
        layers, source = onnx_layers(model), "operators of ONNX"
    elif isinstance(model, str):
        from neurn.arch import zoo

        return zoo.sequence(model, vocabulary, unknown=unknown)
    elif isinstance(model, (list, tuple)):
        layers, source = tuple(map(_plain, range(len(model)), model)), "list"
    else:
        raise TypeError(
            "model must be a torch module, a Keras model, an ONNX file, a name of the zoo or a "
            f"list of layers, got {type(model).__name__}"
        )
    return tokenize(layers, vocabulary, unknown, source)


def _is_keras(model: Any) -> bool:
    if not (hasattr(model, "layers") and hasattr(model, "get_config")):
        return False
    # With the torch backend a Keras model is a torch module too.
    keras = any(base.__module__.startswith("keras.") for base in type(model).__mro__)
    return keras or not isinstance(model, nn.Module)


def _is_onnx(model: Any) -> bool:
    if isinstance(model, Path) or (isinstance(model, str) and model.endswith(".onnx")):
        if not Path(model).is_file():
            raise FileNotFoundError(f"there is no file {str(model)!r}")
        return True
    return type(model).__name__ == "ModelProto"


def _plain(place: int, layer: Any) -> Layer:
    if isinstance(layer, Layer):
        return layer
    if not isinstance(layer, str):
        raise TypeError(
            f"model must hold names of layers or Layer, got {type(layer).__name__} at {place}"
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
    if method == "modules":
        return modules(model), "modules"
    inputs = _inputs(model, input)
    if method == "graph":
        return _graph(model, inputs), "graph"
    return _trace(model, inputs)


def _trace(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[tuple[Layer, ...], str]:
    first = _failure(lambda: trace(model, inputs, "meta"))
    if not isinstance(first, Exception):
        return first, "trace on meta"
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    second: Any = first
    if device.type != "meta":
        second = _failure(lambda: trace(model, _to(inputs, device), None))
        if not isinstance(second, Exception):
            return second, f"trace on {device.type}"
    raise TraceError(
        f"{type(model).__name__} cannot be traced ({_first_line(second)}): give input=, its "
        "arguments or their shape, or use method='modules'."
    ) from second


def _graph(model: nn.Module, inputs: tuple[Any, ...]) -> tuple[Layer, ...]:
    device = next((p.device for p in model.parameters()), torch.device("cpu"))
    found = _failure(lambda: graph(model, _to(inputs, device)))
    if isinstance(found, Exception):
        raise TraceError(
            f"{type(model).__name__} cannot be exported ({_first_line(found)}): give input=, or "
            "use method='trace'."
        ) from found
    return found


def _failure(call: Callable[[], tuple[Layer, ...]]) -> tuple[Layer, ...] | Exception:
    try:
        return call()
    except Exception as error:  # a model's own code may raise anything
        return error


def _first_line(error: Exception) -> str:
    text = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:200]}" if text else type(error).__name__


def _inputs(model: nn.Module, input: Any) -> tuple[Any, ...]:
    if input is None:
        return (torch.zeros(_own_shape(model)),) if not _words(model) else (_token_ids(),)
    if isinstance(input, torch.Tensor):
        return (input,)
    if isinstance(input, Mapping):
        raise TypeError("input must be a shape, a tensor or a tuple of arguments, got a mapping")
    arguments: tuple[Any, ...] = tuple(input)
    if all(isinstance(side, int) for side in arguments):
        return (torch.zeros(arguments),)
    return arguments


def _words(model: nn.Module) -> bool:
    return getattr(model, "main_input_name", "") == "input_ids"


def _token_ids() -> torch.Tensor:
    return torch.zeros((1, 16), dtype=torch.int64)


def _own_shape(model: nn.Module) -> tuple[int, ...]:
    """Return the shape of one image as the model tells it: timm's, Hugging Face's."""
    told = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None)
    if isinstance(told, Mapping) and told.get("input_size"):
        return (1, *(int(side) for side in told["input_size"]))
    config = getattr(model, "config", None)
    size = getattr(config, "image_size", None)
    if size is not None:
        height, width = size if isinstance(size, (tuple, list)) else (size, size)
        return (1, int(getattr(config, "num_channels", 3)), int(height), int(width))
    return (1, 3, 224, 224)


def _to(value: Any, device: torch.device) -> Any:
    if isinstance(value, torch.Tensor):
        return value.to(device)
    return type(value)(_to(x, device) for x in value) if isinstance(value, (tuple, list)) else value
