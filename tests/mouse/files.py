"""Files that tests read: changed copies of simulated ones, and NWB 2 as pynwb writes it."""

import datetime
import shutil
import warnings

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


def damaged(path, target, name):
    """Copy an NWB file and overwrite part of one of its datasets."""

    def change(file):
        values = file[name][()]
        del file[name]
        file.create_dataset(name, data=values, compression="gzip", fletcher32=True)

    changed(path, target, change)
    with h5py.File(target) as file:
        place = file[name].id.get_chunk_info(0).byte_offset
    data = bytearray(target.read_bytes())
    data[place : place + 100] = b"x" * 100
    target.write_bytes(data)
    return target


def replace(file, name, values):
    del file[name]
    file[name] = values


def as_nwb2(path, target, events=True, clipped=False):
    """Write what an NWB 1.0 file holds with pynwb, as the conversion on DANDI does.

    github.com/catalystneuro/visual-coding-to-nwb-v2: its names, order, links, types and texts, the
    depth that it forgets to fill in included. clipped: blanks as h5py casts them.
    """
    import pynwb
    from hdmf.backends.hdf5.h5_utils import H5DataIO
    from hdmf.common import DynamicTable, VectorData
    from pynwb import base, behavior, image, ophys

    # Tables of cells are linked before they are part of the file.
    warnings.filterwarnings("ignore", message="The linked table for DynamicTableRegion")
    with h5py.File(path) as old:
        nwb = pynwb.NWBFile(
            session_description="Simulated.",
            identifier="simulated",
            session_start_time=datetime.datetime(2016, 2, 15, 10, tzinfo=datetime.timezone.utc),
            session_id=_text(old, "general/session_id") + "-StimB",
            notes=f"Container ID: {_text(old, 'general/experiment_container_id')}\n"
            "Mouse ID (from genotype white paper): 1\nSession type: three_session_B",
            subject=pynwb.file.Subject(
                subject_id="1",
                description="Simulated.",
                age="P100D",
                sex="M",
                species="Mus musculus",
                strain=_text(old, "general/specimen_name"),
                genotype=_text(old, "general/subject/genotype"),
            ),
        )
        device = nwb.create_device(name="Microscope", description="A microscope.")
        plane = nwb.create_imaging_plane(
            name="ImagingPlane",
            description="The imaging plane sampled by the two-photon calcium imaging at a depth of "
            "{depth} µm.",
            optical_channel=ophys.OpticalChannel(
                name="OpticalChannel", description="One.", emission_lambda=np.nan
            ),
            excitation_lambda=910.0,
            indicator="GCaMP6f",
            location=_text(old, "general/optophysiology/imaging_plane_1/location"),
            device=device,
        )
        module = nwb.create_processing_module("ophys", "Contains processed data.")
        table = ophys.PlaneSegmentation(
            name="PlaneSegmentation", description="Segmented regions.", imaging_plane=plane
        )
        table.add_column(name="global_roi_id", description="Unique over sessions.")
        for number in old[f"{PIPELINE}/ImageSegmentation/cell_specimen_ids"][()]:
            table.add_roi(id=int(number), pixel_mask=[(1, 1, 1.0)], global_roi_id=number)
        module.add(ophys.ImageSegmentation(name="ImageSegmentation", plane_segmentations=table))
        cells = table.create_roi_table_region(
            region=list(range(len(table))), description="All of them."
        )

        def series(name, data, times):
            packed = H5DataIO(data, compression="gzip")
            return ophys.RoiResponseSeries(
                name=name, data=packed, timestamps=times, unit="n.a.", rois=cells
            )

        times = old[f"{PLANE}/timestamps"][()]
        corrected = series("Corrected", old[f"{PLANE}/data"][()].T, times)
        others = [
            series(name, old[f"{PLANE}_{source}/data"][()].T, corrected)
            for name, source in (("Neuropil", "neuropil_response"), ("Demixed", "demixed_signal"))
        ]
        module.add(
            ophys.Fluorescence(name="Fluorescence", roi_response_series=[*others, corrected])
        )
        dff = old[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][()]
        every = [series("DfOverF", dff.T, corrected)]
        if events:
            file = path.parent.parent / "ophys_experiment_events" / f"{path.stem}_events.npz"
            every.append(series("DfOverFEvents", np.load(file)["ev"].T, corrected))
        module.add(ophys.DfOverF(name="DfOverF", roi_response_series=every))
        ratio = old[f"{PLANE}_neuropil_response/r"][()]
        columns = [VectorData(name="ratios", description="r", data=ratio)]
        module.add(DynamicTable(name="ContaminationRatios", description="r", columns=columns))
        speed = base.TimeSeries(
            name="running_speed",
            data=old[f"{PIPELINE}/BehavioralTimeSeries/running_speed/data"][()],
            timestamps=times,
            unit="cm/s",
        )
        nwb.create_processing_module("behavior", "Processed behavior.").add(
            behavior.BehavioralTimeSeries(time_series=speed)
        )
        stack = old["stimulus/templates/natural_scenes_image_stack/data"][()].astype(np.uint8)
        images = base.Images(
            name="natural_scenes_template",
            description="Natural scenes.",
            images=[
                image.GrayscaleImage(name=f"NaturalScene{i}", data=d) for i, d in enumerate(stack)
            ],
        )
        nwb.add_stimulus_template(images)
        index = old[f"{SCENES}/data"]
        # What h5py makes of -1 is not what numpy does.
        shown = np.array(index, dtype="uint32") if clipped else index[()].astype("uint32")
        nwb.add_stimulus(
            image.IndexSeries(
                name="natural_scenes_stimulus",
                data=shown,
                indexed_images=images,
                unit="N/A",
                timestamps=old[f"{SCENES}/timestamps"][()],
            )
        )
        grey = pynwb.epoch.TimeIntervals(name="spontaneous_stimulus", description="Grey.")
        grey.add_interval(start_time=0.0, stop_time=1.0)
        nwb.add_stimulus(grey)
        with pynwb.NWBHDF5IO(str(target), "w") as io:
            io.write(nwb)
    with h5py.File(target, "r+") as file:
        file.attrs["simulated"] = True
    return target


def _text(file, name):
    return file[name][()].decode()
