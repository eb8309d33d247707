import io

import pytest

from neurn.study.progress import show_progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_tell_stages_and_failures_and_not_everything():
    stream = io.StringIO()
    with show_progress({"draw": 3, "square": 2}, stream) as progress:
        for name in "abc":
            progress.advance("draw", name, "done", 0.5)
        progress.advance("square", "a", "kept", 2.0)
        progress.advance("square", "b", "failed", 0.0)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "1 of 5: draw 1/3, a done (0.5 s)"
    assert lines[-2] == "3 of 5: draw 3/3, c done (0.5 s)"
    assert lines[-1] == "5 of 5: square 2/2, b failed (0.0 s)"
    assert len(lines) == 3


def test_a_terminal_gets_bars():
    pytest.importorskip("rich", reason="rich is not installed")
    stream = Terminal()
    with show_progress({"draw": 2, "square": 1}, stream) as progress:
        progress.advance("draw", "a", "done", 0.5)
        progress.advance("square", "[a]", "failed", 0.5)
    text = stream.getvalue()
    assert "draw" in text
    assert "1/2" in text
    assert "square, [a]: failed" in text


def test_quiet_is_quiet():
    stream = Terminal()
    with show_progress({"draw": 1}, stream, quiet=True) as progress:
        progress.advance("draw", "a", "done", 0.5)
        progress.say("hello")
    assert stream.getvalue() == ""
    assert progress.done == {"draw": 1}
