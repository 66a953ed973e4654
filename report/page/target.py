"""f as the page shows it: its formulas as they stand in task.toml, and in words what no formula says."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from ...atlas import Block, ManifoldTask, TaskGraph, Tiling
from ...atlas.targets import parts
from ...atlas.task import CallableTarget, ChartTarget, StackedTarget
from ...atlas.wanted import columns
from ...expressions import ExpressionMap
from ...expressions.fields import Field
from ...expressions.text import text_of
from ...expressions.tree import Negative, Node, Reciprocal, postorder
from ...intervals.harmonics import Harmonics
from ...intervals.splines import Spline

MOST_FORMULAS = 64
"""That a page shows; how many there are is said."""
MOST_CHARACTERS = 10_000
"""Of one formula."""

Group = tuple[str, ExpressionMap, Sequence[str]]
"""What the formulas are about, they themselves, and the names of their components."""


def target(task: ManifoldTask | TaskGraph, graph: TaskGraph) -> dict[str, Any]:
    """The formulas of f in groups, for every target, chart, piece and combination one; the words; and how many formulas were left out.

    `graph` is the task as a graph, whose components have names.
    """
    found = list(_groups(task, graph))
    groups: list[dict[str, Any]] = []
    shown = 0
    for title, function, names in found:
        if shown < MOST_FORMULAS:
            trees = function.trees[: MOST_FORMULAS - shown]
            formulas = [_formula(name, tree) for name, tree in zip(names, trees, strict=False)]
            groups.append({"title": title, "formulas": formulas})
            shown += len(formulas)
    fields = {field.key: field for _, function, _ in found for field in function.fields}
    words = [*_in_python(task)] if isinstance(task, ManifoldTask) else []
    words += sorted(map(_field, fields.values()))
    return {"groups": groups, "words": words, "left": sum(function.outputs for _, function, _ in found) - shown}


def _groups(task: ManifoldTask | TaskGraph, graph: TaskGraph) -> Iterator[Group]:
    if isinstance(task, TaskGraph):
        yield from _of_nodes(task)
        return
    names = graph.blocks[0].components
    match task.target:
        case CallableTarget():
            return
        case ChartTarget(functions=functions):
            for chart, function in zip(task.atlas.parametrising, functions, strict=True):
                yield from _of_targets(task, f"chart {chart.name}", function, names)
        case StackedTarget():
            for one, part in zip(task.wanted, parts(task), strict=True):
                yield from ((f"target {one.name}", function, part.names) for function in part.target.maps)
        case expression:
            yield from _of_targets(task, "", expression.function, names)


def _of_targets(task: ManifoldTask, where: str, function: ExpressionMap, names: Sequence[str]) -> Iterator[Group]:
    """The components of every target apart."""
    if not task.wanted:
        yield where, function, names
    for one, place in columns(task.wanted):
        part = ExpressionMap(function.variables, function.expressions[place], function.trees[place])
        yield f"target {one.name}{', ' if where else ''}{where}", part, names[place]


def _of_nodes(graph: TaskGraph) -> Iterator[Group]:
    """Combinations, then blocks."""
    for node in graph.combines:
        yield f"combination {node.name}", node.function, node.components
    for block in graph.blocks:
        title = f"block {block.name}"
        if block.uniform:
            yield title, block.subtasks[0], block.components
            continue
        for piece, function in zip(block.names, block.subtasks, strict=True):
            yield f"{title}, {_noun(block)} {piece}", function, block.components


def _noun(block: Block) -> str:
    return "piece" if isinstance(block.domain, Tiling) else "chart"


def _formula(name: str, tree: Node) -> dict[str, Any]:
    text = text_of(tree)
    said = {"name": name, "text": text[:MOST_CHARACTERS], "operations": _operations(tree)}
    return said | {"characters": len(text)}


def _operations(tree: Node) -> int:
    """What the text does, parts that occur twice once; a difference is one, and so is a quotient."""
    counted = (node for node in postorder(tree) if node.parts and not isinstance(node, Negative | Reciprocal))
    return sum(max(1, len(node.parts) - 1) for node in counted)


def _in_python(task: ManifoldTask) -> Iterator[str]:
    """Of which target every function in Python is, and where."""
    for one, part in zip([f"target {one.name}" for one in task.wanted] or ["f"], parts(task), strict=True):
        yield from (_callable(function, one) for function in part.target.functions_in_python)


def _callable(given: CallableTarget, of: str) -> str:
    """Where a Python function is, and what is declared of it."""
    declared = [f"the Lipschitz constant {given.lipschitz:g}"] if given.lipschitz is not None else []
    declared += [f"second derivatives of at most {given.second_derivative:g}"] if given.second_derivative is not None else []
    outputs = f"{given.outputs} component{'s'[: given.outputs > 1]}"
    source = "a function in Python, whose code no file of the model holds"
    return f"{of} is {given.name}, {source}: {outputs}; declared of it: {' and '.join(declared) or 'nothing'}."


def _field(field: Field) -> str:
    """What a table or a series is made of, and where its numbers are."""
    names = ", ".join(field.components)
    match field:
        case Spline():
            sizes = " × ".join(str(axis.splines) for axis in field.axes)
            round_ = sum(axis.periodic for axis in field.axes)
            turns = f" ({round_} of its axes periodic)" if round_ else ""
            what = f"a table on a grid, as splines of degree {field.degree}, {sizes} of them{turns}"
        case Harmonics():
            decay = "decaying outwards" if field.decaying else "growing outwards"
            what = f"a series of spherical harmonics up to degree {field.degree}, {decay}"
        case _:
            what = f"a function of {field.inputs} variables"
    return f"{names}: {what}; its numbers are in atlas.safetensors."
