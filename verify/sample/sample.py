"""Verification by sampling: evaluate the weights as they are, at random and at adversarial points of the domain."""

from __future__ import annotations

import os
import time

import numpy as np

from ...atlas import ManifoldTask, Points, TaskGraph, arguments, concatenate
from ...atlas.graph import as_graph
from ...errors import InvalidArgument
from ...moe.design import Design, design_of
from ...moe.model import Model
from ...moe.network import Network
from ...moe.opened import opened
from ...moe.promise import ScorePromise
from ...progress import track
from ..versions import versions
from .claims import claims
from .measure import Gauge, Quantity
from .points import faces, interfaces, jumps, segments, stratified, tuples
from .report import CONFIDENCE, Pieces, Report, ViolationRate, clopper_pearson
from .survey import ASCENDED, Survey
from .ties import Ties, around, retry

ALONE = "a chart drawn uniformly among {E}, then a uniform point of its box of intrinsic coordinates"
MEASURE = "every input on its own: a box uniformly; a manifold by a chart drawn uniformly, then a uniform point of its box"
KINDS = ("uniform", "low discrepancy")
ALL_PIECES = 10**6
"""Up to so many pieces, every one of them is drawn."""
PER_SUBTASK = 16
"""Of more, so many tuples at least for every subtask of the largest block."""


def verify(model: Model | str | os.PathLike[str], *, samples: int = 200_000, seed: int = 0, network: Network | None = None) -> Report:
    """Sample every claim of a compiled model on its weights; what the builder measured is not used.

    `samples` i.i.d. points are drawn, a quarter as many low-discrepancy points, and adversarial ones in proportion.
    `model` may be the path of its folder. `network` verifies these weights in place of the model's, e.g.
    `model.network.astype("float32")`. Of a task graph the pieces
    come first: all of them, or strata; see `verify_network`.
    """
    model = opened(model, "verify")
    weights = model.network if network is None else network
    if not isinstance(weights, Network):
        raise InvalidArgument(
            f"verify takes other weights as a Network, like model.network.astype('float32'), got {type(network).__name__}"
        )
    return verify_network(weights, model.task, epsilon=float(model.facts["epsilon"]), design=model.design, samples=samples, seed=seed)


