import importlib

import h5py
import numpy as np
import pytest
import xarray

from neurn import mouse
from neurn.mouse.events import read_events


@pytest.fixture(scope="module")
def file(path):
    return path.parent.parent / "ophys_experiment_events" / f"{path.stem}_events.npz"


def test_the_caches_file_is_found(recording, file):
    with np.load(file) as held:
        expected = held["ev"]
    assert expected.shape == (8, recording.timestamps.size) and (expected >= 0).all()
    events = recording.traces("events")
    assert events.attrs == {"units": "fraction", "experiment": 900000001, "simulated": 1}
    assert (events.values == expected).all()
    assert (recording.traces("events", [6, 1, 6]).values == expected[[6, 1, 6]]).all()
    assert (recording.traces("events", slice(2, 4)).values == expected[2:4]).all()


def test_a_file_of_ones_own(recording, path, file, tmp_path):
    with h5py.File(tmp_path / "mine.h5", "w") as own:
        own["ev"] = read_events(file)
    mine = mouse.open_nwb(path, events=tmp_path / "mine.h5")
    xarray.testing.assert_identical(mine.traces("events"), recording.traces("events"))


def test_events_are_what_dff_is_made_of(tmp_path):
    made = mouse.simulate(
        tmp_path, areas=["VISp"], cre_lines=["Cux2-CreERT2"], neurons=4, noise=0, running=0
    )
    recording = mouse.open_nwb(made.paths[0])
    events, dff = (recording.traces(s).values.astype(float) for s in ("events", "dff"))
    onsets = recording.presentations()["start"].values
    assert (events[:, : onsets[0]] == 0).all()
    times = np.arange(90) / 30
    spike = np.exp(-times / 0.25) - np.exp(-times / 0.05)
    spike /= spike.max()
    shown = recording.presentations()["stimulus"].values
    for c, signal in enumerate(made.truth["signal"].values):
        made_of = np.convolve(events[c], spike)[: dff.shape[1]]
        # What is negative is not in the file.
        negative = onsets[(shown >= 0) & (signal[shown] < 0)]
        until = negative[0] if len(negative) else dff.shape[1]
        assert until > onsets[3]
        assert made_of[:until] == pytest.approx(dff[c, :until], abs=1e-6)
        assert (made_of > dff[c] - 1e-6).all()


def test_sweeps_and_responses_are_means_of_events(recording):
    sweeps = mouse.sweeps(recording, signal="events")
    assert sweeps.attrs["units"] == "percent dF/F, events"
    events = 100 * recording.traces("events").values.astype(float)
    shown = recording.presentations()
    start = shown["start"].values
    for k in (0, 17, 400):
        assert sweeps.values[:, k] == pytest.approx(events[:, start[k] - 28 : start[k] + 35])
    found = mouse.responses(recording, signal="events", window=(0, 7))
    of = start[shown["stimulus"].values == 33]
    expected = np.stack([events[:, s : s + 7].mean(1) for s in of], axis=1)
    assert found["trials"].sel(stimulus=33).values == pytest.approx(expected)
    assert found["trials"].attrs["units"] == "percent dF/F, events"


def test_every_statistic_of_events(recording):
    described = mouse.statistics(recording, signal="events", splits=10)
    assert described["peak"].attrs["units"] == "percent dF/F, events"
    assert all(np.isfinite(described[name]).all() for name in described)
    maps = mouse.representations(
        mouse.responses(recording, signal="events")["trials"], size=5, images=recording.images()
    )
    assert maps.shape == (8, 5, 5)


def test_blocks_of_neurons_read_the_file_once(recording, path, monkeypatch):
    calls = []

    def spy(name):
        calls.append(name)
        return read_events(name)

    monkeypatch.setattr("neurn.mouse.nwb.read_events", spy)
    monkeypatch.setattr(importlib.import_module("neurn.mouse.sweeps"), "_CELLS_PER_BLOCK", 3)
    mouse.responses(mouse.open_nwb(path), signal="events")
    assert len(calls) == 1


def test_files_that_are_none_get_a_sentence(path, file, tmp_path):
    def reading(name):
        return mouse.open_nwb(path, events=name).traces("events")

    with pytest.raises(FileNotFoundError, match=r"there is no file '.*none.npz'"):
        reading(tmp_path / "none.npz")
    (tmp_path / "empty.npz").touch()
    with pytest.raises(mouse.RecordingError, match=r"empty.npz' is empty"):
        reading(tmp_path / "empty.npz")
    data = file.read_bytes()
    (tmp_path / "cut.npz").write_bytes(data[: len(data) // 2])
    with pytest.raises(mouse.RecordingError, match=r"cut.npz' is no whole file of events: "):
        reading(tmp_path / "cut.npz")
    damaged = bytearray(data)
    damaged[len(data) // 2 : len(data) // 2 + 50] = bytes(50)
    (tmp_path / "damaged.npz").write_bytes(damaged)
    with pytest.raises(mouse.RecordingError, match=r"damaged.npz' is no whole file of events: "):
        reading(tmp_path / "damaged.npz")
    np.savez(tmp_path / "other.npz", x=np.zeros((8, 5)))
    with pytest.raises(mouse.RecordingError, match=r"other.npz' has no array 'ev'"):
        reading(tmp_path / "other.npz")
    np.savez(tmp_path / "flat.npz", ev=np.zeros(5))
    with pytest.raises(mouse.RecordingError, match=r"'ev' must be \(cells, samples\), got \(5,\)"):
        reading(tmp_path / "flat.npz")
    np.savez(tmp_path / "wrong.npz", ev=np.zeros((5, 9)))
    with pytest.raises(mouse.RecordingError, match=r"wrong.npz' holds events of 5 cells and .* 8;"):
        reading(tmp_path / "wrong.npz")


def test_a_recording_without_events_says_where_they_would_be(path, tmp_path):
    target = tmp_path / "data" / "7.nwb"
    target.parent.mkdir()
    target.write_bytes(path.read_bytes())
    sentence = r"7.nwb' has no events, and there is neither '.*events/7_events.npz' nor '.*data/7_"
    with pytest.raises(mouse.RecordingError, match=sentence):
        mouse.open_nwb(target).traces("events")
