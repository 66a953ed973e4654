"""`Point.v`: that M has a point, or a graph an input, so that the theorem about all of them is not about nothing.

Looked for in floats, where the region is largest among some points of a box; that it is one is proved in Coq.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...atlas import Input
from ...atlas.chart import Chart
from .graph_statement import GraphStatement
from .numbers import dyadic, numbers
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


def _of_graph(statement: GraphStatement, arithmetic: str) -> str | None:
    points = [_of_input(node) for node in statement.task.inputs]
    if not all(points):
        return None
    listed = "; ".join(f"({point[0]}%nat, {numbers(map(dyadic, point[1]))}%Z)" for point in points if point)
    return f"""(* The graph has an input. *)
From Coq Require Import Reals ZArith List.
From AtlasMoE Require Import Semantics Tasks {ARITHMETICS[arithmetic]}Graphs.
From Proof Require Import Task.
Import ListNotations.

Theorem there_is_an_input : exists x, in_domain (inputs graph) x.
Proof. apply (G.some_input_sound (inputs graph) [{listed}]). vm_cast_no_check (eq_refl true). Qed.
"""


def _of_input(node: Input) -> tuple[int, list[float]] | None:
    if node.box is not None:
        return 0, ((np.array(node.box.lower) + np.array(node.box.upper)) / 2).tolist()
    assert node.atlas is not None
    return _first(node.atlas.parametrising)


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
