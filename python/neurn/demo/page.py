"""The report: one HTML file that needs nothing else, readable on a phone and in print."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Sequence
from html import escape
from string import Template
from typing import Any

from neurn.demo.figures import EXAMPLES, Example

_STYLE = """
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

_PAGE = Template("""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>NeuRN on unseen domains</title>
<style>$style</style>
</head>
<body>
<h1>NeuRN on unseen domains</h1>
<p class="meta">Real handwritten digits, one small network, $n_seeds seeds.
Made by <code>$command</code>, $created.</p>
$warning
<div class="box">
<p><strong>What was found</strong> (accuracy differences in percentage points, 95&nbsp;% intervals
over $n_seeds seeds; a claim is made only where the interval excludes 0):</p>
$findings
</div>
<p>The NeuRN layer replaces each pixel by the standard deviation of the 3&nbsp;x&nbsp;3 patch around
it, divided by the largest such value in the image
(<a href="https://arxiv.org/abs/2505.06881">arXiv:2505.06881</a>). It has no weights. The same
network was trained on clean digits only, with this layer before it, without it, and with an edge
map (Sobel magnitude divided by its maximum) in its place as a control; then it was tested on
digits from domains it had never seen.</p>

<h2>What the network sees</h2>
<p class="note">The first $n_examples images of the data set in every domain, and the output of the
NeuRN layer below ($neurn). Grey images: shown from black (0) to white (255), maps in the inferno
scale from black (0) to yellow (1). Colour images: images and maps in RGB.</p>
<div class="gallery">
$gallery
</div>

<h2>Accuracy</h2>
$accuracy_table
$difference_table
<figure class="chart">
<img src="$chart" alt="$chart_alt">
<figcaption>Accuracy difference to the same network without a front end: mean and 95&nbsp;% t
interval over $n_seeds seeds, paired by seed, $n_test test images per seed and domain. Filled mark:
the interval excludes 0; open mark: it does not.</figcaption>
</figure>
<p class="note">Inversion and low contrast only rescale the grey values, a x + b; NeuRN and the
Sobel control do not respond to that by construction, up to rounding to 8 bits. Those two rows
confirm a property of the layers; the others test it. The intervals describe $n_seeds draws of
split, initial weights, batch order and target images from one set of $n_data digits. Test sets of
different seeds overlap, so for new digits the intervals are somewhat too narrow. They are not
adjusted for the number of comparisons.</p>

<h2>How it was measured</h2>
<dl>
<dt>Source</dt><dd>$n_data handwritten digits (scikit-learn <code>load_digits</code>), 8 x 8
enlarged to 32 x 32 pixels, bilinear, 8 bits, three equal channels.</dd>
<dt>Split</dt><dd>$n_train training, $n_validation validation, $n_test test images; $split_rule.
</dd>
<dt>Targets</dt><dd>Made from the test images of the same seed only. Photographs: scikit-learn's
china.jpg and flower.jpg. Target images and labels play no part in training or selection.</dd>
<dt>Network</dt><dd>LeNet-5 with rectifiers and max pooling, $parameters weights, float32.</dd>
<dt>Training</dt><dd>Adam, learning rate $learning_rate (chosen by source validation accuracy),
batches of $batch_size, $epochs, no augmentation. Kept: $selection.</dd>
<dt>Pairing</dt><dd>For a given seed all front ends share split, initial weights, batch order and
test images.</dd>
<dt>Intervals</dt><dd>$interval.</dd>
</dl>

<h2>Provenance</h2>
<p>Beside this page: <code>runs.csv</code> (accuracy of every run), <code>summary.csv</code> (the
tables above), <code>results.json</code> (all of it with versions and data hashes) and both figures
as PNG.</p>
<details><summary>Command, versions, machine, data</summary>
<pre>$provenance</pre>
</details>
</body>
</html>
""")


