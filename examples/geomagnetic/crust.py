"""What rocks do to the field: degrees 13 to 133 of the high-resolution model, as five functions on the sphere, for a mixture of depth one.

The main field, up to degree 12, and all rates, which end with degree 15, are the task of `task.py`. What is left does not change in five
years, and fades with height: at the radius r it is Σ_n q^{n+2}·B_n(x), q = a/r. On [q₀, q₁] powers of q from the 14th on are near

    q^{n+2} ≈ Σ_{k<K} c_nk·w_k(q),      w_k(q) = q^18·T_k((q^25 − middle)/half),

interpolated at the Chebyshev nodes of q^25: five such functions do what takes nine polynomials in q. So, up to `left_out`,

    B = Σ_k w_k(q)·G_k(x)/s_k,      G_k = s_k·Σ_n c_nk·B_n,

with G three components for every k, functions on the sphere. One top-1 layer of nearest centres finds all fifteen; the sum over k is five
multiplications a component. If all components of G are within ε, B is within ε·Σ_k max|w_k|/s_k + `left_out`. The s_k are powers of two
by which errors of the G_k become alike.
"""

from __future__ import annotations

import numpy as np
from atlasmoe import Atlas, ManifoldTask, builtin
from atlasmoe.atlas.ball import pieces_of, spread, tangent_frames
from atlasmoe.atlas.chart import BallChart
from atlasmoe.atlas.spec.table_target import field_target
from atlasmoe.intervals.harmonics import Coefficients, Harmonics, places
from atlasmoe.intervals.harmonics.solid import degree_of
from scipy.spatial import SphericalVoronoi
from task import LEAST, MOST

Array = np.ndarray
MAIN = 12
"""The last degree of what `task.py` does."""
POWER, STEP = 18, 25
KEPT = 5
SCALES = np.array([1.0, 1.0, 2.0, 8.0, 64.0])
LOW, HIGH = LEAST**STEP, MOST**STEP
CELLS = 1 << 14
OVERLAP = 1.2
"""Radius of the balls, in distances of the farthest points from all centres."""


def split(given: Coefficients) -> tuple[Coefficients, Coefficients]:
    """The main field with all rates, and what rocks do."""
    n, _ = places(degree_of(given.main.shape[1]))
    low, rocks = given.main * (n <= MAIN), given.main * (n > MAIN)
    last = int(n[np.flatnonzero((given.main * (n <= MAIN) != 0).any(0) | (given.rates != 0).any(0))].max())
    return Coefficients(low, given.rates, given.epoch).cut(last), Coefficients(rocks, 0 * given.rates, given.epoch)


def weights(radius: Array) -> Array:
    """w_k/s_k, (K, N)."""
    q = 1 / np.asarray(radius, float)
    s = (2 * q**STEP - LOW - HIGH) / (HIGH - LOW)
    return np.asarray((q**POWER * np.polynomial.chebyshev.chebvander(s, KEPT - 1).T) / SCALES[:, None])


def interpolated(degree: int) -> Array:
    """c_nk of harmonics that fall off as q^{degree + 1}, (K,)."""
    angles = (2 * np.arange(KEPT) + 1) * np.pi / (2 * KEPT)
    nodes = (LOW + HIGH) / 2 + (HIGH - LOW) / 2 * np.cos(angles)
    values = nodes ** ((degree + 1 - POWER) / STEP)
    return np.array([(2 - (k == 0)) / KEPT * (values * np.cos(k * angles)).sum() for k in range(KEPT)])


def on_sphere(series: Harmonics) -> Harmonics:
    """The functions G, K times three components, of the field of the rocks."""
    l, _ = places(series.degree)
    table = np.array([interpolated(degree) for degree in range(series.degree + 1)])
    return Harmonics("G", np.concatenate([SCALES[k] * series.coefficients[:3] * table[l, k] for k in range(KEPT)]), decaying=False)


