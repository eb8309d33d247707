"""What all pictures share: their look, and one colour for each front end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from neurn._optional import import_optional

# Told apart by colour-blind readers where few of them meet.
FRONT_END_COLOURS = {
    "none": "#E08214",
    "neurn": "#5B3A8E",
    "sobel": "#009E73",
    "log": "#56B4E9",
    "lcn": "#CC79A7",
    "sigma": "#0072B2",
    "standardize": "#8C6D31",
    "grey": "#999933",
    "neurn_rgb": "#A99BD1",
}
OTHER_COLOURS = ("#D6604D", "#4D9221", "#C51B7D", "#35978F")


def new_figure(width: float, height: float) -> Any:
    """Make a figure of a size in inches, without pyplot: no window, no list of figures."""
    return import_optional("matplotlib.figure", "plot").Figure(
        figsize=(width, height), layout="constrained"
    )


@contextmanager
def style(points: float = 9) -> Iterator[None]:
    """Set the look of all figures that are made or written inside the block.

    Parameters
    ----------
    points : float
        Size of the text.
    """
    settings = {
        "font.family": "serif",
        "font.serif": ["DejaVu Serif"],
        "font.size": points,
        "axes.titlesize": points,
        "image.interpolation": "nearest",
    }
    with import_optional("matplotlib", "plot").rc_context(settings):
        yield
