"""What it costs to read models and to compare sets of them: python -m bench.arch --write-table.

With --every it reads each model of the zoo that can be built here, and writes architectures.csv.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import gc
import random
import statistics
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scripts.catalogue import declare_torchvision
from torch import nn

from bench.markdown import replace_between, table
from bench.peak_memory import forget_peak, status
from bench.report import README, machine
from neurn import arch
from neurn._optional import MissingExtraError
from neurn.arch.read import read_torch
from neurn.arch.zoo import recipe

BEGIN = "<!-- figures of architectures: begin -->"
END = "<!-- figures of architectures: end -->"

MODELS = (
    *["VGG11", "torchvision/resnet50", "torchvision/resnet101", "torchvision/efficientnet_v2_s"],
    *["torchvision/convnext_tiny", "torchvision/swin_t", "torchvision/vit_b_16"],
)
METHODS = ("trace", "modules", "graph")
NAS = (20, 60)  # layers of a network in a search, at least and at most

Row = dict[str, str]


def give_back() -> None:
    """Give freed memory back to the system, so that it counts when it is used again."""
    library = ctypes.CDLL(None)
    if hasattr(library, "malloc_trim"):
        library.malloc_trim(0)


def timed(call: Callable[[], object], rounds: int) -> float:
    """Return the median of the processor's time in milliseconds, after a call that is not timed."""
    call()
    found = []
    for _ in range(rounds):
        start = time.process_time()
        call()
        found.append((time.process_time() - start) * 1e3)
    return statistics.median(found)


def beyond(call: Callable[[], object]) -> float:
    """Return the peak of the resident set beyond what the process held before, in MB."""
    call()
    give_back()
    forget_peak()
    before = status("VmRSS")
    call()
    return max(0.0, (status("VmHWM") - before) / 1e6)


def reading(rounds: int) -> Iterator[Row]:
    """Time each way of reading a model beside one forward pass with a batch of one."""
    for name in MODELS:
        made = recipe(name)
        model: nn.Module = made.build().eval()
        image = torch.rand(made.shape)

        def forward(model: nn.Module = model, image: torch.Tensor = image) -> None:
            with torch.no_grad():
                model(image)

        def read(method: str, model: nn.Module = model, shape: Any = made.shape) -> int:
            return len(read_torch(model, method, input=shape)[0])

        once = timed(forward, rounds)
        weights = sum(each.nbytes for each in [*model.parameters(), *model.buffers()]) / 1e6
        row = {"model": name, "layers": str(read("trace")), "forward pass, ms": f"{once:.0f}"}
        for method in METHODS:
            took = timed(lambda method=method: read(method), 1 if method == "graph" else rounds)
            row[f"{method}, ms"] = f"{took:.1f}"
            if method == "trace":
                row["of a forward pass"] = f"{took / once:.2f}"
        row["weights, MB"] = f"{weights:.0f}"
        for method in ("trace", "graph"):
            row[f"{method} holds, MB"] = f"{beyond(lambda method=method: read(method)):.1f}"
        yield row
        print(row, flush=True)


def every(names: Sequence[str]) -> Iterator[Row]:
    """Time the default way of reading for each model of the zoo that can be built."""
    for name in names:
        made = recipe(name)
        try:
            model = made.build()
        except (MissingExtraError, ValueError) as error:  # not here, or not with this backend
            print(f"{name}: {error}", flush=True)
            continue
        shape = {"input": made.shape} if isinstance(model, nn.Module) else {}
        parameters = (
            sum(each.numel() for each in model.parameters())
            if isinstance(model, nn.Module)
            else model.count_params()
        )

        def read(model: Any = model, shape: Any = shape) -> arch.LayerSequence:
            return arch.sequence(model, **shape)

        row = {
            "model": name,
            "package": made.package,
            "parameters, M": f"{parameters / 1e6:.1f}",
            "layers": str(len(read())),
            "read, ms": f"{timed(read, 3):.1f}",
            "holds, MB": f"{beyond(read):.1f}",
        }
        del model, read
        gc.collect()
        yield row
        print(row, flush=True)


