"""`certify`: prove |f − Ψ| ≤ ε for every point of M, with the weights as they are, or find a point that violates it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ...atlas import ManifoldTask, TaskGraph, arguments
from ...atlas.checks.continuity import counterexamples
from ...atlas.graph import as_graph
from ...atlas.relative import absolute_epsilon, with_numbers
from ...errors import InvalidArgument
from ...moe.channels import Channel, Input, Score, Value
from ...moe.design import Design, design_of
from ...moe.engines import known_engine, needs
from ...moe.layout import tensors
from ...moe.ledger import Assumption, Claim
from ...moe.model import Model
from ...moe.network import Network
from ...moe.opened import opened
from ...moe.premises import about, of_block, standing
from ..enclosure.fast import engine
from ..versions import versions
from .certificate import Certificate
from .checkpoint import Checkpoint
from .claims import graph_claims, grouped, manifold_claims
from .diagnosis import Cause, diagnosed
from .engines import ForEngine
from .goal import CANDIDATES, Goal
from .groups import Groups, groups_in
from .interfaces import at_interfaces, remedy
from .proof import Asked, Proof
from .readout import read_out
from .refutation import Exactly, Refutation, spots_at, spots_of, with_refutation
from .sites import NotProvableError, ReadOut, SiteProof
from .targets import BOTH, REAL, Part, named, parts_of, together
from .tried import escapes

SAMPLED = 1 << 14
"""Points at which the whole network is compared with a graph before anything is proved."""


def certify(
    model: Model | Network | str | os.PathLike[str],
    task: ManifoldTask | TaskGraph | None = None,
    *,
    epsilon: float | str | None = None,
    tightness: float | None = 1.1,
    boxes: int = 4_000_000,
    seconds: float = 600.0,
    seed: int = 0,
    checkpoint: str | Path | None = None,
    dtypes: Sequence[str] = (),
    for_: str | Sequence[str] = (),
) -> Certificate:
    """Prove, for every point of M, that the router picks a valid expert and that the error stays below ε.

    For a compiled model, of a task graph too, or for any network with one gate output per chart in its last layer (fine-tuned,
    hand-made) and its task; no ledger is needed. What is proved is about the real-arithmetic function of the stored weights, and, as
    claims of their own, about evaluating it in float64 and in the dtype of the weights. The search stops when every box is settled: when
    its bound is ≤ ε and within `tightness` times the largest error found (None: ≤ ε suffices); or at `boxes` boxes or after `seconds`,
    and then claims are UNKNOWN with the worst boxes named; or at a point that violates ε, which refutes. Of a graph, whose errors add up,
    every site is proved within `tightness`. `epsilon`: that of the model if not given; a network alone may do without, and then the
    least bound within `tightness` is proved. `checkpoint`: a file to which progress is written and from which an interrupted run goes on
    (not for a target that is a Python function). Deterministic for a seed, but for the clock.

    `dtypes`: "bfloat16", "float16": claims about evaluation with the experts behind the last gate in them, as `to_torch(…).to(dtype)` does,
    for a network whose weights they can hold (`Network.rounded`).

    `for_`: formats of `export_to` ("c", "numpy", "onnx", "pt2"), or "torch": the certificate then says of each what is proved of its
    evaluation, and what is assumed of the engine that runs it (`moe.engines`); of a task on one manifold also where subnormal numbers are
    flushed to 0.

    An enclosure that a Python function brings is assumed, by name, and tried first at random boxes (`tried`).

    Raises `InvalidArgument` if network and task do not fit each other, for a target or charts that cannot be enclosed (naming the
    part), for an enclosure or constants that a point refutes, or for arguments out of their domain.
    """
    model = model if isinstance(model, Network) else opened(model, "certify")
    network, given, epsilon = _arguments(model, task, epsilon, tightness)
    boxes, seconds, seed = arguments.integer("boxes", boxes, 1), arguments.number("seconds", seconds, 0), arguments.seed(seed)
    started = time.monotonic()
    graph = as_graph(given)
    alone = graph.blocks[0].given
    """The task, if it is one on one manifold."""
    if alone is not None and (wrong := counterexamples(alone, seed) or escapes(alone, seed)):
        raise InvalidArgument("; ".join(map(str, wrong)))
    if isinstance(model, Model):
        design = model.design
    elif alone is not None:
        design = design_of(network, graph.blocks[0].name, graph.blocks[0].names, graph.blocks[0].components)
    else:
        design = _design_by_names(network, graph)
    engines = tuple(dict.fromkeys(known_engine(name).name for name in ([for_] if isinstance(for_, str) else for_)))
    asked = Asked(epsilon, tightness, boxes, started + seconds, seed, _halves(network, graph, dtypes), bool(engines and alone is not None))
    options = {"epsilon": epsilon, "tightness": tightness, "seed": seed, "versions": versions()} | ({"for": engines} if engines else {})
    saved = Checkpoint(checkpoint, network, given, options)
    each = parts_of(network, design, given, epsilon)
    outcomes = {part.name: _proved(part, replace(asked, epsilon=part.epsilon, boxes=max(1, boxes // len(each))), saved) for part in each}
    saved.under = ""
    sites = {part.called(name): part.of_whole(site) for part in each for name, site in outcomes[part.name].sites.items()}
    saved.finish(over=any(site.refuted for site in sites.values()))
    claims = tuple(claim for part in each for claim in named(part.name, outcomes[part.name].claims))
    found = max(outcomes[part.name].found / (part.epsilon if part.name and part.epsilon else 1.0) for part in each)
    refutation = next((one.refutation for one in outcomes.values() if one.refutation is not None), None)
    result = None if each[0].name else outcomes[""].read_out
    if each[0].name:
        claims = (
            *together(given, {name: one.claims for name, one in outcomes.items()}, REAL if alone is not None else BOTH + about(graph)),
            *claims,
        )
    diagnosis = {key: causes for part in each for key, causes in outcomes[part.name].diagnosed(part).items()}
    return Certificate(
        task=given.name,
        dtype=str(network.dtype),
        epsilon=np.inf if epsilon is None else epsilon,
        tightness=tightness,
        claims=claims,
        sites=tuple(sites.values()),
        read_out=result,
        found=found,
        seconds=time.monotonic() - started,
        versions=versions() | {"loops": engine()},
        network=network,
        problem=given,
        design=design if isinstance(model, Model) else None,
        refutation=refutation,
        diagnosis={} if refutation is not None else diagnosis,
        read_outs={part.name: outcomes[part.name].read_out for part in each if part.name and alone is None},
        assumptions=_assumed(graph, outcomes.values(), alone is not None),
        engines=tuple(ForEngine.of(name, needs(network, alone is not None), claims) for name in engines),
    )


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of one target."""

    claims: tuple[Claim, ...]
    sites: Mapping[str, SiteProof]
    read_out: ReadOut | None
    found: float
    refutation: Refutation | None

    def diagnosed(self, part: Part) -> dict[str, tuple[Cause, ...]]:
        """Likely causes of what is unknown, by claim."""
        causes = diagnosed(self.claims, self.sites, self.read_out, part.epsilon, part.graph.blocks[0].given is not None)
        return {f"target[{part.name}].{name}" if part.name else name: listed for name, listed in causes.items()}


