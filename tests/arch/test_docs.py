"""Examples in docstrings, and the example for evolutionary searches, work."""

import doctest
import importlib
import importlib.util
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize("module", ["blocks", "graded", "layers", "read", "similarity", "zoo"])
def test_examples(module):
    result = doctest.testmod(importlib.import_module(f"neurn.arch.{module}"))
    assert result.attempted > 0 and result.failed == 0


@pytest.fixture(scope="module")
def evolve():
    for package in ("deap", "sklearn"):
        pytest.importorskip(package, reason=f"{package} is not installed")
    path = Path(__file__).parents[2] / "examples" / "evolve_with_deap.py"
    spec = importlib.util.spec_from_file_location("evolve_with_deap", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look there
    spec.loader.exec_module(module)
    return module


class TestEvolution:
    def test_runs(self, evolve, capsys):
        small = ["--population", "4", "--generations", "1", "--images", "100", "--epochs", "1"]
        evolve.main(small)
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 8 and lines[0] == "without diversity" and lines[4] == "with diversity"
        # Both begin with the same networks.
        assert lines[2] == lines[6]
        assert all(
            0 <= float(cell) <= 1 for line in (lines[3], lines[7]) for cell in line.split()[1:]
        )

    def test_novelty_is_the_mean_distance(self, evolve):
        narrow, wide = evolve.Gene(4, 3, True, False), evolve.Gene(16, 5, True, False)
        population = [evolve.creator.Network(genes) for genes in ([narrow], [narrow], [wide] * 3)]
        found = evolve.distances(population)
        assert found[0, 1] == 0 < found[0, 2] == found[1, 2]

        class Known:
            def accuracy(self, genes):
                return len(genes) / 10

        evaluated = []
        for diverse in (True, False):
            evolve.evaluate(population, Known(), diverse)
            evaluated.append([network.fitness.values for network in population])
        assert evaluated[0][0] == (0.1, pytest.approx(found[0, 2] / 2))
        assert evaluated[0][2] == (0.3, pytest.approx(found[0, 2]))
        assert [novelty for _, novelty in evaluated[1]] == [0, 0, 0]

    def test_wrong_population(self, evolve, capsys):
        with pytest.raises(SystemExit):
            evolve.main(["--population", "6"])
        assert "multiple of 4, got 6" in capsys.readouterr().err
