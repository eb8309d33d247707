"""What all commands share: errors, actions with examples, ``--json`` and ``--quiet``."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from typing import Any


class ArgumentError(ValueError):
    """An argument is not allowed; the message names it and says why."""


def describe(
    parser: argparse.ArgumentParser, examples: Sequence[str], common: bool = True
) -> argparse.ArgumentParser:
    """Give a command its examples, and ``--json`` and ``--quiet`` where it has none.

    Parameters
    ----------
    parser : ArgumentParser
    examples : sequence of str
        Command lines.
    common : bool
        False: examples only, for a command that has actions of its own.
    """
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    lines = "\n".join(f"  {example}" for example in examples)
    parser.epilog = f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}"
    there = parser._option_string_actions
    if common and "--json" not in there:
        parser.add_argument("--json", action="store_true", help="print JSON")
    if common and "--quiet" not in there:
        parser.add_argument("--quiet", action="store_true", help="no progress, no text")
    return parser


def add_actions(
    parser: argparse.ArgumentParser,
) -> Callable[..., argparse.ArgumentParser]:
    """Return what adds an action to a command: ``add(name, act, help, examples)``.

    The options of the action that was asked for have its function as ``act``.
    """
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(
        name: str,
        act: Callable[[argparse.Namespace], Any],
        text: str,
        examples: Sequence[str],
    ) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + "."
        )
        action.set_defaults(act=act)
        return describe(action, examples)

    return add
