"""Statistics: every neuron's responses, peaks, reliability and selectivity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from neurn import mouse
from neurn.mouse import tables
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.settings import Simulated
from neurn.study.stages.recordings import open_session, sessions
from neurn.study.stages.stimuli import LIBRARIES

if TYPE_CHECKING:
    from neurn.study.settings import Study

STATISTICS_FILE, PEAKS, RESPONSES = "statistics.nc", "peaks.nc", "responses.nc"


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return an item for each session."""
    return of_sessions("statistics", {"seed": study.seed}, study, before)


def of_sessions(
    stage: str, parameters: dict[str, object], study: Study, before: Mapping[str, Sequence[Item]]
) -> list[Item]:
    """Return an item of a stage for each session."""
    items = []
    for name, item, place in sessions(study, before["recordings"]):
        simulated = isinstance(study.recordings, Simulated)
        neurons = study.recordings.neurons if isinstance(study.recordings, Simulated) else 200
        which: dict[str, object] = {"session": place} if simulated else {}
        cost = Cost(0.3 + neurons * 0.02, 6e8 + neurons * 8e6, neurons * 5e4)
        items.append(Item(stage, name, which | parameters, (item.id,), item.files, cost))
    return items


def run(work: Work) -> None:
    """Describe a session."""
    recording = open_session(work)
    found = mouse.responses(recording)
    tables.write(
        mouse.statistics(found, seed=work.parameters["seed"]), work.folder / STATISTICS_FILE
    )
    tables.write(mouse.peaks(found), work.folder / PEAKS)
    trials = found["trials"].astype("float32").assign_attrs(found.attrs)
    tables.write(trials, work.folder / RESPONSES)


STATISTICS = Stage(
    "statistics",
    "Responses and statistics of neurons",
    ("recordings",),
    ("neurn.mouse", __name__),
    LIBRARIES,
    plan,
    run,
)
