"""The theorem about routes: every point of M gets experts whose domains it belongs to. `Domains.v`, `Route0.v`, …, `Routed.v`.

Lemma. The domain of an expert is a ball, where r² − |y − c|² > 0, or a chart, where its forward map has a value at y that lies in the
chart's box and region. A point y = φ_p⁻¹(u), u in the box of chart p, is on chart p by definition. So of every point it is proved that a
chosen output of the last gate is that of the chart that the point was taken from, or has a domain that y belongs to.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...atlas import BallChart, Chart
from ...errors import InvalidArgument
from .expressions import expression, names_of
from .numbers import comment, dyadic, number
from .statement import ARITHMETICS, Statement

LEAVE = "leave out --routes"


def route_files(statement: Statement, cuts: Sequence[Sequence[int]], arithmetic: str, depth: int, fuel: int) -> dict[str, str]:
    """Name ↦ text. Raises `InvalidArgument` where no gate chooses between charts, or one of several has no forward map, by name."""
    outputs = _outputs(statement)
    found = {"Domains.v": _domains(statement, outputs)}
    for k in range(len(statement.charts)):
        found[f"Route{k}.v"] = _route_file(statement, k, cuts[k], arithmetic, outputs, depth, fuel)
    found["Routed.v"] = _routed(statement, outputs)
    return found


def said_of_routes(statement: Statement) -> str:
    """What is proved of routes, for the README."""
    if not statement.routes:
        return ""
    return """
And of routes (`routes_valid` in `Routed.v`): whichever outputs of the last gate are chosen at a point y of M, in real arithmetic, y
is in the ball of each, or on its chart; of another chart than the one that y is taken from that is: its forward map has a value at y, in
the chart's box and region. `theory/Routing.v` says what these words mean, and is to be read too; `Domains.v` has the balls and the maps.
"""


def _outputs(statement: Statement) -> tuple[str, ...]:
    """The charts of the outputs of the last gate, by name."""
    layer, charts = statement.model.network.layers[-1], statement.task.atlas.charts
    if layer.gate is None:
        raise InvalidArgument(f"the last layer of the network has no gate, so nothing is routed there; {LEAVE}")
    known = {chart.name for chart in charts}
    if others := [name for name in layer.names if name not in known]:
        raise InvalidArgument(
            f"output {others[0]!r} of the last gate has the name of no chart, so nothing is known of where it is valid; {LEAVE}"
        )
    lone = [chart.name for chart in charts if not isinstance(chart, BallChart) and chart.forward is None]
    if lone and len(charts) > 1:
        raise InvalidArgument(f"chart {lone[0]!r} has no forward map, which says what points it holds; give it one, or {LEAVE}")
    return layer.names


def _domains(statement: Statement, outputs: Sequence[str]) -> str:
    atlas = statement.task.atlas
    names = names_of(atlas.coordinates)
    every: list[Chart | BallChart] = [*atlas.charts]
    charts = {chart.name: (k, chart) for k, chart in enumerate(every)}
    lines = [
        "(* What points the experts were made for, an output of the last gate each. *)",
        "From Coq Require Import ZArith List.",
        "From AtlasMoE Require Import Semantics Routing.",
        "From Proof Require Import Task.",
        "Import ListNotations.",
        "",
    ]
    lines += [f"Definition {coq} : expr := Var {k}." for k, coq in enumerate(names.values())]
    found, own = [], []
    for j, name in enumerate(outputs):
        k, chart = charts[name]
        if isinstance(chart, BallChart):
            squares = " + ".join(
                f"({coq} - (Dec {number(dyadic(float(c)))}%Z)) ^ 2" for coq, c in zip(names.values(), chart.center.tolist(), strict=True)
            )
            text = f"Ball ((Dec {number(dyadic(chart.radius))}%Z) ^ 2 - ({squares}))%expr"
        elif chart.forward is None:
            text = ""
        else:
            own_names = dict(zip(map(str, chart.forward.variables), names.values(), strict=True))
            terms = [expression(tree, own_names, f'chart "{name}": forward') for tree in chart.forward.trees]
            lines += map(comment, chart.forward.texts)
            text = f"Forward [{'; '.join(f'({term})%expr' for term in terms)}] Task.Chart{k}.chart"
        lines += [comment(f"Output {j}: {name}"), f"Definition domain_{j} : option domain := {f'Some ({text})' if text else 'None'}."]
        found.append(f"domain_{j}")
        own.append("None" if isinstance(chart, BallChart) else f"Some Task.Chart{k}.chart")
    listed = "; ".join(f"Task.Chart{k}.chart" for k in range(len(statement.charts)))
    lines += [
        f"Definition domains : list (option domain) := [{'; '.join(found)}].",
        "(* The charts of the outputs, where they are charts *)",
        f"Definition chart_of_output : list (option chart) := [{'; '.join(own)}].",
        f"Definition charts : list chart := [{listed}].",
    ]
    return "\n".join(lines) + "\n"


def _own(statement: Statement, k: int, outputs: Sequence[str]) -> str:
    """Which output is that of the chart, `None` if none is."""
    chart = statement.charts[k]
    owned = [j for j, name in enumerate(outputs) if name == chart.name and chart in statement.task.atlas.charts]
    return f"(Some {owned[0]}%nat)" if len(owned) == 1 else "None"


def _route_file(statement: Statement, k: int, cuts: Sequence[int], arithmetic: str, outputs: Sequence[str], depth: int, fuel: int) -> str:
    arguments = f"Chart{k}.chart {_own(statement, k, outputs)} domains Q network"
    return f"""{comment(f"Routes at every point of the box of chart {statement.charts[k].name}.")}
