import numpy as np
import pytest

from neurn import compare
from tests.compare.cases import planted


def test_the_true_layer_is_chosen_on_half(random):
    trials, activity, _ = planted(random, neurons=41)
    layers = {
        "early": random.standard_normal(activity.shape),
        "true": activity,
        "late": activity + 3 * random.standard_normal(activity.shape),
    }
    found = compare.choose_layer(trials, layers)
    assert found.layer == "true" and found.scores["true"] == max(found.scores.values())
    assert sorted([*found.chosen_on, *found.rest]) == list(range(41))
    other = trials.copy()
    other[found.rest] = random.standard_normal(other[found.rest].shape)
    # What it is tested on has no say.
    assert compare.choose_layer(other, layers).scores == found.scores
    other = compare.choose_layer(trials, layers, seed=1)
    assert not np.array_equal(other.rest, found.rest)
    with pytest.raises(ValueError, match="needs 2 neurons and a layer, got 41 and 0"):
        compare.choose_layer(trials, {})
