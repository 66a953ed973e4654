"""The equation of the unit sphere of any dimension, in its two stereographic charts or its hemispheres."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from ...atlas.chart import Chart
from .covers import Equation, holds_unit_box, is_map, on_chart, theorems


def stereographic_equation(charts: Sequence[Chart]) -> Equation | None:
    """x_1² + … + x_n² + z² = 1, where the charts are those around the two poles of the last axis, on [−1, 1]^n or more."""
    n = charts[0].dimension
    if len(charts) != 2 or not all((chart.dimension, chart.inverse.outputs) == (n, n + 1) and holds_unit_box(chart) for chart in charts):
        return None

    def pole(sign: float) -> Callable[[NDArray], NDArray]:
        def point(u: NDArray) -> NDArray:
            s = (u**2).sum(1, keepdims=True)
            return np.hstack([2 * u, sign * (1 - s)]) / (1 + s)

        return point

    order = [next((k for k, chart in enumerate(charts) if is_map(chart, pole(sign))), None) for sign in (1.0, -1.0)]
    if order[0] is None or order[1] is None:
        return None
    names, u = [f"x{j + 1}" for j in range(n)], [f"u{j + 1}" for j in range(n)]
    pattern = "[|" + " [|".join([*u, "? ?"]) + "]" * (n + 1)
    equal = "apply both_equal; [field; nra|]. " * (n + 1) + "reflexivity."
    cases = "".join(f"\n  - {on_chart(k, u, equal)}" for k in (order[0], order[1]))
    bounds = "".join(f" inversion U as [|? ? B{j} V{j}]; subst; clear U; rename V{j} into U;" for j in range(n))
    proof = (
        f"  destruct (Sphere.covered [{'; '.join(names)}] z) as (u & L & U & X & Z). simpl. rewrite <- H0. ring.\n"
        f"  destruct u as {pattern}; try discriminate L. clear L.{bounds} clear U.\n"
        f"  simpl in X, Z. injection X as {' '.join('->' for _ in names)}.\n"
        f"  destruct Z as [-> | ->].{cases}"
    )
    squares = " + ".join(f"{x} * {x}" for x in [*names, "z"])
    words = f"{' + '.join(f'x{j + 1}²' for j in range(n + 1))} = 1"
    return theorems(
        words, ("Sphere",), charts, "sphere", " ".join([*names, "z"]), [f"{squares} = 1"], f"[{'; '.join([*names, 'z'])}]", proof
    )
