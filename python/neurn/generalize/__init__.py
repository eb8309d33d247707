"""Single-source domain generalization with and without NeuRN.

`evaluate` trains any model on one source domain behind several front ends (NeuRN, none, a Sobel
control) and tests it on target domains it never saw, seed by seed in pairs.
"""

from neurn.generalize.datasets import Dataset, EvaluationSet, LabelLeakError, Source, Split
from neurn.generalize.domains import Shift, standard_shifts
from neurn.generalize.evaluation import EpochEnd, Results, Run, evaluate
from neurn.generalize.front_ends import FRONT_ENDS, Sobel
from neurn.generalize.models import lenet
from neurn.generalize.statistics import Interval, t_interval
from neurn.generalize.training import TrainingConfig

__all__ = [
    "FRONT_ENDS",
    "Dataset",
    "EpochEnd",
    "EvaluationSet",
    "Interval",
    "LabelLeakError",
    "Results",
    "Run",
    "Shift",
    "Sobel",
    "Source",
    "Split",
    "TrainingConfig",
    "evaluate",
    "lenet",
    "standard_shifts",
    "t_interval",
]
