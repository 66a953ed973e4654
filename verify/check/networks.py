"""Nets and gates over boxes: values at the vertices, and what can happen between them.

A function q on a box is followed as three parts. Its values at the 2^d vertices; a linear map A of y, the coordinates before any
embedding, whose curvature is known; and the deviation of q − A·y from its multilinear interpolant, a constant interval. Affine maps act
on each part. A neuron whose sign is known on the box passes them on or is 0. Any other is σ(z), where the interpolant of z ranges over
[z₋, z₊]: σ of it lies at most −z₋·z₊/(z₊ − z₋) below the interpolant of σ(z), never above, and σ moves no further than z deviates. Pairs
act(z) − act(−z) are linear. Activations that are bent everywhere, and lanes, are followed to second order (`bends`): they are meant to be
few here; where they are many, `course` follows them to a higher one.

A product of q = I + D and λ = J + F is I·J, which is Σ_k e_k·f_k/4 from its interpolant, and I·F + J·D + D·F.

Where K experts are weighed, weights that vary over a box are taken as constants ± a radius; anything known to ±r everywhere is known
to ±r at the vertices and moves by up to 2r between them. What is read amiss by up to e is y + e·δ, δ more coordinates of the box.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from ...intervals.patch import GROW, Patch, over, signs
from ...intervals.rounding import gamma
from .bends import bent
from .layers import Layer
from .nets import IDENTITY, RELU, Flags, Indices, Map, Net

TINY = 2.0**-1000
"""Far above what underflow loses, far below what matters."""
FEW = 2.0**-50
"""For sums of no more than 2^3 roundings, relative to their largest term."""
SUBSETS = 64
"""Sets of K experts that are tried for a box; where more may be chosen, nothing is known of their sum."""


@dataclass(frozen=True, eq=False)
class Rows:
    """n functions on R boxes, along one path through the layers each."""

    box: Indices
    """(R,): which box of the frame."""
    core: Array
    """(R, 2^d + k + 1, n): values at the vertices, the linear part in y, the middle of the deviation of the rest."""
    rough: Array
    """(R, 2, n): how far the values are known, and how far the deviation is from its middle."""

    def __len__(self) -> int:
        return len(self.box)

    def subset(self, rows: Indices) -> Rows:
        return Rows(self.box[rows], self.core[rows], self.rough[rows])

    def channels(self, which: Indices) -> Rows:
        return Rows(self.box, self.core[:, :, which], self.rough[:, :, which])

    @staticmethod
    def concatenate(parts: Sequence[Rows]) -> Rows:
        return Rows(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("box", "core", "rough")))


class Frame:
    """Boxes on which y is known: where functions of y are followed."""

    def __init__(self, y: Patch) -> None:
        """Every number of y has to be finite."""
        down, up = (part.sum(1) for part in y.deviation)
        self.y, self.vertices = y, y.at.lower.shape[1]
        self.middle, self.radius = (up - down) / 2, (up + down) / 2 * GROW
        """Deviation of y from its interpolant, (N, k)."""

    def start(self, embedding: Array | None) -> Rows:
        """x = Q·y."""
        N, k = self.middle.shape
        core = np.zeros((N, self.vertices + k + 1, k))
        core[:, : self.vertices] = self.y.at.middle
        core[:, self.vertices : -1] = np.eye(k)
        rough = np.stack([self.y.at.reach.max(1), np.zeros((N, k))], axis=1)
        rows = Rows(np.arange(N), core, rough)
        if embedding is None:
            return rows
        if ((embedding == 1).sum(1) == 1).all() and ((embedding != 0).sum(1) == 1).all():
            return rows.channels(embedding.argmax(1))
        return self.affine(Map(embedding, np.zeros(len(embedding))), rows)

    def affine(self, map_: Map, rows: Rows) -> Rows:
        """W·q + b. The rounded product with A counts as the linear part, what rounding changed as deviation."""
        V, g = self.vertices, gamma(map_.weight.shape[1] + 3)
        core = rows.core @ map_.weight.T
        core[:, :V] += map_.bias
        rough = rows.rough.copy()
        rough += g * self._sizes(rows)
        rough = rough @ np.abs(map_.weight).T
        rough[:, 0] += g * np.abs(map_.bias)
        return Rows(rows.box, core, rough * (GROW + 2 * g) + TINY)

    def _sizes(self, rows: Rows) -> Array:
        """Largest numbers that values and deviations are added from, (R, 2, n)."""
        bent = np.abs(self.middle[rows.box]) + self.radius[rows.box]
        linear = np.einsum("nkc,nk->nc", np.abs(rows.core[:, self.vertices : -1]), bent)
        return np.stack([over(np.maximum, np.abs(rows.core[:, : self.vertices])), np.abs(rows.core[:, -1]) + linear], axis=1)

    def hidden(self, net: Net, rows: Rows) -> Rows:
        """The last hidden layer, and behind it the inputs where the net passes some."""
        inner = rows
        for map_ in net.maps[:-1]:
            inner = self._activated(map_, self.affine(map_, inner), inner)
        if len(net.maps) == 1 or not net.skip.any():
            return inner
        return Rows(rows.box, np.concatenate([inner.core, rows.core], 2), np.concatenate([inner.rough, rows.rough], 2))

    def net(self, net: Net, rows: Rows) -> Rows:
        return self.affine(outer(net), self.hidden(net, rows))

    def deviation(self, rows: Rows) -> tuple[Array, Array]:
        """How far q may be (≤ 0, ≥ 0) from its interpolant, (R, n) each: at the vertices it is on it."""
        linear = rows.core[:, self.vertices : -1]
        middle = np.einsum("nkc,nk->nc", linear, self.middle[rows.box]) + rows.core[:, -1]
        bent = np.abs(self.middle[rows.box]) * gamma(self.middle.shape[1] + 8) + self.radius[rows.box]
        radius = (np.einsum("nkc,nk->nc", np.abs(linear), bent) + rows.rough[:, 1] + FEW * np.abs(rows.core[:, -1])) * GROW
        return np.minimum(middle - radius, 0), np.maximum(middle + radius, 0)

    def vertex_range(self, rows: Rows) -> tuple[Array, Array]:
        """Least and largest of the values at the vertices, (R, n) each."""
        at = rows.core[:, : self.vertices]
        low, high = over(np.minimum, at), over(np.maximum, at)
        slack = rows.rough[:, 0] * GROW + FEW * np.maximum(-low, high)
        return low - slack, high + slack

    def _activated(self, map_: Map, z: Rows, inner: Rows) -> Rows:
        """act(z)·(U·x + c), x what the layer reads."""
        assert map_.kinds is not None
        out = self._rectified(z, map_.kinds == IDENTITY)
        for kind in np.unique(map_.kinds[map_.kinds > RELU]).tolist():
            mine = np.flatnonzero(map_.kinds == kind)
            bent = self._bent(kind, z.channels(mine))
            out.core[:, :, mine], out.rough[:, :, mine] = bent.core, bent.rough
        if map_.up is None:
            return out
        lanes = np.flatnonzero(~map_.flat)
        product = self.times(out.channels(lanes), self.affine(map_.up.rows(lanes), inner))
        out.core[:, :, lanes], out.rough[:, :, lanes] = product.core, product.rough
        return out

    def _rectified(self, rows: Rows, linear: Flags) -> Rows:
        low, high = self.vertex_range(rows)
        down, up = self.deviation(rows)
        passing = linear | (low + down >= 0)
        silent = ~linear & (high + up <= 0)
        open_ = (low < 0) & (high > 0)
        gap = np.minimum(np.where(open_, -low * (high / np.where(open_, high - low, 1.0)), 0.0), self._scatter(rows)) * GROW
        middle, radius = (up - gap + down) / 2, (up + gap - down) / 2 * GROW
        core = rows.core.copy()
        V = self.vertices
        core[:, :V] = np.where(passing[:, None], core[:, :V], np.maximum(core[:, :V], 0))
        core[:, V:-1] *= passing[:, None]
        core[:, -1] = np.where(passing, core[:, -1], np.where(silent, 0.0, middle))
        rough = np.where(silent[:, None], 0.0, rows.rough)
        rough[:, 1] = np.where(passing | silent, rough[:, 1], radius + FEW * np.abs(middle))
        return Rows(rows.box, core, rough)

    def _bent(self, kind: int, rows: Rows) -> Rows:
        """A smooth activation, or one with a kink in its slope. What is read moves with its slope in the middle, the rest is deviation."""
        V, (low, high), (down, up) = self.vertices, self.vertex_range(rows), self.deviation(rows)
        edges = (self._edges(rows) ** 2).sum(0)
        found = bent(kind, rows.core[:, :V], rows.rough[:, 0], low + down, high + up, edges)
        core = rows.core * found.slope[:, None]
        core[:, :V], core[:, -1] = found.at, core[:, -1] + (found.above - found.below) / 2
        away = np.abs(found.slope) * rows.rough[:, 1] + found.spread * np.maximum(-down, up) + (found.above + found.below) / 2
        out = Rows(rows.box, core, np.stack([found.off, away], axis=1) * GROW + TINY)
        return Rows(rows.box, core, out.rough + FEW * self._sizes(out))

    def times(self, a: Rows, b: Rows) -> Rows:
        """The products of functions, one by one."""
        V, middles, reaches, far = self.vertices, list[Array](), list[Array](), list[Array]()
        for rows in (a, b):
            (low, high), (down, up) = self.vertex_range(rows), self.deviation(rows)
            middles.append((low + high) / 2)
            reaches.append(np.maximum(high - middles[-1], middles[-1] - low) * GROW)
            far.append(np.maximum(-down, up))
        core = a.core * middles[1][:, None] + b.core * middles[0][:, None]
        core[:, :V] = a.core[:, :V] * b.core[:, :V]
        size = [np.abs(rows.core[:, :V]).max(1) for rows in (a, b)]
        off = size[0] * b.rough[:, 0] + size[1] * a.rough[:, 0] + a.rough[:, 0] * b.rough[:, 0]
        twist = (self._edges(a) * self._edges(b)).sum(0) / 4
        away = np.abs(middles[1]) * a.rough[:, 1] + np.abs(middles[0]) * b.rough[:, 1] + twist
        away = away + reaches[0] * far[1] + reaches[1] * far[0] + far[0] * far[1]
        out = Rows(a.box, core, np.stack([off, away], axis=1) * GROW + TINY)
        # What is added up in `core` is larger than its sum.
        parts = [Rows(a.box, rows.core * middle[:, None], 0 * rows.rough) for rows, middle in ((a, middles[1]), (b, middles[0]))]
        return Rows(a.box, core, out.rough + FEW * (self._sizes(out) + sum(self._sizes(part) for part in parts)))

    def _edges(self, rows: Rows) -> Array:
        """At least what the interpolant of values at the vertices changes by along an axis, (axes, R, n)."""
        at = rows.core[:, : self.vertices]
        slack = 2 * (rows.rough[:, 0] * GROW + FEW * np.abs(at).max(1))
        cube = at.reshape(len(at), *(2,) * (self.vertices.bit_length() - 1), at.shape[2])
        half = self.vertices // 2
        changes = [np.abs(np.diff(cube, axis=k)).reshape(len(at), half, at.shape[2]).max(1) for k in range(1, cube.ndim - 1)]
        return np.stack(changes) + slack if changes else np.zeros((0, *slack.shape))

    def _scatter(self, rows: Rows) -> Array:
        """At most the interpolant of σ(z) − σ(the interpolant of z), (R, n), for z given at the vertices.

        An interpolant at τ is the mean of the values at vertices drawn with probabilities ∏(1 ± τ_k)/2. For a mean m and a variance v
        the mean of σ is at most (m + √(m² + v))/2, so that σ(m) and the mean are at most √v/2 apart; and v ≤ Σ_k max|Δ_k z|²/4.
        """
        if self.vertices <= 2:
            return np.array(np.inf)
        total = np.zeros(rows.core[:, 0].shape)
        for edge in self._edges(rows):
            total = np.hypot(total, edge)  # squares might underflow
        return total / 4

    def losing(self, gate: Net, K: int, arriving: Rows, tolerance: float) -> tuple[Flags, Flags]:
        """Gate outputs that are surely more than `tolerance` below K others all over the box, and such as are surely among the K largest
        at a vertex, (R, E) each.

        Two logits are compared through the net of their difference, in which what they share cancels.
        """
        hidden, last = self.hidden(gate, arriving), outer(gate)
        logits = self.affine(last, hidden)
        low, _ = self.vertex_range(logits)
        beaten = np.zeros(low.shape, int)
        best = np.argsort(-low, axis=1, kind="stable")[:, :K]
        for b in np.unique(best):
            rows = np.flatnonzero((best == b).any(1))
            other = self.affine(Map(last.weight[b] - last.weight, last.bias[b] - last.bias), hidden.subset(rows))
            beaten[rows] += self.vertex_range(other)[0] + self.deviation(other)[0] > tolerance * GROW
        at = logits.core[:, : self.vertices]
        slack = logits.rough[:, :1] + np.abs(at) * FEW
        if low.shape[1] <= K:
            return np.zeros(low.shape, bool), np.ones(low.shape, bool)
        above = np.sort(at + slack, axis=2)[:, :, [-K - 1, -K]]
        surely = at - slack > np.where(at + slack >= above[:, :, 1:], above[:, :, :1], above[:, :, 1:])
        return beaten >= K, np.asarray(surely.any(1))

    def behind(self, layer: Layer, state: Rows, eta: float) -> Rows:
        """The channels behind a layer, one row for each way that the gate may choose, its logits known to ±η."""
        if layer.gate is None:
            return self.placed(layer, state, self.net(layer.nets[0], state.channels(layer.reads)) if layer.nets else None)
        losing, _ = self.losing(layer.gate, layer.top_k, state.channels(layer.sees), 2 * eta)
        if layer.unit:
            return Rows.concatenate([found for _, found in self.choices(layer, state, ~losing)])
        return Rows.concatenate(list(self.sums(layer, state, ~losing, eta)))

    def choices(self, layer: Layer, state: Rows, possible: Flags) -> Iterator[tuple[int, Rows]]:
        """The channels behind a layer if one of the possible gate outputs is taken alone, stored expert by stored expert."""
        for stored, net in enumerate(layer.nets):
            mine = np.flatnonzero(possible[:, layer.serves == stored].any(1))
            if len(mine):
                part = state.subset(mine)
                yield stored, self.placed(layer, part, self.net(net, part.channels(layer.reads)))

    def sums(self, layer: Layer, state: Rows, possible: Flags, eta: float) -> Iterator[Rows]:
        """The same for every set of K possible gate outputs, weighed, unless one outside of it is surely more than 2η above one inside;
        nothing is known of boxes with too many of them, or too few.
        """
        assert layer.gate is not None
        patterns, which = np.unique(possible, axis=0, return_inverse=True)
        for n, pattern in enumerate(patterns):
            part = state.subset(np.flatnonzero(which.reshape(-1) == n))
            members = np.flatnonzero(pattern)
            if not 1 <= comb(len(members), layer.top_k) <= SUBSETS:
                yield self.placed(layer, part, self.known(self.net(layer.nets[0], part.channels(layer.reads)), np.array(np.inf)))
                continue
            logits = self.net(layer.gate, part.channels(layer.sees))
            over = self._over(layer.gate, part.channels(layer.sees), members, 2 * eta)
            outputs = {k: self.net(layer.nets[k], part.channels(layer.reads)) for k in np.unique(layer.serves[members]).tolist()}
            for chosen in combinations(members.tolist(), layer.top_k):
                inside = np.isin(members, chosen)
                may = np.flatnonzero(~over[:, ~inside][:, :, inside].any((1, 2)))
                some, at, total = part.subset(may), logits.subset(may), None
                for weight, j in zip(self._weights(layer, at, chosen), chosen, strict=True):
                    one = self._weighed(outputs[int(layer.serves[j])].subset(may), weight)
                    total = one if total is None else self.plus(total, one)
                yield self.placed(layer, some, total)

    def _over(self, gate: Net, arriving: Rows, members: Indices, tolerance: float) -> Flags:
        """Which of some logits are surely more than `tolerance` above which, (R, members, members)."""
        hidden, last = self.hidden(gate, arriving), outer(gate)
        found = np.zeros((len(arriving), len(members), len(members)), bool)
        for n, i in enumerate(members.tolist()):
            apart = self.affine(Map(last.weight[i] - last.weight[members], last.bias[i] - last.bias[members]), hidden)
            found[:, n] = self.vertex_range(apart)[0] + self.deviation(apart)[0] > tolerance * GROW
        return found

    def _weights(self, layer: Layer, logits: Rows, chosen: Sequence[int]) -> Iterator[Interval]:
        """w_j of the chosen experts, (R,) each."""
        for j in chosen:
            if layer.weighting == "uniform":
                yield Interval.of(np.ones(len(logits))) / Interval.of(float(layer.top_k))
            elif layer.weighting == "rectified":
                s = self.range(logits.channels(np.array([j])))[:, 0]
                yield Interval(np.maximum(s.lower, 0), np.maximum(s.upper, 0))
            else:
                total = Interval.of(np.zeros(len(logits)))
                pair = Map(np.array([[1.0, -1.0]]), np.zeros(1))
                for i in chosen:
                    total = total + self.range(self.affine(pair, logits.channels(np.array([i, j]))))[:, 0].exp()
                yield total.inverse()

    def _weighed(self, rows: Rows, weight: Interval) -> Rows:
        """w·q for a number w per row that is only known to lie in an interval."""
        middle = (weight.lower + weight.upper) / 2
        radius = np.maximum(weight.upper - middle, middle - weight.lower) * GROW
        core, rough = rows.core * middle[:, None, None], rows.rough * np.abs(middle)[:, None, None]
        scaled = Rows(rows.box, core, rough * GROW + TINY)
        rounded = Rows(rows.box, core, scaled.rough + FEW * self._sizes(scaled))
        return self.known(rounded, radius[:, None] * self.range(rows).magnitude)

    def known(self, rows: Rows, radius: Array) -> Rows:
        """Anything that is never further than `radius`, (R, n) or less, from q."""
        away = np.broadcast_to(radius, rows.core[:, 0].shape)
        return Rows(rows.box, rows.core, rows.rough + np.stack([away, 2 * away], axis=1) * GROW)

    def plus(self, a: Rows, b: Rows) -> Rows:
        rough = (a.rough + b.rough + FEW * (self._sizes(a) + self._sizes(b))) * GROW
        return Rows(a.box, a.core + b.core, rough)

    def placed(self, layer: Layer, state: Rows, written: Rows | None) -> Rows:
        """carry(h) + scatter(written + shared(h))."""
        if layer.shared is not None and written is not None:
            written = self.plus(written, self.net(layer.shared, state.channels(layer.reads)))
        kept = layer.carries >= 0
        if written is not None and not kept.any() and np.array_equal(layer.writes, np.arange(len(kept))):
            return written
        core, rough = (np.zeros((*part.shape[:2], len(kept))) for part in (state.core, state.rough))
        core[:, :, kept], rough[:, :, kept] = state.core[:, :, layer.carries[kept]], state.rough[:, :, layer.carries[kept]]
        out = Rows(state.box, core, rough)
        if written is not None:
            both = self.plus(out.channels(layer.writes), written) if kept[layer.writes].any() else written
            core[:, :, layer.writes], rough[:, :, layer.writes] = both.core, both.rough
        return out

    def range(self, rows: Rows) -> Interval:
        """What q lies in, (R, n)."""
        (low, high), (down, up) = self.vertex_range(rows), self.deviation(rows)
        lost = FEW * (np.abs(low) + np.abs(high) + up - down)
        return Interval(low + down - lost, high + up + lost)


def beside(patch: Patch, shifts: Array) -> Patch:
    """The functions plus Σ_j δ_j·shifts_j, (m, functions), on boxes with m more coordinates δ ∈ [−1, 1]^m: all that is at most so far off.
    No more than one of the shifts of a function is not 0.
    """
    (m, c), N = shifts.shape, len(patch)
    if not m:
        return patch
    ones, corners = np.ones((N, m)), Interval.of(signs(m) @ shifts)
    at = patch.at[:, :, None] + corners
    zeros = np.zeros((N, m, c))

    def joined(part: Interval, more: Array) -> Interval:
        return Interval(np.concatenate([part.lower, more], 1), np.concatenate([part.upper, more], 1))

    return Patch(
        np.concatenate([patch.lower, -ones], 1),
        np.concatenate([patch.upper, ones], 1),
        patch.value + Interval(-np.abs(shifts).sum(0), np.abs(shifts).sum(0)),
        Interval(at.lower.reshape(N, -1, c), at.upper.reshape(N, -1, c)),
        joined(patch.first, zeros + shifts),
        joined(patch.second, zeros),
    )


def outer(net: Net) -> Map:
    """What follows the last hidden layer (and the inputs where some pass)."""
    last = net.maps[-1]
    if len(net.maps) == 1:
        return Map(last.weight + net.skip, last.bias)
    return Map(np.concatenate([last.weight, net.skip], axis=1), last.bias) if net.skip.any() else last
