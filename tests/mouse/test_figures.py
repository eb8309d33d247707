import itertools

import numpy as np
import pytest

from neurn import mouse
from neurn.mouse import figures, tables

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def all_found(simulation):
    return [mouse.responses(mouse.open_nwb(path)) for path in simulation.paths]


@pytest.fixture(scope="module")
def peaks(all_found):
    return tables.join([mouse.peaks(found) for found in all_found])


@pytest.fixture(scope="module")
def maps(simulation):
    return tables.join(
        [mouse.representations(mouse.open_nwb(path), size=8) for path in simulation.paths]
    )


def texts(figure):
    found = [t.get_text() for t in figure.texts]
    for axes in figure.axes:
        found += [axes.get_title(loc="left"), axes.get_xlabel(), axes.get_ylabel()]
        found += [t.get_text() for t in axes.get_legend().get_texts()] if axes.get_legend() else []
    return found


def test_peaks_against_time_with_scenes(peaks, recording):
    figure = figures.draw_peaks(peaks, recording.images().values, [49, 50, 51])
    words = texts(figure)
    assert {"peak (percent dF/F)", "time to peak (s from onset)", "scene 49"} <= set(words)
    assert {"VISp", "VISrl", "simulated data"} <= set(words)
    assert "VISl" not in words
    assert len(figure.axes[0].collections[0].get_offsets()) == 32 * 118


def test_the_whole_window_begins_before_onset(recording):
    whole = figures.draw_peaks(mouse.peaks(recording, window="whole"))
    assert whole.axes[0].get_xlim()[0] == -1


@pytest.mark.parametrize("window", ["onset", "whole"])
@pytest.mark.parametrize("scenes", [[], [49], [49, 50, 51, 52]])
def test_numbers_on_axes_do_not_overlap(recording, window, scenes):
    peaks = mouse.peaks(recording, window=window)
    figure = figures.draw_peaks(peaks, recording.images().values, scenes)
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [t.label1.get_window_extent() for t in axes.xaxis.get_major_ticks()]
        boxes = [b for b in boxes if b.width > 1]
        assert all(b.x1 < c.x0 for b, c in itertools.pairwise(boxes))


def test_counts(peaks):
    figure = figures.draw_counts(["Vip", "Cux2-2", "Vip", "unknown", "Sst"], "group", False)
    axes = figure.axes[0]
    assert [t.get_text() for t in axes.get_xticklabels()] == ["Cux2-2", "unknown", "Sst", "Vip"]
    assert [int(bar.get_height()) for bar in axes.patches] == [1, 1, 1, 2]
    assert "simulated data" not in texts(figure)
    figure = figures.draw_counts(peaks["area"].values, "area", simulated=True)
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["VISp", "VISrl"]
    assert "simulated data" in texts(figure)
    figure = figures.draw_counts(["Vip-IRES-Cre"], "driver", simulated=False)
    assert "inhibitory" in texts(figure)


def test_reliability_and_maps(all_found, maps):
    described = tables.join([mouse.statistics(found, splits=5) for found in all_found])
    figure = figures.draw_reliability(described)
    assert any(word.startswith("VISp (16), median") for word in texts(figure))
    line = figure.axes[0].lines[0]
    values = np.sort(described["reliability"].values[described["area"].values == "VISp"])
    for at in (values[0] - 0.01, values[0], values[7], np.mean(values[7:9]), values[-1] + 0.01):
        step = line.get_ydata()[np.searchsorted(line.get_xdata(), at)]  # of steps before a point
        assert step == pytest.approx(100 * (values >= at).mean())
    figure = figures.draw_maps(maps, count=15)
    assert sum(bool(axes.images) for axes in figure.axes) == 15
    assert "simulated data" in texts(figure)


def test_embedding(maps):
    chosen = mouse.select(maps, excitatory=4, inhibitory=4, per_cluster=2, embedding="pca")
    figure = figures.draw_embedding(chosen, maps["area"].values, "area")
    words = texts(figure)
    assert "excitatory; ringed: 4 chosen of 16" in words
    assert "principal component 1 (arbitrary units)" in words
    groups = [f"Group-{i % 22}" for i in range(maps.sizes["neuron"])]
    drawn = figures.draw_embedding(chosen, groups, "genotype group").axes[0].collections
    looks = {
        (tuple(c.get_facecolor()[0]), c.get_paths()[0].vertices.tobytes())
        for c in drawn
        if len(c.get_facecolor())
    }
    assert len(looks) == 22  # colours and shapes together tell all groups apart
    groups = np.resize(["Vip", "Cux2-1", "Sst", "Tlx3"], maps.sizes["neuron"])
    legend = figures.draw_embedding(chosen, groups, "genotype group").axes[-1].get_legend()
    assert [t.get_text() for t in legend.get_texts()] == ["Cux2-1", "Tlx3", "Sst", "Vip"]
    chosen = mouse.select(maps, excitatory=4, inhibitory=4, method="random")
    with pytest.raises(ValueError, match="select with method='clusters'"):
        figures.draw_embedding(chosen, maps["area"].values, "area")


