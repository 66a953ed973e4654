"""The ledger of a mixture with an affine router: total ← routing ← cover and rounding of the scores; experts; rounding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, BallChart, ManifoldTask, Points
from ...atlas.distances import pairwise, tree_of
from ...errors import EpsilonNotReached
from ...moe.gate_tree import GateTree
from ...moe.ledger import Claim, Known
from ...moe.network import Floats, MoELayer, Network
from ..experts.charts import Expert
from ..shares import ROUNDING_SHARE
from .centres import Centres
from .scores_claims import MEASURED

LOGITS = 1 << 22
"""Logits evaluated at a time, in numbers."""
EXTENDED = 1 << 10
"""Points at which logits are compared with scores in extended precision."""
PAIRED = 24
"""Points of a ball that are compared with each other."""
SOURCES = {"affine": "B1", "power": "B16"}


def require_margin(routing: Centres, dtype: str) -> None:
    """Raise `EpsilonNotReached` unless 4η < κ, before any expert is built."""
    if 4 * routing.eta < routing.kappa:
        return
    remedy = f"use larger balls{', or dtype float64' if dtype != 'float64' else ''}"
    raise EpsilonNotReached("routing.valid (4η < κ)", budget=routing.kappa, reached=4 * routing.eta, width=0, remedy=remedy)


def facts(routing: Centres) -> dict[str, Any]:
    """What the model card and the verifier need to know, as JSON: scores s_i ≥ κ/2 for some i everywhere, known to ± δ = η."""
    proof = routing.proof
    return {
        "routing": routing.kind,
        "delta": routing.eta,
        "mu": routing.kappa / 2,
        "kappa": routing.kappa,
        "cover": "proved" if proof.margin is not None else f"sampled; no proof: {proof.why}",
        "patches": proof.patches,
        "gate_bias": routing.biased,
        "multiplicity": None,
        "plateau_level": None,
        "m": 0,
    }


def total(
    task: ManifoldTask, network: Network, exact: Network, routing: Centres, experts: Sequence[Expert], epsilon: float, seed: int
) -> Claim:
    """|f − Ψ| ≤ ε with everything it follows from."""
    points = task.atlas.sample(max(MEASURED, 16 * len(task.atlas)), seed + 15485863)
    layer, twin = network.layers[0], exact.layers[0]
    x = points.ambient.astype(network.dtype)
    routes = chosen_by(network, x)
    output = layer.forward(x, routes).astype(float)
    same_routes = twin.forward(x.astype(float), routes)
    errors = np.abs(output - task.evaluate(points)).max(1)
    rounding = worst_of(
        "rounding",
        f"|Ψ in {network.dtype} − Ψ in float64 along the same routes| ≤ {ROUNDING_SHARE:g}·ε",
        "R9",
        ROUNDING_SHARE * epsilon,
        np.abs(output - same_routes).max(1),
        points,
    )
    source = f"{SOURCES[routing.kind]}, Corollary 4.9{', N14' if routing.top_k > 1 else ''}"
    whole = worst_of("total", "|f − Ψ|∞ ≤ ε on M", source, epsilon, errors, points)
    copies = len(layer) // len(task.atlas)
    trees = (_tree(network.layers[0]),) if routing.tree and len(network.layers[0]) > 1 else ()
    children = (_valid(routing, network, points, routes // copies), *trees, *(expert.claim for expert in experts), rounding)
    return replace(whole, children=children)


def _tree(layer: MoELayer) -> Claim:
    """That two levels have the routes of the flat gate: a lemma about the weights as they are stored."""
    assert layer.gate is not None
    tree = GateTree.of(layer.gate.affine)
    load = f"{tree.load:.0f} logits in the place of {len(layer)}"
    statement = (
        f"outputs that are in no list of the {len(tree.groups)} groups are behind another one, wherever |x − q_a| ≤ R_a, by more than both "
        f"logits may be off in {layer.dtype}, any other x sees all {len(layer)}: the route of every x is that of the flat gate"
    )
    how = f"on average over the balls x meets {load}" + ("" if tree.pays else "; too many for two levels to pay, so one is evaluated")
    spare = min(tree.spare, float(np.finfo(float).max))
    return Claim("routing.tree", statement, "N2, lemma (tree)", 0.0, spare, Known.PROVED, ">", note=how)


def chosen_by(network: Network, x: Floats) -> NDArray[np.intp]:
    """The gate outputs of the first layer that are chosen, (N, K)."""
    layer = network.layers[0]
    step = max(1, LOGITS // len(layer))
    return np.concatenate([layer.choose(layer.logits(x[start : start + step])) for start in range(0, len(x), step)])


def worst_of(name: str, statement: str, source: str, budget: float, values: Array, points: Points) -> Claim:
    worst = int(values.argmax())
    witness = tuple(map(float, points.ambient[worst]))
    return Claim(name, statement, source, budget, float(values[worst]), Known.SAMPLED, "<=", len(values), witness)


def _valid(routing: Centres, network: Network, points: Points, routes: NDArray[np.intp]) -> Claim:
    """x ∈ U_i at the chosen i, because κ > 4η; at all K of them, because κ_K is (N14), or because they are copies of one (B21)."""
    K = routing.top_k
    source = SOURCES[routing.kind] if K == 1 else f"{SOURCES[routing.kind]}, N14"
    kappa, eta = routing.kappa, routing.eta
    name, statement = "routing.cover", "max_i (r_i² − |x − c_i|²) ≥ κ everywhere on M"
    if K > 1:
        name, statement = f"routing.kappa[{K}]", f"{K} balls have r_i² − |x − c_i|² ≥ κ_{K} everywhere on M"
    found = "gate: nearest centre" if routing.kind == "affine" else "gate: power diagram"
    if routing.proof.margin is None:
        witness = tuple(map(float, routing.witness.ambient[0]))
        how, note = Known.SAMPLED, f"by search; no proof: {routing.proof.why}"
        cover = Claim(name, statement, "B17", kappa, routing.found, how, ">=", None, witness, (), note + _price(routing, points))
    else:
        note = f"{routing.proof.patches:,} patches enclosed; search found {routing.found:.4g}" + _price(routing, points)
        cover = Claim(name, statement, "B17", kappa, routing.proof.margin, Known.PROVED, ">=", note=note)
    known = Known.PROVED if cover.known is Known.PROVED else Known.SAMPLED
    scores = Claim(
        "routing.eta",
        f"every logit in {network.dtype} is within η of its score, up to what is common to all; 4η < κ asks η < κ/4",
        f"{source}, R9",
        kappa / 4,
        eta,
        Known.FORMULA,
        note="" if routing.biased else "all |c_i|² − r_i² are equal to rounding: no bias (R8)",
    )
    centers, radii = routing.centers, routing.radii
    inside = np.min([radii[taken] ** 2 - ((points.base - centers[taken]) ** 2).sum(1) for taken in routes.T], axis=0)
    least = int(inside.argmin())
    which = "the expert i" if routes.shape[1] == 1 else f"all {routes.shape[1]} experts i"
    chosen = Claim(
        "routing.chosen",
        f"r_i² − |x − c_i|² ≥ κ − 4η at {which} that the weights choose for x",
        source,
        kappa - 4 * eta,
        float(inside[least]),
        Known.SAMPLED,
        ">=",
        len(inside),
        tuple(map(float, points.ambient[least])),
    )
    parts = (cover, scores, _observed(routing, network, points), chosen, _injective(routing, points, routes[:, 0]))
    return Claim(
        "routing.valid",
        f"r_i² − |x − c_i|² ≥ κ − 4η > 0 at {which} chosen for x, so x ∈ U_i ({found})",
        source,
        0.0,
        kappa - 4 * eta,
        known,
        ">",
        children=parts,
    )


def _price(routing: Centres, points: Points) -> str:
    """What K experts cost, in words: how far the farthest chosen centre is, squared, beside the nearest; errors grow in proportion."""
    K, d = routing.top_k, routing.atlas.dimension
    if K == 1:
        return ""
    squares = tree_of(routing.centers).query(points.base, k=[1, K])[0].max(0) ** 2
    grown = float(squares[1] / squares[0])
    return f"; price: cells reach {grown:.3g} times as far, squared, as they would with one expert, {K}^(2/{d}) = {K ** (2 / d):.3g}"


def deviation(routing: Centres, network: Network, points: Points) -> Array:
    """Half the range over i of (logit_i of x̂ − s_i(x)), (N,): how far logits are from scores, up to a common summand.

    The scores are computed in extended precision where the platform has it.
    """
    base, centers = points.base.astype(np.longdouble), routing.centers.astype(np.longdouble)
    scores = base @ centers.T - ((centers**2).sum(1) - routing.radii.astype(np.longdouble) ** 2) / 2
    logits = network.layers[0].logits(points.ambient.astype(network.dtype))
    gap = logits - np.repeat(scores, logits.shape[1] // scores.shape[1], axis=1)
    return np.asarray((gap.max(1) - gap.min(1)) / 2, float)


def _observed(routing: Centres, network: Network, points: Points) -> Claim:
    some = points[:EXTENDED]
    step = max(1, LOGITS // len(routing.radii))
    seen = np.concatenate([deviation(routing, network, some[start : start + step]) for start in range(0, len(some), step)])
    return worst_of("routing.logits", "logits observed: within η of their scores", "R9", routing.eta, seen, some)


def _injective(routing: Centres, points: Points, routes: NDArray[np.intp]) -> Claim:
    """How much φ_i shrinks distances between points of one routed cell: positive means injective there."""
    order = np.argsort(routes, kind="stable")
    bounds = np.searchsorted(routes[order], np.arange(len(routing.radii) + 1))
    least, witness, pairs = 1.0, points.ambient[0], 0
    for i, ball in enumerate(routing.atlas.charts):
        assert isinstance(ball, BallChart)
        rows = order[bounds[i] : bounds[i + 1]][:PAIRED]
        if len(rows) < 2:
            continue
        ambient, local = pairwise(points.base[rows]), pairwise(ball.forward(points.base[rows]))
        apart = ambient > 1e-9 * ball.radius
        pairs += int(apart.sum())
        ratio = float((local[apart] / ambient[apart]).min(initial=1.0))
        if ratio < least:
            least, witness = ratio, points.ambient[rows[0]]
    statement = "|φ_i(x) − φ_i(x′)| / |x − x′| > 0 for points of one cell: tangent charts are injective for r < (√3 − 1)·reach, promised"
    return Claim("routing.injective", statement, "B18", 0.0, least, Known.SAMPLED, ">", pairs, tuple(map(float, witness)))
