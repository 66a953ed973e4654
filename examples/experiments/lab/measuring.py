"""Measuring: the largest error, by many points and by climbing from the worst of them; the root mean square; how even the load is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from atlasmoe import ManifoldTask, Network, Points, TaskGraph
from atlasmoe.atlas.ascent import ascend
from atlasmoe.atlas.graph import as_graph
from atlasmoe.verify.sample.product import Product
from numpy.typing import NDArray
from scipy import stats
from torch import nn

from .mixture import Mixture

Array = NDArray[np.float64]
Function = Callable[[Array], Array]

SAMPLES = 1 << 15
CLIMBED = 24
"""Points from which the error is climbed."""
NUMBERS = 1 << 22
"""Coordinates evaluated at a time."""


@dataclass(frozen=True)
class Measured:
    """Errors of a function against a task, largest component."""

    sup: float
    """Seen; the true one is larger, by little where climbing found its top."""
    sampled: float
    """Before climbing."""
    rms: float
    """Root mean square over low-discrepancy points, even in the coordinates of charts and boxes, as those that networks are trained on."""

    def row(self) -> dict[str, float]:
        return asdict(self)


def function(network: nn.Module | Network | Function) -> Function:
    """Any network as a numpy function (N, D) → (N, outputs) in float64."""
    if not isinstance(network, nn.Module):
        return network
    dtype = next(network.parameters()).dtype

    def evaluated(x: Array) -> Array:
        with torch.no_grad():
            return network(torch.from_numpy(np.ascontiguousarray(x)).to(dtype)).to(torch.float64).numpy()

    return evaluated


def measure(
    task: ManifoldTask | TaskGraph,
    network: nn.Module | Network | Function,
    *,
    samples: int = SAMPLES,
    climbed: int = CLIMBED,
    seed: int = 0,
) -> Measured:
    """Errors on `samples` low-discrepancy points, and after climbing from the `climbed` worst of them in intrinsic coordinates."""
    space, evaluated = Product(as_graph(task), np.dtype(float)), function(network)

    def errors(points: Points) -> Array:
        step = max(256, NUMBERS // points.ambient.shape[1])
        parts = [points[k : k + step] for k in range(0, len(points), step)]
        return np.concatenate([np.abs(evaluated(part.ambient) - truth(task, part)).max(1) for part in parts])

    points = space.sample(samples, seed, low_discrepancy=True)
    found = errors(points)
    sampled = best = float(found.max())
    if climbed and np.isfinite(found).all():
        worst = np.argsort(-found)[: 8 * climbed : 8]  # not all on the same hill
        best = float(ascend(space, points[worst], lambda some, _: errors(some), seed)[1].max())
    return Measured(max(best, sampled), sampled, float(np.sqrt(np.mean(found**2))))


def truth(task: ManifoldTask | TaskGraph, points: Points) -> Array:
    """f at points of a `Product`, (N, outputs)."""
    if isinstance(task, ManifoldTask):
        return task.evaluate(Points(points.chart[:, 0], points.intrinsic, points.base, points.ambient))
    return task(points.ambient)


@dataclass(frozen=True)
class Load:
    """How one layer's inputs are spread over its experts."""

    experts: int
    used: int
    """Experts that got any."""
    effective: float
    """1 / Σ p_i², E if all get as many."""
    largest: float
    """E·max p_i: the capacity factor that drops nothing."""

    @staticmethod
    def of(chosen: NDArray[np.integer], experts: int) -> Load:
        p = np.bincount(np.ravel(chosen), minlength=experts) / np.size(chosen)
        return Load(experts, int((p > 0).sum()), float(1 / (p**2).sum()), float(experts * p.max()))


def routes(network: Mixture | Network, x: Array) -> list[NDArray[np.int64]]:
    """The chosen experts of every layer with a choice, (N, K) each."""
    if isinstance(network, Network):
        return [c for layer, c in zip(network.layers, network.trace(x).chosen, strict=True) if len(layer.experts) > 1]
    with torch.no_grad():
        steps = network.steps(torch.from_numpy(x))
    return [step.experts.numpy() for step in steps if step.logits.shape[1] > 1]


def loads(network: Mixture | Network, task: ManifoldTask | TaskGraph, samples: int = 1 << 13, seed: int = 3) -> list[Load]:
    """The load of every layer with a choice, on points of the task's own distribution."""
    x = task.atlas.sample(samples, seed).ambient if isinstance(task, ManifoldTask) else task.sample(samples, seed)
    if isinstance(network, Network):
        sizes = [len(layer) for layer in network.layers if len(layer.experts) > 1]
    else:
        sizes = [shape.experts for shape in network.shapes if shape.experts > 1]
    return [Load.of(chosen, E) for chosen, E in zip(routes(network, x), sizes, strict=True)]


@dataclass(frozen=True)
class Slope:
    """d log y / d log x by least squares, with the half width of its 95 % confidence interval (Student's t; ∞ from two points)."""

    value: float
    half: float

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.half:.2f}" if np.isfinite(self.half) else f"{self.value:.2f}"


def slope(x: Any, y: Any) -> Slope:
    """Of points in the double logarithmic plane. The interval is for points that scatter about a line, which curves of errors do not
    quite do; it says how well a line fits."""
    a, b = np.log(np.asarray(x, float)), np.log(np.asarray(y, float))
    fit = stats.linregress(a, b)
    half = float(stats.t.ppf(0.975, len(a) - 2) * fit.stderr) if len(a) > 2 else float("inf")
    return Slope(float(fit.slope), half)
