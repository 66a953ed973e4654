"""Where a combination of a task graph is undefined at values that reach it: its conditions, followed through the graph.

Values are as the graph computes them, so a condition counts as failing only where it fails by more than rounding makes up. From the sampled
points that come nearest to that, the coordinates of boxes are moved, one at a time, over all of their range and then closer and closer.
"""

from __future__ import annotations

import itertools

import numpy as np

from ...errors import Finding, InvalidArgument
from ...expressions.box import Array
from ...expressions.conditions import Condition, Demand, conditions
from ...expressions.defined import margins
from ...expressions.evaluate import evaluate
from ..graph.graph import TaskGraph
from ..graph.nodes import Combine
from ..graph.structure import wire
from .domains import Columns, Failure, finding, vanishing

LINES = 65
"""Points on each line along a coordinate."""
TURNS = 5
"""Lines get shorter by LINES with each turn."""
STARTS = 2
AXES = 16
"""Coordinates that are moved, at most."""
CLEARLY = 1e-9
"""A part is out of its domain if it is by this fraction of its largest size; next to a zero it is at most so large."""


def check_reached(graph: TaskGraph, node: Combine, base: Array, read: Array, remedy: str) -> list[Finding]:
    """One finding for each part that is undefined at values that reach the node.

    `base` are points before embedding, (n, k), and `read` what reaches the node there, (n, reads).
    """
    found, seen = [], set()
    for k, tree in enumerate(node.function.trees):
        for condition in conditions([tree]):
            if condition in seen or not len(read):
                continue
            seen.add(condition)
            try:
                failure = _failure(graph, node, k, condition, base, read)
            except InvalidArgument:
                continue  # a function that no text can say
            if failure is not None:
                where = wire(node).label + (f"[{k}]" if node.function.outputs > 1 else "")
                at = "" if len(node.reads) == 1 else f" (in {', '.join(node.reads)})"
                found.append(finding(where, failure, node.function, "", remedy, at))
    return found


def _failure(graph: TaskGraph, node: Combine, k: int, condition: Condition, base: Array, read: Array) -> Failure | None:
    depth = _depth(condition, node, read)
    bad = depth < 0
    if bad.any():
        worst = int(depth.argmin())
        return Failure(k, condition, read[worst], _value(condition, node, read[worst]), bad)
    if np.isinf(depth).all():
        return None
    for row in np.argsort(depth, kind="stable")[:STARTS]:
        point, best = base[row], depth[row]
        for turn, axis in itertools.product(range(TURNS), _axes(graph)):
            line = _line(point, axis, LINES**-turn)
            reached = _read(graph, node, line)
            along = _depth(condition, node, reached)
            j = int(along.argmin())
            if along[j] < 0:
                return Failure(k, condition, reached[j], _value(condition, node, reached[j]), bad)
            if turn == 0 and (zero := _zero(graph, node, condition, line, reached)) is not None:
                return Failure(k, condition, zero, None, bad)
            if along[j] < best:
                point, best = line[j], along[j]
    return None


def _columns(node: Combine, read: Array) -> Columns:
    return {name: read[:, i] for i, name in enumerate(node.function.names)}


def _depth(condition: Condition, node: Combine, read: Array) -> Array:
    """How far each point is from failing the condition, (n,): negative where it clearly fails, ∞ where nothing is asked or reached."""
    columns = _columns(node, read)
    depth = np.where(np.isfinite(read).all(1), margins([condition], columns)[:, 0], np.inf)
    if condition.demand in (Demand.NONZERO, Demand.SINE, Demand.DIRECTION, Demand.CASE):
        return depth
    size = np.abs(np.nan_to_num(evaluate(condition.arguments, columns)[condition.arguments[0]].value)).max(initial=0)
    return np.where((depth < -1) & (depth > -1 - CLEARLY * size), 0.0, depth)


def _value(condition: Condition, node: Combine, point: Array) -> float:
    argument = condition.arguments[0]
    return float(np.ravel(evaluate([argument], _columns(node, point[None]))[argument].value)[0])


def _axes(graph: TaskGraph) -> list[tuple[int, float, float]]:
    """The coordinates of boxes among the k before embedding, each with its range."""
    place = {name: i for i, name in enumerate(graph.coordinates)}
    boxes = [(node, node.box) for node in graph.inputs if node.box is not None]
    ends = [end for node, box in boxes for end in zip(node.coordinates, box.lower, box.upper, strict=True)]
    return [(place[name], low, high) for name, low, high in ends[:AXES]]


def _line(point: Array, axis: tuple[int, float, float], part: float) -> Array:
    """(LINES, k) points through one, along a coordinate of a box, over a part of its range."""
    k, low, high = axis
    line = np.repeat(point[None], LINES, axis=0)
    reach = (high - low) * part
    line[:, k] = np.linspace(max(low, point[k] - reach), min(high, point[k] + reach), LINES)
    return line


def _read(graph: TaskGraph, node: Combine, base: Array) -> Array:
    values = graph.trace(graph.embed(base)).values
    return np.stack([values[name] for name in node.reads], axis=-1)


def _zero(graph: TaskGraph, node: Combine, condition: Condition, line: Array, read: Array) -> Array | None:
    """What is read next to a zero of a part that must not vanish: where it changes its sign on the line, and is small."""
    for part in vanishing(condition):
        roots = [part, *(guard for guard, _ in condition.guards)]

        def signed(read: Array, roots: list = roots) -> Array:
            known = evaluate(roots, _columns(node, read))
            here = np.isfinite(read).all(1)
            for guard, holds in condition.guards:
                here &= known[guard].value == holds
            return np.where(here, known[roots[0]].value, np.nan)

        value = signed(read)
        for j in np.flatnonzero(value[:-1] * value[1:] < 0):
            a, b = line[j : j + 1], line[j + 1 : j + 2]
            for _ in range(60):
                middle = (a + b) / 2
                a, b = (middle, b) if signed(_read(graph, node, middle))[0] * value[j] > 0 else (a, middle)
            last = _read(graph, node, a)
            if abs(signed(last)[0]) <= CLEARLY * np.nanmax(np.abs(value)):
                return np.asarray(last[0])
    return None
