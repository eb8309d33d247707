"""Pictures of comparisons, after those published: violins, scatter, boxes, densities, grids, ..."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn import front_ends
from neurn._figures import FRONT_END_COLOURS, OTHER_COLOURS, new_figure, style
from neurn._optional import import_optional
from neurn.compare.distributions import NORMALIZATIONS, overlap
from neurn.compare.inputs import as_activity, as_responses, check_scenes, one_of
from neurn.mouse.figures import AREA_COLOURS, CLASS_COLOURS
from neurn.mouse.figures import save as save_picture
from neurn.mouse.groups import class_of_group
from neurn.mouse.representations import normalized

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "boxes",
    "deltas",
    "densities",
    "grids",
    "heat",
    "notes",
    "profiles",
    "save",
    "scatter",
    "violins",
]

# One colour for each thing, in every picture: neurons, features, features behind a front end.
COLOURS = {
    "neurons": "#1B1B1B",
    **FRONT_END_COLOURS,
    "shuffled features": "#A6A6A6",
    "perfect model": "#5C5C5C",
}
_NAMES_OF_NONE = ("features", "feature maps", "without front end")
_NAME_SIZE = 6.5
_AREA, _GREY, _WARNING = "#B2182B", "0.55", "#B00020"
_NAMES = {
    "rmse": "RMSE",
    "rsa": "RSA",
    "cka": "CKA",
    "shape": "shape distance",
    "regression": "held-out R²",
}


def save(figure: Any, path: str | Path, table: pd.DataFrame | None = None) -> None:
    """Write a picture, and beside it its numbers as CSV where a table is given.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : str or path
        The suffix says what is written: .png, .pdf, .svg.
    table : DataFrame, optional
    """
    save_picture(figure, Path(path), table)


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
    _has(table, by, value)
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
            _violin(axes, place, values, _colour(by, str(name)))
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
        axes.set_ylabel(_label(shown, value))
        _plain(axes)
        handles = _lines(
            [("shuffled scenes", (0, (4, 2)))] * ("null" in extra)
            + [("perfect model", (0, (1, 1)))]
            * ("floor" in extra and bool(shown["floor"].notna().any()))
        )
        if by != "area":
            classes = [c for c in CLASS_COLOURS if c in map(class_of_group, names)]
            handles += _patches({c: CLASS_COLOURS[c] for c in classes})
        _legend(axes, handles)
        _mark(figure, table)
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


def scatter(table: pd.DataFrame, label: str | Sequence[str] = "area") -> Any:
    """Draw scores without against with a front end, a disc for each group.

    Parameters
    ----------
    table : DataFrame
        Of `neurn.compare.paired`; several of them, by area and by genotype, may be concatenated.
    label : str or sequence of str
        Columns that name the groups; areas are red, others coloured by cell class.

    Returns
    -------
    matplotlib.figure.Figure
    """
    labels = [label] if isinstance(label, str) else list(label)
    _has(table, "with", "without", "n", *labels)
    shown = table[table["with"].notna() & table["without"].notna()]
    if shown.empty:
        raise ValueError("table holds no pair of scores that is not NaN")
    front = ", ".join(sorted(set(shown.get("front_end", ["front end"]))))
    shown_front = _pretty(front)
    # The largest first: smaller ones lie on top.
    shown = shown.sort_values("n", ascending=False, kind="stable")
    x, y = (shown[key].to_numpy(dtype=float) for key in ("without", "with"))
    low, high = min(x.min(), y.min()), max(x.max(), y.max())
    margin = 0.12 * (high - low) or 0.01
    largest = max(float(shown["n"].max()), 1.0)
    used: dict[str, str] = {}
    with style():
        figure = new_figure(4.8, 5.0)
        axes = figure.add_subplot()
        span = [low - margin, high + margin]
        axes.plot(span, span, color="0.4", linestyle=(0, (5, 4)), linewidth=0.9, zorder=1)
        axes.annotate(
            "equal",
            (span[0], span[0]),
            (9, 15),
            textcoords="offset points",
            rotation=45,
            rotation_mode="anchor",
            color="0.4",
            fontsize=7,
        )
        texts, sizes = [], []
        for i, (_, line) in enumerate(shown.iterrows()):
            name, kind = _group(line, labels)
            colour = _AREA if kind == "area" else CLASS_COLOURS.get(kind, _GREY)
            used[kind] = colour
            sizes.append(12 + 130 * float(line["n"]) / largest)
            axes.scatter(
                x[i],
                y[i],
                s=sizes[-1],
                color=colour,
                alpha=0.55,
                edgecolors="black",
                linewidths=0.5,
            )
            texts.append((x[i], y[i], name))
        axes.set_xlim(span)
        axes.set_ylim(span)
        axes.set_aspect("equal")
        axes.set_xlabel(f"{_label(shown, 'score')} without {shown_front}")
        axes.set_ylabel(f"{_label(shown, 'score')} with {shown_front}")
        _plain(axes, both=True)
        # Above, so that the square, along whose diagonal discs crowd, is as large as can be.
        _legend_above(figure, used)
        _mark(figure, table)
        _names(axes, texts, sizes)
    return figure


def _names(axes: Any, texts: list[tuple[float, float, str]], sizes: Sequence[float]) -> None:
    """Write names beside discs, where they hide least, with a line to those further off."""
    axes.figure.draw_without_rendering()
    box = axes.get_window_extent()
    points = 72 / axes.figure.dpi
    width, height = box.width * points, box.height * points
    low, span = axes.get_xlim()[0], np.ptp(axes.get_xlim())
    at = np.array([[(x - low) / span * width, (y - low) / span * height] for x, y, _ in texts])
    radii = np.sqrt(np.asarray(sizes) / np.pi)
    discs = [(*(p - r), *(p + r)) for p, r in zip(at, radii, strict=True)]
    placed: list[tuple[float, ...]] = [(2, 8, 32, 34)]  # what stands at the diagonal
    directions = np.linspace(0, 2 * np.pi, 16, endpoint=False)
    for k in np.argsort(at[:, 1]):
        name = texts[k][2]
        half = np.array([0.3 * _NAME_SIZE * len(name), 0.65 * _NAME_SIZE])
        best, least = None, np.inf
        for away in (2.0, 8.0, 16.0, 26.0, 38.0, 52.0):
            for angle in directions:
                way = np.array([np.cos(angle), np.sin(angle)])
                centre = at[k] + way * (radii[k] + away + half)
                one = (*(centre - half), *(centre + half))
                cost = away + 30 * sum(_shared(one, other) for other in placed)
                cost += sum(_shared(one, other) for other in discs)
                # The diagonal goes through no name.
                cost += 40 * (max(one[:2]) < min(one[2:]))
                cost += 1e3 * (min(one) < 0 or one[2] > width or one[3] > height)
                if cost < least - 1e-9:
                    best, least = (centre, one, away), cost
        assert best is not None
        centre, one, away = best
        placed.append(one)
        axes.annotate(
            name,
            texts[k][:2],
            (low + centre[0] / width * span, low + centre[1] / height * span),
            fontsize=_NAME_SIZE,
            ha="center",
            va="center",
            arrowprops={"arrowstyle": "-", "color": "0.45", "linewidth": 0.5, "shrinkA": 0}
            if away > 2
            else None,
        )


def _shared(a: Sequence[float], b: Sequence[float]) -> float:
    """Return the area that two boxes (left, bottom, right, top) share."""
    wide, high = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return max(wide, 0.0) * max(high, 0.0)


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
        axes.set_xticks(range(len(kept)), [f"{_wrapped(k)}\n({len(v)})" for k, v in kept.items()])
        axes.set_ylabel(label)
        _plain(axes)
        _note(figure, note)
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
    _has(table, "features", "matched", "feature", "overlap", *([] if by is None else [by]))
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
        _legend_above(figure, {_pretty(k): v for k, v in colours.items()})
        _mark(figure, table)
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


def grids(features: Any, neurons: Any, count: int = 100) -> Any:
    """Draw feature maps beside neural representations, a grid of small tiles each.

    Parameters
    ----------
    features : DataArray, dims (feature, y, x), or array
    neurons : DataArray, dims (neuron, y, x), or array
    count : int
        Of each, the first ones.

    Returns
    -------
    matplotlib.figure.Figure
        Each tile from its smallest to its largest value.
    """
    sides = []
    for maps, name in ((features, "features"), (neurons, "neural representations")):
        values = np.asarray(getattr(maps, "values", maps))
        if values.ndim != 3 or not len(values):
            raise ValueError(f"{name} must be maps (number, y, x), got shape {values.shape}")
        attrs = getattr(maps, "attrs", {})
        title = name
        if name == "features" and attrs.get("model"):
            title += f" of {attrs['model']}"
        if name == "features" and attrs.get("layer"):
            title += f", layer {attrs['layer']}"
        sides.append((values[:count], title, attrs))
    columns = int(np.ceil(np.sqrt(max(len(values) for values, _, _ in sides))))
    with style():
        figure = new_figure(7.2, 3.9)
        for part, (values, title, _) in zip(figure.subfigures(1, 2), sides, strict=True):
            axes = part.add_subplot()
            axes.imshow(_mosaic(values, columns), cmap="inferno", vmin=0, vmax=1)
            axes.set_axis_off()
            height, width = values.shape[1:]
            lines = textwrap.wrap(f"{len(values)} {title}", 40)
            axes.set_title("\n".join([*lines, f"{height} x {width}"]))
        attrs = [attrs for _, _, attrs in sides]
        notes = ["simulated data"] if any(a.get("simulated") for a in attrs) else []
        notes += ["random weights"] if "random" in str(attrs[0].get("weights")) else []
        _note(figure, ", ".join(notes))
    return figure


def _mosaic(values: npt.NDArray[Any], columns: int) -> Any:
    height, width = values.shape[1:]
    rows = -(-len(values) // columns)
    gap = 1
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), np.nan)
    flat = normalized(values.reshape(len(values), -1).astype(float), "minmax")
    for k, tile in enumerate(flat.reshape(values.shape)):
        row, column = divmod(k, columns)
        top, left = row * (height + gap), column * (width + gap)
        picture[top : top + height, left : left + width] = tile
    return picture


def profiles(
    table: pd.DataFrame, *, by: str = "front_end", ceiling: tuple[float, float] | None = None
) -> Any:
    """Draw scores from layer to layer, against the null and the ceiling.

    Parameters
    ----------
    table : DataFrame
        A line for each layer, in order, of each of `by`: of `neurn.compare.rsa`, `cka`, `shape`
        or `by_group`, concatenated.
    by : str
        Column: a curve each.
    ceiling : tuple of float, optional
        Low and high; the mean of the columns ``ceiling_low`` and ``ceiling_high`` by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    _has(table, "layer", "score", by)
    layers = list(dict.fromkeys(table["layer"]))
    place = {layer: i for i, layer in enumerate(layers)}
    with style():
        figure = new_figure(max(3.8, min(9.0, 1.8 + 0.32 * len(layers))), 3.2)
        axes = figure.add_subplot()
        handles = []
        if ceiling is None and "ceiling_low" in table and table["ceiling_low"].notna().any():
            low = float(table["ceiling_low"].mean())
            high = float(table["ceiling_high"].mean())
            ceiling = (low, low if np.isnan(high) else high)
        if ceiling is not None:
            axes.axhspan(*ceiling, color="0.85", zorder=0)
            axes.axhline(ceiling[0], color="0.7", linewidth=0.8, zorder=0)
            handles += _patches({"noise ceiling": "0.85"})
        for i, name in enumerate(dict.fromkeys(table[by])):
            part = table[table[by] == name]
            x = [place[layer] for layer in part["layer"]]
            colour = colour_of(str(name), i)
            if "low" in part:
                axes.fill_between(
                    x, part["low"], part["high"], color=colour, alpha=0.18, linewidth=0
                )
            (line,) = axes.plot(x, part["score"], marker="o", markersize=3.5, color=colour)
            line.set_label(_pretty(str(name)))
            handles.append(line)
        if "null" in table and table["null"].notna().any():
            axes.axhline(
                float(table["null"].mean()), color="0.3", linestyle=(0, (4, 2)), linewidth=1
            )
            handles += _lines([("shuffled scenes", (0, (4, 2)))])
        turned = len(layers) > 6 or max(len(str(layer)) for layer in layers) > 5
        axes.set_xticks(
            range(len(layers)),
            layers,
            rotation=60 if turned else 0,
            ha="right" if turned else "center",
            rotation_mode="anchor",
            fontsize=7,
        )
        axes.set_xlabel("layer")
        axes.set_ylabel(_label(table, "score"))
        _plain(axes)
        _legend(axes, handles)
        _mark(figure, table)
    return figure


