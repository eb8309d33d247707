"""The figures of a run as tables: printed, and written to a page of the processor's own."""

from __future__ import annotations

import datetime
import platform
import re
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

from bench.align_peers import PEERS as ALIGNERS
from bench.markdown import replace_between, table, write_whole
from bench.measure import CPUS
from neurn import _native

README = Path(__file__).with_name("README.md")
FIGURES = Path(__file__).with_name("figures")
BEGIN = "<!-- figures: begin -->"
END = "<!-- figures: end -->"

FORWARD = "Forward, one core, float32"
BACKWARD = "Backward, one core, float32"
KERNEL_SIZE = "Cost of the kernel size, one core, float32"
CORES = "Two cores, float32, k = 3"
PEERS = "Beside what users would write, one core, float32"
MEMORY = "Peak memory beyond the result, 1x3x4096x4096, float32, k = 3"
OTHERS = "Other types and layouts, one core, k = 3 (no goal)"
ALIGN_GOALS = "Alignment: goals, match +1, mismatch -2, gap -2, one core unless said otherwise"
ALIGN_PEERS = "Alignment beside its peers, the same scoring, one core"
COMPARE = "Comparison with neurons"
_NUMBERS = (("family", "cpu family"), ("model", "model"))
PASSES = ("forward", "backward", "forward, backward")
TABLES = (
    FORWARD,
    BACKWARD,
    KERNEL_SIZE,
    CORES,
    PEERS,
    MEMORY,
    OTHERS,
    ALIGN_GOALS,
    ALIGN_PEERS,
    COMPARE,
)


@dataclass(frozen=True)
class Row:
    """One line of a table; `met` is None where there is no goal."""

    cells: dict[str, str]
    goal: str = ""
    met: bool | None = None

    def shown(self) -> dict[str, str]:
        if not self.goal:
            return self.cells
        result = {None: "", True: "met", False: "**missed**"}[self.met]
        return {**self.cells, "goal": self.goal, "result": result}

    def place(self) -> int:
        return PASSES.index(self.cells.get("pass", PASSES[0]))


@dataclass
class Report:
    tables: dict[str, list[Row]] = field(default_factory=lambda: {name: [] for name in TABLES})
    shared: list[float] = field(default_factory=list)

    def add(self, table: str, row: Row) -> None:
        self.tables[table].append(row)

    def missing(self) -> list[str]:
        return [name for name, rows in self.tables.items() if not rows]

    def verdict(self) -> str:
        results = [row.met for rows in self.tables.values() for row in rows]
        return f"{results.count(True)} goals met, {results.count(False)} missed"

    def disturbance(self) -> str:
        part = max(self.shared, default=0.0)
        advice = " (too much: measure again on an idle machine)" if part > 0.05 else ""
        return f"at most {part:.1%} of a contest on one core{advice}"

    def text(self) -> str:
        parts = [
            f"## {name}\n\n{table([row.shown() for row in sorted(rows, key=Row.place)])}"
            for name, rows in self.tables.items()
            if rows
        ]
        return "\n\n".join(parts)

    def write(self, command: str) -> Path:
        """Write this processor's page and README's list of pages; return the page."""
        name = _processor()
        about = f"{machine(command)}\n- Taken by other processes: {self.disturbance()}"
        text = f"# {name}\n\n{self.verdict()}.\n\n{about}\n\n{self.text()}\n"
        plain = re.sub(r"\(R\)|[^a-z0-9]+", "-", name, flags=re.IGNORECASE)
        path = FIGURES / f"{re.sub('-+', '-', plain).strip('-').lower()}.md"
        write_whole(path, text)
        replace_between(README, BEGIN, END, index())
        return path


def index() -> str:
    """Return a list of the pages, with what each says of the goals."""
    lines = []
    for path in sorted(FIGURES.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        found = re.match(r"# (.+)\n\n(.+)\.\n(?:.*\n)*?- Date: (.+)\n", text)
        if found is None:
            raise ValueError(f"{path.name} must begin with a processor, a verdict and a date")
        name, verdict, date = found.groups()
        lines.append(f"- [{name}](figures/{path.name}), {date}: {verdict}")
    return "\n".join(lines)


def machine(command: str) -> str:
    packages = {
        "neurn": "neurn",
        "torch": "torch",
        "numpy": "numpy",
        "OpenCV": "opencv-python-headless",
        "skimage": "scikit-image",
        **{peer.distribution: peer.distribution for peer in ALIGNERS},
    }
    versions = ", ".join(f"{name} {_version(package)}" for name, package in packages.items())
    lines = {
        "Command": f"`{command}`",
        "Date": f"{datetime.date.today():%Y-%m-%d}",
        "Processor": f"{_processor()}, {len(CPUS)} cores, L2 {_cache(2)} a core, L3 {_cache(3)}",
        "Kernels": f"{_native.cpu_kernels()} (torch: {torch.backends.cpu.get_cpu_capability()})",
        "Software": f"Python {platform.python_version()}, {versions}, "
        f"{' '.join(platform.libc_ver())}",
    }
    return "\n".join(f"- {key}: {value}" for key, value in lines.items())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "(not installed)"


def _processor() -> str:
    """Return name, family and model: a cloud tells little more than the maker by the name."""
    about: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        about.setdefault(key.strip(), value.strip())
    name = about.get("model name", platform.machine())
    numbers = [f"{what} {about[key]}" for what, key in _NUMBERS if key in about]
    return f"{name} ({', '.join(numbers)})" if numbers else name


def _cache(level: int) -> str:
    for index in Path("/sys/devices/system/cpu/cpu0/cache").glob("index*"):
        if (index / "level").read_text().strip() == str(level):
            return (index / "size").read_text().strip()
    return "unknown"
