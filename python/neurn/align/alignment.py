"""What an alignment is."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn.align.scoring import Scoring


@dataclass(frozen=True, eq=False)
class Alignment:
    """Two sequences, column by column. `neurn.align.align` makes them."""

    score: int | float
    moves: npt.NDArray[np.uint8]
    a: Sequence[Any]
    b: Sequence[Any]
    scoring: Scoring
    similarity: float
    free_ends: tuple[str, ...] = ()

    @cached_property
    def pairs(self) -> list[tuple[int | None, int | None]]:
        """Index in a and index in b for each column, None where there is a gap."""
        i, j = itertools.count(), itertools.count()
        return [
            (None if move == 4 else next(i), None if move == 2 else next(j))
            for move in self.moves.tolist()
        ]
