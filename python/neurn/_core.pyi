from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

def build_info() -> dict[str, Any]: ...

class AlignScoring:
    def __init__(
        self,
        match: int,
        mismatch: int,
        table: NDArray[np.int32] | None,
        gap_open: int,
        gap_extend: int,
    ) -> None: ...

class AlignRegion:
    def __init__(
        self,
        a_begin: bool = False,
        a_end: bool = False,
        b_begin: bool = False,
        b_end: bool = False,
        band: int = -1,
    ) -> None: ...

def align_score(
    a: NDArray[np.uint16], b: NDArray[np.uint16], scoring: AlignScoring, region: AlignRegion
) -> int: ...
def align_path(
    a: NDArray[np.uint16], b: NDArray[np.uint16], scoring: AlignScoring, region: AlignRegion
) -> tuple[int, NDArray[np.uint8]]: ...
def align_matrix(
    a: NDArray[np.uint16], b: NDArray[np.uint16], scoring: AlignScoring, region: AlignRegion
) -> tuple[NDArray[np.int64], NDArray[np.uint8]]: ...
def align_cross(
    a: NDArray[np.uint16],
    a_offsets: NDArray[np.int64],
    b: NDArray[np.uint16],
    b_offsets: NDArray[np.int64],
    symmetric: bool,
    scoring: AlignScoring,
    region: AlignRegion,
    threads: int,
    progress: Callable[[int, int], object] | None = None,
) -> NDArray[np.int64]: ...
def align_pairs(
    tokens: NDArray[np.uint16],
    offsets: NDArray[np.int64],
    pairs: NDArray[np.int64],
    scoring: AlignScoring,
    region: AlignRegion,
    threads: int,
    progress: Callable[[int, int], object] | None = None,
) -> NDArray[np.int64]: ...
def align_rank(
    values: NDArray[np.int64], most: int
) -> tuple[NDArray[np.uint16], NDArray[np.int64]] | None: ...
def align_characters(
    strings: list[str],
) -> tuple[NDArray[np.uint16], NDArray[np.int64], NDArray[np.uint32]]: ...
