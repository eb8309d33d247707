"""What describes a neuron: peaks, reliability, responsiveness, sparseness, selectivity."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.mouse.recording import Recording
from neurn.mouse.sweeps import BLANK, responses

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

WINDOWS = ("onset", "whole")

_THRESHOLDS = 1000
_CELLS_PER_BLOCK = 32

Floats = npt.NDArray[np.float64]


def peaks(
    recording: Recording | xr.Dataset, *, window: str = "onset", **settings: Any
) -> xr.Dataset:
    """Return peak and time to peak of each neuron's mean sweep, for each image.

    Parameters
    ----------
    recording : Recording or Dataset
        A Dataset is what `neurn.mouse.responses` returns.
    window : {"onset", "whole"}
        Where to look for the peak: from onset on, or in the whole sweep. The second is the
        published form, whose times to peak begin 0.9 s before onset.
    **settings
        Of `neurn.mouse.responses`; with a Recording only.

    Returns
    -------
    Dataset of float64, dims (neuron, stimulus)
        ``peak`` in the units of the sweeps, percent dF/F by default; ``time_to_peak`` in seconds
        from onset. The blank is left out. Of equal samples the first is the peak.
        Images follow each other every 0.25 s: where a neuron does not answer to an image, the
        peak is noise, or of a later image. `statistics` has the preferred image's alone.

    Raises
    ------
    ValueError
        If `window` is another one.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> peaks = mouse.peaks(recording)
    >>> dict(peaks.sizes), list(peaks.data_vars)
    ({'neuron': 4, 'stimulus': 118}, ['peak', 'time_to_peak'])
    >>> peaks["peak"].attrs["units"], peaks["time_to_peak"].attrs["units"]
    ('percent dF/F', 's')
    >>> bool((peaks["time_to_peak"] >= 0).all())
    True
    >>> bool((mouse.peaks(recording, window="whole")["time_to_peak"] < 0).any())
    True
    """
    if window not in WINDOWS:
        raise ValueError(f"window must be one of {', '.join(WINDOWS)}, got {window!r}")
    found = _responses(recording, settings)
    mean = _without_blank(found["sweep"])
    times = mean["time"].values
    first = int(np.searchsorted(times, 0)) if window == "onset" else 0
    values = mean.values[..., first:]
    missing = np.isnan(values).any(axis=-1)
    place = np.where(np.isnan(values), -np.inf, values).argmax(axis=-1)
    peak = np.take_along_axis(values, place[..., None], axis=-1)[..., 0]
    when = np.where(missing, np.nan, times[first + place])
    result: xr.Dataset = (
        mean.isel(time=0, drop=True)
        .copy(data=np.where(missing, np.nan, peak))
        .to_dataset(name="peak")
    )
    result["time_to_peak"] = (("neuron", "stimulus"), when, {**mean.attrs, "units": "s"})
    result.attrs = {**found.attrs, "window": window}
    return result


def statistics(
    recording: Recording | xr.Dataset, *, splits: int = 100, seed: int = 0, **settings: Any
) -> xr.Dataset:
    """Return one value of each statistic for every neuron.

    Parameters
    ----------
    recording : Recording or Dataset
        A Dataset is what `neurn.mouse.responses` returns.
    splits, seed : int
        Of `reliability`.
    **settings
        Of `neurn.mouse.responses`; with a Recording only.

    Returns
    -------
    Dataset of float64, dims (neuron,)
        ``preferred`` (int64, the image with the largest mean response, -1 for a neuron without
        any), ``mean_response`` to it,
        ``peak`` and ``time_to_peak`` of its mean sweep, ``reliability``, ``ceiling`` with
        ``ceiling_low`` and ``ceiling_high`` (95 percent), ``p_value``, ``lifetime_sparseness``,
        ``image_selectivity``, ``oracle``.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> found = mouse.statistics(recording)
    >>> list(found.data_vars)[:5]
    ['preferred', 'mean_response', 'peak', 'time_to_peak', 'reliability']
    >>> found["reliability"].dims, found.attrs["simulated"]
    (('neuron',), 1)
    >>> found.to_dataframe().shape  # a line for each neuron, its coordinates as columns too
    (4, 18)
    """
    found = _responses(recording, settings)
    trials = found["trials"]
    shown = _without_blank(trials)
    mean = _nanmean(shown.values)
    best = np.where(np.isnan(mean), -np.inf, mean).argmax(axis=1)
    each = np.arange(len(best))
    at_best = peaks(found)
    most = ceiling(trials)
    columns = {
        "preferred": np.where(np.isnan(mean).all(axis=1), -1, shown["stimulus"].values[best]),
        "mean_response": mean[each, best],
        "peak": at_best["peak"].values[each, best],
        "time_to_peak": at_best["time_to_peak"].values[each, best],
        "reliability": reliability(trials, splits=splits, seed=seed).values,
        "ceiling": most["ceiling"].values,
        "ceiling_low": most["low"].values,
        "ceiling_high": most["high"].values,
        "p_value": p_value(trials).values,
        "lifetime_sparseness": lifetime_sparseness(trials).values,
        "image_selectivity": image_selectivity(trials).values,
        "oracle": oracle(trials).values,
    }
    units = {"mean_response": trials.attrs.get("units", ""), "time_to_peak": "s"}
    units["peak"] = units["mean_response"]
    result: xr.Dataset = trials.isel(stimulus=0, trial=0, drop=True).to_dataset(name="_")
    for name, values in columns.items():
        result[name] = ("neuron", values, {"units": units.get(name, "1")})
    result = result.drop_vars("_")
    result.attrs = dict(found.attrs)
    return result


def reliability(trials: xr.DataArray, *, splits: int = 100, seed: int = 0) -> xr.DataArray:
    """Return split-half reliability of the mean responses to images, for all trials.

    The trials of each image are halved at random; both halves' means are correlated over images,
    the correlation is averaged over splits and corrected to all trials, 2 r / (1 + r)
    (Spearman-Brown).

    Parameters
    ----------
    trials : DataArray, dims (neuron, stimulus, trial)
        NaN where a trial is missing; a blank (stimulus -1) is left out.
    splits, seed : int
        Number of random halvings, and their seed.

    Returns
    -------
    DataArray of float64, dims (neuron,)
        Its square root is the noise ceiling of a correlation with the mean response. NaN for a
        neuron that never varies.

    Raises
    ------
    ValueError
        If `splits` is below 1, there are fewer than 2 trials, or `trials` has other dims.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> random = np.random.default_rng(4)
    >>> noise = random.standard_normal((2, 118, 50))  # 50 trials of 118 images
    >>> noise[0] += random.standard_normal((118, 1))  # the first neuron answers to images
    >>> trials = xr.DataArray(noise, dims=("neuron", "stimulus", "trial"))
    >>> mouse.reliability(trials).round(2).values.tolist()
    [0.98, 0.03]
    """
    if splits < 1:
        raise ValueError(f"splits must be at least 1, got {splits}")
    data = _without_blank(_trials(trials))
    values, there, held = _filled(data.values)
    if values.shape[2] < 2:
        raise ValueError(f"trials must hold at least 2 repetitions, got {values.shape[2]}")
    half = _halves(held, splits, np.random.default_rng(seed))
    result = np.empty(len(values))
    for begin in range(0, len(values), _CELLS_PER_BLOCK):
        part = slice(begin, begin + _CELLS_PER_BLOCK)
        # (stimulus, neuron, trial) @ (stimulus, trial, split)
        x, v = (a[part].transpose(1, 0, 2).astype(np.float64) for a in (values, there))
        sums, counts = x @ half, v @ half
        with np.errstate(invalid="ignore", divide="ignore"):
            a = sums / counts
            b = (x.sum(2, keepdims=True) - sums) / (v.sum(2, keepdims=True) - counts)
            # A neuron with a missing trial may leave a half empty; that image then says nothing.
            r = _correlate(a, b)
            mean = _nanmean(r)
            result[part] = 2 * mean / (1 + mean)
    return _per_neuron(data, result, "reliability")


def ceiling(trials: xr.DataArray, *, confidence: float = 0.95) -> xr.Dataset:
    """Return the noise ceiling: the largest correlation a model can have with the mean response.

    The square root of the mean response's reliability, which here comes from an analysis of
    variance over images, 1 - within / between mean squares: in expectation what random halves
    give, with an interval that is exact for normal noise of equal variance (Shrout and Fleiss
    1979, Psychol. Bull. 86, 420-428, ICC(1, k)).

    Parameters
    ----------
    trials : DataArray, dims (neuron, stimulus, trial)
        NaN where a trial is missing; a blank (stimulus -1) is left out.
    confidence : float
        Of the interval.

    Returns
    -------
    Dataset of float64, dims (neuron,)
        ``ceiling``, ``low``, ``high``; 0 where a reliability is negative. NaN for a neuron that
        never varies.

    Raises
    ------
    ValueError
        If `confidence` is not between 0 and 1, or `trials` has other dims.

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> random = np.random.default_rng(4)
    >>> noise = random.standard_normal((2, 118, 50))  # 50 trials of 118 images
    >>> noise[0] += random.standard_normal((118, 1))  # the first neuron answers to images
    >>> trials = xr.DataArray(noise, dims=("neuron", "stimulus", "trial"))
    >>> most = mouse.ceiling(trials)
    >>> most["ceiling"].round(2).values.tolist()
    [0.99, 0.18]
    >>> most["low"].round(2).values.tolist(), most["high"].round(2).values.tolist()
    ([0.99, 0.0], [0.99, 0.52])
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, got {confidence}")
    data = _without_blank(_trials(trials))
    f, between, within = _f_ratio(data)
    quantile = import_optional("scipy.stats", "mouse").f(between, within).ppf
    tail = (1 - confidence) / 2
    with np.errstate(invalid="ignore", divide="ignore"):
        squared = {
            "ceiling": 1 - 1 / f,
            "low": 1 - quantile(1 - tail) / f,
            "high": 1 - quantile(tail) / f,
        }
    result: xr.Dataset = import_optional("xarray", "mouse").Dataset(
        {
            name: _per_neuron(data, np.sqrt(np.maximum(values, 0)), name)
            for name, values in squared.items()
        }
    )
    result.attrs = {**data.attrs, "units": "1", "confidence": confidence}
    return result