def _proved(part: Part, asked: Asked, saved: Checkpoint) -> Outcome:
    """The proof of one target, or of all that there is."""
    network, graph, epsilon = part.network, part.graph, part.epsilon
    alone = graph.blocks[0].given is not None
    saved.under = f"{part.name}/" if part.name else ""
    groups = [] if alone else [groups_in(layer, network.dtype) for layer in network.plainly().layers]
    found, refutation = (0.0, None) if alone else _sampled(network, graph, asked, groups)
    proof = Proof(network, part.design, graph, asked, saved, found if epsilon is None else epsilon) if refutation is None else None
    result, note = None, f"largest error found {found:.6g}"
    if proof is not None:
        proof.prove()
        try:
            result = read_out(proof)
        except NotProvableError as why:
            note = str(why)
        if part.first == 0 and not any(site.solution.goal.refuted for site in proof.sites.values()):
            proof.follow_scores()  # which are the same for all targets
    sites = {} if proof is None else proof.sites
    if alone:
        if proof is not None and proof.missing:
            raise InvalidArgument(f"nothing can be proved of {graph.name!r}: {'; '.join(proof.missing.values())}")
        (site,) = sites.values()
        found, refutation = site.solution.goal.found, _seen(network, graph, site.solution.goal)
        claims = manifold_claims(site, epsilon)
    else:
        where = grouped(any(g and g.numbers for g in groups), any(g and g.snapped for g in groups), str(network.dtype))
        claims = graph_claims(graph, sites, result, epsilon, note, where, proof is None or proof.together)
        if refutation is None and len(sites) == 1 and len(graph.inputs) == 1 and not any(groups):
            (site,) = sites.values()
            refutation = _seen(network, graph, site.solution.goal)
    claims = with_refutation(claims, refutation)
    if refutation is not None and part.name:
        refutation = replace(refutation, target=part.name, why=refutation.why.replace("|f − Ψ|", f"|{part.name} − Ψ|"))
    return Outcome(claims, sites, result, found, refutation)


