"""Bumps and partitions that the user gave: numbers ≥ 0, zero off their charts, Σ ρ_i = 1; and bumps that cannot be evaluated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ...errors import Finding
from ...expressions.box import Array
from ...expressions.maps import ExpressionMap
from ..atlas import Atlas
from ..chart import BallChart, Chart
from .domains import check_defined
from .locate import locate
from .maps import check_evaluates
from .probe import Probe, error, face_name, many, number, warning, worst

NEGATIVE = 1e-12
"""A bump below minus this fraction of its largest value is negative (above: rounding)."""
LEAK = 1e-9
"""A bump above this fraction of its largest value is positive (below: rounding in a bump that vanishes there)."""
SUM = 1e-6
"""|Σρ − 1| up to this is rounding, or constants typed with seven digits."""


def given(chart: Chart) -> tuple[str, ExpressionMap] | None:
    """The bump or partition that replaces the default one, and which of the two it is; None for the default."""
    if chart.partition is not None:
        return "partition", chart.partition
    return None if chart.bump is None else ("bump", chart.bump)


def is_ambient(chart: Chart, function: ExpressionMap) -> bool:
    return function.names != chart.inverse.names


def check_forward_known(charts: Sequence[Chart]) -> list[Finding]:
    """A chart without a forward map has a bump in ambient coordinates: no other can be evaluated at a point of R^k."""
    found = []
    for chart in charts:
        own = given(chart)
        if chart.forward is None and (own is None or not is_ambient(chart, own[1])):
            what = "the default bump needs" if own is None else f"a {own[0]} in intrinsic coordinates needs"
            found.append(
                error(
                    f'chart "{chart.name}": forward',
                    f"is missing, but {what} it",
                    "give the forward map, or a bump in ambient coordinates",
                )
            )
    return found


def check_values(probe: Probe) -> list[Finding]:
    """The chart's own bump is finite and ≥ 0 on the closed chart, and positive somewhere."""
    chart = probe.chart
    own = given(chart)
    if own is None:
        return []
    where = f'chart "{chart.name}": {own[0]}'
    points = probe.closed
    arguments = chart.inverse(points) if is_ambient(chart, own[1]) else points
    if found := check_evaluates(where, own[1], arguments[:1]):
        return found
    through = chart.inverse if is_ambient(chart, own[1]) else None
    remedy = "rewrite it so that it is a number ≥ 0 on its chart"
    if found := check_defined(probe, where, own[1], probe.open, through=through, closed=False, remedy=remedy):
        return found
    values = own[1](arguments)[:, 0]
    inner = np.abs(chart.domain.to_unit(points)).max(-1) < 1
    if (bad := ~np.isfinite(values) & inner).any():
        return [error(where, f"is not finite at {many(bad)} of the chart", "rewrite it so that it is a number ≥ 0", points[worst(bad)])]
    values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    if (bad := values < -NEGATIVE * np.abs(values).max()).any():
        problem = f"is negative ({number(values.min())}) at {many(bad)} of the chart"
        found.append(error(where, problem, "use Max(0, …) or another expression ≥ 0", points[worst(-values)]))
    if not (values > 0).any():
        found.append(error(where, "is positive nowhere on its chart", "give a bump that is positive in the middle of the chart"))
    return found


def check_partition(atlas: Atlas, probes: Sequence[Probe], share: int) -> list[Finding]:
    """Supports lie inside charts, no bump is negative or infinite elsewhere on M, and Σρ = 1 where every chart gives ρ."""
    charts = [chart for chart in atlas.charts if isinstance(chart, Chart)]
    with_rho = [chart.name for chart in charts if chart.partition is not None]
    found: list[Finding] = []
    if with_rho and len(with_rho) < len(charts):
        other = next(chart.name for chart in charts if chart.partition is None)
        problem = f'chart "{with_rho[0]}" gives ρ itself, but chart "{other}" does not, so the sum cannot be kept at one'
        found.append(error("partition", problem, "give `partition` for every chart, or call it `bump` to have it normalised"))
    points = [probe.thin(probe.closed, share) for probe in probes]
    base = [probe.chart.inverse(u) for probe, u in zip(probes, points, strict=True)]
    for probe in probes:
        if given(probe.chart) is not None:
            found += _support(atlas, probe, probes, base)
    if with_rho and len(with_rho) == len(charts):
        found += _sum(atlas, probes, points, base)
    return found


