"""ReLU nets and gates over boxes: values at the vertices, and what can happen between them.

A function q on a box is followed as three parts. Its values at the 2^d vertices; a linear map A of y, the coordinates before any
embedding, whose curvature is known; and the deviation of q − A·y from its multilinear interpolant, a constant interval. Affine maps act
on each part. A neuron whose sign is known on the box passes them on or is 0. Any other is σ(z), where the interpolant of z ranges over
[z₋, z₊]: σ of it lies at most −z₋·z₊/(z₊ − z₋) below the interpolant of σ(z), never above, and σ moves no further than z deviates. Pairs
σ(z) − σ(−z) are linear.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...atlas import Array
from ...intervals.patch import GROW, ULPS, Patch

Flags = NDArray[np.bool_]
Indices = NDArray[np.intp]
TINY = 2.0**-1000
"""Far above what underflow loses, far below what matters."""


class Map(NamedTuple):
    """x ↦ W·x + b, in float64 whatever the file holds."""

    weight: Array
    bias: Array


class Net(NamedTuple):
    """A ReLU net. Hidden neurons of `maps` flagged `linear` have the identity for σ."""

    stored: tuple[Map, ...]
    """As it is in the file and evaluated."""
    maps: tuple[Map, ...]
    """The same function with fewer neurons."""
    linear: tuple[Flags, ...]


class Layer(NamedTuple):
    """Gate output j, the first largest, sends channels `reads` to nets[serves[j]]."""

    gate: Map
    nets: tuple[Net, ...]
    serves: Indices
    reads: Indices
    names: tuple[str, ...]


def with_linear_pairs(maps: Sequence[Map]) -> Net:
    """The same function with σ(z) − σ(−z) = z as one linear neuron: the second of such a pair is dropped."""
    stored, maps = tuple(maps), list(maps)
    linear = []
    for j in range(len(maps) - 1):
        inner, outer = maps[j], maps[j + 1]
        keys = np.concatenate([inner.weight, inner.bias[:, None], outer.weight.T], axis=1) + 0.0  # no −0
        waiting: dict[bytes, list[int]] = {}
        kept, flags = np.ones(len(keys), bool), np.zeros(len(keys), bool)
        for n, key in enumerate(keys):
            if partners := waiting.get((0.0 - key).tobytes()):
                flags[partners.pop()], kept[n] = True, False
            else:
                waiting.setdefault(key.tobytes(), []).append(n)
        maps[j], maps[j + 1] = Map(inner.weight[kept], inner.bias[kept]), Map(outer.weight[:, kept], outer.bias)
        linear.append(flags[kept])
    return Net(stored, tuple(maps), tuple(linear))


def gamma(n: int, dtype: DTypeLike = float) -> float:
    """n·u/(1 − n·u)."""
    u = float(np.finfo(dtype).eps) / 2
    return n * u / (1 - n * u)


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
        return rows if embedding is None else self.affine(Map(embedding, np.zeros(len(embedding))), rows)

    def affine(self, map_: Map, rows: Rows) -> Rows:
        """W·q + b. The rounded product with A counts as the linear part, what rounding changed as deviation."""
        V, g = self.vertices, gamma(map_.weight.shape[1] + 2)
        core = rows.core @ map_.weight.T
        core[:, :V] += map_.bias
        bent = np.abs(self.middle[rows.box]) + self.radius[rows.box]
        moved = np.abs(rows.core[:, -1]) + np.einsum("nkc,nk->nc", np.abs(rows.core[:, V:-1]), bent)
        rough = rows.rough.copy()
        rough[:, 0] += g * np.abs(rows.core[:, :V]).max(1)
        rough[:, 1] += g * moved
        rough = rough @ np.abs(map_.weight).T
        rough[:, 0] += g * np.abs(map_.bias)
        return Rows(rows.box, core, rough * (GROW + 2 * g) + TINY)

    def net(self, net: Net, rows: Rows) -> Rows:
        for map_, linear in zip(net.maps[:-1], net.linear, strict=True):
            rows = self._rectified(self.affine(map_, rows), linear)
        return self.affine(net.maps[-1], rows)

    def deviation(self, rows: Rows) -> tuple[Array, Array]:
        """How far q may be (≤ 0, ≥ 0) from its interpolant, (R, n) each: at the vertices it is on it."""
        linear = rows.core[:, self.vertices : -1]
        middle = np.einsum("nkc,nk->nc", linear, self.middle[rows.box]) + rows.core[:, -1]
        bent = np.abs(self.middle[rows.box]) * ULPS + self.radius[rows.box]
        radius = (np.einsum("nkc,nk->nc", np.abs(linear), bent) + rows.rough[:, 1] + ULPS * np.abs(rows.core[:, -1])) * GROW
        return np.minimum(middle - radius, 0), np.maximum(middle + radius, 0)

    def vertex_range(self, rows: Rows) -> tuple[Array, Array]:
        """Least and largest of the values at the vertices, (R, n) each."""
        at = rows.core[:, : self.vertices]
        slack = rows.rough[:, 0] * GROW + ULPS * np.abs(at).max(1)
        return at.min(1) - slack, at.max(1) + slack

    def _rectified(self, rows: Rows, linear: Flags) -> Rows:
        low, high = self.vertex_range(rows)
        down, up = self.deviation(rows)
        passing = linear | (low + down >= 0)
        silent = ~linear & (high + up <= 0)
        open_ = (low < 0) & (high > 0)
        gap = np.where(open_, -low * high / np.where(open_, high - low, 1.0), 0.0) * GROW
        middle, radius = (up - gap + down) / 2, (up + gap - down) / 2 * GROW
        core = rows.core.copy()
        V = self.vertices
        core[:, :V] = np.where(passing[:, None], core[:, :V], np.maximum(core[:, :V], 0))
        core[:, V:-1] *= passing[:, None]
        core[:, -1] = np.where(passing, core[:, -1], np.where(silent, 0.0, middle))
        rough = np.where(silent[:, None], 0.0, rows.rough)
        rough[:, 1] = np.where(passing | silent, rough[:, 1], radius + ULPS * np.abs(middle))
        return Rows(rows.box, core, rough)

    def losing(self, logits: Rows, tolerance: float) -> tuple[Flags, Flags]:
        """Gate outputs that are surely more than `tolerance` below another all over the box, (R, E), and such as surely win at a vertex."""
        low, _ = self.vertex_range(logits)
        rows = np.arange(len(logits))
        best = low.argmax(1)
        other = Rows(
            logits.box, logits.core[rows, :, best][:, :, None] - logits.core, logits.rough[rows, :, best][:, :, None] + logits.rough
        )
        other.rough[:, 0] += ULPS * np.abs(logits.core[:, : self.vertices]).max((1, 2))[:, None]
        other.rough[:, 1] += ULPS * np.abs(logits.core[:, -1]).max(1)[:, None]
        losing = self.vertex_range(other)[0] + self.deviation(other)[0] > tolerance * GROW
        at, slack = logits.core[:, : self.vertices], logits.rough[:, :1] + np.abs(logits.core[:, : self.vertices]) * ULPS
        rivals = np.sort(at + slack, axis=2)[:, :, -2:]
        first = (at - slack > np.where(at + slack == rivals[:, :, 1:], rivals[:, :, :1], rivals[:, :, 1:])).any(1)
        return losing, np.asarray(first if logits.core.shape[2] > 1 else np.ones_like(losing))


def evaluated(map_: Map, size: Array, error: Array, dtype: DTypeLike) -> tuple[Array, Array]:
    """Bounds of |W·x + b| and of the error of its evaluation, from those of x; ∞ where it may overflow on the way.

    |fl(W·x + b) − (W·x + b)| ≤ γ_{n+1}·(|W|·|x| + |b|) in any order of summation, plus a subnormal number for each operation (R9).
    """
    weight, n = np.abs(map_.weight), map_.weight.shape[1] + 1
    exact, arriving = weight @ size + np.abs(map_.bias), weight @ error
    lost = arriving + gamma(n, dtype) * (exact + arriving) + n * float(np.finfo(dtype).smallest_subnormal)
    grow = GROW + 2 * gamma(n)  # for what is rounded here
    within = grow * (exact + lost) < float(np.finfo(dtype).max)
    return grow * exact, np.where(within, grow * lost, np.inf)


def rounding(layers: Sequence[Layer], embedding: Array | None, size: Array, dtype: DTypeLike) -> tuple[float, float]:
    """(η, what is added to |f − Ψ|) for evaluation in `dtype` at x = Q·y, computed in float64 and rounded, |y| ≤ size."""
    error = np.zeros(len(size))
    if embedding is not None:
        size = np.abs(embedding) @ size * (GROW + 2 * gamma(embedding.shape[1]))
        error = gamma(embedding.shape[1]) * size
    error = GROW * (error + gamma(1, dtype) * (size + error) + float(np.finfo(dtype).smallest_subnormal))
    error = np.where(size + error < float(np.finfo(dtype).max), error, np.inf)
    eta, added = 0.0, 0.0
    for layer in layers:
        eta = max(eta, float(evaluated(layer.gate, size, error, dtype)[1].max()))
        each = []
        for net in layer.nets:
            state = size[layer.reads], error[layer.reads]
            for map_ in net.stored:
                state = evaluated(map_, *state, dtype)
            each.append(state)
        size, error = np.max([s for s, _ in each], axis=0), np.max([e for _, e in each], axis=0)
        added = float(error.max())
    return eta, added
