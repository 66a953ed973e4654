"""Theorem 5.2: a block given chart by chart is a task of its own, routed and computed as Theorem 4.8 or Corollary 4.9 says.

Statement: M = M_1 × … × M_L, f(x) = f_out(f_{1,i_1}(x_1), …, f_{L,i_L}(x_L)): some Ψ of 2L layers with E experts each has the largest of
the blocks' errors. Layer 2l − 1 appends the scores τ^(l)(x_l), layer 2l routes on them and writes y_l beside everything that is
still needed (R2). With an affine router (B1, B16) a block needs no scores, and so no layer for them (B2). A task on one manifold is
the case L = 1. With scores for a gate (N1, `nets_of`) no block needs a layer for them, whatever its charts: L layers.

Which router: the cheapest that accepts the charts and reaches its budget (`candidates`); those that were tried and left are kept on record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ..atlas import Block, ManifoldTask
from ..errors import AtlasMoEError, EpsilonNotReached, InvalidArgument
from ..moe.layer import Weighting
from ..moe.ledger import Claim, Known
from ..moe.network import Net
from . import theorem_4_8, theorem_4_9
from .asked import Asked, Reading
from .built import Built, OnCharts, Tried, prefixed
from .choices import GROUPED, PROJECTED, Choice, called
from .collar import Collar, collar_of, widened
from .experts.charts import Expert
from .experts.projected import project
from .routers.affine import NearestCentre
from .routers.base import Routed, Router
from .routers.named import DUPLICATES, TENTATIVE
from .routers.scaled import Scaled, ScaledRouting, require_exact
from .routers.several import Copies
from .routers.snapped import Snapped
from .shares import ROUNDING_SHARE
from .sharing import claims
from .sharing.charts import on_charts

NEAREST = "the charts are balls: the nearest centre routes exactly, with one layer and no τ (B1, B16)"


def candidates(block: Block, choice: Choice) -> list[Router]:
    """The routers to try, in this order: where several experts are chosen, those that choose so many charts first, then a gate that is
    scaled where charts hold too few points in common (N12), then copies of experts (B21).
    """
    single = _candidates(block, choice)
    if choice.top_k == 1:
        return single
    copied: list[Router] = [Copies(router, choice.top_k) for router in single if not isinstance(router, Scaled)]
    if choice.routing == DUPLICATES:
        return copied
    if choice.depth in ("L", *GROUPED) and block.task.atlas.balls is not None:
        # Balls that hold too few points in common give way to larger ones, of which none is a layer of scores.
        single = [replace(one, replaces=True) if isinstance(one, NearestCentre) else one for one in single]
    several = [router for one in single if (router := one.choosing(choice.top_k)) is not None]
    plain = (choice.routing, choice.weighting, choice.shared, choice.gate) == ("auto", "softmax", False, "linear")
    if plain and choice.theorem in ("auto", "affine"):
        several.append(Scaled(choice.top_k))
    return [*several, *copied]


def _candidates(block: Block, choice: Choice) -> list[Router]:
    """The same where one expert is chosen."""
    if choice.depth in GROUPED and block.given is None:
        return [Snapped(replaces=choice.theorem == "affine")]
    nonlinear = choice.gate == "nonlinear"
    if choice.gate == "tree" or choice.theorem == "affine" or (choice.depth in ("L", *GROUPED) and not nonlinear):
        return [NearestCentre(replaces=choice.theorem == "affine", tree=choice.gate == "tree")]
    if choice.router is not None:
        return [choice.router]
    if choice.theorem != "auto" or nonlinear:
        return list(TENTATIVE)
    # One layer is the cheaper one; a graph is asked for its depth instead, and blocks in 2l layers have scores.
    first: list[Router] = [NearestCentre(replaces=False)] if block.given is not None else []
    if block.given is not None and block.given.atlas.implicit is not None and not block.given.atlas.cover:
        first.append(NearestCentre())  # many tangent charts: scores of all of them are a fit of many outputs, balls that replace them none
    return [*first, *TENTATIVE, NearestCentre()]


@dataclass(frozen=True, eq=False)
class Route:
    """The router that was found for a task, and what was left on the way."""

    task: ManifoldTask
    routed: Routed
    tried: tuple[Tried, ...]
    copies: int = 1
    """How many gate outputs each expert serves (B21)."""


def find_route(block: Block, reading: Reading, choice: Choice, asked: Asked) -> Route:
    """The first candidate that accepts the charts and reaches its budget.

    Raises what the last of the scores missed if none does: `EpsilonNotReached`, or `InvalidArgument` if the only one does not accept.
    """
    left: list[Tried] = []
    missed: list[EpsilonNotReached] = []
    routers = candidates(block, choice)
    for router in routers:
        task = _task(block, reading, router)
        why = router.accepts(task) or router.hopeless(task, asked, missed)
        if why is None:
            try:
                routed = router.build(task, asked)
                return Route(_on(task, routed), routed, tuple(left), router.copies if isinstance(router, Copies) else 1)
            except EpsilonNotReached as miss:
                missed.append(miss)
                why = f"{miss.what}: error {miss.reached:.3g} at width {miss.width}, but the budget is {miss.budget:.3g}"
                if len(routers) == 1:
                    raise
            except AtlasMoEError as error:
                if len(routers) == 1 or (choice.top_k == 1 and router is not routers[-1]):
                    raise
                why = str(error)
        left.append(Tried(block.name, router.title, why))
    if missed:
        # What was preferred, unless that was one of several scores: then the last and easiest of them.
        raise missed[0] if missed[0].what != "tau" else [miss for miss in missed if miss.what == "tau"][-1]
    if choice.depth in GROUPED and block.given is None:
        others = 'or depth "L+1"'
    else:
        others = 'gate "nonlinear", which takes charts of any kind, or depth "L+1"' if choice.gate == "linear" else 'or gate "nonlinear"'
    raise InvalidArgument(f'{called(block)}: {left[-1].why}; use theorem "affine", which replaces them by balls, {others}')


def _on(task: ManifoldTask, routed: Routed) -> ManifoldTask:
    """The task on the charts that the router routes between."""
    return task if routed.atlas is task.atlas else replace(task, atlas=routed.atlas)


def build(block: Block, reading: Reading, asked: Asked, choice: Choice, *, computed: bool = False) -> Built:
    """τ or an affine router, and experts g_i∘ψ_i, or g_i∘φ_i where the charts are affine; `computed`: what it reads is, see `collar`.

    Raises `EpsilonNotReached` naming block and chart, `InvalidArgument` where the theorem or router asked for does not fit the charts.
    """
    try:
        return _build(block, reading, asked, choice, computed)
    except EpsilonNotReached as miss:
        if block.given is not None:
            raise
        raise EpsilonNotReached(
            f"block[{block.name}].{miss.what}", budget=miss.budget, reached=miss.reached, width=miss.width, remedy=miss.remedy
        ) from miss


def _build(block: Block, reading: Reading, asked: Asked, choice: Choice, computed: bool) -> Built:
    if choice.theorem == theorem_4_9.NAME and (curved := theorem_4_9.curved(block.task)):
        raise InvalidArgument(f"theorem 4.9 needs affine charts, but {', '.join(curved[:5])} are not; use theorem 4.8 or a ball atlas")
    route = find_route(block, reading, choice, asked)
    task, routed = route.task, route.routed
    flat = choice.theorem != theorem_4_8.NAME and not theorem_4_9.curved(task)
    theorem = theorem_4_9 if flat or routed.gate is not None else theorem_4_8
    cells = routed.cells(asked.seed)
    weighed = isinstance(routed, ScaledRouting)
    served = widened(cells) if computed else cells
    share = routed.leaving(asked) if isinstance(routed, ScaledRouting) else asked
    if weighed:
        require_exact(called(block), computed)
    shared = on_charts(task, routed, served, share, theorem is theorem_4_9, choice.shared)
    local, beside = task, tuple[Claim, ...]()
    if choice.experts == PROJECTED:
        seen = project(task, called(block), asked.seed)
        local, beside = seen.task, (seen.claim("" if block.given is not None else f"block[{block.name}]."),)
    experts = [shared.told(expert) for expert in theorem.experts(shared.left(local), routed, served, share)]
    if isinstance(routed, ScaledRouting):
        routed = routed.scaled(experts, asked)
    # With one chart there is nothing to choose; a task on one manifold keeps its first layer, which the theorem has whatever E.
    choosing = len(task.atlas) > 1 or block.given is not None
    fits = [fit for expert in experts for fit in (expert.target_fit, expert.chart_fit) if fit is not None]
    scores, gate = nets_of(routed, choice.gate == "nonlinear") if choosing else (None, None)
    return Built(
        block=_with(block, task),
        names=task.atlas.names,
        scores=scores,
        gate=gate,
        experts=tuple(expert.net for expert in experts),
        local=max(expert.claim.budget for expert in experts),
        claim=_unmeasured(experts, asked),
        router=routed.kind,
        ambient=block.given is not None or (routed.gate is not None and reading.embedding is not None),
        promise=None if computed or route.copies > 1 else routed.promise,
        theorem="affine" if routed.gate is not None else theorem.NAME,
        why=_why(block, choice, route, theorem.WHY),
        facts={**routed.facts(), "shared": shared.record} if shared.record else routed.facts(),
        shared=shared.net,
        width=max(routed.facts()["m"], *(fit.width for fit in fits)),
        tried=route.tried,
        charts=OnCharts(local, routed, experts, collar_of(routed, cells, experts, shared.net) if computed else None),
        top_k=choice.top_k,
        weighting=Weighting(choice.weighting),
        copies=route.copies,
        beside=beside,
        pointwise=not weighed,
        either=weighed,
    )


def nets_of(routed: Routed, nonlinear: bool) -> tuple[Net | None, Net | None]:
    """The net of the layer of scores, and the gate's: a router that has scores needs no such layer where they are the gate (N1)."""
    if routed.scores is not None and nonlinear:
        return None, routed.scores
    return routed.scores, None if routed.gate is None else routed.gate.net