def _support(atlas: Atlas, probe: Probe, probes: Sequence[Probe], base: Sequence[Array]) -> list[Finding]:
    """The bump vanishes on the edge of its own chart and at the points of the other charts that lie outside it."""
    chart = probe.chart
    own = given(chart)
    assert own is not None
    where = f'chart "{chart.name}": {own[0]}'

    def bump(y: Array) -> Array:
        if is_ambient(chart, own[1]):
            return own[1](y)[:, 0]
        return atlas.partition.bump(chart, y)

    tall = float(np.nan_to_num(bump(base[probe.index])).max())
    if not tall > 0:
        return []
    remedy = "multiply it by a factor that vanishes there, or enlarge the chart"
    if not is_ambient(chart, own[1]):
        edges = {face_name(chart, face): own[1](points)[:, 0] for face, points in probe.faces.items()}
        places = {face_name(chart, face): points for face, points in probe.faces.items()}
    else:
        edges = {face_name(chart, face): bump(chart.inverse(points)) for face, points in probe.faces.items()}
        places = {face_name(chart, face): points for face, points in probe.faces.items()}
    if len(probe.rim) and not chart.edge:
        places["where the region ends"] = probe.rim
        edges["where the region ends"] = own[1](probe.rim if not is_ambient(chart, own[1]) else chart.inverse(probe.rim))[:, 0]
    if edges:
        name = max(edges, key=lambda e: round(float(np.nan_to_num(edges[e]).max()) / tall, 6))
        values = np.nan_to_num(edges[name])
        if values.max() > LEAK * tall:
            face = name if name.startswith("where") else f"on the face {name}"
            problem = f"does not vanish at the edge of its chart: it is {number(values.max())} {face}"
            return [error(where, problem, remedy, places[name][worst(values)])]
    if not is_ambient(chart, own[1]):
        return []  # evaluated through φ it is zero off the chart by definition

    def at_m(where: str, problem: str, remedy: str, witness: Array) -> Finding:
        return replace(error(where, problem, remedy, witness), coordinates=atlas.coordinates)

    for other in probes:
        if other is probe:
            continue
        y = base[other.index]
        values = bump(y)
        if (np.isposinf(values)).any():
            return [at_m(where, f'is infinite on chart "{other.chart.name}"', "rewrite it so that it is finite", y[worst(values)])]
        if values.min(initial=0) < -NEGATIVE * tall:
            problem = f"is negative ({number(np.nanmin(values))}) on M outside its chart"
            return [at_m(where, problem, "use Max(0, …) or another expression ≥ 0", y[worst(-np.nan_to_num(values))])]
        positive = np.flatnonzero(np.nan_to_num(values) > LEAK * tall)
        outside = positive[~locate(probe, y[positive])[1]] if len(positive) else positive
        if len(outside):
            k = outside[worst(values[outside])]
            problem = (
                f'leaks out of its chart: it is {number(values[k])} at a point of chart "{other.chart.name}" outside chart "{chart.name}"'
            )
            return [at_m(where, problem, remedy, y[k])]
    return []


def _sum(atlas: Atlas, probes: Sequence[Probe], points: Sequence[Array], base: Sequence[Array]) -> list[Finding]:
    gaps = [np.abs(atlas.bumps(y).sum(-1) - 1) for y in base]
    tops = [round(float(gap.max(initial=0)), 9) for gap in gaps]
    i = int(np.argmax(tops))
    if tops[i] <= SUM:
        return []
    k = worst(gaps[i])
    total = float(atlas.bumps(base[i][k : k + 1]).sum())
    bad = np.concatenate(gaps) > SUM
    problem = f'sums to {total:.4g}, not 1, on chart "{probes[i].chart.name}" (wrong at {many(bad)})'
    return [error("partition", problem, "correct the ρ_i, or call them `bump` to have them normalised", points[i][k])]


def check_derivatives(atlas: Atlas) -> list[Finding]:
    """The default bump depth^p has p bounded derivatives; Theorem 4.8 asks more than (k+3)/2 of ρ on M ⊂ R^k.

    k counts the coordinates before an isometric embedding, along which everything is constant.
    """
    partition, need = atlas.partition, (atlas.base_dimension + 3) / 2
    default = any(isinstance(chart, BallChart) or given(chart) is None for chart in atlas.charts)
    if not default or partition.profile != "polynomial" or partition.power > need:
        return []
    problem = f"the default bump of power {partition.power} has {partition.power} bounded derivatives; Theorem 4.8 asks more than {need:g}"
    return [warning("partition", problem, f'use power {int(need) + 1}, or profile "smooth", if the router\'s width matters')]
