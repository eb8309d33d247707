"""Sets scored tile by tile, as on GPUs; without one the tiles are the CPU operator's."""

import threading

import numpy as np
import pytest
import torch

from neurn import align
from neurn.align import device as tiled
from neurn.align.encoding import encode
from tests.conftest import DEVICES

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device is present")

SCORINGS = {
    "published": align.Scoring(),
    "halves": align.Scoring(2, -1, -0.5),
    "affine": align.Scoring(gap=-1, gap_open=-3),
    "large": align.Scoring(10**5, -(10**5), -(10**6)),
    "table": align.Scoring.from_array(np.arange(25).reshape(5, 5) - 9, range(5), gap=-1),
}


def random_set(count, seed=0, longest=40, symbols=5):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, symbols, rng.integers(0, longest)) for _ in range(count)]


@pytest.fixture
def in_tiles(device, monkeypatch):
    """Have every set scored in small tiles on a device, the CPU included."""
    monkeypatch.setattr("neurn.align.sets.choose_devices", lambda *_: [device])
    defaults = {"symmetric": False, "tile_pairs": 7}
    monkeypatch.setattr(tiled.tiled_scores, "__kwdefaults__", defaults)
    return device


@pytest.mark.parametrize("metric", ["score", "similarity"])
@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
def test_tiles_are_the_whole(in_tiles, monkeypatch, scoring, metric):
    a, b = random_set(9), random_set(6, 1)
    got = [
        align.all_pairs(a, scoring, metric=metric),
        align.cross_pairs(a, b, scoring, metric=metric),
        align.cross_pairs(a, [], scoring, metric=metric),
        align.all_pairs([], scoring, metric=metric),
    ]
    monkeypatch.undo()
    wanted = [
        align.all_pairs(a, scoring, metric=metric),
        align.cross_pairs(a, b, scoring, metric=metric),
        align.cross_pairs(a, [], scoring, metric=metric),
        align.all_pairs([], scoring, metric=metric),
    ]
    for scores, expected in zip(got, wanted, strict=True):
        assert scores.dtype == expected.dtype
        np.testing.assert_array_equal(scores, expected)


@pytest.mark.parametrize(
    ("rows", "columns", "symmetric"),
    [(0, 0, True), (1, 1, True), (10, 10, True), (9, 9, True), (5, 100, False), (100, 5, False)],
)
@pytest.mark.parametrize("pairs", [1, 7, 16, 10**6])
def test_tiles_cover_each_pair_once(rows, columns, symmetric, pairs):
    seen = np.zeros((rows, columns), dtype=int)
    for tile in tiled.tiles(rows, columns, symmetric, pairs):
        assert 0 < tile.pairs <= pairs
        seen[tile.rows, tile.columns] += 1
        if symmetric and tile.rows != tile.columns:
            seen[tile.columns, tile.rows] += 1
    assert (seen == 1).all()


def scores_in_tiles(sequences, devices, report=None, pairs=9, symmetric=False):
    scoring = align.Scoring()
    encoded = encode(sequences, scoring)
    every = range(len(sequences))
    return tiled.tiled_scores(
        encoded,
        every,
        every,
        scoring.whole,
        devices,
        report,
        symmetric=symmetric,
        bound=10**4,
        tile_pairs=pairs,
    )


