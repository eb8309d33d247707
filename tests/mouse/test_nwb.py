import h5py
import numpy as np
import pytest
import xarray

from neurn import mouse
from tests.mouse.files import PIPELINE, PLANE, SCENES, as_nwb2, changed, damaged, replace

DFF = f"{PIPELINE}/DfOverF/imaging_plane_1/data"
RUNNING = f"{PIPELINE}/BehavioralTimeSeries/running_speed"


def test_what_a_recording_says(recording, path):
    about = recording.metadata
    assert (about.experiment, about.container) == (900000001, 910000001)
    assert (about.area, about.depth, about.session_type) == ("VISp", 175.0, "three_session_B")
    assert (about.sex, about.age, about.simulated) == ("male", "100 days", True)
    assert len(recording) == 8
    assert "simulated recording 900000001: 8 neurons, VISp" in repr(recording)
    assert recording.path == str(path)
    assert recording.frame_rate == pytest.approx(30)


def test_arrays_have_the_names_coordinates_and_units_of_the_contract(recording):
    traces = recording.traces()
    assert traces.dims == ("neuron", "time")
    assert traces.attrs == {"units": "fraction", "experiment": 900000001, "simulated": 1}
    assert traces["time"].attrs["units"] == "s"
    labels = {k: traces[k].values[0] for k in ("area", "cre_line", "cell_class", "layer")}
    assert labels == {
        "area": "VISp",
        "cre_line": "Cux2-CreERT2",
        "cell_class": "excitatory",
        "layer": "L2/3",
    }
    assert (traces["experiment"] == 900000001).all()
    assert recording.images().dims == ("stimulus", "y", "x")
    assert recording.running_speed().attrs["units"] == "cm/s"
    assert recording.presentations()["start"].attrs["units"] == "imaging frames"


def test_traces_are_what_the_file_holds(recording, path):
    with h5py.File(path) as file:
        dff = file[DFF][()]
        demixed = file[f"{PLANE}_demixed_signal/data"][()]
        neuropil = file[f"{PLANE}_neuropil_response/data"][()]
        ratio = file[f"{PLANE}_neuropil_response/r"][()]
        raw = file[f"{PLANE}/data"][()]
    assert (recording.traces("dff").values == dff).all()
    assert (recording.traces("raw", slice(2, 5)).values == raw[2:5]).all()
    assert (recording.traces("demixed", [5, 1, 5]).values == demixed[[5, 1, 5]]).all()
    assert (recording.traces("neuropil", [-1]).values == neuropil[-1:]).all()
    assert (recording.traces("raw", slice(None, 1, -2)).values == raw[:1:-2]).all()
    assert recording.traces("raw", []).shape == (0, raw.shape[1])
    mask = np.arange(8) % 3 == 0
    expected = demixed[mask] - ratio[mask, None] * neuropil[mask]
    assert recording.traces("corrected", mask).values == pytest.approx(expected, rel=1e-12)


def test_presentations_count_repetitions(recording, path):
    shown = recording.presentations()
    with h5py.File(path) as file:
        index = file[f"{SCENES}/data"][()]
    seen = {}
    for i, value in enumerate(index):
        assert shown["stimulus"][i] == value
        assert shown["repetition"][i] == seen.get(value, 0)
        seen[value] = seen.get(value, 0) + 1
    assert set(np.unique((shown["end"] - shown["start"]).values)) == {7, 8}


def test_opening_reads_no_traces(path, monkeypatch):
    read = []
    original = h5py.Dataset.__getitem__

    def spy(self, key):
        read.append((self.name, key))
        return original(self, key)

    monkeypatch.setattr(h5py.Dataset, "__getitem__", spy)
    recording = mouse.open_nwb(path)
    assert read == []
    recording.traces("dff", [3])
    assert [name for name, _ in read if "DfOverF" in name] == [f"/{DFF}"]
    key = next(key for name, key in read if name == f"/{DFF}")
    assert list(key[0]) == [3]


