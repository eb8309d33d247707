"""Pictures of the embedded experiment."""

from __future__ import annotations

from pathlib import Path

from neurn._files import write_atomic
from neurn.demo.experiment import DemoConfig, Experiment
from neurn.generalize.datasets import EvaluationSet
from neurn.generalize.figures import Example, draw_maps, to_png
from neurn.generalize.training import as_tensor
from neurn.layer import NeuRN

EXAMPLES = 10


def make_examples(experiment: Experiment, seed: int = 0) -> list[Example]:
    """Show the first digits of the data set in every domain, with their NeuRN maps.

    Parameters
    ----------
    experiment : Experiment
    seed : int
        For the random parts of the domains: photograph patches, gratings, noise.
    """
    data = experiment.source.data
    first = EvaluationSet(data.name, data.images[:EXAMPLES], data.labels[:EXAMPLES])
    shown = [first, *(shift.render(first, seed) for shift in experiment.shifts)]
    return [
        Example(s.name, *experiment.domains[s.name], s.images, NeuRN()(as_tensor(s.images)).numpy())
        for s in shown
    ]


def save_neurn_at_work(path: str | Path, columns: int = 2, dpi: int = 200) -> None:
    """Write a PNG of digits in every domain of the demo above their NeuRN maps.

    Parameters
    ----------
    path : str or Path
        The PNG file; its directory must exist.
    columns : int
        Number of domains side by side.
    dpi : int
        Dots per inch.
    """
    examples = make_examples(Experiment.load(DemoConfig()))
    write_atomic(Path(path), to_png(draw_maps(examples, columns), dpi))
