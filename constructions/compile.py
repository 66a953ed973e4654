"""`compile`: the front door from a task to a model."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Any

import numpy as np

from ..atlas import Atlas, ManifoldTask, TaskGraph, ball_atlas
from ..atlas.graph import as_graph
from ..atlas.lint import lint
from ..errors import EpsilonNotReached, InvalidArgument, LintError, Severity
from ..moe.channels import Input, Score, Value
from ..moe.design import Design, Site
from ..moe.ledger import Claim, Ledger
from ..moe.model import Model
from ..moe.network import Network
from ..moe.promise import ScorePromise
from . import graph_compile, theorem_4_8
from .experts.cells import find_cells
from .experts.charts import Expert, Workshop
from .relu import NARROWEST
from .routers import affine as affine_router
from .routers import affine_claims
from .routers import scores as routing_step
from .routers import scores_claims as claims
from .routers.hinge import HalfSpaces
from .routers.scores import ROUNDING_SHARE, Routing
from .theorem_4_8 import build_experts

THEOREMS = ("4.8", "4.9", "affine")
DTYPES = ("float64", "float32")
MAX_WIDTH = 16384
"""Beyond this the Gram matrix of a single fit would not fit into 2 GiB."""


def compile(
    task: ManifoldTask | TaskGraph,
    *,
    epsilon: float | None = None,
    width: int | None = None,
    theorem: str = "auto",
    routing: str | HalfSpaces = "auto",
    depth: str = "paper",
    dtype: str = "float64",
    max_width: int = 2048,
    minimise: str | None = None,
    seed: int = 0,
) -> Model:
    """A mixture of experts Ψ with |f − Ψ| ≤ ε on M (largest component), and the ledger of why.

    Give `epsilon` (absolute; widths are then chosen to meet it) or `width` (hidden width of τ, ψ and g; ε is then what they
    reach). `theorem`: "4.8" approximates the chart maps and has three-layer experts; "4.9" needs affine charts and has
    two-layer ones; "affine" has one layer, whose gate finds the nearest centre of a ball atlas (B1, B16): charts of another kind are
    replaced by balls of the same manifold, whose covering is proved from those charts (B17). "auto" takes the last of the three that
    fits the charts as they are. `routing`, for 4.8 and 4.9: which scores the gate compares and how well τ must follow
    them, see `constructions.routing`; or the `HalfSpaces` that cut the charts out of M (B14). `dtype`: of the weights as exported.
    No width exceeds `max_width`. `minimise`: "active", "total" (parameters) or "latency"; the charts of `task` are then replaced
    by as many balls as are cheapest for ε, as `plan` predicts it.
    Deterministic for a `seed`.

    A task graph is compiled by Theorem "5.2" (blocks on charts), "5.3" (on pieces), or both ("auto"), and `depth` is that of L blocks:
    "paper" for 2L layers, "L+1", or "L" where affine gates will do (B2); see `constructions.graph_compile`.

    Raises `LintError` if the task breaks an assumption of the theorem, `InvalidArgument` for arguments out of their domain, and
    `EpsilonNotReached` with the best error if some budget cannot be met.
    """
    _check_arguments(task, epsilon, width, theorem, dtype, max_width)
    if minimise is not None:
        from .plan import compile_planned

        if epsilon is None or theorem not in ("auto", "affine") or routing not in ("auto", "affine") or depth != "paper":
            raise InvalidArgument("minimise chooses charts and widths for an epsilon, on balls with an affine router; give epsilon alone")
        if not isinstance(task, ManifoldTask):
            raise InvalidArgument("minimise chooses the charts of one manifold; those of a task graph's blocks are taken as they are")
        return compile_planned(task, epsilon, minimise, dtype=dtype, max_width=max_width, seed=seed)
    started = time.perf_counter()
    warnings = check_task(task)
    if isinstance(task, TaskGraph):
        _refuse_routing(routing)
        model = graph_compile.compile_graph(
            task, epsilon=epsilon, width=width, theorem=theorem, depth=depth, dtype=dtype, max_width=max_width, seed=seed
        )
        _refuse_missed(model.ledger.root, dtype, model.facts["true_width"])
        return replace(model, facts={**model.facts, "warnings": warnings, "seconds": round(time.perf_counter() - started, 3)})
    if depth != "paper":
        raise InvalidArgument(f"depth {depth!r} is a choice for task graphs; for one manifold it follows from the theorem")
    theorem, why = _choose_theorem(task.atlas, theorem, routing)
    if theorem == "affine" and task.atlas.balls is None:
        given = len(task.atlas)
        task = replace(task, atlas=ball_atlas(task.atlas, seed=seed))
        why = f"asked for: {len(task.atlas)} balls of the same manifold take the place of its {given} charts (B17)"
    if theorem == "affine":
        affine = affine_router.route(task.atlas, dtype, seed)
        affine_claims.require_margin(affine, dtype)
        experts = build_experts(Workshop(task, affine, epsilon, width, True, max_width, seed), affine_router.cells(affine, seed))
        exact = affine_router.assemble(task, affine, experts)
    else:
        routed = routing_step.choose(task.atlas, routing, width=width, limit=max_width, seed=seed)
        cells = find_cells(task.atlas, routed, seed)
        experts = build_experts(Workshop(task, routed, epsilon, width, theorem == "4.9", max_width, seed), cells)
        exact = theorem_4_8.assemble(task, routed, experts, np.float64)
    network = exact.astype(dtype)

    if epsilon is None:
        epsilon = _round_up(max(expert.claim.budget for expert in experts) / (1 - ROUNDING_SHARE))
    if theorem == "affine":
        root = affine_claims.total(task, network, exact, affine, experts, epsilon, seed)
        facts = affine_claims.facts(affine)
    else:
        root = claims.total(task, network, exact, routed, experts, epsilon, seed)
        facts = _routing_facts(routed)
    _refuse_missed(root, dtype, max(max(layer.experts[0].widths) for layer in network.layers))
    facts |= {"theorem": theorem, "why": why, "epsilon": epsilon, "requested": "width" if width else "epsilon", "seed": seed}
    facts |= _sizes(network, experts, facts.pop("m"))
    facts |= {"warnings": warnings, "seconds": round(time.perf_counter() - started, 3)}
    return Model(network, Ledger(root), task, facts, _design(task, network, facts))


def _design(task: ManifoldTask, network: Network, facts: dict[str, Any]) -> Design:
    (block,) = as_graph(task).blocks
    names, last = task.atlas.names, len(network.layers) - 1
    inputs = tuple(Input(k) for k in range(len(network.inputs)))
    scored = () if last == 0 else ((*inputs, *(Score(block.name, name) for name in names)),)
    promise = ScorePromise.from_facts(facts, len(names))
    site = Site(block.name, last, names, 0 if last else None, facts["routing"], promise, facts["epsilon"], ambient=True)
    return Design((inputs, *scored, tuple(Value(c) for c in block.components)), (site,), alone=True)


def _check_arguments(task: object, epsilon: float | None, width: int | None, theorem: str, dtype: str, max_width: int) -> None:
    if not isinstance(task, ManifoldTask | TaskGraph):
        raise InvalidArgument(
            f"compile takes a ManifoldTask or a TaskGraph, got {type(task).__name__}; load_task(path) reads one from a spec"
        )
    if (epsilon is None) == (width is None):
        raise InvalidArgument("give either epsilon (the error to reach) or width (of the hidden layers), and not both")
    if epsilon is not None and not (np.isfinite(epsilon) and epsilon > 0):
        raise InvalidArgument(f"epsilon must be a positive number, got {epsilon}")
    if width is not None and not NARROWEST <= width <= MAX_WIDTH:
        raise InvalidArgument(f"width must be between {NARROWEST} and {MAX_WIDTH}, got {width}")
    if not NARROWEST <= max_width <= MAX_WIDTH:
        raise InvalidArgument(f"max_width must be between {NARROWEST} and {MAX_WIDTH}, got {max_width}")
    theorems = graph_compile.THEOREMS if isinstance(task, TaskGraph) else THEOREMS
    if theorem not in ("auto", *theorems):
        raise InvalidArgument(f"theorem {theorem!r} is not one of auto, {', '.join(theorems)}")
    if dtype not in DTYPES:
        raise InvalidArgument(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}")


def _choose_theorem(atlas: Atlas, theorem: str, routing: str | HalfSpaces) -> tuple[str, str]:
    """The theorem to use, and why, in words."""
    if theorem == "affine" and routing not in ("auto", "affine", "power"):
        raise InvalidArgument(f'theorem "affine" routes by its gate alone; routing {_name(routing)!r} belongs to theorems 4.8 and 4.9')
    curved = [name for chart, name in enumerate(atlas.names) if atlas.affine(chart) is None]
    if theorem == "4.9" and curved:
        raise InvalidArgument(f"theorem 4.9 needs affine charts, but {', '.join(curved[:5])} are not; use theorem 4.8 or a ball atlas")
    if theorem != "auto":
        return theorem, "asked for"
    if atlas.balls is not None and routing == "auto":
        return "affine", "the charts are balls: the nearest centre routes exactly, with one layer and no τ (B1, B16)"
    if curved:
        return "4.8", "the chart maps are curved, so experts approximate them"
    reason = "the chart maps are affine, so experts use them exactly"
    return "4.9", reason if atlas.balls is None else f"{reason}; routing {_name(routing)} was asked for"


def _refuse_routing(routing: str | HalfSpaces) -> None:
    if routing != "auto":
        raise InvalidArgument(f"routing {_name(routing)!r} is a choice for one manifold; every block of a task graph finds its own")


def _name(routing: str | HalfSpaces) -> str:
    return routing if isinstance(routing, str) else "hinge"


def check_task(task: ManifoldTask | TaskGraph) -> list[str]:
    """Refuse on lint errors; the warnings, in words."""
    findings = lint(task)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise LintError(errors)
    return [str(finding) for finding in findings]


def _refuse_missed(root: Claim, dtype: str, width: int) -> None:
    """The ledger of a finished model holds line by line, or there is no model."""
    misses = [claim for _, claim in root.walk() if not claim.holds]
    if not misses:
        return
    # The cause, not its consequences: a claim that fails although everything it follows from holds.
    missed = next(claim for claim in misses if all(child.holds for child in claim.children))
    remedy = "raise max_width or use a finer atlas"
    if missed.name == "rounding":
        remedy = f"use dtype float64, or an epsilon of at least {_round_up(missed.bound / ROUNDING_SHARE):g} for {dtype}"
    raise EpsilonNotReached(f"{missed.name} ({missed.statement})", budget=missed.budget, reached=missed.bound, width=width, remedy=remedy)


def _routing_facts(routed: Routing) -> dict[str, Any]:
    """What the model card and the verifier need to know of the scores, as JSON; m is the width of τ."""
    return {
        "routing": routed.kind,
        "delta": routed.delta,
        "mu": routed.cover.mu,
        "multiplicity": routed.cover.multiplicity,
        "plateau_level": routed.level,
        "m": routed.tau.width,
    }


def _sizes(network: Network, experts: list[Expert], width: int) -> dict[str, Any]:
    """Widths and numbers of parameters; m is the theorem's width: the widest of all two-layer nets, one of which is `width` wide."""
    fits = [fit for expert in experts for fit in (expert.target_fit, expert.chart_fit) if fit is not None]
    return {
        "experts": len(experts),
        "m": max(width, *(fit.width for fit in fits)),
        "true_width": max(width for layer in network.layers for net in layer.experts for width in net.widths),
        "parameters": network.parameters,
        "active_parameters": network.active_parameters,
    }


def _round_up(value: float, digits: int = 2) -> float:
    """The least decimal with `digits` significant digits that is not below a positive `value`."""
    scale = 10.0 ** (np.floor(np.log10(max(value, np.finfo(float).tiny))) - digits + 1)
    return float(np.ceil(value / scale) * scale)
