"""What there is to be proved of a task graph: its inputs, its nodes as they are written, ε; in the words of `Tasks.v`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Block, Combine, ExpressionMap, Input, TaskGraph, Tiling
from ...atlas.chart import Chart
from ...errors import InvalidArgument
from ...moe import Model
from .expressions import expression, names_of
from .numbers import comment, dyadic, naturals, number

Maker = Block | Combine


@dataclass(frozen=True)
class GraphStatement:
    """|f − Ψ| ≤ ε at every input of a graph, f the values of its output."""

    task: TaskGraph
    model: Model
    epsilon: float
    floats: None = None

    @cached_property
    def makers(self) -> tuple[Maker, ...]:
        """Blocks and combinations, each after those that it reads."""
        return tuple(node for node in self.task.order if not isinstance(node, Input))

    @cached_property
    def components(self) -> tuple[str, ...]:
        """All values: coordinates, then what nodes compute."""
        return (*self.task.coordinates, *(name for node in self.makers for name in node.components))

    @cached_property
    def places(self) -> dict[str, int]:
        """Component ↦ its number."""
        return {name: k for k, name in enumerate(self.components)}

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Node ↦ the number of its first value."""
        return {node.name: self.places[node.components[0]] for node in self.makers}

    def charts(self, node: Input) -> tuple[Chart, ...]:
        """The charts of an input; of a box none, it is a chart that leaves its points as they are."""
        return () if node.atlas is None else node.atlas.parametrising


def graph_statement_of(model: Model, epsilon: float | None = None, floats: bool = False, routes: bool = False) -> GraphStatement:
    """The statement about the model's own ε, or another one. Raises `InvalidArgument` for what cannot be stated, by name."""
    task = model.task
    assert isinstance(task, TaskGraph)
    if floats or routes:
        raise InvalidArgument(
            f"{task.name!r} is a task graph, of which Coq is asked for the error alone; leave `--floats` and `--routes` out"
        )
    if names := ", ".join(one.name for one in task.wanted):
        raise InvalidArgument(f"{task.name!r} has several targets, {names}, each with its own ε, and the proof in Coq is about one ε")
    for node in task.inputs:
        if node.values:
            raise InvalidArgument(f"input {node.name!r} takes finitely many values, for which the proof in Coq has no word")
        if node.domain.embedding is not None:
            raise InvalidArgument(f"input {node.name!r} is embedded, which the proof in Coq does not follow in a task graph")
    for block in task.blocks:
        if block.tiling is None and (block.given is not None or not block.uniform):
            given = "is given chart by chart, or by a task of its own"
            raise InvalidArgument(f"block {block.name!r} {given}; the proof in Coq follows blocks on charts with one expression")
    budget = float(model.ledger.root.budget) if epsilon is None else epsilon
    if not 0 < budget < np.inf:
        raise InvalidArgument(f"ε = {budget:g} is no error that could be proved; give a positive number: {{epsilon=0.01}}")
    return GraphStatement(task, model, budget)


def graph_task_file(statement: GraphStatement, gaps: Sequence[tuple[int, int, int]] = ()) -> str:
    """`Task.v`: the graph, each expression as it is written in task.toml, with its text above; and gaps, if there are any."""
    task, places = statement.task, statement.places
    names = names_of(statement.components)
    lines = [
        comment(f"The task graph {task.name}: what the network is compared with, and where."),
        "From Coq Require Import ZArith List.",
        f"From AtlasMoE Require Import Semantics Tasks{' Gaps' if gaps else ''}.",
        "Import ListNotations.",
        "Open Scope Z_scope.",
        "",
        "(* All values, by their numbers: the coordinates of the inputs, then what nodes compute. *)",
    ]
    lines += [f"Definition {names[name]} : expr := Var {k}." for name, k in places.items()]
    lines.append("")
    for n, node in enumerate(task.inputs):
        lines += _input(n, node)
    for maker in statement.makers:
        lines += _node(maker, names, statement)
    listed = "; ".join(f"input_{n}" for n in range(len(task.inputs)))
    nodes = "; ".join(node_name(statement, node) for node in statement.makers)
    outputs = "; ".join(str(places[name]) for name in task[task.output].components)
    lines += [
        f"(* The output is {task.output}. *)",
        f"Definition graph : graph := Graph [{listed}] [{nodes}] [{outputs}]%nat.",
        f"(* {statement.epsilon!r} as the float64 that it is *)",
        f"Definition eps : dyadic := {number(dyadic(statement.epsilon))}.",
    ]
    if gaps:
        listed = "; ".join(f"({k}%nat,({n},{e}))" for k, n, e in gaps)
        lines += [
            f"(* Between neighbouring {statement.model.network.dtype} numbers: where coordinates k do not lie *)",
            f"Definition gaps : list gap := [{listed}].",
            f"Definition compared : list nat := {naturals(sorted({k for k, _, _ in gaps}))}.",
        ]
    return "\n".join(lines) + "\n"


