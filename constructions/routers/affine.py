"""The affine router: a mixture of experts of depth one on a ball atlas (B1; B16 for unequal radii).

The gate compares c_i·x − (|c_i|² − r_i²)/2, which is the reference score s_i(x) = (r_i² − |x − c_i|²)/2 plus |x|²/2, the same for
every i: its argmax is the ball in which x lies deepest, the nearest centre if all radii are equal. With
κ = min over M of max_i (r_i² − |x − c_i|²), positive as soon as the balls cover M, and logits known to ±η,

    r_i² − |x − c_i|² ≥ κ − 4η > 0 at the expert i that is chosen, so x ∈ U_i,

for any E, with no τ, no condition on the width, and whichever of two tied experts wins. Equal radii: κ = r² − (cover radius)².
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike, NDArray
from scipy.spatial import cKDTree
from scipy.spatial.distance import cdist

from ...atlas import Array, Atlas, BallChart, Box, ManifoldTask, Piece, Points
from ...atlas.covering import covering_margin, nearest_ball
from ...errors import InvalidArgument
from ...moe.network import Affine, MoELayer, Network, ReLUNet
from ..experts.cells import COLLAR, FEWEST, SEARCHED, Cell
from ..experts.charts import Expert
from ..theorem_4_8 import input_names
from .proved_cover import CoverProof, prove_cover
from .scores import COVER_SAMPLES

CLAIMED = 0.5
"""κ is claimed to be this times the smallest margin found by search: what a proof has to reach, and a sample to refute."""
PRODUCTS = 1 + 2.0**-20
"""Covers the products of two rounding errors and the rounding of a bound's own formula."""
PROBED = 1024
SEARCHED_PER_BALL = 128


@dataclass(frozen=True, eq=False)
class AffineRouting:
    """The gate on a ball atlas, and why its argmax lands inside the ball of the winner."""

    atlas: Atlas
    centers: Array
    """c (E, k), before embedding."""
    radii: Array
    """r (E,)."""
    gate: Affine
    """float64, on R^D."""
    stored: Affine
    """As exported."""
    eta: float
    """η: the stored logits, in any order of summation, differ by at most this from s_i(x) + something common to all i."""
    found: float
    """The smallest max_i (r_i² − |x − c_i|²) that search found on M…"""
    witness: Points
    """…and where."""
    proof: CoverProof
    neighbours: tuple[NDArray[np.intp], ...]
    """For every ball, the balls that meet it."""

    @property
    def kind(self) -> str:
        """Equal radii, the nearest centre: "affine". Unequal ones: "power"."""
        return "affine" if np.ptp(self.radii) == 0 else "power"

    @property
    def kappa(self) -> float:
        """The κ that is claimed."""
        return CLAIMED * self.found

    @property
    def biased(self) -> bool:
        """Whether the gate needs its bias; not if all |c_i|² − r_i² are equal (R8)."""
        return bool(self.gate.bias.any())

    def lead(self, base: Array, chart: int) -> Array:
        """s_chart − max s at points of M, (N, k) to (N,); −∞ off the ball. Only balls that meet it can beat it there."""
        near = self.neighbours[chart]
        scores = (self.radii[near] ** 2 - cdist(base, self.centers[near], "sqeuclidean")) / 2
        own = scores[:, np.searchsorted(near, chart)]
        return np.where(own > 0, own - scores.max(1), -np.inf)


def route(atlas: Atlas, dtype: DTypeLike, seed: int = 0, *, prove: bool = True) -> AffineRouting:
    """The gate for a ball atlas in `dtype`, its margin κ by search, and by proof where the charts can be enclosed (B17).

    With `prove=False` there is only the search: enough to see where the gate sends points.
    Raises `InvalidArgument` for an atlas of other charts, and, with a witness, if the balls leave a point of M uncovered.
    """
    if atlas.balls is None:
        raise InvalidArgument('theorem "affine" routes between balls, but this atlas has other charts; use ball_atlas (atlas = "ball")')
    centers, radii = atlas.balls
    fresh = atlas.sample(max(COVER_SAMPLES, 16 * len(atlas)), seed + 5, low_discrepancy=True)
    found, witness = covering_margin(atlas, centers, radii, fresh, seed)
    if found <= 0:
        _refuse(witness.base[0], centers, radii)
    gate = exact_gate(atlas, centers, radii)
    stored = gate.astype(dtype)
    eta = score_error(atlas, centers, radii, gate, stored)
    without = Affine(gate.weight.copy(), np.zeros(len(radii)))
    plain = without.astype(dtype)
    if (bare := score_error(atlas, centers, radii, without, plain)) < eta:
        gate, stored, eta = without, plain, bare
    proof = prove_cover(atlas, centers, radii, CLAIMED * found) if prove else CoverProof(None, 0, None, "none was asked for")
    if proof.hole is not None:
        _refuse(proof.hole, centers, radii)
    tree = cKDTree(centers)
    meeting = tree.query_ball_point(centers, radii + radii.max(), return_sorted=True)
    near = tuple(np.array(some, np.intp) for some in meeting)
    return AffineRouting(atlas, centers, radii, gate, stored, eta, found, witness, proof, near)


