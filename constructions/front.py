"""`compile`: the front door from a task to a model."""

from __future__ import annotations

from collections.abc import Mapping

from ..atlas import ManifoldTask, TaskGraph
from ..errors import InvalidArgument
from ..moe.model import Model
from .choices import Routing
from .compile import construct
from .plan import compile_planned


def compile(
    task: ManifoldTask | TaskGraph,
    *,
    epsilon: float | None = None,
    width: int | None = None,
    theorem: str | Mapping[str, str] = "auto",
    routing: Routing | Mapping[str, Routing] = "auto",
    depth: str = "paper",
    form: str = "paper",
    dtype: str = "float64",
    max_width: int = 2048,
    minimise: str | Mapping[str, str] | None = None,
    seed: int = 0,
) -> Model:
    """A mixture of experts Ψ with |f − Ψ| ≤ ε on M (largest component), and the ledger of why.

    Give `epsilon` (absolute; widths are then chosen to meet it) or `width` (hidden width of τ, ψ and g; ε is then what they
    reach). A task on one manifold is the graph of one block; `theorem` and `routing` are options of blocks: one value for all that it fits,
    or a mapping from names of blocks.

    `theorem`, of blocks on charts: "4.8" approximates the chart maps and has three-layer experts; "4.9" needs affine charts and has
    two-layer ones; "affine" has a gate that finds the nearest centre of a ball atlas (B1, B16) and no scores: charts of another kind are
    replaced by balls of the same manifold, whose covering is proved from those charts (B17). "5.2" and "5.3" ask that all blocks be on
    charts, or on pieces. "auto" is the cheapest that fits; the facts say what was `tried` and left. `routing`, of blocks on charts: which
    scores the gate compares and how well τ must follow them, see `routers.scores`; or the `HalfSpaces` that cut the charts out
    of M (B14). `depth`, of L blocks: "paper" for 2L layers, "L+1", or "L" where affine gates will do (B2). `form`: "paper", the class of
    the theorems, or "residual", in which channels are carried beside the experts (N8, see `assembly`). `dtype`: of the weights as
    exported. No width exceeds `max_width`. `minimise`: "active", "total" (parameters) or "latency"; charts are then replaced by as many
    balls as are cheapest for ε, as `plan` predicts it; a mapping does so for the blocks that it names. Deterministic for a `seed`.

    Raises `LintError` if the task breaks an assumption of the theorem, `InvalidArgument` for arguments out of their domain or that
    do not fit a block, `EpsilonNotReached` with the best error if some budget cannot be met, and `MarginTooSmall` for a block that reads
    computed values too near to an interface at which it jumps.
    """
    if minimise is None:
        return construct(
            task,
            epsilon=epsilon,
            width=width,
            theorem=theorem,
            routing=routing,
            depth=depth,
            form=form,
            dtype=dtype,
            max_width=max_width,
            seed=seed,
        )
    if epsilon is None or theorem not in ("auto", "affine") or routing not in ("auto", "affine") or depth != "paper":
        raise InvalidArgument("minimise chooses charts and widths for an epsilon, on balls with an affine router; give epsilon alone")
    return compile_planned(task, epsilon, minimise, form=form, dtype=dtype, max_width=max_width, seed=seed)