@pytest.mark.parametrize(
    ("count", "length", "devices", "pairs"),
    [
        (20_000, 165, 1, 2**24),  # bounded by pairs
        (10_000, 4096, 1, 2**19),  # by cells: the call can be stopped before all are done
        (300, 65_535, 1, 2048),
        (2, 10**8, 1, 1),
        (10_000, 165, 4, 10_000**2 // 16),  # all four have something to do
        (200, 100, 8, 2**37 // 100**2),  # too little to be worth it
        (5, 0, 2, 2**24),
        (0, 0, 1, 2**24),
    ],
)
def test_size_of_tiles(count, length, devices, pairs):
    lengths = np.full(count, length, dtype=np.int64)
    assert tiled.pairs_of_a_tile(lengths, lengths, devices) == pytest.approx(pairs, rel=1e-3)


def test_devices_share_tiles(monkeypatch):
    workers, both = set(), threading.Barrier(2, timeout=60)
    scores = tiled._Server.scores

    def noted(self, tile):
        if threading.current_thread() not in workers:
            workers.add(threading.current_thread())
            both.wait()  # neither takes all of them
        return scores(self, tile)

    monkeypatch.setattr(tiled._Server, "scores", noted)
    sequences = random_set(14)
    reports = []
    got = scores_in_tiles(sequences, [torch.device("cpu")] * 2, lambda *r: reports.append(r))
    assert len(workers) == 2
    np.testing.assert_array_equal(got, align.all_pairs(sequences))
    assert [done for done, _ in reports] == sorted(done for done, _ in reports)
    assert reports[-1] == (14 * 14, 14 * 14)


@pytest.mark.parametrize("count", [1, 2])
def test_a_failure_stops_all_devices(count):
    calls = []

    def report(*_):
        calls.append(1)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scores_in_tiles(random_set(30), [torch.device("cpu")] * count, report)
    assert len(calls) <= count


@pytest.fixture
def told(monkeypatch):
    """What happens on a GPU, in order, told by stand-ins for its streams and events."""
    told = []

    class Stream:
        def wait_stream(self, other):
            told.append("streams wait for the caller's")

        def synchronize(self):
            told.append("done")

        def __enter__(self):
            return self

        def __exit__(self, *_):
            pass

    class Event:
        def record(self):
            told.append("score")

        def synchronize(self):
            told.append("arrived")

    monkeypatch.setattr(torch.cuda, "current_stream", lambda: None)
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "Event", Event)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: stream)
    monkeypatch.setattr(tiled._Server, "run", tiled._Server._run_on_streams)
    return told


@pytest.mark.parametrize("symmetric", [False, True])
def test_a_tile_is_put_away_while_the_next_is_scored(told, symmetric):
    sequences = random_set(6)
    got = scores_in_tiles(
        sequences,
        [torch.device("cpu")],
        lambda *_: told.append("put away"),
        pairs=12 if not symmetric else 9,
        symmetric=symmetric,
    )
    np.testing.assert_array_equal(got, align.all_pairs(sequences))
    further = 2 if symmetric else 3
    steps = ["score", *["score", "arrived", "put away"] * further, "arrived", "put away"]
    assert told == ["streams wait for the caller's"] * 2 + steps + ["done"] * 2


