"""One tiny real run of the demo, shared by all tests that only look at it."""

import io

import pytest

from neurn import demo

pytest.importorskip("sklearn")
pytest.importorskip("matplotlib")

TINY = demo.DemoConfig(seeds=2, epochs=1, n_train=60, n_validation=20, n_test=30, quick=True)
COMMAND = "neurn demo --out 'a <b> & \"c\"'"


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """The report of a tiny run and the lines of its progress."""
    lines = io.StringIO()
    out = tmp_path_factory.mktemp("demo") / "new" / "out"
    report = demo.run(out, TINY, command=COMMAND, stream=lines)
    return report, lines.getvalue()


@pytest.fixture(scope="session")
def report(tiny_run):
    return tiny_run[0]
