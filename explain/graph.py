"""`Model.explain` for task graphs: the route through all layers, and every partial output beside what the task says it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import Array, Block, Box, Combine, Input, TaskGraph, Tiling
from ..atlas import Trace as Truth
from ..errors import InvalidArgument
from ..expressions.parse import format_expression
from ..moe.model import Model
from ..moe.network import Trace

ON_MANIFOLD = 1e-6
"""A point is taken for one of an input's manifold if φ⁻¹(φ(x)) comes back to within this · (1 + |x|) in some chart."""


@dataclass(frozen=True)
class Partial:
    """One component: as the network has it, and as the task has it."""

    name: str
    value: float | None
    """None where the last layer folds it into the output."""
    truth: float | None
    """None off the domain."""

    @property
    def error(self) -> float | None:
        return None if self.value is None or self.truth is None else abs(self.value - self.truth)


@dataclass(frozen=True)
class LayerStep:
    """What one layer did."""

    layer: int
    """Counted from 1."""
    does: str
    """In words: which scores it appends, which block it routes, which combinations it computes."""
    expert: str
    matters: bool
    """False where the layer has one expert, so that its gate is arbitrary."""


@dataclass(frozen=True)
class BlockChoice:
    """Which piece or chart a block took, and what came of it."""

    block: str
    layer: int
    """The layer whose gate decided, counted from 1."""
    piece: str
    subtask: tuple[str, ...]
    """The formula of that piece, one text for each output."""
    holds: tuple[str, ...]
    """All pieces or charts that hold the point in the task; () off the domain."""
    margin: float
    """The distance of what was read to the nearest interface; or for charts the lead of the winning score. ∞ with one piece."""
    margin_of: str
    """"interface" or "score": which of the two."""
    runner_up: str | None
    """The piece with the next largest logit."""
    reads: tuple[Partial, ...]
    outputs: tuple[Partial, ...]

    @property
    def right(self) -> bool | None:
        """Whether the piece holds the point; None off the domain."""
        return None if not self.holds else self.piece in self.holds


@dataclass(frozen=True)
class GraphExplanation:
    """How a model computes its value at one point of a task graph's domain, beside what the task says there."""

    point: tuple[float, ...]
    """x, as the network reads it."""
    base: Mapping[str, float]
    """The coordinates before embedding, by name."""
    outside: tuple[str, ...]
    """Inputs whose box or manifold does not hold their part of the point, with the reason: then nothing is claimed."""
    layers: tuple[LayerStep, ...]
    blocks: tuple[BlockChoice, ...]
    combines: tuple[Partial, ...]
    """Values of combinations, in the order in which they depend on each other."""
    output: Mapping[str, float]
    """Ψ(x) by output channel."""
    truth: tuple[float, ...] | None
    """f(x); None off the domain."""
    error: float | None
    """Largest component of |f(x) − Ψ(x)|."""
    bound: float
    """What the ledger says of |f − Ψ| on the whole domain…"""
    known: str
    """…and how that is known."""

    @property
    def route(self) -> tuple[str, ...]:
        """The pieces and charts taken, block by block: the piece of ∏ E_l that computed the output."""
        return tuple(choice.piece for choice in self.blocks)


def explain_graph(model: Model, x: ArrayLike) -> GraphExplanation:
    """Explain Ψ(x) at one point [D] of a task graph's domain. Raises `InvalidArgument` unless x is D finite numbers."""
    task = model.task
    assert isinstance(task, TaskGraph)
    point = np.asarray(x, float).reshape(-1)
    if len(point) != task.ambient_dimension or not np.isfinite(point).all():
        D = task.ambient_dimension
        raise InvalidArgument(f"explain takes one point of R^{D}, {D} finite numbers; got {point.tolist()[:8]}")
    base = task.unembed(point)[0]
    outside = tuple(_outside(task, point))
    reader = _Reader(model, task, point, model.network.trace(point[None]), None if outside else task.trace(point[None]))
    output = reader.trace.output[0].astype(float)
    truth = None if reader.truth is None or not np.isfinite(reader.truth.output).all() else tuple(reader.truth.output[0].tolist())
    combines = [node for node in task.order if isinstance(node, Combine)]
    return GraphExplanation(
        point=tuple(point.tolist()),
        base=dict(zip(task.coordinates, base.tolist(), strict=True)),
        outside=outside,
        layers=tuple(reader.steps()),
        blocks=tuple(reader.choice(block) for block in task.blocks),
        combines=tuple(reader.partial(name) for node in combines for name in node.components),
        output=dict(zip(model.network.outputs, output.tolist(), strict=True)),
        truth=truth,
        error=None if truth is None else float(np.abs(np.array(truth) - output).max()),
        bound=model.ledger.root.bound,
        known=str(model.ledger.root.known),
    )


