"""The whole matrix of one pair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn.align.scoring import Scoring


@dataclass(frozen=True, eq=False)
class ScoreMatrix:
    """Scores of all beginnings of a with all beginnings of b."""

    scores: npt.NDArray[Any]
    arrows: npt.NDArray[np.uint8]
    path: npt.NDArray[np.int64]
    a: Sequence[Any]
    b: Sequence[Any]
    scoring: Scoring
