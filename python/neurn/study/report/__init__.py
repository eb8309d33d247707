"""The report of a study: a page, pictures and tables."""

from neurn.study.report.build import make_report

__all__ = ["make_report"]
