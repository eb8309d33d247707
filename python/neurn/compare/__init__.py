"""Features against neurons: distances of maps, RSA, CKA, shape, encoding, and what they are worth.

Everything takes arrays: responses of neurons, activity of features, or maps of both.
"""

from neurn.compare.cka import cka
from neurn.compare.rdm import compare_rdms, noise_ceiling, rdm
from neurn.compare.rmse import best_of_k, rmse
from neurn.compare.rsa import rsa, rsa_of_rdms

__all__ = [
    "best_of_k",
    "cka",
    "compare_rdms",
    "noise_ceiling",
    "rdm",
    "rmse",
    "rsa",
    "rsa_of_rdms",
]
