"""What tokens and gaps score, exactly: whatever the numbers, kernels see whole ones."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from numbers import Rational, Real
from typing import Any

import numpy as np
import numpy.typing as npt

MOST_TOKENS = 2**16
_LIMIT = 2**61


@dataclass(frozen=True)
class WholeScores:
    """A scoring times the number that makes all of its scores whole.

    Attributes
    ----------
    scale : int
        That number.
    match, mismatch, gap_open, gap : int
        match and mismatch hold where there is no table.
    table : ndarray of int32, shape (tokens, tokens), optional
        Score of a token of a (row) and one of b (column).
    index : dict, optional
        Row and column of each token of the table.
    """

    scale: int
    match: int
    mismatch: int
    gap_open: int
    gap: int
    table: npt.NDArray[np.int32] | None
    index: dict[Hashable, int] | None

    @property
    def symmetric(self) -> bool:
        """Whether the order of two tokens does not matter."""
        return self.table is None or bool(np.array_equal(self.table, self.table.T))


@dataclass(frozen=True, eq=False)
class Scoring:
    """Scores of an alignment; the best alignment has the highest sum.

    The defaults are those of the published matrices (VGG16 with VGG19 scores 15, with VGG11 -10).

    Parameters
    ----------
    match, mismatch : number
        Score of two equal and of two different tokens.
    gap : number, <= 0
        Score of each token against a gap.
    gap_open : number, <= 0
        Added once for each gap: a gap of length L scores ``gap_open + L * gap``. Affine if < 0.
    matrix : mapping or (array, alphabet), optional
        Scores of pairs of tokens, in place of match and mismatch. A mapping ``{(x, y): score}``
        speaks of x in a and y in b, and of y in a and x in b unless that is given too; pairs of its
        tokens that it does not hold score `match` or `mismatch`. An array of shape (tokens, tokens)
        comes with the tokens of its rows and columns: ``(array, "ACGT")``. Only its tokens can then
        be aligned.

    Raises
    ------
    TypeError
        If a score is no number, or a token is not hashable.
    ValueError
        If a score is NaN or infinite, a gap's is positive, an array is not square, an alphabet
        repeats a token or does not fit its array, or scores need more than 32 bits (in a matrix) or
        61 bits once they are whole.

    Notes
    -----
    Numbers may be of type int, float, Fraction, Decimal or numpy's. They are taken as the decimal
    numbers that they are written as, so that 0.1 is a tenth, and multiplied by their common
    denominator: no sum is ever rounded.

    Examples
    --------
    >>> from neurn import align
    >>> align.score("CCMCC", "CMCC", align.Scoring(2, -1, -0.5))
    7.5
    >>> align.score("AC", "AG", align.Scoring(matrix={("A", "A"): 2, ("C", "G"): 1}))
    3
    """

    match: Any = 1
    mismatch: Any = -2
    gap: Any = -2
    gap_open: Any = 0
    matrix: Any = None

    def __post_init__(self) -> None:
        scores = {
            name: _exact(getattr(self, name), name)
            for name in ("match", "mismatch", "gap", "gap_open")
        }
        for name in ("gap", "gap_open"):
            if scores[name] > 0:
                raise ValueError(f"{name} must be <= 0, got {getattr(self, name)}")
        if self.matrix is None:
            whole = _whole(scores, None, None)
        elif isinstance(self.matrix, Mapping):
            matrix = dict(self.matrix)
            object.__setattr__(self, "matrix", matrix)
            whole = _whole_mapping(scores, matrix)
        else:
            array, alphabet = _array_and_alphabet(self.matrix)
            object.__setattr__(self, "matrix", (array, alphabet))
            whole = _whole_array(scores, array, alphabet)
        object.__setattr__(self, "_whole_scores", whole)

    @classmethod
    def from_array(
        cls, array: npt.ArrayLike, alphabet: Iterable[Hashable], gap: Any = -2, gap_open: Any = 0
    ) -> Scoring:
        """Make the scoring of a substitution matrix.

        Parameters
        ----------
        array : array_like of numbers, shape (tokens, tokens)
            Score of the token of a (row) and that of b (column).
        alphabet : iterable of hashable, length tokens
            Tokens of rows and columns.
        gap, gap_open : number, <= 0
            As in `Scoring`.
        """
        return cls(gap=gap, gap_open=gap_open, matrix=(array, alphabet))

    @property
    def whole(self) -> WholeScores:
        """The scoring in whole numbers."""
        whole: WholeScores = self.__dict__["_whole_scores"]
        return whole

    def pair(self, x: Hashable, y: Hashable) -> int | float:
        """Return the score of a token x of a and a token y of b.

        Raises
        ------
        ValueError
            If the matrix does not know one of them.
        """
        whole = self.whole
        if whole.table is None or whole.index is None:
            return value(whole.match if x == y else whole.mismatch, whole.scale)
        for token in (x, y):
            if token not in whole.index:
                raise unknown_token(token)
        return value(int(whole.table[whole.index[x], whole.index[y]]), whole.scale)

    def _key(self) -> tuple[Any, ...]:
        matrix = self.matrix
        if isinstance(matrix, tuple):
            matrix = (matrix[0].shape, tuple(matrix[0].ravel().tolist()), matrix[1])
        elif matrix is not None:
            matrix = frozenset(matrix.items())
        return self.match, self.mismatch, self.gap, self.gap_open, matrix

    def __eq__(self, other: object) -> bool:
        return self._key() == other._key() if isinstance(other, Scoring) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._key())


def value(total: int, scale: int) -> int | float:
    """Return a whole score in the scoring's own units: an int, or the nearest float."""
    return total if scale == 1 else total / scale


