"""The network as the page runs it: its layers with their weights, and where among its channels every component of the task is.

The page evaluates in the network's own dtype: of float32 networks every product, sum and maximum is rounded to float32 before it is used
(IEEE 754: the float64 result of one such operation on float32 numbers, rounded again, is the float32 result). Sums are taken from the first
product to the last, which is one of the orders that bounds for `plain` sums hold for (`moe.sums`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...atlas import TaskGraph
from ...explain import Explanation
from ...moe import Model
from ...moe.activations.gelu_tanh import CUBIC, LINEAR
from ...moe.channels import Value
from ...moe.nets import Affine, Net
from ...moe.network import MoELayer
from .store import Store

MOST_NUMBERS = 1_000_000
"""Stored numbers of a network that a page holds; of a larger one the page has what was computed when it was written, and runs nothing."""

Linear = dict[str, Any]
"""Σ weight · source + constant: `terms` are [where, number, weight], where is 0 for coordinates and 1 for channels that arrive."""


def network_of(model: Model, graph: TaskGraph, store: Store, said: Explanation) -> dict[str, Any] | None:
    """The network in numbers; None if it is too large for a page. `said` has in words what its layers do."""
    network = model.network
    if network.parameters > MOST_NUMBERS:
        return None
    kind = "f8" if network.dtype == np.float64 else "f4"
    projection = graph.projection
    return {
        "dtype": str(network.dtype),
        "inputs": list(network.inputs),
        "outputs": list(network.outputs),
        "cubic": [LINEAR, CUBIC],
        "projection": None if projection is None else store.put(projection, "f8"),
        "embedding": None if projection is None else store.put(projection.T, "f8"),
        "layers": [_layer(layer, kind, store) | {"does": step.does} for layer, step in zip(network.layers, said.layers, strict=True)],
        "blocks": [_block(model, graph, name) for name in (block.name for block in graph.blocks)],
        "components": {name: _written(model, graph, name) for name in components_of(graph)},
    }


def components_of(graph: TaskGraph) -> tuple[str, ...]:
    """What blocks and combinations compute, by name."""
    blocks = [name for block in graph.blocks for name in block.components]
    return (*blocks, *(name for node in graph.combines for name in node.components))


def _layer(layer: MoELayer, kind: str, store: Store) -> dict[str, Any]:
    def affine(map_: Affine | None) -> dict[str, Any] | None:
        if map_ is None:
            return None
        rows, columns = map_.weight.shape
        bias = None if map_.linear else store.put(map_.bias, kind)
        return {"rows": rows, "columns": columns, "weight": store.put(map_.weight, kind), "bias": bias}

    def net(of: Net | None) -> dict[str, Any] | None:
        if of is None:
            return None
        runs = [[[rows.stop - rows.start, activation.name] for rows, activation in parts] for parts in of.activations]
        return {"affines": [affine(a) for a in of.affines], "ups": [affine(up) for up in of.ups], "runs": runs}

    return {
        "names": list(layer.names),
        "gate": net(layer.gate),
        "experts": [net(expert) for expert in layer.experts],
        "shared": net(layer.shared),
        "latent": affine(layer.latent),
        "serves": list(layer.serves),
        "top": layer.top_k,
        "weighting": str(layer.weighting),
        "reads": None if layer.reads is None else list(layer.reads),
        "sees": None if layer.sees is None else list(layer.sees),
        "writes": layer.targets.tolist(),
        "carries": layer.sources.tolist(),
        "plain": layer.writes is None and layer.carries is None,
    }


def _block(model: Model, graph: TaskGraph, name: str) -> dict[str, Any]:
    """Which gate outputs stand for the pieces of a block, and what it reads of what arrives there."""
    site, block = model.design[name], next(block for block in graph.blocks if block.name == name)
    texts = [block.subtasks[block.names.index(piece)].texts if block.subtasks else () for piece in site.pieces]
    return {
        "name": name,
        "layer": site.layer,
        "first": site.first,
        "pieces": list(site.pieces),
        "formulas": [[_cut(text) for text in formula] for formula in texts],
        "exclusive": block.domain.exclusive,
        "reads": [[name, _read(model, graph, name, site.layer)] for name in block.reads],
        "components": list(block.components),
    }


def _cut(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _read(model: Model, graph: TaskGraph, component: str, layer: int) -> Linear | None:
    """A component as a layer, from 0, finds it: a channel, a coordinate, or an affine form of those; None if it is none."""
    column = model.design.places[layer].get(Value(component))
    if column is not None:
        return {"terms": [[1, column, 1.0]], "constant": 0.0, "state": layer}
    if component in graph.coordinates:
        return {"terms": [[0, graph.coordinates.index(component), 1.0]], "constant": 0.0, "state": layer}
    for node in graph.combines:
        if component in node.components and node.function.affine is not None:
            weight, constant = node.function.affine
            k = node.components.index(component)
            parts = {name: _read(model, graph, name, layer) for name, w in zip(node.reads, weight[k].tolist(), strict=True) if w != 0}
            return _sum(parts, dict(zip(node.reads, weight[k].tolist(), strict=True)), float(constant[k]), layer)
    return None


def _sum(parts: Mapping[str, Linear | None], weights: Mapping[str, float], constant: float, layer: int) -> Linear | None:
    terms: list[list[Any]] = []
    for name, part in parts.items():
        if part is None:
            return None
        terms += [[where, number, weights[name] * weight] for where, number, weight in part["terms"]]
        constant += weights[name] * part["constant"]
    return {"terms": terms, "constant": constant, "state": layer}


def _written(model: Model, graph: TaskGraph, component: str) -> Linear | None:
    """A component where the network first has it: in a channel, or an affine form of what the last layer reads; None if it is nowhere."""
    place = model.design.computed(component)
    if place is None:
        return _read(model, graph, component, len(model.network.layers) - 1)
    return {"terms": [[1, place[1], 1.0]], "constant": 0.0, "state": place[0]}
