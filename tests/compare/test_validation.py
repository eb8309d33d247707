import subprocess
import sys

import numpy as np
import pytest

from neurn import compare

UNBIASED = [
    "rmse, best-heldout",
    "rmse, mean",
    "rsa",
    "rsa, corr_cov",
    "rsa, crossnobis",
    "cka, debiased",
    "regression, ridge",
]
BIASED = ["rmse, best", "cka, biased", "shape, angular", "shape, procrustes", "rsa, cosine"]


@pytest.mark.parametrize("metric", UNBIASED + BIASED)
def test_planted_truth(metric):
    found = compare.validate(metric, repeats=4).set_index("check")
    assert found.loc[["recovers", "chance on shuffles", "monotone in noise"], "passed"].all()
    # What is chosen or fitted freely falls for many channels, and says so.
    assert found.loc["unbiased in channels", "passed"] == (metric in UNBIASED)


def test_bad_measures_fail():
    random = np.random.default_rng(0)

    def noise(neurons, features):
        return random.standard_normal()

    found = compare.validate(noise, repeats=4).set_index("check")
    assert found["metric"].iloc[0] == "noise"
    assert not found.loc["recovers", "passed"] and not found.loc["monotone in noise", "passed"]

    def counts(neurons, features):
        truth = -compare.rmse(neurons, features, permutations=0)["score"].mean()
        return truth + 0.1 * np.log(features.shape[1])

    found = compare.validate(counts, repeats=3).set_index("check")
    assert found.loc["recovers", "passed"]
    assert not found.loc["unbiased in channels", "passed"]
    with pytest.raises(ValueError, match="metric must be one of rmse, best-heldout"):
        compare.validate("r2")


def test_compare_knows_neither_models_nor_files():
    code = (
        "import sys, neurn.compare\n"
        "bad = [m for m in sys.modules if m.startswith(('neurn.features', 'neurn.generalize'))]\n"
        "print(bad, 'h5py' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False"]
