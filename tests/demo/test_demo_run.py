import csv
import json

import pytest
import torch

from neurn import demo
from neurn.demo.experiment import Experiment

from .conftest import COMMAND, TINY

FILES = ["differences.png", "maps.png", "report.html", "results.json", "runs.csv", "summary.csv"]


def read_csv(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_it_writes_these_files_and_no_others(report):
    assert sorted(path.name for path in report.page.parent.iterdir()) == FILES


def test_csv_files_hold_the_results(report):
    runs = read_csv(report.page.with_name("runs.csv"))
    assert [(r.seed, r.front_end, r.domain, r.accuracy, r.n) for r in report.results.runs] == [
        (int(r["seed"]), r["front_end"], r["domain"], float(r["accuracy"]), int(r["n"]))
        for r in runs
    ]
    assert len(runs) == 2 * 3 * 7
    summary = read_csv(report.page.with_name("summary.csv"))
    assert [float(line["mean"]) for line in summary] == [row.interval.mean for row in report.rows]


def test_json_records_what_others_need_to_repeat_it(report):
    record = json.loads(report.page.with_name("results.json").read_text())
    assert record == json.loads(json.dumps(report.record))
    assert record["command"] == COMMAND
    assert record["quick"] is True
    assert record["protocol"]["seeds"] == [0, 1]
    assert record["protocol"]["split"]["train"] == 60
    assert record["protocol"]["training"]["epochs"] == 1
    assert record["versions"]["torch"]
    assert record["versions"]["sklearn"]
    for data in record["data"].values():
        assert len(data["sha256"]) == 64
    assert len(record["runs"]) == 2 * 3 * 7
    assert len(record["trainings"]) == 2 * 3
    assert [domain["name"] for domain in record["domains"]] == list(report.results.domains)
    assert record["summary"][0]["baseline"] is None


def test_text_shows_tables_and_findings(report):
    assert "Accuracy in percent, mean [95 % interval] over 2 seeds:" in report.text
    assert "NeuRN - Sobel" in report.text
    for finding in report.record["findings"]:
        assert finding["question"] in report.text
    assert report.text.endswith("too short for conclusions.")


def test_progress_counts_every_training(tiny_run):
    lines = tiny_run[1].splitlines()
    assert len(lines) == 6
    assert lines[-1].startswith("trained 6 of 6: seed 1, Sobel")


def test_a_second_run_gives_the_same_numbers(report, tmp_path, capsys):
    demo.run(tmp_path, TINY, quiet=True)
    for name in ("runs.csv", "summary.csv", "differences.png", "maps.png"):
        assert (tmp_path / name).read_bytes() == report.page.with_name(name).read_bytes(), name
    assert capsys.readouterr() == ("", "")


def test_one_thread_is_used_and_the_setting_restored(restore_threads, monkeypatch):
    torch.set_num_threads(2)
    seen = []
    monkeypatch.setattr(
        "neurn.demo.experiment.evaluate", lambda *_, **__: seen.append(torch.get_num_threads())
    )
    Experiment.load(TINY).run(lambda _: None)
    assert (seen, torch.get_num_threads()) == ([1], 2)


def test_a_bad_directory_is_refused_before_any_training(tmp_path, monkeypatch):
    monkeypatch.setattr(Experiment, "load", lambda _: pytest.fail("loaded"))
    (tmp_path / "file").touch()
    with pytest.raises(demo.OutputError):
        demo.run(tmp_path / "file", TINY)


def test_an_interval_needs_two_seeds():
    with pytest.raises(ValueError, match="at least 2"):
        demo.DemoConfig(seeds=1)
