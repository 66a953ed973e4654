"""How far the logits of a gate may be from real arithmetic: a running error bound, row by row and layer by layer.

Lemma. Let y = W·x + b be summed in any order in floats of unit roundoff u, with or without fused multiply-add, from x̂ with |x̂ − x| ≤ e, and
let n be the number of terms of row i that are not 0 at x̂, b_i included.
Then |ŷ_i − y_i| ≤ (|W|·e)_i + δ_i with

* δ_i = 0 if n = 1 and the factor is a power of two, or n = 0: products by powers of two are exact, and adding zeros is;
* δ_i = u·|ŷ_i|/(1 − u) if n = 2 and both factors are powers of two: one sum is rounded, to within u of itself;
* δ_i = γ_n·Σ|w·x̂| + |b| in all other cases: no term meets more than n roundings.

(No product underflows: where one does, the smallest number of the dtype is added.) An activation a with |a′| ≤ Λ passes on Λ·e, relu²
(2|z| + e)·e, and adds what it is itself computed to. The first case carries x = σ(x) − σ(−x) without error, and the second keeps the sign
of z − t (B10): so an interval router is exact by this bound too. What holds is said of the route that was taken up to the gate.

A gate of a checkpoint whose dtype has fewer bits than float32 is taken to add its products in float32 and to round the sum once, as
matrix units do: |ẑ − z| ≤ u·|ẑ|·(1 + 2u) + γ_{D+1}(float32)·(|w|·|x| + |b|).
"""

from __future__ import annotations

import numpy as np

from ..atlas import Array
from ..intervals.rounding import gamma
from ..moe.activations import RELU, RELU2
from ..moe.layer import MoELayer, Weighting
from ..moe.nets import Affine, Net
from ..moe.network import Network, Trace

UNIT = {"float64": 2.0**-53, "float32": 2.0**-24, "bfloat16": 2.0**-8, "float16": 2.0**-11}
"""Unit roundoff u."""
SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}


def affine_error(map_: Affine, x: Array, e: Array, y: Array) -> Array:
    """The lemma: x as computed (N, in) with its errors, y as computed (N, out); (N, out)."""
    u, n_max = float(np.finfo(map_.weight.dtype).eps) / 2, map_.weight.shape[1] + 1
    W, b = np.abs(map_.weight.astype(float)), np.abs(map_.bias.astype(float))
    size = np.abs(x) @ W.T + b
    terms = (x != 0).astype(float) @ (W != 0).T.astype(float) + (b != 0)
    plain = (x != 0).astype(float) @ _odd(W).T  # factors that are no powers of two
    n = np.minimum(np.rint(terms), n_max)
    off = n * u / (1 - np.minimum(n * u, 0.5)) * size
    exact = np.rint(plain) == 0
    off = np.where(exact & (n == 2), u / (1 - u) * np.abs(y), off)
    off = np.where(exact & (n <= 1), 0.0, off)
    return np.asarray((e @ W.T + off) * (1 + 2.0**-40) + np.where(off > 0, SMALLEST[str(map_.weight.dtype)], 0.0))


def _odd(W: Array) -> Array:
    """1 where a factor is neither 0 nor a power of two."""
    return np.asarray(((W != 0) & (np.frexp(W)[0] != 0.5)).astype(float))


def net_error(net: Net, x: Array, e: Array) -> tuple[Array, Array]:
    """What a net makes of x, and how far that may be off; both (N, out)."""
    u = float(np.finfo(net.dtype).eps) / 2
    for layer in range(len(net.groups)):
        z = np.asarray(net.affines[layer](x.astype(net.dtype)), float)
        ez = affine_error(net.affines[layer], x, e, z)
        h, eh = np.asarray(net.hidden(layer, x.astype(net.dtype)), float), np.empty_like(ez)
        for part, activation in net.activations[layer]:
            if activation is RELU:
                eh[:, part] = np.where(z[:, part] + ez[:, part] <= 0, 0.0, ez[:, part])
            elif activation is RELU2:
                eh[:, part] = (2 * np.abs(z[:, part]) + ez[:, part]) * ez[:, part] + u * z[:, part] ** 2
            else:
                eh[:, part] = activation.supremum(1) * ez[:, part] + activation.rounded(np.abs(z[:, part]), u)
        up = net.ups[layer]
        if up is not None:
            v = np.asarray(up(x.astype(net.dtype)), float)
            ev, a = affine_error(up, x, e, v), np.abs(z) + ez  # every activation here has |a(z)| ≤ |z|, relu² aside
            a = np.maximum(a, a**2)
            eh = eh * (np.abs(v) + ev) + a * ev + u * np.abs(h)
        x, e = h, eh
    y = np.asarray(net.affines[-1](x.astype(net.dtype)), float)
    return y, affine_error(net.affines[-1], x, e, y)


