"""From a graph to steps, and from ε to a budget for every node: R10 and B9, top down.

The error of the output is at most Σ_n w_n·ε_n over blocks and non-affine combinations n, where ε_n is the error that n makes itself and w_n
the product of Lipschitz constants along the paths from n to the output, summed over paths. Lipschitz constants are enclosed on
ranges made wider by the errors that arrive there, which depend on the budgets: these are found by iteration, and kept once the
errors that they allow for are within the widening.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from ..atlas import Array, Block, Combine, Input, TaskGraph
from ..errors import EpsilonNotReached
from .collar import SHARE, Collar
from .ranges import Values, domains, jump, steepness
from .shares import ROUNDING_SHARE

WIDER = 1.25
"""Ranges are made wider by this times the errors that the last round allowed."""
ROUNDS, SETTLED = 32, 16
"""Rounds at most, and those after which the widening never shrinks again."""
MOST_ERROR = 1 / 16
"""Of the range of a node's values, how much of it the node may err by: beyond, constants on the wider range say little about the range."""
NO_COLLARS: Mapping[str, Collar] = MappingProxyType({})
NONE_EXACT: Mapping[str, float] = MappingProxyType({})
MARGIN_SHARE = 0.5
"""Of the margin of a jump, how much error what is read there may have."""


@dataclass(frozen=True)
class Step:
    """One block, or all the non-affine combinations that are ready at once and share a layer."""

    nodes: tuple[Block | Combine, ...]

    @property
    def block(self) -> Block | None:
        return self.nodes[0] if isinstance(self.nodes[0], Block) else None


@dataclass(frozen=True)
class Stage:
    """Blocks that read nothing of each other, whose scores can therefore be computed in one layer; or a layer of combinations."""

    steps: tuple[Step, ...]


def stored(task: TaskGraph) -> set[str]:
    """Affine combinations that get channels of their own: of finitely many values, which a block on pieces reads.

    Its routes are then about one number with margins, also for whoever proves them; others are folded into what reads them.
    """
    read = {name for block in task.blocks if block.tiling is not None and len(block) > 1 for name in block.reads}
    affine = [node for node in task.combines if node.function.affine is not None and node.name != task.output]
    return {node.name for node in affine if any(name in read and name in task.finite for name in node.components)}


def stages(task: TaskGraph) -> tuple[Stage, ...]:
    """The steps of the graph: as many blocks as are ready, then all combinations that are, and so on. Affine ones take no step."""
    done = {name for node in task.inputs for name in node.components}
    waiting = [node for node in task.order if not isinstance(node, Input)]
    found: list[Stage] = []
    kept = stored(task)

    def ready(kind: type) -> list[Block | Combine]:
        return [node for node in waiting if isinstance(node, kind) and done.issuperset(node.reads)]

    def finish(nodes: Sequence[Block | Combine]) -> None:
        for node in nodes:
            done.update(node.components)
            waiting.remove(node)

    while waiting:
        affine = [node for node in ready(Combine) if _folds(node, kept)]
        if affine:
            finish(affine)
        elif blocks := ready(Block):
            found.append(Stage(tuple(Step((block,)) for block in blocks)))
            finish(blocks)
        else:
            combines = ready(Combine)
            found.append(Stage((Step(tuple(combines)),)))
            finish(combines)
    return tuple(found)


def _folds(node: Block | Combine, kept: set[str]) -> bool:
    return isinstance(node, Combine) and node.function.affine is not None and node.name not in kept


@dataclass(frozen=True, eq=False)
class Shares:
    """Budgets that add up to (1 − ROUNDING_SHARE)·ε, and what they were computed with."""

    budgets: Mapping[str, float]
    """Of every block and every non-affine combination."""
    errors: Mapping[str, float]
    """How far the computed value of each component may be from the task's, at most, rounding included."""
    lipschitz: Mapping[str, Array]
    weights: Mapping[str, float]
    """w_n."""


def inexact(task: TaskGraph) -> set[str]:
    """Components that are approximated: outputs of blocks and non-affine combinations, and what is computed from them."""
    found: set[str] = set()
    for node in task.order:
        if isinstance(node, Input):
            continue
        affine = isinstance(node, Combine) and node.function.affine is not None
        if not affine or found.intersection(node.reads):
            found.update(node.components)
    return found


def slopes(node: Block | Combine, reach: Mapping[str, Values], errors: Mapping[str, float]) -> Array:
    """sup |∂node_j/∂read_k| on the range of what is read, made wider by its errors."""
    wider = np.array([errors.get(name, 0.0) for name in node.reads])
    values = [reach[name] for name in node.reads]
    if isinstance(node, Combine):
        if node.function.affine is not None:
            return np.abs(node.function.affine[0])
        low, high = np.array([v.least for v in values]) - wider, np.array([v.most for v in values]) + wider
        return steepness(f'combine "{node.name}"', [(node.function, low, high)])
    return steepness(f'block "{node.name}"', domains(node, values, wider))


