import numpy as np
import pytest
from scipy import stats

from neurn import compare
from neurn.compare.distributions import kolmogorov_smirnov, overlap, wasserstein
from tests.compare.cases import labelled, planted


def test_as_scipy(random):
    a, b = random.standard_normal((6, 40)), random.standard_normal((6, 40)) + 0.5
    b[0] = np.round(b[0])  # ties
    a[0] = np.round(a[0])
    for i in range(6):
        assert wasserstein(a, b)[i] == pytest.approx(stats.wasserstein_distance(a[i], b[i]))
        expected = stats.ks_2samp(a[i], b[i]).statistic
        assert kolmogorov_smirnov(a, b)[i] == pytest.approx(expected)
        edges = np.histogram_bin_edges(np.concatenate([a[i], b[i]]), 20)
        one, two = (np.histogram(x[i], edges)[0] / 40 for x in (a, b))
        assert overlap(a, b)[i] == pytest.approx(np.minimum(one, two).sum(), abs=0.051)
    np.testing.assert_allclose(overlap(a, a), 1)
    assert overlap(np.ones((1, 4)), np.ones((1, 4)))[0] == 1
    assert overlap(np.zeros((1, 4)), np.ones((1, 4)))[0] == 0


def test_matched_units_are_found(random):
    trials, activity, which = planted(random, noise=0.2)
    sets = {
        "features": activity,
        "behind": np.exp(activity),
        "shuffled": compare.matched_shuffle(np.exp(activity)),
    }
    table = compare.distributions(labelled(trials), sets)
    assert len(table) == 30 * 3 * 2
    plain = table[(table["features"] == "features") & table["matched"]]
    assert (plain["feature"] == which).all() and (plain["r"] > 0.9).all()
    other = table[(table["features"] == "features") & ~table["matched"]]
    assert other["r"].abs().mean() < 0.4
    behind, shuffled = (
        table[(table["features"] == name) & table["matched"]] for name in ("behind", "shuffled")
    )
    assert plain["wasserstein"].mean() < behind["wasserstein"].mean()
    # A shuffle has the same distribution, and no matches.
    assert shuffled["wasserstein"].mean() == pytest.approx(behind["wasserstein"].mean(), rel=0.3)
    assert shuffled["r"].mean() < 0.4 < behind["r"].mean()
    alone = compare.distributions(trials, activity, normalize="zscore")
    assert (alone["features"] == "features").all() and (alone["normalize"] == "zscore").all()


def test_errors(random):
    trials, activity, _ = planted(random)
    with pytest.raises(ValueError, match="normalize must be one of minmax"):
        compare.distributions(trials, activity, normalize="max")
    with pytest.raises(ValueError, match="bins must be at least 2"):
        compare.distributions(trials, activity, bins=1)
    with pytest.raises(ValueError, match="at least one set, got none"):
        compare.distributions(trials, {})
    with pytest.raises(ValueError, match="must be of the neurons' 60 scenes"):
        compare.distributions(trials, {"a": activity[1:]})
    with pytest.raises(ValueError, match="must have seen 8 scenes"):
        compare.distributions(trials[:, :7], activity[:7])
