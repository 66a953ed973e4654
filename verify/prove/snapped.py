"""Groups of scores that are snapped to the grid of a dtype (N20), recognised in a gate of four maps, and what stands for them.

Lemma. Let T have n bits behind the leading one, M be a power of two and q = M/2^n. Let h_i = σ(a_i·x + b_i) be the scores of a run of
outputs, g_i = σ(h_i − M), and z_i = −Σ_j w_ij·σ((g_j − g_i)/q ± ½), w ≥ 1, over all others of the run, + of those before it, − of those
behind. Wherever every score is *computed* as a number in [M, 2M), exactly one z of the run is 0 in T and all others are negative, in any
order of summation: that of the first largest h as computed.

Proof. Numbers of T in [M, 2M) are multiples of q, so g_j is h_j − M exactly, 1/q is a power of two, and (g_j − g_i)/q is a whole number
below 2^n, with ½ one bit more: all sums are exact, in any order. A term is positive if h_j ≥ h_i (j before i), or h_j > h_i (behind), and
then it is ½ at least. So z_i = 0 ⇔ h_i is the first largest. ∎

So a run takes the output whose score is largest as T computes it, and if scores are known to ±η, one whose score is within 2η of the
largest: it is proved as the affine gate a_i·x + b_i in one layer of its own, whose first largest wins, and η is what T adds to a score.
Nothing has to be added for the grid: rounding to it is the last rounding of the sum. That gate is written as σ(a_i·x + b_i) − M, by which
`rounding` knows it, and asks that the computed scores lie in [M, 2M) wherever it is evaluated (`out_of_grid`).

A run of faces beside it passes σ unchanged, through rows that are 1 once: these are gates of two maps again (`groups`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...atlas import Array
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net, NeuronGroup

Indices = NDArray[np.intp]
MAPS = 4
LARGEST = 2.0**100
"""M lies between this and its inverse: far from where numbers of any dtype end."""
SNAP = "a score as it is computed (N20)"


@dataclass(frozen=True, eq=False)
class Apart:
    """A gate of four maps, taken apart."""

    faces: Net
    """Its outputs as far as they are made of faces, in two maps."""
    snapped: Mapping[int, tuple[range, Net]]
    """First output of a run ↦ the run, and the gate that stands for it."""


@dataclass(frozen=True, eq=False)
class _Demands:
    """What an output asks of the others of its run."""

    own: int
    """The number of its score on the grid."""
    others: Mapping[int, float]
    """That of another one ↦ ½ or −½."""


def apart(gate: Net, dtype: DTypeLike) -> Apart | None:
    """The gate's runs of snapped scores, and the rest; None for gates of another form, or without any such run."""
    if len(gate.affines) != MAPS or not gate.plain:
        return None
    first, grid, ahead, out = (map_.astype(float) for map_ in gate.affines)
    if out.bias.any() or not ((out.weight == 0) | (out.weight <= -1)).all():
        return None
    row, lift = _units(grid)
    below, beside = _units(ahead)
    through = np.where((below >= 0) & (beside == 0) & (row[below] >= 0) & (lift[below] == 0), row[below], -1)
    terms = [np.flatnonzero(weights) for weights in out.weight]
    faces = np.zeros((len(out.weight), len(first.bias)))
    for i, own in enumerate(terms):
        if (through[own] >= 0).all():
            np.minimum.at(faces[i], through[own], out.weight[i, own])
    demands = [None if (through[own] >= 0).all() else _demands(own, ahead, row, lift, dtype) for own in terms]
    snapped: dict[int, tuple[range, Net]] = {}
    i = 0
    while i < len(terms):
        if (through[terms[i]] >= 0).all():
            i += 1
            continue
        run = _run(i, demands)
        if run is None:
            return None
        numbers = [found.own for found in demands[run.start : run.stop] if found is not None]
        score = Affine(first.weight[row[numbers]], first.bias[row[numbers]])
        snapped[i] = run, _standing(score, -float(lift[numbers[0]]))
        i = run.stop
    kept = faces.any(0)
    hidden = Affine(first.weight[kept], first.bias[kept])
    two = Net((hidden, Affine(faces[:, kept], out.bias)), ((NeuronGroup("gate.face", int(kept.sum()), "a face"),),))
    return Apart(two, snapped) if snapped else None


def _units(map_: Affine) -> tuple[Indices, Array]:
    """For rows that are 1 once: where, and their bias; −1 for others."""
    unit = ((map_.weight != 0).sum(1) == 1) & (map_.weight == 1).any(1)
    return np.where(unit, np.abs(map_.weight).argmax(1), -1), np.asarray(map_.bias, float)


def _demands(terms: Indices, ahead: Affine, row: Indices, lift: Array, dtype: DTypeLike) -> _Demands | None:
    """What an output asks, if all its terms are (g_j − g_i)/q ± ½ of one i and one M."""
    owns, others = set[int](), dict[int, float]()
    for term in terms:
        weights, bias = ahead.weight[term], float(ahead.bias[term])
        numbers = np.flatnonzero(weights)
        if len(numbers) != 2 or abs(bias) != 0.5:
            return None
        other, own = sorted(numbers.tolist(), key=lambda k: -weights[k])
        M = -float(lift[own])
        steps = 2.0 ** np.finfo(dtype).nmant / M if M > 0 else 0.0
        on_grid = row[own] >= 0 and row[other] >= 0 and lift[own] == lift[other]
        power = np.frexp(M)[0] == 0.5 and 1 / LARGEST <= M <= LARGEST
        if not (on_grid and power and weights[other] == steps and weights[own] == -steps) or other in others:
            return None
        owns.add(own)
        others[other] = bias
    return _Demands(owns.pop(), others) if len(owns) == 1 else None


def _run(start: int, demands: list[_Demands | None]) -> range | None:
    """The outputs from `start` on that ask something of each other, all of them in their order; None if they are no run."""
    if (first := demands[start]) is None:
        return None
    run = range(start, start + len(first.others) + 1)
    some = [found for found in demands[start : run.stop] if found is not None]
    numbers = [found.own for found in some]
    if len(some) != len(run) or len(set(numbers)) != len(run):
        return None
    for i, found in enumerate(some):
        if found.others != {number: 0.5 if j < i else -0.5 for j, number in enumerate(numbers) if j != i}:
            return None
    return run


def _standing(score: Affine, M: float) -> Net:
    """σ(a·x + b) − M."""
    E = len(score.bias)
    return Net((score, Affine(np.eye(E), np.full(E, -M))), ((NeuronGroup("gate.snap", E, SNAP),),))


def lift_of(layer: MoELayer) -> float | None:
    """M of a layer that stands for a run of snapped scores; None for any other."""
    gate = layer.gate
    if gate is None or layer.weighting is not Weighting.UNIFORM or layer.top_k != 1 or len(gate.affines) != 2:
        return None
    last = gate.affines[1]
    M = -float(last.bias[0])
    alike = M > 0 and (last.bias == -M).all() and np.array_equal(last.weight, np.eye(len(last.bias)))
    return M if alike else None


def out_of_grid(M: float, lower: Array, upper: Array, error: Array) -> Array:
    """Where a score less M, in [lower, upper] (N, E) and computed to ±error (V, N, E), may not be in [0, M): (V, N)."""
    return np.asarray(~((lower - error >= 0) & (upper + error < M)).all(2))
