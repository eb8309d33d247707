"""Write the figures and tables of docs/generalization.md from its runs.csv.

Usage: python scripts/generalization.py [RESULTS ...]

RESULTS are output directories of ``neurn generalize --config docs/generalization/study.toml``, or
of a file with some of its sweeps; their runs are taken into docs/generalization first, in place of
runs of the same model, seed, front end and domain.
"""

from __future__ import annotations

import csv
import io
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from neurn._files import write_atomic
from neurn.generalize import Results
from neurn.generalize.figures import draw_curves, draw_differences, to_png
from neurn.generalize.report import known_info
from neurn.generalize.statistics import holm
from neurn.generalize.summary import percent, points, summarize
from neurn.generalize.tables import markdown, summary_csv
from neurn.generalize.variants import title

ROOT = Path(__file__).parents[1] / "docs"
STUDY = ROOT / "generalization"
PAGE = ROOT / "generalization.md"
REAL = ("mnist", "mnistm", "chars74k_img", "usps", "chars74k_fnt")
NO_DATA = ("svhn", "syn")
RUN = ("model", "source", "seed", "front_end", "domain")
ROW = ("model", "source", "domain", "front_end", "baseline")


def main(arguments: list[str]) -> int:
    for folder in arguments:
        take_in(Path(folder))
    results = read()
    for name, figure in figures(results).items():
        write_atomic(STUDY / name, to_png(figure, dpi=150))
    write_atomic(PAGE, filled(PAGE.read_text(), tables(results)))
    return 0


def take_in(folder: Path) -> None:
    """Join an output directory's runs to those of the study, and summarize anew."""
    fresh = _lines(folder / "runs.csv", RUN)
    runs = _lines(STUDY / "runs.csv", RUN) | fresh
    write_atomic(STUDY / "runs.csv", _csv(runs.values()))
    changed = {(line["model"], line["front_end"]) for line in fresh.values()}
    known = {
        key: line
        for key, line in _lines(STUDY / "summary.csv", ROW).items()
        if not changed & {(line["model"], line["front_end"]), (line["model"], line["baseline"])}
    }
    known |= _lines(folder / "summary.csv", ROW)
    made = list(csv.DictReader(io.StringIO(summary_csv(summarize(read())))))
    for line in made:  # runs.csv does not hold single images, which these are made of
        kept = known.get(tuple(line[name] for name in ROW), {})
        line["p_images"] = kept.get("p_images", "")
    _adjust(made)
    write_atomic(STUDY / "summary.csv", _csv(made))


def _adjust(lines: list[dict[str, str]]) -> None:
    """Adjust the p values over images for the number of domains, as `summarize` does."""
    tested: dict[tuple[str, ...], list[dict[str, str]]] = {}
    for line in lines:
        if line["p_images"]:
            key = tuple(line[name] for name in ("model", "source", "front_end", "baseline"))
            tested.setdefault(key, []).append(line)
    for group in tested.values():
        adjusted = holm([float(line["p_images"]) for line in group])
        for line, p in zip(group, adjusted, strict=True):
            line["p_images_holm"] = repr(p)


def _lines(path: Path, key: tuple[str, ...]) -> dict[tuple[str, ...], dict[str, str]]:
    with path.open() as file:
        return {tuple(line[name] for name in key): line for line in csv.DictReader(file)}


