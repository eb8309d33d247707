"""Files that tests read: changed copies of simulated ones, and the NWB 2 layout."""

import shutil

import h5py
import numpy as np

PIPELINE = "processing/brain_observatory_pipeline"
PLANE = f"{PIPELINE}/Fluorescence/imaging_plane_1"
SCENES = "stimulus/presentation/natural_scenes_stimulus"


def changed(path, target, change):
    """Copy an NWB file and change it in place."""
    shutil.copy(path, target)
    with h5py.File(target, "r+") as file:
        change(file)
    return target


def replace(file, name, values):
    del file[name]
    file[name] = values


def as_nwb2(path, target):
    """Write what an NWB 1.0 file holds as the conversion on DANDI lays it out."""
    with h5py.File(path) as old, h5py.File(target, "w") as new:
        times = old[f"{PLANE}/timestamps"][()]
        for name, source in (
            ("Corrected", PLANE),
            ("Demixed", f"{PLANE}_demixed_signal"),
            ("Neuropil", f"{PLANE}_neuropil_response"),
        ):
            new[f"processing/ophys/Fluorescence/{name}/data"] = old[f"{source}/data"][()].T
        new["processing/ophys/Fluorescence/Corrected/timestamps"] = times
        ratio = old[f"{PLANE}_neuropil_response/r"][()]
        new["processing/ophys/ContaminationRatios/ratios"] = ratio
        dff = old[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][()]
        new["processing/ophys/DfOverF/DfOverF/data"] = dff.T
        ids = old[f"{PIPELINE}/ImageSegmentation/cell_specimen_ids"][()]
        new["processing/ophys/ImageSegmentation/PlaneSegmentation/global_roi_id"] = ids
        running = "BehavioralTimeSeries/running_speed"
        for name in ("data", "timestamps"):
            values = old[f"{PIPELINE}/{running}/{name}"][()]
            new[f"processing/behavior/{running}/{name}"] = values
        shown = old[f"{SCENES}/data"][()]
        new[f"{SCENES}/data"] = shown.astype(np.uint32)
        new[f"{SCENES}/timestamps"] = old[f"{SCENES}/timestamps"][()]
        stack = old["stimulus/templates/natural_scenes_image_stack/data"][()]
        for i, image in enumerate(stack):
            name = f"stimulus/templates/natural_scenes_template/NaturalScene{i}"
            new[name] = image.astype(np.uint8)
        about = {
            "general/session_id": old["general/session_id"][()].decode() + "-StimB",
            "general/notes": "Container ID: "
            + old["general/experiment_container_id"][()].decode()
            + "\nSession type: three_session_B",
            "general/subject/genotype": old["general/subject/genotype"][()].decode(),
            "general/subject/strain": old["general/specimen_name"][()].decode(),
            "general/subject/sex": "M",
            "general/subject/age": "P100D",
            "general/optophysiology/ImagingPlane/location": "VISp",
            "general/optophysiology/ImagingPlane/description": "Imaged at 175 microns.",
        }
        for name, text in about.items():
            new[name] = text
        new.attrs["simulated"] = True
    return target
