"""Alignment straight from its definition, in Fractions: no thought of speed."""

import itertools
from fractions import Fraction

DIAGONAL, UP, LEFT = 1, 2, 4
MOVES = (DIAGONAL, UP, LEFT)  # in the order of preference


def exact(number):
    return Fraction(str(number))


def in_band(n, m, i, j, band):
    return band is None or min(0, m - n) - band <= j - i <= max(0, m - n) + band


class Costs:
    """Scores of single steps of a pair under `pair(x, y)`, gaps and free ends."""

    def __init__(self, a, b, pair, gap, gap_open, free_ends=(), band=None):
        self.a, self.b, self.pair = a, b, pair
        self.gap, self.gap_open = exact(gap), exact(gap_open)
        self.free_ends, self.band = set(free_ends), band

    def step(self, i, j, move, opens):
        """Score of the step that ends in cell (i, j)."""
        n, m, free = len(self.a), len(self.b), self.free_ends
        if move == DIAGONAL:
            return exact(self.pair(self.a[i - 1], self.b[j - 1]))
        if move == UP and ((j == 0 and "a_begin" in free) or (j == m and "a_end" in free)):
            return Fraction(0)
        if move == LEFT and ((i == 0 and "b_begin" in free) or (i == n and "b_end" in free)):
            return Fraction(0)
        return self.gap + (self.gap_open if opens else 0)

    def rescore(self, moves):
        """Score of a whole path; None where it leaves the band or misses the end."""
        i = j = 0
        total, before = Fraction(0), None
        for move in moves:
            i += move != LEFT
            j += move != UP
            if not in_band(len(self.a), len(self.b), i, j, self.band):
                return None
            total += self.step(i, j, move, move != before)
            before = move
        return total if (i, j) == (len(self.a), len(self.b)) else None

    def states(self):
        """Best score of a path to each cell that ends in each move."""
        n, m = len(self.a), len(self.b)
        best = {}
        for i, j, move in itertools.product(range(n + 1), range(m + 1), MOVES):
            i0, j0 = i - (move != LEFT), j - (move != UP)
            if i0 < 0 or j0 < 0 or not in_band(n, m, i, j, self.band):
                continue
            if (i0, j0) == (0, 0):
                best[i, j, move] = self.step(i, j, move, True)
                continue
            ways = [
                best[i0, j0, before] + self.step(i, j, move, before != move)
                for before in MOVES
                if (i0, j0, before) in best
            ]
            if ways:
                best[i, j, move] = max(ways)
        return best

    def cells(self):
        """Best score of each cell, and the moves that end in it with that score."""
        best = self.states()
        cells = {(0, 0): (Fraction(0), 0)}
        for i, j in itertools.product(range(len(self.a) + 1), range(len(self.b) + 1)):
            ends = {move: best[i, j, move] for move in MOVES if (i, j, move) in best}
            if ends:
                top = max(ends.values())
                cells[i, j] = top, sum(move for move, score in ends.items() if score == top)
        return cells

    def score(self):
        return self.cells()[len(self.a), len(self.b)][0]

    def enumerate(self):
        """Every path within the band: for tiny sequences only."""

        def walk(i, j):
            if (i, j) == (0, 0):
                yield ()
            for move in MOVES:
                i0, j0 = i - (move != LEFT), j - (move != UP)
                if i0 >= 0 and j0 >= 0 and in_band(len(self.a), len(self.b), i0, j0, self.band):
                    for path in walk(i0, j0):
                        yield (*path, move)

        yield from walk(len(self.a), len(self.b))

    def first_best(self):
        """Of the best paths, the first one read from the end: diagonal, up, left."""
        best = max(map(self.rescore, self.enumerate()))
        paths = [path for path in self.enumerate() if self.rescore(path) == best]
        return best, min(paths, key=lambda path: [MOVES.index(move) for move in reversed(path)])


def costs(a, b, scoring, free_ends=(), band=None):
    return Costs(a, b, scoring.pair, scoring.gap, scoring.gap_open, free_ends, band)
