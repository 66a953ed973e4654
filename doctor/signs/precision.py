"""Precision: what a smaller dtype would send elsewhere.

Statement (N24). A route stays as it is if the margin exceeds η_i + η_j, in a dtype of unit roundoff u about u·|z| and what rounding the
rows and weights adds, 2u·(|w|·|x| + |b|). bfloat16 has u = 2^{-8}, so margins below a hundredth of the logits' size are lost. Here the
gate is run in the dtype, and the routes that change are counted: each is a witness. The reference are the same weights in float32 or
float64.

With charts what matters is whether experts that are chosen now hold x: a route that changes to another one that does changes the error by
no more than what is certified. Without a request for a smaller dtype, and where weights are stored in float32 or float64, it is told and
is no illness.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...moe.ledger import Known
from ..diagnosis import Bars, Diagnosis, Unanswered, as_witness
from ..patient import Gate, Patient
from .base import Answer, GateSign
from .margins import remedy

HALVES = ("bfloat16", "float16")


class Precision(GateSign):
    name, title = "precision", "precision"

    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        if gate.in_dtype is None or gate.logits is None:
            yield Unanswered(self.name, gate.name, "the weights of the gate, and the rows that reach it")
            return
        stored = gate.dtype in HALVES
        asked = patient.precision or (gate.dtype if stored else None)
        dtype = asked or "bfloat16"
        before = gate.choice.choose(gate.in_dtype("float32")) if stored else gate.seen
        after = gate.choice.choose(gate.in_dtype(dtype))
        moved = (np.sort(before, axis=1) != np.sort(after, axis=1)).any(1) if before.shape == after.shape else np.zeros(len(after), bool)
        wrong, what = moved, f"{dtype} takes another route at {int(moved.sum()):,} of {len(moved):,} rows ({moved.mean():.3g})"
        hypothesis = "N24: margins exceed η_i + η_j of the dtype, so that routes stay as they are"
        if gate.charts is not None and gate.charts.own and not gate.either:
            hold = np.take_along_axis(gate.charts.hold, after, 1).all(1)
            wrong = moved & ~hold & gate.charts.hold.any(1)
            what += f", at {int(wrong.sum()):,} of them to a {gate.charts.noun} that does not hold the row"
            hypothesis = f"N24: every {gate.charts.noun} that is taken in the dtype holds x"
        if asked is None:
            what += "; it is stored in " + gate.dtype + ", and nobody asks for " + dtype
        rows = gate.rows
        lost = np.bincount(before[moved][before[moved] >= 0], minlength=len(gate)) / np.maximum(gate.hits, 1)
        yield Diagnosis(
            self.name,
            gate.name,
            what,
            float(wrong.mean()),
            "<=",
            1.0 if asked is None else 0.0,
            "share rerouted" if wrong is moved else "share misrouted",
            hypothesis,
            remedy(gate) if stored else "keep the gate, and what it reads, in float32 (`atlasmoe.to_torch` does so through `.to(dtype)`)",
            Known.SAMPLED,
            len(moved),
            () if rows is None else tuple(as_witness(rows[k]) for k in np.flatnonzero(wrong)[:3]),
            Bars(
                f"{gate.name}: rerouted in {dtype}",
                gate.experts,
                np.asarray(lost, float),
                None,
                "",
                tuple(np.flatnonzero(lost).tolist()) if asked and wrong.any() else (),
            ),
        )
