import json

import h5py
import numpy as np
import pytest
import xarray
from scipy import stats

from neurn import mouse
from neurn.mouse import planted


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


def test_peaks_of_what_neurons_answer_to_come_soon_after_onset(large):
    found = mouse.responses(mouse.open_nwb(large.paths[0]))
    when = mouse.peaks(found)["time_to_peak"].values
    mean = found["trials"].sel(stimulus=slice(0, None)).mean("trial").values
    answered = mean >= np.quantile(mean, 0.9, axis=1, keepdims=True)
    answered &= (mouse.reliability(found["trials"]).values > 0.5)[:, None]
    assert answered.sum() > 200
    # Published peaks lie at 0.1 to 0.5 s.
    assert ((when >= 0.1) & (when <= 0.5))[answered].mean() > 0.9


def correlations(one, other):
    return np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(one, other, strict=True)])


def recovered_gabors(folder, **settings):
    """Simulate without noise; return recovered maps, planted fields and the images' pixels."""
    made = mouse.simulate(
        folder,
        areas=["VISp"],
        cre_lines=["Cux2-CreERT2"],
        neurons=20,
        noise=0,
        running=0,
        seed=2,
        **settings,
    )
    recording = mouse.open_nwb(made.paths[0])
    # Events do not ring on into the next images.
    trials = mouse.responses(recording, signal="events", window=(0, 7))["trials"]
    maps = mouse.representations(trials, recording.images(), whiten="ridge").values
    gabors = made.truth["kind"].values == "gabor"
    assert gabors.sum() > 5
    pixels = recording.images().values
    pixels = mouse.shrink(pixels, (31, 31)).reshape(len(pixels), -1)
    flat = (
        values[gabors].reshape(gabors.sum(), -1) for values in (maps, made.truth["field"].values)
    )
    return (*flat, (pixels - pixels.mean(0)) / pixels.std(0))


def test_gabors_are_recovered_without_noise(tmp_path):
    images = planted.natural_images(1300, (40, 40), np.random.default_rng(0))
    maps, fields, _ = recovered_gabors(tmp_path, images=images, repetitions=4)
    assert (correlations(maps, fields) > 0.9).all()


def test_gabors_are_recovered_as_far_as_118_images_go(tmp_path):
    maps, fields, pixels = recovered_gabors(tmp_path)
    # What 118 images can tell of a field is its part within their span.
    span = np.linalg.qr(pixels.T)[0]
    assert (correlations(maps, fields @ span @ span.T) > 0.9).all()


@pytest.mark.parametrize("scenes", ["real", "simulated"])
def test_whitening_finds_all_that_118_images_tell_of_a_field(scenes, request):
    if scenes == "real":
        load = request.getfixturevalue("real")
        images = load("allen_scenes_118x31x31.npz")["scenes"].astype(float)
    else:
        images = planted.natural_images(118, (31, 31), np.random.default_rng(0))
    neurons = planted.plant(images, "VISp", "Cux2-CreERT2", 60, 50, np.random.default_rng(2))
    gabors = neurons.kind == "gabor"
    assert gabors.sum() > 15
    signal = xarray.DataArray(neurons.signal[gabors], dims=("neuron", "stimulus"))
    maps = mouse.representations(signal, images, whiten="ridge").values.reshape(gabors.sum(), -1)
    fields = neurons.field[gabors].reshape(gabors.sum(), -1)
    pixels = images.reshape(118, -1)
    span = np.linalg.qr(((pixels - pixels.mean(0)) / pixels.std(0)).T)[0]
    known = fields @ span @ span.T
    assert (correlations(maps, known) > 0.99).all()
    # The part within the span is much of the field, and for no estimate can there be more.
    assert (correlations(known, fields) > 0.7).all()
    assert np.median(correlations(maps, fields)) > 0.8


def test_running_changes_responses_as_planted(tmp_path):
    settings = {"areas": ["VISp"], "cre_lines": ["Vip-IRES-Cre"], "neurons": 30, "seed": 3}
    made = mouse.simulate(tmp_path / "a", noise=0, **settings)
    recording = mouse.open_nwb(made.paths[0])
    shown = recording.presentations()
    speed = recording.running_speed().values[shown["start"].values]
    pace = (speed - speed.mean()) / speed.std()
    image = shown["stimulus"].values
    sweeps = mouse.sweeps(recording, signal="events", before=1, after=7)
    trials = sweeps.values[..., 1:].mean(-1)[:, image >= 0]
    signal, pace = made.truth["signal"].values[:, image[image >= 0]], pace[image >= 0]
    planted_gain = made.truth["running"].values
    assert planted_gain.mean() > 0.2
    kept = signal >= np.quantile(signal, 0.3, axis=1, keepdims=True)  # those that are not cut at 0
    for c, gain in enumerate(planted_gain):
        one = trials[c, kept[c]] / signal[c, kept[c]]
        slope, level = np.polyfit(pace[kept[c]], one, 1)
        assert slope / level == pytest.approx(gain, abs=0.03)


