"""Scores of sets on GPUs: tile by tile, so that only tiles have to fit there."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from neurn._progress import Progress
from neurn.align.encoding import Encoded
from neurn.align.scoring import WholeScores

Device: TypeAlias = str | torch.device | Sequence[str | torch.device]

# Most pairs of a tile: enough to fill any GPU many times over, few enough to fit beside anything.
TILE_PAIRS = 2**24
# Most cells: between tiles a call tells how far it is, and can be stopped.
TILE_CELLS = 2**43
# Cells that are worth a device of their own.
_SHARED_CELLS = 2**37
Lengths: TypeAlias = npt.NDArray[np.int64]

_LARGEST_INT32 = 2**31
_LARGEST_EXACT = 2**53


def choose_devices(device: Device | None, sequences: Iterable[Any]) -> list[torch.device]:
    """Return the GPUs that are to score a set; none where the CPU is.

    Parameters
    ----------
    device : str, torch.device or sequence of these, optional
        By default the device of the first sequence that is a tensor on a GPU, if any.
    sequences : iterable

    Raises
    ------
    TypeError
        If device is something else.
    ValueError
        If device is no CPU or CUDA device, or one that is not present.
    """
    if device is None:
        on_gpu = (s.device for s in sequences if isinstance(s, Tensor) and s.is_cuda)
        return list(dict.fromkeys(on_gpu))[:1]
    given = [device] if isinstance(device, (str, torch.device)) else device
    if not isinstance(given, Sequence) or not given:
        raise TypeError(f"device must be a device or a sequence of devices, got {device!r}")
    chosen = [_device(one) for one in given]
    if all(one.type == "cpu" for one in chosen):
        return []
    if len(set(chosen)) != len(chosen) or any(one.type == "cpu" for one in chosen):
        raise ValueError(f"device must be one device or several CUDA devices, got {device!r}")
    return chosen


def _device(given: Any) -> torch.device:
    try:
        device = torch.device(given)
    except (RuntimeError, TypeError):
        raise ValueError(f"device must be 'cpu' or a CUDA device, got {given!r}") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise ValueError(f"device must be 'cpu' or a CUDA device, got {given!r}")
    count = torch.cuda.device_count()
    if device.index is None and count:
        device = torch.device("cuda", torch.cuda.current_device())
    if device.index is None or device.index >= count:
        found = f"{count} CUDA devices" if count else "no CUDA device"
        raise ValueError(f"device must be one that is present, got {given!r}: torch finds {found}")
    return device


@dataclass(frozen=True)
class Tile:
    """Rows and columns of a part of the scores, each a range."""

    rows: slice
    columns: slice

    @property
    def pairs(self) -> int:
        """Number of pairs."""
        rows, columns = self.rows, self.columns
        return int((rows.stop - rows.start) * (columns.stop - columns.start))


def tiles(rows: int, columns: int, symmetric: bool, pairs: int = TILE_PAIRS) -> list[Tile]:
    """Cut (rows, columns) into tiles of at most `pairs` pairs.

    Of a symmetric square only those on and above the diagonal are there.
    """
    side = max(1, int(pairs**0.5))
    width = min(side, max(columns, 1))
    height = side if symmetric else max(1, pairs // width)
    if symmetric:
        width = height
    return [
        Tile(slice(i, min(i + height, rows)), slice(j, min(j + width, columns)))
        for i in range(0, rows, height)
        for j in range(i if symmetric else 0, columns, width)
    ]


def pairs_of_a_tile(rows: Lengths, columns: Lengths, devices: int) -> int:
    """Choose how many pairs of sequences of these lengths a tile is to hold."""
    cells = max(float(rows.mean()) * float(columns.mean()), 1.0) if rows.size * columns.size else 1
    pairs = min(TILE_PAIRS, TILE_CELLS / cells)
    if devices > 1:
        share = rows.size * columns.size / (4 * devices)
        pairs = min(pairs, max(share, _SHARED_CELLS / cells))
    return max(1, int(pairs))


def tiled_scores(
    encoded: Encoded,
    rows: range,
    columns: range,
    whole: WholeScores,
    devices: Sequence[torch.device],
    report: Progress | None = None,
    *,
    symmetric: bool = False,
    bound: int,
    tile_pairs: int | None = None,
) -> npt.NDArray[Any]:
    """Score every sequence of `rows` with every one of `columns`.

    Parameters
    ----------
    encoded : Encoded
    rows, columns : range
        Numbers of sequences.
    whole : WholeScores
    devices : sequence of torch.device
        They share the tiles: each takes the next one when it is done with another.
    report : callable, optional
        Called with the numbers of pairs done and of all.
    symmetric : bool
        rows and columns are the same, and so are both orders of a pair.
    bound : int
        No score is larger.
    tile_pairs : int, optional
        Most pairs of a tile, by default `pairs_of_a_tile`; two tiles are under way on each device.

    Returns
    -------
    ndarray of int32 or int64, shape (len(rows), len(columns))
        Whole scores.

    Raises
    ------
    OverflowError
        If scores can exceed 2^53.
    """
    if bound >= _LARGEST_EXACT:
        raise OverflowError(
            "scores of these sequences can exceed 2^53 under this scoring, which only the CPU "
            "holds: use smaller scores, or device='cpu'"
        )
    dtype = np.int32 if bound < _LARGEST_INT32 else np.int64
    out = np.empty((len(rows), len(columns)), dtype=dtype)
    if tile_pairs is None:
        first, second = (encoded.lengths[side.start : side.stop] for side in (rows, columns))
        tile_pairs = pairs_of_a_tile(first, second, len(devices))
    work = _Work(tiles(*out.shape, symmetric, tile_pairs), out, symmetric, report)

    def serve(device: torch.device) -> None:
        try:
            _Server(encoded, rows, columns, whole, device, dtype).run(work)
        except BaseException:
            work.stop()
            raise

    if len(devices) == 1:
        serve(devices[0])
        return out
    with ThreadPoolExecutor(len(devices)) as pool:
        try:
            for served in [pool.submit(serve, device) for device in devices]:
                served.result()
        except BaseException:
            work.stop()
            raise
    return out


@dataclass
class _Work:
    """Tiles to be done, and where their scores go."""

    todo: list[Tile]
    out: npt.NDArray[Any]
    symmetric: bool
    report: Progress | None
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.total = sum(tile.pairs for tile in self.todo)
        self.left = iter(self.todo)

    def __iter__(self) -> Iterator[Tile]:
        while True:
            with self.lock:
                tile = next(self.left, None)
            if tile is None:
                return
            yield tile

    def stop(self) -> None:
        with self.lock:
            self.left = iter(())

    def mirrors(self, tile: Tile) -> bool:
        """Whether a tile's scores are those of another one too."""
        return self.symmetric and tile.rows != tile.columns

    def put(self, tile: Tile, scores: Tensor, mirrored: Tensor | None) -> None:
        self.out[tile.rows, tile.columns] = scores.numpy()
        if mirrored is not None:
            self.out[tile.columns, tile.rows] = mirrored.numpy()
        with self.lock:
            self.done += tile.pairs
            if self.report is not None:
                self.report(self.done, self.total)


