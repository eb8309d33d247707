"""NeuRN as a function, as a module, and in front of a model.

Jalil, Qazi, Iqbal (2025), "NeuRN: Neuro-inspired Domain Generalization for Image Classification",
arXiv:2505.06881.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn

from neurn.ops import argument_error


def neurn(
    x: Tensor,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> Tensor:
    """Local standard deviation over its maximum.

    For every pixel and channel, sigma is the population standard deviation of the `kernel_size` x
    `kernel_size` patch around it (stride 1), and the result is ``sigma / (max(sigma) + floor)``
    (arXiv:2505.06881: I_a = sigma / max(sigma)). It does not change when x becomes a x + b, a != 0.

    Parameters
    ----------
    x : Tensor, shape (C, H, W) or (N, C, H, W)
        float16, bfloat16, float32 or float64; any strides, without a copy.
    kernel_size : int
        Odd, >= 1. With 1 there is no deviation: zeros. 3, 5 and 7 are fastest;
        from 9 to 31 the cost hardly changes.
    padding : {"reflect", "replicate", "circular", "zeros", "valid"}
        What surrounds the image; "valid": nothing, and the result is (H - k + 1, W - k + 1).
        "zeros" draws a frame that is not in the image.
    scope : {"image", "channel", "batch", "none"}
        What shares a maximum: all of a sample (as published), each channel of a sample, all of x,
        or nothing: sigma itself.
    floor : float
        Added to the maximum, >= 0; keeps the noise of an image without structure small.

    Returns
    -------
    Tensor
        As x: shape (but for "valid"), dtype, and channels-last if x is; in [0, 1] unless scope is
        "none". 0, with gradient 0, where the maximum is 0. A NaN or infinity in a scope makes the
        scope NaN. Gradients are exact, through the maximum too (its lowest flat index), and the
        same bits for any number of threads; so are second derivatives.

    Raises
    ------
    RuntimeError
        For an argument outside the above, or an image too small for the padding.

    Examples
    --------
    >>> import torch, neurn
    >>> x = torch.zeros(1, 1, 5, 5)
    >>> x[..., 2, 2] = 1.0
    >>> neurn.neurn(x)[0, 0, 0]
    tensor([0., 0., 0., 0., 0.])
    >>> neurn.neurn(10 - 3 * x)[0, 0, 1]
    tensor([0., 1., 1., 1., 0.])
    """
    y: Tensor = torch.ops.neurn.forward(x, kernel_size, padding, scope, floor)
    return y


class NeuRN(nn.Module):
    """`neurn.neurn` as a module without state; parameters are the function's.

    Raises
    ------
    ValueError
        For a parameter that `neurn.neurn` does not allow.

    Examples
    --------
    >>> import torch, neurn
    >>> layer = neurn.NeuRN(kernel_size=5)
    >>> layer
    NeuRN(kernel_size=5, padding='reflect', scope='image', floor=0)
    >>> images = torch.rand(2, 3, 32, 32)
    >>> maps = layer(images)
    >>> maps.shape, round(float(maps.max()), 3)
    (torch.Size([2, 3, 32, 32]), 1.0)
    >>> torch.allclose(layer(20 - 5 * images), maps, atol=1e-4)
    True
    """

    def __init__(
        self,
        kernel_size: int = 3,
        padding: str = "reflect",
        scope: str = "image",
        floor: float = 0.0,
    ) -> None:
        super().__init__()
        error = argument_error(kernel_size, padding, scope, floor)
        if error is not None:
            raise ValueError(error)
        self.kernel_size = kernel_size
        self.padding = padding
        self.scope = scope
        self.floor = floor

    def forward(self, x: Tensor) -> Tensor:
        """Return NeuRN of x, (C, H, W) or (N, C, H, W)."""
        return neurn(x, self.kernel_size, self.padding, self.scope, self.floor)

    def extra_repr(self) -> str:
        """Return the parameters, for `repr`."""
        return (
            f"kernel_size={self.kernel_size}, padding={self.padding!r}, "
            f"scope={self.scope!r}, floor={self.floor:g}"
        )


def prepend(
    model: nn.Module,
    kernel_size: int = 3,
    padding: str = "reflect",
    scope: str = "image",
    floor: float = 0.0,
) -> nn.Sequential:
    """Put NeuRN before a model that takes images.

    Parameters
    ----------
    model : nn.Module
        Takes (N, C, H, W).
    kernel_size, padding, scope, floor
        As for `neurn.neurn`.

    Returns
    -------
    nn.Sequential
        With the parts `neurn` and `model`; the model's own weights are under ``model.``.

    Examples
    --------
    >>> import torch, neurn
    >>> model = neurn.prepend(torch.nn.Conv2d(3, 8, 3))
    >>> list(model.state_dict())
    ['model.weight', 'model.bias']
    >>> model(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 8, 30, 30])
    """
    layer = NeuRN(kernel_size, padding, scope, floor)
    return nn.Sequential(OrderedDict([("neurn", layer), ("model", model)]))
