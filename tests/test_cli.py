import json
import subprocess
import sys

import pytest

from neurn import cli, study
from neurn._optional import MissingExtraError
from neurn.study import demo


@pytest.fixture
def raising(monkeypatch):
    """Make the demo raise something."""

    def prepare(error):
        def run(*_, **__):
            raise error

        monkeypatch.setattr(study, "run", run)

    return prepare


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--workers", "many"], "argument --workers: invalid int value: 'many'"),
        (["--workers", "0"], "argument --workers: give 1 to 1024, got 0"),
        (["--colour"], "unrecognized arguments: --colour"),
    ],
)
def test_wrong_arguments_are_named(arguments, sentence, capsys):
    assert cli.main(["demo", *arguments]) == 2
    assert sentence in capsys.readouterr().err


def test_an_output_that_is_a_file_is_one_sentence(tmp_path, capsys):
    pytest.importorskip("pydantic")
    (tmp_path / "f").touch()
    assert cli.main(["demo", "--out", str(tmp_path / "f")]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    expected = f"'{tmp_path / 'f'}' is a file; give a directory, new or existing"
    assert err == f"neurn demo: {expected}\n"


def test_the_plan_of_the_demo(tmp_path, capsys):
    pytest.importorskip("pydantic")
    assert cli.main(["demo", "--out", str(tmp_path / "o"), "--dry-run", "--json"]) == 0
    stages = {row["stage"]: row for row in json.loads(capsys.readouterr().out)["stages"]}
    assert set(stages) == {
        *("stimuli", "recordings", "statistics", "representations", "selection"),
        *("features", "compare", "architectures", "generalization"),
    }
    whole, quick = demo.settings(), demo.settings(quick=True)
    assert stages["statistics"]["items"] == 24
    assert "too short for conclusions" in quick.title
    assert type(whole).model_validate(quick.model_dump()) == quick
    assert quick.generalization.seeds < whole.generalization.seeds
    assert not (tmp_path / "o").exists()


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


def test_interruption_is_one_line(capsys, raising, tmp_path):
    raising(KeyboardInterrupt())
    assert cli.main(["demo", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err == "\nneurn demo: interrupted\n"


@pytest.mark.parametrize(
    "error", [OSError("no space left"), MissingExtraError("pip install 'neurn[study]'")]
)
def test_failures_are_one_line(error, capsys, raising, tmp_path):
    raising(error)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err == f"neurn demo: {error}\n"


def test_bugs_are_not_swallowed(raising, tmp_path):
    raising(RuntimeError("bug"))
    with pytest.raises(RuntimeError, match="bug"):
        cli.main(["demo", "--out", str(tmp_path)])


def test_missing_extra_from_end_to_end(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydantic", None)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert err.endswith("is needed here and is not installed: pip install 'neurn[study]'\n")
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
