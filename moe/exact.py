"""What a network computes at one point in real arithmetic: sums of products of whole numbers, nothing rounded.

Weights are floats, which are whole numbers times powers of two, so an affine map of such numbers is exact, and so are max(·, 0), its
square, products of lanes, the gates and the routes. A point that is only known to lie in an interval gives intervals. What cannot be exact
is enclosed: smooth activations by `exact_activations`, softmax and 1/K by intervals of `expressions.precise`. Slow and certain: for
single points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from ..expressions.precise import Enclosed, enclose_at
from ..expressions.tree import Call, Name, Reciprocal, Sum
from .activations import Activation
from .exact_activations import FINE, enclose
from .layer import MoELayer, Weighting
from .nets import ReLUNet
from .network import Network

Whole = NDArray[np.object_]
BITS, MOST_BITS = 320, 4096
"""Binary digits behind the point of numbers that have to be rounded outward: to begin with, and once there are more than so many."""


class NotDecided(Exception):
    """Which expert is taken is not decided by what is known of the point."""


@dataclass(frozen=True, eq=False)
class Exact:
    """Numbers in [lower, upper]·2^-bits; `lower` is `upper` where they are known exactly."""

    lower: Whole
    upper: Whole
    bits: int

    @staticmethod
    def of(values: Sequence[Enclosed]) -> Exact:
        """Numbers of which so much is known."""
        exact = all(v.exact is not None and v.lower.denominator.bit_count() == 1 for v in values)
        bits = max(BITS, *(v.lower.denominator.bit_length() for v in values)) if exact else BITS
        lower = np.array([(v.lower.numerator << bits) // v.lower.denominator for v in values], object)
        upper = lower if exact else np.array([-((-v.upper.numerator << bits) // v.upper.denominator) for v in values], object)
        return Exact(lower, upper, bits)

    @property
    def known(self) -> bool:
        return self.lower is self.upper

    def made(self, lower: Whole, upper: Whole | None, bits: int) -> Exact:
        """With as many digits as are kept."""
        upper = lower if upper is None else upper
        if bits <= MOST_BITS:
            return Exact(lower, upper, bits)
        shift = bits - BITS
        return Exact(lower >> shift, -((-upper) >> shift), BITS)

    def affine(self, weight: NDArray, bias: NDArray) -> Exact:
        """W·x + b."""
        (w, exponent), (b, shift) = whole(weight), whole(bias)
        bits = self.bits + exponent
        up = bits - shift
        if up < 0:
            b, bits, scale = b, shift, -up
        else:
            b, scale = b << up if len(b) else b, 0
        if self.known:
            total = (w @ self.lower if w.size else np.zeros(len(b), object)) * (1 << scale)
            return self.made(total + b, None, bits)
        over, under = np.maximum(w, 0), np.minimum(w, 0)
        lower = (over @ self.lower + under @ self.upper) * (1 << scale) + b
        upper = (over @ self.upper + under @ self.lower) * (1 << scale) + b
        return self.made(lower, upper, bits)

    def rectified(self) -> Exact:
        lower = np.maximum(self.lower, 0)
        return Exact(lower, lower if self.known else np.maximum(self.upper, 0), self.bits)

    def squared(self) -> Exact:
        """Of numbers ≥ 0."""
        lower = self.lower * self.lower
        return self.made(lower, None if self.known else self.upper * self.upper, 2 * self.bits)

    def bent(self, activations: Sequence[tuple[slice, Activation]]) -> Exact:
        """The activation of each slice."""
        return Exact.joined([self.part(range(len(self.lower))[where])._bent(activation.name) for where, activation in activations])

    def _bent(self, name: str) -> Exact:
        if name == "identity":
            return self
        if name in ("relu", "relu2"):
            return self.rectified() if name == "relu" else self.rectified().squared()
        pairs = [enclose(name, int(a), int(b), self.bits) for a, b in zip(self.lower, self.upper, strict=True)]
        lower, upper = np.array([pair[0] for pair in pairs], object), np.array([pair[1] for pair in pairs], object)
        return Exact(lower, upper, FINE)

    @staticmethod
    def joined(parts: Sequence[Exact]) -> Exact:
        """One behind the other."""
        if len(parts) == 1:
            return parts[0]
        bits = max((part.bits for part in parts), default=BITS)
        finer = [part.finer(bits) for part in parts]
        lower = np.concatenate([np.zeros(0, object), *(part.lower for part in finer)])
        known = all(part.known for part in finer)
        return Exact(lower, lower if known else np.concatenate([part.upper for part in finer]), bits)

    def part(self, rows: Sequence[int]) -> Exact:
        lower = self.lower[list(rows)]
        return Exact(lower, lower if self.known else self.upper[list(rows)], self.bits)

    def plus(self, other: Exact) -> Exact:
        bits = max(self.bits, other.bits)
        a, b = self.finer(bits), other.finer(bits)
        lower = a.lower + b.lower
        return Exact(lower, lower if a.known and b.known else a.upper + b.upper, bits)

    def finer(self, bits: int) -> Exact:
        shift = bits - self.bits
        lower = self.lower << shift if shift and len(self.lower) else self.lower
        return Exact(lower, lower if self.known else (self.upper << shift if shift else self.upper), bits)

    def times(self, factor: Exact) -> Exact:
        """Each of them times a number of its own, or all times one."""
        low, high = factor.lower, factor.upper
        ends = [self.lower * low, self.lower * high, self.upper * low, self.upper * high]
        exact = self.known and factor.known
        lower = ends[0] if exact else np.minimum.reduce(ends)
        return self.made(lower, lower if exact else np.maximum.reduce(ends), self.bits + factor.bits)

    def enclosed(self) -> list[Enclosed]:
        scale = 1 << self.bits
        return [Enclosed(Fraction(int(a), scale), Fraction(int(b), scale)) for a, b in zip(self.lower, self.upper, strict=True)]


def whole(numbers: NDArray) -> tuple[Whole, int]:
    """Floats as whole numbers times 2^-exponent."""
    mantissa, power = np.frexp(np.asarray(numbers, float))
    parts, power = np.ldexp(mantissa, 53).astype(np.int64), power - 53
    least = int(power[parts != 0].min(initial=0))
    shift = np.where(parts != 0, power - least, 0).astype(object)
    return np.left_shift(parts.astype(object), shift) if parts.size else parts.astype(object), -least


def evaluate(network: Network, inputs: Sequence[Enclosed]) -> tuple[list[Enclosed], list[tuple[int, ...]]]:
    """What leaves the network, and the gate outputs that are chosen, layer by layer. Raises `NotDecided` where a choice is open."""
    state, routes = Exact.of(inputs), []
    for layer in network.layers:
        logits = None if layer.gate is None else run(layer.gate, state if layer.sees is None else state.part(layer.sees))
        chosen = (0,) if logits is None else choose(logits, layer.top_k)
        routes.append(chosen)
        state = _behind(layer, state, logits, chosen)
    return state.enclosed(), routes


def run(net: ReLUNet, state: Exact) -> Exact:
    """A net of exact numbers."""
    *hidden, last = net.affines
    for affine, up, activations in zip(hidden, net.ups, net.activations, strict=True):
        bent = state.affine(affine.weight, affine.bias).bent(activations)
        state = bent if up is None else bent.times(state.affine(up.weight, up.bias))
    return state.affine(last.weight, last.bias)


def choose(logits: Exact, top_k: int) -> tuple[int, ...]:
    """The K gate outputs with the largest logits, in their own order; of equal ones the first. Raises `NotDecided`."""
    middle = logits.lower + logits.upper
    chosen = sorted(range(len(middle)), key=lambda k: (-middle[k], k))[:top_k]
    for j in chosen:
        for k in set(range(len(middle))) - set(chosen):
            if not (logits.lower[j] > logits.upper[k] or (logits.lower[j] >= logits.upper[k] and j < k)):
                raise NotDecided(f"gate outputs {j} and {k} are too close to tell which is larger")
    return tuple(sorted(chosen))


def _behind(layer: MoELayer, state: Exact, logits: Exact | None, chosen: Sequence[int]) -> Exact:
    """The state behind a layer."""
    inputs = state if layer.reads is None else state.part(layer.reads)
    low = inputs if layer.latent is None else inputs.affine(layer.latent.weight, layer.latent.bias)
    parts = [run(layer.experts[layer.serves[k]], low) for k in chosen]
    if not layer.unit:
        assert logits is not None
        parts = [part.times(weight) for part, weight in zip(parts, _weights(layer, logits, chosen), strict=True)]
    if layer.shared is not None:
        parts.append(run(layer.shared, inputs))
    written = parts[0]
    for part in parts[1:]:
        written = written.plus(part)
    if layer.writes is None and layer.carries is None:
        return written
    rows, columns = len(layer.channels), len(layer.targets)
    place = np.zeros((rows, columns))
    place[layer.targets, np.arange(columns)] = 1
    carry = np.zeros((rows, len(state.lower)))
    carried = np.flatnonzero(layer.sources >= 0)
    carry[carried, layer.sources[carried]] = 1
    zero = np.zeros(rows)
    return written.affine(place, zero).plus(state.affine(carry, zero))


def _weights(layer: MoELayer, logits: Exact, chosen: Sequence[int]) -> list[Exact]:
    """What the outputs of the chosen experts are multiplied with."""
    if layer.weighting is Weighting.RECTIFIED:
        return [logits.part([k]).rectified() for k in chosen]
    if layer.weighting is Weighting.UNIFORM:
        return [Exact.of([Enclosed(Fraction(1, layer.top_k), Fraction(1, layer.top_k))])] * len(chosen)
    known = logits.part(chosen).enclosed()
    return [Exact.of([Enclosed(_share(k, known, False), _share(k, known, True))]) for k in range(len(known))]


def _share(k: int, logits: Sequence[Enclosed], upper: bool) -> Fraction:
    """exp(s_k)/Σ exp(s_j) = 1/Σ exp(s_j − s_k) at most, or at least: it grows with s_k and falls with the others."""
    own = logits[k].upper if upper else logits[k].lower
    point = {str(j): (other.lower if upper else other.upper) - own for j, other in enumerate(logits) if j != k}
    terms = [Call("exp", (Name(name),)) for name in point]
    one = enclose_at(Reciprocal(Sum((Call("exp", (Name("0k"),)), *terms))), {**point, "0k": Fraction(0)})
    if not isinstance(one, Enclosed):
        raise NotDecided("logits are too far apart for a softmax to be enclosed")
    return one.upper if upper else one.lower


def affine_of(matrix: NDArray | None, base: Sequence[Enclosed]) -> list[Enclosed]:
    """x = Q·y; None: x = y."""
    return list(base) if matrix is None else Exact.of(base).affine(matrix, np.zeros(len(matrix))).enclosed()
