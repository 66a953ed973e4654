"""A task in words: what each node of its graph is, the tree of what reads what, and the count of its pieces."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text
from rich.tree import Tree

from ..atlas import Atlas, Block, Box, Combine, ExpressionMap, Input, ManifoldTask, TaskGraph, Tiling
from ..atlas.graph import Node, as_graph, component_names

MOST_CHILDREN = 12
"""Nodes listed below one node; the rest is counted."""
MOST_LINES = 400
LONG = 70
"""Characters of a formula."""
EXACT = 10**15
"""Counts up to this are written out."""
KINDS = {Input: "input", Block: "block", Combine: "combine"}
NAMED = {
    "so3": "SO(3)",
    "se3": "SE(3)",
    "klein bottle": "a Klein bottle",
    "moebius band": "a Möbius band",
    "spheres": "a product of spheres",
    "real projective": "a real projective space",
    "complex projective": "a complex projective space",
    "grassmann": "a Grassmann manifold",
    "stiefel": "a Stiefel manifold",
}
"""Manifolds of the library that an article before their name does not do for."""
COLORS = {"input": "cyan", "block": "green", "combine": "magenta"}


def task_tree(task: ManifoldTask | TaskGraph) -> RenderableType:
    """What a task is; of one manifold in one line, else as a tree."""
    graph = as_graph(task)
    given = graph.blocks[0].given if graph.blocks else None
    if given is None:
        return graph_tree(graph)
    E, d, outputs = len(given.atlas), given.atlas.dimension, given.outputs
    charts = f"{E} chart{'s'[: E != 1]}, d = {d} in R^{given.atlas.ambient_dimension}"
    return Text(f"{task.name}: {charts}, f with {outputs} component{'s'[: outputs != 1]}")


def task_facts(task: ManifoldTask | TaskGraph) -> dict[str, Any]:
    """What a task is, as JSON can hold it."""
    graph = as_graph(task)
    given = graph.blocks[0].given if graph.blocks else None
    if given is None:
        return graph_facts(graph)
    sizes = {"charts": len(given.atlas), "dimension": given.atlas.dimension, "ambient_dimension": given.atlas.ambient_dimension}
    return {"task": task.name, "kind": "manifold", **sizes, "outputs": given.outputs}


def graph_tree(graph: TaskGraph) -> RenderableType:
    """The output, below it the nodes it reads, and so on down to the inputs; then the summary.

    A node that several others read is unfolded once. Inputs that no node reads stand at the end.
    """
    lines = [0]
    shown: set[str] = set()
    root = _unfold(graph, graph.output, None, shown, lines)
    loose = [node for node in graph.inputs if node.name not in shown and not graph.graph[node.name]]
    for node in loose:
        root.add(Text(f"{describe(node)}, which no node reads", style="yellow"))
    return Group(root, Text(), Text(summary(graph), style="bold"))


def graph_facts(graph: TaskGraph) -> dict[str, Any]:
    """The graph as JSON can hold it: counts, nodes in order with what they read, and the edges."""
    nodes = []
    for node in graph.order:
        entry: dict[str, Any] = {"name": node.name, "kind": kind(node), "reads": list(node.reads), "components": list(node.components)}
        nodes.append(entry)
    for block in graph.blocks:
        nodes[graph.order.index(block)] |= {"subtasks": len(block), "names": list(block.names)}
    counts = {"pieces": graph.pieces, "subtasks": graph.subtasks, "blocks": len(graph.blocks)}
    shape = {"ambient_dimension": graph.ambient_dimension, "outputs": graph.outputs, "output": graph.output}
    return {"task": graph.name, "kind": "graph", **counts, **shape, "nodes": nodes, "edges": [list(edge) for edge in graph.graph.edges]}


def _unfold(graph: TaskGraph, name: str, parent: Tree | None, shown: set[str], lines: list[int]) -> Tree:
    node = graph[name]
    again = name in shown
    label = Text(describe(node) + (" (see above)" if again and kind(node) != "input" else ""))
    label.stylize("dim" if again else COLORS[kind(node)], 0, len(kind(node)))
    tree = Tree(label, guide_style="dim") if parent is None else parent.add(label)
    lines[0] += 1
    shown.add(name)
    if again:
        return tree
    below = list(graph.graph.pred[name])
    for i, source in enumerate(below):
        if i == MOST_CHILDREN or lines[0] > MOST_LINES:
            tree.add(Text(f"… and {len(below) - i} more", style="dim"))
            shown.update(below[i:])
            break
        _unfold(graph, source, tree, shown, lines)
    return tree


def kind(node: Node) -> str:
    """What a node is called in specs."""
    return KINDS[type(node)]


def describe(node: Node) -> str:
    """A node in one line."""
    match node:
        case Input():
            called = "" if node.coordinates == (node.name,) else f" ({_some(node.coordinates)})"
            sets = [f"{{{_some([f'{value:.6g}' for value in axis])}}}" for axis in node.values]
            return f"input {node.name}{called} in {' × '.join(sets) if sets else range_of(node.domain)}"
        case Block():
            return f"block {title(node)}: {parts(node)}, reads {_some(node.reads)}"
        case Combine():
            return f"combine {title(node)} = {formula(node.function)}"


def title(node: Block | Combine) -> str:
    """Its name, and what its outputs are called if that is not the default."""
    default = component_names(node.name, len(node.outputs))
    return node.name if node.outputs == default else f"{node.name} → {_some(node.outputs)}"


def _some(names: Sequence[str], most: int = 6) -> str:
    return ", ".join(names) if len(names) <= most else f"{', '.join(names[: most - 1])}, … ({len(names)})"


def parts(block: Block) -> str:
    """`3 pieces of [0, 3]`, `4 charts of a circle`."""
    E = len(block)
    return f"{E} {block.domain.noun}{'s'[: E != 1]} of {range_of(block.domain)}"


def range_of(domain: Atlas | Tiling) -> str:
    """What an input or a block ranges over."""
    if domain.box is not None:
        return _box(domain.box)
    if domain.recipe is None:
        named = f"a {domain.dimension}-dimensional manifold"
    else:
        named = str(domain.recipe["builtin"]).replace("_", " ")
        named = NAMED.get(named, f"an {named}" if named[0] in "aeiou" else f"a {named}")
    return named if domain.embedding is None else f"{named} in R^{domain.ambient_dimension}"


def _box(box: Box) -> str:
    sides = [f"[{low:.4g}, {high:.4g}]" for low, high in zip(box.lower, box.upper, strict=True)]
    if len(set(sides)) == 1 and len(sides) > 2:
        return f"{sides[0]}^{len(sides)}"
    return " × ".join(sides) if len(sides) <= 3 else f"{' × '.join(sides[:2])} × … ({len(sides)} axes)"


def formula(function: ExpressionMap, longest: int = LONG) -> str:
    """The expressions of a map, cut off where they get long."""
    texts = function.texts
    text = texts[0] if len(texts) == 1 else f"({', '.join(texts)})"
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def summary(graph: TaskGraph) -> str:
    """`mixed: 4^16 = 4,294,967,296 pieces from 64 subtasks in 16 blocks; R^16 → R^1`."""
    counts = sorted(collections.Counter(len(block) for block in graph.blocks).items())
    powers = "·".join(f"{E}^{n}" if n > 1 else f"{E}" for E, n in counts)
    exact = f"= {graph.pieces:,}" if graph.pieces <= EXACT else f"≈ {_scientific(graph.pieces)}"
    count = powers if powers == f"{graph.pieces}" else f"{powers} {exact}"
    L, pieces = len(graph.blocks), "piece" if graph.pieces == 1 else "pieces"
    subtasks = f"{graph.subtasks} subtask{'s'[: graph.subtasks != 1]} in {L} block{'s'[: L != 1]}"
    return f"{graph.name}: {count} {pieces} from {subtasks}; R^{graph.ambient_dimension} → R^{graph.outputs}"


def _scientific(count: int) -> str:
    """A whole number of any size with three digits."""
    digits = str(count)
    return f"{digits[0]}.{digits[1:3]}e{len(digits) - 1}"
