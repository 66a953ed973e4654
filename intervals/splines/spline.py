"""`Spline`: Σ c_{m_1 … m_d}·B_{m_1}(x_1)⋯B_{m_d}(x_d), of degree 1 or 3 in every variable, as a `Field`.

The coefficients are floats and the breaks are, and the function is exactly what they say (`axis`): continuous for degree 1, twice
continuously differentiable for degree 3, everywhere. On boxes it is enclosed in two ways. For a search: on each cell that a box
meets the product is expanded at the middle of what the box has of it, f = Σ a_e·(s − s_0)^e, and |s − s_0| ≤ ρ. To check: by
Bernstein coefficients of the cell, differenced as often as is asked for and cut to the box by de Casteljau; what a polynomial is worth lies
between the least and the largest of them. Rounding is covered in both.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property
from math import comb, perm, prod

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument
from ...expressions import Array
from ...expressions.fields import SMOOTH, Bounds, Field, Orders, key_of
from .axis import Axis, Indices

FEW = 16
"""Cells along one axis that a box may meet to be looked at cell by cell, and 4 times as many in all; of others no more is said than
everywhere."""
AT_ONCE = 1 << 21
"""Coefficients of cells that are held at a time."""
ROUNDING = 2.0**-46
"""Relative to the sum of absolute values: more than 2^5 roundings of each term, weights among them."""
GROW, TINY = 1 + 2.0**-40, 2.0**-1000
LEAST, MOST = 1e-20, 1e20
"""Of the widths of cells."""
LARGEST = MOST**5
"""Of values."""
MAX_CELLS = 4096
"""Along one axis."""


@dataclass(frozen=True, eq=False)
class Spline(Field):
    """A tensor product of splines; equal ones have one key."""

    name: str
    axes: tuple[Axis, ...]
    coefficients: Array
    """(outputs, splines of axis 1, …, splines of axis d)."""
    _whole: dict[tuple[int, Orders], tuple[float, float]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        """Raises `InvalidArgument` for breaks that do not ascend, and coefficients that are not finite or of another shape."""
        if any(axis.breaks.ndim != 1 or not 1 <= axis.cells <= MAX_CELLS for axis in self.axes) or not self.coefficients.size:
            raise InvalidArgument(f"table {self.name!r}: an axis is no list of 2 to {MAX_CELLS + 1} numbers, or there are no values")
        shape = tuple(axis.splines for axis in self.axes)
        if self.coefficients.shape[1:] != shape:
            raise InvalidArgument(f"table {self.name!r}: coefficients of shape {self.coefficients.shape[1:]} for axes with {shape} splines")
        if not np.isfinite(self.coefficients).all() or not np.abs(self.coefficients).max(initial=0.0) < LARGEST:
            raise InvalidArgument(f"table {self.name!r}: has values that are not finite, or beyond {LARGEST:g}; correct them")
        for k, axis in enumerate(self.axes):
            widths = np.diff(axis.breaks)
            if len(widths) < 1 or not np.isfinite(axis.breaks).all() or not (widths >= LEAST).all() or not (widths <= MOST).all():
                raise InvalidArgument(
                    f"table {self.name!r}: axis {k + 1} does not ascend, or not in steps from {LEAST:g} to {MOST:g}; sort it, or rescale it"
                )
        object.__setattr__(self, "coefficients", np.array(self.coefficients, float))
        self.coefficients.flags.writeable = False

    @property
    def inputs(self) -> int:  # type: ignore[override]
        return len(self.axes)

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return len(self.coefficients)

    @property
    def degree(self) -> int:
        return self.axes[0].degree

    @cached_property
    def key(self) -> int:  # type: ignore[override]
        kinds = [f"{axis.degree}{axis.periodic}".encode() for axis in self.axes]
        return key_of(f"spline {self.name}", [*kinds, *(axis.breaks for axis in self.axes), self.coefficients])

    @cached_property
    def lower(self) -> Array:  # type: ignore[override]
        return np.array([-np.inf if axis.periodic else axis.breaks[0] for axis in self.axes])

    @cached_property
    def upper(self) -> Array:  # type: ignore[override]
        return np.array([np.inf if axis.periodic else axis.breaks[-1] for axis in self.axes])

    def evaluate(self, component: int, orders: Orders, points: Array) -> Array:
        points = np.asarray(points, float)
        found = np.full(len(points), np.nan)
        inside = np.flatnonzero((np.isfinite(points) & (points >= self.lower) & (points <= self.upper)).all(1))
        step = max(1, AT_ONCE // (self.degree + 1) ** self.inputs)
        for start in range(0, len(inside), step):
            rows = inside[start : start + step]
            cells, weights = [], []
            for axis, order, x in zip(self.axes, orders, points[rows].T, strict=True):
                cell, x = axis.locate(x)
                width = axis.breaks[cell + 1] - axis.breaks[cell]
                s = (x - axis.breaks[cell]) / width
                powers = [perm(q, order) * s ** max(0, q - order) for q in range(axis.degree + 1)]
                weights.append(np.einsum("njq,qn->nj", axis.powers[cell], powers) / width[:, None] ** order)
                cells.append(cell)
            value = self._active(component, np.stack(cells, axis=1))
            for weight in weights:
                value = np.einsum("nj...,nj->n...", value, weight)
            found[rows] = value
        return found

    def enclose(self, component: int, orders: Orders, lower: Array, upper: Array, *, again: bool = False) -> Bounds:
        lower, upper = np.asarray(lower, float), np.asarray(upper, float)
        low, high = np.zeros((2, len(lower)))
        if max(orders) > self.degree:
            return low, high
        row, cells, ends, many = self._segments(lower, upper)
        if many.any():
            low[many], high[many] = self._everywhere(component, orders)
        step = max(1, AT_ONCE // (self.degree + 1) ** self.inputs)
        bounds = self._by_coefficients if again else self._by_powers
        parts = [bounds(component, orders, cells[at : at + step], ends[:, at : at + step]) for at in range(0, len(row), step)]
        if parts:
            starts = np.flatnonzero(np.diff(row, prepend=-1))
            low[row[starts]] = np.minimum.reduceat(np.concatenate([part[0] for part in parts]), starts)
            high[row[starts]] = np.maximum.reduceat(np.concatenate([part[1] for part in parts]), starts)
        return low, high

    def order(self, lower: Array, upper: Array) -> NDArray[np.intp]:
        row, _, _, many = self._segments(np.asarray(lower, float), np.asarray(upper, float))
        alone = ~many & (np.bincount(row, minlength=len(lower)) == 1)
        return np.where(alone, SMOOTH, self.degree)

    def kinks(self, variable: int) -> Field | None:
        """A saw with its zeros at the breaks."""
        axis = self.axes[variable]
        if self.degree > 1 or 2 * axis.cells > MAX_CELLS or axis.cells < 2:
            return None
        middle = axis.breaks[:-1] + np.diff(axis.breaks) / 2
        breaks = np.append(np.stack([axis.breaks[:-1], middle], axis=1).reshape(-1), axis.breaks[-1])
        teeth = np.array([0.0, 1.0, 0.0, -1.0] * axis.cells)[: 2 * axis.cells + 1]
        return Spline(f"{self.name}:{variable}", (Axis(breaks, 1, axis.periodic),), teeth[None, :-1] if axis.periodic else teeth[None])

    def exactly(self, component: int, orders: Orders, at: Sequence[tuple[Fraction, Fraction]]) -> tuple[Fraction, Fraction] | None:
        """In fractions at the middle; as far off as the slopes allow."""
        if any(orders):
            return None
        weights, active, off = [], [], Fraction(0)
        for k, (axis, (low, high)) in enumerate(zip(self.axes, at, strict=True)):
            x = (low + high) / 2
            if high > low:
                slope = max(map(abs, self._everywhere(component, tuple(int(j == k) for j in range(self.inputs)))))
                off += Fraction(slope) * (high - low) / 2
            if axis.periodic:
                x -= (x - Fraction(float(axis.breaks[0]))) // axis.period * axis.period
            cell = min(max(sum(1 for b in axis.breaks.tolist() if b <= x) - 1, 0), axis.cells - 1)
            start, p = Fraction(float(axis.breaks[cell])), axis.degree
            s = (x - start) / (Fraction(float(axis.breaks[cell + 1])) - start)
            basis = [comb(p, q) * s**q * (1 - s) ** (p - q) for q in range(p + 1)]
            weights.append([sum((a * b for a, b in zip(row, basis, strict=True)), Fraction(0)) for row in axis.exact(cell)])
            active.append(axis.active(np.array([cell]))[0].tolist())
        value = Fraction(0)
        for place in itertools.product(*(range(len(row)) for row in weights)):
            index = tuple(active[k][j] for k, j in enumerate(place))
            value += Fraction(float(self.coefficients[(component, *index)])) * prod(weights[k][j] for k, j in enumerate(place))
        return value - off, value + off

    def _active(self, component: int, cells: Indices) -> Array:
        """The coefficients of the splines that are not 0 on cells (N, d): (N, p + 1, …, p + 1)."""
        d = self.inputs
        index = [
            axis.active(cells[:, k]).reshape(-1, *(axis.degree + 1 if j == k else 1 for j in range(d))) for k, axis in enumerate(self.axes)
        ]
        return np.asarray(self.coefficients[(component, *index)])

    def _segments(self, lower: Array, upper: Array) -> tuple[Indices, Indices, Array, NDArray[np.bool_]]:
        """What boxes have of cells: the box (M,), ascending, the cells (M, d), the corners (2, M, d); and which boxes meet many."""
        N, many = len(lower), np.zeros(len(lower), bool)
        found = []
        for k, axis in enumerate(self.axes):
            segments, more = axis.segments(lower[:, k], upper[:, k], FEW)
            many |= more
            found.append(segments)
        counts = np.stack([np.bincount(segments.row, minlength=N) for segments in found], axis=1)
        many |= counts.prod(1) > 4 * FEW
        row = np.flatnonzero(~many)
        picked: list[Indices] = []
        for k in range(self.inputs):
            start = np.cumsum(counts[:, k]) - counts[:, k]
            times = counts[row, k]
            source = np.repeat(np.arange(len(row)), times)
            offset = np.arange(len(source)) - np.repeat(np.cumsum(times) - times, times)
            picked = [*(index[source] for index in picked), start[row[source]] + offset]
            row = row[source]
        chosen = list(zip(found, picked, strict=True))
        cells: Indices = np.stack([s.cell[index] for s, index in chosen], axis=1)
        ends = np.stack([np.stack([getattr(s, end)[index] for s, index in chosen], axis=1) for end in ("lower", "upper")])
        return row, cells, ends, many

    def _by_powers(self, component: int, orders: Orders, cells: Indices, ends: Array) -> Bounds:
        """By the expansion at the middle of every part."""
        value, radius = self._active(component, cells), np.zeros(())
        reach, scale = [], np.ones(len(cells))
        for k, axis in enumerate(self.axes):
            start, width = axis.breaks[cells[:, k]], np.diff(axis.breaks)[cells[:, k]]
            low, high = ends[:, :, k]
            middle = low + (high - low) / 2
            s = (middle - start) / width
            reach.append(np.maximum(high - middle, middle - low) / width * GROW)
            scale = scale * width ** orders[k]
            weight = np.zeros((len(cells), axis.degree + 1, axis.degree + 1))
            size = np.zeros_like(weight)
            for e in range(axis.degree + 1):
                for q in range(e, axis.degree + 1):
                    term = comb(q, e) * axis.powers[cells[:, k], :, q] * (s ** (q - e))[:, None]
                    weight[:, :, e] += term
                    size[:, :, e] += np.abs(term) + comb(q, e) * np.abs(axis.powers[cells[:, k], :, q]) * 2.0**-50
            value, radius = _contracted(value, radius, weight, ROUNDING * size)
        center, spread = np.zeros(len(cells)), np.zeros(len(cells))
        for exponents in itertools.product(*(range(order, axis.degree + 1) for order, axis in zip(orders, self.axes, strict=True))):
            a, r = (np.broadcast_to(part, value.shape).T[exponents[::-1]] for part in (value, radius))
            factor = float(prod(perm(e, o) for e, o in zip(exponents, orders, strict=True)))
            if exponents == orders:
                center, spread = factor * a, spread + factor * (r + ROUNDING * np.abs(a))
            else:
                far = np.prod([t ** (e - o) for t, e, o in zip(reach, exponents, orders, strict=True)], axis=0)
                spread = spread + factor * (np.abs(a) + r) * far
        return _ends(center / scale, center / scale, spread * GROW / scale + ROUNDING * np.abs(center / scale))

    def _by_coefficients(self, component: int, orders: Orders, cells: Indices, ends: Array) -> Bounds:
        """By the Bernstein coefficients of what every part has of its cell."""
        value, radius, scale = self._active(component, cells), np.zeros(()), np.ones(len(cells))
        for k, (axis, order) in enumerate(zip(self.axes, orders, strict=True)):
            weight = axis.bernstein[cells[:, k]]
            value, radius = _contracted(value, radius, weight, ROUNDING * np.abs(weight))
            start, width = axis.breaks[cells[:, k]], axis.breaks[cells[:, k] + 1] - axis.breaks[cells[:, k]]
            scale = scale * width**order
            for q in range(order):  # the coefficients are those of the last axis now
                size = np.abs(value).max(-1, keepdims=True)
                value = (axis.degree - q) * np.diff(value, axis=-1)
                radius = (axis.degree - q) * (2 * np.broadcast_to(radius, (*size.shape[:-1], axis.degree - q + 1)).max(-1, keepdims=True))
                radius = np.broadcast_to(radius + 8 * ROUNDING * size, value.shape)
            low, high = ((end - start) / width for end in ends[:, :, k])
            low, high = np.clip(low - 2.0**-50, 0.0, 1.0), np.clip(high + 2.0**-50, 2.0**-50, 1.0)
            value = _left_of(high, value)
            value = _left_of(1 - np.maximum(low / high - 2.0**-50, 0.0), value[..., ::-1])[..., ::-1]
            size = np.broadcast_to(np.abs(value).max(-1, keepdims=True), value.shape)
            radius = np.broadcast_to(np.broadcast_to(radius, value.shape).max(-1, keepdims=True), value.shape) + 8 * ROUNDING * size
        flat, off = value.reshape(len(cells), -1), np.broadcast_to(radius, value.shape).reshape(len(cells), -1).max(1)
        least, most = flat.min(1) / scale, flat.max(1) / scale
        return _ends(least, most, off * GROW / scale + ROUNDING * np.maximum(np.abs(least), np.abs(most)))

    def _everywhere(self, component: int, orders: Orders) -> tuple[float, float]:
        """A bound over all of the domain."""
        if (component, orders) not in self._whole:
            low, high = np.inf, -np.inf
            shape = tuple(axis.cells for axis in self.axes)
            step = max(1, AT_ONCE // (self.degree + 1) ** self.inputs)
            for start in range(0, prod(shape), step):
                index = np.unravel_index(np.arange(start, min(start + step, prod(shape))), shape)
                cells = np.stack(index, axis=1)
                ends = np.stack(
                    [np.stack([axis.breaks[cells[:, k] + side] for k, axis in enumerate(self.axes)], axis=1) for side in range(2)]
                )
                least, most = self._by_coefficients(component, orders, cells, ends)
                low, high = min(low, float(least.min())), max(high, float(most.max()))
            self._whole[component, orders] = low, high
        return self._whole[component, orders]


def _contracted(value: Array, radius: Array, weight: Array, off: Array) -> tuple[Array, Array]:
    """Σ_j value_{nj…}·weight_{nje}, the new index last, for values within `radius` and weights within `off`."""
    found = np.einsum("nj...,nje->n...e", value, weight)
    size = np.einsum("nj...,nje->n...e", np.abs(value), np.abs(weight) + off)
    spread = np.einsum("nj...,nje->n...e", np.abs(value), off)
    carried = np.einsum("nj...,nje->n...e", np.broadcast_to(radius, value.shape), np.abs(weight) + off)
    return found, (spread + carried + ROUNDING * size) * GROW + TINY


def _left_of(s: Array, value: Array) -> Array:
    """The Bernstein coefficients, along the last axis, of what polynomials on [0, 1] are on [0, s] (de Casteljau)."""
    s = s.reshape(-1, *(1 for _ in value.shape[1:]))
    found, row = [value[..., :1]], value
    for _ in range(value.shape[-1] - 1):
        row = (1 - s) * row[..., :-1] + s * row[..., 1:]
        found.append(row[..., :1])
    return np.concatenate(found, axis=-1)


def _ends(least: Array, most: Array, off: Array) -> Bounds:
    off = off * GROW + TINY
    return np.nextafter(least - off, -np.inf), np.nextafter(most + off, np.inf)
