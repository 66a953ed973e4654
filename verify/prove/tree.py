"""Boxes that are halved until each is settled: the search, and the tree it leaves as a proof that the leaves cover the root.

A node is either a leaf or is cut in two along one side at lower + (upper − lower)/2, as float64 computes it; both halves use the same
number, so the closed leaves cover the closed root exactly, whatever is rounded. In preorder a tree is one number a node: 0 for
a leaf, k + 1 for a cut along side k.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array

Indices = NDArray[np.intp]
Cuts = NDArray[np.uint8]
"""The nodes of a tree in preorder: 0 for a leaf, k + 1 for a cut along side k."""
OUTSIDE, ELSEWHERE, PROVED, UNSETTLED = 0, 1, 2, 255
"""Tags of leaves: off the chart; left to other charts; with a bound; about which nothing is known."""
FIRST_CUTS = 8
"""Times that a root is halved before anything is judged: proofs take hundreds of boxes, and a batch of one costs as much as one of 256."""
SMALLEST = 2.0**-45
"""A box with a side this part of the root's is not cut again: 2^7 floats are left in it where the root is [1, 2]."""
MOST_RESUMED = 1 << 24
"""Nodes of a tree that a search is resumed from; a larger one is started anew."""
OWN = 1 << 62
"""From here on nodes are numbered by a part of a search, until it joins the whole."""


@dataclass(frozen=True, eq=False)
class Verdicts:
    """What a judge says about N boxes."""

    settled: NDArray[np.bool_]
    """(N,): whether the box needs no more cutting."""
    tag: NDArray[np.uint8]
    """(N,): why, in the judge's own code."""
    bound: Array
    """(N,): what was proved there."""
    side: Indices
    """(N,): along which side to cut it."""
    sizes: Indices
    """(N,): size of the set that names what the bound holds for: the possible winners."""
    members: Indices
    """(sum of sizes,): the sets one after the other."""
    more: NDArray[np.intp] | None = None
    """(N, c): sides along which the halves are cut again before anything is judged, one after the other; −1 for no more."""


class Judge(Protocol):
    """Settles boxes, or says along which side to cut them."""

    def __call__(self, lower: Array, upper: Array) -> Verdicts: ...

    @property
    def refuted(self) -> bool:
        """Whether a point was found that violates the claim: the search is then over."""
        ...


@dataclass(frozen=True, eq=False)
class Tree:
    """A settled root box: preorder cuts, and tag, bound and set of every leaf in the same order."""

    lower: Array
    upper: Array
    cuts: NDArray[np.uint8]
    tags: NDArray[np.uint8]
    bounds: Array
    offsets: NDArray[np.int64]
    """(leaves + 1,): set n is members[offsets[n]:offsets[n + 1]]."""
    members: NDArray[np.int32]

    def __len__(self) -> int:
        """Leaves."""
        return len(self.tags)

    @property
    def settled(self) -> bool:
        return not (self.tags == UNSETTLED).any()

    @property
    def bound(self) -> float:
        """What its leaves prove, ∞ if one was never judged."""
        return float(self.bounds.max(initial=0.0))

    def leaves(self) -> tuple[Array, Array]:
        """Corners of all leaves, (leaves, d) each."""
        return self._corners

    @cached_property
    def _corners(self) -> tuple[Array, Array]:
        return leaves_of(self.lower, self.upper, self.cuts)


def leaves_of(lower: Array, upper: Array, cuts: NDArray[np.uint8]) -> tuple[Array, Array]:
    """The leaves' corners that the preorder `cuts` describe, (leaves, d) each, level by level."""
    first, second = children_of(cuts)
    box_lower, box_upper = np.empty((len(cuts), len(lower))), np.empty((len(cuts), len(lower)))
    box_lower[0], box_upper[0] = lower, upper
    level = np.flatnonzero(cuts[:1])
    while len(level):
        side = cuts[level].astype(np.intp) - 1
        low, high = box_lower[level, side], box_upper[level, side]
        middle = low + (high - low) / 2
        for child in (first[level], second[level]):
            box_lower[child], box_upper[child] = box_lower[level], box_upper[level]
        box_upper[first[level], side] = middle
        box_lower[second[level], side] = middle
        level = np.concatenate([first[level], second[level]])
        level = level[cuts[level] > 0]
    leaf = cuts == 0
    return box_lower[leaf], box_upper[leaf]


