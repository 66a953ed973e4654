"""What there is to be proved of a model: charts, target, embedding and ε, and the boxes that a certificate suggests."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ...atlas import CallableTarget, ChartTarget, ManifoldTask, StackedTarget
from ...atlas.chart import Chart
from ...errors import FolderError, InvalidArgument
from ...expressions.maps import ExpressionMap
from ...moe import Model
from ...moe.strict import parse_tensors
from .expressions import expression, names_of
from .floats import Floats, floats_of
from .numbers import block, comment, dyadic, number
from .several import modules

CERTIFICATE = "certificate.safetensors"
ARITHMETICS = {"fast": "Fast", "big": "Big", "pure": "Pure"}
"""Arithmetics of intervals ↦ the file of the theory that brings them."""


@dataclass(frozen=True)
class Statement:
    """|f − Ψ| ≤ ε at every point of M = ⋃ φ_p⁻¹(D_p), in the words of `Semantics.v`."""

    task: ManifoldTask
    model: Model
    epsilon: float
    """Of several targets in units of their own."""
    floats: Floats | None = None
    """What is said of evaluation in binary64; None: nothing."""
    routes: bool = False
    """Whether it is also said which experts points get."""

    @property
    def by_chart(self) -> bool:
        """Whether f is given chart by chart, as a function of coordinates there."""
        return isinstance(self.task.target, ChartTarget)

    @property
    def charts(self) -> tuple[Chart, ...]:
        return self.task.atlas.parametrising

    def function(self, chart: int) -> ExpressionMap:
        """f, or f on that chart."""
        target = self.task.target
        if isinstance(target, ChartTarget):
            return target.functions[chart]
        assert not isinstance(target, CallableTarget | StackedTarget)
        return target.function


def statement_of(model: Model, epsilon: float | None = None, floats: bool = False, routes: bool = False) -> Statement:
    """The statement about the model's own ε, or another one. Raises `InvalidArgument` for what cannot be stated, by name."""
    if not isinstance(model.task, ManifoldTask):
        name = model.task.name
        raise InvalidArgument(f"{name!r} is a task graph, not a task on one manifold; `atlasmoe prove` states it, by graph_statement_of")
    if model.task.wanted:
        _several(model.task, epsilon, floats)
    if functions := model.task.target.functions_in_python:
        raise InvalidArgument(f"the target is the Python function {functions[0].name!r}, for which Coq has no word; write f in a spec")
    budget = float(model.ledger.root.budget) if epsilon is None else epsilon
    if not 0 < budget < np.inf:
        raise InvalidArgument(f"ε = {budget:g} is no error that could be proved; give a positive number: {{epsilon=0.01}}")
    atlas = model.task.atlas
    claim = floats_of(model.network, atlas.parametrising, atlas.embedding, budget) if floats else None
    return Statement(model.task, model, budget, claim, routes)


def _several(task: ManifoldTask, epsilon: float | None, floats: bool) -> None:
    """Raises `InvalidArgument` for what is not stated of several targets."""
    problem = f"{task.name!r} has several targets, {', '.join(one.name for one in task.wanted)}"
    if epsilon is not None:
        raise InvalidArgument(f"{problem}, each with its own ε; leave out --epsilon, or change their ε in the spec and compile it again")
    if floats:
        raise InvalidArgument(f"{problem}, of which evaluation in floats is not followed in Coq; leave out --floats, or compile one alone")
    if isinstance(task.target, ChartTarget):
        raise InvalidArgument(f"{problem}, given chart by chart, which is not followed in Coq; compile one of them alone")


def task_file(statement: Statement) -> str:
    """`Task.v`: f, the charts and ε, each expression as it is written in task.toml, with its text above."""
    task, atlas = statement.task, statement.task.atlas
    lines = [
        comment(f"The task {task.name}: what the network is compared with, and where."),
        "From Coq Require Import ZArith List.",
        "From AtlasMoE Require Import Semantics.",
        "Import ListNotations.",
        "Open Scope Z_scope.",
        "",
    ]
    names = names_of(atlas.coordinates)
    if task.wanted:
        lines += modules(task, statement.function(0), names)
    elif not statement.by_chart:
        lines += _module("Target", names, {"f": (statement.function(0), "f")}, [])
    for k, chart in enumerate(statement.charts):
        lines.append(comment(f"Chart {chart.name}"))
        names = names_of([str(v) for v in chart.inverse.variables])
        maps = {"inverse": (chart.inverse, f'chart "{chart.name}": inverse')}
        if chart.region is not None:
            maps["region"] = (chart.region, f'chart "{chart.name}": region')
        if statement.by_chart:
            maps["f"] = (statement.function(k), f'chart "{chart.name}": target')
        sides = zip(chart.domain.lower, chart.domain.upper, strict=True)
        box = ";".join(f"({number(dyadic(low))},{number(dyadic(high))})" for low, high in sides)
        regions = "region" if chart.region is not None else "[]"
        lines += _module(f"Chart{k}", names, maps, [f"Definition chart : chart := Chart [{box}] inverse {regions}."])
    embedding = "None"
    if atlas.embedding is not None:
        embedding = f"Some {block(atlas.embedding, np.zeros(len(atlas.embedding)))}"
    lines += [
        "(* The isometry that points of M go through before the network reads them *)",
        f"Definition Q : option (block dyadic) := {embedding}.",
    ]
    if not task.wanted:
        lines += [
            f"(* {statement.epsilon!r} as the float64 that it is *)",
            f"Definition eps : dyadic := {number(dyadic(statement.epsilon))}.",
        ]
    if statement.floats is not None:
        reach, wide = statement.floats.reach, statement.floats.epsilon
        lines += [
            f"(* Numbers that the network reads are at most 2^{reach}; with rounding the error is at most {wide!r} *)",
            f"Definition reach : Z := {reach}.",
            f"Definition wide : dyadic := {number(dyadic(wide))}.",
        ]
    return "\n".join(lines) + "\n"


def _module(name: str, names: Mapping[str, str], maps: Mapping[str, tuple[ExpressionMap, str]], more: list[str]) -> list[str]:
    """Coordinates by their names, lists of expressions in them."""
    lines = [f"Module {name}."]
    lines += [f"Definition {coq} : expr := Var {k}." for k, coq in enumerate(names.values())]
    for what, (function, where) in maps.items():
        own = dict(zip(map(str, function.variables), names.values(), strict=True))
        terms = [expression(tree, own, where) for tree in function.trees]
        lines += map(comment, function.texts)
        lines.append(f"Definition {what} : list expr := [{'; '.join(f'({term})%expr' for term in terms)}].")
    return [*lines, *more, f"End {name}.", ""]


def suggested_cuts(folder: Path, charts: int, target: int = 0) -> list[list[int]]:
    """The error trees of a target in the certificate in a folder, in preorder, a list a chart; [0], one leaf, where there is none.

    They need not be trusted: Coq walks along them and cuts leaves further where it has to. Raises `FolderError` for a file that is none.
    """
    path = folder / CERTIFICATE
    if not path.exists():
        return [[0]] * charts
    arrays, _ = parse_tensors(path.read_bytes(), path)
    found = []
    for n in range(charts):
        names = (f"{target}.{n}.cuts", *([f"{n}.cuts"] if target == 0 else []))
        cuts: NDArray | None = next((arrays[name] for name in names if name in arrays), None)
        if cuts is None or cuts.dtype != np.uint8 or cuts.ndim != 1:
            raise FolderError(f"{path}: has no tree for chart {n + 1} of {charts}; certify the model again")
        found.append(cuts.tolist())
    return found
