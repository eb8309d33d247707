"""What measures of whole populations share: groups, null, resampling, ceilings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import numpy.typing as npt

from neurn._device import check_device
from neurn._progress import Progress, show_progress
from neurn.compare.inputs import (
    Activity,
    Floats,
    Responses,
    as_activity,
    as_responses,
    at_least,
    check_scenes,
    drop_constant,
    tidy,
    varying,
)

if TYPE_CHECKING:
    import pandas as pd

MOUSE = "experiment"
UNKNOWN = "unknown"


class Measure(Protocol):
    """A number for two sets of patterns, each made ready once."""

    lower_is_better: bool
    least_neurons: int
    limits: tuple[float, float]
    uses_trials: bool
    device: Any

    def ready(self, patterns: Floats) -> Any:
        """Make patterns (scenes, channels) ready."""

    def ready_neurons(self, neurons: Responses) -> Any:
        """Make the responses of neurons ready, trials included where they are used."""

    def order(self, ready: Any, scenes: npt.NDArray[Any]) -> Any:
        """Put scenes in another order."""

    def score(self, a: Any, b: Any, scenes: npt.NDArray[Any] | None = None) -> float:
        """Compare; `scenes` are those of a resampling, some of them more than once."""

    def ceiling(self, neurons: Responses) -> tuple[float, float]:
        """Return what neurons reach against themselves, low and high; NaN where not known."""


def run(
    measure: Measure,
    neurons: Any,
    features: Any,
    *,
    by: str | npt.ArrayLike | None,
    permutations: int,
    bootstrap: int,
    resample: Sequence[str],
    seed: int,
    progress: bool | Progress | None,
    least_scenes: int,
    **said: Any,
) -> pd.DataFrame:
    """Score groups of neurons against features and return a tidy table."""
    at_least("permutations", permutations, 0)
    at_least("bootstrap", bootstrap, 0)
    check_device(measure.device)
    one = as_responses(neurons, least=least_scenes)
    activity = as_activity(features)
    check_scenes(one, activity)
    activity, _ = drop_constant(activity)
    model = measure.ready(activity.values)
    parts = groups_of(one, by)
    lines: list[dict[str, Any]] = []
    steps = len(parts) * (permutations + bootstrap)
    done = 0
    with show_progress(progress, "resampling", "samples") as report:

        def step() -> None:
            nonlocal done
            done += 1
            if report is not None:
                report(done, steps)

        for name, places in parts.items():
            random = np.random.default_rng([seed, len(lines)])
            part = one.take(places)
            part = part.take(np.flatnonzero(varying(part.mean, axis=1)))
            line: dict[str, Any] = {"group": name, "n": len(part), "n_mice": _mice(part)}
            if len(part) < measure.least_neurons:
                lines.append({**_EMPTY, **line})
                continue
            ready = measure.ready_neurons(part)
            score = measure.score(ready, model)
            drawn = _resampled(measure, part, model, bootstrap, resample, random, step)
            low, high = _interval(drawn, score, measure.limits)
            null = np.array(
                [
                    _tell(step, measure.score(ready, measure.order(model, order)))
                    for order in (random.permutation(one.scenes) for _ in range(permutations))
                ]
            )
            line |= {"score": score, "low": low, "high": high}
            line |= against(score, null, measure.lower_is_better)
            line["ceiling_low"], line["ceiling_high"] = measure.ceiling(part)
            lines.append({**_EMPTY, **line})
    columns = {key: [line[key] for line in lines] for key in _EMPTY}
    return tidy(columns, None, _marked(activity, one), scenes=one.scenes, **said)


_EMPTY: dict[str, Any] = {
    "group": "",
    "score": np.nan,
    "low": np.nan,
    "high": np.nan,
    "null": np.nan,
    "null_std": np.nan,
    "z": np.nan,
    "p": np.nan,
    "ceiling_low": np.nan,
    "ceiling_high": np.nan,
    "n": 0,
    "n_mice": 0,
}


def _marked(activity: Activity, neurons: Responses) -> Activity:
    return replace(activity, simulated=activity.simulated or neurons.simulated)


def _tell(step: Any, value: float) -> float:
    step()
    return value


def against(score: float, null: Floats, lower_is_better: bool) -> dict[str, float]:
    """Return what a null says of a score: its mean and deviation, z, and p (one-sided)."""
    if not len(null):
        return {}
    sign = -1 if lower_is_better else 1
    # Rounding must not tell equal arrangements apart.
    reached = (sign * null >= sign * score - 1e-12 * abs(score)).sum()
    std = float(null.std())
    return {
        "null": float(null.mean()),
        "null_std": std,
        "z": float((score - null.mean()) / std) if std > 0 else np.nan,
        "p": float((1 + reached) / (1 + len(null))),
    }


def groups_of(
    neurons: Responses, by: str | npt.ArrayLike | None
) -> dict[str, npt.NDArray[np.int64]]:
    """Return the places of the neurons of each group.

    Parameters
    ----------
    neurons : Responses
    by : str, array of labels, or None
        What the neurons' column or the array says; None: all together.
    """
    if by is None:
        return {"all": np.arange(len(neurons))}
    if isinstance(by, str):
        if by not in neurons.columns:
            known = ", ".join(neurons.columns)
            raise ValueError(f"by must be one of the neurons' columns, {known}, got {by!r}")
        labels = neurons.columns[by]
    else:
        labels = np.asarray(by)
    if labels.shape != (len(neurons),):
        raise ValueError(f"by must have a label for each of {len(neurons)}, got {labels.shape}")
    texts = np.array([UNKNOWN if _missing(label) else str(label) for label in labels])
    # Numbers stay in their order.
    first = dict(zip(texts.tolist(), labels.tolist(), strict=True))
    names = sorted(first) if labels.dtype.kind == "O" else sorted(first, key=lambda k: first[k])
    return {name: np.flatnonzero(texts == name) for name in names}


def _missing(label: Any) -> bool:
    return label is None or label != label  # NaN


def mice_of(neurons: Responses) -> dict[str, npt.NDArray[np.int64]]:
    """Return the places of each mouse's neurons; sessions stand for mice (one container each)."""
    return groups_of(neurons, MOUSE if MOUSE in neurons.columns else None)


