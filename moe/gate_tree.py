"""`GateTree`: the choice of an affine gate in two levels, with the routes of the flat gate.

A gate of E logits s_j(x) = w_j·x + b_j is a power diagram whose centres are the w_j (N2); on a ball atlas they are the centres of the balls
(B1, B16). The centres are put into about √E groups, with a point q_a and a radius R_a each, and with a list of candidates. An input is
compared with the q_a first, then with the candidates of the nearest one: about √E + √E logits in the place of E.

Lemma (tree). Let q ∈ R^D, R ≥ 0. If s_k(q) − s_j(q) > |w_j − w_k|·R for some k, then s_j(x) < s_k(x) for all |x − q| ≤ R.
Proof: s_j(x) − s_k(x) = s_j(q) − s_k(q) + (w_j − w_k)·(x − q), and Cauchy–Schwarz. It is sharp: x = q + R·(w_j − w_k)/|w_j − w_k| attains
equality: there s_j(x) > s_k(x) if the condition fails by anything. So the largest logits at x are among the candidates of (q, R),
{j : s_k(q) − s_j(q) ≤ |w_j − w_k|·R for all k}. Where q is the centre of one of several equal balls, none is further than 2R from it.

In floats: every logit as computed, in any order of summation, with or without fused multiply-add, is within e = γ_{D+1}·(|w|·|x| + |b|)
of s_j(x). Candidates are left out only where the condition holds with 2e, and with what the lists themselves are rounded by, to spare: then
the computed s_j is less than the computed s_k, so neither the largest logit nor one that ties with it is missing. Whether |x − q_a| ≤ R_a
is decided with room for rounding too. An input that is in no R_a is compared with all E.

What is left is that a matrix product of other rows may add up in another order. With `Sums.FLOAT64` it does not, and routes are equal
bit for bit. In other orders a route is taken only where all others are further behind than both logits may be off, so that it is the route
in every order; any other input goes to the flat gate, among the rows that the flat gate would evaluate together with it, and so does one
at which a number on the way to a logit might overflow, for what is then computed may be no number. So routes are those of the flat gate
for every input of the dtype. Nothing is assumed of where inputs come from: R_a is a matter of speed alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ..atlas.distances import distances, tree_of
from ..errors import InvalidArgument
from ..intervals.rounding import gamma
from . import sums as order
from .nets import Affine, Floats
from .sums import Sums

Array = NDArray[np.float64]
Indices = NDArray[np.intp]
GROUPS = (2, 4)
"""Groups in √E that are tried: lists of candidates are longer than E/groups, the more so the more dimensions inputs have."""
GAIN = 4
"""Logits in the flat gate for one in the tree, so that it pays to sort inputs into groups."""
ROUNDS = 4
"""Of moving the q_a to the middle of their groups."""
BEYOND = 0.7
"""How far beyond its centres a group reaches, in distances between neighbouring centres."""
ROOM = 1 + 2.0**-20
"""Covers the rounding of a bound's own formula."""


def by_tree(gates: str) -> bool:
    """Whether gates are to be evaluated in two levels. Raises `InvalidArgument` for words other than "flat" and "tree"."""
    if gates not in ("flat", "tree"):
        raise InvalidArgument(f"gates={gates!r} is not one of flat, tree")
    return gates == "tree"


@dataclass(frozen=True, eq=False)
class Group:
    """One group: where it is good for, and what can win there."""

    candidates: Indices
    """Gate outputs in increasing order, so that the first of equal logits is the first of all."""
    weight: Floats
    """Their rows, contiguous, as they are in the gate."""
    bias: Floats
    members: int
    """Gate outputs whose centres are nearest to q."""
    spare: float
    """How much further behind than the lemma asks for, roundings included, every other output is behind some; ∞ if there is none."""
    lead: float
    """4e: two logits that are further apart as computed are in this order in every order of summation."""


