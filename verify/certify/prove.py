"""`certify`: prove |f − Ψ| ≤ ε for every point of M, with the weights as they are, or find a point that violates it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from joblib import Parallel, delayed

from ...atlas import Array, ManifoldTask, Points
from ...constructions.model import Model
from ...constructions.network import Network
from ...errors import InvalidArgument
from ...progress import gauge
from ..ascent import ascend
from ..promise import ScorePromise
from ..sample import versions
from .certificate import Certificate
from .checkpoint import Checkpoint
from .claims import claims, score_claims
from .error import EnclosedTarget, ErrorJudge, Goal
from .forward import EnclosedNetwork
from .manifold import EnclosedManifold
from .rounding import GENEROUS, Rounding, gamma
from .rounding import network as network_rounding
from .scores import EnclosedScores, ScoresJudge
from .tree import Judge, Search, Tree

BATCH, BATCH_PER_EXPERT = 4096, 256
"""Boxes judged at a time: this many, or this many per expert, so that each expert gets enough of them at once."""
MOST_COEFFICIENTS = 1 << 24
"""Of the forms of a batch of points."""
SEEDS, CLIMBS = 1 << 14, 32
"""Points at which an error is looked for before anything is proved, and of how many the worst are climbed from."""
SIZING = 1 << 12
"""Boxes, in all of a chart, from which the size of its points is bounded."""


def certify(
    model: Model | Network,
    task: ManifoldTask | None = None,
    *,
    epsilon: float | None = None,
    tightness: float | None = 1.1,
    boxes: int = 4_000_000,
    seconds: float = 600.0,
    seed: int = 0,
    checkpoint: str | Path | None = None,
) -> Certificate:
    """Prove, for every point of M, that the router picks a valid expert and that the error stays below ε.

    For a compiled model, or for any network with one gate output per chart in its last layer (fine-tuned, hand-made) and its task;
    no ledger is needed. What is proved is about the real-arithmetic function of the stored weights, and, as claims of their own, about
    evaluating it in float64 and in the dtype of the weights. The search stops when every box is settled: when its bound is ≤ ε and
    within `tightness` times the largest error found (None: ≤ ε suffices); or at `boxes` boxes or after `seconds`, and then claims are
    UNKNOWN with the worst boxes named; or at a point that violates ε, which refutes. `epsilon`: that of the model if not given; a
    network alone may do without, and then the least bound within `tightness` is proved. `checkpoint`: a file to which progress is
    written and from which an interrupted run goes on. Deterministic for a seed, but for the clock.

    Raises `InvalidArgument` if network and task do not fit each other, for a target or charts that cannot be enclosed (naming the
    part), or for arguments out of their domain.
    """
    promise = ScorePromise.from_facts(model.facts, len(model.network.layers[-1])) if isinstance(model, Model) else None
    network, task, epsilon = _arguments(model, task, epsilon, tightness, boxes, seconds)
    started = time.monotonic()
    manifold, target = EnclosedManifold(task.atlas), EnclosedTarget(task)
    size = base_size(manifold)
    enclosed = EnclosedNetwork(network, task.atlas.embedding, size)
    roundings = {str(dtype): rounding_in(network, task, size, dtype) for dtype in {np.dtype(float), network.dtype}}
    eta = max(found.logits for found in roundings.values())
    goal = Goal(np.inf if epsilon is None else epsilon, tightness, slack=float(roundings["float64"].outputs.max()))
    seed_goal(goal, network, task, seed)
    judges = [ErrorJudge(p, manifold, enclosed, target, goal, eta) for p in range(len(manifold.charts))]
    saved = Checkpoint(checkpoint, network, {"task": task.name, "epsilon": epsilon, "tightness": tightness})
    searches = saved.searches([(np.array(c.chart.domain.lower), np.array(c.chart.domain.upper)) for c in manifold.charts])
    try:
        _run(searches, judges, "proving", boxes, started + seconds, saved)
    except KeyboardInterrupt:
        saved.save(searches, now=True)
        raise
    if all(search.done for search in searches):
        saved.remove()
    else:
        saved.save(searches, now=True)
    names = [chart.chart.name for chart in manifold.charts]
    trees = dict(zip(names, (search.tree() for search in searches), strict=True))
    judged = claims(trees, manifold, network, task, goal, roundings)
    scores: dict[str, Tree] = {}
    if promise is not None and not promise.balls and not goal.missed:
        followed = [ScoresJudge(p, manifold, enclosed, EnclosedScores(manifold, promise), promise, eta) for p in range(len(names))]
        again = [Search(search.lower, search.upper) for search in searches]
        _run(again, followed, "proving scores", boxes, started + seconds)
        scores = dict(zip(names, (search.tree() for search in again), strict=True))
        judged += score_claims(scores, followed, promise)
    return Certificate(
        task=task.name,
        dtype=str(network.dtype),
        epsilon=goal.epsilon,
        tightness=tightness,
        claims=judged,
        trees=trees,
        scores=scores,
        winners=network.layers[-1].names,
        found=goal.found,
        eta=eta,
        seconds=time.monotonic() - started,
        versions=versions(),
        network=network,
        problem=task,
    )


def _arguments(
    model: Model | Network, task: ManifoldTask | None, epsilon: float | None, tightness: float | None, boxes: int, seconds: float
) -> tuple[Network, ManifoldTask, float | None]:
    if isinstance(model, Model):
        if task is not None:
            raise InvalidArgument("a model has its own task; give certify(model) or certify(network, task)")
        network: Network = model.network
        given: object = model.task
        epsilon = float(model.facts["epsilon"]) if epsilon is None else epsilon
    else:
        network, given = model, task
    if not isinstance(given, ManifoldTask):
        raise InvalidArgument(f"certify(network, task) needs the ManifoldTask to compare with, got {type(given).__name__}")
    task = given
    if epsilon is not None and not epsilon > 0:
        raise InvalidArgument(f"epsilon must be positive, got {epsilon}")
    if epsilon is None and tightness is None:
        raise InvalidArgument("give epsilon (what to prove) or tightness (how close to the largest error found), or both")
    if tightness is not None and not tightness > 1:
        raise InvalidArgument(f"tightness must be above 1, got {tightness}: no bound is below the error itself")
    if boxes < 1 or not seconds > 0:
        raise InvalidArgument(f"boxes and seconds must be positive, got {boxes} and {seconds}")
    reads, writes = len(network.inputs), len(network.outputs)
    if (reads, writes) != (task.atlas.ambient_dimension, task.outputs):
        needed = f"R^{task.atlas.ambient_dimension} to R^{task.outputs}"
        raise InvalidArgument(f"the network maps R^{reads} to R^{writes}, task {task.name!r} needs {needed}")
    if len(network.layers[-1]) != len(task.atlas):
        raise InvalidArgument(f"the last gate chooses from {len(network.layers[-1])} experts, but the atlas has {len(task.atlas)} charts")
    return network, task, epsilon


def base_size(manifold: EnclosedManifold) -> Array:
    """max |y_k| over M, bounded, (k,). Raises `InvalidArgument` for a chart whose image cannot be bounded."""
    sizes = []
    for p, enclosed in enumerate(manifold.charts):
        domain, d = enclosed.chart.domain, enclosed.chart.dimension
        per_side = max(1, int(SIZING ** (1 / d)))
        edges = [np.linspace(low, high, per_side + 1) for low, high in zip(domain.lower, domain.upper, strict=True)]
        lower = np.stack(np.meshgrid(*(edge[:-1] for edge in edges), indexing="ij"), axis=-1).reshape(-1, d)
        upper = np.stack(np.meshgrid(*(edge[1:] for edge in edges), indexing="ij"), axis=-1).reshape(-1, d)
        place = manifold.place(p, lower, upper)
        reach = place.y.range().magnitude[~manifold.outside(place)]
        if not np.isfinite(reach).all():
            raise InvalidArgument(f'chart "{enclosed.chart.name}": its inverse is not bounded over its box, so nothing can be proved on it')
        sizes.append(reach.max(0))
    return np.max(sizes, axis=0)


def rounding_in(network: Network, task: ManifoldTask, size: Array, dtype: np.dtype) -> Rounding:
    """What evaluation in `dtype` adds, at x̂ = Q·y computed in float64 and rounded to the dtype."""
    Q = task.atlas.embedding
    reach = size if Q is None else np.abs(Q) @ size * GENEROUS
    computed = 0.0 * reach if Q is None else gamma(Q.shape[1], float) * reach
    return network_rounding(network, reach, computed, dtype)


def seed_goal(goal: Goal, network: Network, task: ManifoldTask, seed: int) -> None:
    """The largest error found by sampling and climbing: what bounds are compared with from the start."""
    points = task.atlas.sample(max(SEEDS, 16 * len(task.atlas)), seed, low_discrepancy=True)

    def error(points: Points) -> Array:
        found = np.abs(np.asarray(network(points.ambient.astype(network.dtype)), float) - task.evaluate(points)).max(1)
        return np.where(np.isnan(found), np.inf, found)

    worst = np.argsort(-error(points), kind="stable")[:CLIMBS]
    climbed, values = ascend(task.atlas, points[worst], error, seed)
    best = int(np.argmax(values))
    goal.found = float(values[best])
    goal.where = (int(climbed.chart[best]), climbed.intrinsic[best])


def _run(
    searches: Sequence[Search],
    judges: Sequence[ErrorJudge] | Sequence[ScoresJudge],
    doing: str,
    boxes: int,
    deadline: float,
    saved: Checkpoint | None = None,
) -> None:
    """All charts, side by side where joblib is told so."""
    manifold = judges[0].manifold
    d, k = manifold.atlas.dimension, manifold.atlas.base_dimension
    limit = MOST_COEFFICIENTS // (k * (1 + d + d * (d + 1) // 2))
    batch = int(np.clip(BATCH_PER_EXPERT * len(manifold.atlas), BATCH, max(limit, BATCH)))
    with gauge(doing, 1.0) as show:

        def after(_: Search) -> None:
            show(sum(search.volume for search in searches) / len(searches), judges[0].remark)
            if saved is not None:
                saved.save(searches)

        def one(search: Search, judge: Judge) -> None:
            search.run(judge, batch=batch, most=boxes // len(searches), deadline=deadline, after=after)

        jobs = (delayed(one)(search, judge) for search, judge in zip(searches, judges, strict=True))
        Parallel(prefer="threads", require="sharedmem")(jobs)