def _mice(neurons: Responses) -> int:
    return len(mice_of(neurons)) if MOUSE in neurons.columns else 0


def _resampled(
    measure: Measure,
    neurons: Responses,
    model: Any,
    bootstrap: int,
    resample: Sequence[str],
    random: np.random.Generator,
    step: Any,
) -> Floats:
    """Return scores of resampled mice, their neurons, and scenes."""
    mice = list(mice_of(neurons).values())
    # What is not used need not be copied.
    trials = neurons.trials if measure.uses_trials else None
    bare = replace(neurons, odd=None, even=None, trials=trials, columns={})
    scores = []
    for _ in range(bootstrap):
        chosen = mice
        if "mice" in resample and len(mice) > 1:
            chosen = [mice[k] for k in random.integers(len(mice), size=len(mice))]
        if "neurons" in resample:
            chosen = [random.choice(part, len(part)) for part in chosen]
        places = np.concatenate(chosen)
        scenes = None
        if "scenes" in resample:
            scenes = np.sort(random.integers(neurons.scenes, size=neurons.scenes))
        step()
        # A resampling may leave too little to compare.
        if len(np.unique(places)) >= measure.least_neurons:
            scores.append(measure.score(measure.ready_neurons(bare.take(places)), model, scenes))
    return np.array(scores)


def _interval(drawn: Floats, score: float, limits: tuple[float, float]) -> tuple[float, float]:
    """Return the middle 95 % of resampled scores, moved so that their mean is the score.

    Where a neuron comes twice, fewer neurons average their noise away: populations that are drawn
    again score worse than the one that they are drawn from. Left where they are, intervals of 95 %
    would hold the truth a third of the time.
    """
    drawn = drawn[~np.isnan(drawn)]
    if not len(drawn) or np.isnan(score):
        return float("nan"), float("nan")
    low, high = np.clip(np.quantile(drawn, [0.025, 0.975]) + score - drawn.mean(), *limits)
    return float(low), float(high)
