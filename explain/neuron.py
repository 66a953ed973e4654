"""`explain_neuron`: which lemma put a neuron there, and what it reads and writes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..atlas.arguments import integer
from ..errors import InvalidArgument
from ..moe.called import called
from ..moe.model import Model
from ..moe.network import MoELayer, Net
from ..moe.opened import opened
from .explanation import NeuronOrigin

MOST = 16


def explain_neuron(model: Model, layer: int, expert: str | int, neuron: int, hidden: int = 1) -> NeuronOrigin:
    """Where neuron `neuron` (from 0) of hidden layer `hidden` (from 1) of an expert of layer `layer` (from 1) comes from.

    `expert` is a name or a gate output, or "gate" or "shared" for those nets of the layer. Raises `InvalidArgument` for what does
    not exist, saying what does.
    """
    model = opened(model, "explain_neuron")
    network, layer, neuron, hidden = model.network, integer("layer", layer, 0), integer("neuron", neuron, 0), integer("hidden", hidden, 0)
    if not 1 <= layer <= len(network.layers):
        raise InvalidArgument(f"the network has layers 1 to {len(network.layers)}, there is no layer {layer}")
    moe = network.layers[layer - 1]
    arriving = network.inputs if layer == 1 else network.layers[layer - 2].channels
    own = called(model)
    which, net, reads, writes = _net(moe, expert, layer, own(arriving), own(moe.channels))
    if not net.widths:
        raise InvalidArgument(f'"{which}" of layer {layer} is an affine map: it has no neurons')
    if not 1 <= hidden <= len(net.widths):
        raise InvalidArgument(f'expert "{which}" has hidden layers 1 to {len(net.widths)}, there is no hidden layer {hidden}')
    if not 0 <= neuron < net.widths[hidden - 1]:
        raise InvalidArgument(f"hidden layer {hidden} has neurons 0 to {net.widths[hidden - 1] - 1}, there is no neuron {neuron}")

    def between(depth: int, k: int) -> str:
        """Number k of what lies between affine maps `depth` − 1 and `depth`."""
        return reads[k] if depth == 0 else writes[k] if depth == len(net.affines) else net.neuron(depth - 1, k)[0]

    name, group = net.neuron(hidden - 1, neuron)
    inner, outer, up = net.affines[hidden - 1], net.affines[hidden], net.ups[hidden - 1]
    lane = up if up is not None and (up.weight[neuron].any() or up.bias[neuron] != 1) else None
    return NeuronOrigin(
        layer=layer,
        expert=which,
        hidden=hidden,
        index=neuron,
        name=name,
        origin=group.origin,
        reads={between(hidden - 1, k): float(inner.weight[neuron, k]) for k in _largest(inner.weight[neuron])},
        bias=float(inner.bias[neuron]),
        writes={between(hidden + 1, k): float(outer.weight[k, neuron]) for k in _largest(outer.weight[:, neuron])},
        activation=group.activation.name,
        times=None if lane is None else {between(hidden - 1, k): float(lane.weight[neuron, k]) for k in _largest(lane.weight[neuron])},
        times_bias=None if lane is None else float(lane.bias[neuron]),
    )


def _net(
    moe: MoELayer, expert: str | int, number: int, arriving: Sequence[str], leaving: Sequence[str]
) -> tuple[str, Net, Sequence[str], Sequence[str]]:
    """The net that is meant, what it is called, and what its inputs and outputs are."""
    if expert == "gate" and expert not in moe.names and moe.gate is not None:
        return "gate", moe.gate, arriving if moe.sees is None else [arriving[channel] for channel in moe.sees], moe.names
    reads = arriving if moe.reads is None else [arriving[channel] for channel in moe.reads]
    writes = [leaving[channel] for channel in moe.targets]
    inside = reads if moe.latent is None else [f"latent[{k}]" for k in range(len(moe.latent.bias))]
    if expert == "shared" and expert not in moe.names and moe.shared is not None:
        return "shared", moe.shared, reads, writes
    if isinstance(expert, str) and expert in moe.names:
        expert = moe.names.index(expert)
    if not isinstance(expert, int) or not 0 <= expert < len(moe):
        names = ", ".join(moe.names[:12]) + (f", … ({len(moe)} in all)" if len(moe) > 12 else "")
        raise InvalidArgument(f"layer {number} has no expert {expert!r}; it has {names}")
    return moe.names[expert], moe.experts[moe.serves[expert]], inside, writes


def _largest(weights: np.ndarray) -> list[int]:
    """Indices of the nonzero entries, at most MOST, largest first."""
    order = np.argsort(-np.abs(weights), kind="stable")[:MOST]
    return [int(k) for k in order if weights[k] != 0]
