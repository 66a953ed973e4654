"""The method on one page: normalise, lint, ranges, schedule, share out ε, build each site, lower, measure the ledger."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from ..atlas import ManifoldTask, TaskGraph, arguments
from ..atlas.graph import as_graph
from ..atlas.lint import lint
from ..atlas.relative import absolute_epsilon
from ..errors import EpsilonNotReached, InvalidArgument, LintError, Severity
from ..moe.design import FORMS
from ..moe.ledger import Claim, Ledger
from ..moe.model import Model
from ..progress import track
from . import facts, ledger, relay, theorem_one_layer
from .advice import WIDEST
from .asked import Missed
from .budgets import share_out, stages
from .choices import Choices
from .experts.combinations import exact_combinations
from .reach import Reach
from .relu import NARROWEST
from .shares import ROUNDING_SHARE
from .works import Works

DTYPES = ("float64", "float32")


def construct(
    task: ManifoldTask | TaskGraph,
    *,
    epsilon: float | None = None,
    width: int | None = None,
    depth: str = "paper",
    form: str = "paper",
    dtype: str = "float64",
    max_width: int = 2048,
    seed: int = 0,
    missed: Mapping[str, Mapping[str, Missed]] = MappingProxyType({}),
    **options: Any,
) -> Model:
    """The method: see `front.compile` for what can be asked and what is raised; `options` are those of blocks. `missed`: node ↦ chart
    or piece ↦ what a proof of an earlier attempt could not settle there.
    """
    epsilon, width, dtype, max_width = _checked(task, epsilon, width, form, dtype, max_width)
    seed = arguments.seed(seed)
    started = time.perf_counter()
    graph = as_graph(task)
    choices = Choices.of(graph, depth, **options)
    warnings = check_task(task)
    theorem_one_layer.require(graph, choices)
    relay.require(graph, choices)
    reach = Reach(graph)
    rounded = exact_combinations(graph, choices, reach, max_width)
    shares = None if epsilon is None else share_out(graph, epsilon, reach, exact=rounded)
    works = Works(graph, reach, shares, choices, width, form, dtype, max_width, seed, epsilon, rounded, missed)
    works.prepare(epsilon)
    for stage in track(stages(graph), "blocks") if len(graph.blocks) > 1 else stages(graph):
        works.add(stage)
    exact, design = works.finish()
    network = exact.astype(dtype)
    if epsilon is None:
        epsilon = ledger.round_up(works.own_error() / (1 - ROUNDING_SHARE))
    root = ledger.total(works, network, exact, design, epsilon)
    known = facts.of(works, network, epsilon)
    _refuse_missed(root, dtype, facts.widest(network))
    known |= {"warnings": warnings, "seconds": round(time.perf_counter() - started, 3)}
    return Model(network, Ledger(root), works.task, known, design)


def _checked(task: object, epsilon: Any, width: Any, form: str, dtype: Any, max_width: Any) -> tuple[float | None, int | None, str, int]:
    """ε, width, dtype and largest width as they are meant. Raises `InvalidArgument` for what they cannot be."""
    if not isinstance(task, ManifoldTask | TaskGraph):
        raise InvalidArgument(
            f"compile takes a ManifoldTask or a TaskGraph, got {type(task).__name__}; load_task(path) reads one from a spec"
        )
    if (epsilon is None) == (width is None):
        raise InvalidArgument("give either epsilon (the error to reach) or width (of the hidden layers), and not both")
    epsilon = None if epsilon is None else absolute_epsilon(epsilon, task)
    width = None if width is None else arguments.integer("width", width, NARROWEST, WIDEST)
    max_width, dtype = arguments.integer("max_width", max_width, NARROWEST, WIDEST), arguments.dtype_name(dtype)
    if form not in FORMS:
        raise InvalidArgument(f"form {form!r} is not one of {', '.join(FORMS)}")
    if dtype not in DTYPES:
        margins = (
            ": half precision does not hold the margins by which gates route, of scaled logits (N12) least of all; use {dtype=float32}, "
            "whose experts to_torch(model) takes to half precision, and leaves gates as they are"
        )
        half = margins if dtype in ("float16", "bfloat16") else ""
        raise InvalidArgument(f"dtype {dtype!r} is not one of {', '.join(DTYPES)}{half}")
    return epsilon, width, dtype, max_width


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
    remedy = "allow wider experts, {max_width=4096} or more, or use a finer atlas"
    if not math.isfinite(missed.bound):
        other = "" if dtype == "float64" else ", or keep {dtype=float64}"
        remedy = f"numbers overflow there: measure coordinates and values in other units{other}"
    elif missed.name == "rounding":
        remedy = (
            f"keep more digits, {{dtype=float64}}, or allow a larger error: {{epsilon={ledger.round_up(missed.bound / ROUNDING_SHARE):g}}}"
        )
    raise EpsilonNotReached(f"{missed.name} ({missed.statement})", budget=missed.budget, reached=missed.bound, width=width, remedy=remedy)
