"""What holds for every command, and those that are about neurn itself."""

import importlib.metadata
import json
import shlex
import shutil
import subprocess
import sys

import pytest
import torch

import neurn
from neurn import bench, cli, doctor
from neurn._command import leaves

COMMANDS = dict(leaves(cli._parser()))


def test_help_fits_a_screen(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "80")
    assert cli.main(["--help"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 24
    assert max(map(len, lines)) <= 80


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples_that_are_right(command, capsys):
    assert cli.main([*command.split(), "--help"]) == 0
    out = capsys.readouterr().out
    description = COMMANDS[command].description
    assert description
    assert max(map(len, description.splitlines())) <= 80
    for example in cli.EXAMPLES[command]:
        assert f"  {example}\n" in out + "\n"
        words = shlex.split(example.partition(" > ")[0])
        assert words[: len(command.split()) + 1] == ["neurn", *command.split()]
        cli._parser().parse_args(words[1:])  # SystemExit where it is wrong


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "completion"])
def test_every_command_can_print_json_and_be_quiet(command):
    options = COMMANDS[command]._option_string_actions
    assert {"--json", "--quiet"} <= set(options)


def test_no_example_is_of_a_command_that_is_not_there():
    assert set(cli.EXAMPLES) == set(COMMANDS)


@pytest.mark.parametrize(
    "command",
    [
        "align CCMC CMC",
        "arch list",
        "arch show VGG16",
        "arch compare VGG11 VGG16",
        "arch matrix --models VGG11 VGG16 --out m.csv",
        "mouse simulate --out m --neurons 2 --areas VISp --cre-lines Cux2-CreERT2 --repetitions 4",
        "features",
        "study init --force",
        "study run study.toml --out o --dry-run",
        "demo --dry-run",
        "doctor",
    ],
)
def test_json_is_json_and_quiet_is_quiet(command, capsys, monkeypatch, tmp_path):
    for package in ("pandas", "xarray", "pydantic", "h5py", "scipy"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text("[architectures]\n")
    assert cli.main([*command.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)
    assert cli.main([*command.split(), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("shell", cli.SHELLS)
def test_completion_knows_commands_and_options(shell, capsys):
    pytest.importorskip("shtab", reason="shtab is not installed")
    assert cli.main(["completion", shell]) == 0
    script = capsys.readouterr().out
    for word in ("study", "doctor", "simulate"):
        assert word in script


def test_bash_completes(tmp_path):
    pytest.importorskip("shtab", reason="shtab is not installed")
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    script = subprocess.run(
        [sys.executable, "-m", "neurn.cli", "completion", "bash"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    (tmp_path / "c.sh").write_text(script)
    ask = (
        f"source {tmp_path}/c.sh; COMP_WORDS=(neurn study r); COMP_CWORD=2; "
        '$(complete -p neurn | sed "s/.*-F \\([^ ]*\\).*/\\1/"); echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run([bash, "-c", ask], capture_output=True, text=True, check=True)
    assert "run" in done.stdout.split()


def test_doctor_says_what_is_here(capsys):
    assert cli.main(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["torch"] == torch.__version__
    assert found["build"]["cpu_kernels"] in ("avx512", "avx2", "baseline")
    assert found["problems"] == []
    assert set(found["extras"]) == set(doctor.EXTRAS)
    for about in found["extras"].values():
        for package, version in about["there"].items():
            assert importlib.metadata.version(package) == version
        assert bool(about["lacking"]) == ("fix" in about)


def test_doctor_names_every_extra_and_what_is_lacking(capsys, monkeypatch):
    declared = {
        line.split("extra ==")[1].strip(" '\"")
        for line in importlib.metadata.requires("neurn")
        if "extra ==" in line
    }
    assert declared - {"demo", "bench"} == set(doctor.EXTRAS)  # demo is study, bench is for peers
    lines = ['neurn[b]; extra == "a"', 'surely-not-here>=1; extra == "b"', 'numpy; extra == "a"']
    monkeypatch.setattr(importlib.metadata, "requires", lambda _: lines)
    monkeypatch.setattr(doctor, "EXTRAS", {"a": "this", "b": "that"})
    assert cli.main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "lacks surely-not-here: pip install 'neurn[a]'" in out
    assert out.endswith("everything that is installed works\n")


def test_doctor_fails_where_an_operator_is_wrong(capsys, monkeypatch):
    monkeypatch.setattr(neurn, "neurn", lambda x, **_: x.sum())
    assert cli.main(["doctor"]) == 1
    assert "problem: the operator gives 3.0 instead of 0.94" in capsys.readouterr().out
    assert cli.main(["doctor", "--quiet"]) == 1
    assert capsys.readouterr().out == ""


def test_bench_gives_ratios(capsys, monkeypatch, restore_threads):
    monkeypatch.setattr(bench, "_SECONDS", 1e-9)
    assert cli.main(["bench", "--json", "--quiet"]) == 0
    out, err = capsys.readouterr()
    rows = json.loads(out)["measurements"]
    assert err == ""
    assert len(rows) == 4
    for row in rows:
        assert row["ratio"] == pytest.approx(row["seconds"][0] / row["seconds"][1])
    assert cli.main(["bench"]) == 0
    assert "below 1 is faster" in capsys.readouterr().out


def test_bench_measures_what_is_the_same():
    x = torch.rand(2, 3, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(bench._eager(x), neurn.neurn(x))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--threads", "0"], "argument --threads: must be at least 1, got 0"),
        (["--device", "tpu"], "argument --device: must be cpu or cuda, got 'tpu'"),
    ],
)
def test_bench_refuses(arguments, sentence, capsys):
    assert cli.main(["bench", *arguments]) == 2
    assert capsys.readouterr().err == f"neurn bench: {sentence}\n"


def test_a_closed_pipe_is_no_error():
    command = f"{shlex.quote(sys.executable)} -m neurn.cli arch list | head -n 1"
    done = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_import_takes_little_beyond_torch():
    script = (
        "import time, torch, numpy; begin = time.process_time(); import neurn; "
        "print(time.process_time() - begin)"  # of the processor: others may be at work
    )
    least = min(
        float(
            subprocess.run([sys.executable, "-c", script], capture_output=True, check=True).stdout
        )
        for _ in range(3)
    )
    assert least < 0.3
