"""Simulated recordings with known truth, for those who have no data and for tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._files import prepare_directory
from neurn._optional import import_optional
from neurn.mouse import calcium, planted
from neurn.mouse.events import FOLDER
from neurn.mouse.groups import AREAS, cell_class
from neurn.mouse.representations import shrink
from neurn.mouse.write import Subject, write_catalogue, write_events, write_session

if TYPE_CHECKING:
    import xarray as xr

_DEPTH = {"Rorb-IRES2-Cre": 275, "Scnn1a-Tg3-Cre": 275, "Nr5a1-Cre": 275, "Ntsr1-Cre_GN220": 550}
_DEPTH |= {"Rbp4-Cre_KL100": 375, "Fezf2-CreER": 375, "Tlx3-Cre_PL56": 375}
_FIRST_EXPERIMENT = 900_000_001  # far from real ones
_FIRST_CONTAINER = 910_000_001
_FIRST_CELL = 1


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated sessions on disk, and the truth behind them. `neurn.mouse.simulate` makes it.

    Attributes
    ----------
    manifest : Path
        For `neurn.mouse.Observatory`.
    paths : tuple of Path
        The NWB 1.0 files, for `neurn.mouse.open_nwb`.
    truth : Dataset
        ``kind`` (neuron), ``field`` (neuron, y, x), ``signal`` (neuron, stimulus) in percent dF/F
        at the mean running speed, ``running`` (neuron), by which share of itself a response is
        larger one standard deviation of speed above it, ``reliability`` (neuron) of the mean over
        all trials and ``ceiling`` (neuron), its square root: the largest correlation that a
        perfect model can have with the measured mean.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "simulated", areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, repetitions=5
    ... )
    >>> made.manifest.as_posix()
    'simulated/manifest.json'
    >>> dict(made.truth.sizes)
    {'neuron': 4, 'y': 31, 'x': 31, 'stimulus': 118}
    >>> sorted(made.truth.data_vars)
    ['ceiling', 'field', 'kind', 'reliability', 'running', 'signal']
    """

    manifest: Path
    paths: tuple[Path, ...]
    truth: xr.Dataset


def simulate(
    folder: str | os.PathLike[str],
    *,
    areas: Sequence[str] = ("VISp", "VISl"),
    cre_lines: Sequence[str] = ("Cux2-CreERT2", "Vip-IRES-Cre"),
    neurons: int = 20,
    repetitions: int = 50,
    images: npt.ArrayLike | None = None,
    noise: float = 1.0,
    running: float = 1.0,
    seed: int = 0,
    progress: Callable[[int, int], object] | None = None,
) -> Simulation:
    """Write simulated Visual Coding sessions: a session for each area and driver.

    Neurons have Gabor, complex, centre-surround or no receptive fields, GCaMP6f dynamics, a gain
    that changes with running speed, and trial noise that gives the neurons of each area the
    distribution of reliability that was measured there (over all trials, however many). Images
    follow each other without a gap, every 7 or 8 frames, as in the real sessions. The events that
    dF/F is made of go to the cache's events files, without their negative part: the mean response
    without noise is not always positive. All files, and every array and picture made of them, say
    that they are simulated.

    Parameters
    ----------
    folder : str or path
        Made where it is missing; files of the same name are replaced, and no others may be there.
    areas, cre_lines : sequence of str
    neurons : int
        Of each session.
    repetitions : int
        How often each image, and the blank, is shown; 50 in the real sessions.
    images : array, shape (images, height, width), optional
        Grey values 0 to 255, at least 31 x 31. 118 noise images with the spectrum of natural
        ones, 92 x 118, by default.
    noise : float
        Factor of all noise; 0 for none.
    running : float
        Factor of how much running changes responses; 0 for not at all.
    seed : int
        Same seed, same files.
    progress : callable, optional
        Called with the numbers of sessions written and of all.

    Returns
    -------
    Simulation

    Raises
    ------
    ValueError
        If an argument is not allowed, or `folder` cannot be written to or holds other recordings.
    MissingExtraError
        If h5py or xarray is not installed; the extra ``mouse`` brings them.

    Examples
    --------
    >>> from neurn import mouse
    >>> made = mouse.simulate(
    ...     "sessions", areas=["VISp", "VISl"], cre_lines=["Sst-IRES-Cre"], neurons=3, repetitions=5
    ... )
    >>> [path.name for path in made.paths]
    ['900000001.nwb', '900000002.nwb']
    >>> recording = mouse.open_nwb(made.paths[0])
    >>> recording
    <simulated recording 900000001: 3 neurons, VISp, 175 um, Sst-IRES-Cre, three_session_B>
    >>> made.truth["signal"].dims, made.truth["area"].values
    (('neuron', 'stimulus'), array(['VISp', 'VISp', 'VISp', 'VISl', 'VISl', 'VISl'], dtype='<U4'))
    """
    _check(areas, cre_lines, neurons, repetitions, {"noise": noise, "running": running})
    pictures = _images(images, seed)
    seen = shrink(pictures, (planted.FIELD, planted.FIELD))
    target = Path(folder)
    prepare_directory(target)
    events = target / FOLDER
    for made in (target / "ophys_experiment_data", events):
        made.mkdir(parents=True, exist_ok=True)
    subjects = [
        Subject(_FIRST_EXPERIMENT + i, _FIRST_CONTAINER + i, area, line, _DEPTH.get(line, 175))
        for i, (area, line) in enumerate((a, c) for a in areas for c in cre_lines)
    ]
    _check_alone(target / "ophys_experiment_data", {f"{s.experiment}.nwb" for s in subjects})
    paths, truths, cells = [], [], {}
    for i, subject in enumerate(subjects):
        random = np.random.default_rng([seed, i])
        population = planted.plant(
            seen, subject.area, subject.cre_line, neurons, repetitions, random
        )
        session = calcium.record(population, repetitions, noise, running, random)
        ids = np.arange(neurons, dtype=np.int64) + _FIRST_CELL + i * neurons
        cells[subject.container] = ids
        path = target / "ophys_experiment_data" / f"{subject.experiment}.nwb"
        write_session(path, subject, session, pictures, ids)
        write_events(events / f"{subject.experiment}_events.npz", session)
        paths.append(path)
        truths.append(_truth(subject, population, session, ids))
        if progress is not None:
            progress(i + 1, len(subjects))
    manifest = write_catalogue(target, subjects, cells)
    truth = import_optional("xarray", "mouse").concat(truths, "neuron")
    truth.attrs = {"simulated": 1, "seed": seed}
    return Simulation(manifest, tuple(paths), truth)


