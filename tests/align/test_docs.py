"""Examples in docstrings hold."""

import doctest
import importlib

import pytest


@pytest.mark.parametrize(
    "module", ["alignment", "pairwise", "read", "score_matrix", "scoring", "sets", "similarity"]
)
def test_examples(module):
    result = doctest.testmod(importlib.import_module(f"neurn.align.{module}"))
    assert result.attempted > 0
    assert result.failed == 0
