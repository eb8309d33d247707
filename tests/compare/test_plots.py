import numpy as np
import pandas
import pytest
import xarray

from neurn import compare, features, front_ends, mouse
from neurn.compare import plots
from neurn.compare.plots import distributions
from tests.compare.cases import labelled, planted

pyplot_text = pytest.importorskip("matplotlib.text")


@pytest.fixture(scope="module")
def scored():
    """Two models with and without a front end; simulated neurons, random weights."""
    random = np.random.default_rng(4)
    trials, activity, _ = planted(random, neurons=60, scenes=30)
    data = labelled(trials, simulated=1)
    tables = {"none": [], "neurn": []}
    for name in ("A", "B"):
        for front, values in (("none", activity), ("neurn", np.abs(activity))):
            said = {"model": name, "front_end": front, "layer": "0", "weights": "random weights"}
            layer = xarray.DataArray(values, dims=("stimulus", "feature"), attrs=said)
            tables[front].append(compare.rmse(data, layer, permutations=5))
    return data, activity, {k: pandas.concat(v, ignore_index=True) for k, v in tables.items()}


def words(figure):
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_xlabel(), axes.get_ylabel(), axes.get_title()]
        found += [text.get_text() for text in axes.texts]
        found += [label.get_text() for label in axes.get_xticklabels() + axes.get_yticklabels()]
        legend = axes.get_legend()
        found += [text.get_text() for text in legend.get_texts()] if legend else []
    for legend in figure.legends:
        found += [text.get_text() for text in legend.get_texts()]
    return found


def test_violins(scored, tmp_path):
    _, _, tables = scored
    both = pandas.concat(tables.values())
    figure = plots.violins(both)
    assert {"VISp\n(120)", "VISl\n(120)", "RMSE (zscore)", "shuffled scenes"} <= set(words(figure))
    assert "simulated data, random weights" in words(figure)
    medians = both.groupby("area")["score"].median()
    offsets = [c.get_offsets()[0] for c in figure.axes[0].collections if len(c.get_offsets())]
    shown = [float(y) for _, y in offsets if any(np.isclose(y, medians))]
    assert shown == sorted(medians)  # the lowest first, its median where it is
    models = plots.violins(both, "cre_line", over="models")
    assert {"inhibitory", "excitatory"} <= set(words(models))
    plots.save(models, tmp_path / "a.png", both)
    assert (tmp_path / "a.csv").exists() and (tmp_path / "a.png").stat().st_size > 5000
    real = both.assign(simulated=False, weights="w")
    assert not any("simulated" in word for word in words(plots.violins(real)))
    with pytest.raises(ValueError, match="must have a column 'depth'"):
        plots.violins(both, "depth")
    with pytest.raises(ValueError, match="holds no 'score'"):
        plots.violins(both.assign(score=np.nan))
    with pytest.raises(ValueError, match="over must be one of"):
        plots.violins(both, over="mice")


def test_scatter_and_deltas(scored):
    _, _, tables = scored
    paired = compare.paired(tables["neurn"], tables["none"], "area", samples=50)
    figure = plots.scatter(paired)
    axes = figure.axes[0]
    assert axes.get_xlabel() == "RMSE (zscore) without NeuRN" and axes.get_xlim() == axes.get_ylim()
    discs = np.array([c.get_offsets()[0] for c in axes.collections])
    np.testing.assert_allclose(np.sort(discs[:, 0]), np.sort(paired["without"]))
    np.testing.assert_allclose(np.sort(discs[:, 1]), np.sort(paired["with"]))
    assert "VISp" in words(figure) and "simulated data, random weights" in words(figure)
    drivers = compare.paired(tables["neurn"], tables["none"], "cre_line", samples=50)
    both = plots.scatter(pandas.concat([paired, drivers]), ["area", "cre_line"])
    assert {"area", "inhibitory", "Vip-IRES-Cre"} <= set(words(both))
    assert {"too few to test", "not sure", "corrected p < 0.05"} & set(words(plots.deltas(paired)))
    lines = plots.deltas(paired, ["model", "area"])
    assert "A, VISl (30)" in words(lines)
    assert lines.axes[0].get_xlabel() == "RMSE (zscore) with NeuRN minus without"
    for draw in (plots.scatter, plots.deltas):
        empty = paired.assign(**{"with": np.nan, "difference": np.nan})
        with pytest.raises(ValueError, match="that is not NaN"):
            draw(empty)


def test_names_of_a_crowd_do_not_hide_each_other(tmp_path):
    """Sixteen groups in a heap, as published ones are."""
    random = np.random.default_rng(0)
    names = [f"Group-{k}" for k in range(16)]
    x = 0.115 + 0.002 * random.standard_normal(16)
    table = pandas.DataFrame({"group": names, "without": x, "with": x - 0.003, "n": 50})
    figure = plots.scatter(table, "group")
    plots.save(figure, str(tmp_path / "scatter.png"))
    backend = pytest.importorskip("matplotlib.backends.backend_agg")
    renderer = backend.RendererAgg(2000, 2000, figure.dpi)
    texts = [text for text in figure.axes[0].texts if text.get_text() in names]
    # Of the words alone: a text's own box holds its line to the disc, too.
    boxes = [pyplot_text.Text.get_window_extent(text, renderer) for text in texts]
    assert len(boxes) == 16
    for k, one in enumerate(boxes):
        for other in boxes[:k]:
            wide = min(one.x1, other.x1) - max(one.x0, other.x0)
            high = min(one.y1, other.y1) - max(one.y0, other.y0)
            assert not (wide > 0.1 * one.width and high > 0.3 * one.height)


