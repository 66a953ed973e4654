"""`proved`: a model is built, certified, and where a proof misses ε built again, until one is proved.

A ledger samples. Between its points an error may exceed ε, and a bound may be too near to ε to be enclosed. A certificate says where:
at a point that refutes ε, or on boxes that stayed open. What computes f there is built again to a lower budget, and looks at these places.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ..atlas import Array, ManifoldTask, TaskGraph
from ..atlas.graph import as_graph
from ..constructions.asked import Missed
from ..errors import InvalidArgument, NotProved
from ..moe.layout import tensors
from ..moe.ledger import Known
from ..moe.model import Model
from ..progress import remark
from ..verify.prove import Certificate, certify
from ..verify.prove.ledger import with_proofs
from ..verify.prove.tree import UNSETTLED

Misses = Mapping[str, Mapping[str, Missed]]
"""Node ↦ chart or piece ↦ what of it was missed; the node's own name stands for all of it."""

ROUNDS = 5
"""Models that are built at most."""
STEPS = 8
"""How often budgets shrink, at most, until a model is another than the one before: widths come in steps."""
SHARPER = 0.95
"""How far below what a miss asks for the next budget lies."""
LEAST, MOST = 0.5, 0.9
"""What a budget is multiplied by from one round to the next, at least and at most."""
LISTED = 8
"""Pieces that a remark names."""
MOST_POINTS = 256
"""Centres of open boxes that one expert is shown."""


def proved(build: Callable[[Misses], Model], task: ManifoldTask | TaskGraph, epsilon: float) -> Model:
    """The first of the models that `build` makes of what was missed so far of which certify proves ε, with the certificate.

    Raises `NotProved` after ROUNDS of them, or if what is missing is nothing that other experts could mend, and `InvalidArgument` for a
    target that cannot be enclosed.
    """
    _require_enclosure(task)
    missed: dict[str, dict[str, Missed]] = {}
    rounds: list[dict[str, Any]] = []
    model = build(missed)
    while True:
        certificate = certify(model, epsilon=None if task.wanted else epsilon, tightness=None)
        rounds.append(_told(certificate, model))
        if certificate.status is Known.PROVED:
            return _with_proof(model, certificate, rounds)
        found = misses(certificate, model)
        if not found or len(rounds) == ROUNDS:
            raise NotProved(certificate.explain(), certificate, len(rounds))
        remark(f"model {len(rounds)}: ε is {certificate.status}; built again: {_listed(found)}")
        before = model
        for _ in range(STEPS):
            missed = joined(missed, found)
            model = build(missed)
            if not _same(model, before):
                break
        rounds[-1]["again"] = {node: {piece: round(missed[node][piece].factor, 4) for piece in of} for node, of in found.items()}


def _require_enclosure(task: ManifoldTask | TaskGraph) -> None:
    functions = task.target.functions_in_python if isinstance(task, ManifoldTask) else ()
    if bare := [function.name for function in functions if not (function.enclosure or function.declares)]:
        raise InvalidArgument(
            f"prove: the target is the Python function {bare[0]!r}, of which only samples are known; "
            "give CallableTarget an enclosure, declare its lipschitz constant or second_derivative, or write f as an expression"
        )


def _listed(found: Misses) -> str:
    """The nodes, and the pieces of each of them, in words."""
    pieces = {node: [piece for piece in of if piece != node] for node, of in found.items()}
    return "; ".join(
        node + (f" ({', '.join(names[:LISTED])}{', …' if len(names) > LISTED else ''})" if names else "") for node, names in pieces.items()
    )


def _same(model: Model, before: Model) -> bool:
    """Whether two models have the same weights: a lower budget was met by what there was."""
    now, then = tensors(model.network), tensors(before.network)
    return now.keys() == then.keys() and all(np.array_equal(array, then[name]) for name, array in now.items())


def _told(certificate: Certificate, model: Model) -> dict[str, Any]:
    """What the facts say of one round."""
    bound = float(certificate.bound)
    told: dict[str, Any] = {"status": str(certificate.status), "found": certificate.found, "parameters": model.network.parameters}
    return told | ({"bound": bound} if np.isfinite(bound) else {})


