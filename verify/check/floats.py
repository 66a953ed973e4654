"""Whether the numbers that a certificate gives for evaluation in floats hold wherever its leaves are proved.

Leaves that follow each other in a tree lie side by side. Runs of them are taken as one cell, the box around them, and cut in two where
the bounds of `rounding` on it are not within the numbers stated; a single leaf is halved like any box.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from ...atlas import Array
from ...intervals.patch import GROW
from .charts import Boxes
from .extent import longest
from .nets import Flags, Indices
from .rounding import Way, read, rounding
from .subjects import Subject
from .trees import PROVED, Tree

RUNS = 256
"""Cells of a tree to begin with."""
MOST = 1 << 17
"""Cells that are looked at in all."""
NUMBERS = 1 << 21
"""Numbers of one array of hidden neurons at a time."""


class Stated(NamedTuple):
    """What a certificate says of a site: η, and evaluation ↦ what rounding adds."""

    eta: float
    rounding: Mapping[str, float]


class Found(NamedTuple):
    """A number that does not hold, or is not shown to: at the middle of a leaf, or on a cell."""

    false: bool
    way: str
    eta: float
    added: float

    def words(self, stated: Stated) -> Iterator[str]:
        said = "" if self.false else "not shown in as many cells as are tried: "
        if not self.eta <= stated.eta:
            yield f"{said}η = {stated.eta:.6g} is below what rounding in {self.way} may change a logit by, {self.eta:.6g}"
        if not self.added <= stated.rounding[self.way]:
            yield f"{said}rounding in {self.way} may add {self.added:.6g}, not {stated.rounding[self.way]:.6g}"


class _Runs(NamedTuple):
    """Cells: leaves number first … last − 1 of a tree's proved ones, and the box around them."""

    first: Indices
    last: Indices
    lower: Array
    upper: Array

    def some(self, rows: Indices | Flags | slice) -> _Runs:
        return _Runs(self.first[rows], self.last[rows], self.lower[rows], self.upper[rows])


class Floats:
    """Goes through the trees of a site."""

    def __init__(self, subject: Subject, computed: Mapping[str, Array], longest_sum: int) -> None:
        """`computed`: evaluation ↦ (k,), how far what is read is off in it already."""
        self.subject, self.computed, self.longest = subject, computed, longest_sum
        widest = max((net.widest for layer in subject.layers for net in layer.everything), default=1)
        stored = max((len(map_.bias) for layer in subject.layers for net in layer.everything for map_ in net.stored), default=1)
        self.step = max(1, NUMBERS // max(widest, stored))
        self.left = MOST

    def failures(self, trees: Sequence[Tree], stated: Stated) -> Iterator[Found]:
        """The first number of each evaluation that fails."""
        for name in stated.rounding:
            for p, tree in enumerate(trees):
                found = self._tree(p, tree, Way(name, self.longest), stated)
                if found is not None:
                    yield found
                    break

    def _tree(self, p: int, tree: Tree, way: Way, stated: Stated) -> Found | None:
        leaves = np.flatnonzero(tree.tags == PROVED)
        if not len(leaves):
            return None
        starts = np.unique(np.linspace(0, len(leaves), RUNS + 1).astype(np.intp)[:-1])
        cells = self._around(tree, leaves, starts, np.append(starts[1:], len(leaves)))
        while len(cells.first):
            eta, added = self._bounds(p, tree, leaves, cells, way)
            bad = np.flatnonzero(~((eta <= stated.eta) & (added <= stated.rounding[way.name])))
            if not len(bad):
                return None
            cells = cells.some(bad)
            own = leaves[cells.first]
            middle = cells._replace(lower=(m := tree.lower[own] + (tree.upper[own] - tree.lower[own]) / 2), upper=m)
            at = self._bounds(p, tree, leaves, middle._replace(last=cells.first + 1), way)
            false = np.flatnonzero(~((at[0] <= stated.eta) & (at[1] <= stated.rounding[way.name])))
            self.left -= 2 * len(bad)
            if len(false) or self.left < 0:
                at = at if len(false) else (eta[bad], added[bad])
                return Found(bool(len(false)), way.name, float(at[0].max()), float(at[1].max()))
            cells = self._cut(p, tree, leaves, cells)
        return None

    def _around(self, tree: Tree, leaves: Indices, first: Indices, last: Indices) -> _Runs:
        lower, upper = np.minimum.reduceat(tree.lower[leaves], first), np.maximum.reduceat(tree.upper[leaves], first)
        return _Runs(first, last, lower, upper)

    def _cut(self, p: int, tree: Tree, leaves: Indices, cells: _Runs) -> _Runs:
        """Runs into two, single leaves into halves."""
        single = cells.last - cells.first == 1
        parts = []
        if not single.all():
            runs = cells.some(~single)
            middle = (runs.first + runs.last) // 2
            for first, last in ((runs.first, middle), (middle, runs.last)):
                corners = [(tree.lower[leaves[a:b]].min(0), tree.upper[leaves[a:b]].max(0)) for a, b in zip(first, last, strict=True)]
                parts.append(_Runs(first, last, np.array([low for low, _ in corners]), np.array([high for _, high in corners])))
        if single.any():
            ones = cells.some(single)
            side, rows = self._longest(p, ones), np.arange(int(single.sum()))
            low, high = ones.lower.copy(), ones.upper.copy()
            high[rows, side] = low[rows, side] = ones.lower[rows, side] + (ones.upper[rows, side] - ones.lower[rows, side]) / 2
            parts += [ones._replace(upper=high), ones._replace(lower=low)]
        return _Runs(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _longest(self, p: int, cells: _Runs) -> Indices:
        """The side along which each cell is longest."""
        domain = self.subject.domain
        if isinstance(domain, Boxes):
            return np.asarray((cells.upper - cells.lower).argmax(1))
        return longest(domain.points(p, cells.lower, cells.upper)[1])

    def _bounds(self, p: int, tree: Tree, leaves: Indices, cells: _Runs, way: Way) -> tuple[Array, Array]:
        """(η, what is added to the outputs) on every cell; 0 off the chart."""
        found = [self._some(p, tree, leaves, cells.some(slice(n, n + self.step)), way) for n in range(0, len(cells.first), self.step)]
        eta, added = zip(*found, strict=True)
        return np.concatenate(eta), np.concatenate(added)

    def _some(self, p: int, tree: Tree, leaves: Indices, cells: _Runs, way: Way) -> tuple[Array, Array]:
        subject, (eta, added) = self.subject, np.zeros((2, len(cells.first)))
        off, value = subject.domain.within(p, cells.lower, cells.upper)
        on = np.flatnonzero(~off)
        if not len(on):
            return eta, added
        if subject.routes is not None:
            winners = np.zeros((len(on), tree.members.shape[1]), bool)
            winners[:, subject.routes[p]] = True
        else:
            winners = np.array([tree.members[leaves[cells.first[n] : cells.last[n]]].any(0) for n in on])
        low, high = value.lower[on] - subject.moves * GROW, value.upper[on] + subject.moves * GROW
        x = read(subject.matrix, low, high, self.computed[way.name], way)
        eta[on], behind = rounding(subject.layers, x, way, winners)
        added[on] = behind.error.max(1)
        return np.where(np.isnan(eta), np.inf, eta), np.where(np.isnan(added), np.inf, added)
