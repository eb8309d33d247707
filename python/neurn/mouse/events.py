"""Events: dF/F without the indicator's slow decay, which the cache keeps in files of their own."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.mouse.errors import RecordingError

FOLDER = "ophys_experiment_events"
KEY = "ev"

_SUFFIXES = (".npz", ".h5")


def events_path(recording: str) -> Path | None:
    """Return the events file of a recording's file, None where there is none.

    Looked for beside the recording, and where allensdk's cache has it:
    ``ophys_experiment_events/<id>_events.npz`` beside the recording's folder.

    Parameters
    ----------
    recording : str
        Path of the recording.
    """
    return next((path for path in _candidates(recording) if path.exists()), None)


def read_events(path: str | os.PathLike[str]) -> npt.NDArray[np.float64]:
    """Read an events file.

    Parameters
    ----------
    path : str or path
        npz or HDF5; the array is called ``ev`` in both.

    Returns
    -------
    ndarray of float64, shape (cells, samples)
        Fraction of the baseline fluorescence, as dF/F.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    RecordingError
        If it is empty, cut off, or has no such array.
    """
    name = os.fspath(path)
    if not Path(name).exists():
        raise FileNotFoundError(f"there is no file {name!r}")
    if os.path.getsize(name) == 0:
        raise RecordingError(f"{name!r} is empty")
    try:
        values = _from_npz(name) if zipfile.is_zipfile(name) else _from_hdf5(name)
    except KeyError as error:
        raise RecordingError(f"{name!r} has no array {KEY!r}") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise RecordingError(f"{name!r} is no whole file of events: {error}") from error
    if values.ndim != 2:
        raise RecordingError(f"{name!r}: {KEY!r} must be (cells, samples), got {values.shape}")
    return values.astype(np.float64, copy=False)


def no_events(recording: str) -> RecordingError:
    """Return the error of a recording without events; it names the places that were looked at."""
    usual = [repr(str(path)) for path in _candidates(recording) if path.suffix == _SUFFIXES[0]]
    return RecordingError(
        f"{recording!r} has no events, and there is neither {' nor '.join(usual)}; "
        "not every session has them: neurn mouse fetch --events"
    )


def _candidates(recording: str) -> list[Path]:
    path = Path(recording)
    folders = (path.parent.parent / FOLDER, path.parent)
    return [folder / f"{path.stem}_events{suffix}" for folder in folders for suffix in _SUFFIXES]


def _from_npz(name: str) -> npt.NDArray[np.float64]:
    with np.load(name, allow_pickle=False) as file:
        return np.asarray(file[KEY])


def _from_hdf5(name: str) -> npt.NDArray[np.float64]:
    with import_optional("h5py", "mouse").File(name, "r") as file:
        return np.asarray(file[KEY])
