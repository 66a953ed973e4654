"""`lint`: everything the theorems assume about a task, checked at sampled points; all findings at once.

What is checked of a task on a manifold is in `checks/`, what is checked of a task graph beyond that in `checks/graph.py`. A
task without errors is no proof that the assumptions hold, only that no sampled point contradicts them.
"""

from __future__ import annotations

from ..errors import Finding, InvalidArgument
from . import arguments
from .graph import TaskGraph
from .named import with_origin
from .task import ManifoldTask


def lint(task: ManifoldTask | TaskGraph, *, samples: int = 4096, seed: int = 0) -> list[Finding]:
    """All findings about a task, errors first, at most one per chart and kind, each with its worst witness.

    `samples` low-discrepancy points are looked at per chart, besides lattice points, faces and the edges of regions; of a
    graph with many pieces fewer in each. Deterministic for a seed. Raises `InvalidArgument` if `samples` < 64. What keeps
    nodes from being a graph at all is found when the graph is made.
    """
    from .checks.manifold import check_manifold  # which whoever only loads a task does not need

    if not isinstance(task, ManifoldTask | TaskGraph):
        raise InvalidArgument(f"lint takes a ManifoldTask or a TaskGraph, got {type(task).__name__}; load_task(path) reads one from a spec")
    samples, seed = arguments.integer("samples", samples, 64), arguments.seed(seed)
    if isinstance(task, TaskGraph):
        from .checks.graph import check_graph

        found = check_graph(task, samples, seed)
    else:
        found = check_manifold(task, samples, seed)
    return [with_origin(finding, task.origins) for finding in found] if task.origins else found
