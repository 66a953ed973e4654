"""What is measured at each point: the quantities whose worst values decide the claims."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array, Atlas, ManifoldTask, Points
from ...moe.network import Floats, Network
from ...moe.promise import ScorePromise

WORST_IS_LARGEST: Mapping[str, bool] = {
    "error": True,  # |f(x) − Ψ(x̂)|, largest component
    "tau_error": True,  # max_i |t_i(x) − τ_i(x̂)|
    "max_t": False,  # max_i t_i(x)
    "max_tau": False,  # max_i τ_i(x̂)
    "chosen_t": False,  # t at the chosen chart
    "separation": False,  # max_{i: x∈U_i} τ_i − max_{j: x∉U_j} τ_j
    "outside": True,  # 1 if x is not in the chosen chart
    "tied_error": True,  # the error if another expert with a tied score is chosen; 0 where no scores are tied
    "gap": False,  # largest minus second largest τ
    "carried": True,  # |x after layer 1 − x̂|
    "nonfinite": True,  # 1 if any logit, state or output is NaN or infinite
}
"""Quantity ↦ whether its worst value is the largest one."""
UNITS = 256
"""Units of rounding by which another batch size or other hardware is assumed to change a score."""
MOST_TIED = 4


@dataclass(frozen=True, eq=False)
class Observation:
    """All quantities at N points, each (N,) float64, and the routes (N,) of the last layer."""

    values: Mapping[str, Array]
    routes: NDArray[np.intp]
    memberships: int
    """The largest number of charts that contain one of the points."""

    def badness(self, quantity: str) -> Array:
        """The quantity with the sign that makes larger worse; NaN is worst of all."""
        values = self.values[quantity]
        return np.where(np.isnan(values), np.inf, values if WORST_IS_LARGEST[quantity] else -values)


def membership(atlas: Atlas, points: Points) -> NDArray[np.bool_]:
    """(N, E): whether each point lies in each U_i. A point lies in the chart that it was parametrised by."""
    if atlas.balls is not None:
        return atlas.powers(points.base) > 0
    inside = np.stack([atlas.contains(i, points.base) for i in range(len(atlas))], axis=-1)
    if not atlas.cover:
        for i in np.unique(points.chart):
            rows = np.flatnonzero(points.chart == i)
            inside[rows, i] |= atlas.parametrising[i].inside(points.intrinsic[rows])
    return inside


def scores(network: Network, ambient: Array) -> Floats:
    """τ(x̂): the logits of the last layer, (N, E), without running its experts."""
    state = np.asarray(ambient, network.dtype)
    if len(network.layers) > 1:
        state = Network(network.layers[:-1], network.inputs)(state)
    return network.layers[-1].logits(state)


def carries_input(network: Network) -> bool:
    """Whether the first layer's channels begin with the network's inputs, so that x must pass through it unchanged."""
    return len(network.layers) > 1 and network.layers[0].channels[: len(network.inputs)] == network.inputs


def separation(logits: Array, inside: NDArray[np.bool_]) -> Array:
    """max_{i: x∈U_i} τ_i − max_{j: x∉U_j} τ_j, (N, E) to (N,): +∞ where every chart contains x, −∞ where none does."""
    best = np.where(inside, logits, -np.inf).max(-1)
    stranger = np.where(inside, -np.inf, logits).max(-1)
    with np.errstate(invalid="ignore"):
        margin = best - stranger
    return np.where(np.isnan(logits).any(-1), np.nan, margin)


def tie_tolerance(dtype: np.dtype, logits: Array) -> float:
    """g: scores closer than this count as tied. `UNITS` units of rounding of the largest score, or of 1."""
    scale = np.abs(logits[np.isfinite(logits)]).max(initial=1.0)
    return UNITS * float(np.finfo(dtype).eps) * float(scale)


def tied_routes(logits: Array, chosen: NDArray[np.intp], tolerance: float) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows and experts, other than the chosen one, whose score is within `tolerance` of the largest; at most four per row."""
    close = logits >= logits.max(1, keepdims=True) - tolerance
    close[np.arange(len(logits)), chosen] = False
    rows, routes = np.nonzero(close)
    rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
    return rows[rank < MOST_TIED], routes[rank < MOST_TIED]


def error_along(network: Network, task: ManifoldTask, points: Points, routes: NDArray[np.intp]) -> Array:
    """|f(x) − Ψ(x̂)|, largest component, if the last layer takes these routes; (N,)."""
    output = network.trace(points.ambient.astype(network.dtype), [*[None] * (len(network.layers) - 1), routes]).output
    return np.abs(output.astype(float) - task.evaluate(points)).max(-1)


def observe(
    network: Network,
    task: ManifoldTask,
    points: Points,
    promise: ScorePromise | None,
) -> Observation:
    """Run the network at the points, rounded to its dtype, and compare with the task at the points themselves."""
    rounded = points.ambient.astype(network.dtype)
    with np.errstate(all="ignore"):
        trace = network.trace(rounded)
        logits, chosen = trace.logits[-1].astype(float), trace.routes[-1]
        rows = np.arange(len(points))
        inside = membership(task.atlas, points)
        finite = np.ones(len(points), bool)
        for array in (*trace.logits, *trace.states):
            finite &= np.isfinite(array).all(-1)
        values = {
            "error": np.abs(trace.output.astype(float) - task.evaluate(points)).max(-1),
            "separation": separation(logits, inside),
            "outside": np.where(inside[rows, chosen], 0.0, 1.0),
            "gap": np.diff(np.partition(logits, -2, axis=-1)[:, -2:])[:, 0] if logits.shape[1] > 1 else np.full(len(points), np.inf),
            "nonfinite": np.where(finite, 0.0, 1.0),
            "tied_error": np.zeros(len(points)),
        }
        tied, other = tied_routes(logits, chosen, tie_tolerance(network.dtype, logits))
        if len(tied):
            np.maximum.at(values["tied_error"], tied, error_along(network, task, points[tied], other))
        if carries_input(network):
            values["carried"] = np.abs(trace.states[0][:, : rounded.shape[1]].astype(float) - rounded.astype(float)).max(-1)
        if promise is not None:
            t = promise.reference(task.atlas, points.base)
            values["tau_error"] = promise.deviation(t, logits)
            values["max_t"], values["max_tau"] = t.max(-1), logits.max(-1)
            values["chosen_t"] = t[rows, chosen]
    return Observation(values, chosen, int(inside.sum(-1).max(initial=0)))
