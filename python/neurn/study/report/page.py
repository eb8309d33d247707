"""The page: one HTML file that needs nothing else, readable on a phone and in print."""

from __future__ import annotations

import base64
import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from numbers import Real
from string import Template
from typing import Any

from neurn.study.report.parts import Figure, Section, Table

_STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1rem 1rem 3rem; color: #1b1b1f;
  background: #fff; font: 1rem/1.55 Georgia, "DejaVu Serif", serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 1rem 0 .3rem; }
h2 { font-size: 1.3rem; margin: 2.6rem 0 .6rem; border-bottom: 1px solid #ddd; }
h3 { font-size: 1.05rem; margin: 1.8rem 0 .5rem; }
a { color: #5b3a8e; }
nav ol { display: flex; flex-wrap: wrap; gap: .2rem 1.6rem; padding: 0; margin: .8rem 0;
  list-style: none; }
.meta, figcaption, .files { color: #55555c; font-size: .88rem; }
.box { background: #f7f3f9; border-left: 4px solid #6a176e; padding: .6rem 1rem; margin: 1rem 0; }
.box p { margin: .3rem 0; }
.box ul { margin: .3rem 0; padding-left: 1.2rem; }
.box.warn { background: #fff5e8; border-color: #e8760a; }
figure { margin: 0 0 1.2rem; }
.parts { display: flex; flex-wrap: wrap; gap: 0 2rem; }
.part { flex: 1 1 100%; min-width: 0; } .part.small { flex: 1 1 20rem; }
img { display: block; max-width: 100%; height: auto; margin: 0 auto .5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; margin: .5rem 0 .6rem; font-size: .88rem;
  font-variant-numeric: tabular-nums; }
th, td { border-bottom: 1px solid #ddd; padding: .3rem .7rem .3rem 0; text-align: right;
  vertical-align: top; white-space: nowrap; }
th:first-child, .text { text-align: left; }
tbody th { font-weight: normal; }
pre { overflow-x: auto; font-size: .8rem; background: #f6f6f6; padding: .6rem; }
code { font-size: .88em; overflow-wrap: anywhere; }
@media (max-width: 40rem) {
  body { font-size: .97rem; padding: .5rem .8rem 2rem; }
  .scroll.wide img { max-width: none; width: 44rem; }
}
@media print {
  .scroll { overflow: visible; } h2 { break-before: page; } figure { break-inside: avoid; }
}
"""

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<style>$style</style>
</head>
<body>
<header>
<h1>$title</h1>
<p class="meta">Made by <code>$command</code>, $written. neurn $version.</p>
$notes
<nav aria-label="Sections"><ol>
$contents
</ol></nav>
</header>
<main>
$findings
$sections
<section id="provenance">
<h2>Provenance</h2>
<p>Every result lies under <code>cache/</code> with a record of its parameters, inputs, versions and
the digest of each file. Figures are in <code>figures/</code> as PNG and SVG, tables in
<code>tables/</code> as CSV; <code>study.log</code> tells how the run went.</p>
<div class="scroll">$items</div>
<details><summary>Settings and versions</summary>
<pre>$provenance</pre>
</details>
</section>
</main>
</body>
</html>
""")


def make_page(
    about: Mapping[str, Any],
    notes: Sequence[str],
    sections: Sequence[Section],
    pictures: Mapping[str, tuple[bytes, tuple[int, int]]],
    formats: Sequence[str],
) -> str:
    """Assemble the page.

    Parameters
    ----------
    about : mapping
        Of the study, as `neurn.study.store.Store.read_study` returns it.
    notes : sequence of str
        Warnings for the top: what is simulated, what is missing.
    sections : sequence of Section
    pictures : mapping of str to (bytes, (int, int))
        PNG of each figure by name, with its width and height in CSS pixels.
    formats : sequence of str
        In which pictures lie beside the page.

    Returns
    -------
    str
        HTML without any reference to another file but links to the study's own.
    """
    findings = [finding for section in sections for finding in section.findings]
    listed = "".join(f"<li>{_typeset(finding)}</li>" for finding in findings)
    contents = [(s.name, s.title) for s in sections] + [("provenance", "Provenance")]
    kept = {key: about[key] for key in ("versions", "platform", "settings")}
    return _PAGE.substitute(
        style=_STYLE,
        title=escape(about["title"]),
        command=escape(about["command"] or "neurn.study"),
        written=escape(about["written"].replace("T", " ").replace("+00:00", " UTC")),
        version=escape(about["versions"]["neurn"]),
        notes="\n".join(f'<div class="box warn"><p>{_typeset(note)}</p></div>' for note in notes),
        contents="\n".join(
            f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title in contents
        ),
        findings=f'<div class="box"><p><b>In short</b></p><ul>{listed}</ul></div>'
        if findings
        else "",
        sections="\n".join(_section(section, pictures, formats) for section in sections),
        items=_items(about),
        provenance=escape(json.dumps(kept, indent=1)),
    )


def _section(section: Section, pictures: Mapping[str, Any], formats: Sequence[str]) -> str:
    parts = "\n".join(
        _figure(part, pictures[part.name], formats) if isinstance(part, Figure) else _table(part)
        for part in section.parts
    )
    return (
        f'<section id="{section.name}">\n<h2>{escape(section.title)}</h2>\n'
        f'<p>{_typeset(section.intro)}</p>\n<div class="parts">\n{parts}\n</div>\n</section>'
    )


def _figure(part: Figure, picture: tuple[bytes, tuple[int, int]], formats: Sequence[str]) -> str:
    png, size = picture
    files = [f"figures/{part.name}.{kind}" for kind in formats]
    if part.data is not None:
        files.append(f"tables/{part.name}.csv")
    uri = "data:image/png;base64," + base64.b64encode(png).decode("ascii")
    # Tables, scatters and drawings that are wide are scrolled on a phone rather than made tiny.
    wide = " wide" if size[0] > 560 else ""
    small = " small" if size[0] < 460 else ""
    # A click shows it as large as it is.
    large = next((file for file in files if file.endswith((".svg", ".png", ".pdf"))), "")
    before, after = (f'<a href="{large}">', "</a>") if large else ("", "")
    return (
        f'<div class="part{small}">\n<h3 id="{part.name}">{escape(part.title)}</h3>\n<figure>\n'
        f'<div class="scroll{wide}" tabindex="0" role="group" aria-label="{escape(part.title)}">'
        f'{before}<img src="{uri}" width="{size[0]}" height="{size[1]}" '
        f'alt="{escape(part.alt)}">{after}</div>\n'
        f"<figcaption>{_typeset(part.caption)} {_files(files)}</figcaption>\n</figure>\n</div>"
    )


def _table(part: Table) -> str:
    frame = part.frame if part.columns is None else part.frame[list(part.columns)]
    more = len(frame) - part.lines
    note = f" The first {part.lines} of {len(frame)} lines." if more > 0 else ""
    # As many decimals in all of a column.
    decimals = [_decimals(frame[name]) for name in frame.columns]
    head = "".join(
        f'<th scope="col"{_kind(frame[name])}>{_typeset(_words(name))}</th>'
        for name in frame.columns
    )
    rows = "\n".join(
        "<tr>"
        + "".join(
            _cell(value, place == 0, places)
            for place, (value, places) in enumerate(zip(line, decimals, strict=True))
        )
        + "</tr>"
        for line in frame.head(part.lines).itertuples(index=False)
    )
    return (
        f'<div class="part">\n<h3 id="{part.name}">{escape(part.title)}</h3>\n<figure>\n'
        f"<figcaption>{_typeset(part.caption)}{note} {_files([f'tables/{part.name}.csv'])}"
        f'</figcaption>\n<div class="scroll" tabindex="0" role="group" '
        f'aria-label="{escape(part.title)}"><table aria-labelledby="{part.name}">\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>\n"
        "</figure>\n</div>"
    )


def _kind(column: Any) -> str:
    numbers = all(isinstance(value, Real) and not isinstance(value, bool) for value in column)
    return "" if numbers else ' class="text"'


def _files(files: Sequence[str]) -> str:
    links = (f'<a href="{file}">{file.rpartition(".")[2].upper()}</a>' for file in files)
    return f'<span class="files">[{", ".join(links)}]</span>'


def _words(name: object) -> str:
    return str(name).replace("_", " ")


def _decimals(column: Any) -> int:
    """Return how many decimals show three digits of the largest number of a column."""
    sizes = [
        abs(float(value))
        for value in column
        if isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)
    ]
    if not sizes or all(size.is_integer() for size in sizes):
        return 0
    # Just below: 1 is the largest of probabilities and shares, which get three decimals.
    return min(max(2 - math.floor(math.log10(0.999 * max(sizes))), 0), 6)


def _cell(value: Any, first: bool, decimals: int) -> str:
    if isinstance(value, Real) and not isinstance(value, bool):
        text = _number(value, decimals)
        return f'<th scope="row">{text}</th>' if first else f"<td>{text}</td>"
    text = _typeset(str(value))
    return f'<th scope="row">{text}</th>' if first else f'<td class="text">{text}</td>'


def _number(value: Any, decimals: int) -> str:
    if not math.isfinite(value):
        return "&ndash;"
    text = f"{value:,.{decimals}f}"
    text = text.removeprefix("-") if not float(text.replace(",", "")) else text  # no "-0.00"
    return text.replace("-", "&minus;")


def _items(about: Mapping[str, Any]) -> str:
    titles = {stage["name"]: stage["title"] for stage in about["stages"]}
    rows = []
    for name, title in titles.items():
        items = [item for item in about["items"] if item["stage"] == name]
        done = [item for item in items if item["status"] in ("done", "kept")]
        seconds = sum(item["seconds"] for item in done)
        failed = [i["name"] for i in items if i["status"] in ("failed", "skipped")]
        words = ", ".join(failed[:3]) + (", ..." if len(failed) > 3 else "")
        rows.append(
            f'<tr><th scope="row">{escape(title)}</th><td>{len(items)}</td><td>{len(done)}</td>'
            f'<td>{seconds:.1f} s</td><td class="text">{escape(words) or "&ndash;"}</td></tr>'
        )
    return (
        '<table><thead><tr><th scope="col">stage</th><th scope="col">items</th>'
        '<th scope="col">there</th><th scope="col">time</th>'
        f'<th scope="col">failed</th></tr></thead><tbody>{"".join(rows)}</tbody></table>'
    )


def _typeset(text: str) -> str:
    """Escape text, make minus signs of hyphens, link papers, keep intervals on one line."""
    safe = re.sub(r"(?<![\w.-])-(?=\d)|(?<= )-(?= )", "&minus;", escape(text, quote=False))
    safe = re.sub(r"arXiv:(\d{4}\.\d{5})", r'<a href="https://arxiv.org/abs/\1">arXiv:\1</a>', safe)
    safe = safe.replace("T^T ", "T<sup>T</sup>&thinsp;").replace("F_S", "F<sub>S</sub>")
    return re.sub(r" ?\[[^\]]*\]", lambda found: found[0].replace(" ", "&nbsp;"), safe)
