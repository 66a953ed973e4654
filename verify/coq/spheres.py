"""The equation of the unit sphere of any dimension, in its two stereographic charts or its hemispheres, and that of the rotations."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...atlas.chart import Chart
from .covers import NEAR, Equation, exactly, holds_unit_box, is_map, on_chart, theorems


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


def hemispheres_equation(charts: Sequence[Chart]) -> Equation | None:
    """x_1² + … + x_n² = 1, where the charts are ±x_i = √(1 − |u|²) with u the other coordinates, cut off where |u|² > ρ, ρ ≥ (n − 1)/n."""
    n = charts[0].dimension + 1
    if len(charts) != 2 * n or any((chart.dimension, chart.inverse.outputs) != (n - 1, n) or not _reaches(chart) for chart in charts):
        return None

    def hemisphere(i: int, sign: int) -> Callable[[NDArray], NDArray]:
        def point(u: NDArray) -> NDArray:
            height = sign * np.sqrt(np.maximum(1 - (u**2).sum(1, keepdims=True), 0))
            return np.hstack([u[:, :i], height, u[:, i:]])

        return point

    found = {(i, s): k for i in range(n) for s in (1, -1) for k, chart in enumerate(charts) if _is_hemisphere(chart, hemisphere(i, s))}
    if len(found) < 2 * n:
        return None
    names = [f"x{j + 1}" for j in range(n)]
    listed = "[" + "; ".join(names) + "]"
    squares = " + ".join(f"{x} * {x}" for x in names)
    cases = ""
    for i, x in enumerate(names):
        others = [*names[:i], *names[i + 1 :]]
        rest = "1 - (" + " + ".join(f"{y} * {y}" for y in others) + ")"
        cases += f"\n  - destruct (Sphere.root_of {x} ({rest}) ltac:(lra)) as [E|E]."
        root = "rewrite E; first [apply Sphere.same_root; ring | apply (f_equal Ropp), Sphere.same_root; ring]"
        values = " ".join(f"apply both_equal; [{root if y == x else 'reflexivity'}|]." for y in names) + " reflexivity."
        for sign in (1, -1):
            k = found[i, sign]
            sides = "".join(
                f"\n    assert (- {exactly(w)} <= {y} <= {exactly(w)}) by (apply (Sphere.within {y} ({n - 1} / {n})); lra)."
                for y, w in zip(others, charts[k].domain.upper, strict=True)
            )
            region = "constructor; [values_are; lra | constructor]."
            cases += f"\n   + {sides.strip()}\n    {on_chart(k, others, values, region)}"
    proof = (
        f"  destruct (Sphere.largest {listed} ltac:(discriminate)) as (a & I & A). simpl in I, A.\n  "
        + "".join(f"pose proof (Sphere.square_nonneg {x}). " for x in names)
        + f"\n  destruct I as {_nested(n)}; try contradiction.{cases}"
    )
    words = f"{' + '.join(f'x{j + 1}²' for j in range(n))} = 1"
    return theorems(words, ("Sphere",), charts, "sphere", " ".join(names), [f"{squares} = 1"], listed, proof)


def _nested(count: int) -> str:
    """The pattern of a choice of several equations."""
    return "[]" if count == 0 else f"[<-|{_nested(count - 1)}]"


def _is_hemisphere(chart: Chart, map_: Callable[[NDArray], NDArray]) -> bool:
    """As `is_map`, where the region is not negative."""
    points = chart.domain.low_discrepancy(64, 0)
    assert chart.region is not None
    points = points[chart.region(points)[:, 0] >= 0]
    return len(points) > 0 and bool(np.allclose(chart.inverse(points), map_(points), rtol=0, atol=NEAR))


def _reaches(chart: Chart) -> bool:
    """Whether the region is ρ − |u|² and the box symmetric, and both hold all |u|² ≤ (n − 1)/n."""
    if chart.region is None or chart.region.outputs != 1:
        return False
    points = chart.domain.low_discrepancy(64, 0)
    rho = chart.region(points)[:, 0] + (points**2).sum(1)
    n = chart.dimension + 1
    wide = all(low == -high and high > 0 and Fraction(high) ** 2 >= Fraction(n - 1, n) for low, high in zip(*_ends(chart), strict=True))
    return wide and bool(np.ptp(rho) < NEAR and rho[0] >= (n - 1) / n - NEAR)


def _ends(chart: Chart) -> tuple[tuple[float, ...], tuple[float, ...]]:
    return chart.domain.lower, chart.domain.upper


def rotations_equation(charts: Sequence[Chart]) -> Equation | None:
    """RᵀR = 1 and det R = 1 in R⁹, where chart j is the rotation of the quaternion whose number j is 1, on [−1, 1]³ or more."""
    if len(charts) != 4 or not all((chart.dimension, chart.inverse.outputs) == (3, 9) and holds_unit_box(chart) for chart in charts):
        return None
    order = [next((k for k, chart in enumerate(charts) if is_map(chart, _rotation(j))), None) for j in range(4)]
    if None in order:
        return None
    names, quaternion = list("abcdefghi"), list("pqrs")
    cases = ""
    for j, k in enumerate(order):
        assert k is not None
        values = (
            " ".join(f"apply both_equal; [apply (Rotations.entry _ _ _ _ T{m}); [nra|field; nra]|]." for m in range(9)) + " reflexivity."
        )
        cases += f"\n  - {on_chart(k, [*quaternion[:j], *quaternion[j + 1 :]], values)}"
    entries = " ".join(names)
    proof = (
        f"  destruct (Rotations.covered {entries} H0 H1) as (p & q & r & s & B0 & B1 & B2 & B3 & M & T).\n"
        f"  unfold Rotations.rotates in T. cbv zeta in T. destruct T as ({' & '.join(f'T{m}' for m in range(9))}).\n"
        f"  destruct M as [M|[M|[M|M]]]; subst.{cases}"
    )
    holds = [f"Rotations.orthonormal {entries}", f"Rotations.determinant {entries} = 1"]
    return theorems("RᵀR = 1, det R = 1", ("Rotations",), charts, "rotations", entries, holds, f"[{'; '.join(names)}]", proof)


def _rotation(j: int) -> Callable[[NDArray], NDArray]:
    """(q_k, k ≠ j) ↦ the rotation matrix of q with q_j = 1, row by row."""

    def point(u: NDArray) -> NDArray:
        p, q, r, s = np.insert(u, j, 1.0, axis=1).T
        rows = [
            *(p * p + q * q - r * r - s * s, 2 * (q * r - p * s), 2 * (q * s + p * r)),
            *(2 * (q * r + p * s), p * p - q * q + r * r - s * s, 2 * (r * s - p * q)),
            *(2 * (q * s - p * r), 2 * (r * s + p * q), p * p - q * q - r * r + s * s),
        ]
        return np.array(rows).T / (p * p + q * q + r * r + s * s)[:, None]

    return point
