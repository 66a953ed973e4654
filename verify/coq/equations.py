"""`Equation.v`: the theorem for every point that satisfies the equation of a manifold, where a cover lemma is proved for its charts.

Which charts these are is found by evaluating them; that they cover the set of the equation Coq proves, from `coq/manifolds/`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ...atlas.chart import Chart
from .expressions import names_of
from .statement import Statement

NEAR = 1e-9
HEAD = """(* The points that satisfy the equation of M are on the charts, so the theorem is about all of them. *)
From Coq Require Import Reals ZArith List Lra.
From AtlasMoE Require Import Semantics{lemmas}.
From Proof Require Import Weights Task Main.
Import ListNotations.
Open Scope R_scope.

Ltac in_a_box := repeat (apply Forall2_cons || apply Forall2_nil); unfold D2R; simpl; lra.
Ltac values_are := cbv [values inverse{charts}]; cbn [map denote nth];
  unfold D2R; cbn [fst snd powerRZ pow Pos.to_nat Pos.iter_op Nat.add].
"""


@dataclass(frozen=True)
class Equation:
    """What is proved of the set of an equation, in words, and the file that proves it."""

    words: str
    lemmas: tuple[str, ...]
    """Files of `coq/manifolds/`."""
    text: str


def equation_of(statement: Statement) -> Equation | None:
    """The equation of a manifold whose charts are known to cover it; None if they are none of those."""
    if statement.by_chart or any(chart.region is not None for chart in statement.charts):
        return None
    for known in (_sphere, _circle, _box):
        if (found := known(statement.charts)) is not None:
            return found
    return None


def _sphere(charts: tuple[Chart, ...]) -> Equation | None:
    if len(charts) != 2 or not all(_maps(chart, 2, 3) and _holds_unit_box(chart) for chart in charts):
        return None

    def pole(sign: float) -> Callable[[np.ndarray], np.ndarray]:
        def point(u: np.ndarray) -> np.ndarray:
            s = (u**2).sum(1, keepdims=True)
            return np.hstack([2 * u, sign * (1 - s)]) / (1 + s)

        return point

    order = [next((k for k, chart in enumerate(charts) if _is(chart, pole(sign))), None) for sign in (1.0, -1.0)]
    if None in order:
        return None
    cases = "".join(
        f"""
  - exists Task.Chart{k}.chart, [u; v]. split. unfold charts. simpl. tauto. split. in_a_box. split. constructor.
    injection E as X Y Z. {flip}subst x y z. values_are. repeat (f_equal; [field; nra|]). f_equal; field; nra."""
        for k, flip in zip(order, ("", "apply (f_equal Ropp) in Z. rewrite Ropp_involutive in Z. "), strict=True)
    )
    body = f"""
Theorem on_the_sphere : forall x y z, x * x + y * y + z * z = 1 -> on_M [x; y; z].
Proof.
  intros x y z H. destruct (Sphere.covered x y z H) as (u & v & U & V & [E|E]); unfold Sphere.north in E.{cases}
Qed.
Theorem error_on_the_sphere : forall x y z, x * x + y * y + z * z = 1 -> close eps Target.f [x; y; z] (Psi [x; y; z]).
Proof. intros x y z H. exact (error_bound _ (on_the_sphere x y z H)). Qed.
"""
    return _equation("x² + y² + z² = 1", ("Sphere",), charts, body)


def _circle(charts: tuple[Chart, ...]) -> Equation | None:
    if len(charts) != 4 or not all(_maps(chart, 1, 2) and _holds_unit_box(chart) for chart in charts):
        return None
    quarters: list[Callable[[np.ndarray], np.ndarray]] = [
        lambda u: np.hstack([np.cos(u), np.sin(u)]),
        lambda u: np.hstack([-np.sin(u), np.cos(u)]),
        lambda u: np.hstack([-np.cos(u), -np.sin(u)]),
        lambda u: np.hstack([np.sin(u), -np.cos(u)]),
    ]
    order = [next((k for k, chart in enumerate(charts) if _is(chart, quarter)), None) for quarter in quarters]
    if None in order:
        return None
    cases = "".join(
        f"""
  - exists Task.Chart{k}.chart, [u]. split. unfold charts. simpl. tauto. split. in_a_box. split. constructor.
    values_are. cbn [value]. rewrite X, Y. repeat (f_equal; [ring|]). f_equal; ring."""
        for k in order
    )
    body = f"""
Theorem on_the_circle : forall x y, x * x + y * y = 1 -> on_M [x; y].
Proof.
  intros x y H. destruct (Circle.covered x y H) as (u & U & [[X Y]|[[X Y]|[[X Y]|[X Y]]]]).{cases}
Qed.
Theorem error_on_the_circle : forall x y, x * x + y * y = 1 -> close eps Target.f [x; y] (Psi [x; y]).
Proof. intros x y H. exact (error_bound _ (on_the_circle x y H)). Qed.
"""
    return _equation("x² + y² = 1", ("Circle",), charts, body)


def _box(charts: tuple[Chart, ...]) -> Equation | None:
    if len(charts) != 1 or not _maps(charts[0], charts[0].dimension, charts[0].dimension) or not _is(charts[0], lambda u: u):
        return None
    body = """
Theorem on_the_box : forall y, in_box (box Task.Chart0.chart) y -> on_M y.
Proof.
  intros y B. exists Task.Chart0.chart, y. split. left; reflexivity. split. exact B. split. constructor.
  unfold in_box in B. simpl in B. repeat match goal with H : Forall2 _ _ _ |- _ => inversion H; subst; clear H end. reflexivity.
Qed.
Theorem error_on_the_box : forall y, in_box (box Task.Chart0.chart) y -> close eps Target.f y (Psi y).
Proof. intros y B. exact (error_bound _ (on_the_box y B)). Qed.
"""
    return _equation("a box", (), charts, body)


def _equation(words: str, lemmas: tuple[str, ...], charts: tuple[Chart, ...], body: str) -> Equation:
    unfolded = "".join(
        f" Task.Chart{k}.{name}"
        for k, chart in enumerate(charts)
        for name in ("chart", "inverse", *names_of([str(v) for v in chart.inverse.variables]).values())
    )
    head = HEAD.format(lemmas="".join(f" {name}" for name in lemmas), charts=unfolded)
    theorem = body.rsplit("Theorem ", 1)[1].split(" ", 1)[0]
    return Equation(words, lemmas, f"{head}{body}\nPrint Assumptions {theorem}.\n")


def _maps(chart: Chart, inputs: int, outputs: int) -> bool:
    return (chart.inverse.inputs, chart.inverse.outputs) == (inputs, outputs)


def _holds_unit_box(chart: Chart) -> bool:
    return bool((np.array(chart.domain.lower) <= -1).all() and (np.array(chart.domain.upper) >= 1).all())


def _is(chart: Chart, map_: Callable[[np.ndarray], np.ndarray]) -> bool:
    points = chart.domain.low_discrepancy(64, 0)
    return bool(np.allclose(chart.inverse(points), map_(points), rtol=0, atol=NEAR))
