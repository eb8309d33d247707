"""Pictures: images beside their NeuRN maps, and accuracy differences with their intervals."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn._files import write_atomic
from neurn._optional import import_optional
from neurn.demo.experiment import FRONT_END_TITLES, DemoConfig, Experiment
from neurn.demo.summary import SummaryRow, find
from neurn.generalize.datasets import EvaluationSet, Images
from neurn.generalize.training import as_tensor
from neurn.layer import NeuRN

EXAMPLES = 10
GAP, FRAME_GREY = 1, 0.75  # pixels between images, and their grey level
COLOUR_MAP = "inferno"
MARKS = {"neurn": ("o", "#6a176e"), "sobel": ("s", "#e8760a")}  # two stops of inferno


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


def make_examples(experiment: Experiment, seed: int = 0) -> list[Example]:
    """Show the first digits of the data set in every domain, with their NeuRN maps.

    Parameters
    ----------
    experiment : Experiment
    seed : int
        For the random parts of the domains: photograph patches, gratings, noise.
    """
    data = experiment.source.data
    first = EvaluationSet(data.name, data.images[:EXAMPLES], data.labels[:EXAMPLES])
    shown = [first, *(shift.render(first, seed) for shift in experiment.shifts)]
    return [
        Example(s.name, *experiment.domains[s.name], s.images, NeuRN()(as_tensor(s.images)).numpy())
        for s in shown
    ]


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
    with _style():
        figure = _figure(5.2 * columns, rows * (1.04 + 0.2 * standalone) + 0.5 * standalone)
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


def draw_differences(rows: Sequence[SummaryRow], titles: Mapping[str, str]) -> Any:
    """Draw the paired accuracy difference to no front end per domain, with 95 % intervals.

    Parameters
    ----------
    rows : sequence of SummaryRow
    titles : mapping of str to str
        Title of each domain by name, from top to bottom.

    Returns
    -------
    matplotlib.figure.Figure
        Filled marks: the interval excludes 0. Open marks: it does not.
    """
    with _style():
        figure = _figure(4.8, 0.5 * len(titles) + 1.1)
        axes = figure.subplots()
        axes.axvline(0, color="0.35", linewidth=1, zorder=1)
        for (name, (marker, colour)), offset in zip(MARKS.items(), (-0.16, 0.16), strict=True):
            for place, domain in enumerate(titles):
                interval = find(rows, domain, name, "none")
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
            axes.plot(
                [], [], marker + "-", color=colour, markersize=5, label=FRONT_END_TITLES[name]
            )
        axes.set_yticks(range(len(titles)), list(titles.values()))
        axes.margins(x=0.06)
        axes.set_ylim(len(titles) - 0.5, -0.5)
        axes.set_xlabel("accuracy difference to no front end\n(percentage points)")
        axes.grid(axis="x", color="0.88", linewidth=0.8)
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(left=False)
        figure.legend(loc="outside upper right", ncols=len(MARKS), frameon=False)
    return figure


def to_png(figure: Any, dpi: int = 200) -> bytes:
    """Render a figure as PNG."""
    buffer = io.BytesIO()
    with _style():
        figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def save_neurn_at_work(path: str | Path, columns: int = 2, dpi: int = 200) -> None:
    """Write a PNG of digits in every domain of the demo above their NeuRN maps.

    Parameters
    ----------
    path : str or Path
        The PNG file; its directory must exist.
    columns : int
        Number of domains side by side.
    dpi : int
        Dots per inch.
    """
    examples = make_examples(Experiment.load(DemoConfig()))
    write_atomic(Path(path), to_png(draw_maps(examples, columns), dpi))


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


def _figure(width: float, height: float) -> Any:
    # Made without pyplot: no window system, no global list of figures.
    return import_optional("matplotlib.figure").Figure(
        figsize=(width, height), layout="constrained"
    )


@contextmanager
def _style() -> Iterator[None]:
    settings = {
        "font.family": "serif",
        "font.serif": ["DejaVu Serif"],
        "font.size": 9.5,
        "axes.titlesize": 9.5,
        "image.interpolation": "nearest",
    }
    with import_optional("matplotlib").rc_context(settings):
        yield
