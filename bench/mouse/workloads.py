"""What is timed: sessions of the real size, simulated once into a folder, and what is done to them.

python -m bench.mouse.workloads NAME FOLDER ROUNDS   # one of them, in a process of its own

prints JSON: seconds of each round and the peak of the resident set over all of them, in bytes.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5netcdf  # noqa: F401  what is imported when first needed is not timed
import h5py
import numpy as np
import pandas  # noqa: F401
import scipy.special
import scipy.stats  # noqa: F401
import xarray

from neurn import mouse
from neurn.mouse import tables

# A session with natural scenes has about 115,000 frames, 45,000 of which show them.
FRAMES = 115_000
REPETITIONS = 50
NEURONS = {"small": 50, "session": 200}
MANY = 63_000  # neurons of the whole of Visual Coding
SIDE = 31


def prepare(folder: Path, quick: bool) -> None:
    """Write the sessions, one as long as a real one."""
    for name, neurons in NEURONS.items():
        made = mouse.simulate(
            folder / name,
            areas=["VISp"],
            cre_lines=["Cux2-CreERT2"],
            neurons=4 if quick else neurons,
            repetitions=2 if quick else REPETITIONS,
        )
        if name == "session" and not quick:
            _lengthen(made.paths[0])


def _lengthen(path: Path) -> None:
    """Add frames behind the last image until there are as many as in a real session."""
    with h5py.File(path, "r+") as file:
        plane = "processing/brain_observatory_pipeline/Fluorescence/imaging_plane_1"
        length = len(file[f"{plane}/timestamps"])
        names: list[str] = []
        file["processing"].visititems(
            lambda name, item: (
                names.append(name)
                if isinstance(item, h5py.Dataset) and length in item.shape
                else None
            )
        )
        for name in names:
            data = file["processing"][name][()]
            padded = np.resize(data.T, (FRAMES, *data.T.shape[1:])).T
            if name.endswith("timestamps"):
                padded = data[0] + np.arange(FRAMES) / 30
            del file["processing"][name]
            file["processing"][name] = padded


def _open(folder: Path, name: str) -> mouse.Recording:
    return mouse.open_nwb(next((folder / name / "ophys_experiment_data").iterdir()))


def sweeps(folder: Path) -> object:
    return mouse.sweeps(_open(folder, "small"))


def session(folder: Path) -> object:
    found = mouse.responses(_open(folder, "session"))
    return mouse.statistics(found), mouse.peaks(found)


def events(folder: Path) -> object:
    return mouse.statistics(_open(folder, "session"), signal="events")


def _many() -> tuple[object, np.ndarray]:
    random = np.random.default_rng(0)
    tuning = random.standard_normal((MANY, 118), dtype=np.float32)
    table = xarray.DataArray(
        tuning, dims=("neuron", "stimulus"), coords={"stimulus": np.arange(118)}
    )
    return table, random.uniform(0, 255, (118, 92, 118))


def maps(folder: Path) -> object:
    return mouse.representations(*_many(), size=SIDE)


def whitened(folder: Path) -> object:
    return mouse.representations(*_many(), size=SIDE, whiten="ridge")


def export(folder: Path) -> object:
    made = mouse.representations(*_many(), size=SIDE)
    with tempfile.TemporaryDirectory() as place:
        tables.write(made, Path(place) / "maps.nc")
    return None


WORK: dict[str, Callable[[Path], object]] = {
    "sweeps": sweeps,
    "session": session,
    "events": events,
    "maps": maps,
    "whitened": whitened,
    "export": export,
}


def _status(key: str) -> int:
    found = re.search(rf"^{key}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def main(name: str, folder: str, rounds: str) -> None:
    seconds = []
    for _ in range(int(rounds)):
        begin = time.perf_counter()
        WORK[name](Path(folder))
        seconds.append(time.perf_counter() - begin)
    print(json.dumps({"seconds": seconds, "peak": _status("VmHWM")}))


if __name__ == "__main__":
    main(*sys.argv[1:])
