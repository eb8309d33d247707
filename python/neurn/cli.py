"""The ``neurn`` command: argument parsing and calls, nothing else."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import neurn

OK, FAILURE, USAGE, INTERRUPTED = 0, 1, 2, 130

QUICK = {"seeds": 3, "epochs": 4}


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
        return int(options.call(options))
    except UsageError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return USAGE
    except KeyboardInterrupt:
        print(f"\n{name}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ImportError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return FAILURE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="neurn",
        description="Neural response normalization for images, comparison of architectures, "
        "alignment, and recordings of the mouse visual cortex.",
    )
    parser.add_argument("--version", action="version", version=f"neurn {neurn.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for add in (_add_demo, _add_align, _add_arch, _add_mouse, _add_study):
        add(commands)
    return parser


def _add_demo(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "demo",
        help="train on real digits with and without NeuRN and report on unseen domains",
        description="Train one small network on scikit-learn's digits with NeuRN, with a Sobel "
        "control and without either, test it on domains it never saw, and write a report.",
    )
    parser.add_argument(
        "--out", metavar="DIR", default="neurn-demo", help="output directory (default: %(default)s)"
    )
    parser.add_argument(
        "--seeds", metavar="N", type=_whole_number(2, 1000), help="number of seeds (default: 8)"
    )
    parser.add_argument(
        "--epochs", metavar="N", type=_whole_number(1, 1000), help="epochs each (default: 15)"
    )
    parser.add_argument(
        "--quick",
        action="store_true",
        help="3 seeds and 4 epochs unless given: shows that it works, no conclusions",
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--quiet", action="store_true", help="no progress, no table")
    parser.set_defaults(call=_demo)


def _demo(options: argparse.Namespace) -> int:
    from neurn import demo

    chosen = dict(QUICK) if options.quick else {}
    chosen |= {key: getattr(options, key) for key in QUICK if getattr(options, key) is not None}
    config = demo.DemoConfig(**chosen, quick=options.quick)
    try:
        report = demo.run(options.out, config, command=options.command_line, quiet=options.quiet)
    except demo.OutputError as error:
        raise UsageError(f"argument --out: {error}") from error
    if options.json:
        print(json.dumps(report.record, indent=1))
    elif not options.quiet:
        print(f"{report.text}\n\nReport: {report.page}")
    return OK


def _add_align(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from neurn.align import command

    parser = commands.add_parser(
        "align",
        help="align two sequences, or all pairs of a file, globally (Needleman-Wunsch)",
        description="Align two sequences of any tokens globally and print the best alignment, or "
        "score all pairs of a file. Exact for any length and scoring.",
    )
    command.add_arguments(parser)
    parser.set_defaults(call=partial(_run, command))


def _run(command: Any, options: argparse.Namespace) -> int:
    try:
        return int(command.run(options))
    except command.ArgumentError as error:
        raise UsageError(str(error)) from error


def _add_arch(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from neurn.arch import command

    parser = commands.add_parser(
        "arch",
        help="architectures: list and show them, compare two, or all of a set",
        description="Read models as sequences of layers and compare them. Known architectures "
        "need no package but this one.",
    )
    command.add_arguments(parser)
    parser.set_defaults(call=partial(_run, command))


def _add_mouse(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from neurn.mouse import command

    parser = commands.add_parser(
        "mouse",
        help="read, describe and represent recordings of the Allen Brain Observatory",
        description="List, fetch, inspect, describe, simulate and represent two-photon recordings "
        "of the Allen Brain Observatory (Visual Coding), and choose neurons of them.",
    )
    command.add_arguments(parser)
    parser.set_defaults(call=partial(_run, command))


def _add_study(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    from neurn.study import command

    parser = commands.add_parser(
        "study",
        help="run a whole study from one file, resume it, and report",
        description="Run the steps of the published framework from one file: recordings, "
        "representations, architectures and the rest, each kept and never done twice.",
    )
    command.add_arguments(parser)
    parser.set_defaults(call=partial(_run, command))


def _whole_number(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not allowed; give a whole number from {low} to {high}"
            )
        return value

    return parse


if __name__ == "__main__":
    sys.exit(main())