def _task(block: Block, reading: Reading, router: Router) -> ManifoldTask:
    """The block as a task; on all of an embedded input an affine gate reads it as it arrives, so that its score error is known."""
    task = block.task
    if block.given is None and reading.embedding is not None and router.gate_alone:
        return replace(task, atlas=replace(task.atlas, embedding=reading.embedding))
    return task


def _with(block: Block, task: ManifoldTask) -> Block:
    """The block on the charts that were built for."""
    if task.atlas is block.domain:
        return block
    if block.given is not None:
        return replace(block, domain=task.atlas, given=task)
    atlas = replace(task.atlas, embedding=None)
    if block.atlas is not None and atlas.charts is block.atlas.charts:
        return block
    return replace(block, domain=atlas, subtasks=(block.subtasks[0],) * len(atlas))


def _unmeasured(experts: Sequence[Expert], asked: Asked) -> Claim:
    """Until a network is there to be measured: the largest error of the experts on their cells."""
    worst = max(expert.claim.bound for expert in experts)
    budget = max(expert.claim.budget for expert in experts)
    return Claim("experts", "the largest error of the experts on their cells", "Theorem 4.8", budget, worst, Known.SAMPLED)


def _why(block: Block, choice: Choice, route: Route, why: str) -> str:
    """Why this theorem, in words."""
    if route.routed.atlas is not block.task.atlas and route.routed.atlas.charts is not block.task.atlas.charts:
        count, given = len(route.routed.atlas), len(block.task.atlas)
        reason = "asked for" if choice.theorem == "affine" else "no scores of these charts were within reach"
        return f"{reason}: {count} balls of the same manifold take the place of its {given} charts (B17)"
    if choice.theorem != "auto":
        return "asked for"
    if route.routed.gate is not None:
        return NEAREST
    return why if block.task.atlas.balls is None else f"{why}; routing {choice.routing_name} was asked for"