class _Server:
    """One device, with the sequences on it."""

    def __init__(
        self,
        encoded: Encoded,
        rows: range,
        columns: range,
        whole: WholeScores,
        device: torch.device,
        dtype: type[np.generic],
    ) -> None:
        self.device = device
        self.tokens = torch.from_numpy(encoded.tokens.astype(np.int32)).to(device)
        self.offsets = torch.from_numpy(encoded.offsets).to(device)
        self.rows, self.columns = (
            torch.arange(side.start, side.stop, device=device) for side in (rows, columns)
        )
        scores: Any = encoded.table
        if scores is None:
            scores = np.array([whole.match, whole.mismatch])
        kind = torch.int64 if dtype == np.int32 else torch.float64
        self.substitution = torch.from_numpy(scores).to(device, kind)
        self.gaps = float(whole.gap_open), float(whole.gap)

    def scores(self, tile: Tile) -> Tensor:
        """Score a tile on the device."""
        result: Tensor = torch.ops.neurn.nw_cross_scores(
            self.tokens,
            self.offsets,
            self.rows[tile.rows],
            self.columns[tile.columns],
            self.substitution,
            *self.gaps,
        )
        return result

    def run(self, work: _Work) -> None:
        if self.device.type != "cuda":
            for tile in work:
                scores = self.scores(tile)
                work.put(tile, scores, scores.T if work.mirrors(tile) else None)
            return
        with torch.cuda.device(self.device):
            self._run_on_streams(work)

    def _run_on_streams(self, work: _Work) -> None:
        # While one tile is computed, the one before goes to the host and to its place.
        here = torch.cuda.current_stream()
        streams = [torch.cuda.Stream() for _ in range(2)]
        for stream in streams:
            stream.wait_stream(here)
        before: _Arriving | None = None
        try:
            for number, tile in enumerate(work):
                with torch.cuda.stream(streams[number % 2]):
                    scores = self.scores(tile)
                    host = _to_host(scores)
                    # A GPU turns a tile over in no time, a processor takes longer than its scores.
                    mirrored = _to_host(scores.T.contiguous()) if work.mirrors(tile) else None
                    arrived = torch.cuda.Event()
                    arrived.record()
                if before is not None:
                    before.put(work)
                before = _Arriving(tile, host, mirrored, arrived)
            if before is not None:
                before.put(work)
        finally:
            # Whatever stopped us: the arguments' memory is free for others from here on.
            for stream in streams:
                stream.synchronize()


@dataclass(frozen=True)
class _Arriving:
    """A tile's scores on their way to the host."""

    tile: Tile
    scores: Tensor
    mirrored: Tensor | None
    arrived: torch.cuda.Event

    def put(self, work: _Work) -> None:
        self.arrived.synchronize()
        work.put(self.tile, self.scores, self.mirrored)


def _to_host(scores: Tensor) -> Tensor:
    host = torch.empty(scores.shape, dtype=scores.dtype, pin_memory=scores.is_cuda)
    return host.copy_(scores, non_blocking=True)