def _refuse(point: Array, centers: Array, radii: Array) -> None:
    power, ball = nearest_ball(point[None], centers, radii)
    distance, radius = np.sqrt(power[0] + radii[ball[0]] ** 2), radii[ball[0]]
    at = ", ".join(f"{v:.6g}" for v in point)
    raise InvalidArgument(
        f"the balls do not cover M: ({at}) is {distance:.6g} from the centre of ball {ball[0]}, whose radius is {radius:.6g}, "
        "and no ball holds it; use more charts or a larger radius"
    )


def exact_gate(atlas: Atlas, centers: Array, radii: Array) -> Affine:
    """x ↦ c_i·x − (|c_i|² − r_i²)/2 on R^D, float64."""
    return Affine(atlas.embed(centers).copy(), -(np.einsum("ek,ek->e", centers, centers) - radii**2) / 2)


def score_error(atlas: Atlas, centers: Array, radii: Array, gate: Affine, stored: Affine) -> float:
    """η: |stored logits at x̂ − s_i(x) − common(x)| ≤ η for x ∈ M, x̂ = x rounded to the stored dtype (R9).

    With u the dtype's unit roundoff, γ_n = nu/(1 − nu), X ≥ |x|, W ≥ |w_i|, B ≥ |b_i|, the sum of
    * γ_{D+1}(W·X + B): the dot product and the bias, in any order of summation, with or without fused multiply-add;
    * u·W·X: x rounded to x̂; and max_i |ŵ_i − w_i|·X + |b̂_i − b_i|, measured: the weights rounded to the dtype;
    * in float64: computing b_i, and s_i itself when it is compared with; and Q·c_i and Q·x if there is an embedding Q, whose
      columns are orthonormal only nearly;
    * half the spread of |c_i|² − r_i², halved, if the gate leaves its bias out.
    """
    k, D = atlas.base_dimension, atlas.ambient_dimension
    u = float(np.finfo(stored.weight.dtype).eps) / 2
    tiny = (D + 1) * float(np.finfo(stored.weight.dtype).smallest_subnormal)
    C = float(np.linalg.norm(centers, axis=1).max())
    X = float((np.linalg.norm(centers, axis=1) + radii).max())  # M lies in the balls
    weight, bias = stored.weight.astype(float), stored.bias.astype(float)
    W, B = float(np.linalg.norm(weight, axis=1).max()), float(np.abs(bias).max())
    arithmetic = _gamma(D + 1, u) * (W * X + B) + tiny * (1 + X)
    inputs = u * W * X + tiny * W
    rounded = float((np.linalg.norm(weight - gate.weight, axis=1) * X + np.abs(bias - gate.bias)).max())
    u64 = float(np.finfo(float).eps) / 2
    built = _gamma(k + 3, u64) * ((C**2 + float(radii.max()) ** 2) / 2 + (C + X) ** 2)
    if atlas.embedding is not None:
        Q = atlas.embedding
        defect = float(np.linalg.norm(Q.T @ Q - np.eye(k))) + _gamma(D, u64) * k
        built += (defect + 2 * _gamma(k, u64) * np.sqrt(k)) * C * X
    offsets = np.einsum("ek,ek->e", centers, centers) - radii**2
    dropped = 0.0 if gate.bias.any() else float(np.ptp(offsets)) / 4
    return float(PRODUCTS * (arithmetic + inputs + rounded + built + dropped))


def _gamma(n: int, u: float) -> float:
    return float(n * u / (1 - n * u))


def cells(routing: AffineRouting, seed: int) -> list[Cell]:
    """The routed cell {s_i ≥ max s − 2η} of every ball: its Voronoi (or power) cell, in boxes of intrinsic coordinates.

    Its collar moves every face outwards until the cell has about COLLAR times its volume: the face towards a ball at distance h
    moves by t/h where s_i ≥ max s − t.
    """
    atlas, E = routing.atlas, len(routing.atlas)
    apart = cKDTree(routing.centers).query(routing.centers, k=2)[0][:, 1] if E > 1 else np.array([np.inf])
    collars = np.minimum(-2 * routing.eta, -(COLLAR ** (1 / atlas.dimension) - 1) * apart**2 / 2)
    searched = atlas.sample(int(np.clip(SEARCHED_PER_BALL * E, *SEARCHED)), seed + 2, low_discrepancy=True)
    owner, leads = _leading(routing, searched.base)
    chosen = np.bincount(owner[:, 0], minlength=E)
    point, rank = np.nonzero(leads >= collars[owner])
    order = np.argsort(owner[point, rank], kind="stable")
    boxes = _boxes(atlas, searched[point[order]], owner[point, rank][order])
    result = []
    for i, ball in enumerate(atlas.charts):
        assert isinstance(ball, BallChart)
        threshold = -2 * routing.eta if chosen[i] else min(-2 * routing.eta, _closest(routing, i, seed))
        pieces = boxes.get(i, ball.pieces)
        volumes = np.array([np.prod(piece.box.widths) for piece in pieces])
        result.append(Cell(i, pieces, volumes / volumes.sum(), threshold, min(threshold, collars[i])))
    return result


