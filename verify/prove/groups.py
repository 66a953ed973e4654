"""Gates of groups (N15), recognised in the weights: of every group of logits exactly one is 0 and all others are negative, so that the K
largest of K groups are the zeros, one of each.

Numbers are here those of a dtype that are 0 or normal. Lemma. Let a logit be −Σ_k w_k·σ(s_k·(t_k − x)) − Σ_m w_m·σ(s_m·(x − r_m)), w ≥ 1, s
a power of two, x one number that the gate reads in each term. In reals and in floats with gradual underflow, sums in any order, it is 0
if x ≥ t_k and x ≤ r_m for all k and m, else negative:

* s·x and s·t are exact for s ≥ 1; for s < 1 we ask for |s·t| ≥ 2·(the smallest normal number), and where s·x is rounded it is too small to
  change the sign of s·t − s·x. A difference of two floats has the right sign, and is 0 only if they are equal;
* a product by w ≥ 1 does not vanish, and a sum of numbers ≥ 0 is 0 only if all of them are.

Of numbers, x ≥ t says x ≥ the least number ≥ t, and x ≤ r says x < the least number > r: every logit is 0 on a half-open box. A run of
consecutive outputs whose boxes are disjoint and fill all of space is a group; no shorter or longer run from the same output is one.
Where weights are uniform, logits s·x + b without a hidden layer do as well (N19): of a group one is ≥ 0 and all others are negative.
Groups of balls (N20) are another thing: `snapped`.
At a threshold between two numbers nothing is lost, as no number is there; in real arithmetic both sides are negative there, and that
is why what follows is said of numbers only. Between −(the smallest normal number) and 0 there are subnormal ones, which do not count.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import DTypeLike

from ...moe.layer import MoELayer, Weighting
from ...moe.nets import Affine, Net
from .snapped import apart

Sides = Mapping[int, tuple[float, float]]
"""Column that is read ↦ [low, high) on which a logit is 0; all of a line where it is left out. Ends are numbers, or infinite."""
LINE = (-np.inf, np.inf)


def least(t: float, dtype: DTypeLike, *, above: bool = False) -> float:
    """The least number (0, or normal) of the dtype that is ≥ t, or > t."""
    if not np.isfinite(t):
        return float(t)
    kind = np.float32 if np.dtype(dtype) == np.float32 else np.float64
    with np.errstate(over="ignore", under="ignore"):
        found = kind(t)
        if float(found) < t or (above and float(found) == t):
            found = np.nextafter(found, kind(np.inf))
    smallest = float(np.finfo(dtype).smallest_normal)
    value = float(found)
    return smallest if 0 < value < smallest else 0.0 if -smallest < value <= 0 else value


def sides_of(gate: Net, dtype: DTypeLike, *, equal: bool = True) -> list[Sides] | None:
    """Where every logit is 0, off which it is negative; None for gates of another form. Not `equal`: where it is ≥ 0."""
    if len(gate.affines) == 1:
        # z = s·x + b is ≥ 0 where σ(−s·x − b) is 0.
        rows = gate.affines[0].astype(float)
        busy = np.asarray(rows.weight.any(1))
        if (equal and busy.any()) or (rows.bias[~busy] != 0).any():
            return None
        hidden, out = Affine(-rows.weight[busy], -rows.bias[busy]), Affine(-np.eye(len(busy))[:, busy], np.zeros(len(busy)))
    elif len(gate.affines) != 2 or not gate.plain:
        return None
    else:
        hidden, out = (map_.astype(float) for map_ in gate.affines)
    if out.bias.any() or not ((out.weight == 0) | (out.weight <= -1)).all() or not ((hidden.weight != 0).sum(1) == 1).all():
        return None
    columns = np.abs(hidden.weight).argmax(1)
    slopes = hidden.weight[np.arange(len(columns)), columns]
    scales = np.abs(slopes)
    knots = -hidden.bias / slopes
    exact = (np.frexp(scales)[0] == 0.5) & np.isfinite(knots) & (knots * -slopes == hidden.bias)
    exact &= (scales >= 1) | (np.abs(hidden.bias) >= 2 * np.finfo(dtype).smallest_normal)
    if not exact.all():
        return None
    found: list[Sides] = []
    for row in out.weight:
        sides: dict[int, tuple[float, float]] = {}
        for k in np.flatnonzero(row):
            low, high = sides.get(int(columns[k]), LINE)
            if slopes[k] < 0:
                low = max(low, least(float(knots[k]), dtype))
            else:
                high = min(high, least(float(knots[k]), dtype, above=True))
            sides[int(columns[k])] = (low, high)
        found.append(sides)
    return found


def fills(boxes: Sequence[Sides]) -> bool | None:
    """Whether exactly one of the boxes holds any point; None if some overlap, so that no more of them will do."""
    axes = sorted({axis for box in boxes for axis in box})
    ends = np.array([[box.get(axis, LINE) for axis in axes] for box in boxes]).reshape(len(boxes), len(axes), 2)
    knots = [sorted({*LINE, *ends[:, k].ravel().tolist()}) for k in range(len(axes))]
    cells = np.array([[[bisect_left(knots[k], end) for end in box[k]] for k in range(len(axes))] for box in ends])
    cells = cells.reshape(len(boxes), len(axes), 2)
    if (cells[:, :, 0] >= cells[:, :, 1]).any():
        return None
    volumes = [_product((box[:, 1] - box[:, 0]).tolist()) for box in cells]
    low, high = np.maximum(cells[:, None, :, 0], cells[None, :, :, 0]), np.minimum(cells[:, None, :, 1], cells[None, :, :, 1])
    meeting = (low < high).all(2)
    if meeting.sum() > len(boxes):
        return None
    return sum(volumes) == _product([len(part) - 1 for part in knots])


def _product(numbers: Sequence[int]) -> int:
    found = 1
    for number in numbers:
        found *= number
    return found


def runs(boxes: Sequence[Sides], snapped: Mapping[int, range] | None = None) -> list[range] | None:
    """The groups that the outputs fall into, in order; None if they do not. `snapped`: runs that are groups for another reason."""
    found, start = list[range](), 0
    while start < len(boxes):
        run = (snapped or {}).get(start) or _filling(boxes, start)
        if run is None:
            return None
        found.append(run)
        start = run.stop
    return found


def _filling(boxes: Sequence[Sides], start: int) -> range | None:
    """The boxes from one on that fill space."""
    for stop in range(start + 1, len(boxes) + 1):
        filled = fills(boxes[start:stop])
        if filled is None:
            return None
        if filled:
            return range(start, stop)
    return None


@dataclass(frozen=True, eq=False)
class Groups:
    """The groups of a layer that takes one output of each, with equal weights."""

    runs: Sequence[range]
    snapped: Mapping[int, Net]
    """First output of a group of snapped scores ↦ the gate that stands for it (`snapped`)."""
    faces: Net
    """The gate of all other groups."""

    @property
    def numbers(self) -> bool:
        """Whether what is said of it is about numbers of the dtype only, as groups are made of faces."""
        return not self.snapped or any(len(run) > 1 and run.start not in self.snapped for run in self.runs)


def groups_in(layer: MoELayer, dtype: DTypeLike) -> Groups | None:
    """The groups of a layer; None for any layer without groups."""
    if layer.gate is None or layer.top_k == 1 or layer.weighting is Weighting.RECTIFIED:
        return None
    deep = apart(layer.gate, dtype)
    faces, snapped = (layer.gate, {}) if deep is None else (deep.faces, deep.snapped)
    boxes = sides_of(faces, dtype, equal=layer.weighting is Weighting.SOFTMAX)
    found = None if boxes is None else runs(boxes, {start: run for start, (run, _) in snapped.items()})
    if found is None or len(found) != layer.top_k:
        return None
    return Groups(found, {start: gate for start, (_, gate) in snapped.items()}, faces)


def groups_of(layer: MoELayer, dtype: DTypeLike) -> list[range] | None:
    """The groups of which a layer takes one output each, with equal weights; None for any other layer."""
    found = groups_in(layer, dtype)
    return None if found is None else list(found.runs)