def counts(neurons: xr.Dataset | xr.DataArray, by: Sequence[str] = ("area",)) -> pd.DataFrame:
    """Return how many neurons there are of each kind.

    Parameters
    ----------
    neurons : Dataset or DataArray, with dim ``neuron``
        Statistics, responses or representations.
    by : sequence of str
        Coordinates, for example ``("area", "genotype_group")``.

    Returns
    -------
    DataFrame
        The columns `by`, then ``neurons`` and ``simulated``; a line for each combination that
        occurs, in lexical order.

    Raises
    ------
    ValueError
        If `by` names something else than coordinates of the neurons.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> mouse.counts(mouse.statistics(recording), by=["area", "genotype_group"])
       area genotype_group  neurons  simulated
    0  VISp         Cux2-1        4       True
    """
    if isinstance(by, str):
        raise ValueError(f"by must be a list, got the text {by!r}")
    for name in by:
        if name not in neurons.coords or neurons[name].dims != ("neuron",):
            raise ValueError(f"by must name coordinates of the neurons, got {name!r}")
    pandas = import_optional("pandas", "mouse")
    frame: pd.DataFrame = (
        pandas.DataFrame({name: neurons[name].values for name in by})
        .groupby(list(by), as_index=False)
        .size()
        .rename(columns={"size": "neurons"})
    )
    return frame.assign(simulated=bool(neurons.attrs.get("simulated", 0)))


