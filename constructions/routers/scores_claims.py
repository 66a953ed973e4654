"""The top of the ledger: what the assembled network does, measured on fresh points of M."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, ManifoldTask, Points
from ...moe.ledger import Claim, Known
from ...moe.network import Network
from ..experts.charts import Expert
from ..shares import ROUNDING_SHARE

MEASURED = 1 << 15


@dataclass(frozen=True)
class Wording:
    """How the ledger speaks of one kind of scores, whose budget δ is a quarter of what some score reaches everywhere."""

    symbol: str
    least: str
    """What some score reaches…"""
    quarter: str
    """…and δ, in formulas."""
    source: str


class Following(Protocol):
    """What is said of the scores that a gate compares."""

    @property
    def name(self) -> str: ...

    @property
    def reference(self) -> Callable[[Array], Array]: ...

    @property
    def delta(self) -> float: ...

    @property
    def cover(self) -> Covered: ...

    @property
    def wording(self) -> Wording: ...

    @property
    def top_k(self) -> int: ...


class Covered(Protocol):
    """How the charts meet."""

    @property
    def mu(self) -> float: ...

    @property
    def multiplicity(self) -> int: ...


def largest(scores: Array, top_k: int) -> Array:
    """The K-th largest of every row, (N, E) to (N,)."""
    return scores.max(1) if top_k == 1 else np.asarray(np.partition(scores, -top_k, axis=1)[:, -top_k])


@dataclass(frozen=True, eq=False)
class _Measured:
    """One pass of the network, as exported, over points of M that nothing was fitted to."""

    points: Points
    scores: Array
    tau: Array
    chosen: NDArray[np.intp]
    """(N, K)."""
    error: Array
    rounding: Array

    def claim(
        self,
        name: str,
        statement: str,
        source: str,
        budget: float,
        values: Array,
        sense: Literal["<=", ">=", ">"],
        children: tuple[Claim, ...] = (),
    ) -> Claim:
        worst = int(np.argmax(values) if sense == "<=" else np.argmin(values))
        witness = tuple(map(float, self.points.ambient[worst]))
        return Claim(name, statement, source, budget, float(values[worst]), Known.SAMPLED, sense, len(values), witness, children)


def _measure(task: ManifoldTask, network: Network, exact: Network, routing: Following, seed: int) -> _Measured:
    points = task.atlas.sample(max(MEASURED, 64 * len(task.atlas)), seed + 15485863)
    trace = network.trace(points.ambient)
    same_routes = exact.trace(points.ambient, trace.chosen).output
    error = np.abs(trace.output - task.evaluate(points)).max(1)
    rounding = np.abs(trace.output - same_routes).max(1)
    # Of copies of an expert one logit says what all of them do.
    logits = trace.logits[-1].astype(float)
    copies = logits.shape[1] // len(task.atlas)
    return _Measured(points, routing.reference(points.base), logits[:, ::copies], trace.chosen[-1] // copies, error, rounding)


def total(
    task: ManifoldTask, network: Network, exact: Network, routing: Following, experts: Sequence[Expert], epsilon: float, seed: int
) -> Claim:
    """|f − Ψ| ≤ ε with everything it follows from: valid routing, every expert on its routed cell, x carried, rounding."""
    seen = _measure(task, network, exact, routing, seed)
    rounding = seen.claim(
        "rounding",
        f"|Ψ as exported, in {network.dtype}, − Ψ as built, in float64, along the same routes| ≤ {ROUNDING_SHARE:g}·ε",
        "R9",
        ROUNDING_SHARE * epsilon,
        seen.rounding,
        "<=",
    )
    carried = _carried(task.atlas.ambient_dimension) if len(network.layers) > 1 else ()
    children = (_routing(seen, routing, len(task.atlas)), *(expert.claim for expert in experts), *carried, rounding)
    return seen.claim("total", "|f − Ψ|∞ ≤ ε on M", _SOURCE[len(experts[0].net.affines)], epsilon, seen.error, "<=", children)


def _carried(D: int) -> tuple[Claim, ...]:
    """What experts read behind a layer of scores; where the scores are the gate (N1), they read x itself."""
    statement = f"layer 1 carries x unchanged: x = σ(x) − σ(−x), {2 * D} neurons"
    return (Claim("passthrough", statement, "Theorem 4.8 step 2, R1", 0.0, 0.0, Known.EXACT),)


_SOURCE = {2: "Corollary 4.9, Theorem 4.8 with φ affine", 3: "Theorem 4.8"}


def _routing(seen: _Measured, routing: Following, E: int) -> Claim:
    """ρ_{i_x}(x) > 0, or b_{i_x}(x) > 0, and the chain of inequalities it follows from."""
    K = routing.top_k
    chosen = np.take_along_axis(seen.scores, seen.chosen, 1).min(1)
    deviation = np.abs(seen.scores - seen.tau).max(1)
    winning, best = largest(seen.tau, K), largest(seen.scores, K)
    most = "max_i" if K == 1 else f"the {K}-th largest"
    d = routing.delta
    symbol, least, source = routing.wording.symbol, routing.wording.least, routing.wording.source
    floor = 4 * d  # 1/E, 1/N, 1 or η, as delta is a quarter of it
    cover = routing.cover
    # One part in 10^12 of room: the quotients b_i/Σb_j are themselves rounded.
    top = Claim(
        "routing.max_score", f"{most} {symbol}_i ≥ {least}", source, floor * (1 - 1e-12), float(best.min()), Known.SAMPLED, ">=", len(best)
    )
    tau = seen.claim(
        "routing.tau",
        f"‖{symbol} − τ‖ ≤ δ = {routing.wording.quarter}",
        source,
        d,
        deviation,
        "<=",
    )
    sharp = seen.claim(
        "routing.sharp",
        f"‖{symbol} − τ‖ < μ/2, μ = {best.min():.4g} the smallest {most} {symbol}_i",
        "B11",
        float(best.min()) / 2,
        deviation,
        "<=",
    )
    max_tau = seen.claim("routing.max_tau", f"{most} τ_i ≥ 3/4·{least}", source, 3 * d, winning, ">=")
    chosen_least = seen.claim(
        "routing.chosen_rho",
        f"{symbol} at {'the chosen chart' if K == 1 else f'all {K} chosen charts'} ≥ 1/2·{least}",
        source,
        2 * d,
        chosen,
        ">=",
    )
    parts = [tau, sharp, top, max_tau, chosen_least]
    if routing.name == "theorem":
        note = "exact because Σρ = 1"
        parts[2] = Claim(top.name, top.statement, source, top.budget, top.bound, Known.EXACT, ">=", None, None, (), note)
    elif K == 1:
        parts.append(_witness_partition(routing, E))
    if routing.name == "multiplicity" and K == 1 and deviation.max() <= 1 / (4 * E):
        parts[1:1] = [_paper_budget(seen, E, deviation)]
    statement = (
        f"{symbol} > 0 at {'the chart' if K == 1 else f'all {K} charts'} chosen for x, so x ∈ U_i (N = {cover.multiplicity} charts meet at "
        f"most, min {'max' if K == 1 else f'{K}-th largest'} ρ = {cover.mu:.3g})"
    )
    return seen.claim("routing.valid", statement, source, 0.0, chosen, ">", tuple(parts))


def _paper_budget(seen: _Measured, E: int, deviation: Array) -> Claim:
    return seen.claim(
        "routing.paper", "‖ρ − τ‖ ≤ 1/(4E), the paper's budget, holds as well", "Theorem 4.8 step 1", 1 / (4 * E), deviation, "<="
    )


def _witness_partition(routing: Following, E: int) -> Claim:
    """B13: scores ≤ α off U_i and max ≥ β > α make ρ̃ = θ(τ)/Σθ(τ) a partition of unity with the same argmax."""
    alpha, beta = routing.delta, 3 * routing.delta
    statement = (
        f"θ(t) = max(0, t − α′)^k, α′ strictly between α = {alpha:.3g} and β = {beta:.3g}, makes ρ̃_i = θ(τ_i)/Σθ(τ_j) a partition of unity "
        f"subordinate to the charts with ρ̃ ≥ 1/E = {1 / E:.3g} at the chosen one: β − α > 0"
    )
    return Claim(
        "routing.witness", statement, "B13", 0.0, beta - alpha, Known.EXACT, ">", note="follows from routing.tau and routing.max_tau"
    )