def _csv(lines: Iterable[Mapping[str, str]]) -> str:
    lines = list(lines)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(lines[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return text.getvalue()


def read() -> Results:
    found = Results.read_csv(STUDY / "runs.csv")
    return replace(found, info=known_info((*found.domains, *NO_DATA)))


def figures(results: Results) -> dict:
    lenet = results.select("lenet")
    titles = {name: lenet.title(name) for name in lenet.domains}
    wide = [("neurn", "none"), ("sobel", "none")]
    return {
        "differences.png": draw_differences(summarize(lenet, wide), titles),
        "curves.png": draw_curves(results.select("lenet_curves"), ("none", "neurn", "sobel")),
    }


def tables(results: Results) -> dict[str, str]:
    """Return the tables of the page in Markdown, by the name of their markers."""
    made = {}
    few = (*REAL, "invert", "contrast=0.1+noise=0.02")
    lenet = results.select("lenet")
    titles = {name: lenet.title(name) for name in lenet.domains}
    shown = ("none", "neurn", "sobel")
    absent = {name: results.title(name) for name in NO_DATA}
    made["lenet"] = _accuracies_and_differences(lenet, {**titles, **absent}, shown)
    digit = results.select("digit_net")
    made["digit_net"] = _accuracies_and_differences(digit, _titles(digit, REAL), ("none", "neurn"))
    if "lenet_long" in results.models:
        long = results.select("lenet_long")
        # Its fonts were of six digits only, and are left out until it is measured anew.
        measured = [name for name in few if name in long.domains]
        names = _titles(long, tuple(measured))
        made["lenet_long"] = _accuracies_and_differences(long, names, ("none", "neurn"))
    rows = [["Front end", *(_titles(lenet, few)[name] for name in few)]]
    for name in lenet.front_ends:
        found = [lenet.accuracy(name, domain) for domain in few]
        rows.append([title(name), *(f"{100 * each.mean:.1f}" for each in found)])
    made["variants"] = markdown(rows)
    rows = [["Model", "Seeds", "Front end", *(results.title(name) for name in REAL)]]
    for model in results.models:
        if model.startswith(("lenet", "digit_net")):
            continue
        part = results.select(model)
        if len(part.front_ends) < 2:
            continue
        seeds = str(len(part.pairs("neurn", "none", "mnistm")))
        for name in part.front_ends:
            means = [part.accuracy(name, domain).mean for domain in REAL]
            rows.append([model, seeds, title(name), *(f"{100 * mean:.1f}" for mean in means)])
    made["larger"] = markdown(rows) if len(rows) > 1 else "Not run yet.\n"
    return made


def _titles(part: Results, names: tuple[str, ...]) -> dict[str, str]:
    return {name: part.title(name) for name in names}


def _accuracies_and_differences(
    part: Results, titles: dict[str, str], names: tuple[str, ...]
) -> str:
    first, *others = names
    header = ["Domain", *map(title, names), *(f"{title(n)} - {title(first)}" for n in others)]
    p_values = _p_values(part.models[0])
    rows = [[*header, "p (seeds)", "p (images)"]]
    for domain, heading in titles.items():
        accuracies = [percent(part.accuracy(name, domain)).partition(" [")[0] for name in names]
        differences = [points(part.difference(name, first, domain)) for name in others]
        rows.append([heading, *accuracies, *differences, *p_values.get(domain, ("", ""))])
    return markdown(rows)


def _p_values(model: str) -> dict[str, tuple[str, str]]:
    """Return adjusted p values of NeuRN against nothing: single images are not in runs.csv."""
    found = {}
    with (STUDY / "summary.csv").open() as file:
        for line in csv.DictReader(file):
            if (line["model"], line["front_end"], line["baseline"]) == (model, "neurn", "none"):
                found[line["domain"]] = (_p(line["p_seeds_holm"]), _p(line["p_images_holm"]))
    return found


def _p(text: str) -> str:
    return "" if not text else "<0.001" if float(text) < 0.001 else f"{float(text):.3f}"


def filled(page: str, made: dict[str, str]) -> str:
    """Put each table between its markers."""
    for name, table in made.items():
        begin, end = f"<!-- begin {name} -->\n", f"<!-- end {name} -->"
        page = re.sub(
            re.escape(begin) + ".*?" + re.escape(end),
            lambda _, table=table, begin=begin, end=end: f"{begin}\n{table}\n{end}",
            page,
            flags=re.DOTALL,
        )
    return page


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
