"""Groups of neurons and models: tidy tables with intervals, tests, and paired differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn._optional import import_optional
from neurn.compare.inputs import at_least, one_of
from neurn.compare.population import MOUSE
from neurn.compare.statistics import (
    benjamini_hochberg,
    hierarchical_bootstrap,
    holm,
    interval,
    two_sided,
)

if TYPE_CHECKING:
    import pandas as pd

LEAST_NEURONS = 20
LEAST_MICE = 2
CORRECTIONS = ("holm", "bh", "none")
# What is not a neuron's but a model's: results of two models are never mixed.
_MODEL = (
    "metric",
    "normalize",
    "pairing",
    "method",
    "model",
    "front_end",
    "layer",
    "weights",
    "simulated",
)


def by_group(
    table: pd.DataFrame,
    by: str | Sequence[str] | None = "area",
    *,
    value: str = "score",
    against: str | None = "null",
    correction: str = "holm",
    least_neurons: int = LEAST_NEURONS,
    least_mice: int = LEAST_MICE,
    mice: str = MOUSE,
    samples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return means of neurons' scores for each group, with intervals and tests.

    Parameters
    ----------
    table : DataFrame, a line for each neuron
        Of `neurn.compare.rmse` or `regression`, of one model or of several concatenated.
    by : str, sequence of str, or None
        Columns: ``"area"``, ``"cre_line"``, ``"genotype_group"``, ``"cell_class"``, ... Model,
        front end, layer and weights always are among them. None: all neurons of a model.
    value : str
        Column of the score.
    against : str, optional
        Column that it is tested against, neuron by neuron: ``"null"``, ``"constant"``,
        ``"pixels"``, ... None: no test.
    correction : {"holm", "bh", "none"}
        Of the tests of the table: Holm for few planned ones, as areas are, Benjamini-Hochberg for
        many, as drivers and models.
    least_neurons, least_mice : int
        Smaller groups are shown, but not tested (``tested`` is False). Without a column `mice`
        neurons alone are counted and resampled, and ``n_mice`` is 0.
    mice : str
        Column that tells mice apart.
    samples, seed : int
        Of the hierarchical bootstrap: mice, then their neurons.

    Returns
    -------
    DataFrame, a line for each group
        Models, front ends and layers in the order of `table`, groups in that of their names.
        ``n`` and ``n_mice``; ``score`` (mean), ``median``, ``low``, ``high`` (95 %); ``against``
        (mean of that column), ``difference`` to it with ``difference_low`` and
        ``difference_high``, ``p`` (two-sided), ``p_corrected``, ``tested``.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> neurons = pd.DataFrame({"area": ["VISp", "VISl"] * 50, "experiment": np.arange(100) // 25})
    >>> neurons["null"] = rng.normal(1.4, 0.05, 100)
    >>> closer = np.where(neurons["area"] == "VISp", 0.2, 0)
    >>> neurons["score"] = neurons["null"] - closer + rng.normal(0, 0.2, 100)
    >>> found = compare.by_group(neurons, "area")
    >>> found[["area", "n", "n_mice", "difference", "p_corrected"]].round(2)
       area   n  n_mice  difference  p_corrected
    0  VISl  50       4        0.01         0.88
    1  VISp  50       4       -0.23         0.00
    """
    one_of("correction", correction, CORRECTIONS)
    _has(table, value, *([] if against is None else [against]))
    lines = []
    for k, (labels, part) in enumerate(_groups(table, by)):
        scores = part[value].to_numpy(dtype=np.float64)
        kept = ~np.isnan(scores)
        part, scores = part[kept], scores[kept]
        line = {**labels, "n": len(part), "n_mice": _count(part, mice)}
        tested = _enough(line, part, mice, least_neurons, least_mice) and against is not None
        line |= _mean(scores, _labels(part, mice), samples, seed + k)
        if against is not None:
            other = part[against].to_numpy(dtype=np.float64)
            difference = (scores - other)[~np.isnan(other)]
            line["against"] = float(other[~np.isnan(other)].mean()) if len(difference) else np.nan
            owners = _labels(part[~np.isnan(other)], mice)
            found = _difference(difference, owners, samples, seed + k)
            tested = tested and len(difference) > 0
            line |= found if tested else {**found, "p": np.nan}
        lines.append({**line, "tested": tested})
    return _corrected(lines, correction)


