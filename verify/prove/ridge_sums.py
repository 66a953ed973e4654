"""|f − q| of a quadratic polynomial f and a net q of ReLUs in few directions, by functions of one variable.

Let q(y) = Σ_g q_g(a_g·y) + L·y + c, q_g(t) = Σ_j w_j·σ(s_j·t + b_j), and f(y) = yᵀHy + l·y + d. For all numbers h_g, λ_g

    f − q = Σ_g e_g(a_g·y) + ρ(y),   e_g(t) = h_g·t² + λ_g·t − q_g(t),
    ρ(y) = yᵀ(H − Σ_g h_g·a_g·a_gᵀ)y + (l − L − Σ_g λ_g·a_g)·y + d − c,

as for x·y = ((x + y)² − (x − y)²)/4 with the directions (1, 1) and (1, −1). So on any set f − q lies between the sums of what the
e_g lie in, and ρ. Between two knots e_g is a quadratic: its extremes are at the ends, or where the slope is 0. That takes one box where
f − q as a function of several variables takes as many as there are cells between kinks. Everything is computed in fractions, and
rounded outward once. h and λ may be any numbers, and are least squares, which leave nothing in ρ where the directions allow it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...atlas import Array, Chart, ChartTarget, ExpressionTarget, ManifoldTask
from ...intervals import Interval
from ...moe.activations import IDENTITY, RELU
from ...moe.layer import MoELayer
from ...moe.nets import Net
from .choice import Indices
from .layers import EnclosedLayer
from .linear import kinds_of
from .manifold import EnclosedManifold, Place
from .quadratics import Quadratic, quadratic

MOST = 3
"""Directions of a component, for each dimension of the space of quadratic forms, from which on a net is no sum of few profiles."""
SLACK, ULPS = 2.0**-24, 2.0**-44
"""What other choices of h and λ may change, which others have to confirm: a part of the bound, and a part of the size of the h_g·t²."""


class _Profile(NamedTuple):
    """e_g, as what it lies in between two neighbouring knots."""

    row: Array
    """a_g, (k,)."""
    ends: tuple[float, float]
    """What a_g·y lies in on the whole chart."""
    below: Array
    """Knots within, rounded down…"""
    above: Array
    """…and up."""
    least: Array
    """(levels, segments): the least of e_g on 2^level segments from each one on."""
    largest: Array


class _Component(NamedTuple):
    """f − q for one output."""

    profiles: tuple[_Profile, ...]
    rest: Interval
    """What ρ lies in."""
    size: float
    """Σ sup |h_g·t²|."""


class _Kink(NamedTuple):
    """Where q_g has another slope, and by what slope and constant change there."""

    at: Fraction
    slope: Fraction
    constant: Fraction


class _Bent(NamedTuple):
    """q_g: slope·t + constant left of all kinks, which lie in the inner of `ends`."""

    row: Array
    ends: tuple[float, float]
    slope: Fraction
    constant: Fraction
    kinks: list[_Kink]

    def at(self, t: Fraction) -> Fraction:
        passed = [kink for kink in self.kinks if kink.at < t]
        return self.slope * t + self.constant + sum((kink.slope * t + kink.constant for kink in passed), Fraction(0))


@dataclass(eq=False)
class RidgeSums:
    """Bounds of |f − expert| on boxes of one chart, expert by expert."""

    layer: MoELayer
    sources: list[int]
    """Which coordinate of y each number is that the experts read."""
    functions: tuple[Quadratic, ...]
    manifold: EnclosedManifold
    chart: int
    size: Array
    """|y| at most, (k,)."""
    found: dict[int, list[_Component] | None] = field(default_factory=dict)

    @staticmethod
    def of(task: ManifoldTask, manifold: EnclosedManifold, last: EnclosedLayer, chart: int) -> RidgeSums | None:
        """None where f is no quadratic polynomial of what the experts read, or more than one expert makes the output."""
        sources = _sources(last)
        plain = last.single and last.layer.shared is None and (last.layer.sources < 0).all()
        in_order = np.array_equal(last.layer.targets, np.arange(len(last.layer.channels)))
        if sources is None or not (plain and in_order) or manifold.moves is not None:
            return None
        functions = _functions(task, manifold.charts[chart].chart, chart)
        if functions is None or not np.isfinite(_whole(manifold, chart).y.radius).all():
            return None
        return RidgeSums(last.layer, sources, functions, manifold, chart, last.reading.size)

    def __call__(self, stored: int, place: Place) -> Array:
        """|f − expert| at most, largest component, on each box; ∞ where this way says nothing."""
        if stored not in self.found:
            self.found[stored] = self._components(self.layer.experts[stored])
        components, bound = self.found[stored], np.zeros(len(place))
        if components is None:
            return bound + np.inf
        for component in components:
            total, size = component.rest, component.size
            for profile in component.profiles:
                total = total + _over(profile, place.y.affine(profile.row[None]).range()[:, 0])
            bound = np.maximum(bound, total.magnitude * (1 + SLACK) + ULPS * size)
        known = np.isfinite(place.y.radius).all(1) & ~np.isnan(bound)
        return np.where(known, bound, np.inf)

    def _components(self, net: Net) -> list[_Component] | None:
        if len(net.affines) != 2 or (net.ups[0] is not None and (net.ups[0].weight.any() or (net.ups[0].bias != 1).any())):
            return None
        kinds, (hidden, last) = kinds_of(net, 0), net.affines
        if not all(kind in (RELU, IDENTITY) for kind in kinds):
            return None
        rows = np.zeros((len(kinds), len(self.size)))
        rows[:, self.sources] = hidden.weight
        found = []
        for function, weights, constant in zip(self.functions, last.weight, last.bias, strict=True):
            read = np.flatnonzero(weights)
            neurons = [(rows[j], Fraction(float(hidden.bias[j])), Fraction(float(weights[j])), kinds[j] is IDENTITY) for j in read.tolist()]
            component = self._component(function, neurons, Fraction(float(constant)))
            if component is None:
                return None
            found.append(component)
        return found

    def _component(self, f: Quadratic, neurons: Sequence[_Neuron], constant: Fraction) -> _Component | None:
        k = len(self.size)
        slope, groups = [Fraction(0)] * k, dict[tuple[Fraction, ...], list[_Neuron]]()
        for neuron in neurons:
            groups.setdefault(_direction(neuron[0]), []).append(neuron)
        bent = []
        for group in groups.values():
            found = self._bent(group)
            if found.kinks:
                bent.append(found)
                continue
            slope = [s + found.slope * Fraction(float(a)) for s, a in zip(slope, found.row, strict=True)]
            constant += found.constant
        if len(bent) > MOST * k * (k + 1) // 2:
            return None
        return _component(f, bent, slope, constant, [Fraction(float(s)) for s in self.size])

    def _bent(self, neurons: Sequence[_Neuron]) -> _Bent:
        """Neurons of one direction, as a function of a·y, a the first one's row."""
        row = neurons[0][0]
        reach = _whole(self.manifold, self.chart).y.affine(row[None]).range()
        ends = float(reach.lower[0, 0]), float(reach.upper[0, 0])
        first = next((n for n, a in enumerate(row) if a), None)
        slope, constant, kinks = Fraction(0), Fraction(0), dict[Fraction, tuple[Fraction, Fraction]]()
        for own, bias, weight, linear in neurons:
            if first is None:
                constant += weight * (bias if linear else max(bias, Fraction(0)))
                continue
            scale = Fraction(float(own[first])) / Fraction(float(row[first]))
            line, at = (weight * scale, weight * bias), -bias / scale
            inside = not linear and Fraction(ends[0]) < at < Fraction(ends[1])
            left = linear or scale < 0 if inside or linear else (at <= Fraction(ends[0])) == (scale > 0)
            if left:
                slope, constant = slope + line[0], constant + line[1]
            if inside:
                sign = 1 if scale > 0 else -1
                before = kinks.get(at, (Fraction(0), Fraction(0)))
                kinks[at] = before[0] + sign * line[0], before[1] + sign * line[1]
        return _Bent(row, ends, slope, constant, [_Kink(t, *kinks[t]) for t in sorted(kinks) if any(kinks[t])])


