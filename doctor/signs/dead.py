"""Dead experts: stored, and never chosen.

Statement (N24). If an expert is chosen at none of N independent rows, its share of them is p < 3/N with confidence 95 %: for p ≥ 3/N
the chance of that is (1 − p)^N ≤ e^{−3} < 0.05. With equal loads every expert has K/E, and the chance that any of the E experts goes
without a hit is at most E·(1 − K/E)^N ≤ E·e^{−NK/E}: 5 % at most from N ≥ (E/K)·ln(20·E) rows on. Then an expert without a hit has less
than its equal share, and that is the threshold; with fewer rows nothing is said.

Statement (N2). The gate x ↦ W·x + b is a power diagram, and an expert whose cell does not meet a box of inputs is dead on it for certain:
`power_cells`, proved in rational arithmetic. The box is that of the rows, made wider by half on every side.

If gate output i stands for chart i and none of the rows lies in that chart, nothing is said of expert i: it has not been asked for (a piece
may be smaller than 3/N). Rows in its chart that all go to others make it dead.

A dead expert costs numbers and no error (N24: load is irrelevant to the error); what fails is that 4.8 gives every expert a chart that is
not empty.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atlas import Array
from ...moe.ledger import Known
from ..diagnosis import Bars, Diagnosis, Unanswered
from ..patient import Bools, Gate, Patient
from ..power_cells import EmptyCell, empty_cell, holds
from .base import NO_ROWS, Answer, GateSign, listed

WIDER = 0.5
"""How far beyond the rows the box reaches on every side, in its own widths."""
MOST_PROVED = 64
"""Experts of a gate, at most, for which a proof is sought."""


class Dead(GateSign):
    name, title = "dead", "dead experts"

    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        N, E, K = len(gate.seen), len(gate), gate.seen.shape[1]
        enough = int(np.ceil(E / K * np.log(20 * E)))
        if enough > N:
            yield Unanswered(
                self.name, gate.name, f"at least (E/K)·ln(20·E) = {enough} rows to tell a dead expert from an unlucky one; got {N}"
            )
            return
        none = np.flatnonzero((gate.hits == 0) & _asked_for(gate))
        box = _box(gate)
        proofs = [] if box is None else proved(gate, none[:MOST_PROVED].tolist(), *box)
        certain = {proof.expert for proof in proofs}
        names = tuple(gate.experts[k] + (" (proved)" if k in certain else "") for k in none)
        what = f"{len(none)} of {E} experts are chosen at none of {N:,} rows" + (f": {listed(names)}" if names else "")
        if gate.charts is not None and (unknown := E - int(_asked_for(gate).sum())):
            what += f"; {unknown} more have a {gate.charts.noun} that holds none of the rows, so nothing is known of them"
        if proofs:
            least = min(proof.beaten_by for proof in proofs)
            what += (
                f"; of {len(proofs)} it is proved for the whole box of the rows, half as wide again on every side: "
                f"always beaten by {least:.3g}"
            )
        yield Diagnosis(
            self.name,
            gate.name,
            what,
            float(len(none)),
            "<=",
            0.0,
            "experts without a hit",
            f"4.8: every expert has a part of the inputs (no hit in N rows: p < 3/N = {3 / N:.2g} at 95 %, its equal share is {K / E:.2g})",
            "leave the dead experts out, their rows of the gate with them, or give their centres to rows with the largest error "
            "and train again",
            Known.PROVED if len(certain) and len(certain) == len(none) else Known.SAMPLED,
            N,
            (),
            Bars(f"{gate.name}: hits", gate.experts, gate.hits.astype(float), 3.0, "3, below which nothing is said", tuple(none.tolist())),
        )

    def without_rows(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        """Without rows an affine gate may still have cells that are empty in a box around 0."""
        if gate.affine is None or gate.choice.on == "sigmoid" or gate.choice.groups > 1:
            yield Unanswered(self.name, gate.name, NO_ROWS)
            return
        D = gate.affine[0].shape[1]
        side, tried = np.full(D, FAR), min(len(gate), MOST_PROVED)
        proofs = proved(gate, list(range(tried)), -side, side)
        names = tuple(gate.experts[proof.expert] for proof in proofs)
        yield Diagnosis(
            self.name,
            gate.name,
            f"{len(proofs)} of {len(gate)} experts are proved to be chosen at no input with all |x_k| ≤ {FAR:g}"
            + (f": {listed(names)}" if names else "")
            + (f" (the first {tried} were looked at)" if tried < len(gate) else ""),
            float(len(proofs)),
            "<=",
            0.0,
            "empty power cells",
            "N2, 4.8: the power cell of every expert is not empty (linear programming, checked in rational arithmetic)",
            "leave the dead experts out, their rows of the gate with them, or move their centres to where inputs are",
            Known.PROVED if proofs else Known.SAMPLED,
        )


FAR = 1e3
"""Half the side of the box in which cells are looked for where no rows are known."""


def proved(gate: Gate, experts: list[int], lower: Array, upper: Array) -> list[EmptyCell]:
    """Proofs that experts are chosen nowhere in a box; each was checked."""
    if gate.affine is None or gate.choice.on == "sigmoid" or gate.choice.groups > 1:
        return []
    weight, bias = gate.affine
    found = (empty_cell(weight, bias, k, lower, upper, gate.choice.top_k) for k in experts)
    return [proof for proof in found if proof is not None and holds(proof, weight, bias, lower, upper)]


def _asked_for(gate: Gate) -> Bools:
    """Experts of which the rows say something, (E,): all, or those in whose own chart some row lies."""
    if gate.charts is None or not gate.charts.own:
        return np.ones(len(gate), bool)
    return np.asarray(gate.charts.hold.any(0))


def _box(gate: Gate) -> tuple[Array, Array] | None:
    if gate.rows is None:
        return None
    low, high = gate.rows.min(0), gate.rows.max(0)
    return low - WIDER * (high - low), high + WIDER * (high - low)
