"""Options, fixtures and the report of the benchmarks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pkgutil import resolve_name

import pytest
import torch

from bench.contests import Contests
from bench.measure import CPUS, Stopwatch, keep_memory_warm, use_cores
from bench.report import Report, Row

WARM = keep_memory_warm()
REPORT = pytest.StashKey[Report]()


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("neurn")
    group.addoption(
        "--write-table", action="store_true", help="rewrite this processor's page of bench/figures"
    )
    group.addoption("--enforce-goals", action="store_true", help="fail where a goal is missed")
    group.addoption(
        "--quick", action="store_true", help="tiny inputs, two rounds: does the suite work?"
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    config.stash[REPORT] = Report()
    # torch's own, when it compiles.
    config.addinivalue_line("filterwarnings", "ignore:`torch.jit:DeprecationWarning")
    if not any(arg.startswith("--benchmark-columns") for arg in config.invocation_params.args):
        config.option.benchmark_columns = ["median", "iqr", "rounds"]


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash[REPORT]
    if not any(report.tables.values()):
        return
    terminalreporter.section("neurn beside its peers")
    terminalreporter.write_line(report.text())
    terminalreporter.write_line("")
    terminalreporter.write_line(f"Taken by other processes: {report.disturbance()}")
    terminalreporter.write_line(report.verdict())
    if not config.option.write_table:
        return
    left_out = ("failed", "error", "skipped", "deselected")
    partial = any(terminalreporter.stats.get(kind) for kind in left_out) or report.missing()
    if config.option.quick or partial:
        terminalreporter.write_line(
            "no page is written: that takes the whole suite, no test failed or skipped"
        )
    else:
        page = report.write(" ".join(["python -m pytest", *config.invocation_params.args]))
        terminalreporter.write_line(f"{page.parent.name}/{page.name} is written")


class Figures:
    """Takes the rows of a test and, when asked, fails the test where a goal is missed."""

    def __init__(self, report: Report, enforce: bool, judge: bool) -> None:
        self._report = report
        self._enforce = enforce
        self._judge = judge

    def add(self, table: str, row: Row) -> None:
        if not self._judge:
            row = replace(row, met=None)
        self._report.add(table, row)
        if self._enforce and row.met is False:
            pytest.fail(f"goal missed: {table}: {row.shown()}", pytrace=False)


@pytest.fixture
def figures(request: pytest.FixtureRequest) -> Figures:
    config = request.config
    return Figures(config.stash[REPORT], config.option.enforce_goals, judge=not config.option.quick)


@pytest.fixture
def quick(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.option.quick)


@pytest.fixture
def stopwatch(request: pytest.FixtureRequest, benchmark, quick: bool) -> Stopwatch:
    if not WARM:
        pytest.skip("this C library cannot be told to keep memory: ratios would mean nothing")
    benchmark.group = f"{request.path.stem.removeprefix('test_')}: {request.function.__name__}"
    config = request.config
    timer = resolve_name(config.option.benchmark_timer)
    return Stopwatch(benchmark, quick, timer, config.stash[REPORT].shared)


@pytest.fixture
def contests(stopwatch: Stopwatch, figures: Figures) -> Contests:
    return Contests(stopwatch, figures.add)


@pytest.fixture(scope="session", autouse=True)
def _worker_threads() -> Iterator[None]:
    # Threads inherit the cores of the one that starts them: start them before any pinning.
    use_cores(len(CPUS))
    torch.ones(1 << 20).add_(1)
    yield
    use_cores(len(CPUS))


@pytest.fixture(autouse=True)
def _one_core(_worker_threads: None) -> None:
    use_cores(1)
