"""Chen, Jiang, Liao and Zhao (2019) as a construction: all charts in parallel in one dense net, each let through where it counts.

Source: "Efficient approximation of deep ReLU networks for functions on low dimensional manifolds".

Statement. Let balls B(c_i, r_i) cover M ⊂ R^k with tangent charts φ_i, i = 1..E, κ = min over M of max_i (r_i² − |x − c_i|²) > 0,
r′_i² = r_i² − κ/2, and ρ_i ∝ max(0, r′_i² − |x − c_i|²)² a partition of unity, which vanishes beyond r′_i. Let |ρ_i·f − v_i| ≤ ε_i on
M ∩ B(c_i, r_i), v_i = g_i∘φ_i with two-layer nets g_i of d coordinates. Then the dense net of four layers Ψ = Σ_i G(v_i, p_i)
(`indicators`, whose F_i bounds |v_i|) has

    |f(x) − Ψ(x)| ≤ Σ {ε_i : |x − c_i| < r_i} ≤ N·max_i ε_i     for all x ∈ M, N balls at most holding a point.

Proof. Beyond r_i the gate is 0, as is ρ_i·f. Inside of r′_i it is v_i. Between, ρ_i·f = 0, and the gate lies between 0 and v_i, where
|v_i| ≤ ε_i. Sum over i; Σ ρ_i = 1. Every input meets all charts: that is what a gate that chooses saves.

Where it departs from the paper, and why. Products are not Yarotsky's: a value times an indicator takes two neurons, and is exact where the
indicator is 0 or 1. The indicator's band lies where ρ_i vanishes, so the accuracy e of squares is fixed by κ and does not depend on ε: no
term for what is lost in the band, no depth that grows with log 1/ε. Squares are interpolated in one hidden layer, once for all charts.
Local functions are fitted (Lemma 3.1), not Taylor polynomials patched together. What is kept: the partition of unity, squared distances
that decide where a chart counts, local approximations in d coordinates, all charts in parallel, their sum.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from joblib import Parallel, delayed

from ..atlas import Array, Atlas, BallChart, Block, ManifoldTask, Points, ball_atlas
from ..errors import EpsilonNotReached, InvalidArgument
from ..moe.ledger import Claim, Known
from ..moe.network import Affine, Net
from .asked import Asked, Reading
from .built import Built
from .choices import Choice, called
from .experts.charts import REMEDY, Expert
from .experts.tighten import tightened
from .experts.ways import Way, ways
from .experts.worst import worst_on_cells
from .indicators import PART, SOURCE, Balls, Squares, gated_sum
from .relu import Fit, Target
from .routers.affine import route
from .routers.undivided import Undivided
from .shares import HELD_OUT_SAFETY, ROUNDING_SHARE
from .theorem_dense import built, undivided

NAME = "chen"
PER_CHART = 512
"""Points of M that a net is measured on, of every chart at least."""
SHRUNK = 0.5
"""What r′² is less than r², in parts of κ."""
MARGIN = 1 / 16
"""How far the box of the squares reaches beyond sampled points of M, in parts of its sides."""
NARROW = (8, 12, 16, 24)
"""Widths of splines, in one dimension, that are tried before the search for a width begins."""
SAMPLES = 1 << 14
BOUNDED = 1.25
"""F_i in parts of the largest |v_i| seen on M."""
SMALLEST = 2.0**-10
"""F_i at least, in parts of the largest |f| seen."""
EXACT = 1e-9
"""Rounding of the lemma's own sums, in parts of the largest |f| seen, F included."""


def build(block: Block, reading: Reading, asked: Asked, choice: Choice, *, computed: bool = False) -> Built:
    """One deep net for all charts of the block.

    Raises `EpsilonNotReached`, and `InvalidArgument` for a block that reads computed values.
    """
    if computed:
        raise InvalidArgument(
            f"{called(block)}: it reads computed values, and nothing bounds how steep indicators are off M; leave theorem {NAME!r} out"
        )
    task = undivided(block)
    charts = Charts.of(block.task, asked.seed)
    (way,) = ways(asked.activation, asked.gated)
    routed = Undivided(task.atlas, SOURCE)
    (cell,) = routed.cells(asked.seed)
    drawn = cell.draw(task.atlas, routed, max(SAMPLES, PER_CHART * len(charts)), 2 * asked.seed + 104729)[1]
    allowed = asked.budget
    if allowed is not None and (missed := asked.missed.get(task.atlas.names[0])) is not None:
        allowed *= missed.factor

    def attempt(budget: float | None) -> Attempt:
        values = charts.values(way, asked, None if budget is None else budget / charts.multiplicity)
        net = charts.net([fit.net for fit in values])
        worst = worst_on_cells(task, routed, [cell], [net], [drawn], asked.seed, suspect=np.inf if allowed is None else 0.5 * allowed)[0]
        return Attempt(charts, values, net, worst.error, tuple(map(float, worst.at)), worst.samples)

    made = attempt(None) if allowed is None else tightened(attempt, lambda one: one.error, lambda one: one.net.parameters, allowed)
    if allowed is not None and made.error > allowed:
        raise EpsilonNotReached("expert[ball0]", budget=allowed, reached=made.error, width=made.width, remedy=REMEDY)
    whole = built(block, routed, task, made.expert(allowed), asked, computed)
    facts = {**whole.facts, "chen": made.facts}
    return replace(whole, theorem=NAME, why="asked for: all charts in parallel in one dense net", width=made.width, facts=facts)


