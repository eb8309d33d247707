"""Root mean squared error between maps of neurons and of features, and what it is worth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from neurn._device import check_device
from neurn._optional import import_optional
from neurn._progress import Progress, show_progress
from neurn.compare import baselines as known
from neurn.compare.distances import Found, between, normalizer, pair, to_tensor
from neurn.compare.inputs import (
    Activity,
    Responses,
    as_activity,
    as_responses,
    at_least,
    check_scenes,
    constant_neurons,
    drop_constant,
    one_of,
    tidy,
)
from neurn.mouse.representations import shrink

if TYPE_CHECKING:
    import pandas as pd

NORMALIZATIONS = ("zscore", "minmax", "l2", "none")
PAIRINGS = ("best-heldout", "best", "mean", "assignment")

_MAX_ASSIGNMENT = 3 * 10**8  # pairs of neurons and features: 2.4 GB


def rmse(
    neurons: Any,
    features: Any,
    *,
    images: Any = None,
    size: int | tuple[int, int] | None = None,
    normalize: str = "zscore",
    pairing: str = "best-heldout",
    permutations: int = 200,
    baselines: Mapping[str, Any] | None = None,
    halves: tuple[Any, Any] | None = None,
    seed: int = 0,
    device: str | torch.device = "cpu",
    dtype: torch.dtype = torch.float64,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Return the RMSE between each neuron's map and the features', with floor, null and baselines.

    From responses (the sound form) both sides are made the same kind of thing: a neuron's mean
    responses, and a feature's mean activity, z-scored over scenes, give N = T^T F_S with the
    images; without images a map has a cell for each scene. From maps (the published form) they
    are taken as they are.

    Parameters
    ----------
    neurons : DataArray or array
        Responses (neuron, stimulus[, trial]), or maps (neuron, y, x).
    features : DataArray or array
        Activity (stimulus, feature, ...) beside responses; maps (feature, y, x) beside maps. Two
        plain arrays of three axes are maps where these are of one size.
    images : array, shape (images, height, width), optional
        What was shown, in the order of the scenes; beside responses.
    size : int or tuple of int, optional
        Of the maps, with `images`; 14 by default, or the images' own size where that is less.
    normalize : {"zscore", "minmax", "l2", "none"}
        Of each map, the same on both sides. With ``"zscore"`` RMSE^2 = 2 (1 - r).
    pairing : {"best-heldout", "best", "mean", "assignment"}
        ``"best-heldout"``: the closest feature is chosen on half of the scenes and trials and
        scored on the other half; both ways, averaged. ``"best"``: chosen and scored on the same:
        the more features, the lower by chance. ``"mean"``: over all features. ``"assignment"``:
        each feature for one neuron at most, least in sum (Hungarian).
    permutations : int
        Of scenes between neurons and features (of cells, with maps), everything recomputed, for
        the null.
    baselines : mapping of str to array, optional
        More features to hold against, for example of a model with random weights or a matched
        shuffle; each gives a column of that name.
    halves : tuple of two arrays, optional
        With maps: the neurons' maps from two halves of the trials, for floor and held-out choice.
    seed : int
        Of halves of scenes and of permutations.
    device, dtype
        Of the products.
    progress : bool or callable, optional
        As in `neurn.features.extract`; counts permutations.

    Returns
    -------
    DataFrame, a line for each neuron
        Beside what is known of neuron and model: ``score``; ``feature``, the chosen one (-1 with
        ``"mean"``; with ``"best-heldout"`` that of the first half); ``floor``, what a perfect
        model would get, from odd against even trials, corrected to the trials that were scored
        (roughly, with "minmax": least and largest value of a noisy map are in part its noise);
        ``null``, ``null_std``, ``z``, ``p`` of the permutations; ``constant``, a map without
        structure; with images ``mean_scene``, ``pixels`` and ``energy``; ``fraction`` = (constant
        - score) / (constant - floor); ``n``, the number of features. What needs trials is NaN
        without them. A neuron that never varies scores NaN.

    Raises
    ------
    ValueError
        If an argument is not allowed; scenes are too few or in another order; responses are NaN.

    References
    ----------
    Qazi, Jalil, Iqbal (2025), arXiv:2505.06886, for RMSE of maps.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> features = rng.standard_normal((40, 10))
    >>> signal = features[:, :3].T[..., None]
    >>> neurons = signal + 0.5 * rng.standard_normal((3, 40, 8))
    >>> found = compare.rmse(neurons, features, permutations=50)
    >>> found["feature"].tolist()
    [0, 1, 2]
    >>> found[["floor", "score", "null"]].mean().round(2).to_dict()
    {'floor': 0.25, 'score': 0.24, 'null': 1.41}
    """
    one_of("normalize", normalize, NORMALIZATIONS)
    one_of("pairing", pairing, PAIRINGS)
    at_least("permutations", permutations, 0)
    check_device(device)
    maps = _is_maps(neurons, features, images)
    heldout = pairing == "best-heldout"
    kind: _Kind
    if maps:
        if images is not None or size is not None:
            raise ValueError("images and size: only beside responses; these are maps")
        kind = _FromMaps(neurons, features, halves, heldout, normalize, device, dtype)
    else:
        if halves is not None:
            raise ValueError("halves: only beside maps; responses hold their own trials")
        kind = _FromResponses(
            neurons, features, images, size, heldout, normalize, seed, device, dtype
        )
    inner = "best" if heldout else pairing
    if inner == "assignment" and len(kind.neurons) * kind.n > _MAX_ASSIGNMENT:
        raise ValueError(
            f"pairing='assignment' takes {_MAX_ASSIGNMENT:,} pairs at most, got "
            f"{len(kind.neurons):,} neurons x {kind.n:,} features; use 'best-heldout'"
        )
    found = kind.score(kind.features, inner)
    columns: dict[str, Any] = {"score": _array(found.score), "feature": kind.original(found.choice)}
    columns["floor"] = kind.floor()
    columns |= _null(kind, inner, columns["score"], permutations, seed, progress)
    columns["constant"] = kind.constant()
    columns |= {
        name: _array(kind.score(values, inner).score) for name, values in kind.baselines().items()
    }
    if isinstance(kind, _FromResponses) and kind.pictured:
        columns["mean_scene"] = kind.mean_scene()
    for name, other in (baselines or {}).items():
        if name in columns:
            raise ValueError(f"baselines: {name!r} is a column already")
        columns[name] = _array(kind.score(kind.read(other, f"baselines[{name!r}]"), inner).score)
    span = columns["constant"] - columns["floor"]
    with np.errstate(invalid="ignore", divide="ignore"):
        columns["fraction"] = np.where(
            span > 0, (columns["constant"] - columns["score"]) / span, np.nan
        )
    for name, values in columns.items():
        if name != "feature":
            columns[name] = np.where(kind.silent, np.nan, values)
    columns["n"] = np.full(len(kind.neurons), kind.n)
    said = {"metric": "rmse", "normalize": normalize, "pairing": pairing, "maps": kind.name}
    return tidy(columns, kind.neurons, kind.activity, **said)


