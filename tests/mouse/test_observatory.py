import importlib.util

import numpy as np
import pytest
import xarray

from neurn import mouse
from neurn.mouse.source import SIGNALS
from tests.mouse.files import PIPELINE, PLANE, SCENES, changed, damaged, replace

needs_allensdk = pytest.mark.skipif(
    importlib.util.find_spec("allensdk") is None,
    reason="allensdk needs an environment of its own: make allen",
)


@pytest.fixture(scope="module")
def observatory(simulation):
    return mouse.Observatory(simulation.manifest)


def importing_raises(monkeypatch, error):
    def import_module(name):
        raise error

    monkeypatch.setattr("neurn.mouse.observatory.importlib.import_module", import_module)


def test_without_allensdk_one_sentence(simulation, monkeypatch):
    importing_raises(monkeypatch, ModuleNotFoundError("none", name="allensdk"))
    with pytest.raises(mouse.MissingExtraError) as raised:
        mouse.Observatory(simulation.manifest)
    text = str(raised.value)
    assert text.startswith("allensdk is needed here and is not installed: pip install 'neurn[all")
    assert "numpy<1.24" in text and "open_nwb" in text and "\n" not in text


@pytest.mark.parametrize(
    "error", [AttributeError("np.string_"), ModuleNotFoundError("np.string_", name="pkg_resources")]
)
def test_an_allensdk_that_does_not_work_says_which_versions_would(simulation, monkeypatch, error):
    importing_raises(monkeypatch, error)
    with pytest.raises(
        mouse.MissingExtraError, match=r"does not work here: np.string_ .*pandas==1"
    ):
        mouse.Observatory(simulation.manifest)


@needs_allensdk
def test_listing_works_without_network(observatory, monkeypatch):
    def unreachable(*_):
        raise AssertionError("the network was asked")

    monkeypatch.setattr("socket.socket.connect", unreachable)
    monkeypatch.setattr("socket.getaddrinfo", unreachable)
    every = observatory.experiments()
    assert len(every) == 4 and every["on_disk"].all()
    assert set(every["cell_class"]) == {"excitatory", "inhibitory"}
    some = observatory.experiments(areas=["VISrl"], cre_lines=["Vip-IRES-Cre"], depths=[175])
    assert some["experiment"].tolist() == [900000004]
    none = observatory.experiments(depths=[999])
    assert len(none) == 0 and none.columns.tolist() == every.columns.tolist()
    for settings, sentence in (
        ({"areas": ["V1"]}, "areas must be of VISp"),
        ({"cre_lines": "Vip-IRES-Cre"}, "cre_lines must be a list"),
    ):
        with pytest.raises(ValueError, match=sentence):
            observatory.experiments(**settings)


@needs_allensdk
def test_a_cache_without_lists_and_without_network_says_so(tmp_path, monkeypatch):
    def unreachable(*_, **__):
        raise OSError("no network")

    observatory = mouse.Observatory(tmp_path / "manifest.json")
    monkeypatch.setattr(observatory.cache, "get_ophys_experiments", unreachable)
    sentence = r"manifest.json' are not cached and cannot be fetched: no network"
    with pytest.raises(ConnectionError, match=sentence):
        observatory.experiments()


@needs_allensdk
def test_both_readers_give_equal_arrays(observatory, simulation):
    one, other = observatory.recording(900000002), mouse.open_nwb(simulation.paths[1])
    assert one.metadata == other.metadata
    for call in (
        *(lambda r, s=s: r.traces(s) for s in SIGNALS),
        lambda r: r.traces("events", [5, 0, 5]),
        lambda r: mouse.statistics(r, signal="events"),
        lambda r: r.traces("corrected", [5, 0, 5]),
        lambda r: r.running_speed(),
        lambda r: r.presentations(),
        lambda r: r.images(),
        mouse.sweeps,
        mouse.statistics,
        mouse.peaks,
    ):
        xarray.testing.assert_identical(call(one), call(other))


@needs_allensdk
def test_without_demixed_signal(path, tmp_path):
    from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet

    from neurn.mouse.observatory import _AllenSource

    target = changed(path, tmp_path / "a.nwb", lambda file: file.pop(f"{PLANE}_demixed_signal"))
    one = mouse.Recording(_AllenSource(BrainObservatoryNwbDataSet(str(target)), True, None))
    other = mouse.open_nwb(target)
    for signal in ("demixed", "corrected"):
        xarray.testing.assert_identical(one.traces(signal), other.traces(signal))


def _longer(file):
    dff = file[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][()]
    replace(file, f"{PIPELINE}/DfOverF/imaging_plane_1/data", dff[:, [*range(dff.shape[1]), 0]])


def _shorter(file):
    dff = file[f"{PIPELINE}/DfOverF/imaging_plane_1/data"][()]
    replace(file, f"{PIPELINE}/DfOverF/imaging_plane_1/data", dff[:, :-1])


def _slow(file):
    """Running speed of fewer samples than imaging."""
    name = f"{PIPELINE}/BehavioralTimeSeries/running_speed"
    for key in ("data", "timestamps"):
        replace(file, f"{name}/{key}", file[f"{name}/{key}"][3:-2])


def _less_often(file):
    index = file[f"{SCENES}/data"][()]
    index[np.flatnonzero(index == 4)[2:]] = -1
    file[f"{SCENES}/data"][...] = index


