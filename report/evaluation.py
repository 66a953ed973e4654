"""What figures show of a model at given points: target, output, error, scores and routes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array, Points
from ..moe.model import Model


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model at N points."""

    target: Array
    """f, (N, outputs)."""
    output: Array
    """Ψ, (N, outputs)."""
    scores: Array
    """τ, (N, E): the logits of the last layer."""
    routes: NDArray[np.intp]

    @property
    def error(self) -> Array:
        """|f − Ψ|, largest component, (N,)."""
        return np.abs(self.target - self.output).max(-1)

    @property
    def gap(self) -> Array:
        """Largest minus second largest score, (N,); infinite if there is one expert."""
        if self.scores.shape[1] < 2:
            return np.full(len(self.scores), np.inf)
        two = np.partition(self.scores, -2, axis=1)[:, -2:]
        return two[:, 1] - two[:, 0]


def evaluate(model: Model, points: Points) -> Evaluation:
    """Task and network at the points, the network in its own dtype."""
    with np.errstate(all="ignore"):
        trace = model.network.trace(points.ambient)
        return Evaluation(
            model.manifold_task.evaluate(points), trace.output.astype(float), trace.logits[-1].astype(float), trace.routes[-1]
        )