From Coq Require Import ZArith List.
From AtlasMoE Require Import Semantics Routing {ARITHMETICS[arithmetic]}Routes.
From Proof Require Import Weights Task Domains.
Import ListNotations.

Definition cuts : list nat := [{";".join(map(str, cuts))}]%nat.

Lemma computed : R.accepted_routes {arguments} {depth} {fuel} cuts = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem holds : forall u, in_box (box Chart{k}.chart) u -> claimed_routes {arguments} u.
Proof. exact (R.accepted_routes_sound {arguments} {depth} {fuel} cuts computed). Qed.
"""


def _routed(statement: Statement, outputs: Sequence[str]) -> str:
    charts = range(len(statement.charts))
    cases = []
    for k in charts:
        mine = f"left; exists Task.Chart{k}.chart, u; split; [injection E as <-; reflexivity | repeat split; assumption]"
        first = mine if _own(statement, k, outputs) != "None" else "discriminate E"
        cases.append(f"destruct (Route{k}.holds u B P j J) as [E|E]; [{first} | right; exact E]")
    return f"""(* Which experts points of M get. *)
From AtlasMoE Require Import RouteChecker.
From Coq Require Import Reals ZArith List.
From AtlasMoE Require Import Semantics Routing.
From Proof Require Import Weights Task Domains.
From Proof Require {" ".join(f"Route{k}" for k in charts)}.
Import ListNotations.
Open Scope R_scope.

(** Whatever the last gate chooses at a point of M, the point is on the chart of that output, or belongs to its domain. *)
Theorem routes_valid : forall c u y, In c charts -> point_of c u y -> forall j, In j (routes_of network (embedded Q y)) ->
  (exists c' v, nth j chart_of_output None = Some c' /\\ point_of c' v y) \\/ belongs domains y j.
Proof.
  intros c u y H (B & P & ->) j J. unfold charts in H. simpl In in H.
  repeat (destruct H as [<-|H]; [|]); try contradiction; [{" | ".join(cases)}].
Qed.
(** Something is chosen. *)
Theorem routes_exist : forall x, routes_of network x <> [].
Proof. intros x. apply some_route. reflexivity. Qed.

Definition theorems := conj routes_valid routes_exist.
Print Assumptions theorems.
"""
