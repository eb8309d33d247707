"""A study: one file that says what, one command that runs it, resumes it and reports.

>>> from neurn import study
>>> settings = study.read("study.toml")  # doctest: +SKIP
>>> study.run(settings, "results").complete  # doctest: +SKIP
True
"""

from neurn.study.engine import Result, make_plan, run
from neurn.study.read import StudyError, parse, read

__all__ = ["Result", "StudyError", "make_plan", "parse", "read", "run"]
