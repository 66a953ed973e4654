"""`Equation.v`: the theorem for every point that satisfies the equation of a manifold, where a cover lemma is proved for its charts.

Which charts these are is found by evaluating them; that they cover the set of the equation Coq proves, from `coq/manifolds/`.
"""

from __future__ import annotations

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
        return hemispheres_equation(charts)
    for known in (stereographic_equation, rotations_equation, one_map_equation, product_equation):
        if (found := known(charts)) is not None:
            return found
    return None
