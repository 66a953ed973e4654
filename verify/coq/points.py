"""`Point.v`: that M has a point, or a graph an input, so that the theorem about all of them is not about nothing.

Looked for in floats, where the region is largest among some points of a box; that it is one is proved in Coq. Where the theorem is about
inputs of which some coordinates are numbers of a dtype (`group_hints`), one of these is shown; on a box, as maps of charts take numbers
of a dtype to any real ones: of x = √2 the theorem would say nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from ...atlas.chart import Chart
from .graph_inputs import Given
from .graph_statement import GraphStatement
from .group_hints import DIGITS, Gap, gaps_of
from .numbers import Dyadic, dyadic, numbers
from .statement import ARITHMETICS, Statement

TRIED = 256


def point_file(statement: Statement | GraphStatement, arithmetic: str) -> str | None:
    """The file; None where no point was found."""
    return _of_graph(statement, arithmetic) if isinstance(statement, GraphStatement) else _of_charts(statement, arithmetic)


def _of_charts(statement: Statement, arithmetic: str) -> str | None:
    found = _first(statement.charts)
    if found is None:
        return None
    k, u = found
    return f"""(* M has a point. *)
From Coq Require Import Reals ZArith List.
From AtlasMoE Require Import Semantics {ARITHMETICS[arithmetic]}.
From Proof Require Import Task.
Import ListNotations.

Theorem M_has_a_point : exists u y, point_of Task.Chart{k}.chart u y.
Proof. apply (C.has_point_sound Task.Chart{k}.chart {numbers(map(dyadic, u))}%Z). vm_cast_no_check (eq_refl true). Qed.
"""


def not_shown(statement: Statement | GraphStatement, text: str | None) -> str:
    """What `Point.v`, None where there is none, does not show of what the theorem is about; "" if nothing."""
    if text is None:
        something = "the graph has an input" if isinstance(statement, GraphStatement) else "M has a point"
        return f"that {something} is not proved: none was found"
    if isinstance(statement, GraphStatement) and gaps_of(statement) and "has_digits" not in text:
        numbers = f"are {statement.model.network.dtype} numbers at some input"
        return f"that the coordinates that gates compare {numbers} is not proved: some of them lie on charts"
    return ""


def about(statement: Statement | GraphStatement) -> str:
    """The points that the theorem is about, in words."""
    if not isinstance(statement, GraphStatement):
        return "every point of M"
    if not gaps_of(statement):
        return "every input of the graph"
    return f"every input of the graph whose compared coordinates are {statement.model.network.dtype} numbers"


def _of_graph(statement: GraphStatement, arithmetic: str) -> str | None:
    points = [_of_input(given) for given in statement.givens]
    if not all(points):
        return None
    if (gaps := gaps_of(statement)) and (text := at_numbers(statement, arithmetic, gaps)):
        return text
    listed = "; ".join(f"({point[0]}%nat, {numbers(map(dyadic, point[1]))}%Z)" for point in points if point)
    return f"""(* The graph has an input. *)
From Coq Require Import Reals ZArith List.
From AtlasMoE Require Import Semantics Tasks {ARITHMETICS[arithmetic]}Graphs.
From Proof Require Import Task.
Import ListNotations.