def verify_network(
    network: Network,
    task: ManifoldTask | TaskGraph,
    *,
    epsilon: float,
    design: Design | None = None,
    promise: ScorePromise | None = None,
    samples: int = 200_000,
    seed: int = 0,
    adversarial: bool = True,
) -> Report:
    """Sample |f − Ψ| ≤ epsilon, every block's route and value, that nothing is lost on the way, and what is promised about scores.

    The `design` says where every block is routed and computed, and what its scores follow. For a task on one manifold it may be left
    out: then the logits of the last layer are the scores, gate output i stands for chart i, and `promise` is what they follow.
    Where K experts are chosen, all of them have to be valid, but those whose weight is 0.

    The network runs in its own dtype on points rounded to it; f, ρ and the charts are evaluated at the points themselves in float64.
    Points that no chart contains are violations. Of a task graph all pieces are drawn one by one if there are at most ALL_PIECES,
    else tuples in which every expert of a layer occurs equally often; then come `samples` i.i.d. points, which alone count towards the
    violation rate, a quarter as many low-discrepancy points, and adversarial ones. Deterministic for a seed.

    What a design says but does not fit the network is refuted. Raises `InvalidArgument` if the network does not fit the task, a task
    graph comes without a design, or `samples` is not positive.
    """
    samples, seed = arguments.integer("samples", samples, 1, 10**9), arguments.seed(seed)
    _check(network, task, epsilon)
    started = time.perf_counter()
    graph = as_graph(task)
    if design is None:
        design = _design(network, graph, promise)
    elif promise is not None:
        raise InvalidArgument("a design says itself what is promised about the scores of each block; give one of the two")
    survey = Survey(Gauge.of(network, graph, design), epsilon, keep=int(np.clip(samples // 6000, 8, 64)))
    seeds = np.random.SeedSequence(seed).generate_state(4 + len(ASCENDED)).tolist()
    drawn, empty = (0, 0) if design.alone else _survey_pieces(survey, samples, seeds[0])
    _survey_random(survey, samples, seed)
    near = survey_adversarial(survey, samples, seeds) if adversarial else survey.gauge.product.sample(1, seed)[:0]
    ties = retry(survey.gauge, concatenate([near, *survey.places.values()]))
    pieces = None if design.alone else Pieces(len(survey.distinct), graph.pieces, drawn, empty, graph.pieces <= ALL_PIECES)
    return _report(survey, ties, pieces, samples, seed, started)


def _design(network: Network, graph: TaskGraph, promise: ScorePromise | None) -> Design:
    """Of a network that routes the only block of a task by its last layer."""
    if len(graph.blocks) != 1 or len(graph.inputs) != 1 or graph.combines:
        raise InvalidArgument(f"a network for task graph {graph.name!r} is verified with its design, which says where each block is routed")
    (block,) = graph.blocks
    if len(network.layers[-1]) != len(block):
        outputs, noun = len(network.layers[-1]), block.domain.noun
        raise InvalidArgument(f"the last gate chooses from {outputs} experts, but the task has {len(block)} {noun}s")
    return design_of(network, block.name, block.names, block.components, promise)


def _survey_pieces(survey: Survey, samples: int, seed: int) -> tuple[int, int]:
    """A point of every piece, or of strata; how many tuples were drawn, and for how many of them there is no point."""
    graph = survey.gauge.graph
    if graph.pieces <= ALL_PIECES:
        chunks = [(start, min(start + survey.chunk, graph.pieces)) for start in range(0, graph.pieces, survey.chunk)]
    else:
        count = max(samples // 4, PER_SUBTASK * max(map(len, graph.blocks)))
        strata = stratified(graph, count, seed)
        chunks = [(start, min(start + survey.chunk, count)) for start in range(0, count, survey.chunk)]
    drawn = empty = 0
    for start, stop in track(chunks, "pieces"):
        routes = tuples(graph, start, stop) if graph.pieces <= ALL_PIECES else strata[start:stop]
        stream = int(np.random.SeedSequence([seed, start]).generate_state(1)[0])
        points, found = graph.sample_routes(routes, stream)
        drawn, empty = drawn + len(routes), empty + int((~found).sum())
        survey.observe(survey.gauge.product.locate(points[found]), "pieces")
    return drawn, empty


def _survey_random(survey: Survey, samples: int, seed: int) -> None:
    """The i.i.d. points, and a quarter as many low-discrepancy points (freshly scrambled for every chunk)."""
    chunk, fewer = survey.chunk, samples // 4
    jobs = [("uniform", start, min(chunk, samples - start)) for start in range(0, samples, chunk)]
    jobs += [("low discrepancy", start, min(chunk, fewer - start)) for start in range(0, fewer, chunk)]
    for kind, start, count in track(jobs, "sampling"):
        stream = int(np.random.SeedSequence([seed, KINDS.index(kind), start]).generate_state(1)[0])
        survey.observe(survey.gauge.product.sample(count, stream, low_discrepancy=kind == "low discrepancy"), kind)


def survey_adversarial(survey: Survey, samples: int, seeds: list[int]) -> Points:
    """Points on faces, at interfaces, at edges of charts and pieces and at ties of gates, then ascent from the worst of all.

    Returns those at ties and interfaces.
    """
    gauge, product, graph = survey.gauge, survey.gauge.product, survey.gauge.graph
    few = int(np.clip(samples // 100, 32, 4096))
    survey.observe(faces(product, few, seeds[1]), "face")
    between = interfaces(product, few, seeds[2])
    survey.observe(between, "interface")
    start, end = segments(product, product.sample(8 * few // min(len(graph.blocks), 4), seeds[0]), seeds[2])
    edges = start[:0]
    if len(start) and graph.subtasks > 1:
        edges, _ = jumps(product, start, end, gauge.held, max(1, few // graph.subtasks))
        survey.observe(edges, "edge")
    ties = start[:0]
    if len(start):
        ties, blocks = jumps(product, start, end, gauge.chosen, max(1, few // len(graph.blocks)))
        ties = concatenate([ties, around(gauge, ties, blocks, seeds[1])])
        survey.observe(ties, "tie")
    # Of many blocks all quantities climb side by side: then it is the points that cost, not the calls.
    kinds = ("error", *ASCENDED)
    together = [(kind,) for kind in kinds] if len(graph.blocks) == 1 else [kinds]
    for some, stream in track(list(zip(together, seeds[3:], strict=False)), "searching for worse points"):
        survey.climb(some, stream)
    return ties if survey.gauge.layout.design.alone else concatenate([ties, between, edges])


def _report(survey: Survey, ties: Ties, pieces: Pieces | None, samples: int, seed: int, started: float) -> Report:
    graph, network, alone = survey.gauge.graph, survey.gauge.network, survey.gauge.layout.design.alone
    judged = list(claims(survey, ties))
    counts = {b.name: dict(zip(b.names, n.tolist(), strict=True)) for b, n in zip(graph.blocks, survey.routes, strict=True)}
    called = {(block.name, piece): piece if alone else f"{block.name}[{piece}]" for block in graph.blocks for piece in block.names}
    reached = zip(called.values(), np.concatenate(survey.reached).tolist(), strict=True)
    measure = ALONE.format(E=len(survey.gauge.product.domains[0].parametrising)) if alone and graph.inputs[0].box is None else MEASURE
    return Report(
        task=graph.name,
        epsilon=survey.epsilon,
        dtype=str(network.dtype),
        seed=seed,
        claims=tuple(claim for claim, _ in judged),
        counts=dict(survey.counts),
        worst={claim.name: survey.worst[quantity] for claim, quantity in judged if quantity is not None},
        routes={called[name, piece]: n for name, pieces in counts.items() for piece, n in pieces.items()},
        never=tuple(name for name, yes in reached if not yes),
        rate=ViolationRate(survey.violations, samples, clopper_pearson(survey.violations, samples), CONFIDENCE, measure),
        measured=_measured(survey, ties),
        seconds=time.perf_counter() - started,
        versions=versions(),
        blocks={} if alone else counts,
        pieces=pieces,
    )


def _measured(survey: Survey, ties: Ties) -> dict[str, float]:
    name, rerouted = survey.gauge.graph.blocks[0].name, ties.rerouted
    if not survey.gauge.layout.design.alone:
        return {"rerouted": float(rerouted)}
    gap, mu = survey.value(Quantity("gap", name)), Quantity("max_t", name)
    found = {"multiplicity": survey.multiplicity, "gap": gap, "noise": ties.noise.get(name, 0.0), "rerouted": rerouted}
    return found | ({"mu": survey.value(mu)} if mu in survey.worst else {})


def _check(network: Network, task: ManifoldTask | TaskGraph, epsilon: float) -> None:
    if not epsilon > 0:
        raise InvalidArgument(f"epsilon must be positive, got {epsilon}")
    graph = as_graph(task)
    reads, writes = len(network.inputs), len(network.outputs)
    if (reads, writes) != (graph.ambient_dimension, graph.outputs):
        needed = f"R^{graph.ambient_dimension} to R^{graph.outputs}"
        raise InvalidArgument(f"the network maps R^{reads} to R^{writes}, task {graph.name!r} needs {needed}")
