"""Write simulated sessions as the Allen Institute wrote real ones: NWB 1.0, manifest, JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn._files import open_atomic, replacing, write_atomic
from neurn._optional import import_optional
from neurn.mouse.calcium import SPONTANEOUS, Session
from neurn.mouse.groups import GENOTYPES

_REPORTERS = (
    "Ai93(TITL-GCaMP6f)",
    "Ai94(TITL-GCaMP6s)",
    "Ai148(TIT2L-GC6f-ICL-tTA2)",
    "Ai162(TIT2L-GC6s-ICL-tTA2)",
)
_FILES = {
    "EXPERIMENT_CONTAINERS": "experiment_containers.json",
    "EXPERIMENTS": "ophys_experiments.json",
    "EXPERIMENT_DATA": "ophys_experiment_data/%d.nwb",
    "ANALYSIS_DATA": "ophys_experiment_analysis/%d_%s_analysis.h5",
    "EVENTS_DATA": "ophys_experiment_events/%d_events.npz",
    "CELL_SPECIMENS": "cell_specimens.json",
    "STIMULUS_MAPPINGS": "stimulus_mappings.json",
    "EYE_GAZE_DATA": "ophys_eye_gaze_mapping/%d_eyetracking_dlc_to_screen_mapping.h5",
}
# What allensdk reads to list sessions.
LISTS = (_FILES["EXPERIMENT_CONTAINERS"], _FILES["EXPERIMENTS"])


@dataclass(frozen=True)
class Subject:
    """Who was simulated.

    Attributes
    ----------
    experiment, container : int
    area, cre_line : str
    depth : int
        Micrometres.
    """

    experiment: int
    container: int
    area: str
    cre_line: str
    depth: int

    @property
    def genotype(self) -> str:
        """Full genotype, the first of the driver's; a driver of your own stands alone."""
        return GENOTYPES.get(self.cre_line, (f"{self.cre_line}/wt",))[0]

    @property
    def specimen(self) -> str:
        """Name of the mouse."""
        return f"{self.cre_line};simulated-{self.container}"


def write_session(
    path: Path,
    subject: Subject,
    session: Session,
    images: npt.NDArray[Any],
    cell_specimen_ids: npt.NDArray[np.int64],
) -> None:
    """Write one session as NWB 1.0.

    Parameters
    ----------
    path : Path
    subject : Subject
    session : Session
    images : ndarray, shape (images, height, width)
    cell_specimen_ids : ndarray of int64, shape (neurons,)
    """
    h5py = import_optional("h5py", "mouse")
    datasets = {**_about(subject), **_traces(session, cell_specimen_ids)}
    shown = "stimulus/presentation"
    end = int(session.end[-1])
    datasets |= {
        f"{shown}/natural_scenes_stimulus/data": session.index,
        f"{shown}/natural_scenes_stimulus/frame_duration": np.stack(
            [session.start, session.end], axis=1
        ),
        f"{shown}/natural_scenes_stimulus/timestamps": session.timestamps[session.start],
        f"{shown}/spontaneous_stimulus/data": np.array([1, -1, 1, -1], dtype=np.int64),
        f"{shown}/spontaneous_stimulus/frame_duration": np.array(
            [[0, 0], [SPONTANEOUS - 1] * 2, [end, end], [len(session.timestamps) - 1] * 2]
        ),
        "stimulus/templates/natural_scenes_image_stack/data": images.astype(np.float32),
    }
    with replacing(path) as temporary:
        with h5py.File(temporary, "w") as file:
            file.attrs["simulated"] = True
            for name, values in datasets.items():
                file[name] = values


def write_events(path: Path, session: Session) -> None:
    """Write a session's events as the cache has them, ``ev`` (neurons, samples) in an npz file.

    Parameters
    ----------
    path : Path
    session : Session
    """
    with open_atomic(path) as file:
        np.savez_compressed(file, ev=session.events, simulated=True)


def _about(subject: Subject) -> dict[str, Any]:
    # Bytes of fixed length: allensdk cannot read strings of variable length here.
    plane = "general/optophysiology/imaging_plane_1"
    texts = {
        "general/session_id": str(subject.experiment),
        "general/ophys_experiment_id": str(subject.experiment),
        "general/experiment_container_id": str(subject.container),
        "general/session_type": "three_session_B",
        "general/specimen_name": subject.specimen,
        "general/fov": "400x400 microns (512 x 512 pixels)",
        "general/subject/age": "100 days",
        "general/subject/sex": "male",
        "general/subject/genotype": subject.genotype,
        f"{plane}/imaging depth": f"{subject.depth} microns",
        f"{plane}/location": subject.area,
        f"{plane}/excitation_lambda": "910 nanometers",
        f"{plane}/indicator": "GCaMP6f",
        "general/devices/2-photon microscope": "Simulation. neurn Please see its documentation",
        "session_start_time": "Mon Feb 15 10:00:00 2016",
        "session_description": "Simulated by neurn: no animal was recorded.",
        "nwb_version": "NWB-1.0.5",
    }
    return {
        **{name: np.bytes_(text) for name, text in texts.items()},
        "general/generated_by": np.array([b"neurn", b"simulated", b"version", b"3.0"]),
    }


