"""`compile`: the front door from a task to a model."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from ..atlas import ManifoldTask
from ..atlas.lint import lint
from ..errors import EpsilonNotReached, InvalidArgument, LintError, Severity
from . import claims, theorem_4_8
from . import routing as routing_step
from .experts import Expert, Workshop
from .ledger import Claim, Ledger
from .model import Model
from .network import Network
from .relu import NARROWEST
from .routing import ROUNDING_SHARE, Routing

THEOREMS = ("4.8", "4.9")
DTYPES = ("float64", "float32")
MAX_WIDTH = 16384
"""Beyond this the Gram matrix of a single fit would not fit into 2 GiB."""


def compile(
    task: ManifoldTask,
    *,
    epsilon: float | None = None,
    width: int | None = None,
    theorem: str = "auto",
    routing: str = "auto",
    dtype: str = "float64",
    max_width: int = 2048,
    seed: int = 0,
) -> Model:
    """A mixture of experts Ψ with |f − Ψ| ≤ ε on M (largest component), and the ledger of why.

    Give `epsilon` (absolute; widths are then chosen to meet it) or `width` (hidden width of τ, ψ and g; ε is then what they
    reach). `theorem`: "4.8" approximates the chart maps and has three-layer experts; "4.9" needs affine charts and has
    two-layer ones; "auto" takes 4.9 where it applies. `routing`: which scores the gate compares and how well τ must follow
    them, see `constructions.routing`. `dtype`: of the weights as exported. No width exceeds `max_width`.
    Deterministic for a `seed`.

    Raises `LintError` if the task breaks an assumption of the theorem, `InvalidArgument` for arguments out of their domain, and
    `EpsilonNotReached` with the best error if some budget cannot be met.
    """
    _check_arguments(task, epsilon, width, theorem, dtype, max_width)
    warnings = _check_task(task)
    started = time.perf_counter()
    affine = all(task.atlas.affine(chart) is not None for chart in range(len(task.atlas)))
    if theorem == "auto":
        theorem = "4.9" if affine else "4.8"
    if theorem == "4.9" and not affine:
        curved = [name for chart, name in enumerate(task.atlas.names) if task.atlas.affine(chart) is None]
        raise InvalidArgument(f"theorem 4.9 needs affine charts, but {', '.join(curved[:5])} are not; use theorem 4.8 or a ball atlas")

    routed = routing_step.choose(task.atlas, routing, width=width, limit=max_width, seed=seed)
    workshop = Workshop(task, routed, epsilon, width, theorem == "4.9", max_width, seed)
    experts = theorem_4_8.build_experts(workshop)
    exact = theorem_4_8.assemble(task, routed, experts, np.float64)
    network = exact.astype(dtype)

    if epsilon is None:
        epsilon = _round_up(max(expert.claim.budget for expert in experts) / (1 - ROUNDING_SHARE))
    root = claims.total(task, network, exact, routed, experts, epsilon, seed)
    _refuse_missed(root, dtype, max(max(layer.experts[0].widths) for layer in network.layers))
    facts = _facts(network, routed, experts, theorem=theorem, epsilon=epsilon, requested="width" if width else "epsilon", seed=seed)
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


def _check_task(task: ManifoldTask) -> list[str]:
    """Refuse on lint errors; the warnings, in words."""
    findings = lint(task)
    errors = [finding for finding in findings if finding.severity is Severity.ERROR]
    if errors:
        raise LintError(errors)
    return [str(finding) for finding in findings]


def _refuse_missed(root: Claim, dtype: str, width: int) -> None:
    """The ledger of a finished model holds line by line, or there is no model."""
    missed = next((claim for _, claim in root.walk() if not claim.holds), None)
    if missed is None:
        return
    remedy = "raise max_width or use a finer atlas"
    if missed.name == "rounding":
        remedy = f"use dtype float64, or an epsilon of at least {_round_up(missed.bound / ROUNDING_SHARE):g} for {dtype}"
    raise EpsilonNotReached(f"{missed.name} ({missed.statement})", budget=missed.budget, reached=missed.bound, width=width, remedy=remedy)


def _facts(
    network: Network, routed: Routing, experts: list[Expert], *, theorem: str, epsilon: float, requested: str, seed: int
) -> dict[str, Any]:
    """What the model card and the verifier need to know, as JSON."""
    fits = [fit for expert in experts for fit in (expert.target_fit, expert.chart_fit) if fit is not None]
    return {
        "theorem": theorem,
        "routing": routed.kind,
        "epsilon": epsilon,
        "requested": requested,
        "delta": routed.delta,
        "mu": routed.cover.mu,
        "multiplicity": routed.cover.multiplicity,
        "plateau_level": routed.level,
        "experts": len(experts),
        "m": max(routed.tau.width, *(fit.width for fit in fits)),
        "true_width": max(width for layer in network.layers for net in layer.experts for width in net.widths),
        "parameters": network.parameters,
        "active_parameters": network.active_parameters,
        "seed": seed,
    }


def _round_up(value: float, digits: int = 2) -> float:
    """The least decimal with `digits` significant digits that is not below a positive `value`."""
    scale = 10.0 ** (np.floor(np.log10(max(value, np.finfo(float).tiny))) - digits + 1)
    return float(np.ceil(value / scale) * scale)
