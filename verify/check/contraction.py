"""Tubes of quadratic equations, shown in Euclidean norms: existence by contractions, unlike the search (B22).

In coordinates y = (w, u) of a tube g is a polynomial of degree 2, g(y) = a + b·y + ½·yᵀHy, whose coefficients are enclosed once. Over a
box of u, let Y be any matrix.

* Uniqueness. If the symmetric part of 1 − Y·∂_w g has ‖·‖₂ < 1 at all u of the box and all w, ⟨v, Y·A·v⟩ > 0 for every mean A of ∂_w g
  along a segment and every v ≠ 0; for the difference v of two zeros over one u some A·v is 0.
* Existence. Let w̃ = w₀ + K·(u − u₀). If |Y·g(u, w̃)| ≤ η and ‖1 − Y·∂_w g‖₂ ≤ ½ on the ball of radius 2η around w̃, and that ball lies in the
  box of w, then w ↦ w − Y·g(u, w) maps the ball into itself and shrinks distances: it has a zero of g there (Banach).

∂_w g is affine in y, and norms are convex: they are largest at vertices. ‖A‖₂ ≤ ‖(AᵀA)⁴‖_F^(1/8).
"""

from __future__ import annotations

from functools import reduce
from itertools import product

import numpy as np

from ...atlas import Array
from ...expressions.implicit import Tube
from ...intervals import Interval
from ...intervals.numbers import enclose_fraction
from .functions import holds_around
from .nets import Flags
from .quadratics import quadratic

MOST, AT_ONCE, FINEST = 1 << 12, 1 << 9, 2.0**-12
"""Boxes of one tube that are looked at, and together, and their least sides in parts of its own."""
SLACK = 2.0**-44
"""Above the rounding of sums of up to 2⁶ products, in parts of the sum of their sizes."""
GROW = 1 + 2.0**-40
TINY = 1e-290
TOGETHER = 6
"""Coordinates whose vertices are looked at together."""


def contracts(tube: Tube) -> bool:
    """Whether it is shown that over every u of the tube there is exactly one zero in its box."""
    halves = np.array(tube.halves)
    found = Expanded.of(tube)
    if found is None:
        return False
    corners = np.array(list(product((-1.0, 1.0), repeat=len(halves)))) * halves
    with np.errstate(all="ignore"):
        if not found.shown(corners, corners)[0].all():  # nor on any box that holds one
            return False
        return holds_around(lambda lower, upper: found.shown(lower, upper)[0], halves, most=MOST, at_once=AT_ONCE, finest=FINEST)