@dataclass(frozen=True, eq=False)
class GateTree:
    """The two levels of one affine gate; the module says why its routes are those of the gate."""

    gate: Affine
    points: Floats
    """q (G, D), numbers of the gate's dtype."""
    half: Floats
    """−|q|²/2 (G,)."""
    limits: Floats
    """What |x|² − 2(q·x − |q|²/2) may be as computed, so that |x − q| ≤ R is certain (G,); negative if nothing is."""
    radii: Array
    """R (G,)."""
    groups: tuple[Group, ...]

    @staticmethod
    def of(gate: Affine) -> GateTree:
        """The tree of a gate, from its weights alone: of those that are tried the one in which inputs meet the fewest logits."""
        E = len(gate.bias)
        counts = sorted({min(E, round(factor * E**0.5)) for factor in GROUPS})
        return min((GateTree.with_groups(gate, count) for count in counts), key=lambda tree: tree.load)

    @staticmethod
    def with_groups(gate: Affine, count: int) -> GateTree:
        """The tree of so many groups."""
        weight, dtype = gate.weight.astype(float), gate.weight.dtype
        points, member = _grouped(weight, count)
        points = points.astype(dtype)
        q = points.astype(float)
        radii = _radii(weight, q, member)
        groups = tuple(_group(gate, q[a], float(radii[a]), int((member == a).sum())) for a in range(len(q)))
        length = np.linalg.norm(q, axis=1)
        half = (-(length**2) / 2).astype(dtype)
        limits = np.where(_finite(gate, length + radii), _limits(length, radii, q.shape[1], dtype), np.asarray(-1, dtype))
        return GateTree(gate, points, half, limits, radii, groups)

    @property
    def load(self) -> float:
        """Logits that an input meets, on average over the gate outputs: those of the q_a, and the candidates of its group."""
        return len(self.groups) + sum(len(group.candidates) * group.members for group in self.groups) / len(self.gate.bias)

    @property
    def spare(self) -> float:
        """The least of all groups: positive, by construction."""
        return min(group.spare for group in self.groups)

    @property
    def pays(self) -> bool:
        """Whether the two levels are sooner done than the flat gate."""
        return GAIN * self.load <= len(self.gate.bias)

    def choose(self, x: Floats, flat: Callable[[slice], Floats], rows: int, sums: Sums = Sums.PLAIN) -> Indices:
        """The route of every row of x (N, D), [N]: that of the gate's largest logit, of equal ones the first.

        `flat` gives the logits of the gate for some rows of x; it is asked for blocks of `rows` rows, counted from the first row, where
        one of them is not settled.
        """
        with np.errstate(invalid="ignore", over="ignore"):
            routes, open_ = self.settled(x, sums)
            if len(open_):
                routes[open_], clear = self.compared(x[open_], sums)
                left = open_[~clear]
                for block in np.unique(left // rows):
                    among = left[left // rows == block]
                    logits = flat(slice(block * rows, (block + 1) * rows))
                    routes[among] = logits.argmax(1)[among - block * rows]
            return routes

    def listed(self, x: Floats) -> int | None:
        """The group in whose list one input x (D,) is looked up; None where it is compared with all E."""
        level = self.points @ x + self.half
        where = int(level.argmax())
        return where if x @ x - 2 * level[where] <= self.limits[where] else None

    def settled(self, x: Floats, sums: Sums = Sums.PLAIN) -> tuple[Indices, Indices]:
        """Routes (N,), and the rows whose routes are not settled by the lists."""
        level = x @ self.points.T
        level += self.half
        where = level.argmax(1)
        near = np.einsum("nd,nd->n", x, x) - 2 * level[np.arange(len(x)), where] <= self.limits[where]
        where = np.where(near, where, len(self.groups)).astype(np.int16 if len(self.groups) < 1 << 15 else np.intp)
        sequence = np.argsort(where, kind="stable")
        ends = np.searchsorted(where[sequence], np.arange(len(self.groups) + 1))
        ordered, found, clear = x[sequence], np.zeros(len(x), np.intp), np.zeros(len(x), bool)
        for group, start, end in zip(self.groups, ends, ends[1:], strict=False):
            if start < end:
                part = slice(start, end)
                best, lead = _best(order.affine(ordered[part], group.weight, group.bias, sums, last=True))
                found[part] = group.candidates[best]
                clear[part] = True if sums is Sums.FLOAT64 else lead > group.lead
        routes = np.empty(len(x), np.intp)
        routes[sequence] = found
        return routes, np.sort(sequence[~clear])

    def compared(self, x: Floats, sums: Sums) -> tuple[Indices, NDArray[np.bool_]]:
        """Routes of rows that are compared with all E, and whether they are those of the flat gate in every order of summation."""
        gate = self.gate
        if sums is Sums.FLOAT64:
            return gate(x, sums).argmax(1), np.ones(len(x), bool)
        wide, reach = x.astype(float), np.abs(x.astype(float))
        logits = gate.astype(float)(wide)
        sizes = reach @ np.abs(gate.weight.astype(float)).T + np.abs(gate.bias.astype(float))
        terms, dtype = x.shape[1] + 1, gate.weight.dtype
        off = ROOM * ((gamma(terms, dtype) + gamma(terms)) * sizes + 2 * _tiny(x.shape[1], dtype) * (1 + reach.sum(1)[:, None]))
        off = np.where(2 * sizes < float(np.finfo(dtype).max), off, np.inf)
        rows, best = np.arange(len(x)), logits.argmax(1)
        behind = (logits + off) - (logits[rows, best] - off[rows, best])[:, None]
        behind[rows, best] = -np.inf
        return best, (behind < 0).all(1)


def _best(logits: Floats) -> tuple[Indices, Floats]:
    """The first largest of every row, and how far the others are behind; `logits` are overwritten."""
    rows = np.arange(len(logits))
    best = logits.argmax(1)
    top = logits[rows, best]
    logits[rows, best] = -np.inf
    return best, top - logits.max(1)


def _logit_error(gate: Affine, reach: Array | float) -> Array:
    """e: how far a computed logit may be from the real one where |x| ≤ reach, in any order of summation."""
    D, dtype = gate.weight.shape[1], gate.weight.dtype
    W = float(np.linalg.norm(gate.weight.astype(float), axis=1).max())
    B = float(np.abs(gate.bias.astype(float)).max())
    return np.asarray(ROOM * (gamma(D + 1, dtype) * (W * reach + B) + _tiny(D, dtype) * (1 + np.asarray(reach))))


def _finite(gate: Affine, reach: Array) -> NDArray[np.bool_]:
    """Where no number on the way to a logit can overflow, for |x| ≤ reach."""
    D, weight, bias = gate.weight.shape[1], gate.weight.astype(float), gate.bias.astype(float)
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = 2 * D**0.5 * (np.linalg.norm(weight, axis=1).max() * reach + np.abs(bias).max())
    return np.asarray(sizes < float(np.finfo(gate.weight.dtype).max))


def _tiny(D: int, dtype: DTypeLike) -> float:
    """What D + 1 roundings below the normal numbers add."""
    return (D + 1) * float(np.finfo(dtype).smallest_subnormal)


def _grouped(weight: Array, G: int) -> tuple[Array, Indices]:
    """Points q (G, D) and the group of every centre: farthest points first, then the middles of what is nearest to them."""
    middle = weight.mean(0)
    chosen = [int(((weight - middle) ** 2).sum(1).argmax())]
    distance = ((weight - weight[chosen[0]]) ** 2).sum(1)
    for _ in range(G - 1):
        chosen.append(int(distance.argmax()))
        distance = np.minimum(distance, ((weight - weight[chosen[-1]]) ** 2).sum(1))
    points = weight[chosen]
    for _ in range(ROUNDS):
        member = tree_of(points).query(weight)[1]
        counts = np.bincount(member, minlength=G)
        sums = np.stack([np.bincount(member, column, minlength=G) for column in weight.T], axis=1)
        points = np.where(counts[:, None] > 0, sums / np.maximum(counts, 1)[:, None], points)
    return points, np.asarray(tree_of(points).query(weight)[1], np.intp)


def _radii(weight: Array, points: Array, member: Indices) -> Array:
    """R (G,): what lies nearest to q_a is within R_a of it, as far as inputs lie among the centres as these among each other."""
    if len(weight) == 1:
        return np.full(len(points), np.inf)
    apart = tree_of(weight).query(weight, k=2)[0][:, 1]
    reach = np.linalg.norm(weight - points[member], axis=1)
    radii = np.zeros(len(points))
    np.maximum.at(radii, member, reach + BEYOND * apart)
    return radii


def _group(gate: Affine, q: Array, R: float, members: int) -> Group:
    """The candidates of (q, R), by the lemma with room for rounding."""
    weight, bias = gate.weight.astype(float), gate.bias.astype(float)
    D, E = weight.shape[1], len(weight)
    if not np.isfinite(R) or E == 1:
        return Group(np.arange(E), gate.weight, gate.bias, members, np.inf, np.inf)
    error = float(_logit_error(gate, float(np.linalg.norm(q)) * ROOM + R))
    at = weight @ q + bias
    room = 2 * error + 2 * float(_logit_error(Affine(weight, bias), float(np.linalg.norm(q)) * ROOM))
    longer = R * (1 + (D + 8) * float(np.finfo(float).eps))
    best = int(at.argmax())
    behind = at[best] - at - (longer * np.linalg.norm(weight - weight[best], axis=1) + room)
    near = np.flatnonzero(~(behind > 0))
    # Whoever is beaten everywhere by anybody is out, also by somebody who is out himself.
    behind[near] = (at[near][:, None] - at[near] - (longer * distances(weight[near], weight[near]) + room)).max(0)
    kept = np.flatnonzero(~(behind > 0))
    spare = float(behind[behind > 0].min(initial=np.inf))
    return Group(kept, np.ascontiguousarray(gate.weight[kept]), gate.bias[kept], members, spare, 4 * error * ROOM)


def _limits(length: Array, radii: Array, D: int, dtype: DTypeLike) -> Floats:
    """`GateTree.limits`: what is compared is off by its roundings, less than 4γ_{D+4}·(|x| + |q|)² in all, and |x| ≤ |q| + |x − q|."""
    off = 4 * gamma(D + 4, dtype)
    tiny = 8 * (D + 4) * float(np.finfo(dtype).smallest_subnormal)
    limits = (radii**2 - off * (2 * length + radii) ** 2) / ROOM - tiny
    # Beyond R the left side of what is compared keeps growing.
    certain = (radii * (1 - off) > 4 * off * length) & (limits > 0) & np.isfinite(radii)
    rounded = limits.astype(dtype)
    return np.where(certain, np.nextafter(rounded, np.asarray(0, dtype)), np.asarray(-1, dtype)).astype(dtype)
