"""Sets of pairs: equal to single calls, in any number of threads, to be watched and stopped."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurn import align
from tests.align import cases

METRICS = {"score": align.score, "similarity": align.similarity}
sets = st.lists(st.text("ABCD", max_size=12), max_size=6)


@pytest.mark.parametrize("metric", METRICS)
@given(sets, sets, cases.scorings(), cases.free_ends, cases.bands)
def test_sets_are_single_calls(metric, a, b, scoring, free_ends, band):
    options = {"free_ends": free_ends, "band": band}
    single = METRICS[metric]

    def expected(pairs):
        return [single(x, y, scoring, **options) for x, y in pairs]

    every = align.all_pairs(a, scoring, metric=metric, **options)
    assert every.shape == (len(a), len(a))
    assert every.ravel().tolist() == expected((x, y) for x in a for y in a)
    crossed = align.cross_pairs(a, b, scoring, metric=metric, **options)
    assert crossed.shape == (len(a), len(b))
    assert crossed.ravel().tolist() == expected((x, y) for x in a for y in b)
    count = min(len(a), len(b))
    listed = align.paired(a[:count], b[:count], scoring, metric=metric, **options)
    assert listed.tolist() == expected(zip(a, b, strict=False))


@given(cases.tokens, cases.tokens, cases.scorings(), cases.free_ends, cases.bands)
def test_similarity_is_an_index(a, b, scoring, free_ends, band):
    options = {"free_ends": free_ends, "band": band}
    similarity = align.similarity(a, b, scoring, **options)
    assert 0 <= similarity <= 1
    assert similarity == align.similarity(b, a, scoring, **options)
    assert align.similarity(a, a, scoring, **options) == 1
    assert similarity == align.align(a, b, scoring, **options).similarity


def test_similarity_has_no_units():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 4, 90), rng.integers(0, 4, 80)
    for scale in (0.1, 3, 10**9):
        scoring = align.Scoring(scale, -2 * scale, -2 * scale, -scale)
        expected = align.similarity(a, b, align.Scoring(1, -2, -2, -1))
        assert align.similarity(a, b, scoring) == pytest.approx(expected, rel=1e-12)


def test_similarity_of_nothing_and_of_a_scoring_that_tells_nothing_apart():
    zero = align.Scoring(0, 0, 0)
    assert align.similarity("", "") == 1
    assert align.similarity("", "A") == 0
    assert align.similarity("A", "A", zero) == 1
    assert align.similarity("A", "B", zero) == 0
    assert align.all_pairs(["A", "B", "A"], zero, metric="similarity").tolist() == [
        [1, 0, 1],
        [0, 1, 0],
        [1, 0, 1],
    ]


def random_set(count, longest, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 20, rng.integers(longest)) for _ in range(count)]


@pytest.mark.parametrize("threads", [2, 3, 7])
def test_any_number_of_threads_gives_the_same(threads):
    sequences = random_set(120, 300)
    scoring = align.Scoring(2, -1, -0.5, -3)
    for metric in METRICS:
        one = align.all_pairs(sequences, scoring, metric=metric, threads=1)
        many = align.all_pairs(sequences, scoring, metric=metric, threads=threads)
        assert np.array_equal(one, many)
    assert np.array_equal(
        align.paired(sequences[:60], sequences[60:], threads=1),
        align.paired(sequences[:60], sequences[60:], threads=threads),
    )


def test_order_of_the_input_is_kept():
    sequences = random_set(40, 60)
    order = np.random.default_rng(1).permutation(40)
    scores = align.all_pairs(sequences)
    shuffled = align.all_pairs([sequences[k] for k in order])
    assert np.array_equal(shuffled, scores[np.ix_(order, order)])


def test_dtypes():
    sequences = ["AB", "B"]
    assert align.all_pairs(sequences).dtype == np.int32
    assert align.all_pairs(sequences, align.Scoring(2.0)).dtype == np.int32
    assert align.all_pairs(sequences, align.Scoring(0.5)).dtype == np.float64
    assert align.all_pairs(sequences, align.Scoring(2**40)).dtype == np.float64
    assert align.all_pairs(sequences, metric="similarity").dtype == np.float64
    assert align.all_pairs(sequences, metric="similarity", dtype=np.float32).dtype == np.float32
    assert align.all_pairs(sequences, align.Scoring(2**40), dtype=np.int64)[0, 0] == 2**41
    assert align.cross_pairs(sequences, sequences, dtype="float32").dtype == np.float32
    assert align.paired(sequences, sequences, dtype=np.int64).dtype == np.int64
    assert align.paired(sequences, sequences, metric="similarity", dtype="f4").dtype == np.float32
    assert align.cross_pairs(["A"], ["A"], metric="similarity", dtype="f4").dtype == np.float32


def test_empty_sets():
    assert align.all_pairs([]).shape == (0, 0)
    assert align.cross_pairs([], ["A"]).shape == (0, 1)
    assert align.cross_pairs(["A"], [], metric="similarity").shape == (1, 0)
    assert align.paired([], [], metric="similarity").shape == (0,)
    assert align.all_pairs(["", ""]).tolist() == [[0, 0], [0, 0]]


def test_sets_may_be_iterators_of_mixed_kinds():
    mixed = iter(["AB", ["A", "B"], ("A",), np.array(["A", "B"])])
    assert align.all_pairs(mixed)[0].tolist() == [2, 2, -1, 2]


def test_progress_is_told():
    sequences = random_set(150, 500)
    two_ways = {"metric": "similarity", "free_ends": "a"}
    for call, total in (
        (lambda **o: align.all_pairs(sequences, **o), 150 * 151 // 2),
        (lambda **o: align.cross_pairs(sequences[:9], sequences, **o), 9 * 150),
        (lambda **o: align.paired(sequences, sequences, **o), 150),
        (lambda **o: align.cross_pairs(sequences[:9], sequences, **o, **two_ways), 2 * 9 * 150),
    ):
        for threads in (1, 2):
            told = []
            call(threads=threads, progress=lambda *numbers, told=told: told.append(numbers))
            assert told[-1] == (total, total)
            assert told == sorted(set(told))


def test_progress_bar(capsys, monkeypatch):
    align.all_pairs(["A", "B"], progress=True)
    assert "3.00/3.00" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "tqdm", None)
    align.all_pairs(["A", "B"], progress=True)
    assert capsys.readouterr().err == "\raligning: 3 of 3 pairs\n"
    align.all_pairs(["A", "B"], progress=False)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("threads", [1, 2])
def test_exception_of_progress_goes_on(threads):
    def fail(done, total):
        raise RuntimeError("enough")

    sequences = random_set(50, 100)
    for call in (align.all_pairs, lambda s, **o: align.paired(s, s, **o)):
        with pytest.raises(RuntimeError, match="enough"):
            call(sequences, threads=threads, progress=fail)


def test_threads_of_torch_are_the_default(restore_threads):
    torch.set_num_threads(2)
    sequences = random_set(20, 50)
    assert np.array_equal(align.all_pairs(sequences), align.all_pairs(sequences, threads=1))


INTERRUPTED = """
import sys, numpy as np
from neurn import align
rng = np.random.default_rng(0)
sequences = [rng.integers(0, 20, {length}) for _ in range({count})]
print("ready", flush=True)
try:
    {call}
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize(
    ("count", "length", "call"),
    [
        (2000, 1000, "align.all_pairs(sequences, threads=1)"),
        (2000, 1000, "align.cross_pairs(sequences, sequences, threads=2)"),
        (2, 400_000, "align.score(*sequences)"),
        (2, 400_000, "align.align(*sequences)"),
        (4, 400_000, "align.paired(sequences, sequences[::-1], threads=2)"),
    ],
)
@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_ctrl_c_stops_within_a_second(count, length, call):
    code = INTERRUPTED.format(count=count, length=length, call=call)
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout.readline() == "ready\n"
        time.sleep(0.5)
        begin = time.perf_counter()
        run.send_signal(signal.SIGINT)
        assert run.stdout.readline() == "stopped\n"
        assert time.perf_counter() - begin < 1
