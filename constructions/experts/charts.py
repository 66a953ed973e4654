"""Layer-2 experts: f on one chart's routed cell, as g∘ψ (Theorem 4.8 step 4) or g∘φ (Corollary 4.9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...atlas import Array, ManifoldTask
from ...moe.ledger import Claim, Known
from ...moe.network import Affine, ReLUNet
from ...moe.ridge import Ridge
from ..relu import Fit, Target, fit, fit_to
from ..shares import FORMULA_SHARE, HELD_OUT_SAFETY, ROUNDING_SHARE, SHARPENINGS, SHARPER
from ..structure.exact import exact
from .a_priori import a_priori_claim, a_priori_fit, exact_claim, local_expression, local_map, spline_of
from .cells import Cell, Scores

MEASURED = (256, 4096)
"""Fresh points of the cell that a finished expert is measured on, at least and at most: MEASURED_IN_ALL over all experts."""
MEASURED_IN_ALL = 1 << 17
FIRST_WIDTH = {1: 32, 2: 64}
"""Where the search for a width starts, by intrinsic dimension; 64 from two on."""
REMEDY = "refine the atlas (more charts), raise max_width, or allow a larger epsilon"


@dataclass(frozen=True, eq=False)
class Expert:
    """The network of one chart with its claims and the fits it is made of."""

    net: ReLUNet
    claim: Claim
    target_fit: Fit
    chart_fit: Fit | None
    """ψ; None where φ is affine and used exactly."""


def lipschitz(g: ReLUNet, coordinates: Array) -> float:
    """max over components and the points u [N, d] of ‖∇g(u)‖₁, g two-layer: the dual norm for errors of φ in ‖·‖∞ (R5, B15).

    The gradient of the piece of g that holds each point, exactly; the largest seen, not a bound.
    """
    hidden, output = g.affines
    active = hidden(coordinates) > 0
    partials = [np.abs((active * hidden.weight[:, k]) @ output.weight.T) for k in range(coordinates.shape[1])]
    return float(np.sum(partials, axis=0).max())


@dataclass(frozen=True, eq=False)
class Workshop:
    """Builds the experts of one task: |f − expert| ≤ `allowed` on each routed cell, or experts of a given width."""

    task: ManifoldTask
    routing: Scores
    allowed: float | None
    """(1 − ROUNDING_SHARE)·ε, or a block's share of it."""
    width: int | None
    affine: bool
    """Whether φ is used exactly (Corollary 4.9) or approximated (Theorem 4.8)."""
    limit: int
    seed: int
    formula: float | None = None
    """What a bound by a formula may be in place of `allowed`, see `Asked`."""

    @property
    def measured(self) -> int:
        return int(np.clip(MEASURED_IN_ALL // len(self.task.atlas), *MEASURED))

    @property
    def target_budget(self) -> float | None:
        """What |F − g| may be on held-out points; None if a width is given. Half of the expert's share if ψ takes the other half (B15)."""
        if self.allowed is None:
            return None
        return self.allowed / HELD_OUT_SAFETY / (1 if self.affine else 2)

    @property
    def room(self) -> float | None:
        """What |F − g| may be where that is a bound, which needs no safety: the expert's share, or half of it beside a ψ."""
        if self.allowed is None:
            return None
        return (self.formula or self.allowed) if self.affine else self.allowed / 2

    def build(self, cell: Cell, pilot: Expert | None = None, ready: Fit | None = None) -> Expert:
        """The expert of one cell.

        `pilot` is a finished expert of the same atlas: where the search for widths starts. `ready` is a fit of its local
        target that already exists, used if it meets the budget. Parts are built to the expert's budget over
        HELD_OUT_SAFETY; if fresh points find more error than that foresees, again to a lower one. Raises `EpsilonNotReached`.
        """
        if self.allowed is None:
            return self._attempt(cell, pilot, ready, None, None)
        budget = self.allowed / HELD_OUT_SAFETY
        for _ in range(SHARPENINGS):
            expert = self._attempt(cell, pilot, ready, budget, self.allowed)
            if expert.claim.holds:
                break
            budget *= SHARPER * self.allowed / expert.claim.bound
        return expert

    def _attempt(self, cell: Cell, pilot: Expert | None, ready: Fit | None, budget: float | None, allowed: float | None) -> Expert:
        name = self.task.atlas.names[cell.chart]
        if self.affine:
            g, proofs, proved = self._target_fit(cell, pilot, ready, budget)
            affine = self.task.atlas.affine(cell.chart)
            assert affine is not None
            outer = g.net.affines
            net = ReLUNet((outer[0].after(Affine(*affine)), *outer[1:]), g.net.groups)
            return Expert(net, self._claim(cell, net, (_target_claim(name, g, proved or budget), *proofs), proved or allowed), g, None)
        # |f − g∘ψ| ≤ |F − g| + Lip(g)·|φ − ψ| (B15): half of the budget each.
        half = None if budget is None else budget / 2
        g, proofs, proved = self._target_fit(cell, pilot, ready, half)
        slope = lipschitz(g.net, cell.draw(self.task.atlas, self.routing, self.measured, self.seed)[0])
        chart_budget = None if half is None else half / max(slope, np.finfo(float).tiny)
        psi = self._reach(self._chart_target(cell), chart_budget, pilot.chart_fit if pilot else None)
        net = psi.net.then(g.net)
        leaves = (_target_claim(name, g, proved or half), *proofs, _chart_claim(name, psi, chart_budget, slope))
        return Expert(net, self._claim(cell, net, leaves, allowed), g, psi)

    def _target_fit(
        self, cell: Cell, pilot: Expert | None, ready: Fit | None, budget: float | None
    ) -> tuple[Fit, tuple[Claim, ...], float | None]:
        """g, with its a-priori claim if it has one, and then what it may err by.

        In one dimension where F is an expression that can be enclosed, in several where F has exact structure.
        """
        if ready is not None and (budget is None or ready.error <= budget):
            return ready, (), None
        if found := self._exact(cell):
            return found
        local = local_expression(self.task, cell.pieces[0], cell.chart) if len(cell.pieces) == 1 else None
        spline = None if local is None else spline_of(local, width=self.width, epsilon=self.room, limit=self.limit)
        if local is None or spline is None or spline.bound is None:
            return self._reach(self.local_target(cell), budget, pilot.target_fit if pilot else None), (), None
        claim = a_priori_claim(self.task.atlas.names[cell.chart], spline, local, self.room or spline.bound)
        return a_priori_fit(Ridge(*spline.to_relu()), self.local_target(cell), self.measured, self.seed), (claim,), self.room

    def _exact(self, cell: Cell) -> tuple[Fit, tuple[Claim, ...], float | None] | None:
        """g from the formula of F, to the bound `room`; of a given width it is taken if it errs less than a fit."""
        local = local_map(self.task, cell)
        if local is None:
            return None
        target, name = self.local_target(cell), self.task.atlas.names[cell.chart]
        found = exact(*local, target.name, target.origin, epsilon=self.room, width=self.width, limit=self.limit)
        if found is None:
            return None
        g = a_priori_fit(found.ridge, target, self.measured, self.seed)
        if self.width is not None and (fitted := self._reach(target, None, None)).error < g.error:
            return fitted, (), None
        return g, (exact_claim(name, found, *local[1:], self.room or found.bound),), self.room

    def local_target(self, cell: Cell) -> Target:
        """F = f∘φ⁻¹ on φ(cell)."""

        def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
            u, points = cell.draw(self.task.atlas, self.routing, count, seed, collar=not held_out)
            return u, self.task.evaluate(points)

        return Target(draw, f"expert[{self.task.atlas.names[cell.chart]}].g", "local target F = f∘φ⁻¹, Theorem 4.8 step 4 by Lemma 3.1")

    def _chart_target(self, cell: Cell) -> Target:
        """φ on the cell, from ambient coordinates."""

        def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
            u, points = cell.draw(self.task.atlas, self.routing, count, seed, collar=not held_out)
            return points.ambient, u

        return Target(draw, f"expert[{self.task.atlas.names[cell.chart]}].psi", "chart map φ, Theorem 4.8 step 4 by Lemma 3.1")

    def _reach(self, target: Target, budget: float | None, previous: Fit | None) -> Fit:
        """A fit of the given width, or to the budget, starting from what a previous fit took."""
        count = None if previous is None else previous.direction_count
        if self.width is not None:
            return fit(target, self.width, seed=self.seed, direction_count=count, search=count is None)
        assert budget is not None
        first = FIRST_WIDTH.get(self.task.atlas.dimension, FIRST_WIDTH[2])
        start = first if previous is None else max(first, previous.width)
        return fit_to(target, budget, start=start, limit=self.limit, seed=self.seed, direction_count=count, remedy=REMEDY)

    def _claim(self, cell: Cell, net: ReLUNet, leaves: tuple[Claim, ...], allowed: float | None) -> Claim:
        """|f − expert| on fresh points of the routed cell."""
        # Any seed that no fit uses: fits draw with 2·seed and 2·seed + 1.
        _, points = cell.draw(self.task.atlas, self.routing, self.measured, 2 * self.seed + 104729)
        error = np.abs(net(points.ambient) - self.task.evaluate(points)).max(1)
        worst = int(np.argmax(error))
        name = self.task.atlas.names[cell.chart]
        share = ROUNDING_SHARE if allowed is None or allowed == self.allowed else FORMULA_SHARE
        inner, source = ("g∘φ", "Corollary 4.9 (9)") if self.affine else ("g∘ψ", "Theorem 4.8 (8), B15")
        return Claim(
            f"expert[{name}]",
            f"|f − {inner}| ≤ (1 − {share:.3g})·ε on the routed cell of {name}",
            source,
            HELD_OUT_SAFETY * float(error[worst]) if allowed is None else allowed,
            float(error[worst]),
            Known.SAMPLED,
            samples=len(error),
            witness=tuple(map(float, points.ambient[worst])),
            children=leaves,
        )


def _target_claim(name: str, g: Fit, budget: float | None) -> Claim:
    return _fit_claim(f"expert[{name}].target", f"|F − g| on φ of the routed cell of {name}, F = f∘φ⁻¹", g, budget)


def _chart_claim(name: str, psi: Fit, budget: float | None, slope: float) -> Claim:
    statement = f"|φ − ψ|∞ on the routed cell of {name}; it counts Lip(g) = {slope:.3g} times"
    return _fit_claim(f"expert[{name}].chart", statement, psi, budget)


def _fit_claim(name: str, statement: str, reached: Fit, budget: float | None) -> Claim:
    allowed = HELD_OUT_SAFETY * reached.error if budget is None else budget
    witness = tuple(map(float, reached.witness))
    source = "Theorem 4.8 step 4, Lemma 3.1"
    return Claim(name, statement, source, allowed, reached.error, Known.SAMPLED, samples=reached.samples, witness=witness)
