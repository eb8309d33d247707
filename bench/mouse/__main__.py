"""Recordings of real size: time and memory of reading, statistics and representations.

python -m bench.mouse                  # everything, printed
python -m bench.mouse --write-table    # and written to bench/README.md
python -m bench.mouse --quick          # tiny sessions: does the program work?
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.markdown import replace_between, table
from bench.mouse.workloads import prepare

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- figures of recordings: begin -->"
END = "<!-- figures of recordings: end -->"
CORES = 2
ROUNDS = 5

# Workload, what it is, at most so many seconds and bytes.
WHAT: tuple[tuple[str, str, float | None, float | None], ...] = (
    ("sweeps", "`sweeps` of 50 neurons x 5,950 trials, from the file", 1.0, None),
    (
        "session",
        "`responses`, `statistics` and `peaks` of a session: 200 neurons, 115,000 frames",
        5.0,
        2e9,
    ),
    ("events", "the same from events, without `peaks`: a packed file of 45,000 frames", None, None),
    ("maps", "`representations` of 63,000 neurons, 118 images, 31 x 31", None, None),
    ("whitened", 'the same with `whiten="ridge"`', None, None),
    ("export", "`representations` of 63,000 neurons and their NetCDF file", None, None),
)

Row = dict[str, str]


def measure(quick: bool) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        prepare(Path(folder), quick)
        for name, what, most_seconds, most_bytes in WHAT:
            run = _in_process(name, folder, 1 if quick else ROUNDS)
            seconds = statistics.median(run["seconds"])
            goals, met = [], True
            if most_seconds is not None:
                goals.append(f"{most_seconds:g} s")
                met = met and seconds <= most_seconds
            if most_bytes is not None:
                goals.append(f"{most_bytes / 1e9:g} GB")
                met = met and run["peak"] <= most_bytes
            rows.append(
                {
                    "what": what,
                    "s": f"{seconds:.2f}",
                    "fastest, s": f"{min(run['seconds']):.2f}",
                    "first, s": f"{run['seconds'][0]:.2f}",
                    "peak, GB": f"{run['peak'] / 1e9:.2f}",
                    "goal": f"at most {', '.join(goals)}" if goals else "",
                    "result": ("met" if met else "**missed**") if goals and not quick else "",
                }
            )
    return rows


def _in_process(name: str, folder: str, rounds: int) -> dict[str, float]:
    cores = sorted(os.sched_getaffinity(0))[-CORES:]
    command = [sys.executable, "-m", "bench.mouse.workloads", name, folder, str(rounds)]
    done = subprocess.run(
        command,
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": str(CORES), "OPENBLAS_NUM_THREADS": str(CORES)},
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(done.stdout)


def machine(busy: float) -> str:
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}"
        for name in ("torch", "numpy", "xarray", "h5py")
    )
    return (
        "`python -m bench.mouse --write-table`, "
        f"{datetime.datetime.now(datetime.timezone.utc):%Y-%m-%d}, {CORES} cores of "
        f"{_processor()}, Python {platform.python_version()}, {versions}. "
        f"Other processes kept {busy:.1f} cores busy before it began."
    )


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _busy() -> float:
    """Return how many cores are busy, over two seconds."""

    def read() -> tuple[int, int]:
        parts = [int(x) for x in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
        return sum(parts), parts[3] + parts[4]

    total, idle = read()
    time.sleep(2)
    later, later_idle = read()
    share = 1 - (later_idle - idle) / max(later - total, 1)
    return share * (os.cpu_count() or 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write-table", action="store_true")
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    about = machine(_busy())
    text = f"{about}\n\n{table(measure(options.quick))}"
    print(text)
    if options.write_table and not options.quick:
        replace_between(README, BEGIN, END, text)


if __name__ == "__main__":
    main()
