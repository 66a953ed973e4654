"""Distances between many points, by scipy's trees and loops, which are loaded when something is first measured."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from ..expressions.box import Array


def tree_of(points: Array) -> Any:
    """The `scipy.spatial.cKDTree` of points (N, k)."""
    from scipy.spatial import cKDTree

    return cKDTree(points)


def pairwise(points: Array) -> Array:
    """The distances of all N(N − 1)/2 pairs of points (N, k), in the order of `square_of`."""
    from scipy.spatial.distance import pdist

    return pdist(points)


def square_of(pairs: NDArray) -> NDArray:
    """The symmetric matrix (N, N) of what is known of all pairs; its diagonal is 0."""
    from scipy.spatial.distance import squareform

    return squareform(pairs)


def distances(points: Array, centers: Array) -> Array:
    """|y − c|, (N, k) and (E, k) to (N, E)."""
    from scipy.spatial.distance import cdist

    return cdist(points, centers)


def squared(points: Array, centers: Array) -> Array:
    """|y − c|², (N, k) and (E, k) to (N, E)."""
    from scipy.spatial.distance import cdist

    return cdist(points, centers, "sqeuclidean")
