"""Train-time augmentations to combine with front ends: RandConv, AugMix, MixStyle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from neurn._optional import import_torch_package


class Augmentation:
    """What changes training images, or a network while it trains; as it stands, nothing.

    A subclass overrides `__call__`, `attach`, or both. Its `repr` names all its settings: results
    are kept under it.

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> class Mirror(generalize.Augmentation):
    ...     def __init__(self, probability=0.5):
    ...         self.probability = probability
    ...
    ...     def __call__(self, images, generator):
    ...         chosen = torch.rand(len(images), generator=generator) < self.probability
    ...         return torch.where(chosen[:, None, None, None], images.flip(-1), images)
    >>> mirror = Mirror(probability=1.0)
    >>> mirror
    Mirror(probability=1.0)
    >>> mirror(torch.tensor([[[[0.0, 1.0]]]]).expand(1, 3, 1, 2), torch.Generator())[0, 0]
    tensor([[1., 0.]])
    """

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Change a batch (N, 3, H, W), 0 to 1, drawing from `generator` alone."""
        return images

    def attach(self, network: nn.Module) -> None:
        """Change the network, in place, before training."""

    def __repr__(self) -> str:
        """Return the class and its settings."""
        settings = ", ".join(f"{key}={value!r}" for key, value in sorted(vars(self).items()))
        return f"{type(self).__name__}({settings})"


class RandConv(Augmentation):
    """Filter each batch with a random convolution, mixed with the batch itself.

    Z. Xu et al., "Robust and generalizable visual representation learning via random
    convolutions", ICLR 2021, algorithm 1 without the consistency loss: weights from
    N(0, 1 / (3 k^2)), three channels to three, one filter a batch. The authors filter images of
    -1 to 1, so that a black ground gets a random colour; here, by `centre`.

    Parameters
    ----------
    probability : float
        Share of batches that are filtered.
    sizes : sequence of int
        Kernel sizes, one drawn for each batch; odd.
    mix : bool
        Mix with the images by a share drawn from 0 to 1 (RC_mix); else filter in full.
    centre : float
        Subtracted from images before, and added after.

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> images = torch.rand(8, 3, 32, 32)
    >>> augment = generalize.RandConv(probability=1.0, sizes=[3])
    >>> changed = augment(images, torch.Generator().manual_seed(0))
    >>> changed.shape, torch.equal(changed, images)
    (torch.Size([8, 3, 32, 32]), False)
    >>> torch.equal(changed, augment(images, torch.Generator().manual_seed(0)))
    True
    """

    def __init__(
        self,
        probability: float = 0.5,
        sizes: Sequence[int] = (1, 3, 5, 7),
        mix: bool = True,
        centre: float = 0.5,
    ) -> None:
        _share("probability", probability)
        if not sizes or any(size < 1 or size % 2 == 0 for size in sizes):
            raise ValueError(f"sizes must be odd and at least 1, got {tuple(sizes)}")
        self.probability, self.sizes, self.mix = probability, tuple(sizes), mix
        self.centre = centre

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Filter a batch (N, 3, H, W), or leave it."""
        if float(torch.rand((), generator=generator)) >= self.probability:
            return images
        size = self.sizes[int(torch.randint(len(self.sizes), (), generator=generator))]
        weight = torch.randn(3, 3, size, size, generator=generator) / (3 * size**2) ** 0.5
        centred = images - self.centre
        filtered = nn.functional.conv2d(centred, weight, padding=size // 2) + self.centre
        if not self.mix:
            return filtered
        share = torch.rand((), generator=generator)
        return share * images + (1 - share) * filtered


class AugMix(Augmentation):
    """Mix chains of simple augmentations, image by image: torchvision's AugMix.

    D. Hendrycks et al., "AugMix", ICLR 2020, without the consistency loss.

    Parameters
    ----------
    severity : int
        Strength of each step, 1 to 10.
    width : int
        Number of chains.

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> images = torch.rand(2, 3, 32, 32)
    >>> augment = generalize.AugMix(severity=3)  # doctest: +SKIP
    >>> augment(images, torch.Generator().manual_seed(0)).shape  # doctest: +SKIP
    torch.Size([2, 3, 32, 32])
    """

    def __init__(self, severity: int = 3, width: int = 3) -> None:
        self.severity, self.width = severity, width
        self._transform()

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Augment a batch (N, 3, H, W)."""
        transform = self._transform()
        bytes_ = (255 * images).round().to(torch.uint8)
        # torchvision draws from torch's global generator.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(torch.randint(2**62, (), generator=generator)))
            mixed = torch.stack([transform(image) for image in bytes_])
        return mixed.to(images.dtype) / 255

    def _transform(self) -> Any:
        transforms = import_torch_package("torchvision.transforms")
        return transforms.AugMix(severity=self.severity, mixture_width=self.width)


