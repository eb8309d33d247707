"""Runs a plan: what is there is kept, what can be done is done, and a kill loses no more."""

from __future__ import annotations

import datetime
import logging
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from neurn.study.graph import Plan, Planned, Stage
from neurn.study.pools import Pool, open_cluster, open_pool
from neurn.study.progress import Progress, show_progress
from neurn.study.store import LOG, Store
from neurn.study.worker import Order, Outcome, execute, versions

if TYPE_CHECKING:
    from neurn.study.settings import Study

log = logging.getLogger("neurn.study")

_ATTEMPTS = 3  # of an item whose process dies
_FORMAT = "neurn study 1"


@dataclass(frozen=True)
class Result:
    """How a run ended.

    Attributes
    ----------
    folder : Path
    done, kept : int
        Numbers of items done now, and there before.
    failed : dict of str to str
        A sentence for each item that failed, by identifier.
    skipped : tuple of str
        Identifiers of items that need a failed one.
    seconds : float

    Examples
    --------
    >>> from neurn import study
    >>> settings = study.parse('architectures.models = ["VGG11", "VGG16"]')
    >>> result = study.run(settings, "one", workers=1, quiet=True)
    >>> result.complete, result.done, result.failed
    (True, 1, {})
    """

    folder: Path
    done: int
    kept: int
    failed: dict[str, str]
    skipped: tuple[str, ...]
    seconds: float

    @property
    def complete(self) -> bool:
        """Whether everything is there."""
        return not self.failed and not self.skipped


def run(
    study: Study,
    folder: str | Path,
    stages: Sequence[Stage] | None = None,
    *,
    workers: int | None = None,
    command: str = "",
    quiet: bool = False,
    stream: TextIO | None = None,
) -> Result:
    r"""Run a study, or what is left of it.

    Parameters
    ----------
    study : Study
    folder : str or Path
        Made where it is missing. What an earlier run left there is used where its inputs,
        parameters and code are the same, and otherwise done anew beside it.
    stages : sequence of Stage, optional
        `neurn.study.stages.STAGES` by default.
    workers : int, optional
        Instead of the study's ``run.workers``.
    command : str
        The command line, for the records.
    quiet : bool
        No progress.
    stream : text file, optional
        For progress; stderr by default.

    Returns
    -------
    Result
        Items that fail do not stop those that need none of them.

    Raises
    ------
    StudyError
        If the folder cannot be used or another run is at work in it.

    Examples
    --------
    >>> from neurn import study
    >>> settings = study.parse('[architectures]\nmodels = ["VGG11", "VGG16"]')
    >>> first = study.run(settings, "results", workers=1, quiet=True)
    >>> again = study.run(settings, "results", workers=1, quiet=True)
    >>> first.done, again.done, again.kept
    (1, 0, 1)
    """
    store = Store(Path(folder))
    store.prepare()
    with store.locked(), _logging(store.folder / LOG):
        plan = make_plan(study, store, stages)
        log.info("%s: %d items; %s", study.title, len(plan.items), command)
        runner = _Runner(study, store, plan, command)
        totals = {stage.name: len(plan.of(stage.name)) for stage in plan.stages}
        with show_progress(totals, stream or sys.stderr, quiet) as progress:
            return runner.run(progress, workers or study.run.workers)


def make_plan(study: Study, store: Store, stages: Sequence[Stage] | None = None) -> Plan:
    """Return all items of a study with their keys; does none of them.

    Parameters
    ----------
    study : Study
    store : neurn.study.store.Store
        Keeps the digests of files.
    stages : sequence of Stage, optional
        As in `run`.

    Returns
    -------
    Plan
        In an order in which the items can be done.

    Examples
    --------
    >>> from pathlib import Path
    >>> from neurn import study
    >>> from neurn.study.store import Store
    >>> settings = study.parse('architectures.models = ["VGG11", "VGG16"]')
    >>> plan = study.make_plan(settings, Store(Path("results")))
    >>> list(plan.items)
    ['architectures/similarity']
    """
    if stages is None:
        from neurn.study.stages import STAGES

        stages = STAGES
    return Plan(stages, study, store.hash_file)


