"""Errors of a network at points that nothing was fitted to."""

from __future__ import annotations

import numpy as np

from ..atlas import Array, ManifoldTask
from ..moe.model import Model
from ..moe.network import Network
from .ledger import points_of

LEAST, PER_CHART = 1 << 12, 64
"""Points on a manifold: so many at least, and so many for each chart."""


def fresh_errors(model: Model, network: Network, salt: int) -> tuple[Array, Array]:
    """|f_j − Ψ_j| (N, outputs), ∞ where Ψ is no number, at points (N, D), for the f of a model's task and any network Ψ on it; `salt` is
    added to the seed of the model."""
    seed = int(model.facts.get("seed", 0)) + salt
    if isinstance(model.task, ManifoldTask):
        sampled = model.task.atlas.sample(max(LEAST, PER_CHART * len(model.task.atlas)), seed)
        ambient, truth = sampled.ambient, model.task.evaluate(sampled)
    else:
        ambient, _ = points_of(model.task, network.dtype, seed)
        truth = np.asarray(model.task.trace(ambient).output)
    error = np.abs(network(ambient).astype(float) - truth)
    return np.where(np.isnan(error), np.inf, error), ambient