def oracle(trials: xr.DataArray) -> xr.DataArray:
    """Return the correlation of each trial with the mean of the image's other trials.

    Over all trials of all images, blank left out (Walker et al. 2019, Nat. Neurosci. 22,
    2060-2065).

    Parameters
    ----------
    trials : DataArray, dims (neuron, stimulus, trial)

    Returns
    -------
    DataArray of float64, dims (neuron,)

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> random = np.random.default_rng(4)
    >>> noise = random.standard_normal((2, 118, 50))  # 50 trials of 118 images
    >>> noise[0] += random.standard_normal((118, 1))  # the first neuron answers to images
    >>> trials = xr.DataArray(noise, dims=("neuron", "stimulus", "trial"))
    >>> mouse.oracle(trials).round(2).values.tolist()
    [0.69, 0.0]
    """
    data = _without_blank(_trials(trials))
    values, there, _ = _filled(data.values)
    count = there.sum(axis=2, keepdims=True)
    with np.errstate(invalid="ignore", divide="ignore"):
        others = (values.sum(axis=2, keepdims=True) - values) / (count - 1)
    keep = there & (count > 1)
    flat = (len(values), values.shape[1] * values.shape[2])
    one, rest = (np.where(keep, a, np.nan).reshape(flat).T for a in (values, others))
    return _per_neuron(data, _correlate(one, rest), "oracle")


