"""Runs of scores that a gate of four maps rounds to a grid before it compares them (N20): of every run one logit is 0, as floats have it.

Let M be a power of two, n the bits of the dtype behind the leading one, and scores h = a·x + b be computed as numbers of [M, 2M). These
are whole multiples of M/2^n, so h − M, differences of two, and these in units of M/2^n plus or minus 1/2 are exact. A neuron
σ((h_j − h_i)·2^n/M ∓ 1/2) is idle if i is not behind j: strictly before it (+), or equal too (−). Let, of any two outputs of a run, one
ask for strictly before and the other one not, in a way that orders all of them: then the largest score wins, of equal ones the first in
that order, and its logit alone is 0; all others are at most −1/2.

Which output wins is so a matter of the scores as the dtype computes them, and of nothing that comes after. A run is looked at as a layer
of its own that compares σ(a·x + b) − M. η of its site says how well scores are known, and `rounding` whether they lie in [M, 2M) at all.
Going through the maps from the first to the last, each neuron is one of a few things or nothing is known of the gate.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ...atlas import Array
from .layers import Layer
from .nets import RELU, Map, Net

BITS = {"float32": 23, "float64": 52}
FAR = 100
"""M = 2^k with |k| up to this."""


class Score(NamedTuple):
    """σ of row number `row` of the first map, less M; M = 0: as it is."""

    row: int
    M: Fraction


class Pair(NamedTuple):
    """σ((behind − own) in steps of the grid ± 1/2)."""

    own: int
    behind: int
    M: Fraction
    strict: bool


class Run(NamedTuple):
    """Outputs first … last − 1, and what they compare."""

    first: int
    last: int
    gate: Net


def snapped(gate: Net, dtype: str) -> tuple[Net, list[Run]] | None:
    """The gate's other outputs as a gate of two maps, in which those of runs are 0, and its runs; None without any, or for other gates."""
    if len(gate.stored) != 4 or any(not map_.plain or np.any(map_.kinds != RELU) for map_ in gate.stored[:-1]):
        return None
    start, grid, ahead, out = gate.stored
    if out.bias.any() or (out.weight[out.weight != 0] > -1).any():
        return None
    scores = [_score(row, bias) for row, bias in zip(grid.weight, grid.bias.tolist(), strict=True)]
    found = [_compared(row, bias, scores, BITS[dtype]) for row, bias in zip(ahead.weight, ahead.bias.tolist(), strict=True)]
    asked: list[list[Pair]] = []
    faces = np.zeros((len(out.weight), len(start.bias)))
    for output, row in enumerate(out.weight):
        asked.append([])
        for n in np.flatnonzero(row).tolist():
            term = found[n]
            if isinstance(term, Pair):
                asked[-1].append(term)
            elif term is None:
                return None
            else:
                faces[output, term.row] += row[n]
        if asked[-1] and faces[output].any():
            return None
    runs = list[Run]()
    for output, pairs in enumerate(asked):
        if pairs and not (runs and output < runs[-1].last):
            run = _run(output, asked, start)
            if run is None:
                return None
            runs.append(run)
    if not runs:
        return None
    used = faces.any(0)
    hidden = Map(start.weight[used], start.bias[used], start.kinds[used] if start.kinds is not None else None)
    return Net.of((hidden, Map(faces[:, used], out.bias))), runs


def _score(row: Array, bias: float) -> Score | None:
    """One score, less a power of two or nothing."""
    places = np.flatnonzero(row).tolist()
    if len(places) != 1 or row[places[0]] != 1:
        return None
    M = Fraction(-bias)
    power = M == 0 or (M > 0 and M in (Fraction(2) ** k for k in range(-FAR, FAR + 1)))
    return Score(places[0], M) if power else None


def _compared(row: Array, bias: float, scores: Sequence[Score | None], bits: int) -> Score | Pair | None:
    """A score passed on, or two of them compared."""
    terms = [(scores[n], Fraction(float(row[n]))) for n in np.flatnonzero(row).tolist()]
    if len(terms) == 1:
        score, weight = terms[0]
        return score if score is not None and weight == 1 and bias == 0 and score.M == 0 else None
    if len(terms) != 2 or abs(bias) != 0.5:
        return None
    (own, down), (other, up) = sorted(terms, key=lambda term: term[1])
    if own is None or other is None or own.M != other.M or own.M == 0 or not up == -down == Fraction(2) ** bits / own.M:
        return None
    return Pair(own.row, other.row, own.M, bias > 0)


def _run(first: int, asked: Sequence[Sequence[Pair]], start: Map) -> Run | None:
    """The outputs that compare themselves with each other, from one on: each with all others once, in an order."""
    E = len(asked[first]) + 1
    mine = asked[first : first + E]
    owns = [{pair.own for pair in pairs} for pairs in mine]
    if len(mine) != E or any(len(own) != 1 for own in owns) or len({pair.M for pairs in mine for pair in pairs}) != 1:
        return None
    rows = [own.pop() for own in owns]
    if len(set(rows)) != E:
        return None
    strict = np.zeros((E, E), bool)
    for i, pairs in enumerate(mine):
        if sorted(pair.behind for pair in pairs) != sorted(set(rows) - {rows[i]}):
            return None
        for pair in pairs:
            strict[i, rows.index(pair.behind)] = pair.strict
    # Of two one is strict; an order of all has outputs that are strict towards 0, 1, …, E − 1 others.
    if not (strict ^ strict.T)[~np.eye(E, dtype=bool)].all() or sorted(strict.sum(1).tolist()) != list(range(E)):
        return None
    M = float(mine[0][0].M)
    score = Map(start.weight[rows], start.bias[rows], np.full(E, RELU, np.uint8))
    return Run(first, first + E, Net.of((score, Map(np.eye(E), np.full(E, -M)))))


def grid_of(layer: Layer) -> float | None:
    """M of a layer that is such a run; None for others."""
    if layer.gate is None or not layer.unit or layer.weighting != "uniform" or len(layer.gate.stored) != 2:
        return None
    last = layer.gate.stored[1]
    (M, *more) = set((-last.bias).tolist())
    return M if not more and M > 0 and np.array_equal(last.weight, np.eye(len(last.bias))) else None


def off_grid(M: float, low: Array, high: Array, error: Array) -> Array:
    """Rows where a score less M, in [low, high] and computed to ±error, (N, E) each, may be no number of [0, M)."""
    return np.asarray((~((low - error >= 0) & (high + error < M))).any(1))
