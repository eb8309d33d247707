"""Maps and tables of numbers as pictures: grids of tiles, profiles along layers, heat."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._figures import new_figure, style
from neurn.compare.plots.drawing import (
    colour_of,
    has_columns,
    label_of,
    legend,
    line_handles,
    mark,
    patch_handles,
    plain_axes,
    pretty,
    write_note,
)
from neurn.mouse.representations import normalized

if TYPE_CHECKING:
    import pandas as pd


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
        write_note(figure, ", ".join(notes))
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
    has_columns(table, "layer", "score", by)
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
            handles += patch_handles({"noise ceiling": "0.85"})
        for i, name in enumerate(dict.fromkeys(table[by])):
            part = table[table[by] == name]
            x = [place[layer] for layer in part["layer"]]
            colour = colour_of(str(name), i)
            if "low" in part:
                axes.fill_between(
                    x, part["low"], part["high"], color=colour, alpha=0.18, linewidth=0
                )
            (line,) = axes.plot(x, part["score"], marker="o", markersize=3.5, color=colour)
            line.set_label(pretty(str(name)))
            handles.append(line)
        if "null" in table and table["null"].notna().any():
            axes.axhline(
                float(table["null"].mean()), color="0.3", linestyle=(0, (4, 2)), linewidth=1
            )
            handles += line_handles([("shuffled scenes", (0, (4, 2)))])
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
        axes.set_ylabel(label_of(table, "score"))
        plain_axes(axes)
        legend(axes, handles)
        mark(figure, table)
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
    has_columns(table, rows, columns, value)
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
        bar.set_label(label_of(table, value))
        bar.outline.set_visible(False)
        mark(figure, table)
    return figure
