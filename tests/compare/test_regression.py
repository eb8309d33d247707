import sys

import numpy as np
import pytest
from sklearn.cross_decomposition import PLSRegression
from sklearn.linear_model import Ridge

from neurn import compare
from neurn.compare.regression import split
from tests.compare.cases import labelled, planted


def standard(x, fit):
    return (x - x[fit].mean(0)) / x[fit].std(0)


def by_sklearn(x, y, alpha, folds, seed=0):
    """Ridge of one strength: its R2 of all held-out predictions."""
    predicted, total = np.empty_like(y), 0
    for fit, out in split(len(x), folds, seed):
        z = standard(x, fit)
        predicted[out] = Ridge(alpha).fit(z[fit], y[fit]).predict(z[out])
        total = total + ((y[out] - y[fit].mean(0)) ** 2).sum(0)
    return 1 - ((y - predicted) ** 2).sum(0) / total


@pytest.mark.parametrize("features", [10, 100])
@pytest.mark.parametrize("alpha", [0.1, 50.0])
def test_ridge_as_sklearn(random, features, alpha):
    trials, activity, _ = planted(random, features=features, scenes=40)
    found = compare.regression(trials, activity, alphas=[alpha], permutations=0)
    np.testing.assert_allclose(
        found["score"], by_sklearn(activity, trials.mean(2).T, alpha, 5), atol=1e-6
    )
    np.testing.assert_allclose(found["chosen"], alpha)


def test_the_strength_is_chosen_on_the_rest(random):
    """Nested by hand: each neuron's strength by inner folds, one outer fold at a time."""
    trials, activity, _ = planted(random, scenes=30, neurons=6, noise=2.0)
    alphas, y = [0.1, 10.0, 1000.0], trials.mean(2).T
    predicted, total = np.empty_like(y), 0
    for fit, out in split(30, 5, 0):
        errors = np.zeros((3, 6))
        for inner_fit, inner_out in split(len(fit), 4, 0):
            a, b = fit[inner_fit], fit[inner_out]
            z = standard(activity, a)
            for i, alpha in enumerate(alphas):
                errors[i] += ((Ridge(alpha).fit(z[a], y[a]).predict(z[b]) - y[b]) ** 2).sum(0)
        z = standard(activity, fit)
        for k, best in enumerate(errors.argmin(0)):
            model = Ridge(alphas[best]).fit(z[fit], y[fit, k])
            predicted[out, k] = model.predict(z[out])
        total = total + ((y[out] - y[fit].mean(0)) ** 2).sum(0)
    found = compare.regression(trials, activity, alphas=alphas, permutations=0)
    expected = 1 - ((y - predicted) ** 2).sum(0) / total
    np.testing.assert_allclose(found["score"], expected, atol=1e-8)
    r = [np.corrcoef(y[:, k], predicted[:, k])[0, 1] for k in range(6)]
    np.testing.assert_allclose(found["r"], r, atol=1e-8)


def test_blocks_of_targets_change_nothing(random, monkeypatch):
    trials, activity, _ = planted(random, neurons=25, scenes=40)
    whole = compare.regression(trials, activity, permutations=3)
    module = sys.modules["neurn.compare.regression"]  # the function has its name
    monkeypatch.setattr(module, "_BLOCK_BYTES", 8 * 10 * 40 * 4)
    parts = compare.regression(trials, activity, permutations=3)
    for name in ("score", "r", "null", "p", "chosen"):
        np.testing.assert_allclose(parts[name], whole[name], rtol=1e-9)


def test_pls_as_sklearn(random):
    trials, activity, _ = planted(random, scenes=40, neurons=8)
    y = trials.mean(2).T
    found = compare.regression(trials, activity, method="pls", components=[3], permutations=0)
    predicted, total = np.empty_like(y), 0
    for fit, out in split(40, 5, 0):
        predicted[out] = PLSRegression(3).fit(activity[fit], y[fit]).predict(activity[out])
        total = total + ((y[out] - y[fit].mean(0)) ** 2).sum(0)
    expected = 1 - ((y - predicted) ** 2).sum(0) / total
    np.testing.assert_allclose(found["score"], expected, atol=1e-6)
    assert (found["chosen"] == 3).all() and (found["method"] == "pls").all()


def test_reaches_the_ceiling_of_a_linear_truth(random):
    trials, activity, _ = planted(random, neurons=40, scenes=200, features=5, noise=2.0)
    found = compare.regression(labelled(trials), activity, permutations=19)
    assert found["fraction"].mean() == pytest.approx(1, abs=0.1)
    assert found["ceiling"].mean() == pytest.approx(1 / (1 + 4 / 10), abs=0.05)
    assert (found["p"] == 0.05).all() and (found["null"] < 0.02).all()
    shuffled = compare.regression(trials, random.permutation(activity), permutations=19)
    assert shuffled["score"].mean() < 0.02 and abs(shuffled["z"].mean()) < 1
    alone = compare.regression(trials.mean(2), activity, permutations=0)
    assert alone["ceiling"].isna().all() and alone["p"].isna().all()


def test_pls_chooses_components_and_a_null(random):
    trials, activity, _ = planted(random, neurons=8, scenes=40, features=4)
    steps = []
    found = compare.regression(
        trials,
        activity,
        method="pls",
        components=(1, 2, 4, 64),
        permutations=3,
        progress=lambda *a: steps.append(a),
    )
    assert steps == [(k, 4) for k in (1, 2, 3, 4)] and (found["score"] > found["null"]).all()
    assert (found["chosen"] <= 4).all() and (found["p"] == 0.25).all()
    only = compare.regression(trials, activity, method="pls", components=(64,), permutations=0)
    assert (only["chosen"] == 4).all()  # as many as there are features


def test_errors(random):
    trials, activity, _ = planted(random)
    with pytest.raises(ValueError, match="must have seen 15 scenes or more, got 12"):
        compare.regression(trials[:, :12], activity[:12])
    with pytest.raises(ValueError, match="method must be one of ridge, pls"):
        compare.regression(trials, activity, method="lasso")
    with pytest.raises(ValueError, match="alphas must be positive"):
        compare.regression(trials, activity, alphas=[0])
    with pytest.raises(ValueError, match="components must be at least 1"):
        compare.regression(trials, activity, components=[])
    with pytest.raises(ValueError, match="folds must be at least 2"):
        compare.regression(trials, activity, folds=1)


def test_real_neurons_are_predicted_by_pixels(real):
    data = real("antolik2016_v1_validation.npz")
    trials = data["trials1"].transpose(2, 1, 0)
    found = compare.regression(trials, data["images1"].reshape(50, -1), permutations=20)
    # 50 scenes are few: hardly anything is predicted, and some of it is not chance.
    assert np.isfinite(found["score"]).all() and found["score"].mean() < found["ceiling"].mean()
    assert found["score"].mean() > found["null"].mean()
