"""The target: finite on every chart, one value per point of M, and, if it is a callable, a row-wise function of the right shape."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import Finding, InvalidArgument
from ...expressions.box import Array
from ...expressions.tree import Node
from ...progress import track
from ..foreign import numbers_of, shape_remedy
from ..points import Points
from ..task import CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask
from .digits import check_digits
from .domains import check_defined
from .locate import locate
from .maps import check_bounded, check_evaluates, check_finite
from .probe import Probe, error, many, nearby, number, worst

DEFINE = "define the target on all of M: it is compiled in the sup norm"
DISAGREE = 1e-6
"""Two charts' targets agree at a point if they differ by at most this fraction of the target's range."""
ROUNDING = 1e-9
"""… or of its largest absolute value, for targets that hardly vary."""


def check_target(task: ManifoldTask, probes: Sequence[Probe], points: Points, share: int) -> list[Finding]:
    """`points` are samples of M; `share` points of each chart are compared with every other chart."""
    match task.target:
        case CallableTarget() as target:
            return _callable(target, points)
        case ExpressionTarget() as target:
            return _expression(target, probes, points)
        case ChartTarget() as target:
            found: list[Finding] = []
            for probe in probes:
                where, function = _where(probe), target.functions[probe.index]
                found += check_evaluates(where, function, probe.closed[:1]) or check_finite(probe, where, function, remedy=DEFINE)
            if found:
                return found
            lost = [finding for p in probes for finding in check_digits(p, _where(p), target.functions[p.index])]
            return lost + _overlaps(target, probes, share)
    raise AssertionError("several targets are looked at one by one")


def _where(probe: Probe) -> str:
    return f'chart "{probe.chart.name}": target'


def _expression(target: ExpressionTarget, probes: Sequence[Probe], points: Points) -> list[Finding]:
    if found := check_evaluates("target", target.function, points.base[:1]):
        return found
    reported: set[Node] = set()
    on = {probe.index: f' on chart "{probe.chart.name}"' for probe in probes}
    for probe in probes:
        through, of = probe.chart.inverse, on[probe.index]
        found += check_defined(
            probe, "target", target.function, probe.closed, through=through, of=of, remedy=DEFINE, reported=reported, cut=True
        )
    if found:
        return found
    for probe in probes:
        through, of = probe.chart.inverse, on[probe.index]
        found += check_bounded(probe, "target", target.function, through=through, of=of, remedy=DEFINE) or check_digits(
            probe, "target", target.function, through=through, of=of
        )
    unique = {finding.where: finding for finding in reversed(found)}
    return list(unique.values())


def _callable(target: CallableTarget, points: Points) -> list[Finding]:
    """Shape (N,) or (N, outputs), finite, and the value of a row depends on that row alone."""
    where = f"target {target.name!r}"
    N = len(points)
    if target.function is None:
        return [error(where, "is known by name only", target.to_be_given)]
    try:
        values = numbers_of(target.function, points.base)
        again = numbers_of(target.function, points.base[::-1])
    except InvalidArgument as failure:
        problem, _, remedy = str(failure).rpartition("; ")
        return [error(where, problem, remedy)]
    shapes = [(N, target.outputs)] if target.outputs > 1 else [(N,), (N, 1)]
    if values.shape not in shapes:
        problem = f"returns shape {values.shape} for {N} points, not {' or '.join(map(str, shapes))}"
        return [error(where, problem, shape_remedy(values.shape, N, target.outputs))]
    if again.shape != values.shape:
        problem = f"returns shape {again.shape} for {N} points for which it returned {values.shape} in another order"
        return [error(where, problem, "evaluate row by row")]
    values, again = values.reshape(N, -1), again[::-1].reshape(N, -1)
    if (bad := ~np.isfinite(values).all(-1)).any():
        return [error(where, f"is not finite at {many(bad)} of M", DEFINE, points.base[worst(bad)])]
    tolerance = max(DISAGREE * float(np.ptp(values)), ROUNDING * float(np.abs(values).max()))
    gap = np.abs(values - again).max(-1)
    if gap.max() > tolerance:
        problem = f"gives another value for the same point in another order: off by up to {number(gap.max())}"
        return [error(where, problem, "make it deterministic, each row's value a function of that row alone", points.base[worst(gap)])]
    return []


def _overlaps(target: ChartTarget, probes: Sequence[Probe], share: int) -> list[Finding]:
    """F_i(φ_i(y)) = F_j(φ_j(y)) on U_i ∩ U_j; one finding per chart, with the chart it disagrees with most."""
    values = [target.functions[p.index](p.closed) for p in probes]
    low, high = min(v.min() for v in values), max(v.max() for v in values)
    tolerance = max(DISAGREE * (high - low), ROUNDING * max(abs(low), abs(high)))
    worst_of: dict[int, tuple[float, int, str, Array]] = {}
    near = nearby(probes)
    for probe in track(probes, "do targets agree?"):
        u = probe.thin(probe.open, share)
        base = probe.chart.inverse(u)
        mine = target.functions[probe.index](u)
        for other in near(base):
            if other is probe:
                continue
            v, member = locate(other, base)
            if not member.any():
                continue
            gap = np.abs(mine[member] - target.functions[other.index](v[member])).max(-1)
            if not gap.max() <= tolerance:
                k = worst(gap)
                i, j = sorted((probe.index, other.index))
                entry = (float(gap[k]), j, many(~(gap <= tolerance)), base[member][k])
                if i not in worst_of or entry[0] > worst_of[i][0] * (1 + 1e-6):
                    worst_of[i] = entry
    found = []
    for i, (top, j, share_wrong, y) in sorted(worst_of.items()):
        a, b = probes[i].chart.name, probes[j].chart.name
        found.append(
            error(
                f'target on charts "{a}" and "{b}"',
                f"differs by {number(top)} at a point of both charts (wrong at {share_wrong} common to both)",
                "write both in terms of the same functions on M, such as its ambient coordinates",
                y,
            )
        )
    return found