def p_value(trials: xr.DataArray) -> xr.DataArray:
    """Return the p value of a one-way analysis of variance over images, blank included.

    The smaller, the surer that a neuron tells images apart (allensdk's ``ptest_ns``).

    Parameters
    ----------
    trials : DataArray, dims (neuron, stimulus, trial)

    Returns
    -------
    DataArray of float64, dims (neuron,)

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> random = np.random.default_rng(4)
    >>> noise = random.standard_normal((2, 118, 50))  # 50 trials of 118 images
    >>> noise[0] += random.standard_normal((118, 1))  # the first neuron answers to images
    >>> trials = xr.DataArray(noise, dims=("neuron", "stimulus", "trial"))
    >>> (mouse.p_value(trials) < 0.001).values.tolist()
    [True, False]
    """
    data = _trials(trials).transpose("neuron", "stimulus", "trial")
    f, between, within = _f_ratio(data)
    special = import_optional("scipy.special", "mouse")
    return _per_neuron(data, special.fdtrc(between, within, f), "p_value")


def _f_ratio(data: xr.DataArray) -> tuple[Floats, npt.NDArray[Any], npt.NDArray[Any]]:
    """Return F of a one-way analysis of variance over stimuli and its degrees of freedom."""
    values, there, _ = _filled(data.values)
    count = there.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = values.sum(axis=2) / count
        total = count.sum(axis=1)
        grand = values.sum(axis=(1, 2)) / total
        between = np.nansum(count * (mean - grand[:, None]) ** 2, axis=1)
        within = np.where(there, (values - mean[..., None]) ** 2, 0).sum(axis=(1, 2))
        groups = (count > 0).sum(axis=1)
        f: Floats = (between / (groups - 1)) / (within / (total - groups))
    return f, groups - 1, total - groups


