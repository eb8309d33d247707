import csv
import io

import pytest

from neurn.generalize import Interval, Results, Run
from neurn.generalize.summary import find, findings, percent, points, summarize
from neurn.generalize.tables import (
    accuracy_table,
    align_columns,
    difference_table,
    runs_csv,
    summary_csv,
)

CONTRASTS = (("neurn", "none"), ("sobel", "none"), ("neurn", "sobel"))
TITLES = {"a": "Domain A", "b": "Domain B", "c": "Domain C"}
ACCURACIES = {
    # NeuRN - none: +0.10, +0.11, +0.12 (helps); -0.2 exactly (hurts); -0.1, 0, +0.1 (undecided)
    ("none", "a"): [0.50, 0.60, 0.70],
    ("neurn", "a"): [0.60, 0.71, 0.82],
    ("sobel", "a"): [0.50, 0.60, 0.70],
    ("none", "b"): [0.90, 0.80, 0.70],
    ("neurn", "b"): [0.70, 0.60, 0.50],
    ("sobel", "b"): [0.95, 0.85, 0.75],
    ("none", "c"): [0.50, 0.50, 0.50],
    ("neurn", "c"): [0.40, 0.50, 0.60],
    ("sobel", "c"): [0.45, 0.55, 0.65],
}


@pytest.fixture
def results():
    runs = [
        Run(seed, name, domain, values[seed], 200)
        for (name, domain), values in ACCURACIES.items()
        for seed in (0, 1, 2)
    ]
    return Results(tuple(runs), (), (0, 1, 2), ("none", "neurn", "sobel"), ("a", "b", "c"))


def test_summary_has_every_accuracy_and_every_contrast(results):
    rows = summarize(results, CONTRASTS)
    assert len(rows) == 3 * 3 + 3 * 3
    assert {row.n_images for row in rows} == {200}
    assert find(rows, "a", "neurn").mean == pytest.approx(0.71)
    # +0.10, +0.11, +0.12: sd 0.01, half width 4.302653 * 0.01 / sqrt(3)
    helped = find(rows, "a", "neurn", "none")
    assert helped.mean == pytest.approx(0.11)
    assert helped.high - helped.mean == pytest.approx(0.0248414, abs=1e-6)
    assert find(rows, "c", "neurn", "sobel").mean == pytest.approx(-0.05)


def test_findings_follow_the_intervals(results):
    neurn, sobel, control = findings(summarize(results, CONTRASTS), TITLES)
    assert neurn.question == "NeuRN against the same network without it"
    assert neurn.answers == (
        "helps on 1 of 3: Domain A (+11.0 [+8.5, +13.5])",
        "hurts on 1 of 3: Domain B (-20.0 [-20.0, -20.0])",
        "undecided on 1 of 3: Domain C (+0.0 [-24.8, +24.8])",
    )
    assert sobel.answers[0] == "helps on 1 of 3: Domain B (+5.0 [+5.0, +5.0])"
    assert [answer.split(":")[0] for answer in control.answers] == [
        "ahead on 1 of 3",
        "behind on 2 of 3",
    ]
    assert str(control).startswith("NeuRN against Sobel: ahead on 1 of 3: Domain A (")
    assert str(control).endswith(").")


def test_findings_turn_round_with_the_data(results):
    swapped = Results(
        tuple(
            Run(r.seed, {"none": "neurn", "neurn": "none"}.get(r.front_end, "sobel"), *tail(r))
            for r in results.runs
        ),
        *((), results.seeds, results.front_ends, results.domains),
    )
    first = findings(summarize(swapped, CONTRASTS), TITLES)[0]
    assert first.answers[0].startswith("helps on 1 of 3: Domain B (+20.0")
    assert first.answers[1].startswith("hurts on 1 of 3: Domain A (-11.0")


def tail(run):
    return run.domain, run.accuracy, run.n


def test_runs_csv_gives_back_the_runs(results):
    text = runs_csv(results)
    assert text.splitlines()[0] == (
        "model,source,seed,front_end,domain,accuracy,n,calibration_error,oracle"
    )
    read = [
        Run(int(r["seed"]), r["front_end"], r["domain"], float(r["accuracy"]), int(r["n"]))
        for r in csv.DictReader(io.StringIO(text))
    ]
    assert tuple(read) == results.runs


def test_summary_csv_gives_back_the_summary(results):
    rows = summarize(results, CONTRASTS)
    read = list(csv.DictReader(io.StringIO(summary_csv(rows))))
    assert len(read) == len(rows)
    for line, row in zip(read, rows, strict=True):
        assert (line["domain"], line["front_end"], line["baseline"]) == (
            row.domain,
            row.front_end,
            row.baseline,
        )
        bounds = Interval(*(float(line[key]) for key in ("mean", "low", "high")), row.interval.n)
        assert bounds == row.interval
        assert line["quantity"] == ("difference" if row.baseline else "accuracy")
        assert line["verdict"] == (row.interval.verdict if row.baseline else "")
        assert (line["n_seeds"], line["n_images"]) == ("3", "200")


def test_tables_for_people(results):
    rows = summarize(results, CONTRASTS)
    accuracy, difference = accuracy_table(rows, TITLES), difference_table(rows, TITLES)
    assert accuracy[0] == ["Domain", "None", "NeuRN", "Sobel"]
    assert accuracy[2][:3] == ["Domain B", "80.0 [55.2, 100.0]", "60.0 [35.2, 84.8]"]
    assert difference[0] == ["Domain", "NeuRN - None", "Sobel - None", "NeuRN - Sobel"]
    assert difference[1][1] == "+11.0 [+8.5, +13.5]"
    assert [len(line) for line in accuracy + difference] == [4] * 8


def test_columns_line_up():
    text = align_columns([["Domain", "x"], ["a", "10.0"], ["long name", "7"]])
    assert text.splitlines() == ["Domain        x", "a          10.0", "long name     7"]


def test_formats():
    interval = Interval(0.0123, -0.0004, 0.025, 5)
    assert percent(interval) == "1.2 [-0.0, 2.5]"
    assert points(interval) == "+1.2 [-0.0, +2.5]"