def paired(
    with_front_end: pd.DataFrame,
    without: pd.DataFrame,
    by: str | Sequence[str] | None = "area",
    *,
    value: str = "score",
    correction: str = "holm",
    least_neurons: int = LEAST_NEURONS,
    least_mice: int = LEAST_MICE,
    mice: str = MOUSE,
    samples: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return what a front end changes, neuron by neuron of the same model, for each group.

    Parameters
    ----------
    with_front_end, without : DataFrame, a line for each neuron
        Of the same neurons, models and layers, such as two calls of `neurn.compare.rmse`.
    by, value, correction, least_neurons, least_mice, mice, samples, seed
        As in `by_group`.

    Returns
    -------
    DataFrame, a line for each group and model
        ``without`` and ``with``, the means, which are x and y of the published scatter (below the
        diagonal the front end is closer); ``difference`` = with - without, ``difference_low``,
        ``difference_high``, ``p``, ``p_corrected``, ``tested``, ``n``, ``n_mice``.

    Raises
    ------
    ValueError
        If both tables are not of the same neurons and models.

    Examples
    --------
    >>> import numpy as np
    >>> import pandas as pd
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> area = ["VISp", "VISl"] * 50
    >>> plain = pd.DataFrame({"neuron": range(100), "area": area, "score": rng.normal(1, 0.1, 100)})
    >>> behind = plain.assign(score=plain["score"] - rng.normal(0.03, 0.05, 100), front_end="neurn")
    >>> found = compare.paired(behind, plain, "area")
    >>> found[["area", "n", "difference", "difference_low", "difference_high"]].round(3)
       area   n  difference  difference_low  difference_high
    0  VISl  50      -0.031          -0.043           -0.019
    1  VISp  50      -0.024          -0.037           -0.009
    """
    one_of("correction", correction, CORRECTIONS)
    keys = [key for key in ("model", "layer", "neuron", "experiment") if key in without]
    for name, table in (("with_front_end", with_front_end), ("without", without)):
        _has(table, value)
        if table.duplicated(keys).any():
            raise ValueError(f"{name} must hold each neuron of a model's layer once")
    joined = without.merge(
        with_front_end[[*keys, value]], on=keys, suffixes=("", "_with"), validate="1:1"
    )
    if not len(joined) == len(without) == len(with_front_end):
        raise ValueError(
            "with_front_end and without must be of the same neurons, models and layers: "
            f"{len(with_front_end)} and {len(without)} lines, {len(joined)} in common"
        )
    front = sorted(set(with_front_end.get("front_end", ["front end"])))
    lines = []
    for k, (labels, part) in enumerate(
        _groups(joined.drop(columns="front_end", errors="ignore"), by)
    ):
        a = part[value].to_numpy(dtype=np.float64)
        b = part[f"{value}_with"].to_numpy(dtype=np.float64)
        kept = ~(np.isnan(a) | np.isnan(b))
        part, a, b = part[kept], a[kept], b[kept]
        line: dict[str, Any] = {**labels, "front_end": ", ".join(map(str, front))}
        line |= {"n": len(part), "n_mice": _count(part, mice)}
        line |= {
            "without": float(a.mean()) if len(a) else np.nan,
            "with": float(b.mean()) if len(b) else np.nan,
        }
        tested = _enough(line, part, mice, least_neurons, least_mice)
        found = _difference(b - a, _labels(part, mice), samples, seed + k)
        lines.append({**line, **(found if tested else {**found, "p": np.nan}), "tested": tested})
    return _corrected(lines, correction)


def reliability_matched(
    table: pd.DataFrame,
    by: str = "area",
    *,
    reliability: str = "reliability",
    value: str = "score",
    bins: int = 5,
    least: float = 0.0,
    repeats: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """Return means of groups after each was given the same distribution of reliability.

    Neurons are cut into bins of reliability; from each bin every group gives as many at random as
    the smallest of them has, over and over. What is left between groups is not reliability's.

    Parameters
    ----------
    table : DataFrame, a line for each neuron
        With a column `reliability`, for example of `neurn.mouse.statistics`.
    by : str
        Column of the groups.
    reliability, value : str
        Columns.
    bins : int
        Quantiles of reliability over all groups.
    least : float
        Neurons below it are left out first (0.3 is common).
    repeats, seed : int

    Returns
    -------
    DataFrame, a line for each group
        ``score`` of all its neurons, ``n``; ``matched``, ``low``, ``high`` over the repeats, and
        ``n_matched``, how many neurons each repeat takes; ``reliability`` and
        ``reliability_matched``, their means.

    Examples
    --------
    VISp looks closer, because its neurons are more reliable:

    >>> import numpy as np
    >>> import pandas as pd
    >>> from neurn import compare
    >>> rng = np.random.default_rng(0)
    >>> area = np.repeat(["VISp", "VISl"], 200)
    >>> reliability = np.where(area == "VISp", 0.6, 0.4) + rng.uniform(-0.3, 0.3, 400)
    >>> table = pd.DataFrame({"area": area, "reliability": reliability, "score": 1 - reliability})
    >>> found = compare.reliability_matched(table, "area")
    >>> found[["area", "score", "matched", "n_matched"]].round(2)
       area  score  matched  n_matched
    0  VISl   0.59     0.51        122
    1  VISp   0.38     0.50        122
    """
    at_least("bins", bins, 1)
    at_least("repeats", repeats, 1)
    _has(table, by, reliability, value)
    models = [key for key in _MODEL if key in table and table[key].nunique() > 1]
    if models:
        raise ValueError(f"table must be of one model and layer; {models[0]} takes several values")
    kept = table[(table[reliability] >= least) & table[value].notna()]
    names = sorted(set(kept[by].astype(str)))
    if len(names) < 2:
        raise ValueError(f"by: {by!r} must tell 2 groups or more apart, got {names}")
    values, ranks = (kept[key].to_numpy(dtype=np.float64) for key in (value, reliability))
    edges = np.quantile(ranks, np.linspace(0, 1, bins + 1)[1:-1])
    place = np.searchsorted(edges, ranks, side="right")
    label = kept[by].astype(str).to_numpy()
    cells = {
        name: [np.flatnonzero((label == name) & (place == b)) for b in range(bins)]
        for name in names
    }
    least_of = [min(len(cells[name][b]) for name in names) for b in range(bins)]
    if not sum(least_of):
        raise ValueError(f"by: no bin of {reliability!r} holds neurons of all of {names}")
    random = np.random.default_rng(seed)
    lines = []
    for name in names:
        drawn = [
            np.concatenate(
                [
                    random.choice(cell, count, replace=False)
                    for cell, count in zip(cells[name], least_of, strict=True)
                ]
            )
            for _ in range(repeats)
        ]
        means = [values[chosen].mean() for chosen in drawn]
        low, high = interval(np.array(means))
        own = label == name
        lines.append(
            {
                by: name,
                "score": values[own].mean(),
                "n": int(own.sum()),
                "matched": float(np.mean(means)),
                "low": low,
                "high": high,
                "n_matched": int(sum(least_of)),
                "reliability": ranks[own].mean(),
                "reliability_matched": float(np.mean([ranks[c].mean() for c in drawn])),
            }
        )
    return _pandas().DataFrame(lines)


def _groups(table: Any, by: Any) -> list[tuple[dict[str, Any], Any]]:
    columns = [] if by is None else [by] if isinstance(by, str) else list(by)
    _has(table, *columns)
    keys = [key for key in _MODEL if key in table and key not in columns] + columns
    if not keys:
        return [({"group": "all"}, table)]
    found = [
        (dict(zip(keys, label, strict=True)), part)
        for label, part in table.groupby(keys, sort=True, dropna=False)
    ]
    # What is a model's stays in the table's order: names of layers do not sort as layers follow.
    places = {
        key: {value: k for k, value in enumerate(table[key].unique())}
        for key in keys
        if key in _MODEL
    }
    return sorted(found, key=lambda each: [places[key].get(each[0][key], -1) for key in places])


def _has(table: Any, *columns: str) -> None:
    for column in columns:
        if column not in table:
            raise ValueError(f"table must have a column {column!r}, it has {', '.join(table)}")


def _labels(part: Any, mice: str) -> Any:
    return part[mice].to_numpy() if mice in part else None


def _count(part: Any, mice: str) -> int:
    return int(part[mice].nunique()) if mice in part else 0


def _enough(line: dict[str, Any], part: Any, mice: str, neurons: int, least: int) -> bool:
    return line["n"] >= neurons and (mice not in part or line["n_mice"] >= least)


def _mean(scores: Any, mice: Any, samples: int, seed: int) -> dict[str, float]:
    if not len(scores):
        return dict.fromkeys(("score", "median", "low", "high"), np.nan)
    low, high = interval(hierarchical_bootstrap(scores, mice, samples, seed))
    return {
        "score": float(scores.mean()),
        "median": float(np.median(scores)),
        "low": low,
        "high": high,
    }


def _difference(values: Any, mice: Any, samples: int, seed: int) -> dict[str, float]:
    if not len(values):
        return dict.fromkeys(("difference", "difference_low", "difference_high", "p"), float("nan"))
    drawn = hierarchical_bootstrap(values, mice, samples, seed)
    low, high = interval(drawn)
    return {
        "difference": float(values.mean()),
        "difference_low": low,
        "difference_high": high,
        "p": two_sided(drawn),
    }


def _corrected(lines: list[dict[str, Any]], correction: str) -> pd.DataFrame:
    frame: pd.DataFrame = _pandas().DataFrame(lines)
    if "p" in frame:
        correct: dict[str, Callable[[Any], Any]] = {
            "holm": holm,
            "bh": benjamini_hochberg,
            "none": lambda p: p,
        }
        frame["p_corrected"] = correct[correction](frame["p"])
        frame["tested"] = frame.pop("tested")
    return frame


def _pandas() -> Any:
    return import_optional("pandas", "mouse")
