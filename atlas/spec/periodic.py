"""`box` and `periodic` in `[manifold]` or `[[input]]`: a box some of whose axes are circles, as charts that wrap, and f in its coordinates.

An axis θ of period P = upper − lower is the circle (cos t, sin t), t = 2π(θ − lower)/P: this is what a network reads, so nothing jumps
where θ does. Chart j of n has its middle at θ = lower + (j + 1/2)P/n and reaches 5P/(6n) to each side, in θ itself. So all of the box
is read as it is written, and the first and the last chart overlap within P/(3n) of the seam, where θ of the one runs below `lower` and
of the other above `upper`: f is a function of all θ that near to the box, and on the circle it is one function if f(θ + P) = f(θ). That
charts agree where they overlap is asked of every task; here it is that question.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

from ...errors import Finding
from ...expressions.scope import filled
from ..arguments import MAX_CHARTS, MAX_DIMENSION
from .fields import UNKNOWN, Fields, shown

BOX_KEYS = ("box", "periodic", "charts", "partition", "partition_power", "region", "embed")
LEAST = 3
"""Charts around a circle: of two, each would meet the other on both sides."""

Axis = tuple[str, str, str, bool]
"""Name, lower and upper end as texts, whether it is periodic."""


def with_periods(fields: Fields, tables: Mapping[str, Any]) -> Mapping[str, Any]:
    """The tables of a spec with charts and their targets in the place of a box with periods; as they are if there is none."""
    manifold = tables.get("manifold")
    if not isinstance(manifold, Mapping) or "box" not in manifold or "implicit" in manifold:
        return tables
    table = fields.table(manifold, "manifold", BOX_KEYS)
    target = tables.get("target")
    if "chart" in tables:
        fields.error("chart", "a box brings its own charts", "remove [[chart]], or box")
    targets = target if isinstance(target, list) else [target]
    if any(isinstance(one, Mapping) and "charts" in one for one in targets):
        problem = "of a box is one expression in its coordinates, or a list, a table or a callable"
        fields.error("target", problem, 'write expression = "..." in the place of charts')
    found = _wrapped(fields, table, "manifold")
    if found is None or fields.findings:
        return tables
    ambient, made, charts = found
    left = {**tables, "manifold": {"ambient": ambient, **made}, "chart": charts}
    if isinstance(target, list):
        return {**left, "target": [_chart_by_chart(one, len(charts)) for one in target]}
    if not isinstance(target, Mapping) or set(target) != {"expression"}:
        return left  # a table says itself in which coordinates it is, and a callable is of what is read
    return {key: left[key] for key in left if key != "target"} | {"chart": [{**chart, "target": target["expression"]} for chart in charts]}


def _chart_by_chart(target: Any, count: int) -> Any:
    """One of several targets: an expression in the coordinates of the box is that of every chart."""
    if not isinstance(target, Mapping) or "expression" not in target:
        return target
    return {**{key: value for key, value in target.items() if key != "expression"}, "charts": [target["expression"]] * count}


def periodic_input(fields: Fields, table: Mapping[str, Any], label: str) -> Mapping[str, Any] | None:
    """The table of an `[[input]]` with charts of its own in the place of a box with periods: what is read are its coordinates, and blocks
    on it may be written in those of the box."""
    if other := [key for key in ("coordinates", "domain", "values", "manifold", "chart") if key in table]:
        remedy = "remove it, or box: what is read of a box is called by its axes" if other[0] == "coordinates" else "give one of the two"
        fields.error(f"{label}: {other[0]}", "is given beside a box", remedy)
        return None
    found = _wrapped(fields, table, label)
    if found is None:
        return None
    ambient, made, charts = found
    name = {key: table[key] for key in ("name",) if key in table}
    return {**name, "coordinates": ambient, "manifold": {key: made[key] for key in made if key != "name"}, "chart": charts}


Wrapped = tuple[list[str], dict[str, Any], list[dict[str, Any]]]
"""The names of what is read, the table of the manifold without them, and its charts."""


def _wrapped(fields: Fields, table: Mapping[str, Any], label: str) -> Wrapped | None:
    before = len(fields.findings)
    axes = _axes(fields, table, label)
    count = fields.integer(table.get("charts", LEAST), f"{label}: charts", LEAST, MAX_CHARTS)
    if axes is not None and count is not None and prod(count for *_, around in axes if around) > MAX_CHARTS:
        fields.error(f"{label}: charts", f"{count} around every circle are too many", f"a manifold has at most {MAX_CHARTS}")
    if len(fields.findings) > before or axes is None or count is None:
        return None
    rest = {key: value for key, value in table.items() if key not in ("box", "periodic", "charts")}
    ambient = [name for axis in axes for name in _reads(axis)]
    places = itertools.product(*(range(count) if around else (0,) for *_, around in axes))
    return ambient, {"intrinsic": [axis[0] for axis in axes], **rest}, [_chart(axes, place, count) for place in places]


def _axes(fields: Fields, table: Mapping[str, Any], label: str) -> list[Axis] | None:
    box, periodic = table["box"], table.get("periodic", [])
    if not isinstance(box, Mapping) or not 1 <= len(box) <= MAX_DIMENSION:
        fields.error(f"{label}: box", f"expected a table of intervals, got {shown(box)}", 'write box = { theta = [0, "2*pi"], h = [0, 1] }')
        return None
    around = fields.sequence(periodic, f"{label}: periodic", None, "names")
    for name in around or ():
        if name not in box:
            fields.error(f"{label}: periodic", f"{shown(name)} is no axis of the box", f"the axes are {', '.join(map(str, box))}")
    axes: list[Axis] = []
    for name, pair in box.items():
        where = f"{label}: box: {shown(name)[1:-1]}"
        ends = fields.sequence(pair, where, 2, "two numbers", "end")
        read = None if ends is None else [fields.number(end, f"{where}[{k}]") for k, end in enumerate(ends)]
        if ends is None or read is None or None in read:
            continue
        lower, upper = (number for number in read if number is not None)
        if not lower < upper:
            fields.error(where, f"the lower end {lower:g} is not below the upper end {upper:g}", "give [lower, upper]")
        axes.append((str(name), *(filled(end) if isinstance(end, str) else repr(end) for end in ends), name in (around or ())))  # type: ignore[arg-type]
    return axes


def told_of_axes(findings: list[Finding], inputs: Sequence[Any]) -> list[Finding]:
    """Findings about unknown names that are axes of boxes: no network reads these, and each says what is read in their place."""
    known = {}
    for table in inputs:
        box, around = (table.get(key) for key in ("box", "periodic")) if isinstance(table, Mapping) else (None, None)
        for name in box if isinstance(box, Mapping) else ():
            known[str(name)] = str(table.get("name")), _reads((str(name), "", "", isinstance(around, list) and name in around))

    def told(finding: Finding) -> Finding:
        found = UNKNOWN.search(finding.problem)
        if found is None or found[1] not in known:
            return finding
        of, read = known[found[1]]
        whole = f'or let a block read all of the box, reads = ["{of}"], and write its one expression in {found[1]}'
        return dataclasses.replace(finding, remedy=f"it is an axis of the box {of!r}: read {', '.join(read)}, {whole}")

    return [told(finding) for finding in findings]


def _reads(axis: Axis) -> list[str]:
    """What a network reads of an axis."""
    name, _, _, around = axis
    return [f"cos_{name}", f"sin_{name}"] if around else [f"read_{name}"]


def _chart(axes: list[Axis], place: tuple[int, ...], count: int) -> dict[str, Any]:
    """The chart with number `place` along every circle."""
    domain, inverse, forward, boundary = [], [], [], []
    for axis, j in zip(axes, place, strict=True):
        name, lower, upper, around = axis
        if not around:
            domain.append([lower, upper])
            inverse.append(name)
            forward.append(_reads(axis)[0])
            boundary.append([True, True])
            continue
        period, (c, s) = f"(({upper}) - ({lower}))", _reads(axis)
        middle, turn = f"({lower}) + {2 * j + 1}*{period}/{2 * count}", f"pi*{2 * j + 1}/{count}"
        domain.append([f"{middle} {sign} 5*{period}/{6 * count}" for sign in "-+"])
        angle = f"2*pi*({name} - ({lower}))/{period}"
        inverse += [f"cos({angle})", f"sin({angle})"]
        away = f"atan2(cos({turn})*{s} - sin({turn})*{c}, cos({turn})*{c} + sin({turn})*{s})"
        forward.append(f"{middle} + {period}/(2*pi)*{away}")
        boundary.append([False, False])
    name = "*".join(f"{axis[0]}{j}" for axis, j in zip(axes, place, strict=True) if axis[3]) or "box"
    return {"name": name, "domain": domain, "inverse": inverse, "forward": forward, "boundary": boundary}
