"""Verification of task graphs by sampling: pieces one by one or by strata, spread points, interfaces, ties and ascent."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, TaskGraph, Tiling
from ...errors import InvalidArgument
from ...moe.ledger import Ledger
from ...moe.network import Network
from ...progress import track
from ..versions import versions
from .graph_claims import graph_claims
from .graph_layout import Layout
from .graph_measure import Gauge
from .graph_points import Domain, Places, face_points, interface_points, joined, straddle, stratified, tuples
from .graph_survey import GraphSurvey
from .report import CONFIDENCE, Pieces, Report, ViolationRate, clopper_pearson
from .ties import ALONE, BATCHES

ALL_PIECES = 10**6
"""Up to so many pieces, every one of them is drawn."""
PER_SUBTASK = 16
"""Of more, so many tuples at least for every subtask of the largest block."""
MEASURE = "every input on its own: a box uniformly; a manifold by a chart drawn uniformly, then a uniform point of its box"


@dataclass(frozen=True)
class GraphPromise:
    """What is claimed of a network for a task graph, beside |f − Ψ| ≤ ε."""

    routes: Mapping[str, object]
    """Block ↦ the layer, from 1, whose gate routes it."""
    budgets: Mapping[str, float] = field(default_factory=dict)
    """Node ↦ how far the values that its layer writes may be from its own function of what the layer reads."""
    either: frozenset[str] = frozenset()
    """Blocks for which either piece will do next to an interface; those that read computed values are always among them."""

    @staticmethod
    def from_model(facts: Mapping[str, object], ledger: Ledger) -> GraphPromise:
        """What a compiled model says of itself: routes in its facts, budgets in its ledger, to which rounding may add its share."""
        routes = facts.get("routes")
        if not isinstance(routes, Mapping):
            raise InvalidArgument("the model's facts do not say which layer routes which block ('routes'); compile it again")
        claims = {claim.name: claim for claim in ledger}
        rounding = claims["rounding"].budget / ledger.root.budget if "rounding" in claims else 0.0
        heads = {name: claim for name, claim in claims.items() if name.startswith(("block[", "combine[")) and name.endswith("]")}
        budgets = {name: claim.budget / (1 - rounding) for name, claim in heads.items()}
        either = {name.removeprefix("block[").removesuffix("].routing") for name, claim in claims.items() if claim.source == "B2"}
        return GraphPromise(dict(routes), budgets, frozenset(either))


def verify_graph(
    network: Network, graph: TaskGraph, promise: GraphPromise, *, epsilon: float, samples: int, seed: int, adversarial: bool = True
) -> Report:
    """Sample |f − Ψ| ≤ epsilon, every block's route and value, and that nothing is lost on the way.

    All pieces are drawn one by one if there are at most ALL_PIECES, else tuples in which every expert of a layer occurs equally often;
    then `samples` i.i.d. points, which alone count towards the violation rate, a quarter as many low-discrepancy points, and
    adversarial ones.
    Deterministic for a seed. What is claimed of the network but does not fit it is refuted; raises `InvalidArgument` only for a network
    of another shape.
    """
    _check(network, graph, epsilon, samples)
    started = time.perf_counter()
    domain = Domain(graph, network.dtype)
    layout = Layout(network, graph, promise.routes)
    exact = {block.name for block in graph.blocks if not isinstance(block.domain, Tiling) or layout.exact(block)}
    either = promise.either | ({block.name for block in graph.blocks} - exact)
    survey = GraphSurvey(Gauge(network, graph, layout, either), domain, epsilon, keep=int(np.clip(samples // 100, 4, 48)))
    seeds = np.random.SeedSequence(seed).generate_state(8).tolist()
    drawn, empty = _survey_pieces(survey, samples, seeds[0])
    _survey_random(survey, samples, seed)
    ties = _survey_adversarial(survey, samples, seeds[1:]) if adversarial else domain.sample(1, seeds[1])
    noisy = _other_batches(survey, joined([ties, *(_place(domain, point.ambient) for point in survey.worst.values())]))
    judged = graph_claims(survey, promise.budgets, noisy)
    names = [(block.name, block.names) for block in graph.blocks]
    counts = {name: dict(zip(pieces, count.tolist(), strict=True)) for (name, pieces), count in zip(names, survey.routes, strict=True)}
    return Report(
        task=graph.name,
        epsilon=epsilon,
        dtype=str(network.dtype),
        seed=seed,
        claims=tuple(claim for claim, _ in judged),
        counts=dict(survey.counts),
        worst={claim.name: survey.worst[quantity] for claim, quantity in judged if quantity is not None},
        routes={f"{name}[{piece}]": n for name, pieces in counts.items() for piece, n in pieces.items()},
        never=tuple(
            f"{name}[{piece}]"
            for (name, pieces), reached in zip(names, survey.reached, strict=True)
            for piece, yes in zip(pieces, reached, strict=True)
            if not yes
        ),
        rate=ViolationRate(survey.violations, samples, clopper_pearson(survey.violations, samples), CONFIDENCE, MEASURE),
        measured={"rerouted": float(noisy.rerouted)},
        seconds=time.perf_counter() - started,
        versions=versions(),
        blocks=counts,
        pieces=Pieces(len(survey.distinct), graph.pieces, drawn, empty, graph.pieces <= ALL_PIECES),
    )


def _survey_pieces(survey: GraphSurvey, samples: int, seed: int) -> tuple[int, int]:
    """A point of every piece, or of strata; how many tuples were drawn, and for how many of them there is no point."""
    graph = survey.graph
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
        places, known = survey.domain.locate(points[found])
        survey.observe(places[known], "pieces")
    return drawn, empty


def _survey_random(survey: GraphSurvey, samples: int, seed: int) -> None:
    """The i.i.d. points, and a quarter as many low-discrepancy points (freshly scrambled for every chunk)."""
    chunk, fewer = survey.chunk, samples // 4
    jobs = [(0, start, min(chunk, samples - start)) for start in range(0, samples, chunk)]
    jobs += [(1, start, min(chunk, fewer - start)) for start in range(0, fewer, chunk)]
    for spread, start, count in track(jobs, "sampling"):
        stream = int(np.random.SeedSequence([seed, spread, start]).generate_state(1)[0])
        places = survey.domain.sample(count, stream, low_discrepancy=bool(spread))
        survey.observe(places, "low discrepancy" if spread else "uniform")


def _survey_adversarial(survey: GraphSurvey, samples: int, seeds: list[int]) -> Places:
    """Interfaces, faces, edges of charts and pieces, ties of gates, then ascent; returns points near interfaces and ties."""
    domain, gauge, graph = survey.domain, survey.gauge, survey.graph
    few = int(np.clip(samples // 100, 32, 4096))
    rng = np.random.default_rng(seeds[5])
    codes = [rng.integers(1, 2**40, size=len(block)) for block in graph.blocks]

    def held(places: Places) -> NDArray[np.int64]:
        """One number for every block and set of pieces or charts that hold a point."""
        with np.errstate(all="ignore"):
            valid = graph.trace(places.ambient).valid
        return np.stack([valid[block.name] @ code for block, code in zip(graph.blocks, codes, strict=True)], axis=-1)

    def chosen(places: Places) -> NDArray[np.int64]:
        with np.errstate(all="ignore"):
            return gauge.taken(gauge.network.trace(places.ambient)).astype(np.int64)

    found = {
        "interface": interface_points(domain, few, seeds[0]),
        "face": face_points(domain, few, seeds[1]),
        "edge": straddle(domain, domain.sample(2 * few, seeds[2]), held, few // 2, seeds[3]),
        "tie": straddle(domain, domain.sample(2 * few, seeds[4]), chosen, few // 2, seeds[3]),
    }
    for kind, places in track(list(found.items()), "adversarial points"):
        survey.observe(places, kind)
    survey.climb(seeds[6])
    return joined([found["interface"], found["edge"], found["tie"], domain.sample(1, seeds[1])])


@dataclass(frozen=True)
class OtherBatches:
    """What changes when points are evaluated in batches of other sizes."""

    points: int
    rerouted: int
    error: float
    """Largest |f − Ψ| at the points whose route changed; 0 if none did."""
    witness: tuple[float, ...] | None


def _other_batches(survey: GraphSurvey, places: Places) -> OtherBatches:
    gauge = survey.gauge
    read = places.ambient.astype(gauge.network.dtype)
    with np.errstate(all="ignore"):
        together = gauge.taken(gauge.network.trace(read))
        moved, worst, witness = np.zeros(len(places), bool), 0.0, None
        for size in BATCHES:
            some = min(len(places), ALONE if size == 1 else 16 * size)
            rows = np.random.default_rng(size).permutation(len(places))[:some]
            for start in range(0, some, size):
                part = rows[start : start + size]
                trace = gauge.network.trace(read[part])
                other = (gauge.taken(trace) != together[part]).any(1)
                if not other.any():
                    continue
                moved[part[other]] = True
                error: Array = np.abs(trace.output.astype(float) - gauge.truth(places[part]).output).max(1)[other]
                error = np.where(np.isnan(error), np.inf, error)
                if error.max() > worst:
                    worst, witness = float(error.max()), tuple(places.ambient[part[other]][int(error.argmax())].tolist())
    return OtherBatches(len(places), int(moved.sum()), worst, witness)


def _place(domain: Domain, ambient: tuple[float, ...]) -> Places:
    places, known = domain.locate(np.array([ambient]))
    return places[known]


def _check(network: Network, graph: TaskGraph, epsilon: float, samples: int) -> None:
    if samples < 1:
        raise InvalidArgument(f"samples must be at least 1, got {samples}")
    if not epsilon > 0:
        raise InvalidArgument(f"epsilon must be positive, got {epsilon}")
    reads, writes = len(network.inputs), len(network.outputs)
    if (reads, writes) != (graph.ambient_dimension, graph.outputs):
        needed = f"R^{graph.ambient_dimension} to R^{graph.outputs}"
        raise InvalidArgument(f"the network maps R^{reads} to R^{writes}, task graph {graph.name!r} needs {needed}")
