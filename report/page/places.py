"""Points of the domain as the page shows them: a mesh of a surface, lines on a curve, dots of anything else, with what is known at each.

What a point is made of is kept as it was when the page was written: its coordinates, every component of f, Ψ as numpy computes it, the
piece that each block takes, and by what margin. The page turns and colours them, and runs the network where somebody points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, Points, TaskGraph, Tiling
from ...errors import InvalidArgument
from ...moe import Model
from ...moe.design import Site
from ...moe.network import Trace
from ...verify.sample.measure import Gauge
from ..cells import told_apart
from ..evaluation import gauge_of, whole
from ..layers import cells_of
from ..palette import FEW
from .network import components_of
from .store import Store

MOST_VERTICES = 12_000
"""Points that are shown, about."""
MOST_NUMBERS = 400_000
"""Numbers that are kept of all points together: where each has many, there are fewer points."""
SIDES = (5, 110)
"""Fewest and most quadrilaterals along the side of a chart."""
SHARE_POINTS = 16_384
"""Points that loads are counted on."""


@dataclass(frozen=True, eq=False)
class Shape:
    """Points, and how they hang together."""

    kind: str
    """surface, curve or dots."""
    points: Points
    cells: NDArray[np.int64]
    """(n, 4) corners of quadrilaterals, (n, 2) ends of lines, or (0, 1). What a face or a line is coloured by is known at the first."""
    neighbours: frozenset[tuple[int, int]] = frozenset()
    """Pieces of a network of one block whose cells meet."""


def places(model: Model, graph: TaskGraph, store: Store, seed: int) -> dict[str, Any]:
    """The points of a page with all that is known of them, and what experts are loaded with."""
    gauge, components = gauge_of(model), components_of(graph)
    shape = _shape(model, gauge, graph, seed, _count(graph, len(components)))
    with np.errstate(all="ignore"):
        trace = gauge.run(shape.points)
        truth = _truth(gauge, shape.points)
    output = trace.output.astype(float)
    known = truth is not None
    missing = np.full((len(output), len(components)), np.nan)
    true = missing if truth is None else np.stack([truth.values[name] for name in components], axis=-1)
    error = np.full(len(output), np.nan) if truth is None else graph.largest(truth.output - output)
    routes = np.stack([taken[:, 0] for taken in _taken(model, trace)], axis=-1)
    margins = np.stack([_margin(model, graph, k, trace, truth) for k in range(len(graph.blocks))], axis=-1)
    return {
        "kind": shape.kind,
        "count": len(output),
        "coordinates": list(graph.coordinates),
        "base": store.put(shape.points.base, "f8"),
        "cells": store.put(shape.cells, "u4"),
        "corners": shape.cells.shape[1],
        "intrinsic": store.put(shape.points.intrinsic, "f8"),
        "locals": _intrinsic_names(graph),
        "charts": [_chart_names(gauge), store.put(shape.points.chart[:, 0], "u2")],
        "components": list(components),
        "truth": store.put(true, "f8") if known else None,
        "output": store.put(output, "f8"),
        "outputs": list(graph[graph.output].components),
        "error": store.put(error, "f8") if known else None,
        "routes": store.put(np.maximum(routes, 0), "u2"),
        "margins": store.put(margins, "f8"),
        "colors": _colors(model, shape),
    }


def loads(model: Model, graph: TaskGraph, seed: int) -> list[dict[str, Any]]:
    """For every block how many of the points, drawn from all inputs, take each piece; with K experts a point counts K times."""
    gauge = gauge_of(model)
    with np.errstate(all="ignore"):
        taken = _taken(model, gauge.run(gauge.product.sample(SHARE_POINTS, seed)))
    found = []
    for site, chosen in zip(model.design.sites, taken, strict=True):
        counts = np.bincount(chosen[chosen >= 0], minlength=len(site.pieces))
        found.append({"block": site.block, "layer": site.layer + 1, "pieces": list(site.pieces), "counts": counts.tolist()})
    return found


def _count(graph: TaskGraph, components: int) -> int:
    each = len(graph.coordinates) + components + graph.outputs + 2 * len(graph.blocks) + 4
    return int(np.clip(MOST_NUMBERS // each, 200, MOST_VERTICES))


def _taken(model: Model, trace: Trace) -> list[NDArray[np.intp]]:
    """For every block, as the design has them, the pieces that are taken, (N, K); −1 for none."""
    return [site.taken(trace.chosen[site.layer])[0] for site in model.design.sites]


def _truth(gauge: Gauge, points: Points) -> Any:
    try:
        return gauge.truth(points)
    except InvalidArgument:  # a Python function, which no file holds
        return None


def _margin(model: Model, graph: TaskGraph, number: int, trace: Trace, truth: Any) -> Array:
    """Of pieces the distance of what is read to the nearest interface, of charts the lead of what is taken; ∞ where there is one."""
    block = graph.blocks[number]
    site = model.design[block.name]
    if block.domain.exclusive:
        if truth is None:
            return np.full(len(trace.output), np.nan)
        return np.asarray(block.domain.margin(np.stack([truth.values[name] for name in block.reads], axis=-1)), float)
    return _lead(site, trace)


def _lead(site: Site, trace: Trace) -> Array:
    logits = trace.logits[site.layer][:, site.outputs].astype(float)
    places, _ = site.taken(trace.chosen[site.layer])
    taken = np.zeros(logits.shape, bool)
    np.put_along_axis(taken, np.maximum(places, 0), True, 1)
    return np.where(taken, logits, np.inf).min(1) - np.where(taken, -np.inf, logits).max(1)


def _chart_names(gauge: Gauge) -> list[str]:
    return [chart.name for chart in gauge.product.domains[0].parametrising] if len(gauge.product.domains) == 1 else []


def _intrinsic_names(graph: TaskGraph) -> list[str]:
    """The names of the chart coordinates of a manifold; of boxes they are the coordinates themselves, and have no names of their own."""
    if len(graph.inputs) != 1 or graph.inputs[0].box is not None:
        return []
    return list(graph.inputs[0].domain.parametrising[0].inverse.names)


def _shape(model: Model, gauge: Gauge, graph: TaskGraph, seed: int, count: int) -> Shape:
    """A mesh where the domain is a surface, lines where it is a curve, dots where it is neither or has too many charts."""
    domain = whole(graph)
    dimension = 0 if domain is None or graph.cases is not None else domain.dimension
    charts = () if domain is None else domain.parametrising
    if dimension == 1 and len(charts) * 8 <= count:
        return _curve(gauge, domain, count)  # type: ignore[arg-type]
    if dimension == 2 and len(charts) * SIDES[0] ** 2 <= count:
        return _cut(model, gauge, _surface(gauge, domain, count))  # type: ignore[arg-type]
    return Shape("dots", gauge.product.sample(count, seed, low_discrepancy=True), np.zeros((0, 1), np.int64))


def _points(gauge: Gauge, charts: NDArray[np.int64], intrinsic: Array) -> Points:
    return gauge.product.parametrise(np.repeat(charts[:, None], len(gauge.product.domains), 1), intrinsic)


def _curve(gauge: Gauge, domain: Atlas | Tiling, count: int) -> Shape:
    each = max(8, min(1200, count // max(1, 2 * len(domain.parametrising))))
    charts: list[NDArray[np.int64]] = []
    intrinsic: list[Array] = []
    ends: list[NDArray[np.int64]] = []
    for i, chart in enumerate(domain.parametrising):
        u = np.linspace(chart.domain.lower[0], chart.domain.upper[0], each)[:, None]
        good = chart.inside(u)
        start = sum(len(u) for u in intrinsic)
        place = start + np.cumsum(good) - 1
        both = good[1:] & good[:-1]
        ends.append(np.stack([place[:-1][both], place[1:][both]], 1))
        intrinsic.append(u[good])
        charts.append(np.full(good.sum(), i))
    return Shape("curve", _points(gauge, np.concatenate(charts), np.concatenate(intrinsic)), np.concatenate(ends))


def _surface(gauge: Gauge, domain: Atlas | Tiling, count: int) -> Shape:
    """Quadrilaterals that cover the surface, each drawn in the chart, or the few charts, in which it lies deepest."""
    side = int(np.clip(np.sqrt(count / len(domain.parametrising)) - 1, *SIDES))
    charts, intrinsic, cells, start = [], [], [], 0
    for i, chart in enumerate(domain.parametrising):
        lines = [np.linspace(low, high, side + 1) for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)]
        u = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
        number = np.arange((side + 1) ** 2).reshape(side + 1, side + 1)
        quads = np.stack([number[:-1, :-1], number[1:, :-1], number[1:, 1:], number[:-1, 1:]], axis=-1).reshape(-1, 4)
        flat = u.reshape(-1, 2)
        with np.errstate(all="ignore"):
            good = chart.inside(flat) & np.isfinite(chart.inverse(flat)).all(-1)
        middle = (u[:-1, :-1] + u[1:, 1:]).reshape(-1, 2) / 2
        kept = good[quads].all(1) & _deep(domain, i, middle)
        used = np.unique(quads[kept])
        renamed = np.full(len(flat), -1)
        renamed[used] = start + np.arange(len(used))
        cells.append(renamed[quads[kept]])
        intrinsic.append(flat[used])
        charts.append(np.full(len(used), i))
        start += len(used)
    return Shape("surface", _points(gauge, np.concatenate(charts), np.concatenate(intrinsic)), np.concatenate(cells))


def _cut(model: Model, gauge: Gauge, shape: Shape) -> Shape:
    """The mesh with what is routed differently at its corners cut along the edges of cells; as it was if that took too many points."""
    chart, u, quads = shape.points.chart[:, 0], shape.points.intrinsic[:, :2], shape.cells
    triangles = np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])
    grids = [(int(number), u[chart == number]) for number in np.unique(chart)]
    # The number of the chart, a third coordinate, keeps charts apart.
    cells = cells_of(model, np.column_stack([u, chart]), triangles, grids)
    pieces = cells.routes[:, 0].tolist()
    neighbours = frozenset((pieces[a], pieces[b]) for a, b in cells.pairs)
    of, owner = cells.source % len(quads), np.zeros(len(quads), np.intp)
    owner[of] = cells.owners
    mixed = np.zeros(len(quads), bool)
    mixed[of[cells.owners != owner[of]]] = True
    parts = [polygon[[0, 1, 2, 2]] if len(polygon) == 3 else polygon for polygon in (cells.polygons[n] for n in np.flatnonzero(mixed[of]))]
    if not parts:
        return replace(shape, neighbours=neighbours)
    corners = np.concatenate(parts)
    every, place = np.unique(corners, axis=0, return_inverse=True)
    old = {tuple(row): n for n, row in enumerate(np.column_stack([u, chart]).tolist())}
    new = [row for row in every.tolist() if tuple(row) not in old]
    if len(new) > len(u):
        return replace(shape, neighbours=neighbours)
    old |= {tuple(row): len(u) + n for n, row in enumerate(new)}
    number = np.array([old[tuple(row)] for row in every.tolist()])[place.ravel()]
    more = np.array(new).reshape(-1, 3)
    points = _points(gauge, np.concatenate([chart, more[:, 2].astype(int)]), np.concatenate([u, more[:, :2]]))
    return Shape("surface", points, np.concatenate([quads[~mixed], number.reshape(-1, 4)]), neighbours)


def _colors(model: Model, shape: Shape) -> list[list[int]] | None:
    """Colours of the pieces of one block on a surface, red, green and blue, where they are too many for colours of their own."""
    sites = model.design.sites
    if shape.kind != "surface" or len(sites) > 1 or len(sites[0].pieces) <= len(FEW):
        return None
    found = told_apart(len(sites[0].pieces), {(min(pair), max(pair)) for pair in shape.neighbours})
    return [[round(255 * float(part)) for part in color] for color in found]


def _deep(domain: Atlas | Tiling, number: int, middle: Array) -> NDArray[np.bool_]:
    """Which points of a chart are drawn in it: where its bump is not much below the largest; pieces do not overlap."""
    if not isinstance(domain, Atlas) or len(domain.parametrising) == 1 or domain.partition is None:
        return np.ones(len(middle), bool)
    with np.errstate(all="ignore"):
        base = domain.parametrising[number].inverse(middle)
        bumps = np.stack([domain.partition.bump(other, base) for other in domain.parametrising], axis=-1)
    return np.asarray(bumps[:, number] >= 0.6 * bumps.max(1))
