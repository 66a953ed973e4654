"""What evaluation in floats adds to a network in real arithmetic, bounded layer by layer on cells of numbers that it reads (R9).

A product that is not 0 goes through a number of roundings that the order of the sum decides: `Way.roundings`. Neurons that are surely
idle on a cell, as computed, are 0 exactly, and what is added to 0 is not rounded.

An activation that is bent everywhere is off by what is off before it, times the largest |act′| between, and by `SLIP`·u·|z| of its own:
libraries compute z·σ(z) and z·Φ(z) to a few units relative to |z|, not to the product, which in the left tail may have no correct digit.
Where last sums are taken in float64, so are activations: u is then that of float64, and one rounding of the value follows.
A lane multiplies what is computed by what is computed: (a + δ)·(b + ε) is off by |a|·|ε| + |b|·|δ| + |δ·ε| and a rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...atlas import Array
from ...intervals.patch import GROW
from ...intervals.rounding import gamma
from .activations import supremum
from .bends import bent
from .layers import Layer
from .nets import IDENTITY, RELU, RELU2, Flags, Indices, Map, Net
from .snaps import grid_of, off_grid

ELEMENTARY = 4
"""Units in the last place, of twice the unit roundoff each, to which exp is trusted in either dtype."""
BOTTOM = -0.279
"""No activation is below."""
SLIP = 8
"""Units of roundoff of |z| to which smooth activations are trusted, in both dtypes."""
ORDERS = {"": 0, ".blocks": 32, ".float64": 1, ".flushed": 0}
"""What the name of an evaluation ends with ↦ how many consecutive products the library adds in any order before a binary tree does the
rest; 0: all of them."""


class Half(NamedTuple):
    """What a half precision can hold: its unit roundoff, its smallest and its largest number."""

    u: float
    smallest: float
    largest: float


HALF = {"bfloat16": Half(2.0**-8, 2.0**-133, 2.0**127), "float16": Half(2.0**-11, 2.0**-24, 65504.0)}


class Way(NamedTuple):
    """An evaluation: a dtype, an order of sums, and the length of the longest sum in the network; or float32 with experts behind the last
    gate in half precision.
    """

    name: str
    longest: int

    @property
    def half(self) -> Half | None:
        return HALF.get(self.name)

    @property
    def dtype(self) -> str:
        return self.name.partition(".")[0] if self.half is None else "float32"

    @property
    def block(self) -> int:
        return 0 if self.half is not None else ORDERS[self.name[len(self.dtype) :]]

    @property
    def u(self) -> float:
        return gamma(1, self.dtype) / (1 + gamma(1, self.dtype))

    @property
    def flush(self) -> float:
        """Numbers below may count as 0; 0 where subnormal ones are kept."""
        return float(np.finfo(self.dtype).tiny) if self.name.endswith(".flushed") else 0.0

    @property
    def smallest(self) -> float:
        return self.flush or float(np.finfo(self.dtype).smallest_subnormal)

    def roundings(self, terms: Array) -> Array:
        """At most, of a product of which `terms` are not 0: its own, those of sums with others, and that of the bias."""
        if not self.block:
            return terms + 1
        depth, blocks = 0, -(-self.longest // self.block)
        while 1 << depth < blocks:
            depth += 1
        return np.minimum(terms, self.block + depth) + 1


class Sized(NamedTuple):
    """low ≤ x ≤ high and |computed x − x| ≤ error, cell by cell and channel by channel, (N, n)."""

    low: Array
    high: Array
    error: Array

    @property
    def size(self) -> Array:
        return np.maximum(-self.low, self.high)

    def of(self, channels: Indices) -> Sized:
        return Sized(*(part[:, channels] for part in self))

    def on(self, cells: Indices | Flags) -> Sized:
        return Sized(*(part[cells] for part in self))

    def within(self, largest: Array, way: Way) -> Sized:
        """With ∞ for the error where numbers on the way may overflow."""
        return self._replace(error=np.where(GROW * largest < float(np.finfo(way.dtype).max), self.error, np.inf))


def evaluated(map_: Map, x: Sized, way: Way, last: bool = True, more: int = 0) -> Sized:
    """|fl(W·x + b) − (W·x + b)| ≤ |W|·e + γ·(|W|·(|x| + e) + |b|), plus a subnormal number for each operation; `last`: of a net; `more`:
    roundings of products beside their own.
    """
    up, down = np.maximum(map_.weight, 0).T, np.maximum(-map_.weight, 0).T
    both = up + down
    exact, off = x.size @ both + np.abs(map_.bias), x.error @ both
    slack = 2 * gamma(len(up) + 3) * exact
    low = x.low @ up - x.high @ down + map_.bias - slack
    high = x.high @ up - x.low @ down + map_.bias + slack
    terms = ((x.size > 0) | (x.error > 0)).astype(float) @ (both > 0)
    double = last and way.block == 1
    steps = (way.roundings(terms) + more) * (gamma(1) if double else gamma(1, way.dtype))
    lost = off + np.where(steps < 1, steps / (1 - steps), np.inf) * (exact + off) + (terms + 1) * way.smallest
    if way.flush:  # sums as well as products, and weights
        lost = lost + (terms + 1) * way.smallest + (x.size + x.error) @ np.where(both < way.flush, both, 0.0)
    if double:  # one rounding of the sum
        lost = lost + gamma(1, way.dtype) * (np.maximum(-low, high) + lost) + way.smallest
    grow = GROW + 4 * gamma(len(up) + 1)  # for what is rounded here
    return Sized(low, high, grow * lost).within(exact + grow * lost, way)


def rectified(x: Sized) -> Sized:
    """σ; of what is computed as a number ≤ 0 exactly."""
    error = np.minimum(x.error, np.maximum(x.high + x.error, 0) * GROW)
    return Sized(np.maximum(x.low, 0), np.maximum(x.high, 0), np.where(np.isnan(error), np.inf, error))


def activated(map_: Map, z: Sized, lanes: Sized | None, way: Way, half: Half | None = None) -> Sized:
    """act(z), times the lanes where there are any: the numbers of a hidden layer."""
    assert map_.kinds is not None
    linear = map_.kinds == IDENTITY
    parts = Sized(*(np.where(linear, before, behind) for before, behind in zip(z, rectified(z), strict=True)))
    for kind in np.unique(map_.kinds[map_.kinds > RELU]).tolist():
        mine = np.flatnonzero(map_.kinds == kind)
        for part, found in zip(parts, _bent(kind, z.of(mine), way), strict=True):
            part[:, mine] = found
    out = parts if map_.plain else halved(parts, half)
    if lanes is None:
        return out
    mine = np.flatnonzero(~map_.flat)  # 1 is computed exactly, and so is what it multiplies
    for part, found in zip(out, halved(multiplied(out.of(mine), lanes.of(mine), way), half), strict=True):
        part[:, mine] = found
    return out


def _bent(kind: int, z: Sized, way: Way) -> Sized:
    """An activation that is no ReLU."""
    reach, u = z.size + z.error, way.u
    if kind == RELU2:
        low, high, most = np.maximum(z.low, 0) ** 2, np.maximum(z.high, 0) ** 2, np.maximum(z.high + z.error, 0)
        error = np.where(most > 0, (2 * z.error + 2 * u * most) * most + way.smallest, 0.0)
        lost = high * (GROW - 1)
        return Sized(np.maximum(low - lost, 0), high + lost, _known(GROW * error)).within(most * most, way)
    known = np.isfinite(reach)
    low, high = (np.where(known, end, 0.0) for end in (z.low - z.error * GROW, z.high + z.error * GROW))
    ends = np.where(known[:, None], np.stack([z.low, z.high], axis=1), 0.0)
    found = bent(kind, ends, np.zeros_like(low), low, high, np.zeros_like(low))
    steepest = np.minimum(np.abs(found.slope) + found.spread, supremum(kind, 1)) * GROW
    # It falls and then rises: what is largest on an interval is so at an end.
    least, most = found.at[:, 0] - found.off - steepest * ((z.high - z.low) * GROW), found.at.max(1) + found.off
    moved, lost = steepest * z.error, SLIP * u * reach
    if way.block == 1:
        lost = 2 * SLIP * gamma(1) * reach + gamma(1, way.dtype) * (np.maximum(-least, most) + moved)
    error = GROW * (moved + lost + way.smallest)
    return Sized(np.maximum(least, BOTTOM), most, np.where(known, error, np.inf))


def multiplied(a: Sized, b: Sized, way: Way) -> Sized:
    """One rounded product of each."""
    ends = np.stack([x * y for x in (a.low, a.high) for y in (b.low, b.high)])
    size = (a.size + a.error) * (b.size + b.error)
    error = a.size * b.error + b.size * a.error + a.error * b.error + gamma(1, way.dtype) * size + way.smallest
    lost = np.abs(ends).max(0) * (GROW - 1)
    return Sized(ends.min(0) - lost, ends.max(0) + lost, _known(GROW * error)).within(size, way)


def _known(error: Array) -> Array:
    return np.where(np.isnan(error), np.inf, error)


def through(net: Net, x: Sized, way: Way, half: Half | None = None, more: int = 0) -> Sized:
    """A net as it is stored; what it reads, and every number that is computed, is rounded to half precision. `more`: in its last map."""
    x = halved(x, half)
    for map_ in net.stored[:-1]:
        lanes = None if map_.up is None else _computed(map_.up, x, way, half)
        x = activated(map_, _computed(map_, x, way, half), lanes, way, half)
    return _computed(net.stored[-1], x, way, half, True, more)


def _computed(map_: Map, x: Sized, way: Way, half: Half | None, last: bool = False, more: int = 0) -> Sized:
    """An affine map, of which sums without and with the bias are rounded."""
    return halved(halved(evaluated(map_, x, way, last, more), half), half)


def halved(x: Sized, half: Half | None) -> Sized:
    """Rounded once; ∞ where that may overflow."""
    if half is None:
        return x
    error = GROW * (x.error + half.u * (x.size + x.error) + half.smallest)
    return x._replace(error=np.where(GROW * (x.size + error) < half.largest, error, np.inf))


def holds(layers: Sequence[Layer], name: str) -> bool:
    """Whether all weights of experts behind the last gate are numbers of that half precision."""
    gates = max((n for n, layer in enumerate(layers) if len(layer.names) > 1), default=0)
    nets = [net for layer in layers[gates:] for net in (*layer.nets, layer.shared) if net is not None]
    arrays = [part for net in nets for map_ in net.stored for part in map_.arrays]
    return all(np.array_equal(_nearest(array, name), array) for array in arrays)


def _nearest(array: Array, name: str) -> Array:
    """As far as a number can be held at all: others become something else."""
    single = array.astype(np.float32)
    if name == "float16":
        with np.errstate(over="ignore"):
            return single.astype(np.float16).astype(float)
    return (single.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32).astype(float)


def overflows(layers: Sequence[Layer], x: Sized, way: Way) -> bool:
    """Whether a number of any layer may be beyond the dtype, also one that is multiplied by 0."""
    for layer in layers:
        for net in layer.everything:
            inner = x.of(layer.sees if net is layer.gate else layer.reads)
            for map_ in net.stored:
                lanes = None if map_.up is None else evaluated(map_.up, inner, way, last=False)
                inner = evaluated(map_, inner, way, last=False)
                if not np.isfinite(inner.error).all() or (lanes is not None and not np.isfinite(lanes.error).all()):
                    return True
                inner = activated(map_, inner, lanes, way) if map_.kinds is not None else inner
                if not np.isfinite(inner.error).all():
                    return True
        x = rounding([layer], x, way)[1]
    return not np.isfinite(x.error).all()


def added(a: Sized, b: Sized, way: Way) -> Sized:
    """One rounded sum."""
    size, error = a.size + b.size, a.error + b.error
    error = GROW * (error + gamma(1, way.dtype) * (size + error) + way.flush)
    return Sized(a.low + b.low - size * (GROW - 1), a.high + b.high + size * (GROW - 1), error).within(size + error, way)


def read(embedding: Array | None, low: Array, high: Array, computed: Array, way: Way) -> Sized:
    """x = Q·z, low ≤ z ≤ high (N, k), computed in float64 and rounded. A z_k that the network computed itself, within `computed` > 0, is
    there as it is; a coordinate that is copied is only rounded.
    """
    x, channel = Sized(low, high, np.broadcast_to(computed, low.shape)), computed > 0
    if embedding is not None:
        terms = (embedding != 0).sum(1)
        lost = np.array([gamma(n) for n in np.where((terms == 1) & (embedding == 1).any(1), 0, terms).tolist()])
        exact = evaluated(Map(embedding, np.zeros(len(embedding))), x._replace(error=np.zeros(low.shape)), Way("float64", len(embedding)))
        x = Sized(exact.low, exact.high, x.error @ np.abs(embedding).T + lost * exact.size)
        channel = (embedding != 0) @ channel
    once = gamma(1, way.dtype) * (x.size + x.error) + way.smallest
    error = GROW * (x.error + np.where(channel, 0.0, once))
    return x._replace(error=error).within(x.size + error, way)


def rounding(layers: Sequence[Layer], x: Sized, way: Way, winners: Flags | None = None) -> tuple[Array, Sized]:
    """(η, each channel behind the last layer) cell by cell, for an evaluation of what the layers read.

    `winners`: (N, E), gate outputs beside which none is chosen in the last layer.
    """
    eta, gates = np.zeros(len(x.low)), max((n for n, layer in enumerate(layers) if len(layer.names) > 1), default=0)
    for n, layer in enumerate(layers):
        logits = None if layer.gate is None else through(layer.gate, x.of(layer.sees), way)
        possible = np.ones((len(eta), len(layer.names)), bool)
        if logits is not None:
            own = logits.error.max(1)
            eta = np.maximum(eta, own)
            least = np.partition(logits.low, -layer.top_k, axis=1)[:, -layer.top_k]
            if (M := grid_of(layer)) is None:
                possible = ~(logits.high + own[:, None] * GROW < (least - own * GROW)[:, None])
            else:  # what is chosen is a matter of the dtype of the weights, not of this evaluation
                eta = np.where(off_grid(M, logits.low, logits.high, logits.error), np.inf, eta)
        if layer is layers[-1] and winners is not None:
            possible &= winners
        x = _behind(layer, x, logits, possible, way, way.half if n >= gates else None)
    return eta, halved(x, way.half)


def _behind(layer: Layer, x: Sized, logits: Sized | None, possible: Flags, way: Way, half: Half | None) -> Sized:
    """The channels behind a layer, whichever of the possible gate outputs are chosen; its experts in half precision."""
    out = Sized(*np.zeros((3, len(x.low), len(layer.carries))))
    kept = layer.carries >= 0
    for part, arriving in zip(out, x.of(layer.carries[kept]), strict=True):
        part[:, kept] = arriving
    if layer.nets:
        written = _experts(layer, x.of(layer.reads), possible, way, half)
        if logits is not None and not layer.unit:
            written = weighed(layer, logits, written, way)
        if layer.shared is not None:
            written = halved(added(written, through(layer.shared, x.of(layer.reads), way, half), way), half)
        both = kept[layer.writes]
        for part, alone, summed in zip(out, written, added(out.of(layer.writes), written, way), strict=True):
            part[:, layer.writes] = np.where(both, summed, alone)
    return out


def _experts(layer: Layer, x: Sized, possible: Flags, way: Way, half: Half | None) -> Sized:
    shape, share = (len(x.low), len(layer.writes)), layer.unit and layer.weighting == "uniform"
    out = Sized(np.full(shape, np.inf), np.full(shape, -np.inf), np.zeros(shape))
    for stored, net in enumerate(layer.nets):
        cells = np.flatnonzero(possible[:, layer.serves == stored].any(1)) if layer.gate is not None else np.arange(len(x.low))
        if len(cells):
            found = _share(net, x.on(cells), way, half, layer.gate is None) if share else through(net, x.on(cells), way, half)
            for part, more, wider in zip(out, found, (np.minimum, np.maximum, np.maximum), strict=True):
                part[cells] = wider(part[cells], more)
    out.error[out.low > out.high] = np.inf
    return out


def _share(net: Net, x: Sized, way: Way, half: Half | None, added: bool) -> Sized:
    """The K-th part of an output, for which 1/K (once in float64, in the weights) and its product are rounded; or the sum of such parts,
    taken in any order.
    """
    if added and len(net.stored) == 1:
        way = Way(way.dtype, way.longest) if way.block else way
    found = through(net, x, way, half, 2 + added * len(x.low[0]))
    error = GROW * (found.error + gamma(2, way.dtype) * (found.size + found.error) + 2 * way.smallest)
    return found._replace(error=error if half is None else error + np.inf)


def weighed(layer: Layer, logits: Sized, out: Sized, way: Way) -> Sized:
    """Σ_k w_k·q_k over K experts, each q_k as `out` says; for one set of K, whichever it is.

    Weights: 1/K, rounded once; σ(s_k), as far off as s_k. Softmax: Σ_k |∂_j w_k| summed over j is Σ_k 2·w_k·(1 − w_k) ≤ 2·(1 − 1/K), the
    exponents s_k − max s are off by the error of a logit and a rounding, and each exp, sum and quotient adds its own.
    """
    K, u, eta = layer.top_k, gamma(1, way.dtype), logits.error.max(1)
    largest = (logits.size + logits.error).max(1)
    whole, wrong, convex = np.ones(len(eta)), np.full(len(eta), u), layer.weighting != "rectified"
    if not convex:
        whole, wrong = K * largest, K * eta
    elif layer.weighting == "softmax":
        wrong = GROW * 2 * (1 - 1 / K) * (eta + 2 * u * largest) + gamma(K + 1 + 4 * ELEMENTARY, way.dtype)
    whole, wrong = whole[:, None], wrong[:, None]
    tiny, reach = 4 * K * float(np.finfo(way.dtype).tiny), out.size + out.error
    error = GROW**2 * (whole * out.error + (wrong + tiny) * reach + gamma(K + 1, way.dtype) * (whole + wrong) * reach + tiny)
    far = GROW**2 * whole * out.size
    error = error if way.half is None else error + np.inf  # weights in half precision are not followed
    found = Sized(out.low, out.high, error) if convex else Sized(-far, far, error)
    return found.within((whole + wrong) * (reach + 1), way)
