"""ε as people write it: a number, or a percentage of what the target ranges over."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..errors import InvalidArgument, LintError, Severity
from ..expressions.box import Array, Box
from . import arguments
from .graph import TaskGraph, as_graph
from .graph.sampling import all_points
from .lint import lint
from .points import Points
from .task import ManifoldTask
from .wanted import columns

RANGE_SAMPLES = 1 << 13
"""Points of M at which the range of a target is measured for a relative ε."""


def absolute_epsilon(epsilon: Any, task: ManifoldTask | TaskGraph) -> float:
    """ε as a number; a percentage, "1%", is of max f − min f on M, sampled, of the component where that is largest.

    Raises `InvalidArgument` for what is neither, is not positive, or is a percentage of nothing; `LintError` where lint says why.
    """
    if names := ", ".join(one.name for one in task.wanted):
        raise InvalidArgument(
            f"epsilon {epsilon!r} is given for all of the targets {names}, each of which has its own in the spec; "
            "leave it out, or change it there"
        )
    if not isinstance(epsilon, str):
        try:
            return arguments.number("epsilon", epsilon, 0)
        except InvalidArgument:
            raise InvalidArgument(f'epsilon must be a positive number, or a percentage like "1%", got {epsilon!r:.60}') from None
    text = epsilon.strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise InvalidArgument(f"epsilon {epsilon!r} is neither a number nor a percentage like 1%") from None
    if not 0 < value < np.inf:
        raise InvalidArgument(f"epsilon must be a positive number, or a percentage like 1%, got {epsilon}")
    if not text.endswith("%"):
        return value
    spread = float(_ranges(as_graph(task)).max())
    if not spread > 0:
        _require_sound(task)
        raise InvalidArgument(f"epsilon {epsilon!r}: the target's range is {spread:g}; give an absolute {{epsilon=1e-3}}")
    return _part(value, spread)


def with_numbers(task: ManifoldTask | TaskGraph) -> ManifoldTask | TaskGraph:
    """The task whose targets all have a number as ε: percentages are of what that target alone ranges over, sampled.

    Raises as `absolute_epsilon` does, naming the target.
    """
    if not any(isinstance(one.epsilon, str) for one in task.wanted):
        return task
    spreads, wanted = _ranges(as_graph(task)), []
    for one, place in columns(task.wanted):
        text, epsilon = str(one.epsilon).strip(), one.epsilon
        if isinstance(epsilon, str):
            value, spread = float(text.removesuffix("%")), float(spreads[place].max())
            if text.endswith("%") and not spread > 0:
                _require_sound(task)
                raise InvalidArgument(
                    f"target {one.name!r}: its range is {spread:g}, so {text} of it is nothing; give it a number as epsilon"
                )
            epsilon = _part(value, spread) if text.endswith("%") else value
        wanted.append(replace(one, epsilon=float(epsilon)))
    return replace(task, wanted=tuple(wanted))


def _part(percent: float, spread: float) -> float:
    return float(f"{percent / 100 * spread:.3g}")


def _require_sound(task: ManifoldTask | TaskGraph) -> None:
    errors = [finding for finding in lint(task) if finding.severity is Severity.ERROR]
    if errors:
        raise LintError(errors)


def _ranges(graph: TaskGraph) -> Array:
    """max f − min f of every component, as sampled."""
    count = max(RANGE_SAMPLES, 16 * sum(len(block.domain.parametrising) for block in graph.blocks))
    values = graph.evaluate(*_points(graph, count))
    values = values[np.isfinite(values).all(1)]
    return np.ptp(values, axis=0) if len(values) else np.zeros(graph.outputs)


def _points(graph: TaskGraph, count: int) -> tuple[Array, dict[str, Points]]:
    """Low-discrepancy points, and where those of manifolds lie on their charts."""
    if len(graph.inputs) == 1 and graph.inputs[0].box is None:
        points = graph.inputs[0].domain.sample(count, 0, low_discrepancy=True)
        return points.ambient, {graph.inputs[0].name: points}
    if (everything := all_points(graph.inputs, count)) is not None:
        return graph.embed(np.resize(everything, (count, everything.shape[1]))), {}
    rng, known, parts = np.random.default_rng(0), {}, []
    boxes = [node.box for node in graph.inputs if node.box is not None]
    columns: list[Array] = []
    if boxes:
        whole = Box(tuple(v for box in boxes for v in box.lower), tuple(v for box in boxes for v in box.upper))
        drawn = whole.low_discrepancy(count, int(rng.integers(2**31)))
        columns = np.split(drawn, np.cumsum([box.dimension for box in boxes])[:-1], axis=1)
    for node in graph.inputs:
        if node.box is not None:
            parts.append(node.chosen(columns.pop(0).copy()))
            continue
        points = node.domain.sample(count, int(rng.integers(2**31)), low_discrepancy=True)[rng.permutation(count)]
        known[node.name] = points
        parts.append(points.base)
    return graph.embed(np.concatenate(parts, axis=1)), known
