"""What evaluation in binary64 adds, before Coq is asked: how large numbers get, and how far rounding takes them, as in `FloatBounds.v`.

Lemma. Let |v|, |x| ≤ B and |x − v| ≤ e, entry by entry. W·v + b in real numbers and W·x + b in floats, n − 1 products and a bias a row,
sums in any order, are at most S + r and differ by |W|·e + r at most, with S = |W|·B + |b|, T = S + n·2⁻¹⁰²² and r = n·2⁻⁵²·T. A product of
two such numbers is off by B₁e₂ + e₁B₂ + 2⁻⁵³·(B₁B₂ + 2⁻¹⁰²²). ReLU adds nothing.

Nothing here has to be trusted: a number that is too small makes Coq refuse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from ...atlas.chart import Chart
from ...errors import InvalidArgument
from ...moe.layer import MoELayer
from ...moe.nets import Affine, Net
from ...moe.network import Network

Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]
"""B and e of every number."""
TINY = 2.0**-1022
LARGE = 2.0**999
"""Numbers that may be larger are too near to overflow."""
SPARE = 1.01
"""What the bound is widened by, so that Coq's own rounding does not matter."""
FOLLOWED = ("identity", "relu", "relu2")


@dataclass(frozen=True)
class Floats:
    """|f − Ψ̂| ≤ `epsilon` for all evaluations in binary64 at numbers within 2^(reach − 52) of those of M, which are at most 2^reach."""

    reach: int
    epsilon: float
    adds: float
    """The bound of what rounding adds; `epsilon` is more than ε + adds."""


def floats_of(network: Network, charts: Sequence[Chart], embedding: NDArray | None, epsilon: float) -> Floats:
    """What is to be claimed. Raises `InvalidArgument` for networks that the proof does not follow through floats, by name."""
    if str(network.dtype) != "float64":
        problem = f"the network is evaluated in {network.dtype}, which rounds otherwise than the binary64 that the proof is about"
        raise InvalidArgument(f"{problem}; compile it with {{dtype=float64}}, or leave out --floats")
    for number, layer in enumerate(network.layers, 1):
        _followed(f"layer {number} of the network", layer)
    size = max(float(np.abs(_points(chart, embedding)).max()) for chart in charts)
    reach = max(-900, math.ceil(math.log2(1.0625 * size))) if size > 0 else 0
    start = np.full(len(network.inputs), 2.0**reach), np.full(len(network.inputs), 2.0 ** (reach - 52))
    bounds = start
    with np.errstate(over="ignore", invalid="ignore"):
        for layer in network.layers:
            bounds = _layer(layer, bounds)
    if not (bounds[0] < LARGE).all():
        raise InvalidArgument(
            "numbers of the network may overflow in binary64, so no bound can be proved of its evaluation; leave out --floats"
        )
    adds = float(bounds[1].max()) * SPARE
    wide = epsilon + adds
    return Floats(reach, wide + 8 * math.ulp(wide), adds)


def _followed(where: str, layer: MoELayer) -> None:
    if layer.gate is not None and not layer.unit:
        raise InvalidArgument(f"{where} takes {layer.top_k} experts, and floats are followed where it takes one; leave out --floats")
    names = {group.activation.name for net in layer.nets for groups in net.groups for group in groups}
    if beyond := sorted(names - set(FOLLOWED)):
        problem = f"{where} has neurons with {beyond[0]}, and exp is no operation of IEEE 754"
        raise InvalidArgument(f"{problem}: floats are followed through {', '.join(FOLLOWED)}; leave out --floats")


def _points(chart: Chart, embedding: NDArray | None) -> NDArray:
    """What the network reads at some points of a chart, corners among them."""
    corners = np.array(list(product(*zip(chart.domain.lower, chart.domain.upper, strict=True))))[: 1 << 12]
    points = chart.inverse(np.concatenate([chart.domain.low_discrepancy(1 << 12, 0), corners]))
    points = points[np.isfinite(points).all(1)]
    return points if embedding is None else points @ embedding.T


def _affine(map_: Affine, bounds: Bounds) -> Bounds:
    weight = np.abs(map_.weight.astype(np.float64))
    size, n = weight @ bounds[0] + np.abs(map_.bias), weight.shape[1] + 1
    rounding = n * 2.0**-52 * (size + n * TINY)
    return size + rounding, weight @ bounds[1] + rounding


def _product(a: Bounds, b: Bounds) -> Bounds:
    size = a[0] * b[0]
    rounding = 2.0**-53 * (size + TINY)
    return size + rounding, a[0] * b[1] + a[1] * b[0] + rounding


def _net(net: Net, bounds: Bounds) -> Bounds:
    for k, (map_, up) in enumerate(zip(net.affines, net.ups, strict=False)):
        size, off = _affine(map_, bounds)
        for part, activation in net.activations[k]:
            if activation.name == "relu2":
                both = size[part], off[part]
                size[part], off[part] = _product(both, both)
        bounds = (size, off) if up is None else _product((size, off), _affine(up, bounds))
    return _affine(net.affines[-1], bounds)


def _layer(layer: MoELayer, arriving: Bounds) -> Bounds:
    """Whichever expert is taken, and what is carried and shared."""
    reads = slice(None) if layer.reads is None else list(layer.reads)
    read = arriving[0][reads], arriving[1][reads]
    inner = read if layer.latent is None else _affine(layer.latent, read)
    outputs = [_net(expert, inner) for expert in layer.experts]
    written = [np.max([output[k] for output in outputs], axis=0) for k in (0, 1)]
    shared = None if layer.shared is None else _net(layer.shared, read)
    leaving = np.zeros((2, len(layer.channels)))
    terms = np.zeros(len(layer.channels))
    for channel, source in enumerate(layer.sources.tolist()):
        if source >= 0:
            leaving[:, channel] += arriving[0][source], arriving[1][source]
            terms[channel] += 1
    for output, channel in enumerate(layer.targets.tolist()):
        for part in (written,) if shared is None else (written, shared):
            leaving[:, channel] += part[0][output], part[1][output]
            terms[channel] += 1
    rounding = terms * 2.0**-52 * (leaving[0] + terms * TINY)
    return leaving[0] + rounding, leaving[1] + rounding