@dataclass(frozen=True, eq=False)
class Charts:
    """The balls, and what the construction needs to know of them."""

    task: ManifoldTask
    """On the balls."""
    balls: Balls
    squares: Squares
    kappa: float
    points: Points
    """Of M."""

    @staticmethod
    def of(task: ManifoldTask, seed: int) -> Charts:
        """The balls of the task, or others of the same manifold where it has charts of another kind."""
        atlas = task.atlas if task.atlas.balls is not None else ball_atlas(task.atlas, seed=seed)
        routing = route(atlas, float, seed, prove=False)
        points = atlas.sample(SAMPLES, seed + 982451653, low_discrepancy=True)
        inner = np.sqrt(routing.radii**2 - SHRUNK * routing.found)
        balls = Balls(routing.centers, routing.radii, inner)
        low, high = points.base.min(0), points.base.max(0)
        room = MARGIN * (high - low)
        squares = Squares.within(low - room, high + room, PART * float(balls.bands.min()))
        return Charts(replace(task, atlas=atlas), balls, squares, routing.found, points)

    def __len__(self) -> int:
        """E."""
        return len(self.balls.outer)

    @property
    def atlas(self) -> Atlas:
        return self.task.atlas

    def square(self, base: Array) -> Array:
        """|x − c_i|², (N, E)."""
        return np.asarray(((base[:, None] - self.balls.centers) ** 2).sum(2))

    def rho(self, base: Array) -> Array:
        """ρ, (N, E)."""
        bumps = np.maximum(self.balls.inner**2 - self.square(base), 0) ** 2
        return np.asarray(bumps / bumps.sum(1, keepdims=True))

    @cached_property
    def held(self) -> Array:
        """Which balls hold each of the points, (N, E)."""
        return np.asarray(self.square(self.points.base) < self.balls.outer**2)

    @cached_property
    def multiplicity(self) -> int:
        """N, as sampled."""
        return int(self.held.sum(1).max())

    @cached_property
    def size(self) -> float:
        """The largest |f| at the points."""
        return float(np.abs(self.truth).max())

    @cached_property
    def truth(self) -> Array:
        """f at the points, (N, q)."""
        return self.task.evaluate(self.points)

    def target(self, chart: int) -> Target:
        """ρ_i·f on U_i, in the ball's own coordinates."""

        def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
            u, points = self.atlas.sample_chart(chart, count, seed)
            return u, self.task.evaluate(points) * self.rho(points.base)[:, chart, None]

        return Target(draw, f"expert[{self.atlas.names[chart]}].g", f"(ρ_i·f)∘φ_i⁻¹ on ball {chart}, {SOURCE}")

    def values(self, way: Way, asked: Asked, budget: float | None) -> list[Fit]:
        """g_i of every chart, of the width that was asked for or to a budget; the first is the pilot of the search for the others."""

        def one(chart: int, pilot: Fit | None) -> Fit:
            count = None if pilot is None else pilot.direction_count
            if budget is None:
                return way.fit(self.target(chart), asked.width or way.narrowest, seed=asked.seed, direction_count=count, dtype=asked.dtype)
            for width in NARROW if self.atlas.dimension == 1 and way.plain else ():
                if (narrow := way.fit(self.target(chart), width, seed=asked.seed)).error <= budget and width <= asked.limit:
                    return narrow
            return way.fit_to(
                self.target(chart),
                budget,
                dimension=self.atlas.dimension,
                limit=asked.limit,
                seed=asked.seed,
                start=None if pilot is None else pilot.width,
                direction_count=count,
                dtype=asked.dtype,
                remedy=REMEDY,
            )

        first = one(0, None)
        return [first, *Parallel(prefer="threads")(delayed(one)(chart, first) for chart in range(1, len(self)))]

    def folded(self, fits: Sequence[Net]) -> list[Net]:
        """v_i = g_i∘φ_i, of coordinates before an embedding."""
        balls = [chart for chart in self.atlas.charts if isinstance(chart, BallChart)]
        return [g.after(Affine(*ball.affine)) for g, ball in zip(fits, balls, strict=True)]

    def sizes(self, values: Sequence[Net]) -> Array:
        """F, (E,)."""
        seen = np.array([np.abs(net(self.points.base)).max() for net in values])
        return np.maximum(BOUNDED * seen, SMALLEST * max(self.size, np.finfo(float).tiny))

    def net(self, fits: Sequence[Net]) -> Net:
        """Ψ, of x ∈ R^D."""
        values = self.folded(fits)
        whole = gated_sum(self.balls, self.squares, values, self.sizes(values))
        embedding = self.atlas.embedding
        return whole if embedding is None else whole.after(Affine(embedding.T.copy(), np.zeros(embedding.shape[1])))


