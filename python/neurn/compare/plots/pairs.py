"""With against without a front end: a point or a bar for each group."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn._figures import new_figure, style
from neurn.compare.plots.drawing import (
    GREY,
    colour_of,
    dot_handles,
    group_of,
    has_columns,
    label_of,
    legend,
    legend_above,
    mark,
    plain_axes,
    pretty,
)
from neurn.mouse.figures import CLASS_COLOURS

if TYPE_CHECKING:
    import pandas as pd

_NAME_SIZE = 6.5
_AREA = "#B2182B"


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
    has_columns(table, "with", "without", "n", *labels)
    shown = table[table["with"].notna() & table["without"].notna()]
    if shown.empty:
        raise ValueError("table holds no pair of scores that is not NaN")
    front = ", ".join(sorted(set(shown.get("front_end", ["front end"]))))
    shown_front = pretty(front)
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
            name, kind = group_of(line, labels)
            colour = _AREA if kind == "area" else CLASS_COLOURS.get(kind, GREY)
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
        axes.set_xlabel(f"{label_of(shown, 'score')} without {shown_front}")
        axes.set_ylabel(f"{label_of(shown, 'score')} with {shown_front}")
        plain_axes(axes, both=True)
        # Above, so that the square, along whose diagonal discs crowd, is as large as can be.
        legend_above(figure, used)
        mark(figure, table)
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
    has_columns(table, "difference", "difference_low", "difference_high", *labels)
    shown = table[table["difference"].notna()]
    if shown.empty:
        raise ValueError("table holds no difference that is not NaN")
    names = [", ".join(str(line[key]) for key in labels) for _, line in shown.iterrows()]
    front = ", ".join(sorted(set(shown.get("front_end", ["front end"]))))
    shown_front = pretty(front)
    with style():
        longest = max(map(len, names))
        figure = new_figure(4.7 + 0.075 * longest, 1.0 + 0.24 * len(names))
        axes = figure.add_subplot()
        used: dict[str, tuple[str, str]] = {}
        for place, (_, line) in enumerate(shown.iterrows()):
            tested = bool(line.get("tested", False))
            sure = tested and float(line.get("p_corrected", 1)) < 0.05
            colour = colour_of(front) if tested else GREY
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
        axes.set_xlabel(f"{label_of(shown, 'score')} with {shown_front} minus without")
        plain_axes(axes, both=True)
        legend(axes, dot_handles(used))
        mark(figure, table)
    return figure