def heat(
    table: pd.DataFrame, rows: str = "model", columns: str = "area", value: str = "score"
) -> Any:
    """Draw a table of models and areas, the number in each cell.

    Parameters
    ----------
    table : DataFrame
        A line for each pair of `rows` and `columns`, for example of `neurn.compare.by_group`.
    rows, columns, value : str
        Columns of the table.

    Returns
    -------
    matplotlib.figure.Figure
        Cells that were not tested (``tested`` is False) are in italics.
    """
    _has(table, rows, columns, value)
    if table.duplicated([rows, columns]).any():
        raise ValueError(f"table must hold each pair of {rows!r} and {columns!r} once")
    names = list(dict.fromkeys(table[rows]))
    heads = list(dict.fromkeys(table[columns]))
    values = table.pivot(index=rows, columns=columns, values=value).loc[names, heads]
    tested = None
    if "tested" in table:
        tested = table.pivot(index=rows, columns=columns, values="tested").loc[names, heads]
    numbers = values.to_numpy(dtype=float)
    with style():
        longest = max(len(str(name)) for name in names)
        figure = new_figure(1.6 + 0.075 * longest + 0.62 * len(heads), 1.0 + 0.26 * len(names))
        axes = figure.add_subplot()
        image = axes.pcolormesh(numbers, cmap="magma", edgecolors="white", linewidth=0.6)
        axes.invert_yaxis()
        low, high = np.nanmin(numbers), np.nanmax(numbers)
        for i, j in np.ndindex(numbers.shape):
            if np.isnan(numbers[i, j]):
                continue
            dark = high > low and (numbers[i, j] - low) / (high - low) < 0.6
            axes.text(
                j + 0.5,
                i + 0.5,
                f"{numbers[i, j]:.3f}".replace("-0.000", "0.000"),
                ha="center",
                va="center",
                fontsize=6.5,
                color="white" if dark else "black",
                fontstyle="italic" if tested is not None and not tested.iloc[i, j] else "normal",
            )
        axes.set_xticks(np.arange(len(heads)) + 0.5, heads)
        axes.set_yticks(np.arange(len(names)) + 0.5, names)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        bar = figure.colorbar(image, ax=axes, shrink=0.9)
        bar.set_label(_label(table, value))
        bar.outline.set_visible(False)
        _mark(figure, table)
    return figure


