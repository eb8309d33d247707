"""The 13 published models, and any of torchvision, timm or your own, by name."""

from __future__ import annotations

import difflib
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neurn._optional import import_torch_package

WEIGHTS = ("cached", "random")

_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_HALF = ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))


@dataclass(frozen=True)
class _Recipe:
    package: str
    target: str
    size: int = 224
    statistics: Any = _IMAGENET
    arguments: Mapping[str, Any] = field(default_factory=dict)


def _torchvision(target: str, size: int = 224, **arguments: Any) -> _Recipe:
    return _Recipe("torchvision", target, size, arguments=arguments)


# The first 13 of the published heatmap of architectures are the ImageNet models of Keras; these
# define the same networks for torch.
_RECIPES = {
    "MobileNet": _Recipe("timm", "mobilenetv1_100"),
    "MobileNetV2": _torchvision("mobilenet_v2"),
    "ResNet50": _torchvision("resnet50"),
    "ResNet101": _torchvision("resnet101"),
    "ResNet152": _torchvision("resnet152"),
    "ResNet50V2": _Recipe("timm", "resnetv2_50"),
    "ResNet101V2": _Recipe("timm", "resnetv2_101"),
    "ResNet152V2": _Recipe("timm", "resnetv2_152"),
    "Xception": _Recipe("timm", "legacy_xception", 299, _HALF),
    "InceptionV3": _torchvision("inception_v3", 299, init_weights=True, aux_logits=True),
    "InceptionResNetV2": _Recipe("timm", "inception_resnet_v2", 299, _HALF),
    "VGG16": _torchvision("vgg16"),
    "VGG19": _torchvision("vgg19"),
}

PUBLISHED = tuple(_RECIPES)
"""Names of the 13 models of the published comparison."""


class NamedModel(nn.Module):
    """A model that knows its name, its weights' origin and what input it wants.

    Takes images (N, C, H, W) from 0 to 1: resized (bilinear, antialiased) where `size` is given,
    normalized by `mean` and `std`, then given to `model`. A front end goes between the first two.

    Parameters
    ----------
    model : nn.Module
    name : str
    weights : str
        What results say of them: ``"random weights (seed 0)"``, or where they come from.
    size : int, optional
        Height and width of the model's input.
    mean, std : sequence of float, optional
        One per channel.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from neurn import features
    >>> net = nn.Conv2d(3, 8, 3)
    >>> named = features.NamedModel(net, "tiny", "random weights", size=32, mean=[0.5] * 3)
    >>> named(torch.rand(2, 3, 48, 64)).shape
    torch.Size([2, 8, 30, 30])
    >>> features.extract(named, torch.rand(2, 3, 48, 64)).attrs["model"]
    'tiny'
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(
        self,
        model: nn.Module,
        name: str,
        weights: str,
        size: int | None = None,
        mean: Any = None,
        std: Any = None,
    ) -> None:
        super().__init__()
        self.model = model
        self.name = name
        self.weights = weights
        self.size = size
        for key, values in (("mean", mean), ("std", std)):
            tensor = None if values is None else torch.tensor(values)[:, None, None]
            self.register_buffer(key, tensor, persistent=False)

    def resized(self, x: Tensor) -> Tensor:
        """Return images in the size that the model wants."""
        if self.size is not None and x.shape[-2:] != (self.size, self.size):
            x = nn.functional.interpolate(
                x, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False
            )
        return x

    def forward(self, x: Tensor) -> Any:
        """Return the model's output for images (N, C, H, W), 0 to 1."""
        x = self.resized(x)
        if self.mean is not None:
            x = x - self.mean.to(x.dtype)
        if self.std is not None:
            x = x / self.std.to(x.dtype)
        return self.model(x)


def published(name: str, weights: str = "cached", seed: int = 0) -> NamedModel:
    """Build one of the 13 published models (`PUBLISHED`); as `build`.

    The paper says 13 ImageNet models; these are the first 13 of its heatmap of architectures, the
    classical ones of Keras, here by torchvision and timm.

    Examples
    --------
    >>> from neurn import features
    >>> features.PUBLISHED[:4]
    ('MobileNet', 'MobileNetV2', 'ResNet50', 'ResNet101')
    >>> features.published("VGG16", weights="random").weights  # doctest: +SKIP
    'random weights (seed 0)'
    """
    if name not in _RECIPES:
        raise ValueError(f"name must be one of {', '.join(PUBLISHED)}, got {name!r}")
    return build(name, weights, seed)


