"""The pairs of sequences that are aligned, all from one seed."""

from __future__ import annotations

import functools
import string
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MATCH, MISMATCH, GAP = 1, -2, -2

LETTERS = string.ascii_uppercase


@dataclass(frozen=True)
class Workload:
    """Sequences and pairs of them.

    `pairs` has shape (P, 2); `shape` is "all" where they are all i < j, else "pairs".
    """

    name: str
    what: str
    sequences: list[str]
    pairs: NDArray[np.int64]
    shape: str

    @property
    def cells(self) -> int:
        lengths = np.array([len(sequence) for sequence in self.sequences])
        return int((lengths[self.pairs[:, 0]] * lengths[self.pairs[:, 1]]).sum())

    def part(self, cells: float) -> Workload:
        """Return a part with about as many cells, for those that would take all day."""
        if cells >= self.cells:
            return self
        if len(self.pairs) == 1:
            keep = int((cells / self.cells) ** 0.5 * min(map(len, self.sequences)))
            return replace(self, sequences=[sequence[:keep] for sequence in self.sequences])
        if self.shape == "pairs":
            keep = max(1, int(len(self.pairs) * cells / self.cells))
            return replace(self, pairs=self.pairs[:keep])
        # Evenly from the set, so that short and long sequences keep their shares.
        keep = max(2, int(len(self.sequences) * (cells / self.cells) ** 0.5))
        chosen = np.linspace(0, len(self.sequences) - 1, keep).astype(int)
        return replace(self, sequences=[self.sequences[i] for i in chosen], pairs=_all_pairs(keep))


def _all_pairs(count: int) -> NDArray[np.int64]:
    return np.stack(np.triu_indices(count, 1), axis=1)


def _random(generator: np.random.Generator, length: int, alphabet: int) -> str:
    return "".join(LETTERS[i] for i in generator.integers(0, alphabet, length))


def networks(quick: bool) -> Workload:
    """W1: what architectures look like, stages of a block that is repeated."""
    generator = np.random.default_rng(1)
    count, longest = (8, 70) if quick else (44, 700)
    lengths = np.geomspace(21, longest, count).astype(int)
    sequences = []
    for length in lengths:
        text = ""
        while len(text) < length:
            block = _random(generator, int(generator.integers(2, 9)), 12)
            text += block * int(generator.integers(2, 12)) + _random(generator, 1, 12)
        sequences.append(text[:length])
    what = f"all pairs of {count} block-structured sequences of 21-{longest}, 12 letters"
    return Workload("W1", what, sequences, _all_pairs(count), "all")


def random_set(quick: bool) -> Workload:
    """W2."""
    generator = np.random.default_rng(2)
    count = 30 if quick else 1000
    lengths = generator.integers(30, 301, count)
    sequences = [_random(generator, int(length), 20) for length in lengths]
    what = f"all pairs of {count:,} random sequences of 30-300, 20 letters"
    return Workload("W2", what, sequences, _all_pairs(count), "all")


def short_pairs(quick: bool) -> Workload:
    """W5: each of 100 sequences with each of 100 others, so that a cross product can compete."""
    generator = np.random.default_rng(5)
    side = 10 if quick else 100
    sequences = [_random(generator, 64, 20) for _ in range(2 * side)]
    i, j = np.divmod(np.arange(side * side), side)
    what = f"{side * side:,} pairs of length 64, encoded, through torch.ops.neurn.nw_scores"
    return Workload("W5", what, sequences, np.stack([i, side + j], axis=1), "pairs")


def _pair(name: str, what: str, a: str, b: str) -> Workload:
    return Workload(name, what, [a, b], np.array([[0, 1]]), "pairs")


def long_pair(quick: bool, name: str = "W3", length: int = 20_000) -> Workload:
    """W3, and W4 with the path."""
    length = length // 50 if quick else length
    generator = np.random.default_rng(3)
    a, b = _random(generator, length, 20), _random(generator, length, 20)
    what = f"one random pair {length:,} x {length:,}"
    return _pair(name, what, a, b)


def related_pair(quick: bool, name: str = "W3r", length: int = 20_000) -> Workload:
    """W3r and W4r: b is a with 10 % of its letters replaced, left out or followed by another."""
    length = length // 50 if quick else length
    generator = np.random.default_rng(4)
    a = _random(generator, length, 20)
    parts = []
    for letter in a:
        edit = generator.random()
        other = LETTERS[generator.integers(0, 20)]
        if edit < 0.1 / 3:
            parts.append(other)
        elif edit < 0.2 / 3:
            continue
        else:
            parts.append(letter + other if edit < 0.1 else letter)
    b = "".join(parts)
    return _pair(name, f"one pair {len(a):,} x {len(b):,}, 10 % edits", a, b)


def one_token(quick: bool) -> Workload:
    """What a pair costs beside its cells."""
    generator = np.random.default_rng(6)
    count = 30 if quick else 1000
    sequences = [_random(generator, 1, 20) for _ in range(count)]
    return Workload(
        "W0", f"all pairs of {count:,} sequences of one token", sequences, _all_pairs(count), "all"
    )


WORKLOADS: dict[str, Callable[[bool], Workload]] = {
    "W0": one_token,
    "W1": networks,
    "W2": random_set,
    "W3": long_pair,
    "W3r": related_pair,
    "W4": functools.partial(long_pair, name="W4", length=5000),
    "W4r": functools.partial(related_pair, name="W4r"),
    "W5": short_pairs,
}
