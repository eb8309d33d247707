"""Representations of neurons, N = T^T F_S: what a neuron makes of the images it was shown."""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._optional import import_optional
from neurn.mouse.recording import Recording
from neurn.mouse.sweeps import BLANK, responses

if TYPE_CHECKING:
    import xarray as xr

MODES = ("pixel", "stimulus")
NORMALIZATIONS = ("none", "zscore", "minmax", "l2")
PRESETS = {
    # The published text: images against traces, both as they are, pixel by pixel.
    "paper-text": {"mode": "pixel", "centre": False, "normalize": "minmax"},
    # The published figure: cell k of the map belongs to scene k.
    "paper-figure": {"mode": "stimulus", "centre": False, "normalize": "minmax"},
}

_NEURONS_PER_BLOCK = 4096
_RIDGE_STRENGTHS = tuple(10.0 ** (e / 2) for e in range(-12, 7))  # times the mean eigenvalue
_FOLDS = 5


def representations(
    recording: Recording | xr.DataArray,
    images: xr.DataArray | npt.NDArray[Any] | None = None,
    *,
    size: int | tuple[int, int] | None = None,
    mode: str = "pixel",
    whiten: str | None = None,
    centre: bool = True,
    normalize: str = "none",
    preset: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float32,
) -> xr.DataArray:
    """Return N = T^T F_S of each neuron as a map.

    T is a neuron's mean response to each image minus that to the blank, z-scored over images; F_S
    the images, one a row, made smaller by area averaging, minus the mean image, over the standard
    deviation of each pixel. N is divided by the number of images. An image that a neuron has no
    response to (NaN) says nothing of it, and is not counted; the map of a neuron without any is
    NaN.

    Parameters
    ----------
    recording : Recording or DataArray
        A DataArray is responses (neuron, stimulus) or (neuron, stimulus, trial), for example
        ``neurn.mouse.responses(recording)["trials"]``; then `images` must be given.
    images : DataArray or array, shape (images, height, width), optional
        Of a Recording its own by default.
    size : int or tuple of int, optional
        Height and width of the maps; 31 by default. With ``mode="stimulus"`` the smallest square
        that holds all images by default.
    mode : {"pixel", "stimulus"}
        ``"stimulus"``: no product with images; cell k of the map is the response to image k, rows
        first, NaN where there are no more images.
    whiten : {None, "ridge"}
        ``"ridge"``: T^T F (F^T F + s I)^-1, the ridge regression of responses on pixels, which
        takes out the correlations of natural images. s is chosen for each neuron on held-out
        images, 5 folds: the strongest whose squared error is within a standard error of the
        smallest. It stands in the coordinate ``ridge_strength``, in units of the mean eigenvalue.
        A missing response counts as the neuron's mean.
    centre : bool
        False: neither T nor F_S is centred or scaled.
    normalize : {"none", "zscore", "minmax", "l2"}
        Of each map.
    preset : {None, "paper-text", "paper-figure"}
        Settings of the paper: they replace `mode`, `centre` and `normalize`.
    device : str or torch.device
        Where the products are computed, in blocks of neurons; images and the ridge are prepared
        on the processor in float64, whatever the device.
    dtype : torch.dtype
        Of the products: float32 or float64.

    Returns
    -------
    DataArray, dims (neuron, y, x)
        ``attrs`` holds all settings. 63,000 neurons of 31 x 31 take 242 MB and about 3 seconds on
        two cores.

    Raises
    ------
    ValueError
        If an argument is not allowed, or the images do not fit the responses.

    References
    ----------
    Qazi, Jalil, Iqbal (2025), arXiv:2505.06886.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> maps = mouse.representations(recording, size=14)
    >>> maps.dims, maps.shape, maps.attrs["simulated"]
    (('neuron', 'y', 'x'), (4, 14, 14), 1)
    >>> mouse.representations(recording, mode="stimulus").shape  # a cell for each of 118 images
    (4, 11, 11)
    """
    if preset is not None:
        _one_of("preset", preset, tuple(PRESETS))
        chosen: dict[str, Any] = PRESETS[preset]
        mode, centre, normalize = chosen["mode"], chosen["centre"], chosen["normalize"]
    _one_of("mode", mode, MODES)
    _one_of("normalize", normalize, NORMALIZATIONS)
    if whiten is not None:
        _one_of("whiten", whiten, ("ridge",))
        if mode == "stimulus":
            raise ValueError("whiten='ridge' needs mode='pixel'")
    if dtype not in (torch.float32, torch.float64):
        raise ValueError(f"dtype must be torch.float32 or torch.float64, got {dtype}")
    try:
        torch.empty(0, dtype=dtype, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        raise ValueError(
            f"device must be one that torch has here, got {str(device)!r} with {dtype}"
        ) from error
    if isinstance(recording, Recording):
        table = responses(recording)["trials"]
        if mode == "pixel" and images is None:
            images = recording.images()
    elif set(getattr(recording, "dims", ())) - {"trial"} == {"neuron", "stimulus"}:
        table = recording
    else:
        raise ValueError(
            "recording must be a Recording or a DataArray (neuron, stimulus) or (neuron, stimulus, "
            f"trial), got {type(recording).__name__} {tuple(getattr(recording, 'dims', ()))}"
        )
    tuning = _tuning(table, centre)
    if mode == "pixel":
        if images is None:
            raise ValueError("images must be given beside responses")
        height, width = _size(31 if size is None else size)
        pictures = shrink(_pictures(images, tuning["stimulus"].values), (height, width))
        maps, strengths = _products(
            tuning.values, pictures.reshape(len(pictures), -1), centre, whiten, device, dtype
        )
    else:
        side = int(np.ceil(np.sqrt(tuning.sizes["stimulus"])))
        height, width = _size(side if size is None else size)
        maps, strengths = _cells(tuning.values, height * width, dtype), None
    maps = normalized(maps, normalize).reshape(len(maps), height, width)
    xarray = import_optional("xarray", "mouse")
    coords: dict[Any, Any] = {k: c for k, c in tuning.coords.items() if c.dims == ("neuron",)}
    if strengths is not None:
        coords["ridge_strength"] = ("neuron", strengths)
    array: xr.DataArray = xarray.DataArray(
        maps,
        dims=("neuron", "y", "x"),
        coords=coords,
        name="representations",
        attrs={
            "units": "1" if centre or normalize != "none" else tuning.attrs.get("units", ""),
            "simulated": int(table.attrs.get("simulated", 0)),
            "mode": mode,
            "whiten": whiten or "none",
            "centre": int(centre),
            "normalize": normalize,
            "preset": preset or "none",
            "n_images": tuning.sizes["stimulus"],
        },
    )
    return array


def shrink(images: npt.NDArray[Any], size: tuple[int, int]) -> npt.NDArray[np.float64]:
    """Make images smaller by area averaging: each new pixel is the mean of what it covers.

    Parameters
    ----------
    images : array, shape (..., height, width)
    size : tuple of int
        New height and width, at most those of the images.

    Returns
    -------
    ndarray of float64, shape (..., *size)

    Raises
    ------
    ValueError
        If `size` is larger than the images.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import mouse
    >>> images = np.arange(16.0).reshape(1, 4, 4)
    >>> mouse.shrink(images, (2, 2))[0]
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """
    result = np.asarray(images, dtype=np.float64)
    for axis, new in ((-2, size[0]), (-1, size[1])):
        old = result.shape[axis]
        if new > old:
            raise ValueError(f"size {size} is larger than the images, {images.shape[-2:]}")
        result = np.moveaxis(np.moveaxis(result, axis, -1) @ _overlaps(old, new), -1, axis)
    return result


def _overlaps(old: int, new: int) -> npt.NDArray[np.float64]:
    """Return the share of each old pixel in each new one, (old, new)."""
    edges = np.arange(new + 1) * (old / new)
    pixels = np.arange(old)[:, None]
    low, high = np.maximum(pixels, edges[:-1]), np.minimum(pixels + 1, edges[1:])
    weights: npt.NDArray[np.float64] = np.clip(high - low, 0, None) / (old / new)
    return weights


def _tuning(table: xr.DataArray, centre: bool) -> xr.DataArray:
    """Return mean responses (neuron, stimulus) to images, made T."""
    mean = table.mean("trial") if "trial" in table.dims else table
    mean = mean.transpose("neuron", "stimulus").assign_attrs(table.attrs)
    if "stimulus" not in mean.coords:
        mean = mean.assign_coords(stimulus=np.arange(mean.sizes["stimulus"]))
    shown = mean.isel(stimulus=np.flatnonzero(mean["stimulus"].values != BLANK))
    if shown.sizes["stimulus"] < 2:
        raise ValueError(f"responses must be to 2 images or more, got {shown.sizes['stimulus']}")
    values = shown.values.astype(np.float64)
    if BLANK in mean["stimulus"].values:
        values = values - mean.sel(stimulus=BLANK).values[:, None]
    if centre:
        there = ~np.isnan(values)
        count = np.maximum(there.sum(axis=1, keepdims=True), 1)
        largest = np.abs(values).max(axis=1, keepdims=True, where=there, initial=0)
        values = values - values.sum(axis=1, keepdims=True, where=there) / count
        power = (values**2).sum(axis=1, keepdims=True, where=there)
        # A neuron that never varies has a map of zeros; what it deviates by is rounding.
        flat = power <= count * (8 * np.finfo(np.float64).eps * largest) ** 2
        values = np.where(flat, values * 0, values / np.sqrt(np.where(flat, 1, power / count)))
    return shown.copy(data=values)


def _pictures(
    images: xr.DataArray | npt.NDArray[Any], stimuli: npt.NDArray[np.int64]
) -> npt.NDArray[Any]:
    values = np.asarray(images)
    if values.ndim != 3:
        raise ValueError(f"images must have shape (images, height, width), got {values.shape}")
    if stimuli.max() >= len(values):
        raise ValueError(
            f"images must hold one of number {stimuli.max()}, which was shown; got {len(values)}"
        )
    return values[stimuli]


def _products(
    tuning: npt.NDArray[np.float64],
    pixels: npt.NDArray[np.float64],
    centre: bool,
    whiten: str | None,
    device: str | torch.device,
    dtype: torch.dtype,
) -> tuple[npt.NDArray[Any], npt.NDArray[np.float64] | None]:
    """Return T^T F_S (neurons, pixels) and each neuron's strength of the ridge."""
    there = (~np.isnan(tuning)).sum(axis=1)
    if (there < tuning.shape[1]).any():
        tuning = np.nan_to_num(tuning)
        if whiten is None:  # the products are over all images
            tuning *= tuning.shape[1] / np.maximum(there, 1)[:, None]
    images = torch.from_numpy(pixels)
    if centre:
        images = images - images.mean(0)
        deviation = images.std(0, correction=0)
        images = images / torch.where(deviation > 0, deviation, 1)
    result = np.empty(
        (len(tuning), images.shape[1]), dtype=torch.empty(0, dtype=dtype).numpy().dtype
    )
    strengths = None
    kernel = images @ images.T
    if whiten == "ridge":
        strengths = _choose_strengths(torch.from_numpy(tuning), kernel).numpy()
        factors = {s: _ridge(kernel, images, s) for s in np.unique(strengths)}
    else:
        factors = {0.0: images / len(images)}
    for strength, factor in factors.items():
        rows = np.flatnonzero(strengths == strength) if strengths is not None else None
        _multiply(tuning, rows, factor.to(dtype).to(device), result)
    result[there == 0] = np.nan
    return result, strengths


def _multiply(
    tuning: npt.NDArray[np.float64],
    rows: npt.NDArray[np.int64] | None,
    factor: torch.Tensor,
    result: npt.NDArray[Any],
) -> None:
    """Put T^T times a factor into some rows of the result, or all, in blocks."""
    total = len(tuning) if rows is None else len(rows)
    for begin in range(0, total, _NEURONS_PER_BLOCK):
        block = slice(begin, begin + _NEURONS_PER_BLOCK)
        part = block if rows is None else rows[block]
        # The type first: not every device has float64.
        traces = torch.from_numpy(tuning[part]).to(factor.dtype).to(factor.device)
        result[part] = (traces @ factor).cpu().numpy()


def _ridge(kernel: torch.Tensor, right: torch.Tensor, strength: float) -> torch.Tensor:
    """Return (K + s I)^-1 X. With K = F F^T, X = F, T^T times this is the ridge solution.

    K is of images by images, which are fewer than pixels.
    """
    scale = kernel.diagonal().mean()
    eye = torch.eye(len(kernel), dtype=kernel.dtype)
    factor: torch.Tensor = torch.linalg.solve(kernel + strength * scale * eye, right)
    return factor


def _choose_strengths(traces: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return for each neuron the strongest ridge that is no worse than one standard error.

    Of the squared error on held-out images (Hastie, Tibshirani, Friedman 2009, section 7.10).
    """
    n = len(kernel)
    folds = min(_FOLDS, n)
    fold = torch.arange(n) % folds
    error = torch.empty(len(_RIDGE_STRENGTHS), folds, len(traces), dtype=traces.dtype)
    for k in range(folds):
        out, rest = fold == k, fold != k
        known, wanted = traces[:, rest], traces[:, out]
        for i, strength in enumerate(_RIDGE_STRENGTHS):
            weights = _ridge(kernel[rest][:, rest], kernel[rest][:, out], strength)
            error[i, k] = (known @ weights - wanted).square().mean(1)
    mean, deviation = error.mean(1), error.std(1) / folds**0.5
    best = mean.argmin(0, keepdim=True)
    allowed = mean <= mean.gather(0, best) + deviation.gather(0, best)
    strongest = len(mean) - 1 - allowed.flip(0).int().argmax(0)
    return torch.tensor(_RIDGE_STRENGTHS, dtype=torch.float64)[strongest]


def _cells(tuning: npt.NDArray[np.float64], cells: int, dtype: torch.dtype) -> npt.NDArray[Any]:
    """Return responses in the images' order, NaN behind them, (neurons, cells)."""
    if cells < tuning.shape[1]:
        raise ValueError(f"size must have a cell for each of {tuning.shape[1]} images, got {cells}")
    maps = np.full((len(tuning), cells), np.nan, dtype=torch.empty(0, dtype=dtype).numpy().dtype)
    maps[:, : tuning.shape[1]] = tuning
    return maps


def normalized(maps: npt.NDArray[Any], normalize: str) -> npt.NDArray[Any]:
    """Normalize maps, one a row; NaN is left out, and a constant map becomes zeros.

    Parameters
    ----------
    maps : ndarray, shape (maps, cells)
    normalize : {"none", "zscore", "minmax", "l2"}
    """
    if normalize == "none" or not maps.size:
        return maps
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # of maps that are NaN, and stay so
        if normalize == "zscore":
            shift, scale = np.nanmean(maps, 1), np.nanstd(maps, 1)
        elif normalize == "minmax":
            shift = np.nanmin(maps, 1)
            scale = np.nanmax(maps, 1) - shift
        else:
            shift, scale = np.zeros(len(maps), maps.dtype), np.sqrt(np.nansum(maps**2, 1))
        # What a constant map deviates by is rounding.
        rounding = 8 * np.finfo(maps.dtype).eps * np.nanmax(np.abs(maps), 1)
    flat = scale <= rounding
    result: npt.NDArray[Any] = (maps - shift[:, None]) / np.where(flat, 1, scale)[:, None]
    result[flat] *= 0
    return result


def _size(size: int | tuple[int, int]) -> tuple[int, int]:
    try:
        pair = [operator.index(n) for n in (size if isinstance(size, Sequence) else (size, size))]
    except TypeError:
        pair = []
    if len(pair) != 2 or min(pair) < 1:
        raise ValueError(f"size must be a positive whole number or two, got {size!r}")
    return pair[0], pair[1]


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {value!r}")
