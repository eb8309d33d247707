"""What docs/align.md shows works as shown."""

import re
from pathlib import Path

import pytest
import torch

from neurn import align

PAGE = (Path(__file__).parents[2] / "docs" / "align.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_every_example_runs(capsys):
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("Agg")
    names = {"align": align, "sequences": ["CCM", "CRM", "M"]}
    for block in BLOCKS:
        if "cuda:1" in block and torch.cuda.device_count() < 2:
            continue
        exec(block, names)
    matplotlib.pyplot.close("all")
    assert capsys.readouterr().out.strip() in PAGE


@pytest.mark.parametrize(
    ("call", "score"),
    [
        (line.split("  #")[0], 3)
        for line in PAGE.splitlines()
        if "free_ends=" in line and "#" in line
    ],
)
def test_free_ends_find_what_they_say(call, score):
    assert eval(call, {"align": align}).score == score
