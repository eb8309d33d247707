"""Scores of many pairs at once, on several threads or GPUs."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Integral
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from neurn import _core
from neurn._progress import Progress, half, show_progress
from neurn.align.device import Device, choose_devices, tiled_scores
from neurn.align.encoding import Encoded, encode
from neurn.align.region import is_symmetric, make_region, parse_free_ends
from neurn.align.scoring import PUBLISHED, Scoring, WholeScores
from neurn.align.similarity import normalize, self_scores

METRICS = ("score", "similarity")
_DTYPES = (np.int32, np.int64, np.float32, np.float64)


def all_pairs(
    sequences: Iterable[Any],
    scoring: Scoring | None = None,
    *,
    metric: str = "score",
    dtype: npt.DTypeLike | None = None,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
    threads: int | None = None,
    device: Device | None = None,
    progress: bool | Progress | None = None,
) -> npt.NDArray[Any]:
    """Align every sequence with every one.

    Parameters
    ----------
    sequences : iterable of n sequences of hashables
        As in `neurn.align.score`, with up to 2^16 distinct tokens in all of them.
    scoring : Scoring, optional
        +1, -2, -2 by default.
    metric : {"score", "similarity"}
        `neurn.align.score` or `neurn.align.similarity` of each pair.
    dtype : {int32, int64, float32, float64}, optional
        By default int32 for scores that are whole and provably fit, else float64.
    free_ends, band
        As in `neurn.align.score`.
    threads : int, optional
        ``torch.get_num_threads()`` by default. The result does not depend on it.
    device : str, torch.device or sequence of these, optional
        "cuda", or several such devices, to score there; the result is the same. By default where
        the first sequence that is a tensor on a GPU lies, else the CPU. Whole alignments only: no
        free_ends, no band.
    progress : bool or callable, optional
        True: a bar; a callable is called now and then with the numbers of pairs done (about) and of
        all. Ctrl-C stops the call in either case.

    Returns
    -------
    ndarray, shape (n, n)
        Row i and column j: sequence i as a, sequence j as b, in the order given. Of symmetric
        scorings only one half is computed.

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `neurn.align.score`; ValueError for an unknown metric, a dtype that cannot hold the
        result, threads < 1, or a device that is not present; OverflowError on a GPU where scores
        can exceed 2^53.

    Examples
    --------
    >>> from neurn import align
    >>> align.all_pairs(["CCM", "CM", "CRM"])
    array([[3, 0, 0],
           [0, 2, 0],
           [0, 0, 3]], dtype=int32)
    """
    call = _Call(scoring, metric, dtype, free_ends, band, threads)
    sequences = list(sequences)
    devices = call.devices(device, sequences)
    encoded = encode(sequences, call.scoring)
    symmetric = call.symmetric
    with show_progress(progress, "aligning", "pairs") as report:
        if devices:
            every = range(len(sequences))
            scores = call.tiled(encoded, every, every, devices, report, symmetric)
        else:
            scores = _core.align_cross(
                encoded.tokens,
                encoded.offsets,
                encoded.tokens,
                encoded.offsets,
                symmetric,
                encoded.scoring,
                call.region,
                call.threads,
                report,
            )
    if metric == "score":
        return call.scores(scores, encoded)
    own = call.self_scores(encoded)
    lengths = encoded.lengths
    both = scores.astype(np.float64) + scores.T
    result = normalize(both, own[:, None], own, lengths[:, None], lengths, call.whole)
    for i, j in np.argwhere(np.isnan(result)).tolist():
        result[i, j] = np.array_equal(encoded[i], encoded[j])
    return result.astype(call.dtype or np.float64, copy=False)


def cross_pairs(
    a: Iterable[Any],
    b: Iterable[Any],
    scoring: Scoring | None = None,
    *,
    metric: str = "score",
    dtype: npt.DTypeLike | None = None,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
    threads: int | None = None,
    device: Device | None = None,
    progress: bool | Progress | None = None,
) -> npt.NDArray[Any]:
    """Align every sequence of a with every one of b.

    Parameters
    ----------
    a, b : iterable of sequences of hashables
    scoring, metric, dtype, free_ends, band, threads, device, progress
        As in `all_pairs`.

    Returns
    -------
    ndarray, shape (len(a), len(b))

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `all_pairs`.

    Examples
    --------
    >>> from neurn import align
    >>> align.cross_pairs(["CCM"], ["CM", "CRM"])
    array([[0, 0]], dtype=int32)
    """
    call = _Call(scoring, metric, dtype, free_ends, band, threads)
    a, b = list(a), list(b)
    devices = call.devices(device, [*a, *b])
    encoded = encode([*a, *b], call.scoring, _numbered(len(a)))
    first, second = range(len(a)), range(len(a), len(a) + len(b))
    two_ways = metric == "similarity" and not call.symmetric
    with show_progress(progress, "aligning", "pairs") as report:

        def cross(x: range, y: range, report: Progress | None) -> npt.NDArray[Any]:
            if devices:
                return call.tiled(encoded, x, y, devices, report)
            parts = (encoded.part(side.start, side.stop) for side in (x, y))
            native, region = encoded.scoring, call.region
            (tokens, offsets), others = parts
            return _core.align_cross(
                tokens, offsets, *others, False, native, region, call.threads, report
            )

        if two_ways:
            scores = cross(first, second, half(report, 0))
            back = cross(second, first, half(report, 1)).T
        else:
            scores = back = cross(first, second, report)
    if metric == "score":
        return call.scores(scores, encoded)
    own, lengths = call.self_scores(encoded), encoded.lengths
    both = scores.astype(np.float64) + back
    n = len(a)
    result = normalize(both, own[:n, None], own[n:], lengths[:n, None], lengths[n:], call.whole)
    for i, j in np.argwhere(np.isnan(result)).tolist():
        result[i, j] = np.array_equal(encoded[i], encoded[n + j])
    return result.astype(call.dtype or np.float64, copy=False)


def paired(
    a: Iterable[Any],
    b: Iterable[Any],
    scoring: Scoring | None = None,
    *,
    metric: str = "score",
    dtype: npt.DTypeLike | None = None,
    free_ends: str | Iterable[str] = (),
    band: int | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> npt.NDArray[Any]:
    """Align the first of a with the first of b, the second with the second, and so on.

    Parameters
    ----------
    a, b : iterable of p sequences of hashables
    scoring, metric, dtype, free_ends, band, threads, progress
        As in `all_pairs`.

    Returns
    -------
    ndarray, shape (p,)

    Raises
    ------
    TypeError, ValueError, OverflowError
        As `all_pairs`; ValueError where a and b are not of equal length.

    Examples
    --------
    >>> from neurn import align
    >>> align.paired(["CCM", "CM"], ["CM", "CM"])
    array([0, 2], dtype=int32)
    """
    call = _Call(scoring, metric, dtype, free_ends, band, threads)
    a, b = list(a), list(b)
    n = len(a)
    if n != len(b):
        raise ValueError(f"a and b must hold as many sequences, got {n} and {len(b)}")
    encoded = encode([*a, *b], call.scoring, _numbered(n))
    each = np.arange(n, dtype=np.int64)
    pairs = np.stack([each, each + n], axis=1)
    if metric == "similarity" and not call.symmetric:
        pairs = np.concatenate([pairs, pairs[:, ::-1]])
    with show_progress(progress, "aligning", "pairs") as report:
        scores = _core.align_pairs(
            encoded.tokens,
            encoded.offsets,
            np.ascontiguousarray(pairs),
            encoded.scoring,
            call.region,
            call.threads,
            report,
        )
    if metric == "score":
        return call.scores(scores, encoded)
    own, lengths = call.self_scores(encoded), encoded.lengths
    both = scores[:n].astype(np.float64) + scores[-n:]
    result = normalize(both, own[:n], own[n:], lengths[:n], lengths[n:], call.whole)
    for i in np.flatnonzero(np.isnan(result)).tolist():
        result[i] = np.array_equal(encoded[i], encoded[n + i])
    return result.astype(call.dtype or np.float64, copy=False)


def _numbered(first: int) -> Any:
    def name(i: int) -> str:
        return f"a[{i}]" if i < first else f"b[{i - first}]"

    return name


class _Call:
    """Arguments that all three functions share, checked."""

    def __init__(
        self,
        scoring: Scoring | None,
        metric: str,
        dtype: npt.DTypeLike | None,
        free_ends: str | Iterable[str],
        band: int | None,
        threads: int | None,
    ) -> None:
        self.scoring = PUBLISHED if scoring is None else scoring
        self.whole: WholeScores = self.scoring.whole
        if metric not in METRICS:
            raise ValueError(
                f"metric must be one of {', '.join(map(repr, METRICS))}, got {metric!r}"
            )
        self.dtype = None if dtype is None else np.dtype(dtype)
        if self.dtype is not None and self.dtype.type not in _DTYPES:
            raise ValueError(f"dtype must be int32, int64, float32 or float64, got {self.dtype}")
        fractional = metric == "similarity" or self.whole.scale != 1
        if self.dtype is not None and self.dtype.kind == "i" and fractional:
            raise ValueError(
                f"dtype must be a floating one for scores that are not whole, got {self.dtype}"
            )
        self.free_ends = parse_free_ends(free_ends)
        self.band = band
        self.region = make_region(self.free_ends, band)
        if threads is None:
            threads = torch.get_num_threads()
        elif not isinstance(threads, Integral) or threads < 1:
            raise ValueError(f"threads must be a whole number >= 1, got {threads!r}")
        self.threads = int(threads)

    @property
    def symmetric(self) -> bool:
        return self.whole.symmetric and is_symmetric(self.free_ends)

    def self_scores(self, encoded: Encoded) -> npt.NDArray[np.int64]:
        return self_scores(encoded, self.whole, self.free_ends, self.region, self.threads)

    def devices(self, device: Device | None, sequences: list[Any]) -> list[torch.device]:
        """Return the GPUs to use, if any."""
        devices = choose_devices(device, sequences)
        if devices and (self.free_ends or self.band is not None):
            name = "free_ends" if self.free_ends else "band"
            raise ValueError(
                f"{name} must be left out on a CUDA device, which scores whole alignments only: "
                "use device='cpu'"
            )
        return devices

    def tiled(
        self,
        encoded: Encoded,
        rows: range,
        columns: range,
        devices: list[torch.device],
        report: Progress | None,
        symmetric: bool = False,
    ) -> npt.NDArray[Any]:
        """Return whole scores, from GPUs."""
        bound = _largest(encoded, self.whole, further=1)
        return tiled_scores(
            encoded, rows, columns, self.whole, devices, report, symmetric=symmetric, bound=bound
        )

    def scores(self, scores: npt.NDArray[Any], encoded: Encoded) -> npt.NDArray[Any]:
        """Return scores in the scoring's own units and the right dtype."""
        bound = _largest(encoded, self.whole)
        dtype = self.dtype
        if dtype is None:
            fits = self.whole.scale == 1 and bound < 2**31
            dtype = np.dtype(np.int32 if fits else np.float64)
        if dtype == np.int32 and bound >= 2**31 and scores.size and abs(scores).max() >= 2**31:
            raise ValueError(
                f"dtype must hold the scores, and one of {abs(scores).max()} exceeds int32"
            )
        if self.whole.scale != 1:
            return (scores / self.whole.scale).astype(dtype, copy=False)
        return scores.astype(dtype, copy=False)


def _largest(encoded: Encoded, whole: WholeScores, further: int = 0) -> int:
    """Bound the absolute score of any two of the sequences, and of that many tokens more."""
    longest = int(encoded.lengths.max(initial=0)) + further
    pair = max(abs(whole.match), abs(whole.mismatch))
    if encoded.table is not None:
        pair = int(abs(encoded.table.astype(np.int64)).max(initial=0))
    return longest * pair + 2 * longest * -whole.gap - (2 + further) * whole.gap_open + further