def unknown_token(token: Hashable) -> ValueError:
    """Return the error for a token that a matrix lacks."""
    return ValueError(f"the scoring's matrix must hold every token, and lacks {token!r}")


def _exact(number: Any, name: str) -> Fraction:
    if isinstance(number, np.generic):
        # A float32 is written with fewer digits than the float64 of its value.
        number = number.item() if number.dtype.kind in "iub" else _decimal(number)
    if isinstance(number, Rational):
        return Fraction(number)
    if not isinstance(number, (Real, Decimal)):
        raise TypeError(f"{name} must be a number, got {number!r}")
    if not math.isfinite(number):
        raise ValueError(f"{name} must be a finite number, got {float(number)}")
    return Fraction(str(number))


def _decimal(number: np.generic) -> Any:
    return Decimal(str(number)) if number.dtype.kind == "f" else number.item()


def _whole(
    scores: dict[str, Fraction],
    table: npt.NDArray[Any] | None,
    index: dict[Hashable, int] | None,
    in_table: Sequence[Fraction] = (),
) -> WholeScores:
    """Multiply by the common denominator; table holds positions in in_table."""
    if table is not None:
        scores = {"match": Fraction(0), "mismatch": Fraction(0)} | scores
    scale = math.lcm(*(score.denominator for score in (*scores.values(), *in_table)))
    whole = {name: int(score * scale) for name, score in scores.items()}
    for name, score in whole.items():
        if abs(score) >= _LIMIT:
            raise ValueError(
                f"{name} must be below 2^61 once all scores are whole, "
                f"got {float(scores[name]):g} in units of 1/{scale}"
            )
    if table is not None:
        entries = [int(score * scale) for score in in_table]
        for entry in entries:
            if not -(2**31) <= entry < 2**31:
                raise ValueError(
                    "the scores of a matrix must fit 32 bits once all scores are whole, "
                    f"got {entry / scale:g} in units of 1/{scale}"
                )
        table = np.array(entries, dtype=np.int32)[table]
    return WholeScores(scale, **whole, table=table, index=index)


def _whole_mapping(scores: dict[str, Fraction], matrix: dict[Any, Any]) -> WholeScores:
    tokens: dict[Hashable, int] = {}
    entries = {}
    for key, number in matrix.items():
        if not isinstance(key, tuple) or len(key) != 2:
            raise ValueError(f"matrix must have pairs of tokens as keys, got {key!r}")
        for token in key:
            tokens.setdefault(token, len(tokens))
        entries[key] = _exact(number, f"matrix[{key!r}]")
    if not tokens:
        raise ValueError("matrix must hold the score of a pair of tokens, got none")
    _check_count(len(tokens))
    values = [*entries.values(), scores["match"], scores["mismatch"]]
    table = np.full((len(tokens), len(tokens)), len(entries) + 1, dtype=np.intp)
    np.fill_diagonal(table, len(entries))
    for place, (x, y) in enumerate(entries):
        table[tokens[x], tokens[y]] = place
        if (y, x) not in entries:
            table[tokens[y], tokens[x]] = place
    used, table = np.unique(table, return_inverse=True)
    gaps = {name: scores[name] for name in ("gap", "gap_open")}
    square = table.reshape(len(tokens), len(tokens))
    return _whole(gaps, square, tokens, [values[place] for place in used])


def _array_and_alphabet(matrix: Any) -> tuple[npt.NDArray[Any], tuple[Hashable, ...]]:
    if not isinstance(matrix, (tuple, list)) or len(matrix) != 2:
        raise TypeError(
            "matrix must be a mapping {(x, y): score} or a pair (array, alphabet), "
            f"got {type(matrix).__name__}"
        )
    array = np.array(matrix[0])
    array.setflags(write=False)
    alphabet = tuple(matrix[1])
    if array.ndim != 2 or array.shape[0] != array.shape[1]:
        raise ValueError(f"matrix must be square, got shape {array.shape}")
    if len(alphabet) != len(array):
        raise ValueError(
            "alphabet must have one token for each row of the matrix, "
            f"got {len(alphabet)} tokens and {len(array)} rows"
        )
    return array, alphabet


def _whole_array(
    scores: dict[str, Fraction], array: npt.NDArray[Any], alphabet: tuple[Hashable, ...]
) -> WholeScores:
    _check_count(len(alphabet))
    tokens: dict[Hashable, int] = {}
    for token in alphabet:
        try:
            repeated = token in tokens
        except TypeError:
            raise TypeError(f"alphabet must hold hashable tokens, got {token!r}") from None
        if repeated:
            raise ValueError(f"alphabet must not repeat a token, got {token!r} twice")
        tokens[token] = len(tokens)
    values: list[Any]
    if array.dtype.kind in "iufb":
        numbers, places = np.unique(array, return_inverse=True)
        values = list(numbers)
    else:
        values, places = array.ravel().tolist(), np.arange(array.size)
    gaps = {name: scores[name] for name in ("gap", "gap_open")}
    exact = [_exact(number, "every score of the matrix") for number in values]
    return _whole(gaps, places.reshape(array.shape), tokens, exact)


def _check_count(tokens: int) -> None:
    if tokens > MOST_TOKENS:
        raise too_many_tokens(tokens)


def too_many_tokens(tokens: int) -> ValueError:
    """Return the error for more tokens than there are numbers for."""
    return ValueError(f"there may be at most {MOST_TOKENS:,} distinct tokens, got {tokens:,}")


# Where none is given: that of the published matrices.
PUBLISHED = Scoring()
