"""Draw docs/neurn_at_work.png: digits in every domain of the demo above their NeuRN maps.

Usage: python scripts/neurn_at_work.py [PNG]
"""

from __future__ import annotations

import sys
from pathlib import Path

from neurn._files import write_atomic
from neurn.generalize.figures import draw_maps, to_png
from neurn.study.report.generalization import examples
from neurn.study.settings import Generalization

PICTURE = Path(__file__).parents[1] / "docs" / "neurn_at_work.png"


def main(arguments: list[str]) -> int:
    settings = Generalization()
    shown = examples([settings.source, *settings.targets], settings.model_dump())
    path = Path(arguments[0]) if arguments else PICTURE
    write_atomic(path, to_png(draw_maps(shown, columns=2)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
