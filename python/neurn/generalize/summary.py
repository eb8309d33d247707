"""Results condensed: one row per domain and question, and sentences that follow from them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from neurn.generalize.results import NOTHING, Results
from neurn.generalize.statistics import Interval, bootstrap_interval, holm, paired_test
from neurn.generalize.variants import title

AGAINST_NOTHING = {"higher": "helps on", "lower": "hurts on", "undecided": "undecided on"}
AGAINST_CONTROL = {"higher": "ahead on", "lower": "behind on", "undecided": "undecided on"}

Contrast = tuple[str, str]
NO_DATA = "no data"


@dataclass(frozen=True)
class SummaryRow:
    """Accuracy of a front end on a domain, or its paired difference to a baseline.

    Attributes
    ----------
    domain, front_end : str
    baseline : str
        Empty for an accuracy.
    interval : Interval
        Mean and 95 % t interval over seeds, as fractions; NaN and n = 0 without data.
    n_images : int
        Test images per seed; 0 without data.
    model, source : str
    bootstrap : Interval
        The same by the percentile bootstrap over seeds.
    p_seeds : float
        Exact paired test over seeds: would new seeds differ? (`paired_test`); NaN for accuracies.
    p_images : float
        Exact paired test over images, all seeds together: would new images, for these trained
        models? NaN for accuracies, and where single images were not kept.
    p_seeds_holm, p_images_holm : float
        Adjusted for the number of domains.
    calibration : Interval
        Expected calibration error; of accuracies only.
    oracle : float
        Mean of the best epochs chosen on the target's labels: a bound, no result.
    """

    domain: str
    front_end: str
    baseline: str
    interval: Interval
    n_images: int
    model: str = ""
    source: str = ""
    bootstrap: Interval = field(default=NOTHING, compare=False)
    p_seeds: float = math.nan
    p_images: float = math.nan
    p_seeds_holm: float = math.nan
    p_images_holm: float = math.nan
    calibration: Interval = field(default=NOTHING, compare=False)
    oracle: float = math.nan


def default_contrasts(results: Results) -> tuple[Contrast, ...]:
    """Return what is compared unless said otherwise.

    Every front end with the first one; and each that has augmentations with the first one under
    the same augmentations, if there is that.
    """
    first, *others = results.front_ends
    pairs = [(name, first) for name in others]
    for name in others:
        _, plus, augmentations = name.partition("+")
        same = first.partition("+")[0] + plus + augmentations
        if plus and same in results.front_ends and same not in (name, first):
            pairs.append((name, same))
    return tuple(pairs)


def summarize(
    results: Results, contrasts: Sequence[Contrast] | None = None, confidence: float = 0.95
) -> list[SummaryRow]:
    """Make all accuracies, then all paired differences, model by model and domain by domain.

    Parameters
    ----------
    results : Results
    contrasts : sequence of (str, str), optional
        Front end and baseline; `default_contrasts` otherwise.
    confidence : float
        Coverage of the intervals.
    """
    pairs = default_contrasts(results) if contrasts is None else contrasts
    accuracies: list[SummaryRow] = []
    differences: list[SummaryRow] = []
    for model in results.models or ("",):
        for source in results.select(model=model).sources:
            part = results.select(model, source)
            used = set(part.front_ends)
            accuracies += [
                _accuracy(part, domain, name, confidence)
                for domain in part.domains
                for name in part.front_ends
            ]
            rows = [
                _difference(part, domain, name, baseline, confidence)
                for domain in part.domains
                for name, baseline in pairs
                if {name, baseline} <= used
            ]
            differences += _adjusted(rows)
    return accuracies + differences


def find(
    rows: Sequence[SummaryRow],
    domain: str,
    front_end: str,
    baseline: str = "",
    model: str | None = None,
    source: str | None = None,
) -> Interval:
    """Pick the interval of one row; the first that fits.

    Raises
    ------
    ValueError
        If there is none.
    """
    for row in rows:
        if (
            (row.domain, row.front_end, row.baseline) == (domain, front_end, baseline)
            and model in (None, row.model)
            and source in (None, row.source)
        ):
            return row.interval
    raise ValueError(f"no row of {front_end!r} against {baseline!r} on {domain!r}")


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
        Of one model and source.
    titles : mapping of str to str
        Title of each domain by name.

    Returns
    -------
    list of Finding
        A claim is made only where the 95 % interval of the paired difference excludes 0.
    """
    contrasts = dict.fromkeys((r.front_end, r.baseline) for r in rows if r.baseline)
    return [
        Finding(_question(front_end, baseline), _answers(rows, titles, front_end, baseline))
        for front_end, baseline in contrasts
    ]


