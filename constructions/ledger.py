"""The ledger: measured on the network as exported. Of a graph: total ← propagation, one claim for every block and combination, rounding,
routes; Σ E_l leaves, not ∏ E_l.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Box, Combine, TaskGraph
from ..moe.design import Design
from ..moe.ledger import Claim, Known
from ..moe.network import Network
from .asked import Reading
from .counts import dense_claims
from .experts.pieces import PieceNet
from .shares import ROUNDING_SHARE
from .sharing.claims import counted
from .theorem_one_layer import claims
from .works import Works

MEASURED = 1 << 14
"""Points spread over the domain."""
ROUTED, PER_SUBTASK = 1 << 11, 32
"""Points whose routes are drawn first, so many at least and so many for each subtask of the largest block: all experts are exercised."""
CHUNK = 1 << 12
CARRIED = {
    "paper": "every channel that is needed later passes every layer unchanged: c = σ(c) − σ(−c), whichever expert is chosen",
    "dense": "every channel that is needed later passes every layer unchanged: c = σ(c) − σ(−c), whichever expert is chosen",
    "residual": "every channel that is needed later is carried beside the experts of every layer, unchanged",
}


def combine(node: Combine, made: PieceNet, budget: float | None, lipschitz: Array, reading: Reading) -> Claim:
    """f_out against its network, and the constants by which it passes errors on (R10)."""
    name = f"combine[{node.name}]"
    ranges = " × ".join(f"[{v.least - e:.4g}, {v.most + e:.4g}]" for v, e in zip(reading.values[:8], reading.error, strict=False))
    largest = float(lipschitz.max(initial=0.0))
    steep = Claim(
        f"{name}.lipschitz",
        "sup |∂f_out/∂y_l| on the range of y, made wider by its error, is at most "
        + ", ".join(f"{float(v):.4g} for {read}" for v, read in zip(lipschitz.max(0)[:8], node.reads, strict=False)),
        "R10",
        largest,
        largest,
        Known.PROVED,
    )
    return Claim(
        name,
        f"|f_out − its network| on the range of what it reads, {ranges}{' × …' if len(node.reads) > 8 else ''}: {made.how}",
        f"R10, {made.source}",
        made.bound if budget is None else budget,
        made.bound,
        made.known,
        samples=made.samples,
        witness=made.witness,
        children=(steep,),
    )


def propagation(task: TaskGraph, bound: float, epsilon: float, sampled: bool, own: Mapping[str, float]) -> Claim:
    """Σ over nodes of the error a node makes, times the Lipschitz constants on its way to the output."""
    makers = sum(error > 0 for error in own.values())
    return Claim(
        "propagation",
        f"Σ_n w_n·ε_n ≤ (1 − {ROUNDING_SHARE:g})·ε: the errors of {makers} blocks and combinations as they reach the output, each by its "
        "Lipschitz constants on ranges made wider by the errors that arrive there",
        "R10, B9",
        (1 - ROUNDING_SHARE) * epsilon,
        bound,
        Known.SAMPLED if sampled else Known.FORMULA,
        note=f"{task.subtasks} experts' claims certify {task.pieces} pieces (B9)",
    )


def points_of(task: TaskGraph, dtype: np.dtype, seed: int) -> tuple[Array, Array]:
    """Points to measure on: most of them spread over the domain, some with routes drawn uniformly.

    The first are what the task is evaluated at, the second what the network reads. Coordinates of boxes are numbers of the dtype in
    both; points on manifolds are rounded in the second (R9).
    """
    points = task.sample(MEASURED, seed + 15485863)
    if task.blocks:
        count = max(ROUTED, PER_SUBTASK * max(map(len, task.blocks)))
        routed, found = task.sample_routes(task.draw_routes(count, seed + 32452843), seed + 49979687)
        points = np.concatenate([points, routed[found]])
    start = 0
    for node in task.inputs:
        if node.box is not None:
            columns = slice(start, start + node.ambient_dimension)
            points[:, columns] = representable(points[:, columns], node.box, dtype)
        start += node.ambient_dimension
    return points, points.astype(dtype)


def representable(points: Array, box: Box, dtype: np.dtype) -> Array:
    """Points of a box rounded to the dtype, and back into the box where rounding has left it."""
    low = np.array(box.lower).astype(dtype)
    low = np.where(low.astype(float) < box.lower, np.nextafter(low, np.asarray(np.inf, dtype)), low)
    high = np.array(box.upper).astype(dtype)
    high = np.where(high.astype(float) > box.upper, np.nextafter(high, np.asarray(-np.inf, dtype)), high)
    return np.clip(points.astype(dtype), low, high).astype(float)


def total(works: Works, network: Network, exact: Network, design: Design, epsilon: float) -> Claim:
    """|f − Ψ| ≤ ε on fresh points, with everything it follows from; a task on one manifold is measured by its router."""
    found = _alone(works, network, exact, epsilon) if works.assembly.alone else _whole(works, network, exact, design, epsilon)
    return replace(found, children=(*found.children, *dense_claims(network, design)))


def _alone(works: Works, network: Network, exact: Network, epsilon: float) -> Claim:
    """The claim of a task on one manifold."""
    (made,) = works.built.values()
    assert made.charts is not None
    charts = made.charts
    root = charts.routed.total(charts.task, network, exact, charts.experts, epsilon, works.seed)
    beside = made.beside if made.shared is None else (*counted(made.shared, made.experts), *made.beside)
    return replace(root, children=(*root.children, *beside))


def _whole(works: Works, network: Network, exact: Network, design: Design, epsilon: float) -> Claim:
    """The claim of a graph of several nodes."""
    task = works.graph
    points, read = points_of(task, network.dtype, works.seed)
    errors, rounding, wrong = np.empty(len(points)), np.empty(len(points)), np.zeros(len(points))
    chosen = {site.block: np.empty(len(points), np.intp) for site in design.sites}
    held = as_built(works)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        trace = network.trace(read[part])
        same = exact.trace(read[part].astype(float), trace.chosen).output
        truth = held.trace(points[part])
        errors[part] = np.abs(trace.output - truth.output).max(1)
        rounding[part] = np.abs(trace.output - same).max(1)
        for site in design.sites:
            made = works.built[site.block]
            order = np.array([made.block.names.index(name) for name in site.pieces])
            pieces = order[site.taken(trace.chosen[site.layer])[0]]
            chosen[site.block][part] = pieces[:, 0]
            if made.pointwise:
                wrong[part] += ~np.take_along_axis(truth.valid[site.block], pieces, 1).all(1)
    passed = Claim("passthrough", CARRIED[design.form], "Theorem 5.2, R1, R2", 0.0, 0.0, Known.EXACT)
    carried = (passed,) if len(network.layers) > 1 or works.grouped else ()
    rounded = _worst("rounding", f"|Ψ in {network.dtype} − Ψ in float64 along the same routes| ≤ {ROUNDING_SHARE:g}·ε", rounding, points)
    rounded = replace(rounded, source="R9", budget=ROUNDING_SHARE * epsilon)
    statement = f"blocks of a point that are sent to a piece or chart that does not hold it; {seen_routes(chosen)} distinct routes seen"
    routed = _worst("routing", statement, wrong, points)
    routed = replace(routed, source="Theorem 5.2, Theorem 5.3", budget=0.0)
    whole = _worst("total", "|f − Ψ|∞ ≤ ε on the whole domain", errors, points)
    on_charts = any(made.charts is not None for made in works.built.values())
    source = "Theorem 5.2, R10" if on_charts else "Theorem 5.3, R10"
    if works.grouped:
        source = "N15, Theorem 5.3, R10"
        routed = replace(routed, source="N15", children=claims(network, design))
    return replace(whole, source=source, budget=epsilon, children=(*_parts(works, epsilon), routed, *carried, rounded))


def as_built(works: Works) -> TaskGraph:
    """The graph whose blocks are on the charts that were built for."""
    task = works.task
    assert isinstance(task, TaskGraph)
    return task


def _parts(works: Works, epsilon: float) -> tuple[Claim, ...]:
    """How the errors add up, and the claims of every block and combination."""
    blocks = [works.built[block.name].claim for block in works.graph.blocks]
    combines = [
        combine(node, works.combines[node.name], works.asked(node).budget, works.lipschitz[node.name], works.reading(node))
        for node in works.graph.combines
        if node.name in works.combines
    ]
    claims = (*blocks, *combines, *(claim for made in works.built.values() for claim in made.beside))
    sampled = any(claim.known is Known.SAMPLED for claim in claims)
    return (propagation(works.graph, works.own_error(), epsilon, sampled, works.own), *claims)


def seen_routes(chosen: Mapping[str, NDArray[np.intp]]) -> int:
    """How many different tuples of pieces were taken."""
    if not chosen:
        return 1
    return len(np.unique(np.stack(list(chosen.values()), axis=1), axis=0))


def _worst(name: str, statement: str, values: Array, points: Array) -> Claim:
    values = np.where(np.isnan(values), np.inf, values)
    worst = int(values.argmax())
    return Claim(name, statement, "", 0.0, float(values[worst]), Known.SAMPLED, "<=", len(values), tuple(map(float, points[worst])))


def round_up(value: float, digits: int = 2) -> float:
    """The least decimal with `digits` significant digits that is not below a positive `value`."""
    scale = 10.0 ** (np.floor(np.log10(max(value, np.finfo(float).tiny))) - digits + 1)
    return float(np.ceil(value / scale) * scale)
