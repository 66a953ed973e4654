"""The affine router: a mixture of experts of depth one on a ball atlas (B1; B16 for unequal radii).

The gate compares c_i·x − (|c_i|² − r_i²)/2, which is the reference score s_i(x) = (r_i² − |x − c_i|²)/2 plus |x|²/2, the same for
every i: its argmax is the ball in which x lies deepest, the nearest centre if all radii are equal. With
κ = min over M of max_i (r_i² − |x − c_i|²), positive as soon as the balls cover M, and logits known to ±η,

    r_i² − |x − c_i|² ≥ κ − 4η > 0 at the expert i that is chosen, so x ∈ U_i,

for any E, with no τ, no condition on the width, and whichever of two tied experts wins. Equal radii: κ = r² − (cover radius)².

Where K experts are chosen (N14), κ_K, the least K-th largest r_i² − |x − c_i|² over M, takes the place of κ: every one of the K has a
logit of at least the K-th largest, so r_i² − |x − c_i|² ≥ κ_K − 4η > 0 at all of them, and as each of them is right to ε there, so is any
convex combination of theirs, to ε + (K + 2)·u·|f| in floats: softmax over the chosen, equal weights, any others. Equal radii:
κ_K = r² − max d_K(x)², d_K the distance to the K-th nearest centre. The price: a cell of order K holds K/E of M and not 1/E, so that errors
grow like K^(2/d) at the same width.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike, NDArray

from ...atlas import Array, Atlas, BallChart, Box, ManifoldTask, Piece, Points, ball_atlas, concatenate
from ...atlas.arguments import MAX_CHARTS
from ...atlas.covering import covering_margin, nearest_ball
from ...atlas.distances import tree_of
from ...atlas.implicit.together import few
from ...errors import InvalidArgument
from ...moe.ledger import Claim
from ...moe.network import Affine, Network
from ...moe.promise import ScorePromise
from ..asked import Asked
from ..experts.cells import COLLAR, FEWEST, SEARCHED, Cell
from ..experts.charts import Expert
from . import affine_claims
from .base import Router
from .centres import CLAIMED, Centres, exact_gate, score_error
from .proved_cover import CoverProof, prove_cover
from .scored import COVER_SAMPLES

PROBED, MOST_PROBED = 1 << 10, 1 << 17
"""Points of one ball among which its cell is looked for, at first and at most, where those of all of M show too few of it."""
PROBED_MORE = 8
"""How many times as many are looked at next."""
SEARCHED_PER_BALL = 128


@dataclass(frozen=True, eq=False)
class AffineRouting(Centres):
    """The gate on a ball atlas as a router that experts are built for."""

    @property
    def scores(self) -> None:
        return None

    @property
    def promise(self) -> ScorePromise | None:
        return ScorePromise.from_facts(self.facts(), len(self.atlas))

    def cells(self, seed: int) -> list[Cell]:
        return cells(self, seed)

    def total(self, task: ManifoldTask, network: Network, exact: Network, experts: Sequence[Expert], epsilon: float, seed: int) -> Claim:
        return affine_claims.total(task, network, exact, self, experts, epsilon, seed)

    def facts(self) -> dict[str, Any]:
        return affine_claims.facts(self)


def route(atlas: Atlas, dtype: DTypeLike, seed: int = 0, *, top_k: int = 1, prove: bool = True) -> AffineRouting:
    """The gate for a ball atlas in `dtype`, its margin κ by search, and by proof where the charts can be enclosed (B17); of `top_k` balls
    at every point κ_K.

    With `prove=False` there is only the search: enough to see where the gate sends points.
    Raises `InvalidArgument` for an atlas of other charts, and, with a witness, if the balls leave a point of M uncovered, or in too few.
    """
    if atlas.balls is None:
        raise InvalidArgument('theorem "affine" routes between balls, but this atlas has other charts; use ball_atlas (atlas = "ball")')
    centers, radii = atlas.balls
    if top_k > len(radii):
        raise InvalidArgument(f"{top_k} of {len(radii)} balls cannot be chosen; use a smaller top_k or more charts")
    fresh = atlas.sample(max(COVER_SAMPLES, 16 * len(atlas)), seed + 5, low_discrepancy=True)
    found, witness = covering_margin(atlas, centers, radii, fresh, seed, top_k)
    if found <= 0:
        _refuse(witness.base[0], centers, radii, top_k)
    gate = exact_gate(atlas, centers, radii)
    stored = gate.astype(dtype)
    eta = score_error(atlas, centers, radii, gate, stored)
    without = Affine(gate.weight.copy(), np.zeros(len(radii)))
    plain = without.astype(dtype)
    if (bare := score_error(atlas, centers, radii, without, plain)) < eta:
        gate, stored, eta = without, plain, bare
    proof = prove_cover(atlas, centers, radii, CLAIMED * found, fold=top_k) if prove else CoverProof(None, 0, None, "none was asked for")
    if proof.hole is not None:
        _refuse(proof.hole, centers, radii, top_k)
    tree = tree_of(centers)
    meeting = tree.query_ball_point(centers, radii + radii.max(), return_sorted=True)
    near = tuple(np.array(some, np.intp) for some in meeting)
    return AffineRouting(atlas, centers, radii, gate, stored, eta, found, witness, proof, near, top_k)


def _refuse(point: Array, centers: Array, radii: Array, top_k: int) -> None:
    at = ", ".join(f"{v:.6g}" for v in point)
    if top_k > 1:
        held = int((((point - centers) ** 2).sum(1) < radii**2).sum())
        raise InvalidArgument(
            f"({at}) lies in {held} of the balls, and {top_k} experts are to be chosen; use more charts or a larger radius"
        )
    power, ball = nearest_ball(point[None], centers, radii)
    distance, radius = np.sqrt(power[0] + radii[ball[0]] ** 2), radii[ball[0]]
    raise InvalidArgument(
        f"the balls do not cover M: ({at}) is {distance:.6g} from the centre of ball {ball[0]}, whose radius is {radius:.6g}, "
        "and no ball holds it; use more charts or a larger radius"
    )


def cells(routing: AffineRouting, seed: int) -> list[Cell]:
    """The routed cell {s_i ≥ max s − 2η} of every ball: its Voronoi (or power) cell, in boxes of intrinsic coordinates; of order K where K
    are chosen, {s_i ≥ s_(K) − 2η}, all of where the ball's expert is heard.

    Its collar moves every face outwards until the cell has about COLLAR times its volume: the face towards a ball at distance h
    moves by t/h where s_i ≥ max s − t.
    """
    atlas, E, K = routing.atlas, len(routing.atlas), routing.top_k
    apart = tree_of(routing.centers).query(routing.centers, k=2)[0][:, 1] if E > 1 else np.array([np.inf])
    collars = np.minimum(-2 * routing.eta, -(COLLAR ** (1 / atlas.dimension) - 1) * apart**2 * K ** (2 / atlas.dimension) / 2)
    searched = atlas.sample(int(np.clip(SEARCHED_PER_BALL * E, *SEARCHED)), seed + 2, low_discrepancy=True)
    owner, leads = _leading(routing, searched.base)
    chosen = np.bincount(owner[:, :K].ravel(), minlength=E)
    thresholds = [-2 * routing.eta if chosen[i] else min(-2 * routing.eta, _closest(routing, i, seed)) for i in range(E)]
    collars = np.minimum(collars, thresholds)
    point, rank = np.nonzero(leads >= collars[owner])
    cell, points = owner[point, rank], searched[point]
    few_found = np.flatnonzero(np.bincount(cell, minlength=E) < FEWEST)
    more = [_probed(routing, int(i), float(collars[i]), seed) for i in few_found]
    cell = np.concatenate([cell, np.repeat(few_found, [len(some) for some in more])])
    order = np.argsort(cell, kind="stable")
    boxes = _boxes(atlas, concatenate([points, *more])[order], cell[order])
    result = []
    for i, ball in enumerate(atlas.charts):
        assert isinstance(ball, BallChart)
        pieces = boxes.get(i, ball.pieces)
        volumes = np.array([np.prod(piece.box.widths) for piece in pieces])
        result.append(Cell(i, pieces, volumes / volumes.sum(), thresholds[i], float(collars[i])))
    return result


def _boxes(atlas: Atlas, points: Points, cell: NDArray[np.intp]) -> dict[int, tuple[Piece, ...]]:
    """For cells, given by their points in order of the cell: a box in the one chart that holds all of them, else in all that hold some; of
    tangent charts, of which many overlap, in those that it takes.

    Cells with fewer than FEWEST points are missing.
    """
    together, holds = atlas.together, np.zeros((len(atlas.parametrising), len(points)), bool)
    found, starts, counts = np.unique(cell, return_index=True, return_counts=True)
    least = np.full(len(found), np.inf)
    single: dict[int, Piece] = {}
    several: dict[int, list[Piece]] = {int(i): [] for i in found[counts >= FEWEST]}
    for p, chart in enumerate(atlas.parametrising):
        inside = points.chart == p
        u = np.where(inside[:, None], points.intrinsic, np.nan)
        if together is not None:
            (local,), (also,) = together.coordinates(points.base, slice(p, p + 1))
            u, inside = np.where(also[:, None], local, u), inside | also
        elif chart.forward is not None:
            also = ~inside & chart.contains(points.base)
            u[also] = chart.coordinates(points.base[also])
            inside |= also
        holds[p] = inside
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
    if together is not None:
        for i, start, count in zip(found.tolist(), starts.tolist(), counts.tolist(), strict=True):
            if i in several and i not in single:
                taken = few(holds[:, start : start + count])
                several[i] = [piece for piece in several[i] if piece.chart in taken]
    return {i: (single[i],) if i in single else tuple(pieces) for i, pieces in several.items()}


def _probed(routing: AffineRouting, chart: int, least: float, seed: int) -> Points:
    """Points of a ball with s_i − max s ≥ `least`, FEWEST where so many are found: its cell may be a few slivers, and of what is drawn from
    all of the ball's boxes one point in 400 be in it.
    """
    count = PROBED
    while True:
        points = routing.atlas.sample_chart(chart, count, seed)[1]
        points = points[routing.lead(points.base, chart) >= least]
        if len(points) >= FEWEST or count >= MOST_PROBED:
            return points
        count *= PROBED_MORE


def _leading(routing: AffineRouting, base: Array) -> tuple[NDArray[np.intp], Array]:
    """For points of M the balls in which they lie deepest, deepest first, and their s_i − max s, or as `lead` has it: (N, balls) each.

    A cell and its collar meet few other cells: 2^(d+1) + 1 balls, K times as many, hold all that matter but in corners of collars.
    """
    largest, K = routing.radii.max(), routing.top_k
    height = np.sqrt(np.maximum(largest**2 - routing.radii**2, 0))
    most = min(K * 2 ** (routing.atlas.dimension + 1) + 1, len(routing.radii))
    tree = tree_of(np.column_stack([routing.centers, height]))
    squares, balls = tree.query(np.pad(base, ((0, 0), (0, 1))), k=range(1, most + 1))
    level = squares[:, :1] ** 2 if K == 1 else np.minimum(squares[:, K - 1 : K] ** 2, largest**2)
    return balls, (level - squares**2) / 2


def _closest(routing: AffineRouting, chart: int, seed: int) -> float:
    """The FEWEST-th largest s_i − max s of PROBED points of ball i: experts hardly ever chosen are built where they come closest to it."""
    points = routing.atlas.sample_chart(chart, PROBED, seed)[1]
    return float(np.sort(routing.lead(points.base, chart))[-FEWEST])


@dataclass(frozen=True)
class NearestCentre(Router):
    """Balls route by their centres; charts of another kind are replaced by balls of the same manifold (B17), if `replaces` allows it, and
    so are balls that leave a point in fewer than K of them.
    """

    gate_alone: ClassVar[bool] = True
    replaces: bool = True
    top_k: int = 1
    tree: bool = False
    """Whether its gate is to be evaluated in two levels."""

    @property
    def title(self) -> str:
        return "affine"

    def accepts(self, task: ManifoldTask) -> str | None:
        if task.atlas.balls is None and not self.replaces:
            return "the charts are no balls, between which no affine gate routes"
        if self.top_k > len(task.atlas) and not self.replaces:
            return f"of {len(task.atlas)} balls no {self.top_k} can be chosen"
        return None

    def choosing(self, top_k: int) -> Router:
        return replace(self, top_k=top_k)

    def build(self, task: ManifoldTask, asked: Asked) -> AffineRouting:
        """Raises `EpsilonNotReached` if the margin of the balls is lost in the dtype, `InvalidArgument` if M has no balls."""
        routing = route(self._balls(task.atlas, asked.seed), asked.dtype, asked.seed, top_k=self.top_k)
        affine_claims.require_margin(routing, asked.dtype)
        return replace(routing, tree=self.tree)

    def _balls(self, atlas: Atlas, seed: int) -> Atlas:
        """Those of the atlas, if they are balls and K of them hold every point; else others, as many at least, of the same manifold."""
        if atlas.balls is None:
            return ball_atlas(atlas, seed=seed, fold=self.top_k)
        if self.top_k == 1 or not self.replaces:
            return atlas
        try:
            route(atlas, float, seed, top_k=self.top_k, prove=False)
        except InvalidArgument:
            return grown(atlas, self.top_k, seed)
        return atlas


def grown(atlas: Atlas, top_k: int, seed: int) -> Atlas:
    """As many balls as the ball atlas has, so large that `top_k` of them hold every point of M; twice as many, and again, where tangent
    charts of that size degenerate. Raises `InvalidArgument` where an atlas may not have so many.
    """
    count = max(len(atlas), top_k)
    while True:
        try:
            return ball_atlas(atlas, charts=count, seed=seed, fold=top_k)
        except InvalidArgument:
            if 2 * count > MAX_CHARTS:
                raise
        count *= 2
