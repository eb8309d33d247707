"""Pictures: images beside their maps, differences with intervals, severity curves, confusion."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neurn._figures import FRONT_END_COLOURS, OTHER_COLOURS, new_figure, style
from neurn._optional import import_optional
from neurn.generalize.datasets import Images
from neurn.generalize.results import Results
from neurn.generalize.shifts import FAMILIES
from neurn.generalize.summary import NO_DATA, SummaryRow, find
from neurn.generalize.variants import title
from neurn.layer import NeuRN

BAND_SEEDS = 3
GAP, FRAME_GREY = 1, 0.75  # pixels between images, and their grey level
COLOUR_MAP = "inferno"
POINTS = 9.5
# A mark of its own for each: readable in print and without colour.
MARKS = {"neurn": "o", "sobel": "s", "none": "^"}
OTHER_MARKS = ("D", "v", "P", "X", ">", "<", "p", "h")


@dataclass(frozen=True)
class Example:
    """Some images of one domain and their NeuRN maps.

    Attributes
    ----------
    name, title, recipe : str
        The domain.
    images : ndarray of uint8, shape (N, 3, H, W)
    maps : ndarray of float32, shape (N, 3, H, W)
        Output of the published NeuRN layer, 0 to 1.
    """

    name: str
    title: str
    recipe: str
    images: Images
    maps: npt.NDArray[np.float32]


def draw_maps(examples: Sequence[Example], columns: int = 1, standalone: bool = True) -> Any:
    """Draw domains as pairs of rows: images above, NeuRN maps below.

    Grey images appear in grey and their maps in ``inferno``; colour images and their maps appear
    in colour. All on the full range, 0 to 255 and 0 to 1.

    Parameters
    ----------
    examples : sequence of Example
    columns : int
        Number of domains side by side.
    standalone : bool
        Add titles and a colour scale, for use without a caption.

    Returns
    -------
    matplotlib.figure.Figure
    """
    rows = -(-len(examples) // columns)
    with style(POINTS):
        figure = new_figure(5.2 * columns, rows * (1.04 + 0.2 * standalone) + 0.5 * standalone)
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, example in zip(grid.flat, examples, strict=False):
            grey = bool((example.images == example.images[:, :1]).all())
            above = _strip(example.images / 255.0, None)
            below = _strip(example.maps, COLOUR_MAP if grey else None)
            if standalone:
                axes.set_title(example.title, loc="left", pad=3)
            axes.imshow(np.concatenate([above, below[GAP:]]))
            for height, label in ((0.75, "image"), (0.25, "NeuRN")):
                axes.text(-0.01, height, label, transform=axes.transAxes, ha="right", va="center")
        if standalone:
            colours = import_optional("matplotlib.cm").ScalarMappable(cmap=COLOUR_MAP)
            figure.colorbar(
                colours,
                ax=grid,
                location="bottom",
                fraction=0.02,
                aspect=40,
                label="NeuRN: local standard deviation / its maximum in the image",
            )
    return figure


def draw_examples(results: Results) -> Any:
    """Draw the first test images of each domain and their NeuRN maps (`draw_maps`).

    Raises
    ------
    ValueError
        If images were not kept, as in results read from CSV.
    """
    if not results.examples:
        raise ValueError("results hold no images")
    shown = []
    for name in results.domains:
        if name in results.examples:
            images = results.examples[name]
            maps = NeuRN()(torch.from_numpy(images).float() / 255).numpy()
            recipe = results.info[name].recipe if name in results.info else ""
            shown.append(Example(name, results.title(name), recipe, images, maps))
    return draw_maps(shown, columns=min(2, len(shown)))


def draw_differences(rows: Sequence[SummaryRow], titles: Mapping[str, str]) -> Any:
    """Draw paired accuracy differences per domain, with 95 % intervals.

    Parameters
    ----------
    rows : sequence of SummaryRow
        Of one model and source; drawn are the differences to the baseline of the first of them.
    titles : mapping of str to str
        Title of each domain by name, from top to bottom.

    Returns
    -------
    matplotlib.figure.Figure
        Filled marks: the interval excludes 0. Open marks: it does not. "no data" where there are
        no runs.

    Raises
    ------
    ValueError
        If there is no difference among the rows.
    """
    compared = [row for row in rows if row.baseline]
    if not compared:
        raise ValueError("rows hold no difference: two front ends or more are needed")
    baseline = compared[0].baseline
    names = list(dict.fromkeys(r.front_end for r in compared if r.baseline == baseline))
    marks = _marks(names)
    step = min(0.32, 0.8 / len(names))
    with style(POINTS):
        height = 0.5 if len(names) < 4 else 0.16 * len(names)
        longest = max(map(len, titles.values()))
        figure = new_figure(
            max(4.8, 3.0 + 0.075 * longest), height * len(titles) + 1.1 + 0.2 * (len(names) // 3)
        )
        axes = figure.subplots()
        axes.axvline(0, color="0.35", linewidth=1, zorder=1)
        for number, name in enumerate(names):
            marker, colour = marks[name]
            offset = (number - (len(names) - 1) / 2) * step
            for place, domain in enumerate(titles):
                interval = find(compared, domain, name, baseline)
                if not interval.n:
                    if number == 0:
                        axes.text(0, place, f"  {NO_DATA}", va="center", color="0.45")
                    continue
                low, high = 100 * interval.low, 100 * interval.high
                clear = interval.verdict != "undecided"
                ends = {"marker": "|", "markersize": 7, "linewidth": 1.5}
                axes.plot([low, high], [place + offset] * 2, color=colour, zorder=2, **ends)
                axes.plot(
                    100 * interval.mean,
                    place + offset,
                    marker,
                    color=colour,
                    markerfacecolor=colour if clear else "white",
                    markersize=5,
                    zorder=3,
                )
            axes.plot([], [], marker + "-", color=colour, markersize=5, label=title(name))
        axes.set_yticks(range(len(titles)), list(titles.values()))
        axes.margins(x=0.06)
        axes.set_ylim(len(titles) - 0.5, -0.5)
        against = "no front end" if baseline == "none" else title(baseline)
        axes.set_xlabel(f"accuracy difference to {against}\n(percentage points)")
        axes.grid(axis="x", color="0.88", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        figure.legend(loc="outside upper right", ncols=min(len(names), 3), frameon=False)
    return figure


def draw_curves(results: Results, front_ends: Sequence[str] | None = None) -> Any:
    """Draw accuracy against severity, one panel for each family of shifts.

    Parameters
    ----------
    results : Results
        Of one model and source, with domains of `neurn.generalize.curve`.
    front_ends : sequence of str, optional
        All by default.

    Returns
    -------
    matplotlib.figure.Figure
        Means over seeds; bands are 95 % t intervals, from three seeds on: of two they would fill
        the panel. Mild on the left.

    Raises
    ------
    ValueError
        If no family has two severities or more.
    """
    families: dict[str, list[str]] = {}
    for domain in results.domains:
        about = results.info.get(domain)
        if about is not None and about.family:
            families.setdefault(about.family, []).append(domain)
    families = {family: names for family, names in families.items() if len(names) > 1}
    if not families:
        raise ValueError("results hold no severity curve: ask for curves")
    names = list(front_ends or results.front_ends)
    marks = _marks(names)
    columns = min(3, len(families))
    lines = -(-len(families) // columns)
    with style(POINTS):
        figure = new_figure(2.9 * columns, 2.5 * lines + 0.4)
        grid = figure.subplots(lines, columns, squeeze=False, sharey=True)
        for axes in grid.flat[len(families) :]:
            axes.set_axis_off()
        for axes, (family, domains) in zip(grid.flat, families.items(), strict=False):
            domains = sorted(domains, key=lambda domain: results.info[domain].severity)
            x = [results.info[domain].severity for domain in domains]
            for name in names:
                marker, colour = marks[name]
                found = [results.accuracy(name, domain) for domain in domains]
                mean = [100 * interval.mean for interval in found]
                axes.plot(x, mean, marker + "-", color=colour, markersize=4, label=title(name))
                if min(interval.n for interval in found) >= BAND_SEEDS:
                    axes.fill_between(
                        x,
                        [100 * interval.low for interval in found],
                        [100 * interval.high for interval in found],
                        color=colour,
                        alpha=0.15,
                        linewidth=0,
                    )
            known = FAMILIES[family]
            axes.set_title(known.title, loc="left")
            axes.set_xlabel(_wrapped(known.parameter))
            if known.levels[0] > known.levels[-1]:
                axes.invert_xaxis()
            axes.grid(color="0.9", linewidth=0.8)
            axes.set_axisbelow(True)
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_ylim(0, 100)
        for line in grid:
            line[0].set_ylabel("accuracy (%)")
        handles, labels = grid.flat[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside upper right", ncols=min(len(names), 4), frameon=False
        )
    return figure


def draw_confusion(results: Results, domain: str, front_ends: Sequence[str] | None = None) -> Any:
    """Draw confusion matrices of one domain side by side, in percent of each true class.

    Parameters
    ----------
    results : Results
        Of one model and source.
    domain : str
    front_ends : sequence of str, optional
        All by default.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = list(front_ends or results.front_ends)
    with style(POINTS):
        figure = new_figure(2.6 * len(names) + 0.8, 3.2)
        grid = figure.subplots(1, len(names), squeeze=False)[0]
        for place, (axes, name) in enumerate(zip(grid, names, strict=True)):
            counts = results.confusion(name, domain)
            shares = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
            image = axes.imshow(shares, cmap=COLOUR_MAP, vmin=0, vmax=100)
            axes.set_title(title(name))
            axes.set_xlabel("predicted class")
            if len(counts) <= 12:
                axes.set_xticks(range(len(counts)))
                axes.set_yticks(range(len(counts)))
            axes.tick_params(labelleft=place == 0, labelsize=7.5)
        grid[0].set_ylabel("true class")
        figure.colorbar(image, ax=list(grid), label="% of true class", shrink=0.8)
        figure.suptitle(results.title(domain), x=0.01, ha="left", fontsize=10.5)
    return figure


