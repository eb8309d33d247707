"""Activations of many layers of any torch model in one pass."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from neurn._device import check_device
from neurn._files import open_atomic
from neurn._optional import import_optional
from neurn._progress import Progress, show_progress
from neurn.arch.trace import quiet
from neurn.features.front_end import WithFrontEnd
from neurn.features.models import NamedModel

if TYPE_CHECKING:
    import xarray as xr

LAYERS = ("conv", "linear", "leaves", "children")
REDUCTIONS = ("none", "mean", "max", "flatten", "project")

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_LAST_IS_FEATURE = (nn.Linear, nn.LayerNorm, nn.Embedding, nn.MultiheadAttention)
_DIMS = {
    2: ("stimulus", "feature"),
    3: ("stimulus", "feature", "position"),
    4: ("stimulus", "feature", "y", "x"),
    5: ("stimulus", "feature", "z", "y", "x"),
}
_FORMAT = 1  # of the cache

Layers = str | Sequence[str] | Callable[[str, nn.Module], bool]


class Features(Mapping[str, "xr.DataArray"]):
    """Activations by layer, in the order in which the layers ran. `extract` makes it.

    Parameters
    ----------
    layers : mapping of str to DataArray
        Dims (stimulus, feature, ...).
    attrs : mapping
        What holds for all layers: ``model``, ``front_end``, ``weights``, ``key``, ...

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from neurn import features
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> found = features.extract(net, torch.rand(5, 3, 12, 12), reduce="mean")
    >>> found
    <Features of Sequential, as given: 2 layers, 0 (5, 8), 2 (5, 4)>
    >>> found["2"].dims, found["2"].attrs["front_end"]
    (('stimulus', 'feature'), 'none')
    """

    def __init__(self, layers: Mapping[str, xr.DataArray], attrs: Mapping[str, Any]) -> None:
        self._layers = dict(layers)
        self.attrs = dict(attrs)

    def __getitem__(self, name: str) -> xr.DataArray:
        if name not in self._layers:
            raise KeyError(f"layer must be one of {', '.join(self._layers)}, got {name!r}")
        return self._layers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._layers)

    def __len__(self) -> int:
        """Return the number of layers."""
        return len(self._layers)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{k} {v.shape}" for k, v in list(self._layers.items())[:3])
        more = ", ..." if len(self) > 3 else ""
        front = self.attrs.get("front_end", "none")
        behind = "" if front == "none" else f" behind {front}"
        return (
            f"<Features of {self.attrs.get('model')}{behind}, {self.attrs.get('weights')}: "
            f"{len(self)} layers, {sizes}{more}>"
        )


def layer_names(model: nn.Module, layers: Layers = "conv") -> list[str]:
    """Return the names of the layers that `extract` would take.

    Parameters
    ----------
    model : nn.Module
    layers : {"conv", "linear", "leaves", "children"}, sequence of str, or callable
        ``"leaves"``: modules without modules in them; ``"children"``: the model's own parts. A
        callable gets name and module of each and says whether to take it. A model that is a single
        layer has one name, ``""``.

    Raises
    ------
    ValueError
        If a name is unknown or no layer is left.

    Examples
    --------
    >>> from torch import nn
    >>> from neurn import features
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(800, 10))
    >>> features.layer_names(net)
    ['0']
    >>> features.layer_names(net, "leaves")
    ['0', '1', '2', '3']
    >>> features.layer_names(net, lambda name, module: isinstance(module, nn.ReLU))
    ['1']
    """
    return list(choose(model, layers))


def choose(model: nn.Module, layers: Layers) -> dict[str, nn.Module]:
    """Return the chosen layers by name; the arguments are those of `layer_names`."""
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    inner = _inner(model)
    # A model that is a single layer is known by the name that torch gives it, "".
    known = {name: module for name, module in inner.named_modules() if name} or {"": inner}
    if isinstance(layers, str) and layers in known and layers not in LAYERS:
        layers = [layers]
    if isinstance(layers, str):
        if layers not in LAYERS:
            raise ValueError(
                f"layers must be one of {', '.join(LAYERS)}, names of the model's layers or a "
                f"callable, got {layers!r}"
            )
        kinds: dict[str, Callable[[str, nn.Module], bool]] = {
            "conv": lambda _, module: isinstance(module, _CONVOLUTIONS),
            "linear": lambda _, module: isinstance(module, nn.Linear),
            "leaves": lambda _, module: next(module.children(), None) is None,
            "children": lambda name, _: "." not in name,
        }
        wanted = kinds[layers]
    elif callable(layers):
        wanted = layers
    else:
        lacking = [name for name in layers if name not in known]
        if lacking:
            some = ", ".join(list(known)[:8])
            raise ValueError(f"layers: the model has no layer {lacking[0]!r}; it has {some}, ...")
        names = set(layers)
        wanted = lambda name, _: name in names  # noqa: E731
    found = {name: module for name, module in known.items() if wanted(name, module)}
    if not found and isinstance(layers, str) and isinstance(inner, (*_CONVOLUTIONS, nn.Linear)):
        # The model is a single layer itself.
        found = {"": inner}
    if not found:
        raise ValueError(f"layers: no layer of {type(inner).__name__} is chosen by {layers!r}")
    return found


def _inner(model: nn.Module) -> nn.Module:
    """Return the model itself, without front end and normalization: its names stay the same."""
    while isinstance(model, (WithFrontEnd, NamedModel)):
        model = model.model
    return model


def describe(model: nn.Module) -> dict[str, str]:
    """Return what results say of a model: its name, front end and weights."""
    front = model.front_end_name if isinstance(model, WithFrontEnd) else "none"
    inside = model.model if isinstance(model, WithFrontEnd) else model
    if isinstance(inside, NamedModel):
        name, weights = inside.name, inside.weights
    else:
        name, weights = type(inside).__name__, "as given"
    return {"model": name, "front_end": front, "weights": weights}


def extract(
    model: nn.Module,
    images: Any,
    layers: Layers = "conv",
    *,
    reduce: str | Mapping[str, str] = "none",
    components: int = 4096,
    over: str = "error",
    max_bytes: int = 4 * 1024**3,
    batch_size: int = 32,
    device: str | torch.device | None = None,
    amp: bool = False,
    transform: Callable[[Tensor], Tensor] | None = None,
    seed: int = 0,
    cache: str | Path | None = None,
    name: str | None = None,
    weights: str | None = None,
    progress: bool | Progress | None = None,
) -> Features:
    """Return the activations of many layers in one pass over the images.

    The model runs in evaluation mode without gradients and is left as it was. The same call gives
    the same bits on the same machine; another `batch_size` may change the last ones.

    Parameters
    ----------
    model : nn.Module
        Any: torchvision, timm, Hugging Face, your own.
    images : DataArray, array or Tensor, shape (images, H, W) or (images, C, H, W)
        uint8 is divided by 255; others are taken as they are, in single precision. Grey images
        are repeated where the model's first convolution takes three channels. A coordinate
        ``stimulus`` is kept.
    layers : {"conv", "linear", "leaves", "children"}, sequence of str, or callable
        See `layer_names`. A layer that runs more than once gets ``name:2``, ``name:3``, ...
    reduce : {"none", "mean", "max", "flatten", "project"}, or mapping from layer to one of them
        ``"mean"`` and ``"max"`` over positions: (stimulus, feature); ``"flatten"``: features times
        positions; ``"project"``: of these a sparse random projection to `components` (Li, Hastie,
        Church 2006; needs scikit-learn), where they are more than that.
    components : int
    over : {"error", "project"}
        What to do where the layers would take more than `max_bytes`: an error that says what
        would help, or project the largest layers until all fit.
    max_bytes : int
        Of all results together.
    batch_size : int
    device : str or torch.device, optional
        Where to run; where the model is, by default. It is moved back afterwards.
    amp : bool
        Automatic mixed precision (bfloat16).
    transform : callable, optional
        Gets batches (N, C, H, W) before the model.
    seed : int
        Of projections and of whatever the model draws.
    cache : str or path, optional
        A directory: what was extracted is stored there and read again when weights, code of the
        modules, transformed images and settings are the same. Files are whole or not there, and
        the same bytes for the same features.
    name, weights : str, optional
        What results say of the model and its weights, in place of what is known of them.
    progress : bool or callable, optional
        True: a bar or a line on stderr; a callable gets the numbers of images done and of all.

    Returns
    -------
    Features
        A mapping from layer to DataArray (stimulus, feature[, y, x]), float32. Three axes that are
        not those of a 1-d convolution are taken as tokens: (stimulus, feature, position).

    Raises
    ------
    ValueError
        If an argument is not allowed, or the result would be larger than `max_bytes`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from neurn import features
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> found = features.extract(net, torch.rand(5, 3, 12, 12))
    >>> {layer: maps.shape for layer, maps in found.items()}
    {'0': (5, 8, 10, 10), '2': (5, 4, 8, 8)}
    """
    if over not in ("error", "project"):
        raise ValueError(f"over must be one of error, project, got {over!r}")
    for key, value in (("batch_size", batch_size), ("components", components)):
        if value < 1:
            raise ValueError(f"{key} must be at least 1, got {value}")
    chosen = choose(model, layers)
    wanted = _reductions(chosen, reduce)
    batches = _Batches(images, _inner(model), batch_size, transform)
    about = describe(model) | {
        key: text for key, text in (("model", name), ("weights", weights)) if text is not None
    }
    if device is not None:
        check_device(device)
    place = _device(model) if device is None else torch.device(device)
    settings = {
        "layers": sorted(chosen),
        "reduce": {k: wanted[k] for k in sorted(wanted)},
        "components": components,
        "over": [over, max_bytes] if over == "project" else "error",
        "amp": amp,
        "seed": seed,
        "device": place.type,
        "batch_size": batch_size,
    }
    key = ""
    if cache is not None:
        key = _key(model, batches, settings)
        file = Path(cache) / f"{key}.npz"
        stored = _read(file)
        if stored is not None:
            return _named(stored, chosen, batches, {**about, "key": key})
    kept = _run(
        model, batches, chosen, wanted, components, over, max_bytes, place, amp, seed, progress
    )
    if cache is not None:
        Path(cache).mkdir(parents=True, exist_ok=True)
        _write(file, kept)
    return _named(kept, chosen, batches, {**about, "key": key})


class _Batches:
    """Images as float batches with the channels that the model takes."""

    def __init__(
        self, images: Any, model: nn.Module, size: int, transform: Callable[[Tensor], Tensor] | None
    ) -> None:
        values = images.values if hasattr(images, "coords") else images
        if not isinstance(values, Tensor):
            values = np.asarray(values)
            if values.dtype.kind not in "biuf":
                raise ValueError(f"images must be real numbers, got dtype {values.dtype}")
        tensor = values if isinstance(values, Tensor) else torch.from_numpy(values)
        if tensor.dim() == 3:
            tensor = tensor[:, None]
        if tensor.dim() != 4 or not len(tensor):
            raise ValueError(
                "images must have shape (images, H, W) or (images, C, H, W) and hold one or more, "
                f"got {tuple(tensor.shape)}"
            )
        # Extremes are NaN where anything is, and a fraction of the cost of looking at each.
        if tensor.is_floating_point() and not torch.isfinite(torch.stack(tensor.aminmax())).all():
            raise ValueError("images must be finite, got NaN or infinity")
        self.tensor, self.size, self.transform = tensor, size, transform
        self.stimulus = np.arange(len(tensor))
        if hasattr(images, "coords") and "stimulus" in images.coords:
            self.stimulus = np.asarray(images["stimulus"].values)
        self.simulated = int(getattr(images, "attrs", {}).get("simulated", 0))
        self.channels = input_channels(model)

    def __len__(self) -> int:
        return len(self.tensor)

    def __iter__(self) -> Iterator[Tensor]:
        for begin in range(0, len(self.tensor), self.size):
            yield self.batch(begin)

    def batch(self, begin: int) -> Tensor:
        part = self.tensor[begin : begin + self.size]
        part = part.float() / 255 if part.dtype == torch.uint8 else part.float()
        if part.shape[1] == 1 and self.channels == 3:
            part = part.expand(-1, 3, -1, -1)
        return part if self.transform is None else self.transform(part)


def input_channels(model: nn.Module) -> int | None:
    """Return how many channels the images of a model have, by its first convolution if any."""
    first = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    return None if first is None else first.in_channels


def _reductions(chosen: Mapping[str, nn.Module], reduce: Any) -> dict[str, str]:
    given = dict(reduce) if isinstance(reduce, Mapping) else dict.fromkeys(chosen, reduce)
    for layer, value in given.items():
        if layer not in chosen:
            raise ValueError(f"reduce: {layer!r} is none of the layers that are extracted")
        if value not in REDUCTIONS:
            raise ValueError(f"reduce must be one of {', '.join(REDUCTIONS)}, got {value!r}")
    return {layer: given.get(layer, "none") for layer in chosen}


def _device(model: nn.Module) -> torch.device:
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def _run(
    model: nn.Module,
    batches: _Batches,
    chosen: Mapping[str, nn.Module],
    wanted: Mapping[str, str],
    components: int,
    over: str,
    max_bytes: int,
    place: torch.device,
    amp: bool,
    seed: int,
    progress: bool | Progress | None,
) -> dict[str, npt.NDArray[np.float32]]:
    before = _device(model)
    total = len(batches)
    collector = _Collector(chosen, wanted, components, seed, total, over, max_bytes)
    done = 0
    devices = [place] if place.type == "cuda" else []
    with (
        quiet(model),
        torch.inference_mode(),
        torch.random.fork_rng(devices=devices),
        torch.backends.cudnn.flags(deterministic=True, benchmark=False),
        torch.autocast(place.type, dtype=torch.bfloat16, enabled=amp),
        collector.attached(),
        show_progress(progress, "features", "images") as report,
    ):
        torch.manual_seed(seed)
        try:
            if place != before:
                model.to(place)
            for batch in batches:
                with collector.batch(done, len(batch)):
                    _forward(model, batch.to(place))
                done += len(batch)
                if report is not None:
                    report(done, total)
        finally:
            if place != before:
                model.to(before)
    return collector.kept


def _forward(model: nn.Module, batch: Tensor) -> None:
    try:
        model(batch)
    except RuntimeError as error:
        text = str(error).splitlines()[0]
        if "channels" not in text:
            raise
        raise ValueError(
            f"images must have the channels that the model takes, got {batch.shape[1]}: {text}"
        ) from error


class _Collector:
    """Takes the outputs of the chosen layers as they pass, each to its place in the results."""

    def __init__(
        self,
        chosen: Mapping[str, nn.Module],
        wanted: Mapping[str, str],
        components: int,
        seed: int,
        total: int,
        over: str,
        max_bytes: int,
    ) -> None:
        self.chosen, self.wanted = chosen, dict(wanted)
        self.components, self.seed = components, seed
        self.total, self.over, self.max_bytes = total, over, max_bytes
        self.kept: dict[str, npt.NDArray[np.float32]] = {}
        self.projections: dict[int, Any] = {}
        # Of the batch under way: what ran, and what waits until all layers are known.
        self.ran: dict[str, tuple[int, ...]] = {}
        self.waiting: dict[str, Tensor] = {}
        self.first = True
        self.place = slice(0, 0)

    @contextmanager
    def attached(self) -> Iterator[None]:
        handles = [
            module.register_forward_hook(self._hook(name)) for name, module in self.chosen.items()
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def batch(self, done: int, count: int) -> Iterator[None]:
        """Take what the layers give for the next images."""
        self.place = slice(done, done + count)
        self.ran, self.waiting = {}, {}
        yield
        if self.first:
            self._fit()
            self.first = False
        elif self.ran.keys() != self.kept.keys():
            odd = min(self.ran.keys() ^ self.kept.keys())
            raise ValueError(f"layers: {odd!r} does not run alike in every batch; leave it out")
        for layer, tensor in self.waiting.items():
            self._write(layer, tensor)

    def _hook(self, name: str) -> Callable[..., None]:
        def take(module: nn.Module, _: Any, output: Any) -> None:
            tensor = first_tensor(output)
            if tensor is None or tensor.dim() < 2:
                raise ValueError(f"layer {name!r} gives no tensor with a batch of features")
            count = self.place.stop - self.place.start
            if len(tensor) != count:
                raise ValueError(
                    f"layer {name!r} gives {len(tensor)} rows for {count} images: it mixes images "
                    "and cannot be taken"
                )
            call, label = 2, name
            while label in self.ran:
                label, call = f"{name}:{call}", call + 1
            self._take(label, _feature_second(module, tensor))

        return take

    def _take(self, layer: str, tensor: Tensor) -> None:
        how = self._how(layer)
        small = how in ("mean", "max") and tensor.dim() > 2
        if small:
            flat = tensor.flatten(2)
            tensor = flat.mean(2) if how == "mean" else flat.amax(2)
        self.ran[layer] = tuple(int(side) for side in tensor.shape[1:])
        if self.first and self.over == "error":
            if self._needed() > self.max_bytes:
                self.kept.clear()  # the error comes when all layers have told their size
                return
            self._make(layer)
        # Small ones of a GPU wait: it need not stop for each.
        if layer in self.kept and not (small and tensor.is_cuda):
            self._write(layer, tensor)
        else:
            # The next module may write into it, as ReLU(inplace=True) does.
            self.waiting[layer] = tensor if small else tensor.clone()

    def _size(self, layer: str) -> int:
        return 4 * self.total * int(np.prod(self._shape(layer)))

    def _needed(self) -> int:
        return sum(map(self._size, self.ran))

    def _make(self, layer: str) -> None:
        self.kept[layer] = np.empty((self.total, *self._shape(layer)), dtype=np.float32)

    def _fit(self) -> None:
        """Check, or make by projection, that all results fit."""
        if self.over == "project":
            for layer in sorted(self.ran, key=self._size, reverse=True):
                if self._needed() <= self.max_bytes:
                    break
                self.wanted[layer] = "project"
        needed = self._needed()
        if needed > self.max_bytes:
            largest = max(self.ran, key=self._size)
            raise ValueError(
                f"layers would take {needed / 1e9:,.3g} GB and max_bytes is "
                f"{self.max_bytes / 1e9:,.3g} GB (largest: {largest}, "
                f"{self._size(largest) / 1e9:,.3g} GB): "
                "take fewer layers, reduce='mean' or 'project', or over='project'"
            )
        for layer in self.waiting:
            if layer not in self.kept:
                self._make(layer)

    def _how(self, layer: str) -> str:
        return self.wanted.get(layer, self.wanted.get(layer.rpartition(":")[0], "none"))

    def _shape(self, layer: str) -> tuple[int, ...]:
        how, shape = self._how(layer), self.ran[layer]
        if how in ("flatten", "project"):
            flat = int(np.prod(shape))
            return (min(flat, self.components) if how == "project" else flat,)
        return shape

    def _write(self, layer: str, tensor: Tensor) -> None:
        kept, how = self.kept[layer][self.place], self._how(layer)
        if how in ("flatten", "project"):
            tensor = tensor.flatten(1)
        if how == "project" and tensor.shape[1] > self.components:
            values = tensor.float().cpu().numpy()
            kept[:] = self._projection(tensor.shape[1]).transform(values)
        else:
            torch.from_numpy(kept).copy_(tensor)

    def _projection(self, width: int) -> Any:
        if width not in self.projections:
            module = import_optional("sklearn.random_projection", "mouse")
            made = module.SparseRandomProjection(self.components, random_state=self.seed)
            self.projections[width] = made.fit(np.zeros((1, width), dtype=np.float32))
        return self.projections[width]


def first_tensor(output: Any) -> Tensor | None:
    """Return the first tensor of what a module returned: tuples, mappings, Hugging Face outputs."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, Mapping):
        output = list(output.values())
    if isinstance(output, (tuple, list)):
        return next((t for t in map(first_tensor, output) if t is not None), None)
    return None


