"""Networks to train: two for small images built in, others by name, or any callable."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from neurn._optional import import_torch_package
from neurn.front_ends import FrontEnd

Model = str | Callable[..., nn.Module]


def lenet(classes: int = 10) -> nn.Sequential:
    """Make LeNet-5 for 3 x 32 x 32 images, with rectifiers and max pooling.

    Layers and widths of Y. LeCun et al., "Gradient-based learning applied to document
    recognition", Proceedings of the IEEE, 1998: 5x5x6, pool, 5x5x16, pool, 120, 84, `classes`.

    Parameters
    ----------
    classes : int
        Number of outputs.

    Returns
    -------
    torch.nn.Sequential
        Float (N, 3, 32, 32) to logits (N, classes).

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> network = generalize.lenet(classes=10)
    >>> network(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 10])
    >>> sum(p.numel() for p in network.parameters())
    62006
    """
    # Pooling before the rectifier gives the same maps for a quarter of the work.
    return nn.Sequential(
        nn.Conv2d(3, 6, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(6, 16, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(16 * 5 * 5, 120),
        nn.ReLU(),
        nn.Linear(120, 84),
        nn.ReLU(),
        nn.Linear(84, classes),
    )


def digit_net(classes: int = 10) -> nn.Sequential:
    """Make the common network of single-source digit generalization, for 3 x 32 x 32 images.

    R. Volpi et al., "Generalizing to unseen domains via adversarial data augmentation", NeurIPS
    2018: 5x5x64, pool, 5x5x128, pool, 1024, 1024, `classes`, rectifiers between.

    Parameters
    ----------
    classes : int
        Number of outputs.

    Returns
    -------
    torch.nn.Sequential
        Float (N, 3, 32, 32) to logits (N, classes).

    Examples
    --------
    >>> import torch
    >>> from neurn import generalize
    >>> network = generalize.digit_net(classes=10)
    >>> network(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 10])
    >>> sum(p.numel() for p in network.parameters())
    4547466
    """
    return nn.Sequential(
        nn.Conv2d(3, 64, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 5),
        nn.MaxPool2d(2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128 * 5 * 5, 1024),
        nn.ReLU(),
        nn.Linear(1024, 1024),
        nn.ReLU(),
        nn.Linear(1024, classes),
    )


@dataclass(frozen=True)
class Known:
    """A network of another package.

    Attributes
    ----------
    target : str
        ``"module:callable"``.
    arguments : mapping
        Of the callable, besides the number of classes.
    classes : str
        What the callable calls the number of classes.
    small : bool
        Whether it is meant for images of about 32 x 32 pixels.
    """

    target: str
    arguments: Mapping[str, Any]
    classes: str = "num_classes"
    small: bool = False

    def build(self, classes: int) -> nn.Module:
        """Import the package and make the network, with random weights."""
        module, _, name = self.target.partition(":")
        call = getattr(import_torch_package(module), name, None)
        if call is None:
            raise ValueError(f"unknown model {name!r}: {module} has none of that name")
        network: nn.Module = call(**self.arguments, **{self.classes: classes})
        if self.small:
            keep_resolution(network)
        return network


def _torchvision(name: str, small: bool = False, **arguments: Any) -> Known:
    return Known(f"torchvision.models:{name}", {"weights": None, **arguments}, small=small)


def _timm(name: str, small: bool = False, **arguments: Any) -> Known:
    return Known("timm:create_model", {"model_name": name, **arguments}, small=small)


MODELS: Mapping[str, Known] = MappingProxyType(
    {
        "lenet": Known("neurn.generalize.models:lenet", {}, "classes"),
        "digit_net": Known("neurn.generalize.models:digit_net", {}, "classes"),
        **{name: _torchvision(name) for name in ("vgg11", "vgg16", "vgg16_bn", "vgg19")},
        **{name: _torchvision(name) for name in ("resnet18", "resnet50", "resnet101")},
        "resnet50v2": _timm("resnetv2_50"),
        "mobilenet_v2": _torchvision("mobilenet_v2"),
        "mobilenet_v3_small": _torchvision("mobilenet_v3_small"),
        "xception": _timm("legacy_xception"),
        **{name: _torchvision(name) for name in ("densenet121", "densenet169")},
        **{name: _torchvision(name) for name in ("efficientnet_b0", "efficientnet_b1")},
        "inception_v3": _timm("inception_v3"),
        "inception_resnet_v2": _timm("inception_resnet_v2"),
        "nasnet": _timm("nasnetalarge"),
        # Not torchvision's: its running statistics take tens of thousands of batches to learn.
        "mnasnet": _timm("mnasnet_100"),
        "fbnet": _timm("fbnetc_100"),
        # For 224 x 224 pixels only.
        "proxylessnas": Known(
            "pytorchcv.model_provider:get_model", {"name": "proxylessnas_mobile"}
        ),
        "spnasnet": _timm("spnasnet_100"),
        "vit_tiny": _timm("vit_tiny_patch16_224"),
        "vit_small": _timm("vit_small_patch16_224"),
        "vit_b_16": _torchvision("vit_b_16"),
        "resnet18_small": _torchvision("resnet18", small=True),
        "resnet10_small": _timm("resnet10t", small=True),
        "mobilenet_v2_small": _torchvision("mobilenet_v2", small=True, width_mult=0.5),
        "mobilenet_v3_small_32": _torchvision("mobilenet_v3_small", small=True),
        "densenet_small": Known(
            "torchvision.models.densenet:DenseNet",
            {"growth_rate": 12, "block_config": (6, 6, 6), "num_init_features": 24},
            small=True,
        ),
        "efficientnet_b0_small": _torchvision("efficientnet_b0", small=True),
        "mnasnet_small": _timm("mnasnet_050", small=True),
        "fbnet_small": _timm("fbnetc_100", small=True),
        "spnasnet_small": _timm("spnasnet_100", small=True),
        "vit_small_32": _timm(
            "vit_tiny_patch16_224", img_size=32, patch_size=4, depth=6, embed_dim=96, num_heads=3
        ),
        # Learns digits from 10,000 images in minutes on a CPU.
        "vit_patch8_32": _timm(
            "vit_tiny_patch16_224", img_size=32, patch_size=8, depth=4, embed_dim=96, num_heads=3
        ),
    }
)


def names() -> list[str]:
    """List the networks known by a name of their own."""
    return list(MODELS)


@dataclass(frozen=True)
class ModelMaker:
    """A network to be made, again and again, for a number of classes.

    Attributes
    ----------
    name : str
        As in tables.
    make : callable
        Number of classes to a fresh network, float (N, 3, H, W) to logits.
    """

    name: str
    make: Callable[[int], nn.Module]


def resolve_model(model: Model, name: str = "") -> ModelMaker:
    """Find what makes a network.

    Parameters
    ----------
    model : str or callable
        A name of `names`, ``"torchvision/NAME"`` or ``"timm/NAME"``; or a callable that takes the
        number of classes as ``classes`` or ``num_classes``, or nothing, and returns a module.
    name : str
        Its name in tables; by default as given, or the callable's own.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If it is neither a name nor callable.
    """
    if isinstance(model, str):
        return ModelMaker(name or model, _named(model).build)
    if isinstance(model, nn.Module) or not callable(model):
        kind = type(model).__name__
        raise TypeError(
            f"model must be a name or a callable that makes a fresh network, got {kind}"
        )
    parameters = inspect.signature(model).parameters
    keyword = next((key for key in ("classes", "num_classes") if key in parameters), None)
    return ModelMaker(
        name or getattr(model, "__name__", type(model).__name__),
        lambda classes: model(**({keyword: classes} if keyword else {})),
    )


def build(model: Callable[[], nn.Module], front_end: FrontEnd, seed: int) -> nn.Sequential:
    """Make a model with a front end, its weights drawn from `seed` alone.

    Where the front end gives more than three channels, the model's first convolution is widened
    (`widen`).

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
    with torch.no_grad():
        channels = layer.eval()(torch.zeros(1, 3, 64, 64)).shape[1]
    if channels != 3:
        widen(network, channels)
    return nn.Sequential(layer, network).train()