def test_nothing_is_under_way_after_an_interruption(told):
    """Arguments may be given to others once the call has ended."""

    def report(*_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        scores_in_tiles(random_set(6), [torch.device("cpu")], report, pairs=12)
    assert told[-2:] == ["done"] * 2


def test_scores_beyond_what_devices_hold():
    scoring = align.Scoring(2**52, -(2**52), -(2**52))
    encoded = encode(["AB", "AC"], scoring)
    with pytest.raises(OverflowError, match=r"can exceed 2\^53 under this scoring, which only"):
        tiled.tiled_scores(
            encoded, range(2), range(2), scoring.whole, [torch.device("cpu")], bound=2**53
        )


def test_cpu_is_no_gpu():
    assert tiled.choose_devices("cpu", []) == []
    assert tiled.choose_devices(torch.device("cpu"), []) == []
    assert tiled.choose_devices(None, [torch.zeros(1), "A"]) == []
    np.testing.assert_array_equal(
        align.all_pairs(["AB", "A"], device="cpu"), align.all_pairs(["AB", "A"])
    )


@pytest.mark.parametrize(
    ("device", "error", "sentence"),
    [
        ("tpu9", ValueError, "device must be 'cpu' or a CUDA device, got 'tpu9'"),
        ("meta", ValueError, "device must be 'cpu' or a CUDA device, got 'meta'"),
        (7.5, TypeError, "device must be a device or a sequence of devices, got 7.5"),
        ([], TypeError, "device must be a device or a sequence of devices, got []"),
    ],
)
def test_device_errors(device, error, sentence):
    with pytest.raises(error) as raised:
        align.cross_pairs(["A"], ["B"], device=device)
    assert str(raised.value) == sentence


def test_a_missing_device_is_one_sentence(monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(ValueError, match=r"got 'cuda': torch finds no CUDA device$"):
        align.all_pairs(["A"], device="cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(ValueError, match=r"got 'cuda:2': torch finds 2 CUDA devices$"):
        align.all_pairs(["A"], device="cuda:2")
    with pytest.raises(ValueError, match="device must be one device or several CUDA devices"):
        align.all_pairs(["A"], device=["cuda:1", "cuda:1"])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert tiled.choose_devices("cuda", []) == [torch.device("cuda", 1)]
    assert tiled.choose_devices(["cuda:0", "cuda:1"], []) == [
        torch.device("cuda", 0),
        torch.device("cuda", 1),
    ]


@pytest.mark.parametrize(("name", "value"), [("free_ends", "a"), ("band", 3)])
def test_devices_score_whole_alignments(in_tiles, name, value):
    with pytest.raises(ValueError, match=f"{name} must be left out on a CUDA device"):
        align.all_pairs(["A"], **{name: value})


def arguments(sequences, scoring, device):
    encoded = encode(sequences, scoring)
    whole = scoring.whole
    table = [whole.match, whole.mismatch] if encoded.table is None else encoded.table
    rng = np.random.default_rng(3)
    pairs = rng.integers(0, len(sequences), (200, 2))
    tensors = [encoded.tokens.astype(np.int32), encoded.offsets, pairs, np.asarray(table)]
    gaps = float(whole.gap_open), float(whole.gap)
    return [*(torch.as_tensor(tensor).to(device) for tensor in tensors), *gaps]


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
def test_crosses_are_lists_of_pairs(scoring, device):
    sequences = random_set(40, longest=150)
    tokens, offsets, pairs, *rest = arguments(sequences, scoring, device)
    wanted = torch.ops.neurn.nw_scores(*arguments(sequences, scoring, "cpu"))
    assert torch.equal(torch.ops.neurn.nw_scores(tokens, offsets, pairs, *rest).cpu(), wanted)
    every = torch.arange(40, device=device)
    crossed = torch.ops.neurn.nw_cross_scores(tokens, offsets, every, every.flip(0), *rest).cpu()
    first, second = pairs.cpu().unbind(1)
    assert torch.equal(crossed[first, 39 - second], wanted)


def test_cross_opcheck():
    tokens, offsets, _, *rest = arguments(random_set(4), align.Scoring(), "cpu")
    sides = torch.tensor([0, 3]), torch.tensor([1, 2, 2])
    torch.library.opcheck(torch.ops.neurn.nw_cross_scores.default, (tokens, offsets, *sides, *rest))


@pytest.mark.parametrize("name", ["rows", "columns"])
def test_cross_errors(name):
    tokens, offsets, _, *rest = arguments(random_set(4), align.Scoring(), "cpu")
    sides = {"rows": torch.tensor([0]), "columns": torch.tensor([1])}
    sides[name] = torch.zeros((1, 1), dtype=torch.int64)
    call = torch.ops.neurn.nw_cross_scores
    with pytest.raises(RuntimeError, match=f"{name} must be of int64 and have 1 dimension"):
        call(tokens, offsets, sides["rows"], sides["columns"], *rest)
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        with pytest.raises(RuntimeError, match=f"{name} must be of int64 and have 1 dimension"):
            call(tokens, offsets, sides["rows"], sides["columns"], *rest)


@pytest.mark.parametrize("name", ["nw_scores", "nw_cross_scores", "nw_paths"])
def test_a_cuda_tensor_has_an_answer_in_every_build(name):
    # A kernel, or the sentence that says there is none.
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"neurn::{name}", "CUDA")


def test_missing_cuda_kernels_are_one_sentence():
    with pytest.raises(RuntimeError, match="neurn was built without CUDA kernels: move all"):
        align.ops._refuse_cuda()


@needs_gpu
@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
def test_side_stream_and_graph(scoring):
    call = arguments(random_set(30, longest=200), scoring, "cuda")
    wanted = torch.ops.neurn.nw_scores(*call)
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        beside = torch.ops.neurn.nw_scores(*call)
    torch.cuda.current_stream().wait_stream(stream)
    assert torch.equal(beside, wanted)
    every = torch.arange(30, device="cuda")
    cross = [*call[:2], every.clone(), every, *call[3:]]
    crossed = torch.ops.neurn.nw_cross_scores(*cross)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = torch.ops.neurn.nw_scores(*call)
        cross_replayed = torch.ops.neurn.nw_cross_scores(*cross)
    for numbers in call[2], cross[2]:  # other pairs: what runs is chosen anew
        numbers.copy_(numbers.flip(0))
    graph.replay()
    assert torch.equal(replayed, wanted.flip(0))
    assert torch.equal(cross_replayed, crossed.flip(0))
    call[2].fill_(30)  # there is no such sequence, and nobody who could say so
    graph.replay()
    assert (replayed.isnan() if replayed.is_floating_point() else replayed == -(2**31)).all()


@needs_gpu
@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
def test_long_pairs_on_a_gpu(scoring):
    rng = np.random.default_rng(4)
    sequences = [rng.integers(0, 5, size) for size in (2049, 5000, 0, 1, 9001, 65_535, 77)]
    pairs = np.array([[0, 1], [1, 4], [4, 0], [5, 6], [6, 5], [2, 4], [3, 5]])
    wanted, got = arguments(sequences, scoring, "cpu"), arguments(sequences, scoring, "cuda")
    wanted[2], got[2] = torch.tensor(pairs), torch.tensor(pairs).cuda()
    # Beyond int32, if need be.
    wanted[3], got[3] = wanted[3].double(), got[3].double()
    assert torch.equal(torch.ops.neurn.nw_scores(*got).cpu(), torch.ops.neurn.nw_scores(*wanted))


@needs_gpu
def test_errors_of_a_gpu_are_those_of_the_cpu():
    call = arguments(random_set(5), align.Scoring(), "cuda")
    call[2] = torch.tensor([[0, 5]], device="cuda")
    with pytest.raises(RuntimeError, match="pairs must hold numbers of sequences, 0 to 4, got 5"):
        torch.ops.neurn.nw_scores(*call)
    call[2] = call[2].cpu()
    with pytest.raises(RuntimeError, match="all tensors of a call must be on one device"):
        torch.ops.neurn.nw_scores(*call)


@needs_gpu
def test_sequences_on_a_gpu_are_scored_there(monkeypatch):
    sequences = [torch.as_tensor(s).cuda() for s in random_set(50)]
    used = []
    server = tiled._Server.__init__
    monkeypatch.setattr(
        tiled._Server, "__init__", lambda self, *a: used.append(a[4]) or server(self, *a)
    )
    scores = align.all_pairs(sequences)
    assert used == [sequences[0].device]
    np.testing.assert_array_equal(scores, align.all_pairs(random_set(50)))


@needs_gpu
def test_several_gpus():
    devices = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    sequences = random_set(300)
    np.testing.assert_array_equal(
        align.all_pairs(sequences, device=devices), align.all_pairs(sequences)
    )


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("scoring", SCORINGS.values(), ids=SCORINGS)
def test_paths_are_those_of_single_calls(scoring, device):
    sequences = random_set(30)
    tokens, offsets, pairs, *rest = arguments(sequences, scoring, device)
    got = torch.ops.neurn.nw_paths(tokens, offsets, pairs, *rest)
    scores, moves, begins, ends = (tensor.cpu() for tensor in got)
    wanted = torch.ops.neurn.nw_scores(tokens, offsets, pairs, *rest).cpu()
    assert torch.equal(scores, wanted)
    for (i, j), begin, end in zip(pairs.tolist(), begins, ends, strict=True):
        alignment = align.align(sequences[i], sequences[j], scoring)
        assert moves[begin:end].tolist() == alignment.moves.tolist()


def test_paths_opcheck():
    tokens, offsets, pairs, *rest = arguments(random_set(4), align.Scoring(), "cpu")
    torch.library.opcheck(torch.ops.neurn.nw_paths.default, (tokens, offsets, pairs % 4, *rest))


def test_paths_need_a_list_of_pairs():
    tokens, offsets, pairs, *rest = arguments(random_set(4), align.Scoring(), "cpu")
    with pytest.raises(RuntimeError, match="pairs must be of int64 and have shape"):
        torch.ops.neurn.nw_paths(tokens, offsets, pairs.int(), *rest)


@needs_gpu
def test_paths_keep_to_their_memory():
    tokens, offsets, pairs, *rest = arguments(random_set(30, longest=900), align.Scoring(), "cuda")
    wanted = torch.ops.neurn.nw_paths(tokens, offsets, pairs, *rest)
    few = torch.ops.neurn.nw_paths(tokens, offsets, pairs, *rest, 200_000)
    assert all(torch.equal(a, b) for a, b in zip(few[::2], wanted[::2], strict=True))
    with pytest.raises(RuntimeError, match="memory must be at least"):
        torch.ops.neurn.nw_paths(tokens, offsets, pairs, *rest, 1000)
