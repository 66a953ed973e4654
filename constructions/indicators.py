"""Nets that know where they are: squared distances, indicators of balls, and values that are let through inside and shut out outside.

Statement (all exact but the squares). For balls B(c_i, r_i) of R^k, r′_i < r_i with β_i = r_i² − r′_i², and two-layer nets v_i of y:

1. *squares*. q_k interpolates z² at the knots t_0 < … of coordinate k, h_k apart, less h_k²/8: |q_k(z) − z²| ≤ h_k²/8 between the first
   and the last knot. With e = Σ_k h_k²/8 all d̂_i²(y) = Σ_k q_k(y_k) − 2·c_i·y + |c_i|² are within e of |y − c_i|². All balls share the
   neurons.
2. *indicators*. p_i = σ((d̂_i² − r′_i² − e)/(β_i − 2e)) is 0 where |y − c_i| ≤ r′_i and at least 1 where |y − c_i| ≥ r_i, as 2e < β_i:
   1 − min(p_i, 1) is the trapezoid of Chen, Jiang, Liao and Zhao.
3. *gates*. With v_i ≥ −F_i where p_i < 1, v_i ≤ F_i·(2·p_i − 1) where p_i ≥ 1, and b = F_i·(1 − 2·p_i),

       G(v_i, p_i) = σ(v_i + b) − σ(b),   computed from σ(v_i + F_i) and p_i,

   is v_i where p_i = 0, 0 where p_i ≥ 1, and lies between 0 and v_i otherwise, since σ is monotone with slopes at most 1.

Four maps: squares beside the hidden neurons of all v_i; σ(v_i + F_i) beside p_i; the gates; their sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..atlas import Array
from ..moe.network import Affine, Net, NeuronGroup

SOURCE = "Chen, Jiang, Liao, Zhao 2019"
PART = 1 / 8
"""Of the least band β that squares may be off by: e ≤ β/8."""


@dataclass(frozen=True, eq=False)
class Squares:
    """Piecewise linear interpolants of z², coordinate by coordinate."""

    knots: tuple[Array, ...]
    """Equispaced, for every coordinate."""

    @staticmethod
    def within(lower: Array, upper: Array, error: float) -> Squares:
        """On a box, with Σ_k h_k²/8 ≤ `error`; each coordinate has the same part of it."""
        step = np.sqrt(8 * error / len(lower))
        counts = [max(2, int(np.ceil((high - low) / step)) + 1) for low, high in zip(lower, upper, strict=True)]
        return Squares(tuple(np.linspace(low, high, n) for low, high, n in zip(lower, upper, counts, strict=True)))

    @property
    def error(self) -> float:
        """e."""
        return float(sum(np.diff(t).max() ** 2 for t in self.knots) / 8)

    @property
    def width(self) -> int:
        """A neuron for every knot but the last: beyond it the interpolant is not said to be near."""
        return sum(len(t) - 1 for t in self.knots)

    @property
    def neurons(self) -> Affine:
        """y ↦ y_k − t_kj."""
        rows = [np.eye(len(self.knots))[k] for k, t in enumerate(self.knots) for _ in t[:-1]]
        return Affine(np.array(rows), -np.concatenate([t[:-1] for t in self.knots]))

    def distances(self, centers: Array) -> Affine:
        """d̂², (E,), as an affine map of the neurons."""
        slopes = [np.diff(t**2) / np.diff(t) for t in self.knots]
        square = np.concatenate([np.concatenate([s[:1], np.diff(s)]) for s in slopes])
        weight = np.tile(square, (len(centers), 1))
        first = np.cumsum([0, *(len(t) - 1 for t in self.knots[:-1])])
        weight[:, first] -= 2 * centers
        start = np.array([t[0] for t in self.knots])
        bias = float((start**2).sum()) - self.error + (centers**2).sum(1) - 2 * centers @ start
        return Affine(weight, bias)


@dataclass(frozen=True, eq=False)
class Balls:
    """Balls with the radii r, inside of which something is let through, and r′, inside of which all of it is."""

    centers: Array
    outer: Array
    inner: Array

    @property
    def bands(self) -> Array:
        """β."""
        return self.outer**2 - self.inner**2

    def indicators(self, squares: Squares) -> Affine:
        """What p is σ of, as an affine map of the neurons of the squares. Needs 2e < β."""
        far, e = squares.distances(self.centers), squares.error
        scale = 1 / (self.bands - 2 * e)
        return Affine(scale[:, None] * far.weight, scale * (far.bias - self.inner**2 - e))


def gated_sum(balls: Balls, squares: Squares, values: Sequence[Net], sizes: Array) -> Net:
    """Σ_i G(v_i, p_i), v_i two-layer nets of y and |v_i| ≤ F_i = `sizes[i]`."""
    E, q = len(values), values[0].outputs
    widths = [net.widths[0] for net in values]
    firsts = [squares.neurons, *(net.affines[0] for net in values)]
    hidden = Affine(np.concatenate([map_.weight for map_ in firsts]), np.concatenate([map_.bias for map_ in firsts]))
    second = Affine(np.zeros((E * (q + 1), squares.width + sum(widths))), np.zeros(E * (q + 1)))
    weight, bias = second.weight.copy(), second.bias.copy()
    inside, start = balls.indicators(squares), squares.width
    weight[E * q :, : squares.width], bias[E * q :] = inside.weight, inside.bias
    for i, net in enumerate(values):
        weight[i * q : (i + 1) * q, start : start + widths[i]] = net.affines[1].weight
        bias[i * q : (i + 1) * q] = net.affines[1].bias + sizes[i]
        start += widths[i]
    # σ(w − 2F·p) for every value, then σ(F − 2F·p) for every ball, which all its values share.
    chosen = np.repeat(np.arange(E), q)
    gates = np.zeros((E * (q + 1), E * (q + 1)))
    gates[: E * q, : E * q] = np.eye(E * q)
    gates[np.arange(E * q), E * q + chosen] = -2 * sizes[chosen]
    gates[E * q :, E * q :] = np.diag(-2 * sizes)
    shift = np.concatenate([np.zeros(E * q), sizes])
    out = np.zeros((q, E * (q + 1)))
    for i in range(E):
        out[:, i * q : (i + 1) * q] = np.eye(q)
        out[:, E * q + i] = -1
    groups = (
        (NeuronGroup("square", squares.width, f"squares, for the distances to all centres: {SOURCE}"), *_local(values)),
        (
            NeuronGroup("value", E * q, "the value of a ball, kept positive by a shift, for its gate"),
            NeuronGroup("outside", E, f"0 inside of a ball, 1 and more outside: {SOURCE}"),
        ),
        (
            NeuronGroup("gate", E * q, "value + F − 2F·outside: the value is let through inside"),
            NeuronGroup("shut", E, "F − 2F·outside, what is left of the shift"),
        ),
    )
    return Net((hidden, Affine(weight, bias), Affine(gates, shift), Affine(out, np.zeros(q))), groups)


def _local(values: Sequence[Net]) -> list[NeuronGroup]:
    """The hidden neurons of all local nets."""
    return [group for net in values for group in net.groups[0]]
