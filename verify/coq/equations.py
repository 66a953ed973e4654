"""`Equation.v`: the theorem for every point that satisfies the equation of a manifold, where a cover lemma is proved for its charts.

Which charts these are is found by evaluating them; that they cover the set of the equation Coq proves, from `coq/manifolds/`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace

from ...atlas.chart import Chart
from .covers import Equation
from .products import MOST, one_map_equation, product_equation
from .spheres import hemispheres_equation, rotations_equation, stereographic_equation
from .statement import Statement


def equation_of(statement: Statement) -> Equation | None:
    """The equation of a manifold whose charts are known to cover it; None if they are none of those."""
    charts = statement.charts
    if statement.by_chart or len(charts) > MOST:
        return None
    if any(chart.region is not None for chart in charts):
        found = hemispheres_equation(charts)
    elif (found := one_map_equation(charts)) is not None:
        return found  # in the names of the chart's own coordinates
    else:
        found = next((one for known in COVERS if (one := known(charts)) is not None), None)
    return None if found is None else replace(found, words=_named(found.words, statement.task.atlas.coordinates))


COVERS: tuple[Callable[[Sequence[Chart]], Equation | None], ...] = (stereographic_equation, rotations_equation, product_equation)
NUMBERED = re.compile(r"\bx(\d+)")
"""A coordinate of M as covers call it, by its number."""


def _named(words: str, coordinates: Sequence[str]) -> str:
    """The equation in the names of the task's coordinates, which may be x1, x2, … in another order."""
    return NUMBERED.sub(lambda number: coordinates[int(number[1]) - 1], words)
