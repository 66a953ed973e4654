"""How far points are from what a task says its inputs lie on, and how far points of it may be: for `signs.manifold`."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..atlas import Array, BallChart, Input, TaskGraph
from ..atlas.reach import reach_of

ROUNDING = 1e-6
"""|φ⁻¹(φ(x)) − x| of points of M, in units of 1 + |x|: what float64 leaves of 0, with room (`explain.point`)."""
BOX_ROUNDING = 1e-12


def distance_of(graph: TaskGraph) -> Callable[[Array], tuple[Array, Array, str]] | None:
    """Of points (N, D) a residual and what it may be, both (N,), the worst input's, and which it is; None where no input has one."""
    tests = [(node, test) for node in graph.inputs if (test := _test(node)) is not None]
    if not tests:
        return None

    def distance(points: Array) -> tuple[Array, Array, str]:
        residuals, bounds, start = [], [], 0
        columns = {}
        for node in graph.inputs:
            columns[node.name] = slice(start, start + node.ambient_dimension)
            start += node.ambient_dimension
        for node, (test, _) in tests:
            residual, bound = test(points[:, columns[node.name]])
            residuals.append(residual)
            bounds.append(bound)
        r, b = np.stack(residuals), np.stack(bounds)
        with np.errstate(divide="ignore", invalid="ignore"):
            worst = np.nan_to_num(r / b, nan=np.inf).argmax(0)
        at = np.arange(r.shape[1])
        return r[worst, at], b[worst, at], "; ".join(f"{node.name}: {said}" for node, (_, said) in tests)

    return distance


Test = tuple[Callable[[Array], tuple[Array, Array]], str]


def _test(node: Input) -> Test | None:
    """The test of one input, and in words."""
    if node.box is not None:
        lower, upper = np.array(node.box.lower), np.array(node.box.upper)

        def outside(x: Array) -> tuple[Array, Array]:
            gap = np.maximum(np.maximum(lower - x, x - upper), 0).max(1)
            return gap, BOX_ROUNDING * (1 + np.abs(x).max(1))

        return outside, "by how much it leaves its box"
    balls, reach = _balls(node), reach_of(node.domain)  # type: ignore[arg-type]
    invertible = all(chart.forward is not None for chart in node.domain.parametrising)
    if not invertible and (not balls or reach is None):
        return None

    def residual(x: Array) -> tuple[Array, Array]:
        base = node.unembed(x)
        beside = np.linalg.norm(node.embed(base) - x, axis=1)
        found, bound = beside, ROUNDING * (1 + np.abs(x).max(1))
        if invertible:
            found = beside + _by_inverse(node, base)
        elif reach is not None:
            tangent, allowed = _by_tangents(balls, base, reach)
            found, bound = beside + tangent, bound + allowed
        return found, bound

    return residual, "|φ⁻¹(φ(x)) − x| in its best chart" if invertible else "|x − Dec Enc x| against |x − c|²/(2τ_M) ≤ r²/(2τ_M)"


def _balls(node: Input) -> list[BallChart]:
    return [chart for chart in getattr(node.domain, "charts", ()) if isinstance(chart, BallChart)]


def _by_inverse(node: Input, base: Array) -> Array:
    """min over charts of |φ⁻¹(u) − x|, u the point of the closed box next to φ(x), in the region; ∞ where no chart has one.

    A point of M lies in some chart, whose u is φ(x) itself; putting it back on the box undoes what rounding did at a face.
    """
    best = np.full(len(base), np.inf)
    with np.errstate(all="ignore"):
        for chart in node.domain.parametrising:
            assert chart.forward is not None
            u = chart.forward(base)
            rows = np.flatnonzero(np.isfinite(u).all(1))
            u = np.clip(u, chart.domain.lower, chart.domain.upper)
            rows = rows[chart.inside(u[rows])]
            gap = np.linalg.norm(chart.inverse(u[rows]) - base[rows], axis=1)
            best[rows] = np.minimum(best[rows], np.nan_to_num(gap, nan=np.inf))
    return best


def _by_tangents(balls: list[BallChart], base: Array, reach: float) -> tuple[Array, Array]:
    """Over the balls that hold x the residual that is largest beside |x − c|²/(2τ_M), and that; (∞, 0) where no ball holds x."""
    found, allowed, worst = np.full(len(base), np.inf), np.zeros(len(base)), np.full(len(base), -np.inf)
    for ball in balls:
        offset = base - ball.center
        size = np.linalg.norm(offset, axis=1)
        gap = np.linalg.norm(offset - (offset @ ball.frame) @ ball.frame.T, axis=1)
        may = size**2 / (2 * reach) * (1 + 1e-9)
        more = (size < ball.radius) & (gap - may > worst)
        found, allowed, worst = np.where(more, gap, found), np.where(more, may, allowed), np.where(more, gap - may, worst)
    return found, allowed
