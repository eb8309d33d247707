"""Parts of pages: one HTML file that needs nothing else, readable on a phone and in print."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from html import escape

STYLE = """
:root { color-scheme: light; }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 58rem; padding: 1rem 1rem 3rem; color: #1b1b1f;
  background: #fff; font: 1rem/1.55 Georgia, "DejaVu Serif", serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 1rem 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; border-bottom: 1px solid #ddd; }
.meta, figcaption, caption, .note { color: #55555c; font-size: .88rem; }
.box { background: #f7f3f9; border-left: 4px solid #6a176e; padding: .6rem 1rem; }
.box p { margin: .5rem 0 0; }
.box ul { margin: 0; padding-left: 1.2rem; }
.box.warn { background: #fff5e8; border-color: #e8760a; }
figure { margin: 0 0 1.4rem; }
img { display: block; max-width: 100%; height: auto; }
.gallery { display: grid; grid-template-columns: repeat(auto-fit, minmax(19rem, 1fr));
  gap: 1rem 1.6rem; }
.gallery figure { margin: 0; }
.chart img { max-width: 40rem; width: 100%; margin: 0 auto; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; margin: 0 0 1.4rem;
  font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; }
th, td { border-bottom: 1px solid #ddd; padding: .35rem .4rem; text-align: right;
  vertical-align: top; }
th:first-child { text-align: left; }
tbody th { font-weight: normal; }
td small { display: block; color: #55555c; white-space: nowrap; }
td.higher, td.lower { font-weight: bold; }
td.higher small, td.lower small { font-weight: normal; }
td.higher { background: #f3e9f4; } td.lower { background: #fdebd8; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; }
dt { color: #55555c; } dd { margin: 0; overflow-wrap: anywhere; }
pre { overflow-x: auto; font-size: .8rem; background: #f6f6f6; padding: .6rem; }
code { font-size: .88em; overflow-wrap: anywhere; }
@media (max-width: 36rem) {
  body { font-size: .95rem; padding: .5rem .7rem 2rem; }
  th, td { padding: .3rem .15rem; font-size: .8rem; }
  td small { font-size: .66rem; letter-spacing: -.02em; }
  dl { grid-template-columns: 1fr; } dd { margin-bottom: .4rem; }
}
"""


def table(
    lines: Sequence[Sequence[str]], caption: str, classes: Sequence[str] | None = None
) -> str:
    """Make a table; `classes` names the CSS class of every cell, line by line."""
    header, *body = lines
    marks = iter(classes or [""] * sum(len(line) - 1 for line in body))
    head = "".join(f'<th scope="col">{typeset(cell)}</th>' for cell in header)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(line[0])}</th>'
        + "".join(f'<td class="{next(marks)}">{_cell(cell)}</td>' for cell in line[1:])
        + "</tr>"
        for line in body
    )
    return (
        f'<div class="scroll"><table><caption>{escape(caption)}</caption>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _cell(text: str) -> str:
    mean, bracket, interval = text.partition(" [")
    if not bracket:
        return typeset(text)
    return f"{typeset(mean)} <small>{typeset(bracket[1:] + interval)}</small>"


def typeset(text: str) -> str:
    """Escape text; make minus signs of hyphens and keep intervals on one line."""
    signed = re.sub(r"-(?=\d)|(?<= )-(?= )", "&minus;", escape(text))
    return re.sub(r" ?\[[^\]]*\]", lambda interval: interval[0].replace(" ", "&nbsp;"), signed)


def data_uri(png: bytes) -> str:
    """Return a PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
