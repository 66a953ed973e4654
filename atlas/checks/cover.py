"""The charts cover M: at every point some bump is positive, above all on the edge of every chart.

The edge of U_i consists of the faces of its box that are not declared `boundary` and of the rim where its region ends.
Chart i's own bump vanishes there, so other charts must take over; then ρ_i < 1/E there, and the argmax of Theorem 4.8
leaves chart i before its edge. A hole in the cover always touches the edge of some chart.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import Finding
from ...expressions.box import Array
from ...progress import track
from ..atlas import Atlas
from ..chart import BallChart, Chart
from .probe import Face, Probe, descend, error, face_name, many, worst

DEPTH = 1e-6
"""A point is covered if some chart is this deep there (0 on the edge of a chart, 1 in its middle): touching is not covering."""
FAINT = 1e-12
"""For a bump that the user gave: it covers where it is this fraction of its largest value."""
SHALLOW = 0.3
"""A hole that the samples miss has a sample nearby at which all depths together are below this: depths change by about 1
from the edge of a chart to its middle, and samples are a tenth of that way apart."""
STARTS = 6
NEAR_BARE_FACE = 0.02


def depths(atlas: Atlas, probes: Sequence[Probe], base: Array) -> Array:
    """How deep each chart covers the points: [n, k] to [n, E], positive where its bump is, at most about 1.

    The default bump without its profile; a bump that the user gave, scaled to 1 and so that FAINT becomes DEPTH.
    """
    bumps = np.nan_to_num(atlas.bumps(base), nan=0.0)
    result = np.zeros_like(bumps)
    for i in np.flatnonzero((bumps > 0).any(0)).tolist():
        chart, b = atlas.charts[i], np.maximum(bumps[:, i], 0)
        if isinstance(chart, Chart) and (chart.bump is not None or chart.partition is not None):
            tall = probes[i].tall(atlas.partition)
            result[:, i] = b / tall * (DEPTH / FAINT) if tall > 0 else 0
        elif atlas.partition.profile == "polynomial":
            result[:, i] = b ** (1 / atlas.partition.power)
        else:
            with np.errstate(divide="ignore"):
                result[:, i] = np.where(b > 0, 1 / (1 - np.log(np.minimum(b, 1))), 0)
    return result


def check_cover(atlas: Atlas, probes: Sequence[Probe], share: int) -> list[Finding]:
    """Σ_i bump_i > 0 on the closure of every parametrising chart; `share` points of each chart are looked at, at least.

    For a ball atlas the parametrising boxes only say what M is, so their own faces need no neighbours.
    """
    found: list[Finding] = []
    for probe in track(probes, "is M covered?"):
        found += _chart(atlas, probes, probe, share)
    return found


def _chart(atlas: Atlas, probes: Sequence[Probe], probe: Probe, share: int) -> list[Finding]:
    chart = probe.chart
    where = f'chart "{chart.name}"'

    def depth(points: Array) -> Array:
        # Charts of equations are evaluated without compiling each of them.
        return depths(atlas, probes, atlas.parametrise(probe.index, points).base)

    balls = isinstance(atlas.charts[0], BallChart)
    parts = {face: probe.thin(points, share) for face, points in probe.faces.items()} if not balls else {}
    looked = np.concatenate([probe.thin(probe.closed, share), probe.thin(probe.rim, share), *parts.values()])
    values = depth(looked)
    covered = values.max(-1, initial=0) >= DEPTH
    bare: list[Face] = []
    offset = len(looked) - sum(map(len, parts.values()))
    for face, points in parts.items():
        here = covered[offset : offset + len(points)]
        offset += len(points)
        across = np.abs(np.delete(chart.domain.to_unit(points), face[0], axis=1)).max(-1, initial=0) < 1 - NEAR_BARE_FACE
        if across.any() and not here[across].any():
            bare.append(face)
    found: list[Finding] = []
    if bare:
        listed = ", ".join(face_name(chart, face) for face in bare)
        center = chart.domain.center
        center[bare[0][0]] = (chart.domain.lower, chart.domain.upper)[bare[0][1]][bare[0][0]]
        found.append(
            error(
                where,
                f"no other chart covers its face{'s' if len(bare) > 1 else ''} {listed}",
                "declare it `boundary` if M ends there, else add or enlarge a chart",
                center if chart.inside(center) else probe.faces[bare[0]][0],
            )
        )

    def away(points: Array) -> Array:
        """Off the faces already reported, whose neighbourhood on the other faces is bare as well."""
        unit = chart.domain.to_unit(points)
        keep = np.ones(len(points), bool)
        for k, side in bare:
            keep &= np.abs(unit[:, k] - (2 * side - 1)) > 2 * NEAR_BARE_FACE
        return keep

    keep = away(looked)
    looked, values, hole = looked[keep], values[keep], ~covered[keep]
    if not len(looked):
        return found
    if hole.any():
        inner = np.abs(chart.domain.to_unit(looked)).max(-1)
        k = worst(np.where(hole, 2 - np.round(inner, 6), 0))  # the hole's point nearest to the middle of the chart
        return [*found, _hole(where, f"no chart covers {many(hole)} of it and its edge", looked[k])]
    if values.sum(-1).min() > SHALLOW:
        return found
    # A hole between the samples: the sum has slope towards the zero set of all depths, where the maximum is flat along edges.
    starts = looked[np.argsort(np.round(values.sum(-1), 9), kind="stable")[:STARTS]]

    def total(points: Array) -> Array:
        return np.where(away(points), depth(points).sum(-1), np.inf)

    at, value = descend(total, starts, chart, seed=probe.seed)
    k = worst(-value)
    if np.isfinite(value[k]) and depth(at[k : k + 1]).max() < DEPTH:
        found.append(_hole(where, "no chart covers a small part of it or of its edge", at[k]))
    return found


def _hole(where: str, problem: str, witness: Array) -> Finding:
    return error(where, problem, "enlarge the charts until they overlap there, or add a chart", witness)