def children_of(cuts: NDArray[np.uint8]) -> tuple[Indices, Indices]:
    """Positions of the two halves of every cut node of a preorder; −1 for leaves. Raises `ValueError` if it is no tree.

    The first half follows its parent; the second follows the first half's subtree, the next place where the number of leaves
    that are still owed is what it was before the first half.
    """
    owed = 1 + np.cumsum(np.where(cuts > 0, 1, -1))  # after each node
    if len(cuts) == 0 or owed[-1] != 0 or (owed[:-1] <= 0).any():
        raise ValueError("the cuts are not the preorder of one binary tree")
    before = np.concatenate([[1], owed[:-1]])
    first, second = np.full(len(cuts), -1), np.full(len(cuts), -1)
    inner = np.flatnonzero(cuts > 0)
    first[inner] = inner + 1
    # The subtree that starts at p ends where `owed` first drops to before[p] − 1; sorted by (level, place) that is a neighbour.
    order = np.lexsort((np.arange(len(cuts)), owed))
    key = owed[order].astype(np.int64) * (len(cuts) + 1) + order
    want = (before[inner + 1].astype(np.int64) - 1) * (len(cuts) + 1) + inner + 1
    second[inner] = order[np.searchsorted(key, want, side="left")] + 1
    return first, second


@dataclass(eq=False)
class Search:
    """Branch and bound over one root box. `run` can be stopped and taken up again; `checkpoint` keeps its cuts on disk between."""

    lower: Array
    upper: Array
    nodes: int = 1
    stack: list[tuple[Indices, Indices, Array, Array]] = field(default_factory=list)
    """Unsettled boxes: numbers of nodes, their depths, corners."""
    cuts: list[tuple[Indices, Indices, Indices, Indices]] = field(default_factory=list)
    """Numbers of nodes that were cut, their depths and sides, and the numbers of their first halves; the second half is the next number."""
    leaves: list[tuple[Indices, NDArray[np.uint8], Array, Indices, Indices]] = field(default_factory=list)
    """Numbers of settled nodes, tags, bounds, sizes of their sets, and the sets one after the other."""
    volume: float = 0.0
    """The settled part of the root's volume."""
    pending: list[tuple[Indices, Indices, Array, Array]] = field(default_factory=list)
    """The boxes that are being judged, here or as `parts`: still unsettled."""
    given: int = 0
    """Nodes that an earlier run left: these are not counted again."""

    @staticmethod
    def resumed(lower: Array, upper: Array, cuts: NDArray) -> Search | None:
        """The search of a root that was cut like this, no box of it settled; None if that is no tree of boxes that may be cut so."""
        if cuts.dtype != np.uint8 or cuts.ndim != 1 or not 1 < len(cuts) <= MOST_RESUMED or cuts.max() > len(lower):
            return None
        try:
            halves = children_of(cuts)
        except ValueError:
            return None
        search = Search(lower, upper, stack=[(np.zeros(1, np.intp), np.zeros(1, np.intp), lower[None], upper[None])])
        level, waiting = np.zeros(1, np.intp), []
        while len(level):
            number, depth, low, high = search.stack.pop()
            cut = np.flatnonzero(cuts[level])
            kept = cuts[level] == 0
            waiting.append((number[kept], depth[kept], low[kept], high[kept]))
            side = cuts[level[cut]].astype(np.intp) - 1
            if ((high - low)[cut, side] <= SMALLEST * (upper - lower)[side]).any():
                return None
            if len(cut):
                search._cut(number[cut], depth[cut], low[cut], high[cut], side)
            level = np.stack([half[level[cut]] for half in halves], axis=1).reshape(-1)
        search.stack = [part for part in waiting if len(part[0])]
        search.given = search.nodes
        return search

    def __post_init__(self) -> None:
        if not self.cuts and not self.leaves and not self.stack:
            self.stack.append((np.zeros(1, np.intp), np.zeros(1, np.intp), self.lower[None], self.upper[None]))
            for depth in range(FIRST_CUTS):
                number, _, lower, upper = self._take(1 << depth)
                self._cut(
                    number, np.full(len(number), depth, np.intp), lower, upper, np.full(len(number), depth % len(self.lower), np.intp)
                )

    @property
    def done(self) -> bool:
        return not self.stack and not self.pending

    def run(self, judge: Judge, *, batch: int, most: int, deadline: float, judged: float = np.inf) -> None:
        """Settle boxes, `batch` at a time, until all are, or `most` new nodes exist, or the clock passes `deadline`, or the judge refutes,
        or `judged` boxes were. The latest boxes go first, so that few wait.
        """
        while not self.done and self.nodes - self.given < most and judged > 0 and time.monotonic() < deadline and not judge.refuted:
            self.stack += self.pending  # left there by an interruption
            self.pending = []
            self.pending = [self._take(batch)]
            number, depth, lower, upper = self.pending[0]
            self._file(number, depth, lower, upper, judge(lower, upper))
            self.pending = []
            judged -= len(number)

    def parts(self, batch: int, most: int) -> list[Search]:
        """The latest boxes, `batch` at a time and `most` times at most, as searches of their own, which `join` takes back in order."""
        self.stack += self.pending
        self.pending = []
        found: list[Search] = []
        while self.stack and len(found) < most:
            boxes = self._take(batch)
            self.pending.append(boxes)
            found.append(Search(self.lower, self.upper, OWN, [boxes]))
        return found

    def join(self, part: Search) -> None:
        """File what became of the first part that is still out."""

        def here(number: Indices) -> Indices:
            moved: Indices = np.where(number >= OWN, number - (OWN - self.nodes), number)
            return moved

        stack = [(here(number), depth, lower, upper) for number, depth, lower, upper in part.stack + part.pending]
        cuts = [(here(number), depth, side, here(first)) for number, depth, side, first in part.cuts]
        leaves = [(here(number), tag, bound, size, members) for number, tag, bound, size, members in part.leaves]
        nodes, volume = self.nodes + part.nodes - OWN, self.volume + part.volume
        self.stack, self.cuts, self.leaves = self.stack + stack, self.cuts + cuts, self.leaves + leaves
        self.nodes, self.volume, self.pending = nodes, volume, self.pending[1:]

    def _take(self, batch: int) -> tuple[Indices, Indices, Array, Array]:
        taken: list[tuple[Indices, Indices, Array, Array]] = []
        count = 0
        while self.stack and count < batch:
            part = self.stack.pop()
            if count + len(part[0]) > batch:
                keep = count + len(part[0]) - batch
                self.stack.append(tuple(a[:keep] for a in part))  # type: ignore[arg-type]
                part = tuple(a[keep:] for a in part)  # type: ignore[assignment]
            taken.append(part)
            count += len(part[0])
        number, depth, lower, upper = (np.concatenate(parts) for parts in zip(*taken, strict=True))
        return number, depth, lower, upper

    def _file(self, number: Indices, depth: Indices, lower: Array, upper: Array, found: Verdicts) -> None:
        widths = (upper - lower) / (self.upper - self.lower)
        rows = np.arange(len(number))
        side = np.where(widths[rows, found.side] > SMALLEST, found.side, widths.argmax(1))
        hopeless = ~found.settled & (widths.max(1) <= SMALLEST)
        leaf = found.settled | hopeless
        tag = np.where(hopeless, UNSETTLED, found.tag).astype(np.uint8)
        sizes = np.where(leaf, found.sizes, 0)
        members = found.members[np.repeat(leaf, found.sizes)]
        self.leaves.append((number[leaf], tag[leaf], found.bound[leaf], sizes[leaf], members))
        self.volume += float(widths[found.settled].prod(1).sum())
        if leaf.all():
            return
        cut = np.flatnonzero(~leaf)
        boxes, origin = self._halves(number[cut], depth[cut], lower[cut], upper[cut], side[cut]), np.repeat(cut, 2)
        for again in () if found.more is None else found.more.T:
            side = again[origin]
            widths = (boxes[3] - boxes[2]) / (self.upper - self.lower)
            now = (side >= 0) & (widths[np.arange(len(side)), side] > SMALLEST)
            if not now.any():
                break
            n, deep, low, high = boxes
            if not now.all():
                self.stack.append((n[~now], deep[~now], low[~now], high[~now]))
            boxes, origin = self._halves(n[now], deep[now], low[now], high[now], side[now]), np.repeat(origin[now], 2)
        self.stack.append(boxes)

    def _cut(self, number: Indices, depth: Indices, lower: Array, upper: Array, side: Indices) -> None:
        """Halve boxes; the halves wait to be judged."""
        self.stack.append(self._halves(number, depth, lower, upper, side))

    def _halves(self, number: Indices, depth: Indices, lower: Array, upper: Array, side: Indices) -> tuple[Indices, Indices, Array, Array]:
        """Both halves of every box, as neighbours."""
        rows = np.arange(len(number))
        first: Indices = self.nodes + 2 * rows
        self.nodes += 2 * len(rows)
        self.cuts.append((number, depth, side, first))
        low, high = lower[rows, side], upper[rows, side]
        middle = low + (high - low) / 2
        halves_lower, halves_upper = np.repeat(lower, 2, axis=0), np.repeat(upper, 2, axis=0)
        halves_upper[::2][rows, side] = middle
        halves_lower[1::2][rows, side] = middle
        both: Indices = np.repeat(first, 2) + np.tile([0, 1], len(first))
        return both, np.repeat(depth + 1, 2), halves_lower, halves_upper

    def so_far(self) -> Cuts:
        """The tree as it stands, in preorder; boxes that are being judged are leaves."""
        return _in_preorder(self.nodes, self.cuts)[0]

    def tree(self) -> Tree:
        """The tree as it stands; boxes that were never judged are leaves tagged `UNSETTLED`."""
        waiting = [
            (n, np.full(len(n), UNSETTLED, np.uint8), np.full(len(n), np.inf), np.zeros(len(n), np.intp))
            for n, *_ in self.stack + self.pending
        ]
        number, tag, bound, size = (np.concatenate(parts) for parts in zip(*(leaf[:4] for leaf in self.leaves), *waiting, strict=True))
        members = np.concatenate([leaf[4] for leaf in self.leaves]) if self.leaves else np.empty(0, np.intp)
        cuts, place = _in_preorder(self.nodes, self.cuts)
        order = np.argsort(place[number])
        starts = np.concatenate([[0], np.cumsum(size)])[:-1]
        offsets = np.concatenate([[0], np.cumsum(size[order])]).astype(np.int64)
        gather = np.repeat(starts[order] - offsets[:-1], size[order]) + np.arange(offsets[-1])
        return Tree(self.lower, self.upper, cuts, tag[order], bound[order], offsets, members[gather].astype(np.int32))


def _in_preorder(nodes: int, parts: Sequence[tuple[Indices, Indices, Indices, Indices]]) -> tuple[Cuts, Indices]:
    """The cuts in preorder, and the place of every node there."""
    parent, depth, side, first = (np.concatenate(p) for p in zip(*parts, strict=True)) if parts else (np.empty(0, np.intp),) * 4
    place = _preorder(nodes, parent, depth, first)
    cuts = np.zeros(nodes, np.uint8)
    cuts[place[parent]] = side + 1
    return cuts, place


def _preorder(nodes: int, parent: Indices, depth: Indices, first: Indices) -> Indices:
    """The place in preorder of each of `nodes` nodes, from the cut ones, their depths and the numbers of their first halves."""
    by_depth = [np.flatnonzero(depth == level) for level in range(int(depth.max(initial=-1)) + 1)]
    size = np.ones(nodes, np.intp)
    for rows in reversed(by_depth):
        size[parent[rows]] = 1 + size[first[rows]] + size[first[rows] + 1]
    place = np.zeros(nodes, np.intp)
    for rows in by_depth:
        place[first[rows]] = place[parent[rows]] + 1
        place[first[rows] + 1] = place[parent[rows]] + 1 + size[first[rows]]
    return place
