"""Selection: which neurons stand for the whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn import mouse
from neurn._optional import import_optional
from neurn.mouse import tables
from neurn.mouse.selection import CLASSES
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.settings import Simulated
from neurn.study.stages.representations import MAPS
from neurn.study.stages.statistics import STATISTICS_FILE
from neurn.study.stages.stimuli import LIBRARIES

if TYPE_CHECKING:
    import xarray as xr

    from neurn.study.settings import Study

_SELECTION, _CHOSEN = "selection.npz", "chosen.nc"


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return one item over all sessions."""
    if study.selection is None:
        return []
    parameters = study.selection.model_dump(mode="json") | {"seed": study.seed}
    inputs = tuple(item.id for stage in ("representations", "statistics") for item in before[stage])
    neurons = 200 * len(before["representations"])
    if isinstance(study.recordings, Simulated):
        neurons = study.recordings.neurons * len(before["representations"])
    cost = Cost(20 + neurons * 0.01, 1e9 + neurons * 2e4, neurons * 1e3)
    return [Item("selection", "all neurons", parameters, inputs, cost=cost)]


def run(work: Work) -> None:
    """Choose neurons by their maps."""
    xarray = import_optional("xarray", "mouse")
    maps = tables.join([xarray.load_dataarray(f / MAPS) for f in work.of("representations")])
    reliability = np.concatenate(
        [
            xarray.load_dataset(folder / STATISTICS_FILE)["reliability"].values
            for folder in work.of("statistics")
        ]
    )
    settings: dict[str, Any] = dict(work.parameters)
    allowed = np.ones(len(reliability), dtype=bool)
    if settings["method"] == "reliable":
        allowed = reliability >= settings["threshold"]
    for name in CLASSES:
        there = int(((maps["cell_class"].values == name) & allowed).sum())
        settings[name] = min(settings[name], there)
    chosen = mouse.select(maps, reliability=reliability, **settings)
    names = ("index", "cell_class", "cluster", "embedding")
    arrays: dict[str, Any] = {name: np.asarray(getattr(chosen, name)) for name in names}
    np.savez(
        work.folder / _SELECTION,
        **arrays,
        labels=np.array([chosen.method, chosen.embedded_by]),
        numbers=np.array([chosen.seed, int(chosen.simulated)]),
    )
    tables.write(maps.isel(neuron=chosen.index), work.folder / _CHOSEN)


def read_selection(folder: Path) -> mouse.Selection:
    """Return the choice in a result."""
    with np.load(folder / _SELECTION) as kept:
        names = ("index", "cell_class", "cluster", "embedding")
        method, embedded_by = map(str, kept["labels"])
        seed, simulated = map(int, kept["numbers"])
        arrays = {name: kept[name] for name in names}
    return mouse.Selection(
        **arrays, method=method, embedded_by=embedded_by, seed=seed, simulated=bool(simulated)
    )


def read_chosen(folder: Path) -> xr.DataArray:
    """Return the maps of the chosen neurons in a result, dims (neuron, y, x)."""
    found: xr.DataArray = import_optional("xarray", "mouse").load_dataarray(folder / _CHOSEN)
    return found


SELECTION = Stage(
    "selection",
    "Choice of neurons",
    ("statistics", "representations"),
    ("neurn.mouse", __name__),
    (*LIBRARIES, "scikit-learn", "umap-learn"),
    plan,
    run,
)