def write_csv(rows: Sequence[Row], path: Path) -> None:
    unfinished = path.with_suffix(".tmp")
    with unfinished.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    unfinished.replace(path)


def sequences(count: int, lengths: tuple[int, int] | None) -> dict[str, arch.LayerSequence]:
    """Return sequences of the zoo, each with a tenth of its layers drawn anew.

    Of `lengths` tokens each: parts of them, as long as networks of a search.
    """
    random.seed(0)
    known = [arch.zoo.sequence(name) for name in arch.zoo.names()]
    layers = [layer for each in known for layer in each.layers]
    found = {}
    for place in range(count):
        made = list(random.choice(known).layers)
        if lengths is not None:
            length = min(random.randint(*lengths), len(made))
            start = random.randrange(len(made) - length + 1)
            made = made[start : start + length]
        for i in range(len(made)):
            if random.random() < 0.1:
                made[i] = random.choice(layers)
        found[str(place)] = arch.sequence(made)
    return found


def sets(largest: int) -> Iterator[Row]:
    """Time similarity of sets, and what is asked of it afterwards."""
    zoo = {name: arch.zoo.sequence(name) for name in arch.zoo.names()}
    parts = f"{NAS[0]} to {NAS[1]} layers"
    work: list[tuple[str, dict[str, arch.LayerSequence], Any]] = [
        ("the zoo", zoo, None),
        ("the zoo, graded", zoo, arch.Graded()),
        ("as long as the zoo's", sequences(largest // 10, None), None),
        (parts, sequences(largest // 10, NAS), None),
        (f"{parts}, graded", sequences(largest // 10, NAS), arch.Graded()),
        (parts, sequences(largest, NAS), None),
    ]
    for what, models, scoring in work:
        lengths = np.array([len(each) for each in models.values()])
        cells = float((lengths.sum() ** 2 + (lengths**2).sum()) / 2)
        give_back()
        forget_peak()
        before = status("VmRSS")
        start = time.process_time()
        found = arch.similarity(models, scoring=scoring, threads=1)
        took = time.process_time() - start
        held = (status("VmHWM") - before) / 1e6
        row = {
            "sequences": f"{len(models):,}",
            "which": what,
            "mean length": f"{lengths.mean():.0f}",
            "s": f"{took:.3g}",
            "10^9 cells a second": f"{cells / took / 1e9:.3g}",
            "holds, MB": f"{held:.0f}",
        }
        name = found.names[0]
        later: dict[str, Callable[[], object]] = {
            "index, s": lambda found=found: found.index,
            "correlation, s": found.correlation,
            "shortlist of 10, s": lambda found=found: found.shortlist(10),
            "cluster, s": found.cluster,
            "nearest, s": lambda found=found, name=name: found.nearest(name, 10),
            "insert, s": lambda found=found: found.insert("new", found.sequences[0]),
        }
        for title, call in later.items():
            start = time.process_time()
            call()
            row[title] = f"{time.process_time() - start:.2g}"
        yield row
        print(row, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write-table", action="store_true", help="rewrite bench/README.md's")
    parser.add_argument("--quick", action="store_true", help="does the program work?")
    parser.add_argument("--every", action="store_true", help="each model, to architectures.csv")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    keep = declare_torchvision()
    if options.every:
        names = arch.zoo.names()[:1] if options.quick else arch.zoo.names()
        rows = list(every(names))
        if not options.quick:
            write_csv(rows, README.with_name("architectures.csv"))
        return
    read = list(reading(1 if options.quick else 3))
    compared = list(sets(200 if options.quick else 10_000))
    command = "python -m bench.arch --write-table"
    body = "\n\n".join(
        [
            machine(command),
            "### Reading a model, one core, medians of 3 (graph: once)",
            table(read),
            "### Sets of sequences, one core",
            table(compared),
        ]
    )
    del keep
    print(body)
    if options.write_table and not options.quick:
        replace_between(README, BEGIN, END, body)


if __name__ == "__main__":
    main()
