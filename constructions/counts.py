"""What a variant stores, and what the theorem's mixture would: counts of the layers as they are lowered, no estimates.

N1. A layer of scores and a linear gate behind it, in the paper's form, D channels, m neurons of τ, E charts, store

    E(D + 1) + (2D + m)(D + 1) + (D + E)(2D + m + 1)        layer 1: a gate of zeros, one expert that carries x and computes τ
    E(D + E + 1)                                            the gate of layer 2

and the experts. With τ for a gate there is m(D + 1) + E(m + 1) in the place of both: 4D² + 3D + D·m + 4DE + E² + 2E fewer numbers.

N3. A layer of E equal experts of #net numbers each, behind a gate that chooses nothing, is one dense layer: (E − 1)·#net + E(D + 1) fewer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import replace

from ..atlas import Block, Combine
from ..moe.design import Design
from ..moe.ledger import Claim, Known
from ..moe.network import Net, Network
from .assembly import Assembly
from .budgets import stages
from .built import Built


def twin(assembly: Assembly) -> Assembly:
    """Another one that goes on from the same layers, so that something can be tried."""
    other = copy(assembly)
    other.forms, other.sites = dict(assembly.forms), dict(assembly.sites)
    other.layers, other.states, other.joins = list(assembly.layers), list(assembly.states), list(assembly.joins)
    return other


def trial(assembly: Assembly, made: Built, scored: Sequence[Built]) -> int:
    """How many numbers the experts of a block would take if it were routed next, encoders and what they carry included."""
    other = twin(assembly)
    other.route(made, scored)
    layer = other.layers[-1]
    return layer.parameters - sum(net.parameters for net in (layer.gate, layer.shared) if net is not None)


def laid(assembly: Assembly, built: Mapping[str, Built], nets: Mapping[str, Net], together: bool) -> tuple[int, int]:
    """How many layers and numbers a graph takes in the order of its stages, with a layer of scores for each block, or one a stage."""
    other = twin(assembly)
    for stage in stages(assembly.graph):
        nodes = [node for step in stage.steps for node in step.nodes]
        if combines := [node for node in nodes if isinstance(node, Combine)]:
            other.join(combines, [nets[node.name] for node in combines], [0.0] * len(combines))
            continue
        blocks = [built[node.name] for node in nodes]
        if together:
            other.scores(blocks, [one.block for one in blocks])
        for k, one in enumerate(blocks):
            if not together:
                other.scores([one], [rest.block for rest in blocks[k:]])
            other.route(one, blocks[k + 1 :] if together else ())
    network, _ = other.finish()
    return len(network.layers), network.parameters


def gate_claim(assembly: Assembly, made: Built, waiting: Sequence[Block], prefix: str) -> Claim:
    """What a nonlinear gate saves (N1): the block as it is routed next, against scores in a layer of their own and a linear gate.

    Where K outputs stand for each chart (B21) a nonlinear gate has K rows of m + 1 numbers a chart, a linear one rows of what arrives: it
    may store more, and says so.
    """

    def numbers(one: Built) -> int:
        other = twin(assembly)
        other.scores([one], waiting)
        other.route(one, ())
        return sum(layer.parameters for layer in other.layers[len(assembly.layers) :])

    own, others = numbers(made), numbers(replace(made, scores=made.gate, gate=None))
    statement = (
        f"the scores are the gate: one layer of {own:,} numbers; a layer of scores, a linear gate and the same experts would be {others:,} "
        f"numbers, {abs(others - own):,} {'more' if others >= own else 'fewer'}"
    )
    return Claim(f"{prefix}gate.numbers", statement, "N1", max(own, others), own, Known.EXACT)


def dense_claims(network: Network, design: Design) -> Iterator[Claim]:
    """What dense layers save (N3), in form "dense"."""
    if design.form != "dense":
        return
    stored = printed = count = 0
    for number, layer in enumerate(network.layers):
        if layer.gate is None:
            scored = [len(site.pieces) for site in design.sites if site.scores == number]
            E = scored[0] if len(scored) == 1 else 1
            stored, count = stored + layer.parameters, count + 1
            printed += E * layer.parameters + E * (len(design.states[number]) + 1)
    if count:
        statement = (
            f"{count} {'layers have' if count > 1 else 'layer has'} nothing to choose and {'are' if count > 1 else 'is'} dense: {stored:,} "
            f"numbers; as gates and equal experts, as many as there are scores, they would be {printed:,}, {printed - stored:,} more"
        )
        yield Claim("dense.numbers", statement, "N3, Section 4.3(b)", printed, stored, Known.EXACT)