def deltas(table: pd.DataFrame, label: str | Sequence[str] = "area") -> Any:
    """Draw the difference that a front end makes, with its interval, a line for each group.

    Parameters
    ----------
    table : DataFrame
        Of `neurn.compare.paired`.
    label : str or sequence of str
        Columns that name the lines.

    Returns
    -------
    matplotlib.figure.Figure
        Filled: the corrected p value is below 0.05; hollow: not; grey: too few neurons or mice
        to test.
    """
    labels = [label] if isinstance(label, str) else list(label)
    _has(table, "difference", "difference_low", "difference_high", *labels)
    shown = table[table["difference"].notna()]
    if shown.empty:
        raise ValueError("table holds no difference that is not NaN")
    names = [", ".join(str(line[key]) for key in labels) for _, line in shown.iterrows()]
    front = ", ".join(sorted(set(shown.get("front_end", ["front end"]))))
    shown_front = _pretty(front)
    with style():
        longest = max(map(len, names))
        figure = new_figure(4.7 + 0.075 * longest, 1.0 + 0.24 * len(names))
        axes = figure.add_subplot()
        used: dict[str, tuple[str, str]] = {}
        for place, (_, line) in enumerate(shown.iterrows()):
            tested = bool(line.get("tested", False))
            sure = tested and float(line.get("p_corrected", 1)) < 0.05
            colour = colour_of(front) if tested else _GREY
            text = "corrected p < 0.05" if sure else "not sure" if tested else "too few to test"
            used[text] = (colour if sure else "white", colour)
            axes.hlines(place, line["difference_low"], line["difference_high"], colors=colour)
            axes.scatter(
                [line["difference"]],
                [place],
                s=26,
                facecolors=colour if sure else "white",
                edgecolors=colour,
                zorder=3,
            )
        axes.axvline(0, color="0.3", linewidth=0.9, linestyle=(0, (4, 3)))
        axes.set_yticks(
            range(len(names)),
            [f"{name} ({n})" for name, n in zip(names, shown["n"], strict=True)],
        )
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.set_xlabel(f"{_label(shown, 'score')} with {shown_front} minus without")
        _plain(axes, both=True)
        _legend(axes, _dots(used))
        _mark(figure, table)
    return figure


