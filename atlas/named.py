"""The coordinates in which findings speak of a point, and findings that say the same of many parts, as one."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from ..errors import Finding
from .atlas import Atlas
from .chart import Chart

QUOTED = re.compile(r'"[^"]*"|\'[^\']*\'')
NUMBER = re.compile(r"[-−+]?\d+(\.\d+)?(e[-+]?\d+)?")
CHART = re.compile(r'chart "([^"]*)"')


def with_coordinates(found: Iterable[Finding], atlas: Atlas) -> list[Finding]:
    """The findings about charts, each that has a witness with the names of its numbers: of a chart's points the chart's own, else M's."""
    charts = {chart.name: chart for chart in atlas.charts if isinstance(chart, Chart)}
    charts |= {chart.name: chart for chart in atlas.parametrising}
    return [replace(finding, coordinates=_names(finding, charts, atlas)) for finding in found]


def _names(finding: Finding, charts: dict[str, Chart], atlas: Atlas) -> tuple[str, ...]:
    if finding.witness is None or finding.coordinates:
        return finding.coordinates
    said = CHART.search(finding.where) or CHART.search(finding.problem)
    if said and not finding.where.startswith("target on charts") and said[1] in charts:
        intrinsic = charts[said[1]].inverse.names
        if len(intrinsic) == len(finding.witness):
            return intrinsic
    if len(finding.witness) == atlas.base_dimension:
        return atlas.coordinates
    first = atlas.parametrising[0].inverse.names
    return first if len(first) == len(finding.witness) else ()


def with_origin(finding: Finding, origins: Mapping[str, str]) -> Finding:
    """The finding with the loop values that made the chart, piece or node at fault: `chart "c01" (i = 0, j = 1): inverse`."""
    labels = [label for label in origins if finding.where == label or finding.where.startswith(f"{label}:")]
    if not labels:
        return finding
    label = max(labels, key=len)
    return replace(finding, where=f"{label} ({origins[label]}){finding.where[len(label) :]}")


def grouped(found: Sequence[Finding]) -> list[list[Finding]]:
    """The findings in their order, those that differ in names and numbers alone together."""
    groups: dict[tuple[str, ...], list[Finding]] = {}
    for finding in found:
        groups.setdefault((finding.severity, *map(_form, (finding.where, finding.problem, finding.remedy))), []).append(finding)
    return list(groups.values())


def _form(text: str) -> str:
    return NUMBER.sub("0", QUOTED.sub('""', text))


def said(group: Sequence[Finding], most: int = 4) -> str:
    """The first finding of a group, and which other parts it holds of."""
    first = str(group[0])
    if len(group) == 1:
        return first
    others = list(dict.fromkeys(finding.where for finding in group[1:]))
    listed = ", ".join(others[:most]) + (", …" if len(others) > most else "")
    return f"{first}; and {len(group) - 1} more like it: {listed}"