def _traces(session: Session, cell_specimen_ids: npt.NDArray[np.int64]) -> dict[str, Any]:
    pipeline = "processing/brain_observatory_pipeline"
    plane = f"{pipeline}/Fluorescence/imaging_plane_1"
    running = f"{pipeline}/BehavioralTimeSeries/running_speed"
    roi_ids = [str(i).encode() for i in cell_specimen_ids]
    return {
        f"{plane}/data": session.raw,
        f"{plane}/timestamps": session.timestamps,
        f"{plane}_demixed_signal/data": session.demixed,
        f"{plane}_demixed_signal/timestamps": session.timestamps,
        f"{plane}_neuropil_response/data": session.neuropil,
        f"{plane}_neuropil_response/timestamps": session.timestamps,
        f"{plane}_neuropil_response/r": session.ratio,
        f"{pipeline}/DfOverF/imaging_plane_1/data": session.dff,
        f"{pipeline}/DfOverF/imaging_plane_1/timestamps": session.timestamps,
        f"{pipeline}/ImageSegmentation/cell_specimen_ids": cell_specimen_ids,
        f"{pipeline}/ImageSegmentation/roi_ids": np.array(roi_ids),
        f"{running}/data": session.running,
        f"{running}/timestamps": session.timestamps,
    }


def write_catalogue(
    folder: Path, subjects: list[Subject], cells: dict[int, npt.NDArray[np.int64]]
) -> Path:
    """Write the manifest and the JSON files of a cache, and return the manifest's path.

    Parameters
    ----------
    folder : Path
    subjects : list of Subject
    cells : dict
        Container -> cell specimen ids.
    """
    manifest: list[dict[str, str]] = [
        {"type": "manifest_version", "value": "1.3"},
        {"key": "BASEDIR", "type": "dir", "spec": "."},
    ]
    manifest += [
        {"key": key, "type": "file", "spec": spec, "parent_key": "BASEDIR"}
        for key, spec in _FILES.items()
    ]
    records = [_record(subject) for subject in subjects]
    containers = [
        {**record, "id": subject.container, "isi_experiment": None, "simulated": True}
        for record, subject in zip(records, subjects, strict=True)
    ]
    experiments = [
        {
            **record,
            "id": subject.experiment,
            "experiment_container_id": subject.container,
            "experiment_container": {"id": subject.container, "failed": False},
            "stimulus_name": "three_session_B",
            "date_of_acquisition": "2016-02-15T10:00:00Z",
            "simulated": True,
        }
        for record, subject in zip(records, subjects, strict=True)
    ]
    specimens = [
        {
            "cell_specimen_id": int(cell),
            "experiment_container_id": subject.container,
            "area": subject.area,
            "imaging_depth": subject.depth,
            "donor_full_genotype": subject.genotype,
            "specimen_name": subject.specimen,
            "tld1_name": subject.cre_line,
            "failed_experiment_container": False,
            "simulated": True,
        }
        for subject in subjects
        for cell in cells[subject.container]
    ]
    for key, content in (
        ("EXPERIMENT_CONTAINERS", containers),
        ("EXPERIMENTS", experiments),
        ("CELL_SPECIMENS", specimens),
        ("STIMULUS_MAPPINGS", []),
    ):
        write_atomic(folder / _FILES[key], json.dumps(content, indent=1))
    path = folder / "manifest.json"
    # Last: a cache without a manifest is none.
    write_atomic(path, json.dumps({"manifest": manifest}, indent=1))
    return path


def _record(subject: Subject) -> dict[str, Any]:
    """Return what containers and experiments share."""
    lines = [{"name": subject.cre_line, "transgenic_line_type_name": "driver"}]
    if "Camk2a-tTA" in subject.genotype:
        lines.append({"name": "Camk2a-tTA", "transgenic_line_type_name": "driver"})
    lines += [
        {"name": name, "transgenic_line_type_name": "reporter"}
        for name in _REPORTERS
        if name in subject.genotype
    ]
    return {
        "failed": False,
        "imaging_depth": subject.depth,
        "targeted_structure": {"acronym": subject.area},
        "specimen": {
            "name": subject.specimen,
            "donor": {
                "external_donor_name": f"simulated-{subject.container}",
                "date_of_birth": "2015-11-07T00:00:00Z",
                "transgenic_lines": lines,
                "conditions": [],
            },
        },
    }
