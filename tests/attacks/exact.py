"""What tasks and networks are at single points, to 60 digits: the judge of what is claimed of them.

It shares nothing with what proves: trees of expressions are evaluated in mpmath, weights are taken as the numbers that they are, and a
point of a manifold is φ⁻¹ of dyadic coordinates. Nothing here is fast; it is asked about few points.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import mpmath
import numpy as np
from atlasmoe.atlas import BallChart, Chart, ExpressionMap, ManifoldTask, TaskGraph
from atlasmoe.atlas.graph import Block, Combine, Input
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe.nets import Net
from trees import value

DIGITS = 60
Exact = list[mpmath.mpf]

mpmath.mp.dps = DIGITS


@dataclass(frozen=True)
class Place:
    """A point of the product of a task's inputs: per input the chart (0 for a box) and the coordinates on it."""

    charts: tuple[int, ...]
    coordinates: tuple[tuple[float, ...], ...]


def exactly(values: Sequence[float] | np.ndarray) -> Exact:
    return [mpmath.mpf(float(v)) for v in values]


class Functions:
    """Expression maps as they were written, as functions of mpmath numbers."""

    def __call__(self, function: ExpressionMap, at: Exact) -> Exact:
        """NaN where a component is not defined."""
        names = dict(zip(map(str, function.variables), at, strict=True))
        return [value(tree, names) for tree in function.trees]


def affine(of: Affine, x: Exact) -> Exact:
    """W·x + b."""
    weight, bias = np.asarray(of.weight, float), np.asarray(of.bias, float)
    return [
        mpmath.fsum(mpmath.mpf(float(row[k])) * x[k] for k in np.flatnonzero(row)) + mpmath.mpf(float(b))
        for row, b in zip(weight, bias, strict=True)
    ]


ACTIVATIONS: dict[str, Callable[[mpmath.mpf], mpmath.mpf]] = {
    "identity": lambda z: z,
    "relu": lambda z: z if z > 0 else mpmath.mpf(0),
    "relu2": lambda z: z * z if z > 0 else mpmath.mpf(0),
    "silu": lambda z: z / (1 + mpmath.exp(-z)),
    "gelu": lambda z: z * mpmath.ncdf(z),
    "gelu_tanh": lambda z: z * (1 + mpmath.tanh(mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3))) / 2,
}


def net(of: Net, x: Exact) -> Exact:
    """A net in exact arithmetic, up to `DIGITS`."""
    for map_, up, groups in zip(of.affines, of.ups, of.groups, strict=False):
        kinds = [group.activation.name for group in groups for _ in range(group.count)]
        lanes = None if up is None else affine(up, x)
        x = [ACTIVATIONS[kind](z) for kind, z in zip(kinds, affine(map_, x), strict=True)]
        x = x if lanes is None else [a * b for a, b in zip(x, lanes, strict=True)]
    return affine(of.affines[-1], x)


@dataclass(frozen=True)
class Passed:
    """What a network makes of a point."""

    output: Exact
    arriving: Exact
    """At the last layer."""
    logits: Exact
    """Of the last layer; empty if it has no gate."""
    chosen: tuple[int, ...]
    """By the last gate, best first."""


def passed(network: Network, x: Exact) -> Passed:
    arriving, logits, chosen = x, [], (0,)
    for layer in network.layers:
        arriving, (x, logits, chosen) = x, behind(layer, x)
    return Passed(x, arriving, logits, chosen)


def behind(layer: MoELayer, x: Exact, forced: Sequence[int] | None = None) -> tuple[Exact, Exact, tuple[int, ...]]:
    """State behind a layer, its logits, and the gate outputs that were chosen: the K largest logits, the first of equal ones."""
    seen = x if layer.sees is None else [x[k] for k in layer.sees]
    logits = [mpmath.mpf(0)] if layer.gate is None else net(layer.gate, seen)
    order = sorted(range(len(logits)), key=lambda j: (-logits[j], j))
    chosen = tuple(order[: layer.top_k]) if forced is None else tuple(forced)
    scores = [logits[j] for j in chosen]
    weights: Sequence[mpmath.mpf]
    match str(layer.weighting):
        case "softmax":
            powers = [mpmath.exp(s - max(scores)) for s in scores]
            weights = [p / mpmath.fsum(powers) for p in powers]
        case "uniform":
            weights = [mpmath.mpf(1) / layer.top_k] * layer.top_k
        case _:
            weights = [max(s, mpmath.mpf(0)) for s in scores]
    read = x if layer.reads is None else [x[k] for k in layer.reads]
    inner = read if layer.latent is None else affine(layer.latent, read)
    outputs = [net(layer.experts[layer.serves[j]], inner) for j in chosen]
    written = [mpmath.fsum(w * out[k] for w, out in zip(weights, outputs, strict=True)) for k in range(len(outputs[0]))]
    if layer.shared is not None:
        written = [a + b for a, b in zip(written, net(layer.shared, read), strict=True)]
    state = [mpmath.mpf(0) if source < 0 else x[source] for source in layer.sources]
    for channel, added in zip(layer.targets, written, strict=True):
        state[channel] += added
    return state, logits, chosen