@pytest.fixture(scope="module")
def nwb2(path, tmp_path_factory):
    pytest.importorskip("pynwb")
    return as_nwb2(path, tmp_path_factory.mktemp("dandi") / "2.nwb")


def test_nwb_2_gives_the_same_arrays(recording, nwb2):
    # The conversion leaves the depth out.
    assert np.isnan(mouse.open_nwb(nwb2).metadata.depth)
    assert mouse.open_nwb(nwb2).traces("dff", [0])["layer"].values[0] == "unknown"
    other = mouse.open_nwb(nwb2, depth=175)
    assert other.metadata == recording.metadata
    for signal in ("dff", "events", "corrected", "demixed", "neuropil", "raw"):
        xarray.testing.assert_identical(other.traces(signal), recording.traces(signal))
    xarray.testing.assert_identical(other.traces("dff", [4, 0]), recording.traces("dff", [4, 0]))
    xarray.testing.assert_identical(other.running_speed(), recording.running_speed())
    # NaturalScene10 comes before NaturalScene2 in the file.
    xarray.testing.assert_identical(other.images(), recording.images())
    # uint32 made 4294967295 of the blank.
    # Durations are not there: how long the last image stayed is a guess.
    shown, expected = other.presentations(), recording.presentations()
    assert abs(int(shown["end"][-1] - expected["end"][-1])) <= 1
    last = {"trial": slice(0, -1)}
    xarray.testing.assert_identical(shown.isel(last), expected.isel(last))
    xarray.testing.assert_identical(mouse.peaks(other), mouse.peaks(recording))


def test_without_demixed_signal_the_plain_one_stands_for_it(path, tmp_path):
    def change(file):
        del file[f"{PLANE}_demixed_signal"]

    recording = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    with h5py.File(recording.path) as file:
        raw = file[f"{PLANE}/data"][()]
        neuropil = file[f"{PLANE}_neuropil_response/data"][()]
        ratio = file[f"{PLANE}_neuropil_response/r"][()]
    assert (recording.traces("demixed").values == raw).all()
    assert (recording.traces("corrected").values == raw - neuropil * ratio[:, None]).all()


def test_early_pipelines_keep_neuropil_elsewhere(recording, path, tmp_path):
    def change(file):
        file[f"{PLANE}/neuropil_traces"] = file[f"{PLANE}_neuropil_response/data"][()]
        file[f"{PLANE}/r"] = file[f"{PLANE}_neuropil_response/r"][()]
        file[f"{PLANE}/data"][...] = file[f"{PLANE}_demixed_signal/data"][()]
        del file[f"{PLANE}_neuropil_response"], file[f"{PLANE}_demixed_signal"]

    early = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    expected = recording.traces("corrected")
    xarray.testing.assert_identical(early.traces("corrected"), expected)


@pytest.mark.parametrize("longer", [1, -1])
def test_a_sample_more_or_less_is_cut_to_the_common_length(recording, path, tmp_path, longer):
    samples = recording.timestamps.size

    def change(file):
        dff = file[DFF][()]
        more = np.concatenate([dff, dff[:, -1:]], axis=1) if longer == 1 else dff[:, :-1]
        replace(file, DFF, more)

    other = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    length = min(samples, samples + longer)
    traces = other.traces()
    assert traces.shape == (8, length)
    assert (traces.values == recording.traces().values[:, :length]).all()


def test_running_speed_in_a_column_and_shorter_than_imaging(recording, path, tmp_path):
    def change(file):
        speed, times = file[f"{RUNNING}/data"][()], file[f"{RUNNING}/timestamps"][()]
        replace(file, f"{RUNNING}/data", speed[3:-2, None])
        replace(file, f"{RUNNING}/timestamps", times[3:-2])

    speed = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change)).running_speed().values
    expected = recording.running_speed().values.copy()
    expected[:3] = expected[-2:] = np.nan
    assert np.array_equal(speed, expected, equal_nan=True)