def test_running_is_a_part_of_the_noise_and_no_more(tmp_path):
    settings = {"areas": ["VISp"], "cre_lines": ["Vip-IRES-Cre"], "neurons": 9, "repetitions": 5}
    both, still, clear, clean = (
        mouse.simulate(tmp_path / f"{n}{r}", noise=n, running=r, **settings).truth
        for n, r in ((1, 1), (1, 0), (0, 1), (0, 0))
    )
    assert (still["running"].values == 0).all() and (both["running"].values != 0).all()
    assert both["reliability"].values == pytest.approx(still["reliability"].values)
    tuned = both["kind"].values != "untuned"
    assert (clear["reliability"].values < clean["reliability"].values)[tuned].all()
    assert (both["reliability"].values < clear["reliability"].values)[tuned].all()


@pytest.fixture(scope="module", params=["VISp", "VISpm", "VISrl"])
def area(request, tmp_path_factory):
    made = mouse.simulate(
        tmp_path_factory.mktemp(request.param),
        areas=[request.param],
        cre_lines=["Cux2-CreERT2"],
        neurons=100,
        seed=5,
    )
    return request.param, made, mouse.responses(mouse.open_nwb(made.paths[0]))["trials"]


def test_the_planted_ceiling_is_within_its_interval(area):
    _, made, trials = area
    found, planted_ceiling = mouse.ceiling(trials), made.truth["ceiling"].values
    inside = (found["low"].values <= planted_ceiling) & (planted_ceiling <= found["high"].values)
    # 95 of 100 in expectation: below 89 once in 200 times.
    assert inside.sum() >= 89
    assert ((found["high"] - found["low"]).values[planted_ceiling > 0.8] < 0.2).all()


def test_reliability_is_distributed_as_that_of_the_areas_neurons(area):
    medians = {"VISp": 0.59, "VISpm": 0.23, "VISrl": 0.03}  # of 13,554, 4,323 and 5,168 neurons
    name, _, trials = area
    measured = mouse.reliability(trials).values
    assert np.median(measured) == pytest.approx(medians[name], abs=0.1)


def test_reliability_is_distributed_as_in_the_real_data(area, real):
    name, _, trials = area
    data = real("allen_site_neurons_37719.npz")
    here = np.char.startswith(data["site"], f"{name}-")
    expected = data["splithalf_sb"][here]
    measured = mouse.reliability(trials).values
    assert stats.ks_2samp(measured, expected).pvalue > 0.01


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
    assert [p.name for p in tmp_path.rglob("*") if p.is_file()] == []


def test_no_session_of_an_earlier_simulation_is_left_among_the_new_ones(tmp_path):
    settings = {"cre_lines": ["Vip-IRES-Cre"], "neurons": 1, "repetitions": 2}
    first = mouse.simulate(tmp_path, areas=["VISp", "VISl"], **settings)
    again = mouse.simulate(tmp_path, areas=["VISp", "VISl"], **settings)
    assert again.paths == first.paths
    with pytest.raises(ValueError, match=r"holds another recording, 900000002.nwb, .* new folder"):
        mouse.simulate(tmp_path, areas=["VISp"], **settings)
    assert all(path.exists() for path in first.paths)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "a").touch()
    with pytest.raises(ValueError, match="a' is a file; give a directory, new or existing"):
        mouse.simulate(tmp_path / "a", neurons=1, repetitions=2)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"areas": ["V1"]}, "areas must be of VISp, VISl, .*, got 'V1'"),
        ({"areas": "VISp"}, "areas must be a list of names, got 'VISp'"),
        ({"cre_lines": []}, r"cre_lines must be a list of names, got \[\]"),
        ({"neurons": 0}, "neurons must be a whole number of at least 1, got 0"),
        ({"neurons": 2.5}, r"neurons must be a whole number of at least 1, got 2\.5"),
        ({"repetitions": 1}, "repetitions must be a whole number of at least 2, got 1"),
        ({"images": np.full((2, 31, 31), np.nan)}, "images must be grey values from 0 to 255, got"),
        ({"images": np.full((2, 31, 31), 300)}, "images must be .* 0 to 255, got 300 to 300"),
        ({"noise": -1}, "noise must be at least 0, got -1"),
        ({"running": np.inf}, "running must be at least 0, got inf"),
        ({"images": np.zeros((5, 20, 50))}, r"images must have shape .*, got \(5, 20, 50\)"),
    ],
)
def test_wrong_arguments_are_named(tmp_path, settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        mouse.simulate(tmp_path, **settings)