def test_heat_and_profiles(scored):
    data, activity, tables = scored
    found = compare.by_group(tables["none"], "area", samples=50, least_mice=3)
    figure = plots.heat(found)
    shown = words(figure)
    assert all(f"{score:.3f}" in shown for score in found["score"])
    styles = {t.get_fontstyle() for t in figure.axes[0].texts}
    assert styles == {"italic"}  # two mice each: not tested
    with pytest.raises(ValueError, match="each pair of 'model' and 'area' once"):
        plots.heat(pandas.concat([found, found]))
    layers = []
    for front in ("none", "neurn"):
        for place in range(3):
            said = {"model": "A", "front_end": front, "layer": f"conv{place}", "weights": "w"}
            layer = xarray.DataArray(
                activity + place * np.random.default_rng(place).standard_normal(activity.shape),
                dims=("stimulus", "feature"),
                attrs=said,
            )
            layers.append(compare.cka(data, layer, permutations=5, bootstrap=5))
    table = pandas.concat(layers)
    figure = plots.profiles(table)
    assert {"noise ceiling", "NeuRN", "without front end", "conv2", "CKA"} <= set(words(figure))
    (first, *_) = figure.axes[0].lines[1:]
    np.testing.assert_allclose(first.get_ydata(), table["score"][:3])
    assert "noise ceiling" in words(plots.profiles(table, ceiling=(0.1, 0.3)))


def test_boxes_and_densities(scored):
    data, activity, _ = scored
    sets = {"features": activity, "neurn + features": np.abs(activity)}
    table = compare.distributions(data, sets)
    figure = plots.densities(data, sets, table, count=5, by="area")
    assert len(figure.axes) == 10 and {"NeuRN + features", "neurons"} <= set(words(figure))
    titles = [float(axes.get_title().split("\n")[1]) for axes in figure.axes]
    assert min(titles[:5]) > max(titles[5:])
    with pytest.raises(ValueError, match="each of the 60 neurons once"):
        plots.densities(data, sets, table[:10])
    drawn = plots.boxes({"features": activity[:, 0], "neurons": [0.1, 0.2, np.nan]}, "RMSE")
    assert "neurons\n(2)" in words(drawn)
    assert "random weights" in words(plots.boxes({"a": [1, 2]}, "b", note="random weights"))
    with pytest.raises(ValueError, match="values must hold numbers"):
        plots.boxes({"a": [np.nan]}, "b")


def test_a_thing_has_one_colour_everywhere(scored):
    data, activity, tables = scored
    for names, key in (
        (("none", "features", "feature maps", "features, unmatched"), "none"),
        (("neurn", "NeuRN", "neurn + features, matched", "NeuRN + feature maps"), "neurn"),
        (("lcn", "Local contrast normalization + features"), "lcn"),
        (("neurons", "neural representations"), "neurons"),
    ):
        assert {plots.colour_of(name, k) for k, name in enumerate(names)} == {plots.COLOURS[key]}
    assert len({plots.colour_of(name) for name in front_ends.FRONT_ENDS}) == len(
        front_ends.FRONT_ENDS
    )
    others = [plots.colour_of(name, k) for k, name in enumerate(("neurn:5", "neurn:7", "mine"))]
    assert len(set(others)) == 3 and not {*others} & {*plots.COLOURS.values()}
    # As the study names its sets: by their front ends.
    sets = {"none": activity, "sobel": activity + 1, "neurn": np.abs(activity)}
    figure = plots.densities(data, sets, compare.distributions(data, sets), count=2)
    said = {text.get_text() for text in figure.legends[0].texts}
    assert said == {"neurons", "without front end", "Sobel", "NeuRN"}
    drawn = [line.get_color() for line in figure.axes[0].lines]
    assert drawn == [plots.COLOURS[key] for key in ("neurons", *sets)]
    curves = pandas.concat([tables[name].assign(front_end=name)[:2] for name in ("none", "neurn")])
    lines = plots.profiles(curves).axes[0].lines
    assert [line.get_color() for line in lines[:2]] == [
        plots.COLOURS[key] for key in ("none", "neurn")
    ]


def test_grids():
    random = np.random.default_rng(0)
    said = {"model": "net", "layer": "conv1", "weights": "random weights (seed 0)"}
    layer = xarray.DataArray(
        random.random((3, 20, 6, 6)), dims=("stimulus", "feature", "y", "x"), attrs=said
    )
    maps = features.representations(layer, kind="map")
    table = xarray.DataArray(random.random((30, 25)), dims=("neuron", "stimulus"))
    neural = mouse.representations(table, mode="stimulus")
    figure = plots.grids(maps, neural)
    shown = [word for part in figure.subfigs for word in words(part)] + words(figure)
    titles = {
        "20 features of net, layer conv1\n6 x 6",
        "30 neural representations\n5 x 5",
        "random weights",
    }
    assert titles <= set(shown)
    with pytest.raises(ValueError, match="features must be maps"):
        plots.grids(layer, neural)


def test_groups_without_spread_and_empty_tables(scored):
    _, _, tables = scored
    flat = tables["none"].assign(score=1.0)
    assert plots.violins(flat)
    with pytest.raises(ValueError, match="no overlap that is not NaN"):
        distributions._extremes(np.full(3, np.nan), np.zeros(3), 2)
    high, low = distributions._extremes(np.array([0.1, np.nan, 0.5, 0.3]), np.zeros(4), 9)
    assert high.tolist() == [2, 3, 0] and low.tolist() == [0, 3, 2]  # no more than there are
