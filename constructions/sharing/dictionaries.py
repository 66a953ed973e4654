"""The hidden neurons of a shared expert, and stand-ins for those of routed ones: of a given width, without a search.

What a routed expert will be made of is found out when it is built. The shared one needs to know no more of it than what it can
represent, and for that a dictionary of the same width with quasi-uniform directions will do.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from ..experts.ways import Way
from ..relu.dictionary import Coordinates, ridge_dictionary
from ..relu.directions import directions
from ..smooth.forms import Lattice, Plain, form, neurons
from ..smooth.lattice import Shape

STEP, REACH = 1.0, 0.15
"""Of lattices of smooth neurons, see `smooth.lattice.Shape`."""
SHARES = (0.5, 0.75, 1.0, 1.4)
"""Numbers of directions tried for a shared expert, in units of the rule of thumb; the axes too."""


def counts(way: Way, width: int, rank: int) -> list[int]:
    """Numbers of directions worth trying for data of dimension `rank`; 0 stands for the axes."""
    if rank == 1:
        return [0]
    guess = usual(way, width, rank)
    return sorted({0} | {n for n in (round(share * guess) for share in SHARES) if rank <= n <= max(rank, width - rank)})


def usual(way: Way, width: int, rank: int) -> int:
    """About as many directions as make knots and directions equally dense; fewer of ReLUs, whose profiles need more knots."""
    if rank == 1:
        return 0
    return max(1, round(width ** (1 / 3 if rank == 2 else 1 / 2) if way.plain else width ** ((rank - 1) / rank)))


def spread(count: int, rank: int) -> Array:
    """`count` quasi-uniform unit directions (K, rank); the axes for 0."""
    return directions(count, rank) if count else np.eye(rank)


def dictionary(way: Way, inputs: Array, outputs: int, width: int, along: Array) -> Lattice:
    """About `width` neurons or lanes of a way on data (N, n), along unit directions (K, r) of its coordinates."""
    coordinates = Coordinates.of(inputs)
    rank = coordinates.rank
    if not way.plain:
        size = neurons(width, rank, outputs, way.activation, way.gated)
        return form(coordinates(inputs), coordinates, along, size, Shape(len(along), STEP, REACH), way.activation, way.gated)
    rows = coordinates.to_input(along)
    return Plain(ridge_dictionary(inputs, rows, max(1, (width - min(rank, len(rows))) // len(rows)), rank))


def shares(form: Lattice, inputs: Array, weights: Array) -> Array:
    """How much each direction of a dictionary contributes with these weights (p, q): the largest range of its part, (K,)."""
    columns, found, start = form.columns(inputs), [], 0
    for count in form.dictionary.counts:
        which = form.blocks[start : start + count].ravel()
        start += count
        found.append(float(np.ptp(columns[:, which] @ weights[which], axis=0).max()))
    return np.array(found)
