import numpy as np
import pytest

from neurn import compare
from tests.compare.cases import labelled, planted


def biased(x, y):
    """Kornblith et al. (2019), from covariances of features."""
    x, y = x - x.mean(0), y - y.mean(0)
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return np.linalg.norm(y.T @ x) ** 2 / norms


def hsic1(k, m):
    """The unbiased estimator of Song et al. (2012), term by term."""
    n = len(k)
    k, m = k - np.diag(np.diag(k)), m - np.diag(np.diag(m))
    one = np.ones(n)
    first = np.trace(k @ m)
    second = (one @ k @ one) * (one @ m @ one) / ((n - 1) * (n - 2))
    third = 2 / (n - 2) * (one @ k @ m @ one)
    return (first + second - third) / (n * (n - 3))


def test_formulas(random):
    x, y = random.standard_normal((25, 7)), random.standard_normal((25, 9)) + 3
    y[:, :4] += x[:, :4]
    settings = {"permutations": 0, "bootstrap": 0}
    found = compare.cka(x.T, y, debiased=False, **settings)["score"][0]
    assert found == pytest.approx(biased(x, y), abs=1e-9)
    k, m = x @ x.T, y @ y.T
    expected = hsic1(k, m) / np.sqrt(hsic1(k, k) * hsic1(m, m))
    assert compare.cka(x.T, y, **settings)["score"][0] == pytest.approx(expected, abs=1e-9)


def test_debiased_is_about_zero_for_unrelated_patterns(random):
    scores = {True: [], False: []}
    for _ in range(20):
        x, y = random.standard_normal((30, 100)), random.standard_normal((30, 200))
        for debiased in scores:
            found = compare.cka(x.T, y, debiased=debiased, permutations=0, bootstrap=0)
            scores[debiased].append(found["score"][0])
    assert abs(np.mean(scores[True])) < 0.05 and np.mean(scores[False]) > 0.7


def test_invariant_to_rotation_and_scale(random):
    x = random.standard_normal((30, 8))
    rotation = np.linalg.qr(random.standard_normal((8, 8)))[0]
    for debiased in (True, False):
        found = compare.cka(
            x.T, 5 * x @ rotation + 2, debiased=debiased, permutations=0, bootstrap=0
        )
        assert found["score"][0] == pytest.approx(1, abs=1e-9)


def test_groups_null_and_ceiling(random):
    trials, activity, _ = planted(random, neurons=60)
    table = compare.cka(labelled(trials), activity, by="area", permutations=99, bootstrap=20)
    assert (table["p"] == 0.01).all() and (table["ceiling_low"] > table["score"]).all()
    assert (table["low"] < table["high"]).all() and table["ceiling_high"].isna().all()
    assert (table["metric"] == "cka").all() and table["debiased"].all()
    shuffled = compare.cka(trials.mean(2), random.permutation(activity), permutations=99)
    assert shuffled["p"][0] > 0.01 and np.isnan(shuffled["ceiling_low"][0])


@pytest.mark.parametrize("measure", [compare.cka, compare.rsa, compare.shape])
def test_intervals_cover(measure):
    """Populations drawn again have their scores within the intervals of each, mostly."""
    random = np.random.default_rng(5)
    activity = random.standard_normal((30, 12))

    def population():
        # Mice differ in what their neurons take from the features.
        gain = np.exp(0.7 * random.standard_normal((5, 1, 12)))
        weights = (gain * random.standard_normal((5, 12, 12))).reshape(60, 12)
        responses = weights @ activity.T + 1.5 * random.standard_normal((60, 30))
        return labelled(responses).assign_coords(experiment=("neuron", np.repeat(range(5), 12)))

    settings = {"permutations": 0}
    if measure is compare.rsa:
        settings["resample"] = ("mice", "neurons")  # the scenes are the same here
    found = [measure(population(), activity, bootstrap=60, **settings).iloc[0] for _ in range(40)]
    truth = np.mean([one["score"] for one in found])
    inside = np.mean([one["low"] <= truth <= one["high"] for one in found])
    assert inside >= 0.8


def test_progress(random):
    trials, activity, _ = planted(random)
    steps = []
    compare.cka(trials, activity, permutations=2, bootstrap=3, progress=lambda *a: steps.append(a))
    assert steps[-1] == (5, 5) and len(steps) == 5
