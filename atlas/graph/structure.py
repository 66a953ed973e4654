"""What a task graph must be before anything can be evaluated: names, edges, shapes, and tilings that are tilings."""

from __future__ import annotations

import collections
import difflib
from collections.abc import Iterable, Sequence

import networkx
import numpy as np

from ...errors import Finding, Severity
from ..arguments import MAX_CHARTS
from ..atlas import Atlas
from ..box import Box
from ..chart import BallChart, Chart
from ..expressions import wrong_name
from ..functions import ExpressionMap
from .nodes import Block, Combine, Input, Node
from .tiling import Tiling
from .tiling_checks import cut, disputed

MAX_GRAPH_NODES = 1_024
"""Nodes of a graph."""
MAX_READS = 256
"""Components that one node reads."""
AGREE = 1e-9
"""Subtasks agree on an overlap if they differ by less than this fraction of their size at the points looked at."""


def label(node: Node) -> str:
    """How messages call a node."""
    kind = {Input: "input", Block: "block", Combine: "combine"}[type(node)]
    return f'{kind} "{node.name}"'


def structure(nodes: Sequence[Node], output: str) -> list[Finding]:
    """Everything that keeps `nodes` from being a task graph; every finding is an error.

    Later questions are asked only where earlier ones have an answer: reachability once all names are known, for example.
    """
    found = _names(nodes)
    found += [finding for node in nodes for finding in shapes(node)]
    if not 1 <= len(nodes) <= MAX_GRAPH_NODES:
        found.append(_error("graph", f"has {len(nodes)} nodes", f"a graph has from 1 to {MAX_GRAPH_NODES}"))
        return found
    for kind, what in ((Input, "input"), (Block, "block")):
        if not any(isinstance(node, kind) for node in nodes):
            found.append(_error("graph", f"there is no {what}", f"add at least one {what}"))
    unknown = _reads(nodes)
    found += unknown
    target = [node for node in nodes if node.name == output]
    if not target:
        close = _suggest(output, [node.name for node in nodes if not isinstance(node, Input)])
        found.append(_error("output", f"there is no node {output!r}", f"{close}name the block or combination whose values are f"))
    elif isinstance(target[0], Input):
        found.append(_error("output", f"{output!r} is an input", "name a block or combination"))
    if unknown or any(f.where == "graph" and "called" in f.problem for f in found):
        return found
    graph = _graph(nodes)
    found += _cycles(nodes, graph)
    if target and not isinstance(target[0], Input):
        needed = networkx.ancestors(graph, output) | {output}
        for node in nodes:
            if node.name not in needed and not isinstance(node, Input):
                readers = [n.name for n in nodes if set(node.components) & set(n.reads)]
                why = (
                    f"only {_quoted(readers)} reads it"
                    if len(readers) == 1
                    else f"only {_quoted(readers)} read it"
                    if readers
                    else "nothing reads it"
                )
                found.append(
                    _error(label(node), f"does not lead to the output {output!r}: {why}", "read it in a node that does, or remove it")
                )
    return found


def _error(where: str, problem: str, remedy: str, witness: Iterable[float] | None = None) -> Finding:
    return Finding(Severity.ERROR, where, problem, remedy, None if witness is None else tuple(float(v) for v in witness))


def _quoted(names: Iterable[str]) -> str:
    return ", ".join(repr(name) for name in names)


