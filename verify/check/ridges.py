"""|f − q| of a quadratic polynomial f and ReLUs q in few directions: a sum of functions of one variable each, and next to nothing.

All neurons of q whose rows are multiples of a make a function p(t) of t = a·y, broken at knots. With numbers h and m for each direction,

    f(y) − q(y) = Σ_a (h_a·t² + m_a·t − p_a(t)) + r(y),

whose r is a quadratic polynomial with coefficients that are computed exactly: 0, but for rounding, where f is a sum of squares in the
directions of q, as x·y = (x + y)²/4 − (x − y)²/4. On a stretch of length L between neighbouring knots a term is a quadratic of second
derivative 2·h. With the values A and B at the ends it is A + (B − A)·s/L + h·s·(s − L) at s from the left; its only extreme within, for
|B − A| < |h|·L², is (A + B)/2 − h·L²/4 − (B − A)²/(4·h·L²). Knots, values and extremes are fractions. What a direction adds on a box
is in what the stretches hold that it touches; and f − q lies between the sums of the least and of the largest.

The certificate says nothing of all this. Any h and m give a bound; those taken here are least squares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from .charts import Boxes, Charts, OfCoordinates, OfPoint
from .nets import IDENTITY, RELU, Net
from .quadratics import Quadratic, quadratic
from .slices import Slicer
from .subjects import Subject

FEW = 4
"""Directions of a component, for each quadratic monomial, that are still few."""
ZERO = Fraction(0)


class Direction(NamedTuple):
    """h·t² + m·t − p(t), t = a·y, stretch by stretch."""

    row: Array
    knots: tuple[Array, Array]
    """Those within what t may be, rounded down and up."""
    least: Array
    most: Array


class Output(NamedTuple):
    """One component of f − q."""

    directions: list[Direction]
    rest: tuple[float, float]
    """What r lies in on the piece."""


class Neuron(NamedTuple):
    """weight·act(scale·t + bias)."""

    scale: Fraction
    bias: Fraction
    weight: Fraction
    linear: bool


class Broken(NamedTuple):
    """p on [low, high]: its knots and ends in order, and its values there."""

    row: Array
    at: list[Fraction]
    values: list[Fraction]


@dataclass(frozen=True, eq=False)
class Ridges:
    """Bounds of |f − q| for the experts of a subject."""

    subject: Subject
    reads: list[int]
    """The coordinate of y that each number is which the nets read."""
    found: dict[tuple[int, int], list[Output] | None] = field(default_factory=dict)

    @staticmethod
    def of(subject: Subject) -> Ridges | None:
        """None where experts are no functions of the coordinates alone, or more than one of them makes the output."""
        last, matrix = subject.layers[-1], subject.matrix
        width = subject.domain.base_dimension if matrix is None else len(matrix)
        arriving = Slicer(width, subject.layers).origins[len(subject.layers) - 1]
        origins = [arriving[place] for place in last.reads.tolist()]
        alone = last.unit and last.shared is None and (last.carries < 0).all() and np.array_equal(last.writes, np.arange(len(last.carries)))
        if not last.nets or not alone or subject.moves.any() or any(layer for layer, _ in origins):
            return None
        places = [n for _, n in origins]
        if matrix is not None:
            if not (((matrix != 0).sum(1) == 1) & (matrix == 1).any(1)).all():
                return None
            places = matrix.argmax(1)[places].tolist()
        return Ridges(subject, places) if len(set(places)) == len(places) else None

    def bound(self, piece: int, stored: int, y: Interval) -> Array:
        """|f − q| at most, largest component, where the coordinates lie in y, (N, k), of a piece; ∞ where this shows nothing."""
        if (piece, stored) not in self.found:
            self.found[piece, stored] = self._outputs(piece, self.subject.layers[-1].nets[stored])
        outputs, bound = self.found[piece, stored], np.zeros(len(y.lower))
        if outputs is None:
            return bound + np.inf
        for output in outputs:
            total = Interval(np.full(len(bound), output.rest[0]), np.full(len(bound), output.rest[1]))
            for direction in output.directions:
                total = total + _touched(direction, _form(direction.row, y))
            bound = np.maximum(bound, total.magnitude)
        return np.where(np.isfinite(bound) & np.isfinite(y.magnitude).all(1), bound, np.inf)

    def _outputs(self, piece: int, net: Net) -> list[Output] | None:
        functions, domain = self._functions(piece), self.subject.domain
        kinds = None if len(net.maps) > 2 else net.maps[0].kinds
        plain = len(net.maps) == 1 or (kinds is not None and net.maps[0].up is None and bool((kinds <= RELU).all()))
        _, y = domain.points(piece, domain.lower[piece][None], domain.upper[piece][None])
        if functions is None or not plain or not np.isfinite(y.value.magnitude).all():
            return None
        whole = y.value[0]
        found = [self._output(function, net, n, whole) for n, function in enumerate(functions)]
        known = [output for output in found if output is not None]
        return known if len(known) == len(found) else None

    def _functions(self, piece: int) -> list[Quadratic] | None:
        """f on a piece in the coordinates y."""
        truth, domain = self.subject.truth, self.subject.domain
        if isinstance(truth, OfPoint):
            function = truth.function
        elif isinstance(truth, OfCoordinates) and _plain(domain, piece):
            function = truth.functions[piece]
        else:
            return None
        found = [quadratic(tree, [str(v) for v in function.variables]) for tree in function.trees]
        known = [one for one in found if one is not None]
        return known if len(known) == len(found) else None

    def _output(self, f: Quadratic, net: Net, n: int, whole: Interval) -> Output | None:
        k, last = len(whole.lower), net.maps[-1]
        slope, constant = [ZERO] * k, Fraction(float(last.bias[n]))
        for weights in (net.skip[n], *([last.weight[n]] if len(net.maps) == 1 else [])):
            slope = _plus(slope, [(self.reads[c], Fraction(float(w))) for c, w in enumerate(weights)])
        broken = []
        for row, neurons in self._alike(net, n, k) if len(net.maps) > 1 else []:
            (low,), (high,) = (getattr(_form(row, whole[None]), end).tolist() for end in ("lower", "upper"))
            part, line, shift = _broken(row, neurons, Fraction(low), Fraction(high))
            slope = _plus(slope, [(i, line * Fraction(a)) for i, a in enumerate(row.tolist())])
            constant += shift
            if part is not None:
                broken.append(part)
        if len(broken) > FEW * len(f.curve):
            return None
        return _settled(f, broken, slope, constant, [Fraction(float(size)) for size in whole.magnitude])

    def _alike(self, net: Net, n: int, k: int) -> list[tuple[Array, list[Neuron]]]:
        """The neurons that an output reads, those together whose rows over y are multiples of each other, with one of these rows."""
        hidden = net.maps[0]
        assert hidden.kinds is not None
        rows = np.zeros((len(hidden.bias), k))
        rows[:, self.reads] = hidden.weight
        groups: dict[tuple[Fraction, ...], tuple[Array, list[Neuron]]] = {}
        for j in np.flatnonzero(net.maps[1].weight[n]).tolist():
            exact = [Fraction(a) for a in rows[j].tolist()]
            (lead, *_) = [a for a in exact if a] or [Fraction(1)]
            row, mine = groups.setdefault(tuple(a / lead for a in exact), (rows[j], []))
            (first, *_) = [Fraction(a) for a in row.tolist() if a] or [Fraction(1)]
            bias, weight = Fraction(float(hidden.bias[j])), Fraction(float(net.maps[1].weight[n, j]))
            mine.append(Neuron(lead / first, bias, weight, bool(hidden.kinds[j] == IDENTITY)))
        return list(groups.values())


def _plain(domain: Charts | Boxes, piece: int) -> bool:
    """Whether the coordinates of a piece are those of the points."""
    if isinstance(domain, Boxes):
        return True
    inverse = domain.charts[piece].inverse
    return [getattr(tree, "name", "") for tree in inverse.trees] == [str(v) for v in inverse.variables]


def _form(row: Array, y: Interval) -> Interval:
    """a·y for y in boxes (N, k), (N,)."""
    total = Interval(np.zeros(len(y.lower)), np.zeros(len(y.lower)))
    for i, a in enumerate(row.tolist()):
        if a:
            total = total + y[:, i].times(a)
    return total


def _plus(slope: Sequence[Fraction], more: Sequence[tuple[int, Fraction]]) -> list[Fraction]:
    found = list(slope)
    for place, value in more:
        found[place] += value
    return found


def _broken(row: Array, neurons: Sequence[Neuron], low: Fraction, high: Fraction) -> tuple[Broken | None, Fraction, Fraction]:
    """Σ weight·act(scale·t + bias) on [low, high]: None, slope, constant where nothing bends in between, else the broken line, 0, 0."""
    slope, constant, jumps = ZERO, ZERO, dict[Fraction, Fraction]()
    for scale, bias, weight, linear in neurons:
        ends = scale * low + bias, scale * high + bias
        if linear or ends[0] > 0 or (ends[0] == 0 and ends[1] > 0):
            slope, constant = slope + weight * scale, constant + weight * bias
        if not linear and ends[0] * ends[1] < 0:
            at = -bias / scale
            jumps[at] = jumps.get(at, ZERO) + weight * abs(scale)
    knots = sorted(at for at, jump in jumps.items() if jump)
    if not knots:
        return None, slope, constant
    places, values = [low, *knots, high], [slope * low + constant]
    for left, right in pairwise(places):
        slope += jumps.get(left, ZERO)
        values.append(values[-1] + slope * (right - left))
    return Broken(row, places, values), ZERO, ZERO


def _settled(f: Quadratic, broken: Sequence[Broken], slope: Sequence[Fraction], constant: Fraction, sizes: Sequence[Fraction]) -> Output:
    """h and m by least squares, in directions as long as what t may be; and what they leave."""
    rows = [[Fraction(a) for a in part.row.tolist()] for part in broken]
    reach = [max(abs(part.at[0]), abs(part.at[-1])) for part in broken]
    pairs = {(i, j): 1 if i == j else 2 for i, j in f.curve}
    squares = [[row[i] * row[j] for i, j in pairs] for row in rows]
    wanted = [f.curve[pair] / times for pair, times in pairs.items()]
    h = _solved(squares, wanted, [r**2 for r in reach])
    chords = [(part.values[-1] - part.values[0]) / (part.at[-1] - part.at[0]) for part in broken]
    m = [chord - a * (part.at[0] + part.at[-1]) for chord, part, a in zip(chords, broken, h, strict=True)]
    line = [a - b for a, b in zip(f.slope, slope, strict=True)]
    more = _solved(rows, _without(line, rows, m), reach)
    m = [a + b for a, b in zip(m, more, strict=True)]
    missed = sum((abs(a) * size for a, size in zip(_without(line, rows, m), sizes, strict=True)), ZERO)
    for a, ((i, j), times) in zip(_without(wanted, squares, h), pairs.items(), strict=True):
        missed += times * abs(a) * sizes[i] * sizes[j]
    middle = f.constant - constant
    directions = [_direction(*each) for each in zip(broken, h, m, strict=True)]
    return Output(directions, (_floor(middle - missed), _ceiling(middle + missed)))


def _without(right: Sequence[Fraction], columns: Sequence[Sequence[Fraction]], x: Sequence[Fraction]) -> list[Fraction]:
    """right − Σ x·column."""
    return [value - sum((a * column[n] for a, column in zip(x, columns, strict=True)), ZERO) for n, value in enumerate(right)]


def _solved(columns: Sequence[Sequence[Fraction]], right: Sequence[Fraction], scales: Sequence[Fraction]) -> list[Fraction]:
    """x with right as near to Σ x·column as may be, computed in floats of x·scale."""
    if not columns:
        return []
    matrix = np.array([[float(a / scale) for a in column] for column, scale in zip(columns, scales, strict=True)]).T
    found = np.nan_to_num(np.linalg.lstsq(matrix, np.array([float(b) for b in right]), rcond=None)[0])
    return [Fraction(x) / scale for x, scale in zip(found.tolist(), scales, strict=True)]


def _direction(part: Broken, h: Fraction, m: Fraction) -> Direction:
    """What h·t² + m·t − p(t) lies in, on every stretch."""
    values = [(h * t + m) * t - p for t, p in zip(part.at, part.values, strict=True)]
    least, most = [], []
    for (s, a), (t, b) in pairwise(zip(part.at, values, strict=True)):
        bulge, found = h * (t - s) ** 2, [a, b]
        if abs(b - a) < abs(bulge):
            found.append((a + b) / 2 - bulge / 4 - (b - a) ** 2 / (4 * bulge))
        least.append(_floor(min(found)))
        most.append(_ceiling(max(found)))
    knots = np.array([_floor(t) for t in part.at[1:-1]]), np.array([_ceiling(t) for t in part.at[1:-1]])
    return Direction(part.row, knots, np.array(least), np.array(most))


def _touched(direction: Direction, t: Interval) -> Interval:
    """What the stretches that intervals (N,) touch hold."""
    below, above = direction.knots
    first = np.searchsorted(above, t.lower, side="right")
    last = np.maximum(np.searchsorted(below, t.upper, side="right"), first)
    ranges = np.stack([first, last + 1], axis=1).ravel()
    # A run of no stretch behind the last one, as `reduceat` needs places that exist.
    least, most = np.append(direction.least, np.inf), np.append(direction.most, -np.inf)
    return Interval(np.minimum.reduceat(least, ranges)[::2], np.maximum.reduceat(most, ranges)[::2])


def _floor(value: Fraction) -> float:
    found = float(value)
    return found if Fraction(found) <= value else float(np.nextafter(found, -np.inf))


def _ceiling(value: Fraction) -> float:
    found = float(value)
    return found if Fraction(found) >= value else float(np.nextafter(found, np.inf))
