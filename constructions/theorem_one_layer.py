"""∏ E_l pieces in one layer of Σ E_l experts, top-L (N15): a block on pieces as one group of a layer that all blocks share.

Statement. Let f = Σ_l e_l·F_l(x_l) + c, F_l given piece by piece on a tiling of R^{d_l} into E_l boxes, jumps and all, and let experts
g_{l,i} err by at most ε_{l,i} on piece i of group l. One layer with the Σ E_l experts L·e_l·g_{l,i} and the logits of `routers.grouped`, a
two-layer gate of 2·Σ(E_l − 1) neurons for intervals, chooses by top-L with softmax weights, for every x of the dtype, the expert of the
piece that owns x_l in every group, each with weight 1/L, so that

    |f − Ψ| ≤ Σ_l |e_l|·max_i ε_{l,i}   up to rounding,

on ∏ E_l pieces. Σ E_l = n experts of which K are chosen have at most C(n, K) sets; this attains (n/K)^K of them, which no choice of group
sizes exceeds. It is exact for the numbers of a dtype and for nothing else: continuous logits over a connected M_l tie somewhere (N17).

A graph whose blocks read only inputs, and whose output is an affine map of their values, has one layer; any other one layer for each of
its stages of blocks: the depth of a graph is its longest path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import comb

import numpy as np

from ..atlas import Block, Combine, TaskGraph
from ..errors import InvalidArgument
from ..moe.design import Design
from ..moe.ledger import Claim, Known
from ..moe.network import Net, Network, Weighting
from . import theorem_5_2, theorem_5_3, theorem_hats
from .asked import Asked, Reading
from .built import Built
from .choices import GROUPED, Choice, Choices
from .forms import Form
from .routers.grouped import POWER, constant, group, half_lines, margin
from .routers.snapped import SnappedRouting

SELECTING = 8
"""Units of rounding within which a router that selects on probabilities may confuse two: the exponential, the sum and the quotient."""


def require(graph: TaskGraph, choices: Choices) -> None:
    """Raises `InvalidArgument` for a graph that has no such layers, naming the node and the reason; nothing is asked for other depths."""
    depth = choices.depth
    if depth not in GROUPED:
        return
    weightings = {choices[block].weighting: block.name for block in graph.blocks}
    if len(weightings) > 1:
        said = ", ".join(f'"{name}" {weighting}' for weighting, name in weightings.items())
        raise InvalidArgument(f"blocks that share a layer have one weighting, but of the blocks {said} was asked for: give one for all")
    computed = {name: node for node in graph.makers for name in node.components}
    for node in graph.makers:
        if (
            isinstance(node, Block)
            and node.tiling is None
            and (read := next((r for r in node.reads if r in _computed(graph, computed)), None))
        ):
            raise InvalidArgument(
                f'block "{node.name}" is given on charts and reads {read}, which is computed: balls of a group are told apart where their '
                "scores are known exactly (N20); use {depth=L+1}"
            )
        if depth != "1":
            continue
        if isinstance(node, Combine):
            raise InvalidArgument(
                f'combination "{node.name}" is no affine map, so what follows the blocks is no sum of their values, as depth "1" asks '
                "(N15): the depth of a graph is its longest path; use {depth=path}"
            )
        if read := next((name for name in node.reads if name in _computed(graph, computed)), None):
            raise InvalidArgument(
                f'block "{node.name}" reads {read}, which is computed first, so the blocks do not fit into one layer (N15): '
                "the depth of a graph is its longest path; use {depth=path}"
            )


def _computed(graph: TaskGraph, made: Mapping[str, object]) -> set[str]:
    """Components that depend on what a layer computes."""
    found = set(made)
    for node in graph.combines:
        if found.intersection(node.reads):
            found.update(node.components)
    return found


def build(block: Block, reading: Reading, forms: Mapping[str, Form], asked: Asked, choice: Choice, together: Sequence[Block]) -> Built:
    """The experts of every piece (Theorem 5.3), and the gate of the group among all that are built `together`.

    A block with a layer of its own needs no group: its closed faces, of which the first wins, are exact in real arithmetic too (B10), and
    so are nearest centres (B1).

    Raises `InvalidArgument` for a block that reads anything but channels as they are, of which no gate knows the exact value.
    """
    tiling = block.tiling
    alone, whole = len(together) == 1, tiling is None and reading.embedding is not None
    if not alone and not whole and (read := next((name for name in block.reads if forms[name].channel is None), None)):
        parts = len(forms[read].weights)
        raise InvalidArgument(
            f'block "{block.name}" reads {read}, an affine form of {parts} channel{"s" * (parts > 1)}, of which rounding knows no exact '
            "value: a layer of several blocks tells the pieces of a block apart by numbers of the dtype alone (N15); use {depth=L+1}"
        )
    weighting, choice = Weighting(choice.weighting), replace(choice, shared=False)
    if tiling is None:
        return _on_balls(block, reading, asked, choice, alone)
    assert tiling.precedence is not None
    if weighting is Weighting.RECTIFIED:
        return theorem_hats.build(block, reading, asked)
    made = theorem_5_3.build(block, reading, asked, choice)
    if alone:
        return replace(made, scores=None, gate=made.scores or constant(tiling), weighting=weighting)
    lines = weighting is Weighting.UNIFORM and linear(together)
    try:
        gate = (half_lines if lines else group)(tiling, tiling.precedence, asked.dtype)
    except InvalidArgument as error:
        raise InvalidArgument(f'block "{block.name}": {error}; use {{dtype=float64}}, or scale what it reads') from error
    assert gate is not None
    routing, *leaves = made.claim.children
    if reading.exact:
        statement = (
            f"for every x of {np.dtype(asked.dtype)} the logit of the piece that owns it is {'≥ ' if lines else ''}0 and those of the "
            f"{len(tiling) - 1} others are negative, interface points included"
        )
        routing = replace(routing, statement=statement, source=f"{'N19' if lines else 'N15'}, R3")
    claim = replace(made.claim, source="N15, Theorem 5.3", children=(routing, *leaves))
    return replace(made, scores=None, gate=gate, claim=claim, router="grouped", theorem="N15", top_k=1, weighting=weighting)


def _on_balls(block: Block, reading: Reading, asked: Asked, choice: Choice, alone: bool) -> Built:
    """The experts of every ball (B1, B17), and the gate that snaps their scores to the grid of the dtype (N20)."""
    weighting = Weighting(choice.weighting)
    if weighting is Weighting.RECTIFIED:
        raise InvalidArgument(
            f'block "{block.name}" is given on charts, between which no hats add up to 1 (N18): leave out {{weighting=rectified}}'
        )
    if alone:
        return replace(theorem_5_2.build(block, reading, asked, replace(choice, depth="L")), weighting=weighting)
    made = theorem_5_2.build(block, reading, asked, choice)
    assert made.charts is not None
    routed = made.charts.routed
    assert isinstance(routed, SnappedRouting)
    return replace(made, gate=routed.net, router="snapped", theorem="N20", promise=None, top_k=1, weighting=weighting)


def linear(blocks: Sequence[Block]) -> bool:
    """Whether every piece of all blocks has one inner face at most, so that gates of half-lines tell them apart (N19)."""
    return all(
        block.tiling is not None
        and (((block.tiling.lower > block.tiling.domain.lower).sum(1) + (block.tiling.upper < block.tiling.domain.upper).sum(1)) <= 1).all()
        for block in blocks
    )


def claims(network: Network, design: Design) -> tuple[Claim, ...]:
    """What is claimed of the choice of every layer with exactly one zero in each group, of the gate as it is exported."""
    found = []
    for number, layer in enumerate(network.layers):
        sites = [site for site in design.sites if site.layer == number]
        if len(sites) < 2 or layer.gate is None or layer.weighting is Weighting.RECTIFIED:
            continue
        L, K, n = len(sites), layer.top_k, len(layer)
        name = f"routing.one_per_group{'' if len(network.layers) == 1 else f'[{number + 1}]'}"
        least = "≥ 0" if layer.weighting is Weighting.UNIFORM else "0"
        where = "" if len(layer.gate.widths) < 2 else ", on M where blocks have charts,"
        statement = (
            f"for every x of {network.dtype}{where} exactly one logit of each of the {L} blocks is {least} and the {n - K} others are "
            f"negative: top-{K} chooses one expert of each, with weight 1/{K}, whatever breaks ties"
        )
        children = [_active_sets(n, K, [len(site.pieces) for site in sites])]
        if len(layer.gate.widths) == 1 and (stock := _stock(layer.gate, network.dtype)) is not None:
            children.append(stock)
        source = ("N19", "N15")[len(layer.gate.widths)] if len(layer.gate.widths) < 2 else "N15, N20"
        found.append(Claim(name, statement, source, 0.0, 0.0, Known.EXACT, children=tuple(children)))
    return tuple(found)


def _active_sets(n: int, K: int, sizes: list[int]) -> Claim:
    """∏ E_l ≤ C(n, K)."""
    statement = f"the {_product(sizes)} pieces are as many sets of {K} among {n} experts, of C({n}, {K}) that a gate could choose"
    return Claim("routing.active_sets", statement, "N15", float(comb(n, K)), float(np.prod([float(E) for E in sizes])), Known.EXACT)


def _product(sizes: list[int]) -> str:
    """E^L, or E_1·E_2·…"""
    return f"{sizes[0]}^{len(sizes)}" if len(set(sizes)) == 1 and len(sizes) > 1 else "·".join(map(str, sizes))


def _stock(gate: Net, dtype: np.dtype) -> Claim | None:
    """Whether routers that select on probabilities or sigmoids choose the same experts; None where they need not."""
    least, unit = margin(gate, dtype), float(np.finfo(dtype).eps) / 2
    if not SELECTING * unit < least < np.inf:
        return None
    statement = (
        f"every logit that is not 0 is ≤ −2^{POWER}·u, u the unit roundoff: a router that selects on softmax probabilities or sigmoids of "
        f"the logits, known to {SELECTING}u, chooses the same experts"
    )
    return Claim("routing.stock", statement, "N15", SELECTING * unit, least, Known.EXACT, ">")
