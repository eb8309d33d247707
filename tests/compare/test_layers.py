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


def test_layers_that_never_vary_are_not_chosen(random):
    trials, activity, _ = planted(random)
    found = compare.choose_layer(trials, {"dead": np.ones((60, 3)), "true": activity})
    assert found.layer == "true" and np.isnan(found.scores["dead"])
    with pytest.raises(ValueError, match="layers must vary over scenes: none of 1 does"):
        compare.choose_layer(trials, {"dead": np.ones((60, 3))})
    with pytest.raises(ValueError, match=r"layers\['odd'\] must be finite"):
        compare.choose_layer(trials, {"odd": np.full((60, 3), np.nan)})