def to_png(figure: Any, dpi: int = 200) -> bytes:
    """Render a figure as PNG."""
    buffer = io.BytesIO()
    with style(POINTS):
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def _marks(names: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return marker and colour of each front end."""
    markers, colours = cycle(OTHER_MARKS), cycle(OTHER_COLOURS)
    return {
        name: (
            MARKS[name] if name in MARKS else next(markers),
            FRONT_END_COLOURS[name] if name in FRONT_END_COLOURS else next(colours),
        )
        for name in names
    }


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 32)


def _strip(values: npt.NDArray[Any], colour_map: str | None) -> npt.NDArray[np.floating[Any]]:
    """Join images (N, 3, H, W), 0 to 1, into one framed row of RGB (H + 2 gaps, width, 3)."""
    if colour_map is None:
        pictures = np.moveaxis(values, 1, -1)
    else:
        pictures = import_optional("matplotlib").colormaps[colour_map](values[:, 0])[..., :3]
    frame = ((0, 0), (GAP, GAP), (GAP, 0), (0, 0))
    framed = np.pad(pictures, frame, constant_values=FRAME_GREY)
    row = np.concatenate(list(framed), axis=1)
    return np.pad(row, ((0, 0), (0, GAP), (0, 0)), constant_values=FRAME_GREY)
