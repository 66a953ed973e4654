"""ε as people write it: a number, or a percentage of what the target ranges over."""

from __future__ import annotations

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

RANGE_SAMPLES = 1 << 13
"""Points of M at which the range of a target is measured for a relative ε."""


def absolute_epsilon(epsilon: Any, task: ManifoldTask | TaskGraph) -> float:
    """ε as a number; a percentage, "1%", is of max f − min f on M, sampled, of the component where that is largest.

    Raises `InvalidArgument` for what is neither, is not positive, or is a percentage of nothing; `LintError` where lint says why.
    """
    if not isinstance(epsilon, str):
        try:
            return arguments.number("epsilon", epsilon, 0)
        except InvalidArgument:
            raise InvalidArgument(f'epsilon must be a positive number, or a percentage like "1%", got {epsilon!r}') from None
    text = epsilon.strip()
    try:
        value = float(text.removesuffix("%"))
    except ValueError:
        raise InvalidArgument(f"epsilon {epsilon!r} is neither a number nor a percentage like 1%") from None
    if not 0 < value < np.inf:
        raise InvalidArgument(f"epsilon must be a positive number, or a percentage like 1%, got {epsilon}")
    if not text.endswith("%"):
        return value
    spread = _range(as_graph(task))
    if not spread > 0:
        errors = [finding for finding in lint(task) if finding.severity is Severity.ERROR]
        if errors:
            raise LintError(errors)
        raise InvalidArgument(f"epsilon {epsilon!r}: the target's range is {spread:g}; give an absolute {{epsilon=1e-3}}")
    return float(f"{value / 100 * spread:.3g}")


def _range(graph: TaskGraph) -> float:
    """max f − min f of the component where that is largest, as sampled."""
    count = max(RANGE_SAMPLES, 16 * sum(len(block.domain.parametrising) for block in graph.blocks))
    values = graph.evaluate(*_points(graph, count))
    values = values[np.isfinite(values).all(1)]
    return float(np.ptp(values, axis=0).max()) if len(values) else 0.0


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
