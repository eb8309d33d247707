"""The report: one HTML file that needs nothing else, readable on a phone and in print."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from string import Template
from typing import Any

from neurn.demo.figures import EXAMPLES
from neurn.generalize.figures import Example
from neurn.generalize.html import STYLE, data_uri, table, typeset

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
        Tables with a header line, from `neurn.generalize.tables`.
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
        style=STYLE,
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
        accuracy_table=table(
            accuracy,
            f"Accuracy in percent: mean and 95 % t interval over {n_seeds} seeds, "
            f"{split['test']} test images per seed and domain.",
        ),
        difference_table=table(
            difference,
            "Paired differences in percentage points: mean and 95 % t interval over the same "
            f"{n_seeds} seeds. Bold on violet: higher; bold on orange: lower; plain: undecided.",
            list(verdicts.values()),
        ),
        chart=data_uri(chart),
        chart_alt=escape("Chart of the first two columns of the table of paired differences."),
        gallery="\n".join(_example(example, png) for example, png in gallery),
        provenance=escape(json.dumps(provenance, indent=1)),
    )


def _finding(finding: dict[str, Any]) -> str:
    answers = "".join(f"<li>{typeset(answer)}</li>" for answer in finding["answers"])
    return f"<p>{escape(finding['question'])}:</p><ul>{answers}</ul>"


def _verdict(row: dict[str, Any]) -> str:
    return "higher" if row["low"] > 0 else "lower" if row["high"] < 0 else ""


def _example(example: Example, png: bytes) -> str:
    alt = f"{len(example.images)} digits, {example.title}: images above, NeuRN maps below."
    caption = f"<b>{escape(example.title)}:</b> {escape(example.recipe)}."
    return (
        f'<figure><img src="{data_uri(png)}" alt="{escape(alt)}">\n'
        f"<figcaption>{caption}</figcaption></figure>"
    )
