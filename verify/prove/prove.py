"""`certify`: prove |f − Ψ| ≤ ε for every point of M, with the weights as they are, or find a point that violates it."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from ...atlas import ManifoldTask, TaskGraph
from ...errors import InvalidArgument
from ...moe.model import Model
from ...moe.network import Network
from ...moe.promise import ScorePromise
from ..versions import versions
from .certificate import Certificate
from .claims import claims, score_claims
from .graph_claims import certify_graph
from .problem import Problem, run, solve
from .scores import EnclosedScores, ScoresJudge
from .tree import Search, Tree


def certify(
    model: Model | Network,
    task: ManifoldTask | TaskGraph | None = None,
    *,
    epsilon: float | None = None,
    tightness: float | None = 1.1,
    boxes: int = 4_000_000,
    seconds: float = 600.0,
    seed: int = 0,
    checkpoint: str | Path | None = None,
) -> Certificate:
    """Prove, for every point of M, that the router picks a valid expert and that the error stays below ε.

    For a compiled model, of a task graph too, or for any network with one gate output per chart in its last layer (fine-tuned,
    hand-made) and its task; no ledger is needed. What is proved is about the real-arithmetic function of the stored weights, and, as
    claims of their own, about evaluating it in float64 and in the dtype of the weights. The search stops when every box is settled: when
    its bound is ≤ ε and within `tightness` times the largest error found (None: ≤ ε suffices); or at `boxes` boxes or after `seconds`,
    and then claims are UNKNOWN with the worst boxes named; or at a point that violates ε, which refutes. `epsilon`: that of the model if
    not given; a network alone may do without, and then the least bound within `tightness` is proved. `checkpoint`: a file to which
    progress is written and from which an interrupted run goes on (not for a target that is a Python function, nor for a graph).
    Deterministic for a seed, but for the clock.

    Raises `InvalidArgument` if network and task do not fit each other, for a target or charts that cannot be enclosed (naming the
    part), or for arguments out of their domain.
    """
    network, given, epsilon = _arguments(model, task, epsilon, tightness, boxes, seconds)
    started = time.monotonic()
    deadline = started + seconds
    if isinstance(given, TaskGraph):
        judged, trees, found, eta = certify_graph(
            network, given, epsilon=epsilon, tightness=tightness, boxes=boxes, deadline=deadline, seed=seed
        )
        bound = np.inf if epsilon is None else epsilon
        spent = time.monotonic() - started
        return Certificate(
            given.name, str(network.dtype), bound, tightness, judged, trees, {}, (), found, eta, spent, versions(), network, given
        )
    task = given
    promise = ScorePromise.from_facts(model.facts, len(network.layers[-1])) if isinstance(model, Model) else None
    solved = solve(
        Problem(network, task),
        epsilon=epsilon,
        tightness=tightness,
        boxes=boxes,
        deadline=deadline,
        seed=seed,
        checkpoint=checkpoint,
    )
    manifold, goal, trees = solved.manifold, solved.goal, dict(solved.trees)
    judged = claims(trees, manifold, network, task, goal, solved.roundings)
    scores: dict[str, Tree] = {}
    if promise is not None and not promise.balls and not goal.missed:
        reference = EnclosedScores(manifold, promise)
        followed = [ScoresJudge(p, manifold, solved.enclosed, reference, promise, solved.eta) for p in range(len(trees))]
        again = [Search(tree.lower, tree.upper) for tree in trees.values()]
        run(again, followed, "proving scores", boxes, deadline)
        scores = dict(zip(trees, (search.tree() for search in again), strict=True))
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
        eta=solved.eta,
        seconds=time.monotonic() - started,
        versions=versions(),
        network=network,
        problem=task,
    )


def _arguments(
    model: Model | Network,
    task: ManifoldTask | TaskGraph | None,
    epsilon: float | None,
    tightness: float | None,
    boxes: int,
    seconds: float,
) -> tuple[Network, ManifoldTask | TaskGraph, float | None]:
    if isinstance(model, Model):
        if task is not None:
            raise InvalidArgument("a model has its own task; give certify(model) or certify(network, task)")
        network: Network = model.network
        given: object = model.task
        epsilon = float(model.facts["epsilon"]) if epsilon is None else epsilon
    else:
        network, given = model, task
    if not isinstance(given, ManifoldTask | TaskGraph):
        raise InvalidArgument(f"certify(network, task) needs the ManifoldTask or TaskGraph to compare with, got {type(given).__name__}")
    if epsilon is not None and not epsilon > 0:
        raise InvalidArgument(f"epsilon must be positive, got {epsilon}")
    if epsilon is None and tightness is None:
        raise InvalidArgument("give epsilon (what to prove) or tightness (how close to the largest error found), or both")
    if tightness is not None and not tightness > 1:
        raise InvalidArgument(f"tightness must be above 1, got {tightness}: no bound is below the error itself")
    if boxes < 1 or not seconds > 0:
        raise InvalidArgument(f"boxes and seconds must be positive, got {boxes} and {seconds}")
    reads, writes = len(network.inputs), len(network.outputs)
    dimension = given.ambient_dimension if isinstance(given, TaskGraph) else given.atlas.ambient_dimension
    if (reads, writes) != (dimension, given.outputs):
        needed = f"R^{dimension} to R^{given.outputs}"
        raise InvalidArgument(f"the network maps R^{reads} to R^{writes}, task {given.name!r} needs {needed}")
    if isinstance(given, ManifoldTask) and len(network.layers[-1]) != len(given.atlas):
        experts = len(network.layers[-1])
        raise InvalidArgument(f"the last gate chooses from {experts} experts, but the atlas has {len(given.atlas)} charts")
    return network, given, epsilon