def lifetime_sparseness(trials: xr.DataArray) -> xr.DataArray:
    """Return lifetime sparseness over images.

    (1 - (mean r)^2 / mean r^2) / (1 - 1 / images), r the mean response to an image (Vinje and
    Gallant 2000, Science 287, 1273-1276). 0: equal responses; 1: to one image only.

    Parameters
    ----------
    trials : DataArray, dims (neuron, stimulus, trial)

    Returns
    -------
    DataArray of float64, dims (neuron,)

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> trials = np.ones((2, 100, 5))  # 5 trials of 100 images
    >>> trials[1, 1:] = 0  # the second neuron answers to one image only
    >>> trials = xr.DataArray(trials, dims=("neuron", "stimulus", "trial"))
    >>> mouse.lifetime_sparseness(trials).round(3).values.tolist()
    [0.0, 1.0]
    """
    data = _without_blank(_trials(trials))
    mean = _nanmean(data.values)
    n = np.sum(~np.isnan(mean), axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        first = np.nansum(mean, axis=1) / n
        second = np.nansum(mean**2, axis=1) / n
        return _per_neuron(data, (1 - first**2 / second) / (1 - 1 / n), "lifetime_sparseness")


def image_selectivity(trials: xr.DataArray) -> xr.DataArray:
    """Return image selectivity: 1 - 2 x the area under the share of images above a threshold.

    With 1,000 thresholds between the smallest and the largest mean response, as allensdk's
    ``image_selectivity_ns`` (Quiroga et al. 2007, J. Neurophysiol. 98, 1997-2007). About 0 for
    graded responses, near 1 for a response to one image only; NaN for equal responses.

    Parameters
    ----------
    trials : DataArray, dims (neuron, stimulus, trial)

    Returns
    -------
    DataArray of float64, dims (neuron,)

    Examples
    --------
    >>> import numpy as np, xarray as xr
    >>> from neurn import mouse
    >>> trials = np.zeros((2, 100, 5))  # 5 trials of 100 images
    >>> trials[0] += np.linspace(0, 1, 100)[:, None]  # graded responses
    >>> trials[1, 0] = 1  # to one image only
    >>> trials = xr.DataArray(trials, dims=("neuron", "stimulus", "trial"))
    >>> selectivity = mouse.image_selectivity(trials).values
    >>> bool(abs(selectivity[0]) < 0.01), round(float(selectivity[1]), 2)
    (True, 0.98)
    """
    data = _without_blank(_trials(trials))
    mean = _nanmean(data.values)
    low, high = np.fmin.reduce(mean, axis=1), np.fmax.reduce(mean, axis=1)  # NaN if all are
    steps = np.arange(_THRESHOLDS)
    thresholds = low[:, None] + steps * ((high - low)[:, None] / _THRESHOLDS)
    n = np.sum(~np.isnan(mean), axis=1)
    area = np.empty(len(mean))
    for begin in range(0, len(mean), _CELLS_PER_BLOCK):
        part = slice(begin, begin + _CELLS_PER_BLOCK)
        above = mean[part, :, None] > thresholds[part, None, :]
        area[part] = above.mean(axis=2).sum(axis=1) / np.maximum(n[part], 1)
    area[~(high > low)] = np.nan
    return _per_neuron(data, 1 - 2 * area, "image_selectivity")


def _responses(recording: Recording | xr.Dataset, settings: dict[str, Any]) -> xr.Dataset:
    if isinstance(recording, Recording):
        return responses(recording, **settings)
    if settings:
        raise ValueError(
            f"{', '.join(settings)}: only with a Recording; these responses have been computed"
        )
    if not {"trials", "sweep"} <= set(getattr(recording, "data_vars", ())):
        raise ValueError(
            "recording must be a Recording or what neurn.mouse.responses returns, "
            f"got {type(recording).__name__}"
        )
    return recording


def _trials(trials: xr.DataArray) -> xr.DataArray:
    """Return trials, or say what is wrong with them."""
    dims = getattr(trials, "dims", ())
    if sorted(dims) != ["neuron", "stimulus", "trial"]:
        raise ValueError(
            "trials must be a DataArray of dims neuron, stimulus and trial, such as "
            f"responses(recording)['trials'], got {type(trials).__name__} {tuple(dims)}"
        )
    return trials


def _without_blank(data: xr.DataArray) -> xr.DataArray:
    others = [dim for dim in ("neuron", "stimulus", "trial", "time") if dim in data.dims]
    data = data.transpose(*others)
    if "stimulus" in data.coords:
        data = data.isel(stimulus=np.flatnonzero(data["stimulus"].values != BLANK))
    return data


def _filled(values: npt.NDArray[Any]) -> tuple[Floats, npt.NDArray[np.bool_], Any]:
    """Return values with 0 for NaN, where they are, and which trials any neuron has."""
    there = ~np.isnan(values)
    return np.where(there, values, 0.0).astype(np.float64), there, there.any(axis=0)


def _halves(held: npt.NDArray[np.bool_], splits: int, random: np.random.Generator) -> Floats:
    """Return 1 for the trials of a random half of each image's, (stimulus, trial, split)."""
    keys = random.random((*held.shape, splits))
    keys[~held] = 2.0  # behind all others
    rank = keys.argsort(axis=1).argsort(axis=1)
    half: Floats = (rank < (held.sum(axis=1) // 2)[:, None, None]).astype(np.float64)
    return half


def _correlate(a: Floats, b: Floats) -> Floats:
    """Return Pearson correlations along the first axis, over pairs without NaN."""
    missing = np.isnan(a) | np.isnan(b)
    n = (~missing).sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        a, b = (np.where(missing, 0, x) for x in (a, b))
        a, b = (np.where(missing, 0, x - x.sum(axis=0) / n) for x in (a, b))
        result: Floats = (a * b).sum(axis=0) / np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return result


def _nanmean(values: Floats) -> Floats:
    """Return the mean along the last axis without NaN; NaN, silently, where there is nothing."""
    there = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        mean: Floats = np.where(there, values, 0).sum(axis=-1) / there.sum(axis=-1)
    return mean


def _per_neuron(data: xr.DataArray, values: Floats, name: str) -> xr.DataArray:
    xarray = import_optional("xarray", "mouse")
    coords = {key: c for key, c in data.coords.items() if c.dims == ("neuron",)}
    array: xr.DataArray = xarray.DataArray(
        values, dims=("neuron",), coords=coords, name=name, attrs={**data.attrs, "units": "1"}
    )
    return array
