"""Visual Coding files (HDF5): NWB 1.0 of the Allen Institute, NWB 2 of DANDI."""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn._optional import import_optional
from neurn.mouse.errors import RecordingError
from neurn.mouse.events import events_path, no_events, read_events
from neurn.mouse.recording import Recording
from neurn.mouse.source import Metadata, Presentations

N_SCENES = 118

_PIPELINE = "processing/brain_observatory_pipeline"
_PLANE = "general/optophysiology/imaging_plane_1"
_FLUORESCENCE = f"{_PIPELINE}/Fluorescence"
_SPECIMEN_IDS = f"{_PIPELINE}/ImageSegmentation/cell_specimen_ids"
_OPHYS = "processing/ophys"


def open_nwb(
    path: str | os.PathLike[str],
    *,
    events: str | os.PathLike[str] | None = None,
    depth: float | None = None,
    groups: Mapping[str, str] | None = None,
) -> Recording:
    """Open a Visual Coding two-photon file without allensdk.

    Nothing but names and shapes is read until it is asked for.

    Parameters
    ----------
    path : str or path
        NWB 1.0 (``ophys_experiment_data/<id>.nwb``) or NWB 2 (DANDI) in HDF5.
    events : str or path, optional
        File of the session's events. By default that of the cache,
        ``ophys_experiment_events/<id>_events.npz``, or one beside `path`; NWB 2 holds its own.
    depth : float, optional
        Imaging depth in micrometres, for files without it: DANDI's have none, and so no layer.
    groups : mapping of str to str, optional
        Genotype groups of your own: full genotype -> name (`neurn.mouse.describe`).

    Returns
    -------
    Recording

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    PermissionError
        If it may not be read.
    RecordingError
        If it is no HDF5 file, is cut off, or lacks what every session has.
    MissingExtraError
        If h5py is not installed; the extra ``mouse`` brings it.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> recording
    <simulated recording 900000001: 4 neurons, VISp, 175 um, Cux2-CreERT2, three_session_B>
    >>> recording.metadata.area, recording.metadata.depth, len(recording)
    ('VISp', 175.0, 4)
    """
    name = os.fspath(path)
    if not Path(name).exists():
        raise FileNotFoundError(f"there is no file {name!r}")
    if Path(name).is_dir():
        raise RecordingError(f"{name!r} is a directory, must be a file of one session")
    reader = _Nwb2 if _is_nwb2(name) else _Nwb1
    return Recording(reader(name, None if events is None else os.fspath(events), depth), groups)


def _is_nwb2(path: str) -> bool:
    with _opened(path) as file:
        if _PIPELINE in file:
            return False
        if _OPHYS in file:
            return True
    raise RecordingError(f"{path!r} holds neither {_PIPELINE!r} (NWB 1.0) nor {_OPHYS!r} (NWB 2)")


@contextmanager
def _opened(path: str) -> Iterator[Any]:
    h5py = import_optional("h5py", "mouse")
    if os.path.getsize(path) == 0:
        raise RecordingError(f"{path!r} is empty")
    try:
        file = h5py.File(path, "r")
    except PermissionError as error:
        raise PermissionError(f"{path!r} may not be read by you") from error
    except OSError as error:
        raise RecordingError(
            f"{path!r} is no whole HDF5 file: {_sentence(error)}; fetch it again"
        ) from error
    with file:
        yield file


