import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neurn.generalize import Interval, t_interval

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
