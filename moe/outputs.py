"""`multiplied`: a network with its outputs in other units."""

from __future__ import annotations

from dataclasses import replace

from ..atlas import Array
from .nets import Affine, Net
from .network import Network


def multiplied(network: Network, factors: Array) -> Network:
    """x ↦ (c_j·Ψ_j(x)): row j of the last map of every expert of the last layer, and of what is added beside them, times c_j, rounded."""
    last = network.layers[-1]
    experts = tuple(_times(net, factors) for net in last.experts)
    shared = None if last.shared is None else _times(last.shared, factors)
    return replace(network, layers=(*network.layers[:-1], replace(last, experts=experts, shared=shared)))


def _times(net: Net, factors: Array) -> Net:
    map_ = net.affines[-1]
    weight = (map_.weight.astype(float) * factors[:, None]).astype(net.dtype)
    return net.with_maps((*net.affines[:-1], Affine(weight, (map_.bias.astype(float) * factors).astype(net.dtype))))
