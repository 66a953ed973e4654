"""`check_network`: the grammar of the artefact. Runs after every lowering and whenever a model is loaded.

A design and a network belong together if every sentence below is true. None of them is about numbers being good; all are about
things being where they are said to be.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..errors import InvalidArgument
from .channels import Input
from .design import FORMS, Design, Site
from .network import MoELayer, Network


def check_network(network: Network, design: Design) -> None:
    """Raise `InvalidArgument` with everything that does not fit."""
    if found := list(misfits(network, design)):
        raise InvalidArgument(f"network and design do not belong together: {'; '.join(found)}")


def misfits(network: Network, design: Design) -> Iterator[str]:
    """What does not fit, in words."""
    if design.form not in FORMS:
        yield f"form {design.form!r} is not one of {', '.join(FORMS)}"
    if len(design.states) != len(network.layers) + 1:
        yield f"the design has {len(design.states)} states, a network of {len(network.layers)} layers has {len(network.layers) + 1}"
        return
    names = [network.inputs, *(layer.channels for layer in network.layers)]
    for number, (state, called) in enumerate(zip(design.states, names, strict=True)):
        if len(set(state)) != len(state):
            yield f"state {number} holds a channel twice"
        if len(state) != len(called):
            yield f"state {number} has {len(state)} channels in the design and {len(called)} in the network"
    if design.states[0] != tuple(Input(k) for k in range(len(network.inputs))):
        yield "the first state is not the inputs in their order"
    yield from _arrivals(design)
    for site in design.sites:
        yield from _site(network, design, site)
    for number, layer in enumerate(network.layers):
        yield from _shared_out(design, number, len(layer))
    for join in design.joins:
        if not 0 <= join.layer < len(network.layers):
            yield f"combination {join.node!r}: there is no layer {join.layer + 1}"
    if design.form == "residual":
        for number, layer in enumerate(network.layers):
            yield from _carried(design, number, layer)


def _arrivals(design: Design) -> Iterator[str]:
    """No channel comes back after it was dropped, and no input appears behind a layer at which it did not arrive."""
    for number in range(1, len(design.states)):
        before = {channel for state in design.states[: number - 1] for channel in state}
        for channel in design.states[number]:
            if channel not in design.states[number - 1] and (channel in before or isinstance(channel, Input)):
                yield f"channel {design.label(channel)} comes back behind layer {number}, at which it does not arrive"


def _site(network: Network, design: Design, site: Site) -> Iterator[str]:
    where = f"block {site.block!r}"
    if not 0 <= site.layer < len(network.layers):
        yield f"{where}: there is no layer {site.layer + 1}"
        return
    layer = network.layers[site.layer]
    if not 0 <= site.first <= len(layer) - len(site.pieces):
        beyond = f" from number {site.first + 1}" if site.first else ""
        yield f"{where}: layer {site.layer + 1} has {len(layer)} gate outputs for {len(site.pieces)} pieces{beyond}"
        return
    served: dict[str, int] = {}
    for piece, expert in zip(site.pieces, layer.serves[site.first :], strict=False):
        if served.setdefault(piece, expert) != expert:
            yield f"{where}: gate outputs of layer {site.layer + 1} for {piece!r} are served by different experts"
    if site.scores is None:
        return
    if not 0 <= site.scores < site.layer:
        yield f"{where}: layer {site.scores + 1} is no layer before layer {site.layer + 1} that could write its scores"
        return
    missing = [score for score in design.scores(site) if score not in design.places[site.layer]]
    if missing:
        yield f"{where}: {design.label(missing[0])} does not arrive at layer {site.layer + 1}"
    elif layer.gate is None or len(layer.gate.affines) != 1:
        yield f"{where}: the gate of layer {site.layer + 1} does not compare scores, it computes them"
    else:
        columns = [design.places[site.layer][score] for score in design.scores(site)]
        sees = np.arange(layer.gate.inputs) if layer.sees is None else np.array(layer.sees)
        if layer.gate.weight[:, ~np.isin(sees, columns)].any():
            yield f"{where}: the gate of layer {site.layer + 1} reads more than its scores"


def _shared_out(design: Design, number: int, outputs: int) -> Iterator[str]:
    """Sites that share a layer have its gate outputs among them, each of its own, and none is left over."""
    sites = sorted((site for site in design.sites if site.layer == number), key=lambda site: site.first)
    if sites and [k for site in sites for k in site.outputs] != list(range(outputs)):
        shares = ", ".join(f"{site.block} has {len(site.pieces)} from number {site.first + 1}" for site in sites)
        yield f"layer {number + 1} has {outputs} gate outputs, of which {shares}"


def _carried(design: Design, number: int, layer: MoELayer) -> Iterator[str]:
    """In residual form every channel that arrives and leaves is carried, and no other; and none of those is written."""
    place = design.places[number]
    wanted = [place.get(channel, -1) for channel in design.states[number + 1]]
    if layer.sources.tolist() != wanted:
        yield f"layer {number + 1} does not carry just the channels that pass it"
    elif any(wanted[target] >= 0 for target in layer.targets.tolist()):
        yield f"an expert of layer {number + 1} writes a channel that is carried"
