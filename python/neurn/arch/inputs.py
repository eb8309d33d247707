"""What a model is run with when it is read: what was given, or what it seems to take."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
from torch import nn

Arguments: TypeAlias = tuple[tuple[Any, ...], dict[str, Any]]

# Sides of images that models of photographs, of CIFAR and of MNIST take.
_SIDES = (224, 32, 28)
# Of signals, images and videos.
_SIZES: dict[int, list[tuple[int, ...]]] = {
    1: [(1024,)],
    2: [(side, side) for side in _SIDES],
    3: [(16, 112, 112)],
}
_LENGTH = 16  # of a sequence of words or features
_SECOND = 16_000  # samples of sound

_EMBEDDINGS = (nn.Embedding, nn.EmbeddingBag)


def arguments(model: nn.Module, input: Any) -> list[Arguments]:
    """Return what to call a model with: positions and names, to be tried one after another.

    Parameters
    ----------
    model : torch.nn.Module
    input
        As in `neurn.arch.sequence`. None: of the size that the model tells (timm, Hugging Face);
        else what its first layer takes, and one image of 3 x 224 x 224.

    Raises
    ------
    TypeError, ValueError
        If `input` is neither a shape nor arguments.
    """
    if input is None:
        return list(_guesses(model))
    if isinstance(input, torch.Tensor):
        return [((input,), {})]
    if isinstance(input, Mapping):
        return [((), dict(input))]
    if isinstance(input, str) or not isinstance(input, Iterable):
        raise TypeError(
            "input must be a shape, a tensor, a tuple of arguments or a mapping of names to "
            f"arguments, got {type(input).__name__}"
        )
    given: tuple[Any, ...] = tuple(input)
    if given and all(isinstance(side, int) for side in given):
        if min(given) < 1:
            raise ValueError(f"input must be a shape of sizes from 1 on, got {given}")
        return [_zeros(model, given)]
    return [(given, {})]


def described(found: Arguments) -> str:
    """Return arguments in words: the shapes of tensors."""
    positions, names = found
    each = [("", value) for value in positions] + [(f"{key} ", names[key]) for key in names]
    return " and ".join(key + _described(value) for key, value in each) or "nothing"


def _described(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        return " x ".join(map(str, value.shape)) or "a number"
    return f"a {type(value).__name__}"


def _guesses(model: nn.Module) -> Iterator[Arguments]:
    told = _own_shape(model)
    takes = getattr(model, "main_input_name", "")
    if takes == "input_ids":
        yield _words()
    elif takes == "input_values":
        yield _zeros(model, (1, _SECOND))
    elif told is not None:
        yield _zeros(model, told)
    else:
        image = (1, 3, _SIDES[0], _SIDES[0])
        shapes = [*_first_takes(model)]
        for shape in (*shapes, *([] if image in shapes else [image])):
            yield _zeros(model, shape)
    # Hugging Face's, where one argument is not enough.
    dummies = getattr(model, "dummy_inputs", None)
    if isinstance(dummies, Mapping):
        yield (), dict(dummies)


def _words() -> Arguments:
    return (torch.zeros((1, _LENGTH), dtype=torch.int64),), {}


def _zeros(model: nn.Module, shape: tuple[int, ...]) -> Arguments:
    dtype = torch.float32
    if isinstance(_first(model), _EMBEDDINGS):
        dtype = torch.int64
    else:
        dtype = next((p.dtype for p in model.parameters() if p.is_floating_point()), dtype)
    return (torch.zeros(shape, dtype=dtype),), {}


def _own_shape(model: nn.Module) -> tuple[int, ...] | None:
    """Return the shape of one image as the model tells it: timm's, Hugging Face's."""
    told = getattr(model, "default_cfg", None) or getattr(model, "pretrained_cfg", None)
    if isinstance(told, Mapping) and told.get("input_size"):
        return (1, *(int(side) for side in told["input_size"]))
    config = getattr(model, "config", None)
    size = getattr(config, "image_size", None)
    if size is None:
        return None
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    return (1, int(getattr(config, "num_channels", 3)), int(height), int(width))


_Conv = nn.modules.conv._ConvNd
_TELLING = (_Conv, nn.Linear, *_EMBEDDINGS, nn.RNNBase, nn.MultiheadAttention)


def _first(model: nn.Module) -> nn.Module | None:
    """Return the layer that is defined first, of those that say what they take."""
    return next((module for module in model.modules() if isinstance(module, _TELLING)), None)


def _first_takes(model: nn.Module) -> Iterator[tuple[int, ...]]:
    first = _first(model)
    if isinstance(first, _Conv):
        for sides in _SIZES[len(first.kernel_size)]:
            yield 1, first.in_channels or 3, *sides  # lazy ones do not know it yet
    elif isinstance(first, nn.Linear) and first.in_features:
        yield 1, first.in_features
    elif isinstance(first, _EMBEDDINGS):
        yield 1, _LENGTH
    elif isinstance(first, nn.RNNBase):
        yield 1, _LENGTH, first.input_size
    elif isinstance(first, nn.MultiheadAttention):
        yield 1, _LENGTH, first.embed_dim
