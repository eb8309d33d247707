"""Evolve small convolutional networks with DEAP, with and without an eye on their diversity.

    pip install 'neurn[nas]'
    python examples/evolve_with_deap.py

NSGA-II (Deb et al. 2002) searches for networks that read 8 x 8 digits. The plain search knows
their accuracy alone; the other one also how far each is from the rest of its population, 1 - index
of `neurn.arch.similarity` with graded scores, so that it does not end with copies of one network.
After Avila Pava, Groh, Kist (2024), Sequence Alignment-based Similarity Metric in Evolutionary
Neural Architecture Search, AutoML. Both searches start from the same networks.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from deap import base, creator, tools
from sklearn.datasets import load_digits
from torch import nn

from neurn import arch

SHAPE = (1, 1, 8, 8)
WIDTHS, KERNELS = (4, 8, 16), (1, 3, 5)
LONGEST = 6

creator.create("AccuracyAndNovelty", base.Fitness, weights=(1.0, 1.0))
creator.create("Network", list, fitness=creator.AccuracyAndNovelty)


@dataclass(frozen=True)
class Gene:
    """A convolution, and what follows it."""

    width: int
    kernel: int
    norm: bool
    pool: bool


def random_gene() -> Gene:
    return Gene(
        random.choice(WIDTHS), random.choice(KERNELS), random.random() < 0.5, random.random() < 0.3
    )


def mutate(genes: list[Gene]) -> None:
    """Change, add or take away one gene."""
    place = random.randrange(len(genes))
    kind = random.choice(["change", "add", "remove"])
    if kind == "add" and len(genes) < LONGEST:
        genes.insert(place, random_gene())
    elif kind == "remove" and len(genes) > 1:
        del genes[place]
    else:
        genes[place] = random_gene()


def build(genes: Sequence[Gene]) -> nn.Sequential:
    layers: list[nn.Module] = []
    width, side = SHAPE[1], SHAPE[2]
    for gene in genes:
        layers.append(nn.Conv2d(width, gene.width, gene.kernel, padding=gene.kernel // 2))
        layers += [nn.BatchNorm2d(gene.width)] if gene.norm else []
        layers.append(nn.ReLU())
        if gene.pool and side > 2:
            layers.append(nn.MaxPool2d(2))
            side //= 2
        width = gene.width
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(width * side * side, 10))


class Digits:
    """Trains a network for a moment and tells its accuracy on digits that it has not seen."""

    def __init__(self, images: int, epochs: int) -> None:
        data = load_digits()
        order = np.random.default_rng(0).permutation(len(data.target))[: 2 * images]
        x = torch.tensor(data.images[order], dtype=torch.float32)[:, None] / 16
        y = torch.tensor(data.target[order])
        self.train, self.test = (x[:images], y[:images]), (x[images:], y[images:])
        self.epochs = epochs
        self.known: dict[tuple[Gene, ...], float] = {}

    def accuracy(self, genes: Sequence[Gene]) -> float:
        key = tuple(genes)
        if key not in self.known:
            torch.manual_seed(0)
            model = build(genes)
            optimizer = torch.optim.Adam(model.parameters(), 0.01)
            for _ in range(self.epochs):
                for x, y in zip(*(part.split(100) for part in self.train), strict=True):
                    optimizer.zero_grad()
                    nn.functional.cross_entropy(model(x), y).backward()
                    optimizer.step()
            model.eval()
            with torch.no_grad():
                right = model(self.test[0]).argmax(1) == self.test[1]
            self.known[key] = float(right.float().mean())
        return self.known[key]


def distances(population: Sequence[Sequence[Gene]]) -> np.ndarray:
    """Return 1 - index of each two networks: nothing is trained or run, layers are aligned."""
    read = {
        str(place): arch.sequence(build(genes), input=SHAPE)
        for place, genes in enumerate(population)
    }
    return 1 - arch.similarity(read, scoring=arch.Graded()).index


def evaluate(population: Sequence[creator.Network], digits: Digits, diverse: bool) -> None:
    """Set accuracy and novelty: the mean distance to the others, 0 where it is not wanted."""
    novelty = np.zeros(len(population))
    if diverse:
        novelty = distances(population).sum(1) / (len(population) - 1)
    for network, value in zip(population, novelty, strict=True):
        network.fitness.values = digits.accuracy(network), float(value)


def evolve(digits: Digits, size: int, generations: int, seed: int, diverse: bool) -> None:
    """Search, and print the best accuracy and the diversity of each generation."""
    random.seed(seed)
    population = [
        creator.Network(random_gene() for _ in range(random.randint(1, LONGEST)))
        for _ in range(size)
    ]
    evaluate(population, digits, diverse)
    population = tools.selNSGA2(population, size)
    for generation in range(generations + 1):
        best = max(network.fitness.values[0] for network in population)
        spread = distances(population)[np.triu_indices(size, 1)].mean()
        print(f"{generation:10d}  {best:13.3f}  {spread:9.3f}", flush=True)
        if generation == generations:
            return
        children = [
            creator.Network(network) for network in tools.selTournamentDCD(population, size)
        ]
        for first, second in zip(children[::2], children[1::2], strict=True):
            if min(len(first), len(second)) > 1:
                cut = random.randrange(1, min(len(first), len(second)))
                first[cut:], second[cut:] = second[cut:], first[cut:]
            mutate(first)
            mutate(second)
        population = [*population, *children]
        evaluate(population, digits, diverse)
        population = tools.selNSGA2(population, size)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--population", type=int, default=16, help="a multiple of 4; default: 16")
    parser.add_argument("--generations", type=int, default=10, help="default: 10")
    parser.add_argument("--images", type=int, default=800, help="to train with; default: 800")
    parser.add_argument("--epochs", type=int, default=3, help="default: 3")
    parser.add_argument("--seed", type=int, default=0, help="default: 0")
    options = parser.parse_args(argv)
    if options.population < 4 or options.population % 4:
        parser.error(f"--population must be a multiple of 4, got {options.population}")
    digits = Digits(options.images, options.epochs)
    for diverse in (False, True):
        print(f"{'with' if diverse else 'without'} diversity")
        print("generation  best accuracy  diversity")
        evolve(digits, options.population, options.generations, options.seed, diverse)


if __name__ == "__main__":
    main()
