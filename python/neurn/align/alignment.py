"""What an alignment is, and the forms it is read and kept in."""

from __future__ import annotations

import itertools
import json
import math
import re
import shutil
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from neurn.align import html, text
from neurn.align.scoring import Scoring, value

DIAGONAL, UP, LEFT = 1, 2, 4

_SCORES = ("match", "mismatch", "gap", "gap_open")
_REPR_CIGAR = 60
_NOTEBOOK_COLUMNS = 1000
_MOVES = {"=": DIAGONAL, "X": DIAGONAL, "I": UP, "D": LEFT}


class Counts(NamedTuple):
    """Columns of an alignment by kind.

    Attributes
    ----------
    matches : int
        Columns of two identical tokens.
    mismatches : int
        Columns of two different tokens, whatever a substitution matrix says of them.
    gaps : int
        Columns of one token against a gap, free end gaps included.
    gap_openings : int
        Runs of such columns in the same sequence.
    columns : int
        All: matches + mismatches + gaps.
    """

    matches: int
    mismatches: int
    gaps: int
    gap_openings: int
    columns: int


@dataclass(frozen=True, eq=False, repr=False)
class Alignment:
    """Two sequences, column by column. `neurn.align.align` makes them.

    Attributes
    ----------
    score : int or float
        Best score of any alignment of the two under `scoring`.
    moves : ndarray of uint8, shape (columns,)
        From the first tokens to the last: 1 (diagonal) one token of each, 2 (up) a token of a
        against a gap, 4 (left) a token of b against a gap. Read-only.
    a, b : sequence
        As they were given.
    scoring : Scoring
    similarity : float
        From the score alone: see `neurn.align.similarity`. Unlike `identity` it does not depend on
        which of several best alignments this is.
    free_ends : tuple of str
        Ends whose gaps cost nothing: of ``"a_begin"``, ``"a_end"``, ``"b_begin"``, ``"b_end"``.

    Raises
    ------
    ValueError
        If `moves` holds another value, or does not use each token once.

    Examples
    --------
    >>> from neurn import align
    >>> print(align.align("GAACT", "GAT"))
    score -1, similarity 0.75, 3 of 5 columns identical, 0 different, 2 gaps
    <BLANKLINE>
    a 0 GAACT 5
        |-|-|
    b 0 G-A-T 3
    <BLANKLINE>
    1=1I1=1I1=
    """

    score: int | float
    moves: npt.NDArray[np.uint8]
    a: Sequence[Any]
    b: Sequence[Any]
    scoring: Scoring
    similarity: float
    free_ends: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        moves = np.array(self.moves, dtype=np.uint8)
        moves.setflags(write=False)
        object.__setattr__(self, "moves", moves)
        object.__setattr__(self, "free_ends", tuple(self.free_ends))
        found = {move: np.count_nonzero(moves == move) for move in (DIAGONAL, UP, LEFT)}
        if moves.ndim != 1 or sum(found.values()) != moves.size:
            raise ValueError(
                f"moves must be a one-dimensional array of {DIAGONAL}, {UP} and {LEFT}, "
                f"got shape {moves.shape} and values {np.unique(moves).tolist()}"
            )
        for name, sequence, move in (("a", self.a, UP), ("b", self.b, LEFT)):
            used = found[DIAGONAL] + found[move]
            if used != len(sequence):
                raise ValueError(
                    f"moves must use each token once, got {used} moves along {name} "
                    f"and {len(sequence)} tokens in it"
                )

    @classmethod
    def _of_best_path(cls, moves: npt.NDArray[np.uint8], **others: Any) -> Alignment:
        """Make one of moves that a kernel found: they are right, and nobody else has them."""
        alignment = object.__new__(cls)
        moves.setflags(write=False)
        vars(alignment).update(others, moves=moves)
        return alignment

    @cached_property
    def _operations(self) -> str:
        """One of ``=XID`` for each column."""
        codes = np.empty(self.moves.size, dtype=np.uint8)
        codes[self.moves == UP] = ord("I")
        codes[self.moves == LEFT] = ord("D")
        diagonal = self.moves == DIAGONAL
        rows = (np.cumsum(self.moves != LEFT) - 1)[diagonal].tolist()
        columns = (np.cumsum(self.moves != UP) - 1)[diagonal].tolist()
        a, b = _tokens(self.a), _tokens(self.b)
        same = [a[i] is b[j] or bool(a[i] == b[j]) for i, j in zip(rows, columns, strict=True)]
        codes[diagonal] = np.where(same, ord("="), ord("X"))
        return codes.tobytes().decode("ascii")

    @cached_property
    def pairs(self) -> list[tuple[int | None, int | None]]:
        """Index in a and index in b for each column, None where there is a gap."""
        i, j = itertools.count(), itertools.count()
        return [
            (None if move == LEFT else next(i), None if move == UP else next(j))
            for move in self.moves.tolist()
        ]

    @cached_property
    def counts(self) -> Counts:
        """Matches, mismatches, gaps, gap openings and columns."""
        operations = self._operations
        matches, mismatches = operations.count("="), operations.count("X")
        openings = sum(operation in "ID" for operation, _ in itertools.groupby(operations))
        columns = len(operations)
        return Counts(matches, mismatches, columns - matches - mismatches, openings, columns)

    @property
    def identity(self) -> float:
        """Share of all columns, gaps included, that hold two identical tokens; 1 if there are none.

        Others divide by something else: by columns without a gap (``counts.matches +
        counts.mismatches``) or by the length of the shorter sequence. Each of them depends on which
        of several best alignments is shown; `similarity` does not.
        """
        return self.counts.matches / self.counts.columns if self.counts.columns else 1.0

    @cached_property
    def cigar(self) -> str:
        """Extended CIGAR, a read as the query and b as the reference.

        ``=`` identical, ``X`` different, ``I`` a token of a against a gap (insertion into b), ``D``
        a token of b against a gap (deletion from b); each after the number of such columns.
        """
        return "".join(
            f"{len(list(run))}{operation}" for operation, run in itertools.groupby(self._operations)
        )

    def rows(self, gap: Any = text.GAP) -> tuple[Any, Any]:
        """Return a and b with gaps put in, of equal length.

        Parameters
        ----------
        gap : object
            What stands for a gap.

        Returns
        -------
        tuple of str or of list
            Two strings if a, b and `gap` are strings, else two lists.
        """
        a, b = iter(_tokens(self.a)), iter(_tokens(self.b))
        moves = self.moves.tolist()
        row_a = [gap if move == LEFT else next(a) for move in moves]
        row_b = [gap if move == UP else next(b) for move in moves]
        if all(isinstance(part, str) for part in (self.a, self.b, gap)):
            return "".join(row_a), "".join(row_b)
        return row_a, row_b

    def rescore(self) -> int | float:
        """Add the score up from the moves and tokens alone; equal to `score`."""
        scoring = self.scoring.whole
        a, b = _tokens(self.a), _tokens(self.b)
        total = i = j = 0
        runs = [(move, len(list(run))) for move, run in itertools.groupby(self.moves.tolist())]
        for place, (move, length) in enumerate(runs):
            if move == DIAGONAL:
                pairs = zip(a[i : i + length], b[j : j + length], strict=True)
                total += sum(round(self.scoring.pair(x, y) * scoring.scale) for x, y in pairs)
            else:
                name = "a" if move == UP else "b"
                free = (place == 0 and f"{name}_begin" in self.free_ends) or (
                    place == len(runs) - 1 and f"{name}_end" in self.free_ends
                )
                total += 0 if free else scoring.gap_open + length * scoring.gap
            i += length if move != LEFT else 0
            j += length if move != UP else 0
        return value(total, scoring.scale)

    def to_text(self, width: int | None = None) -> str:
        """Return both rows with a marker row between them, wrapped.

        Parameters
        ----------
        width : int, optional
            Columns of text; those of the terminal by default.

        Returns
        -------
        str
            A summary, the blocks, and the CIGAR. ``|`` marks identical tokens, ``.`` different
            ones, ``-`` a gap. At the ends of a row stand the index of its first token and that
            after its last, from 0. Strings are set without spaces. Nothing is left out.
        """
        if width is None:
            width = shutil.get_terminal_size().columns
        compact = isinstance(self.a, str) and isinstance(self.b, str)
        a, b = _tokens(self.a), _tokens(self.b)
        blocks = text.gapped_rows(a, b, self._operations, width, compact=compact)
        cigar = textwrap.wrap(re.sub(r"(?<=[=XID])", " ", self.cigar), max(width, 1))
        lines = [self._summary(), "", *blocks, "", *(line.replace(" ", "") for line in cigar)]
        return "\n".join(lines).rstrip()

    def to_html(self) -> str:
        """Return a page of gapped columns that refers to no other file."""
        title = f"Alignment, score {self.score}"
        return html.page(self._fragment(), title)

    def to_json(self) -> str:
        """Return JSON that `from_json` makes an equal alignment of.

        Raises
        ------
        TypeError
            If a token, or a token of the scoring's matrix, is not a string, number, boolean or
            None.
        """
        record = {
            "score": self.score,
            "similarity": self.similarity,
            "identity": self.identity,
            "counts": self.counts._asdict(),
            "cigar": self.cigar,
            "a": _plain_sequence(self.a, "a"),
            "b": _plain_sequence(self.b, "b"),
            "free_ends": list(self.free_ends),
            "scoring": _scoring_record(self.scoring),
        }
        return json.dumps(record, ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, source: str | bytes) -> Alignment:
        """Make the alignment that `to_json` wrote.

        Parameters
        ----------
        source : str or bytes

        Raises
        ------
        ValueError
            If `source` is not JSON, lacks a part, or its CIGAR does not fit its sequences.
        """
        record = json.loads(source)
        try:
            moves = _parse_cigar(record["cigar"])
            fields = {key: record[key] for key in ("score", "a", "b", "similarity")}
            scoring = _scoring_from_record(record["scoring"])
            free_ends = tuple(record["free_ends"])
        except KeyError as error:
            raise ValueError(f"this JSON holds no alignment: {error} is missing") from error
        except TypeError as error:
            raise ValueError(f"this JSON holds no alignment: {error}") from error
        return cls(moves=moves, scoring=scoring, free_ends=free_ends, **fields)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Alignment):
            return NotImplemented
        return (
            (self.score, self.similarity, self.free_ends, self.scoring)
            == (other.score, other.similarity, other.free_ends, other.scoring)
            and np.array_equal(self.moves, other.moves)
            and list(_tokens(self.a)) == list(_tokens(other.a))
            and list(_tokens(self.b)) == list(_tokens(other.b))
        )

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        cigar = self.cigar
        if len(cigar) > _REPR_CIGAR:
            cigar = f"{cigar[: _REPR_CIGAR // 2]}...{cigar[-_REPR_CIGAR // 2 :]}"
        return (
            f"<Alignment of {len(self.a)} and {len(self.b)} tokens: score {self.score}, "
            f"similarity {self.similarity:.3g}, {cigar}>"
        )

    def _repr_html_(self) -> str:
        return self._fragment(_NOTEBOOK_COLUMNS)

    def _fragment(self, shown: int | None = None) -> str:
        cigar = self.cigar
        if shown is not None and len(cigar) > shown:
            cigar = f"{cigar[: shown // 2]}...{cigar[-shown // 2 :]}"
        return html.fragment(
            _tokens(self.a), _tokens(self.b), self._operations, self._summary(), cigar, shown
        )

    def _summary(self) -> str:
        counts = self.counts
        return (
            f"score {self.score}, similarity {self.similarity:.2f}, "
            f"{counts.matches} of {counts.columns} columns identical, "
            f"{counts.mismatches} different, {counts.gaps} gap{'' if counts.gaps == 1 else 's'}"
        )


