"""What floating-point evaluation adds to the real-arithmetic function of the stored weights, bounded on cells of M.

Lemma (R9, cell by cell). Let a cell be a set of points on which each channel lies between `lower` and `upper`, and let an evaluation
compute it to within `error`. For an affine map W·x + b of which at most n products on the cell are not surely 0, u the unit roundoff, t the
smallest subnormal number and γ_n = n·u/(1 − n·u),

    |computed − exact| ≤ |W|·e + γ_N·(|W|·(|x| + e) + |b|) + (n + 1)·t,

N the most roundings that any product goes through (`Evaluation.roundings`): n + 1 in any order, with or without fused multiply-add; less in
an order that is known, as products that are 0 are added exactly wherever they stand. A last map whose sums
are taken in float64 has γ_N of float64 there, and one rounding of its result.

Lemma (activations). Let a library compute act(z) to within κ·u·|z| + t (`Activation.slip`: what is assumed of its exp and erf, and proved
of the few operations around them), and let z be known to ±e. Then act(z) is computed to within

    S·e + κ·u·(|z| + e) + t,    S = min(sup|act′|, |act′(c)| + r·sup|act″|) on [c − r, c + r], which holds z − e and z + e,

as act(z̃) − act(z) = act′(ζ)·(z̃ − z); where it is evaluated in float64 and rounded once, κ·u·(|z| + e) is u·|act(z̃)| and that of float64.
relu and the identity round nothing, and a neuron that is idle on the cell, z + e ≤ 0, is computed as 0 exactly: it
counts neither in n nor in |x|, and that is why cells are worth while. relu² is a product, (2·max(z + e, 0))·e + u·max(z + e, 0)² + t.
A lane a·v, a and v off by e_a and e_v, is off by |a|·e_v + |v|·e_a + e_a·e_v + u·(|a| + e_a)·(|v| + e_v) + t; nothing is rounded where v
is 1 exactly, as it is of plain neurons among lanes.

The routes are those that the evaluation takes: what is bounded is the distance from the real-arithmetic function along the same experts.
An expert that the gate surely does not choose on the cell, by its computed logits, is left out. The largest of all cells holds on M.
All is computed in float64 and multiplied by `GENEROUS`, which covers its own rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...intervals.rounding import gamma
from ...moe.activations import IDENTITY, RELU, RELU2, Activation
from ...moe.layer import MoELayer, Weighting
from ...moe.network import Affine, Net, Network
from ...moe.sums import Sums
from .evaluation import Evaluation
from .snapped import lift_of, out_of_grid

GENEROUS = 1 + 2.0**-20
"""Covers the rounding of the bounds themselves: fewer than 2^30 roundings of 2^-53 each."""
HALF = {"bfloat16": (8, -133, 2.0**127), "float16": (11, -24, 65504.0)}
"""Bits of a significand, exponent of the smallest subnormal number, and what nothing may exceed."""
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Sized:
    """n channels on N cells: lower ≤ value ≤ upper (N, n) each, and |computed − value| ≤ error (V, N, n) in each of V evaluations."""

    lower: Array
    upper: Array
    error: Array

    def __len__(self) -> int:
        return len(self.lower)

    @property
    def size(self) -> Array:
        """|value| at most."""
        return np.maximum(np.abs(self.lower), np.abs(self.upper))

    def channels(self, which: Sequence[int] | NDArray[np.intp]) -> Sized:
        return Sized(self.lower[:, which], self.upper[:, which], self.error[:, :, which])

    def cells(self, rows: NDArray[np.intp]) -> Sized:
        return Sized(self.lower[rows], self.upper[rows], self.error[:, rows])

    def known(self) -> Sized:
        """With ∞ where an error is no number."""
        return Sized(self.lower, self.upper, np.where(np.isnan(self.error), np.inf, self.error))


def affine(map_: Affine, x: Sized, ways: Sequence[Evaluation], last: bool, more: int = 0) -> Sized:
    """What is known of W·x + b; `last`: of the last affine map of a net; `more`: roundings of every product beside its own."""
    signed, bias = np.asarray(map_.weight, float), np.asarray(map_.bias, float)
    weight, g = np.abs(signed), gamma(signed.shape[1] + 4)
    middle, radius = (x.lower + x.upper) / 2, (x.upper - x.lower) / 2
    size = (x.size @ weight.T + np.abs(bias)) * GENEROUS
    center = middle @ signed.T + bias
    spread = (radius @ weight.T + 2 * g * size) * GENEROUS
    lower, upper = center - spread, center + spread
    busy = ((x.size + x.error.max(0)) != 0) @ (weight != 0).T.astype(float)
    errors = []
    with np.errstate(invalid="ignore"):
        for way, error in zip(ways, x.error, strict=True):
            arriving = error @ weight.T  # NaN where 0 meets ∞
            wide = last and way.sums is Sums.FLOAT64
            lost = _gammas(way.roundings(busy) + more, 2.0**-53 if wide else way.unit) * (size + arriving)
            found = arriving + lost + way.operations(busy) * way.tiny
            if way.flushed:  # stored weights too
                found += (x.size + error) @ np.where(weight < way.flush, weight, 0.0).T
            if (other := way.moved(map_)) is not None:
                found += (x.size + error) @ other[0].T + other[1]
            if wide:
                found += way.unit * (np.maximum(np.abs(lower), np.abs(upper)) + found) + way.tiny
            found *= GENEROUS
            # No product or partial sum is larger than size + error; where that may overflow nothing is known of what follows. Nor for NaN.
            errors.append(np.where(GENEROUS * (size + found) < way.largest, found, np.inf))
    return Sized(lower, upper, np.array(errors))


def _gammas(n: Array, u: float) -> Array:
    """γ_n."""
    with np.errstate(divide="ignore"):
        return np.where(n * u < 1, n * u / (1 - n * u), np.inf)


def through(net: Net, x: Sized, ways: Sequence[Evaluation], behind: bool = False, more: int = 0) -> Sized:
    """The same of a net; `behind` the last gate, where what it reads, what its maps give and what it makes of that is rounded to half
    precision. `more`: as of `affine`, in its last map.
    """
    halved = behind and any(way.half for way in ways)
    x = narrowed(x, ways, 1) if halved else x
    *hidden, last = net.affines
    for map_, up, activations in zip(hidden, net.ups, net.activations, strict=True):
        arriving = x
        x = bent(_mapped(map_, arriving, ways, halved), activations, ways)
        x = narrowed(x, ways, 1) if halved and any(rounds(activation) for _, activation in activations) else x
        if up is not None:
            several = product(x, _mapped(up, arriving, ways, halved), ways)
            x = _where(~up.weight.any(1) & (up.bias == 1), x, narrowed(several, ways, 1) if halved else several)
    return _mapped(last, x, ways, halved, True, more)


def _mapped(map_: Affine, x: Sized, ways: Sequence[Evaluation], halved: bool, last: bool = False, more: int = 0) -> Sized:
    out = affine(map_, x, ways, last, more)
    return narrowed(out, ways, 2) if halved else out  # the sum, and with the bias


def rounds(activation: Activation) -> bool:
    """Whether a float of half precision need not become one."""
    return activation not in (RELU, IDENTITY)


def bent(x: Sized, activations: Sequence[tuple[slice, Activation]], ways: Sequence[Evaluation]) -> Sized:
    """What is known of the activation of every channel, slice by slice."""
    parts = [_activated(activation, x.channels(np.arange(x.lower.shape[1])[where]), ways) for where, activation in activations]
    if len(parts) == 1:
        return parts[0]
    lower, upper = (np.concatenate([getattr(part, end) for part in parts], axis=1) for end in ("lower", "upper"))
    return Sized(lower, upper, np.concatenate([part.error for part in parts], axis=2))


def _activated(activation: Activation, x: Sized, ways: Sequence[Evaluation]) -> Sized:
    if activation is IDENTITY:
        return x
    if activation is RELU:
        return Sized(np.maximum(x.lower, 0), np.maximum(x.upper, 0), np.clip(x.upper + x.error, 0, x.error)).known()
    unit, tiny, largest = (_of_each(ways, what) for what in ("unit", "tiny", "largest"))
    lower, upper = activation.range(x.lower, x.upper)
    with np.errstate(invalid="ignore", over="ignore"):
        if activation is RELU2:
            most = np.maximum(x.upper + x.error, 0)
            error = 2 * most * x.error + unit * most**2 + np.where(most > 0, tiny, 0.0)
        else:
            moved, value = _steepest(activation, x) * x.error, np.maximum(-lower, upper)
            lost = [_lost(activation, value + more, x.size + off, way) for more, off, way in zip(moved, x.error, ways, strict=True)]
            error = moved + np.array(lost) + tiny
        error *= GENEROUS
        size = np.maximum(np.abs(lower), np.abs(upper))
        return Sized(lower, upper, np.where(GENEROUS * (size + x.size + error) < largest, error, np.inf)).known()


def _lost(activation: Activation, value: Array, size: Array, way: Evaluation) -> Array:
    """What evaluating act adds where |z̃| ≤ size and |act(z̃)| ≤ value: in float64 and rounded once, if sums are taken so."""
    if way.sums is not Sums.FLOAT64:
        return activation.rounded(size, way.unit)
    return way.unit * np.minimum(value, size) + 2 * activation.rounded(size, 2.0**-53)


def _steepest(activation: Activation, x: Sized) -> Array:
    """S of a smooth activation, (V, N, n)."""
    middle, radius = (x.lower + x.upper) / 2, (x.upper - x.lower) / 2
    values, errors = activation.derivatives(middle, 1)
    beside = (radius + x.error) * (1 + 2.0**-50) + 2.0**-51 * np.abs(middle)
    found = np.abs(values[1]) + errors[1] + activation.supremum(2) * beside
    return np.minimum(activation.supremum(1), np.where(np.isnan(found), np.inf, found))


def product(a: Sized, v: Sized, ways: Sequence[Evaluation]) -> Sized:
    """Lane by lane."""
    ends = np.stack([a.lower * v.lower, a.lower * v.upper, a.upper * v.lower, a.upper * v.upper])
    slack = 2.0**-51 * a.size * v.size
    unit, tiny, largest = (_of_each(ways, what) for what in ("unit", "tiny", "largest"))
    with np.errstate(invalid="ignore", over="ignore"):
        sizes = (a.size + a.error) * (v.size + v.error)
        error = GENEROUS * (a.size * v.error + v.size * a.error + a.error * v.error + unit * sizes + tiny)
        return Sized(ends.min(0) - slack, ends.max(0) + slack, np.where(GENEROUS * (sizes + error) < largest, error, np.inf)).known()


def _where(plain: Flags, a: Sized, product: Sized) -> Sized:
    """a where it is multiplied with 1 exactly, unless what the 1 is computed from may not be finite."""
    exact = plain & np.isfinite(product.error)
    lower, upper = np.where(plain, a.lower, product.lower), np.where(plain, a.upper, product.upper)
    return Sized(lower, upper, np.where(exact, a.error, product.error))


def narrowed(x: Sized, ways: Sequence[Evaluation], times: int) -> Sized:
    """Rounded so many times to the half precision of the evaluations that have one."""
    error = x.error.copy()
    for n, way in enumerate(ways):
        if way.half is None:
            continue
        bits, exponent, largest = HALF[way.half]
        for _ in range(times):
            error[n] = GENEROUS * (error[n] + 2.0**-bits * (x.size + error[n]) + 2.0**exponent)
        error[n] = np.where(GENEROUS * (x.size + error[n]) < largest, error[n], np.inf)
    return Sized(x.lower, x.upper, error)


def plus(a: Sized, b: Sized, ways: Sequence[Evaluation]) -> Sized:
    """A sum, rounded once."""
    size, error = a.size + b.size, a.error + b.error
    unit, largest, flush = (_of_each(ways, what) for what in ("unit", "largest", "flush"))
    error = GENEROUS * (error + unit * (size + error) + flush)
    slack = 2.0**-51 * size
    return Sized(a.lower + b.lower - slack, a.upper + b.upper + slack, np.where(GENEROUS * (size + error) < largest, error, np.inf))


def _of_each(ways: Sequence[Evaluation], what: str) -> Array:
    return np.array([getattr(way, what) for way in ways])[:, None, None]


def layer(part: MoELayer, x: Sized, ways: Sequence[Evaluation], chosen: int | None = None, behind: bool = False) -> tuple[Array, Sized]:
    """How far any logit may be off (V, N), and what is known of the channels behind a layer, whatever its gate may choose on a cell.

    `chosen`: the gate output that is known to win. `behind`: no later gate reads what the experts write.
    """
    gate = None if part.gate is None else through(part.gate, x if part.sees is None else x.channels(list(part.sees)), ways)
    eta = np.zeros((len(ways), len(x))) if gate is None else gate.error.max(2)
    if gate is not None and (M := lift_of(part)) is not None:
        eta = np.where(out_of_grid(M, gate.lower, gate.upper, gate.error), np.inf, eta)
    inputs = x if part.reads is None else x.channels(list(part.reads))
    written = _experts(part, inputs, _possible(part, gate, eta, len(x), chosen), ways, behind)
    if gate is not None and (part.top_k > 1 or part.weighting is Weighting.RECTIFIED):
        written = weighed(part, gate, written, ways)
    if part.shared is not None:
        written = narrowed(plus(written, through(part.shared, inputs, ways, behind), ways), ways, int(behind))
    return eta, _placed(part, x, written, ways)


def _possible(part: MoELayer, gate: Sized | None, eta: Array, cells: int, chosen: int | None) -> Flags:
    """Which stored experts may be chosen on which cells, (N, stored)."""
    outputs = np.ones((cells, len(part)), bool)
    if gate is not None and chosen is not None:
        outputs[:] = np.arange(len(part)) == chosen
    elif gate is not None:
        best = np.sort(gate.lower, axis=1)[:, -part.top_k]
        outputs = ~(gate.upper < (best - 2 * GENEROUS * eta.max(0))[:, None])
    found = np.zeros((cells, len(part.experts)), bool)
    for output, stored in enumerate(part.serves):
        found[:, stored] |= outputs[:, output]
    return found


def _experts(part: MoELayer, x: Sized, possible: Flags, ways: Sequence[Evaluation], behind: bool) -> Sized:
    """What holds of the outputs whichever of the possible experts is taken."""
    shape = len(x), part.experts[0].outputs
    lower, upper, error = np.full(shape, np.inf), np.full(shape, -np.inf), np.zeros((len(ways), *shape))
    share = part.weighting is Weighting.UNIFORM and part.top_k == 1
    if share and part.gate is None and len(part.experts[0].affines) == 1:
        ways = [replace(way, sums=Sums.PLAIN) for way in ways]  # what groups wrote is added up in any order
    more = 2 + (part.experts[0].inputs if part.gate is None else 0)
    for k, net in enumerate(part.experts):
        rows = np.flatnonzero(possible[:, k])
        if len(rows):
            found = (
                _shared_out(through(net, x.cells(rows), ways, behind, more), ways) if share else through(net, x.cells(rows), ways, behind)
            )
            lower[rows], upper[rows] = np.minimum(lower[rows], found.lower), np.maximum(upper[rows], found.upper)
            error[:, rows] = np.maximum(error[:, rows], found.error)
    error[:, ~possible.any(1)] = np.inf
    return Sized(lower, upper, error)


def _shared_out(x: Sized, ways: Sequence[Evaluation]) -> Sized:
    """Outputs that are 1/K of what an expert computes (`ungroup`): 1/K and the product are rounded; not followed in half precision."""
    unit, tiny = _of_each(ways, "unit"), _of_each(ways, "tiny")
    error = GENEROUS * (x.error + 3 * unit * (x.size + x.error) + 3 * tiny)
    error[[way.half is not None for way in ways]] = np.inf
    return Sized(x.lower, x.upper, error)


def weighed(part: MoELayer, gate: Sized, x: Sized, ways: Sequence[Evaluation]) -> Sized:
    """Σ w_k·x_k for K chosen logits s known to ±e, |s| ≤ S, and outputs that x says: γ_{K+1} of Σ|w_k|·|x_k| in any order.

    Softmax: |∂w_k/∂s_j| summed over j is 2·w_k(1 − w_k) ≤ 1/2, s_j − max s is rounded once, and exp is right to 4 units in its last place:
    w is off by ω = (e + 2u(S + e))/2 + γ_{2K+12}. 1/K is off by u, σ(s) by e.
    """
    K, S = part.top_k, gate.size.max(1)
    errors = []
    for way, off, arrived in zip(ways, gate.error.max(2), x.error, strict=True):
        if part.weighting is Weighting.RECTIFIED:
            weight, wrong = K * S, K * off
        elif part.weighting is Weighting.UNIFORM:
            weight, wrong = np.ones(len(x)), np.full(len(x), K * way.unit)
        else:
            weight, wrong = np.ones(len(x)), K * ((off + 2 * way.unit * (S + off)) / 2 + gamma(2 * K + 12, way.dtype))
        arriving = x.size + arrived
        known, moved = weight[:, None], wrong[:, None]
        found = known * arrived + moved * arriving + gamma(K + 1, way.dtype) * (known + moved) * arriving + (K + 1) * way.tiny
        found += 4 * K * way.flush * (arriving + 1)  # exponentials, weights, products and sums that are flushed
        safe = (GENEROUS * (known + moved) * (arriving + 1) < way.largest) & (
            way.half is None
        )  # weights in half precision are not followed
        errors.append(np.where(safe, GENEROUS * found, np.inf))
    if part.weighting is not Weighting.RECTIFIED:
        return Sized(x.lower, x.upper, np.array(errors))
    reach = GENEROUS * (K * S)[:, None] * x.size
    return Sized(-reach, reach, np.array(errors))


def _placed(part: MoELayer, x: Sized, written: Sized, ways: Sequence[Evaluation]) -> Sized:
    """carry(x) + scatter(written)."""
    if part.writes is None and part.carries is None:
        return written
    sources, targets = part.sources, part.targets
    kept = sources >= 0
    lower, upper = np.zeros((len(x), len(sources))), np.zeros((len(x), len(sources)))
    error = np.zeros((len(ways), *lower.shape))
    lower[:, kept], upper[:, kept], error[:, :, kept] = x.lower[:, sources[kept]], x.upper[:, sources[kept]], x.error[:, :, sources[kept]]
    both = plus(Sized(lower, upper, error).channels(targets), written, ways)
    fresh = ~kept[targets]
    lower[:, targets] = np.where(fresh, written.lower, both.lower)
    upper[:, targets] = np.where(fresh, written.upper, both.upper)
    error[:, :, targets] = np.where(fresh, written.error, both.error)
    return Sized(lower, upper, error)


def arriving(embedding: Array | None, z: Sized, ways: Sequence[Evaluation]) -> Sized:
    """x = Q·z as a network reads it, computed in float64 and rounded to the dtype once."""
    x = z
    if embedding is not None:
        map_ = Affine(np.array(embedding), np.zeros(len(embedding)))
        x = affine(map_, z, [Evaluation("float64", Sums.PLAIN, embedding.shape[1])] * len(ways), last=True)
    once = _of_each(ways, "unit") * (x.size + x.error) + _of_each(ways, "tiny")
    error = GENEROUS * (x.error + once)
    return Sized(x.lower, x.upper, np.where(x.size + error < _of_each(ways, "largest"), error, np.inf))


def network(weights: Network, x: Sized, ways: Sequence[Evaluation], chosen: int | None = None) -> tuple[Array, Array]:
    """(η, what is added to the outputs) of a network that reads x: (V, N) each; `chosen`: the winner of the last layer, if it is known."""
    eta, last = np.zeros((len(ways), len(x))), len(weights.layers) - 1
    gates = max((n for n, part in enumerate(weights.layers) if len(part) > 1), default=0)
    for n, part in enumerate(weights.layers):
        off, x = layer(part, x, ways, chosen if n == last else None, n >= gates)
        eta = np.maximum(eta, off)
    return eta, narrowed(x, ways, 1).error.max(2)
