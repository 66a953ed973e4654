"""M looks like a submanifold: no two far-apart intrinsic points share an ambient point, and sheets do not cross.

Suspects are near neighbours in R^k that are far apart in one chart, or that belong to two charts with different tangent
spaces. Gauss–Newton on |φ_a⁻¹(u) − φ_b⁻¹(v)| then decides: a suspect counts only if the distance really reaches zero at
points inside both charts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ...errors import Finding
from ...expressions.box import Array
from ..neighbours import neighbours
from .locate import clip
from .probe import NEAR, Probe, error, jacobians, names, solve_least_squares

FAR = 0.1
"""Intrinsic distance, in half box widths, from which two points of one chart are "far apart"."""
MEET = 1e-8
"""Ambient distance, relative to the size of M, at which two points are the same."""
TRANSVERSAL = 0.05
"""Sine of the angle between two tangent spaces from which sheets cross rather than overlap."""
NEIGHBOURS = 16
TOTAL = 6144
"""Points of M looked at, over all charts."""
SUSPECTS = 12
"""Suspects per pair of charts that are followed up."""
PAIRS = 64
NEWTON_STEPS = 20


def check_injective(probes: Sequence[Probe]) -> list[Finding]:
    """At most one finding per chart."""
    intrinsic = [probe.thin(probe.open, max(128, TOTAL // len(probes))) for probe in probes]
    chart = np.concatenate([np.full(len(u), i) for i, u in enumerate(intrinsic)])
    points = np.concatenate(intrinsic)
    base = np.concatenate([probe.chart.inverse(u) for probe, u in zip(probes, intrinsic, strict=True)])
    matrices = np.concatenate([jacobians(probe.chart, u) for probe, u in zip(probes, intrinsic, strict=True)])
    good = np.isfinite(base).all(-1) & np.isfinite(matrices).all((1, 2))
    chart, points, base, tangents = chart[good], points[good], base[good], np.linalg.qr(matrices[good])[0]
    if len(points) < 2 * NEIGHBOURS:
        return []
    unit = np.concatenate([probes[i].chart.domain.to_unit(points[chart == i]) for i in range(len(probes))])
    distance, near = neighbours(base, NEIGHBOURS)
    first = np.repeat(np.arange(len(base)), NEIGHBOURS)
    second, distance = near.ravel(), distance.ravel()
    same = chart[first] == chart[second]
    far = np.abs(unit[first] - unit[second]).max(-1) > FAR
    cross = np.zeros(len(first), bool)
    cross[~same] = _sine(tangents[first[~same]], tangents[second[~same]]) > 4 * TRANSVERSAL
    keep = np.where(same, far, cross) & (chart[first] <= chart[second])
    first, second, distance = first[keep], second[keep], distance[keep]
    order = np.argsort(np.round(distance / max(float(np.abs(base).max()), 1e-300), 9), kind="stable")
    groups: dict[tuple[int, int], list[int]] = {}
    for k in order:
        group = groups.setdefault((int(chart[first[k]]), int(chart[second[k]])), [])
        if len(group) < SUSPECTS:
            group.append(int(k))
    found: dict[int, Finding] = {}
    size = float(np.abs(base).max())
    for (a, b), group in sorted(groups.items())[:PAIRS]:
        if a in found:
            continue
        finding = _meeting(probes[a], probes[b], points[first[group]], points[second[group]], size)
        if finding is not None:
            found[a] = finding
    return list(found.values())


def _meeting(a: Probe, b: Probe, u: Array, v: Array, size: float) -> Finding | None:
    d = a.chart.dimension
    for turn in range(NEWTON_STEPS):
        matrices = np.concatenate([jacobians(a.chart, u), -jacobians(b.chart, v)], axis=-1)
        residual = b.chart.inverse(v) - a.chart.inverse(u)
        if turn == 4 and not (np.abs(residual).max(-1) < 1e-2 * size).any():
            return None
        step = solve_least_squares(matrices, residual)
        u = clip(a.chart, u + step[:, :d] * a.box.widths / 2)
        v = clip(b.chart, v + step[:, d:] * b.box.widths / 2)
    unit_u, unit_v = a.box.to_unit(u), b.box.to_unit(v)
    gap = np.abs(a.chart.inverse(u) - b.chart.inverse(v)).max(-1)
    meets = (gap <= MEET * size) & a.chart.inside(u) & b.chart.inside(v)
    meets &= np.maximum(np.abs(unit_u), np.abs(unit_v)).max(-1) < 1 - NEAR
    if a is b:
        meets &= np.abs(unit_u - unit_v).max(-1) > FAR
    else:
        tangents = [np.linalg.qr(np.nan_to_num(jacobians(p.chart, w)))[0] for p, w in ((a, u), (b, v))]
        meets &= _sine(*tangents) > TRANSVERSAL
    if not meets.any():
        return None
    k = int(np.argmax(meets))
    where = f'chart "{a.chart.name}": inverse'
    if a is b:
        apart = float(np.abs(unit_u[k] - unit_v[k]).max()) / 2
        problem = f"is not injective: two points {names(a.chart)} that are {apart:.1g} box widths apart have the same image"
        return error(where, problem, "shrink the domain, so that no point of M is reached twice", u[k])
    problem = f'crosses chart "{b.chart.name}": the two meet with different tangent spaces'
    return error(where, problem, "M must not intersect itself: correct the maps, or split the manifold", u[k])


def _sine(one: Array, two: Array) -> NDArray[np.float64]:
    """‖(I − P_two) Q_one‖_F for orthonormal bases [n, k, d]: about the sine of the largest angle between their spans."""
    return np.linalg.norm(one - two @ (two.transpose(0, 2, 1) @ one), axis=(1, 2))