def _tokens(sequence: Any) -> Sequence[Any]:
    """Return tokens as Python objects: an array's own would neither print nor compare plainly."""
    if isinstance(sequence, (str, list, tuple)):
        return sequence
    tolist = getattr(sequence, "tolist", None)
    return list(sequence) if tolist is None else list(tolist())


def _parse_cigar(cigar: str) -> npt.NDArray[np.uint8]:
    if re.fullmatch(r"(\d+[=XID])*", cigar) is None:
        raise ValueError(f"cigar must be numbers each followed by =, X, I or D, got {cigar!r}")
    runs = re.findall(r"(\d+)(.)", cigar)
    moves = np.array([_MOVES[operation] for _, operation in runs], dtype=np.uint8)
    return np.repeat(moves, [int(length) for length, _ in runs])


def _plain_sequence(sequence: Any, name: str) -> str | list[Any]:
    if isinstance(sequence, str):
        return sequence
    return [_plain(token, f"{name}[{place}]") for place, token in enumerate(_tokens(sequence))]


def _plain(token: Any, name: str) -> Any:
    """Return a token as JSON holds it."""
    if isinstance(token, np.generic):
        token = token.item()
    finite = not isinstance(token, float) or math.isfinite(token)
    if token is None or (isinstance(token, (str, int, float)) and finite):
        return token
    raise TypeError(
        f"to_json holds tokens that are strings, finite numbers, booleans or None, "
        f"got {name} = {token!r}"
    )


