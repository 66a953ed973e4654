"""Verification by sampling: evaluate the weights as they are, at random and at adversarial points of M."""

from __future__ import annotations

import time

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, ManifoldTask, Points, TaskGraph, concatenate
from ...errors import InvalidArgument
from ...moe.model import Model
from ...moe.network import Network
from ...moe.promise import ScorePromise
from ...progress import track
from ..versions import versions as versions
from .ascent import ascend
from .claims import claims
from .graph import GraphPromise, verify_graph
from .measure import membership, scores
from .points import edges, faces, jumps
from .report import CONFIDENCE, Report, ViolationRate, WorstPoint, clopper_pearson
from .survey import ASCENDED, Survey
from .ties import around, retry

MEASURE = "a chart drawn uniformly among {E}, then a uniform point of its box of intrinsic coordinates"
KINDS = ("uniform", "low discrepancy", "face", "edge", "tie", "ascent")


def verify(model: Model, *, samples: int = 200_000, seed: int = 0, network: Network | None = None) -> Report:
    """Sample every claim of a compiled model on its weights; what the builder measured is not used.

    `samples` i.i.d. points are drawn, a quarter as many low-discrepancy points, and adversarial ones in proportion.
    `network` verifies these weights in place of the model's, e.g. `model.network.astype("float32")`. For a task graph the pieces
    come first: all of them, or strata; see `verify_graph`.
    """
    weights = model.network if network is None else network
    epsilon = float(model.facts["epsilon"])
    if isinstance(model.task, TaskGraph):
        said = GraphPromise.from_model(model.facts, model.ledger)
        return verify_network(weights, model.task, epsilon=epsilon, promise=said, samples=samples, seed=seed)
    task = model.manifold_task
    promise = ScorePromise.from_facts(model.facts, len(task.atlas))
    return verify_network(weights, task, epsilon=epsilon, promise=promise, samples=samples, seed=seed)


