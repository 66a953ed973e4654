"""Do the nodes of a task graph fit together? Names known and given once, no circles, every node on the way to the output."""

from __future__ import annotations

import collections
import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import Finding, Severity, did_you_mean
from ...expressions.parse import wrong_name

MAX_GRAPH_NODES = 1_024
"""Nodes of a graph."""
LISTED = 20
"""Known names that a message lists."""


@dataclass(frozen=True)
class Wire:
    """A node as far as its names go, known even where the rest of it is wrong."""

    kind: str
    """input, block or combine."""
    name: str
    reads: tuple[str, ...]
    components: tuple[str, ...]

    @property
    def label(self) -> str:
        """How messages call the node."""
        return f'{self.kind} "{self.name}"'


def error(where: str, problem: str, remedy: str, witness: Iterable[float] | None = None) -> Finding:
    return Finding(Severity.ERROR, where, problem, remedy, None if witness is None else tuple(float(v) for v in witness))


def check_wiring(wires: Sequence[Wire], output: str | None, *, complete: bool = True) -> list[Finding]:
    """All findings, every one an error. Circles and unreachable nodes are looked for once all names are known.

    An `output` of None was found wrong before. Unless the wires are `complete`, because some node could not be read,
    nothing is said of nodes that seem to lead nowhere.
    """
    if not 1 <= len(wires) <= MAX_GRAPH_NODES:
        return [error("graph", f"has {len(wires)} nodes", f"a graph has from 1 to {MAX_GRAPH_NODES}")]
    twice = _distinct(wires)
    unknown = _unknown(wires)
    found = [*_kinds(wires), *_allowed(wires), *twice, *unknown, *_self_reads(wires), *_output(wires, output)]
    if twice or unknown:
        return found
    sources = {component: wire.name for wire in wires for component in wire.components}
    reads = {wire.name: {sources[component] for component in wire.reads} for wire in wires}
    return found + _cycles(wires, reads) + (_unreachable(wires, reads, output) if complete else [])


def _kinds(wires: Sequence[Wire]) -> list[Finding]:
    present = {wire.kind for wire in wires}
    return [error("graph", f"there is no {kind}", f"add at least one {kind}") for kind in ("input", "block") if kind not in present]


def _allowed(wires: Sequence[Wire]) -> list[Finding]:
    """Components have names that expressions can use."""
    found = []
    for wire in wires:
        for component in wire.components:
            if why := wrong_name(component):
                found.append(error(wire.label, f"its component {component!r} {why}", "choose another name, by coordinates or outputs"))
    return found


def _distinct(wires: Sequence[Wire]) -> list[Finding]:
    """Every node has its own name, and so has every component; a component is called like no other node."""
    found = []
    for name, count in collections.Counter(wire.name for wire in wires).items():
        if count > 1:
            found.append(error("graph", f"{count} nodes are called {name!r}", "give every node its own name"))
    offering: dict[str, list[Wire]] = {}
    for wire in {wire.name: wire for wire in wires}.values():
        for component, count in collections.Counter(wire.components).items():
            offering.setdefault(component, []).append(wire)
            if count > 1:
                found.append(error(wire.label, f"has {count} components called {component!r}", "give each its own name"))
    named = {wire.name: wire for wire in wires}
    rename = "rename one, by coordinates or outputs"
    for component, owners in offering.items():
        if len(owners) > 1:
            both = " and ".join(wire.label for wire in owners)
            found.append(error("graph", f"{both} have a component {component!r} each", rename))
        other = named.get(component)
        if other is not None and other not in owners:
            found.append(error(owners[0].label, f"its component {component!r} is called like {other.label}", rename))
    return found


