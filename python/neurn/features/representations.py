"""Features as maps of the neurons' kind and size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from neurn import mouse
from neurn._optional import import_optional
from neurn.features.extract import Layers, choose, describe
from neurn.mouse.representations import NORMALIZATIONS, normalized, shrink

if TYPE_CHECKING:
    import xarray as xr

KINDS = ("tuning", "map")


def tuning(features: xr.DataArray) -> xr.DataArray:
    """Return mean activity over positions, (stimulus, feature).

    Parameters
    ----------
    features : DataArray, dims (stimulus, feature, ...)
    """
    positions = [dim for dim in features.dims if dim not in ("stimulus", "feature")]
    result: xr.DataArray = features.mean(positions) if positions else features
    return result.transpose("stimulus", "feature").assign_attrs(features.attrs)


def representations(
    features: xr.DataArray,
    images: Any = None,
    *,
    kind: str = "tuning",
    size: int | tuple[int, int] | None = None,
    stimulus: int | None = None,
    normalize: str = "none",
    **settings: Any,
) -> xr.DataArray:
    """Return a map of each feature, of the kind and size of the neurons' representations.

    Parameters
    ----------
    features : DataArray, dims (stimulus, feature[, y, x])
        A layer of `neurn.features.extract`.
    images : DataArray or array, shape (images, height, width), optional
        What the neurons saw; needed with ``kind="tuning"`` and ``mode="pixel"``.
    kind : {"tuning", "map"}
        ``"tuning"``: a feature's mean activity over positions is treated as a neuron's responses,
        and N = T^T F_S is made of it by `neurn.mouse.representations`: the same kind of thing on
        both sides. ``"map"``: the feature map itself, as published: averaged over images, or of
        one of them.
    size : int or tuple of int, optional
        Height and width. A map is made smaller by area averaging and never larger; its own size
        by default.
    stimulus : int, optional
        With ``kind="map"``: the image whose map is taken.
    normalize : {"none", "zscore", "minmax", "l2"}
        Of each map.
    **settings
        With ``kind="tuning"``: ``mode``, ``whiten``, ``centre``, ``preset``, ``device`` and
        ``dtype`` of `neurn.mouse.representations`.

    Returns
    -------
    DataArray, dims (feature, y, x)

    Raises
    ------
    ValueError
        If an argument is not allowed or a map is smaller than `size`.

    Examples
    --------
    >>> import torch
    >>> from torch import nn
    >>> from neurn import features
    >>> images = torch.rand(20, 16, 16)
    >>> layer = features.extract(nn.Sequential(nn.Conv2d(1, 8, 3)), images)["0"]
    >>> features.representations(layer, images.numpy(), size=14).shape
    (8, 14, 14)
    >>> features.representations(layer, kind="map", size=7).shape
    (8, 7, 7)
    """
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}")
    if kind == "tuning":
        if stimulus is not None:
            raise ValueError("stimulus: only with kind='map'")
        table = tuning(features).rename(feature="neuron")
        made = mouse.representations(table, images, size=size, normalize=normalize, **settings)
        return made.rename(neuron="feature").assign_attrs({**features.attrs, **made.attrs})
    if settings:
        raise ValueError(f"{', '.join(settings)}: only with kind='tuning'")
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {', '.join(NORMALIZATIONS)}, got {normalize!r}")
    if not {"y", "x"} <= set(features.dims):
        raise ValueError(f"kind='map' needs features with dims y and x, got {features.dims}")
    if stimulus is None:
        chosen = features.mean("stimulus")
    elif stimulus in features["stimulus"].values:
        chosen = features.sel(stimulus=stimulus, drop=True)
    else:
        raise ValueError(f"stimulus must be one of the images', got {stimulus!r}")
    attrs = {**features.attrs, "kind": "map", "normalize": normalize}
    return _maps(chosen.transpose("feature", "y", "x").values, size, normalize, attrs)


def kernels(
    model: nn.Module,
    layers: Layers = "conv",
    *,
    size: int | tuple[int, int] | None = None,
    normalize: str = "none",
) -> dict[str, xr.DataArray]:
    """Return the kernels of convolutions as maps, averaged over input channels.

    Parameters
    ----------
    model : nn.Module
    layers : {"conv"}, sequence of str, or callable
        As in `neurn.features.extract`; all of them must be 2-d convolutions.
    size : int or tuple of int, optional
        As in `representations`: kernels are never made larger, so make the neurons' maps as
        small as the kernels.
    normalize : {"none", "zscore", "minmax", "l2"}

    Returns
    -------
    dict of str to DataArray, dims (feature, y, x)

    Examples
    --------
    >>> from torch import nn
    >>> from neurn import features
    >>> net = nn.Sequential(nn.Conv2d(3, 8, 5), nn.ReLU(), nn.Conv2d(8, 4, 3))
    >>> {name: maps.shape for name, maps in features.kernels(net).items()}
    {'0': (8, 5, 5), '2': (4, 3, 3)}
    """
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {', '.join(NORMALIZATIONS)}, got {normalize!r}")
    found = {}
    for name, module in choose(model, layers).items():
        if not isinstance(module, nn.Conv2d):
            raise ValueError(f"layers: {name!r} is no 2-d convolution and has no kernels")
        with torch.no_grad():
            values = module.weight.float().mean(1).cpu().numpy()
        attrs = {**describe(model), "layer": name, "kind": "kernel", "normalize": normalize}
        found[name] = _maps(values, size, normalize, attrs)
    return found


def _maps(values: Any, size: Any, normalize: str, attrs: dict[str, Any]) -> xr.DataArray:
    own = values.shape[1:]
    side = own if size is None else (size, size) if isinstance(size, int) else tuple(size)
    if len(side) != 2 or min(side) < 1 or side[0] > own[0] or side[1] > own[1]:
        raise ValueError(
            f"size must be at most {own[0]} x {own[1]}, the features' own, got {size!r}: make the "
            "neurons' representations smaller instead"
        )
    flat = shrink(values, side).reshape(len(values), -1)
    maps = normalized(flat, normalize).reshape(len(values), *side)
    array: xr.DataArray = import_optional("xarray", "mouse").DataArray(
        maps,
        dims=("feature", "y", "x"),
        coords={"feature": np.arange(len(maps))},
        name="representations",
        attrs={**attrs, "units": "1"},
    )
    return array