_Neuron = tuple[Array, Fraction, Fraction, bool]
"""Row, bias, weight, whether it is the identity."""


def _whole(manifold: EnclosedManifold, chart: int) -> Place:
    """All of a chart as one box."""
    domain = manifold.charts[chart].chart.domain
    return manifold.place(chart, np.array([domain.lower]), np.array([domain.upper]))


def _sources(last: EnclosedLayer) -> list[int] | None:
    """Which coordinate each number is that the experts read; None if some is none, or two are the same."""
    inputs, embedding = last.carries[last.reads], last.reading.embedding
    if (inputs < 0).any():
        return None
    rows = np.eye(len(last.reading.size))[inputs] if embedding is None else embedding[inputs]
    found: list[int] = rows.argmax(1).tolist()
    selects = ((rows != 0).sum(1) == 1).all() and (rows.max(1) == 1).all()
    return found if selects and len(set(found)) == len(found) else None


def _functions(task: ManifoldTask, chart: Chart, number: int) -> tuple[Quadratic, ...] | None:
    """f on a chart as polynomials of y."""
    target = task.target
    if isinstance(target, ExpressionTarget):
        function = target.function
    elif isinstance(target, ChartTarget) and _plain(chart):
        function = target.functions[number]
    else:
        return None
    found = [quadratic(tree, [str(v) for v in function.variables]) for tree in function.trees]
    known = tuple(one for one in found if one is not None)
    return known if len(known) == len(found) else None


def _plain(chart: Chart) -> bool:
    """Whether the coordinates of the chart are those of the points."""
    return [getattr(tree, "name", "") for tree in chart.inverse.trees] == [str(v) for v in chart.inverse.variables]


def _direction(row: Array) -> tuple[Fraction, ...]:
    """The same for rows that are multiples of each other."""
    exact = [Fraction(float(a)) for a in row]
    scale = next((a for a in exact if a), Fraction(1))
    return tuple(a / scale for a in exact)


