"""Representations: what each neuron makes of the images, N = T^T F_S."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neurn import mouse
from neurn._optional import import_optional
from neurn.mouse import tables
from neurn.study.graph import Item, Stage, Work
from neurn.study.stages.recordings import open_session
from neurn.study.stages.statistics import RESPONSES, of_sessions
from neurn.study.stages.stimuli import LIBRARIES

if TYPE_CHECKING:
    from neurn.study.settings import Study

MAPS = "maps.nc"


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return an item for each session."""
    settings = study.representations
    if settings is None:
        return []
    parameters = settings.model_dump(mode="json")
    items = of_sessions("representations", parameters, study, before)
    described = [item.id for item in before["statistics"]]
    return [
        Item(i.stage, i.name, i.parameters, (*i.inputs, other), i.files, i.cost)
        for i, other in zip(items, described, strict=True)
    ]


def run(work: Work) -> None:
    """Make the maps of a session's neurons."""
    settings: dict[str, Any] = {
        name: None if value == "none" and name != "normalize" else value
        for name, value in work.parameters.items()
        if name != "session"
    }
    size = settings.pop("size")
    settings["size"] = tuple(size) if isinstance(size, list) else size
    trials = import_optional("xarray", "mouse").load_dataarray(work.of("statistics")[0] / RESPONSES)
    images = open_session(work).images()
    tables.write(mouse.representations(trials, images, **settings), work.folder / MAPS)


REPRESENTATIONS = Stage(
    "representations",
    "Representations of neurons",
    ("recordings", "statistics"),
    ("neurn.mouse", __name__),
    LIBRARIES,
    plan,
    run,
)