class _Runner:
    def __init__(self, study: Study, store: Store, plan: Plan, command: str) -> None:
        self.study, self.store, self.plan, self.command = study, store, plan, command
        self.stages = {stage.name: stage for stage in plan.stages}
        self.status = dict.fromkeys(plan.items, "waiting")
        self.seconds = dict.fromkeys(plan.items, 0.0)
        self.failed: dict[str, str] = {}
        self.attempts = dict.fromkeys(plan.items, 0)
        self.begun = time.perf_counter()

    def run(self, progress: Progress, workers: int) -> Result:
        self.progress = progress
        for name, planned in self.plan.items.items():
            if self.store.has(planned.item.stage, planned.key):
                record = self.store.record(planned.item.stage, planned.key) or {}
                self._end(name, "kept", record.get("seconds", 0.0))
        self._write()
        try:
            while self._left():
                try:
                    with self._pool(workers) as pool:
                        self._work(pool)
                except BrokenProcessPool:
                    self._broken()
        except KeyboardInterrupt:
            log.warning("interrupted")
            raise
        finally:
            self._write()
        counts = {how: list(self.status.values()).count(how) for how in ("done", "kept")}
        skipped = tuple(name for name, how in self.status.items() if how == "skipped")
        seconds = time.perf_counter() - self.begun
        log.info(
            "%d done, %d kept, %d failed, %d skipped in %.1f s",
            *(counts["done"], counts["kept"], len(self.failed), len(skipped), seconds),
        )
        return Result(self.store.folder, **counts, failed=self.failed, skipped=skipped,
                      seconds=seconds)  # fmt: skip

    def _pool(self, workers: int) -> AbstractContextManager[Pool]:
        cluster = self.study.cluster
        if cluster is None:
            return open_pool(workers, self.study.run.memory)
        return open_cluster(cluster, self.store.folder / "workers", self.study.run.threads)

    def _left(self) -> bool:
        return any(how in ("waiting", "running") for how in self.status.values())

    def _work(self, pool: Pool) -> None:
        """Keep a pool busy until nothing is left."""
        running: dict[Future[Outcome], str] = {}
        while self._left():
            for name in self._ready(pool, set(running.values())):
                self.status[name] = "running"
                self.attempts[name] += 1
                log.info("%s: begun", name)
                running[pool.executor.submit(execute, self._order(name, pool))] = name
                if pool.slots == 1:
                    break
            ended, _ = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                # The name stays known until the result is read: a broken pool raises here.
                self._finish(running[future], self._outcome(future))
                del running[future]

    @staticmethod
    def _outcome(future: Future[Outcome]) -> Outcome:
        try:
            return future.result()
        except BrokenProcessPool:
            raise
        except Exception as error:  # of the cluster: items' own come back as outcomes
            return Outcome(0.0, f"{type(error).__name__}: {error}".splitlines()[0])

    def _ready(self, pool: Pool, running: set[str]) -> Iterator[str]:
        """Yield what may begin now: inputs there, a slot free, and room in memory."""
        count = len(running)
        used = sum(self.plan.items[name].item.cost.memory for name in running)
        for name, planned in self.plan.items.items():
            if count >= pool.slots:
                return
            inputs = [self.status[i] for i in planned.item.inputs]
            if self.status[name] != "waiting" or not set(inputs) <= {"done", "kept"}:
                continue
            memory = planned.item.cost.memory
            if count and pool.memory and used + memory > pool.memory:
                continue
            count, used = count + 1, used + memory
            yield name

    def _order(self, name: str, pool: Pool) -> Order:
        planned = self.plan.items[name]
        item = planned.item
        return Order(
            self.stages[item.stage],
            item.name,
            planned.key,
            item.parameters,
            {name: self.plan.items[name].key for name in item.inputs},
            item.files,
            str(self.store.folder),
            self.study.run.threads,
            pool.memory,
            self.command,
            tuple(sys.path),
        )

    def _finish(self, name: str, outcome: Outcome) -> None:
        if outcome.error:
            self._fail(name, outcome.error, outcome.details)
        else:
            log.info("%s: done in %.2f s", name, outcome.seconds)
            if outcome.details:
                log.warning("%s: %s", name, outcome.details)
            self._end(name, "done", outcome.seconds)
        self._write()

    def _fail(self, name: str, sentence: str, details: str) -> None:
        log.error("%s: %s\n%s", name, sentence, details)
        self.failed[name] = sentence
        self._end(name, "failed", 0.0)
        # Items stand after their inputs: one pass finds all that cannot be done now.
        for other, planned in self.plan.items.items():
            bad = [i for i in planned.item.inputs if self.status[i] in ("failed", "skipped")]
            if bad and self.status[other] == "waiting":
                log.warning("%s: skipped, it needs %s", other, bad[0])
                self._end(other, "skipped", 0.0)

    def _broken(self) -> None:
        """Take back what was at work when a process of the pool died."""
        for name in [name for name, how in self.status.items() if how == "running"]:
            self.status[name] = "waiting"
            if self.attempts[name] >= _ATTEMPTS:
                self._fail(name, "its process died, perhaps for lack of memory", "")
        log.warning("a process died; what was at work begins again")

    def _end(self, name: str, how: str, seconds: float) -> None:
        self.status[name], self.seconds[name] = how, seconds
        item = self.plan.items[name].item
        self.progress.advance(item.stage, item.name, how, seconds)

    def _write(self) -> None:
        self.store.write_study(
            {
                "format": _FORMAT,
                "title": self.study.title,
                "command": self.command,
                "written": datetime.datetime.now(datetime.timezone.utc).isoformat(
                    timespec="seconds"
                ),
                "settings": self.study.model_dump(mode="json"),
                "versions": versions(),
                "platform": platform.platform(),
                "stages": [
                    {"name": stage.name, "title": stage.title} for stage in self.plan.stages
                ],
                "items": [self._about(name, p) for name, p in self.plan.items.items()],
            }
        )

    def _about(self, name: str, planned: Planned) -> dict[str, Any]:
        item = planned.item
        about: dict[str, Any] = {"stage": item.stage, "name": item.name, "key": planned.key}
        about |= {"status": self.status[name], "seconds": round(self.seconds[name], 3)}
        about["parameters"] = dict(item.parameters)
        if name in self.failed:
            about["error"] = self.failed[name]
        return about


@contextmanager
def _logging(path: Path) -> Iterator[None]:
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        handler.close()
