import numpy as np
import pytest
from scipy.linalg import orthogonal_procrustes

from neurn import compare
from tests.compare.cases import labelled, planted

NOTHING = {"permutations": 0, "bootstrap": 0}


def reference(x, y, distance):
    """netrep's LinearMetric(alpha=1), written out: rotate y onto x, both centred and of unit norm.

    The narrower one is filled up with zeros.
    """
    x, y = (a - a.mean(0) for a in (x, y))
    x, y = (a / np.linalg.norm(a) for a in (x, y))
    width = max(x.shape[1], y.shape[1])
    x, y = (np.pad(a, ((0, 0), (0, width - a.shape[1]))) for a in (x, y))
    rotation, _ = orthogonal_procrustes(y, x)
    if distance == "procrustes":
        return np.linalg.norm(x - y @ rotation)
    return np.arccos(np.sum(x * (y @ rotation)))


@pytest.mark.parametrize("distance", ["angular", "procrustes"])
@pytest.mark.parametrize("widths", [(6, 6), (4, 9), (50, 9)])
def test_as_written_out(random, distance, widths):
    x, y = (random.standard_normal((20, w)) + 2 for w in widths)
    y[:, :4] += 2 * x[:, :4]
    found = compare.shape(x.T, y, distance=distance, **NOTHING)["score"][0]
    assert found == pytest.approx(reference(x, y, distance), abs=1e-7)


@pytest.mark.parametrize("distance", ["angular", "procrustes"])
def test_is_a_metric(random, distance):
    a, b, c = (random.standard_normal((15, 5)) for _ in range(3))

    def far(x, y):
        return compare.shape(x.T, y, distance=distance, **NOTHING)["score"][0]

    rotation = np.linalg.qr(random.standard_normal((5, 5)))[0]
    assert far(a, 3 * a @ rotation + 1) == pytest.approx(0, abs=1e-6)
    assert far(a, b) == pytest.approx(far(b, a))
    assert far(a, c) <= far(a, b) + far(b, c)


def test_groups_null_and_ceiling(random):
    trials, activity, _ = planted(random, neurons=60, features=8)
    table = compare.shape(labelled(trials), activity, by="area", permutations=99, bootstrap=10)
    assert (table["p"] == 0.01).all() and (table["z"] < -3).all()
    assert (table["score"] < table["null"]).all() and (table["low"] < table["high"]).all()
    assert (table["ceiling_low"] < table["score"]).all()
    with pytest.raises(ValueError, match="distance must be one of angular, procrustes"):
        compare.shape(trials, activity, distance="euclidean")
