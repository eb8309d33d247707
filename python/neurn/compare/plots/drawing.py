"""What the pictures of comparisons share: colours, names, legends, notes, files."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn import front_ends
from neurn._figures import FRONT_END_COLOURS, OTHER_COLOURS
from neurn._optional import import_optional
from neurn.mouse.figures import AREA_COLOURS, CLASS_COLOURS
from neurn.mouse.figures import save as save_picture
from neurn.mouse.groups import class_of_group

if TYPE_CHECKING:
    import pandas as pd

# One colour for each thing, in every picture: neurons, features, features behind a front end.
COLOURS = {
    "neurons": "#1B1B1B",
    **FRONT_END_COLOURS,
    "shuffled features": "#A6A6A6",
    "perfect model": "#5C5C5C",
}
GREY = "0.55"
_NAMES_OF_NONE = ("features", "feature maps", "without front end")
_WARNING = "#B00020"
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


def has_columns(table: Any, *columns: str) -> None:
    """Raise ValueError where a table lacks a column."""
    for column in columns:
        if column not in table:
            raise ValueError(f"table must have a column {column!r}, it has {', '.join(table)}")


def group_of(line: Any, labels: Sequence[str]) -> tuple[str, str]:
    """Return a group's name and kind: of several columns the first that is known."""
    for key in labels:
        name = line[key]
        if isinstance(name, str) and name:
            if name in AREA_COLOURS:
                return name, "area"
            return name, class_of_group(name)
    return str(line[labels[0]]), "other"


def colour_in(by: str, name: str) -> str:
    """Return the colour of an area, or of the cell class of a group."""
    if by == "area":
        return str(AREA_COLOURS.get(name, GREY))
    return str(CLASS_COLOURS.get(class_of_group(name), GREY))


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


def pretty(name: str) -> str:
    """Return the title of a front end, alone or before what is behind it."""
    front, plus, rest = name.partition(" + ")
    if front == "none":
        return "without front end"
    if front.partition(":")[0] in front_ends.TITLES:
        front = front_ends.title(front)
    return f"{front}{plus}{rest}"


def wrapped(name: str) -> str:
    """Return a name in lines of 16 characters or so."""
    return textwrap.fill(pretty(name), 16)


def label_of(table: Any, value: str) -> str:
    """Return what an axis of a table's column is called."""
    if value != "score" or "metric" not in table:
        return value.replace("_", " ")
    names = list(dict.fromkeys(table["metric"]))
    text = ", ".join(_NAMES.get(name, name) for name in names)
    if names == ["rmse"] and "normalize" in table:
        how = ", ".join(dict.fromkeys(table["normalize"]))
        return f"{text} ({how})"
    return text


def plain_axes(axes: Any, both: bool = False) -> None:
    """Leave a light grid and two spines."""
    axes.grid(axis="both" if both else "y", color="0.92", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def patch_handles(colours: Mapping[str, str]) -> list[Any]:
    """Return handles of colours by name."""
    patches = import_optional("matplotlib.patches", "mouse")
    return [patches.Patch(color=colour, label=name) for name, colour in colours.items()]


def line_handles(styles: Sequence[tuple[str, Any]]) -> list[Any]:
    """Return handles of lines: name and style of each."""
    lines = import_optional("matplotlib.lines", "mouse")
    return [lines.Line2D([], [], color="0.25", linestyle=s, label=n) for n, s in styles]


def dot_handles(looks: Mapping[str, tuple[str, str]]) -> list[Any]:
    """Return handles of points by name; face and edge of each."""
    lines = import_optional("matplotlib.lines", "mouse")
    plain = {"linestyle": "none", "marker": "o", "markersize": 5}
    return [
        lines.Line2D([], [], markerfacecolor=face, markeredgecolor=edge, label=name, **plain)
        for name, (face, edge) in looks.items()
    ]


def legend_above(figure: Any, colours: Mapping[str, str]) -> None:
    """Say above a figure what its colours are."""
    figure.legend(
        handles=patch_handles(colours),
        loc="outside upper center",
        ncols=len(colours),
        frameon=False,
        fontsize=8,
    )


def legend(axes: Any, handles: list[Any]) -> None:
    """Put a legend right of the axes."""
    if handles:
        axes.legend(
            handles=handles,
            frameon=False,
            fontsize=7.5,
            loc="upper left",
            bbox_to_anchor=(1.0, 1.0),
        )


def notes(table: pd.DataFrame) -> str:
    """Return what must be said of a table: that data are simulated or weights random."""
    said = []
    if "simulated" in table and bool(table["simulated"].any()):
        said.append("simulated data")
    if "weights" in table and table["weights"].astype(str).str.contains("random").any():
        said.append("random weights")
    return ", ".join(said)


def mark(figure: Any, table: Any) -> None:
    """Write into the corner what must be said of a table."""
    write_note(figure, notes(table))


def write_note(figure: Any, text: str) -> None:
    """Write a warning into the lower right corner and keep the axes off it."""
    if not text:
        return
    style_ = {"fontsize": 8, "color": _WARNING, "fontweight": "bold"}
    figure.text(0.995, 0.005, text, ha="right", va="bottom", **style_)
    height = figure.get_size_inches()[1]
    figure.get_layout_engine().set(rect=(0, 0.17 / height, 1, 1 - 0.17 / height))
