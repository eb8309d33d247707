"""Progress of the trainings: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from neurn._optional import import_optional
from neurn.generalize.evaluation import EpochEnd
from neurn.generalize.variants import title


@contextmanager
def show_progress(
    trainings: int, stream: TextIO, quiet: bool = False
) -> Iterator[Callable[[EpochEnd], None]]:
    """Provide a callback for `neurn.generalize.evaluate` that shows how far it is.

    Parameters
    ----------
    trainings : int
        Number of trainings.
    stream : text file
        Where to write; a bar if it is a terminal, else one line per training.
    quiet : bool
        Write nothing.
    """
    if quiet:
        yield lambda _: None
    elif stream.isatty():
        tqdm = import_optional("tqdm").tqdm
        layout = "{desc:<24} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}"
        with tqdm(total=trainings, file=stream, bar_format=layout) as bar:
            finished = 0

            def advance(event: EpochEnd) -> None:
                nonlocal finished
                text = f"seed {event.seed}, {title(event.front_end)}"
                bar.set_description_str(text, refresh=False)
                bar.update(finished + event.epoch / event.epochs - bar.n)
                finished += event.epoch == event.epochs

            yield advance
    else:
        done = 0

        def report(event: EpochEnd) -> None:
            nonlocal done
            if event.epoch == event.epochs:
                done += 1
                stream.write(
                    f"trained {done} of {trainings}: seed {event.seed}, "
                    f"{title(event.front_end)}, "
                    f"validation {100 * event.validation_accuracy:.1f} %\n"
                )
                stream.flush()

        yield report
