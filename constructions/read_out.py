"""The read-out: an affine map of the last state, folded into the experts of the last layer (the last linear map of Theorem 5.2)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..moe import channels
from ..moe.channels import Value
from ..moe.network import Affine, MoELayer, Net
from .forms import CARRIED, Form, Part, beside, reading


def read_out(layer: MoELayer, map_: Affine) -> MoELayer:
    """The layer followed by an affine map of its state: the last linear map of Theorem 5.2, folded into the experts before it.

    What it does with carried channels becomes a shared expert without hidden neurons.
    """
    channels = tuple(map(str, range(len(map_.bias))))
    if layer.carries is None and layer.writes is None:
        nets = tuple(net.with_maps((*net.affines[:-1], map_.after(net.affines[-1]))) for net in layer.experts)
        added = None if layer.shared is None else _linearly(layer.shared, map_)
        return replace(layer, experts=nets, channels=channels, shared=added)
    own = Affine(map_.weight[:, layer.targets], np.zeros(len(map_.bias)))
    nets = tuple(_linearly(net, own) for net in layer.experts)
    inputs = layer.experts[0].inputs if layer.latent is None else layer.latent.weight.shape[1]
    arriving = max((*(layer.reads or ()), *layer.sources.tolist(), inputs - 1)) + 1
    reads = tuple(range(arriving)) if layer.reads is None else layer.reads
    more = tuple(int(c) for c in layer.sources if c >= 0 and c not in reads)
    columns = (*reads, *more)
    weight = np.zeros((len(map_.bias), len(columns)))
    for k, source in enumerate(layer.sources.tolist()):
        if source >= 0:
            weight[:, columns.index(source)] += map_.weight[:, k]

    def wider(net: Net) -> Net:
        return reading(net, lambda map_: map_.reading(np.pad(map_.weight, ((0, 0), (0, len(more))))))

    carried = Affine(weight, map_.bias)
    shared = carried.net if weight.any() or map_.bias.any() else None
    if layer.shared is not None:
        shared = _with_affine(wider(_linearly(layer.shared, own)), carried)
    latent = None if layer.latent is None else wider(layer.latent.net).affine
    experts = nets if latent is not None else tuple(map(wider, nets))
    return replace(layer, experts=experts, channels=channels, reads=columns, writes=None, carries=None, shared=shared, latent=latent)


def _linearly(net: Net, map_: Affine) -> Net:
    """The net followed by the linear part of a map: what is added to something that the whole map follows."""
    linear = Affine(map_.weight, np.zeros(len(map_.bias)))
    return net.with_maps((*net.affines[:-1], linear.after(net.affines[-1])))


def _with_affine(net: Net, map_: Affine) -> Net:
    """The net plus an affine map of what it reads, which passes its hidden layers as σ(c) − σ(−c), c the columns that matter."""
    if not net.groups:
        (own,) = net.affines
        return Affine(own.weight + map_.weight, own.bias + map_.bias).net
    used = np.flatnonzero(map_.weight.any(0))
    if not len(used):
        last = net.affines[-1]
        return net.with_maps((*net.affines[:-1], Affine(last.weight, last.bias + map_.bias)))
    passing = [channels.Input(int(k)) for k in used]
    state = [channels.Input(k) for k in range(net.inputs)]
    values = [Value(str(k)) for k in range(net.outputs)]
    both = beside([Part(net, tuple(Form.of(c) for c in state), tuple(values))], passing, state, (*values, *passing), CARRIED[False])
    out = Affine(np.concatenate([np.eye(net.outputs), map_.weight[:, used]], axis=1), map_.bias)
    return both.with_maps((*both.affines[:-1], out.after(both.affines[-1])))
