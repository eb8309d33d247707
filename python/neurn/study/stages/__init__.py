"""The stages of a study, each after those it needs."""

from neurn.study.graph import Stage
from neurn.study.stages.architectures import ARCHITECTURES
from neurn.study.stages.compare import COMPARE
from neurn.study.stages.features import FEATURES
from neurn.study.stages.generalization import GENERALIZATION
from neurn.study.stages.recordings import RECORDINGS
from neurn.study.stages.representations import REPRESENTATIONS
from neurn.study.stages.selection import SELECTION
from neurn.study.stages.statistics import STATISTICS
from neurn.study.stages.stimuli import STIMULI

STAGES: tuple[Stage, ...] = (
    STIMULI,
    RECORDINGS,
    STATISTICS,
    REPRESENTATIONS,
    SELECTION,
    FEATURES,
    COMPARE,
    ARCHITECTURES,
    GENERALIZATION,
)

__all__ = ["STAGES"]