def make_page(
    record: dict[str, Any],
    accuracy: Sequence[Sequence[str]],
    difference: Sequence[Sequence[str]],
    chart: bytes,
    gallery: Sequence[tuple[Example, bytes]],
) -> str:
    """Assemble the HTML report.

    Parameters
    ----------
    record : dict
        From `neurn.demo.record.make_record`.
    accuracy, difference : sequence of sequence of str
        Tables with a header line, from `neurn.demo.tables`.
    chart : bytes
        PNG of the accuracy differences.
    gallery : sequence of (Example, bytes)
        Each domain's images with a PNG of them.

    Returns
    -------
    str
        HTML without any reference to another file, except links to papers.
    """
    protocol = record["protocol"]
    split, training = protocol["split"], protocol["training"]
    n_seeds = len(protocol["seeds"])
    epochs = "1 epoch" if training["epochs"] == 1 else f"{training['epochs']} epochs"
    warning = (
        f'<p class="box warn">Quick run: {n_seeds} seeds, {epochs}. It shows '
        "that everything works; it is too short for conclusions.</p>"
    )
    verdicts = {
        (row["domain"], row["front_end"], row["baseline"]): _verdict(row)
        for row in record["summary"]
        if row["baseline"]
    }
    provenance = {
        key: record[key] for key in ("command", "seconds", "versions", "machine", "data")
    } | {"seeds": protocol["seeds"], "front_ends": protocol["front_ends"]}
    return _PAGE.substitute(
        style=_STYLE,
        created=escape(record["created"].replace("T", " ")),
        command=escape(record["command"]),
        warning=warning if record["quick"] else "",
        findings="\n".join(_finding(finding) for finding in record["findings"]),
        n_seeds=n_seeds,
        n_data=f"{record['data']['digits']['n']:,}",
        n_train=f"{split['train']:,}",
        n_validation=split["validation"],
        n_test=split["test"],
        n_examples=EXAMPLES,
        split_rule=escape(split["rule"]),
        parameters=f"{protocol['parameters']:,}",
        learning_rate=training["learning_rate"],
        batch_size=training["batch_size"],
        epochs=epochs,
        selection=escape(protocol["selection"]),
        interval=escape(protocol["interval"]),
        neurn=escape(protocol["front_ends"]["neurn"]),
        accuracy_table=_table(
            accuracy,
            f"Accuracy in percent: mean and 95 % t interval over {n_seeds} seeds, "
            f"{split['test']} test images per seed and domain.",
        ),
        difference_table=_table(
            difference,
            "Paired differences in percentage points: mean and 95 % t interval over the same "
            f"{n_seeds} seeds. Bold on violet: higher; bold on orange: lower; plain: undecided.",
            list(verdicts.values()),
        ),
        chart=_data_uri(chart),
        chart_alt=escape("Chart of the first two columns of the table of paired differences."),
        gallery="\n".join(_example(example, png) for example, png in gallery),
        provenance=escape(json.dumps(provenance, indent=1)),
    )


def _finding(finding: dict[str, Any]) -> str:
    answers = "".join(f"<li>{_typeset(answer)}</li>" for answer in finding["answers"])
    return f"<p>{escape(finding['question'])}:</p><ul>{answers}</ul>"


def _verdict(row: dict[str, Any]) -> str:
    return "higher" if row["low"] > 0 else "lower" if row["high"] < 0 else ""


def _table(
    lines: Sequence[Sequence[str]], caption: str, classes: Sequence[str] | None = None
) -> str:
    """Make a table; `classes` names the CSS class of every cell, line by line."""
    header, *body = lines
    marks = iter(classes or [""] * sum(len(line) - 1 for line in body))
    head = "".join(f'<th scope="col">{_typeset(cell)}</th>' for cell in header)
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
    mean, interval = text.split(" ", maxsplit=1)
    return f"{_typeset(mean)} <small>{_typeset(interval)}</small>"


def _typeset(text: str) -> str:
    """Escape text; make minus signs of hyphens and keep intervals on one line."""
    signed = re.sub(r"-(?=\d)|(?<= )-(?= )", "&minus;", escape(text))
    return re.sub(r" ?\[[^\]]*\]", lambda interval: interval[0].replace(" ", "&nbsp;"), signed)


def _example(example: Example, png: bytes) -> str:
    alt = f"{len(example.images)} digits, {example.title}: images above, NeuRN maps below."
    caption = f"<b>{escape(example.title)}:</b> {escape(example.recipe)}."
    return (
        f'<figure><img src="{_data_uri(png)}" alt="{escape(alt)}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
