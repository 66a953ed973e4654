"""Sums of neurons over boxes as jets: neurons of one direction together, by Taylor polynomials of high order around each middle.

All neurons whose row is ±a are functions of t = a·h, so that Σ_j r_j·act(s_j·t + b_j) over them is a function q(t) with
q^(i)(t_0)/i! = Σ_j r_j·s_j^i·act^(i)(z_j)/i!, z_j = s_j·t_0 + b_j. For |t − t_0| ≤ ρ the Taylor polynomial of degree P misses at most
Σ_j |r_j|·min(S_{P+1}, |act^(P+1)(z_j)|/(P+1)! + (P + 2)·S_{P+2}·ρ)·ρ^{P+1}, S_i ≥ sup|act^(i)|/i!. In x = (t − t_0)/ρ its terms of degree
P, …, n + 1 are replaced one after the other by lower ones (Chebyshev), at a cost of 2^{1−i} times the coefficient. What is left is composed
with t: where t is linear in the coordinates but for a small part η, by multinomials and |q(t + η) − q(t)| ≤ Σ i·|q_i|·ρ^{i−1}·|η|; else
by powers of jets.

Neurons with a kink are linear, or 0, where their sign is known. Where it is open σ lies within half of −l·h/(h − l) of a line, z ∈ [l, h],
and z₊² = (z_0)₊² + 2(z_0)₊·δ + θ·δ² with θ ∈ [0, 1].

A lane multiplies the neuron by a function of what the layer reads, Σ_b e_jb·λ_b with few λ_b: the sum is Σ_b λ_b·q_b(t), products of jets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ...atlas import Array
from ...intervals.patch import GROW, TINY
from ...intervals.rounding import gamma
from .activations import SMOOTH, U, slack, supremum, taylor
from .jets import Jets
from .nets import IDENTITY, RELU, RELU2, Indices, Map, Net
from .polynomials import lower_terms

if TYPE_CHECKING:
    from scipy.sparse import csr_array

LINEAR = 2.0**-36
"""Relative size of what is not linear below which a direction counts as linear."""
BEYOND = 3
"""Orders of Taylor polynomials of activations above that of the jets."""


class Alike(NamedTuple):
    """Neurons of one activation."""

    kind: int
    direction: Indices
    sign: Array
    bias: Array
    readers: tuple[csr_array, csr_array]
    """(outputs·lanes·directions, neurons): weights, and weights times signs."""
    sizes: Array
    """(outputs·lanes, neurons): absolute values."""
    grouped: Array
    """(outputs·lanes, directions): sums of them."""
    biased: Array
    """The same of |weight·bias|."""
    most: int
    """Neurons of one direction, at most."""


class Hidden(NamedTuple):
    """A hidden layer with what reads it."""

    directions: Map
    """Rows of which each neuron has one, or minus one."""
    lanes: Map
    """λ_b; the first is 1 and stands for nothing."""
    groups: tuple[Alike, ...]
    outputs: int


def prepared(net: Net) -> list[Hidden]:
    """The hidden layers of a net, each read by the directions and lanes of the next, or by the outputs."""
    found = list[Hidden]()
    readers = net.maps[-1].weight
    for map_ in net.maps[-2::-1]:
        assert map_.kinds is not None
        first = map_ is net.maps[0]
        rows, direction, sign = _up_to_sign(map_.weight)
        lanes, spread = _lanes(map_, first)
        groups = tuple(_alike(map_, int(kind), direction, sign, len(rows), readers, spread) for kind in np.unique(map_.kinds))
        found.append(Hidden(Map(rows, np.zeros(len(rows))), lanes, groups, len(readers)))
        readers = np.concatenate([rows, lanes.weight[1:]])
    return found[::-1]


def _up_to_sign(weight: Array) -> tuple[Array, Indices, Array]:
    """(rows, which, sign): weight = sign·rows[which]."""
    first = weight[np.arange(len(weight)), (weight != 0).argmax(1)] if weight.size else np.ones(len(weight))
    sign = np.where(first < 0, -1.0, 1.0)
    rows, which = np.unique(weight * sign[:, None] + 0.0, axis=0, return_inverse=True)
    return rows, which.reshape(-1), sign


def _lanes(map_: Map, first: bool) -> tuple[Map, Array]:
    """(λ, e): every neuron is multiplied by Σ_b e_jb·λ_b, the λ_b being what is read itself if these are fewer and at hand."""
    m, inputs = map_.weight.shape
    if map_.up is None:
        return Map(np.zeros((1, inputs)), np.ones(1)), np.ones((m, 1))
    whole = np.concatenate([map_.up.weight, map_.up.bias[:, None]], axis=1) + 0.0
    rows, which = np.unique(whole[~map_.flat], axis=0, return_inverse=True)
    if first and inputs < len(rows):
        return Map(np.eye(inputs + 1, inputs, -1), np.eye(inputs + 1)[0]), np.roll(whole, 1, axis=1)
    spread = np.zeros((m, len(rows) + 1))
    spread[map_.flat, 0] = 1.0
    spread[np.flatnonzero(~map_.flat), 1 + which.reshape(-1)] = 1.0
    one = np.eye(inputs + 1)[-1:]
    rows = np.concatenate([one, rows])
    return Map(rows[:, :-1], rows[:, -1]), spread


def _alike(map_: Map, kind: int, direction: Indices, sign: Array, K: int, readers: Array, spread: Array) -> Alike:
    assert map_.kinds is not None
    mine = np.flatnonzero(map_.kinds == kind)
    weights = (readers[:, None, mine] * spread[mine].T).reshape(-1, len(mine))
    row, neuron = np.nonzero(weights)
    entries, place = weights[row, neuron], row * K + direction[mine][neuron]
    shape = len(weights) * K, len(mine)
    from scipy.sparse import csr_array

    both = [csr_array((entries * s, (place, neuron)), shape=shape) for s in (1.0, sign[mine][neuron])]
    grouped = [
        np.asarray(csr_array((np.abs(entries) * s, (place, neuron)), shape=shape).sum(1)).reshape(len(weights), K)
        for s in (1.0, np.abs(map_.bias[mine][neuron]))
    ]
    most = int(np.bincount(direction[mine]).max(initial=0))
    grow = 1 + 4 * gamma(len(mine) + 2)
    return Alike(
        *(kind, direction[mine], sign[mine], map_.bias[mine], (both[0], both[1])),
        *(np.abs(weights) * grow, grouped[0] * grow, grouped[1] * grow, most),
    )  # fmt: skip


def through(net: Net, hidden: Sequence[Hidden], x: Jets) -> Jets:
    """A net of what it reads, (inputs, N): (outputs, N)."""
    last = net.maps[-1]
    if not hidden:
        return x.affine(Map(last.weight + net.skip, last.bias))
    t, lanes = x.affine(hidden[0].directions), x.affine(hidden[0].lanes).functions(slice(1, None))
    for layer, after in zip(hidden, [*hidden[1:], None], strict=True):
        out = _summed(layer, t, lanes)
        if after is not None:
            K = len(after.directions.bias)
            t, lanes = out.functions(slice(0, K)), out.functions(slice(K, None)).shifted(after.lanes.bias[1:, None])
    out = out.shifted(last.bias[:, None])
    return out + x.affine(Map(net.skip, np.zeros(len(last.bias)))) if net.skip.any() else out


def _summed(layer: Hidden, t: Jets, lanes: Jets) -> Jets:
    """What reads a layer, of its directions (K, N) and lanes (b − 1, N): (outputs, N)."""
    o, b, N, d = layer.outputs, len(layer.lanes.bias), t.boxes, t.space.dimension
    linear = np.abs(t.coefficients[1 : d + 1]).sum(0)
    bent = np.abs(t.coefficients[d + 1 :]).sum(0)
    reach = GROW * (linear + bent + t.rest)
    known = np.isfinite(reach).all(0)
    if not known.all():
        return _where_known(layer, t, lanes, np.flatnonzero(known))
    terms, missed = _profiles(layer, t.coefficients[0], reach, t.space.degree + BEYOND)
    straight = bool((bent <= LINEAR * linear).all())
    if straight:
        away = GROW * (bent + t.rest) / np.where(reach > 0, reach, 1.0)
        missed = missed + GROW * sum(i * np.einsum("bkn,kn->bn", np.abs(part), away) for i, part in enumerate(terms) if i)
    terms, lost = _economised(terms, t.space.degree)
    missed = missed + lost + gamma(8 * len(terms) + len(reach) + 64) * sum(np.abs(part).sum(1) for part in terms)
    found = _linear(terms, t, reach) if straight else _powers(terms, t, reach)
    found = Jets(t.space, found.coefficients, GROW * (found.rest + missed) + TINY)
    split = Jets(t.space, found.coefficients.reshape(t.space.size, o, b, N), found.rest.reshape(o, b, N))
    total = Jets(t.space, split.coefficients[:, :, 0], split.rest[:, 0])
    for n in range(1, b):
        lane = lanes.functions(n - 1)
        total = total + Jets(t.space, lane.coefficients[:, None], lane.rest[None]) * Jets(
            t.space, split.coefficients[:, :, n], split.rest[:, n]
        )
    return total


def _where_known(layer: Hidden, t: Jets, lanes: Jets, known: Indices) -> Jets:
    """The same, of which nothing is said on other boxes."""
    out = Jets(t.space, np.zeros((t.space.size, layer.outputs, t.boxes)), np.full((layer.outputs, t.boxes), np.inf))
    if len(known):
        found = _summed(layer, t.on(known), lanes.on(known))
        out.coefficients[..., known], out.rest[..., known] = found.coefficients, found.rest
    return out


def _profiles(layer: Hidden, middle: Array, reach: Array, P: int) -> tuple[list[Array], Array]:
    """q_i·ρ^i, i = 0 … P, (outputs·lanes, directions, N) each, and what these miss, (outputs·lanes, N)."""
    K, N = middle.shape
    rows = layer.outputs * len(layer.lanes.bias)
    terms, missed = [np.zeros((rows, K, N)) for _ in range(P + 1)], np.zeros((rows, N))
    powers = [np.ones_like(reach)]
    for _ in range(P + 1):
        powers.append(powers[-1] * reach)
    for group in layer.groups:
        z = group.sign[:, None] * middle[group.direction] + group.bias[:, None]
        if group.kind in SMOOTH:
            parts, off = _smooth(group, z, reach, powers, P)
        else:
            parts, off = _kinked(group, z, reach[group.direction])
        off = off + _rounded(group, len(parts) - 1, np.abs(middle), powers)
        for i, part in enumerate(parts):
            terms[i] += (group.readers[i % 2] @ part).reshape(rows, K, N) * powers[i]
        missed += off
    return terms, missed


def _smooth(group: Alike, z: Array, reach: Array, powers: Sequence[Array], P: int) -> tuple[list[Array], Array]:
    """Taylor coefficients at z, and what those of order > P add to the sums."""
    *parts, last = taylor(group.kind, z, P + 1)
    a, b = slack(group.kind, P + 1)
    moved = reach[group.direction] * GROW + 2 * U * np.abs(z)  # also by rounding
    bend = (P + 2) * supremum(group.kind, P + 2) * moved
    last = np.minimum(supremum(group.kind, P + 1), np.abs(last) * GROW + bend + (a + b * np.abs(z)) * 2 * U)
    return parts, group.sizes @ (last * powers[P + 1][group.direction] * GROW) * GROW


def _kinked(group: Alike, z: Array, reach: Array) -> tuple[list[Array], Array]:
    """The same of neurons with kinks, or none."""
    if group.kind == IDENTITY:
        return [z, np.ones_like(z)], np.zeros((len(group.sizes), z.shape[1]))
    wide = reach * GROW + np.abs(z) * 2.0**-50 + TINY
    low, high = z - wide, z + wide
    on, open_ = low >= 0, (low < 0) & (high > 0)
    up = np.maximum(z, 0)
    if group.kind == RELU:
        slope = np.where(open_, high / (2 * wide), on)
        gap = np.where(open_, slope * -low / 2, 0.0)
        parts = [np.where(open_, slope * wide - gap, np.where(on, z, 0.0)), slope]
    else:
        gap = np.where(open_, wide * wide / 2, 0.0)
        parts = [up * up, 2 * up, np.where(open_, 0.5, on)]
    return parts, group.sizes @ (gap * GROW) * GROW


def _rounded(group: Alike, order: int, middle: Array, powers: Sequence[Array]) -> Array:
    """What rounding changes in the sums: of z, of the coefficients, in adding them up, and of powers of ρ.

    Coefficient i at the rounded z is off by (i + 1)·S_{i+1}·u·|z|, as computed by slack, and is itself at most S_i, |z| + 1 for i = 0. Of
    kinks the coefficients are off by a few roundings of numbers below (|z| + ρ)^{2 − i}.
    """
    adding = group.most + 4 + 2 * order
    fixed, growing = np.zeros_like(middle), np.zeros_like(middle)
    if group.kind in SMOOTH:
        for i in range(order + 1):
            a, b = slack(group.kind, i)
            size = supremum(group.kind, i) if i else 1.0
            fixed += powers[i] * (a + adding * size)
            growing += powers[i] * (b + (i + 1) * supremum(group.kind, i + 1) + (0 if i else adding))
        return 2 * U * (group.grouped @ (fixed + growing * middle) + group.biased @ growing)
    largest = float(np.abs(group.bias).max(initial=0.0)) + middle + powers[1]
    return 2 * U * (group.grouped @ ((adding + 16) * 4 * (largest**2 if group.kind == RELU2 else largest))) * GROW


def _economised(terms: list[Array], n: int) -> tuple[list[Array], Array]:
    """The same polynomials on [−1, 1] of degree n, and what that may change, all directions together."""
    terms, lost = list(terms), np.zeros_like(terms[0].sum(1))  # there may be no direction
    for i in range(len(terms) - 1, n, -1):
        top = terms.pop()
        lost = lost + np.abs(top).sum(1) * 2.0 ** (1 - i)
        for k, c in enumerate(lower_terms(i)):
            if c:
                terms[k] = terms[k] + c * top
        lost = lost + gamma(4) * np.abs(top).sum(1) * sum(map(abs, lower_terms(i)))
    return terms, lost


def _linear(terms: Sequence[Array], t: Jets, reach: Array) -> Jets:
    """Σ_k Σ_i terms_ik·(λ_k·coordinates)^i, |λ_k| ≤ 1."""
    space, d = t.space, t.space.dimension
    shares = t.coefficients[1 : d + 1] / np.where(reach > 0, reach, 1.0)
    monomials = [np.ones_like(reach)]
    found = np.zeros((space.size, *terms[0].shape[::2]))
    found[0] = terms[0].sum(1)
    for n, (before, j) in enumerate(space.steps, 1):
        monomials.append(monomials[before] * shares[j])
        degree, count = sum(space.exponents[n]), space.multinomials[n]
        found[n] = count * np.einsum("bkn,kn->bn", terms[degree], monomials[n])
    return Jets(space, found, np.zeros(found.shape[1:]))


def _powers(terms: Sequence[Array], t: Jets, reach: Array) -> Jets:
    """Σ_k Σ_i terms_ik·((t_k − c_k)/ρ_k)^i."""
    inner = t.coefficients / np.where(reach > 0, reach, 1.0)
    inner[0] = 0.0
    lost = gamma(4) * np.abs(inner).sum(0)
    x = Jets(t.space, inner, GROW * (t.rest / np.where(reach > 0, reach, 1.0) + lost))
    found, power = np.zeros((t.space.size, *terms[0].shape[::2])), x
    found[0] = terms[0].sum(1)
    rest = np.zeros(found.shape[1:])
    for i, part in enumerate(terms[1:], 1):
        if i > 1:
            power = power * x
        found += np.einsum("bkn,ckn->cbn", part, power.coefficients)
        rest += np.einsum("bkn,kn->bn", np.abs(part), power.rest)
        # x is within [−1, 1], its jet perhaps a little beyond.
        rest += gamma(8 + len(reach)) * np.einsum("bkn,kn->bn", np.abs(part), power.magnitude)
    return Jets(t.space, found, GROW * rest)
