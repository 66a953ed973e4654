"""Groups of rectified weights (N18): of every group at most two logits are positive anywhere, by which a layer is a sum of groups.

Lemma. Let a layer weigh the K largest logits z by σ(z), let its outputs be runs, and let of run l at most k_l ≤ 2 logits exceed −1/2 at
any point, Σ k_l ≤ K. Let every logit be computed to within less than 1/4. Then all logits that are positive, and all that are computed as
positive, are among the K largest, and all others have the weight 0. So the layer is the sum over all of its experts, each weighed by
σ(z), one run after the other, in reals and in floats.

How closely logits are computed is known of runs that add to the outputs of the network, because what they add is proved. Of any other run,
one whose experts write nothing or whose numbers a later layer may leave unread, nothing is known: all of its logits may be positive as
computed, and take the places of others. So k_l is then the number of its outputs.

Of a gate z_i = B_i − Σ_k w_ik·σ(s_k·x + b_k), w ≥ 0, x one number that a run reads: z_i > −1/2 needs w_ik·(s_k·x + b_k) < B_i + 1/2 for
every k, which is an interval; how many of these meet is seen at their ends.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Net

ROOM = 0.5
CLOSE = 0.25
"""How closely logits have to be computed."""
SLACK = 2.0**-40
Reach = tuple[int, float, float]
"""Column that is read, −1 for none, and the ends of an interval beyond which a logit is below −ROOM."""


def hats_of(layer: MoELayer, last: bool) -> list[range] | None:
    """The runs of such a layer; None for other layers. `last`: whether it leaves the outputs of the network."""
    if layer.gate is None or layer.weighting is not Weighting.RECTIFIED:
        return None
    reaches = _reaches(layer.gate)
    if reaches is None:
        return None
    starts = [n for n in range(len(reaches)) if n == 0 or reaches[n][0] != reaches[n - 1][0] or reaches[n][0] < 0]
    runs = [range(a, b) for a, b in zip(starts, [*starts[1:], len(reaches)], strict=True)]
    writing = [last and any(_writes(layer.experts[layer.serves[i]]) for i in run) for run in runs]
    most = [_meeting([reaches[i][1:] for i in run]) for run in runs]
    places = [count if known else len(run) for count, known, run in zip(most, writing, runs, strict=True)]
    return runs if len(runs) > 1 and sum(places) <= layer.top_k and max(most) <= 2 else None


def _writes(net: Net) -> bool:
    """Whether an expert computes anything but 0."""
    last = net.affines[-1]
    return bool(last.weight.any() or last.bias.any())


def _reaches(gate: Net) -> list[Reach] | None:
    if len(gate.affines) != 2 or not gate.plain:
        return None
    hidden, out = (map_.astype(float) for map_ in gate.affines)
    if (out.weight > 0).any() or not ((hidden.weight != 0).sum(1) == 1).all():
        return None
    found: list[Reach] = []
    columns = np.abs(hidden.weight).argmax(1) if len(hidden.weight) else np.zeros(0, np.intp)
    for row, bias in zip(out.weight, out.bias, strict=True):
        terms = np.flatnonzero(row)
        if len(set(columns[terms].tolist())) > 1:
            return None
        low, high = -np.inf, np.inf
        for k in terms:
            slope, most = float(hidden.weight[k, columns[k]]), max(float(bias) + ROOM, 0.0) / -float(row[k])
            end = (most - float(hidden.bias[k])) / slope
            end += np.sign(slope) * SLACK * (abs(most) + abs(float(hidden.bias[k]))) / abs(slope)
            low, high = (low, min(high, end)) if slope > 0 else (max(low, end), high)
        found.append((int(columns[terms[0]]) if len(terms) else -1, low, high))
    return found


def _meeting(ends: Sequence[tuple[float, float]]) -> int:
    """How many closed intervals meet at a point, at most."""
    return max(sum(low <= at <= high for low, high in ends) for at in [low for low, _ in ends])
