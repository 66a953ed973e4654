"""Experts too narrow for their cell: the error that no training can take away.

Statement (B3, B4, by counting). Let an expert be linear on each of at most P pieces of a segment, as a ReLU net of hidden widths w is for
P = ∏ (w_l + 1), and let |f − expert| ≤ e at the points a_t, (a_t + b_t)/2, b_t of n intervals [a_t, b_t] of the segment without
common interior. At most P − 1 of them contain a kink inside. On each other one the expert is affine, and its second difference is 0:
|f(a) − 2f((a + b)/2) + f(b)| ≤ 4e. So e is at least a quarter of the P-th largest of the n second differences of f.

For f with f″ ≥ μ₀ on a segment of length ℓ and n = P this is B4's μ₀ℓ²/(16·P²). It is evaluated on f itself: nothing is
estimated. The segment lies in the expert's cell if its ends do, where cells are convex (power cells, boxes).

The threshold is the error that the expert is allowed.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atlas import Array
from ...moe.ledger import Known
from ..diagnosis import Bars, Diagnosis, Unanswered, as_witness
from ..patient import Gate, Local, Patient
from .base import Answer, GateSign

WIDEST = 4096
"""Linear pieces beyond which the bound is below what floats resolve for most f, and is not looked for."""
SEGMENTS, EXPERTS = 12, 64
FINER = (1, 2, 4)
"""Intervals for every linear piece that are tried."""


class Width(GateSign):
    name, title = "width", "experts too narrow"
    of_task = True

    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        local = gate.local
        if local is None:
            yield Unanswered(
                self.name,
                gate.name,
                "a function on a flat domain (boxes) that one expert computes at a time, in cells that are convex: "
                "a task with inputs in boxes, K = 1, an affine gate or pieces",
            )
        elif local.budget is None:
            yield Unanswered(self.name, gate.name, "an error that is allowed; give {epsilon=1e-2}")
        elif not gate.sizes or all(size.linear_pieces is None for size in gate.sizes):
            yield Unanswered(self.name, gate.name, "experts that are linear piece by piece (ReLU nets whose widths are known)")
        else:
            yield self._judged(gate, local, local.budget)

    def _judged(self, gate: Gate, local: Local, budget: float) -> Diagnosis:
        bounds, witness = np.zeros(len(gate)), {}
        rng = np.random.default_rng(0)
        for i in np.flatnonzero(gate.alive)[:EXPERTS]:
            pieces = gate.sizes[i].linear_pieces
            rows = np.flatnonzero(gate.seen[:, 0] == i)
            if pieces is not None and pieces <= WIDEST and len(rows) > 1:
                bounds[i], witness[i] = _lower_bound(local, local.points[rows], pieces, rng)
        worst = int(bounds.argmax())
        narrow = np.flatnonzero(bounds > budget)
        value, pieces = float(bounds[worst]), gate.sizes[worst].linear_pieces or 1
        enough = int(np.ceil(pieces * np.sqrt(max(value, budget) / budget)))
        return Diagnosis(
            self.name,
            gate.name,
            f"{len(narrow)} of {len(gate)} experts are too narrow: {gate.experts[worst]}, which has {pieces} linear pieces on a "
            "segment, errs "
            f"by {value:.3g} at least in its cell, however it is trained",
            value,
            "<=",
            budget,
            "lower bound on an expert's error",
            "B4: an expert's linear pieces suffice for the curvature of f in its cell, μ₀ℓ²/(16P²) ≤ ε",
            f"about {enough} linear pieces ({enough - 1} neurons of one hidden layer), or cells half as wide, which need half as "
            "many; or smooth "
            'neurons (activation="silu")',
            Known.SAMPLED,  # f is evaluated in float64, not enclosed
            len(gate.seen),
            tuple(as_witness(end) for end in witness.get(worst, ())),
            Bars(f"{gate.name}: lower bounds on errors", gate.experts, bounds, budget, "allowed", tuple(narrow.tolist())),
        )


def _lower_bound(local: Local, rows: Array, pieces: int, rng: np.random.Generator) -> tuple[float, tuple[Array, ...]]:
    """The best bound over some long segments between rows of a cell, and the ends of that segment."""
    a, b = rows[rng.integers(len(rows), size=256)], rows[rng.integers(len(rows), size=256)]
    order = np.argsort(-np.linalg.norm(a - b, axis=1))[:SEGMENTS]
    best: tuple[float, tuple[Array, ...]] = (0.0, ())
    for k in order:
        for finer in FINER:
            found = by_counting(local, a[k], b[k], pieces, finer * pieces)
            if found > best[0]:
                best = found, (a[k], b[k])
    return best


def by_counting(local: Local, a: Array, b: Array, pieces: int, intervals: int) -> float:
    """The statement, for `intervals` equal ones: a quarter of the P-th largest second difference, of the component where it is largest."""
    t = np.linspace(0, 1, 2 * intervals + 1)[:, None]
    f = np.asarray(local.function(a + t * (b - a)), float)
    if not np.isfinite(f).all():
        return 0.0
    second = np.abs(f[:-2:2] - 2 * f[1::2] + f[2::2])
    largest = np.sort(second, axis=0)[-pieces]
    # What the evaluation of f may be off by, a few units in the last place of its largest value.
    return float(np.max(largest / 4 - 16 * np.finfo(float).eps * np.abs(f).max(), initial=0.0))
