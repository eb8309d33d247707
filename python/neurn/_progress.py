"""How far long work is: a bar, lines, or a call for each step."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Progress = Callable[[int, int], object]


@contextmanager
def show_progress(
    progress: bool | Progress | None, title: str, unit: str
) -> Iterator[Progress | None]:
    """Provide what is called with the numbers done and of all.

    Parameters
    ----------
    progress : bool or callable, optional
        True: a bar of tqdm if that is installed, else a line on stderr; a callable is called with
        both numbers; None or False: nothing.
    title : str
        What is being done.
    unit : str
        What is counted, in the plural.

    Raises
    ------
    TypeError
        If progress is something else.
    """
    if progress is None or progress is False:
        yield None
    elif callable(progress):
        yield progress
    elif progress is True:
        try:
            from tqdm import tqdm
        except ImportError:
            yield _line(title, unit)
        else:
            with tqdm(desc=title, unit=f" {unit}", unit_scale=True) as bar:
                yield _bar(bar)
    else:
        raise TypeError(f"progress must be True, False, None or callable, got {progress!r}")


def half(progress: Progress | None, which: int) -> Progress | None:
    """Return what tells `progress` of the first (0) or second (1) of two equal sets of pairs."""
    if progress is None:
        return None
    return lambda done, total: progress(which * total + done, 2 * total)


def _bar(bar: Any) -> Progress:
    def advance(done: int, total: int) -> None:
        bar.total = total
        bar.update(done - bar.n)

    return advance


def _line(title: str, unit: str) -> Progress:
    def write(done: int, total: int) -> None:
        end = "\n" if done == total else ""
        print(f"\r{title}: {done:,} of {total:,} {unit}", end=end, file=sys.stderr, flush=True)

    return write
