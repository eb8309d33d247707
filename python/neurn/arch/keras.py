"""The layers of a Keras model."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from neurn._optional import import_optional
from neurn.arch.layers import Layer


def import_keras(module: str = "keras", extra: str = "keras") -> Any:
    """Import Keras, on torch where no backend was chosen and its own choice is not installed.

    Parameters
    ----------
    module : str
        Keras, or a module of it.
    extra : str
        The extra of ``neurn`` that brings it.

    Raises
    ------
    MissingExtraError
        If Keras is not installed.
    """
    chosen = "keras" in sys.modules or "KERAS_BACKEND" in os.environ
    if not chosen and importlib.util.find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "torch"
    return import_optional(module, extra)


def keras_layers(model: Any) -> tuple[Layer, ...]:
    """Return ``model.layers`` in order, and behind a layer the activation that it holds.

    Models among them are read in their place, and wrappers (TimeDistributed) as what they wrap.

    Parameters
    ----------
    model : keras.Model
    """
    return tuple(_all(model, ""))


def _all(model: Any, stem: str) -> Iterator[Layer]:
    for each in model.layers:
        if getattr(each, "layers", None):
            yield from _all(each, f"{stem}{each.name}.")
            continue
        inner = getattr(each, "layer", None) or getattr(each, "forward_layer", None)
        for layer in _layers(each if inner is None else inner):
            name = layer.name if inner is None else each.name
            yield replace(layer, name=f"{stem}{name}", shape=layer.shape or _shape(each))


def _layers(layer: Any) -> Iterator[Layer]:
    kind = type(layer).__name__
    shape = _shape(layer)
    function = _activation(layer)
    if kind == "Activation":
        # A softmax ends a classifier; torch models leave it to the loss.
        softmax = function == "softmax"
        yield Layer(layer.name, "softmax" if softmax else kind, kind, {"function": function}, shape)
        return
    yield Layer(layer.name, kind, kind, _parameters(layer), shape)
    if function not in ("", "linear", "softmax") and kind not in ("LSTM", "GRU", "SimpleRNN"):
        yield Layer(layer.name, "activation", kind, {"function": function}, shape)


def _activation(layer: Any) -> str:
    function = getattr(layer, "activation", None)
    return str(getattr(function, "__name__", "")) if function is not None else ""


def _parameters(layer: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    if kernel is not None:
        found["kernel"] = tuple(kernel)
        found["stride"] = tuple(getattr(layer, "strides", (1,) * len(kernel)))
    into = _channels(getattr(layer, "input", None))
    if type(layer).__name__.startswith("DepthwiseConv") and into is not None:
        found["groups"] = into
    elif isinstance(groups := getattr(layer, "groups", None), int):
        found["groups"] = groups
    out = getattr(layer, "filters", None) or getattr(layer, "units", None)
    if into is not None and (out or "groups" in found):
        found["channels"] = (into, out or into * getattr(layer, "depth_multiplier", 1))
    return found


def _channels(tensor: Any) -> int | None:
    shape = getattr(tensor, "shape", None)
    return None if not shape or shape[-1] is None else int(shape[-1])


def _shape(layer: Any) -> tuple[int, ...] | None:
    try:
        shape = tuple(layer.output.shape)
    except (AttributeError, ValueError):
        return None  # not built, or several outputs
    return (1, *map(int, shape[1:])) if all(side is not None for side in shape[1:]) else None
