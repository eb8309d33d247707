"""Results condensed: one row per domain and question, and sentences that follow from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from neurn.demo.experiment import CONTRASTS, FRONT_END_TITLES
from neurn.generalize import Interval, Results

AGAINST_NOTHING = {"higher": "helps on", "lower": "hurts on", "undecided": "undecided on"}
AGAINST_CONTROL = {"higher": "ahead on", "lower": "behind on", "undecided": "undecided on"}


@dataclass(frozen=True)
class SummaryRow:
    """Accuracy of a front end on a domain, or its paired difference to a baseline.

    Attributes
    ----------
    domain, front_end : str
    baseline : str
        Empty for an accuracy.
    interval : Interval
        Mean and 95 % t interval over seeds, as fractions.
    n_images : int
        Test images per seed.
    """

    domain: str
    front_end: str
    baseline: str
    interval: Interval
    n_images: int


def summarize(results: Results) -> list[SummaryRow]:
    """Make all accuracies, then all paired differences of `CONTRASTS`, domain by domain."""
    n_images = {run.domain: run.n for run in results.runs}
    accuracies = [
        SummaryRow(domain, name, "", results.accuracy(name, domain), n_images[domain])
        for domain in results.domains
        for name in results.front_ends
    ]
    differences = [
        SummaryRow(
            domain, name, baseline, results.difference(name, baseline, domain), n_images[domain]
        )
        for domain in results.domains
        for name, baseline in CONTRASTS
    ]
    return accuracies + differences


def find(rows: Sequence[SummaryRow], domain: str, front_end: str, baseline: str = "") -> Interval:
    """Pick the interval of one row."""
    wanted = (domain, front_end, baseline)
    return next(r.interval for r in rows if (r.domain, r.front_end, r.baseline) == wanted)


@dataclass(frozen=True)
class Finding:
    """Where one front end does better, worse, or undecided against a baseline.

    Attributes
    ----------
    question : str
        What is compared.
    answers : tuple of str
        One clause per verdict that occurs, with the number of domains, their titles, and the
        differences in percentage points with their intervals.
    """

    question: str
    answers: tuple[str, ...]

    def __str__(self) -> str:
        """Return one sentence."""
        return f"{self.question}: {'; '.join(self.answers)}."


def findings(rows: Sequence[SummaryRow], titles: Mapping[str, str]) -> list[Finding]:
    """Say for every contrast where accuracy is higher, lower, or not decided.

    Parameters
    ----------
    rows : sequence of SummaryRow
    titles : mapping of str to str
        Title of each domain by name.

    Returns
    -------
    list of Finding
        A claim is made only where the 95 % interval of the paired difference excludes 0.
    """
    return [
        Finding(_question(front_end, baseline), _answers(rows, titles, front_end, baseline))
        for front_end, baseline in CONTRASTS
    ]


def _question(front_end: str, baseline: str) -> str:
    other = "the same network without it" if baseline == "none" else FRONT_END_TITLES[baseline]
    return f"{FRONT_END_TITLES[front_end]} against {other}"


def _answers(
    rows: Sequence[SummaryRow], titles: Mapping[str, str], front_end: str, baseline: str
) -> tuple[str, ...]:
    answers = []
    phrases = AGAINST_NOTHING if baseline == "none" else AGAINST_CONTROL
    for verdict, phrase in phrases.items():
        places = [
            f"{titles[row.domain]} ({points(row.interval)})"
            for row in rows
            if (row.front_end, row.baseline) == (front_end, baseline)
            and row.interval.verdict == verdict
        ]
        if places:
            answers.append(f"{phrase} {len(places)} of {len(titles)}: {', '.join(places)}")
    return tuple(answers)


def percent(interval: Interval) -> str:
    """Format an accuracy in percent: ``97.1 [96.5, 97.7]``."""
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """Format a difference in percentage points: ``+1.2 [-0.3, +2.7]``."""
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"
