"""A manifold that ends where a function does: M = {y : g(y) ≥ 0}, with the curve or surface g = 0 as its boundary.

The charts stay as they are, and so do their bumps, which do not decay towards the new edge: each chart only has the region g∘φ_i⁻¹, and
on points of M all of these are one function, g. So a chart that holds a point before the cut holds it afterwards, if the point is left;
what covered M covers what is left of it, and no other chart has to come where M ends. Boxes of coordinates on which g∘φ_i⁻¹ is proved
negative are off M.
"""

from __future__ import annotations

import dataclasses

from ..errors import InvalidArgument
from ..expressions.box import box_cells
from ..expressions.maps import ExpressionMap
from ..intervals import Interval, NaturalEnclosure, NotEnclosed
from .atlas import Atlas
from .chart import Chart

CELLS = 1 << 12
"""Boxes on which a region is enclosed, to see that a chart has no point left."""
DRAWN, FEW, DEEP = 1 << 12, 10, 0.05
"""Points by which a chart is judged that has little left; one in how many is little; how deep in other charts all of it has to be."""


def cut(atlas: Atlas, region: ExpressionMap, *, drop: bool = False) -> Atlas:
    """The part of the manifold where `region`, a function of its coordinates before embedding, is ≥ 0.

    With `drop`, charts are left out that are proved to have no point there, and those of which a sliver is left that others cover well
    (`spare`): next to nothing would be routed to them. What is left covers M or `lint` says where it does not. Raises `InvalidArgument`
    for an atlas of balls (cut first), for charts with a region of their own, towards whose edge their bumps fall off, and if no chart is
    left.
    """
    if atlas.cover:
        raise InvalidArgument("a ball atlas cannot be cut off by a region: cut the manifold first, then cover it by balls")
    if atlas.region is not None:
        raise InvalidArgument("the manifold is cut off by a region already; give one region, such as Min(g, h)")
    if region.names != atlas.coordinates or region.outputs != 1:
        raise InvalidArgument(f"the region must be one function of {atlas.coordinates}")
    charts: list[Chart] = []
    for chart in atlas.parametrising:
        if chart.region is not None:
            problem = f'chart "{chart.name}" has a region of its own, towards which its bump falls off'
            remedy = (
                'take an atlas of boxes (of a sphere, atlas = "stereographic"), or write M as a box with region = "Min(g, h)" of its edges'
            )
            raise InvalidArgument(f"{problem}, so no other region can cut it; {remedy}")
        changed = dataclasses.replace(chart, region=region.after(chart.inverse), edge=True)
        if not (drop and misses(changed)):
            charts.append(changed)
    for chart in list(charts) if drop else ():
        others = [other for other in charts if other is not chart]
        if others and spare(chart, dataclasses.replace(atlas, charts=tuple(others), embedding=None)):
            charts = others
    if not charts:
        raise InvalidArgument("the region is negative on all of the manifold; turn its sign round, or move it")
    return dataclasses.replace(atlas, charts=tuple(charts), region=region)


def spare(chart: Chart, others: Atlas) -> bool:
    """Whether fewer than one in `FEW` sampled points of a chart are left, each of them `DEEP` in another."""
    drawn = chart.domain.low_discrepancy(DRAWN, 0)
    left = drawn[chart.inside(drawn)]
    if FEW * len(left) >= len(drawn):
        return False
    return bool((others.margin(chart.inverse(left)) > DEEP).all())


def misses(chart: Chart) -> bool:
    """Whether the region of a chart is proved negative all over its box."""
    assert chart.region is not None
    try:
        enclosure = NaturalEnclosure(chart.region)
        lower, upper = box_cells(chart.domain.lower, chart.domain.upper, CELLS)
        sides = [Interval(low, high) for low, high in zip(lower.T, upper.T, strict=True)]
        return bool((enclosure(sides)[0].upper < 0).all())
    except NotEnclosed:
        return False