def _unknown(wires: Sequence[Wire]) -> list[Finding]:
    """Every name read is a component."""
    found = []
    known = [component for wire in wires for component in wire.components]
    named = {wire.name: wire for wire in wires}
    for wire in wires:
        for name in dict.fromkeys(wire.reads):
            if name in known:
                continue
            where = f"{wire.label}: reads"
            if name in named:
                parts = ", ".join(named[name].components)
                found.append(error(where, f"{name!r} is a node, not one of its components", f"read {parts}"))
            else:
                listed = ", ".join(known[:LISTED]) + (", …" if len(known) > LISTED else "")
                near = did_you_mean(name, [*known, *named], "", " ")
                found.append(error(where, f"unknown name {name!r}", f"{near}the components are {listed}"))
    return found


def _self_reads(wires: Sequence[Wire]) -> list[Finding]:
    return [
        error(f"{wire.label}: reads", f"reads its own output {name!r}", "read an input, or an earlier node")
        for wire in wires
        for name in dict.fromkeys(wire.reads)
        if name in wire.components
    ]


def _output(wires: Sequence[Wire], output: str | None) -> list[Finding]:
    if output is None:
        return []
    kinds = {wire.name: wire.kind for wire in wires}
    if kinds.get(output) in ("block", "combine"):
        return []
    remedy = "name the block or combination whose values are f"
    if output in kinds:
        return [error("output", f"{output!r} is an input", remedy)]
    near = did_you_mean(output, [n for n, k in kinds.items() if k != "input"], "", " ")
    return [error("output", f"there is no node {output!r}", near + remedy)]


def in_order(reads: Mapping[str, Iterable[str]], place: Mapping[str, Any]) -> list[str]:
    """The nodes, each after those that it reads, of those that may come next always the one with the least place. Nodes that depend on
    themselves, and those that read them, are left out.
    """
    waits = {name: len(set(read)) for name, read in reads.items()}
    readers: dict[str, list[str]] = {name: [] for name in reads}
    for name, read in reads.items():
        for source in set(read):
            readers[source].append(name)
    ready = [(place[name], name) for name, count in waits.items() if not count]
    heapq.heapify(ready)
    found = []
    while ready:
        found.append(heapq.heappop(ready)[1])
        for name in readers[found[-1]]:
            waits[name] -= 1
            if not waits[name]:
                heapq.heappush(ready, (place[name], name))
    return found


def _cycles(wires: Sequence[Wire], reads: Mapping[str, set[str]]) -> list[Finding]:
    """One finding for every set of nodes that depend on each other, with a shortest circle through the node given first."""
    place = {wire.name: i for i, wire in enumerate(wires)}
    if len(in_order(reads, place)) == len(wires):
        return []
    import networkx

    graph = networkx.DiGraph()
    graph.add_nodes_from(place)
    graph.add_edges_from((source, name) for name, read in reads.items() for source in read)
    found = []
    groups = [group for group in networkx.strongly_connected_components(graph) if len(group) > 1]
    for group in sorted(groups, key=lambda names: min(place[name] for name in names)):
        start = min(group, key=place.__getitem__)
        within = graph.subgraph(group)
        ways_back = [networkx.shortest_path(within, after, start) for after in within.successors(start) if after != start]
        circle = " → ".join((start, *min(ways_back, key=lambda path: (len(path), path))))
        found.append(error("graph", f"has a cycle: {circle}", "a node reads only inputs and nodes that do not depend on it"))
    return found


def _unreachable(wires: Sequence[Wire], reads: Mapping[str, set[str]], output: str | None) -> list[Finding]:
    """Every block and combination has a way to the output."""
    if output is None or _output(wires, output):
        return []
    needed, pending = {output}, [output]
    while pending:
        pending += (new := reads[pending.pop()] - needed)
        needed |= new
    found = []
    for wire in wires:
        if wire.name in needed or wire.kind == "input":
            continue
        readers = [other.name for other in wires if other is not wire and set(wire.components) & set(other.reads)]
        why = f"it is read only by {', '.join(map(repr, readers))}" if readers else "nothing reads it"
        found.append(error(wire.label, f"does not lead to the output {output!r}: {why}", "read it in a node that does, or remove it"))
    return found
