"""Stimuli: the images that mice and models are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from neurn import mouse
from neurn._optional import import_optional
from neurn.mouse import planted, tables
from neurn.study.graph import Cost, Item, Stage, Work
from neurn.study.settings import Files, Simulated
from neurn.study.stages.files import find_files
from neurn.study.store import sha256

if TYPE_CHECKING:
    import numpy.typing as npt
    import xarray as xr

    from neurn.study.settings import Study

LIBRARIES = ("h5py", "numpy", "scipy", "xarray")

_IMAGES = "images.nc"
_TEMPLATE = "template"  # attribute: digest of the images as the recordings hold them
_LARGEST = 256  # pixels of the shorter side that are kept; models take 224


def plan(study: Study, before: Mapping[str, Sequence[Item]]) -> list[Item]:
    """Return one item: made for simulated recordings, or what the first file says was shown."""
    settings = study.recordings
    if isinstance(settings, Simulated):
        cost = Cost(1, 5e8, 6e6)
        return [Item("stimuli", "natural scenes", {"seed": study.seed}, cost=cost)]
    if isinstance(settings, Files):
        _, path = next(find_files(settings))
        cost = Cost(5, 1.5e9, 4e7)
        return [Item("stimuli", "natural scenes", files=(path,), cost=cost, reads=digest_images)]
    return []


def run(work: Work) -> None:
    """Keep the images, no larger than models take them."""
    xarray = import_optional("xarray", "mouse")
    if work.files:
        recording = mouse.open_nwb(work.files[0])
        values, simulated = recording.images().values, recording.simulated
    else:
        values, simulated = planted.scenes(work.parameters["seed"]).astype(np.float32), True
    images = xarray.DataArray(
        _small(values),
        dims=("stimulus", "y", "x"),
        coords={"stimulus": np.arange(len(values))},
        name="natural_scenes",
        attrs={
            "units": "grey value, 0 to 255",
            "simulated": int(simulated),
            _TEMPLATE: _digest(values),
        },
    )
    tables.write(images, work.folder / _IMAGES)


def read_images(folder: Path) -> xr.DataArray:
    """Return the images in a result, float32, dims (stimulus, y, x), 0 to 255."""
    found: xr.DataArray = import_optional("xarray", "mouse").load_dataarray(folder / _IMAGES)
    return found


def check_shown(recording: mouse.Recording, folder: Path) -> None:
    """Raise RecordingError unless a recording shows the images in a result."""
    if _digest(recording.images().values) != read_images(folder).attrs[_TEMPLATE]:
        raise mouse.RecordingError(
            f"{recording.path!r}: its natural scenes are not those of the study's first file; "
            "only sessions that show the same images can be in one study"
        )


def digest_images(path: Path) -> str:
    """Return the digest of a recording's images: all that counts of its file here."""
    try:
        return _digest(mouse.open_nwb(path).images().values)
    except mouse.RecordingError:  # said when the item is done
        return sha256(path)


def _digest(values: npt.NDArray[Any]) -> str:
    found = hashlib.sha256(repr((values.shape, values.dtype.str)).encode())
    found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


def _small(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    height, width = values.shape[1:]
    scale = _LARGEST / min(height, width)
    if scale >= 1:
        return values
    return mouse.shrink(values, (round(scale * height), round(scale * width))).astype(np.float32)


STIMULI = Stage("stimuli", "Stimuli", (), ("neurn.mouse", __name__), LIBRARIES, plan, run)
