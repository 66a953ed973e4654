"""A dense network: one two-layer net for all of M, the baseline of a mixture of experts.

Statement. Ψ(x) = Σ_k a_k·act(w_k·x + b_k) + c of m neurons, fitted on M in ambient coordinates as experts are on their cells (Lemma 3.1
by linear algebra): directions and knots on samples of all charts together, output weights by least squares. Every input meets all of its
m(D + 1) + q(m + 1) numbers, D inputs and q outputs. It is the mixture of one expert, without a gate: E = 1, U = M, nothing is chosen.

What it lacks is what charts bring. A mixture's expert is a function of d local coordinates and approximates f on a cell of M; this one
has to be a sum of ridge profiles of y ∈ R^k on all of M at once, k the coordinates before an embedding, and a smooth f on M may have no
extension to R^k that is as smooth.

A block on pieces becomes one on a single piece, its function written with `Piecewise`: the same statement on a box. Where pieces jump, no
net of continuous neurons is nearer to f than half of the jump in the sup norm.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..atlas import Array, Block, ManifoldTask
from ..atlas.ball import enclosing_ball
from ..errors import InvalidArgument
from ..moe.ledger import Claim, Known
from ..moe.network import Affine, Net
from . import theorem_5_3
from .asked import Asked, Reading
from .built import Built, OnCharts
from .choices import Choice, called
from .collar import Collar
from .experts.cells import Cell
from .experts.charts import Expert, Workshop
from .experts.decide import decided
from .experts.worst import Worst
from .one_piece import one_piece
from .relu import Fit, Target
from .routers.undivided import Undivided
from .shares import HELD_OUT_SAFETY, ROUNDING_SHARE

NAME = "dense"
WHY = "asked for: one net, without a gate, for all charts or pieces"
SOURCE = "Lemma 3.1 on all of M"


@dataclass(frozen=True, eq=False)
class Whole(Workshop):
    """Builds the one net of a dense layer, of the coordinates before an embedding."""

    def local_target(self, cell: Cell) -> Target:
        """f on M."""
        misses = self.misses(cell)

        def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
            _, points = cell.draw(self.task.atlas, self.routing, count, seed, misses=misses)
            return points.base, self.task.evaluate(points)

        return Target(draw, f"expert[{self.name(cell)}].g", "f on all of M, Lemma 3.1")

    def folded(self, cell: Cell, g: Net) -> Net:
        """g of Qᵀ·x, Q the embedding."""
        embedding = self.task.atlas.embedding
        return g if embedding is None else g.after(Affine(embedding.T.copy(), np.zeros(embedding.shape[1])))

    def _target_fit(
        self, cell: Cell, pilot: Expert | None, ready: Fit | None, budget: float | None
    ) -> tuple[Fit, tuple[Claim, ...], float | None]:
        return self._reach(self.local_target(cell), budget, None), (), None

    def _claim(self, cell: Cell, worst: Worst, leaves: tuple[Claim, ...], allowed: float | None) -> Claim:
        return Claim(
            f"expert[{self.name(cell)}]",
            f"|f − Ψ| ≤ (1 − {ROUNDING_SHARE:.3g})·ε on all of M, one net without a gate",
            SOURCE,
            HELD_OUT_SAFETY * worst.error if allowed is None else allowed,
            worst.error,
            Known.SAMPLED,
            samples=worst.samples,
            witness=tuple(map(float, worst.at)),
        )


def build(block: Block, reading: Reading, asked: Asked, choice: Choice, *, computed: bool = False) -> Built:
    """One net for all charts or pieces of the block; of a block in a graph a function of what it reads.

    Raises `EpsilonNotReached`, and `InvalidArgument` for pieces that jump by more than twice the budget.
    """
    if block.domain.exclusive:
        return _on_pieces(block, reading, asked, choice)
    task = undivided(block)
    routed = Undivided(task.atlas, SOURCE)
    (cell,) = routed.cells(asked.seed)
    shop = decided(Whole.of(task, routed, asked, affine=True), [cell])
    return built(block, routed, task, shop.build(cell), asked, computed)


def _on_pieces(block: Block, reading: Reading, asked: Asked, choice: Choice) -> Built:
    met = theorem_5_3.interfaces(block, reading)
    worst = max(met, key=lambda at: at.jump, default=None)
    if asked.budget is not None and worst is not None and worst.jump / 2 > asked.budget:
        raise InvalidArgument(
            f"{called(block)}: its pieces jump by {worst.jump:.3g} at {block.reads[worst.axis]} = {worst.t:.6g}, and one net of continuous "
            f"neurons is off by half of that somewhere, more than the {asked.budget:.3g} allowed; leave theorem {NAME!r} out"
        )
    made = theorem_5_3.build(one_piece(block), reading, asked, choice)
    return replace(made, theorem=NAME, why=WHY, router="none", gateless=True)


def undivided(block: Block) -> ManifoldTask:
    """The block as a task on one chart that is all of M."""
    return replace(block.task, atlas=enclosing_ball(block.task.atlas))


def built(block: Block, routed: Undivided, task: ManifoldTask, expert: Expert, asked: Asked, computed: bool) -> Built:
    """The block that one net without a gate computes."""
    worst = Claim("experts", "the error of the one net on M", routed.source, expert.claim.budget, expert.claim.bound, Known.SAMPLED)
    # Off M the net moves by no more than its slopes: there is no chart that could be left.
    k = task.atlas.base_dimension
    collar = Collar(np.inf, np.zeros((1, k)), expert.target_fit.steepness) if computed else None
    return Built(
        block=_on(block, task),
        names=task.atlas.names,
        scores=None,
        gate=None,
        experts=(expert.net,),
        local=expert.claim.budget,
        claim=worst,
        router=routed.kind,
        ambient=block.given is not None,
        theorem=NAME,
        why=WHY,
        facts=routed.facts(),
        width=expert.target_fit.width,
        charts=OnCharts(task, routed, (expert,), collar),
        gateless=True,
    )


def _on(block: Block, task: ManifoldTask) -> Block:
    """The block on its one chart."""
    if block.given is not None:
        return replace(block, domain=task.atlas, given=task)
    return replace(block, domain=task.atlas, subtasks=(block.subtasks[0],))
