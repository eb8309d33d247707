"""Pictures of recordings: peaks, counts, embeddings, reliability, maps, single neurons."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._figures import new_figure, style
from neurn._files import open_atomic
from neurn._optional import import_optional
from neurn.mouse.groups import AREAS, class_of_group
from neurn.mouse.recording import Recording
from neurn.mouse.representations import representations
from neurn.mouse.sweeps import BLANK, RESPONSE, responses
from neurn.mouse.tables import write

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from neurn.mouse.selection import Selection

PICTURES = (".png", ".pdf", ".svg")

# Okabe and Ito: told apart by colour-blind readers.
AREA_COLOURS = dict(
    zip(AREAS, ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#56B4E9", "#D55E00"), strict=True)
)
CLASS_COLOURS = {"excitatory": "#5B3A8E", "inhibitory": "#E08214"}
_COLOURS = (*AREA_COLOURS.values(), "#000000", "#999933")
_SHAPES = "os^Dv<>PX*"
_OTHER = "0.6"
_MOST_POINTS = 20_000


def draw_peaks(
    peaks: xr.Dataset, images: npt.NDArray[Any] | None = None, scenes: Sequence[int] = ()
) -> Any:
    """Draw peak against time to peak, a point for each neuron and image, coloured by area.

    Parameters
    ----------
    peaks : Dataset
        Of `neurn.mouse.peaks`.
    images : array, shape (images, height, width), optional
        Inset beside the panel of each of `scenes`.
    scenes : sequence of int
        Images that get a panel of their own.

    Returns
    -------
    matplotlib.figure.Figure
    """
    whole = peaks.attrs.get("window") == "whole"
    with style():
        figure = new_figure(5.2 + 2.6 * -(-len(scenes) // 2), 4.0)
        columns = -(-len(scenes) // 2)
        grid = figure.add_gridspec(2, 2 + columns) if scenes else figure.add_gridspec(1, 1)
        main = figure.add_subplot(grid[:, :2] if scenes else grid[0, 0])
        _scatter_peaks(main, peaks, 4, whole)
        main.set_ylabel("peak (percent dF/F)")
        main.set_xlabel("time to peak (s from onset)")
        _legend(main, [a for a in AREAS if a in peaks["area"].values], AREA_COLOURS)
        for place, scene in enumerate(scenes):
            row, column = divmod(place, columns)
            rows = slice(None) if len(scenes) == 1 else row
            axes = figure.add_subplot(grid[rows, 2 + column], sharey=main, sharex=main)
            _scatter_peaks(axes, peaks.sel(stimulus=[scene]), 8, whole)
            axes.set_title(f"scene {scene}", loc="left")
            lowest = row == 1 or len(scenes) <= columns
            axes.tick_params(labelleft=column == 0 and len(scenes) > 1, labelbottom=lowest)
            if lowest:
                axes.set_xlabel("time to peak (s)")
            if images is not None:
                inset = axes.inset_axes((0.55, 0.6, 0.44, 0.38))
                inset.imshow(images[scene], cmap="gray", vmin=0, vmax=255)
                inset.set_xticks([])
                inset.set_yticks([])
        _mark(figure, peaks)
    return figure


def _scatter_peaks(axes: Any, peaks: xr.Dataset, size: float, whole: bool) -> None:
    areas = np.repeat(peaks["area"].values, peaks.sizes["stimulus"])
    x = peaks["time_to_peak"].transpose("neuron", "stimulus").values.ravel()
    y = peaks["peak"].transpose("neuron", "stimulus").values.ravel()
    # Points fall on imaging frames: spread within the frame, in an order that hides no area.
    random = np.random.default_rng(0)
    order = random.permutation(len(x))[:_MOST_POINTS]
    frame = np.diff(np.unique(x[~np.isnan(x)])).min(initial=1 / 30)
    x = x + random.uniform(-0.5, 0.5, len(x)) * min(frame, 1 / 30)
    colours = np.array([AREA_COLOURS.get(area, _OTHER) for area in areas])
    axes.scatter(x[order], y[order], s=size, c=colours[order], alpha=0.55, linewidths=0)
    axes.axvline(0, color="0.4", linewidth=0.8, linestyle=(0, (4, 3)))
    axes.set_xlim((-1.0 if whole else -0.05), 1.25)
    ticker = import_optional("matplotlib.ticker", "plot")
    axes.xaxis.set_major_locator(ticker.MultipleLocator(0.5 if whole else 0.2))
    axes.grid(color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def draw_counts(labels: npt.ArrayLike, title: str, simulated: bool) -> Any:
    """Draw how many neurons there are of each area or genotype group, the number above each bar.

    Parameters
    ----------
    labels : array of str, shape (neurons,)
        Areas keep the order of the published figure; others are in lexical order, excitatory
        before inhibitory ones.
    title : str
        Label of the horizontal axis.
    simulated : bool
        Labels do not know it: ``neurons.attrs["simulated"]`` does.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names, counts = np.unique(np.asarray(labels), return_counts=True)
    area = all(name in AREAS for name in names)
    order = sorted(range(len(names)), key=lambda i: _rank(str(names[i])))
    shown, values = [str(names[i]) for i in order], counts[order]
    palette = [
        AREA_COLOURS[name] if area else CLASS_COLOURS.get(class_of_group(name), _OTHER)
        for name in shown
    ]
    with style():
        figure = new_figure(max(3.0, 0.9 + 0.42 * len(shown)), 3.0)
        axes = figure.add_subplot()
        bars = axes.bar(range(len(shown)), values, color=palette, width=0.75)
        axes.bar_label(bars, fontsize=8, padding=1)
        axes.set_xticks(
            range(len(shown)),
            shown,
            rotation=0 if area else 60,
            ha="center" if area else "right",
            rotation_mode="anchor",
        )
        axes.set_ylabel("neurons")
        axes.set_xlabel(title)
        axes.margins(y=0.12)
        axes.set_xlim(-0.6, len(shown) - 0.4)
        axes.spines[["top", "right"]].set_visible(False)
        if not area:
            present = [c for c in CLASS_COLOURS if c in map(class_of_group, shown)]
            _legend(axes, present, CLASS_COLOURS, outside=True)
        _mark(figure, simulated)
    return figure


