"""The same model behind a layer without weights: NeuRN, a control, or one of your own."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn

from neurn import front_ends


class WithFrontEnd(nn.Sequential):
    """A model behind a front end. `with_front_end` makes it.

    Attributes
    ----------
    front_end : nn.Module
    model : nn.Module
        The very model that was given: weights are shared, not copied.
    front_end_name : str

    Examples
    --------
    >>> from torch import nn
    >>> from neurn import features
    >>> net = nn.Conv2d(3, 8, 3)
    >>> behind = features.with_front_end(net, "sobel")
    >>> behind.front_end_name, behind.model is net
    ('sobel', True)
    """

    front_end: nn.Module
    model: nn.Module

    def __init__(self, front_end: nn.Module, model: nn.Module, name: str) -> None:
        super().__init__(OrderedDict([("front_end", front_end), ("model", model)]))
        self.front_end_name = name

    def forward(self, x: Tensor) -> Any:
        """Return the model's output for what the front end makes of images (N, C, H, W)."""
        # The front end sees what the model would: images in the model's size.
        resize = getattr(self.model, "resized", None)
        return self.model(self.front_end(x if resize is None else resize(x)))


def with_front_end(model: nn.Module, front_end: str | nn.Module = "neurn") -> WithFrontEnd:
    """Put a front end before a model; the weights stay the same objects, nothing else changes.

    Layers keep their names in `neurn.features.extract`, so that a model with and without a front
    end gives two sets of features that go together.

    Parameters
    ----------
    model : nn.Module
        Takes (N, C, H, W).
    front_end : str or nn.Module
        As in `neurn.front_ends`: ``"none"``, ``"neurn"``, ``"neurn:kernel_size=5"``, ``"sobel"``,
        ...; a module is taken as it is. It must have no weights: else not only the front end would
        differ.

    Returns
    -------
    WithFrontEnd

    Raises
    ------
    ValueError
        If the name is unknown, the module has weights, or the model has a front end already.

    Examples
    --------
    >>> from torch import Tensor, nn
    >>> from neurn import features
    >>> features.with_front_end(nn.Conv2d(3, 8, 3), "neurn").front_end
    NeuRN(kernel_size=3, padding='reflect', scope='image', floor=0)
    """
    if isinstance(model, WithFrontEnd):
        raise ValueError(f"model has a front end already: {model.front_end_name}")
    if isinstance(front_end, str):
        name, layer = front_end, front_ends.front_end(front_end)()
    elif isinstance(front_end, nn.Module):
        name, layer = type(front_end).__name__, front_end
    else:
        raise TypeError(f"front_end must be a name or a module, got {type(front_end).__name__}")
    if any(True for _ in layer.parameters()):
        raise ValueError(f"front_end must have no weights, got {name} with some")
    return WithFrontEnd(layer, model, name)
