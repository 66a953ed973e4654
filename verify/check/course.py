"""|f − q| on boxes by jets: functions and nets as polynomials of a degree that is raised until it is enough.

For networks that are smooth: truth and network are followed as jets in the coordinates of the box, and in one more for everything that is
read amiss, their difference is taken monomial by monomial, and what it lies between is read off its coefficients of Bernstein.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ...atlas import Array
from ...intervals.patch import GROW
from ...intervals.rounding import gamma
from .expressions import Functions
from .jets import Jets
from .layers import Layer
from .nets import Flags, Indices, Map, Net
from .polynomials import Space, space
from .profiles import Hidden, prepared, through

DEGREES = {1: (4, 8), 2: (4, 7), 3: (3, 5), 4: (3, 4), 5: (2, 3)}
"""Of jets in so many coordinates, in the order in which they are tried; 2 in more."""


def degrees(dimension: int) -> Sequence[int]:
    return DEGREES.get(dimension, (2,))


class Course:
    """The path that every number takes through the layers of a slice to one expert of the last."""

    def __init__(self, layers: Sequence[Layer], matrix: Array | None, shifts: Array) -> None:
        """`matrix`: what the slice reads of the coordinates; `shifts`: (m, k), what may be added to these for all of m more coordinates."""
        self.layers, self.matrix, self.shifts = layers, matrix, shifts
        self._prepared: dict[int, tuple[Net, list[Hidden]]] = {}
        """By the identity of nets, which are kept."""

    @staticmethod
    def suits(layers: Sequence[Layer]) -> bool:
        """Whether there is one path, up to the expert of the last layer, and something on it that is bent everywhere."""
        one = all(layer.gate is None for layer in layers[:-1])
        return one and not all(net.plain for layer in layers for net in (*layer.nets, *((layer.shared,) if layer.shared else ())))

    @property
    def widest(self) -> int:
        """Neurons that are followed at a time."""
        return max((net.widest for layer in self.layers for net in (*layer.nets, layer.shared) if net is not None), default=1)

    def space(self, dimension: int, degree: int) -> Space:
        return space(dimension + len(self.shifts), degree)

    def apart(self, truth: Jets, y: Functions, allowed: Flags) -> Iterator[tuple[Indices, Array, Array]]:
        """For every expert of the last layer: the boxes (N, E) on which it is allowed, there a bound of |f − q|, and a number that it
        attains in the middle, largest component.
        """
        state, last = self._arriving(y), self.layers[-1]
        if not last.nets:
            yield np.arange(truth.boxes), *_difference(truth, self._placed(last, state, None))
        for stored, net in enumerate(last.nets):
            mine = np.arange(truth.boxes) if last.gate is None else np.flatnonzero(allowed[:, last.serves == stored].any(1))
            if len(mine):
                yield mine, *_difference(truth.on(mine), self._placed(last, state.on(mine), net))

    def _arriving(self, y: Functions) -> Jets:
        read = y.jets
        if len(self.shifts):
            coefficients, d = read.coefficients.copy(), read.space.dimension - len(self.shifts)
            for j, shift in enumerate(self.shifts):
                coefficients[1 + d + j] += shift[:, None]
            read = Jets(read.space, coefficients, read.rest)
        state = read if self.matrix is None else read.affine(Map(self.matrix, np.zeros(len(self.matrix))))
        for layer in self.layers[:-1]:
            state = self._placed(layer, state, layer.nets[0] if layer.nets else None)
        return state

    def _net(self, net: Net, x: Jets) -> Jets:
        if id(net) not in self._prepared:
            self._prepared[id(net)] = net, prepared(net)
        return through(net, self._prepared[id(net)][1], x)

    def _placed(self, layer: Layer, state: Jets, net: Net | None) -> Jets:
        """carry(h) + scatter(net(h) + shared(h))."""
        written = None if net is None else self._net(net, state.functions(layer.reads))
        if layer.shared is not None and written is not None:
            written = written + self._net(layer.shared, state.functions(layer.reads))
        kept, N = layer.carries >= 0, state.boxes
        out = Jets(state.space, np.zeros((state.space.size, len(kept), N)), np.zeros((len(kept), N)))
        out.coefficients[:, kept], out.rest[kept] = state.coefficients[:, layer.carries[kept]], state.rest[layer.carries[kept]]
        if written is not None:
            both = out.functions(layer.writes) + written
            out.coefficients[:, layer.writes], out.rest[layer.writes] = both.coefficients, both.rest
        return out


def _difference(truth: Jets, found: Jets) -> tuple[Array, Array]:
    """A bound of |f − q|, and a number that it attains in the middle, (N,) each."""
    gap = truth - found
    low, high = gap.between()
    bound = np.maximum(-low, high).max(0)
    at = np.abs(gap.coefficients[0])
    attained = (at - (gap.rest + gamma(4) * at) * GROW).max(0)
    return np.where(np.isnan(bound), np.inf, bound), np.where(np.isnan(attained), 0.0, attained)