def verify_network(
    network: Network,
    task: ManifoldTask | TaskGraph,
    *,
    epsilon: float,
    promise: ScorePromise | GraphPromise | None = None,
    samples: int = 200_000,
    seed: int = 0,
    adversarial: bool = True,
) -> Report:
    """Sample |f − Ψ| ≤ epsilon, valid routing and, if a `promise` is made about the scores, the claims it implies.

    The logits of the last layer are the scores, gate output i stands for chart i. The network runs in its own dtype on
    points rounded to it; f, ρ and the charts are evaluated at the points themselves in float64. Points that no chart
    contains are violations. Only the i.i.d. points count towards the violation rate. Deterministic for a seed.

    For a task graph the `promise` says which layer routes which block, see `GraphPromise` and `verify_graph`.

    Raises `InvalidArgument` if the network does not fit the task or `samples` is not positive.
    """
    if isinstance(task, TaskGraph):
        if not isinstance(promise, GraphPromise):
            raise InvalidArgument("a task graph's network is verified with a GraphPromise, which says which layer routes which block")
        return verify_graph(network, task, promise, epsilon=epsilon, samples=samples, seed=seed, adversarial=adversarial)
    if isinstance(promise, GraphPromise):
        raise InvalidArgument("a GraphPromise is about task graphs; a task on one manifold takes a ScorePromise")
    _check(network, task, epsilon, samples)
    started = time.perf_counter()
    atlas = task.atlas
    seeds = np.random.SeedSequence(seed).generate_state(3 + len(ASCENDED)).tolist()
    survey = Survey(network, task, epsilon, promise, keep=int(np.clip(samples // 6000, 8, 64)))
    _survey_random(survey, samples, seed)
    ties = _survey_adversarial(survey, samples, seeds) if adversarial else atlas.sample(1, seed)[:0]
    retried = concatenate([ties, *(_point(task, worst) for worst in survey.worst.values())])
    repeated = retry(network, task, retried)
    names = network.layers[-1].names
    judged = list(claims(survey, repeated, retried))
    measured = {"multiplicity": survey.multiplicity, "gap": survey.value("gap"), "noise": repeated.noise, "rerouted": repeated.rerouted}
    if promise is not None:
        measured["mu"] = survey.value("max_t")
    return Report(
        task=task.name,
        epsilon=epsilon,
        dtype=str(network.dtype),
        seed=seed,
        claims=tuple(claim for claim, _ in judged),
        counts=dict(survey.counts),
        worst={claim.name: survey.worst[quantity] for claim, quantity in judged if quantity is not None},
        routes=dict(zip(names, survey.routes.tolist(), strict=True)),
        never=tuple(name for name, reached in zip(names, survey.reached, strict=True) if not reached),
        rate=ViolationRate(
            survey.violations,
            samples,
            clopper_pearson(survey.violations, samples),
            CONFIDENCE,
            MEASURE.format(E=len(atlas.parametrising)),
        ),
        measured=measured,
        seconds=time.perf_counter() - started,
        versions=versions(),
    )


def _survey_random(survey: Survey, samples: int, seed: int) -> None:
    """The i.i.d. points, and a quarter as many low-discrepancy points (freshly scrambled for every chunk)."""
    atlas, chunk = survey.task.atlas, survey.chunk
    jobs = [("uniform", start, min(chunk, samples - start)) for start in range(0, samples, chunk)]
    fewer = samples // 4
    jobs += [("low discrepancy", start, min(chunk, fewer - start)) for start in range(0, fewer, chunk)]
    for kind, start, count in track(jobs, "sampling"):
        stream = np.random.SeedSequence([seed, KINDS.index(kind), start]).generate_state(1)[0]
        survey.observe(atlas.sample(count, int(stream), low_discrepancy=kind == "low discrepancy"), kind)


def _survey_adversarial(survey: Survey, samples: int, seeds: list[int]) -> Points:
    """Points on faces, at chart edges and at ties, then ascent from the worst of all; returns the ties."""
    network, atlas = survey.network, survey.task.atlas
    few = int(np.clip(samples // 100, 32, 4096))
    pool = atlas.sample(8 * few, seeds[0])
    survey.observe(faces(atlas, few, seeds[1]), "face")
    if len(atlas) > 1:
        survey.observe(edges(atlas, pool, lambda points: membership(atlas, points), few, seeds[2]), "edge")

    def route(points: Points) -> NDArray[np.intp]:
        with np.errstate(all="ignore"):
            return scores(network, points.ambient).argmax(1)

    ties = jumps(atlas, pool, route, few, seeds[2])
    ties = concatenate([ties, around(network, atlas, ties, seeds[1])])
    survey.observe(ties, "tie")
    for quantity, stream in track(list(zip(ASCENDED, seeds[3:], strict=True)), "searching for worse points"):
        starts = survey.starts(quantity)
        if starts is not None and not (quantity == "tied_error" and survey.value(quantity) == 0):

            def bad(points: Points, quantity: str = quantity) -> Array:
                return survey.values(points, quantity, "ascent")

            ascend(atlas, starts, bad, stream)
    return ties


def _point(task: ManifoldTask, worst: WorstPoint) -> Points:
    chart = [chart.name for chart in task.atlas.parametrising].index(worst.chart)
    return task.atlas.parametrise(chart, np.array([worst.intrinsic]))


def _check(network: Network, task: ManifoldTask, epsilon: float, samples: int) -> None:
    atlas = task.atlas
    if samples < 1:
        raise InvalidArgument(f"samples must be at least 1, got {samples}")
    if not epsilon > 0:
        raise InvalidArgument(f"epsilon must be positive, got {epsilon}")
    reads, writes = len(network.inputs), len(network.outputs)
    if (reads, writes) != (atlas.ambient_dimension, task.outputs):
        raise InvalidArgument(
            f"the network maps R^{reads} to R^{writes}, task {task.name!r} needs R^{atlas.ambient_dimension} to R^{task.outputs}"
        )
    if len(network.layers[-1]) != len(atlas):
        raise InvalidArgument(f"the last gate chooses from {len(network.layers[-1])} experts, but the atlas has {len(atlas)} charts")
