"""What a report is made of: sections with figures, tables and findings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Figure:
    """A picture with what it says.

    Attributes
    ----------
    name : str
        Of its files.
    title : str
    caption : str
        Which data, how many, which parameters, simulated or real.
    alt : str
        For those who do not see it.
    figure : matplotlib.figure.Figure
    data : DataFrame, optional
        What is drawn; goes to a table of the same name.
    """

    name: str
    title: str
    caption: str
    alt: str
    figure: Any
    data: Any = None


@dataclass(frozen=True)
class Table:
    """A table, shown up to a number of lines and written as a whole.

    Attributes
    ----------
    name, title, caption : str
    frame : DataFrame
    columns : sequence of str, optional
        Those that are shown; all by default.
    lines : int
        As many are shown.
    """

    name: str
    title: str
    caption: str
    frame: Any
    columns: Sequence[str] | None = None
    lines: int = 40


@dataclass(frozen=True)
class Section:
    """A part of the report about one thing.

    Attributes
    ----------
    name, title : str
    intro : str
        A paragraph.
    parts : sequence of Figure or Table
    findings : sequence of str
        Sentences for the top of the report.
    """

    name: str
    title: str
    intro: str
    parts: Sequence[Figure | Table] = field(default_factory=tuple)
    findings: Sequence[str] = ()
