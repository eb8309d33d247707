import dataclasses
import json
import subprocess
import sys

import pytest

from neurn import cli, demo


@pytest.fixture
def small(monkeypatch):
    """Shrink the demo's data; seeds and epochs stay as the command line asks."""
    seen = []
    real = demo.run

    def run(out, config, **options):
        seen.append(config)
        small = dataclasses.replace(config, n_train=60, n_validation=20, n_test=20)
        return real(out, small, **options)

    monkeypatch.setattr(demo, "run", run)
    return seen


@pytest.fixture
def raising(monkeypatch):
    """Make the demo raise something."""

    def prepare(error):
        def run(*_, **__):
            raise error

        monkeypatch.setattr(demo, "run", run)

    return prepare


def test_quick_demo_from_end_to_end(tmp_path, capsys, small):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    arguments = ["demo", "--out", str(tmp_path / "o"), "--quick", "--epochs", "1"]
    assert cli.main(arguments) == 0
    assert small == [demo.DemoConfig(seeds=3, epochs=1, quick=True)]
    out, err = capsys.readouterr()
    assert out.rstrip().endswith(f"Report: {tmp_path / 'o' / 'report.html'}")
    assert "Paired difference" in out
    assert err.count("trained") == 9
    record = json.loads((tmp_path / "o" / "results.json").read_text())
    assert record["command"] == f"neurn {' '.join(arguments)}"


def test_json_is_all_that_is_printed(tmp_path, capsys, small):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    options = ["--seeds", "2", "--epochs", "1", "--json", "--quiet"]
    assert cli.main(["demo", "--out", str(tmp_path), *options]) == 0
    out, err = capsys.readouterr()
    assert err == ""
    assert json.loads(out) == json.loads((tmp_path / "results.json").read_text())


def test_quiet_prints_nothing(tmp_path, capsys, small):
    pytest.importorskip("sklearn")
    pytest.importorskip("matplotlib")
    arguments = ["demo", "--out", str(tmp_path), "--seeds", "2", "--epochs", "1", "--quiet"]
    assert cli.main(arguments) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--seeds", "1"], "argument --seeds: '1' is not allowed; give a whole number from 2 to"),
        (["--seeds", "many"], "argument --seeds: 'many' is not allowed; give a whole number"),
        (["--epochs", "0"], "argument --epochs: '0' is not allowed; give a whole number from 1 to"),
        (["--epochs", "2.5"], "argument --epochs: '2.5' is not allowed"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_wrong_arguments_are_named(arguments, sentence, capsys):
    assert cli.main(["demo", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_an_output_that_is_a_file_is_one_sentence(tmp_path, capsys):
    (tmp_path / "f").touch()
    assert cli.main(["demo", "--out", str(tmp_path / "f")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    expected = f"argument --out: '{tmp_path / 'f'}' is a file; give a directory, new or existing"
    assert err == f"neurn demo: {expected}\n"


def test_no_command_and_unknown_commands_are_usage_errors(capsys):
    assert cli.main([]) == 2
    assert "COMMAND" in capsys.readouterr().err
    assert cli.main(["dream"]) == 2
    assert "'dream'" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["demo", "--help"], ["align", "--help"]]
)
def test_help_and_version_succeed(arguments, capsys):
    assert cli.main(arguments) == 0
    assert "neurn" in capsys.readouterr().out


def test_interruption_is_one_line(capsys, raising):
    raising(KeyboardInterrupt())
    assert cli.main(["demo"]) == 130
    assert capsys.readouterr().err == "\nneurn demo: interrupted\n"


@pytest.mark.parametrize(
    "error", [OSError("no space left"), demo.MissingExtraError("pip install 'neurn[demo]'")]
)
def test_failures_are_one_line(error, capsys, raising):
    raising(error)
    assert cli.main(["demo"]) == 1
    assert capsys.readouterr().err == f"neurn demo: {error}\n"


def test_bugs_are_not_swallowed(raising):
    raising(RuntimeError("bug"))
    with pytest.raises(RuntimeError, match="bug"):
        cli.main(["demo"])


def test_missing_extra_from_end_to_end(tmp_path, capsys, monkeypatch):
    for name in ("sklearn", "sklearn.datasets"):
        monkeypatch.setitem(sys.modules, name, None)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err.endswith("is needed here and is not installed: pip install 'neurn[demo]'\n")
    assert list(tmp_path.iterdir()) == []


def test_the_module_runs_as_a_script():
    done = subprocess.run(
        [sys.executable, "-m", "neurn.cli", "--version"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("neurn ")
