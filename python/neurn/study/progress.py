"""How far a study is: bars on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TextIO

from neurn._optional import import_optional

_SECONDS_BETWEEN_LINES = 2.0


class Progress:
    """Is told what happens; this one says nothing.

    Parameters
    ----------
    totals : mapping of str to int
        Number of items of each stage, in order.
    """

    def __init__(self, totals: Mapping[str, int]) -> None:
        self.totals = dict(totals)
        self.done = dict.fromkeys(totals, 0)

    def advance(self, stage: str, name: str, how: str, seconds: float) -> None:
        """Tell that an item has ended: ``how`` is ``"done"``, ``"kept"`` or ``"failed"``."""
        self.done[stage] += 1

    def say(self, text: str) -> None:
        """Tell a line of text."""


class Lines(Progress):
    """A line now and then: one for each failure, stage and at most one every two seconds."""

    def __init__(self, totals: Mapping[str, int], stream: TextIO) -> None:
        super().__init__(totals)
        self.stream = stream
        self._last = 0.0

    def advance(self, stage: str, name: str, how: str, seconds: float) -> None:
        """Write a line unless there was one just now."""
        super().advance(stage, name, how, seconds)
        finished = self.done[stage] == self.totals[stage]
        now = time.monotonic()
        if how == "kept" and not finished:
            return
        if finished or how == "failed" or now - self._last >= _SECONDS_BETWEEN_LINES:
            self._last = now
            count = f"{sum(self.done.values())} of {sum(self.totals.values())}"
            where = f"{stage} {self.done[stage]}/{self.totals[stage]}"
            self.say(f"{count}: {where}, {name} {how} ({seconds:.1f} s)")

    def say(self, text: str) -> None:
        """Write a line."""
        print(text, file=self.stream, flush=True)


class Bars(Progress):
    """A bar for each stage."""

    def __init__(self, totals: Mapping[str, int], bars: Any) -> None:
        super().__init__(totals)
        self._bars = bars
        self._tasks = {stage: bars.add_task(stage, total=total) for stage, total in totals.items()}

    def advance(self, stage: str, name: str, how: str, seconds: float) -> None:
        """Move the stage's bar."""
        super().advance(stage, name, how, seconds)
        self._bars.advance(self._tasks[stage])
        if how == "failed":
            self.say(f"{stage}, {name}: failed")

    def say(self, text: str) -> None:
        """Write a line above the bars."""
        self._bars.console.print(text, markup=False, highlight=False)


@contextmanager
def show_progress(
    totals: Mapping[str, int], stream: TextIO, quiet: bool = False
) -> Iterator[Progress]:
    """Provide what shows progress on a stream: bars of rich on a terminal, else lines.

    Parameters
    ----------
    totals : mapping of str to int
    stream : text file
    quiet : bool
        Show nothing.
    """
    if quiet:
        yield Progress(totals)
        return
    if not stream.isatty():
        yield Lines(totals, stream)
        return
    rich = import_optional("rich.progress", "study")
    console = import_optional("rich.console", "study").Console(file=stream)
    columns = (
        rich.TextColumn("{task.description:<16}"),
        rich.BarColumn(),
        rich.MofNCompleteColumn(),
        rich.TimeElapsedColumn(),
    )
    with rich.Progress(*columns, console=console) as bars:
        yield Bars(totals, bars)
