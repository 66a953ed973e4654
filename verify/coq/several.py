"""Several targets, each with its own ε: one theorem with one conclusion a target, in the user's names.

Lemma (`coq/Outputs.v`). Let `only ks` be the network whose last layer lets but the channels ks leave. Its output is that of the whole, at
ks. So |f_j − Ψ_j| ≤ ε_j for all targets j if of each its own network, `only` its outputs, is within ε_j. That is the statement about one
target, and is proved as that is, along the boxes of its own certificate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...atlas import ManifoldTask
from ...atlas.wanted import columns
from ...expressions.maps import ExpressionMap
from .expressions import expression
from .numbers import comment, dyadic, naturals, number

THEORY = "Outputs"
"""The file of the theory that this needs."""
FOLLOWS = "follows"
"""What `Main.v` calls all conclusions together: in the place of `close eps Target.f`."""
ONE = "close eps Target.f"


@dataclass(frozen=True)
class Component:
    """A target: its name, how it is called in Coq, its places among the outputs, its ε."""

    name: str
    word: str
    place: slice
    epsilon: float

    @property
    def module(self) -> str:
        """The module of `Task.v` that says what it is."""
        return f"Target_{self.word}"


def components(task: ManifoldTask) -> tuple[Component, ...]:
    """The targets, where there are several; none where there is but one."""
    found: list[Component] = []
    for one, place in columns(task.wanted):
        word = one.name if one.name.isascii() else str(len(found))
        found.append(Component(one.name, word, place, float(one.epsilon)))
    return tuple(found)


def modules(task: ManifoldTask, function: ExpressionMap, names: Mapping[str, str]) -> list[str]:
    """What `Task.v` says of them: f, which outputs are compared with it, and ε."""
    lines: list[str] = []
    for one in components(task):
        trees, texts = function.trees[one.place], function.texts[one.place]
        own = dict(zip(map(str, function.variables), names.values(), strict=True))
        terms = [expression(tree, own, f"target {one.name!r}") for tree in trees]
        lines += [
            f"Module {one.module}.",
            *(f"Definition {coq} : expr := Var {k}." for k, coq in enumerate(names.values())),
            *map(comment, texts),
            f"Definition f : list expr := [{'; '.join(f'({term})%expr' for term in terms)}].",
            comment(f"The outputs {', '.join(task.names[one.place])}"),
            f"Definition outputs : list nat := {naturals(range(one.place.start, one.place.stop))}.",
            f"(* {one.epsilon!r} as the float64 that it is *)",
            f"Definition eps : dyadic := {number(dyadic(one.epsilon))}.",
            f"End {one.module}.",
            "",
        ]
    return lines


def chart_theorems(task: ManifoldTask, k: int, arithmetic: str, depth: int, fuel: int, trees: Sequence[Sequence[int]]) -> tuple[str, str]:
    """What the file of a chart requires of the theory, and its theorems, a computation for each target along its own boxes."""
    text = ""
    for j, (one, tree) in enumerate(zip(components(task), trees, strict=True)):
        cuts = f"cuts_{j}"
        arguments = f"Chart{k}.chart false {one.module}.f Q (only {one.module}.outputs network) {one.module}.eps"
        text += f"""
{comment(f"Target {one.name}")}
Definition {cuts} : list nat := [{";".join(map(str, tree))}]%nat.
Lemma computed_{j} : C.accepted {arguments} {depth} {fuel} {cuts} = true.
Proof. vm_cast_no_check (eq_refl true). Qed.
Theorem holds_{j} : forall u, in_box (box Chart{k}.chart) u -> claimed {arguments} u.
Proof. exact (C.accepted_sound {arguments} {depth} {fuel} {cuts} computed_{j}). Qed.
"""
    return f"Semantics {THEORY} {arithmetic}", text


def conclusions(task: ManifoldTask) -> str:
    """What `Main.v` says of the targets together, and the theorem about M, for a target that is a function of the point."""
    charts, all_of = range(len(task.atlas.parametrising)), components(task)
    count = all_of[-1].place.stop
    said = " /\\\n  ".join(f"close {one.module}.eps {one.module}.f y (pick {one.module}.outputs psi)" for one in all_of)
    lemmas = "".join(
        f"""
Lemma on_charts_{j} : forall c u, In c charts -> in_box (box c) u ->
  claimed c false {one.module}.f Q (only {one.module}.outputs network) {one.module}.eps u.
Proof.
  intros c u H B. unfold charts in H. simpl In in H.
  repeat (destruct H as [<-|H]; [|]); try contradiction; [{" | ".join(f"exact (Chart{k}.holds_{j} u B)" for k in charts)}].
Qed.
"""
        for j, one in enumerate(all_of)
    )
    steps = "\n".join(f"  {'split. ' if j + 1 < len(all_of) else ''}{_step(j, one)}" for j, one in enumerate(all_of))
    return f"""
Definition charts : list chart := [{"; ".join(f"Task.Chart{k}.chart" for k in charts)}].
(** y is a point of M: the image of coordinates u on one of the charts. *)
Definition on_M (y : list R) : Prop := exists c u, In c charts /\\ point_of c u y.
(** psi has as many numbers as all targets together, and those of each target are within its own eps of it. *)
Definition {FOLLOWS} (y psi : list R) : Prop :=
  length psi = {count}%nat /\\
  {said}.
{lemmas}
(** Maps of charts have values wherever they are asked for. *)
Theorem inverse_defined : forall c u, In c charts -> in_box (box c) u -> Forall (fun r => 0 <= denote r u) (region c) ->
  Forall (fun e => defined e u) (inverse c).
Proof. intros c u H B P. exact (proj1 (on_charts_0 c u H B P)). Qed.

(** At every point y of M all targets have values, and the network is within the eps of each of them. *)
Theorem error_bound : forall y, on_M y -> {FOLLOWS} y (Psi y).
Proof.
  assert (N : network <> []) by discriminate.
  intros y (c & u & H & B & P & ->). split. exact (count_outputs network layer_0 _ N).
{steps}
Qed.
"""


def _step(j: int, one: Component) -> str:
    return f"apply only_close; auto. exact (proj2 (on_charts_{j} c u H B P))."


def spoken(task: ManifoldTask, equation: str) -> str:
    """The text of `Equation.v`, with the conclusions of all targets in the place of the one."""
    return equation.replace(ONE, FOLLOWS) if task.wanted else equation


def trouble_commands(task: ManifoldTask, k: int, trees: Sequence[Sequence[int]], depth: int, fuel: int) -> list[str]:
    """For each target where its computation about a chart stops."""
    return [
        f"C.trouble Chart{k}.chart false {one.module}.f Q (only {one.module}.outputs network) {one.module}.eps"
        f" {depth} {fuel} [{';'.join(map(str, tree))}]%nat"
        for one, tree in zip(components(task), trees, strict=True)
    ]


def words(task: ManifoldTask) -> str:
    """Every target with its ε, for people: `temperature to 0.5, wind to 0.02`."""
    return ", ".join(f"{one.name} to {one.epsilon!r}" for one in components(task))
