"""`compile`: the front door from a task to a model."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..atlas import ManifoldTask, TaskGraph
from ..atlas.relative import absolute_epsilon, with_numbers
from ..constructions.choices import Routing
from ..constructions.compile import construct
from ..constructions.plan import compile_planned
from ..constructions.several_targets import built
from ..errors import InvalidArgument
from ..moe.model import Model
from .proving import proved


def compile(
    task: ManifoldTask | TaskGraph,
    *,
    epsilon: float | str | None = None,
    width: int | None = None,
    theorem: str | Mapping[str, str] = "auto",
    routing: Routing | Mapping[str, Routing] = "auto",
    activation: str | Mapping[str, str] | None = None,
    gated: bool | Mapping[str, bool] | None = None,
    gate: str | Mapping[str, str] | None = None,
    experts: str | Mapping[str, str] | None = None,
    top_k: int | Mapping[str, int] | None = None,
    weighting: str | Mapping[str, str] | None = None,
    shared: bool | str | Mapping[str, bool | str] | None = None,
    depth: str = "paper",
    form: str = "paper",
    dtype: str = "float64",
    max_width: int = 2048,
    minimise: str | Mapping[str, str] | None = None,
    seed: int = 0,
    prove: bool = False,
) -> Model:
    """A mixture of experts Ψ with |f − Ψ| ≤ ε on M (largest component), and the ledger of why.

    Give `epsilon` (absolute, or "1%" of what the target ranges over; widths are then chosen to meet it) or `width` (hidden width of τ, ψ
    and g; ε is then what they reach). A task on one manifold is the graph of one block; `theorem`, `routing`, `activation`, `gated`,
    `gate`, `experts`, `top_k`, `weighting` and `shared` are options of blocks: one value for all that it fits, or a mapping from names of
    blocks; what a block or a task says itself stands in its `options`.

    `theorem`, of blocks on charts: "4.8" approximates the chart maps and has three-layer experts; "4.9" needs affine charts and has
    two-layer ones; "affine" has a gate that finds the nearest centre of a ball atlas (B1, B16) and no scores: charts of another kind are
    replaced by balls of the same manifold, whose covering is proved from those charts (B17). "5.2" and "5.3" ask that all blocks be on
    charts, or on pieces. "dense" is the baseline: one two-layer net without a gate for all charts or pieces of a block
    (`constructions.theorem_dense`; `dense_baseline` builds one of as many numbers as a model has); "chen" puts all charts in parallel in
    one dense net (`constructions.theorem_chen`). "auto" is the cheapest that fits; the facts say what was `tried` and left. `routing`, of
    blocks on charts: which scores the gate compares and how well τ must follow them, see `routers.scores`; or the `HalfSpaces` that cut
    the charts out of M (B14). `activation`: what the neurons of experts compute, a name of `moe.activations`, "relu" if nothing is said;
    "auto": the one with which the expert has the fewest numbers at ε. `gated`: whether experts have product lanes, act(z)·(α + γ·u).

    Variants (docs/variants.md). `gate`: "linear", "nonlinear" for a gate with a hidden layer and no scores before it (N1), or "tree" for
    nearest centres in two levels. `experts`: "dense" with first maps stored whole, "factorised" in two factors (B6), "encoder" behind one
    map of all experts (N9, N10), or "auto", the fewest numbers. `top_k` experts are chosen, and `weighting` says how their outputs are
    weighed: "softmax", "uniform" or "rectified" (N12, N14). `shared`: whether one expert is added for all inputs; "auto" where that
    stores less (N5).

    `depth`, of L blocks: "paper" for 2L layers, "L+1", or "L" where affine gates will do (B2); "shared", L + 1 layers of which each writes
    the scores of the next, by an expert for all inputs (N7);
    "path" for one layer a stage of blocks, and "1" where that is one, with the experts of all blocks side by side, of which one of each is
    chosen (N15, N18–N20, docs/one-layer.md; `weighting` says which). `form`: "paper", the class of
    the theorems, "dense", the same with layers of scores and combinations as dense layers (N3), or "residual", in which channels are
    carried beside the experts (N8, see `assembly`). `dtype`: of the weights as exported. No width exceeds `max_width`. `minimise`:
    "active", "total" (parameters) or "latency"; charts are then replaced by as many balls as are cheapest for ε, as `plan` predicts it; a
    mapping does so for the blocks that it names. Deterministic for a `seed`.

    `prove`: end only when `certify` has proved ε. What missed it is built again, from where it missed it; the model's `certificate`, which
    `save` writes beside it, is the proof, and the facts say how often and what was built again.

    Raises `LintError` if the task breaks an assumption of the theorem, `InvalidArgument` for arguments out of their domain or that
    do not fit a block, `EpsilonNotReached` with the best error if some budget cannot be met, `MarginTooSmall` for a block that reads
    computed values too near to an interface at which it jumps, and `NotProved` with the certificate if a proof does not come about.
    """
    if isinstance(task, ManifoldTask | TaskGraph) and task.wanted:
        task, epsilon = _each_its_own(task, epsilon, width), 1.0
    elif isinstance(task, ManifoldTask | TaskGraph) and epsilon is not None:
        epsilon = absolute_epsilon(epsilon, task)
    asked: dict[str, Any] = {"epsilon": epsilon, "activation": activation, "gated": gated}
    variants = {"gate": gate, "experts": experts, "top_k": top_k, "weighting": weighting, "shared": shared}
    asked |= {"form": form, "dtype": dtype, "max_width": max_width, "seed": seed}
    build: Callable[..., Model]
    if minimise is None:
        build, asked = construct, {**asked, **variants, "width": width, "theorem": theorem, "routing": routing, "depth": depth}
    elif epsilon is None or theorem not in ("auto", "affine") or routing not in ("auto", "affine") or depth != "paper":
        raise InvalidArgument("minimise chooses charts and widths for an epsilon, on balls with an affine router; give epsilon alone")
    elif said := [name for name, value in variants.items() if value is not None]:
        raise InvalidArgument(f"minimise plans mixtures of one linear gate and one expert for each input; leave out {', '.join(said)}")
    else:
        build, asked = compile_planned, {**asked, "minimise": minimise}
    if not prove:
        return built(build, task, **asked)
    if epsilon is None:
        raise InvalidArgument("prove needs an epsilon: of a width nobody knows what it reaches; certify(model) proves what it did reach")
    return proved(lambda missed: built(build, task, **asked, missed=missed), task, epsilon)


def _each_its_own(task: ManifoldTask | TaskGraph, epsilon: object, width: object) -> ManifoldTask | TaskGraph:
    """The task, every target of which has a number as ε. Raises `InvalidArgument` where one is given for all."""
    if epsilon is not None:
        absolute_epsilon(epsilon, task)
    if width is not None:
        names = ", ".join(one.name for one in task.wanted)
        raise InvalidArgument(f"the targets {names} have an ε each, to which widths are chosen; leave width={width!r} out")
    return with_numbers(task)