def _scoring_record(scoring: Scoring) -> dict[str, Any]:
    matrix: Any = None
    if isinstance(scoring.matrix, tuple):
        array, alphabet = scoring.matrix
        tokens = [_plain(token, "a token of the matrix") for token in alphabet]
        scores = [[_number(score) for score in row] for row in array]
        matrix = {"alphabet": tokens, "scores": scores}
    elif scoring.matrix is not None:
        matrix = [
            [*(_plain(token, "a token of the matrix") for token in pair), _number(score)]
            for pair, score in scoring.matrix.items()
        ]
    numbers = {name: _number(getattr(scoring, name)) for name in _SCORES}
    return {**numbers, "matrix": matrix}


def _scoring_from_record(record: dict[str, Any]) -> Scoring:
    matrix = record["matrix"]
    if isinstance(matrix, dict):
        rows = [[_from_number(score) for score in row] for row in matrix["scores"]]
        matrix = np.array(rows).reshape(len(rows), -1), matrix["alphabet"]
    elif matrix is not None:
        matrix = {(x, y): _from_number(score) for x, y, score in matrix}
    return Scoring(**{name: _from_number(record[name]) for name in _SCORES}, matrix=matrix)


def _number(score: Any) -> int | float | str:
    """Return a score as JSON holds it without rounding: a fraction is a string."""
    if isinstance(score, (np.integer, np.bool_, np.float64)):
        score = score.item()
    return score if isinstance(score, (int, float)) else str(Fraction(str(score)))


def _from_number(score: Any) -> Any:
    return Fraction(score) if isinstance(score, str) else score
