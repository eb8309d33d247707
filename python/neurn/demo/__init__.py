"""``neurn demo``: NeuRN on real digits and unseen domains, from data to report.

>>> from neurn import demo
>>> report = demo.run("out")  # doctest: +SKIP
>>> print(report.text)  # doctest: +SKIP

Needs the packages of ``neurn[demo]``: scikit-learn, matplotlib, tqdm.
"""

from neurn._files import OutputError
from neurn._optional import MissingExtraError
from neurn.demo.experiment import DemoConfig
from neurn.demo.figures import save_neurn_at_work
from neurn.demo.pipeline import DemoReport, run

__all__ = [
    "DemoConfig",
    "DemoReport",
    "MissingExtraError",
    "OutputError",
    "run",
    "save_neurn_at_work",
]
