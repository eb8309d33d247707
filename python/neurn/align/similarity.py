"""An index of likeness from 0 to 1, derived from scores alone."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from neurn import _core
from neurn.align.encoding import Encoded, encode
from neurn.align.region import is_symmetric, make_region, parse_free_ends
from neurn.align.scoring import PUBLISHED, Scoring, WholeScores


def similarity(
    a: Any,
    b: Any,
    scoring: Scoring | None = None,
    *,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
) -> float:
    """Score of a pair between 0 (nothing is worth aligning) and 1 (identical sequences).

    ``(S - S_min) / (S_max - S_min)``, cut to [0, 1], where S is the score of a and b, S_max is the
    mean of the scores of a with itself and of b with itself, and S_min is the score of aligning
    nothing: a against one gap and b against another. Where the scoring is not symmetric, S is the
    mean of both orders. It depends on the score only, not on which of several best alignments is
    shown, and not on the units of the scores.

    Parameters
    ----------
    a, b, scoring, free_ends, band
        As in `neurn.align.score`. S_min counts every gap, also at free ends.

    Returns
    -------
    float
        In [0, 1]; the same for (b, a). 1 if a and b are equal, also where the formula gives 0 / 0:
        two empty sequences, or a scoring that tells nothing apart; then 0 if they are not.

    Examples
    --------
    >>> from neurn import align
    >>> align.similarity("GAACT", "GAT")
    0.75
    """
    scoring = PUBLISHED if scoring is None else scoring
    free_ends = parse_free_ends(free_ends)
    region = make_region(free_ends, band)
    encoded = encode([a, b], scoring, "ab".__getitem__)
    total = _core.align_score(encoded[0], encoded[1], encoded.scoring, region)
    return pair_similarity(encoded, total, scoring.whole, free_ends, region)


def pair_similarity(
    encoded: Encoded,
    total: int,
    whole: WholeScores,
    free_ends: tuple[str, ...],
    region: _core.AlignRegion,
) -> float:
    """Return the similarity of two encoded sequences that score `total`."""
    sums = 2.0 * total
    if not (whole.symmetric and is_symmetric(free_ends)):
        back = _core.align_score(encoded[1], encoded[0], encoded.scoring, region)
        sums = float(total) + float(back)
    # In Python's numbers: arrays of one take longer than a short alignment.
    _, n, end = encoded.offsets.tolist()
    m = end - n
    if _match_is_best(encoded, whole, free_ends):
        own_a, own_b = n * whole.match, m * whole.match
    else:
        own_a, own_b = self_scores(encoded, whole, free_ends, region, threads=1).tolist()
    least, most = _extremes(own_a, own_b, n, m, whole)
    if not most > least:
        return float(np.array_equal(encoded[0], encoded[1]))
    return float(min(max((sums - least) / (most - least), 0.0), 1.0))


def _extremes(own_a: Any, own_b: Any, length_a: Any, length_b: Any, whole: WholeScores) -> Any:
    """Return twice the least and twice the largest score of the formula, as floats."""
    gaps = (length_a > 0) + 1.0 * (length_b > 0)
    least = 2.0 * (whole.gap_open * gaps + whole.gap * (1.0 * (length_a + length_b)))
    return least, 1.0 * own_a + own_b


def normalize(
    sums: npt.NDArray[np.float64],
    own_a: npt.NDArray[np.int64],
    own_b: npt.NDArray[np.int64],
    lengths_a: npt.NDArray[np.int64],
    lengths_b: npt.NDArray[np.int64],
    whole: WholeScores,
) -> npt.NDArray[np.float64]:
    """Apply the formula to scores of (a, b) plus scores of (b, a); arrays broadcast.

    Returns
    -------
    ndarray of float64
        NaN where the formula gives 0 / 0.
    """
    least, most = _extremes(own_a, own_b, lengths_a, lengths_b, whole)
    with np.errstate(invalid="ignore", divide="ignore"):
        result = (sums - least) / (most - least)
    result = np.where(most > least, np.clip(result, 0.0, 1.0), np.nan)
    return np.asarray(result, dtype=np.float64)


def _match_is_best(encoded: Encoded, whole: WholeScores, free_ends: tuple[str, ...]) -> bool:
    """Whether it is plain that no sequence scores more with itself than `match` a token.

    Where every token with itself is worth at least what any two tokens and any two gaps are on
    average, nothing beats the main diagonal.
    """
    if encoded.table is not None:
        return False
    least = 0 if free_ends else 2 * whole.gap
    fits = abs(whole.match) * encoded.tokens.size < 2**62
    return whole.match >= max(whole.mismatch, least) and fits


def self_scores(
    encoded: Encoded,
    whole: WholeScores,
    free_ends: tuple[str, ...],
    region: _core.AlignRegion,
    threads: int,
) -> npt.NDArray[np.int64]:
    """Return the score of each sequence with itself."""
    if _match_is_best(encoded, whole, free_ends):
        return encoded.lengths * whole.match
    table = encoded.table
    if table is not None:
        # As _match_is_best, token by token.
        least = 0 if free_ends else 2 * whole.gap
        own = table.diagonal().astype(np.int64)
        diagonal_is_best = bool(
            (own >= least).all() and (2 * table.astype(np.int64) <= own[:, None] + own).all()
        )
        if diagonal_is_best and abs(own).max(initial=0) * encoded.tokens.size < 2**62:
            sums = np.zeros(encoded.tokens.size + 1, dtype=np.int64)
            np.cumsum(own[encoded.tokens], out=sums[1:])
            return np.diff(sums[encoded.offsets])
    each = np.arange(len(encoded.offsets) - 1, dtype=np.int64)
    pairs = np.ascontiguousarray(np.stack([each, each], axis=1))
    return _core.align_pairs(
        encoded.tokens, encoded.offsets, pairs, encoded.scoring, region, threads
    )
