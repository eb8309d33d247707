"""Sequences of anything hashable as sequences of numbers."""

from __future__ import annotations

import functools
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from itertools import accumulate, chain
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from neurn import _core
from neurn.align.scoring import MOST_TOKENS, Scoring, too_many_tokens, unknown_token

# Tokens and offsets.
Part: TypeAlias = tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64]]

# Numbers in a range below this are counted in a table, others sorted.
_TABLE = 2**21


@dataclass(slots=True)
class Encoded:
    """Sequences, numbered token by token; equal tokens have equal numbers.

    Attributes
    ----------
    tokens : ndarray of uint16
        All sequences, one after the other.
    offsets : ndarray of int64, shape (sequences + 1,)
        Sequence i is ``tokens[offsets[i] : offsets[i + 1]]``.
    scoring : AlignScoring
        Speaks of these numbers.
    table : ndarray of int32, optional
        The scoring's.
    """

    tokens: npt.NDArray[np.uint16]
    offsets: npt.NDArray[np.int64]
    scoring: _core.AlignScoring
    table: npt.NDArray[np.int32] | None

    @property
    def lengths(self) -> npt.NDArray[np.int64]:
        """Number of tokens of each sequence."""
        return self.offsets[1:] - self.offsets[:-1]

    def part(self, begin: int, end: int) -> Part:
        """Return tokens and offsets of sequences begin .. end - 1."""
        first, last = self.offsets[begin], self.offsets[end]
        return self.tokens[first:last], self.offsets[begin : end + 1] - first

    def __getitem__(self, i: int) -> npt.NDArray[np.uint16]:
        return self.tokens[self.offsets[i] : self.offsets[i + 1]]


def encode(
    sequences: Sequence[Any], scoring: Scoring, name: Callable[[int], str] = "sequence {}".format
) -> Encoded:
    """Give every distinct token of sequences a number.

    Parameters
    ----------
    sequences : sequence of sequence
        Strings, bytes, one-dimensional integer arrays of numpy or torch, or any sequences of
        hashable tokens. Tokens are equal where Python says so: 1, 1.0 and True are one token.
    scoring : Scoring
    name : callable
        What an error calls sequence i.

    Raises
    ------
    TypeError
        If a sequence is none, or holds something that is not hashable.
    ValueError
        If there are more than 2^16 distinct tokens, an array has not one dimension, or the
        scoring's matrix lacks a token.
    """
    kinds = set(map(type, sequences))
    if kinds and all(issubclass(kind, str) for kind in kinds):
        tokens, offsets, items = _encode_strings(list(sequences))
    else:
        plain = [_plain(sequence, name, i) for i, sequence in enumerate(sequences)]
        offsets = np.array([0, *accumulate(map(len, plain))], dtype=np.int64)
        if plain and all(isinstance(sequence, np.ndarray) for sequence in plain):
            tokens, items = _encode_integers(plain)
        else:
            tokens, items = _encode_hashables(plain, int(offsets[-1]), name)

    whole = scoring.whole
    if whole.table is None or whole.index is None:
        native = _without_table(whole.match, whole.mismatch, whole.gap_open, whole.gap)
        return Encoded(tokens, offsets, native, None)
    places = []
    for item in items():
        place = whole.index.get(item)
        if place is None:
            raise unknown_token(item)
        places.append(place)
    table = np.ascontiguousarray(whole.table[np.ix_(places, places)])
    native = _core.AlignScoring(whole.match, whole.mismatch, table, whole.gap_open, whole.gap)
    return Encoded(tokens, offsets, native, table)


@functools.lru_cache(maxsize=64)
def _without_table(match: int, mismatch: int, gap_open: int, gap: int) -> _core.AlignScoring:
    return _core.AlignScoring(match, mismatch, None, gap_open, gap)


def _plain(sequence: Any, name: Callable[[int], str], i: int) -> Any:
    """Return a str, a list or tuple, or an integer array."""
    if isinstance(sequence, (str, list, tuple)):
        return sequence
    if isinstance(sequence, np.ndarray):
        if sequence.ndim != 1:
            raise ValueError(f"{name(i)} must have one dimension, got shape {sequence.shape}")
        # Of uint64 and another kind together numpy makes floats.
        integral = sequence.dtype.kind in "iub" and sequence.dtype != np.uint64
        return sequence if integral else sequence.tolist()
    if isinstance(sequence, (bytes, bytearray)):
        return np.frombuffer(sequence, dtype=np.uint8)
    if isinstance(sequence, torch.Tensor):
        return _plain(sequence.detach().cpu().numpy(), name, i)
    if isinstance(sequence, (set, frozenset, dict)) or not hasattr(sequence, "__iter__"):
        raise TypeError(f"{name(i)} must be a sequence of tokens, got {type(sequence).__name__}")
    return list(sequence)


_Items = Callable[[], Sequence[Hashable]]


def _encode_strings(
    strings: list[str],
) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.int64], _Items]:
    tokens, offsets, codes = _core.align_characters(strings)
    if codes.size > MOST_TOKENS:
        raise too_many_tokens(codes.size)
    return tokens, offsets, lambda: [chr(code) for code in codes.tolist()]


def _encode_integers(arrays: list[npt.NDArray[Any]]) -> tuple[npt.NDArray[np.uint16], _Items]:
    numbers = np.concatenate(arrays).astype(np.int64, copy=False)
    ranked = _core.align_rank(numbers, _TABLE)
    if ranked is None:
        distinct, inverse = np.unique(numbers, return_inverse=True)
        tokens = inverse.astype(np.uint16)
    else:
        tokens, distinct = ranked
    if distinct.size > MOST_TOKENS:
        raise too_many_tokens(distinct.size)
    return tokens, distinct.tolist


def _encode_hashables(
    sequences: list[Any], count: int, name: Callable[[int], str]
) -> tuple[npt.NDArray[np.uint16], _Items]:
    plain = [s.tolist() if isinstance(s, np.ndarray) else s for s in sequences]
    try:
        distinct = dict.fromkeys(chain.from_iterable(plain))
    except TypeError:
        for i, sequence in enumerate(plain):
            for token in sequence:
                if not _hashes(token):
                    raise TypeError(
                        f"{name(i)} must hold hashable tokens, got {type(token).__name__}"
                    ) from None
        raise
    if len(distinct) > MOST_TOKENS:
        raise too_many_tokens(len(distinct))
    numbers = dict(zip(distinct, range(len(distinct)), strict=True))
    every = map(numbers.__getitem__, chain.from_iterable(plain))
    return np.fromiter(every, dtype=np.uint16, count=count), lambda: list(distinct)


def _hashes(token: Any) -> bool:
    try:
        hash(token)
    except TypeError:
        return False
    return True
