"""What goes before a network: NeuRN and its controls, by name or as plug-ins.

None has weights. All but the ones that say so keep the shape (N, C, H, W).
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from neurn.layer import NeuRN

FrontEnd = Callable[[], nn.Module]


class Sobel(nn.Module):
    """Sobel gradient magnitude divided by its maximum: the edge-map control for NeuRN.

    Same support (3 x 3), border (reflect) and normalization (one maximum per image over all
    channels) as the published NeuRN layer; only the local statistic differs. Input and output
    are float tensors of shape (N, C, H, W), H and W at least 2. An image without any gradient
    gives zeros.

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> step = torch.tensor([0.0, 0.0, 1.0, 1.0]).expand(1, 1, 3, 4)
    >>> generalize.Sobel()(step)[0, 0, 1]
    tensor([0., 1., 1., 0.])
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to edge maps of the same shape, 0 to 1."""
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        # The 3 x 3 kernels are separable: [1, 2, 1] along one axis, [-1, 0, 1] along the other.
        down = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
        across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
        magnitude = torch.hypot(
            down[..., 2:] - down[..., :-2], across[..., 2:, :] - across[..., :-2, :]
        )
        return _over_maximum(magnitude)


class LaplacianOfGaussian(nn.Module):
    """Laplacian of a Gaussian, divided by its largest absolute value in the image: -1 to 1.

    The filter of D. Marr and E. Hildreth, "Theory of edge detection", Proc. R. Soc. B 207, 1980,
    sampled at whole pixels, without mean, cut off at 4 deviations; border by reflection.

    Parameters
    ----------
    sigma : float
        Deviation of the Gaussian in pixels, above 0.
    """

    kernel: Tensor

    def __init__(self, sigma: float = 1.0) -> None:
        super().__init__()
        self.sigma = _positive("sigma", sigma)
        self.radius = math.ceil(4 * sigma)
        place = torch.arange(-self.radius, self.radius + 1, dtype=torch.float64)
        square = (place[:, None] ** 2 + place**2) / (2 * sigma**2)
        kernel = (square - 1) * torch.exp(-square)
        kernel -= kernel.mean()
        kernel /= kernel.abs().sum()
        self.register_buffer("kernel", kernel.float()[None, None], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Filter images (N, C, H, W)."""
        planes = x.flatten(0, 1)[:, None]
        padded = _reflect(planes, self.radius)
        y = nn.functional.conv2d(padded, self.kernel.to(x.dtype)).view_as(x)
        return _over_maximum(y)

    def extra_repr(self) -> str:
        """Return the parameters, for `repr`."""
        return f"sigma={self.sigma:g}"