def node_name(statement: GraphStatement, node: Maker) -> str:
    """What a node is called in `Task.v`."""
    return f"node_{statement.makers.index(node)}"


def _input(n: int, node: Input) -> list[str]:
    if node.box is not None:
        box = ";".join(f"({number(dyadic(low))},{number(dyadic(high))})" for low, high in zip(node.box.lower, node.box.upper, strict=True))
        same = ";".join(f"Var {k}" for k in range(node.base_dimension))
        said = comment(f"Input {node.name}, a box: {', '.join(node.coordinates)}")
        return [said, f"Definition input_{n} : list chart := [Chart [{box}] [{same}] []].", ""]
    assert node.atlas is not None
    lines = [comment(f"Input {node.name}, on charts: {', '.join(node.coordinates)}")]
    for k, chart in enumerate(node.atlas.parametrising):
        own = names_of([str(v) for v in chart.inverse.variables])
        lines += [f"Module Input{n}Chart{k}.", *(f"Definition {coq} : expr := Var {j}." for j, coq in enumerate(own.values()))]
        lines += _functions("inverse", chart.inverse, own, f'input "{node.name}", chart "{chart.name}": inverse')
        regions = "[]"
        if chart.region is not None:
            lines += _functions("region", chart.region, own, f'input "{node.name}", chart "{chart.name}": region')
            regions = "region"
        sides = zip(chart.domain.lower, chart.domain.upper, strict=True)
        box = ";".join(f"({number(dyadic(low))},{number(dyadic(high))})" for low, high in sides)
        lines += [f"Definition chart : chart := Chart [{box}] inverse {regions}.", f"End Input{n}Chart{k}."]
    charts = "; ".join(f"Input{n}Chart{k}.chart" for k in range(len(node.atlas.parametrising)))
    return [*lines, f"Definition input_{n} : list chart := [{charts}].", ""]


def _functions(what: str, function: ExpressionMap, names: dict[str, str], where: str) -> list[str]:
    terms = [expression(tree, names, where) for tree in function.trees]
    listed = "; ".join(f"({term})%expr" for term in terms)
    return [*map(comment, function.texts), f"Definition {what} : list expr := [{listed}]."]


def _node(node: Maker, names: dict[str, str], statement: GraphStatement) -> list[str]:
    """A block piece by piece, or a combination, which is one piece."""
    own, name = {read: names[read] for read in node.reads}, node_name(statement, node)
    said = comment(f"{node.kind} {node.name}: {', '.join(node.components)}, of {', '.join(node.reads)}")
    if not isinstance(node, Block) or node.tiling is None:
        function = node.function if isinstance(node, Combine) else node.subtasks[0]
        read = {str(v): own[r] for v, r in zip(function.variables, node.reads, strict=True)}
        lines = _functions(f"{name}_all", function, read, f'{node.kind} "{node.name}"')
        return [said, *lines, f"Definition {name} : node := [Piece [] {name}_all].", ""]
    lines, pieces = [said], []
    for p, piece in enumerate(node.names):
        function = node.local(p)
        read = {str(v): own[r] for v, r in zip(function.variables, node.reads, strict=True)}
        lines += _functions(f"{name}_{p}", function, read, f'{node.kind} "{node.name}", piece "{piece}"')
        pieces.append(f"Piece [{'; '.join(_sides(node, node.tiling, p, statement))}] {name}_{p}")
    listed = ";\n  ".join(pieces)
    return [*lines, f"Definition {name} : node := [\n  {listed}].", ""]


def _sides(node: Block, tiling: Tiling, p: int, statement: GraphStatement) -> list[str]:
    """The ends of a piece. What is computed may lie beyond the outer ones: these are none then."""
    low, high = tiling.owned
    found = []
    for k, read in enumerate(node.reads):
        ends = []
        exact = read in statement.task.coordinates
        for value, own, outer in (
            (tiling.lower[p, k], low[p, k], tiling.domain.lower[k]),
            (tiling.upper[p, k], high[p, k], tiling.domain.upper[k]),
        ):
            free = value == outer and not exact
            ends.append("Free" if free else f"{'Closed' if own else 'Open'} {number(dyadic(value))}")
        if ends != ["Free", "Free"]:
            found.append(f"({statement.places[read]}%nat, ({ends[0]}, {ends[1]}))")
    return found
