"""Recordings: simulated ones are written, files of your own are checked."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from neurn import mouse
from neurn._files import write_atomic
from neurn._optional import import_optional
from neurn.mouse import tables
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.settings import Files, Simulated
from neurn.study.stages.files import find_files
from neurn.study.stages.stimuli import LIBRARIES, check_shown, read_images

if TYPE_CHECKING:
    import xarray as xr

    from neurn.study.settings import Study

_SESSION = "session.json"
_TRUTH = "truth.nc"
_FRAMES = 119 * 7.5  # a repetition of all images and the blank


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return one item of simulated sessions, or one for each file."""
    settings = study.recordings
    shown = tuple(item.id for item in before["stimuli"])
    if isinstance(settings, Simulated):
        parameters = settings.model_dump(mode="json", exclude={"source"}) | {"seed": study.seed}
        sessions = len(settings.areas) * len(settings.cre_lines)
        frames = sessions * settings.neurons * (_FRAMES * settings.repetitions + 600)
        cost = Cost(2 + frames * 4e-7, 5e8 + 80 * frames / sessions, frames * 20 + sessions * 5e6)
        return [Item("recordings", "simulated", parameters, shown, cost=cost)]
    if isinstance(settings, Files):
        return [
            Item("recordings", name, {}, shown, (path,), Cost(5, 1.5e9, 1e4))
            for name, path in find_files(settings)
        ]
    return []


def sessions(study: Study, items: Sequence[Item]) -> list[tuple[str, Item, int]]:
    """Return name, item and place in the item of every session."""
    settings = study.recordings
    if isinstance(settings, Simulated):
        names = [f"{area} {line}" for area in settings.areas for line in settings.cre_lines]
        return [(name, items[0], place) for place, name in enumerate(names)]
    return [(item.name, item, 0) for item in items]


def open_session(work: Work) -> mouse.Recording:
    """Open the recording that an item of one session is about."""
    if work.files:
        return mouse.open_nwb(work.files[0])
    paths = sorted(work.of("recordings")[0].glob("ophys_experiment_data/*.nwb"))
    return mouse.open_nwb(paths[work.parameters["session"]])


def read_truth(folder: Path) -> xr.Dataset | None:
    """Return the truth behind simulated recordings, None for others."""
    if not (folder / _TRUTH).exists():
        return None
    found: xr.Dataset = import_optional("xarray", "mouse").load_dataset(folder / _TRUTH)
    return found


def run(work: Work) -> None:
    """Write simulated sessions, or what a file says of itself."""
    shown = work.of("stimuli")[0]
    if work.files:
        recording = mouse.open_nwb(work.files[0])
        recording.presentations()  # of natural scenes: a session without any is of no use here
        check_shown(recording, shown)
        about = dataclasses.asdict(recording.metadata) | {"neurons": len(recording)}
        text = json.dumps({k: v if v == v else None for k, v in about.items()}, default=str)
        write_atomic(work.folder / _SESSION, text)
    else:
        made = mouse.simulate(work.folder, images=read_images(shown).values, **work.parameters)
        tables.write(made.truth, work.folder / _TRUTH)


RECORDINGS = Stage(
    "recordings",
    "Recordings",
    ("stimuli",),
    ("neurn.mouse", __name__),
    LIBRARIES,
    plan,
    run,
)
