"""The second theorem, about evaluation in binary64: what is added to the files of a chart and to `Main.v`, and said in the README."""

from __future__ import annotations

from collections.abc import Sequence

from .statement import ARITHMETICS, Statement

REQUIRED = "From AtlasMoE Require Import Semantics{more}.\n"


def chart_theorems(statement: Statement, k: int, arithmetic: str, depth: int, fuel: int) -> tuple[str, str]:
    """What a chart's file requires of the theory, and its theorems: one computation for real numbers and for floats."""
    f = f"Chart{k}.f" if statement.by_chart else "Target.f"
    common = f"Chart{k}.chart {str(statement.by_chart).lower()} {f} Q network"
    arguments = f"{common} eps reach wide"
    required = f"Semantics Floats {ARITHMETICS[arithmetic]}Floats"
    theorems = f"""Lemma computed : D.accepted_floats {arguments} {depth} {fuel} cuts = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Lemma both : forall u, in_box (box Chart{k}.chart) u -> D.both_hold {arguments} u.
Proof. exact (D.accepted_floats_sound {arguments} {depth} {fuel} cuts computed). Qed.
Theorem holds : forall u, in_box (box Chart{k}.chart) u -> claimed {common} eps u.
Proof. intros u B. exact (proj1 (both u B)). Qed.
Theorem holds_floats : forall u, in_box (box Chart{k}.chart) u -> claimed_floats {common} reach wide u.
Proof. intros u B. exact (proj2 (both u B)). Qed.
"""
    return required, theorems


HEAD = """
(** Evaluation in binary64: x is any vector of numbers within an ulp of 2^reach of the point that the network reads, and o whatever an
    evaluation there gives, sums in any order. None overflows, and all are within [wide] of f. *)
"""
EXISTS = """
(** There are such evaluations, at every x. *)
Theorem some_evaluation : forall x, exists o, fl_network_of network x o.
Proof. intros x. exact (evaluation_exists network x). Qed.
"""
AT_POINTS = """Theorem float_error_bound : forall y, on_M y -> forall x, off (ulp_of reach) (embedded Q y) x ->
  forall o, fl_network_of network x o -> exists psi, o = Some psi /\\ close wide Target.f y psi.
Proof. intros y H. exact (proj2 (floats_on_M y H)). Qed.

(** In particular at the point itself, rounded to nearest. *)
Theorem float_error_at_rounded_points : forall y, on_M y ->
  forall o, fl_network_of network (map nearest (embedded Q y)) o -> exists psi, o = Some psi /\\ close wide Target.f y psi.
Proof. intros y H. apply (proj2 (floats_on_M y H)). apply rounding_is_near. unfold reach; lia. exact (proj1 (floats_on_M y H)). Qed.
"""


def main_theorems(statement: Statement) -> str:
    """What `Main.v` says of floats."""
    charts = range(len(statement.charts))
    body = _chart_by_chart(charts) if statement.by_chart else _at_points(charts)
    theorems = "conj error_bound (conj float_error_bound (conj float_error_at_rounded_points some_evaluation))"
    return f"{HEAD}{body}{EXISTS}\nDefinition theorems := {theorems}.\n"


def _at_points(charts: Sequence[int]) -> str:
    cases = " | ".join(f"exact (Chart{k}.holds_floats u B P)" for k in charts)
    return f"""Lemma floats_on_M : forall y, on_M y -> Forall (fun v => Rabs v <= D2R (1, reach)%Z) (embedded Q y) /\\
  forall x, off (ulp_of reach) (embedded Q y) x ->
    forall o, fl_network_of network x o -> exists psi, o = Some psi /\\ close wide Target.f y psi.
Proof.
  intros y (c & u & H & B & P & ->). unfold charts in H. simpl In in H.
  repeat (destruct H as [<-|H]; [|]); try contradiction; [{cases}].
Qed.
{AT_POINTS}"""


def _chart_by_chart(charts: Sequence[int]) -> str:
    near, rounded = [], []
    for k in charts:
        given = f"forall u y, point_of Task.Chart{k}.chart u y ->"
        result = f"exists psi, o = Some psi /\\ close wide Task.Chart{k}.f u psi"
        near.append(f"({given} forall x, off (ulp_of reach) (embedded Q y) x ->\n    forall o, fl_network_of network x o -> {result})")
        rounded.append(f"({given}\n    forall o, fl_network_of network (map nearest (embedded Q y)) o -> {result})")
    proofs = [" | ".join(f"destruct (Chart{k}.holds_floats u B P) as [R H]; {end}" for k in charts) for end in ENDS]
    split = "repeat split" if len(charts) > 1 else "idtac"
    return "\n".join(
        f"Theorem {name} :\n  " + " /\\\n  ".join(said) + f".\nProof. {split}; intros u y (B & P & ->); [{proof}]. Qed.\n"
        for name, said, proof in zip(("float_error_bound", "float_error_at_rounded_points"), (near, rounded), proofs, strict=True)
    )


ENDS = ("exact H", "apply H; apply rounding_is_near; [unfold reach; lia | exact R]")


def words(statement: Statement) -> str:
    """What is proved of floats, for the README."""
    if statement.floats is None:
        return ""
    claim = statement.floats
    return f"""
And of evaluation in IEEE 754 binary64 (`float_error_bound`): let x be any vector of numbers within 2^{claim.reach - 52} of what
the network reads at a point y of M, entry by entry, for example y rounded. Every evaluation at x, each product and sum rounded to
nearest with ties to even, sums taken in any order, with or without fused multiplications, ends without overflow within
{claim.epsilon!r} of f(y), whichever expert rounding makes it take.
"""


BELIEVED = """* `theory/Floats.v`: what an evaluation in binary64 may do. `theory/Ieee.v` proves that its operations are Flocq's IEEE 754.
"""