def _suggest(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {near[0]!r}? " if near else ""


def _names(nodes: Sequence[Node]) -> list[Finding]:
    """Names are allowed, every node has its own, and so has every component."""
    found = []
    for name, count in collections.Counter(node.name for node in nodes).items():
        if count > 1:
            found.append(_error("graph", f"{count} nodes are called {name!r}", "give every node its own name"))
    owners: dict[str, list[Node]] = {}
    for node in nodes:
        for component in node.components:
            owners.setdefault(component, []).append(node)
            if why := wrong_name(component):
                found.append(_error(label(node), f"its component {component!r} {why}", "choose another name, by coordinates or outputs"))
    named = {node.name: node for node in nodes}
    for component, offering in owners.items():
        if len(offering) > 1 and len({node.name for node in offering}) == len(offering):
            labels = " and ".join(label(node) for node in offering)
            found.append(_error("graph", f"{labels} both have a component called {component!r}", "rename one, by coordinates or outputs"))
        elif len(offering) > 1 and len(set(map(id, offering))) == 1:
            found.append(_error(label(offering[0]), f"has {len(offering)} components called {component!r}", "give each its own name"))
        other = named.get(component)
        if other is not None and other not in offering:
            found.append(
                _error(
                    label(offering[0]),
                    f"its component {component!r} is called like {label(other)}",
                    "rename one, by coordinates or outputs",
                )
            )
    return found


def _reads(nodes: Sequence[Node]) -> list[Finding]:
    """Every name read is a component of another node."""
    found = []
    known = [component for node in nodes for component in node.components]
    named = {node.name: node for node in nodes}
    for node in nodes:
        for name in node.reads:
            where = f"{label(node)}: reads"
            if name in node.components:
                found.append(_error(where, f"reads its own output {name!r}", "read an input, or an earlier node"))
            elif name in known:
                continue
            elif name in named:
                parts = ", ".join(named[name].components)
                found.append(_error(where, f"{name!r} is a node, not one of its components", f"read {parts}"))
            else:
                listed = ", ".join(known[:20]) + (", …" if len(known) > 20 else "")
                found.append(_error(where, f"unknown name {name!r}", f"{_suggest(name, known)}the components are {listed}"))
    return found


def _graph(nodes: Sequence[Node]) -> networkx.DiGraph:
    sources = {component: node.name for node in nodes for component in node.components}
    graph = networkx.DiGraph()
    graph.add_nodes_from(node.name for node in nodes)
    graph.add_edges_from((sources[component], node.name) for node in nodes for component in node.reads)
    return graph


def _cycles(nodes: Sequence[Node], graph: networkx.DiGraph) -> list[Finding]:
    """One finding for every set of nodes that depend on each other, with a shortest circle from the node given first."""
    found = []
    for group in networkx.strongly_connected_components(graph):
        if len(group) < 2:
            continue
        start = next(node.name for node in nodes if node.name in group)
        within = graph.subgraph(group)
        back = min((networkx.shortest_path(within, after, start) for after in within.successors(start)), key=lambda path: (len(path), path))
        circle = " → ".join((start, *back))
        found.append(_error("graph", f"has a cycle: {circle}", "let the first of them read only inputs and earlier nodes"))
    return sorted(found, key=lambda finding: finding.problem)


def shapes(node: Node) -> list[Finding]:
    """What can be said of a node by itself: numbers of coordinates, subtasks and outputs, names in expressions, and its tiling."""
    where = label(node)
    if isinstance(node, Input):
        if len(node.coordinates) != node.base_dimension:
            problem = f"has {len(node.coordinates)} coordinate names for {node.base_dimension} coordinates"
            return [_error(f"{where}: coordinates", problem, "give each coordinate one name")]
        return []
    found = []
    if not 1 <= len(node.reads) <= MAX_READS:
        found.append(_error(f"{where}: reads", f"reads {len(node.reads)} components", f"read from 1 to {MAX_READS}"))
    for name, count in collections.Counter(node.reads).items():
        if count > 1:
            found.append(_error(f"{where}: reads", f"reads {name!r} {count} times", "read it once"))
    if isinstance(node, Combine):
        return found + _function(where, node.function, node.reads, node.outputs, ())
    return found + _block(where, node)


def _function(
    where: str, function: ExpressionMap, reads: tuple[str, ...], outputs: tuple[str, ...], intrinsic: tuple[str, ...]
) -> list[Finding]:
    """Its variables are those read (or the intrinsic ones), its components as many as the outputs."""
    found = []
    variables = tuple(map(str, function.variables))
    if variables != reads and (not intrinsic or variables != intrinsic):
        accepted = f"of what is read, ({', '.join(reads)})" + (f", or of the chart's ({', '.join(intrinsic)})" if intrinsic else "")
        found.append(_error(where, f"is a function of ({', '.join(variables)})", f"make it one {accepted}"))
    if function.outputs != len(outputs):
        problem = f"has {function.outputs} component{'s'[: function.outputs != 1]}, but the node has {len(outputs)}: {', '.join(outputs)}"
        found.append(_error(where, problem, "give one expression for each output"))
    return found


def _block(where: str, block: Block) -> list[Finding]:
    domain, noun = block.domain, "piece" if isinstance(block.domain, Tiling) else "chart"
    found = []
    if not 1 <= len(domain) <= MAX_CHARTS:
        found.append(_error(where, f"has {len(domain)} {noun}s", f"give from 1 to {MAX_CHARTS}"))
    dimension = domain.dimension if isinstance(domain, Tiling) else domain.base_dimension
    if dimension != len(block.reads):
        problem = (
            f"its {noun}s have {dimension} coordinate{'s'[: dimension != 1]}, but it reads {len(block.reads)}: {', '.join(block.reads)}"
        )
        found.append(_error(where, problem, f"read one component for each coordinate, or correct the {noun}s"))
    for name, count in collections.Counter(domain.names).items():
        if count > 1:
            found.append(_error(where, f"{count} {noun}s are called {name!r}", f"give every {noun} its own name"))
    if len(block.subtasks) != len(domain):
        found.append(_error(where, f"has {len(block.subtasks)} subtasks for {len(domain)} {noun}s", f"give one for every {noun}"))
        return found
    broken = []
    for i, (name, function) in enumerate(zip(domain.names, block.subtasks, strict=True)):
        chart = domain.charts[i] if isinstance(domain, Atlas) else None
        intrinsic = tuple(map(str, chart.inverse.variables)) if isinstance(chart, Chart) else ()
        here = f'{where}: {noun} "{name}"'
        broken += _function(here, function, block.reads, block.outputs, intrinsic)
        if not broken and block.is_intrinsic(i) and isinstance(chart, Chart) and chart.forward is None:
            broken.append(
                _error(
                    here,
                    "its subtask is in intrinsic coordinates, but there is no forward map",
                    "give forward, or write it in what is read",
                )
            )
    found += broken
    if isinstance(domain, Atlas):
        if domain.embedding is not None:
            found.append(_error(where, "its atlas is embedded", "embed the input instead: blocks read the coordinates before embedding"))
        if not broken and isinstance(domain.charts[0], BallChart) and not block.uniform:
            found.append(_error(where, "its charts are balls, which have no subtask each", "give one expression for all of the block"))
        return found
    return found + _tiling(where, block, domain, sound=not broken)


def _tiling(where: str, block: Block, tiling: Tiling, sound: bool) -> list[Finding]:
    """No gap, no overlap, one owner for every interface point."""
    state = cut(tiling)
    found = []
    if state.gaps:
        largest = max(state.gaps, key=lambda box: float(np.prod(box.widths)))
        more = f" (and {len(state.gaps) - 1} more)" if len(state.gaps) > 1 else ""
        remedy = "extend a piece, or add one"
        found.append(_error(f"{where}: pieces", f"leave a gap on {shown_box(largest)}{more}", remedy, largest.center))
    for overlap in state.overlaps:
        first, second = tiling.names[overlap.first], tiling.names[overlap.second]
        problem, witness = f"overlaps piece {second!r} on {shown_box(overlap.box)}", overlap.box.center
        remedy = "shorten one of them: pieces meet only where they end"
        if sound and tiling.dimension == len(block.reads):
            points = np.concatenate([witness[None], overlap.box.low_discrepancy(64, 0)])
            one, other = block.subtask(overlap.first, points), block.subtask(overlap.second, points)
            apart = np.nan_to_num(np.abs(one - other).max(1), nan=np.inf)
            worst = int(np.argmax(apart > 0.5 * apart.max())) if apart.max() > 0 else 0
            if apart[worst] > AGREE * (1 + np.abs(one[worst]).max()):
                problem += f", where the two subtasks disagree by {apart[worst]:.3g}"
                witness = points[worst]
            else:
                problem += ", where the two subtasks agree"
        found.append(_error(f'{where}: piece "{first}"', problem, remedy, witness))
    if state.intricate:
        found.append(_error(f"{where}: pieces", "cut the domain too intricately to be checked", "use a grid, or fewer pieces"))
    if found:
        return found
    for point in disputed(tiling):
        names = [repr(tiling.names[i]) for i in (point.owners or point.meeting)]
        among = f"belongs to {' and '.join(names)}" if point.owners else f"belongs to none of {', '.join(names)}"
        remedy = "correct `closed`: every interface point belongs to exactly one piece"
        found.append(_error(f"{where}: pieces", f"the interface point {among}", remedy, point.point))
    if not found and tiling.precedence is None:
        problem = "the owners of interface points follow no order of precedence among the pieces, which routing needs"
        found.append(_error(f"{where}: pieces", problem, "use one word `closed` for all pieces, and a grid"))
    return found


def shown_box(box: Box) -> str:
    """A box as messages show it: [0, 1] × [0.5, 2]."""
    return " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(box.lower, box.upper, strict=True))
