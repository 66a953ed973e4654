"""A network with its outputs in other units, `multiplied`, or with some of them alone, `chosen`."""

from __future__ import annotations

from dataclasses import replace

from ..atlas import Array
from .layer import MoELayer
from .nets import Affine, Net
from .network import Network


def multiplied(network: Network, factors: Array) -> Network:
    """x ↦ (c_j·Ψ_j(x)): row j of the last map of every expert of the last layer, and of what is added beside them, times c_j, rounded."""
    last = network.layers[-1]
    experts = tuple(_times(net, factors) for net in last.experts)
    shared = None if last.shared is None else _times(last.shared, factors)
    return replace(network, layers=(*network.layers[:-1], replace(last, experts=experts, shared=shared)))


def chosen(network: Network, place: slice) -> Network:
    """x ↦ Ψ_j(x) for these j alone: the same functions, as behind the last layer nothing mixes outputs."""
    return replace(network, layers=(*network.layers[:-1], _some(network.layers[-1], place)))


def _times(net: Net, factors: Array) -> Net:
    map_ = net.affines[-1]
    weight = (map_.weight.astype(float) * factors[:, None]).astype(net.dtype)
    return net.with_maps((*net.affines[:-1], Affine(weight, (map_.bias.astype(float) * factors).astype(net.dtype))))


def _some(layer: MoELayer, place: slice) -> MoELayer:
    """The layer that leaves some of its channels, all of which experts write."""
    kept = list(range(len(layer.channels)))[place]
    written = list(layer.writes) if layer.writes is not None else list(range(len(layer.channels)))
    rows = [written.index(c) for c in kept if c in written]

    def few(net: Net) -> Net:
        last = net.affines[-1]
        return net.with_maps((*net.affines[:-1], Affine(last.weight[rows], last.bias[rows])))

    experts = tuple(map(few, layer.experts))
    shared = None if layer.shared is None else few(layer.shared)
    writes = None if layer.writes is None else tuple(n for n, c in enumerate(kept) if c in written)
    carries = None if layer.carries is None else tuple(layer.carries[c] for c in kept)
    return replace(layer, experts=experts, shared=shared, channels=layer.channels[place], writes=writes, carries=carries)
