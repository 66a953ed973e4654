"""The product M_1 × M_2: charts are pairs of charts, coordinates are renumbered x1, x2, … and u1, u2, …."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...errors import InvalidArgument
from ...expressions.box import Box
from ...expressions.given import of_kind
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from ...expressions.parts import cut_off, joined, multiplied
from ..arguments import MAX_CHARTS
from ..atlas import Atlas
from ..blocks import block_diagonal
from ..chart import Chart
from .overlap import ambient_names, intrinsic_names

Names = tuple[str, ...]


def product(a: Atlas, b: Atlas) -> Atlas:
    """The atlas {U_i × V_j} of M_a × M_b, with the default bump of each pair the product of the two default bumps.

    The coordinates of M_a come first. An embedding of a factor stays an embedding of that factor.
    Raises `InvalidArgument` for ball atlases (take the product first, `ball_atlas` of it then), for different
    partitions, of manifolds of equations, and where only some charts bring a bump or partition of their own.
    """
    for name, factor in (("a", a), ("b", b)):
        of_kind(f"product: {name}", factor, Atlas, 'give two Atlases, like product(builtin("circle"), builtin("interval"))')
    charts_a, charts_b = a.charts, b.charts
    if a.cover or b.cover:
        raise InvalidArgument(
            'the product of ball atlases is none; take product(…) first, then ball_atlas(…), in a spec atlas = "ball" beside factors'
        )
    if a.region is not None or b.region is not None:
        raise InvalidArgument("a factor is cut off by a region; take product(…) first, then cut(…), in a spec region beside factors")
    if a.implicit is not None or b.implicit is not None:
        raise InvalidArgument(
            "a factor is given by equations, which say nothing of pairs of charts; write the product as equations in the coordinates of "
            'both, with a box that has the range of each (circle × [0, 1]: implicit = ["x**2 + y**2 - 1"] in x, y, t, boundary = true)'
        )
    if a.partition != b.partition:
        raise InvalidArgument(
            f"the factors have different partitions of unity, {a.partition.said} and {b.partition.said}; give both the same"
        )
    if len(a) * len(b) > MAX_CHARTS:
        raise InvalidArgument(f"the product has {len(a)}·{len(b)} charts, more than {MAX_CHARTS}; use fewer charts per factor")
    embedding = None
    if a.embedding is not None or b.embedding is not None:
        embedding = block_diagonal([np.eye(f.base_dimension) if f.embedding is None else f.embedding for f in (a, b)])
    pairs = tuple(_pair(p, q) for p in charts_a for q in charts_b if isinstance(p, Chart) and isinstance(q, Chart))
    x = ambient_names(a.base_dimension + b.base_dimension)
    return Atlas(x, pairs, a.partition, embedding=embedding)


def _pair(p: Chart, q: Chart) -> Chart:
    """The chart (U × V, (φ, ψ))."""
    name = f"{p.name}*{q.name}"
    u = intrinsic_names(p.dimension + q.dimension)
    x = ambient_names(p.inverse.outputs + q.inverse.outputs)
    u_p, u_q, x_p, x_q = u[: p.dimension], u[p.dimension :], x[: p.inverse.outputs], x[p.inverse.outputs :]
    forward = None
    if p.forward is not None and q.forward is not None:
        forward = joined(x, p.forward.renamed(x_p), q.forward.renamed(x_q))
    region = None
    if p.region is not None or q.region is not None:
        region = multiplied(u, _depth(p, u_p), _depth(q, u_q))
    return Chart(
        name,
        Box(p.domain.lower + q.domain.lower, p.domain.upper + q.domain.upper),
        joined(u, p.inverse.renamed(u_p), q.inverse.renamed(u_q)),
        forward,
        p.boundary + q.boundary,
        region,
        _given(name, "bump", p, q, (u, u_p, u_q), (x, x_p, x_q)),
        _given(name, "partition", p, q, (u, u_p, u_q), (x, x_p, x_q)),
    )


def _depth(chart: Chart, u: Names) -> ExpressionMap:
    """The depth of u in the chart as `PartitionOfUnity` defines it, cut off at 0: positive exactly inside.

    Cutting off matters in a product: two negative factors must not make a positive one.
    """
    if chart.region is not None:
        middle = float(chart.region(chart.domain.center)[0])
        return cut_off(chart.region.renamed(u), middle)
    sides = list(zip(chart.domain.lower, chart.domain.upper, chart.boundary, strict=True))

    def depth(*symbols: sympy.Symbol) -> tuple[sympy.Expr]:
        found = sympy.Integer(1)
        for v, (low, high, (lower, upper)) in zip(symbols, sides, strict=True):
            if lower and upper:
                continue
            t = (2 * v - (low + high)) / (high - low)
            if lower or upper:
                t = (t + 1) / 2 if lower else (t - 1) / 2
            found *= sympy.Max(1 - t**2, 0)
        return (found,)

    return ExpressionMap.later(u, 1, depth)


def _given(name: str, which: str, p: Chart, q: Chart, u: Sequence[Names], x: Sequence[Names]) -> ExpressionMap | None:
    """The product of the bumps (or partitions) that the charts bring themselves; None if neither does."""
    one, other = getattr(p, which), getattr(q, which)
    if one is None and other is None:
        return None
    if one is None or other is None:
        raise InvalidArgument(f'chart "{name}": only one factor brings its own {which}; give both factors one, or neither')
    intrinsic = [given.names == chart.inverse.names for given, chart in ((one, p), (other, q))]
    if intrinsic[0] != intrinsic[1]:
        raise InvalidArgument(f"chart \"{name}\": one factor's {which} is in intrinsic, the other's in ambient coordinates; use one kind")
    everything, first, second = u if intrinsic[0] else x
    return multiplied(everything, one.renamed(first), other.renamed(second))
