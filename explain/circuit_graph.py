"""`circuit`: the network as a graph whose every part says what it is for: neuron → claim → piece or chart. docs/circuit.md has the format.

It is the whole network, not a picture of it: nodes are channels, latents, neurons and gate outputs, edges are the weights that are not 0,
and whoever adds them up gets Ψ. What the design says of layers, and groups of neurons of themselves, becomes what every neuron is for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..atlas import TaskGraph
from ..atlas.graph import as_graph
from ..moe.called import called
from ..moe.channels import Input, Score, Value
from ..moe.model import Model
from ..moe.nets import Affine, Net
from ..moe.network import MoELayer
from ..moe.opened import opened
from .roles import Role, claims_for, roles

FORMAT, VERSION = "atlasmoe-circuit", 1


def circuit(model: Model | str | Path) -> dict[str, Any]:
    """The network with what every part of it is for, as JSON (docs/circuit.md, docs/circuit.schema.json)."""
    model = opened(model, "circuit")
    graph, network = as_graph(model.task), model.network
    layers = [_layer(model, graph, number) for number in range(len(network.layers))]
    return {
        "format": FORMAT,
        "version": VERSION,
        "task": model.task.name,
        "dtype": str(network.dtype),
        "form": model.design.form,
        "channels": [_channel(model, s, k) for s, state in enumerate(model.design.states) for k in range(len(state))],
        "layers": [layer for layer, _ in layers],
        "nets": [net for _, nets in layers for net in nets],
        "groups": [group for _, nets in layers for net in nets for group in net.pop("groups")],
        "neurons": [neuron for _, nets in layers for net in nets for neuron in net.pop("neurons")],
        "blocks": [_block(model, graph, name) for name in (block.name for block in graph.blocks)],
        "joins": [{"node": join.node, "layer": join.layer + 1} for join in model.design.joins],
        "claims": list(_claims(model)),
    }


def channel_id(state: int, number: int) -> str:
    """Of a channel: `c0.…` arrive at layer 1, `cl.…` leave layer l."""
    return f"c{state}.{number}"


def _channel(model: Model, state: int, number: int) -> dict[str, Any]:
    design = model.design
    channel = design.states[state][number]
    (name,) = called(model)([design.label(channel)])
    said: dict[str, Any] = {"id": channel_id(state, number), "state": state, "name": name}
    match channel:
        case Input(index):
            return said | {"kind": "input", "input": index}
        case Score(block, piece):
            return said | {"kind": "score", "block": block, "piece": piece}
        case Value(component):
            return said | {"kind": "value", "component": component}


def _layer(model: Model, graph: TaskGraph, number: int) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """One layer and its nets; layers count from 1 in files."""
    layer, told = model.network.layers[number], roles(model, number)
    arriving = [channel_id(number, k) for k in range(len(model.design.states[number]))]
    reads = arriving if layer.reads is None else [arriving[k] for k in layer.reads]
    writes = [channel_id(number + 1, int(k)) for k in layer.targets]
    name = f"layer{number + 1}"
    gates = [f"{name}.gate.{k}" for k in range(len(layer))]
    latents = [] if layer.latent is None else [f"{name}.latent.{k}" for k in range(len(layer.latent.bias))]
    nets = []
    if layer.latent is not None:
        nets.append(_net(model, f"{name}.encoder", "encoder", layer.latent.net, reads, latents, told["encoder"]))
    if layer.gate is not None:
        sees = arriving if layer.sees is None else [arriving[k] for k in layer.sees]
        nets.append(_net(model, f"{name}.gate", "gate", layer.gate, sees, gates, told["gate"]))
    if layer.shared is not None:
        nets.append(_net(model, f"{name}.shared", "shared", layer.shared, reads, writes, told["shared"]))
    for k, expert in enumerate(layer.experts):
        nets.append(_net(model, f"{name}.expert{k}", "expert", expert, latents or reads, writes, told[f"expert{k}"]))
    carries = [[arriving[source], channel_id(number + 1, k)] for k, source in enumerate(layer.sources.tolist()) if source >= 0]
    return _described(layer, number, name, gates, carries, list(model.design.does(number))), nets


def _described(layer: MoELayer, number: int, name: str, gates: Sequence[str], carries: list[list[str]], does: list[str]) -> dict[str, Any]:
    outputs = [{"id": gate, "name": layer.names[k], "expert": f"{name}.expert{layer.serves[k]}"} for k, gate in enumerate(gates)]
    return {
        "layer": number + 1,
        "does": does,
        "gate": None if layer.gate is None else f"{name}.gate",
        "outputs": outputs,
        "top_k": layer.top_k,
        "weighting": "one" if layer.unit else str(layer.weighting),
        "shared": None if layer.shared is None else f"{name}.shared",
        "encoder": None if layer.latent is None else f"{name}.encoder",
        "carries": carries,
    }


def _net(model: Model, name: str, kind: str, net: Net, reads: list[str], writes: list[str], role: Role) -> dict[str, Any]:
    """A net with its maps, groups and neurons: node `name.h1.17` is neuron 17 of its hidden layer 1."""
    groups, neurons = [], []
    layers = [[f"{name}.h{j + 1}.{k}" for k in range(width)] for j, width in enumerate(net.widths)]
    for j, hidden in enumerate(net.groups):
        start = 0
        for g, group in enumerate(hidden):
            known = f"{name}.h{j + 1}:{g}"
            said = {"id": known, "net": name, "hidden": j + 1, "name": group.name, "count": group.count, "origin": group.origin}
            said |= {"activation": group.activation.name, "claims": claims_for(model, role, group.name), "serves": role.said}
            groups.append(said)
            neurons += [{"id": layers[j][start + k], "group": known, "name": f"{group.name}[{k}]"} for k in range(group.count)]
            start += group.count
    between = [reads, *layers, writes]
    maps = [_map(map_, j, between, False) for j, map_ in enumerate(net.affines)]
    lanes = [_map(up, j, between, True) for j, up in enumerate(net.ups) if up is not None]
    said = {"id": name, "kind": kind, "reads": reads, "writes": writes, "widths": list(net.widths), "serves": role.said}
    return said | {"claims": claims_for(model, role, ""), "maps": maps + lanes, "groups": groups, "neurons": neurons}


def _map(map_: Affine, number: int, between: Sequence[list[str]], lane: bool) -> dict[str, Any]:
    """Weights that are not 0, as [from, to, weight], and biases that are not 0 by node, of map `number` (from 0) of a net."""
    reads, writes = between[number], between[number + 1]
    rows, columns = np.nonzero(map_.weight)
    edges = [[reads[c], writes[r], float(map_.weight[r, c])] for r, c in zip(rows.tolist(), columns.tolist(), strict=True)]
    return {
        "into": number + 1,
        "lane": lane,
        "edges": edges,
        "bias": {writes[r]: float(map_.bias[r]) for r in np.flatnonzero(map_.bias).tolist()},
    }


def _block(model: Model, graph: TaskGraph, name: str) -> dict[str, Any]:
    block, site = next(block for block in graph.blocks if block.name == name), model.design[name]
    layer = model.network.layers[site.layer]
    pieces = []
    for output, piece in zip(site.outputs, site.pieces, strict=True):
        formula = block.subtasks[block.names.index(piece)].texts if block.subtasks else ()
        expert = f"layer{site.layer + 1}.expert{layer.serves[output]}"
        pieces.append({"name": piece, "gate": f"layer{site.layer + 1}.gate.{output}", "expert": expert, "formula": list(formula)})
    said = {"name": name, "noun": block.domain.noun, "layer": site.layer + 1, "scores": None if site.scores is None else site.scores + 1}
    return said | {"router": site.router, "reads": list(block.reads), "components": list(block.components), "pieces": pieces}


def _claims(model: Model) -> Iterator[dict[str, Any]]:
    """The ledger's claims, every one after the one that it is needed for."""
    above: list[str] = []
    for depth, claim in model.ledger.root.walk():
        del above[depth:]
        said = {
            key: value
            for key, value in claim.to_dict().items()
            if key in ("name", "statement", "source", "budget", "bound", "sense", "known")
        }
        yield said | {"for": above[-1] if above else None}
        above.append(claim.name)
