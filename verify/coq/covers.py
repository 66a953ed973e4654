"""What the theorems about sets of equations share: how a chart is recognised, and the text around what is proved of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ...atlas.chart import Chart
from .expressions import names_of

NEAR = 1e-9
HEAD = """(* The points that satisfy the equation of M are on the charts, so the theorem is about all of them. *)
{lemmas}From Coq Require Import Reals ZArith List Lra Lia.
From AtlasMoE Require Import Semantics.
From Proof Require Import Weights Task Main.
Import ListNotations.
Open Scope R_scope.

Ltac in_a_box := repeat (apply Forall2_cons || apply Forall2_nil); unfold D2R; simpl; lra.
Ltac values_are := cbv [values inverse region{charts}]; cbn [map denote nth value];
  unfold D2R; cbn [fst snd powerRZ pow Pos.to_nat Pos.iter_op Nat.add].
Lemma both_equal (a b : R) l m : a = b -> l = m -> a :: l = b :: m.
Proof. intros; subst; reflexivity. Qed.
"""


@dataclass(frozen=True)
class Equation:
    """What is proved of the set of an equation, in words, and the file that proves it."""

    words: str
    lemmas: tuple[str, ...]
    """Files of `coq/manifolds/`."""
    text: str


def theorems(
    words: str, lemmas: tuple[str, ...], charts: Sequence[Chart], name: str, variables: str, holds: Sequence[str], point: str, proof: str
) -> Equation:
    """`Equation.v`: that the point is on M where the hypotheses hold, by the proof, and the error bound there."""
    unfolded = "".join(
        f" Task.Chart{k}.{part}"
        for k, chart in enumerate(charts)
        for part in (
            "chart",
            "inverse",
            *(("region",) if chart.region is not None else ()),
            *names_of([str(v) for v in chart.inverse.variables]).values(),
        )
    )
    named = f"From AtlasMoE Require Import {' '.join(lemmas)}.\n" if lemmas else ""
    head = HEAD.format(lemmas=named, charts=unfolded)
    given = "".join(f" {condition} ->" for condition in holds)
    called = "".join(f" H{k}" for k in range(len(holds)))
    body = f"""
Theorem on_the_{name} : forall {variables},{given} on_M {point}.
Proof.
  intros {variables}{called}.
{proof}
Qed.
Theorem error_on_the_{name} : forall {variables},{given} close eps Target.f {point} (Psi {point}).
Proof. intros {variables}{called}. exact (error_bound _ (on_the_{name} {variables}{called})). Qed.
"""
    return Equation(words, lemmas, f"{head}{body}\nPrint Assumptions error_on_the_{name}.\n")


def on_chart(k: int, coordinates: Sequence[str], values: str, region: str = "constructor.") -> str:
    """The sentences that show a point on chart k: its coordinates in the box, and the tactic for the values of the map."""
    listed = "; ".join(coordinates)
    where = f"exists Task.Chart{k}.chart, [{listed}]. split. unfold charts. simpl. tauto. split. in_a_box. split."
    return f"{where} {region}\n    values_are. {values}"


def is_map(chart: Chart, map_: Callable[[NDArray], NDArray]) -> bool:
    """Whether the chart's map is the given one, by its values; Coq proves it afterwards."""
    points = chart.domain.low_discrepancy(64, 0)
    expected = map_(points)
    return expected.shape[1] == chart.inverse.outputs and bool(np.allclose(chart.inverse(points), expected, rtol=0, atol=NEAR))


def exactly(value: float) -> str:
    """The float as a fraction in Coq's real numbers."""
    fraction = Fraction(value)
    numerator = f"({fraction.numerator})" if fraction < 0 else str(fraction.numerator)
    return numerator if fraction.denominator == 1 else f"({numerator} / {fraction.denominator})"


def holds_unit_box(chart: Chart) -> bool:
    """Whether [−1, 1]^d is in the chart's box."""
    return bool((np.array(chart.domain.lower) <= -1).all() and (np.array(chart.domain.upper) >= 1).all())
