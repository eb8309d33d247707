import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from neurn import study
from neurn.study.store import Store

from .toy import COUNT, SETTINGS, contents, stages

pytest.importorskip("pydantic")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    folder = tmp_path_factory.mktemp("serial")
    result = study.run(SETTINGS, folder, stages(), workers=1, quiet=True)
    assert result.complete
    assert (result.done, result.kept) == (2 * COUNT + 1, 0)
    return contents(folder)


def test_results_are_those_of_the_functions(tmp_path):
    study.run(SETTINGS, tmp_path, stages(3), workers=1, quiet=True)
    (total,) = tmp_path.glob("cache/total/*/total.json")
    expected = [float((np.random.default_rng(i).normal(size=1000) ** 2).sum()) for i in range(3)]
    assert eval(total.read_text()) == expected


def test_processes_give_what_one_gives(tmp_path, serial):
    result = study.run(SETTINGS, tmp_path, stages(), workers=2, quiet=True)
    assert result.complete
    assert contents(tmp_path) == serial


def test_a_second_run_does_nothing(tmp_path):
    study.run(SETTINGS, tmp_path, stages(3), workers=1, quiet=True)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("cache/*/*/*")}
    result = study.run(SETTINGS, tmp_path, stages(3), workers=1, quiet=True)
    assert (result.done, result.kept) == (0, 7)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("cache/*/*/*")} == before


def test_what_is_damaged_is_done_anew(tmp_path, serial):
    study.run(SETTINGS, tmp_path, stages(), workers=1, quiet=True)
    damaged, lost, *_ = sorted(tmp_path.glob("cache/square/*/squares.npy"))
    damaged.write_bytes(damaged.read_bytes()[:100])
    lost.unlink()
    result = study.run(SETTINGS, tmp_path, stages(), workers=1, quiet=True)
    assert result.done == 2
    assert contents(tmp_path) == serial


def test_another_parameter_changes_what_follows_from_it_and_keeps_the_rest(tmp_path):
    study.run(SETTINGS, tmp_path, stages(4), workers=1, quiet=True)
    changed = study.run(SETTINGS, tmp_path, stages(4, special={"other": 1}), workers=1, quiet=True)
    assert (changed.done, changed.kept) == (2, 7)  # a square and the total
    again = study.run(SETTINGS, tmp_path, stages(4), workers=1, quiet=True)
    assert again.done == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_a_failure_is_a_sentence_and_stops_only_what_needs_it(tmp_path, workers):
    bad = stages(special={"does": "fails"})
    result = study.run(SETTINGS, tmp_path, bad, workers=workers, quiet=True)
    assert result.failed == {"square/3": "this one is meant to fail"}
    assert result.skipped == ("total/all",)
    assert result.done == 2 * COUNT - 1
    assert "Traceback" in (tmp_path / "study.log").read_text()
    assert not list(tmp_path.glob("cache/*/.*"))
    status = {f"{i['stage']}/{i['name']}": i for i in Store(tmp_path).read_study()["items"]}
    assert status["square/3"]["error"] == "this one is meant to fail"
    assert status["total/all"]["status"] == "skipped"


def test_memory_is_limited(tmp_path):
    bad = stages(4, special={"does": "takes all"})
    result = study.run(SETTINGS, tmp_path, bad, workers=1, quiet=True)
    assert result.failed == {"square/3": "memory ran out at 4.0 GB; give more with run.memory"}


def test_a_process_that_dies_once_costs_nothing(tmp_path):
    special = {"does": "dies once", "mark": str(tmp_path / "mark")}
    one, two = tmp_path / "one", tmp_path / "two"
    result = study.run(SETTINGS, one, stages(special=special), workers=2, quiet=True)
    assert result.complete
    assert "a process died" in (one / "study.log").read_text()
    study.run(SETTINGS, two, stages(special=special), workers=1, quiet=True)
    assert contents(one) == contents(two)


def test_a_process_that_always_dies_fails(tmp_path):
    result = study.run(
        SETTINGS, tmp_path, stages(4, special={"does": "dies"}), workers=2, quiet=True
    )
    assert result.failed["square/3"] == "its process died, perhaps for lack of memory"
    assert "total/all" in result.skipped


def _start(folder, workers, sleep):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.study.toy", str(folder), str(workers), str(sleep)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def _wait_for(folder, count, process):
    begin = time.monotonic()
    while len(contents(folder)) < count:
        assert process.poll() is None, process.stderr.read().decode()
        assert time.monotonic() - begin < 300
        time.sleep(0.01)


def _alive(group):
    """Return the processes of a group that are not zombies."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize(("workers", "points"), [(1, (0, 5, 13, 23)), (2, (7,))])
def test_a_run_killed_at_any_point_is_taken_up(tmp_path, serial, workers, points):
    for point in points:
        process = _start(tmp_path, workers, 0.05)
        _wait_for(tmp_path, point, process)
        process.kill()
        process.wait()
        begin = time.monotonic()
        while _alive(process.pid):  # workers see that their parent is gone
            assert time.monotonic() - begin < 60
            time.sleep(0.05)
        there = len(contents(tmp_path))
        assert there >= point
    last = study.run(SETTINGS, tmp_path, stages(sleep=0.05), workers=1, quiet=True)
    assert last.complete
    assert last.kept == there
    # Another time to sleep is another parameter: the keys differ, the values do not.
    ours = sorted(str(files) for files in contents(tmp_path).values())
    assert ours == sorted(str(files) for files in serial.values())
    assert not list(tmp_path.glob("cache/*/.*"))


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_ctrl_c_leaves_no_process_and_no_part(tmp_path):
    process = _start(tmp_path, 2, 0.3)
    _wait_for(tmp_path, 2, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: all processes get it
    process.wait(60)
    assert b"KeyboardInterrupt" in process.stderr.read()
    assert not _alive(process.pid)
    assert "interrupted" in (tmp_path / "study.log").read_text()
    study.run(SETTINGS, tmp_path, stages(sleep=0.3, count=2), workers=1, quiet=True)
    assert not list(tmp_path.glob("cache/*/.*"))


def test_two_runs_do_not_share_a_folder(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    with store.locked(), pytest.raises(study.StudyError, match="another run is at work in"):
        study.run(SETTINGS, tmp_path, stages(2), workers=1, quiet=True)


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "f").touch()
    with pytest.raises(study.StudyError, match="is a file; give a directory, new or existing"):
        study.run(SETTINGS, tmp_path / "f", stages(2), quiet=True)