def conclude(made: Built, experts: Sequence[Expert], root: Claim) -> Built:
    """The block with what was measured of it in its claim: in a graph, where it is one of several."""
    name = f"block[{made.block.name}]"
    kept = tuple(prefixed(child, name) for child in root.children if child.name not in ("rounding", "passthrough"))
    if made.shared is not None:
        kept += claims.counted(made.shared, made.experts, f"{name}.")
    claim = replace(
        root,
        name=name,
        statement=f"|{made.block.name} as computed − {made.block.name}| on its manifold",
        source=f"Theorem 5.2, {root.source}",
        children=kept,
        budget=made.local,
        bound=max(root.bound, *(expert.claim.bound for expert in experts)),
        known=Known.SAMPLED,
    )
    return replace(made, claim=claim)


def reached(made: Built, asked: Asked) -> float:
    """The ε of the block's own ledger: its budget with the share for rounding that its claims take off again."""
    return (made.local if asked.budget is None else asked.budget) / (1 - ROUNDING_SHARE)


def with_collar(made: Built, reading: Reading, collar: Collar) -> Built:
    """The block as a reader of computed values: its Lipschitz constants, and the claim that they stay in the collar."""
    moved = collar.moved(reading.error)
    claim = Claim(
        f"block[{made.block.name}].collar",
        f"2λ, what errors of at most {float(reading.error.max()):.3g} in what {made.block.name} reads move its scores by, is within the "
        "collar in which its experts are certified; beyond M they are as steep as their nets",
        "B9",
        collar.depth,
        moved,
        Known.FORMULA,
    )
    whole = replace(made.claim, children=(*made.claim.children, claim))
    return replace(made, claim=whole, lipschitz=collar.values)
