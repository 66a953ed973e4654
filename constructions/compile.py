"""`compile`: the front door from a task to a model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..atlas import Atlas, ManifoldTask
from ..atlas.lint import lint
from ..errors import EpsilonNotReached, InvalidArgument, LintError, Severity
from . import affine_claims, affine_router, claims, theorem_4_8
from . import routing as routing_step
from .cells import find_cells
from .experts import Expert, Workshop
from .hinge import HalfSpaces
from .ledger import Claim, Ledger
from .model import Model
from .network import Network
from .relu import NARROWEST
from .routing import ROUNDING_SHARE, Routing
from .theorem_4_8 import build_experts

THEOREMS = ("4.8", "4.9", "affine")
DTYPES = ("float64", "float32")
MAX_WIDTH = 16384
"""Beyond this the Gram matrix of a single fit would not fit into 2 GiB."""


def compile(
    task: ManifoldTask,
    *,
    epsilon: float | None = None,
    width: int | None = None,
    theorem: str = "auto",
    routing: str | HalfSpaces = "auto",
    dtype: str = "float64",
    max_width: int = 2048,
    seed: int = 0,
) -> Model:
    """A mixture of experts Ψ with |f − Ψ| ≤ ε on M (largest component), and the ledger of why.

    Give `epsilon` (absolute; widths are then chosen to meet it) or `width` (hidden width of τ, ψ and g; ε is then what they
    reach). `theorem`: "4.8" approximates the chart maps and has three-layer experts; "4.9" needs affine charts and has
    two-layer ones; "affine" needs a ball atlas and has one layer, whose gate finds the nearest centre (B1, B16). "auto" takes the
    last of the three that applies. `routing`, for 4.8 and 4.9: which scores the gate compares and how well τ must follow
    them, see `constructions.routing`; or the `HalfSpaces` that cut the charts out of M (B14). `dtype`: of the weights as exported.
    No width exceeds `max_width`.
    Deterministic for a `seed`.

    Raises `LintError` if the task breaks an assumption of the theorem, `InvalidArgument` for arguments out of their domain, and
    `EpsilonNotReached` with the best error if some budget cannot be met.
    """
    _check_arguments(task, epsilon, width, theorem, dtype, max_width)
    warnings = _check_task(task)
    started = time.perf_counter()
    theorem, why = _choose_theorem(task.atlas, theorem, routing)
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
    return Model(network, Ledger(root), task, facts)


def _check_arguments(task: object, epsilon: float | None, width: int | None, theorem: str, dtype: str, max_width: int) -> None:
    if not isinstance(task, ManifoldTask):
        raise InvalidArgument(f"compile takes a ManifoldTask, got {type(task).__name__}; load_task(path) reads one from a spec")
    if (epsilon is None) == (width is None):
        raise InvalidArgument("give either epsilon (the error to reach) or width (of the hidden layers), and not both")
    if epsilon is not None and not (np.isfinite(epsilon) and epsilon > 0):
        raise InvalidArgument(f"epsilon must be a positive number, got {epsilon}")
    if width is not None and not NARROWEST <= width <= MAX_WIDTH:
        raise InvalidArgument(f"width must be between {NARROWEST} and {MAX_WIDTH}, got {width}")
    if not NARROWEST <= max_width <= MAX_WIDTH:
        raise InvalidArgument(f"max_width must be between {NARROWEST} and {MAX_WIDTH}, got {max_width}")
    if theorem not in ("auto", *THEOREMS):
        raise InvalidArgument(f"theorem {theorem!r} is not one of auto, {', '.join(THEOREMS)}")
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


def _name(routing: str | HalfSpaces) -> str:
    return routing if isinstance(routing, str) else "hinge"


def _check_task(task: ManifoldTask) -> list[str]:
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
