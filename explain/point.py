"""`explain_point`: one point's way through a network, beside what the task says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import Array, Atlas, Block, Chart, Input, TaskGraph, Tiling
from ..atlas.graph import as_graph
from ..atlas.wanted import columns
from ..errors import InvalidArgument
from ..expressions.given import floats
from ..moe.channels import Value
from ..moe.design import Site
from ..moe.ledger import EVERYWHERE, Known
from ..moe.model import Model
from ..moe.network import Indices, MoELayer
from ..moe.opened import opened
from .explanation import BlockChoice, Chosen, Explanation, LayerStep, LookedUp, Partial, Score, TargetError

ON_MANIFOLD = 1e-6
"""A point is taken for a point of M if φ⁻¹(φ(x)) comes back to within this · (1 + |x|) in some chart."""


def explain_point(model: Model, x: ArrayLike) -> Explanation:
    """Explain Ψ(x) at one ambient point [D]. Raises `InvalidArgument` unless x is D finite numbers."""
    model = opened(model, "explain_point")
    graph, network = as_graph(model.task), model.network
    D = graph.ambient_dimension
    point = floats("x", x, f"explain takes one point of R^{D}, like {[0.0] * min(D, 3)}").reshape(-1)
    if len(point) != D or not np.isfinite(point).all():
        raise InvalidArgument(f"explain takes one point of R^{D}, {D} finite numbers; got {point.tolist()[:8]}")
    distances = [_distance(node, part) for node, part in _parts(graph, point)]
    outside = tuple(text for node, part in _parts(graph, point) for text in _outside(node, part))
    values = {} if outside else _truth(graph, point)
    truth = tuple(values.get(name, np.nan) for name in graph[graph.output].components)
    known = bool(np.isfinite(truth).all())
    witness = _Witness(model, graph, point, values, not outside)
    output, stated = witness.trace.output[0].astype(float), model.stated
    error = float(graph.largest(np.array(truth) - output)) if known else None
    amiss = error is not None and stated.known in EVERYWHERE and error > stated.bound and error > stated.bound + model.room([point])
    return Explanation(
        point=tuple(point.tolist()),
        coordinates=witness.base,
        distance=None if None in distances else max(d for d in distances if d is not None),
        outside=outside,
        layers=tuple(witness.steps()),
        blocks=tuple(witness.choice(block) for block in graph.blocks),
        combines=tuple(witness.partial(name) for node in graph.combines for name in node.components),
        output=dict(zip(network.outputs, output.tolist(), strict=True)),
        truth=truth if known else None,
        error=error,
        bound=stated.bound,
        known=str(Known.REFUTED if amiss else stated.known),
        alone=model.design.alone,
        source=stated.note if stated is not model.claimed else "ledger.json",
        found=None if model.beside is None else model.beside.found,
        targets=tuple(
            TargetError(one.name, float(np.abs(np.array(truth[place]) - output[place]).max()) if known else None, float(one.epsilon))
            for one, place in columns(graph.wanted)
        ),
    )


def intrinsic_names(domain: Atlas | Tiling, place: int) -> tuple[str, ...]:
    """The names of the coordinates of a chart or piece; () of a ball, whose coordinates are those of a tangent plane."""
    if isinstance(domain, Tiling):
        return domain.coordinates
    chart = domain.charts[place]
    return chart.inverse.names if isinstance(chart, Chart) else ()


class _Witness:
    """What is seen of one point's way through a network."""

    def __init__(self, model: Model, graph: TaskGraph, point: Array, truth: Mapping[str, float], inside: bool) -> None:
        self.graph, self.design, self.network, self.truth, self.inside = graph, model.design, model.network, truth, inside
        self.point, self.gates = point, model.gates
        self.base: dict[str, float] = dict(zip(graph.coordinates, graph.unembed(point)[0].tolist(), strict=True))
        rounded = graph.unembed(point.astype(model.network.dtype))[0]
        self.rounded: dict[str, float] = dict(zip(graph.coordinates, rounded.tolist(), strict=True))
        """As the network reads them."""
        self.trace = model.network.trace(point[None])
        self.combined = {name: (node, k) for node in graph.combines for k, name in enumerate(node.components)}

    def read(self, component: str, layer: int) -> float:
        """A component as a layer, from 0, finds it: a channel, a coordinate, or an affine form of those; NaN if it is none."""
        column = self.design.places[layer].get(Value(component))
        if column is not None:
            return float(self.trace.states[layer - 1][0, column])
        if component in self.rounded:
            return self.rounded[component]
        node, k = self.combined.get(component, (None, 0))
        if node is None or node.function.affine is None:
            return float("nan")
        weight, constant = node.function.affine
        return float(weight[k] @ [self.read(name, layer) for name in node.reads] + constant[k])

    def written(self, component: str) -> float:
        """A component where the network first has it: in a channel, in the output, or as an affine form of what the last layer reads;
        NaN where it is nowhere."""
        place = self.design.computed(component)
        if place is None:
            return self.read(component, len(self.network.layers) - 1)
        return float(self.trace.states[place[0] - 1][0, place[1]])

    def partial(self, component: str, value: float | None = None) -> Partial:
        """A component as computed, or as it was read, beside the truth."""
        found = self.written(component) if value is None else value
        truth = self.truth.get(component, np.nan)
        return Partial(component, found if value is not None or np.isfinite(found) else None, truth if np.isfinite(truth) else None)

    def steps(self) -> Iterator[LayerStep]:
        for number, layer in enumerate(self.network.layers):
            joined = {join.node: join.layer for join in self.design.joins}
            folded = ", ".join(n.name for n in self.graph.combines if n.name not in joined and self._first(n.components[0]) == number + 1)
            does = "; ".join(self.design.does(number))
            if folded:
                does += f", {folded}" if number in joined.values() else f"; computes {folded}" if does else f"computes {folded}"
            logits, chosen, rest = self._gate(number)
            first = int(chosen[0])
            yield LayerStep(
                layer=number + 1,
                does=does,
                expert=layer.names[first],
                logit=float(logits[first]),
                runner_up=layer.names[rest] if rest is not None else None,
                margin=_lead(logits, chosen, rest),
                matters=len(layer.experts) > 1,
                chosen=_chosen(layer, layer.names, logits, chosen),
                shared=layer.shared is not None,
                looked_up=self._looked_up(number),
            )

    def _looked_up(self, number: int) -> LookedUp | None:
        """The list that the gate of a layer used, where it has two levels."""
        layer = self.network.layers[number]
        if self.gates != "tree" or (tree := layer.tree) is None:
            return None
        state = self.point[None].astype(self.network.dtype) if number == 0 else self.trace.states[number - 1]
        group = tree.listed(state[0] if layer.sees is None else state[0, list(layer.sees)])
        return LookedUp(
            None if group is None else group + 1, len(tree.groups), len(layer) if group is None else len(tree.groups[group].candidates)
        )

    def choice(self, block: Block) -> BlockChoice:
        site = self.design[block.name]
        pieces, domain = site.pieces, block.domain
        logits, chosen, rest, weights = self._own(site)
        values = np.array([self.read(name, site.layer) for name in block.reads])
        exact = np.array([self.base.get(name, value) for name, value in zip(block.reads, values.tolist(), strict=True)])
        piece = pieces[int(chosen[0])] if len(chosen) else pieces[int(logits.argmax())]
        place = block.names.index(piece)
        local = domain.local(place, exact) if self.inside else None
        return BlockChoice(
            block=block.name,
            layer=site.layer + 1,
            piece=piece,
            subtask=block.subtasks[place].texts if block.subtasks else (),
            holds=tuple(np.array(block.names)[self._holds(block)].tolist()),
            margin=float(domain.margin(values)) if domain.exclusive else _lead(logits, chosen, rest),
            margin_of="interface" if domain.exclusive else "score",
            runner_up=None if rest is None else pieces[rest],
            reads=tuple(self.partial(name, float(value)) for name, value in zip(block.reads, values, strict=True)),
            outputs=tuple(self.partial(name) for name in block.components),
            chosen=tuple((pieces[k], float(w)) for k, w in zip(chosen.tolist(), weights.tolist(), strict=True)),
            scores=tuple(self._scores(block, pieces, logits, exact)),
            local=None if local is None else tuple(local.tolist()),
            local_names=intrinsic_names(domain, place),
        )

    def _gate(self, number: int) -> tuple[Array, Indices, int | None]:
        """Logits of a layer, the outputs that were chosen, and the best of the others."""
        logits, chosen = self.trace.logits[number][0].astype(float), self.trace.chosen[number][0]
        rest = [int(k) for k in np.argsort(-logits, kind="stable") if k not in chosen]
        return logits, chosen, rest[0] if rest else None

    def _own(self, site: Site) -> tuple[Array, Indices, int | None, Array]:
        """The same of the gate outputs of one block, by its pieces, with the weights of those that were chosen."""
        layer = self.network.layers[site.layer]
        logits, chosen, _ = self._gate(site.layer)
        weights = layer.weights(chosen[None], logits[None])[0]
        mine = site.own(chosen) & ((weights != 0) | (len(chosen) == 1))
        own, chosen = logits[site.outputs], chosen[mine] - site.first
        rest = [int(k) for k in np.argsort(-own, kind="stable") if k not in chosen]
        return own, chosen, rest[0] if rest else None, weights[mine]

    def _first(self, component: str) -> int | None:
        """The first state that holds a component."""
        place = self.design.computed(component)
        return None if place is None else place[0]

    def _holds(self, block: Block) -> Array:
        """In which pieces the task has the point; none off the domain."""
        values = np.array([self.truth.get(name, self.base.get(name, np.nan)) for name in block.reads])
        if not (self.inside and np.isfinite(values).all()):
            return np.zeros(len(block), bool)
        wider = self.design[block.name].wider
        if wider == 0:
            return block.contains(values[None])[0]
        box = block.domain.box
        assert box is not None
        return np.asarray(block.contains(np.clip(values + np.array([[0.0], [-wider], [wider]]), box.lower, box.upper)).any(0))

    def _scores(self, block: Block, pieces: tuple[str, ...], logits: Array, values: Array) -> Iterator[Score]:
        rho = block.domain.rho(values) if self.inside else np.full(len(block), np.nan)
        shares = dict(zip(block.names, rho.tolist(), strict=True))
        for k in np.argsort(-logits, kind="stable").tolist():
            share = shares[pieces[k]]
            yield Score(pieces[k], share if np.isfinite(share) else None, float(logits[k]))


