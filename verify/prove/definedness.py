"""Whether the maps of a task are defined wherever they are used: φ⁻¹ all over every chart, and f at its points.

An enclosure that is finite says that the function is defined all over the box (`intervals.Decoration`). So a leaf that is proved says it of
φ⁻¹ and f, and one that is elsewhere of φ⁻¹; leaves that are outside need nothing. Open leaves are looked at again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from ...atlas import Array, Chart, ChartTarget, ExpressionMap, ExpressionTarget, ManifoldTask
from ...expressions.precise import Enclosed, Undefined, enclose_at
from .error import EnclosedTarget
from .manifold import EnclosedManifold
from .tree import UNSETTLED, Tree

AT_ONCE, MOST = 1 << 12, 1 << 15
"""Open leaves that are looked at together, and in all of one chart; the rest count as undefined."""
TRIED = 16
"""Points of open leaves at which a part is looked for that has no value."""


class Undefinable(NamedTuple):
    """Leaves on which a part may be undefined."""

    boxes: int
    part: str
    """The first of them, in words; empty if there are none."""
    witness: Array | None
    """Coordinates at which it surely is."""


def undefined(task: ManifoldTask, manifold: EnclosedManifold, trees: list[Tree]) -> Iterator[tuple[int, Undefinable]]:
    """Chart by chart, what may be undefined on open leaves."""
    target = EnclosedTarget(task)
    for p, tree in enumerate(trees):
        lower, upper = tree.leaves()
        rows = np.flatnonzero(tree.tags == UNSETTLED)
        count, part, witness = max(0, len(rows) - MOST), "", None
        for start in range(0, min(len(rows), MOST), AT_ONCE):
            some = rows[start : min(start + AT_ONCE, MOST)]
            place = manifold.place(p, lower[some], upper[some])
            known = place.defined
            whole = known & np.all(target(place).radius < np.inf, axis=1)
            count += int((~whole).sum())
            if not part and not whole.all():
                name = manifold.charts[p].chart.name
                part = f'the inverse of chart "{name}"' if not known.all() else f'the target on chart "{name}"'
            if witness is None and not whole.all():
                witness = _witness(task, manifold.charts[p].chart, p, place.middle[~whole][:TRIED])
        yield p, Undefinable(count, part or ("open leaves that were not looked at" if count else ""), witness)


def _witness(task: ManifoldTask, chart: Chart, p: int, points: Array) -> Array | None:
    """The first of the points that is surely on the chart, and at which φ⁻¹ or f surely has no value."""
    maps = [chart.inverse]
    if isinstance(task.target, ExpressionTarget):
        maps.append(task.target.function.after(chart.inverse))
    elif isinstance(task.target, ChartTarget):
        maps.append(task.target.functions[p])
    return next((point for point in points if _on(chart, point) and any(_nowhere(one, point) for one in maps)), None)


def _on(chart: Chart, point: Array) -> bool:
    if chart.region is None:
        return True
    found = enclose_at(chart.region.trees[0], _at(chart.region, point))
    return isinstance(found, Enclosed) and found.lower > 0


def _nowhere(function: ExpressionMap, point: Array) -> bool:
    return any(isinstance(enclose_at(tree, _at(function, point)), Undefined) for tree in function.trees)


def _at(function: ExpressionMap, point: Array) -> dict[str, float]:
    return {str(v): float(x) for v, x in zip(function.variables, point, strict=True)}
