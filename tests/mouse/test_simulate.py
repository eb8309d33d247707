import json

import h5py
import numpy as np
import pytest
import xarray

from neurn import mouse


def test_a_session_for_each_area_and_driver(simulation):
    recordings = [mouse.open_nwb(path) for path in simulation.paths]
    assert [(r.metadata.area, mouse.driver(r.metadata.genotype)) for r in recordings] == [
        ("VISp", "Cux2-CreERT2"),
        ("VISp", "Vip-IRES-Cre"),
        ("VISrl", "Cux2-CreERT2"),
        ("VISrl", "Vip-IRES-Cre"),
    ]
    ids = np.concatenate([r.cell_specimen_ids for r in recordings])
    assert (ids == simulation.truth["neuron"].values).all() and len(set(ids.tolist())) == 32
    for recording in recordings:
        shown = recording.presentations()
        numbers, counts = np.unique(shown["stimulus"], return_counts=True)
        assert (numbers == np.arange(-1, 118)).all() and (counts == 6).all()


def test_it_says_so_everywhere(simulation, recording, found):
    with h5py.File(simulation.paths[0]) as file:
        assert file.attrs["simulated"]
        assert b"no animal" in file["session_description"][()]
        assert b"simulated" in file["general/specimen_name"][()]
    for name in ("experiment_containers.json", "ophys_experiments.json", "cell_specimens.json"):
        for entry in json.loads((simulation.manifest.parent / name).read_text()):
            assert entry["simulated"] is True
    assert recording.simulated and "simulated" in repr(recording)
    arrays = [simulation.truth, recording.traces(), recording.images(), found, mouse.peaks(found)]
    arrays += [mouse.statistics(found), mouse.representations(recording, size=5)]
    arrays += [mouse.sweeps(recording, [0]), recording.running_speed(), found["trials"]]
    assert all(array.attrs["simulated"] == 1 for array in arrays)


def test_bytes_are_of_fixed_length(simulation):
    with h5py.File(simulation.paths[0]) as file:
        for name in ("general/session_type", "general/subject/genotype", "general/session_id"):
            assert file[name].dtype.kind == "S"


def test_the_same_seed_gives_the_same_data(simulation, tmp_path):
    settings = {"areas": ["VISp"], "cre_lines": ["Cux2-CreERT2"], "neurons": 8, "repetitions": 6}
    again = mouse.simulate(tmp_path / "a", **settings, seed=3)
    other = mouse.simulate(tmp_path / "b", **settings, seed=4)
    traces = [mouse.open_nwb(m.paths[0]).traces().values for m in (simulation, again, other)]
    assert (traces[0] == traces[1]).all()
    assert not (traces[0] == traces[2]).all()
    part = simulation.truth.isel(neuron=slice(0, 8))
    xarray.testing.assert_identical(part.drop_vars("neuron"), again.truth.drop_vars("neuron"))


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    return mouse.simulate(
        tmp_path_factory.mktemp("large"),
        areas=["VISp", "VISam"],
        cre_lines=["Cux2-CreERT2"],
        neurons=60,
        seed=1,
    )


def test_reliability_is_the_planted_one(large):
    measured = np.concatenate(
        [mouse.statistics(mouse.open_nwb(p))["reliability"].values for p in large.paths]
    )
    planted = large.truth["reliability"].values
    tuned = large.truth["kind"].values != "untuned"
    assert np.corrcoef(measured[tuned], planted[tuned])[0, 1] > 0.9
    # Measured in one draw of trials each; between all neurons the mean error is small.
    assert abs(np.mean(measured[tuned] - planted[tuned])) < 0.06
    assert abs(np.median(measured[~tuned])) < 0.15
    areas = large.truth["area"].values
    assert np.median(planted[areas == "VISp"]) > np.median(planted[areas == "VISam"]) + 0.1
    assert large.truth["ceiling"].values == pytest.approx(np.sqrt(planted))


def test_the_ceiling_is_what_the_true_signal_reaches(large):
    trials = mouse.responses(mouse.open_nwb(large.paths[0]))["trials"]
    mean = trials.sel(stimulus=slice(0, None)).mean("trial").values
    truth = large.truth.isel(neuron=slice(0, 60))
    tuned = truth["kind"].values != "untuned"
    pairs = zip(mean[tuned], truth["signal"].values[tuned], strict=True)
    reached = np.array([np.corrcoef(a, b)[0, 1] for a, b in pairs])
    error = reached - truth["ceiling"].values[tuned]
    assert abs(error.mean()) < 0.03
    assert error.std() < 0.08


def test_gabors_are_recovered_without_noise(tmp_path):
    made = mouse.simulate(
        tmp_path, areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=20, noise=0, seed=2
    )
    recording = mouse.open_nwb(made.paths[0])
    maps = mouse.representations(recording, whiten="ridge").values
    fields = made.truth["field"].values
    images = mouse.shrink(recording.images().values, (31, 31)).reshape(118, -1)
    images = (images - images.mean(0)) / images.std(0)
    span = np.linalg.qr(images.T)[0]
    gabors = np.flatnonzero(made.truth["kind"].values == "gabor")
    assert len(gabors) > 3
    for i in gabors:
        # What 118 images can tell of a field is its part within their span.
        seen = span @ (span.T @ fields[i].ravel())
        # Earlier images still ring in every response: that much is missing to 1.
        assert np.corrcoef(maps[i].ravel(), seen)[0, 1] > 0.8


def test_images_of_ones_own_and_progress(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (5, 40, 50))
    calls = []
    made = mouse.simulate(
        tmp_path / "new" / "folder",
        areas=["VISl"],
        cre_lines=["Ntsr1-Cre_GN220", "Mine-Cre"],
        neurons=2,
        repetitions=3,
        images=images,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(1, 2), (2, 2)]
    recordings = [mouse.open_nwb(path) for path in made.paths]
    assert (recordings[0].images().values == images).all()
    assert recordings[0].traces()["layer"].values[0] == "L6"
    assert recordings[1].traces()["cell_class"].values[0] == "unknown"


def test_a_failure_leaves_no_half_file(tmp_path, monkeypatch):
    def fail(*_, **__):
        raise OSError("disk full")

    monkeypatch.setattr(h5py.Group, "__setitem__", fail)
    with pytest.raises(OSError, match="disk full"):
        mouse.simulate(tmp_path, neurons=1, repetitions=2)
    assert [p.name for p in tmp_path.rglob("*")] == ["ophys_experiment_data"]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"areas": ["V1"]}, "areas must be of VISp, VISl, .*, got 'V1'"),
        ({"areas": "VISp"}, "areas must be a list of names, got 'VISp'"),
        ({"cre_lines": []}, r"cre_lines must be a list of names, got \[\]"),
        ({"neurons": 0}, "neurons must be at least 1, got 0"),
        ({"repetitions": 1}, "repetitions must be at least 2, got 1"),
        ({"noise": -1}, "noise must be at least 0, got -1"),
        ({"images": np.zeros((5, 20, 50))}, r"images must have shape .*, got \(5, 20, 50\)"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        mouse.simulate(tmp_path, **settings)
