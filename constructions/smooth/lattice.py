"""Ridge dictionaries on lattices: few directions, and along each equally spaced knots that are the same in every direction.

A smooth neuron act(f·(a·u − t)) has a width of its own, about one unit of a·u. So rows are as long as it takes to put the knots
`step` units apart (β of docs/fit.md, about one): neighbours overlap, and sums of them reach every smooth profile. With β a dyadic
number the knots are exact in float32, and one table of values of the activation serves all directions.

Neurons face outward from the middle of their direction's data, which keeps sums, and with them rounding, small. As a span
nothing changes where act(z) − act(−z) = z, and the linear functions are carried by giving a basis of the directions both neurons at
their middle knot. relu² has no such identity, and products with ReLU gates that all close in the middle have no quadratic part there:
then neurons face right, and two knots before the data carry the quadratics.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import qr

from ...atlas import Array
from ...moe.activations import Activation
from ...moe.ridge import Dictionary
from ..relu.dictionary import Coordinates
from ..relu.directions import directions

FRACTION = 8
"""Knots are whole multiples of step/FRACTION, wherever the middle of the data lies."""
PARALLEL = 1e-6
"""Two directions are one if their cosine is so close to ±1."""


@dataclass(frozen=True)
class Shape:
    """What is searched for: the dictionary of a width, but for its size."""

    count: int
    """Quasi-uniform directions, beside those that the target names; 0 stands for the axes, for sums of functions of one coordinate."""
    step: float
    """β: the distance of neighbouring knots in units of the activation's argument."""
    reach: float
    """How far knots go beyond the data, in half-lengths of the data."""


def lines(known: Array, coordinates: Coordinates, count: int) -> Array:
    """Unit directions (K, r) of the coordinates z: the `known` (·, n), and `count` quasi-uniform ones or, for 0, the axes."""
    rank = coordinates.rank
    kept: list[Array] = []
    for z in np.concatenate([coordinates.from_input(known), directions(count, rank) if count else np.eye(rank)]):
        if all(abs(z @ other) < 1 - PARALLEL for other in kept):
            kept.append(z)
    return np.array(kept)


def lattice(
    z: Array, coordinates: Coordinates, along: Array, neurons: int, shape: Shape, activation: Activation, outward: bool
) -> Dictionary:
    """`neurons` neurons on inputs x, shared equally by the directions `along` (K, r) of z; z (N, r) are the data.

    Rows are rounded to float32, so that only the output weights change when the net is stored in it. Directions that get
    no neuron are left out. Neurons face outward, or all to the right.
    """
    counts = np.full(len(along), neurons // len(along))
    counts[: neurons % len(along)] += 1
    along, counts = along[counts > 0], counts[counts > 0]
    projected = z @ along.T
    low, high = projected.min(0), projected.max(0)
    half = np.maximum((high - low) / 2, np.finfo(float).tiny)
    # With one knot the neuron's own width spans the data.
    spacing = 2 * half * (1 + shape.reach) / np.maximum(counts - 1, 1)
    scale = shape.step / spacing
    rows = ((along * scale[:, None]) / coordinates.scale) @ coordinates.basis.T
    rows = rows.astype(np.float32).astype(float)
    unit = shape.step / FRACTION
    middle = scale * (low + high) / 2 + rows @ coordinates.center
    if not outward:
        middle -= shape.step
    middle = unit * np.round(middle / unit)
    offsets = [shape.step * (np.arange(n) - (n - 1) / 2) for n in counts]
    knots = np.concatenate([m + t for m, t in zip(middle, offsets, strict=True)])
    facing = np.where(np.concatenate(offsets) >= 0, 1.0, -1.0) if outward else np.ones(len(knots))
    return Dictionary(rows, tuple(counts.tolist()), knots, facing, activation)


def with_reflections(dictionary: Dictionary, rank: int) -> Dictionary:
    """With a second neuron at the middle knot of up to `rank` directions, chosen to span as well as possible, that faces the other way."""
    lengths = np.linalg.norm(dictionary.directions, axis=1)
    pivots = set(qr((dictionary.directions / lengths[:, None]).T, mode="r", pivoting=True)[1][:rank].tolist())
    knots, facing, counts, start = [], [], [], 0
    for k, count in enumerate(dictionary.counts):
        t, f = dictionary.knots[start : start + count], dictionary.facing[start : start + count]
        start += count
        if k in pivots:
            t, f = np.append(t, t[count // 2]), np.append(f, -f[count // 2])
        knots.append(t)
        facing.append(f)
        counts.append(len(t))
    return Dictionary(dictionary.directions, tuple(counts), np.concatenate(knots), np.concatenate(facing), dictionary.activation)
