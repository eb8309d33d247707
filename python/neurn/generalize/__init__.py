"""Domain generalization with and without NeuRN, measured in pairs.

`evaluate` trains any model on one source domain behind several front ends (NeuRN, none, controls
such as a Sobel edge map), with or without augmentations, and tests it on target domains it never
saw, seed by seed in pairs; `leave_one_out` trains on all domains but one.
"""

from neurn.front_ends import FRONT_ENDS, Sobel
from neurn.generalize.augmentations import AUGMENTATIONS, Augmentation, AugMix, MixStyle, RandConv
from neurn.generalize.datasets import (
    Dataset,
    EvaluationSet,
    LabelLeakError,
    Score,
    Source,
    Split,
)
from neurn.generalize.domains import Domain, NoData, NoDataError, load
from neurn.generalize.evaluation import EpochEnd, evaluate, leave_one_out
from neurn.generalize.models import digit_net, lenet
from neurn.generalize.readers import DataError
from neurn.generalize.results import DomainInfo, Flips, Results, Run, Training
from neurn.generalize.shifts import Shift, curve, shift, standard_shifts
from neurn.generalize.statistics import (
    Interval,
    bootstrap_interval,
    holm,
    paired_test,
    t_interval,
)
from neurn.generalize.training import Fit, TrainingConfig
from neurn.generalize.variants import Variant

__all__ = [
    "AUGMENTATIONS",
    "FRONT_ENDS",
    "AugMix",
    "Augmentation",
    "DataError",
    "Dataset",
    "Domain",
    "DomainInfo",
    "EpochEnd",
    "EvaluationSet",
    "Fit",
    "Flips",
    "Interval",
    "LabelLeakError",
    "MixStyle",
    "NoData",
    "NoDataError",
    "RandConv",
    "Results",
    "Run",
    "Score",
    "Shift",
    "Sobel",
    "Source",
    "Split",
    "Training",
    "TrainingConfig",
    "Variant",
    "bootstrap_interval",
    "curve",
    "digit_net",
    "evaluate",
    "holm",
    "leave_one_out",
    "lenet",
    "load",
    "paired_test",
    "shift",
    "standard_shifts",
    "t_interval",
]