def sensitivities(task: TaskGraph, lipschitz: Mapping[str, Array]) -> dict[str, float]:
    """w_n for every block and combination: how much of its own error reaches the output, largest component."""
    outputs = task[task.output].components
    reached = {name: np.zeros(len(outputs)) for node in task.order for name in node.components}
    for k, name in enumerate(outputs):
        reached[name][k] = 1.0
    weights: dict[str, float] = {}
    for node in reversed(task.order):
        if isinstance(node, Input):
            continue
        weights[node.name] = float(sum(reached[name] for name in node.components).max())  # type: ignore[union-attr]
        for j, name in enumerate(node.components):
            for k, read in enumerate(node.reads):
                reached[read] = reached[read] + lipschitz[node.name][j, k] * reached[name]
    return weights


def propagate(task: TaskGraph, own: Mapping[str, float], lipschitz: Mapping[str, Array]) -> dict[str, float]:
    """The error of every component, if node n makes the error own[n] itself: ε_n ≤ own_n + Σ_k Lip_k·ε_k (B9, R10)."""
    errors = {name: 0.0 for node in task.inputs for name in node.components}
    for node in task.order:
        if isinstance(node, Input):
            continue
        arriving = np.array([errors[name] for name in node.reads])
        for j, name in enumerate(node.components):
            errors[name] = float(own.get(node.name, 0.0) + lipschitz[node.name][j] @ arriving)
    return errors


def share_out(
    task: TaskGraph,
    epsilon: float,
    reach: Mapping[str, Values],
    collars: Mapping[str, Collar] = NO_COLLARS,
    exact: Mapping[str, float] = NONE_EXACT,
) -> Shares:
    """Equal shares of ε for all nodes that make errors, each divided by its weight; less where a jump's margin asks for it.

    `exact`: combinations that make no error but rounding, and how much that is allowed to be: they take no share.
    """
    approximated = inexact(task)
    makers = [node for node in task.makers if node.name not in exact]
    caps = _caps(task, reach, approximated, ROUNDING_SHARE * epsilon / len(makers), collars)
    last = task[task.output].name
    inner = [node for node in makers if node.name != last]
    most = {node.name: MOST_ERROR * max(reach[name].most - reach[name].least for name in node.components) for node in inner}
    errors: dict[str, float] = {}
    for number in range(ROUNDS):
        lipschitz = {}
        for node in task.order:
            if isinstance(node, Input):
                continue
            # What is read exactly passes no error on.
            needed = approximated.intersection(node.reads)
            if node.atlas is not None:
                needed = needed if node.name in collars else set()
                lipschitz[node.name] = collars[node.name].values if needed else np.zeros((len(node.components), len(node.reads)))
                continue
            lipschitz[node.name] = slopes(node, reach, errors) if needed else np.zeros((len(node.components), len(node.reads)))
        weights = sensitivities(task, lipschitz)
        rounded = sum(weights[name] * error for name, error in exact.items())
        share = max((1 - ROUNDING_SHARE) * epsilon - rounded, 0.0) / len(makers)
        budgets = {node.name: share / max(weights[node.name], np.finfo(float).tiny) for node in makers}
        budgets = {name: min(budget, max(most[name], share)) if name != last else budget for name, budget in budgets.items()}
        budgets = _within(task, {**budgets, **exact}, lipschitz, caps)
        found = propagate(task, budgets, lipschitz)
        if all(found[name] <= (1 - ROUNDING_SHARE) * errors.get(name, 0.0) for name in approximated):
            return Shares(budgets, errors, lipschitz, weights)
        wider = {name: WIDER * error / (1 - ROUNDING_SHARE) for name, error in found.items()}
        errors = wider if number < SETTLED else {name: max(error, errors[name]) for name, error in wider.items()}
    worst = max(approximated, key=lambda name: found[name])
    remedy = "f_out is too steep beyond the range of its arguments: allow less error, or restrict the ranges"
    raise EpsilonNotReached(f"error of {worst!r}", budget=epsilon, reached=found[worst], width=0, remedy=remedy)


def _caps(
    task: TaskGraph, reach: Mapping[str, Values], approximated: set[str], negligible: float, collars: Mapping[str, Collar]
) -> dict[str, float]:
    """How large the error of a component may be, where a block that jumps reads it at some distance from the jump, or one on charts.

    Subtasks that differ by no more than `negligible` agree, as far as ε is concerned.
    """
    caps: dict[str, float] = {}
    for block in task.blocks:
        if block.tiling is None:
            for name, bears in zip(block.reads, collars[block.name].bears if block.name in collars else (), strict=False):
                if name in approximated:
                    caps[name] = min(caps.get(name, np.inf), SHARE * float(bears))
            continue
        for axis, name in enumerate(block.reads):
            if name not in approximated:
                continue
            for t in block.tiling.knots[axis][1:-1]:
                margin = reach[name].distance(float(t))
                if margin > 0 and jump(block, axis, float(t)) > negligible:
                    caps[name] = min(caps.get(name, np.inf), MARGIN_SHARE * margin)
    return caps


def _within(task: TaskGraph, budgets: dict[str, float], lipschitz: Mapping[str, Array], caps: Mapping[str, float]) -> dict[str, float]:
    """The budgets, those of everything that a capped component is computed from lowered until it meets its cap."""
    if not caps:
        return budgets
    import networkx

    budgets = dict(budgets)
    found = propagate(task, budgets, lipschitz)
    for name, cap in caps.items():
        if found[name] > cap:
            source = task.sources[name].name
            for upstream in {source, *networkx.ancestors(task.graph, source)} & set(budgets):
                budgets[upstream] *= cap / found[name]
            found = propagate(task, budgets, lipschitz)
    return budgets