Theorem there_is_an_input : exists x, in_domain (inputs graph) x.
Proof. apply (G.some_input_sound (inputs graph) [{listed}]). vm_cast_no_check (eq_refl true). Qed.
"""


def _of_input(given: Given) -> tuple[int, list[float]] | None:
    if given.values:
        return 0, [given.values[0]]
    if (box := given.node.box) is not None:
        return 0, ((np.array(box.lower) + np.array(box.upper)) / 2).tolist()
    return _first(given.charts)


def at_numbers(statement: GraphStatement, arithmetic: str, gaps: Sequence[Gap]) -> str | None:
    """The file that shows an input at which the compared coordinates are numbers of the dtype; None if some are not those of a box."""
    compared, dtype = {k for k, _, _ in gaps}, statement.model.network.dtype
    digits, least = DIGITS[dtype]
    shown, parts, known = [], [], dict[int, Dyadic]()
    start = 0
    for n, given in enumerate(statement.givens):
        stop = start + len(given.coordinates)
        here = compared & set(range(start, stop))
        if given.values:
            if here and float(dtype.type(given.values[0])) != given.values[0]:
                return None
            parts.append(f"(map D2R {numbers([dyadic(given.values[0])])}%Z)")
            shown.append(BOX.format(n=n, u=numbers([dyadic(given.values[0])])))
            known |= {k: dyadic(given.values[0]) for k in here}
        elif (box := given.node.box) is None:
            point = _of_input(given)
            if here or point is None:
                return None
            chart = f"Input{n}Chart{point[0]}.chart"
            parts.append(f"(values (inverse {chart}) v{n})")
            shown.append(CHART.format(n=n, k=point[0], chart=chart, u=numbers(map(dyadic, point[1]))))
        else:
            values = _numbers(box.lower, box.upper, {k - start for k in here}, dtype)
            if values is None:
                return None
            known |= {k: dyadic(values[k - start]) for k in here}
            parts.append(f"(map D2R {numbers(map(dyadic, values))}%Z)")
            shown.append(BOX.format(n=n, u=numbers(map(dyadic, values))))
        start = stop
    ends = [" ++ ".join([*parts[n + 1 :], "[]"]) for n in range(len(parts))]
    steps = "".join(STEP.format(part=part, rest=rest, n=n) for n, (part, rest) in enumerate(zip(parts, ends, strict=True)))
    each = "".join(NUMBER.format(m=m, e=e) for _, (m, e) in sorted(known.items()))
    return f"""(* The graph has an input at which the coordinates that gates compare are {dtype} numbers. *)
From Coq Require Import Reals ZArith List.
From AtlasMoE Require Import Semantics Tasks Gaps Dyadics {ARITHMETICS[arithmetic]}Graphs.
From Proof Require Import Task.
Import ListNotations.

Theorem there_is_an_input : exists x, in_domain (inputs graph) x /\\ Forall (fun k => has_digits {digits} ({least}) (nth k x 0%R)) compared.
Proof.
{"".join(shown)}  exists ({" ++ ".join([*parts, "[]"])}). split.
  - unfold graph. cbn [inputs in_domain].
{steps}    reflexivity.
  - unfold compared.
{each}    constructor.
Qed.
"""


BOX = """  assert (I{n} : on_charts input_{n} (map D2R {u}%Z)).
  {{ eexists. exists (map D2R {u}%Z). split; [left; reflexivity | split; [|split; [constructor | reflexivity]]].
    unfold in_box. cbn [box map]. repeat apply Forall2_cons; try apply Forall2_nil.
    all: split; apply at_most_d_correct; vm_compute; reflexivity. }}
"""
STEP = """    exists {part}, ({rest}). split; [reflexivity | split; [exact I{n} |]].
"""
NUMBER = """    apply Forall_cons.
    {{ exists ({m})%Z, ({e})%Z. split; [vm_compute; reflexivity | split; [vm_compute; discriminate | reflexivity]]. }}
"""
CHART = """  destruct (G.point_sound {chart} {u}%Z) as (v{n} & y{n} & B{n} & R{n} & E{n}). {{ vm_cast_no_check (eq_refl true). }}
  assert (I{n} : on_charts input_{n} (values (inverse {chart}) v{n})).
  {{ exists {chart}, v{n}. split; [apply (nth_error_In input_{n} {k}); reflexivity | repeat split; assumption]. }}
"""


def _numbers(lower: Sequence[float], upper: Sequence[float], compared: Collection[int], dtype: np.dtype) -> list[float] | None:
    """The middle of a box, or an end, where coordinates are compared rounded to the dtype; None if that leads out of it."""
    found = []
    for k, (low, high) in enumerate(zip(lower, upper, strict=True)):
        tried = [(low + high) / 2, low, high]
        if k in compared:
            tried = [float(dtype.type(value)) for value in tried]
        value = next((value for value in tried if low <= value <= high), None)
        if value is None:
            return None
        found.append(value)
    return found


def _first(charts: Sequence[Chart]) -> tuple[int, list[float]] | None:
    """The number of a chart and coordinates there at which its region, if it has one, is positive."""
    for k, chart in enumerate(charts):
        points = np.vstack(
            [(np.array(chart.domain.lower) + np.array(chart.domain.upper))[None] / 2, chart.domain.low_discrepancy(TRIED, 0)]
        )
        if chart.region is None:
            return k, points[0].tolist()
        with np.errstate(all="ignore"):
            least = np.nan_to_num(chart.region(points).min(axis=1), nan=-np.inf)
        best = int(least.argmax())
        if least[best] > 0:
            return k, points[best].tolist()
    return None
