"""Folders of schema 1 held no design. It is found from the facts and the names of channels that such a model was compiled with."""

from __future__ import annotations

from collections.abc import Iterator

from ..atlas import Block, TaskGraph
from ..errors import InvalidArgument
from ..moe import Ledger, Network
from ..moe.channels import Channel, Input, Score, Value
from ..moe.design import Design, Join, Site
from ..moe.promise import ScorePromise
from ..moe.typed_json import Fields


def old_design(graph: TaskGraph, alone: bool, network: Network, facts: Fields, ledger: Ledger) -> Design:
    """Blocks are routed by the layers, from 1, of `routes`, which a task on one manifold does without: there the last layer routes.

    Raises `FolderError` if the facts do not say what they have to. Whether the network is like that is `check_network`'s to say.
    """
    states = tuple(tuple(state) for state in _states(graph, alone, network))
    sites = tuple(_site(graph, alone, network, facts, ledger, block, states) for block in graph.blocks)
    budgets = _budgets(ledger)
    joins = tuple(
        Join(
            node.name, next(k for k, state in enumerate(states) if Value(node.components[0]) in state) - 1, budgets[f"combine[{node.name}]"]
        )
        for node in graph.combines
        if f"combine[{node.name}]" in budgets
    )
    return Design(states, sites, joins, alone=alone)


def _states(graph: TaskGraph, alone: bool, network: Network) -> Iterator[list[Channel]]:
    """What every channel is, by its name; inputs and outputs by their places. A name that says nothing is a value of nobody's."""
    known: dict[str, Channel] = {name: Input(k) for k, name in enumerate(network.inputs)}
    for block in graph.blocks:
        known |= {f"tau[{piece}]" if alone else f"tau[{block.name}][{piece}]": Score(block.name, piece) for piece in block.names}
    known |= {f"y[{name}]": Value(name) for name, node in graph.sources.items() if node not in graph.inputs}
    yield [Input(k) for k in range(len(network.inputs))]
    for number, layer in enumerate(network.layers[:-1], 1):
        yield [known.get(name, Value(f"layer{number}[{k}]")) for k, name in enumerate(layer.channels)]
    yield [Value(name) for name in graph[graph.output].components]


def _site(
    graph: TaskGraph, alone: bool, network: Network, facts: Fields, ledger: Ledger, block: Block, states: tuple[tuple[Channel, ...], ...]
) -> Site:
    number = len(network.layers) if alone else facts.child("routes").integer(block.name)
    if not 1 <= number <= len(network.layers):
        raise facts.error(f"layer {number} does not route block {block.name!r}: there are {len(network.layers)}")
    pieces = block.names if alone else network.layers[number - 1].names
    scored = [k for k, state in enumerate(states) if k and Score(block.name, pieces[0]) in state]
    scores = scored[0] - 1 if scored else None
    if alone:
        return Site(
            block.name,
            number - 1,
            pieces,
            scores,
            facts.text("routing"),
            _promise(facts, len(pieces)),
            facts.number("epsilon"),
            ambient=True,
        )
    router = facts.child("routers").text(block.name)
    # Nothing but a router between balls read an input as it arrives, before projection.
    embedded = [node.coordinates for node in graph.inputs if node.domain.embedding is not None]
    ambient = block.reads in embedded and router in ("affine", "power") and not block.domain.exclusive
    claim = {claim.name: claim for claim in ledger}.get(f"block[{block.name}]")
    either = claim is not None and any(part.source == "B2" for part in (claim, *claim.children))
    return Site(
        block.name, number - 1, pieces, scores, router, None, _budgets(ledger).get(f"block[{block.name}]"), either=either, ambient=ambient
    )


def _promise(facts: Fields, pieces: int) -> ScorePromise | None:
    try:
        return ScorePromise.from_facts(facts.data, pieces)
    except (InvalidArgument, KeyError, TypeError, ValueError) as error:
        raise facts.error(f"what they say of the scores makes no promise ({error})") from error


def _budgets(ledger: Ledger) -> dict[str, float]:
    """Budgets of blocks and combinations, to each of which rounding may add its share."""
    claims = {claim.name: claim for claim in ledger}
    added, whole = claims["rounding"].budget if "rounding" in claims else 0.0, ledger.root.budget
    rounding = added / whole if 0 < added < whole else 0.0
    heads = (claim for name, claim in claims.items() if name.startswith(("block[", "combine[")) and name.endswith("]"))
    return {claim.name: claim.budget / (1 - rounding) for claim in heads}
