"""`Model.explain`: why a point came out as it did, and where a neuron comes from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import BallChart, CallableTarget, Chart, ChartTarget, ManifoldTask
from ..errors import InvalidArgument
from ..moe.model import Model
from ..moe.network import MoELayer

ON_MANIFOLD = 1e-6
"""A point is taken for a point of M if φ⁻¹(φ(x)) comes back to within this · (1 + |x|) in some chart."""


@dataclass(frozen=True)
class Choice:
    """What one gate decided."""

    layer: int
    """Counted from 1."""
    expert: str
    logit: float
    runner_up: str | None
    """The expert with the next largest logit; None if the gate has only one output."""
    margin: float
    """Logit of the winner minus that of the runner-up; ∞ without one, 0 at a tie (then the first of them won)."""
    matters: bool
    """False where all experts of the layer are equal, so that the gate is arbitrary."""


@dataclass(frozen=True)
class Score:
    """One chart at a point."""

    chart: str
    rho: float | None
    """The partition of unity; None off M."""
    tau: float
    """Its logit at the last gate."""


@dataclass(frozen=True)
class Explanation:
    """How a model computes its value at one point, beside what the task says there."""

    point: tuple[float, ...]
    """x, as the network reads it."""
    base: tuple[float, ...]
    """x in the task's own coordinates, before embedding."""
    on_manifold: bool | None
    """Whether x is a point of M; None if the charts have no forward maps to tell by."""
    distance: float | None
    """How far φ⁻¹(φ(x)) is from x in the best chart."""
    choices: tuple[Choice, ...]
    """One per layer."""
    scores: tuple[Score, ...]
    """All charts, best τ first; empty if the last gate does not choose among the charts."""
    local: tuple[float, ...] | None
    """φ_i(x) for the winning chart i; None if its forward map is unknown."""
    output: Mapping[str, float]
    """Ψ(x) by output channel."""
    truth: tuple[float, ...] | None
    """f(x); None off M."""
    error: float | None
    """Largest component of |f(x) − Ψ(x)|."""
    bound: float
    """What the ledger says of |f − Ψ| on M…"""
    known: str
    """…and how that is known."""

    @property
    def chart(self) -> str:
        """The expert of the last layer that computed the output."""
        return self.choices[-1].expert


@dataclass(frozen=True)
class NeuronOrigin:
    """Where one hidden neuron comes from, and what it computes: σ(weights · inputs + bias)."""

    layer: int
    """Counted from 1."""
    expert: str
    hidden: int
    """Which hidden layer of the expert, counted from 1."""
    index: int
    """Its place in that hidden layer, counted from 0."""
    name: str
    origin: str
    """Which step of which theorem put it there."""
    reads: Mapping[str, float]
    """Input (channel or neuron) ↦ weight, where that is not zero; the 16 largest."""
    bias: float
    writes: Mapping[str, float]
    """Output (channel or neuron) ↦ weight, where that is not zero; the 16 largest."""


MOST = 16


def explain(model: Model, x: ArrayLike) -> Explanation:
    """Explain Ψ(x) at one ambient point [D]. Raises `InvalidArgument` unless x is D finite numbers."""
    network, task = model.network, model.manifold_task
    point = np.asarray(x, float).reshape(-1)
    D = task.atlas.ambient_dimension
    if len(point) != D or not np.isfinite(point).all():
        raise InvalidArgument(f"explain takes one point of R^{D}, {D} finite numbers; got {point.tolist()[:8]}")
    trace = network.trace(point[None])
    choices = tuple(
        _choice(number, layer, logits[0], int(route[0]))
        for number, (layer, logits, route) in enumerate(zip(network.layers, trace.logits, trace.routes, strict=True), 1)
    )
    base = task.atlas.unembed(point)
    distance = _distance(task, base, point)
    on_manifold = None if distance is None else bool(distance <= ON_MANIFOLD * (1 + np.abs(point).max()))
    inside = on_manifold is not False
    output = trace.output[0].astype(float)
    truth = _truth(task, point) if inside else None
    charts = network.layers[-1].names == task.atlas.names
    return Explanation(
        point=tuple(point.tolist()),
        base=tuple(base.tolist()),
        on_manifold=on_manifold,
        distance=distance,
        choices=choices,
        scores=_scores(task, base, trace.logits[-1][0], inside) if charts else (),
        local=_local(task, base, choices[-1].expert) if charts and inside else None,
        output=dict(zip(network.outputs, output.tolist(), strict=True)),
        truth=truth,
        error=None if truth is None else float(np.abs(np.array(truth) - output).max()),
        bound=model.ledger.root.bound,
        known=str(model.ledger.root.known),
    )