def test_one_neuron(recording):
    words = texts(figures.draw_neuron(recording, 2))
    assert "cell 3, VISp, experiment 900000001" in words
    assert {"time (s)", "dF/F (percent)", "correlation with the pixel"} <= set(words)
    assert {"x (pixels)", "y (pixels)", "simulated data"} <= set(words)


def test_the_data_of_one_neuron(recording, found):
    table = figures.neuron_table(recording, 2)
    assert (table["neuron"] == 3).all() and table["simulated"].all()
    panels = {name: part for name, part in table.groupby("panel")}
    dff = 100 * recording.traces("dff", [2]).values[0]
    assert panels["trace"]["value"].values == pytest.approx(dff)
    assert panels["trace"]["x"].values == pytest.approx(
        recording.timestamps - recording.timestamps[0]
    )
    mean = found["trials"].isel(neuron=2).mean("trial")
    tuning = panels["tuning"].set_index("x")["value"]
    assert tuning.is_monotonic_decreasing and len(tuning) == 118
    assert tuning.loc[7] == pytest.approx(float(mean.sel(stimulus=7)))
    sweep = found["sweep"].isel(neuron=2).sel(stimulus=int(tuning.index[0]))
    assert panels["preferred image"]["value"].values == pytest.approx(sweep.values)
    maps = mouse.representations(recording).values[2]
    cell = panels["map"].query("x == 4 and y == 9")["value"].item()
    assert cell == pytest.approx(maps[9, 4], abs=1e-6) and len(panels["map"]) == 31 * 31


def test_pictures_are_written_with_their_data(peaks, maps, tmp_path):
    import pandas

    pytest.importorskip("pyarrow")
    figures.save(figures.draw_maps(maps), tmp_path / "b.pdf", maps, ".parquet")
    assert (tmp_path / "b.pdf").read_bytes().startswith(b"%PDF")
    frame = pandas.read_parquet(tmp_path / "b.parquet")
    assert np.array_equal(frame["representations"], maps.values.ravel())
    figures.save(figures.draw_maps(maps), tmp_path / "a.svg", peaks)
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    frame = pandas.read_csv(tmp_path / "a.csv")
    assert len(frame) == 32 * 118 and frame["simulated"].all()
    with pytest.raises(ValueError, match=r"must end in .png, .pdf, .svg"):
        figures.save(figures.draw_maps(maps), tmp_path / "a.gif")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".nc"])
def test_an_interrupted_export_keeps_the_old_file(peaks, tmp_path, monkeypatch, suffix):
    import pandas

    target = tmp_path / f"a{suffix}"
    target.write_bytes(b"old")

    def interrupted(self, file, *_, **__):
        if hasattr(file, "write"):
            file.write("x" if suffix == ".csv" else b"x")
        else:
            file.write_bytes(b"x")
        raise KeyboardInterrupt

    monkeypatch.setattr(pandas.DataFrame, "to_csv", interrupted)
    monkeypatch.setattr(pandas.DataFrame, "to_parquet", interrupted)
    monkeypatch.setattr(type(peaks), "to_netcdf", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tables.write(peaks, target)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_picture_that_fails_leaves_no_file(maps, tmp_path):
    figure = figures.draw_maps(maps)
    figure.savefig = None
    with pytest.raises(TypeError):
        figures.save(figure, tmp_path / "a.png", maps)
    assert list(tmp_path.iterdir()) == []


def test_tables_come_back_equal(peaks, maps, tmp_path):
    import pandas
    import xarray

    tables.write(maps, tmp_path / "a.nc")
    back = xarray.load_dataarray(tmp_path / "a.nc", engine="h5netcdf")
    assert (back.values == maps.values).all() and back.attrs["simulated"] == 1
    pytest.importorskip("pyarrow")
    tables.write(peaks, tmp_path / "a.parquet")
    frame = pandas.read_parquet(tmp_path / "a.parquet")
    assert np.array_equal(frame["peak"], peaks["peak"].values.ravel())
    tables.write(maps, tmp_path / "b.csv")
    assert len(pandas.read_csv(tmp_path / "b.csv")) == maps.size
    with pytest.raises(ValueError, match=r"must end in .csv, .parquet, .nc"):
        tables.write(maps, tmp_path / "a.txt")
    with pytest.raises(ValueError, match="at least one recording, got none"):
        tables.join([])