def draw_embedding(selection: Selection, labels: npt.ArrayLike, title: str) -> Any:
    """Draw the embedding of a selection, coloured by labels; chosen neurons are ringed.

    Parameters
    ----------
    selection : Selection
        With ``method="clusters"``.
    labels : array of str, shape (neurons,)
    title : str

    Returns
    -------
    matplotlib.figure.Figure
    """
    if selection.embedded_by == "none":
        raise ValueError("selection must have an embedding: select with method='clusters'")
    text = np.asarray(labels)
    names = sorted(set(text.tolist()), key=_rank)
    # 22 groups have no 22 colours that can be told apart: shapes tell the rest.
    palette = {n: AREA_COLOURS.get(n, _COLOURS[i % len(_COLOURS)]) for i, n in enumerate(names)}
    of_areas = all(n in AREAS for n in names)
    shapes = {n: "o" if of_areas else _SHAPES[i // len(_COLOURS)] for i, n in enumerate(names)}
    how = {"umap": "UMAP", "pca": "principal component"}[selection.embedded_by]
    embedded = selection.cluster >= 0
    classes = [c for c in CLASS_COLOURS if (selection.cell_class[embedded] == c).any()]
    chosen = np.isin(np.arange(len(text)), selection.index)
    with style():
        figure = new_figure(3.4 * len(classes) + 1.2, 3.6)
        panels = figure.subplots(1, len(classes), squeeze=False)[0]
        # Each class was embedded by itself: the coordinates of one say nothing of the other.
        for axes, name in zip(panels, classes, strict=True):
            here = embedded & (selection.cell_class == name)
            for label in names:
                x, y = selection.embedding[here & (text == label)].T
                axes.scatter(
                    x, y, s=12, color=palette[label], marker=shapes[label], linewidths=0, alpha=0.8
                )
            x, y = selection.embedding[here & chosen].T
            axes.scatter(x, y, s=24, facecolors="none", edgecolors="black", linewidths=0.4)
            axes.set_xlabel(f"{how} 1 (arbitrary units)")
            axes.set_title(f"{name}; ringed: {len(x)} chosen of {here.sum()}", loc="left")
            axes.spines[["top", "right"]].set_visible(False)
        panels[0].set_ylabel(f"{how} 2 (arbitrary units)")
        _legend(panels[-1], names, palette, outside=True, shapes=shapes)
        panels[-1].get_legend().set_title(title)
        _mark(figure, selection.simulated)
    return figure


def draw_reliability(statistics: xr.Dataset) -> Any:
    """Draw the share of neurons of each area whose reliability is at least so much.

    Parameters
    ----------
    statistics : Dataset
        Of `neurn.mouse.statistics`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    with style():
        figure = new_figure(6.6, 3.2)
        axes = figure.add_subplot()
        for area in [a for a in AREAS if a in statistics["area"].values]:
            values = statistics["reliability"].values[statistics["area"].values == area]
            values = np.sort(values[~np.isnan(values)])
            if not len(values):
                continue
            # From the left edge, where all are above, to the right one; each value counts itself.
            share = 100 * np.concatenate([[1], 1 - np.arange(len(values)) / len(values), [0]])
            x = np.concatenate([[-1], values, [1]])
            label = f"{area} ({len(values)}), median {np.median(values):.2f}"
            axes.step(x, share, where="pre", color=AREA_COLOURS[area], label=label)
        axes.set_xlim(-0.25, 1)
        axes.set_ylim(0, 100)
        axes.set_xlabel("split-half reliability (Spearman-Brown) at least")
        axes.set_ylabel("neurons (percent)")
        axes.grid(color="0.92", linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
        _mark(figure, statistics)
    return figure


def draw_maps(maps: xr.DataArray, count: int = 100, columns: int = 10) -> Any:
    """Draw representations as a grid of tiles, each from its smallest to its largest value.

    Parameters
    ----------
    maps : DataArray, dims (neuron, y, x)
    count, columns : int
        Number of maps, the first ones, and of tiles side by side.

    Returns
    -------
    matplotlib.figure.Figure
    """
    shown = maps.isel(neuron=slice(0, count)).values
    columns = min(columns, max(len(shown), 1))
    rows = -(-len(shown) // columns)
    with style():
        height = 0.55 * rows * shown.shape[1] / shown.shape[2] + 0.6
        figure = new_figure(max(0.55 * columns + 0.2, 4.0), height)
        for i, axes in enumerate(np.ravel(figure.subplots(rows, columns, squeeze=False))):
            axes.set_axis_off()
            if i < len(shown):
                axes.imshow(shown[i], cmap="inferno")
        cells = "cells, one an image" if maps.attrs.get("mode") == "stimulus" else "pixels"
        figure.suptitle(
            f"{len(shown)} representations, {shown.shape[1]} x {shown.shape[2]} {cells}\n"
            "each from its smallest (dark) to its largest value (light)",
            fontsize=9,
        )
        _mark(figure, maps)
    return figure


def draw_neuron(recording: Recording, neuron: int) -> Any:
    """Draw one neuron: trace, sweeps for its preferred image, tuning, representation.

    Parameters
    ----------
    recording : Recording
    neuron : int
        Place in the file.

    Returns
    -------
    matplotlib.figure.Figure
    """
    one = _describe_neuron(recording, neuron)
    about = recording.metadata
    with style():
        figure = new_figure(7.4, 4.6)
        grid = figure.add_gridspec(2, 3)
        axes = figure.add_subplot(grid[0, :])
        axes.plot(one["trace"].index, one["trace"], color="black", linewidth=0.3, rasterized=True)
        axes.set_xlabel("time (s)")
        axes.set_ylabel("dF/F (percent)")
        axes.margins(x=0)
        number = recording.cell_specimen_ids[neuron]
        axes.set_title(f"cell {number}, {about.area}, experiment {about.experiment}", loc="left")
        axes = figure.add_subplot(grid[1, 0])
        axes.plot(one["all images"].index, one["all images"], color="0.5", label="all images")
        best = one["preferred image"]
        axes.plot(best.index, best, color="#D55E00", label=str(best.name))
        axes.axvspan(0, RESPONSE[1] / recording.frame_rate, color="0.93", zorder=0)
        axes.set_xlabel("time from onset (s)")
        axes.set_ylabel("dF/F (percent)")
        axes.legend(
            frameon=False,
            fontsize=7,
            loc="lower left",
            bbox_to_anchor=(0.0, 1.0),
            ncols=2,
            borderpad=0,
            columnspacing=1,
        )
        axes = figure.add_subplot(grid[1, 1])
        mean, error = one["tuning"].values, one["standard error"].values
        axes.fill_between(range(len(mean)), mean - error, mean + error, color="0.85")
        axes.plot(mean, color="#0072B2", linewidth=1)
        axes.set_xlabel("image, best first (band: s.e.m.)")
        axes.set_ylabel("response (percent dF/F)")
        axes = figure.add_subplot(grid[1, 2])
        picture = axes.imshow(one["map"], cmap="inferno")
        axes.set_xlabel("x (pixels)")
        axes.set_ylabel("y (pixels)")
        figure.colorbar(picture, ax=axes, shrink=0.8, label="correlation with the pixel")
        for each in figure.axes[:3]:
            each.spines[["top", "right"]].set_visible(False)
        _mark(figure, recording.simulated)
    return figure


def neuron_table(recording: Recording, neuron: int) -> pd.DataFrame:
    """Return what `draw_neuron` draws as a tidy table.

    Parameters
    ----------
    recording : Recording
    neuron : int
        Place in the file.

    Returns
    -------
    DataFrame
        ``panel`` ("trace", "all images", "preferred image", "tuning", "standard error", "map"),
        ``x`` (seconds; number of the image; column of the map), ``y`` (row of the map), ``value``.
    """
    pandas = import_optional("pandas", "mouse")
    parts = []
    for panel, values in _describe_neuron(recording, neuron).items():
        if panel == "map":
            y, x = np.indices(values.shape)
            part = {"x": x.ravel(), "y": y.ravel(), "value": values.ravel()}
        else:
            part = {"x": values.index, "y": np.nan, "value": values.values}
        parts.append(pandas.DataFrame({"panel": panel, **part}))
    table: pd.DataFrame = pandas.concat(parts, ignore_index=True)
    table.insert(0, "neuron", recording.cell_specimen_ids[neuron])
    return table.assign(simulated=recording.simulated)


def _describe_neuron(recording: Recording, neuron: int) -> dict[str, Any]:
    """Return panels as series over time or images, and the map as an array."""
    pandas = import_optional("pandas", "mouse")
    found = responses(recording, [neuron])
    shown = found.isel(stimulus=np.flatnonzero(found["stimulus"].values != BLANK))
    trials = shown["trials"].isel(neuron=0)
    mean = trials.mean("trial").values
    error = (trials.std("trial", ddof=1) / np.sqrt(trials.count("trial"))).values
    order = np.argsort(mean)[::-1]
    image = shown["stimulus"].values
    dff = 100 * recording.traces("dff", [neuron]).values[0]
    sweep = shown["sweep"].values[0]
    best = int(np.nanargmax(mean))
    seconds, times = found["time"].values, recording.timestamps[: len(dff)]
    return {
        "trace": pandas.Series(dff, index=times - recording.timestamps[0]),
        "all images": pandas.Series(np.nanmean(sweep, axis=0), index=seconds),
        "preferred image": pandas.Series(sweep[best], index=seconds, name=f"image {image[best]}"),
        "tuning": pandas.Series(mean[order], index=image[order]),
        "standard error": pandas.Series(error[order], index=image[order]),
        "map": representations(found["trials"], recording.images()).values[0],
    }


def save(figure: Any, path: Path, data: Any = None, suffix: str = ".csv") -> None:
    """Write a picture (.png, .pdf, .svg), and its data beside it.

    Parameters
    ----------
    figure : matplotlib.figure.Figure
    path : Path
    data : DataFrame, Dataset or DataArray, optional
        What was drawn; goes to the same name with another suffix.
    suffix : {".csv", ".parquet"}
        Of the data.
    """
    if path.suffix.lower() not in PICTURES:
        raise ValueError(f"{str(path)!r} must end in {', '.join(PICTURES)}")
    with style(), open_atomic(path) as file:
        figure.savefig(file, format=path.suffix.lower()[1:], dpi=200)
    if data is not None:
        write(data, path.with_suffix(suffix))


def _rank(name: str) -> tuple[int, bool, str]:
    """Order areas as published, then others by name, excitatory before inhibitory ones."""
    if name in AREAS:
        return AREAS.index(name), False, name
    return len(AREAS), class_of_group(name) == "inhibitory", name


def _legend(
    axes: Any,
    names: Sequence[str],
    palette: dict[str, Any],
    outside: bool = False,
    shapes: Mapping[str, str] | None = None,
) -> None:
    for name in names:
        marker = "o" if shapes is None else shapes[name]
        axes.scatter([], [], s=22, color=palette.get(name, _OTHER), marker=marker, label=name)
    place = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0)} if outside else {"loc": "best"}
    columns = 1 if len(names) <= 12 else 2
    axes.legend(frameon=False, fontsize=8, handletextpad=0.2, ncols=columns, **place)


def _mark(figure: Any, data: Any) -> None:
    """Say on the picture that its data are simulated, where they are."""
    simulated = data if isinstance(data, bool) else bool(data.attrs.get("simulated", 0))
    if simulated:
        figure.text(
            0.995,
            0.005,
            "simulated data",
            ha="right",
            va="bottom",
            fontsize=8,
            color="#B00020",
            fontweight="bold",
        )
        below = 0.2 / figure.get_figheight()
        figure.get_layout_engine().set(rect=(0, below, 1, 1 - below))
