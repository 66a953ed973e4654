"""What was written, run beside the network that it was written from: outputs and routes, on fresh points and on the hardest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...atlas.graph import as_graph
from ...errors import InvalidArgument
from ...moe import Model, Network
from ...moe.network import Floats, Indices
from ...progress import track
from ...verify.sample.hardest import hardest
from ...verify.sample.scores import tie_tolerance

FRESH = 1 << 13
"""Random points."""
CHUNK = 1 << 10
"""Points run at a time."""
Run = Callable[[Floats], tuple[Floats, Sequence[Indices]]]
"""Points [N, D] in the network's dtype ↦ outputs [N, out], and of every layer what its gate chose, [N, K] best first."""


@dataclass(frozen=True)
class Comparison:
    """What became of the network at some points."""

    points: int
    hardest: int
    """How many of them are ties, interfaces, corners, and worst points."""
    difference: float
    """The largest difference of an output, along the same routes."""
    flips: int
    """Points that take another way although no logits are tied."""
    ties: int
    """Points that take another way where logits are within rounding of each other: there both ways are ways of the network."""
    error: float
    """The largest |f − Ψ|."""
    epsilon: float
    worst: tuple[float, ...] | None
    """A point that takes another way; None if there is none."""

    @property
    def holds(self) -> bool:
        """Whether all routes are kept, and ε is met."""
        return self.flips == 0 and self.error <= self.epsilon

    def to_dict(self) -> dict[str, object]:
        return {**self.__dict__, "worst": None if self.worst is None else list(self.worst)}


def compared(model: Model, run: Run, network: Network | None = None, *, seed: int = 0) -> Comparison:
    """Run the exported function and `network` (the model's, unless another is given) at the same points, rounded to its dtype."""
    network = model.network if network is None else network
    graph = as_graph(model.task)
    hard = hardest(model, seed=seed + 1).ambient
    points = np.concatenate([graph.sample(FRESH, seed), hard])
    x = points.astype(network.dtype)
    difference = error = 0.0
    flips = ties = 0
    worst = None
    for start in track(range(0, len(x), CHUNK), "comparing"):
        part = x[start : start + CHUNK]
        y, routes = run(part)
        if y.shape != (len(part), len(network.outputs)) or len(routes) != len(network.layers):
            raise InvalidArgument(f"what was written gives {y.shape} numbers and {len(routes)} routes for {part.shape} inputs")
        own = network.trace(part)
        beside = network.trace(part, list(routes))
        difference = max(difference, _largest(y.astype(float) - beside.output.astype(float)))
        error = max(error, _largest(graph.largest(y.astype(float) - np.asarray(graph.trace(points[start : start + CHUNK]).output))))
        other, tied = _rerouted(network, own.logits, beside.logits, own.chosen, routes)
        flips, ties = flips + int((other & ~tied).sum()), ties + int(tied.sum())
        if worst is None and (other & ~tied).any():
            worst = tuple(points[start + int(np.flatnonzero(other & ~tied)[0])].tolist())
    return Comparison(len(x), len(hard), difference, flips, ties, error, float(model.facts["epsilon"]), worst)


def _largest(values: Floats) -> float:
    return float(np.nan_to_num(np.abs(values), nan=np.inf).max(initial=0.0))


def _rerouted(
    network: Network, logits: Sequence[Floats], again: Sequence[Floats], chosen: Sequence[Indices], routes: Sequence[Indices]
) -> tuple[Indices, Indices]:
    """Points whose sets of chosen experts differ, [N] bool; and those of them where all that differs are ties.

    `again` are the logits along the exported routes: at the first layer that differs they are those of the network.
    """
    other = np.zeros(len(chosen[0]), bool)
    tied = np.zeros(len(chosen[0]), bool)
    for layer, own, there, mine, theirs in zip(network.layers, logits, again, chosen, routes, strict=True):
        differs = (np.sort(mine, axis=1) != np.sort(theirs, axis=1)).any(1)
        if not differs.any():
            continue
        tolerance = tie_tolerance(network.dtype, own.astype(float))
        taken = np.take_along_axis(there, theirs, axis=1).min(1)
        best = np.sort(there, axis=1)[:, len(layer) - layer.top_k]
        close = best - taken <= tolerance
        first = differs & ~other
        tied[first & close] = True
        tied[differs & ~close] = False
        other |= differs
    return other, tied