def test_strings_of_any_kind_are_read(path, tmp_path):
    def change(file):
        replace(file, "general/subject/sex", "female")
        replace(file, "general/specimen_name", np.array([b"in an array"]))
        replace(file, "general/optophysiology/imaging_plane_1/imaging depth", "275 microns")
        replace(file, "general/experiment_container_id", "none")
        del file["general/subject/age"]

    about = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change)).metadata
    assert (about.sex, about.specimen, about.depth) == ("female", "in an array", 275.0)
    assert (about.container, about.age) == (-1, "")


def test_another_group_name_and_no_template(path, tmp_path):
    def change(file):
        file.move(SCENES, "stimulus/presentation/natural_scenes")
        del file["stimulus/templates"]
        file["stimulus/presentation/natural_scenes/data"][0] = 118

    recording = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    assert recording.presentations()["stimulus"][0] == -1
    with pytest.raises(mouse.RecordingError, match="'stimulus/templates/natural_scenes_image_st"):
        recording.images()


def test_a_session_without_scenes_says_what_it_shows(path, tmp_path):
    def change(file):
        file.move(SCENES, "stimulus/presentation/drifting_gratings_stimulus")

    recording = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    sentence = r"a.nwb' has no 'stimulus/presentation/natural_scenes': its session shows "
    with pytest.raises(mouse.RecordingError, match=sentence + "drifting_gratings, spontaneous;"):
        recording.presentations()


def test_files_that_are_none_get_a_sentence(path, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"there is no file '.*none.nwb'"):
        mouse.open_nwb(tmp_path / "none.nwb")
    (tmp_path / "empty.nwb").touch()
    with pytest.raises(mouse.RecordingError, match=r"empty.nwb' is empty"):
        mouse.open_nwb(tmp_path / "empty.nwb")
    (tmp_path / "text.nwb").write_text("not HDF5")
    with pytest.raises(mouse.RecordingError, match=r"text.nwb' is no whole HDF5 file: .*fetch it"):
        mouse.open_nwb(tmp_path / "text.nwb")
    (tmp_path / "cut.nwb").write_bytes(path.read_bytes()[:200_000])
    with pytest.raises(mouse.RecordingError, match=r"cut.nwb' is no whole HDF5 file"):
        mouse.open_nwb(tmp_path / "cut.nwb")
    with pytest.raises(mouse.RecordingError, match="is a directory, must be a file of one sess"):
        mouse.open_nwb(tmp_path)
    with h5py.File(tmp_path / "other.nwb", "w") as file:
        file["x"] = 1
    with pytest.raises(
        mouse.RecordingError, match=r"other.nwb' holds neither .*'processing/ophys'"
    ):
        mouse.open_nwb(tmp_path / "other.nwb")


def test_what_hdf5_says_in_several_lines_becomes_one(path, monkeypatch):
    def fail(*_):
        raise OSError("Unable to open file\n, filename = 'a'\n, errno = 5\n")

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(mouse.RecordingError, match="file , filename") as raised:
        mouse.open_nwb(path)
    assert "\n" not in str(raised.value)