def _check(
    areas: Sequence[str],
    cre_lines: Sequence[str],
    neurons: int,
    repetitions: int,
    factors: dict[str, float],
) -> None:
    for name, values in (("areas", areas), ("cre_lines", cre_lines)):
        if isinstance(values, str) or not len(values):
            raise ValueError(f"{name} must be a list of names, got {values!r}")
    unknown = [area for area in areas if area not in AREAS]
    if unknown:
        raise ValueError(f"areas must be of {', '.join(AREAS)}, got {unknown[0]!r}")
    for name, number, least in (("neurons", neurons, 1), ("repetitions", repetitions, 2)):
        if not isinstance(number, (int, np.integer)) or number < least:
            raise ValueError(f"{name} must be a whole number of at least {least}, got {number!r}")
    for name, factor in factors.items():
        if not 0 <= factor < np.inf:
            raise ValueError(f"{name} must be at least 0, got {factor}")


def _check_alone(folder: Path, names: set[str]) -> None:
    """Refuse to write beside sessions that the manifest would not know."""
    others = sorted(path.name for path in folder.glob("*.nwb") if path.name not in names)
    if others:
        raise ValueError(
            f"{str(folder)!r} holds another recording, {others[0]}, which would be taken for one "
            "of these; give a new folder"
        )


def _images(images: npt.ArrayLike | None, seed: int) -> npt.NDArray[Any]:
    if images is None:
        return planted.scenes(seed)
    values = np.asarray(images, dtype=np.float64)
    if values.ndim != 3 or min(values.shape[1:]) < planted.FIELD or len(values) < 2:
        raise ValueError(
            f"images must have shape (2 or more, 31 or more, 31 or more), got {values.shape}"
        )
    if not (values.min() >= 0 and values.max() <= 255):
        raise ValueError(
            f"images must be grey values from 0 to 255, got {values.min():g} to {values.max():g}"
        )
    return values


def _truth(
    subject: Subject,
    population: planted.Neurons,
    session: calcium.Session,
    ids: npt.NDArray[np.int64],
) -> xr.Dataset:
    xarray = import_optional("xarray", "mouse")
    labels = {"area": subject.area, "cre_line": subject.cre_line}
    labels["cell_class"] = cell_class(subject.cre_line)
    dataset: xr.Dataset = xarray.Dataset(
        {
            "kind": ("neuron", population.kind),
            "field": (("neuron", "y", "x"), population.field),
            "signal": (("neuron", "stimulus"), population.signal, {"units": "percent dF/F"}),
            "running": ("neuron", session.gain, {"units": "1"}),
            "reliability": ("neuron", session.reliability, {"units": "1"}),
            "ceiling": ("neuron", np.sqrt(session.reliability), {"units": "1"}),
        },
        coords={
            "neuron": ids,
            "stimulus": np.arange(population.signal.shape[1]),
            **{name: ("neuron", np.full(len(ids), text)) for name, text in labels.items()},
            "experiment": ("neuron", np.full(len(ids), subject.experiment)),
        },
    )
    return dataset
