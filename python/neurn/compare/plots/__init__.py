"""Pictures of comparisons, after those published: violins, scatter, boxes, densities, grids, ..."""

from neurn.compare.plots.distributions import boxes, densities, violins
from neurn.compare.plots.drawing import COLOURS, colour_of, notes, save
from neurn.compare.plots.maps import grids, heat, profiles
from neurn.compare.plots.pairs import deltas, scatter

__all__ = [
    "COLOURS",
    "boxes",
    "colour_of",
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