def _with_proof(model: Model, certificate: Certificate, rounds: list[dict[str, Any]]) -> Model:
    facts = {**model.facts, "proof": {"bound": certificate.bound, "found": certificate.found, "boxes": certificate.boxes, "rounds": rounds}}
    return replace(model, ledger=with_proofs(model.ledger, certificate), facts=facts, certificate=certificate)


def joined(before: Misses, now: Misses) -> dict[str, dict[str, Missed]]:
    """What was missed in all: budgets shrink again, points come together."""
    found = {node: dict(pieces) for node, pieces in before.items()}
    for node, pieces in now.items():
        for piece, new in pieces.items():
            old = found.setdefault(node, {}).get(piece, Missed())
            points = [one for one in (old.points, new.points) if one is not None]
            found[node][piece] = Missed(old.factor * new.factor, np.concatenate(points) if points else None)
    return found


def misses(certificate: Certificate, model: Model) -> dict[str, dict[str, Missed]]:
    """What kept ε from being proved, of experts; nothing if something else did: routing, the cover, a place where f has no value."""
    if certificate["total"].known is Known.PROVED or (certificate.refutation is not None and certificate.refutation.refutes != "total"):
        return {}
    factor = _factor(certificate)
    if model.design.alone:
        node = model.design.sites[0].block
        return {node: {piece: Missed(factor, points) for piece, points in _places(certificate, model)} or {node: Missed(factor)}}
    return {node: {node: Missed(max(LEAST, min(MOST, SHARPER * share)))} for node, share in _shares(certificate, model)}


def _factor(certificate: Certificate) -> float:
    """ε over what was found above it; where boxes ran out below it, a step."""
    refuted = certificate.refutation
    above = certificate.found if refuted is None else refuted.share
    return float(np.clip(SHARPER * certificate.epsilon / above if above > 0 else LEAST, LEAST, MOST))


def _places(certificate: Certificate, model: Model) -> Iterator[tuple[str, Array]]:
    """Expert ↦ points that it computes and that were missed, before embedding (N, k)."""
    refuted, names = certificate.refutation, model.design.sites[0].pieces
    graph = as_graph(model.task)
    if refuted is not None:
        base = graph.inputs[0].unembed(np.array([refuted.point]))
        yield from ((names[k], base) for k in refuted.chosen[-1])
        return
    points = open_points(certificate, model)
    if len(points):
        routes = model.network.trace(graph.inputs[0].embed(points)).routes[-1]
        for k in np.unique(routes):
            yield names[k], points[(routes == k).reshape(len(points), -1).any(1)][:MOST_POINTS]


def open_points(certificate: Certificate, model: Model) -> Array:
    """Centres of boxes that stayed open, of a task on one manifold, before embedding (N, k)."""
    atlas = certificate.sites[0].solution.problem.task.atlas
    found = [np.empty((0, atlas.base_dimension))]
    for site in certificate.sites:  # one for each target
        for chart, tree in enumerate(site.solution.trees.values()):
            lower, upper = (corner[tree.tags == UNSETTLED] for corner in tree.leaves())
            found.append(atlas.parametrising[chart].inverse((lower + upper) / 2) if len(lower) else found[0])
    points = np.concatenate(found)
    return points[np.isfinite(points).all(1)]


def _shares(certificate: Certificate, model: Model) -> Iterator[tuple[str, float]]:
    """Nodes of a graph that err by more than their budget, or all of them if none does alone, with their budget over their error."""
    budgets = {site.block: site.budget for site in model.design.sites} | {join.node: join.budget for join in model.design.joins}
    whole = certificate.bound if model.task.wanted else certificate.read_out.bound if certificate.read_out is not None else 0.0
    above = max(whole, certificate.found if certificate.refutation is None else certificate.refutation.share)
    over: dict[str, float] = {}
    for site in certificate.sites:
        name = site.name.partition("/")[2] if model.task.wanted else site.name  # behind the name of the target
        budget, bound = budgets.get(name), site.solution.bound
        own = model.task.wanted and name == as_graph(model.task).output  # whose budget is in units of the targets' ε
        if budget is not None and bound > budget and not own:
            over[name] = min(budget / bound, over.get(name, 1.0))
    yield from (over or dict.fromkeys(budgets, certificate.epsilon / above if above > 0 else LEAST)).items()
