"""Coordinates in an affine read-out: what of the output is said, and computed, in terms of inputs directly.

Lemma (R10). Let an output of the task be f_o = Σ_c d_oc·y_c + …, d numbers, y coordinates, and let the network have Σ_i W_oi·x_i + … there,
x = Q·y. Then both parts differ by Σ_c (d − W·Q)_oc·y_c, at most Σ_c |d − W·Q|_oc·max|y_c|, and what is left of both is compared without
them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np
import sympy

from ...atlas import Array
from ...expressions.parse import real_symbols
from ...intervals.rounding import gamma
from ...moe.layer import Weighting
from ...moe.network import Network
from .linear import split
from .proof import Proof
from .rounding import GENEROUS
from .slices import Slice, Slicer


def without_coordinates(
    proof: Proof, part: Slice, network: Network, whole: Sequence[sympy.Expr], kept: Collection[str]
) -> tuple[Network, Array]:
    """The network without its linear part in inputs that are made of none of the coordinates `kept`, and by how much that part is off that
    of the outputs `whole`, (outputs,).
    """
    coordinates, Q = proof.graph.coordinates, proof.embedding
    held = np.array([name in kept for name in coordinates])
    gains = np.zeros((len(whole), len(Q)))
    for n, (layer, k) in enumerate(part.reads):
        if layer == 0 and not Q[k, held].any():
            more, network = stripped(network, n)
            gains[:, k] += more
    computed, lost = gains @ Q, gamma(len(Q) + 1) * (np.abs(gains) @ np.abs(Q))
    gap = np.zeros(len(whole))
    for c, name in enumerate(coordinates):
        (symbol,) = real_symbols([name]).values()
        said = np.array([0.0 if held[c] else float(sympy.diff(e, symbol)) for e in whole])
        off = np.abs(said - computed[:, c]) + lost[:, c] + np.finfo(float).eps * np.abs(said)
        if not held[c] and off.any():
            gap += GENEROUS * off * proof.size_of(name)
    return network, gap


def stripped(network: Network, leaf: int) -> tuple[Array, Network]:
    """The part w of the outputs that is linear in one input, and the network without it.

    Only what all experts of the last layer share counts; what they do not share stays in the network.
    """
    last, origins = network.layers[-1], Slicer(network).origins[-2]
    reads = range(len(origins)) if last.reads is None else last.reads
    channels = [n for n, channel in enumerate(reads) if origins[channel] == (0, leaf)]
    weights = np.zeros(len(network.outputs))
    if last.carries is not None:
        copied = np.array([s >= 0 and origins[s] == (0, leaf) for s in last.carries])
        weights, last = weights + copied, replace(last, carries=tuple(np.where(copied, -1, last.carries).tolist()))
        network = Network((*network.layers[:-1], last), network.inputs)
    if len(channels) != 1 or last.weighting is Weighting.RECTIFIED:
        return weights, network
    nets = [split(net, channels[0]) for net in (*last.experts, *(() if last.shared is None else (last.shared,)))]
    shares = [part.carried[:, channels[0]] for part in nets]
    each, beside = shares[: len(last.experts)], shares[-1] if last.shared is not None else np.zeros(len(last.targets))
    if any(not np.array_equal(share, each[0]) for share in each) or (each[0] * beside).any():
        return weights, network
    weights[last.targets] += each[0] + beside  # one of them is 0
    rest = [part.rest.astype(network.dtype) for part in nets]
    shared = None if last.shared is None else rest.pop()
    stripped = replace(last, experts=tuple(rest), shared=shared)
    return weights, Network((*network.layers[:-1], stripped), network.inputs)