class LocalContrastNormalization(nn.Module):
    """Subtract a local mean and divide by a local deviation, both Gaussian-weighted.

    K. Jarrett et al., "What is the best multi-stage architecture for object recognition?", ICCV
    2009: the window covers all channels, and the divisor is at least its mean over the image.

    Parameters
    ----------
    size : int
        Width of the square window in pixels, odd, at least 3; its Gaussian has deviation size / 4.
    """

    window: Tensor

    def __init__(self, size: int = 9) -> None:
        super().__init__()
        if size < 3 or size % 2 == 0:
            raise ValueError(f"size must be odd and at least 3, got {size}")
        self.size = size
        place = torch.arange(size, dtype=torch.float64) - size // 2
        line = torch.exp(-0.5 * (place / (size / 4)) ** 2)
        window = line[:, None] * line
        window = (window / window.sum()).float()[None, None]
        self.register_buffer("window", window, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """Normalize images (N, C, H, W)."""
        centred = x - self._mean(x)
        deviation = self._mean(centred.square()).clamp_min(0).sqrt()
        divisor = torch.maximum(deviation, deviation.mean(dim=(-3, -2, -1), keepdim=True))
        return centred / torch.where(divisor > 0, divisor, torch.ones_like(divisor))

    def _mean(self, x: Tensor) -> Tensor:
        grey = x.mean(dim=1, keepdim=True)
        return nn.functional.conv2d(_reflect(grey, self.size // 2), self.window.to(x.dtype))

    def extra_repr(self) -> str:
        """Return the parameters, for `repr`."""
        return f"size={self.size}"


class Standardization(nn.Module):
    """Each image to mean 0 and deviation 1 over all channels and pixels; flat ones to 0."""

    def forward(self, x: Tensor) -> Tensor:
        """Standardize images (N, C, H, W)."""
        centred = x - x.mean(dim=(-3, -2, -1), keepdim=True)
        deviation = centred.square().mean(dim=(-3, -2, -1), keepdim=True).sqrt()
        # Rounding of the mean leaves a flat image some 1e-8 from it: not to be blown up.
        flat = deviation <= 1e-6 * x.abs().amax(dim=(-3, -2, -1), keepdim=True)
        return torch.where(flat, torch.zeros_like(x), centred / deviation.masked_fill(flat, 1.0))


class Grey(nn.Module):
    """Luma of RGB (ITU-R BT.601: 0.299, 0.587, 0.114) in all three channels."""

    def forward(self, x: Tensor) -> Tensor:
        """Take the colour from images (N, 3, H, W)."""
        weights = x.new_tensor([0.299, 0.587, 0.114])[:, None, None]
        return (x * weights).sum(dim=-3, keepdim=True).expand_as(x)


class NeuRNWithImage(nn.Module):
    """NeuRN concatenated with the image itself: (N, C, H, W) to (N, 2C, H, W), NeuRN first.

    Parameters
    ----------
    kernel_size, padding, scope, floor
        As for `neurn.neurn`, but for padding "valid", whose maps are smaller than the image.
    """

    def __init__(
        self,
        kernel_size: int = 3,
        padding: str = "reflect",
        scope: str = "image",
        floor: float = 0.0,
    ) -> None:
        super().__init__()
        if padding == "valid":
            raise ValueError("padding must keep the size of the image, got 'valid'")
        self.neurn = NeuRN(kernel_size, padding, scope, floor)

    def forward(self, x: Tensor) -> Tensor:
        """Map images (N, C, H, W) to maps and images."""
        return torch.cat([self.neurn(x), x], dim=-3)


def _sigma(kernel_size: int = 3, padding: str = "reflect") -> NeuRN:
    return NeuRN(kernel_size, padding, scope="none")


_REGISTRY: dict[str, Callable[..., nn.Module]] = {
    "none": nn.Identity,
    "neurn": NeuRN,
    "sobel": Sobel,
    "log": LaplacianOfGaussian,
    "lcn": LocalContrastNormalization,
    "sigma": _sigma,
    "standardize": Standardization,
    "grey": Grey,
    "neurn_rgb": NeuRNWithImage,
}
FRONT_ENDS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(_REGISTRY)

TITLES: Mapping[str, str] = MappingProxyType(
    {
        "none": "None",
        "neurn": "NeuRN",
        "sobel": "Sobel",
        "log": "Laplacian of Gaussian",
        "lcn": "Local contrast normalization",
        "sigma": "Sigma without maximum",
        "standardize": "Per-image standardization",
        "grey": "Grey",
        "neurn_rgb": "NeuRN and RGB",
    }
)


def register(name: str, factory: Callable[..., nn.Module]) -> None:
    """Make a front end known by name, for this process.

    Parameters
    ----------
    name : str
        New; letters, digits and underscores.
    factory : callable
        Options as keyword arguments; returns a module without weights that takes (N, C, H, W).

    Raises
    ------
    ValueError
        If the name is taken or holds other characters.
    """
    if not name.isidentifier():
        raise ValueError(f"name must be made of letters, digits and underscores, got {name!r}")
    if name in _REGISTRY:
        raise ValueError(f"front end {name!r} is known already; choose another name")
    _REGISTRY[name] = factory


def front_end(text: str) -> FrontEnd:
    """Read a front end with its options, such as ``"neurn:kernel_size=5,scope=channel"``.

    Parameters
    ----------
    text : str
        A name of `FRONT_ENDS`, then options of the layer, or ``"neurn:5"``: the first one alone.

    Returns
    -------
    callable
        Makes the module.

    Raises
    ------
    ValueError
        If the name or an option is unknown, or a value is not allowed; the message lists what is.
    """
    name, _, rest = text.partition(":")
    if name not in _REGISTRY:
        raise ValueError(f"unknown front end {name!r}; known: {', '.join(_REGISTRY)}")
    factory = _REGISTRY[name]
    options = _options(text, rest, factory)

    def make() -> nn.Module:
        return factory(**options)

    try:
        make()
    except TypeError as error:
        raise ValueError(f"front end {text!r}: {error}") from error
    return make


def title(text: str) -> str:
    """Return a front end's name for people: ``"neurn:5"`` is "NeuRN (5)"."""
    name, _, rest = text.partition(":")
    known = TITLES.get(name, name)
    return f"{known} ({rest.replace(',', ', ')})" if rest else known


def resolve(front_ends: Iterable[str] | Mapping[str, FrontEnd]) -> dict[str, FrontEnd]:
    """Look front ends up by name, or take a mapping from names to factories as it is.

    Parameters
    ----------
    front_ends : iterable of str, or mapping from str to callable
        Texts that `front_end` reads. A factory takes no argument and returns a module without
        weights.

    Raises
    ------
    ValueError
        If a name or an option is unknown; the message lists the known ones.
    """
    if isinstance(front_ends, Mapping):
        return dict(front_ends)
    return {text: front_end(text) for text in front_ends}


def _options(text: str, rest: str, factory: Callable[..., nn.Module]) -> dict[str, Any]:
    # Identity takes any arguments and uses none; Module's own signature is as wide.
    wide = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    parameters = inspect.signature(factory).parameters.values()
    known = [parameter.name for parameter in parameters if parameter.kind not in wide]
    options: dict[str, Any] = {}
    for place, part in enumerate(filter(None, rest.split(","))):
        name, equals, value = part.partition("=")
        if not equals and known and place == 0:
            name, value = known[0], part
        if name not in known:
            allowed = ", ".join(known) or "none"
            raise ValueError(f"front end {text!r}: unknown option {name!r}; allowed: {allowed}")
        if name in options:
            raise ValueError(f"front end {text!r}: option {name!r} comes twice")
        options[name] = _value(value)
    return options


def _value(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _over_maximum(x: Tensor) -> Tensor:
    peak = x.abs().amax(dim=(-3, -2, -1), keepdim=True)
    return x / torch.where(peak > 0, peak, torch.ones_like(peak))


def _reflect(x: Tensor, radius: int) -> Tensor:
    if min(x.shape[-2:]) <= radius:
        raise ValueError(
            f"images of {x.shape[-2]} x {x.shape[-1]} are too small for a filter of radius {radius}"
        )
    return nn.functional.pad(x, (radius,) * 4, mode="reflect")


def _positive(name: str, value: float) -> float:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be a finite number above 0, got {value}")
    return float(value)
