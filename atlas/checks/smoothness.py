"""Which expressions are searched for kinks, and what each kink costs.

Theorem 4.8 asks φ_i for more than (D+3)/2 derivatives ("regular") and gives the rate m^{−min(κ/d, 1/2)} for a target
with κ derivatives. A kink leaves one derivative: a warning, since every step of the proof still holds with a worse rate.
A jump (of anything) or an unbounded slope of a chart map breaks a step of the proof: an error. Forward maps are not
searched: on M they are as smooth as the inverses that they invert, and off M nobody evaluates them.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...errors import Finding
from ...expressions.maps import ExpressionMap
from ..task import ChartTarget, ExpressionTarget, ManifoldTask
from .bumps import given, is_ambient
from .kinks import Broken, find_break, report
from .probe import Probe

RATE = "only one derivative is left, so the error falls like m^(-1/d) at best: smooth it, or let chart edges follow it"


def check_charts(probe: Probe, power: int) -> list[Finding]:
    """Inverse maps, regions and bumps of one chart; one finding per map. `power` is that of the default bump."""
    chart = probe.chart
    found = []
    maps: list[tuple[str, ExpressionMap, bool, bool, str]] = [
        ("inverse", chart.inverse, False, True, "the atlas is not regular (Theorem 4.8): use a smooth chart map, or split the chart there")
    ]
    rough = "the router needs more neurons to follow it: use a smooth one"
    if chart.fading is not None:
        maps.append(("region", chart.fading, False, False, rough))
    if (own := given(chart)) is not None:
        maps.append((own[0], own[1], is_ambient(chart, own[1]), False, rough))
    for name, function, ambient, strict, consequence in maps:
        breaks = [
            (b, k)
            for k in range(function.outputs)
            if (b := find_break(probe, function, k, ambient, power if name == "region" else 0)) is not None
        ]
        if breaks:
            broken, k = max(breaks, key=lambda entry: (entry[0].kind, round(entry[0].amount, 6), -entry[1]))
            where = f'chart "{chart.name}": {name}' + (f"[{k}]" if function.outputs > 1 else "")
            found.append(report(broken, where, probe, steep_is_error=strict, consequence=consequence))
    return found


def check_target(task: ManifoldTask, probes: Sequence[Probe]) -> list[Finding]:
    """One finding per component of the target (and chart, if it is given chart by chart). Callables cannot be searched."""
    match task.target:
        case ChartTarget(functions):
            places = [(f'chart "{probe.chart.name}": target', functions[probe.index], False, [probe]) for probe in probes]
        case ExpressionTarget(function):
            places = [("target", function, True, list(probes))]
        case _:
            places = []
    found = []
    for where, function, through, seen in places:
        for k in range(function.outputs):
            breaks = [(broken, probe) for probe in seen if (broken := find_break(probe, function, k, through)) is not None]
            if breaks:
                broken, probe = max(breaks, key=lambda entry: _order(entry[0]))  # the first of equals
                name = where + (f"[{k}]" if function.outputs > 1 else "")
                found.append(report(broken, name, probe, steep_is_error=False, consequence=RATE))
    return found


def _order(broken: Broken) -> tuple[int, float]:
    return broken.kind, round(broken.amount, 3)
