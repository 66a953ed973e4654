"""Several targets as one function, one of them alone, and all in units of their ε: `stacked`, `parts`, `in_units`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import sympy

from ..errors import InvalidArgument
from ..expressions.box import Array
from ..expressions.maps import ExpressionMap
from ..expressions.parse import read_expression, real_symbols
from .graph import Block, Combine, TaskGraph, as_graph
from .task import CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask, Target
from .wanted import columns, units


def stacked(targets: Sequence[Target]) -> Target:
    """The target whose components are those of all, one after the other.

    Raises `InvalidArgument` for targets of different kinds, of which no atlas could say in the same way where they are.
    """
    kinds = {type(target) for target in targets}
    if kinds == {ExpressionTarget}:
        return ExpressionTarget(_beside([target.maps[0] for target in targets]))
    if kinds == {ChartTarget}:
        return ChartTarget(tuple(map(_beside, zip(*(target.maps for target in targets), strict=True))))
    if any(isinstance(target, CallableTarget) for target in targets):
        raise InvalidArgument(
            "one of several targets is a Python function; let one function compute all of them, as one target, or write expressions"
        )
    raise InvalidArgument("some targets are given on all of M and others chart by chart; give all of them in one of the two ways")


def some(target: Target, components: slice) -> Target:
    """The target of these components alone."""
    match target:
        case ExpressionTarget(function=function):
            return ExpressionTarget(_some(function, components))
        case ChartTarget(functions=functions):
            return ChartTarget(tuple(_some(function, components) for function in functions))
    raise InvalidArgument(f"the components of the Python function {target.name!r} cannot be told apart; give each target its own")


def parts_of_graph(graph: TaskGraph) -> tuple[TaskGraph, ...]:
    """One graph for every target that is wanted: the output restricted to its components. The graph itself if it has but one f."""
    if graph.blocks[0].given is not None:
        return tuple(map(as_graph, parts(graph.blocks[0].given)))
    last, found = graph[graph.output], []
    for _, place in columns(graph.wanted):
        names = last.components[place]
        match last:
            case Block():
                made: Block | Combine = replace(last, subtasks=tuple(_some(one, place) for one in last.subtasks), outputs=names)
            case Combine():
                made = replace(last, function=_some(last.function, place), outputs=names)
            case _:
                raise InvalidArgument(f"graph {graph.name!r}: its output is no block or combination of its own")
        found.append(replace(graph, nodes=tuple(made if node is last else node for node in graph.nodes), wanted=()))
    return tuple(found) or (graph,)


def parts(task: ManifoldTask) -> tuple[ManifoldTask, ...]:
    """One task for every target that is wanted, on the same atlas: f restricted to its components. The task itself if it has but one f."""
    found = []
    for _, place in columns(task.wanted):
        names = task.names[place]
        found.append(replace(task, target=some(task.target, place), names=names, wanted=()))
    return tuple(found) or (task,)


def in_units(task: ManifoldTask | TaskGraph) -> ManifoldTask | TaskGraph:
    """The task whose f has components f_j/ε_j, so that one ε of 1 says what all of them say. The task itself if it has but one f."""
    if not task.wanted:
        return task
    each = units(task.wanted)
    if isinstance(task, ManifoldTask):
        return replace(task, target=_scaled(task.target, each), wanted=())
    last = task[task.output]
    match last:
        case Block(given=None):
            made: Block | Combine = replace(last, subtasks=tuple(_over(function, each) for function in last.subtasks))
        case Combine():
            made = replace(last, function=_over(last.function, each))
        case _:
            raise InvalidArgument(f"graph {task.name!r}: its output is no block or combination of its own")
    return replace(task, nodes=tuple(made if node is last else node for node in task.nodes), wanted=())


def _scaled(target: Target, each: Array) -> Target:
    match target:
        case ExpressionTarget(function=function):
            return ExpressionTarget(_over(function, each))
        case ChartTarget(functions=functions):
            return ChartTarget(tuple(_over(function, each) for function in functions))
    return replace(target, function=None, pointwise=lambda points: target.evaluate(points) / each)


def _beside(maps: Sequence[ExpressionMap]) -> ExpressionMap:
    """The map with the components of all of these, which are of the same variables."""
    first = maps[0]
    named = [one.renamed(first.variables) for one in maps]
    written = [one.written for one in named]
    trees = None if None in written else [tree for one in written for tree in one or ()]
    return ExpressionMap(first.variables, [e for one in named for e in one.expressions], trees)


def _some(function: ExpressionMap, components: slice) -> ExpressionMap:
    trees = None if function.written is None else function.written[components]
    return ExpressionMap(function.variables, function.expressions[components], trees)


def _over(function: ExpressionMap, each: Array) -> ExpressionMap:
    """f_j/ε_j."""
    names = [f"f{j}" for j in range(function.outputs)]
    symbols = real_symbols(names)
    quotients = [read_expression(f"{name}*{1 / unit!r}", symbols, "units") for name, unit in zip(names, each.tolist(), strict=True)]
    found = ExpressionMap.of(symbols.values(), quotients).after(function)
    return ExpressionMap(found.variables, tuple(map(_spread, found.expressions)), found.trees)


def _spread(expression: sympy.Expr) -> sympy.Expr:
    """A multiple of a sum as a sum of multiples, in which structure is seen."""
    constant, rest = expression.as_coeff_Mul()
    return sympy.Add(*(constant * term for term in rest.args)) if rest.is_Add and constant.is_Float else expression