def _has(table: Any, *columns: str) -> None:
    for column in columns:
        if column not in table:
            raise ValueError(f"table must have a column {column!r}, it has {', '.join(table)}")


def _group(line: Any, labels: Sequence[str]) -> tuple[str, str]:
    """Return a group's name and kind: of several columns the first that is known."""
    for key in labels:
        name = line[key]
        if isinstance(name, str) and name:
            if name in AREA_COLOURS:
                return name, "area"
            return name, class_of_group(name)
    return str(line[labels[0]]), "other"


def _colour(by: str, name: str) -> str:
    if by == "area":
        return str(AREA_COLOURS.get(name, _GREY))
    return str(CLASS_COLOURS.get(class_of_group(name), _GREY))


def colour_of(name: str, place: int = 0) -> str:
    """Return the colour of neurons, of features, or of features behind a front end.

    Parameters
    ----------
    name : str
        A front end (``"none"``, ``"neurn"``, ``"Sobel"``), features behind one (``"neurn +
        features"``), ``"features"``, ``"neurons"``; what follows a comma does not count.
    place : int
        Tells others apart, as a front end with options is.
    """
    thing = name.partition(", ")[0].partition(" + ")[0].lower()
    if thing in _NAMES_OF_NONE:
        thing = "none"
    elif thing.startswith("neural"):
        thing = "neurons"
    keys = {title.lower(): key for key, title in front_ends.TITLES.items()}
    return COLOURS.get(keys.get(thing, thing), OTHER_COLOURS[place % len(OTHER_COLOURS)])