def _assumed(graph: TaskGraph, outcomes: Iterable[Outcome], alone: bool) -> tuple[Assumption, ...]:
    """What the proofs rest on, by name."""
    sites = [item for outcome in outcomes for item in outcome.sites.items()]
    found = {taken if alone else of_block(name, taken) for name, site in sites for taken in site.solution.manifold.assumed}
    return tuple(sorted({*found, *standing(graph)}, key=lambda taken: taken.name))


def _design_by_names(network: Network, graph: TaskGraph) -> Design:
    """What the channels of a network alone are, whose names say so; nothing is known of its sites."""
    known: dict[str, Channel] = {name: Input(k) for k, name in enumerate(network.inputs)}
    known |= {f"y[{name}]": Value(name) for node in graph.nodes for name in node.components}
    known |= {f"tau[{block.name}][{piece}]": Score(block.name, piece) for block in graph.blocks for piece in block.names}
    named = [network.inputs, *(layer.channels for layer in network.layers)]
    states = tuple(tuple(known.get(name, Value(f"layer{n}[{k}]")) for k, name in enumerate(names)) for n, names in enumerate(named))
    return Design(states, ())


def _sampled(network: Network, graph: TaskGraph, asked: Asked, groups: Sequence[Groups | None]) -> tuple[float, Refutation | None]:
    """The largest error on sampled points, and the point, if it is proved to be above ε there: nothing has to be proved then.

    Where layers of groups are, of points whose coordinates are numbers of the network's dtype; if groups read anything else, nothing
    is claimed at such points (`groups`), and of snapped scores nothing in real arithmetic.
    """
    points, located = spots_of(graph, SAMPLED, asked.seed)
    if any(groups):
        if any(node.box is None for node in graph.inputs) or any(groups[1:]) or (groups[0] and groups[0].snapped):
            return 0.0, None
        rounded = {name: some.intrinsic.astype(network.dtype).astype(float) for name, some in located.items()}
        located = {
            name: replace(some, ambient=at, base=at, intrinsic=at)
            for (name, some), at in zip(located.items(), rounded.values(), strict=True)
        }
        points = np.concatenate([rounded[node.name] for node in graph.inputs], axis=1)
    else:
        located = at_interfaces(graph, located, network.dtype)
        points = graph.embed(np.concatenate([located[node.name].base for node in graph.inputs], axis=1))
    truth = graph.evaluate(points, located)
    error = np.abs(np.asarray(network.astype(float)(points), float) - truth).max(1)
    error = np.where(np.isnan(error), np.inf, error)
    epsilon, exactly = np.inf if asked.epsilon is None else asked.epsilon, Exactly.of(network, graph)
    for n in np.argsort(-error, kind="stable")[:CANDIDATES]:
        if not error[n] > epsilon and np.isfinite(error[n]):
            break
        if (found := exactly.refutation(spots_at(graph, located, int(n)), epsilon)) is not None:
            why = "; ".join(filter(None, (found.why, remedy(graph, found.spots, network.dtype))))
            return found.error, replace(found, why=why)
    return float(min(error.max(), epsilon)), None


