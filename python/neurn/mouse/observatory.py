"""The Allen Brain Observatory through allensdk: what there is, and sessions by their number."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._optional import MissingExtraError, import_optional
from neurn.mouse import groups as kinds
from neurn.mouse.errors import RecordingError
from neurn.mouse.events import no_events
from neurn.mouse.fetch import fetch_events, fetch_session
from neurn.mouse.nwb import open_nwb
from neurn.mouse.recording import Recording
from neurn.mouse.source import Metadata, Presentations, Source

if TYPE_CHECKING:
    import pandas as pd

_PINS = "Python 3.10 or 3.11, numpy<1.24, pandas==1.5.3, setuptools>=77.0.3,<81, statsmodels<0.15"
_COLUMNS = [
    *("experiment", "container", "area", "cre_line", "cell_class", "depth", "layer"),
    *("reporter_line", "specimen", "on_disk"),
]
_OTHERWISE = "files on disk need no allensdk: neurn.mouse.open_nwb"


class Observatory:
    """Experiments of a Visual Coding cache, as allensdk's `BrainObservatoryCache` lists them.

    Parameters
    ----------
    manifest : str or path
        Manifest file of the cache; allensdk makes it where it is missing.

    Raises
    ------
    MissingExtraError
        If allensdk is not installed, or does not work in this environment.

    Examples
    --------
    >>> from neurn import mouse
    >>> observatory = mouse.Observatory("manifest.json")  # doctest: +SKIP
    >>> observatory.experiments(areas=["VISp"], cre_lines=["Vip-IRES-Cre"])  # doctest: +SKIP
    >>> observatory.recording(501498760)  # doctest: +SKIP
    """

    def __init__(self, manifest: str | os.PathLike[str]) -> None:
        module = _allensdk("allensdk.core.brain_observatory_cache")
        self.manifest = Path(manifest)
        self.cache: Any = module.BrainObservatoryCache(manifest_file=os.fspath(manifest))
        ask = self.cache.api.template_query

        def template_query(template: str, name: str, *args: Any, **options: Any) -> Any:
            # allensdk asks the network for eye tracking each time, though the rest is cached.
            if name == "all_eye_mapping_files":
                return []
            return ask(template, name, *args, **options)

        self.cache.api.template_query = template_query

    def experiments(
        self,
        areas: Sequence[str] | None = None,
        cre_lines: Sequence[str] | None = None,
        depths: Sequence[int] | None = None,
    ) -> pd.DataFrame:
        """List sessions that show natural scenes; without network from the cache's JSON files.

        Parameters
        ----------
        areas, cre_lines : sequence of str, optional
        depths : sequence of int, optional
            Imaging depths in micrometres.

        Returns
        -------
        DataFrame
            A line for each session: ``experiment``, ``container``, ``area``, ``cre_line``,
            ``cell_class``, ``depth``, ``layer``, ``reporter_line``, ``specimen``, ``on_disk``.

        Raises
        ------
        ValueError
            If an area is not one of the six, or a text is given for a list.
        ConnectionError
            If the cache has no list and the Allen Institute cannot be reached.
        """
        for name, given in (("areas", areas), ("cre_lines", cre_lines), ("depths", depths)):
            if isinstance(given, str):
                raise ValueError(f"{name} must be a list, got the text {given!r}")
        for area in areas or ():
            if area not in kinds.AREAS:
                raise ValueError(f"areas must be of {', '.join(kinds.AREAS)}, got {area!r}")
        try:
            found = self.cache.get_ophys_experiments(
                stimuli=["natural_scenes"],
                targeted_structures=areas,
                cre_lines=cre_lines,
                imaging_depths=depths,
            )
        except OSError as error:
            raise ConnectionError(
                f"the experiments of {str(self.manifest)!r} are not cached and cannot be fetched: "
                f"{error}"
            ) from error
        lines = [
            {
                "experiment": entry["id"],
                "container": entry["experiment_container_id"],
                "area": entry["targeted_structure"],
                "cre_line": entry["cre_line"] or "unknown",
                "cell_class": kinds.cell_class(entry["cre_line"] or ""),
                "depth": entry["imaging_depth"],
                "layer": kinds.layer(entry["imaging_depth"]),
                "reporter_line": entry["reporter_line"],
                "specimen": entry["specimen_name"],
                "on_disk": self.path(entry["id"]).exists(),
            }
            for entry in found
        ]
        frame: pd.DataFrame = import_optional("pandas", "mouse").DataFrame(lines, columns=_COLUMNS)
        return frame

    def path(self, experiment: int) -> Path:
        """Return where the file of a session is, or would be."""
        cache = self.cache
        return Path(cache.get_cache_path(None, cache.EXPERIMENT_DATA_KEY, experiment))

    def recording(
        self,
        experiment: int,
        *,
        download: bool = True,
        progress: Callable[[int, int], object] | None = None,
        groups: Mapping[str, str] | None = None,
    ) -> Recording:
        """Open a session, through allensdk; fetch its file first where it is missing.

        Parameters
        ----------
        experiment : int
        download : bool
            False: only files on disk. Events are fetched when they are asked for.
        progress : callable, optional
            Called with the bytes that are there and those of all, before the first as well. By
            default a line on stderr says how large a download is before it begins.
        groups : mapping of str to str, optional
            Genotype groups of your own: full genotype -> name (`neurn.mouse.describe`).

        Returns
        -------
        Recording
            Its arrays equal those of `open_nwb`.

        Raises
        ------
        FileNotFoundError
            If the file is not on disk and `download` is False.
        """
        path = self.path(experiment)
        if not path.exists():
            if not download:
                raise FileNotFoundError(f"experiment {experiment} is not on disk: no {str(path)!r}")
            fetch_session(experiment, path, progress=progress or _announcing(path))
        # Says in one sentence what is wrong with a file, before allensdk stumbles over it.
        simulated = open_nwb(path).simulated
        module = _allensdk("allensdk.core.brain_observatory_nwb_data_set")

        def events() -> npt.NDArray[np.float64]:
            place = self._events_path(experiment)
            if not place.exists():
                if not download:
                    raise no_events(str(path))
                fetch_events(experiment, place, progress=progress or _announcing(place))
            return np.asarray(self.cache.get_ophys_experiment_events(experiment))

        data = module.BrainObservatoryNwbDataSet(str(path))
        return Recording(_AllenSource(data, simulated, events), groups)

    def _events_path(self, experiment: int) -> Path:
        cache = self.cache
        return Path(cache.get_cache_path(None, cache.EVENTS_DATA_KEY, experiment))


def _announcing(path: Path) -> Callable[[int, int], object]:
    """Return a report that says once, on stderr, how large a download is."""
    said = False

    def report(there: int, total: int) -> None:
        nonlocal said
        if not said:
            said = True
            text = f"fetching {path.name}: {total / 1e6:,.1f} MB"
            print(f"{text}, {there / 1e6:,.1f} are there" if there else text, file=sys.stderr)

    return report


def _allensdk(name: str) -> Any:
    """Import a module of allensdk, or say what is missing."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        absent = str(error.name) if isinstance(error, ModuleNotFoundError) else ""
        missing = absent.partition(".")[0] == "allensdk"
        what = (
            "allensdk is needed here and is not installed: pip install 'neurn[allen]'"
            if missing
            else f"allensdk does not work here: {error}"
        )
        raise MissingExtraError(f"{what} ({_PINS}); {_OTHERWISE}", name="allensdk") from error


