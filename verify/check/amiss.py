"""Experts that may be chosen although their charts do not hold the point, and how little softmax weights make them count (N12).

Let chart v hold the box, and z_v be more than 2η above the logit of every expert that may be chosen and is not known to hold it. Wherever
one of these is among the K, z_v is too, so that no more than K − 1 of them are, each with at most the part exp(z_j − z_v + 2η) of z_v's
own weight. So together they have at most the part W = Q/(1 + Q) of all, Q a sum of K − 1 such powers. As weights add up to 1,

    |f − Σ w_j·q_j| ≤ max |f − q_j| over those that hold the box + W·(what the others are further off than these).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from ...atlas import Array
from ...intervals import Interval
from ...intervals.patch import GROW, Patch
from .compared import difference
from .documents import Site
from .layers import Layer
from .nets import Flags, Map
from .networks import Frame, Rows, outer
from .refused import Refused


def counts(frame: Frame, layer: Layer, state: Rows, possible: Flags, held: Flags, eta: float) -> Array:
    """At most what experts weigh that do not hold the box, (R,); `possible` and `held`: (R, E), those that surely hold it."""
    assert layer.gate is not None
    hidden, last = frame.hidden(layer.gate, state.channels(layer.sees)), outer(layer.gate)
    logits = frame.affine(last, hidden)
    middle = np.where(possible & held, logits.core[:, : frame.vertices].mean(1), -np.inf)
    best, known = middle.argmax(1), np.isfinite(middle).any(1)
    away, found = possible & ~held, np.zeros(len(state))
    for v in np.unique(best):
        rows = np.flatnonzero(best == v)
        apart = frame.affine(Map(last.weight[v] - last.weight, last.bias[v] - last.bias), hidden.subset(rows))
        room = frame.vertex_range(apart)[0] + frame.deviation(apart)[0] - 2 * eta * GROW
        powers = np.where(room > 0, Interval.of(-np.abs(room)).exp().upper, np.inf)
        powers = -np.sort(-np.where(away[rows], powers, 0.0), axis=1)[:, : max(1, layer.top_k - 1)]
        total = powers.sum(1) * GROW
        with np.errstate(invalid="ignore"):
            found[rows] = np.where(np.isfinite(total), GROW * total / (1 + total), 1.0)
    return np.where(known | ~away.any(1), found, 1.0)


def mixture(frame: Frame, layer: Layer, state: Rows, truth: Patch, possible: Flags, held: Flags, weigh: Array) -> tuple[Array, Array]:
    """How far the experts that hold a box are from f, and what the others may add to that, which weigh so much; (R,) each."""
    near, off = np.zeros((2, len(state)))
    for j in np.flatnonzero(possible.any(0)).tolist():
        mine = np.flatnonzero(possible[:, j])
        part = state.subset(mine)
        found = frame.placed(layer, part, frame.net(layer.nets[int(layer.serves[j])], part.channels(layer.reads)))
        size, _ = difference(truth.subset(found.box), frame, found)
        for which, most in ((held[mine, j], near), (~held[mine, j], off)):
            most[mine[which]] = np.maximum(most[mine[which]], size[which])
    return near, np.where(weigh > 0, weigh * np.maximum(off - near, 0), 0.0) * GROW


def may_be_amiss(site: Site, last: Layer, either: Collection[str]) -> float | None:
    """What experts may weigh together that do not hold a point: as the certificate says, where the design says that some may be chosen."""
    known = site.charts and site.name in either and last.top_k > 1 and last.weighting == "softmax"
    if site.amiss is not None and not (known and 0 < site.amiss <= 1):
        raise Refused(f"experts are said to weigh {site.amiss} amiss, where none may be chosen, or that is no weight")
    return site.amiss
