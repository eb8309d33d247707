"""Distributions of scores and of activity: violins, boxes, densities."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._figures import new_figure, style
from neurn._optional import import_optional
from neurn.compare.distributions import NORMALIZATIONS, overlap
from neurn.compare.inputs import as_activity, as_responses, check_scenes, one_of
from neurn.compare.plots.drawing import (
    COLOURS,
    colour_in,
    colour_of,
    has_columns,
    label_of,
    legend,
    legend_above,
    line_handles,
    mark,
    patch_handles,
    plain_axes,
    pretty,
    wrapped,
    write_note,
)
from neurn.mouse.figures import CLASS_COLOURS
from neurn.mouse.groups import class_of_group
from neurn.mouse.representations import normalized

if TYPE_CHECKING:
    import pandas as pd


def violins(
    table: pd.DataFrame, by: str = "area", value: str = "score", *, over: str = "neurons"
) -> Any:
    """Draw the distribution of scores of each group, with quartiles, lowest median first.

    Beside each violin the group's mean null (dash) and, where they are known, the floor (dots):
    what a perfect model would get.

    Parameters
    ----------
    table : DataFrame, a line for each neuron
        Of `neurn.compare.rmse` or `regression`; several models may be concatenated.
    by : str
        Column: ``"area"``, ``"genotype_group"``, ``"cre_line"``, ...
    value : str
        Column of the score.
    over : {"neurons", "models"}
        What a violin is of: neurons of all models, or means of models, as published.

    Returns
    -------
    matplotlib.figure.Figure
    """
    one_of("over", over, ("neurons", "models"))
    has_columns(table, by, value)
    shown = table[table[value].notna()]
    extra = [name for name in ("null", "floor") if name in shown]
    if over == "models":
        keys = [by, *(k for k in ("model", "front_end", "layer") if k in shown)]
        shown = (
            shown.assign(**_said(shown))
            .groupby(keys, as_index=False)
            .agg(
                {
                    value: "mean",
                    **dict.fromkeys(extra, "mean"),
                    **dict.fromkeys(_said(shown), "first"),
                }
            )
        )
    if shown.empty:
        raise ValueError(f"table holds no {value!r} that is not NaN")
    medians = shown.groupby(by)[value].median().sort_values()
    names = [str(name) for name in medians.index]
    with style():
        figure = new_figure(max(3.4, 1.2 + 0.66 * len(names)), 3.4)
        axes = figure.add_subplot()
        for place, name in enumerate(medians.index):
            part = shown[shown[by] == name]
            values = part[value].to_numpy(dtype=float)
            _violin(axes, place, values, colour_in(by, str(name)))
            for column, line in (("null", (0, (4, 2))), ("floor", (0, (1, 1)))):
                if column in extra and part[column].notna().any():
                    level = float(part[column].mean())
                    axes.hlines(level, place - 0.42, place + 0.42, colors="0.25", linestyles=line)
        turned = len(names) > 6 or max(map(len, names)) > 8
        counts = [
            f"{name}\n({(shown[by] == n).sum()})"
            for name, n in zip(names, medians.index, strict=True)
        ]
        axes.set_xticks(
            range(len(names)),
            [text.replace("\n", " ") for text in counts] if turned else counts,
            rotation=55 if turned else 0,
            ha="right" if turned else "center",
            rotation_mode="anchor",
        )
        axes.set_ylabel(label_of(shown, value))
        plain_axes(axes)
        handles = line_handles(
            [("shuffled scenes", (0, (4, 2)))] * ("null" in extra)
            + [("perfect model", (0, (1, 1)))]
            * ("floor" in extra and bool(shown["floor"].notna().any()))
        )
        if by != "area":
            classes = [c for c in CLASS_COLOURS if c in map(class_of_group, names)]
            handles += patch_handles({c: CLASS_COLOURS[c] for c in classes})
        legend(axes, handles)
        mark(figure, table)
    return figure


def _violin(axes: Any, place: int, values: npt.NDArray[Any], colour: str) -> None:
    if len(values) > 2 and np.ptp(values) > 0:
        (body,) = axes.violinplot([values], [place], widths=0.75, showextrema=False)["bodies"]
        body.set(facecolor=colour, alpha=0.75, edgecolor="black", linewidth=0.5)
    else:
        axes.scatter(np.full(len(values), place), values, s=14, color=colour)
    low, middle, high = np.quantile(values, [0.25, 0.5, 0.75])
    axes.vlines(place, low, high, colors="black", linewidth=3)
    axes.scatter([place], [middle], s=16, color="white", edgecolors="black", zorder=3)


def _said(table: Any) -> dict[str, Any]:
    return {
        key: table[key] for key in ("simulated", "weights", "metric", "normalize") if key in table
    }


def boxes(values: Mapping[str, npt.ArrayLike], label: str, *, note: str = "") -> Any:
    """Draw a box with jittered points for each of some sets of values.

    Parameters
    ----------
    values : mapping of str to array
        For example RMSE or activity of NeuRN + feature maps, neural representations and feature
        maps.
    label : str
        Of the values, with their unit.
    note : str
        Written in the corner: "random weights", "simulated data".

    Returns
    -------
    matplotlib.figure.Figure
    """
    kept = {k: np.asarray(v, dtype=float).ravel() for k, v in values.items()}
    kept = {k: v[~np.isnan(v)] for k, v in kept.items()}
    if not kept or not all(map(len, kept.values())):
        raise ValueError("values must hold numbers for each name")
    random = np.random.default_rng(0)
    with style():
        figure = new_figure(max(3.2, 1.0 + 1.1 * len(kept)), 3.2)
        axes = figure.add_subplot()
        for place, (name, numbers) in enumerate(kept.items()):
            colour = colour_of(name, place)
            drawn = random.choice(numbers, min(len(numbers), 400), replace=False)
            jitter = place + random.uniform(-0.22, 0.22, len(drawn))
            axes.scatter(jitter, drawn, s=5, color=colour, alpha=0.45, linewidths=0, zorder=2)
            axes.boxplot(
                [numbers],
                positions=[place],
                widths=0.55,
                showfliers=False,
                medianprops={"color": "black", "linewidth": 1.4},
                boxprops={"color": "0.2"},
                zorder=3,
            )
        axes.set_xticks(range(len(kept)), [f"{wrapped(k)}\n({len(v)})" for k, v in kept.items()])
        axes.set_ylabel(label)
        plain_axes(axes)
        write_note(figure, note)
    return figure


def densities(
    neurons: Any,
    features: Mapping[str, Any],
    table: pd.DataFrame,
    *,
    count: int = 10,
    by: str | None = None,
    normalize: str = "minmax",
) -> Any:
    """Draw distributions of single neurons and their matched features: high overlap, then low.

    Parameters
    ----------
    neurons : DataArray or array, (neuron, stimulus) or (neuron, stimulus, trial)
    features : mapping of str to DataArray or array
        The sets that `table` is of.
    table : DataFrame
        Of `neurn.compare.distributions`, of the same neurons and features.
    count : int
        Neurons in each row.
    by : str, optional
        Column: neurons are spread over its groups, and panels are named by them.
    normalize : {"minmax", "zscore", "none"}

    Returns
    -------
    matplotlib.figure.Figure
        Top: the neurons whose overlap, averaged over sets, is largest; bottom: smallest.
    """
    one_of("normalize", normalize, NORMALIZATIONS)
    has_columns(table, "features", "matched", "feature", "overlap", *([] if by is None else [by]))
    one = as_responses(neurons)
    x = normalized(one.mean, normalize)
    sets = {}
    for name, given in features.items():
        activity = as_activity(given, f"features[{name!r}]")
        check_scenes(one, activity, f"features[{name!r}]")
        sets[name] = normalized(activity.values.T, normalize)
    matched = table[table["matched"]]
    choice = {}
    for name in sets:
        part = matched[matched["features"] == name]
        if len(part) != len(x):
            raise ValueError(f"table must hold each of the {len(x)} neurons once for {name!r}")
        choice[name] = part["feature"].to_numpy()
    shared = np.mean([overlap(x, sets[name][choice[name]]) for name in sets], axis=0)
    groups = np.zeros(len(x), dtype=int) if by is None else part[by].to_numpy()
    high, low = _extremes(np.where(np.isnan(part["overlap"]), np.nan, shared), groups, count)
    count = len(high)
    with style():
        figure = new_figure(0.95 * count + 0.7, 2.7)
        panels = figure.subplots(2, count, squeeze=False)
        for row, chosen in enumerate((high, low)):
            for axes, k in zip(panels[row], chosen, strict=True):
                _density(axes, x[k], COLOURS["neurons"], True)
                for place, name in enumerate(sets):
                    _density(axes, sets[name][choice[name][k]], colour_of(name, place))
                axes.set_yticks([])
                axes.set_xticks([])
                axes.spines[["top", "right", "left"]].set_visible(False)
                title = "" if by is None else f"{groups[k]}\n"
                axes.set_title(f"{title}{shared[k]:.2f}", fontsize=6.5)
        panels[0, 0].set_ylabel("highest\noverlap", fontsize=8)
        panels[1, 0].set_ylabel("lowest\noverlap", fontsize=8)
        figure.supxlabel("normalized activity (density; the number is the overlap)", fontsize=8)
        colours = {"neurons": COLOURS["neurons"]}
        colours |= {name: colour_of(name, place) for place, name in enumerate(sets)}
        legend_above(figure, {pretty(k): v for k, v in colours.items()})
        mark(figure, table)
    return figure


def _extremes(scores: Any, groups: Any, count: int) -> tuple[Any, Any]:
    """Return neurons with the highest and the lowest scores, taken from the groups in turn."""
    good = np.flatnonzero(~np.isnan(scores))
    count = min(count, len(good))
    if not count:
        raise ValueError("table holds no overlap that is not NaN")
    names = np.unique(groups[good])
    found = []
    for sign in (-1, 1):
        queues = {
            n: [k for k in good[np.argsort(sign * scores[good])] if groups[k] == n] for n in names
        }
        chosen: list[int] = []
        while len(chosen) < count:
            for queue in queues.values():
                if queue and len(chosen) < count:
                    chosen.append(int(queue.pop(0)))
        found.append(np.array(sorted(chosen, key=lambda k: str(groups[k]))))
    return found[0], found[1]


def _density(axes: Any, values: npt.NDArray[Any], colour: str, filled: bool = False) -> None:
    low, high = values.min(), values.max()
    if high - low <= 0:
        axes.axvline(low, color=colour, linewidth=1)
        return
    kernel = import_optional("scipy.stats", "mouse").gaussian_kde(values)
    at = np.linspace(low - 0.15 * (high - low), high + 0.15 * (high - low), 120)
    density = kernel(at)
    axes.plot(at, density, color=colour, linewidth=1)
    if filled:
        axes.fill_between(at, density, color=colour, alpha=0.2, linewidth=0)
