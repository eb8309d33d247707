"""One item's work, in whatever process it is done."""

from __future__ import annotations

import contextlib
import datetime
import os
import platform
import random
import resource
import shutil
import signal
import socket
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from multiprocessing import parent_process
from multiprocessing.connection import wait
from pathlib import Path
from typing import Any

import numpy as np
import torch

import neurn
from neurn.study.graph import Stage, Work, library_version
from neurn.study.store import Store


@dataclass(frozen=True)
class Order:
    """What a process must know to do an item; goes through pickle.

    Attributes
    ----------
    stage : Stage
    name, key : str
    parameters : mapping
    inputs : mapping of str to str
        Keys of the results that the item reads, by identifier.
    files : tuple of str
    folder : str
        Of the study.
    threads : int
    memory : int
        Bytes that the process may allocate; 0: as many as there are.
    command : str
        For the record.
    path : tuple of str
        Where the process that ordered finds modules, your own models among them.
    """

    stage: Stage
    name: str
    key: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    files: tuple[str, ...]
    folder: str
    threads: int
    memory: int
    command: str
    path: tuple[str, ...]


@dataclass(frozen=True)
class Outcome:
    """How an item went.

    Attributes
    ----------
    seconds : float
    error : str
        One sentence; empty where it went well.
    details : str
        Traceback of an error, warnings of a success.
    """

    seconds: float
    error: str = ""
    details: str = ""


def start_process() -> None:
    """Prepare a process of a pool: Ctrl-C is its parent's business, and it ends with it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    if parent is not None:

        def watch() -> None:
            wait([parent.sentinel])
            os._exit(1)

        threading.Thread(target=watch, daemon=True).start()


def execute(order: Order) -> Outcome:
    """Do an item and keep its result; an error of its own comes back as a sentence."""
    begin = time.perf_counter()
    sys.path += [place for place in order.path if place not in sys.path]

    def seconds() -> float:
        return time.perf_counter() - begin

    store = Store(Path(order.folder))
    if store.has(order.stage.name, order.key):
        return Outcome(seconds())
    partial = store.partial(order.stage.name, order.key)
    try:
        with _limits(order), warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            work = Work(
                order.parameters,
                {
                    name: store.path(name.partition("/")[0], key)
                    for name, key in order.inputs.items()
                },
                order.files,
                partial,
            )
            order.stage.run(work)
        store.keep(partial, order.stage.name, order.key, _record(order, seconds()))
    except MemoryError as error:
        _remove(partial)
        wanted = f"memory ran out at {order.memory / 1e9:.1f} GB" if order.memory else "no memory"
        return Outcome(seconds(), f"{wanted}; give more with run.memory", str(error))
    except Exception as error:
        _remove(partial)
        if "can't allocate memory" in str(error):  # torch
            return Outcome(seconds(), "memory ran out; give more with run.memory", str(error))
        sentence = str(error).strip().splitlines() or [type(error).__name__]
        return Outcome(seconds(), sentence[0], traceback.format_exc())
    except BaseException:
        _remove(partial)
        raise
    notes = dict.fromkeys(f"{w.category.__name__}: {w.message}" for w in caught)
    return Outcome(seconds(), details="\n".join(notes))


def versions(stage: Stage | None = None) -> dict[str, str]:
    """Return the versions behind a result."""
    names = ("numpy", *(() if stage is None else stage.libraries))
    found = {"python": platform.python_version(), "neurn": neurn.__version__}
    return found | {"torch": torch.__version__} | {name: library_version(name) for name in names}


@contextlib.contextmanager
def _limits(order: Order) -> Iterator[None]:
    """Set threads, seeds and memory for the time of an item, and give back what was there."""
    before, state = torch.get_num_threads(), (random.getstate(), np.random.get_state())
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    seed = int(order.key[:8], 16)
    try:
        torch.set_num_threads(order.threads)
        random.seed(seed)
        np.random.seed(seed)
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(seed)
            if order.memory and sys.platform == "linux":
                soft = order.memory if limit[1] < 0 else min(order.memory, limit[1])
                resource.setrlimit(resource.RLIMIT_DATA, (soft, limit[1]))
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limit)
        torch.set_num_threads(before)
        random.setstate(state[0])
        np.random.set_state(state[1])


def _record(order: Order, seconds: float) -> dict[str, Any]:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "format": "neurn study item 1",
        "stage": order.stage.name,
        "name": order.name,
        "key": order.key,
        "parameters": dict(order.parameters),
        "inputs": dict(order.inputs),
        "files": list(order.files),
        "command": order.command,
        "versions": versions(order.stage),
        "machine": {"host": socket.gethostname(), "platform": platform.platform()},
        "threads": order.threads,
        "finished": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "seconds": round(seconds, 3),
        # Of the process since it began, other items included; kilobytes on Linux.
        "peak_memory": peak * (1 if sys.platform == "darwin" else 1024),
    }


def _remove(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
