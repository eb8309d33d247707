"""Features against neurons: distances of maps, RSA, CKA, shape, encoding, and what they are worth.

Everything takes arrays: responses of neurons, activity of features, or maps of both.
"""

from neurn.compare import plots
from neurn.compare.cka import cka
from neurn.compare.controls import matched_shuffle, rescaled
from neurn.compare.distributions import distributions
from neurn.compare.groups import by_group, paired, reliability_matched
from neurn.compare.layers import LayerChoice, choose_layer
from neurn.compare.rdm import compare_rdms, noise_ceiling, rdm
from neurn.compare.regression import regression
from neurn.compare.rmse import best_of_k, rmse
from neurn.compare.rsa import rsa, rsa_of_rdms
from neurn.compare.shape import shape
from neurn.compare.statistics import benjamini_hochberg, hierarchical_bootstrap, holm
from neurn.compare.validation import METRICS, validate

__all__ = [
    "METRICS",
    "LayerChoice",
    "benjamini_hochberg",
    "best_of_k",
    "by_group",
    "choose_layer",
    "cka",
    "compare_rdms",
    "distributions",
    "hierarchical_bootstrap",
    "holm",
    "matched_shuffle",
    "noise_ceiling",
    "paired",
    "plots",
    "rdm",
    "regression",
    "reliability_matched",
    "rescaled",
    "rmse",
    "rsa",
    "rsa_of_rdms",
    "shape",
    "validate",
]
