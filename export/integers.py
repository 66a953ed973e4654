"""Weights as small integers: every row of an expert's weights is a power of two times integers of 8 or 16 bits.

Lemma. Let s be the power of two with s·(2^(b−1) − 1) ≥ max |w| of a row, the smallest such. Rounding w/s to the nearest integer moves each
weight by s/2 at most, and s·integer is a number of the dtype, as integers of 16 bits have fewer digits than a float32. So the quantised
network is a network like any other, with weights of the dtype: `certify` proves it, and Σ s·c_k·x_k = s·Σ c_k·x_k without another rounding.

Gates, and what they read, stay as they are (all layers before the last gate, and of its own layer the gate), as in `Network.rounded`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidArgument
from ..moe import Affine, Model, MoELayer, Network
from ..moe.network import Floats, Net

BITS = {"int8": 8, "int16": 16}
"""Name ↦ bits of a weight."""


@dataclass(frozen=True, eq=False)
class Codes:
    """Rows of integers (rows, columns) and their scales, powers of two, (rows,)."""

    bits: int
    codes: NDArray[np.integer]
    scales: Floats

    @property
    def weight(self) -> Floats:
        return np.asarray(self.scales[:, None] * self.codes.astype(self.scales.dtype))


def coded(weight: Floats, bits: int) -> Codes:
    """The nearest integers times powers of two, row by row."""
    most = 2 ** (bits - 1) - 1
    size = np.abs(weight).max(1, initial=0.0).astype(float)
    _, exponent = np.frexp(size / most)
    scales = np.ldexp(1.0, exponent)
    scales = np.where(scales / 2 * most >= size, scales / 2, scales)
    scales = np.where(size > 0, np.maximum(scales, float(np.finfo(weight.dtype).tiny)), 1.0)
    codes = np.clip(np.rint(weight.astype(float) / scales[:, None]), -most, most)
    return Codes(bits, codes.astype(np.int8 if bits == 8 else np.int16), scales.astype(weight.dtype))


def codes_of(model: Model) -> dict[int, Codes]:
    """Of a model that is quantised: the identity of every map behind its last gate ↦ its codes, which give the weights back exactly.

    Coding twice changes nothing: max |w| > s/2·(2^(b−1) − 1), so s·round(max |w|/s) is above that too, and the scale is again s.
    """
    if "quantised" not in model.facts:
        return {}
    bits, network, found = BITS[model.facts["quantised"]], model.network, dict[int, Codes]()
    for layer in network.layers[last_gate(network) :]:
        nets = [*layer.experts, *(() if layer.shared is None else (layer.shared,))]
        for map_ in (*(map_ for net in nets for map_ in net.maps), *(() if layer.latent is None else (layer.latent,))):
            codes = coded(map_.weight, bits)
            if not np.array_equal(codes.weight, map_.weight):
                raise InvalidArgument(f"weights are said to be {model.facts['quantised']} times powers of two, and are not; quantise again")
            found[id(map_)] = codes
    return found


def last_gate(network: Network) -> int:
    """The last layer that has something to choose."""
    return max((n for n, layer in enumerate(network.layers) if len(layer) > 1), default=0)


def quantised(network: Network, bits: int) -> tuple[Network, dict[int, Codes]]:
    """The network whose experts behind the last gate have weights of so many bits; identity of every such map ↦ its codes."""
    last = last_gate(network)
    known: dict[int, Codes] = {}

    def small(map_: Affine) -> Affine:
        codes = coded(map_.weight, bits)
        made = map_.reading(codes.weight)
        known[id(made)] = codes
        return made

    def net(one: Net) -> Net:
        return one.with_maps([small(a) for a in one.affines], [None if up is None else small(up) for up in one.ups])

    def behind(layer: MoELayer) -> MoELayer:
        shared = None if layer.shared is None else net(layer.shared)
        latent = None if layer.latent is None else small(layer.latent)
        return replace(layer, experts=tuple(map(net, layer.experts)), shared=shared, latent=latent)

    layers = tuple(behind(layer) if n >= last else layer for n, layer in enumerate(network.layers))
    return replace(network, layers=layers), known