def logit_errors(network: Network, points: Array, trace: Trace) -> list[Array]:
    """For every layer how far its logits may be off, (N, E) each, along the routes that were taken."""
    x = points.astype(network.dtype).astype(float)
    e, found = np.zeros_like(x), []
    for number, layer in enumerate(network.layers):
        if layer.gate is None:
            found.append(np.zeros((len(x), 1)))
        else:
            seen = slice(None) if layer.sees is None else list(layer.sees)
            found.append(net_error(layer.gate, x[:, seen], e[:, seen])[1])
        if number + 1 < len(network.layers):
            e = _layer_error(layer, x, e, trace, number, found[-1])
            x = trace.states[number].astype(float)
    return found


def _layer_error(layer: MoELayer, x: Array, e: Array, trace: Trace, number: int, eta: Array) -> Array:
    """Errors of the state behind a layer, (N, channels)."""
    u = float(np.finfo(layer.dtype).eps) / 2
    reads = slice(None) if layer.reads is None else list(layer.reads)
    low, el = x[:, reads], e[:, reads]
    if layer.latent is not None:
        low, el = net_error(layer.latent.net, low, el)
    chosen, logits = trace.chosen[number], trace.logits[number]
    K = chosen.shape[1]
    weights = np.ones((len(x), 1)) if layer.unit else layer.weights(chosen, logits).astype(float)
    out = np.zeros((len(x), layer.experts[0].outputs))
    size = np.zeros_like(out)
    serves = np.array(layer.serves)
    for k in range(K):
        stored = serves[chosen[:, k]]
        w = weights[:, k : k + 1]
        for i in np.unique(stored):
            rows = np.flatnonzero(stored == i)
            y, ey = net_error(layer.experts[i], low[rows], el[rows])
            out[rows] += w[rows] * ey
            size[rows] += np.abs(w[rows] * y)
    if not layer.unit:
        most = eta.max(1, keepdims=True)
        drift = most if layer.weighting is Weighting.RECTIFIED else np.expm1(2 * np.minimum(most, 300.0))
        out = out * (1 + drift) + size * (drift + (K + 16) * u)
    if layer.shared is not None:
        y, ey = net_error(layer.shared, x[:, reads], e[:, reads])
        out, size = out + ey, size + np.abs(y)
        out = out + 2 * u * size
    if layer.writes is None and layer.carries is None:
        return out
    found = np.where(layer.sources >= 0, e[:, layer.sources.clip(0)], 0.0)
    both = layer.sources[layer.targets] >= 0
    state = np.abs(trace.states[number].astype(float))[:, layer.targets]
    found[:, layer.targets] += out + np.where(both, u / (1 - u) * state, 0.0)
    return np.asarray(found)


def stored_error(weight: Array, bias: Array, rows: Array, logits: Array, dtype: str) -> Array:
    """How far the logits of an affine gate of a module or checkpoint may be off, (N, E)."""
    u, wide = UNIT[dtype], np.float64 if dtype == "float64" else np.float32
    size = np.abs(rows) @ np.abs(weight).T + np.abs(bias)
    summed = gamma(rows.shape[1] + 1, wide) * size
    return np.asarray(summed + (u * (1 + 2 * u) * np.abs(logits) if dtype in ("bfloat16", "float16") else 0.0))
