import numpy as np
import pandas
import pytest
import xarray
from scipy.stats import false_discovery_control

from neurn import compare
from neurn.compare.controls import rescaled
from tests.compare.cases import labelled, planted


def table(random, effect=0.0, neurons=120, mice=6, spread=0.0, **columns):
    owner = np.repeat(np.arange(mice), neurons // mice)
    shift = spread * random.standard_normal(mice)[owner]
    base = {
        "neuron": np.arange(neurons),
        "experiment": owner,
        "area": np.where(np.arange(neurons) % 2, "VISp", "VISl"),
        "model": "net",
        "layer": "0",
        "front_end": "none",
        "score": effect + shift + random.standard_normal(neurons),
        "null": 0.0,
    }
    return pandas.DataFrame({**base, **columns})


def test_corrections():
    p = [0.01, 0.04, 0.03, np.nan, 0.005]
    np.testing.assert_allclose(compare.holm(p), [0.03, 0.06, 0.06, np.nan, 0.02])
    expected = false_discovery_control([0.01, 0.04, 0.03, 0.005])
    np.testing.assert_allclose(np.delete(compare.benjamini_hochberg(p), 3), expected)
    assert np.isnan(compare.benjamini_hochberg(p)[3]) and compare.holm([]).shape == (0,)
    assert np.isnan(compare.holm([np.nan])).all()
    assert compare.holm([0.9, 0.8]).max() == 1
    with pytest.raises(ValueError, match="p must be from 0 to 1"):
        compare.holm([1.2])


def test_bootstrap_knows_that_neurons_of_a_mouse_go_together(random):
    """Spread between mice widens the interval; the plain one does not see it."""
    owner = np.repeat(np.arange(10), 100)
    values = random.standard_normal(10)[owner] + 0.1 * random.standard_normal(1000)
    plain = compare.hierarchical_bootstrap(values)
    grouped = compare.hierarchical_bootstrap(values, owner)
    assert plain.std() == pytest.approx(values.std() / np.sqrt(1000), rel=0.1)
    between = np.array([values[owner == k].mean() for k in range(10)]).std()
    assert grouped.std() == pytest.approx(between / np.sqrt(10), rel=0.1)
    assert grouped.mean() == pytest.approx(values.mean(), abs=0.05)
    with pytest.raises(ValueError, match="one entry for each neuron"):
        compare.hierarchical_bootstrap(values, owner[1:])


def test_layers_stay_in_the_order_of_the_model(random):
    """By the alphabet l10 would come before l2, and model A before B."""
    both = pandas.concat(
        [
            table(random, model=model, layer=layer, front_end=front)
            for model in "BA"
            for layer in ("l2", "l10")
            for front in ("none", "neurn")
        ]
    )
    found = compare.by_group(both, "area", samples=10)
    lines = list(zip(found["model"], found["front_end"], found["layer"], strict=True))
    assert (
        lines[::2]
        == lines[1::2]
        == [
            (model, front, layer)
            for model in "BA"
            for front in ("none", "neurn")
            for layer in ("l2", "l10")
        ]
    )
    assert found["area"].tolist() == ["VISl", "VISp"] * 8
    plain, behind = (both[both["front_end"] == front] for front in ("none", "neurn"))
    changed = compare.paired(behind, plain, None, samples=10)
    assert changed["layer"].tolist() == ["l2", "l10"] * 2


def test_intervals_cover(random):
    """Of 15 mice with spread between them, about 95 % of intervals hold the truth."""
    inside = 0
    for k in range(100):
        one = table(random, 0.3, mice=15, neurons=150, spread=0.5)
        found = compare.by_group(one, None, samples=400, seed=k).iloc[0]
        inside += found["low"] <= 0.3 <= found["high"]
    assert 85 <= inside <= 99


def test_groups_and_tests(random):
    one = table(random, effect=-0.8)
    found = compare.by_group(one, "area").set_index("area")
    assert (found["n"] == 60).all() and (found["n_mice"] == 6).all() and found["tested"].all()
    expected = one.groupby("area")["score"].mean()
    np.testing.assert_allclose(found["score"], expected)
    assert (found["p_corrected"] < 0.05).all() and (found["p_corrected"] >= found["p"]).all()
    assert (found["difference_high"] < 0).all() and (found["model"] == "net").all()
    nothing = compare.by_group(table(random), "area")
    assert (nothing["p_corrected"] > 0.01).all()
    models = pandas.concat([one, one.assign(model="other")])
    both = compare.by_group(models, ["area"], correction="bh", against=None)
    assert len(both) == 4 and "p" not in both
    assert len(compare.by_group(one[["score"]], None, against=None)) == 1


def test_small_groups_are_shown_not_tested(random):
    one = table(random, -2.0)
    one.loc[:4, "area"] = "VISam"
    one.loc[5:29, "area"] = "VISrl"  # 25 neurons of two mice
    one.loc[20:44, "area"] = "VISal"
    one.loc[one["area"] == "VISal", "experiment"] = 1  # many of one mouse
    found = compare.by_group(one, "area").set_index("area")
    for small in ("VISam", "VISal"):
        assert not found.loc[small, "tested"] and np.isnan(found.loc[small, "p_corrected"])
        assert np.isfinite(
            found.loc[small, ["score", "low", "high", "difference"]].astype(float)
        ).all()
    assert found.loc["VISp", "tested"] and found.loc["VISp", "p"] < 0.01
    one.loc[one["area"] == "VISam", "score"] = np.nan
    assert compare.by_group(one, "area").set_index("area").loc["VISam", "n"] == 0
    with pytest.raises(ValueError, match="must have a column 'driver'"):
        compare.by_group(one, "driver")
    with pytest.raises(ValueError, match="correction must be one of"):
        compare.by_group(one, correction="bonferroni")


def test_paired(random):
    one = table(random, spread=2.0)
    behind = one.assign(score=one["score"] - 0.3, front_end="neurn")
    found = compare.paired(behind.sample(frac=1, random_state=0), one, "area")
    np.testing.assert_allclose(found["difference"], -0.3)
    np.testing.assert_allclose(found["with"] - found["without"], -0.3)
    # Spread between neurons and mice is gone: the difference is the same in all.
    np.testing.assert_allclose(found["difference_low"], -0.3)
    assert (found["front_end"] == "neurn").all() and (found["p_corrected"] < 0.01).all()
    with pytest.raises(ValueError, match="119 and 120 lines, 119 in common"):
        compare.paired(behind[1:], one)
    with pytest.raises(ValueError, match="each neuron of a model's layer once"):
        compare.paired(pandas.concat([behind, behind]), one)
    few = compare.paired(behind[:10], one[:10])
    assert not few["tested"].any() and few["p"].isna().all() and few["with"].notna().all()


def test_matched_reliability_undoes_a_confound(random):
    """Both areas score by reliability alone; one area is more reliable."""
    one = table(random, neurons=600)
    visp = (one["area"] == "VISp").to_numpy()
    one["reliability"] = np.clip(0.3 + 0.3 * visp + 0.2 * random.standard_normal(600), 0, 1)
    one["score"] = one["reliability"] + 0.05 * random.standard_normal(600)
    found = compare.reliability_matched(one, bins=10).set_index("area")
    assert found.loc["VISp", "score"] - found.loc["VISl", "score"] > 0.2
    assert abs(found.loc["VISp", "matched"] - found.loc["VISl", "matched"]) < 0.03
    same = found["reliability_matched"]
    assert abs(same["VISp"] - same["VISl"]) < 0.03
    assert (found["low"] < found["matched"]).all() and found["n_matched"].nunique() == 1
    strict = compare.reliability_matched(one, least=0.5)
    assert strict["n"].sum() < 600
    with pytest.raises(ValueError, match="model takes several values"):
        compare.reliability_matched(one.assign(model=["a", "b"] * 300))
    with pytest.raises(ValueError, match="2 groups or more"):
        compare.reliability_matched(one[one["area"] == "VISp"])
    apart = one.assign(reliability=np.where(visp, 0.9, 0.1))
    with pytest.raises(ValueError, match="no bin of 'reliability' holds"):
        compare.reliability_matched(apart, bins=2)


def test_matched_shuffles(random):
    activity = random.standard_normal((40, 6))
    mixed = compare.matched_shuffle(activity)
    np.testing.assert_array_equal(np.sort(mixed, 0), np.sort(activity, 0))
    assert abs(np.corrcoef(mixed[:, 0], activity[:, 0])[0, 1]) < 0.5
    assert not np.array_equal(mixed[:, 0].argsort(), mixed[:, 1].argsort())
    maps = random.standard_normal((5, 4, 4))
    mixed = compare.matched_shuffle(maps)
    np.testing.assert_array_equal(np.sort(mixed.reshape(5, -1), 1), np.sort(maps.reshape(5, -1), 1))
    layer = xarray.DataArray(
        random.standard_normal((9, 3, 2, 2)), dims=("stimulus", "feature", "y", "x")
    )
    mixed = compare.matched_shuffle(layer)
    assert mixed.dims == layer.dims
    whole = {tuple(x) for x in layer.values[:, 1].reshape(9, -1)}
    assert {tuple(x) for x in mixed.values[:, 1].reshape(9, -1)} == whole
    named = xarray.DataArray(maps, dims=("feature", "y", "x"))
    assert np.sort(compare.matched_shuffle(named).values[0].ravel())[0] == maps[0].min()
    with pytest.raises(ValueError, match="2 axes or more"):
        compare.matched_shuffle(np.ones(3))


def test_a_scale_effect_is_seen_as_one(random):
    """A front end that only shrinks activity: unnormalized RMSE falls, the controls tell why."""
    maps = random.standard_normal((30, 6, 6))
    plain = random.standard_normal((50, 6, 6))
    behind = 0.2 * plain  # closer to everything, as zero is
    settings = {"normalize": "none", "pairing": "mean", "permutations": 20}
    first = compare.rmse(maps, plain, **settings)
    second = compare.rmse(
        maps, behind, baselines={"shuffled": compare.matched_shuffle(behind)}, **settings
    )
    assert second["score"].mean() < first["score"].mean() - 0.2  # "closer to the neurons"
    np.testing.assert_allclose(second["shuffled"].mean(), second["score"].mean(), rtol=0.02)
    assert second["constant"].mean() < second["score"].mean()  # a grey map is better still
    assert second["z"].abs().mean() < 2
    fair = {**settings, "normalize": "zscore"}
    np.testing.assert_allclose(
        compare.rmse(maps, plain, **fair)["score"], compare.rmse(maps, behind, **fair)["score"]
    )


def test_rescaled(random):
    plain, like = random.standard_normal((30, 4, 3, 3)), 5 + 0.1 * random.random((30, 4, 3, 3))
    made = rescaled(plain, like)
    np.testing.assert_allclose(made.mean((0, 2, 3)), like.mean((0, 2, 3)))
    np.testing.assert_allclose(made.std((0, 2, 3)), like.std((0, 2, 3)))
    assert np.corrcoef(made[:, 0].ravel(), plain[:, 0].ravel())[0, 1] == pytest.approx(1)
    named = xarray.DataArray(plain, dims=("stimulus", "feature", "y", "x"))
    np.testing.assert_allclose(rescaled(named, like).values, made)
    with pytest.raises(ValueError, match="like must be of the same features"):
        rescaled(plain, like[:, :2])


def test_from_responses_to_groups(random):
    trials, activity, _ = planted(random, neurons=80)
    data = labelled(trials)
    scored = compare.rmse(data, activity, permutations=20)
    found = compare.by_group(scored, "area", samples=200)
    assert found["tested"].all() and (found["difference_high"] < 0).all()
    behind = compare.rmse(data, np.exp(activity), permutations=20)
    change = compare.paired(behind.assign(front_end="exp"), scored, "area", samples=200)
    assert (change["difference"] > 0).all() and (change["p_corrected"] < 0.05).all()