@dataclass(frozen=True, eq=False)
class _Reader:
    """One point's way through the network."""

    model: Model
    task: TaskGraph
    point: Array
    trace: Trace
    truth: Truth | None

    def layer_of(self, block: Block) -> int:
        """The layer, from 0, that routes a block. Raises `InvalidArgument` if the model's facts name none that could."""
        layers, number = self.model.network.layers, self.model.facts.get("routes", {}).get(block.name)
        if not isinstance(number, int) or not 1 <= number <= len(layers) or not set(layers[number - 1].names) <= set(block.names):
            raise InvalidArgument(
                f"the model's facts name layer {number!r} for block {block.name!r}, which does not route it; verify says more"
            )
        return number - 1

    def channels(self, layer: int) -> dict[str, float]:
        """What arrives at a layer, from 0, by channel."""
        if layer == 0:
            return {f"x[{k}]": float(v) for k, v in enumerate(self.point.astype(self.model.network.dtype))}
        state = self.trace.states[layer - 1][0].tolist()
        return dict(zip(self.model.network.layers[layer - 1].channels, state, strict=True))

    def read(self, component: str, layer: int) -> float:
        """A component as a layer finds it: a channel, or an affine form of channels."""
        arriving, source = self.channels(layer), self.task.sources[component]
        if f"y[{component}]" in arriving:
            return arriving[f"y[{component}]"]
        if isinstance(source, Input):
            return float(self.task.unembed(self.point.astype(self.model.network.dtype))[0, self.task.coordinates.index(component)])
        if isinstance(source, Combine) and source.function.affine is not None:
            weight, constant = source.function.affine
            k = source.components.index(component)
            return float(weight[k] @ [self.read(name, layer) for name in source.reads] + constant[k])
        return float("nan")

    def partial(self, component: str) -> Partial:
        """A component as the network has it somewhere: in a channel, in the output, or as an affine form of what the last layer reads."""
        value: float | None = None
        for layer in range(len(self.model.network.layers)):
            if f"y[{component}]" in self.channels(layer):
                value = self.channels(layer)[f"y[{component}]"]
                break
        outputs = self.task[self.task.output].components
        if value is None and component in outputs:
            value = float(self.trace.output[0, outputs.index(component)])
        if value is None:
            folded = self.read(component, len(self.model.network.layers) - 1)
            value = folded if np.isfinite(folded) else None
        return Partial(component, value, self._true(component))

    def _true(self, component: str) -> float | None:
        if self.truth is None:
            return None
        value = float(self.truth.values[component][0])
        return value if np.isfinite(value) else None

    def choice(self, block: Block) -> BlockChoice:
        layer = self.layer_of(block)
        moe = self.model.network.layers[layer]
        logits, route = self.trace.logits[layer][0].astype(float), int(self.trace.routes[layer][0])
        order = [int(k) for k in np.argsort(-logits, kind="stable") if k != route]
        values = np.array([self.read(name, layer) for name in block.reads])
        if isinstance(block.domain, Tiling):
            margin, kind = float(block.domain.margin(values)), "interface"
        else:
            margin, kind = float(logits[route] - logits[order[0]]) if order else np.inf, "score"
        holds = () if self.truth is None else tuple(np.array(block.names)[self.truth.valid[block.name][0]].tolist())
        piece = moe.names[route]
        formula = block.subtasks[block.names.index(piece)].expressions
        return BlockChoice(
            block=block.name,
            layer=layer + 1,
            piece=piece,
            subtask=tuple(format_expression(e) for e in formula),
            holds=holds,
            margin=margin,
            margin_of=kind,
            runner_up=moe.names[order[0]] if order else None,
            reads=tuple(Partial(name, float(v), self._true(name)) for name, v in zip(block.reads, values, strict=True)),
            outputs=tuple(self.partial(name) for name in block.components),
        )

    def steps(self) -> Iterator[LayerStep]:
        """What each layer does, by the channels that it writes anew."""
        routes = {self.layer_of(block): block.name for block in self.task.blocks}
        network = self.model.network
        for k, moe in enumerate(network.layers):
            new = [name for name in moe.channels if k == 0 or name not in network.layers[k - 1].channels]
            scored = list(dict.fromkeys(name[4:].split("][")[0] for name in new if name.startswith("tau[")))
            made = [self.task.sources[name[2:-1]] for name in new if name.startswith("y[") and name[2:-1] in self.task.sources]
            combined = [node.name for node in dict.fromkeys(made) if isinstance(node, Combine)]
            parts = [f"appends the scores of {', '.join(scored)}"] if scored else []
            parts += [f"routes {routes[k]}"] if k in routes else []
            parts += [f"computes {', '.join(combined)}"] if combined else []
            yield LayerStep(k + 1, "; ".join(parts), moe.names[int(self.trace.routes[k][0])], len(moe.experts) > 1)


def _outside(task: TaskGraph, point: Array) -> Iterator[str]:
    """Inputs that do not hold their part of the point, and why."""
    start = 0
    for node in task.inputs:
        part = point[start : start + node.ambient_dimension]
        start += node.ambient_dimension
        if isinstance(node.manifold, Box):
            if not node.manifold.contains(part):
                sides = zip(node.manifold.lower, node.manifold.upper, strict=True)
                yield f"{node.name} is not in {' × '.join(f'[{a:.6g}, {b:.6g}]' for a, b in sides)}"
            continue
        base = node.unembed(part)
        charts = node.manifold.parametrising
        if any(chart.forward is None for chart in charts):
            continue
        gaps = [
            float(np.linalg.norm(chart.inverse(u) - base))
            for chart in charts
            if chart.forward is not None and bool(chart.inside(u := chart.forward(base)))
        ]
        distance = min(gaps, default=np.inf) + float(np.linalg.norm(node.embed(base) - part))
        if distance > ON_MANIFOLD * (1 + np.abs(part).max()):
            yield f"{node.name} is not on its manifold (|φ⁻¹(φ(x)) − x| = {distance:.3g})"