def _feature_second(module: nn.Module, tensor: Tensor) -> Tensor:
    """Return (stimulus, feature, positions): tokens and channels-last layers turned round."""
    last = isinstance(module, _LAST_IS_FEATURE) or (
        tensor.dim() == 3 and not isinstance(module, nn.Conv1d)
    )
    return tensor.movedim(-1, 1) if last and tensor.dim() > 2 else tensor


def _named(
    kept: Mapping[str, npt.NDArray[np.float32]],
    chosen: Mapping[str, nn.Module],
    batches: _Batches,
    attrs: dict[str, Any],
) -> Features:
    xarray = import_optional("xarray", "mouse")
    attrs = {**attrs, "simulated": batches.simulated}
    arrays = {
        layer: xarray.DataArray(
            values,
            dims=_DIMS[values.ndim],
            coords={"stimulus": batches.stimulus, "feature": np.arange(values.shape[1])},
            name="features",
            attrs={**attrs, "layer": layer, "units": "1"},
        )
        for layer, values in kept.items()
    }
    return Features(arrays, attrs)


def _key(model: nn.Module, batches: _Batches, settings: Mapping[str, Any]) -> str:
    """Return a digest of everything that the features depend on."""
    digest = hashlib.sha256()
    about = {"format": _FORMAT, "torch": torch.__version__, **settings}
    digest.update(json.dumps(about, sort_keys=True).encode())
    digest.update(repr(model).encode())
    for name, module in model.named_modules():
        digest.update(f"{name} {type(module).__module__}.{type(module).__qualname__}".encode())
        if isinstance(module, NamedModel):
            statistics = [None if b is None else b.tolist() for b in (module.mean, module.std)]
            digest.update(f"{module.size} {statistics}".encode())
    for name, tensor in model.state_dict().items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bytes(tensor))
    for batch in batches:
        digest.update(f"{batch.dtype} {tuple(batch.shape)}".encode())
        digest.update(_bytes(batch))
    return digest.hexdigest()[:32]


def _bytes(tensor: Tensor) -> Any:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy() if flat.numel() else b""


def _write(file: Path, kept: Mapping[str, npt.NDArray[np.float32]]) -> None:
    # Layers by number: names may hold what a file name must not.
    arrays = {f"layer{i}": values for i, values in enumerate(kept.values())}
    with open_atomic(file) as stream:
        np.savez(stream, names=np.array(list(kept)), **arrays)  # type: ignore[arg-type]


def _read(file: Path) -> dict[str, npt.NDArray[np.float32]] | None:
    """Return what is stored, or None where there is nothing, or nothing that can be read."""
    try:
        with np.load(file) as stored:
            return {str(name): stored[f"layer{i}"] for i, name in enumerate(stored["names"])}
    except (OSError, ValueError, KeyError, EOFError, SyntaxError):
        return None
    except Exception as error:  # zipfile.BadZipFile is no OSError
        if type(error).__name__ == "BadZipFile":
            return None
        raise
