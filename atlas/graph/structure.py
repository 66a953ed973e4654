"""What a task graph must be before anything can be evaluated: its wiring, and for every node shapes and tilings that are tilings."""

from __future__ import annotations

import collections
import itertools
import math
from collections.abc import Sequence

import numpy as np

from ...errors import Finding
from ...expressions.box import Box
from ...expressions.maps import ExpressionMap
from ..arguments import MAX_CHARTS
from ..chart import Chart
from ..options import COMBINE_OPTIONS, findings
from .finite import MOST
from .nodes import Block, Combine, Input, Node
from .tiling import Tiling
from .tiling_checks import cut, disputed
from .wiring import Wire, check_wiring, error

MAX_READS = 256
"""Components that one node reads."""
MAX_COMPONENTS = 4_096
"""Outputs of one node."""
MAX_SUBTASKS = 65_536
"""Charts and pieces of all blocks together."""
AGREE = 1e-9
"""Subtasks agree on an overlap if they differ by less than this fraction of their size at the points looked at."""


def wire(node: Node) -> Wire:
    """The node as far as its names go."""
    return Wire(node.kind, node.name, node.reads, node.components)


def structure(nodes: Sequence[Node], output: str) -> list[Finding]:
    """Everything that keeps `nodes` from being a task graph; every finding is an error."""
    found = check_wiring([wire(node) for node in nodes], output)
    if (total := sum(len(node) for node in nodes if isinstance(node, Block))) > MAX_SUBTASKS:
        return [*found, error("graph", f"has {total} subtasks in all", f"a graph has at most {MAX_SUBTASKS}")]
    return found + [finding for node in nodes for finding in shapes(node)]


def shapes(node: Node) -> list[Finding]:
    """What can be said of a node by itself: numbers of coordinates, subtasks and outputs, names in expressions, and its tiling."""
    where = wire(node).label
    if isinstance(node, Input):
        if len(node.coordinates) != node.base_dimension:
            problem = f"has {len(node.coordinates)} coordinate names for {node.base_dimension} coordinates"
            return [error(f"{where}: coordinates", problem, "give each coordinate one name")]
        return values_findings(f"{where}: values", node)
    found = []
    if not 1 <= len(node.reads) <= MAX_READS:
        found.append(error(f"{where}: reads", f"reads {len(node.reads)} components", f"read from 1 to {MAX_READS}"))
    for name, count in collections.Counter(node.reads).items():
        if count > 1:
            found.append(error(f"{where}: reads", f"reads {name!r} {count} times", "read it once"))
    if found:
        return found
    if len(node.components) > MAX_COMPONENTS:
        found.append(error(where, f"has {len(node.components)} outputs", f"a node has at most {MAX_COMPONENTS}"))
    if isinstance(node, Combine):
        return found + _function(where, node.function, node.reads, node.outputs, ()) + findings(where, node.options, COMBINE_OPTIONS)
    return found + _block(where, node)


def values_findings(where: str, node: Input) -> list[Finding]:
    """What is wrong with the values of an input: for every coordinate at least two, ascending, in its box."""
    if not node.values:
        return []
    if node.box is None:
        return [error(where, "are given for a manifold of charts", "leave values out, or give a box as the domain")]
    if len(node.values) != node.base_dimension:
        problem = f"has {len(node.values)} lists for {node.base_dimension} coordinates"
        return [error(where, problem, "give one list for all coordinates, or one for each")]
    found = []
    for name, axis, low, high in zip(node.coordinates, node.values, node.box.lower, node.box.upper, strict=True):
        if (wrong := values_problem(axis)) is not None:
            found.append(error(where, f"of {name} {wrong[0]}", wrong[1]))
        elif axis[0] < low or axis[-1] > high:
            out = axis[0] if axis[0] < low else axis[-1]
            remedy = f"give a domain that holds [{axis[0]:.6g}, {axis[-1]:.6g}], or leave it out"
            found.append(error(where, f"of {name} have {out:.6g}, which is outside of its domain [{low:.6g}, {high:.6g}]", remedy, (out,)))
    return found


def values_problem(values: Sequence[float]) -> tuple[str, str] | None:
    """What is wrong with the values of one coordinate, and what to do about it; None if nothing is."""
    if not values:
        return "are an empty list", "give at least two values, or a domain"
    if len(values) > MOST:
        return f"are {len(values):,}", f"give at most {MOST:,}; between so many an interval says nearly as much: domain = [first, last]"
    if not all(map(math.isfinite, values)):
        return f"have {next(v for v in values if not math.isfinite(v))} among them", "give finite numbers"
    if len(values) == 1:
        return f"are {values[0]:.6g} alone", "write this constant into the expressions, and leave the coordinate out"
    for a, b in itertools.pairwise(values):
        if a == b:
            return f"have {a:.6g} twice", "give each value once"
        if a > b:
            return f"are not ascending: {a:.6g} stands before {b:.6g}", "sort them"
    return None


