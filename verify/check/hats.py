"""Layers that weigh their outputs by max(z, 0), of which few are positive at once (N18): a sum over runs of outputs.

Each logit is B − Σ w·σ(s·x + b), w ≥ 0, x one number that the logits of a run all read. It is above −1/2 only where w·(s·x + b) is less
than B + 1/2 for all terms. If at no point more than k ≤ 2 logits of each run are, and all the k are together no more than the layer takes,
then whatever is positive, in reals or computed to within less than 1/4, is taken, and the rest weighs nothing: all experts of all runs
may as well be. What logits are computed to is confirmed of runs whose experts add to the outputs, in the last layer; a run of any other
kind may fill as many places as it has outputs.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ...atlas import Array
from .layers import Layer
from .nets import RELU, Net

NEAR = 0.25
HALF = Fraction(1, 2)
End = Fraction | None
"""None: no end."""


def runs_of(layer: Layer, last: bool) -> list[tuple[int, int]] | None:
    """First and last + 1 of every run; None for layers that are not of this kind. `last`: whether it is the network's last one."""
    if layer.gate is None or layer.weighting != "rectified" or len(layer.gate.stored) != 2:
        return None
    supports = _supports(layer.gate)
    if supports is None:
        return None
    runs: list[tuple[int, int]] = []
    for n, (axis, _, _) in enumerate(supports):
        if runs and axis >= 0 and axis == supports[n - 1][0]:
            runs[-1] = runs[-1][0], n + 1
        else:
            runs.append((n, n + 1))
    deepest = [max(_above(supports[a:b], point) for point in [s[1] for s in supports[a:b]]) for a, b in runs]
    silent = [not last or all(layer.nets[k].silent.all() for k in layer.serves[a:b]) for a, b in runs]
    places = sum(b - a if nothing else most for (a, b), most, nothing in zip(runs, deepest, silent, strict=True))
    return runs if len(runs) > 1 and max(deepest) <= 2 and places <= layer.top_k else None


def _above(supports: list[tuple[int, End, End]], point: End) -> int:
    """How many intervals hold a point, or all that lies far below."""
    if point is None:
        return sum(low is None for _, low, _ in supports)
    return sum((low is None or low <= point) and (high is None or point <= high) for _, low, high in supports)


def _supports(gate: Net) -> list[tuple[int, End, End]] | None:
    """Per output the input that it depends on, −1 for none, and the interval off which it is at most −1/2, exactly."""
    hidden, out = gate.stored
    if hidden.up is not None or np.any(hidden.kinds != RELU) or (out.weight > 0).any() or ((hidden.weight != 0).sum(1) != 1).any():
        return None
    found: list[tuple[int, End, End]] = []
    for row, top in zip(out.weight, out.bias.tolist(), strict=True):
        axes, low, high = set[int](), None, None
        for n in np.flatnonzero(row).tolist():
            axis, slope, end = _end(
                hidden.weight[n], float(hidden.bias[n]), max(Fraction(top) + HALF, Fraction(0)) / -Fraction(float(row[n]))
            )
            axes.add(axis)
            if slope > 0:
                high = end if high is None else min(high, end)
            else:
                low = end if low is None else max(low, end)
        if len(axes) > 1:
            return None
        found.append((axes.pop() if axes else -1, low, high))
    return found


def _end(row: Array, bias: float, most: Fraction) -> tuple[int, float, Fraction]:
    """Where s·x + b is `most`."""
    axis = int(np.flatnonzero(row)[0])
    slope = float(row[axis])
    return axis, slope, (most - Fraction(bias)) / Fraction(slope)
