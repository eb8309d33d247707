"""The ``neurn`` command: argument parsing and calls, nothing else."""

from __future__ import annotations

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import neurn
from neurn._command import ArgumentError, add_examples, leaves
from neurn._optional import import_optional

# Module, line in the list of commands, and description.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": (
        "neurn.study.demo",
        "everything on embedded data, with a report, in minutes",
        "Run the embedded study: simulated recordings in the real file layout, real digits, small "
        "networks; every figure in one page. What is there already is kept.",
    ),
    "study": (
        "neurn.study.command",
        "run a whole study from one file, resume it, and report",
        "Run the steps of the published framework from one file: recordings, representations, "
        "architectures and the rest, each kept and never done twice.",
    ),
    "mouse": (
        "neurn.mouse.command",
        "recordings of the mouse visual cortex",
        "List, fetch, inspect, describe, simulate and represent two-photon recordings of the Allen "
        "Brain Observatory (Visual Coding), and choose neurons of them.",
    ),
    "arch": (
        "neurn.arch.command",
        "architectures: list, show, compare two or all of a set",
        "Read models as sequences of layers and compare them. Known architectures need no package "
        "but this one.",
    ),
    "align": (
        "neurn.align.command",
        "align sequences globally (Needleman-Wunsch)",
        "Align two sequences of any tokens globally and print the best alignment, or score all "
        "pairs of a file. Exact for any length and scoring.",
    ),
    "features": (
        "neurn.features.command",
        "activations of a model's layers for some images",
        "Write the activations of the layers of any torch model, with or without a front end. "
        "Nothing is downloaded: weights are random where no trained ones are here, and the result "
        "says so.",
    ),
    "compare": (
        "neurn.compare.command",
        "recordings against models, with and without NeuRN",
        "Compare neurons with the features of models, with and without a front end, beside noise "
        "ceilings, shuffles and baselines. A call that was stopped goes on where it was.",
    ),
    "generalize": (
        "neurn.generalize.command",
        "does NeuRN help a model on domains it has not seen?",
        "Train a model on a source domain behind several front ends, test it on target domains, "
        "and write tables, pictures and a page. What is in the output directory already is not "
        "computed again.",
    ),
    "bench": (
        "neurn.bench",
        "measure the kernels on this machine",
        "Measure the kernels on this machine, beside a copy of the same memory and beside what one "
        "would write without them. Ratios only: make bench in the repository measures more.",
    ),
    "doctor": (
        "neurn.doctor",
        "say what is installed, what works, and how to fix the rest",
        "Say versions, devices and what each extra would add; run the operators on something whose "
        "result is known. Exit code 1 where something does not work.",
    ),
}
# Of every command; a test parses them all.
EXAMPLES: dict[str, tuple[str, ...]] = {
    "demo": ("neurn demo", "neurn demo --out results --quick"),
    "align": (
        "neurn align CCMCCMCCC CCMCMCC",
        "neurn align --all sequences.fasta --out scores.csv",
    ),
    "arch list": ("neurn arch list --which published",),
    "arch show": ("neurn arch show VGG16", "neurn arch show mymodels:make_network"),
    "arch compare": ("neurn arch compare VGG16 VGG19 --html alignment.html",),
    "arch matrix": ("neurn arch matrix --out heatmap.png --cluster",),
    "mouse list": ("neurn mouse list --manifest manifest.json --areas VISp",),
    "mouse fetch": ("neurn mouse fetch 501498760 --out cache --dry-run",),
    "mouse inspect": ("neurn mouse inspect 501498760.nwb --plot neuron.png",),
    "mouse stats": ("neurn mouse stats a.nwb b.nwb --out neurons.csv --plots plots",),
    "mouse simulate": ("neurn mouse simulate --out simulated --neurons 50",),
    "mouse represent": ("neurn mouse represent a.nwb b.nwb --size 14 --out maps.nc",),
    "mouse select": ("neurn mouse select maps.nc --excitatory 50 --out chosen.csv",),
    "features": (
        "neurn features",
        "neurn features VGG16 --images a.nwb --reduce mean --out activity.npz",
    ),
    "compare": (
        "neurn compare --recordings a.nwb --models ResNet50 --metrics rmse rsa --out results",
    ),
    "generalize": ("neurn generalize --source digits --targets noise contrast=0.1 --out results",),
    "study init": ("neurn study init", "neurn study init mine.toml"),
    "study run": (
        "neurn study run study.toml --out results --dry-run",
        "neurn study run study.toml --out results",
    ),
    "study report": ("neurn study report results",),
    "doctor": ("neurn doctor", "neurn doctor --json"),
    "bench": ("neurn bench", "neurn bench --device cuda"),
    "completion": (
        "neurn completion bash > ~/.local/share/bash-completion/completions/neurn",
        "neurn completion zsh > ~/.zfunc/_neurn",
    ),
}
SHELLS = ("bash", "zsh", "tcsh")

OK, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130


class UsageError(Exception):
    """An argument that only the command itself can judge is not allowed."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the ``neurn`` command.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        0 done, 1 failed, 2 wrong usage, 130 interrupted.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    try:
        options = parser.parse_args(arguments)
    except SystemExit as leaving:  # argparse has printed help or the error
        return USAGE if leaving.code else OK
    options.command_line = shlex.join(["neurn", *arguments])
    name = f"neurn {options.command}"
    try:
        with _importing_from_here():
            return int(options.call(options))
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    except BrokenPipeError:  # the reader of a pipe, head for example, has what it wanted
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return FAILURE


@contextmanager
def _importing_from_here() -> Iterator[None]:
    """Let ``module:callable`` be a file of the current directory, as ``python -m neurn.cli`` does.

    Last, so that it hides nothing that is installed.
    """
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        yield
        return
    sys.path.append(here)
    try:
        yield
    finally:
        sys.path.remove(here)


class _Compact(argparse.HelpFormatter):
    """Puts what a command does beside its name, however long that is."""

    def __init__(self, prog: str, **settings: Any) -> None:
        super().__init__(prog, **settings)
        self._action_max_length = 4 + max(map(len, ("completion", *COMMANDS)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="neurn",
        description="NeuRN for images, and comparison of networks with the mouse visual cortex.",
        epilog="neurn COMMAND --help shows examples. Exit codes: 0 done, 1 failed, 2 misused.",
        formatter_class=_Compact,
    )
    parser.add_argument("--version", action="version", version=f"neurn {neurn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, (module, help_text, description) in COMMANDS.items():
        command = importlib.import_module(module)
        child = commands.add_parser(name, help=help_text, description=description)
        command.add_arguments(child)
        child.set_defaults(call=partial(_run, command))
    _add_completion(commands)
    for path, leaf in leaves(parser):
        add_examples(leaf, EXAMPLES.get(path, ()))
    return parser


def _add_completion(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "completion",
        help="print what makes a shell complete neurn's commands",
        description="Print a script that makes a shell complete neurn's commands and options.",
    )
    parser.add_argument("shell", choices=SHELLS)
    parser.set_defaults(call=_completion)


def _completion(options: argparse.Namespace) -> int:
    shtab = import_optional("shtab", "study")
    print(shtab.complete(_parser(), shell=options.shell))
    return OK


def _run(command: Any, options: argparse.Namespace) -> int:
    try:
        return int(command.run(options))
    except ArgumentError as error:
        raise UsageError(str(error)) from error


if __name__ == "__main__":
    sys.exit(main())