class Expanded:
    """The equations of a tube around its centre."""

    def __init__(self, tube: Tube, turn: Interval, value: Interval, first: Interval, second: Interval) -> None:
        """`turn`: [N T]."""
        self.tube, self.turn, self.value, self.first, self.second = tube, turn, value, first, second

    @staticmethod
    def of(tube: Tube) -> Expanded | None:
        """None where they are not quadratic, as they are written."""
        names = [str(v) for v in tube.equations.variables]
        forms = [quadratic(tree, names) for tree in tube.equations.trees]
        k = len(names)
        turn = _stacked([[enclose_fraction(a) for a in row] for row in tube.frame])
        center = Interval.of(np.array(tube.center))
        values, firsts, seconds = [], [], []
        for form in forms:
            if form is None:
                return None
            curve = [[form.curve[min(i, j), max(i, j)] * (2 if i == j else 1) for j in range(k)] for i in range(k)]
            hessian = _stacked([[enclose_fraction(a) for a in row] for row in curve])
            slope = _stacked([[enclose_fraction(a)] for a in form.slope])
            steep = product_of(hessian, center[:, None]) + slope
            values.append(product_of(center[None, :], (steep + slope).times(0.5))[0, 0] + enclose_fraction(form.constant))
            firsts.append(product_of(_transposed(turn), steep)[:, 0])
            seconds.append(product_of(_transposed(turn), product_of(hessian, turn)))
        return Expanded(tube, turn, *(_joined(parts) for parts in (values, firsts, seconds)))

    def shown(self, lower: Array, upper: Array) -> tuple[Flags, Array, Array, Array]:
        """Over which boxes (n, d) of u there is exactly one zero; w₀, K, and how far from w̃ it may be: (n, m), (n, m, d), (n)."""
        heights, m = np.array(self.tube.heights), self.tube.codimension
        middle = lower + (upper - lower) / 2
        radius = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        at, slopes = np.nan_to_num(self.tube.solve(middle)), np.nan_to_num(self.tube.slopes(middle), posinf=0.0, neginf=0.0)
        off = self._off(middle, radius, at, slopes)
        end = (np.abs(at) + np.einsum("nld,nd->nl", np.abs(slopes), radius) + off[:, None]) * GROW
        # Uniqueness, with Y the inverse at w = 0.
        flat = self._slope(np.concatenate([np.zeros_like(at), middle], axis=1))[..., :m]
        weights = Interval.of(_inverse(flat.middle))
        bent = _symmetric(product_of(weights[:, None], self._turned(self.second[:, :, :m])[None]))
        start = _size(_symmetric(product_of(weights, flat)) - Interval.of(np.eye(m)))
        tall = np.broadcast_to(heights, at.shape)
        most = (start + _most(bent[:, m:], radius) + _most(bent[:, :m], tall)) * GROW
        return np.asarray((most < 1) & (end < heights).all(1)), at, slopes, off

    def _off(self, middle: Array, radius: Array, at: Array, slopes: Array) -> Array:
        """2η where the map contracts by ½ as far around w̃, ∞ elsewhere; with Y the inverse at (w₀, u₀)."""
        (n, d), m = middle.shape, at.shape[1]
        point = np.concatenate([at, middle], axis=1)
        steep = self._slope(point)
        y, along = Interval.of(point), Interval.of(np.concatenate([slopes, np.broadcast_to(np.eye(d), (n, d, d))], axis=1))
        weights = Interval.of(_inverse(steep[..., :m].middle))
        half = (steep + _spread(self.first, n)).times(0.5)
        value = product_of(half, y[..., None])[..., 0] + _spread(self.value, n)
        drift = product_of(weights, product_of(steep, along)).magnitude
        second = product_of(self.second[None], along[:, None])
        bent = product_of(weights[:, None], Interval(np.moveaxis(second.lower, 3, 1), np.moveaxis(second.upper, 3, 1)))
        curve = product_of(bent, along[:, None]).magnitude
        sizes = product_of(weights, value[..., None])[..., 0].magnitude + np.einsum("nid,nd->ni", drift, radius)
        sizes = sizes + np.einsum("neid,ne,nd->ni", curve, radius, radius) / 2
        ball = 2 * _root_of_squares(sizes * GROW, 1)
        start = _size(product_of(weights, steep[..., :m]) - Interval.of(np.eye(m)))
        across = product_of(weights[:, None], self._turned(self.second[:, :m, :m])[None])
        gram = reduce(Interval.__add__, [product_of(_transposed(across[:, j]), across[:, j]) for j in range(m)])
        beside = np.sqrt(_norm(gram)) * GROW
        return np.where((start + _most(bent[..., :m], radius) + ball * beside) * GROW <= 0.5, ball, np.inf)

    def _slope(self, point: Array) -> Interval:
        """Dg·[N T] at points y (n, k): (n, m, k)."""
        return product_of(self.second[None], Interval.of(point)[:, None, :, None])[..., 0] + _spread(self.first, len(point))

    @staticmethod
    def _turned(forms: Interval) -> Interval:
        """(m, k, m) by equation, coordinate, w: (k, m, m) by coordinate, equation, w."""
        return Interval(np.swapaxes(forms.lower, 0, 1), np.swapaxes(forms.upper, 0, 1))