def _function(
    where: str, function: ExpressionMap, reads: tuple[str, ...], outputs: tuple[str, ...], intrinsic: tuple[str, ...]
) -> list[Finding]:
    """Its variables are those read (or the intrinsic ones), its components as many as the outputs."""
    found = []
    variables = function.names
    if variables != reads and (not intrinsic or variables != intrinsic):
        accepted = f"of what is read, ({', '.join(reads)})" + (f", or of the chart's ({', '.join(intrinsic)})" if intrinsic else "")
        found.append(error(where, f"is a function of ({', '.join(variables)})", f"make it one {accepted}"))
    if function.outputs != len(outputs):
        problem = f"has {function.outputs} component{'s'[: function.outputs != 1]}, but the node has {len(outputs)}: {', '.join(outputs)}"
        found.append(error(where, problem, "give one expression for each output"))
    return found


def _block(where: str, block: Block) -> list[Finding]:
    domain, noun = block.domain, block.domain.noun
    found = findings(where, block.options)
    if block.given is not None:
        return found  # a task on one manifold was checked when it was made
    if not 1 <= len(domain) <= MAX_CHARTS:
        found.append(error(where, f"has {len(domain)} {noun}s", f"give from 1 to {MAX_CHARTS}"))
    dimension = domain.base_dimension
    if dimension != len(block.reads):
        problem = (
            f"its {noun}s have {dimension} coordinate{'s'[: dimension != 1]}, but it reads {len(block.reads)}: {', '.join(block.reads)}"
        )
        found.append(error(where, problem, f"read one component for each coordinate, or correct the {noun}s"))
    for name, count in collections.Counter(domain.names).items():
        if count > 1:
            found.append(error(where, f"{count} {noun}s are called {name!r}", f"give every {noun} its own name"))
    if len(block.subtasks) != len(domain):
        found.append(error(where, f"has {len(block.subtasks)} subtasks for {len(domain)} {noun}s", f"give one for every {noun}"))
        return found
    broken = []
    for i, (name, function) in enumerate(zip(domain.names, block.subtasks, strict=True)):
        chart = None if block.atlas is None else block.atlas.charts[i]
        intrinsic = chart.inverse.names if isinstance(chart, Chart) else ()
        here = f'{where}: {noun} "{name}"'
        broken += _function(here, function, block.reads, block.outputs, intrinsic)
        if not broken and block.is_intrinsic(i) and isinstance(chart, Chart) and chart.forward is None:
            broken.append(
                error(
                    here,
                    "its subtask is in intrinsic coordinates, but there is no forward map",
                    "give forward, or write it in what is read",
                )
            )
    found += broken
    if block.tiling is None:
        if domain.embedding is not None:
            found.append(error(where, "its atlas is embedded", "embed the input instead: blocks read the coordinates before embedding"))
        if not broken and block.atlas is not None and block.atlas.balls is not None and not block.uniform:
            found.append(error(where, "its charts are balls, which have no subtask each", "give one expression for all of the block"))
        return found
    return found + _tiling(where, block, block.tiling, sound=not broken)


def _tiling(where: str, block: Block, tiling: Tiling, sound: bool) -> list[Finding]:
    """No gap, no overlap, one owner for every interface point."""
    state = cut(tiling)
    found = []
    if state.gaps:
        largest = max(state.gaps, key=lambda box: float(np.prod(box.widths)))
        more = f" (and {len(state.gaps) - 1} more)" if len(state.gaps) > 1 else ""
        remedy = "extend a piece, or add one"
        found.append(error(f"{where}: pieces", f"leave a gap on {shown_box(largest)}{more}", remedy, largest.center))
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
        found.append(error(f'{where}: piece "{first}"', problem, remedy, witness))
    if state.intricate:
        found.append(error(f"{where}: pieces", "cut the domain too intricately to be checked", "use a grid, or fewer pieces"))
    if found:
        return found
    for point in disputed(tiling):
        names = [repr(tiling.names[i]) for i in (point.owners or point.meeting)]
        among = f"belongs to {' and '.join(names)}" if point.owners else f"belongs to none of {', '.join(names)}"
        remedy = "correct `closed`: every interface point belongs to exactly one piece"
        found.append(error(f"{where}: pieces", f"the interface point {among}", remedy, point.point))
    if not found and tiling.precedence is None:
        problem = "the owners of interface points follow no order of precedence among the pieces, which routing needs"
        found.append(error(f"{where}: pieces", problem, "use one word `closed` for all pieces, and a grid"))
    return found


def shown_box(box: Box) -> str:
    """A box as messages show it: [0, 1] × [0.5, 2]."""
    return " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(box.lower, box.upper, strict=True))