def percent(interval: Interval) -> str:
    """Format an accuracy in percent: ``97.1 [96.5, 97.7]``."""
    if not interval.n:
        return NO_DATA
    if interval.n == 1:
        return f"{100 * interval.mean:.1f} [one seed]"
    return f"{100 * interval.mean:.1f} [{100 * interval.low:.1f}, {100 * interval.high:.1f}]"


def points(interval: Interval) -> str:
    """Format a difference in percentage points: ``+1.2 [-0.3, +2.7]``."""
    if not interval.n:
        return NO_DATA
    if interval.n == 1:
        return f"{100 * interval.mean:+.1f} [one seed]"
    return f"{100 * interval.mean:+.1f} [{100 * interval.low:+.1f}, {100 * interval.high:+.1f}]"


def p_value(p: float) -> str:
    """Format a p value: ``0.062``, ``<0.001``; nothing for NaN."""
    if math.isnan(p):
        return ""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def _accuracy(part: Results, domain: str, name: str, confidence: float) -> SummaryRow:
    runs = list(part.find(name, domain).values())
    values = [run.accuracy for run in runs]
    best = [run.oracle for run in runs if not math.isnan(run.oracle)]
    return SummaryRow(
        *(domain, name, "", part.accuracy(name, domain, confidence)),
        n_images=runs[0].n if runs else 0,
        model=_only(part.models),
        source=_only(part.sources),
        bootstrap=bootstrap_interval(values, confidence) if values else NOTHING,
        calibration=part.calibration(name, domain),
        oracle=float(np.mean(best)) if best else math.nan,
    )


def _difference(
    part: Results, domain: str, name: str, baseline: str, confidence: float
) -> SummaryRow:
    pairs = part.pairs(name, baseline, domain)
    values = part.differences(name, baseline, domain)
    counts = [round(a.accuracy * a.n) - round(b.accuracy * b.n) for a, b in pairs]
    kept = pairs and all(run.correct is not None for pair in pairs for run in pair)
    p_images = math.nan
    if kept:
        flips = part.flips(name, baseline, domain)
        p_images = paired_test(flips.gained - flips.lost)
    return SummaryRow(
        *(domain, name, baseline, part.difference(name, baseline, domain, confidence)),
        n_images=pairs[0][0].n if pairs else 0,
        model=_only(part.models),
        source=_only(part.sources),
        bootstrap=bootstrap_interval(values, confidence) if values else NOTHING,
        p_seeds=paired_test(counts) if pairs else math.nan,
        p_images=p_images,
    )


def _adjusted(rows: Sequence[SummaryRow]) -> list[SummaryRow]:
    adjusted = list(rows)
    for contrast in dict.fromkeys((row.front_end, row.baseline) for row in rows):
        places = [i for i, row in enumerate(rows) if (row.front_end, row.baseline) == contrast]
        seeds = holm([rows[i].p_seeds for i in places])
        images = holm([rows[i].p_images for i in places])
        for place, p_seeds, p_images in zip(places, seeds, images, strict=True):
            adjusted[place] = replace(rows[place], p_seeds_holm=p_seeds, p_images_holm=p_images)
    return adjusted


def _only(names: Sequence[str]) -> str:
    return names[0] if names else ""


def _question(front_end: str, baseline: str) -> str:
    other = "the same network without it" if baseline == "none" else title(baseline)
    return f"{title(front_end)} against {other}"


def _answers(
    rows: Sequence[SummaryRow], titles: Mapping[str, str], front_end: str, baseline: str
) -> tuple[str, ...]:
    answers = []
    phrases = AGAINST_NOTHING if baseline == "none" else AGAINST_CONTROL
    mine = [
        row
        for row in rows
        if (row.front_end, row.baseline) == (front_end, baseline) and row.interval.n
    ]
    for verdict, phrase in phrases.items():
        places = [
            f"{titles[row.domain]} ({points(row.interval)})"
            for row in mine
            if row.interval.verdict == verdict
        ]
        if places:
            answers.append(f"{phrase} {len(places)} of {len(mine)}: {', '.join(places)}")
    return tuple(answers)
