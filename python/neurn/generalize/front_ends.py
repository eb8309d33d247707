"""Layers without weights that go before a network: NeuRN and its controls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from torch import nn

from neurn.layer import NeuRN

FrontEnd = Callable[[], nn.Module]


class Sobel(nn.Module):
    """Sobel gradient magnitude divided by its maximum: the edge-map control for NeuRN.

    Same support (3 x 3), border (reflect) and normalization (one maximum per image over all
    channels) as the published NeuRN layer; only the local statistic differs. Input and output
    are float tensors of shape (N, C, H, W), H and W at least 2. An image without any gradient
    gives zeros.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images (N, C, H, W) to edge maps of the same shape, 0 to 1."""
        padded = nn.functional.pad(x, (1, 1, 1, 1), mode="reflect")
        # The 3 x 3 kernels are separable: [1, 2, 1] along one axis, [-1, 0, 1] along the other.
        down = padded[..., :-2, :] + 2 * padded[..., 1:-1, :] + padded[..., 2:, :]
        across = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
        magnitude = torch.hypot(
            down[..., 2:] - down[..., :-2], across[..., 2:, :] - across[..., :-2, :]
        )
        peak = magnitude.amax(dim=(-3, -2, -1), keepdim=True)
        return magnitude / torch.where(peak > 0, peak, torch.ones_like(peak))


FRONT_ENDS: Mapping[str, FrontEnd] = MappingProxyType(
    {"none": nn.Identity, "neurn": NeuRN, "sobel": Sobel}
)


def resolve(front_ends: Sequence[str] | Mapping[str, FrontEnd]) -> dict[str, FrontEnd]:
    """Look front ends up by name, or take a mapping from names to factories as it is.

    Parameters
    ----------
    front_ends : sequence of str, or mapping from str to callable
        Names known here: ``none``, ``neurn``, ``sobel``. A factory takes no argument and
        returns a module without weights.

    Raises
    ------
    ValueError
        If a name is unknown; the message lists the known ones.
    """
    if isinstance(front_ends, Mapping):
        return dict(front_ends)
    unknown = [name for name in front_ends if name not in FRONT_ENDS]
    if unknown:
        raise ValueError(f"unknown front end {unknown[0]!r}; known: {', '.join(FRONT_ENDS)}")
    return {name: FRONT_ENDS[name] for name in front_ends}


def build(model: Callable[[], nn.Module], front_end: FrontEnd, seed: int) -> nn.Sequential:
    """Make a model with a front end, its weights drawn from `seed` alone.

    Parameters
    ----------
    model : callable
        Takes no argument and returns a fresh network.
    front_end : callable
        Takes no argument and returns a module without weights.
    seed : int
        Same seed, same weights, whatever the front end. Torch's global generator is restored.
    """
    layer = front_end()
    if any(True for _ in layer.parameters()):
        raise ValueError(f"front end {type(layer).__name__} has weights; pairing needs none")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = model()
    return nn.Sequential(layer, network)