def _boxes(atlas: Atlas, points: Points, cell: NDArray[np.intp]) -> dict[int, tuple[Piece, ...]]:
    """For cells, given by their points in order of the cell: a box in the one chart that holds all of them, else in all that hold some.

    Cells with fewer than FEWEST points are missing.
    """
    found, starts, counts = np.unique(cell, return_index=True, return_counts=True)
    least = np.full(len(found), np.inf)
    single: dict[int, Piece] = {}
    several: dict[int, list[Piece]] = {int(i): [] for i in found[counts >= FEWEST]}
    for p, chart in enumerate(atlas.parametrising):
        inside = points.chart == p
        u = np.where(inside[:, None], points.intrinsic, np.nan)
        if chart.forward is not None:
            also = ~inside & chart.contains(points.base)
            u[also] = chart.coordinates(points.base[also])
            inside |= also
        outermost = np.maximum.reduceat(np.where(inside, np.abs(chart.domain.to_unit(u)).max(1), np.inf), starts)
        low, high, held = np.fmin.reduceat(u, starts), np.fmax.reduceat(u, starts), np.add.reduceat(inside.astype(int), starts)
        # n uniform points miss a cell's extent by about its n^{-1/d}-th part.
        margin = (high - low + 1e-3 * chart.domain.widths) * (np.maximum(held, 1) ** (-1 / atlas.dimension))[:, None]
        low, high = np.maximum(low - margin, chart.domain.lower), np.minimum(high + margin, chart.domain.upper)
        for k in np.flatnonzero((held > 0) & (counts >= FEWEST)):
            piece = Piece(p, Box(tuple(low[k]), tuple(high[k])))
            several[int(found[k])].append(piece)
            if outermost[k] < least[k]:
                least[k] = outermost[k]
                single[int(found[k])] = piece
    return {i: (single[i],) if i in single else tuple(pieces) for i, pieces in several.items()}


def _leading(routing: AffineRouting, base: Array) -> tuple[NDArray[np.intp], Array]:
    """For points of M the balls in which they lie deepest, deepest first, and their s_i − max s: (N, K) each.

    A cell and its collar meet few other cells: 2^(d+1) + 1 balls hold all that matter but in corners of collars.
    """
    height = np.sqrt(np.maximum(routing.radii.max() ** 2 - routing.radii**2, 0))
    most = min(2 ** (routing.atlas.dimension + 1) + 1, len(routing.radii))
    tree = cKDTree(np.column_stack([routing.centers, height]))
    squares, balls = tree.query(np.pad(base, ((0, 0), (0, 1))), k=range(1, most + 1))
    return balls, (squares[:, :1] ** 2 - squares**2) / 2


def _closest(routing: AffineRouting, chart: int, seed: int) -> float:
    """The FEWEST-th largest s_i − max s of PROBED points of ball i: experts hardly ever chosen are built where they come closest to it."""
    points = routing.atlas.sample_chart(chart, PROBED, seed)[1]
    return float(np.sort(routing.lead(points.base, chart))[-FEWEST])


def assemble(task: ManifoldTask, routing: AffineRouting, experts: Sequence[Expert]) -> Network:
    """Ψ = expert argmax_i (c_i·x + b_i), in float64: one layer, which reads x itself."""
    outputs = tuple(f"y[{k}]" for k in range(task.outputs))
    nets = tuple(expert.net for expert in experts)
    layer = MoELayer(routing.gate.net, nets, tuple(range(len(nets))), task.atlas.names, outputs)
    return Network((layer,), input_names(task))


def gate_only(routing: AffineRouting) -> Network:
    """The stored gate with experts that are 0: what its logits and routes are can be asked before any expert is built."""
    D, E = routing.atlas.ambient_dimension, len(routing.atlas)
    dtype = routing.stored.weight.dtype
    zero = ReLUNet((Affine(np.zeros((1, D), dtype), np.zeros(1, dtype)),), ())
    return Network((MoELayer(routing.stored.net, (zero,), (0,) * E, routing.atlas.names, ("y[0]",)),), tuple(f"x[{k}]" for k in range(D)))
