import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurn.generalize import Interval, bootstrap_interval, holm, paired_test, t_interval
from neurn.generalize.statistics import calibration_error

stats = pytest.importorskip("scipy.stats")


def test_by_hand():
    # n = 3, sd = 1: half width = t(0.975, 2) / sqrt(3) = 4.302653 / 1.732051
    interval = t_interval([1.0, 2.0, 3.0])
    assert interval.mean == 2.0
    assert interval.n == 3
    assert interval.high - 2.0 == pytest.approx(2.484138, abs=1e-6)
    assert 2.0 - interval.low == pytest.approx(2.484138, abs=1e-6)


@given(
    st.lists(st.floats(-1, 1), min_size=2, max_size=12).filter(lambda v: max(v) - min(v) > 1e-3),
    st.sampled_from([0.5, 0.9, 0.95, 0.99]),
)
def test_agrees_with_scipy(values, confidence):
    expected = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    interval = t_interval(values, confidence)
    assert interval.low == pytest.approx(expected.low, abs=1e-9)
    assert interval.high == pytest.approx(expected.high, abs=1e-9)


def test_equal_values_give_a_point():
    assert t_interval([0.5, 0.5, 0.5]) == Interval(0.5, 0.5, 0.5, 3)


def test_bounds_cut_the_interval():
    interval = t_interval([0.9, 1.0, 1.0], bounds=(0.0, 1.0))
    assert interval.high == 1.0
    assert interval.low == t_interval([0.9, 1.0, 1.0]).low


def test_one_value_has_no_interval():
    interval = t_interval([0.25])
    assert interval.mean == 0.25
    assert math.isnan(interval.low)
    assert math.isnan(interval.high)
    assert interval.verdict == "undecided"


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [
        (0.1, 0.3, "higher"),
        (-0.3, -0.1, "lower"),
        (-0.1, 0.1, "undecided"),
        (0.0, 0.2, "undecided"),
        (-0.2, 0.0, "undecided"),
    ],
)
def test_verdict_needs_an_interval_without_zero(low, high, verdict):
    assert Interval((low + high) / 2, low, high, 5).verdict == verdict


def test_impossible_requests():
    with pytest.raises(ValueError, match="at least one"):
        t_interval([])
    for confidence in (0.0, 1.0, 95.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            t_interval([0.0, 1.0], confidence)


@given(st.lists(st.integers(-4, 4), min_size=0, max_size=11))
def test_paired_test_counts_every_pattern_of_signs(differences):
    observed = abs(sum(differences))
    patterns = list(itertools.product((-1, 1), repeat=len(differences)))
    sums = [abs(sum(s * d for s, d in zip(p, differences, strict=True))) for p in patterns]
    expected = sum(total >= observed for total in sums) / len(patterns)
    assert paired_test(differences) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(("gained", "lost"), [(0, 0), (3, 0), (40, 22), (700, 520)])
def test_paired_test_of_single_images_is_mcnemars(gained, lost):
    differences = [1] * gained + [-1] * lost + [0] * 50
    expected = stats.binomtest(gained, gained + lost).pvalue if gained else 1.0
    assert paired_test(differences) == pytest.approx(expected, rel=1e-9)


def test_paired_test_agrees_with_scipys_permutations():
    differences = np.array([31, -4, 17, 22, 9, 13, -2, 8])
    found = stats.permutation_test(
        (differences, np.zeros(8)), lambda a, b: np.mean(a - b), permutation_type="samples"
    )
    assert paired_test(differences) == pytest.approx(found.pvalue)
    with pytest.raises(ValueError, match="whole numbers"):
        paired_test([0.5])


def test_holm_by_hand():
    nan = math.nan
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    found = holm([nan, 0.5, 0.001])
    assert math.isnan(found[0])
    assert found[1:] == [0.5, 0.002]
    assert holm([]) == []


def test_bootstrap_is_seeded_and_close_to_scipys():
    values = [0.1031, 0.3017, 0.2113, 0.5207, 0.4419, 0.3529, 0.1571, 0.2591]
    ours = bootstrap_interval(values)
    assert ours == bootstrap_interval(values) != bootstrap_interval(values, seed=1)
    theirs = stats.bootstrap(
        (np.array(values),), np.mean, method="percentile", n_resamples=9999, rng=0
    ).confidence_interval
    assert ours.low == pytest.approx(theirs.low, abs=0.005)
    assert ours.high == pytest.approx(theirs.high, abs=0.005)
    assert math.isnan(bootstrap_interval([0.5]).low)


def test_calibration_error_by_hand():
    confidences = np.array([0.95, 0.95, 0.65, 0.65])
    correct = np.array([True, False, True, True])
    # bins (0.6, 0.667] and (0.933, 1]: |0.65 - 1| and |0.95 - 0.5|, each half of the images
    assert calibration_error(confidences, correct) == pytest.approx(0.5 * 0.35 + 0.5 * 0.45)
    assert calibration_error(np.ones(3), np.ones(3, bool)) == 0.0
    assert calibration_error(np.zeros(3), np.ones(3, bool)) == 1.0
