"""Global alignment of one pair.

Needleman, Wunsch (1970), J. Mol. Biol. 48, 443-453; affine gaps: Gotoh (1982), J. Mol. Biol. 162,
705-708. Kernels are native, see csrc/align.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from neurn import _core
from neurn.align.alignment import Alignment
from neurn.align.encoding import encode
from neurn.align.region import make_region, parse_free_ends
from neurn.align.score_matrix import ScoreMatrix
from neurn.align.scoring import PUBLISHED, Scoring, value
from neurn.align.similarity import pair_similarity

MOST_CELLS = 25_000_000

_OUTSIDE = np.iinfo(np.int64).min
_UP, _LEFT = 2, 4


def score(
    a: Any,
    b: Any,
    scoring: Scoring | None = None,
    *,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
) -> int | float:
    """Best score of any alignment of all of a with all of b.

    Parameters
    ----------
    a, b : sequence of hashable
        Strings, bytes, lists, or one-dimensional integer arrays of numpy or torch; of any length,
        also 0, with up to 2^16 distinct tokens together. Tokens are equal where Python says so:
        1, 1.0 and True are one token.
    scoring : Scoring, optional
        +1, -2, -2 by default.
    free_ends : iterable of {"a_begin", "a_end", "b_begin", "b_end"}, or {"a", "b", "both"}
        Ends of a sequence that may stay unaligned at no cost (semi-global alignment). "a": both of
        a, "both": all four.
    band : int, optional
        Only alignments within it: token i of a and token j of b may stand at most `band` columns
        further apart than the difference of the lengths makes them:
        ``min(0, m - n) - band <= j - i <= max(0, m - n) + band`` for n tokens of a and m of b, of
        which i and j are used. Any by default.

    Returns
    -------
    int or float
        Exact. int if all scores of the scoring are whole, else the float nearest to the sum.

    Raises
    ------
    TypeError
        If a or b is no sequence, or holds a token that is not hashable.
    ValueError
        If an array has not one dimension, there are more than 2^16 distinct tokens, the scoring's
        matrix lacks one, or `free_ends` or `band` is not as above.
    OverflowError
        If scores may need more than 61 bits.

    Examples
    --------
    >>> from neurn import align
    >>> align.score("CCMCCMCCCMCCCMCCCMLLL", "CCMCCMCCCCMCCCCMCCCCMLLL")  # VGG16, VGG19
    15
    """
    scoring = PUBLISHED if scoring is None else scoring
    region = make_region(parse_free_ends(free_ends), band)
    encoded = encode([a, b], scoring, "ab".__getitem__)
    total = _core.align_score(encoded[0], encoded[1], encoded.scoring, region)
    return value(total, scoring.whole.scale)


def align(
    a: Any,
    b: Any,
    scoring: Scoring | None = None,
    *,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
) -> Alignment:
    """Best alignment of all of a with all of b, in memory that grows with n + m.

    Of several best alignments, the first one when they are read from the end and each column is
    compared: a token of each (diagonal) before a token of a against a gap (up) before a token of b
    against a gap (left). This holds for affine gaps and free ends too.

    Parameters
    ----------
    a, b, scoring, free_ends, band
        As in `score`.

    Returns
    -------
    Alignment

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `score`.

    Examples
    --------
    >>> from neurn import align
    >>> align.align("CRM", "CM").pairs
    [(0, 0), (1, None), (2, 1)]
    """
    scoring = PUBLISHED if scoring is None else scoring
    ends = parse_free_ends(free_ends)
    region = make_region(ends, band)
    encoded = encode([a, b], scoring, "ab".__getitem__)
    total, moves = _core.align_path(encoded[0], encoded[1], encoded.scoring, region)
    return Alignment._of_best_path(
        moves,
        score=value(total, scoring.whole.scale),
        a=a,
        b=b,
        scoring=scoring,
        similarity=pair_similarity(encoded, total, scoring.whole, ends, region),
        free_ends=ends,
    )


def score_matrix(
    a: Any,
    b: Any,
    scoring: Scoring | None = None,
    *,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
) -> ScoreMatrix:
    """Score of every beginning of a with every beginning of b, and the steps that lead there.

    Parameters
    ----------
    a, b, scoring, free_ends, band
        As in `score`. At most 25 million cells: (n + 1) (m + 1) for n tokens of a and m of b.

    Returns
    -------
    ScoreMatrix
        Its arrows are those of all best last steps into a cell; with affine gaps, of the best of
        the three states of a cell. Scores are of int64, or float64 if not all are whole, or if a
        band leaves cells out: these are NaN.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `score`; ValueError for too many cells.

    Examples
    --------
    >>> from neurn import align
    >>> align.score_matrix("CRM", "CM").scores
    array([[ 0, -2, -4],
           [-2,  1, -1],
           [-4, -1, -1],
           [-6, -3,  0]])
    """
    scoring = PUBLISHED if scoring is None else scoring
    region = make_region(parse_free_ends(free_ends), band)
    encoded = encode([a, b], scoring, "ab".__getitem__)
    n, m = encoded.lengths.tolist()
    if (n + 1) * (m + 1) > MOST_CELLS:
        raise ValueError(
            f"score_matrix keeps at most {MOST_CELLS:,} cells, got {(n + 1) * (m + 1):,} for "
            f"{n:,} and {m:,} tokens: use align, which keeps no matrix"
        )
    scores: np.ndarray
    scores, arrows = _core.align_matrix(encoded[0], encoded[1], encoded.scoring, region)
    outside = scores == _OUTSIDE
    if scoring.whole.scale != 1 or outside.any():
        scores = np.where(outside, np.nan, scores / scoring.whole.scale)
    _, moves = _core.align_path(encoded[0], encoded[1], encoded.scoring, region)
    path = np.zeros((len(moves) + 1, 2), dtype=np.int64)
    np.cumsum(moves != _LEFT, out=path[1:, 0])
    np.cumsum(moves != _UP, out=path[1:, 1])
    return ScoreMatrix(scores, arrows, path, a, b, scoring)
