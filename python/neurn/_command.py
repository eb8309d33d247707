"""What all commands share."""

from __future__ import annotations

import argparse
import json
import textwrap
from collections.abc import Callable, Sequence
from typing import Any


class ArgumentError(ValueError):
    """An argument is not allowed; the message names it and says why."""


def tell(options: argparse.Namespace, text: str = "", **facts: Any) -> None:
    """Print what there is to say: facts as a line of JSON with ``--json``, else text.

    Parameters
    ----------
    options : Namespace
        ``json`` and ``quiet`` of it are looked at.
    text : str
        Not printed where it is empty, or with ``--quiet``.
    **facts
        What JSON can write.
    """
    if options.json:
        print(json.dumps(facts), flush=True)
    elif text and not options.quiet:
        print(text, flush=True)


def add_actions(
    parser: argparse.ArgumentParser,
) -> Callable[[str, Callable[[argparse.Namespace], Any], str], argparse.ArgumentParser]:
    """Return what adds an action to a command: ``add(name, act, help)``.

    The options of the action that was asked for have its function as ``act``.
    """
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(
        name: str, act: Callable[[argparse.Namespace], Any], text: str
    ) -> argparse.ArgumentParser:
        action: argparse.ArgumentParser = actions.add_parser(
            name, help=text, description=text[0].upper() + text[1:] + "."
        )
        action.set_defaults(act=act)
        action.add_argument("--json", action="store_true", help="print JSON")
        action.add_argument("--quiet", action="store_true", help="no progress, no text")
        return action

    return add


def leaves(
    parser: argparse.ArgumentParser, path: tuple[str, ...] = ()
) -> list[tuple[str, argparse.ArgumentParser]]:
    """Return all commands below a parser that have no actions of their own, with their names."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return [
                leaf
                for name, child in action.choices.items()
                for leaf in leaves(child, (*path, name))
            ]
    return [(" ".join(path), parser)]


def add_examples(parser: argparse.ArgumentParser, examples: Sequence[str]) -> None:
    """Let the help of a command end with examples."""
    # Which breaks no lines, so that the examples stay as they are.
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = textwrap.fill(parser.description or "", 78)
    lines = "\n".join(f"  {example}" for example in examples)
    parser.epilog = f"{'example' if len(examples) == 1 else 'examples'}:\n{lines}"
