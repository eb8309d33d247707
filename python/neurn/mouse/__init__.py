"""Allen Brain Observatory recordings: read, described, turned into representations.

de Vries, Lecoq, Buice et al. (2020), Nat. Neurosci. 23, 138-151.
"""

from neurn._optional import MissingExtraError
from neurn.mouse.errors import RecordingError
from neurn.mouse.groups import cell_class, describe, driver, layer
from neurn.mouse.nwb import open_nwb
from neurn.mouse.observatory import Observatory
from neurn.mouse.recording import Recording
from neurn.mouse.representations import representations, shrink
from neurn.mouse.selection import Selection, select, stability
from neurn.mouse.simulate import Simulation, simulate
from neurn.mouse.statistics import (
    ceiling,
    counts,
    image_selectivity,
    lifetime_sparseness,
    oracle,
    p_value,
    peaks,
    reliability,
    statistics,
)
from neurn.mouse.sweeps import responses, sweeps

__all__ = [
    "MissingExtraError",
    "Observatory",
    "Recording",
    "RecordingError",
    "Selection",
    "Simulation",
    "ceiling",
    "cell_class",
    "counts",
    "describe",
    "driver",
    "image_selectivity",
    "layer",
    "lifetime_sparseness",
    "open_nwb",
    "oracle",
    "p_value",
    "peaks",
    "reliability",
    "representations",
    "responses",
    "select",
    "shrink",
    "simulate",
    "stability",
    "statistics",
    "sweeps",
]
