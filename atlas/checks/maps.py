"""Chart maps: finite, inverse to each other, immersions, regions that end inside their boxes, no chart given twice."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import Finding
from ...expressions.box import Array
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from ..atlas import Atlas
from ..chart import INVERSE_TOLERANCE, Chart
from .domains import check_defined
from .probe import Probe, descend, error, face_name, jacobians, many, names, number, warning, worst

DEGENERATE = 1e-6
"""A Jacobian whose smallest singular value is below this fraction of the chart's typical largest one counts as degenerate:
float64 derivatives are trusted to about 1e-8, and `descend` closes in on a zero to about 1e-9."""
POLE = 1e6
"""A map that grows to this many times its median while `descend` still gains a factor 1e3 has a pole."""
FACE = 1e-9
"""A region below this fraction of its value at the centre ends on a face of the box (below: rounding of the face)."""
STARTS = 4
STAY_AWAY = "shrink the chart's domain, or give it a region, so that it stays away"


def check_evaluates(where: str, function: ExpressionMap, points: Array) -> list[Finding]:
    """Every component is a real expression that numpy can evaluate."""
    for k, expression in enumerate(function.expressions):
        if expression.has(sympy.I, sympy.zoo, sympy.nan, sympy.oo, sympy.S.NegativeInfinity):
            return [
                error(
                    f"{where}[{k}]" if function.outputs > 1 else where,
                    f"`{expression}` is not a real number",
                    "write an expression that is real and finite on the chart",
                )
            ]
    try:
        function(points)
    except Exception as failure:  # whatever numpy or sympy object to is the finding
        return [error(where, f"cannot be evaluated ({type(failure).__name__})", "use functions of real numbers that numpy knows")]
    return []


def check_region(probe: Probe, of_manifold: ExpressionMap | None) -> list[Finding]:
    """The region is a number everywhere, positive at the box's centre, and ends before the box does.

    The default bump is the region divided by its value at the centre, so it vanishes on the edge of U only if the
    region does; a chart with a bump of its own may end at the box. Where M itself ends at a region, that of the chart is
    `of_manifold` through φ⁻¹, and it is the latter, in the words of the user, that is told to be undefined.
    """
    chart = probe.chart
    if chart.region is None:
        return []
    where = f'chart "{chart.name}": region'
    found = check_evaluates(where, chart.region, chart.domain.center)
    if found:
        return found
    whole = Probe(probe.index, dataclasses.replace(chart, region=None), probe.samples, probe.seed)
    if chart.edge and of_manifold is not None:
        every, of = "make it a number on all that the charts cover", f' on chart "{chart.name}"'
        found = check_defined(whole, "manifold: region", of_manifold, whole.everywhere, through=chart.inverse, of=of, remedy=every)
    else:
        found = check_defined(whole, where, chart.region, whole.everywhere, remedy="make it a number on the whole box")
    if found:
        return found
    values = chart.region(probe.everywhere)[:, 0]
    if np.isnan(values).any():
        found.append(
            error(
                where,
                f"is not a number at {many(np.isnan(values))}",
                "make it finite on the whole box",
                probe.everywhere[worst(np.isnan(values))],
            )
        )
    center = chart.region(chart.domain.center)[0]
    if not (values > 0).any():
        return [*found, error(where, "is positive nowhere on the box", "turn its sign round, or move the box")]
    if chart.edge:
        return found
    if not center > 0:
        found.append(
            error(
                where,
                f"is {number(center)}, not positive, at the centre of the box",
                "centre the box in the region: the default bump is scaled by that value",
                chart.domain.center,
            )
        )
    if chart.bump is None and chart.partition is None and probe.faces and center > 0:
        heights = {face: chart.region(points)[:, 0] for face, points in probe.faces.items()}
        face = max(heights, key=lambda f: float(heights[f].max()))
        if heights[face].max() > FACE * center:
            point = probe.faces[face][worst(heights[face])]
            found.append(
                error(
                    where,
                    f"is still positive ({number(heights[face].max())}) on the face {face_name(chart, face)}, where the bump must vanish",
                    "enlarge the box until the region ends inside it, or declare the face `boundary`",
                    point,
                )
            )
    return found


def check_finite(probe: Probe, where: str, function: ExpressionMap, *, remedy: str = STAY_AWAY) -> list[Finding]:
    """A map of intrinsic coordinates is defined, finite and without poles on the closed chart."""
    return check_defined(probe, where, function, probe.closed, remedy=remedy) or check_bounded(probe, where, function, remedy=remedy)


def check_bounded(
    probe: Probe, where: str, function: ExpressionMap, *, through: ExpressionMap | None = None, of: str = "", remedy: str = STAY_AWAY
) -> list[Finding]:
    """A map of intrinsic coordinates, or of ambient ones `through` φ⁻¹, is finite in floats on the closed chart.

    Between the sampled points it is followed to where it grows, in search of a pole.
    """

    def read(u: Array) -> Array:
        return u if through is None else through(u)

    points = probe.closed
    values = function(read(points))
    bad = ~np.isfinite(values).all(-1)
    if bad.any():
        first = worst(bad)
        k = int(np.argmax(~np.isfinite(values[first])))
        name = f"{where}[{k}]" if function.outputs > 1 else where
        return [error(name, f"is not finite{of} at {many(bad)}", remedy, points[first])]
    size = np.abs(values).max(-1)
    starts = points[np.argsort(-size, kind="stable")[:STARTS]]
    at, height = descend(lambda u: -np.abs(function(read(u))).max(-1), starts, probe.chart, seed=probe.seed)
    top = worst(-height)
    if -height[top] > 1e3 * size.max() and -height[top] > POLE * max(_median(size), 1e-12):
        return [error(where, f"grows without bound{of} (a pole)", remedy, at[top])]
    return []


def check_inverse(probe: Probe) -> list[Finding]:
    """φ(φ⁻¹(u)) = u on the open chart, to 1e-6 of the box widths, and φ⁻¹(φ(y)) = y well enough for `Chart.contains`.

    Points exactly on a face are left out: there φ may jump (an angle) without harm, because U is open.
    """
    chart = probe.chart
    if chart.forward is None:
        return []
    where = f'chart "{chart.name}": forward'
    points = probe.open
    remedy = "correct the forward map: it is used at all points of its chart"
    if found := check_defined(probe, where, chart.forward, points, through=chart.inverse, closed=False, remedy=remedy):
        return found
    base = chart.inverse(points)
    back = chart.forward(base)
    off = np.abs((back - points) / chart.domain.widths).max(-1)
    if not np.isfinite(back).all():
        bad = ~np.isfinite(back).all(-1)
        return [error(where, f"forward(inverse{names(chart)}) is not finite at {many(bad)}", "correct the forward map", points[worst(bad)])]
    bad = off > INVERSE_TOLERANCE
    if bad.any():
        outside = np.abs(chart.domain.to_unit(back)).max(-1) > 1 + 2 * INVERSE_TOLERANCE
        call, what = f"forward(inverse{_call(chart)})", names(chart)
        if (outside & bad).any():
            problem = f"{call} leaves the box at {many(outside & bad)}, by up to {number(float(_excess(chart, back).max()))} box widths"
            return [error(where, problem, "enlarge the domain or correct the forward map", points[worst(np.where(outside & bad, off, 0))])]
        problem = f"{call} is not {what} at {many(bad)}: off by up to {number(float(off.max()))} box widths"
        return [error(where, problem, "correct the forward or the inverse map", points[worst(off)])]
    again = chart.inverse(back)
    gap = np.abs(again - base).max(-1) / (1 + np.abs(base).max(-1))
    if (bad := ~(gap <= INVERSE_TOLERANCE)).any():
        return [
            error(
                where,
                f"inverse(forward(y)) is not y at {many(bad)} of the chart: off by up to {number(float(gap.max()))}",
                "write the forward map in a form that loses fewer digits, or shrink the domain",
                points[worst(gap)],
            )
        ]
    return []


def _call(chart: Chart) -> str:
    return names(chart) if chart.dimension > 1 else f"({names(chart)})"


def _excess(chart: Chart, intrinsic: Array) -> Array:
    """How far outside the box, in box widths."""
    return (np.abs(chart.domain.to_unit(intrinsic)).max(-1) - 1) / 2


def check_immersion(probe: Probe, atlas: Atlas, *, sound: bool) -> list[Finding]:
    """∂φ⁻¹/∂u has rank d, bounded away from singular, wherever the chart can be chosen.

    By step 3 of Theorem 4.8 a chart is chosen only where ρ_i ≥ 1/(2E): degenerate there is an error. On the rest of the
    closed chart (say, at the edge of a chart in polar coordinates) it only spoils constants: a warning. `sound` says
    whether the partition can be evaluated at all.
    """
    chart = probe.chart
    where = f'chart "{chart.name}": inverse'
    points = probe.thin(probe.closed, 1024)
    matrices = jacobians(chart, points)
    finite = np.isfinite(matrices).all((1, 2))
    typical = _median(np.linalg.norm(matrices[finite], 2, axis=(1, 2))) if finite.any() else 0.0
    if typical == 0:
        return [error(where, "has a zero derivative everywhere (it is constant)", "give a map of rank d")]

    def chosen(at: Array) -> NDArray[np.bool_]:
        return ~(atlas.rho(chart.inverse(at))[:, probe.index] < 1 / (2 * len(atlas))) if sound else np.ones(len(at), np.bool_)

    routed = chosen(points)
    for part in (points[routed], points[~routed]):
        at = _most_degenerate(probe, part)
        if at is None or not _smallest(chart, at[None])[0] < DEGENERATE * typical:
            continue
        report = error if chosen(at[None])[0] else warning
        problem = f"its Jacobian is degenerate (smallest singular value below {DEGENERATE:g} of the typical largest)"
        remedy = "use coordinates that are regular there, or shrink the domain and let another chart cover the place"
        return [report(where, problem, remedy, at)]
    return []


def _smallest(chart: Chart, points: Array) -> Array:
    """The smallest singular value of ∂φ⁻¹/∂u at each point (n,), in box units."""
    return np.linalg.svd(np.nan_to_num(jacobians(chart, points), posinf=0, neginf=0), compute_uv=False)[:, -1]


def _most_degenerate(probe: Probe, points: Array) -> Array | None:
    if not len(points):
        return None
    starts = points[np.argsort(_smallest(probe.chart, points), kind="stable")[:STARTS]]
    at, value = descend(lambda u: _smallest(probe.chart, u), starts, probe.chart, seed=probe.seed)
    return at[worst(-value)]


def check_duplicates(probes: Sequence[Probe]) -> list[Finding]:
    """No two charts have the same box and the same inverse: the second adds an expert and nothing else."""
    found: list[Finding] = []
    middles: dict[object, list[Probe]] = {}
    for second in probes:
        alike = middles.setdefault((second.chart.domain, _rounded_middle(second)), [])
        for first in alike:
            a, b = first.chart, second.chart
            points = first.thin(first.everywhere, 128)
            one, two = a.inverse(points), b.inverse(points)
            if not np.allclose(one, two, rtol=1e-12, atol=1e-12, equal_nan=True):
                continue
            if not np.array_equal(a.inside(points), b.inside(points)):
                continue
            found.append(
                error(
                    f'chart "{b.name}"', f'is a duplicated chart: same domain and same inverse as chart "{a.name}"', "remove one of the two"
                )
            )
            break
        alike.append(second)
    return found


def _rounded_middle(probe: Probe) -> tuple[float, ...]:
    """Where the middle of the chart's box is on M; of equal maps the same, but for rounding that moves a digit."""
    return tuple(float(f"{v:.9g}") + 0.0 for v in probe.chart.inverse(probe.chart.domain.center).tolist())


def _median(values: Array) -> float:
    """The median of finite numbers; numpy loads all of its masked arrays to compute it."""
    ordered, half = np.sort(values), len(values) // 2
    return float(ordered[half] if len(values) % 2 else (ordered[half - 1] + ordered[half]) / 2)
