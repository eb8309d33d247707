"""``neurn arch``: list, show, compare, matrix."""

from __future__ import annotations

import argparse
import importlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from neurn import align, arch
from neurn._command import ArgumentError, add_actions
from neurn._files import open_atomic, write_atomic
from neurn._optional import import_optional
from neurn.align import html
from neurn.align.command import Table, lines
from neurn.arch.files import SUFFIXES
from neurn.arch.plot import new_figure_axes
from neurn.arch.read import METHODS
from neurn.arch.similarity import SCORING, VALUES
from neurn.arch.vocabulary import UNKNOWN, VOCABULARIES

PICTURES = (".png", ".pdf", ".svg")
TABLES = (".csv", ".parquet", ".npz")
PAGES = (".html",)
SCORINGS: dict[str, align.Scoring | arch.Graded] = {
    "heatmap": SCORING,
    "matrices": align.Scoring(),
    "graded": arch.Graded(),
}

_MODEL = f"a name of the zoo, module:callable, or a file ({', '.join(SUFFIXES)})"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of ``neurn arch``."""
    add = add_actions(parser)
    each = add("list", _list, "list the names of the zoo, and what defines them")
    each.add_argument("--which", choices=arch.zoo.KINDS, default="all", help="default: all")

    show = add("show", _show, "print the layers of a model")
    show.add_argument("model", metavar="MODEL", help=_MODEL)
    _add_reading(show)

    compare = add("compare", _compare, "align two models, or print how alike several are")
    compare.add_argument("models", metavar="MODEL", nargs="+", help=f"two or more: {_MODEL}")
    _add_reading(compare)
    _add_scoring(compare)
    compare.add_argument(
        "--blocks", action="store_true", help="of two: stages and blocks in place of columns"
    )
    compare.add_argument(
        "--plot",
        metavar="FILE",
        help="draw two side by side, with whole blocks, or three in detail: layers and score "
        f"matrices ({', '.join(PICTURES)})",
    )
    compare.add_argument("--html", metavar="FILE", help="the same as a page")

    matrix = add("matrix", _matrix, "measure how alike all models of a set are")
    matrix.add_argument(
        "--models",
        metavar="MODEL",
        nargs="+",
        help=f"or one of {', '.join(arch.zoo.KINDS)}; default: published, the 44 architectures",
    )
    _add_reading(matrix)
    _add_scoring(matrix)
    matrix.add_argument("--what", choices=VALUES, default="index", help="default: index")
    matrix.add_argument(
        "--oddities",
        action="store_true",
        help="the published set exactly as the published heatmap shows it",
    )
    matrix.add_argument("--cluster", action="store_true", help="pictures: like ones side by side")
    matrix.add_argument(
        "--out",
        metavar="FILE",
        help=f"write {', '.join((*TABLES, *PICTURES, *PAGES))}; CSV is printed otherwise",
    )
    matrix.add_argument("--threads", metavar="N", type=int, help="default: one for each core")


def _add_reading(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--vocabulary", choices=[*VOCABULARIES], default="canonical", help="default: canonical"
    )
    parser.add_argument("--method", choices=METHODS, default="auto", help="of torch models")
    parser.add_argument(
        "--input", metavar="SHAPE", type=_shape, help="of torch models: 1,3,224,224"
    )
    parser.add_argument("--unknown", choices=UNKNOWN, help="what becomes of unknown layers")


def _add_scoring(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scoring",
        choices=[*SCORINGS],
        help="heatmap: 2, -1, gap -0.5 (default); matrices: 1, -2, -2, the published matrices' "
        "(default of three in detail); graded: by kernel, stride, groups and width too",
    )


def run(options: argparse.Namespace) -> int:
    """Do what the arguments say and return 0.

    Raises
    ------
    ArgumentError
        If they do not go together, or a model cannot be read.
    """
    try:
        options.act(options)
    except (ValueError, TypeError, FileNotFoundError) as error:
        raise ArgumentError(str(error)) from error
    return 0


def _list(options: argparse.Namespace) -> None:
    names = arch.zoo.names(options.which)
    if options.json:
        print(json.dumps({name: arch.zoo.provenance(name) for name in names}, indent=1))
        return
    width = max(map(len, names))
    for name in () if options.quiet else names:
        made = arch.zoo.provenance(name)
        version = f" {made['version']}" if made["version"] else ""
        print(f"{name:<{width}}  {made['package']}{version}")


def _show(options: argparse.Namespace) -> None:
    found = arch.sequence(_model("MODEL", options.model), **_reading(options))
    if options.json:
        layers = [
            {
                **{"token": token, "name": layer.name, "class": layer.module or layer.kind},
                **{"kind": layer.kind, "parameters": dict(layer.parameters)},
                "shape": layer.shape,
            }
            for token, layer in zip(found.tokens, found.layers, strict=True)
        ]
        print(json.dumps({"source": found.source, "layers": layers}))
    if options.json or options.quiet:
        return
    # Kernel, stride, groups and width stand behind a token, where it does not tell them itself.
    told = 0.0 if found.vocabulary.detail else 0.5
    texts = arch.Graded(kernel=told, stride=told, groups=told).tokens(found)
    rows = [
        (text, layer.module or layer.kind, "x".join(map(str, layer.shape or ())), layer.name)
        for text, layer in zip(texts, found.layers, strict=True)
    ]
    widths = [max((len(row[i]) for row in rows), default=0) for i in range(3)]
    for row in rows:
        print("  ".join([*(f"{text:<{w}}" for text, w in zip(row, widths, strict=False)), row[3]]))
    counts = ", ".join(f"{count} {token}" for token, count in found.counts().items())
    print(f"{len(found)} layers ({found.source}): {counts}")
    if found.dropped:
        left = ", ".join(f"{count} {kind}" for kind, count in found.dropped.items())
        print(f"left out, not in the vocabulary: {left}")


def _compare(options: argparse.Namespace) -> None:
    count = len(options.models)
    if count < 2:
        raise ArgumentError("argument MODEL: give two models or more, got 1")
    for name, most in (("html", 3), ("plot", 3), ("blocks", 2)):
        if getattr(options, name) and count > most:
            few = "two models" if most == 2 else "two or three models"
            raise ArgumentError(f"argument --{name}: is for {few}, got {count}")
    if options.plot is not None and Path(options.plot).suffix.lower() not in PICTURES:
        raise ArgumentError(
            f"argument --plot: must end in {', '.join(PICTURES)}, got {options.plot!r}"
        )
    found = _similarity(options, options.models)
    if count > 2:
        if count == 3:
            _zoom(options, found)
        table = Table(list(found.names), "index", found.index)
        if options.json:
            print(json.dumps({"names": found.names, "index": found.index.tolist()}))
        elif not options.quiet:
            table.write_csv(sys.stdout)
        return
    a, b = found.names
    if options.blocks or options.plot or options.html:
        first, second = found.sequences
        blocks = arch.align_blocks(first, second, found.scoring, names=(a, b))
        if options.html is not None:
            write_atomic(Path(options.html), blocks.to_html())
        if options.plot is not None:
            _save(blocks.plot(_new_figure()), options.plot)
    alignment = blocks.alignment if options.blocks else found.align(a, b)
    if options.json:
        print(alignment.to_json())
    elif not options.quiet:
        print(blocks if options.blocks else f"a: {a}\nb: {b}\n{alignment}")


def _zoom(options: argparse.Namespace, found: arch.Similarity) -> None:
    if options.plot is None and options.html is None:
        return
    models = dict(zip(found.names, found.sequences, strict=True))
    scoring = SCORINGS[options.scoring or "matrices"]
    figure = arch.zoom(models, found.vocabulary, scoring=scoring, figure=_new_figure())
    if options.plot is not None:
        _save(figure, options.plot)
    if options.html is not None:
        _save_page(figure, options.html, ", ".join(found.names))


def _new_figure() -> Any:
    # Made without pyplot: no window system.
    return import_optional("matplotlib.figure", "arch").Figure()


def _save(figure: Any, path: str) -> None:
    with open_atomic(Path(path)) as file:
        figure.savefig(file, format=Path(path).suffix.lower()[1:], dpi=200)


def _save_page(figure: Any, path: str, title: str) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="svg")
    svg = picture.getvalue().decode()
    # As wide as it is: what does not fit is scrolled, not shrunk until it cannot be read.
    style = "<style>body { overflow-x: auto; } svg { max-width: none; }</style>\n"
    write_atomic(Path(path), html.page(style + svg[svg.index("<svg") :], title))


def _matrix(options: argparse.Namespace) -> None:
    suffix = "" if options.out is None else Path(options.out).suffix.lower()
    allowed = (*TABLES, *PICTURES, *PAGES)
    if options.out is not None and suffix not in allowed:
        raise ArgumentError(
            f"argument --out: must end in {', '.join(allowed)}, got {options.out!r}"
        )
    if suffix == ".parquet":
        import_optional("pyarrow", "parquet")
    progress = not (options.quiet or options.json) and (sys.stderr.isatty() or lines(sys.stderr))
    models: Any = options.models or ["published"]
    if len(models) == 1 and models[0] in arch.zoo.KINDS:
        models = models[0]
    found = _similarity(
        options,
        models,
        oddities=options.oddities,
        threads=options.threads,
        progress=progress,
    )
    table = Table(list(found.names), options.what, found.values(options.what))
    if options.json:
        values = found.values(options.what).tolist()
        print(json.dumps({"names": found.names, options.what: values, "written": options.out}))
    elif options.out is None and not options.quiet:
        table.write_csv(sys.stdout)
    if options.out is None:
        return
    if suffix in TABLES:
        table.write(Path(options.out))
    else:
        axes = new_figure_axes(found, options.cluster)
        found.plot(axes, what=options.what, dendrogram=options.cluster)
        if suffix in PICTURES:
            _save(axes.figure, options.out)
        else:
            title = f"{len(found.names)} architectures: {options.what}"
            _save_page(axes.figure, options.out, title)


def _similarity(options: argparse.Namespace, models: Any, **more: Any) -> arch.Similarity:
    if not isinstance(models, str):
        repeated = {text for text in models if models.count(text) > 1}
        if repeated:
            raise ArgumentError(f"argument MODEL: got {min(repeated)!r} twice")
        models = {text: _model("MODEL", text) for text in models}
    scoring = SCORINGS[options.scoring or "heatmap"]
    return arch.similarity(models, scoring=scoring, **_reading(options), **more)


def _reading(options: argparse.Namespace) -> dict[str, Any]:
    names = ("vocabulary", "method", "input", "unknown")
    return {name: getattr(options, name) for name in names}


def _model(argument: str, text: str) -> Any:
    """Return what an argument speaks of: a name or a file as it is, a callable's model."""
    module, colon, name = text.partition(":")
    if not colon:
        if Path(text).suffix and text not in arch.zoo.names():
            return Path(text)
        return text
    try:
        call = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ArgumentError(f"argument {argument}: {text!r} cannot be imported: {error}") from error
    try:
        return call()
    except Exception as error:  # a model's own code may raise anything
        raise ArgumentError(
            f"argument {argument}: {text!r} cannot be called without arguments: {error}"
        ) from error


def _shape(text: str) -> tuple[int, ...]:
    return tuple(int(side) for side in text.split(","))


_shape.__name__ = "shape"  # argparse: invalid shape value