class _AllenSource:
    """A session read by allensdk's `BrainObservatoryNwbDataSet`."""

    def __init__(
        self, data: Any, simulated: bool, events: Callable[[], npt.NDArray[np.float64]]
    ) -> None:
        self.data = data
        self.simulated = simulated
        self.events = events
        self.path = str(data.nwb_file)

    def metadata(self) -> Metadata:
        about = self.data.get_metadata()
        depth, age = about["imaging_depth_um"], about.get("age_days")
        return Metadata(
            experiment=about["ophys_experiment_id"] or -1,
            container=about["experiment_container_id"] or -1,
            session_type=about["session_type"],
            area=about["targeted_structure"],
            depth=float("nan") if depth is None else float(depth),
            genotype=about["genotype"],
            specimen=about["specimen_name"],
            sex=about["sex"],
            age="" if age is None else f"{age} days",
            simulated=self.simulated,
        )

    def cell_specimen_ids(self) -> npt.NDArray[np.int64]:
        return np.asarray(self.data.get_cell_specimen_ids(), dtype=np.int64)

    def timestamps(self) -> npt.NDArray[np.float64]:
        return np.asarray(self.data.get_fluorescence_timestamps(), dtype=np.float64)

    def traces(self, signal: str, rows: slice | npt.NDArray[Any]) -> npt.NDArray[Any]:
        if signal == "events":
            return self.events()[rows]
        ids = self.cell_specimen_ids()
        # allensdk reads cells in the file's order only, each once.
        places, back = np.unique(np.arange(len(ids))[rows], return_inverse=True)
        cells = ids[places]
        read = {
            "dff": self.data.get_dff_traces,
            "demixed": self.data.get_demixed_traces,
            "neuropil": self.data.get_neuropil_traces,
            "raw": self.data.get_fluorescence_traces,
            "corrected": self.data.get_corrected_fluorescence_traces,
        }[signal]
        with self._named(lambda ours: ours.traces(signal, rows)):
            try:
                values = read(cells)[1]
            except KeyError:  # no demixed signal
                values = self.data.get_fluorescence_traces(cells)[1]
                if signal == "corrected":
                    ratio = self.data.get_neuropil_r(cells)
                    values = values - self.data.get_neuropil_traces(cells)[1] * ratio[:, None]
        return np.asarray(values[back])

    def running(self) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        with self._named(lambda ours: ours.running()):
            speed, times = self.data.get_running_speed()
        return np.asarray(speed, dtype=np.float64), np.asarray(times, dtype=np.float64)

    def presentations(self, stimulus: str) -> Presentations:
        with self._named(lambda ours: ours.presentations(stimulus)):
            table = self.data.get_stimulus_table(stimulus)
        columns = (table[name].to_numpy(dtype=np.int64) for name in ("frame", "start", "end"))
        return Presentations(*columns)

    def images(self, stimulus: str) -> npt.NDArray[np.float32]:
        with self._named(lambda ours: ours.images(stimulus)):
            images = self.data.get_stimulus_template(stimulus)
        return np.asarray(images, dtype=np.float32)

    @contextmanager
    def _named(self, read: Callable[[Source], object]) -> Iterator[None]:
        """Let our own reader say which file and group it is that allensdk stumbles over."""
        try:
            yield
        except Exception as error:
            read(open_nwb(self.path).source)
            raise RecordingError(f"allensdk cannot read {self.path!r}: {error}") from error