def _seen(network: Network, graph: TaskGraph, goal: Goal) -> Refutation | None:
    """What is refuted where the search found ε missed, or a point routed astray."""
    where = goal.where if goal.missed else goal.misrouted
    if where is None:
        return None
    exactly = Exactly.of(network, graph)
    return exactly.refutation(exactly.alone(*where), goal.epsilon)


def _halves(network: Network, graph: TaskGraph, dtypes: Sequence[str]) -> tuple[str, ...]:
    """Half precisions that the network can be evaluated in as it is."""
    for dtype in (dtypes,) if isinstance(dtypes, str) else dtypes or ():
        if network.dtype != np.float32 or graph.blocks[0].given is None:
            raise InvalidArgument(f"claims about {dtype} are proved of float32 networks on one manifold; leave dtypes out")
        before, after = tensors(network), tensors(network.rounded(dtype))
        if changed := [name for name, array in before.items() if not np.array_equal(array, after[name])]:
            raise InvalidArgument(f"{changed[0]} has weights that {dtype} cannot hold; certify network.rounded({dtype!r}) with its task")
    return tuple(dict.fromkeys((dtypes,) if isinstance(dtypes, str) else dtypes or ()))


def _arguments(
    model: Model | Network,
    task: ManifoldTask | TaskGraph | None,
    epsilon: float | str | None,
    tightness: float | None,
) -> tuple[Network, ManifoldTask | TaskGraph, float | None]:
    if isinstance(model, Model):
        if task is not None:
            raise InvalidArgument("a model has its own task; give certify(model) or certify(network, task)")
        network: Network = model.network
        given: object = model.task
        if epsilon is None and not model.task.wanted:
            epsilon = float(model.facts["epsilon"])
            if epsilon == 0:
                raise InvalidArgument(
                    "the model was compiled by its width and was found to make no error at all, so its ε is 0, which no proof reaches: "
                    "rounding has to fit below it; give {epsilon=1e-6}"
                )
    else:
        network, given = model, task
    if not isinstance(given, ManifoldTask | TaskGraph):
        raise InvalidArgument(f"certify(network, task) needs the ManifoldTask or TaskGraph to compare with, got {type(given).__name__}")
    epsilon = None if epsilon is None else absolute_epsilon(epsilon, given)
    if given.wanted:
        given, epsilon = with_numbers(given), 1.0
    if epsilon is None and tightness is None:
        raise InvalidArgument("give epsilon (what to prove) or tightness (how close to the largest error found), or both")
    if tightness is not None and not (isinstance(tightness, int | float) and 1 < tightness < np.inf):
        why = "None asks for ε alone" if tightness == np.inf else "no bound is below the error itself"
        raise InvalidArgument(f"tightness must be above 1, or None, got {tightness!r}: {why}")
    graph = as_graph(given)
    reads, writes = len(network.inputs), len(network.outputs)
    if (reads, writes) != (graph.ambient_dimension, graph.outputs):
        needed = f"R^{graph.ambient_dimension} to R^{graph.outputs}"
        raise InvalidArgument(f"the network maps R^{reads} to R^{writes}, task {given.name!r} needs {needed}")
    experts, charts = len(network.layers[-1]), len(graph.blocks[0])
    names, copies = network.layers[-1].names, experts // charts
    alike = all(len(set(names[n * copies : (n + 1) * copies])) == 1 for n in range(charts))  # copies of experts (B21)
    if graph.blocks[0].given is not None and (experts != copies * charts or not alike):
        raise InvalidArgument(f"the last gate chooses from {experts} experts, but the atlas has {charts} charts")
    return network, given, epsilon