class Truth:
    """A task at places: where they lie in space, and f there."""

    def __init__(self, task: ManifoldTask | TaskGraph) -> None:
        self.task, self.functions = task, Functions()
        self.graph = task if isinstance(task, TaskGraph) else None
        self.domains = [task.atlas] if isinstance(task, ManifoldTask) else [node.atlas or node.box for node in task.inputs]

    def base(self, place: Place) -> list[Exact]:
        """Per input, before embedding."""
        found = []
        for domain, chart, u in zip(self.domains, place.charts, place.coordinates, strict=True):
            parametrising = getattr(domain, "parametrising", None)
            found.append(exactly(u) if parametrising is None else self.functions(parametrising[chart].inverse, exactly(u)))
        return found

    def ambient(self, place: Place) -> Exact:
        """The point that the network reads."""
        x: Exact = []
        for domain, y in zip(self.domains, self.base(place), strict=True):
            Q = getattr(domain, "embedding", None)
            x += y if Q is None else [mpmath.fsum(mpmath.mpf(float(q)) * v for q, v in zip(row, y, strict=True)) for row in Q]
        return x

    def value(self, place: Place) -> Exact:
        """f."""
        base = self.base(place)
        if self.graph is None:
            assert isinstance(self.task, ManifoldTask)
            target = self.task.target
            if target.by_chart:
                return self.functions(target.functions[place.charts[0]], exactly(place.coordinates[0]))  # type: ignore[union-attr]
            return self.functions(target.function, base[0])  # type: ignore[union-attr]
        return self._follow(base)

    def _follow(self, base: list[Exact]) -> Exact:
        graph = self.graph
        assert graph is not None
        values = {name: v for node, y in zip(graph.inputs, base, strict=True) for name, v in zip(node.coordinates, y, strict=True)}
        for node in graph.order:
            if isinstance(node, Input):
                continue
            read = [values[name] for name in node.reads]
            found = self.functions(node.function, read) if isinstance(node, Combine) else self._block(node, read)
            values |= zip(node.components, found, strict=True)
        return [values[name] for name in graph[graph.output].components]

    def _block(self, block: Block, read: Exact) -> Exact:
        if block.tiling is not None:
            return self.functions(block.subtasks[owner(block, read)], read)
        if block.uniform:
            return self.functions(block.subtasks[0], read)
        place = next(i for i in range(len(block)) if self.depth(block.atlas.charts[i], read) > 0)  # type: ignore[union-attr]
        if not block.is_intrinsic(place):
            return self.functions(block.subtasks[place], read)
        return self.functions(block.subtasks[place], self.functions(block.atlas.charts[place].forward, read))  # type: ignore[union-attr]

    def depth(self, chart: Chart | BallChart, y: Exact) -> mpmath.mpf:
        """How far inside a chart a point of M lies, in box half-widths; negative off it. A boundary face takes nothing away."""
        if isinstance(chart, BallChart):
            centre, radius = exactly(chart.center), mpmath.mpf(float(chart.radius))
            return 1 - mpmath.sqrt(mpmath.fsum((a - b) ** 2 for a, b in zip(y, centre, strict=True))) / radius
        if chart.forward is None:
            return mpmath.mpf(1)  # nothing is known
        u = self.functions(chart.forward, y)
        back = self.functions(chart.inverse, u)
        if any(mpmath.isnan(v) for v in (*u, *back)) or max(abs(a - b) for a, b in zip(back, y, strict=True)) > mpmath.mpf(10) ** -30:
            return mpmath.mpf(-1)
        depth = mpmath.mpf(1)
        for k, (lower, upper) in enumerate(chart.boundary):
            low, high = mpmath.mpf(chart.domain.lower[k]), mpmath.mpf(chart.domain.upper[k])
            tiny = mpmath.mpf(10) ** -30
            for face, gap in ((lower, u[k] - low), (upper, high - u[k])):
                depth = min(depth, 2 * (gap + tiny) / (high - low)) if not face or gap < -tiny else depth
        if chart.region is not None:
            depth = min(depth, self.functions(chart.region, u)[0])
        return depth


def owner(block: Block, read: Exact) -> int:
    """The piece that values belong to."""
    tiling = block.tiling
    assert tiling is not None
    low_owned, high_owned = tiling.owned
    for piece in range(len(tiling)):
        inside = all(
            (v > a or (v == a and own_a)) and (v < b or (v == b and own_b))
            for v, a, b, own_a, own_b in zip(
                read, exactly(tiling.lower[piece]), exactly(tiling.upper[piece]), low_owned[piece], high_owned[piece], strict=True
            )
        )
        if inside:
            return piece
    raise ValueError(f"{block.name}: {[mpmath.nstr(v, 8) for v in read]} lies in no piece")


def gap(a: Exact, b: Exact) -> mpmath.mpf:
    """The largest component of a − b; infinite if one is no number."""
    found = [abs(p - q) for p, q in zip(a, b, strict=True)]
    return mpmath.inf if any(mpmath.isnan(v) for v in found) else max(found)