def best_of_k(
    neurons: Any,
    features: Any,
    ks: Sequence[int] | None = None,
    *,
    repeats: int = 20,
    seed: int = 0,
    **settings: Any,
) -> pd.DataFrame:
    """Return the mean RMSE over neurons of the best of k random features, chosen both ways.

    Parameters
    ----------
    neurons, features, **settings
        As in `rmse`; `pairing` and `permutations` are set here.
    ks : sequence of int, optional
        Powers of two up to the number of features by default.
    repeats : int
        Random subsets of each size.
    seed : int

    Returns
    -------
    DataFrame
        ``k``, ``pairing`` ("best", "best-heldout"), ``score``, ``low`` and ``high`` (the middle
        95 % of the subsets). Where "best" falls with k and "best-heldout" does not, the fall is
        chance.

    Examples
    --------
    Neurons and features have nothing to do with each other, and yet the best of many is close:

    >>> import numpy as np
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> neurons, features = rng.standard_normal((10, 40, 4)), rng.standard_normal((40, 64))
    >>> found = compare.best_of_k(neurons, features, [1, 8, 64])
    >>> found[["k", "pairing", "score"]].round(1)
        k       pairing  score
    0   1          best    1.4
    1   1  best-heldout    1.4
    2   8          best    1.3
    3   8  best-heldout    1.4
    4  64          best    1.1
    5  64  best-heldout    1.5
    """
    at_least("repeats", repeats, 1)
    pandas = import_optional("pandas", "mouse")
    kinds: dict[str, _Kind] = {}
    for pairing in ("best", "best-heldout"):
        base = {"normalize": "zscore", "images": None, "size": None, "halves": None} | settings
        place = {"device": base.pop("device", "cpu"), "dtype": base.pop("dtype", torch.float64)}
        halves = base.pop("halves")
        heldout = pairing == "best-heldout"
        if _is_maps(neurons, features, base["images"]):
            kinds[pairing] = _FromMaps(
                neurons, features, halves, heldout, base["normalize"], **place
            )
        else:
            kinds[pairing] = _FromResponses(
                neurons,
                features,
                base["images"],
                base["size"],
                heldout,
                base["normalize"],
                seed,
                **place,
            )
    most = kinds["best"].n
    if ks is None:
        ks = [2**i for i in range(most.bit_length()) if 2**i <= most]
    if min(ks) < 1 or max(ks) > most:
        raise ValueError(f"ks must be from 1 to {most}, the number of features, got {list(ks)}")
    random = np.random.default_rng(seed)
    lines = []
    for k in ks:
        chosen = [random.choice(most, k, replace=False) for _ in range(repeats)]
        for pairing, kind in kinds.items():
            means = [
                float(np.nanmean(_array(kind.score(kind.part(subset), "best").score)))
                for subset in chosen
            ]
            low, high = np.quantile(means, [0.025, 0.975])
            lines.append((k, pairing, float(np.mean(means)), low, high))
    return pandas.DataFrame(lines, columns=["k", "pairing", "score", "low", "high"])


