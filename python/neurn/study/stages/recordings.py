"""Recordings: simulated ones are written, files of your own are checked."""

from __future__ import annotations

import dataclasses
import glob
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn import mouse
from neurn._files import write_atomic
from neurn._optional import import_optional
from neurn.mouse import tables
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.read import StudyError
from neurn.study.settings import Files, Simulated

if TYPE_CHECKING:
    import xarray as xr

    from neurn.study.settings import Study

LIBRARIES = ("h5py", "numpy", "scipy", "xarray")

_IMAGES = "images.nc"
_SESSION = "session.json"
_TRUTH = "truth.nc"
_LARGEST_IMAGE = 256  # pixels of the shorter side that are kept; models take 224
_FRAMES = 119 * 7.5  # a repetition of all images and the blank


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return one item of simulated sessions, or one for each file."""
    settings = study.recordings
    if isinstance(settings, Simulated):
        parameters = settings.model_dump(mode="json", exclude={"source"}) | {"seed": study.seed}
        sessions = len(settings.areas) * len(settings.cre_lines)
        frames = sessions * settings.neurons * (_FRAMES * settings.repetitions + 600)
        cost = Cost(2 + frames * 4e-7, 5e8 + 80 * frames / sessions, frames * 20 + sessions * 5e6)
        return [Item("recordings", "simulated", parameters, cost=cost)]
    if isinstance(settings, Files):
        return [
            Item("recordings", name, {}, files=(path,), cost=Cost(5, 1.5e9, 3e7))
            for name, path in _files(settings).items()
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


def read_images(folder: Path) -> xr.DataArray:
    """Return the images of the recordings in a result, dims (stimulus, y, x), 0 to 255."""
    found: xr.DataArray = import_optional("xarray", "mouse").load_dataarray(folder / _IMAGES)
    return found


def read_truth(folder: Path) -> xr.Dataset | None:
    """Return the truth behind simulated recordings, None for others."""
    if not (folder / _TRUTH).exists():
        return None
    found: xr.Dataset = import_optional("xarray", "mouse").load_dataset(folder / _TRUTH)
    return found


def run(work: Work) -> None:
    """Write simulated sessions, or what a file says of itself, and the images beside it."""
    if work.files:
        recording = mouse.open_nwb(work.files[0])
        recording.presentations()  # of natural scenes: a session without any is of no use here
        about = dataclasses.asdict(recording.metadata) | {"neurons": len(recording)}
        text = json.dumps({k: v if v == v else None for k, v in about.items()}, default=str)
        write_atomic(work.folder / _SESSION, text)
    else:
        made = mouse.simulate(work.folder, **work.parameters)
        tables.write(made.truth, work.folder / _TRUTH)
        recording = mouse.open_nwb(made.paths[0])
    tables.write(_small(recording.images()), work.folder / _IMAGES)


def _small(images: xr.DataArray) -> xr.DataArray:
    height, width = images.shape[1:]
    if min(height, width) <= _LARGEST_IMAGE:
        return images
    scale = _LARGEST_IMAGE / min(height, width)
    size = (round(scale * height), round(scale * width))
    small: Any = mouse.shrink(images.values, size).astype("float32")
    made: xr.DataArray = import_optional("xarray", "mouse").DataArray(
        small,
        dims=images.dims,
        coords={"stimulus": images["stimulus"]},
        name=images.name,
        attrs=images.attrs,
    )
    return made


def _files(settings: Files) -> dict[str, str]:
    found: dict[str, str] = {}
    for pattern in settings.files:
        paths = sorted(glob.glob(pattern, recursive=True))
        if not paths:
            raise StudyError(f"recordings.files: nothing matches {pattern!r}")
        for path in paths:
            name = Path(path).stem
            if name in found and Path(found[name]) != Path(path):
                raise StudyError(f"recordings.files: two files are called {name!r}")
            if _wanted(settings, path):
                found[name] = str(Path(path).resolve())
    if not found:
        raise StudyError("recordings: no file is of these areas and cre_lines")
    return found


def _wanted(settings: Files, path: str) -> bool:
    if not settings.areas and not settings.cre_lines:
        return True
    try:
        about = mouse.open_nwb(path).metadata
    except mouse.RecordingError as error:
        raise StudyError(str(error)) from None
    line = mouse.driver(about.genotype)
    return (not settings.areas or about.area in settings.areas) and (
        not settings.cre_lines or line in settings.cre_lines
    )


RECORDINGS = Stage("recordings", "Recordings", (), ("neurn.mouse", __name__), LIBRARIES, plan, run)
