"""Several targets as one function, one of them alone, and all in units of their ε: `stacked`, `parts`, `in_units`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..errors import Finding, InvalidArgument
from ..expressions.box import Array
from ..expressions.later import sympy
from ..expressions.maps import ExpressionMap
from ..expressions.parse import read_expression
from .graph import Block, Combine, TaskGraph, as_graph
from .task import APART, CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask, StackedTarget, Target
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
    whole = [target for target in targets if isinstance(target, ExpressionTarget | CallableTarget)]
    if len(whole) == len(targets):
        return StackedTarget(tuple(whole))
    raise InvalidArgument("some targets are given on all of M and others chart by chart; give all of them in one of the two ways")


def some(target: Target, components: slice) -> Target:
    """The target of these components alone."""
    match target:
        case ExpressionTarget(function=function):
            return ExpressionTarget(_some(function, components))
        case ChartTarget(functions=functions):
            return ChartTarget(tuple(_some(function, components) for function in functions))
        case StackedTarget(parts=listed):
            return _of_stacked(listed, components)
        case CallableTarget() if (components.start, components.stop) == (0, target.outputs):
            return target
    raise InvalidArgument(f"the components of the Python function {target.name!r} cannot be told apart; {APART}")


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


def labelled(task: ManifoldTask) -> list[tuple[str, ManifoldTask]]:
    """Every target by itself, and what findings call it: "" for an only one."""
    return [(f'target "{one.name}"', part) for one, part in zip(task.wanted, parts(task), strict=True)] if task.wanted else [("", task)]


def about(label: str, found: Iterable[Finding]) -> list[Finding]:
    """The findings about one target, which say whose they are."""
    return [replace(finding, where=finding.where.replace("target", label, 1)) for finding in found] if label else list(found)


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


def _of_stacked(listed: Sequence[ExpressionTarget | CallableTarget], components: slice) -> Target:
    """The parts that these components belong to, or parts of them."""
    start, found = 0, list[Target]()
    for one in listed:
        low, high = max(components.start - start, 0), min(components.stop - start, one.outputs)
        if low < high:
            found.append(some(one, slice(low, high)))
        start += one.outputs
    return found[0] if len(found) == 1 else stacked(found)


def _scaled(target: Target, each: Array) -> Target:
    match target:
        case ExpressionTarget(function=function):
            return ExpressionTarget(_over(function, each))
        case ChartTarget(functions=functions):
            return ChartTarget(tuple(_over(function, each) for function in functions))
        case CallableTarget() | StackedTarget():
            name = ", ".join(function.name for function in target.functions_in_python)
            return CallableTarget(lambda base: target.values(base) / each, target.outputs, name)


def _beside(maps: Sequence[ExpressionMap]) -> ExpressionMap:
    """The map with the components of all of these, which are of the same variables."""
    first = maps[0]
    named = [one.renamed(first.coordinates) for one in maps]
    written = [one.written for one in named]
    trees = None if None in written else [tree for one in written for tree in one or ()]
    return ExpressionMap.later(
        first.coordinates, sum(one.outputs for one in named), lambda *_: [e for one in named for e in one.expressions], trees
    )


def _some(function: ExpressionMap, components: slice) -> ExpressionMap:
    trees = None if function.written is None else function.written[components]
    outputs = len(range(function.outputs)[components])
    return ExpressionMap.later(function.coordinates, outputs, lambda *_: function.expressions[components], trees)


def _over(function: ExpressionMap, each: Array) -> ExpressionMap:
    """f_j/ε_j."""
    names = [f"f{j}" for j in range(function.outputs)]
    quotients = [read_expression(f"{name}*{1 / unit!r}", names, "units") for name, unit in zip(names, each.tolist(), strict=True)]
    found = ExpressionMap.of(names, quotients).after(function)
    return ExpressionMap(found.variables, tuple(map(_spread, found.expressions)), found.trees)


def _spread(expression: sympy.Expr) -> sympy.Expr:
    """A multiple of a sum as a sum of multiples, in which structure is seen."""
    constant, rest = expression.as_coeff_Mul()
    return sympy.Add(*(constant * term for term in rest.args)) if rest.is_Add and constant.is_Float else expression
