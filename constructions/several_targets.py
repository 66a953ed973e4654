"""Several targets, each with an ε of its own: built as one f in units of these ε, and then taken back to its own.

Statement. Let Φ be a network for f_j/ε_j with |f_j/ε_j − Φ_j| ≤ 1 for every component j. Ψ is Φ with row j of the last affine map of every
expert of the last layer, and of what is added beside them, multiplied by ε_j. In real arithmetic Ψ_j = ε_j·Φ_j, as outputs are affine in
these rows whatever the gate does and whatever weights it gives; so |f_j − Ψ_j| ≤ ε_j, target by target, and no route changes. An ε of one
target is no part of what others have to keep: 1 is the budget of each. Stored rows are rounded, once more, which is measured.

The shares of ε, the experts' widths, the ledger below `total` and all claims of routing are those of Φ: they are about f in units of ε.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..atlas import Array, ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..atlas.targets import in_units
from ..atlas.wanted import IN_UNITS, Wanted, columns, units
from ..errors import EpsilonNotReached
from ..moe.design import Design
from ..moe.ledger import Claim, Known, Ledger
from ..moe.model import Model
from ..moe.network import Network
from ..moe.outputs import multiplied
from .compile import check_task
from .ledger import MEASURED, points_of

Tasks = ManifoldTask | TaskGraph
CHUNK = 1 << 12
EPSILON = re.compile(r"(?:a larger error: )?\{epsilon=([^}]*)\}")
"""How advice speaks of an ε, which here is one in units."""


def built(build: Callable[..., Model], task: Tasks, **asked: Any) -> Model:
    """The model that `build` makes of f in units of the ε of its targets, for an ε of 1; in units of its own. All ε are numbers.

    Of a task with one target it is the model that `build` makes."""
    if not isinstance(task, ManifoldTask | TaskGraph) or not task.wanted:
        return build(task, **asked)
    check_task(task)
    try:
        made = build(in_units(task), **asked)
    except EpsilonNotReached as miss:
        remedy = EPSILON.sub(lambda found: f"a larger ε of the targets in the spec: {found[1]} times each", miss.remedy)
        what = f"{miss.what}, {IN_UNITS}"
        raise EpsilonNotReached(what, budget=miss.budget, reached=miss.reached, width=miss.width, remedy=remedy) from miss
    given = made.task  # on the charts that it was built for
    if isinstance(task, TaskGraph):
        assert isinstance(given, TaskGraph)
        back: Tasks = replace(given, nodes=tuple(task[node.name] if node.name == task.output else node for node in given.nodes))
        back = replace(back, wanted=task.wanted)
    else:
        assert isinstance(given, ManifoldTask)
        back = replace(given, target=task.target, names=task.names, wanted=task.wanted)
    network = multiplied(made.network, units(task.wanted))
    root = _total(made, network, back)
    if not root.holds:
        raise EpsilonNotReached(
            f"total ({root.statement})",
            budget=1.0,
            reached=root.bound,
            width=made.facts["true_width"],
            remedy="keep more digits, {dtype=float64}",
        )
    said = [{"name": one.name, "outputs": one.outputs, "epsilon": one.epsilon} for one in task.wanted]
    return Model(network, Ledger(root), back, {**made.facts, "targets": said}, _unbudgeted(made.design, as_graph(task).output))


def _unbudgeted(design: Design, output: str) -> Design:
    """Of a graph the budget of the output node is one of errors in units of ε, which its layer no longer makes: none is said."""
    if design.alone:
        return design
    sites = tuple(replace(site, budget=None) if site.block == output else site for site in design.sites)
    joins = tuple(replace(join, budget=None) if join.node == output else join for join in design.joins)
    return replace(design, sites=sites, joins=joins)


def _total(made: Model, network: Network, task: Tasks) -> Claim:
    """What every target errs by on the network as exported, in its own units, and the ledger of how it was built below."""
    graph, before = as_graph(task), made.ledger.root
    points, read, truth = _measured_at(graph, network, int(made.facts["seed"]))
    gap, moved = np.empty((len(points), graph.outputs)), np.empty(len(points))
    each = units(graph.wanted)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        found = network(read[part]).astype(float)
        gap[part] = found - truth[part]
        moved[part] = np.abs(found / each - made.network(read[part]).astype(float)).max(1)
    errors = np.where(np.isnan(gap), np.inf, np.abs(gap))
    targets = [target_claim(one, errors[:, place], points) for one, place in columns(graph.wanted)]
    said = f"|Ψ_j/ε_j − Φ_j|: Ψ is Φ with output j multiplied by ε_j, its rows rounded to {network.dtype}"
    lost = max(float(moved.max()), float(np.finfo(network.dtype).tiny))
    rounding = Claim("units", said, "R9", lost, lost, Known.SAMPLED, samples=len(points))
    beneath = replace(before, name="built", statement=f"{before.statement}; of f {IN_UNITS}, Φ in the place of Ψ")
    statement = f"max_j |f_j − Ψ_j|/ε_j ≤ 1: every target within its own ε ({', '.join(one.name for one in graph.wanted)})"
    return _worst("total", statement, before.source, 1.0, graph.largest(errors), points, (*targets, rounding, beneath))


def _measured_at(graph: TaskGraph, network: Network, seed: int) -> tuple[Array, Array, Array]:
    """Points, what the network reads of them, and f there."""
    (node, *more), block = graph.inputs, graph.blocks[0]
    if block.given is None or more:
        points, read = points_of(graph, network.dtype, seed)
        return points, read, graph.evaluate(points)
    drawn = node.domain.sample(MEASURED, seed + 15485863)
    return drawn.ambient, drawn.ambient.astype(network.dtype), block.given.evaluate(drawn)


def target_claim(one: Wanted, errors: Array, points: Array) -> Claim:
    """What one target errs by at points, (N, its outputs), in its own unit."""
    statement = f"|{one.name} − Ψ| ≤ ε of {one.name}" + (", largest component" if one.outputs > 1 else "")
    return _worst(f"target[{one.name}]", statement, "Theorem 4.8", float(one.epsilon), errors.max(1), points)


def _worst(name: str, statement: str, source: str, budget: float, errors: Array, points: Array, children: tuple[Claim, ...] = ()) -> Claim:
    at = int(errors.argmax())
    witness = tuple(map(float, points[at]))
    return Claim(name, statement, source, budget, float(errors[at]), Known.SAMPLED, "<=", len(points), witness, children)
