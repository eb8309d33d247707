"""The heat table of a set of architectures."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn._optional import import_optional

if TYPE_CHECKING:
    from neurn.arch.similarity import Clusters, Similarity

ORDERS = ("given", "cluster")

FONT = "DejaVu Serif"
_LABELS = {
    "index": "similarity index",
    "correlation": "correlation of score profiles",
    "scores": "alignment score",
}
_INCHES = (0.22, 8.6)  # of a cell, and of the whole table at most
_LARGEST_WITH_NAMES = 200
_SMALLEST = 0.072  # inches of a cell with a name
_FRAME = "#2e9e4f"
_TREE = 1.1  # inches
_WIDTH = 0.64  # of a character in font sizes, at most as a mean


def heat_table(
    similarity: Similarity,
    ax: Any,
    what: str,
    order: str,
    dendrogram: bool,
    frame: Sequence[str],
    cmap: str,
) -> Any:
    """Draw a set; the arguments are those of `neurn.arch.Similarity.plot`."""
    if order not in ORDERS:
        raise ValueError(f"order must be one of {', '.join(map(repr, ORDERS))}, got {order!r}")
    values = similarity.values(what)
    clusters, places = None, list(range(len(similarity.names)))
    if (dendrogram or order == "cluster") and len(places) > 1:
        clusters = similarity.cluster("index" if what == "scores" else what)
        places = clusters.order
    names = [similarity.names[i] for i in places]
    span = _span(names, frame)
    if ax is None:
        ax = _new_axes(import_optional("matplotlib.pyplot", "arch").figure, names, dendrogram)
    limits = {"index": (0, 1), "correlation": (None, 1), "scores": (None, None)}[what]
    shown = values[np.ix_(places, places)]
    style = {"cmap": cmap, "vmin": limits[0], "vmax": limits[1]}
    if len(names) <= _LARGEST_WITH_NAMES:
        image = ax.pcolormesh(shown, edgecolors="white", linewidth=0.4, **style)
        ax.set_aspect("equal")
        ax.invert_yaxis()
    else:  # one picture, in vector graphics too: a shape for each cell would be millions
        extent = (0, len(names), len(names), 0)
        image = ax.imshow(shown, extent=extent, interpolation="antialiased", **style)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0)
    _name_axes(ax, names)
    if span:
        patches = import_optional("matplotlib.patches", "arch")
        first, count = span
        box = patches.Rectangle((first, first), count, count, fill=False, edgecolor=_FRAME)
        box.set(linewidth=2, clip_on=False)
        ax.add_patch(box)
    _colour_bar(ax, image, _LABELS[what])
    if dendrogram and clusters is not None:
        _tree(ax, clusters)
    return ax


def new_figure_axes(similarity: Similarity, dendrogram: bool) -> Any:
    """Make Axes in a figure that no window system knows of."""
    figure = import_optional("matplotlib.figure", "arch").Figure
    return _new_axes(figure, list(similarity.names), dendrogram)


def _new_axes(new_figure: Any, names: list[str], dendrogram: bool) -> Any:
    side = max(2.0, min(_INCHES[0] * len(names), _INCHES[1]))
    shown = len(names) <= _LARGEST_WITH_NAMES
    if shown:
        side = max(side, _SMALLEST * len(names))
    character = _WIDTH * _points(side / len(names)) / 72
    margin = 0.2 + (character * max(map(len, names)) if shown else 0.4)
    top = 0.2 + (_TREE if dendrogram else 0)
    size = (margin + side + 1.2, top + side + margin)
    figure = new_figure(figsize=size)
    place = (margin / size[0], margin / size[1], side / size[0], side / size[1])
    return figure.add_axes(place)


def _points(cell: float) -> float:
    """Return the size of a font that fits a cell of so many inches."""
    return min(9.0, max(3.0, 0.62 * 72 * cell))


def _name_axes(ax: Any, names: list[str]) -> None:
    if len(names) > _LARGEST_WITH_NAMES:
        ax.set_xlabel("architecture", fontfamily=FONT)
        ax.set_ylabel("architecture", fontfamily=FONT)
        for text in [*ax.get_xticklabels(), *ax.get_yticklabels()]:
            text.set_fontfamily(FONT)
        return
    ticks = [i + 0.5 for i in range(len(names))]
    inches = ax.get_window_extent().width / ax.figure.dpi / len(names)
    style = {"fontsize": _points(inches), "fontfamily": FONT}
    ax.set_xticks(ticks, names, rotation=90, **style)
    ax.set_yticks(ticks, names, **style)


def _colour_bar(ax: Any, image: Any, label: str) -> None:
    width = ax.get_window_extent().width / ax.figure.dpi
    bar = ax.figure.colorbar(image, cax=ax.inset_axes((1 + 0.2 / width, 0.2, 0.16 / width, 0.6)))
    bar.set_label(label, fontfamily=FONT)
    bar.outline.set_visible(False)
    for text in bar.ax.get_yticklabels():
        text.set_fontfamily(FONT)


def _tree(ax: Any, clusters: Clusters) -> None:
    hierarchy = import_optional("scipy.cluster.hierarchy", "arch")
    height = ax.get_window_extent().height / ax.figure.dpi
    above = ax.inset_axes((0, 1 + 0.05 / height, 1, (_TREE - 0.1) / height))
    drawn = hierarchy.dendrogram(clusters.linkage, no_plot=True)
    # scipy counts leaves from 5 in steps of 10.
    for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        above.plot([value / 10 for value in x], y, color="0.25", linewidth=0.8)
    above.set_xlim(0, len(clusters.names))
    above.set_ylim(0, None)
    above.axis("off")


def _span(names: list[str], frame: Sequence[str]) -> tuple[int, int] | None:
    """Return the first place and the number of neighbours to frame."""
    if not frame:
        return None
    lacking = [name for name in frame if name not in names]
    if lacking:
        raise ValueError(f"frame must hold names of the set, got {lacking[0]!r}")
    places = sorted(names.index(name) for name in frame)
    if places[-1] - places[0] + 1 != len(set(places)):
        raise ValueError(
            f"frame must hold neighbours in the table, got {', '.join(frame)}, which are not"
        )
    return places[0], len(places)