def _pretty(name: str) -> str:
    front, plus, rest = name.partition(" + ")
    if front == "none":
        return "without front end"
    if front.partition(":")[0] in front_ends.TITLES:
        front = front_ends.title(front)
    return f"{front}{plus}{rest}"


def _wrapped(name: str) -> str:
    """Return a name in lines of 16 characters or so."""
    return textwrap.fill(_pretty(name), 16)


def _label(table: Any, value: str) -> str:
    if value != "score" or "metric" not in table:
        return value.replace("_", " ")
    names = list(dict.fromkeys(table["metric"]))
    text = ", ".join(_NAMES.get(name, name) for name in names)
    if names == ["rmse"] and "normalize" in table:
        how = ", ".join(dict.fromkeys(table["normalize"]))
        return f"{text} ({how})"
    return text


def _plain(axes: Any, both: bool = False) -> None:
    axes.grid(axis="both" if both else "y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _patches(colours: Mapping[str, str]) -> list[Any]:
    patches = import_optional("matplotlib.patches", "mouse")
    return [patches.Patch(color=colour, label=name) for name, colour in colours.items()]


def _lines(styles: Sequence[tuple[str, Any]]) -> list[Any]:
    lines = import_optional("matplotlib.lines", "mouse")
    return [lines.Line2D([], [], color="0.25", linestyle=s, label=n) for n, s in styles]


def _dots(looks: Mapping[str, tuple[str, str]]) -> list[Any]:
    """Return handles of points by name; face and edge of each."""
    lines = import_optional("matplotlib.lines", "mouse")
    plain = {"linestyle": "none", "marker": "o", "markersize": 5}
    return [
        lines.Line2D([], [], markerfacecolor=face, markeredgecolor=edge, label=name, **plain)
        for name, (face, edge) in looks.items()
    ]


def _legend_above(figure: Any, colours: Mapping[str, str]) -> None:
    figure.legend(
        handles=_patches(colours),
        loc="outside upper center",
        ncols=len(colours),
        frameon=False,
        fontsize=8,
    )


def _legend(axes: Any, handles: list[Any]) -> None:
    if handles:
        axes.legend(
            handles=handles,
            frameon=False,
            fontsize=7.5,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )


def _said(table: Any) -> dict[str, Any]:
    return {
        key: table[key] for key in ("simulated", "weights", "metric", "normalize") if key in table
    }


def notes(table: pd.DataFrame) -> str:
    """Return what must be said of a table: that data are simulated or weights random."""
    said = []
    if "simulated" in table and bool(table["simulated"].any()):
        said.append("simulated data")
    if "weights" in table and table["weights"].astype(str).str.contains("random").any():
        said.append("random weights")
    return ", ".join(said)


def _mark(figure: Any, table: Any) -> None:
    _note(figure, notes(table))


def _note(figure: Any, text: str) -> None:
    if not text:
        return
    style_ = {"fontsize": 8, "color": _WARNING, "fontweight": "bold"}
    figure.text(0.995, 0.005, text, ha="right", va="bottom", **style_)
    height = figure.get_size_inches()[1]
    figure.get_layout_engine().set(rect=(0, 0.17 / height, 1, 1 - 0.17 / height))
