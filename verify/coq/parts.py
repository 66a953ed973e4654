"""A chart in several files: the parts of its box, each a computation of its own, and the theorem about the chart that follows from them.

Lemma (`coq/Parts.v`). A box that is halved along sides, again and again, at exact middles of dyadic numbers, is covered by what is left.
Parts are the upper boxes of the certificate's tree, as many as there are jobs for them, and more where one would have many leaves; so
none takes much longer than the others, and what is settled in one is forgotten in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

LEAVES = 4000
"""Of a certificate's tree that a file has, about."""
MOST = 256
"""Files of a chart."""
SPREAD = 2
"""Files of a chart for each job that has no chart of its own: some end sooner than others."""


@dataclass(frozen=True)
class Split:
    """The upper part of a tree of halvings, as a term of `Parts.tree`, and the tree below each of its leaves, in preorder."""

    tree: str
    below: tuple[tuple[int, ...], ...]


def wanted(cuts: Sequence[int], charts: int, jobs: int) -> int:
    """How many files the chart has: 1 if there are charts enough for all jobs, and not many leaves."""
    shared = SPREAD * ceil(jobs / charts) if jobs > charts else 1
    return min(MOST, max(shared, ceil((len(cuts) + 1) / 2 / LEAVES)))


def split(cuts: Sequence[int], dimension: int, files: int) -> Split:
    """The largest subtree is cut open until there are so many; a leaf without a certificate's tree is halved side after side."""
    root = _Node(tuple(cuts), 0)
    leaves = [root]
    while len(leaves) < files:
        largest = max(leaves, key=lambda node: (len(node.cuts), -node.depth))
        leaves.remove(largest)
        leaves += largest.opened(dimension)
    return Split(root.term(), tuple(leaf.cuts for leaf in root.leaves()))


class _Node:
    """A box: the tree of halvings below it, and the two boxes that it is cut into, if it is."""

    def __init__(self, cuts: tuple[int, ...], depth: int) -> None:
        self.cuts, self.depth = cuts, depth
        self.side, self.halves = 0, list[_Node]()

    def opened(self, dimension: int) -> list[_Node]:
        if self.cuts[0]:
            self.side, end = self.cuts[0] - 1, _end(self.cuts, 1)
            below = [self.cuts[1:end], self.cuts[end:]]
        else:
            self.side, below = self.depth % dimension, [(0,), (0,)]
        self.halves = [_Node(half, self.depth + 1) for half in below]
        return self.halves

    def term(self) -> str:
        return f"Cut {self.side} ({self.halves[0].term()}) ({self.halves[1].term()})" if self.halves else "Leaf"

    def leaves(self) -> list[_Node]:
        return [leaf for half in self.halves for leaf in half.leaves()] if self.halves else [self]


def _end(cuts: tuple[int, ...], start: int) -> int:
    """Where the tree that begins there ends."""
    open_, at = 1, start
    while open_:
        open_ += 1 if cuts[at] else -1
        at += 1
    return at


def part_file(head: str, k: int, j: int, cut: Split, arguments: str, depth: int, fuel: int) -> str:
    """One part of chart k: its own box, its own computation."""
    return f"""{head}
Definition cuts : list nat := [{";".join(map(str, cut.below[j]))}]%nat.
Definition part : list (dyadic * dyadic) := Eval vm_compute in nth {j} (parts ({cut.tree}) (box Chart{k}.chart)) [].

Lemma computed : C.accepted_on {arguments} part {depth} {fuel} cuts = true.
Proof. vm_cast_no_check (eq_refl true). Qed.

Theorem holds : forall u, in_box part u -> claimed {arguments} u.
Proof. exact (C.accepted_on_sound {arguments} part {depth} {fuel} cuts computed). Qed.
"""


def joined_file(head: str, k: int, cut: Split, arguments: str) -> str:
    """The theorem about chart k from those about its parts."""
    count = len(cut.below)
    cases = " ".join(f"destruct j as [|j]; [exact (Part{k}_{j}.holds u B) |]." for j in range(count))
    return f"""{head}
From Proof Require {" ".join(f"Part{k}_{j}" for j in range(count))}.
From Coq Require Import Lia.

Theorem holds : forall u, in_box (box Chart{k}.chart) u -> claimed {arguments} u.
Proof.
  intros u B0. destruct (parts_cover ({cut.tree}) (box Chart{k}.chart) u B0) as (j & L & B).
  assert (N : (j < {count})%nat) by exact L. clear L.
  {cases}
  lia.
Qed.
"""
