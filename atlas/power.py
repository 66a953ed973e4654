"""`power_atlas`: balls of unequal radii (B16), each as large as its tangent chart allows where it stands.

On a ball atlas of one radius the place where M comes nearest to itself decides the radius everywhere. Here every candidate
centre gets the largest radius at which its own tangent chart stays injective, and balls are taken greedily, each the one that
covers most of what is left. The affine router sends x to the ball in which it lies deepest.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from ..expressions.box import Array
from . import arguments
from .atlas import Atlas
from .ball import LEAST_OVERLAP, LEAST_STRETCH, PIECE_REACH, pieces_of, spread, tangent_frames
from .chart import BallChart
from .covering import nearest_ball, uncovered
from .distances import pairwise, square_of, tree_of
from .points import Points, concatenate

CANDIDATES = 512
COVERED = 1 << 12
"""Points of M that have to be covered, before the cover is checked on others; doubled for every dimension after the first."""
COMPARED = 384
"""Points of a ball whose pairwise distances are compared."""
DISTRUST = 0.98
"""Radii found on samples are taken this much smaller."""


def power_atlas(atlas: Atlas, *, largest: Any = np.inf, seed: Any = 0) -> Atlas:
    """A cover of the manifold of `atlas` by few balls of unequal radii, each with an injective affine tangent chart.

    No radius exceeds `largest`. Every point of M has |y − c|² ≤ r²/LEAST_OVERLAP² in some ball, on dense samples and by local
    search, not proved. Deterministic for a seed. Raises `InvalidArgument` if that takes more balls than an atlas may have.
    """
    seed = arguments.integer("seed", seed, 0, 2**63 - 1)
    if not isinstance(largest, int | float) or isinstance(largest, bool) or not largest > 0:
        raise InvalidArgument(f"largest must be a positive radius, got {largest}")
    largest = float(largest)
    manifold = Atlas(atlas.coordinates, atlas.parametrising, atlas.partition, region=atlas.region)
    first, second = np.random.SeedSequence(seed).generate_state(2)
    N = COVERED * 2 ** min(manifold.dimension - 1, 4)
    points, fresh = spread(manifold, N, int(first)), spread(manifold, N, int(second))
    centers, radius = points[:0], np.zeros(0)
    left = points
    while len(left):
        # First samples that no shrunken ball holds, in the end those that the search finds, become candidates for centres themselves.
        candidates = left[:CANDIDATES]
        radii = admissible_radii(manifold, candidates, points, largest)
        chosen = _greedy(candidates.base, radii, left.base)
        centers, radius = concatenate([centers, candidates[chosen]]), np.concatenate([radius, radii[chosen]])
        if len(centers) > arguments.MAX_CHARTS:
            raise InvalidArgument(f"a cover takes more than {arguments.MAX_CHARTS} balls; M comes too near to itself")
        left = left[nearest_ball(left.base, centers.base, radius / LEAST_OVERLAP)[0] > 0]
        if not len(left):
            left = uncovered(manifold, centers.base, radius / LEAST_OVERLAP, fresh, seed)
    frames = tangent_frames(manifold, centers)
    pieces = pieces_of(manifold, centers.base, PIECE_REACH * radius, fresh)
    balls = [BallChart(f"ball{i}", centers.base[i], frames[i], float(r), pieces[i]) for i, r in enumerate(radius)]
    return dataclasses.replace(atlas, charts=tuple(balls), cover=atlas.parametrising, recipe=None)


def admissible_radii(manifold: Atlas, centers: Points, points: Points, largest: float = np.inf) -> Array:
    """For every centre the largest radius at which its tangent chart shrinks no distance below LEAST_STRETCH, (n,).

    Seen on `points`: tangent vectors find where M turns away, pairs of points where another sheet of M enters the ball.
    """
    frames, tangents = tangent_frames(manifold, centers), tangent_frames(manifold, points)
    tree = tree_of(points.base)
    spacing = float(np.median(tree.query(points.base, k=2)[0][:, 1]))
    radii = np.empty(len(centers))
    for i, (center, frame) in enumerate(zip(centers.base, frames, strict=True)):
        distance = np.linalg.norm(points.base - center, axis=1)
        radius = min(largest, 2 * float(distance.max()), _turning(frame, tangents, distance))
        for _ in range(2):  # the second time among the points that the first has left, which lie closer
            members = np.flatnonzero(distance < radius)[:COMPARED]
            y, level = points.base[members], distance[members]
            ambient, local = pairwise(y), pairwise(y @ frame)
            bad = square_of((local < LEAST_STRETCH * ambient) & (ambient > 1e-3 * spacing))
            outer = np.maximum(level[:, None], level[None])
            radius = min(radius, float(outer[bad].min(initial=np.inf)))
        radii[i] = DISTRUST * radius
    return radii


def _turning(frame: Array, tangents: Array, distance: Array) -> float:
    """The distance of the nearest point whose tangent space is turned so far from the frame that σ_min(Vᵀ·T) < LEAST_STRETCH."""
    order = np.argsort(distance, kind="stable")
    for start in range(0, len(order), COMPARED):
        part = order[start : start + COMPARED]
        turned = np.linalg.svd(frame.T @ tangents[part], compute_uv=False)[:, -1] < LEAST_STRETCH
        if turned.any():
            return float(distance[part[turned]].min())
    return np.inf


def _greedy(centers: Array, radii: Array, points: Array) -> list[int]:
    """Candidates taken one by one, each the one whose ball, shrunk by LEAST_OVERLAP, covers most points not yet covered.

    Those that later ones have made superfluous are left out again.
    """
    members = [np.array(m, np.intp) for m in tree_of(points).query_ball_point(centers, radii / LEAST_OVERLAP)]
    left = np.ones(len(points), bool)
    chosen: list[int] = []
    while left.any():
        gains = np.array([int(left[m].sum()) for m in members])
        best = int(gains.argmax())
        if gains[best] == 0:
            break
        chosen.append(best)
        left[members[best]] = False
    depth = np.bincount(np.concatenate([members[i] for i in chosen]), minlength=len(points))
    kept = []
    for i in chosen:  # early balls may have become superfluous
        if depth[members[i]].min(initial=2) > 1:
            depth[members[i]] -= 1
        else:
            kept.append(i)
    return kept
