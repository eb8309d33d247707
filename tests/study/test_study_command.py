import json

import pytest

from neurn import cli
from neurn.study.command import template

pytest.importorskip("pydantic")

TEXT = '[architectures]\nmodels = ["VGG11", "VGG16"]\nzoom = ["VGG11"]\n'


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TEXT)
    return path


def test_init_writes_an_example_and_replaces_nothing(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["study", "init"]) == 0
    assert (tmp_path / "study.toml").read_text() == template()
    assert "neurn study run study.toml --out results" in capsys.readouterr().out
    assert cli.main(["study", "init"]) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert cli.main(["study", "init", "--force", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"written": "study.toml"}


def test_dry_run_says_what_it_costs_and_does_nothing(tmp_path, capsys, file):
    pytest.importorskip("xarray")
    out = tmp_path / "o"
    assert cli.main(["study", "run", str(file), "--out", str(out), "--dry-run"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[1].split()[:3] == ["architectures", "1", "0"]
    assert text.splitlines()[2].startswith("all")
    assert not out.exists()
    assert cli.main(["study", "run", str(file), "--out", str(out), "--dry-run", "--json"]) == 0
    (stage,) = json.loads(capsys.readouterr().out)["stages"]
    assert stage["seconds"] > 0
    assert stage["memory"] > 0


def test_run_and_report(tmp_path, capsys, file):
    pytest.importorskip("matplotlib")
    out = tmp_path / "o"
    arguments = ["study", "run", str(file), "--out", str(out), "--workers", "1"]
    assert cli.main(arguments) == 0
    text, err = capsys.readouterr()
    assert text.splitlines() == [
        text.splitlines()[0],
        f"Report: {out.resolve() / 'report.html'}",
    ]
    assert text.startswith("1 done, 0 kept from before, in ")
    assert "1 of 1: architectures 1/1, similarity done" in err
    about = json.loads((out / "study.json").read_text())
    assert about["command"] == f"neurn {' '.join(arguments)}"
    assert cli.main([*arguments, "--json", "--no-report"]) == 0
    text, err = capsys.readouterr()
    found = json.loads(text)
    assert (found["done"], found["kept"], found["report"], err) == (0, 1, None, "")
    assert cli.main([*arguments, "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    report = ["study", "report", str(out), "--formats", "pdf"]
    assert cli.main([*report, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["report"] == str(out.resolve() / "report.html")
    assert {path.suffix for path in (out / "figures").iterdir()} == {".pdf"}


def test_failures_are_sentences_and_exit_code_1(tmp_path, capsys, monkeypatch, file):
    from neurn import arch

    def fail(*_, **__):
        raise ValueError("no such luck")

    monkeypatch.setattr(arch, "similarity", fail)
    out = str(tmp_path / "o")
    arguments = ["study", "run", str(file), "--out", out, "--workers", "1", "--no-report"]
    assert cli.main(arguments) == 1
    err = capsys.readouterr().err
    assert "neurn study: architectures/similarity: no such luck\n" in err
    assert f"neurn study: details are in {out}/study.log\n" in err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "no.toml", "--out", "o"], "no.toml: cannot be read"),
        (["run", "FILE", "--out", "o", "--workers", "0"], "argument --workers: give 1 to 1024"),
        (["init", "no/study.toml"], "argument FILE: there is no directory 'no'"),
        (["report", "no"], "holds no study; neurn study run makes one"),
        (["run", "FILE"], "the following arguments are required: --out"),
        (["report", "no", "--formats", "gif"], "invalid choice: 'gif'"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments, sentence, capsys, file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    words = [str(file) if word == "FILE" else word for word in arguments]
    assert cli.main(["study", *words]) == 2
    assert sentence in capsys.readouterr().err