def widen(network: nn.Module, channels: int) -> None:
    """Make a network take another number of channels, in place.

    The weights of its first convolution repeat along the channels and shrink by 3 / `channels`,
    so that activations keep their size (as timm does for pretrained weights).

    Raises
    ------
    ValueError
        If the first convolution does not take three channels, or there is none.
    """
    first = next((m for m in network.modules() if isinstance(m, nn.Conv2d)), None)
    if first is None or first.in_channels != 3 or first.groups != 1:
        raise ValueError("the network's first convolution must take three channels to be widened")
    repeats = -(-channels // 3)
    weight = first.weight.detach().repeat(1, repeats, 1, 1)[:, :channels] * (3 / channels)
    first.in_channels = channels
    first.weight = nn.Parameter(weight.contiguous())


def keep_resolution(network: nn.Module, strides: int = 2) -> None:
    """Fit a network of 224 x 224 pixels to 32 x 32, in place.

    The first `strides` strided convolutions and poolings before any wider than them get stride 1:
    32 x 32 images then reach the last stage at 4 x 4, as 224 x 224 ones would at 7 x 7.
    """
    left = strides
    for module in network.modules():
        if not left:
            return
        if isinstance(module, nn.Conv2d) and module.stride != (1, 1) and module.kernel_size[0] > 1:
            module.stride = (1, 1)
            left -= 1
        elif isinstance(module, nn.MaxPool2d) and module.stride not in (1, (1, 1)):
            module.stride = 1
            if module.kernel_size in (2, (2, 2)):
                module.kernel_size = 1
            left -= 1


def fingerprint(network: nn.Module) -> str:
    """SHA-256 of a network's structure and weights, as hexadecimal digits."""
    digest = hashlib.sha256(str(network).encode())
    for name, value in network.state_dict().items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(_bytes(value))
    return digest.hexdigest()


def _bytes(value: Tensor) -> bytes:
    flat = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    return bytes(flat.numpy())


def _named(name: str) -> Known:
    package, slash, rest = name.partition("/")
    if slash and package == "torchvision":
        return _torchvision(rest)
    if slash and package == "timm":
        return _timm(rest)
    if name not in MODELS:
        raise ValueError(
            f"unknown model {name!r}; known: {', '.join(MODELS)}, torchvision/NAME, timm/NAME"
        )
    return MODELS[name]