def product_of(left: Interval, right: Interval) -> Interval:
    """Of matrices, (…, i, j) and (…, j, k)."""
    return reduce(Interval.__add__, [left[..., :, j, None] * right[..., None, j, :] for j in range(right.lower.shape[-2])])


def _most(matrices: Interval, radius: Array) -> Array:
    """At least ‖Σ_j t_j·B_j‖₂ for |t_j| ≤ radius_j, B (n, j, m, m)."""
    middle = matrices.middle * radius[:, :, None, None]
    error = np.maximum(matrices.upper - matrices.middle, matrices.middle - matrices.lower) * radius[:, :, None, None] + SLACK * np.abs(
        middle
    )
    found = _root_of_squares(error.sum(1) * GROW, 2)
    for start in range(0, radius.shape[1], TOGETHER):
        part = middle[:, start : start + TOGETHER]
        signs = np.array([(1.0, *rest) for rest in product((-1.0, 1.0), repeat=part.shape[1] - 1)])
        found = (found + _norm_of_floats(np.einsum("vj,njab->nvab", signs, part)).max(1)) * GROW
    return found


def _norm(matrices: Interval) -> Array:
    middle = matrices.middle
    return (_norm_of_floats(middle) + _size(matrices - Interval.of(middle))) * GROW


def _norm_of_floats(matrices: Array) -> Array:
    """At least ‖A‖₂, of matrices of floats: ‖A‖₂² = ‖AᵀA‖₂, three times, and each product is off by at most SLACK·‖A‖_F²."""
    sizes = [_root_of_squares(np.abs(matrices), 2)]
    scaled = matrices / np.where(sizes[0] > 0, sizes[0], 1.0)[..., None, None]
    off = []
    for _ in range(3):
        off.append(SLACK * _root_of_squares(np.abs(scaled), 2) ** 2 + TINY)
        scaled = np.swapaxes(scaled, -1, -2) @ scaled
    found = _root_of_squares(np.abs(scaled), 2)
    for slack in reversed(off):
        found = np.sqrt(found + slack) * GROW
    return np.nan_to_num(np.minimum(found * (1 + SLACK), 1.0) * sizes[0] * GROW + TINY, nan=np.inf)


def _size(matrices: Interval) -> Array:
    return _root_of_squares(matrices.magnitude, 2)


def _root_of_squares(sizes: Array, axes: int) -> Array:
    flat = sizes.reshape(*sizes.shape[: sizes.ndim - axes], -1)
    unit = np.maximum(flat.max(-1), TINY)
    return np.nan_to_num(unit * np.sqrt(((flat / unit[..., None]) ** 2).sum(-1)) * GROW, nan=np.inf)


def _inverse(matrices: Array) -> Array:
    """Nearly; 0 where there is none."""
    regular = np.asarray(np.isfinite(matrices).all((-2, -1)))
    safe = np.where(regular[..., None, None], matrices, 0.0)
    regular &= np.abs(np.linalg.det(safe)) > 0
    return np.where(regular[..., None, None], np.linalg.inv(np.where(regular[..., None, None], safe, np.eye(matrices.shape[-1]))), 0.0)


def _stacked(rows: list[list[Interval]]) -> Interval:
    return Interval(*(np.array([[float(getattr(a, end)) for a in row] for row in rows]) for end in ("lower", "upper")))


def _joined(parts: list[Interval]) -> Interval:
    return Interval(*(np.stack([getattr(part, end) for part in parts]) for end in ("lower", "upper")))


def _spread(part: Interval, n: int) -> Interval:
    shape = (n, *part.lower.shape)
    return Interval(np.broadcast_to(part.lower, shape), np.broadcast_to(part.upper, shape))


def _symmetric(a: Interval) -> Interval:
    return (a + _transposed(a)).times(0.5)


def _transposed(a: Interval) -> Interval:
    return Interval(np.swapaxes(a.lower, -1, -2), np.swapaxes(a.upper, -1, -2))
