"""The claims about a task graph: what its proofs (`graph`) amount to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ...atlas import Atlas, Block, TaskGraph
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from .claims import edge_claim
from .graph import GraphProof, NotProvableError, bound_of
from .problem import NEGLIGIBLE
from .tree import Tree

TOTAL = "for every x ∈ M: |f(x) − Ψ(x)| ≤ ε, largest component, in real arithmetic and evaluated in float64"
TIGHTEST = 1.05
"""Tightness of the parts where none is asked for: errors add up, so none may be wasted."""
SAMPLED = 1 << 14
"""Points at which the whole network is compared with the graph before anything is proved."""


def certify_graph(
    network: Network, graph: TaskGraph, *, epsilon: float | None, tightness: float | None, boxes: int, deadline: float, seed: int
) -> tuple[tuple[Claim, ...], dict[str, Tree], float, float]:
    """The claims about a task graph, the boxes of all its proofs by node and chart, the largest error found, and η."""
    found, witness = _sampled(network, graph, seed)
    floor = NEGLIGIBLE * (found if epsilon is None else epsilon) / len(graph.nodes)
    proof = GraphProof(network, graph, TIGHTEST if tightness is None else tightness, floor, boxes, deadline, seed)
    if epsilon is not None and found > epsilon:
        note = "the network itself misses ε at the witness"
        return (Claim("total", TOTAL, "Theorem 5.2", epsilon, found, Known.REFUTED, witness=witness, note=note),), {}, found, 0.0
    try:
        proof.prove()
        bound, note = proof.read_out(), f"largest error found {found:.6g}"
    except NotProvableError as missing:
        bound, note = np.inf, str(missing)
    known = Known.PROVED if bound <= (np.inf if epsilon is None else epsilon) and np.isfinite(bound) else Known.UNKNOWN
    total = Claim("total", TOTAL, "Theorem 5.2, B9, R10", bound if epsilon is None else epsilon, bound, known, note=note)
    others = [
        Claim(
            f"total.{dtype}",
            f"the same for Ψ evaluated in {dtype} at x rounded to {dtype}, where no piece is mistaken for another",
            "R9",
            total.budget,
            bound + extra,
            total.known if bound + extra <= total.budget else Known.UNKNOWN,
            note=f"rounding adds at most {extra:.3g}",
        )
        for dtype, extra in sorted(proof.extra.items())
        if dtype != "float64"
    ]
    trees = {f"{node}/{chart}": tree for node, solved in proof.solutions.items() for chart, tree in solved.trees.items()}
    eta = max((solved.eta for solved in proof.solutions.values()), default=0.0)
    return (total, *others, *_node_claims(proof)), trees, found, eta


def _sampled(network: Network, graph: TaskGraph, seed: int) -> tuple[float, tuple[float, ...]]:
    """The largest error on sampled points, and where."""
    points = graph.sample(SAMPLED, seed, low_discrepancy=True)
    error = np.abs(np.asarray(network(points.astype(network.dtype)), float) - graph.evaluate(points)).max(1)
    error = np.where(np.isnan(error), np.inf, error)
    worst = int(np.argmax(error))
    return float(error[worst]), tuple(map(float, points[worst]))


def _node_claims(proof: GraphProof) -> Iterator[Claim]:
    """What was proved of every block and combination."""
    for name, solved in proof.solutions.items():
        bound, block = bound_of(solved), isinstance(proof.graph[name], Block)
        known = Known.PROVED if solved.settled else Known.UNKNOWN
        where = "everywhere that it may be read" if block else "on all values that it may read"
        kind = f"block[{name}]" if block else f"combine[{name}]"
        note = f"{sum(map(len, solved.trees.values())):,} boxes; largest error found {solved.goal.found:.6g}"
        yield Claim(f"{kind}.error", f"|{name} − its slice of the network| {where}", "Theorem 5.2, B9", bound, bound, known, note=note)
        if name in proof.routed:
            routed = proof.routed[name] and solved.settled
            statement = f"every point gets an expert of {name} whose chart contains it, or whose piece owns it"
            how = Known.PROVED if routed else Known.UNKNOWN
            aside = "" if routed else "pieces next to an interface may be mistaken for each other; the error counts that in"
            yield Claim(f"block[{name}].routing", statement, "Theorem 5.2, B10", 0.0, float(not routed), how, note=aside)
        if block and isinstance(proof.graph[name].domain, Atlas):  # type: ignore[union-attr]
            cover = edge_claim(solved.trees, solved.manifold)
            yield replace(cover, name=f"block[{name}].cover")