@dataclass(frozen=True, eq=False)
class Attempt:
    """A net with what it is made of, and the largest error that was found."""

    charts: Charts
    values: Sequence[Fit]
    net: Net
    error: float
    at: tuple[float, ...]
    samples: int

    @property
    def width(self) -> int:
        """The widest of the local nets."""
        return max(fit.width for fit in self.values)

    @property
    def facts(self) -> dict[str, float | int]:
        """For the model card."""
        charts = self.charts
        nonzero = sum(int(np.count_nonzero(map_.weight) + np.count_nonzero(map_.bias)) for map_ in self.net.affines)
        found = {"charts": len(charts), "multiplicity": charts.multiplicity, "kappa": charts.kappa, "squares": charts.squares.width}
        return {**found, "square_error": charts.squares.error, "nonzero": nonzero}

    def expert(self, allowed: float | None) -> Expert:
        """As the one expert of a layer without a gate."""
        claim = Claim(
            "expert[ball0]",
            f"|f − Σ G(v_i, p_i)| ≤ (1 − {ROUNDING_SHARE:.3g})·ε on all of M, {len(self.charts)} charts in parallel",
            SOURCE,
            HELD_OUT_SAFETY * self.error if allowed is None else allowed,
            self.error,
            Known.SAMPLED,
            samples=self.samples,
            witness=self.at,
            children=tuple(self._claims()),
        )
        fit = Fit(None, self.net, self.error, np.array(self.at), self.samples, 0)
        return Expert(self.net, claim, fit, None)

    def _claims(self) -> Iterator[Claim]:
        charts, n = self.charts, len(self.charts.points)
        base, bands = charts.points.base, charts.balls.bands
        deepest = (charts.balls.inner**2 - charts.square(base)).max(1)
        yield self._sampled("cover", "max_i (r′_i² − |x − c_i|²) > 0 on M: ρ is a partition of unity", 0.0, float(deepest.min()), ">")
        e = charts.squares.error
        statement = f"Σ h_k²/8 = e, what interpolated squares are off by, is less than half of every band r_i² − r′_i², E = {len(charts)}"
        yield Claim("chen.square", statement, "interpolation of z²", float(bands.min()) / 2, e, Known.FORMULA)
        values = charts.folded([fit.net for fit in self.values])
        sizes, outputs = charts.sizes(values), [net(base) for net in values]
        largest = max(float(np.abs(out).max() / size) for out, size in zip(outputs, sizes, strict=True))
        yield self._sampled("gate", "|v_i| ≤ F_i on M, so that a gate is v_i inside and 0 outside: the largest |v_i|/F_i", 1.0, largest)
        off = np.stack(
            [np.abs(out - charts.truth * weight[:, None]).max(1) for out, weight in zip(outputs, charts.rho(base).T, strict=True)]
        )
        local = float(np.where(charts.held.T, off, 0.0).max())
        yield Claim("chen.local", "|ρ_i·f − v_i| on every U_i, the largest", f"{SOURCE}, Lemma 3.1", local, local, Known.SAMPLED, samples=n)
        summed = np.where(charts.held.T, off, 0.0).sum(0)
        excess = np.abs(self.net(charts.points.ambient) - charts.truth).max(1) - summed
        scale = EXACT * (charts.size + float(sizes.max()))
        statement = (
            f"|f − Ψ| is at most Σ |ρ_i·f − v_i| over the charts that hold the point, {charts.multiplicity} at most: what it is more"
        )
        yield self._sampled("sum", statement, scale, float(excess.max()))

    def _sampled(self, name: str, statement: str, budget: float, bound: float, sense: str = "<=") -> Claim:
        return Claim(f"chen.{name}", statement, SOURCE, budget, bound, Known.SAMPLED, sense, len(self.charts.points))  # type: ignore[arg-type]