class _File:
    """What both layouts share: datasets by name, errors that name file and group."""

    def __init__(self, path: str, events: str | None, depth: float | None) -> None:
        self.path = path
        self._events_path = events
        self._depth = depth
        self._events: npt.NDArray[np.float64] | None = None
        # Every session has these: a file without them fails now and not in the middle of a study.
        with _opened(path) as file:
            shape = self._get(file, self._name(file, "dff")).shape
            cells = self._get(file, self.ids).shape[0]
            self._get(file, self._times(file))
        if len(shape) != 2 or shape[self.cell_axis] != cells:
            raise RecordingError(
                f"{path!r}: dF/F has shape {shape} and {self.ids!r} {cells} cells; they must agree"
            )
        self._n_cells = cells

    ids: str
    speed: str  # the group of running speed
    cell_axis: int
    events = ""  # the dataset, where a layout has one

    def _name(self, file: Any, signal: str) -> str:
        raise NotImplementedError

    def _times(self, file: Any) -> str:
        raise NotImplementedError

    def _get(self, file: Any, name: str) -> Any:
        try:
            return file[name]
        except (KeyError, OSError, RuntimeError) as error:
            raise RecordingError(
                f"{self.path!r} has no readable {name!r}: {_sentence(error)}"
            ) from error

    def _read(self, file: Any, name: str, key: Any = ()) -> npt.NDArray[Any]:
        data = self._get(file, name)
        try:
            return np.asarray(data[key])
        except (OSError, RuntimeError, TypeError) as error:
            raise RecordingError(
                f"{self.path!r}: {name!r} cannot be read: {_sentence(error)}"
            ) from error

    def _text(self, file: Any, name: str) -> str:
        """Return a text, "" where there is none; bytes, strings and arrays of one of them."""
        if name not in file:
            return ""
        value = self._read(file, name).ravel()
        first = value[0] if value.size else ""
        return first.decode("utf-8", "replace") if isinstance(first, bytes) else str(first)

    def cell_specimen_ids(self) -> npt.NDArray[np.int64]:
        with _opened(self.path) as file:
            return self._read(file, self.ids).astype(np.int64)

    def timestamps(self) -> npt.NDArray[np.float64]:
        with _opened(self.path) as file:
            return self._read(file, self._times(file)).astype(np.float64)

    def traces(self, signal: str, rows: slice | npt.NDArray[Any]) -> npt.NDArray[Any]:
        with _opened(self.path) as file:
            if signal == "events":
                if self._events_path is None and self.events and self.events in file:
                    return self._rows(file, self.events, rows)
                return self._event_file()[rows]
            if signal != "corrected":
                return self._rows(file, self._name(file, signal), rows)
            signal_traces = self._rows(file, self._name(file, "demixed"), rows)
            neuropil = self._rows(file, self._name(file, "neuropil"), rows)
            ratio = self._read(file, self._ratio(file)).ravel()[rows]
            length = min(signal_traces.shape[1], neuropil.shape[1])
            return np.asarray(signal_traces[:, :length] - neuropil[:, :length] * ratio[:, None])

    def _event_file(self) -> npt.NDArray[np.float64]:
        """Return the events file's array, which is read once: an npz has no parts to be read."""
        if self._events is None:
            path = self._events_path or events_path(self.path)
            if path is None:
                raise no_events(self.path)
            found = read_events(path)
            if len(found) != self._n_cells:
                raise RecordingError(
                    f"{str(path)!r} holds events of {len(found)} cells and {self.path!r} "
                    f"{self._n_cells}; is it another session's?"
                )
            self._events = found
        return self._events

    def _ratio(self, file: Any) -> str:
        raise NotImplementedError

    def _rows(self, file: Any, name: str, rows: slice | npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Read some cells' traces: in the file's order, each once, as HDF5 wants it."""
        if isinstance(rows, slice):
            key: Any = rows
            back: Any = slice(None)
        else:
            key, back = np.unique(rows, return_inverse=True)
        found = self._read(file, name, (key, slice(None)) if self.cell_axis == 0 else (..., key))
        traces = found if self.cell_axis == 0 else found.T
        return np.asarray(traces[back])

    def running(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        with _opened(self.path) as file:
            speed = self._read(file, f"{self.speed}/data")
            times = self._read(file, f"{self.speed}/timestamps")
        flat = speed[:, 0] if speed.ndim == 2 else speed  # a column in files of version 0.9
        return flat.astype(np.float64), times.astype(np.float64)

    def _check_wrong_session(self, file: Any, stimulus: str) -> None:
        shown = sorted(key.removesuffix("_stimulus") for key in file.get(self.presented, {}))
        if not any(key.removesuffix("_stimulus") == stimulus for key in shown):
            raise RecordingError(
                f"{self.path!r} has no {self.presented + '/' + stimulus!r}: its session shows "
                f"{', '.join(shown) or 'nothing'}; natural scenes are in sessions of type B"
            )

    presented = "stimulus/presentation"

    def _presented(self, file: Any, stimulus: str) -> str:
        self._check_wrong_session(file, stimulus)
        name = f"{self.presented}/{stimulus}"
        return name if name in file else f"{name}_stimulus"


class _Nwb1(_File):
    """An NWB 1.0 file, as `ophys_experiment_data` has them."""

    ids = _SPECIMEN_IDS
    speed = f"{_PIPELINE}/BehavioralTimeSeries/running_speed"
    cell_axis = 0

    def _name(self, file: Any, signal: str) -> str:
        plane = f"{_FLUORESCENCE}/imaging_plane_1"
        if signal == "dff":
            return f"{_PIPELINE}/DfOverF/imaging_plane_1/data"
        if signal == "neuropil":
            name = f"{plane}_neuropil_response/data"
            return name if name in file else f"{plane}/neuropil_traces"
        # Some sessions, and pipelines before 2.0, have no demixed signal.
        demixed = f"{plane}_demixed_signal/data"
        return demixed if signal == "demixed" and demixed in file else f"{plane}/data"

    def _ratio(self, file: Any) -> str:
        name = f"{_FLUORESCENCE}/imaging_plane_1_neuropil_response/r"
        return name if name in file else f"{_FLUORESCENCE}/imaging_plane_1/r"

    def _times(self, file: Any) -> str:
        return f"{_FLUORESCENCE}/imaging_plane_1/timestamps"

    def metadata(self) -> Metadata:
        with _opened(self.path) as file:

            def text(name: str) -> str:
                return self._text(file, name)

            return Metadata(
                experiment=_integer(text("general/session_id")),
                container=_integer(text("general/experiment_container_id")),
                session_type=text("general/session_type"),
                area=text(f"{_PLANE}/location"),
                depth=self._depth or _number(text(f"{_PLANE}/imaging depth")),
                genotype=text("general/subject/genotype"),
                specimen=text("general/specimen_name"),
                sex=text("general/subject/sex"),
                age=text("general/subject/age"),
                simulated=bool(file.attrs.get("simulated", False)),
            )

    def presentations(self, stimulus: str) -> Presentations:
        with _opened(self.path) as file:
            name = self._presented(file, stimulus)
            index = self._read(file, f"{name}/data")
            frames = self._read(file, f"{name}/frame_duration")
            n_images = self._n_images(file, stimulus)
        if frames.ndim != 2 or frames.shape != (len(index), 2):
            raise RecordingError(
                f"{self.path!r}: {name + '/frame_duration'!r} has shape {frames.shape}, "
                f"must be ({len(index)}, 2)"
            )
        start, end = frames.astype(np.int64).T
        return Presentations(_without_wrapping(index, n_images), start, end)

    def _n_images(self, file: Any, stimulus: str) -> int:
        name = f"stimulus/templates/{stimulus}_image_stack/data"
        return int(file[name].shape[0]) if name in file else N_SCENES

    def images(self, stimulus: str) -> npt.NDArray[np.float32]:
        with _opened(self.path) as file:
            name = f"stimulus/templates/{stimulus}_image_stack/data"
            return self._read(file, name).astype(np.float32)


class _Nwb2(_File):
    """An NWB 2 file, as the conversion on DANDI writes them: time comes first."""

    ids = f"{_OPHYS}/ImageSegmentation/PlaneSegmentation/global_roi_id"
    speed = "processing/behavior/BehavioralTimeSeries/running_speed"
    cell_axis = 1
    events = f"{_OPHYS}/DfOverF/DfOverFEvents/data"

    def _name(self, file: Any, signal: str) -> str:
        if signal == "dff":
            return f"{_OPHYS}/DfOverF/DfOverF/data"
        if signal == "neuropil":
            return f"{_OPHYS}/Fluorescence/Neuropil/data"
        demixed = f"{_OPHYS}/Fluorescence/Demixed/data"
        # What the conversion calls "Corrected" is the original file's plain fluorescence.
        raw = f"{_OPHYS}/Fluorescence/Corrected/data"
        return demixed if signal == "demixed" and demixed in file else raw

    def _ratio(self, file: Any) -> str:
        return f"{_OPHYS}/ContaminationRatios/ratios"

    def _times(self, file: Any) -> str:
        name = f"{_OPHYS}/Fluorescence/Corrected/timestamps"
        return name if name in file else f"{_OPHYS}/DfOverF/DfOverF/timestamps"

    def metadata(self) -> Metadata:
        with _opened(self.path) as file:
            notes = self._text(file, "general/notes")
            plane = "general/optophysiology/ImagingPlane"
            where = " ".join(self._text(file, f"{plane}/{k}") for k in ("location", "description"))
            area = re.search(r"VIS[a-z]+", where)
            depth = re.search(r"(\d+(?:\.\d+)?)\s*(?:microns?|um|µm)", where)
            session = re.search(r"Session type: (\S+)", notes)
            container = re.search(r"Container ID: (\d+)", notes)
            return Metadata(
                experiment=_integer(self._text(file, "general/session_id").split("-")[0]),
                container=_integer(container[1] if container else ""),
                session_type=session[1] if session else "",
                area=area[0] if area else "",
                depth=self._depth or (float(depth[1]) if depth else float("nan")),
                genotype=self._text(file, "general/subject/genotype"),
                specimen=self._text(file, "general/subject/strain"),
                sex={"M": "male", "F": "female"}.get(self._text(file, "general/subject/sex"), ""),
                age=re.sub(r"^P(\d+)D$", r"\1 days", self._text(file, "general/subject/age")),
                simulated=bool(file.attrs.get("simulated", False)),
            )

    def presentations(self, stimulus: str) -> Presentations:
        with _opened(self.path) as file:
            name = self._presented(file, stimulus)
            index = self._read(file, f"{name}/data")
            onsets = self._read(file, f"{name}/timestamps").astype(np.float64)
            times = self._read(file, self._times(file)).astype(np.float64)
            n_images = len(self._image_names(file, stimulus)) or N_SCENES
        # The nearest imaging frame: onsets are frames' times, up to rounding.
        start = np.searchsorted((times[:-1] + times[1:]) / 2, onsets)
        # Durations are not in these files; a scene follows the other without a gap.
        steps = np.diff(start)
        shown = int(np.median(steps)) if steps.size else 7
        end = np.append(np.minimum(start[1:], start[:-1] + shown + 1), start[-1:] + shown)
        numbers = _without_wrapping(index, n_images)
        keep = self._told_apart(numbers, name)
        return Presentations(numbers[keep], start[keep], end.astype(np.int64)[keep])

    def _told_apart(self, numbers: npt.NDArray[np.int64], name: str) -> npt.NDArray[np.bool_]:
        """Return the presentations whose image is known: all, if blanks have not become zeros.

        h5py reads -1 into an unsigned type as 0, numpy as 4294967295: which of them a conversion
        met depends on how it was called. With the first, image 0 has its own and the blank's.
        """
        count = np.bincount(numbers[numbers >= 0])
        shown = count[1:][count[1:] > 0]
        if (numbers < 0).any() or not shown.size or count[0] < 1.5 * np.median(shown):
            return np.ones(len(numbers), dtype=bool)
        warnings.warn(
            f"{self.path!r}: {name + '/data'!r} has no blank and image 0 {count[0]} times, others "
            f"{np.median(shown):g} times: both became 0 in conversion, and are left out",
            stacklevel=2,
        )
        keep: npt.NDArray[np.bool_] = numbers != 0
        return keep

    def _image_names(self, file: Any, stimulus: str) -> list[str]:
        group = file.get(f"stimulus/templates/{stimulus}_template")
        if group is None:
            return []
        # HDF5 lists names in lexical order: NaturalScene10 before NaturalScene2.
        numbered = [(re.search(r"(\d+)$", name), name) for name in group]
        return [name for _, name in sorted((int(m[1]), name) for m, name in numbered if m)]

    def images(self, stimulus: str) -> npt.NDArray[np.float32]:
        with _opened(self.path) as file:
            names = self._image_names(file, stimulus)
            group = f"stimulus/templates/{stimulus}_template"
            if not names:
                raise RecordingError(f"{self.path!r} has no images in {group!r}")
            return np.stack([self._read(file, f"{group}/{n}") for n in names]).astype(np.float32)


def _without_wrapping(index: npt.NDArray[Any], n_images: int) -> npt.NDArray[np.int64]:
    """Return images' numbers with -1 for blanks, which uint32 made 4294967295."""
    numbers = index.astype(np.int64)
    return np.where((numbers < 0) | (numbers >= n_images), -1, numbers)


def _integer(text: str) -> int:
    return int(text) if text.strip().isdigit() else -1


def _number(text: str) -> float:
    found = re.match(r"\s*(\d+(?:\.\d+)?)", text)
    return float(found[1]) if found else float("nan")


def _sentence(error: Exception) -> str:
    """Return an error's text in one line: HDF5 breaks its own."""
    return " ".join(str(error).strip("'\"").split()) or type(error).__name__
