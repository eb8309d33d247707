"""Global alignment of sequences of any tokens: exact, parallel, in linear memory.

Needleman, Wunsch (1970), J. Mol. Biol. 48, 443-453.
"""

from neurn.align import ops as _ops  # noqa: F401
from neurn.align.alignment import Alignment
from neurn.align.pairwise import align, score, score_matrix
from neurn.align.score_matrix import ScoreMatrix
from neurn.align.scoring import Scoring
from neurn.align.sets import all_pairs, cross_pairs, paired
from neurn.align.similarity import similarity

__all__ = [
    "Alignment",
    "ScoreMatrix",
    "Scoring",
    "align",
    "all_pairs",
    "cross_pairs",
    "paired",
    "score",
    "score_matrix",
    "similarity",
]
