"""ONNX Runtime's operator `com.microsoft::MoE` in the place of a loop over experts, for the layers that it can hold.

It takes two-layer experts of one activation, in float32, with as many outputs as inputs (the narrower side is padded with zeros), and picks
the K largest of the numbers that it is given, of equal ones the last. So it is not given the logits: ArgMax or TopK pick, the first of
equal ones, as everywhere here, and the operator reads numbers of which the chosen ones alone are not −10³⁰. Its normalised weights are then
1 for K = 1, the softmax of the chosen logits for softmax weights, and 1/K for uniform ones.
"""

from __future__ import annotations

import numpy as np

from ...moe import MoELayer, Network
from ...moe.layer import Weighting
from ...moe.network import Floats
from ..onnx_graph import Nodes

DOMAIN = "com.microsoft"
ACTIVATIONS = {"relu": "relu", "silu": "silu", "gelu_tanh": "gelu", "identity": "identity"}
"""Ours ↦ what the operator calls them; its GELU is the form with tanh."""
NEVER = -1e30
"""What outputs of a gate that were not chosen are given as."""


def without(network: Network) -> str | None:
    """Why no layer of the network can be held by the operator; None if one can."""
    if network.dtype != np.float32:
        return "ONNX Runtime has the operator in float32 only; compile with {dtype=float32}"
    reasons = [misfit(layer) for layer in network.layers if len(layer.experts) > 1]
    if not reasons:
        return "no layer has several experts"
    return None if None in reasons else f"no layer fits: {reasons[-1]}"


def misfit(layer: MoELayer) -> str | None:
    """Why the operator cannot hold a layer; None if it can."""
    names = {act.name for net in layer.experts for parts in net.activations for _, act in parts}
    if len(layer.experts) < 2:
        return "it has one expert"
    if any(len(net.affines) != 2 for net in layer.experts):
        return "its experts have to have one hidden layer"
    if any(up is not None for net in layer.experts for up in net.ups):
        return "its experts have product lanes"
    if len(names) > 1 or not names <= set(ACTIVATIONS):
        return f"its experts have neurons of {', '.join(sorted(names))}; the operator takes one of {', '.join(ACTIVATIONS)}"
    if layer.weighting is Weighting.RECTIFIED:
        return "it weighs its experts by rectified logits"
    if layer.top_k > 1 and len(layer.experts) < len(layer):
        return "several gate outputs share an expert, and several are chosen"
    return None


def mixed(nodes: Nodes, layer: MoELayer, low: str, chosen: str, logits: str) -> str:
    """Σ_k w_k·expert_k of rows `low` [N, inputs], [N, writes]; `chosen` [N, K] and `logits` [N, E] of the gate."""
    op, onnx = nodes.op, nodes.onnx
    inputs, writes = layer.experts[0].inputs, layer.experts[0].outputs
    size = max(inputs, writes)
    count = op("Shape", low, start=0, end=1)
    if inputs < size:
        low = op("Concat", low, _filled(nodes, count, size - inputs, 0.0), axis=1)
    expert = op("Gather", nodes.integers(layer.serves), chosen)
    scores = op("GatherElements", logits, chosen, axis=1)
    if layer.unit or layer.weighting is Weighting.UNIFORM:
        scores = op("Mul", scores, nodes.number(0.0))
    given = op("ScatterElements", _filled(nodes, count, len(layer.experts), NEVER), expert, scores, axis=1)
    name = next(act.name for parts in layer.experts[0].activations for _, act in parts)
    out = nodes.fresh()
    nodes.nodes.append(
        onnx.helper.make_node(
            "MoE",
            [low, given, *map(nodes.array, stacked(layer, size))],
            [out],
            domain=DOMAIN,
            k=layer.top_k,
            activation_type=ACTIVATIONS[name],
            normalize_routing_weights=1,
        )
    )
    return op("Gather", out, nodes.integers(range(writes)), axis=1) if writes < size else out


def stacked(layer: MoELayer, size: int) -> tuple[Floats, Floats, Floats, Floats]:
    """First maps (E, hidden, size), their biases, last maps (E, size, hidden), theirs; what is narrower is padded with zeros."""
    count, hidden = len(layer.experts), max(1, *(net.widths[0] for net in layer.experts))
    first, inner = np.zeros((count, hidden, size), np.float32), np.zeros((count, hidden), np.float32)
    last, outer = np.zeros((count, size, hidden), np.float32), np.zeros((count, size), np.float32)
    for k, net in enumerate(layer.experts):
        one, two = net.affines
        rows, columns = one.weight.shape
        first[k, :rows, :columns], inner[k, :rows] = one.weight, one.bias
        last[k, : len(two.bias), :rows], outer[k, : len(two.bias)] = two.weight, two.bias
    return first, inner, last, outer


def _filled(nodes: Nodes, count: str, columns: int, value: float) -> str:
    """[N, columns] of one number."""
    shape = nodes.op("Concat", count, nodes.integers([columns]), axis=0)
    return nodes.op("ConstantOfShape", shape, value=nodes.onnx.numpy_helper.from_array(np.full(1, value, nodes.dtype)))
