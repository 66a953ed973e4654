"""`as_graph`: every task is a task graph. A task on one manifold is the graph of one input and one block."""

from __future__ import annotations

from ..task import ManifoldTask
from .graph import TaskGraph
from .nodes import Block, Input, component_names

INPUT, BLOCK = "x", "f"
"""What the input and the block of a task on one manifold are called, with underscores behind it where a coordinate is called so."""


def as_graph(task: ManifoldTask | TaskGraph) -> TaskGraph:
    """The task as a graph: itself, or the graph of one input and one block that reads all of it and is the output."""
    if isinstance(task, TaskGraph):
        return task
    atlas, target = task.atlas, task.target
    taken = set(atlas.coordinates)
    group = INPUT if INPUT not in taken or len(taken) > 1 else INPUT + "_"
    name = BLOCK
    while {name, *component_names(name, task.outputs)} & (taken | {group, *task.names}):
        name += "_"
    while group in task.names:
        group += "_"
    names = task.names or component_names(name, task.outputs)
    block = Block(name, atlas.coordinates, atlas, target.subtasks(atlas), names, task, task.options)
    return TaskGraph(task.name, (Input(group, atlas, atlas.coordinates), block), name, wanted=task.wanted)