def test_a_file_that_may_not_be_read_is_not_called_damaged(path, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(h5py, "File", fail)
    with pytest.raises(PermissionError, match=r"nwb' may not be read by you"):
        mouse.open_nwb(path)


@pytest.mark.parametrize("name", [DFF, f"{PLANE}_demixed_signal/data", f"{SCENES}/data"])
def test_a_dataset_that_is_damaged_is_named(path, tmp_path, name):
    recording = mouse.open_nwb(damaged(path, tmp_path / "a.nwb", name))
    with pytest.raises(mouse.RecordingError, match=f"a.nwb': '{name}' cannot be read: "):
        mouse.responses(recording, signal="dff" if "DfOverF" in name else "corrected")


def test_groups_of_ones_own_reach_the_arrays(path, recording):
    mine = mouse.open_nwb(path, groups={recording.metadata.genotype: "mine"})
    assert (mine.traces("dff", [0])["genotype_group"] == "mine").all()
    assert (mouse.responses(mine, [0])["genotype_group"] == "mine").all()


@pytest.mark.parametrize("name", [DFF, f"{PLANE}/timestamps"])
def test_a_missing_group_is_named(path, tmp_path, name):
    target = changed(path, tmp_path / "a.nwb", lambda file: file.pop(name))
    with pytest.raises(mouse.RecordingError, match=f"a.nwb' has no readable '{name}'"):
        mouse.open_nwb(target)


def test_shapes_that_do_not_agree_are_named(path, tmp_path):
    ids = f"{PIPELINE}/ImageSegmentation/cell_specimen_ids"
    target = changed(path, tmp_path / "a.nwb", lambda file: replace(file, ids, np.arange(3)))
    with pytest.raises(mouse.RecordingError, match=r"and .*cell_specimen_ids' 3 cells; they must"):
        mouse.open_nwb(target)
    frames = f"{SCENES}/frame_duration"
    target = changed(path, tmp_path / "b.nwb", lambda file: replace(file, frames, np.arange(3)))
    with pytest.raises(mouse.RecordingError, match=r"frame_duration' has shape \(3,\), must be"):
        mouse.open_nwb(target).presentations()


def test_an_empty_stimulus_is_named(path, tmp_path):
    def change(file):
        replace(file, f"{SCENES}/data", np.empty(0, dtype=np.int64))
        replace(file, f"{SCENES}/frame_duration", np.empty((0, 2), dtype=np.int64))

    recording = mouse.open_nwb(changed(path, tmp_path / "a.nwb", change))
    with pytest.raises(mouse.RecordingError, match="'natural_scenes' has no presentation"):
        recording.presentations()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("noise",),
            "signal must be one of dff, events, corrected, demixed, neuropil, raw, got 'noise'",
        ),
        (("dff", [8]), "neurons must be from -8 to 7, got 8"),
        (("dff", [0, -9]), "neurons must be from -8 to 7, got -9"),
        (("dff", [[0, 1], [2, 3]]), r"neurons must be a list of places, got shape \(2, 2\)"),
        (("dff", [0.5]), "neurons must be whole numbers, got float64"),
        (("dff", [True]), r"neurons: a mask must have 8 values, got \(1,\)"),
    ],
)
def test_wrong_arguments_are_named(recording, arguments, sentence):
    with pytest.raises(ValueError, match=sentence):
        recording.traces(*arguments)


def test_nwb_2_whose_blanks_were_clipped_leaves_image_0_out(recording, path, tmp_path):
    pytest.importorskip("pynwb")
    other = mouse.open_nwb(as_nwb2(path, tmp_path / "c.nwb", clipped=True))
    with pytest.warns(UserWarning, match=r"c.nwb': .*has no blank and image 0 12 times, others 6"):
        shown = other.presentations()
    whole = recording.presentations()
    keep = whole["stimulus"].values > 0
    assert shown.sizes["trial"] == keep.sum() == 117 * 6
    for name in ("stimulus", "start"):
        assert (shown[name].values == whole[name].values[keep]).all()


def test_nwb_2_without_events_or_demixed_signal(path, tmp_path):
    pytest.importorskip("pynwb")
    target = changed(
        as_nwb2(path, tmp_path / "a.nwb", events=False),
        tmp_path / "b.nwb",
        lambda f: f.pop("processing/ophys/Fluorescence/Demixed"),
    )
    other = mouse.open_nwb(target)
    assert (other.traces("demixed").values == other.traces("raw").values).all()
    with pytest.raises(mouse.RecordingError, match=r"b.nwb' has no events, and there is neither"):
        other.traces("events")


def test_nwb_2_without_images(nwb2, tmp_path):
    target = changed(nwb2, tmp_path / "b.nwb", lambda f: f.pop("stimulus/templates"))
    recording = mouse.open_nwb(target)
    assert (recording.presentations()["stimulus"] == -1).sum() == 6
    with pytest.raises(mouse.RecordingError, match="has no images in 'stimulus/templates/natural"):
        recording.images()
