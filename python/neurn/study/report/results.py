"""What a study has brought so far, as a report reads it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neurn._optional import import_optional
from neurn.mouse import tables
from neurn.study.stages.representations import MAPS
from neurn.study.stages.selection import read_selection
from neurn.study.stages.statistics import PEAKS, STATISTICS_FILE
from neurn.study.stages.stimuli import read_images
from neurn.study.store import Store

if TYPE_CHECKING:
    import xarray as xr


class Results:
    """The results of a study's directory.

    Parameters
    ----------
    folder : Path

    Raises
    ------
    StudyError
        If the directory holds no study.
    """

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder)
        self.about = self.store.read_study()
        self.settings: dict[str, Any] = self.about["settings"]

    def folders(self, stage: str) -> dict[str, Path]:
        """Return the results of a stage that are there, by the name of the item."""
        return {
            item["name"]: self.store.path(stage, item["key"])
            for item in self.about["items"]
            if item["stage"] == stage
            and item["status"] in ("done", "kept")
            and self.store.has(stage, item["key"])
        }

    @property
    def simulated(self) -> bool:
        """Whether the recordings are simulated."""
        recordings = self.settings.get("recordings")
        return recordings is not None and recordings["source"] == "simulated"

    @cached_property
    def images(self) -> xr.DataArray | None:
        """What mice and models were shown, (stimulus, y, x)."""
        folders = list(self.folders("stimuli").values())
        return read_images(folders[0]) if folders else None

    @cached_property
    def statistics(self) -> xr.Dataset | None:
        """Statistics of all neurons."""
        found: xr.Dataset | None = self._joined("statistics", STATISTICS_FILE, "load_dataset")
        return found

    @cached_property
    def peaks(self) -> xr.Dataset | None:
        """Peaks of all neurons for all images."""
        found: xr.Dataset | None = self._joined("statistics", PEAKS, "load_dataset")
        return found

    @cached_property
    def maps(self) -> xr.DataArray | None:
        """Representations of all neurons, (neuron, y, x)."""
        found: xr.DataArray | None = self._joined("representations", MAPS, "load_dataarray")
        return found

    @cached_property
    def chosen(self) -> int | None:
        """How many neurons were chosen; None where none were."""
        folders = list(self.folders("selection").values())
        return len(read_selection(folders[0]).index) if folders else None

    def _joined(self, stage: str, file: str, how: str) -> Any:
        folders = self.folders(stage)
        if not folders:
            return None
        load: Callable[[Path], Any] = getattr(import_optional("xarray", "mouse"), how)
        return tables.join([load(folder / file) for folder in folders.values()])

    def describe_recordings(self) -> str:
        """Return in words what was recorded: simulated or real, sessions, neurons, images."""
        neurons = self.statistics
        if neurons is None:
            return "no recordings"
        sessions = len(set(neurons["experiment"].values.tolist()))
        kind = "Simulated recordings" if self.simulated else "Recordings"
        areas = ", ".join(dict.fromkeys(map(str, neurons["area"].values)))
        text = f"{kind}: {neurons.sizes['neuron']:,} neurons of {sessions} sessions ({areas})"
        if self.peaks is not None:
            text += f", {self.peaks.sizes['stimulus']} images"
        recordings = self.settings["recordings"]
        if self.simulated:
            text += f", {recordings['repetitions']} repetitions, noise x {recordings['noise']:g}"
        return text
