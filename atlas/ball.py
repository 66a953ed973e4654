"""`ball_atlas`: the atlas of the paper's Example 4.6, of any manifold that has charts.

Centres c_i on M, U_i = M ∩ B(c_i, r), φ_i(y) = V_iᵀ(y − c_i) with V_i an orthonormal basis of the tangent space at c_i.
The chart maps are affine, so the atlas is highly regular (Corollary 4.9). It works in the coordinates before any embedding;
an isometry changes nothing in it.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ..errors import InvalidArgument
from ..expressions.box import Array, Box
from ..expressions.given import of_kind
from . import arguments, distinct
from .atlas import Atlas
from .chart import BallChart, Piece
from .covering import covering_radius, farthest_points, relaxed
from .distances import pairwise, tree_of
from .implicit.together import few
from .points import Points, concatenate

OVERLAP = 1.3
"""r / covering radius when the number of charts is given. Every point of M then has depth 1 − |y − c|²/r² ≥ 0.4 in some ball."""

LEAST_OVERLAP = 1.15
"""r / covering radius at least, when the radius is given: depth ≥ 0.24 everywhere."""

LEAST_STRETCH = 0.2
"""|φ_i(y) − φ_i(z)| ≥ this · |y − z| on every U_i, or the tangent chart counts as degenerate. 1 would be flat."""

SAMPLES_PER_BALL = 80
LEAST_SAMPLES, MOST_SAMPLES = 6_000, 150_000
"""Of the points that centres are chosen from; the least is doubled for every dimension after the first."""

CHECKED_PER_BALL = 64
ENCLOSING = 1.5
"""Radius of a ball around all of M, in distances of the farthest sampled point from its centre."""
PIECE_REACH = 1.2
"""Pieces are boxes around the samples in this multiple of the ball, a little enlarged, so that they contain the ball itself."""


def ball_atlas(atlas: Atlas, radius: Any = None, charts: Any = None, seed: Any = 0, fold: Any = 1) -> Atlas:
    """E balls of one radius that cover the manifold of `atlas`, each with its affine tangent chart.

    With a `fold` of K every point of M lies in K of them (N14): what is said of the covering radius below is then said of the distance to
    the K-th nearest centre, and a number of charts makes balls of 1.15 times that, no larger than it takes.

    Give `charts` = E (the radius is then 1.3 times the covering radius of E well-spread centres), or `radius` (then there
    are as many centres as it takes to cover M with balls of radius/1.15), or neither: then E is the
    smallest 2^j·(d+1) for which all tangent charts are injective. Deterministic for a seed. The covering and the injectivity are
    measured on dense samples and local search, not proved.

    Raises `InvalidArgument` if a tangent chart degenerates in its ball (B18: r must stay below the reach), or
    if the radius asks for more than 4096 balls.
    """
    of_kind("ball_atlas: atlas", atlas, Atlas, 'give an Atlas, like builtin("sphere")')
    if radius is not None and charts is not None:
        raise InvalidArgument("give the ball atlas a radius or a number of charts, not both")
    seed, fold = arguments.integer("seed", seed, 0, 2**63 - 1), arguments.integer("fold", fold, 1, arguments.MAX_CHARTS)
    manifold = Atlas(atlas.coordinates, atlas.parametrising, atlas.partition, region=atlas.region)
    if radius is not None:
        radius = arguments.number("radius", radius, 0)
        balls = _with_radius(manifold, radius, seed, fold)
    elif charts is not None:
        charts = arguments.integer("charts", charts, fold, arguments.MAX_CHARTS)
        balls = _with_count(manifold, charts, seed, fold)
    else:
        balls, charts = _smallest(manifold, seed, fold)
    recipe = None
    if fold == 1 and atlas.recipe is not None and not {"atlas", "charts", "radius", "seed"} & set(atlas.recipe):
        size = {"charts": charts} if radius is None else {"radius": radius}
        recipe = {**atlas.recipe, "atlas": "ball", **size, "seed": seed}
    return dataclasses.replace(atlas, charts=balls, cover=atlas.parametrising, recipe=recipe)


def enclosing_ball(atlas: Atlas, seed: int = 0) -> Atlas:
    """One ball that holds all of M, the atlas of a network that chooses nothing: U = M, and nobody uses the ball's tangent chart.

    Its middle is that of the box around sampled points, its radius ENCLOSING times the distance of the farthest: that it holds M is proved
    with whatever is proved of the network, box by box. Raises `InvalidArgument` if M has no tangent space at any sampled point.
    """
    manifold = Atlas(atlas.coordinates, atlas.parametrising, atlas.partition, region=atlas.region)
    points = manifold.sample(LEAST_SAMPLES, seed, low_discrepancy=True)
    base = points.base[np.isfinite(points.base).all(1)]
    middle = (base.min(0) + base.max(0)) / 2
    radius = ENCLOSING * float(np.sqrt(((base - middle) ** 2).sum(1).max()))
    frame = _some_frame(manifold, points)
    pieces = tuple(Piece(p, chart.domain) for p, chart in enumerate(manifold.parametrising))
    recipe = None
    if atlas.recipe is not None:
        recipe = {k: v for k, v in atlas.recipe.items() if k not in ("charts", "radius")} | {"atlas": "ball", "charts": 1, "seed": seed}
    whole = BallChart("ball0", middle, frame, radius, pieces)
    return dataclasses.replace(atlas, charts=(whole,), cover=atlas.parametrising, recipe=recipe)


def _some_frame(manifold: Atlas, points: Points) -> Array:
    """A tangent frame (k, d) at the first of the points that has one."""
    for n in range(len(points)):
        try:
            return tangent_frames(manifold, points[n : n + 1])[0]
        except InvalidArgument:
            continue
    raise InvalidArgument("the charts have a tangent space at no point that was sampled; run lint on the task")


def _smallest(manifold: Atlas, seed: int, fold: int) -> tuple[tuple[BallChart, ...], int]:
    count = manifold.dimension + fold
    while True:
        try:
            return _with_count(manifold, count, seed, fold), count
        except InvalidArgument:
            if 2 * count > arguments.MAX_CHARTS:
                raise
        count *= 2


def _with_count(manifold: Atlas, count: int, seed: int, fold: int) -> tuple[BallChart, ...]:
    """`count` balls of radius `OVERLAP` times the covering radius of their centres; of several folds `LEAST_OVERLAP` times."""
    dense, fresh = _samples(manifold, count, seed)
    chosen = farthest_points(dense.base, 0, limit=count)
    centers = dense[relaxed(dense.base, chosen)]
    if len(centers) < count:
        raise InvalidArgument(f"charts = {count}, but the manifold has only {len(centers)} distinct sample points")
    cover, _ = covering_radius(manifold, centers.base, fresh, seed, fold)
    return _balls(manifold, centers, (OVERLAP if fold == 1 else LEAST_OVERLAP) * cover, dense, fresh)


def _with_radius(manifold: Atlas, radius: float, seed: int, fold: int) -> tuple[BallChart, ...]:
    """As many balls of this radius as it takes to cover M with `LEAST_OVERLAP` to spare."""
    count = 0
    while True:
        dense, fresh = _samples(manifold, count, seed)
        limit = arguments.MAX_CHARTS + 1
        chosen = farthest_points(dense.base, 0, limit=limit, radius=radius / (1.05 * LEAST_OVERLAP))
        if len(chosen) == limit:
            raise InvalidArgument(f"radius = {radius:g} needs more than {arguments.MAX_CHARTS} balls; use a larger radius")
        if len(chosen) * SAMPLES_PER_BALL <= len(dense) or len(dense) >= MOST_SAMPLES:
            break
        count = 2 * len(chosen)  # too few samples to see the gaps between so many balls
    centers = dense[chosen]
    if len(centers) < fold:
        centers = dense[farthest_points(dense.base, 0, limit=fold)]
    cover, worst = covering_radius(manifold, centers.base, fresh, seed, fold)
    while cover * LEAST_OVERLAP > radius:
        if len(centers) >= arguments.MAX_CHARTS:
            raise InvalidArgument(f"radius = {radius:g} needs more than {arguments.MAX_CHARTS} balls; use a larger radius")
        centers = concatenate([centers, worst])
        cover, worst = covering_radius(manifold, centers.base, fresh, seed, fold)
    return _balls(manifold, centers, radius, dense, fresh)


def _samples(manifold: Atlas, count: int, seed: int) -> tuple[Points, Points]:
    """Points to choose `count` centres from, and as many others to measure the covering on."""
    least = min(LEAST_SAMPLES * 2 ** (manifold.dimension - 1), MOST_SAMPLES)
    N = int(np.clip(SAMPLES_PER_BALL * count, least, MOST_SAMPLES))
    first, second = np.random.SeedSequence(seed).generate_state(2)
    return spread(manifold, N, int(first)), spread(manifold, N, int(second))


def spread(manifold: Atlas, count: int, seed: int) -> Points:
    """About `count` points of M, in random order, nearly uniform in area on each chart.

    Uniform points of a chart's box would crowd where the chart shrinks, and leave gaps where it stretches: four times too
    many are drawn and kept with probability proportional to √det(JᵀJ).
    """
    points = manifold.sample(4 * count, seed, low_discrepancy=True)
    area = _areas(manifold, points)
    rng = np.random.default_rng(seed)
    kept = np.flatnonzero(rng.random(len(points)) * area.sum() <= count * area)
    return points[rng.permutation(kept)]


def _balls(manifold: Atlas, centers: Points, radius: float, dense: Points, fresh: Points) -> tuple[BallChart, ...]:
    """The balls of one radius around these centres; refuses those whose tangent chart is not injective."""
    frames = tangent_frames(manifold, centers)
    _require_injective(manifold, centers, frames, radius, dense)
    pieces = pieces_of(manifold, centers.base, PIECE_REACH * radius, fresh)
    return tuple(BallChart(f"ball{i}", centers.base[i], frames[i], radius, pieces[i]) for i in range(len(centers)))


def tangent_frames(manifold: Atlas, points: Points) -> Array:
    """Orthonormal bases (N, k, d) of the tangent spaces, from the Jacobians of the parametrising charts by QR.

    Raises `InvalidArgument` where a Jacobian has not full rank.
    """
    jacobian = _jacobians(manifold, points)
    finite = np.all(np.isfinite(jacobian), axis=(1, 2))
    Q, R = np.linalg.qr(np.where(finite[:, None, None], jacobian, 0.0))
    diagonal = np.diagonal(R, axis1=1, axis2=2)
    degenerate = np.flatnonzero(~finite | (np.abs(diagonal).min(1) <= 1e-10 * np.abs(R).max((1, 2))))
    if len(degenerate):
        n = int(degenerate[0])
        name = manifold.parametrising[points.chart[n]].name
        at = ", ".join(f"{v:.6g}" for v in points.intrinsic[n])
        raise InvalidArgument(f'chart "{name}": the Jacobian of its inverse has not full rank at ({at}), so it has no tangent space there')
    return Q * np.where(diagonal < 0, -1.0, 1.0)[:, None, :]


def _areas(manifold: Atlas, points: Points) -> Array:
    """√det(JᵀJ), by which the chart that made each point scales volume there; (N,), 0 where it is not finite."""
    jacobian = _jacobians(manifold, points)
    gram = np.swapaxes(jacobian, 1, 2) @ jacobian
    return np.sqrt(np.maximum(np.nan_to_num(np.linalg.det(gram), nan=0.0, posinf=0.0), 0.0))


def _jacobians(manifold: Atlas, points: Points) -> Array:
    """The Jacobians (N, k, d) of the charts that made the points."""
    if manifold.together is not None:
        return manifold.together.jacobians(points.chart, points.intrinsic)
    jacobian = np.empty((len(points), manifold.base_dimension, manifold.dimension))
    for i in distinct.numbers(points.chart):
        rows = points.chart == i
        jacobian[rows] = manifold.parametrising[i].inverse.jacobian_at(points.intrinsic[rows])
    return jacobian


def _require_injective(manifold: Atlas, centers: Points, frames: Array, radius: float, dense: Points) -> None:
    """Check |φ_i(y) − φ_i(z)| ≥ `LEAST_STRETCH`·|y − z| for sampled pairs of each ball, and the same for tangent vectors.

    The pairs find other sheets of M that pass through the ball; the tangent vectors find where M turns away from V_i.
    """
    members = tree_of(dense.base).query_ball_point(centers.base, radius, return_sorted=True)
    some = [np.array(m, np.intp)[:CHECKED_PER_BALL] for m in members]
    ball = np.repeat(np.arange(len(some)), [len(m) for m in some])
    tangents = tangent_frames(manifold, dense)
    every = np.concatenate(some)
    stretch = np.ones(len(some))
    np.minimum.at(stretch, ball, np.linalg.svd(np.swapaxes(frames, 1, 2)[ball] @ tangents[every], compute_uv=False)[:, -1])
    for i, rows in enumerate(some):
        ambient = pairwise(dense.base[rows])
        local = pairwise(dense.base[rows] @ frames[i])
        apart = ambient > 1e-9 * radius
        stretch[i] = min(stretch[i], (local[apart] / ambient[apart]).min(initial=1.0))
    worst = int(stretch.argmin())
    if stretch[worst] < LEAST_STRETCH:
        at = ", ".join(f"{c:.4g}" for c in centers.base[worst])
        raise InvalidArgument(
            f"the tangent chart at ({at}) is not injective on its ball of radius {radius:.4g}: it shrinks some distance "
            f"to {stretch[worst]:.2g} of its length ({LEAST_STRETCH} is the least allowed); use more charts or a smaller radius"
        )


def pieces_of(manifold: Atlas, centers: Array, reach: float | Array, sample: Points) -> list[tuple[Piece, ...]]:
    """For each centre, boxes of the parametrising charts that together contain its ball, as far as samples within `reach` tell.

    One piece where one chart contains all of them, else one for every chart that has such samples; of tangent charts, of which many
    overlap, one for each that it takes, chosen greedily.
    """
    intrinsic, edge = _placed(manifold, sample)
    result = []
    for members in tree_of(sample.base).query_ball_point(centers, reach):
        near = np.array(members, np.intp)
        outermost = edge[:, near].max(1)
        best = int(outermost.argmin())
        if outermost[best] < np.inf:
            which = [best]
        else:
            which = distinct.numbers(sample.chart[near]).tolist() if manifold.together is None else few(edge[:, near] < np.inf)
        pieces = []
        for p in which:
            u = intrinsic[p][near[edge[p, near] < np.inf]]
            domain = manifold.parametrising[p].domain
            pad = 0.05 * (u.max(0) - u.min(0)) + 1e-6 * domain.widths
            lower, upper = np.maximum(u.min(0) - pad, domain.lower), np.minimum(u.max(0) + pad, domain.upper)
            pieces.append(Piece(int(p), Box(tuple(lower), tuple(upper))))
        result.append(tuple(pieces))
    return result


def _placed(manifold: Atlas, sample: Points) -> tuple[list[Array], Array]:
    """φ_p of the samples in every parametrising chart, and how far out in its box, (E, N): 1 on its faces, ∞ outside."""
    charts, own = manifold.parametrising, np.arange(len(manifold.parametrising))[:, None] == sample.chart
    edge = np.full((len(charts), len(sample)), np.inf)
    intrinsic: list[Array] = []
    every = None if manifold.together is None else manifold.together.coordinates(sample.base)
    for p, chart in enumerate(charts):
        u, inside = np.where(own[p][:, None], sample.intrinsic, np.nan), own[p]
        if chart.forward is not None:
            u = np.where(inside[:, None], u, chart.forward(sample.base) if every is None else every[0][p])
            inside = inside | (chart.contains(sample.base) if every is None else every[1][p])
        intrinsic.append(u)
        edge[p, inside] = np.abs(chart.domain.to_unit(u[inside])).max(1)
    return intrinsic, edge
