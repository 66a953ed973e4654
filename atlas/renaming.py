"""An atlas under other names of its coordinates: the user's own in the place of x1, x2, … and u1, u2, …."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ..expressions.maps import ExpressionMap
from .atlas import Atlas
from .chart import Chart


def renamed(atlas: Atlas, coordinates: Sequence[str] = (), intrinsic: Sequence[str] = ()) -> Atlas:
    """The same charts with k ambient and d intrinsic names; () leaves those that there are.

    Boxes, floats and the order of coordinates stay; of a ball atlas the charts that parametrise it are renamed. The recipe is left as it
    is: it belongs to whoever knows whether it still says this.
    """
    y = tuple(coordinates or atlas.coordinates)

    def chart_of(chart: Chart) -> Chart:
        before = chart.inverse.names
        u = tuple(intrinsic) or chart.inverse.coordinates

        def rename(function: ExpressionMap | None) -> ExpressionMap | None:
            return None if function is None else function.renamed(u if function.names == before else y)

        return dataclasses.replace(
            chart,
            inverse=chart.inverse.renamed(u),
            forward=None if chart.forward is None else chart.forward.renamed(y),
            region=None if chart.region is None else chart.region.renamed(u),
            bump=rename(chart.bump),
            partition=rename(chart.partition),
        )

    charts = tuple(map(chart_of, atlas.parametrising))
    region = None if atlas.region is None else atlas.region.renamed(y)
    if atlas.cover:
        return dataclasses.replace(atlas, coordinates=y, cover=charts, region=region)
    return dataclasses.replace(atlas, coordinates=y, charts=charts, region=region)
