"""Theorem 5.2: a block given chart by chart on an atlas of its own, routed and computed as Theorem 4.8 does it for a whole task.

Layer 2l − 1 appends the scores τ^(l)(x_l), layer 2l routes on them and writes y_l beside everything that is still needed (R2). With an
affine router (B1, B16) a block on a ball atlas needs no scores, and so no layer for them (B2).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import DTypeLike

from ..atlas import Block
from ..errors import EpsilonNotReached, InvalidArgument
from ..moe.ledger import Claim, Known
from ..moe.network import Network
from . import theorem_4_8
from .built import BuiltBlock, Reading, prefixed
from .experts.cells import find_cells
from .experts.charts import Expert, Workshop
from .experts.pieces import Asked
from .routers import affine as affine_router
from .routers import affine_claims
from .routers import scores as routing_step
from .routers import scores_claims as claims
from .routers.scores import ROUNDING_SHARE
from .theorem_4_8 import build_experts


def build(block: Block, reading: Reading, asked: Asked, *, affine: bool, dtype: DTypeLike) -> BuiltBlock:
    """The block as a model of its own: τ or an affine router, and experts g_i∘ψ_i, or g_i∘φ_i where the charts are affine.

    What it reads arrives exactly. Raises `EpsilonNotReached` naming block and chart, `InvalidArgument` where no affine gate routes.
    """
    try:
        return _build(block, reading, asked, affine, dtype)
    except EpsilonNotReached as miss:
        raise EpsilonNotReached(
            f"block[{block.name}].{miss.what}", budget=miss.budget, reached=miss.reached, width=miss.width, remedy=miss.remedy
        ) from miss


def _build(block: Block, reading: Reading, asked: Asked, affine: bool, dtype: DTypeLike) -> BuiltBlock:
    task, atlas = block.task, block.task.atlas
    # A workshop keeps back a share of its ε for rounding; here the graph has done so.
    epsilon = None if asked.budget is None else asked.budget / (1 - ROUNDING_SHARE)
    if affine and len(atlas) > 1:
        if atlas.balls is None:
            raise InvalidArgument(
                f'block "{block.name}" is on charts that are no balls, between which no affine gate routes; use depth "L+1"'
            )
        # The gate reads an embedded input as it arrives, so that its score error is known.
        atlas = replace(atlas, embedding=reading.embedding)
        task = replace(task, atlas=atlas)
        router = affine_router.route(atlas, dtype, asked.seed)
        affine_claims.require_margin(router, str(np.dtype(dtype)))
        shop = Workshop(task, router, epsilon, asked.width, True, asked.limit, asked.seed)
        experts = build_experts(shop, affine_router.cells(router, asked.seed))
        network = affine_router.assemble(task, router, experts)
        root = affine_claims.total(task, network, network, router, experts, _reached(experts, epsilon), asked.seed)
        return replace(_built(block, experts, root, router.kind, network, None), embedded=reading.embedding is not None)
    routed = routing_step.choose(atlas, "auto", width=asked.width, limit=asked.limit, seed=asked.seed)
    flat = all(atlas.affine(chart) is not None for chart in range(len(atlas)))
    shop = Workshop(task, routed, epsilon, asked.width, flat, asked.limit, asked.seed)
    experts = build_experts(shop, find_cells(atlas, routed, asked.seed))
    network = theorem_4_8.assemble(task, routed, experts, np.float64)
    root = claims.total(task, network, network, routed, experts, _reached(experts, epsilon), asked.seed)
    return _built(block, experts, root, routed.kind, network, routed)


def _reached(experts: list[Expert], epsilon: float | None) -> float:
    return epsilon if epsilon is not None else max(expert.claim.budget for expert in experts) / (1 - ROUNDING_SHARE)


def _built(
    block: Block,
    experts: list[Expert],
    root: Claim,
    routing: str,
    network: Network,
    routed: routing_step.Routing | None,
) -> BuiltBlock:
    local = max(expert.claim.budget for expert in experts)
    name = f"block[{block.name}]"
    kept = tuple(prefixed(child, name) for child in root.children if child.name not in ("rounding", "passthrough"))
    statement = f"|{block.name} as computed − {block.name}| on its manifold"
    claim = replace(
        root,
        name=name,
        statement=statement,
        source=f"Theorem 5.2, {root.source}",
        children=kept,
        budget=local,
        bound=max(root.bound, *(expert.claim.bound for expert in experts)),
        known=Known.SAMPLED,
    )
    gate = None if routed is not None or len(block) == 1 else network.layers[0].affine_gate
    scores = None if routed is None or len(block) == 1 else routed.tau.net
    nets = tuple(expert.net for expert in experts)
    return BuiltBlock(block, block.names, scores, gate, nets, local, claim, routing, None)