def _component(f: Quadratic, bent: Sequence[_Bent], slope: Sequence[Fraction], constant: Fraction, size: Sequence[Fraction]) -> _Component:
    """h and λ chosen, and everything that follows from them."""
    k = len(size)
    rows = [[Fraction(float(a)) for a in part.row] for part in bent]
    pairs = [(i, j) for i in range(k) for j in range(i, k)]
    scales = [max(abs(Fraction(end)) for end in part.ends) for part in bent]
    unit = [[a / scale for a in row] for row, scale in zip(rows, scales, strict=True)]  # as long as what a·y may be
    h = _fractions([[a[i] * a[j] for a in unit] for i, j in pairs], [f.square[i][j] for i, j in pairs])
    h = [c / scale**2 for c, scale in zip(h, scales, strict=True)]
    chords = []
    for part, c in zip(bent, h, strict=True):
        low, high = map(Fraction, part.ends)
        chords.append((part.at(high) - part.at(low)) / (high - low) - c * (low + high))
    left = [
        a - b - sum((c * row[i] for c, row in zip(chords, rows, strict=True)), Fraction(0))
        for i, (a, b) in enumerate(zip(f.slope, slope, strict=True))
    ]
    more = _fractions([[a[i] for a in unit] for i in range(k)], left)
    lines = [c + d / scale for c, d, scale in zip(chords, more, scales, strict=True)]
    missed = Fraction(0)
    for i in range(k):
        missed += abs(f.slope[i] - slope[i] - sum((c * row[i] for c, row in zip(lines, rows, strict=True)), Fraction(0))) * size[i]
        for j in range(k):
            missed += (
                abs(f.square[i][j] - sum((c * row[i] * row[j] for c, row in zip(h, rows, strict=True)), Fraction(0))) * size[i] * size[j]
            )
    middle = f.constant - constant
    profiles = tuple(_profile(part, c, line) for part, c, line in zip(bent, h, lines, strict=True))
    squares = [abs(float(c)) * max(map(abs, part.ends)) ** 2 for c, part in zip(h, bent, strict=True)]
    return _Component(profiles, Interval(np.array([_down(middle - missed)]), np.array([_up(middle + missed)])), sum(squares))


def _fractions(system: Sequence[Sequence[Fraction]], right: Sequence[Fraction]) -> list[Fraction]:
    """A solution of a linear system, or what comes near to one."""
    matrix = np.array(system, float)
    if not matrix.size:
        return []
    return [Fraction(float(x)) for x in np.nan_to_num(np.linalg.lstsq(matrix, np.array([float(b) for b in right]), rcond=None)[0])]


def _profile(part: _Bent, h: Fraction, line: Fraction) -> _Profile:
    """e_g on the pieces between its knots."""
    knots = [Fraction(part.ends[0]), *(kink.at for kink in part.kinks), Fraction(part.ends[1])]
    b, c = line - part.slope, -part.constant
    least, largest = [], []
    for n, (left, right) in enumerate(pairwise(knots)):
        if n:
            b, c = b - part.kinks[n - 1].slope, c - part.kinks[n - 1].constant
        values = [(h * t + b) * t + c for t in (left, right)]
        if h and left < (turn := -b / (2 * h)) < right:
            values.append(b * turn / 2 + c)
        least.append(_down(min(values)))
        largest.append(_up(max(values)))
    inner = knots[1:-1]
    ends = np.array([_down(t) for t in inner]), np.array([_up(t) for t in inner])
    return _Profile(part.row, part.ends, *ends, _levels(np.array(least), np.minimum), _levels(np.array(largest), np.maximum))


def _levels(values: Array, choose: np.ufunc) -> Array:
    """(levels, n): the extreme of 2^level numbers from each one on, or of as many as there are."""
    found, step = [values], 1
    while 2 * step <= len(values):
        last = found[-1]
        found.append(np.concatenate([choose(last[:-step], last[step:]), last[len(last) - step :]]))
        step *= 2
    return np.stack(found)


def _over(profile: _Profile, t: Interval) -> Interval:
    """What e_g lies in on intervals, (N,): on all the pieces that they touch."""
    lower, upper = np.maximum(t.lower, profile.ends[0]), np.minimum(t.upper, profile.ends[1])
    first, last = np.searchsorted(profile.above, lower, "right"), np.searchsorted(profile.below, upper, "right")
    first, last = np.minimum(first, last), np.maximum(first, last)
    level: Indices = np.log2(last - first + 1).astype(np.intp)
    level = np.minimum(level, len(profile.least) - 1)
    other = last - (1 << level) + 1
    return Interval(
        np.minimum(profile.least[level, first], profile.least[level, other]),
        np.maximum(profile.largest[level, first], profile.largest[level, other]),
    )


def _down(value: Fraction) -> float:
    near = float(value)
    return near if Fraction(near) <= value else float(np.nextafter(near, -np.inf))


def _up(value: Fraction) -> float:
    return -_down(-value)