def _lead(logits: Array, chosen: Indices, rest: int | None) -> float:
    return np.inf if rest is None else float(logits[chosen].min() - logits[rest])


def _chosen(layer: MoELayer, names: tuple[str, ...], logits: Array, chosen: Indices) -> Chosen:
    weights = layer.weights(chosen[None], logits[None])[0]
    return tuple((names[k], float(w)) for k, w in zip(chosen.tolist(), weights, strict=True))


def _parts(graph: TaskGraph, point: Array) -> Iterator[tuple[Input, Array]]:
    """Every input with its part of the point."""
    start = 0
    for node in graph.inputs:
        yield node, point[start : start + node.ambient_dimension]
        start += node.ambient_dimension


def _truth(graph: TaskGraph, point: Array) -> Mapping[str, float]:
    """Every component in the task; none where they are not at hand, as of Python functions that no file holds."""
    try:
        return {name: float(value[0]) for name, value in graph.trace(point[None]).values.items()}
    except InvalidArgument:  # no function, or no forward map to find the chart by whose formula it is
        return {}


def _distance(node: Input, part: Array) -> float | None:
    """How far a part of the point is from its input: out of its box; or min over charts whose closed box contains φ(x) of
    |φ⁻¹(φ(x)) − x|, plus what the embedding misses, ∞ if none does, None if some chart has no φ."""
    if node.box is not None:
        return float(np.maximum(np.maximum(np.array(node.box.lower) - part, part - np.array(node.box.upper)), 0).max())
    charts, base = node.domain.parametrising, node.unembed(part)
    best = np.inf
    for chart in charts:
        if chart.forward is None:
            return None
        intrinsic = chart.forward(base)
        if bool(chart.inside(intrinsic)):
            best = min(best, float(np.linalg.norm(chart.inverse(intrinsic) - base)))
    return best + float(np.linalg.norm(node.embed(base) - part))


def _outside(node: Input, part: Array) -> Iterator[str]:
    """Why an input does not hold its part of the point, if it does not."""
    if node.box is not None:
        if not node.box.contains(part):
            sides = zip(node.box.lower, node.box.upper, strict=True)
            yield f"{node.name} is not in {' × '.join(f'[{a:.6g}, {b:.6g}]' for a, b in sides)}"
        return
    distance = _distance(node, part)
    if distance is not None and distance > ON_MANIFOLD * (1 + np.abs(part).max()):
        yield f"{node.name} is not on its manifold (|φ⁻¹(φ(x)) − x| = {distance:.3g})"
