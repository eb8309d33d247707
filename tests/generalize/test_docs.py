"""The study's page says what its raw results say."""

import importlib.util
import re
import shutil
from pathlib import Path

import pytest

from neurn.front_ends import FRONT_ENDS
from neurn.generalize import Results, Run, domains, sweeps
from neurn.generalize.shifts import FAMILIES

pytest.importorskip("pandas")

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "generalization.md"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("study", ROOT / "scripts" / "generalization.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_are_those_of_the_raw_results(script):
    page = PAGE.read_text()
    made = script.tables(script.read())
    assert len(re.findall("<!-- begin ", page)) == len(made)
    assert script.filled(page, made) == page
    assert "nan" not in "".join(made.values())


def test_figures_are_drawn_from_the_raw_results(script):
    drawn = script.figures(script.read())
    for name in drawn:
        assert (script.STUDY / name).stat().st_size > 10_000
        assert f"generalization/{name}" in PAGE.read_text()


def test_the_configuration_is_that_of_the_results(script):
    ran = {(run.model, run.front_end) for run in script.read().runs}
    planned = {
        (sweep.name or sweep.model, name)
        for sweep in sweeps.read(script.STUDY / "study.toml")
        for name in sweep.front_ends
    }
    assert ran <= planned


def test_new_runs_are_taken_in_and_old_ones_stay(script, tmp_path, monkeypatch):
    study, fresh = tmp_path / "study", tmp_path / "fresh"
    for folder in (study, fresh):
        folder.mkdir()
    for name in ("runs.csv", "summary.csv"):
        shutil.copy(script.STUDY / name, study / name)
    before = {name: (study / name).read_text() for name in ("runs.csv", "summary.csv")}
    runs = tuple(
        Run(seed, front_end, domain, 0.5 + seed / 10, 10, "mnist", "newnet", 0.1)
        for seed in range(2)
        for front_end in ("none", "neurn")
        for domain in script.REAL
    )
    kinds = (("none", "neurn"), script.REAL)
    Results(runs, (), (0, 1), *kinds).save(fresh)
    monkeypatch.setattr(script, "STUDY", study)
    script.take_in(fresh)
    for name, text in before.items():
        old, new = text.splitlines(), (study / name).read_text().splitlines()
        assert set(old) < set(new)
    assert "newnet" in script.tables(script.read())["larger"]
    after = (study / "runs.csv").read_text()
    script.take_in(fresh)
    assert (study / "runs.csv").read_text() == after


def test_tests_of_replaced_runs_do_not_stay(script, tmp_path, monkeypatch):
    study, fresh = tmp_path / "study", tmp_path / "fresh"
    for folder in (study, fresh):
        folder.mkdir()
    for name in ("runs.csv", "summary.csv"):
        shutil.copy(script.STUDY / name, study / name)
    runs = (Run(0, "sobel", "mnistm", 0.5, 3000, "mnist", "lenet", 0.1),)
    Results(runs, (), (0,), ("sobel",), ("mnistm",)).save(fresh)
    monkeypatch.setattr(script, "STUDY", study)
    script.take_in(fresh)
    rows = script._lines(study / "summary.csv", script.ROW)
    tested = {name: rows["lenet", "mnist", "mnistm", name, "none"] for name in ("neurn", "sobel")}
    assert tested["neurn"]["p_images"] != ""
    assert tested["sobel"]["p_images"] == ""
    assert tested["sobel"]["p_seeds"] != ""


def test_small_networks_have_five_seeds_and_the_layer_helps_where_claimed(script):
    results = script.read()
    for model in ("lenet", "digit_net"):
        part = results.select(model)
        for domain, points in (("mnistm", 0.07), ("chars74k_img", 0.08)):
            difference = part.difference("neurn", "none", domain)
            assert difference.n >= 5
            assert difference.mean > points
            assert difference.low > 0


def test_the_page_names_all_there_is():
    page = PAGE.read_text()
    for name in (*domains.names(), *FAMILIES, *FRONT_ENDS):
        assert f"`{name}`" in page, name