def left_out(series: Harmonics) -> float:
    """A bound, in nT and for every component, of what the sum over k leaves out: on a grid of q, and between by second derivatives.

    |e″| ≤ (l+1)·l·q₁^{l−1} + Σ_k |c_k|·(18·17·q₁^16 + 2·18·q₁^17·k²·g₁ + q₁^18·(k²(k²−1)/3·g₁² + k²·g₂)), g₁ and g₂ bounds of the first
    two derivatives of the argument of T_k, by Markov's inequality.
    """
    sizes = series.sum((0, 0, 0)).sizes[:3].max(0)
    q = np.linspace(LEAST, MOST, CELLS + 1)
    shape = weights(1 / q) * SCALES[:, None]
    first, second = (2 * STEP * MOST ** (STEP - 1) / (HIGH - LOW), 2 * STEP * (STEP - 1) * MOST ** (STEP - 2) / (HIGH - LOW))
    k = np.arange(KEPT) ** 2.0
    bends = POWER * (POWER - 1) * MOST ** (POWER - 2) + 2 * POWER * MOST ** (POWER - 1) * k * first
    bends += MOST**POWER * (k * np.maximum(k - 1, 0) / 3 * first**2 + k * second)
    total = np.zeros_like(q)
    for l in np.flatnonzero(sizes):
        c = interpolated(int(l))
        between = ((l + 1) * l * MOST ** (l - 1) + np.abs(c) @ bends) * ((MOST - LEAST) / CELLS) ** 2 / 8
        total += sizes[l] * (np.abs(q ** (l + 1) - c @ shape) + between)
    return float(total.max() * (1 + 1e-9))


def gain() -> float:
    """Σ_k max|w_k|/s_k, which errors of G count at most."""
    return float(MOST**POWER * (1 / SCALES).sum() * (1 + 1e-9))


def centres(count: int) -> Array:
    """About `count` points on the sphere whose cells are nearly hexagons, (10·n² + 2, 3): an icosahedron cut finely, and relaxed."""
    n = max(1, round(((count - 2) / 10) ** 0.5))
    golden = (1 + 5**0.5) / 2
    corners = np.array([(0, s, t * golden) for s in (-1, 1) for t in (-1, 1)])
    corners = np.concatenate([corners, np.roll(corners, 1, 1), np.roll(corners, 2, 1)]) / np.hypot(1, golden)
    near = corners @ corners.T > 0.4
    faces = [(i, j, k) for i in range(12) for j in range(i) for k in range(j) if near[i, j] and near[j, k] and near[i, k]]
    mixed = np.array([(a, b, n - a - b) for a in range(n + 1) for b in range(n + 1 - a)]) / n
    points = np.concatenate([mixed @ corners[list(face)] for face in faces])
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    points = points[np.unique(np.round(points, 9), axis=0, return_index=True)[1]]
    for _ in range(12):
        cells = SphericalVoronoi(points)
        points = np.array([cells.vertices[region].mean(0) for region in cells.regions])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    return points


def reach(points: Array) -> float:
    """How far the farthest point of the sphere is from all of these."""
    cells = SphericalVoronoi(points)
    return max(
        float(np.linalg.norm(cells.vertices[region] - point, axis=1).max()) for point, region in zip(points, cells.regions, strict=True)
    )


def task_of(series: Harmonics, charts: int) -> ManifoldTask:
    """G on the sphere, on balls around `centres`."""
    sphere = builtin("sphere", dimension=2)
    points = sphere.locate(centres(charts))
    radius, sample = OVERLAP * reach(points.base), spread(sphere, 80 * len(points), 1)
    frames, pieces = tangent_frames(sphere, points), pieces_of(sphere, points.base, 1.2 * radius, sample)
    balls = tuple(BallChart(f"ball{i}", points.base[i], frames[i], radius, pieces[i]) for i in range(len(points)))
    atlas = Atlas(sphere.coordinates, balls, cover=sphere.charts)
    return ManifoldTask("crust", atlas, field_target(on_sphere(series), atlas, "ambient"))
