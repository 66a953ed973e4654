"""Which gate outputs a layer may choose on a box, and with which weights: what is known of logits by their differences.

A layer chooses the K largest logits. Output j may be among them unless K others are surely more than 2η above it, η the error of a
logit. Differences are enclosed, not logits: what two logits share cancels. Of a gate that is a net, the net of the difference is enclosed
(N1), for the kinks of shared neurons do not cancel in radii.
"""

from __future__ import annotations

import itertools
from functools import cache
from math import comb

import numpy as np
import sympy
from numpy.typing import NDArray

from ...atlas import Array, ExpressionMap
from ...intervals import Interval
from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net
from ..enclosure import ExpressionEnclosure, TaylorForms
from ..enclosure.relu import rectify
from ..enclosure.taylor import EPS
from .linear import reached
from .rounding import GENEROUS

Indices = NDArray[np.intp]
MOST_SUBSETS = 64
"""Sets of K that are told apart on one box; with more the box has to be cut."""


def possible(logits: TaylorForms, tolerance: float, top_k: int = 1) -> tuple[Indices, Indices]:
    """Rows and columns of all logits that at most top_k − 1 others surely exceed by more than `tolerance`, (rows, E) forms.

    Logits are compared with those that are largest at the box's middle as differences of forms, in which common parts cancel.
    """
    spread = GENEROUS * (np.abs(logits.coefficients[:, 1:]).sum(1) + logits.radius)
    ceiling = logits.center + spread
    ceiling += EPS * np.abs(ceiling)
    rows = np.arange(len(ceiling))
    beaten = np.zeros(ceiling.shape, np.intp)
    for best in largest(logits.center, top_k):
        floor = logits.center[rows, best] - spread[rows, best] - GENEROUS * tolerance
        floor -= 2 * EPS * (np.abs(logits.center[rows, best]) + spread[rows, best] + tolerance)
        below = ceiling < floor[:, None]
        row, column = np.nonzero(~below)
        own, top = logits.coefficients[row, :, column], logits.coefficients[row, :, best[row]]
        one = TaylorForms(own[:, :, None], logits.radius[row, column][:, None]) - TaylorForms(
            top[:, :, None], logits.radius[row, best[row]][:, None]
        )
        below[row, column] = (column != best[row]) & (one.range().upper[:, 0] < -tolerance)
        beaten += below
    row, column = np.nonzero(beaten < top_k)
    return row, column


def largest(values: Array, count: int) -> Indices:
    """The columns with the largest values of every row, best first, the first of equal ones; (count, rows)."""
    return np.argmax(values, axis=1)[None] if count == 1 else np.argsort(-values, axis=1, kind="stable")[:, :count].T


def difference(net: Net, best: int) -> Net:
    """All outputs of a net less one of them, rounded."""
    last = net.affines[-1]
    return net.with_maps((*net.affines[:-1], Affine(last.weight - last.weight[best], last.bias - last.bias[best])))


def rounded(net: Net, reach: Array) -> Array:
    """What rounding the last map of a net, once an entry, changes for inputs |x| ≤ reach (rows, in); (rows, out)."""
    reach = reached(net, reach)
    return (reach @ np.abs(net.affines[-1].weight).T + np.abs(net.affines[-1].bias)) * (EPS * GENEROUS)


def subsets(
    row: Indices, gate: Indices, rows: int, top_k: int, logits: TaylorForms | None = None, tolerance: float = 0.0
) -> tuple[Indices, Indices]:
    """All sets of K of the outputs that may be chosen in a row: their rows (T,) and outputs (T, K); none for rows that have too many.

    With `logits`, no sets that an output outside surely exceeds one inside of by more than `tolerance`.
    """
    counts = np.bincount(row, minlength=rows)
    found = [(np.empty(0, np.intp), np.empty((0, top_k), np.intp))]
    for count in np.unique(counts[row]):
        if comb(int(count), top_k) <= MOST_SUBSETS:
            mine = counts[row] == count
            sets = np.array(list(itertools.combinations(range(count), top_k)), np.intp)
            own, members = row[mine].reshape(-1, count)[:, 0], gate[mine].reshape(-1, count)
            kept = np.ones((len(own), len(sets)), bool)
            if logits is not None and count > top_k:
                over = _over(logits, own, members, tolerance)
                for n, inside in enumerate(sets):
                    outside = np.setdiff1d(np.arange(count), inside)
                    kept[:, n] = ~over[:, outside[:, None], inside].any((1, 2))
            found.append((np.repeat(own, len(sets))[kept.ravel()], members[:, sets].reshape(-1, top_k)[kept.ravel()]))
    return np.concatenate([rows for rows, _ in found]), np.concatenate([sets for _, sets in found])


def _over(logits: TaylorForms, row: Indices, members: Indices, tolerance: float) -> NDArray[np.bool_]:
    """Which of some outputs of a row surely exceed which by more than `tolerance`, (rows, members, members)."""
    count = members.shape[1]
    first, second = np.repeat(members, count, axis=1), np.tile(members, (1, count))
    a, b = (
        TaylorForms(logits.coefficients[row[:, None], :, part].transpose(0, 2, 1), logits.radius[row[:, None], part])
        for part in (first, second)
    )
    return np.asarray((a - b).range().lower > tolerance * GENEROUS).reshape(len(row), count, count)


def mixed(layer: MoELayer, outputs: list[TaylorForms], logits: TaylorForms, relative: TaylorForms) -> TaylorForms:
    """Σ_k w_k·outputs_k for the layer's weights w at logits s_1, …, s_K (rows, K), `relative` the same less s_1.

    Weights that add up to 1 are those of outputs_k − outputs_1.
    """
    first, width = outputs[0], outputs[0].functions
    if layer.weighting is Weighting.RECTIFIED:
        weights = rectify(logits)
        total = weights[:, [0] * width] * first
        for k in range(1, layer.top_k):
            total = total + weights[:, [k] * width] * outputs[k]
        return total
    for k in range(1, layer.top_k):
        gap = outputs[k] - outputs[0]
        if layer.weighting is Weighting.UNIFORM:
            share = Interval.of(1.0) / Interval.of(float(layer.top_k))
            first = first + gap.scaled(share)
        else:
            first = first + _softmax(layer.top_k, k)(relative)[:, [0] * width] * gap
    return first


@cache
def _softmax(count: int, k: int) -> ExpressionEnclosure:
    """w_k of `count` logits, of their differences to the first."""
    d = sympy.symbols(f"d:{count}", real=True)
    return ExpressionEnclosure(ExpressionMap(d, (1 / (1 + sympy.Add(*(sympy.exp(d[j] - d[k]) for j in range(count) if j != k))),)))