def _is_maps(neurons: Any, features: Any, images: Any = None) -> bool:
    """Tell maps from responses; of arrays without names, by their shapes."""
    if isinstance(neurons, Responses):
        return False
    for array in (neurons, features):
        if hasattr(array, "dims"):
            return "y" in array.dims and "stimulus" not in array.dims
    a, b = np.shape(neurons), np.shape(features)
    # (neurons, scenes, trials) beside (scenes, features, positions) is no pair of maps.
    responses = a[1:] != b[1:] and (images is not None or a[1:2] == b[:1] != (2,))
    return len(a) == len(b) == 3 and not responses


def _array(values: Tensor) -> Any:
    return values.double().cpu().numpy()


def _null(
    kind: _Kind,
    pairing: str,
    score: Any,
    permutations: int,
    seed: int,
    progress: bool | Progress | None,
) -> dict[str, Any]:
    n = len(score)
    total, squares, below = np.zeros(n), np.zeros(n), np.zeros(n)
    random = np.random.default_rng([seed, 1])
    with show_progress(progress, "shuffling", "permutations") as report:
        for done in range(permutations):
            values = _array(kind.score(kind.permuted(random), pairing).score)
            total += values
            squares += values**2
            below += values <= score
            if report is not None:
                report(done + 1, permutations)
    if not permutations:
        return {name: np.full(n, np.nan) for name in ("null", "null_std", "z", "p")}
    mean = total / permutations
    std = np.sqrt(np.maximum(squares / permutations - mean**2, 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        z = np.where(std > 0, (score - mean) / std, np.nan)
    p = np.where(np.isnan(score), np.nan, (1 + below) / (1 + permutations))
    return {"null": mean, "null_std": std, "z": z, "p": p}


@dataclass(frozen=True, eq=False)
class _Half:
    """One way to choose and to score: maps of neurons on both sides, and scenes of each."""

    choose: Tensor | None
    score: Tensor
    chosen_on: Any
    scored_on: Any


class _Kind:
    """Maps of both sides, however they came to be."""

    name: str
    neurons: Responses
    activity: Activity
    features: Any
    n: int
    silent: Any
    halves: list[_Half]

    def maps(self, features: Any, scenes: Any) -> Tensor:
        raise NotImplementedError

    def permuted(self, random: np.random.Generator) -> Any:
        raise NotImplementedError

    def read(self, features: Any, name: str) -> Any:
        raise NotImplementedError

    def part(self, places: Any) -> Any:
        raise NotImplementedError

    def original(self, choice: Tensor) -> Any:
        return choice.cpu().numpy()

    def baselines(self) -> dict[str, Any]:
        return {}

    def score(self, features: Any, pairing: str) -> Found:
        found = []
        for half in self.halves:
            scored = self.maps(features, half.scored_on)
            if half.choose is None:
                found.append(pair(half.score, scored, pairing))
                continue
            chosen_on = scored if half.chosen_on is half.scored_on else None
            if chosen_on is None:
                chosen_on = self.maps(features, half.chosen_on)
            choice = pair(half.choose, chosen_on, pairing).choice
            found.append(Found(between(half.score, scored, choice), choice))
        score = torch.stack([each.score for each in found]).mean(0)
        return Found(score, found[0].choice)

    def constant(self) -> Any:
        """Score of the constant map whose level is the neurons' mean."""
        each = []
        for half in self.halves:
            level = half.score.mean()
            each.append((half.score - level).square().mean(1).sqrt())
        return _array(torch.stack(each).mean(0))


def _floor(
    a: Tensor, b: Tensor, normalize: str, doubled: bool, reliability: Tensor | None = None
) -> Tensor:
    """Return the RMSE of a perfect model to a map, from maps of two halves of the trials.

    Parameters
    ----------
    a, b : Tensor, shape (neurons, cells)
        Normalized.
    normalize : str
    doubled : bool
        Whether the map that is scored was made of both halves together.
    reliability : Tensor, shape (neurons,), optional
        Correlation of both halves' responses, where maps were made of z-scored ones.
    """
    if normalize in ("zscore", "l2"):
        norms = a.norm(dim=1) * b.norm(dim=1)
        r = ((a * b).sum(1) / torch.where(norms > 0, norms, 1)).clamp(min=0)
        if doubled:
            r = 2 * r / (1 + r)
        scale = 1.0 if normalize == "zscore" else 1 / a.shape[1]
        # A perfect model's correlation with a measurement is the root of its reliability.
        return (2 * scale * (1 - r.sqrt()).clamp(min=0)).sqrt()
    squared = (a - b).square().mean(1)
    if normalize == "none" and reliability is not None:
        # Both sides have unit variance: the measured one is the truth times the root of its
        # reliability, and noise for the rest.
        r = reliability.clamp(min=1e-6)
        whole = 2 * r / (1 + r) if doubled else r
        truth = (a * b).mean(1).clamp(min=0) / r
        noise = squared / (2 * (1 - r).clamp(min=1e-6)) * (1 - whole)
        return ((1 - whole.sqrt()).square() * truth + noise).sqrt()
    # Noise adds up: that of the whole is half of the halves' difference.
    return (squared / (4 if doubled else 2)).sqrt()


class _FromResponses(_Kind):
    def __init__(
        self,
        neurons: Any,
        features: Any,
        images: Any,
        size: Any,
        heldout: bool,
        normalize: str,
        seed: int,
        device: Any,
        dtype: torch.dtype,
    ) -> None:
        self.neurons = as_responses(neurons, least=6 if heldout else 3)
        activity = as_activity(features)
        check_scenes(self.neurons, activity)
        self.activity, self._places = drop_constant(activity)
        self.silent = constant_neurons(self.neurons)
        self.features = self.activity.values
        self.n = self.features.shape[1]
        self._normal = normalizer(normalize)
        self._normalize = normalize
        self._device, self._dtype = device, dtype
        self._images = _images(images, self.neurons)
        self.name = "scenes" if images is None else "pixels"
        self._size: Any = _map_size(size, self._images)
        everything = np.arange(self.neurons.scenes)
        self._everything = everything
        self._bases: dict[int, Any] = {}
        one = self.neurons
        if not heldout:
            self.halves = [_Half(None, self._of_neurons(one.mean, everything), None, everything)]
            return
        order = np.random.default_rng([seed, 0]).permutation(one.scenes)
        first, second = (np.sort(part) for part in np.array_split(order, 2))
        self._scenes = (first, second)
        a = one.mean if one.odd is None else one.odd
        b = one.mean if one.even is None else one.even
        self.halves = [
            _Half(self._of_neurons(a, first), self._of_neurons(b, second), first, second),
            _Half(self._of_neurons(b, second), self._of_neurons(a, first), second, first),
        ]

    def _of_neurons(self, responses: Any, scenes: Any) -> Tensor:
        return self.maps(np.ascontiguousarray(responses.T), scenes)

    def maps(self, features: Any, scenes: Any) -> Tensor:
        table = to_tensor(features, self._device, self._dtype)
        table = table if scenes is self._everything else table[torch.from_numpy(scenes)]
        table = table - table.mean(0)
        deviation = table.square().mean(0).sqrt_()
        table /= torch.where(deviation > 0, deviation, 1)
        if self._images is not None:
            return self._normal(table.T @ self._basis(scenes))
        return self._normal(table.T)

    def _basis(self, scenes: Any) -> Tensor:
        """Return images of these scenes, centred and scaled, over their number."""
        key = id(scenes)
        if key not in self._bases:
            flat = shrink(self._images[scenes], self._size).reshape(len(scenes), -1)
            flat = flat - flat.mean(axis=0)
            deviation = flat.std(axis=0)
            flat = flat / np.where(deviation > 0, deviation, 1) / len(scenes)
            self._bases[key] = (scenes, to_tensor(flat, self._device, self._dtype))
        basis: Tensor = self._bases[key][1]
        return basis

    @property
    def pictured(self) -> bool:
        return self._images is not None

    def permuted(self, random: np.random.Generator) -> Any:
        return self.features[random.permutation(len(self.features))]

    def read(self, features: Any, name: str) -> Any:
        other = as_activity(features, name)
        check_scenes(self.neurons, other, name)
        return drop_constant(other, name)[0].values

    def part(self, places: Any) -> Any:
        return self.features[:, places]

    def original(self, choice: Tensor) -> Any:
        choice_ = choice.cpu().numpy()
        return np.where(choice_ >= 0, self._places[choice_], -1)

    def baselines(self) -> dict[str, Any]:
        if self._images is None:
            return {}
        return {"pixels": known.pixels(self._images), "energy": known.energy(self._images)}

    def mean_scene(self) -> Any:
        """Score of the mean image as a map."""
        flat = shrink(self._images.mean(axis=0), self._size).reshape(1, -1)
        mean = self._normal(to_tensor(flat, self._device, self._dtype))
        each = [(half.score - mean).square().mean(1).sqrt() for half in self.halves]
        return _array(torch.stack(each).mean(0))

    def floor(self) -> Any:
        one = self.neurons
        if one.odd is None or one.even is None:
            return np.full(len(one), np.nan)
        each = []
        heldout = self.halves[0].choose is not None
        for half in self.halves:
            a, b = (self._of_neurons(part, half.scored_on) for part in (one.odd, one.even))
            x, y = (part[:, half.scored_on] for part in (one.odd, one.even))
            x, y = (part - part.mean(axis=1, keepdims=True) for part in (x, y))
            norms = np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)
            r = (x * y).sum(axis=1) / np.where(norms > 0, norms, 1)
            r = to_tensor(r, self._device, self._dtype)
            each.append(_floor(a, b, self._normalize, not heldout, r))
        return _array(torch.stack(each).mean(0))


class _FromMaps(_Kind):
    name = "given"

    def __init__(
        self,
        neurons: Any,
        features: Any,
        halves: Any,
        heldout: bool,
        normalize: str,
        device: Any,
        dtype: torch.dtype,
    ) -> None:
        maps, columns, simulated, _ = _given(neurons, "neurons")
        values, _, also, said = _given(features, "features")
        there = ~np.isnan(maps).all(axis=0)
        if maps.shape[1] != values.shape[1]:
            raise ValueError(
                "features must be maps of the neurons' size, got "
                f"{values.shape[1]} cells and {maps.shape[1]}"
            )
        self._there = there
        maps, values = maps[:, there], values[:, there]
        if np.isnan(maps).any() or np.isnan(values).any():
            raise ValueError("maps must not be NaN in a cell that others have; leave them out")
        self.neurons = Responses(maps, None, None, None, columns, None, simulated)
        self.silent = constant_neurons(self.neurons) & (normalize in ("zscore", "minmax"))
        activity = Activity(values.T, said, None, also)
        if normalize in ("zscore", "minmax"):
            activity, self._places = drop_constant(activity)
        else:
            self._places = np.arange(len(values))
        self.activity = activity
        self.n = activity.values.shape[1]
        self._normal, self._normalize = normalizer(normalize), normalize
        self._place = {"device": device, "dtype": dtype}
        self.features = self._read(activity.values.T)
        whole = self._read(maps)
        self._halves = None
        if halves is not None:
            parts = [_given(half, "halves")[0][:, there] for half in halves]
            if len(parts) != 2 or any(part.shape != maps.shape for part in parts):
                raise ValueError("halves must be two arrays of the neurons' shape")
            self._halves = [self._read(part) for part in parts]
        if not heldout:
            self.halves = [_Half(None, whole, None, None)]
        elif self._halves is None:
            raise ValueError(
                "pairing='best-heldout' needs responses, or halves=(maps, maps) beside maps: what "
                "is chosen and scored on the same map is biased; or say pairing='best'"
            )
        else:
            a, b = self._halves
            self.halves = [_Half(a, b, None, None), _Half(b, a, None, None)]

    def _read(self, values: Any) -> Tensor:
        return self._normal(to_tensor(values, **self._place))

    def maps(self, features: Any, scenes: Any) -> Tensor:
        return features  # type: ignore[no-any-return]

    def permuted(self, random: np.random.Generator) -> Any:
        # All normalizations are of the whole map: they and a new order of cells commute.
        return self.features[:, torch.from_numpy(random.permutation(self.features.shape[1]))]

    def read(self, features: Any, name: str) -> Any:
        return self._read(_given(features, name)[0][:, self._there])

    def part(self, places: Any) -> Any:
        return self.features[torch.from_numpy(places)]

    def original(self, choice: Tensor) -> Any:
        choice_ = choice.cpu().numpy()
        return np.where(choice_ >= 0, self._places[choice_], -1)

    def floor(self) -> Any:
        if self._halves is None:
            return np.full(len(self.neurons), np.nan)
        doubled = self.halves[0].choose is None
        a, b = self._halves
        return _array(_floor(a, b, self._normalize, doubled=doubled))


def _given(maps: Any, name: str) -> tuple[Any, dict[str, Any], bool, dict[str, Any]]:
    columns: dict[str, Any] = {}
    simulated, said = False, {}
    if hasattr(maps, "dims"):
        first = next((d for d in maps.dims if d in ("neuron", "feature")), None)
        if first is None or set(maps.dims) != {first, "y", "x"}:
            raise ValueError(f"{name} must have dims (neuron or feature, y, x), got {maps.dims}")
        maps = maps.transpose(first, "y", "x")
        columns = {
            str(k): np.asarray(c.values) for k, c in maps.coords.items() if c.dims == (first,)
        }
        simulated = bool(maps.attrs.get("simulated", 0))
        said = dict(maps.attrs)
    values = np.asarray(getattr(maps, "values", maps), dtype=np.float64)
    if values.ndim != 3 or not values.size:
        raise ValueError(f"{name} must be maps (number, y, x), got shape {values.shape}")
    columns.setdefault("neuron", np.arange(len(values)))
    return values.reshape(len(values), -1), columns, simulated, said


def _images(images: Any, neurons: Responses) -> Any:
    if images is None:
        return None
    stimulus = images["stimulus"].values if "stimulus" in getattr(images, "coords", {}) else None
    values = np.asarray(getattr(images, "values", images), dtype=np.float64)
    if values.ndim != 3 or not np.isfinite(values).all():
        raise ValueError(
            f"images must be finite and have shape (images, height, width), got {values.shape}"
        )
    check_scenes(neurons, Activity(values.reshape(len(values), -1), {}, stimulus), "images")
    return values


def _map_size(size: Any, images: Any) -> tuple[int, int] | None:
    if images is None:
        if size is not None:
            raise ValueError("size needs images: without them a map has a cell for each scene")
        return None
    own = images.shape[1:]
    if size is None:
        size = (min(14, own[0]), min(14, own[1]))
    side = (size, size) if isinstance(size, int) else tuple(size)
    if len(side) != 2 or min(side) < 1 or side[0] > own[0] or side[1] > own[1]:
        raise ValueError(f"size must be at most the images', {own[0]} x {own[1]}, got {size!r}")
    return int(side[0]), int(side[1])
