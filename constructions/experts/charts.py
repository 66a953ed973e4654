"""Layer-2 experts: f on one chart's routed cell, as g∘ψ (Theorem 4.8 step 4) or g∘φ (Corollary 4.9)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from ...atlas import Array, ExpressionMap, ManifoldTask, Points, concatenate
from ...errors import EpsilonNotReached
from ...moe.ledger import Claim, Known
from ...moe.network import Affine, Net
from ...moe.ridge import Ridge
from ..asked import NOTHING_MISSED, Asked, Missed
from ..relu import Fit, Target
from ..relu.spline.proof import Local
from ..shares import FORMULA_SHARE, HELD_OUT_SAFETY, LEAF_SAFETY, ROUNDING_SHARE, UNSEEN
from ..structure.exact import exact
from .a_priori import a_priori_claim, a_priori_fit, exact_claim, local_expression, local_map, spline_of
from .cells import Cell, Scores
from .quadratic import quadratic
from .slopes import lipschitz
from .tighten import tightened
from .ways import Way, ways
from .worst import Worst, extremes, worst_on_cells

MEASURED = (256, 4096)
"""Fresh points of the cell that a finished expert is measured on, at least and at most: MEASURED_IN_ALL over all experts, or MORE_IN_ALL in
three dimensions and more, where errors have more tops, and the far ends of one cell in some dozens were missed with fewer."""
MEASURED_IN_ALL, MORE_IN_ALL = 1 << 18, 1 << 20
SUSPECT = 0.5
"""Part of what is allowed that the largest sampled error has to reach, so that it is climbed from."""
REMEDY = "refine the atlas (more charts), raise max_width, or allow a larger epsilon"


@dataclass(frozen=True, eq=False)
class Expert:
    """The network of one chart with its claims and the fits it is made of."""

    net: Net
    claim: Claim
    target_fit: Fit
    chart_fit: Fit | None
    """ψ; None where φ is affine and used exactly."""
    fixed: bool = False
    """Whether a formula gave it, which no budget changes."""


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
    activation: str = "relu"
    gated: bool = False
    dtype: str = "float64"
    """Of the weights as they will be stored."""
    formula: float | None = None
    """What a bound by a formula may be in place of `allowed`, see `Asked`."""
    missed: Mapping[str, Missed] = field(default_factory=lambda: NOTHING_MISSED, repr=False)
    """By chart, what former experts missed: lower budgets, and points that are fitted and measured too."""
    drawn: dict[int, Points] = field(default_factory=dict, repr=False)
    """By chart, the points of its cell that experts are measured on."""
    fitted: dict[int, dict[tuple[int, int, bool], tuple[Array, Points]]] = field(default_factory=dict, repr=False)
    """By chart, then number, seed and whether they are held out, the points that an expert in the making is fitted to, in all attempts."""

    @classmethod
    def of(cls, task: ManifoldTask, routing: Scores, asked: Asked, *, affine: bool) -> Self:
        """For what is asked of a site."""
        options = asked.activation, asked.gated, asked.dtype, asked.formula, asked.missed
        return cls(task, routing, asked.budget, asked.width, affine, asked.limit, asked.seed, *options)

    @property
    def way(self) -> Way:
        """Of which neurons experts are made. Undecided (`decide`) workshops have none."""
        (one,) = ways(self.activation, self.gated)
        return one

    @property
    def measured(self) -> int:
        whole = MEASURED_IN_ALL if self.task.atlas.dimension <= 2 else MORE_IN_ALL
        return int(np.clip(whole // len(self.task.atlas), *MEASURED))

    @property
    def target_budget(self) -> float | None:
        """What |F − g| may be on held-out points; None if a width is given. Half of the expert's share if ψ takes the other half (B15)."""
        if self.allowed is None:
            return None
        return self.allowed / LEAF_SAFETY / (1 if self.affine else 2)

    def room(self, cell: Cell) -> float | None:
        """What |F − g| may be where that is a bound, which needs no safety: the expert's share, or half of it beside a ψ."""
        if self.allowed is None:
            return None
        # In three dimensions a proof that has to come within a part of 1/64 takes millions of boxes.
        whole = self.formula if self.formula is not None and self.task.atlas.dimension <= 2 else self.allowed
        return self.missed.get(self.name(cell), Missed()).factor * (whole if self.affine else self.allowed / 2)

    def allowed_at(self, cell: Cell) -> float | None:
        """What the expert of one cell may err by."""
        factor = self.missed.get(self.name(cell), Missed()).factor
        return None if self.allowed is None else factor * self.allowed

    def seen(self, expert: Expert) -> float:
        """The error of an expert as it is compared with its budget: with room for what climbing does not see, unless it has a formula."""
        fitted = all(leaf.known is Known.SAMPLED for leaf in expert.claim.children)
        room = fitted and self.task.atlas.dimension >= 3 and not self.way.plain
        return expert.claim.bound * (UNSEEN if room else 1.0)

    def accepts(self, expert: Expert) -> bool:
        """Whether its claim holds, with that room."""
        return self.seen(expert) <= expert.claim.budget

    def name(self, cell: Cell) -> str:
        """Of the cell's chart."""
        return self.task.atlas.charts[cell.chart].name

    def misses(self, cell: Cell) -> Points | None:
        """Points of the cell that a former expert missed."""
        known = self.missed.get(self.name(cell), Missed()).points
        return None if known is None or not len(known) else self.task.atlas.locate(known)

    def build(self, cell: Cell, pilot: Expert | None = None, ready: Fit | None = None) -> Expert:
        """The expert of one cell, as narrow as was found.

        `pilot` is a finished expert of the same atlas: where the search for widths starts. `ready` is a fit of its local target that
        already exists, used if it meets the budget. Built to budgets below and above the expert's own until what climbing finds
        is near it (`tighten`). Raises `EpsilonNotReached`.
        """
        allowed = self.allowed_at(cell)
        try:
            if allowed is None:
                return self._attempt(cell, pilot, ready, None)
            return tightened(
                lambda budget: self._attempt(cell, pilot, ready, budget),
                # What a formula bounds may come nearer to ε.
                lambda made: self.seen(made) * allowed / made.claim.budget,
                lambda made: made.net.parameters,
                allowed,
                lambda made: made.fixed,
            )
        finally:
            self.fitted.pop(cell.chart, None)

    def first(self, cell: Cell) -> Expert:
        """A first attempt at the expert of one cell, near its budget."""
        allowed = self.allowed_at(cell)
        return self._attempt(cell, None, None, None if allowed is None else allowed / LEAF_SAFETY)

    def folded(self, cell: Cell, g: Net) -> Net:
        """g∘φ, φ affine."""
        affine = self.task.atlas.affine(cell.chart)
        assert affine is not None
        return g.after(Affine(*affine))

    def together(self, cells: Sequence[Cell], fits: Sequence[Fit]) -> list[Expert]:
        """Experts g∘φ of affine charts, from their local fits, measured beside each other; their claims hold or they do not."""
        if not cells:
            return []
        nets = [self.folded(cell, g.net) for cell, g in zip(cells, fits, strict=True)]
        experts = []
        for cell, g, net, worst in zip(cells, fits, nets, self._worst(cells, nets), strict=True):
            leaves = (_target_claim(self.name(cell), g, self.allowed_at(cell)),)
            experts.append(Expert(net, self._claim(cell, worst, leaves, self.allowed_at(cell)), g, None))
        return experts

    def _attempt(self, cell: Cell, pilot: Expert | None, ready: Fit | None, budget: float | None) -> Expert:
        name, allowed = self.name(cell), self.allowed_at(cell)
        if self.affine:
            g, proofs, proved = self._target_fit(cell, pilot, ready, budget)
            net = self.folded(cell, g.net)
            claim = self._measured(cell, net, (_target_claim(name, g, proved or budget), *proofs), proved or allowed)
            return Expert(net, claim, g, None, fixed=proved is not None and self.way.plain)
        # |f − g∘ψ| ≤ |F − g| + Lip(g)·|φ − ψ| (B15): half of the budget each.
        half = None if budget is None else budget / 2
        g, proofs, proved = self._target_fit(cell, pilot, ready, half)
        slope = lipschitz(g.net, cell.draw(self.task.atlas, self.routing, self.measured, self.seed)[0])
        chart_budget = None if half is None else half / max(slope, np.finfo(float).tiny)
        psi = self._reach(self._chart_target(cell), chart_budget, pilot.chart_fit if pilot else None)
        net = psi.net.then(g.net)
        leaves = (_target_claim(name, g, proved or half), *proofs, _chart_claim(name, psi, chart_budget, slope))
        return Expert(net, self._measured(cell, net, leaves, allowed), g, psi)

    def _target_fit(
        self, cell: Cell, pilot: Expert | None, ready: Fit | None, budget: float | None
    ) -> tuple[Fit, tuple[Claim, ...], float | None]:
        """g, with its a-priori claim if it has one, and then what it may err by: of ReLU neurons in one dimension where F is an expression
        that can be enclosed, in several where F has exact structure.
        """
        if ready is not None and (budget is None or ready.error <= budget):
            return ready, (), None
        if found := self._exact(cell):
            return found
        local = local_expression(self.task, cell.pieces[0], cell.chart) if len(cell.pieces) == 1 else None
        if not self.way.plain:
            return self._quadratic(cell, local, budget, pilot) or (self._reached(cell, budget, pilot), (), None)
        spline = None if local is None else spline_of(local, width=self.width, epsilon=self.room(cell), limit=self.limit)
        if local is None or spline is None or spline.bound is None:
            return self._reached(cell, budget, pilot), (), None
        claim = a_priori_claim(self.name(cell), spline, local, self.room(cell) or spline.bound)
        return a_priori_fit(Ridge(*spline.to_relu()), self.local_target(cell), self.measured, self.seed), (claim,), self.room(cell)

    def _reached(self, cell: Cell, budget: float | None, pilot: Expert | None) -> Fit:
        return self._reach(self.local_target(cell), budget, pilot.target_fit if pilot else None)

    def _quadratic(
        self, cell: Cell, local: Local | None, budget: float | None, pilot: Expert | None
    ) -> tuple[Fit, tuple[Claim, ...], float | None] | None:
        """g as a piecewise quadratic with a bound by a formula, if it stores no more than a fit, or errs no more at a given width."""
        if local is None or local.along is not None:
            return None
        function, target, room = ExpressionMap((local.variable,), local.expressions), self.local_target(cell), self.room(cell)
        box = local.lower, local.upper
        found = quadratic(function, *box, target.name, target.origin, way=self.way, epsilon=room, width=self.width, limit=self.limit)
        if found is None:
            return None
        g = a_priori_fit(found.ridge, target, self.measured, self.seed)
        try:
            fitted = self._reached(cell, budget, pilot)
        except EpsilonNotReached:
            fitted = g
        if fitted.error < g.error if self.width is not None else fitted.net.parameters < g.net.parameters:
            return fitted, (), None
        return g, (exact_claim(self.name(cell), found, np.array(box[:1]), np.array(box[1:]), room or found.bound),), room

    def _exact(self, cell: Cell) -> tuple[Fit, tuple[Claim, ...], float | None] | None:
        """g from the formula of F, to the bound `room`; of a given width it is taken if it errs less than a fit."""
        local = local_map(self.task, cell)
        if local is None:
            return None
        target = self.local_target(cell)
        found = exact(
            *local,
            target.name,
            target.origin,
            epsilon=self.room(cell),
            width=self.width,
            limit=self.limit,
            activation=self.way.activation,
            gated=self.way.gated,
            dtype=self.dtype,
            seed=self.seed,
        )
        if found is None:
            return None
        g = a_priori_fit(found.ridge, target, self.measured, self.seed)
        if self.width is not None and (fitted := self._reach(target, None, None)).error < g.error:
            return fitted, (), None
        return g, (exact_claim(self.name(cell), found, *local[1:], self.room(cell) or found.bound),), self.room(cell)

    def local_target(self, cell: Cell) -> Target:
        """F = f∘φ⁻¹ on φ(cell)."""

        def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
            u, points = self._to_fit(cell, count, seed, held_out)
            return u, self.task.evaluate(points)

        return Target(draw, f"expert[{self.name(cell)}].g", "local target F = f∘φ⁻¹, Theorem 4.8 step 4 by Lemma 3.1")

    def _chart_target(self, cell: Cell) -> Target:
        """φ on the cell, from ambient coordinates."""

        def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
            u, points = self._to_fit(cell, count, seed, held_out)
            return points.ambient, u

        return Target(draw, f"expert[{self.name(cell)}].psi", "chart map φ, Theorem 4.8 step 4 by Lemma 3.1")

    def _to_fit(self, cell: Cell, count: int, seed: int, held_out: bool) -> tuple[Array, Points]:
        """Points of the cell, which are held out, or of it with its collar, and their local coordinates."""
        known, key = self.fitted.setdefault(cell.chart, {}), (count, seed, held_out)
        if key not in known:
            known[key] = cell.draw(self.task.atlas, self.routing, count, seed, collar=not held_out, misses=self.misses(cell))
        return known[key]

    def _reach(self, target: Target, budget: float | None, previous: Fit | None) -> Fit:
        """A fit of the given width, or to the budget, starting from what a previous fit took."""
        count = None if previous is None else previous.direction_count
        if self.width is not None:
            return self.way.fit(target, self.width, seed=self.seed, direction_count=count, dtype=self.dtype)
        assert budget is not None
        return self.way.fit_to(
            target,
            budget,
            dimension=self.task.atlas.dimension,
            limit=self.limit,
            seed=self.seed,
            start=None if previous is None else previous.width,
            direction_count=count,
            dtype=self.dtype,
            remedy=REMEDY,
        )

    def _worst(self, cells: Sequence[Cell], nets: Sequence[Net]) -> list[Worst]:
        # Any seed that no fit uses: fits draw with 2·seed and 2·seed + 1.
        seed = 2 * self.seed + 104729
        self._draw([cell for cell in cells if cell.chart not in self.drawn], seed)
        # Without a budget there is nothing to climb for: the largest of the samples, with a factor for what they miss.
        suspect = np.inf if self.allowed is None else SUSPECT * self.allowed
        return worst_on_cells(self.task, self.routing, cells, nets, [self.drawn[cell.chart] for cell in cells], seed, suspect=suspect)

    def _draw(self, cells: Sequence[Cell], seed: int) -> None:
        """Points of cells that experts are measured on; with what was missed, and far ends if what is measured is to be climbed from."""
        drawn = [cell.draw(self.task.atlas, self.routing, self.measured, seed)[1] for cell in cells]
        if cells and self.allowed is not None:
            ends = extremes(self.task, self.routing, cells, drawn, seed)
            drawn = [concatenate([*both, *filter(None, [self.misses(cell)])]) for cell, *both in zip(cells, drawn, ends, strict=True)]
        self.drawn.update(zip([cell.chart for cell in cells], drawn, strict=True))

    def _measured(self, cell: Cell, net: Net, leaves: tuple[Claim, ...], allowed: float | None) -> Claim:
        (worst,) = self._worst([cell], [net])
        return self._claim(cell, worst, leaves, allowed)

    def _claim(self, cell: Cell, worst: Worst, leaves: tuple[Claim, ...], allowed: float | None) -> Claim:
        """|f − expert| on fresh points of the routed cell, and on those that were climbed to from the worst of them."""
        name = self.name(cell)
        share = FORMULA_SHARE if allowed is not None and allowed == self.formula and allowed != self.allowed else ROUNDING_SHARE
        inner, source = ("g∘φ", "Corollary 4.9 (9)") if self.affine else ("g∘ψ", "Theorem 4.8 (8), B15")
        return Claim(
            f"expert[{name}]",
            f"|f − {inner}| ≤ (1 − {share:.3g})·ε on the routed cell of {name}",
            source,
            HELD_OUT_SAFETY * worst.error if allowed is None else allowed,
            worst.error,
            Known.SAMPLED,
            samples=worst.samples,
            witness=tuple(map(float, worst.at)),
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
