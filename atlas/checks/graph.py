"""What the theorems assume of a task graph beyond its structure, checked at sampled points.

Every block is looked at by itself: its atlas and subtasks like a task on a manifold, its pieces one by one. Then points are
followed through the whole graph: does every value that reaches a block lie in its domain, is everything finite?
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import Finding, Severity
from ...expressions.box import Array, Box
from ...expressions.fields import fields_in
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from ...expressions.parse import real_symbols
from ..atlas import Atlas
from ..chart import Chart
from ..graph.graph import TaskGraph
from ..graph.nodes import Block, Combine, Input
from ..graph.structure import AGREE, shown_box, wire
from ..graph.tiling import Tiling
from ..task import ChartTarget, ExpressionTarget, ManifoldTask
from . import continuity, maps, sizes, smoothness
from .digits import check_digits
from .manifold import check_manifold
from .probe import Probe, error, many, number, warning, worst
from .reached import check_reached

EVALUATIONS = 1 << 18
"""About this many points are looked at in all the pieces of a graph together."""
LEAST = 64
FOLLOWED = 1 << 14
"""Points that are followed through the graph."""
SNAPPED = 0.125
"""This share of the coordinates of half of those points is moved to each end of its box."""
DEFINE = "define it on the whole piece or chart, with its ends: it is compiled in the sup norm"
COMBINED = "define it for all values that reach it"
COUNTER = 2**63
"""Counts from here on do not fit into a signed 64-bit integer."""
MOST_PAIRS = 4_096
"""Pairs of neighbouring pieces whose jump is measured."""


def check_graph(graph: TaskGraph, samples: int, seed: int) -> list[Finding]:
    """All findings, errors first."""
    found = _size(graph) + _unread(graph)
    seen: dict[Any, list[Finding]] = {}
    share = max(LEAST, min(samples, EVALUATIONS // max(1, graph.subtasks)))
    for group in graph.inputs:
        if group.atlas is not None and not _shared(graph, group.atlas):
            zero = ExpressionTarget(ExpressionMap(tuple(real_symbols(group.atlas.coordinates).values()), (sympy.Integer(0),)))
            task = ManifoldTask(group.name, group.atlas, zero)
            found += _labelled(wire(group).label, check_manifold(task, samples, seed))
    for block in graph.blocks:
        found += _labelled(wire(block).label, _block(block, samples, share, seed, seen))
    broken = any(finding.severity is Severity.ERROR for finding in found)
    outside = [finding for block in graph.blocks for finding in _exactly_outside(graph, block)]
    if not broken:
        found += outside or _followed(graph, seed)
    found = _with_names(graph, found + (outside if broken else []))
    return sorted(found, key=lambda finding: finding.severity is not Severity.ERROR)


def _with_names(graph: TaskGraph, found: list[Finding]) -> list[Finding]:
    """The findings, those that have a witness in what a node reads with the names of its numbers."""
    reads = {wire(node).label: tuple(node.reads) for node in graph.nodes if not isinstance(node, Input)}

    def names(finding: Finding) -> tuple[str, ...]:
        of = next((names for label, names in reads.items() if finding.where.startswith(label)), ())
        return finding.coordinates or (of if len(of) == len(finding.witness or ()) else ())

    return [dataclasses.replace(finding, coordinates=names(finding)) for finding in found]


def _size(graph: TaskGraph) -> list[Finding]:
    if graph.pieces < COUNTER:
        return []
    counts = sorted({len(block) for block in graph.blocks})
    problem = f"has {graph.pieces:.3e} pieces ({graph.subtasks} subtasks in {len(graph.blocks)} blocks of {', '.join(map(str, counts))}), "
    remedy = "nothing has to be done: they are counted exactly, and never listed"
    return [warning("graph", problem + "more than a 64-bit counter holds", remedy)]


def _unread(graph: TaskGraph) -> list[Finding]:
    """Coordinates that no node reads are no mistake, but perhaps an oversight."""
    read = {name for node in graph.nodes for name in node.reads}
    found = []
    for node in graph.inputs:
        unread = [name for name in node.coordinates if name not in read]
        if unread:
            problem = f"no node reads {', '.join(unread)}: f does not depend on {'it' if len(unread) == 1 else 'them'}"
            found.append(warning(wire(node).label, problem, "remove it, unless that is intended"))
    return found


def _shared(graph: TaskGraph, atlas: Atlas) -> bool:
    """Whether some block lives on the same charts, so that they are looked at there."""
    return any(block.atlas is not None and block.atlas.charts is atlas.charts for block in graph.blocks)


def _labelled(label: str, found: list[Finding]) -> list[Finding]:
    """The findings about a part of the graph; each says which part it is."""
    return [dataclasses.replace(finding, where=f"{label}: {finding.where}") for finding in found]


def _block(block: Block, samples: int, share: int, seed: int, seen: dict[Any, list[Finding]]) -> list[Finding]:
    """A block by itself. `seen` holds what was found about the same charts or piece with the same subtask before."""

    def once(key: Any, look: Callable[[], list[Finding]]) -> list[Finding]:
        if key not in seen:
            seen[key] = look()
        return seen[key]

    key: Any
    if block.tiling is None:
        functions = block.subtasks[:1] if block.uniform else [block.local(i) for i in range(len(block))]
        key = (id(block.domain), tuple((f.variables, f.expressions, f.trees) for f in functions), block.uniform)
        return once(key, lambda: check_manifold(block.task, samples, seed))
    found = []
    places = real_symbols(f"z{i + 1}" for i in range(len(block.reads)))
    for piece, function in zip(block.tiling.pieces, block.subtasks, strict=True):
        alike = function.renamed(tuple(places.values()))
        key = (piece.box, alike.expressions, alike.trees)
        about = once(key, lambda box=piece.box, f=function: _piece(box, f, share, seed))  # type: ignore[misc]
        found += [dataclasses.replace(f, where=f'piece "{piece.name}": {f.where}') for f in about]
    if not found:
        found += _jump(block, block.tiling)
    return found


def _piece(box: Box, function: ExpressionMap, samples: int, seed: int) -> list[Finding]:
    """A subtask on its closed piece: evaluates, is finite, continuous (sampled, where it calls fields), and how smooth it is."""
    variables = function.variables
    identity = ExpressionMap(variables, variables)
    chart = Chart("piece", box, identity, identity, ((True, True),) * box.dimension)
    probe = Probe(0, chart, samples, seed)
    if found := sizes.check_box("domain", box):
        return found
    if found := maps.check_evaluates("expression", function, probe.closed[:1]):
        return found
    if found := maps.check_finite(probe, "expression", function, remedy=DEFINE):
        return found
    lost = check_digits(probe, "expression", function)
    task = ManifoldTask("piece", Atlas(tuple(map(str, variables)), (chart,)), ChartTarget((function,)))
    rough = smoothness.check_target(task, [probe])
    rough = [dataclasses.replace(f, where=f.where.replace('chart "piece": target', "expression")) for f in rough]
    if not rough and fields_in(function.trees):  # formulas say themselves where they may jump
        jumps = continuity.check_continuous(task, [probe])
        rough = [dataclasses.replace(f, where="expression", problem=f.problem.replace(' on chart "piece"', "")) for f in jumps]
    return lost + rough


def _jump(block: Block, tiling: Tiling) -> list[Finding]:
    """The largest jump between neighbouring pieces: no mistake, but rounding of the input may carry a point across."""
    if block.uniform:
        return []
    top: tuple[float, int, int, Array] | None = None
    for i, j in tiling.touching(MOST_PAIRS).tolist():
        low, high = np.maximum(tiling.lower[i], tiling.lower[j]), np.minimum(tiling.upper[i], tiling.upper[j])
        points = low + np.array([0.5, 0.25, 0.75])[:, None] * (high - low)
        gap = np.abs(block.subtask(i, points) - block.subtask(j, points)).max(1)
        size = max(1.0, float(np.abs(block.subtask(i, points)).max()))
        k = worst(gap)
        if gap[k] > AGREE * size and (top is None or gap[k] > top[0]):
            top = float(gap[k]), i, j, points[k]
    if top is None:
        return []
    gap_size, i, j, point = top
    owner = tiling.names[int(tiling.contains(point).argmax())]
    problem = f'jump by {number(gap_size)} between "{tiling.names[i]}" and "{tiling.names[j]}", where the point belongs to "{owner}"'
    return [warning("pieces", problem, "nothing has to be done, unless rounded inputs matter: they may lie on the other side", point)]


def _exactly_outside(graph: TaskGraph, block: Block) -> list[Finding]:
    """Pieces that read coordinates of boxes cover these boxes, compared end by end."""
    if block.tiling is None:
        return []
    domain, found = block.tiling.domain, []
    for axis, name in enumerate(block.reads):
        source = graph.sources[name]
        if not isinstance(source, Input) or source.box is None:
            continue
        k = source.coordinates.index(name)
        low, high = source.box.lower[k], source.box.upper[k]
        ends = domain.lower[axis], domain.upper[axis]
        if low >= ends[0] and high <= ends[1]:
            continue
        point = domain.center
        point[axis] = (low + min(ends[0], high)) / 2 if low < ends[0] else (max(ends[1], low) + high) / 2
        cover = f"but its pieces only reach over {shown_box(Box((ends[0],), (ends[1],)))}"
        problem = f"{name} ranges over {shown_box(Box((low,), (high,)))}, {cover}"
        found.append(error(f"{wire(block).label}: pieces", problem, "extend the pieces at the ends, or shrink the input", point))
    return found


def _points(graph: TaskGraph, seed: int) -> Array:
    """Low-discrepancy points of the domain; in half of them some coordinates of boxes stand at an end."""
    points = graph.sample(FOLLOWED, seed, low_discrepancy=True)
    base = graph.unembed(points)
    rng = np.random.default_rng(seed)
    place = {name: i for i, name in enumerate(graph.coordinates)}
    for node in graph.inputs:
        if node.box is not None:
            for name, low, high in zip(node.coordinates, node.box.lower, node.box.upper, strict=True):
                chance = rng.random(FOLLOWED // 2)
                column = base[1::2, place[name]]
                base[1::2, place[name]] = np.where(chance < SNAPPED, low, np.where(chance > 1 - SNAPPED, high, column))
    return graph.embed(base)


def _followed(graph: TaskGraph, seed: int) -> list[Finding]:
    """Where values leave the domain of a block or are not finite; each node is asked about points at which all is well before it."""
    points = _points(graph, seed)
    trace, base = graph.trace(points), graph.unembed(points)
    good = np.ones(len(trace.output), bool)
    found: list[Finding] = []
    for node in graph.order:
        if isinstance(node, Input):
            continue
        read = np.stack([trace.values[name] for name in node.reads], axis=-1)
        if isinstance(node, Block):
            lost = good & ~trace.valid[node.name].any(1)
            if lost.any():
                found.append(_left(node, read, lost))
                good &= ~lost
        values = np.stack([trace.values[name] for name in node.components], axis=-1)
        if isinstance(node, Combine) and (undefined := check_reached(graph, node, base[good], read[good], COMBINED)):
            found += undefined
            good &= np.isfinite(values).all(1)
        bad = good & ~np.isfinite(values).all(1)
        if bad.any():
            point = read[worst(bad)]
            at = "" if len(node.reads) == 1 else f" (in {', '.join(node.reads)})"
            remedy = COMBINED if isinstance(node, Combine) else DEFINE
            found.append(error(wire(node).label, f"is not finite at {many(bad)}{at}", remedy, point))
            good &= ~bad
        if not good.any():
            break
    return found


def _shown_outwards(low: Array, high: Array) -> str:
    """A box as `shown_box` has it, of numbers as they are: its sides can be written into a specification."""
    return " × ".join(
        f"[{repr(a).removesuffix('.0')}, {repr(b).removesuffix('.0')}]" for a, b in zip(low.tolist(), high.tolist(), strict=True)
    )


def _left(block: Block, read: Array, lost: NDArray[np.bool_]) -> Finding:
    """The finding for values outside a block's domain, with the one farthest out."""
    noun, box, values = f"{block.domain.noun}s", block.domain.box, read[lost]
    if box is not None:
        k = worst(np.maximum(np.array(box.lower) - values, values - np.array(box.upper)).max(1))
        low, high = np.minimum(box.lower, values.min(0)), np.maximum(box.upper, values.max(0))
        remedy = f"extend the pieces: they reach over {shown_box(box)}, values over {_shown_outwards(low, high)} at least"
    else:
        k = 0
        remedy = "let what it reads range over its manifold, or give it charts that hold these values"
    problem = f"is reached by values ({', '.join(block.reads)}) outside its {noun} at {many(lost)}"
    return error(wire(block).label, problem, remedy, values[k])
