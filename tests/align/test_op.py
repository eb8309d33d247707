"""torch.ops.neurn.nw_scores."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from neurn import align
from tests.align import cases

nw_scores = torch.ops.neurn.nw_scores


def problem(seed=0, count=12, symbols=5, **changes):
    """Arguments of a call, and the sequences behind them."""
    rng = np.random.default_rng(seed)
    sequences = [rng.integers(0, symbols, rng.integers(0, 40)) for _ in range(count)]
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sequences])])
    arguments = {
        "tokens": torch.tensor(np.concatenate(sequences)),
        "offsets": torch.tensor(offsets),
        "pairs": torch.tensor(rng.integers(0, count, (30, 2))),
        "substitution": torch.tensor([1, -2]),
        "gap_open": 0.0,
        "gap_extend": -2.0,
    }
    return arguments | changes, sequences


def expected(arguments, sequences, scoring):
    return [align.score(sequences[i], sequences[j], scoring) for i, j in arguments["pairs"]]


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64])
@pytest.mark.parametrize("gap_open", [0, -3])
def test_whole_scores(dtype, gap_open):
    arguments, sequences = problem(gap_open=gap_open)
    arguments["tokens"] = arguments["tokens"].to(dtype)
    scores = nw_scores(**arguments)
    assert scores.dtype == torch.int32
    assert scores.tolist() == expected(arguments, sequences, align.Scoring(gap_open=gap_open))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_fractions_are_exact(dtype):
    arguments, sequences = problem(
        substitution=torch.tensor([2, -1.25], dtype=dtype), gap_open=-0.125, gap_extend=-0.5
    )
    scores = nw_scores(**arguments)
    assert scores.dtype == torch.float64
    scoring = align.Scoring(2, -1.25, -0.5, -0.125)
    assert scores.tolist() == expected(arguments, sequences, scoring)


@given(st.lists(cases.halves, min_size=25, max_size=25), cases.costs, cases.costs)
def test_substitution_table(entries, gap, gap_open):
    table = np.array(entries).reshape(5, 5)
    substitution = torch.tensor(table, dtype=torch.float64)
    arguments, sequences = problem(
        substitution=substitution, gap_open=float(gap_open), gap_extend=float(gap)
    )
    scoring = align.Scoring.from_array(table, range(5), gap, gap_open)
    wanted = expected(arguments, sequences, scoring)
    assert nw_scores(**arguments).tolist() == wanted
    assert nw_scores(**arguments | {"substitution": substitution.T.contiguous().T}).tolist() == (
        wanted
    )


def test_strides():
    arguments, sequences = problem()
    apart = {
        name: torch.stack([arguments[name]] * 2, dim=-1).select(-1, 1)
        for name in ("tokens", "offsets", "pairs", "substitution")
    }
    assert not any(tensor.is_contiguous() for tensor in apart.values())
    assert nw_scores(**arguments | apart).tolist() == expected(
        arguments, sequences, align.Scoring()
    )


def test_empty():
    arguments, _ = problem(pairs=torch.zeros((0, 2), dtype=torch.int64))
    assert nw_scores(**arguments).tolist() == []
    none = torch.zeros(0, dtype=torch.int64)
    empty = torch.zeros((1, 2), dtype=torch.int64)
    offsets = torch.zeros(2, dtype=torch.int64)
    arguments = {"tokens": none, "offsets": offsets, "pairs": empty}
    table = torch.zeros((0, 0))
    assert nw_scores(**arguments, substitution=table, gap_open=0, gap_extend=0).tolist() == [0]


def test_threads_do_not_matter(restore_threads):
    arguments, _ = problem(count=60)
    torch.set_num_threads(1)
    one = nw_scores(**arguments)
    torch.set_num_threads(3)
    assert torch.equal(nw_scores(**arguments), one)


@pytest.mark.parametrize(
    "substitution",
    [torch.tensor([1, -2]), torch.tensor([1.0, -0.5]), torch.eye(5), torch.eye(5, dtype=torch.int)],
)
def test_opcheck(substitution):
    arguments, _ = problem(substitution=substitution)
    torch.library.opcheck(nw_scores.default, tuple(arguments.values()))


def test_compile():
    arguments, _ = problem()

    @torch.compile(fullgraph=True, backend="aot_eager")
    def doubled(tokens, offsets, pairs, substitution):
        return 2 * nw_scores(tokens, offsets, pairs, substitution, 0.0, -2.0)

    tensors = list(arguments.values())[:4]
    assert torch.equal(doubled(*tensors), 2 * nw_scores(**arguments))


def test_there_is_no_gradient():
    arguments, _ = problem(substitution=torch.tensor([1.0, -2.0], requires_grad=True))
    assert not nw_scores(**arguments).requires_grad


SENTENCES = [
    ({"tokens": torch.zeros((2, 2), dtype=torch.int64)}, "tokens must have 1 dimension, got 2"),
    ({"tokens": torch.zeros(500)}, "tokens must have an integer dtype, got float32"),
    (
        {"offsets": torch.zeros(0, dtype=torch.int64)},
        "offsets must be of int64 and have shape (sequences + 1,)",
    ),
    (
        {"offsets": torch.zeros(3, dtype=torch.int32)},
        "offsets must be of int64 and have shape (sequences + 1,)",
    ),
    (
        {"pairs": torch.zeros((3, 3), dtype=torch.int64)},
        "pairs must be of int64 and have shape (pairs, 2)",
    ),
    (
        {"substitution": torch.zeros(3)},
        "substitution must have shape (symbols, symbols), or (2,) for match and mismatch",
    ),
    (
        {"substitution": torch.zeros(2, dtype=torch.complex64)},
        "substitution must have an integer or floating (32 or 64 bits) dtype, got complex64",
    ),
]
VALUE_SENTENCES = [
    ({"tokens": torch.full((500,), 2**16)}, "tokens must be from 0 to 65535, got 65536"),
    ({"tokens": torch.full((500,), -1)}, "tokens must be from 0 to 65535, got -1"),
    (
        {"offsets": torch.tensor([0, 5, 3])},
        "offsets must rise from 0 to the number of tokens, {tokens}, got 3 at position 2",
    ),
    (
        {"pairs": torch.tensor([[0, 12]])},
        "pairs must hold numbers of sequences, 0 to 11, got 12",
    ),
    (
        {"substitution": torch.eye(3)},
        "tokens must be below the substitution table's size, 3, got 4",
    ),
    ({"gap_open": 1.0}, "gap_open must be a finite number <= 0, got 1"),
    ({"gap_extend": float("nan")}, "gap_extend must be a finite number <= 0, got nan"),
    (
        {"gap_extend": -0.5},
        "gap_extend must be a whole number where substitution is of integers, got -0.5",
    ),
    (
        {"substitution": torch.tensor([float("inf"), 0])},
        "substitution must hold finite numbers, got inf",
    ),
    (
        {"substitution": torch.tensor([0.1, 0], dtype=torch.float64)},
        "scores must be multiples of 2^-20 to be exact, got 0.1: multiply all by one number first",
    ),
    (
        {"substitution": torch.tensor([2.0**60, 0.5])},
        "scores must be below 2^53 in units of their last binary digit, got 1.15292e+18",
    ),
    (
        {"substitution": torch.full((5, 5), 2**31)},
        "substitution must fit 32 bits once its scores are whole, got 2.14748e+09",
    ),
    (
        {"substitution": torch.tensor([2**30, 0]), "pairs": torch.tensor([[0, 0]])},
        "scores of sequences of {n} and {n} tokens can exceed int32 under this scoring: "
        "use smaller scores, or a float64 substitution",
    ),
    (
        {"substitution": torch.tensor([2.0**50, 0]), "pairs": torch.tensor([[0, 0]])},
        "scores of sequences of {n} and {n} tokens can exceed 2^53 under this scoring: "
        "use smaller scores",
    ),
    (
        {"substitution": torch.tensor([2**60, 0]), "pairs": torch.tensor([[0, 0]])},
        "scores of sequences of {n} and {n} tokens can exceed 2^61 under this scoring: "
        "use smaller scores",
    ),
]


@pytest.mark.parametrize(("changes", "sentence"), SENTENCES + VALUE_SENTENCES)
def test_errors(changes, sentence):
    arguments, sequences = problem()
    sentence = sentence.format(tokens=sum(map(len, sequences)), n=len(sequences[0]))
    with pytest.raises(RuntimeError) as raised:
        nw_scores(**arguments | changes)
    assert str(raised.value) == sentence


@pytest.mark.parametrize(("changes", "sentence"), SENTENCES)
def test_errors_without_data(changes, sentence):
    with torch._subclasses.FakeTensorMode(allow_non_fake_inputs=True):
        with pytest.raises(RuntimeError) as raised:
            nw_scores(**problem()[0] | changes)
    assert str(raised.value) == sentence
