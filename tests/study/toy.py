"""Stages that take no time, for tests of what runs them."""

import json
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

from neurn import study
from neurn.study.graph import Cost, Item, Stage

COUNT = 12
SETTINGS = study.parse('title = "toy"\n[architectures]\n[run]\nmemory = "4 GB"')


def _draw(work):
    time.sleep(work.parameters.get("sleep", 0))
    values = np.random.default_rng(work.parameters["seed"]).normal(size=1000)
    np.save(work.folder / "values.npy", values)


def _square(work):
    what = work.parameters.get("does", "")
    if what == "fails":
        raise ValueError("this one is meant to fail")
    if what == "dies once" and not Path(work.parameters["mark"]).exists():
        Path(work.parameters["mark"]).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if what == "takes all":
        np.ones((1 << 33,))
    if what == "sleeps":
        time.sleep(60)
    time.sleep(work.parameters.get("sleep", 0))
    (folder,) = work.of("draw")
    np.save(work.folder / "squares.npy", np.load(folder / "values.npy") ** 2)


def _total(work):
    sums = [float(np.load(folder / "squares.npy").sum()) for folder in work.of("square")]
    (work.folder / "total.json").write_text(json.dumps(sums))


def stages(count=COUNT, sleep=0.0, special=None, seed=0):
    """Return draw -> square -> total; `special` are parameters of the fourth square."""

    def plan_draw(_, before):
        return [Item("draw", str(i), {"seed": seed + i, "sleep": sleep}) for i in range(count)]

    def plan_square(_, before):
        return [
            Item(
                "square",
                item.name,
                (special or {}) if item.name == "3" else {"sleep": sleep},
                (item.id,),
                cost=Cost(memory=3e9 if special == "large" else 1e6),
            )
            for item in before["draw"]
        ]

    def plan_total(_, before):
        return [Item("total", "all", {}, tuple(item.id for item in before["square"]))]

    code, none = ("tests.study.toy",), ()
    return (
        _stage("draw", none, code, plan_draw, _draw),
        _stage("square", ("draw",), code, plan_square, _square),
        _stage("total", ("square",), code, plan_total, _total),
    )


class _Planner:
    """A plan that does not travel to other processes."""

    def __init__(self, plan):
        self.plan = plan

    def __call__(self, settings, before):
        return self.plan(settings, before)

    def __reduce__(self):
        return (_Planner, (None,))


def _stage(name, needs, code, plan, run):
    return Stage(name, name.title(), needs, code, ("numpy",), _Planner(plan), run)


def contents(folder):
    """Return the digests of all files of all results."""
    records = sorted(Path(folder).glob("cache/*/[!.]*/item.json"))
    return {
        (record.parent.parent.name, record.parent.name): json.loads(record.read_text())["contents"]
        for record in records
    }


if __name__ == "__main__":
    study.run(SETTINGS, sys.argv[1], stages(sleep=float(sys.argv[3])), workers=int(sys.argv[2]))
