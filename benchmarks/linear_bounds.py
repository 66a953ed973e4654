"""Interval and linear bounds of a two-layer ReLU net over boxes, as general verifiers compute them, beside our enclosure.

Interval bounds push [lower, upper] through every map. Linear bounds (the backward mode of CROWN and DeepPoly) replace σ(z) on [l, u] by
the chord from above and by 0 or z, whichever is nearer, from below, and take the extrema of the linear functions that result. Neither
bounds its rounding. Both are written here: auto_LiRPA 0.3 from PyPI does not run on numpy 2.
"""

from __future__ import annotations

import time

import atlasmoe
import numpy as np
from atlasmoe.verify.enclosure import TaylorForms, prepare

BOXES = 512
HALF_WIDTHS = (0.1, 0.02, 0.004)

Ends = tuple[np.ndarray, np.ndarray]


def interval_bounds(maps: list[Ends], lower: np.ndarray, upper: np.ndarray) -> Ends:
    """Boxes (N, n) through W·x + b and σ in turn."""
    for k, (weight, bias) in enumerate(maps):
        middle, half = (lower + upper) / 2 @ weight.T + bias, (upper - lower) / 2 @ np.abs(weight).T
        lower, upper = middle - half, middle + half
        if k < len(maps) - 1:
            lower, upper = np.maximum(lower, 0), np.maximum(upper, 0)
    return lower, upper


def linear_bounds(maps: list[Ends], lower: np.ndarray, upper: np.ndarray) -> Ends:
    """Of one output behind one hidden layer."""
    (inner, bias), (outer, constant) = maps
    middle, half = (lower + upper) / 2, (upper - lower) / 2
    z, reach = middle @ inner.T + bias, half @ np.abs(inner).T
    l, u = z - reach, z + reach
    open_ = (l < 0) & (u > 0)
    above = np.where(open_, u / np.where(open_, u - l, 1.0), (l >= 0).astype(float))
    height = np.where(open_, -above * l, 0.0)
    below = np.where(open_, (u > -l).astype(float), above)
    v = outer[0]
    ends = []
    for positive, negative, lift, sign in ((below, above, np.minimum(v, 0), -1), (above, below, np.maximum(v, 0), 1)):
        slopes = np.where(v > 0, positive, negative) * v
        level = slopes @ bias + height @ lift + constant[0]
        linear = slopes @ inner
        ends.append(level + (linear * middle).sum(1) + sign * (np.abs(linear) * half).sum(1))
    return ends[0][:, None], ends[1][:, None]


def compare(model: atlasmoe.Model) -> None:
    """Widths of the bounds over random boxes around points of M, over the width that samples show, and boxes a second."""
    net = model.network.layers[-1].experts[0]
    maps = [(a.weight.astype(float), a.bias.astype(float)) for a in net.affines]
    assert len(maps) == 2
    ours = prepare(net)
    rng = np.random.default_rng(0)
    points = model.task.atlas.sample(20_000, 0).ambient
    chosen = points[model.network.layers[-1].logits(points).argmax(1) == 0][:BOXES]

    def taylor(_: list[Ends], lower: np.ndarray, upper: np.ndarray) -> Ends:
        found = ours(TaylorForms.variables(lower, upper)).range()
        return found.lower, found.upper

    print(
        f"one expert of width {net.widths[0]}, boxes of R^{chosen.shape[1]}: width of the bound over that of samples; boxes per CPU second"
    )
    for half in HALF_WIDTHS:
        lower, upper = chosen - half, chosen + half
        inside = rng.uniform(lower, upper, (256, *lower.shape))
        values = net(inside.reshape(-1, lower.shape[1])).reshape(256, -1)
        seen = values.max(0) - values.min(0)
        line = [f"half-width {half}:"]
        for name, bound in (("interval", interval_bounds), ("linear", linear_bounds), ("atlasmoe", taylor)):
            started = time.process_time()
            low, high = bound(maps, lower, upper)
            spent = time.process_time() - started
            line.append(f"{name} {np.median((high - low)[:, 0] / seen):.3g}, {len(chosen) / max(spent, 1e-9):,.0f}")
        print("  ".join(line), flush=True)