class MixStyle(Augmentation):
    """Mix the channel statistics of feature maps between images of a batch, in training.

    K. Zhou et al., "Domain generalization with MixStyle", ICLR 2021, with random pairs: mean and
    deviation of each map become a mixture, of share Beta(alpha, alpha), of the image's own and of
    another's.

    Parameters
    ----------
    probability : float
        Share of batches that are mixed.
    alpha : float
        Of the Beta distribution, above 0.
    layers : int
        Follows this many first convolutions of the network.

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> mix = generalize.MixStyle(probability=1.0, layers=1)
    >>> network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten())
    >>> mix.attach(network)
    >>> images = torch.rand(2, 3, 8, 8)
    >>> torch.equal(network.train()(images), network(images))
    False
    >>> torch.equal(network.eval()(images), network(images))
    True
    """

    def __init__(self, probability: float = 0.5, alpha: float = 0.1, layers: int = 1) -> None:
        _share("probability", probability)
        if not alpha > 0 or layers < 1:
            raise ValueError(
                f"alpha must be above 0 and layers at least 1, got {alpha} and {layers}"
            )
        self.probability, self.alpha, self.layers = probability, alpha, layers

    def attach(self, network: nn.Module) -> None:
        """Let the outputs of the first convolutions be mixed while the network trains."""
        convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
        if not convolutions:
            raise ValueError("MixStyle needs a network with a convolution")
        for module in convolutions[: self.layers]:
            module.register_forward_hook(self._hook)

    def _hook(self, module: nn.Module, _: Any, output: Tensor) -> Tensor:
        # torch's global generator: `fit` seeds it and checkpoints hold its state.
        if not module.training or float(torch.rand(())) >= self.probability:
            return output
        count = len(output)
        share = torch.distributions.Beta(self.alpha, self.alpha).sample((count, 1, 1, 1))
        return self.mix(output, torch.randperm(count), share)

    def mix(self, x: Tensor, order: Tensor, share: Tensor) -> Tensor:
        """Give maps (N, C, H, W) the mixed statistics.

        Parameters
        ----------
        x : Tensor, shape (N, C, H, W)
        order : Tensor of int64, shape (N,)
            Whose statistics are mixed in.
        share : Tensor, shape (N, 1, 1, 1)
            Weight of an image's own.
        """
        share = share.to(x.device, x.dtype)
        mean = x.mean(dim=(2, 3), keepdim=True).detach()
        deviation = (x.var(dim=(2, 3), keepdim=True) + 1e-6).sqrt().detach()
        mixed_mean = share * mean + (1 - share) * mean[order]
        mixed_deviation = share * deviation + (1 - share) * deviation[order]
        return (x - mean) / deviation * mixed_deviation + mixed_mean


AUGMENTATIONS: Mapping[str, Callable[[], Augmentation]] = MappingProxyType(
    {"randconv": RandConv, "augmix": AugMix, "mixstyle": MixStyle}
)
AUGMENTATION_TITLES = MappingProxyType(
    {"randconv": "RandConv", "augmix": "AugMix", "mixstyle": "MixStyle"}
)


def _share(name: str, value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}")