def explain_neuron(model: Model, layer: int, expert: str | int, neuron: int, hidden: int = 1) -> NeuronOrigin:
    """Where neuron `neuron` (from 0) of hidden layer `hidden` (from 1) of an expert of layer `layer` (from 1) comes from.

    `expert` is a name or a gate output. Raises `InvalidArgument` for what does not exist, saying what does.
    """
    network = model.network
    if not 1 <= layer <= len(network.layers):
        raise InvalidArgument(f"the network has layers 1 to {len(network.layers)}, there is no layer {layer}")
    moe = network.layers[layer - 1]
    gate = _gate_output(moe, expert, layer)
    net = moe.experts[moe.serves[gate]]
    if not 1 <= hidden <= len(net.widths):
        raise InvalidArgument(f'expert "{moe.names[gate]}" has hidden layers 1 to {len(net.widths)}, there is no hidden layer {hidden}')
    if not 0 <= neuron < net.widths[hidden - 1]:
        raise InvalidArgument(f"hidden layer {hidden} has neurons 0 to {net.widths[hidden - 1] - 1}, there is no neuron {neuron}")
    name, group = net.neuron(hidden - 1, neuron)
    arriving = network.inputs if layer == 1 else network.layers[layer - 2].channels
    reads = arriving if moe.reads is None else tuple(arriving[channel] for channel in moe.reads)

    def called(depth: int, k: int) -> str:
        """Number k of what lies between affine maps `depth` − 1 and `depth`."""
        if depth == 0:
            return reads[k]
        return moe.channels[k] if depth == len(net.affines) else net.neuron(depth - 1, k)[0]

    inner, outer = net.affines[hidden - 1], net.affines[hidden]
    return NeuronOrigin(
        layer,
        moe.names[gate],
        hidden,
        neuron,
        name,
        group.origin,
        {called(hidden - 1, k): float(inner.weight[neuron, k]) for k in _largest(inner.weight[neuron])},
        float(inner.bias[neuron]),
        {called(hidden + 1, k): float(outer.weight[k, neuron]) for k in _largest(outer.weight[:, neuron])},
    )


def _choice(number: int, layer: MoELayer, logits: np.ndarray, route: int) -> Choice:
    others = np.delete(np.arange(len(logits)), route)
    runner_up = None if not len(others) else int(others[np.argmax(logits[others])])
    margin = np.inf if runner_up is None else float(logits[route]) - float(logits[runner_up])
    return Choice(
        number,
        layer.names[route],
        float(logits[route]),
        None if runner_up is None else layer.names[runner_up],
        margin,
        len(layer.experts) > 1,
    )


def _distance(task: ManifoldTask, base: np.ndarray, point: np.ndarray) -> float | None:
    """min over charts whose closed box contains φ(x) of |φ⁻¹(φ(x)) − x|, plus what the embedding misses; ∞ if none does."""
    charts = task.atlas.parametrising
    if any(chart.forward is None for chart in charts):
        return None
    best = np.inf
    for chart in charts:
        assert chart.forward is not None
        intrinsic = chart.forward(base)
        if bool(chart.inside(intrinsic)):
            best = min(best, float(np.linalg.norm(chart.inverse(intrinsic) - base)))
    return best + float(np.linalg.norm(task.atlas.embed(base) - point))


def _truth(task: ManifoldTask, point: np.ndarray) -> tuple[float, ...] | None:
    """f(x); None where it is not defined, not at hand, or given chart by chart with no forward map to find the chart by."""
    if isinstance(task.target, CallableTarget) and task.target.function is None:
        return None
    if isinstance(task.target, ChartTarget) and any(chart.forward is None for chart in task.atlas.parametrising):
        return None
    value = task(point[None])[0]
    return tuple(value.tolist()) if np.isfinite(value).all() else None


def _scores(task: ManifoldTask, base: np.ndarray, logits: np.ndarray, inside: bool) -> tuple[Score, ...]:
    rho = task.atlas.rho(base) if inside else np.full(len(logits), np.nan)
    order = np.argsort(-logits, kind="stable")
    names = task.atlas.names
    return tuple(Score(names[i], float(rho[i]) if np.isfinite(rho[i]) else None, float(logits[i])) for i in order.tolist())


def _local(task: ManifoldTask, base: np.ndarray, name: str) -> tuple[float, ...] | None:
    chart: Chart | BallChart = task.atlas.charts[task.atlas.names.index(name)]
    return None if chart.forward is None else tuple(chart.forward(base).tolist())


def _gate_output(layer: MoELayer, expert: str | int, number: int) -> int:
    if isinstance(expert, str) and expert in layer.names:
        return layer.names.index(expert)
    if isinstance(expert, int) and 0 <= expert < len(layer):
        return expert
    names = ", ".join(layer.names[:12]) + (f", … ({len(layer)} in all)" if len(layer) > 12 else "")
    raise InvalidArgument(f"layer {number} has no expert {expert!r}; it has {names}")


def _largest(weights: np.ndarray) -> list[int]:
    """Indices of the nonzero entries, at most MOST, largest first."""
    order = np.argsort(-np.abs(weights), kind="stable")[:MOST]
    return [int(k) for k in order if weights[k] != 0]
