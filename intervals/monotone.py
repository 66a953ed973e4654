"""Tubes proved in Euclidean norms: the equations, preconditioned, are strongly monotone across the tube (B22).

Lemma. Let U and W be boxes, g C² on their image under x(u, w) = c + T·u + N·w, Y a matrix (m, m), μ > 0, and let the symmetric part of
Y·Dg(x(u, w))·N be at least μ for all u ∈ U, w ∈ W. Then F = Y·g(x(u, ·)) has, for each u ∈ U:

* at most one zero in W, for ⟨F(w) − F(w′), w − w′⟩ ≥ μ·|w − w′|² along the segment between two;
* exactly one, within |F(w̃)|/μ of w̃, if there is a w̃ whose distance from the complement of W is larger than that: on larger spheres around
  w̃, ⟨F(w), w − w̃⟩ > 0, so that F has a zero inside (Brouwer). It is a C² function of u, as Dg·N is regular.

Constants. In coordinates y = (w, u) let J = Dg(x(y₀))·[N T], and H ∋ [N T]ᵀ·D²g·[N T] on all of the tube. Then Y·Dg·N is
Y·J·N + Σ_j (y − y₀)_j·Y·H_j for some H_j of these, and the least eigenvalue of a symmetric matrix is concave: coordinates take away from it
at most what they do at vertices; u and w are looked at one after the other, and what they take is added up. For quadratic equations H is
one matrix, and nothing is lost but by that. Skew parts cost nothing, and w counts as a whole, not entry by entry.

Over a box of u around u₀, with half-widths ρ, w̃ = w₀ + K·(u − u₀) and V = [K; 1],

    |F_l(w̃)| ≤ |F_l(w₀)| + Σ_j |(Y·J·V)_lj|·ρ_j + ½·Σ_ij |(Y·VᵀHV)_lij|·ρ_i·ρ_j,

where the second is nothing but rounding for the K that implicit differentiation gives. Existence needs μ in a ball around w̃ only, and has a
Y of its own. All is computed as a ± e (`spreads`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..expressions import Array, ExpressionMap
from ..expressions.frames import Frames
from ..expressions.implicit import Tube
from .arithmetic import Interval
from .decoration import Decoration
from .jets import CurvatureAlgebra, Jet
from .natural import IntervalAlgebra
from .sides import settled
from .slopes import GradientAlgebra, Slope
from .spreads import GROW, TINY, Spread, frobenius, spectrum
from .systems import Matrix, inverted

ROOM = 0.2
"""The least μ, where Y·Dg·N is 1 in the middle of a box: with less, tubes end where other proofs of them find nothing."""
CONSTANT = 2.0**-30
"""Second derivatives that vary by less, in parts of the largest, count as numbers when the next proof is chosen, and for nothing else."""
MOST_KEPT = 1 << 6
STEPS, WIDER = 4, 1.1
"""Of the search for a ball that holds w, which is then so much larger."""
TOGETHER = 6
"""Coordinates whose vertices are looked at together; of more, what each so many take away is added up."""


class Boxed(Protocol):
    """Tubes of the same equations, a row each: `krawczyk.Boxes`."""

    @property
    def run(self) -> Callable[[Any, Sequence[Any]], list[Any]]: ...
    @property
    def frames(self) -> Frames: ...
    @property
    def normal(self) -> Matrix: ...
    @property
    def tangent(self) -> Matrix: ...
    @property
    def tube(self) -> Tube | None: ...
    def point(self, u: Sequence[Any], w: Sequence[Any], algebra: Any) -> list[Any]: ...
    def heights(self, n: int) -> list[Interval]: ...
    def rows(self, which: NDArray[np.intp]) -> Boxed: ...


@dataclass(frozen=True, eq=False)
class Near:
    """Where w is over boxes of u: within `radius` of `at` + `slopes`·(u − `middle`)."""

    there: NDArray[np.bool_]
    """Where for each u there is such a w, in the box of w."""
    shown: NDArray[np.bool_]
    """Where besides there is no other one in that box."""
    middle: Array
    at: Array
    slopes: Array
    radius: Array
    """(n,): Euclidean."""
    reach: Array
    """(n, m): how far w may be from `at`."""

    @property
    def box(self) -> tuple[Array, Array]:
        """What w lies in, corners (n, m)."""
        return np.nextafter(self.at - self.reach, -np.inf), np.nextafter(self.at + self.reach, np.inf)


class Monotone:
    """The equations of tubes, one row each, with their second derivatives over all of each."""

    def __init__(self, boxes: Boxed) -> None:
        self._boxes, frames = boxes, boxes.frames
        n, d = frames.halves.shape
        k = d + frames.heights.shape[1]
        u = [Interval(-s, s) for s in frames.halves.T]
        x = boxes.point(u, boxes.heights(n), IntervalAlgebra())
        turn = Spread.of([[*normal, *tangent] for normal, tangent in zip(boxes.normal, boxes.tangent, strict=True)])
        center = [Interval.of(c) for c in frames.center.T]
        with np.errstate(all="ignore"):
            self.first = _gradients(boxes.run, center).times(turn, "nla,nab->nlb")
            everywhere = _everywhere(frames.equations, boxes.run)
            second = Spread(*(np.broadcast_to(part, (n, *part.shape[1:])) for part in (everywhere.middle, everywhere.error)))
            if not np.isfinite(everywhere.error).all():
                second = _hessians(boxes.run, x, k, n)
            self.second = second.times(turn, "nlab,nbc->nlac").times(turn, "nlac,nad->nldc")
            self.constant = np.asarray((second.error <= CONSTANT * np.abs(second.middle).max((1, 2, 3), keepdims=True)).all((1, 2, 3)))
            """Whether second derivatives of a tube are numbers, up to rounding."""

    def near(self, which: NDArray[np.intp], lower: Array, upper: Array) -> Near:
        """Boxes (n, d) of the tubes of these rows."""
        with np.errstate(all="ignore"):
            return self._near(which, lower, upper)

    def at_corners(self, at_once: int) -> NDArray[np.bool_]:
        """Tubes that are not without hope: of quadratic equations those that are shown at each corner alone, where w is bent most."""
        halves = self._boxes.frames.halves
        corners = np.array(list(product((-1.0, 1.0), repeat=halves.shape[1])))
        rows = np.repeat(np.flatnonzero(self.constant), len(corners))
        u = np.tile(corners, (len(rows) // len(corners), 1)) * halves[rows]
        parts = [slice(start, start + at_once) for start in range(0, len(rows), at_once)]
        shown = np.concatenate([self.near(rows[part], u[part], u[part]).shown for part in parts] or [np.zeros(0, bool)])
        hopeful = np.ones(len(halves), bool)
        hopeful[rows[~shown]] = False
        return hopeful

    def _near(self, which: NDArray[np.intp], lower: Array, upper: Array) -> Near:
        here = self._boxes.rows(which)
        halves, heights = here.frames.halves, here.frames.heights
        m = heights.shape[1]
        first, second = self.first[which], self.second[which]
        middle = lower + (upper - lower) / 2
        radius = np.nextafter(np.maximum(upper - middle, middle - lower), np.inf)
        at = here.tube.solve(middle) if here.tube is not None else here.frames.solve(middle)
        slopes = here.frames.slopes(middle, at)
        found = np.asarray(np.isfinite(at).all(1) & np.isfinite(slopes).all((1, 2)))
        at, slopes = np.where(found[:, None], at, 0.0), np.where(found[:, None, None], slopes, 0.0)
        flat = first + second.times(Spread.exact(np.concatenate([np.zeros_like(at), middle], axis=1)), "nlab,nb->nla")
        inverse = np.nan_to_num(inverted(flat.middle[:, :, :m]), posinf=0.0, neginf=0.0)
        weights = Spread.exact(inverse)
        bent = weights.times(second[:, :, :, :m], "nil,nlja->njia")
        across = _symmetric(weights.times(flat[:, :, :m], "nil,nla->nia"))
        tall = np.broadcast_to(heights, at.shape)
        least = (spectrum(across)[0] - _taken(bent[:, m:], radius) - _taken(bent[:, :m], tall)) / GROW
        off = self._off(here, first, second, middle, at, slopes, radius)
        reach = (np.einsum("nld,nd->nl", np.abs(slopes), radius) + off[:, None]) * GROW
        inside = np.asarray((lower >= -halves).all(1) & (upper <= halves).all(1) & ((np.abs(at) + reach) * GROW < heights).all(1))
        there = found & inside
        return Near(there, there & (least >= ROOM), middle, at, slopes, off, reach)

    def _off(self, here: Boxed, first: Spread, second: Spread, middle: Array, at: Array, slopes: Array, radius: Array) -> Array:
        """How far w may be from w̃ at most; ∞ where none is shown to be there. By a matrix Y of its own, the inverse at w₀."""
        m = at.shape[1]
        tilted = first + second.times(Spread.exact(np.concatenate([at, middle], axis=1)), "nlab,nb->nla")
        weights, along = Spread.exact(np.nan_to_num(inverted(tilted.middle[:, :, :m]), posinf=0.0, neginf=0.0)), _along(slopes)
        bent = weights.times(second.times(along, "nlab,nbe->nlae"), "nil,nlae->niae")
        drift = weights.times(tilted.times(along, "nla,nad->nld"), "nil,nld->nid").magnitude
        curve = bent.times(along, "niae,nad->nide").magnitude
        points = here.point([Interval.of(a) for a in middle.T], [Interval.of(a) for a in at.T], IntervalAlgebra())
        start = weights.times(Spread.of(here.run(IntervalAlgebra(), points)), "nil,nl->ni").magnitude
        sizes = start + np.einsum("nld,nd->nl", drift, radius) + np.einsum("nlde,nd,ne->nl", curve, radius, radius) / 2
        size = frobenius(sizes * GROW, 1)
        least = spectrum(_symmetric(weights.times(tilted[:, :, :m], "nil,nla->nia")))[0]
        turning = Spread(*(np.moveaxis(part[:, :, :m], 3, 1) for part in (bent.middle, bent.error)))
        room = (least - _taken(turning, radius)) / GROW
        across = _symmetric(weights.times(second[:, :, :m, :m], "nil,nlja->njia"))
        beside = np.sqrt(np.maximum(spectrum(_summed(across.times(across, "njia,njab->njib")))[1], 0)) * GROW
        # A ball of radius ρ does if |F(w̃)| < (room − ρ·beside)·ρ: the least such ρ, by some steps.
        ball = np.full(len(at), TINY)
        for _ in range(STEPS):
            ball = np.where(room > ball * beside * GROW, size / (room - ball * beside * GROW), np.inf) * GROW
        return np.where(size < (room - ball * beside * GROW) / GROW * ball * WIDER, ball * WIDER, np.inf)


def _along(slopes: Array) -> Spread:
    """V, (n, k, d)."""
    n, _, d = slopes.shape
    return Spread.exact(np.concatenate([slopes, np.broadcast_to(np.eye(d), (n, d, d))], axis=1))


def _taken(bent: Spread, radius: Array) -> Array:
    """At least ‖sym Σ_j t_j·B_j‖ for |t_j| ≤ radius_j, B (n, j, m, m): at vertices, half of them for each `TOGETHER` coordinates."""
    found = np.zeros(len(radius))
    scaled = _symmetric(bent.times(Spread.exact(radius), "njia,nj->njia"))
    for start in range(0, radius.shape[1], TOGETHER):
        part = scaled[:, start : start + TOGETHER]
        signs = np.array([(1.0, *rest) for rest in product((-1.0, 1.0), repeat=part.middle.shape[1] - 1)])
        least, most = spectrum(Spread.exact(signs).times(part, "vj,njia->nvia"))
        found = (found + np.maximum(-least, most).max(1)) * GROW
    return found


def _summed(matrices: Spread) -> Spread:
    """Over the second axis, symmetric."""
    ones = Spread.exact(np.ones(matrices.middle.shape[1]))
    return _symmetric(ones.times(matrices, "j,njib->nib"))


def _symmetric(matrices: Spread) -> Spread:
    turned = Spread(np.swapaxes(matrices.middle, -1, -2), np.swapaxes(matrices.error, -1, -2))
    both = matrices + turned
    return Spread(both.middle / 2, both.error / 2)


def _gradients(run: Callable[[Any, Sequence[Any]], list[Any]], point: list[Interval]) -> Spread:
    """Dg at points, (n, m, k)."""
    one = Interval.of(1.0)
    parts = run(GradientAlgebra(), [Slope(side, {j: one}) for j, side in enumerate(point)])
    return Spread.of([list(settled(part.partials, part.value, Decoration.LIPSCHITZ, len(point)).values()) for part in parts])


_KEPT: dict[int, tuple[ExpressionMap, Spread]] = {}
"""By the identity of equations, which are kept alive by it."""


def _everywhere(equations: ExpressionMap, run: Callable[[Any, Sequence[Any]], list[Any]]) -> Spread:
    """D²g over all of space, (1, m, k, k): finite for quadratic equations, where it says as much as over any tube."""
    if id(equations) not in _KEPT:
        if len(_KEPT) >= MOST_KEPT:
            _KEPT.clear()
        whole = [Interval(np.array([-np.inf]), np.array([np.inf]))] * equations.inputs
        _KEPT[id(equations)] = equations, _hessians(run, whole, equations.inputs, 1)
    return _KEPT[id(equations)][1]


def _hessians(run: Callable[[Any, Sequence[Any]], list[Any]], x: list[Interval], k: int, n: int) -> Spread:
    """D²g over boxes, (n, m, k, k); by second derivatives q along e_i and e_i + e_j: 2·∂_ij = q(e_i + e_j) − q(e_i) − q(e_j)."""
    zero, one = Interval.of(0.0), Interval.of(1.0)
    pairs = list(combinations(range(k), 2))
    lines = [(i,) for i in range(k)] + pairs
    jets = [
        Jet(side, {l: one for l, line in enumerate(lines) if i in line}, dict.fromkeys(range(len(lines)), zero)) for i, side in enumerate(x)
    ]
    rows = []
    for part in run(CurvatureAlgebra(), jets):
        q = settled(part.second, part.value, Decoration.SMOOTH, len(lines))
        form = [[q[i]] * k for i in range(k)]
        for l, (i, j) in enumerate(pairs, k):
            form[i][j] = form[j][i] = (q[l] - q[i] - q[j]).times(0.5)
        rows.append(form)
    found = Spread.of(rows)
    return Spread(*(np.broadcast_to(part, (n, *part.shape[1:])) for part in (found.middle, found.error)))