def build(name: str, weights: str = "cached", seed: int = 0, size: int | None = None) -> NamedModel:
    """Build a model by name. Nothing is downloaded.

    Parameters
    ----------
    name : str
        One of `PUBLISHED`, ``"torchvision/NAME"``, ``"timm/NAME"``, or ``"module:callable"``, a
        callable without arguments that returns a module.
    weights : str
        ``"cached"``: trained ones where torch or Hugging Face have them in their caches on this
        machine, else random ones; ``"random"``; or the path of a state dict.
    seed : int
        Of random weights; torch's own generator is left as it was.
    size : int, optional
        Height and width that images are resized to; that of ImageNet models by default, as they
        come for others.

    Returns
    -------
    NamedModel
        In evaluation mode; `weights` says "random weights" where that is what they are.

    Raises
    ------
    ValueError
        If the name is unknown or a file does not hold the model's weights.
    FileNotFoundError
        If the file is not there.
    ImportError
        If the package that defines the model is not installed (the extra ``zoo`` brings them) or
        does not fit torch.

    Examples
    --------
    >>> from neurn import features
    >>> model = features.build("neurn.generalize:digit_net", size=28)
    >>> model.name, model.weights
    ('neurn.generalize:digit_net', 'as the callable makes it')
    >>> features.build("torchvision/resnet18", "random").weights  # doctest: +SKIP
    'random weights (seed 0)'
    """
    recipe = _recipe(name)
    file = _cached(recipe) if weights == "cached" else None
    if weights not in WEIGHTS:
        file = Path(weights)
        if not file.is_file():
            raise FileNotFoundError(
                f"weights must be one of {', '.join(WEIGHTS)} or a file, and {weights!r} is none"
            )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = _make(recipe)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{name!r} must make a torch.nn.Module, got {type(model).__name__}")
    said = f"random weights (seed {seed})"
    if file is not None:
        _load(model, file, name)
        said = f"weights of {file.name}"
    elif recipe.package == "own":
        said = "as the callable makes it"
    mean, std = recipe.statistics or (None, None)
    side = size if size is not None else (recipe.size or None)
    return NamedModel(model.eval(), name, said, side, mean, std)


def _recipe(name: str) -> _Recipe:
    if name in _RECIPES:
        return _RECIPES[name]
    package, _, target = name.partition("/")
    if package in ("torchvision", "timm") and target:
        return _Recipe(package, target)
    if re.fullmatch(r"[\w.]+:\w+", name):
        return _Recipe("own", name, 0, None)
    close = difflib.get_close_matches(name, PUBLISHED, 3, 0.5)
    hint = f"; close to it: {', '.join(close)}" if close else ""
    raise ValueError(
        f"name must be one of {', '.join(PUBLISHED)}, torchvision/NAME, timm/NAME or "
        f"module:callable, got {name!r}{hint}"
    )


def _make(recipe: _Recipe) -> Any:
    try:
        if recipe.package == "torchvision":
            models = import_torch_package("torchvision.models")
            return models.get_model(recipe.target, weights=None, **recipe.arguments)
        if recipe.package == "timm":
            return import_torch_package("timm").create_model(recipe.target, pretrained=False)
    except (KeyError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"{recipe.package} cannot make {recipe.target!r}: {str(error).splitlines()[0]}"
        ) from error
    module, _, attribute = recipe.target.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)()
    except (ImportError, AttributeError) as error:
        raise ValueError(f"name {recipe.target!r} cannot be imported: {error}") from error


def _cached(recipe: _Recipe) -> Path | None:
    """Return the file of trained weights that is on this machine already, if there is one."""
    if recipe.package == "torchvision":
        models = import_torch_package("torchvision.models")
        try:
            default = models.get_model_weights(recipe.target).DEFAULT
        except ValueError:
            return None
        file = Path(torch.hub.get_dir()) / "checkpoints" / Path(default.url).name
        return file if file.is_file() else None
    if recipe.package == "timm":
        configuration = import_torch_package("timm").models.get_pretrained_cfg(recipe.target)
        repository = getattr(configuration, "hf_hub_id", None)
        if repository is None:
            return None
        hub = import_torch_package("huggingface_hub")
        # timm's own names of repositories are without the architecture where that is the same.
        for name in ("model.safetensors", "pytorch_model.bin"):
            found = hub.try_to_load_from_cache(repository.rstrip("/"), name)
            if isinstance(found, str):
                return Path(found)
    return None


def _load(model: nn.Module, file: Path, name: str) -> None:
    try:
        if file.suffix == ".safetensors":
            state = import_torch_package("safetensors.torch").load_file(file)
        else:
            state = torch.load(file, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(f"{str(file)!r} does not hold weights of {name}: {reason}") from error
