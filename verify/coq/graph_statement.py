"""What there is to be proved of a task graph: its inputs, its nodes as they are written, ε; in the words of `Tasks.v`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atlas import Block, Combine, Input, TaskGraph, Tiling
from ...errors import InvalidArgument
from ...moe import Model
from .expressions import names_of
from .graph_inputs import Given, by_chart, embeddings_of, functions_text, givens_of, input_text
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
    def givens(self) -> tuple[Given, ...]:
        """The inputs, one behind the other."""
        return givens_of(self.task)

    @cached_property
    def embeddings(self) -> dict[str, Combine]:
        """Embedded input ↦ the node that computes what the network reads of it."""
        return embeddings_of(self.task)

    @cached_property
    def makers(self) -> tuple[Maker, ...]:
        """Embeddings, blocks and combinations, each after those that it reads."""
        return (*self.embeddings.values(), *(node for node in self.task.order if not isinstance(node, Input)))

    @cached_property
    def sources(self) -> dict[str, Maker]:
        """Value ↦ the node that computes it."""
        return {name: node for node in self.makers for name in node.components}

    @cached_property
    def components(self) -> tuple[str, ...]:
        """All values: coordinates, with what stands beside points, then what nodes compute."""
        coordinates = (name for given in self.givens for name in given.coordinates)
        return (*coordinates, *(name for node in self.makers for name in node.components))

    @cached_property
    def reads(self) -> tuple[int, ...] | None:
        """The numbers of the values that the network reads; None where these are the coordinates, one after the other."""
        read = [self.embeddings[n.name].components if n.name in self.embeddings else n.coordinates for n in self.task.inputs]
        found = tuple(self.places[name] for names in read for name in names)
        plain = not self.embeddings and not any(given.beside for given in self.givens)
        return None if plain else found

    def through(self, reads: Sequence[str]) -> tuple[int, ...]:
        """The embeddings of inputs that are read, by number."""
        inputs = [node for node in self.task.inputs if node.name in self.embeddings and set(node.coordinates) & set(reads)]
        return tuple(self.offsets[self.embeddings[node.name].name] for node in inputs)

    @cached_property
    def places(self) -> dict[str, int]:
        """Component ↦ its number."""
        return {name: k for k, name in enumerate(self.components)}

    @cached_property
    def offsets(self) -> dict[str, int]:
        """Node ↦ the number of its first value."""
        return {node.name: self.places[node.components[0]] for node in self.makers}


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
    for block in task.blocks:
        if block.given is not None:
            raise InvalidArgument(
                f"block {block.name!r} is given by a task of its own, which the proof in Coq does not follow in a task graph"
            )
    givens_of(task)
    budget = float(model.ledger.root.budget) if epsilon is None else epsilon
    if not 0 < budget < np.inf:
        raise InvalidArgument(f"ε = {budget:g} is no error that could be proved; give a positive number: {{epsilon=0.01}}")
    return GraphStatement(task, model, budget)


def graph_task_file(statement: GraphStatement, gaps: Sequence[tuple[int, int, int]] = ()) -> str:
    """`Task.v`: the graph, each expression as it is written in task.toml, with its text above; and gaps, if there are any."""
    task, places = statement.task, statement.places
    names = _names(statement.components)
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
    for n, given in enumerate(statement.givens):
        lines += input_text(n, given)
    for maker in statement.makers:
        lines += _node(maker, names, statement)
    listed = "; ".join(f"input_{n}" for n in range(len(statement.givens)))
    nodes = "; ".join(node_name(statement, node) for node in statement.makers)
    outputs = "; ".join(str(places[name]) for name in task[task.output].components)
    lines += [
        f"(* The output is {task.output}. *)",
        f"Definition graph : graph := Graph [{listed}] [{nodes}] [{outputs}]%nat.",
        f"(* {statement.epsilon!r} as the float64 that it is *)",
        f"Definition eps : dyadic := {number(dyadic(statement.epsilon))}.",
    ]
    if statement.reads is not None:
        lines += [
            "(* The numbers of the values that the network reads *)",
            f"Definition network_reads : list nat := {naturals(statement.reads)}.",
        ]
    if gaps:
        listed = "; ".join(f"({k}%nat,({n},{e}))" for k, n, e in gaps)
        lines += [
            f"(* Between neighbouring {statement.model.network.dtype} numbers: where coordinates k do not lie *)",
            f"Definition gaps : list gap := [{listed}].",
            f"Definition compared : list nat := {naturals(sorted({k for k, _, _ in gaps}))}.",
        ]
    return "\n".join(lines) + "\n"


def _names(components: Sequence[str]) -> dict[str, str]:
    """What components are called in Coq; those that have no name in the task by what they belong to."""
    plain = [name.replace(", ", "_") for name in components]
    keys = [short if plain.count(short) == 1 else name for short, name in zip(plain, components, strict=True)]
    return dict(zip(components, names_of(keys).values(), strict=True))


def node_name(statement: GraphStatement, node: Maker) -> str:
    """What a node is called in `Task.v`."""
    return f"node_{statement.makers.index(node)}"


def _node(node: Maker, names: dict[str, str], statement: GraphStatement) -> list[str]:
    """A block piece by piece, or a combination, which is one piece."""
    own, name = {read: names[read] for read in node.reads}, node_name(statement, node)
    said = comment(f"{node.kind} {node.name}: {', '.join(node.components)}, of {', '.join(node.reads)}")
    if isinstance(node, Block) and by_chart(node):
        return [said, *_charts(node, own, names, statement)]
    if not isinstance(node, Block) or node.tiling is None:
        function = node.function if isinstance(node, Combine) else node.subtasks[0]
        read = {str(v): own[r] for v, r in zip(function.variables, node.reads, strict=True)}
        lines = functions_text(f"{name}_all", function, read, f'{node.kind} "{node.name}"')
        return [said, *lines, f"Definition {name} : node := [Piece [] {name}_all].", ""]
    lines, pieces = [said], []
    for p, piece in enumerate(node.names):
        function = node.local(p)
        read = {str(v): own[r] for v, r in zip(function.variables, node.reads, strict=True)}
        lines += functions_text(f"{name}_{p}", function, read, f'{node.kind} "{node.name}", piece "{piece}"')
        pieces.append(f"Piece [{'; '.join(_sides(node, node.tiling, p, statement))}] {name}_{p}")
    listed = ";\n  ".join(pieces)
    return [*lines, f"Definition {name} : node := [\n  {listed}].", ""]


def _charts(node: Block, own: dict[str, str], names: dict[str, str], statement: GraphStatement) -> list[str]:
    """A block chart by chart: on the points that stand there with the number of chart p, the function of the coordinates on it."""
    (given,) = [given for given in statement.givens if given.node.coordinates == node.reads]
    *beside, chart = given.beside
    name, last, lines, pieces = node_name(statement, node), len(node) - 1, [], []
    for p, label in enumerate(node.names):
        function = node.subtasks[p]
        known = [names[u] for u in beside] if node.is_intrinsic(p) else [own[read] for read in node.reads]
        read = {str(v): coq for v, coq in zip(function.variables, known, strict=True)}
        lines += functions_text(f"{name}_{p}", function, read, f'{node.kind} "{node.name}", chart "{label}"')
        ends = f"{f'Closed ({2 * p - 1},-1)' if p else 'Free'}, {f'Open ({2 * p + 1},-1)' if p < last else 'Free'}"
        pieces.append(f"Piece [({statement.places[chart]}%nat, ({ends}))] {name}_{p}")
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
