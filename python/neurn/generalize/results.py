"""What an evaluation found: runs, and what follows from them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from neurn._files import write_atomic
from neurn._optional import import_optional
from neurn.generalize.datasets import Images
from neurn.generalize.statistics import Interval, t_interval
from neurn.generalize.store import Store, unpack, unpack_numbers
from neurn.generalize.training import Fit

if TYPE_CHECKING:
    import pandas as pd

    from neurn.generalize.summary import SummaryRow

NOTHING = Interval(math.nan, math.nan, math.nan, 0)


@dataclass(frozen=True)
class Run:
    """One trained model on one domain.

    Attributes
    ----------
    seed : int
    front_end : str
    domain : str
    accuracy : float
        0 to 1.
    n : int
        Number of images.
    source, model : str
        What it was trained on, and its name.
    calibration_error : float
        Expected calibration error, 0 to 1.
    oracle : float
        Highest accuracy of any epoch: chosen on the target's own labels, so no result but a bound.
    confusion : ndarray of int64, shape (K, K), or None
        Images by true (row) and predicted class (column).
    correct : ndarray of bool, shape (n,), or None
    ids : ndarray of int64, shape (n,), or None
        Which images these are; equal ids are the same image in all seeds.

    Examples
    --------
    >>> from neurn import generalize
    >>> run = generalize.Run(seed=0, front_end="neurn", domain="noise=0.2", accuracy=0.75, n=360)
    >>> round(run.accuracy * run.n)  # images that were predicted right
    270
    """

    seed: int
    front_end: str
    domain: str
    accuracy: float
    n: int
    source: str = ""
    model: str = ""
    calibration_error: float = math.nan
    oracle: float = math.nan
    confusion: npt.NDArray[np.int64] | None = field(default=None, compare=False, repr=False)
    correct: npt.NDArray[np.bool_] | None = field(default=None, compare=False, repr=False)
    ids: npt.NDArray[np.int64] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Training:
    """One trained model and how its training went.

    Examples
    --------
    >>> from neurn import generalize
    >>> source = generalize.load("digits").as_source(n=100)
    >>> results = generalize.evaluate(
    ...     "lenet", source, ["invert"], seeds=1, training=generalize.TrainingConfig(epochs=1)
    ... )
    >>> [(t.model, t.source, t.seed, t.front_end, t.fit.epoch) for t in results.trainings]
    [('lenet', 'digits', 0, 'none', 1), ('lenet', 'digits', 0, 'neurn', 1)]
    """

    seed: int
    front_end: str
    fit: Fit
    source: str = ""
    model: str = ""


@dataclass(frozen=True)
class DomainInfo:
    """What a domain is called and made of.

    Attributes
    ----------
    title, recipe : str
    family, severity : str, float
        Its place on a severity curve; empty and NaN without one.
    no_data : str
        Why there are no runs of it; empty where there are.

    Examples
    --------
    >>> from neurn import generalize
    >>> info = {"noise=0.2": generalize.DomainInfo("Noisy", family="noise", severity=0.2)}
    >>> run = generalize.Run(0, "neurn", "noise=0.2", 0.75, 360)
    >>> results = generalize.Results((run,), (), (0,), ("neurn",), ("noise=0.2",), info)
    >>> results.title("noise=0.2")
    'Noisy'
    """

    title: str
    recipe: str = ""
    family: str = ""
    severity: float = math.nan
    no_data: str = ""


@dataclass(frozen=True)
class Flips:
    """Which images a front end turned right or wrong, against another.

    Attributes
    ----------
    ids : ndarray of int64, shape (M,)
        The images.
    seeds : ndarray of int64, shape (M,)
        In how many seeds each was tested.
    gained, lost : ndarray of int64, shape (M,)
        Seeds in which it is right with the front end alone, and with the baseline alone.

    Examples
    --------
    >>> import numpy as np
    >>> from neurn import generalize
    >>> ids = np.array([10, 11, 12])
    >>> right = {"none": np.array([True, False, False]), "neurn": np.array([False, True, True])}
    >>> runs = tuple(
    ...     generalize.Run(0, name, "noise", correct.mean(), 3, correct=correct, ids=ids)
    ...     for name, correct in right.items()
    ... )
    >>> results = generalize.Results(runs, (), (0,), ("none", "neurn"), ("noise",))
    >>> flips = results.flips("neurn", "none", "noise")
    >>> flips.ids[flips.gained > 0], flips.ids[flips.lost > 0]
    (array([11, 12]), array([10]))
    """

    ids: npt.NDArray[np.int64]
    seeds: npt.NDArray[np.int64]
    gained: npt.NDArray[np.int64]
    lost: npt.NDArray[np.int64]


@dataclass(frozen=True)
class Results:
    """All runs of an evaluation, or of several.

    Attributes
    ----------
    runs : tuple of Run
        One per model, source, seed, front end and domain; a source's own test set comes first.
    trainings : tuple of Training
        One per model, source, seed and front end.
    seeds : tuple of int
    front_ends, domains : tuple of str
        In the order they were run.
    info : mapping of str to DomainInfo
        By domain.
    record : mapping
        Versions, device, settings, data and command; JSON can write it.
    examples : mapping of str to ndarray of uint8, shape (up to 10, 3, H, W)
        The first test images of each domain.

    Examples
    --------
    >>> from neurn import generalize
    >>> found = {"none": (0.61, 0.58, 0.63), "neurn": (0.70, 0.66, 0.74)}
    >>> runs = tuple(
    ...     generalize.Run(seed, name, "noise", accuracy, 360)
    ...     for name, accuracies in found.items()
    ...     for seed, accuracy in enumerate(accuracies)
    ... )
    >>> results = generalize.Results(runs, (), (0, 1, 2), ("none", "neurn"), ("noise",))
    >>> results.accuracies("neurn", "noise")
    [0.7, 0.66, 0.74]
    >>> gain = results.difference("neurn", "none", "noise")
    >>> round(gain.mean, 3), round(gain.low, 3), round(gain.high, 3), gain.verdict
    (0.093, 0.055, 0.131, 'higher')
    >>> results.to_csv("runs.csv")
    >>> len(generalize.Results.read_csv("runs.csv").runs)
    6
    """

    runs: tuple[Run, ...]
    trainings: tuple[Training, ...]
    seeds: tuple[int, ...]
    front_ends: tuple[str, ...]
    domains: tuple[str, ...]
    info: Mapping[str, DomainInfo] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    examples: Mapping[str, Images] = field(default_factory=dict, compare=False, repr=False)

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models, in order."""
        return tuple(dict.fromkeys(run.model for run in self.runs))

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of the sources, in order."""
        return tuple(dict.fromkeys(run.source for run in self.runs))

    def title(self, domain: str) -> str:
        """Return a domain's name for people."""
        return self.info[domain].title if domain in self.info else domain

    def select(self, model: str | None = None, source: str | None = None) -> Results:
        """Return the part of one model, of one source, or of both.

        Raises
        ------
        ValueError
            If there is no such part; the message lists what there is.
        """
        for kind, value, known in (
            ("model", model, self.models),
            ("source", source, self.sources),
        ):
            if value is not None and value not in known:
                raise ValueError(f"no runs of {kind} {value!r}; there are {', '.join(known)}")

        def wanted(item: Run | Training) -> bool:
            return model in (None, item.model) and source in (None, item.source)

        runs = tuple(filter(wanted, self.runs))
        tested = {run.domain for run in runs}
        used = {run.front_end for run in runs}
        return replace(
            self,
            runs=runs,
            trainings=tuple(filter(wanted, self.trainings)),
            front_ends=tuple(name for name in self.front_ends if name in used),
            domains=tuple(
                name
                for name in self.domains
                if name in tested or (name in self.info and self.info[name].no_data)
            ),
        )

    def find(self, front_end: str, domain: str) -> dict[int, Run]:
        """Return the runs of a front end on a domain by seed.

        Raises
        ------
        ValueError
            If they are of several models or sources: `select` one.
        """
        found = [run for run in self.runs if (run.front_end, run.domain) == (front_end, domain)]
        kinds = sorted({(run.model, run.source) for run in found})
        if len(kinds) > 1:
            raise ValueError(f"runs of {kinds} are mixed here; select one model and source first")
        by_seed = {run.seed: run for run in found}
        return {seed: by_seed[seed] for seed in self.seeds if seed in by_seed}

    def pairs(self, front_end: str, baseline: str, domain: str) -> list[tuple[Run, Run]]:
        """Return the runs of two front ends on a domain, paired by seed."""
        ours, theirs = self.find(front_end, domain), self.find(baseline, domain)
        return [(run, theirs[seed]) for seed, run in ours.items() if seed in theirs]

    def accuracies(self, front_end: str, domain: str) -> list[float]:
        """Accuracies (0 to 1) of a front end on a domain, one per seed, in the order of seeds."""
        return [run.accuracy for run in self.find(front_end, domain).values()]

    def accuracy(self, front_end: str, domain: str, confidence: float = 0.95) -> Interval:
        """Mean accuracy over seeds with its t interval, cut off at 0 and 1; NaN without runs."""
        values = self.accuracies(front_end, domain)
        return t_interval(values, confidence, (0.0, 1.0)) if values else NOTHING

    def differences(self, front_end: str, baseline: str, domain: str) -> list[float]:
        """Differences ``front_end - baseline`` of the accuracies, one per seed that has both."""
        pairs = self.pairs(front_end, baseline, domain)
        return [ours.accuracy - theirs.accuracy for ours, theirs in pairs]

    def difference(
        self, front_end: str, baseline: str, domain: str, confidence: float = 0.95
    ) -> Interval:
        """Mean of the differences ``front_end - baseline`` seed by seed, with its t interval.

        The pairs share seed, split, initial weights, batches and test images. The interval is
        cut off at -1 and 1; NaN without runs.
        """
        values = self.differences(front_end, baseline, domain)
        return t_interval(values, confidence, (-1.0, 1.0)) if values else NOTHING

    def calibration(self, front_end: str, domain: str) -> Interval:
        """Mean expected calibration error over seeds with its t interval; NaN without runs."""
        values = [run.calibration_error for run in self.find(front_end, domain).values()]
        return t_interval(values, bounds=(0.0, 1.0)) if values else NOTHING

    def confusion(self, front_end: str, domain: str) -> npt.NDArray[np.int64]:
        """Sum of the confusion matrices over seeds: true class (row) by predicted (column).

        Raises
        ------
        ValueError
            If there are none, as in results read from CSV.
        """
        found = [r.confusion for r in self.find(front_end, domain).values()]
        matrices = [matrix for matrix in found if matrix is not None]
        if not matrices:
            raise ValueError(f"no confusion matrices of {front_end!r} on {domain!r}")
        total: npt.NDArray[np.int64] = np.sum(matrices, axis=0)
        return total

    def per_class(self, front_end: str, domain: str) -> npt.NDArray[np.float64]:
        """Accuracy of each class over all seeds, shape (K,); NaN for a class without images."""
        matrix = self.confusion(front_end, domain)
        count = matrix.sum(axis=1)
        shares: npt.NDArray[np.float64] = np.where(
            count > 0, np.diag(matrix) / np.maximum(count, 1), np.nan
        )
        return shares

    def flips(self, front_end: str, baseline: str, domain: str) -> Flips:
        """Say which images a front end turned right or wrong, against a baseline.

        Raises
        ------
        ValueError
            If images were not kept, as in results read from CSV.
        """
        gained: dict[int, int] = {}
        lost: dict[int, int] = {}
        seen: dict[int, int] = {}
        for ours, theirs in self.pairs(front_end, baseline, domain):
            if ours.correct is None or theirs.correct is None or ours.ids is None:
                raise ValueError(f"single images of {domain!r} were not kept")
            for place, change in zip(
                ours.ids.tolist(),
                (ours.correct.astype(int) - theirs.correct.astype(int)).tolist(),
                strict=True,
            ):
                seen[place] = seen.get(place, 0) + 1
                gained[place] = gained.get(place, 0) + (change > 0)
                lost[place] = lost.get(place, 0) + (change < 0)
        ids = sorted(seen)
        columns = ([table[i] for i in ids] for table in (seen, gained, lost))
        return Flips(np.array(ids, np.int64), *(np.array(c, np.int64) for c in columns))

    def matrix(self, front_end: str, baseline: str | None = None) -> pd.DataFrame:
        """Mean accuracy, or mean paired difference, by source (row) and domain (column).

        Parameters
        ----------
        front_end : str
        baseline : str, optional
            Differences to it; accuracies without.

        Returns
        -------
        DataFrame
            Fractions; NaN where there is no run.
        """
        rows = {}
        for source in self.sources:
            part = self.select(source=source)
            rows[source] = {
                domain: (
                    part.accuracy(front_end, domain)
                    if baseline is None
                    else part.difference(front_end, baseline, domain)
                ).mean
                for domain in self.domains
            }
        frame: pd.DataFrame = import_optional("pandas", "generalize").DataFrame.from_dict(
            rows, orient="index", columns=list(self.domains)
        )
        return frame

    # What follows is built on results, in modules above this one.

    def summary(self, contrasts: Sequence[tuple[str, str]] | None = None) -> list[SummaryRow]:
        """Return accuracies and paired differences (`neurn.generalize.summary.summarize`)."""
        from neurn.generalize.summary import summarize

        return summarize(self, contrasts)

    def to_text(self) -> str:
        """Return tables and findings for a terminal."""
        from neurn.generalize import report

        return report.text(self)

    def to_markdown(self) -> str:
        """Return tables and findings as Markdown."""
        from neurn.generalize import report

        return report.markdown(self)

    def to_latex(self) -> str:
        """Return tables as LaTeX, for the package booktabs."""
        from neurn.generalize import report

        return report.latex(self)

    def to_csv(self, path: str | Path) -> None:
        """Write one line per run as CSV, which `read_csv` reads."""
        from neurn.generalize.tables import runs_csv

        write_atomic(Path(path), runs_csv(self))

    def to_parquet(self, path: str | Path) -> None:
        """Write one line per run as Parquet; needs pyarrow."""
        from neurn.generalize import report

        report.to_parquet(self, path)

    def to_html(self, path: str | Path) -> None:
        """Write one page with tables and pictures that needs no other file."""
        from neurn.generalize import report

        write_atomic(Path(path), report.page(self))

    def save(self, directory: str | Path) -> list[Path]:
        """Write all tables, pictures and the page (`neurn.generalize.report.save`)."""
        from neurn.generalize import report

        return report.save(self, directory)

    def plot(self, kind: str = "differences", domain: str = "") -> Any:
        """Draw the results of one model and source.

        Parameters
        ----------
        kind : {"differences", "curves", "confusion", "examples"}
        domain : str
            Of a confusion matrix.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ValueError
            If the kind is another.
        """
        from neurn.generalize import figures

        if kind == "curves":
            return figures.draw_curves(self)
        if kind == "confusion":
            return figures.draw_confusion(self, domain)
        if kind == "examples":
            return figures.draw_examples(self)
        if kind != "differences":
            raise ValueError(
                f"kind must be 'differences', 'curves', 'confusion' or 'examples', got {kind!r}"
            )
        return figures.draw_differences(
            self.summary(), {name: self.title(name) for name in self.domains}
        )

    def to_frame(self) -> pd.DataFrame:
        """Return one line per run: what it was, accuracy, oracle, calibration error, images."""
        frame: pd.DataFrame = import_optional("pandas", "generalize").DataFrame(
            [{name: getattr(run, name) for name in COLUMNS} for run in self.runs],
            columns=list(COLUMNS),
        )
        return frame

    @classmethod
    def join(cls, parts: Iterable[Results]) -> Results:
        """Join the results of several evaluations; of a run that comes twice, the first.

        Raises
        ------
        ValueError
            If there is none.
        """
        given = list(parts)
        if not given:
            raise ValueError("results to join: give at least one")
        runs: dict[Any, Run] = {}
        trainings: dict[Any, Training] = {}
        for part in given:
            for r in part.runs:
                runs.setdefault((r.model, r.source, r.seed, r.front_end, r.domain), r)
            for t in part.trainings:
                trainings.setdefault((t.model, t.source, t.seed, t.front_end), t)
        return cls(
            tuple(runs.values()),
            tuple(trainings.values()),
            tuple(sorted({seed for part in given for seed in part.seeds})),
            tuple(dict.fromkeys(name for part in given for name in part.front_ends)),
            tuple(dict.fromkeys(name for part in given for name in part.domains)),
            {name: about for part in reversed(given) for name, about in part.info.items()},
            {"parts": [dict(part.record) for part in given if part.record]},
            {name: images for part in reversed(given) for name, images in part.examples.items()},
        )

    @classmethod
    def read_jsonl(cls, path: str | Path, info: Mapping[str, DomainInfo] | None = None) -> Results:
        """Read the lines that `evaluate` wrote so far, single images included.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If a line is of something else.
        """
        if not Path(path).is_file():
            raise FileNotFoundError(f"{path} does not exist")
        lines = list(Store(Path(path)).lines.values())
        runs = tuple(read_line(line) for line in lines)
        trainings = {
            line["run"]: Training(
                *(line["seed"], line["front_end"], Fit(**line["fit"])),
                **{"source": line["source"], "model": line["model"]},
            )
            for line in lines
        }
        return cls(
            runs,
            tuple(trainings.values()),
            tuple(sorted({run.seed for run in runs})),
            tuple(dict.fromkeys(run.front_end for run in runs)),
            tuple(dict.fromkeys(run.domain for run in runs)),
            info or {},
        )

    @classmethod
    def read_csv(cls, path: str | Path, info: Mapping[str, DomainInfo] | None = None) -> Results:
        """Read the runs that `to_frame` gives, written as CSV; without single images.

        Raises
        ------
        ValueError
            If columns are missing.
        """
        pandas = import_optional("pandas", "generalize")
        frame = pandas.read_csv(path, keep_default_na=False, na_values=[""])
        missing = [name for name in REQUIRED if name not in frame.columns]
        if missing:
            raise ValueError(f"{path} must have columns {', '.join(REQUIRED)}; lacks {missing[0]}")
        names = [name for name in COLUMNS if name in frame.columns]
        rows = frame[names].to_dict("records")
        for row in rows:
            row |= {
                key: "" if row[key] != row[key] else str(row[key]) for key in TEXT if key in row
            }
        runs = tuple(Run(**row) for row in rows)
        return cls(
            runs,
            (),
            tuple(sorted({run.seed for run in runs})),
            tuple(dict.fromkeys(run.front_end for run in runs)),
            tuple(dict.fromkeys(run.domain for run in runs)),
            info or {},
        )


def read_line(line: Mapping[str, Any]) -> Run:
    """Make the run of a line of ``runs.jsonl``."""
    return Run(
        *(line["seed"], line["front_end"], line["domain"], line["accuracy"], line["n"]),
        source=line["source"],
        model=line["model"],
        calibration_error=line["calibration_error"],
        oracle=math.nan if line["oracle"] is None else line["oracle"],
        confusion=np.array(line["confusion"], dtype=np.int64),
        correct=unpack(line["correct"], line["n"]),
        ids=unpack_numbers(line["ids"]),
    )


TEXT: Sequence[str] = ("front_end", "domain", "source", "model")
REQUIRED: Sequence[str] = ("seed", "front_end", "domain", "accuracy", "n")
COLUMNS: Sequence[str] = (
    *("model", "source", "seed", "front_end", "domain"),
    *("accuracy", "n", "calibration_error", "oracle"),
)