@needs_allensdk
@pytest.mark.parametrize("trap", [_longer, _shorter, _slow, _less_often])
def test_traps_are_read_equally_by_both(path, tmp_path, trap):
    from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet

    from neurn.mouse.observatory import _AllenSource

    target = changed(path, tmp_path / "a.nwb", trap)
    one = mouse.Recording(_AllenSource(BrainObservatoryNwbDataSet(str(target)), True, None))
    other = mouse.open_nwb(target)
    for call in (
        lambda r: r.traces("dff"),
        lambda r: r.traces("corrected"),
        lambda r: r.running_speed(),
        lambda r: r.presentations(),
        mouse.responses,
    ):
        xarray.testing.assert_identical(call(one), call(other))


@needs_allensdk
def test_missing_files_and_sessions(observatory, path, tmp_path):
    from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet

    from neurn.mouse.observatory import _AllenSource

    with pytest.raises(FileNotFoundError, match=r"experiment 5 is not on disk: no '.*5.nwb'"):
        observatory.recording(5, download=False)
    target = changed(path, tmp_path / "a.nwb", lambda file: file.pop(SCENES))
    one = mouse.Recording(_AllenSource(BrainObservatoryNwbDataSet(str(target)), True, None))
    sentence = r"a.nwb' has no 'stimulus/presentation/natural_scenes': its session shows spont"
    with pytest.raises(mouse.RecordingError, match=sentence):
        one.presentations()


@needs_allensdk
@pytest.mark.parametrize(
    ("name", "call"),
    [
        (f"{PIPELINE}/DfOverF/imaging_plane_1/data", lambda r: r.traces("dff")),
        (f"{PLANE}_demixed_signal/data", lambda r: r.traces("corrected")),
        (f"{PIPELINE}/BehavioralTimeSeries/running_speed/data", lambda r: r.running_speed()),
        (f"{SCENES}/data", lambda r: r.presentations()),
        ("stimulus/templates/natural_scenes_image_stack/data", lambda r: r.images()),
    ],
)
def test_what_allensdk_stumbles_over_is_named(path, tmp_path, name, call):
    from allensdk.core.brain_observatory_nwb_data_set import BrainObservatoryNwbDataSet

    from neurn.mouse.observatory import _AllenSource

    target = damaged(path, tmp_path / "a.nwb", name)
    one = mouse.Recording(_AllenSource(BrainObservatoryNwbDataSet(str(target)), True, None))
    with pytest.raises(mouse.RecordingError, match=f"a.nwb': '{name}' cannot be read: "):
        call(one)


@needs_allensdk
def test_events_are_those_of_allensdk(observatory, simulation, tmp_path):
    theirs = observatory.cache.get_ophys_experiment_events(900000001)
    assert (mouse.open_nwb(simulation.paths[0]).traces("events").values == theirs).all()
    observatory = mouse.Observatory(observatory.manifest)
    observatory._events_path = lambda experiment: tmp_path / "none.npz"
    recording = observatory.recording(900000001, download=False)
    assert len(recording.traces("dff")) == 8
    with pytest.raises(mouse.RecordingError, match="has no events"):
        recording.traces("events")


@needs_allensdk
def test_missing_files_are_fetched(observatory, simulation, path, tmp_path, monkeypatch, capsys):
    events = simulation.manifest.parent / "ophys_experiment_events" / f"{path.stem}_events.npz"
    calls = []

    def served(source):
        def fetch(experiment, target, progress):
            target.parent.mkdir(parents=True, exist_ok=True)
            progress(0, 312_400_000)
            target.write_bytes(source.read_bytes())
            progress(312_400_000, 312_400_000)
            calls.append((experiment, target.name))

        return fetch

    monkeypatch.setattr("neurn.mouse.observatory.fetch_session", served(path))
    monkeypatch.setattr("neurn.mouse.observatory.fetch_events", served(events))
    for name in ("manifest.json", "ophys_experiments.json", "experiment_containers.json"):
        (tmp_path / name).write_bytes((simulation.manifest.parent / name).read_bytes())
    recording = mouse.Observatory(tmp_path / "manifest.json").recording(7, groups={"x": "y"})
    assert calls == [(7, "7.nwb")]
    expected = observatory.recording(900000001).traces("events")
    assert (recording.traces("events").values == expected.values).all()
    recording.traces("events", [0])
    assert calls == [(7, "7.nwb"), (7, "7_events.npz")]
    # Who gave no progress is told how much comes.
    announced = ["fetching 7.nwb: 312.4 MB", "fetching 7_events.npz: 312.4 MB"]
    assert capsys.readouterr().err.splitlines() == announced


@needs_allensdk
@pytest.mark.filterwarnings("ignore")
def test_sweeps_means_and_peaks_are_those_of_allensdk(observatory, found, recording):
    from allensdk.brain_observatory.natural_scenes import NaturalScenes

    theirs = NaturalScenes(observatory.recording(900000001).source.data)
    sweeps = mouse.sweeps(recording).values
    for c in range(8):
        expected = np.stack(theirs.sweep_response[str(c)].values)
        assert sweeps[c] == pytest.approx(expected, rel=1e-10, abs=1e-10)
    response = theirs.response[:, :8, 0].T
    mean = found["trials"].mean("trial").values
    assert mean == pytest.approx(response, rel=1e-10, abs=1e-10)
    peak = theirs.peak
    ours = mouse.statistics(found)
    whole = mouse.peaks(found, window="whole")["time_to_peak"].values
    best = ours["preferred"].values
    assert (best == peak.scene_ns.values.astype(int)).all()
    for values, column in (
        (ours["mean_response"], "peak_dff_ns"),
        (ours["p_value"], "ptest_ns"),
        (ours["image_selectivity"], "image_selectivity_ns"),
        (whole[np.arange(8), best], "time_to_peak_ns"),
    ):
        expected = peak[column].values.astype(float)
        assert np.asarray(values) == pytest.approx(expected, rel=1e-10, abs=1e-10)
