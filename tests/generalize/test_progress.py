import io

import pytest

from neurn.generalize import EpochEnd
from neurn.generalize.progress import show_progress

EVENTS = [
    EpochEnd(seed, name, epoch, 2, 0.5 * epoch)
    for seed in (0, 1)
    for name in ("none", "neurn")
    for epoch in (1, 2)
]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def play(stream, quiet=False):
    with show_progress(4, stream, quiet) as on_epoch:
        for event in EVENTS:
            on_epoch(event)
    return stream.getvalue()


def test_plain_lines_where_there_is_no_terminal():
    assert play(io.StringIO()).splitlines() == [
        "trained 1 of 4: seed 0, None, validation 100.0 %",
        "trained 2 of 4: seed 0, NeuRN, validation 100.0 %",
        "trained 3 of 4: seed 1, None, validation 100.0 %",
        "trained 4 of 4: seed 1, NeuRN, validation 100.0 %",
    ]


def test_a_bar_on_a_terminal():
    pytest.importorskip("tqdm")
    shown = play(Terminal())
    assert "\r" in shown
    assert "0%" in shown
    assert "100%" in shown.split("\r")[-1]
    assert "seed 1, NeuRN" in shown.split("\r")[-1]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_quiet_is_silent(stream):
    assert play(stream(), quiet=True) == ""
