"""Load imbalance, and what it drops.

Statement (N24). Let p_i be the share of expert i in all choices, Σp_i = 1. CV² = E·Σp_i² − 1 is the squared coefficient of variation of
the loads, E_eff = 1/Σp_i² the number of equally loaded experts that are as uneven. Where an expert takes at most C·n/E of the n choices
of a batch and drops the rest, nothing is dropped ⇔ E·max p_i ≤ C.

Load is irrelevant to the sup error, which is the worst of the experts' own: equal errors are what counts, not equal loads. So without a
capacity there is no threshold, and unequal loads are no illness: E·max p_i ≤ E always holds, and the numbers are told.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...moe.ledger import Known
from ..diagnosis import Bars, Diagnosis
from ..patient import Gate, Patient
from .base import Answer, GateSign


class Load(GateSign):
    name, title = "load", "load imbalance"

    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        p, E, C = gate.shares, len(gate), patient.capacity
        square = float((p**2).sum())
        most = int(p.argmax())
        value = E * float(p[most])
        said = f"CV² = {E * square - 1:.3g}, E_eff = {1 / square if square else 0:.3g} of {E}; {gate.experts[most]} takes {p[most]:.1%}"
        over = np.flatnonzero(E * p > (E if C is None else C))
        if C is None:
            said += "; no capacity is given, so nothing is dropped, and the sup error does not see loads"
        elif len(over):
            said += f"; {float(np.maximum(p - C / E, 0).sum()):.1%} of all choices are dropped"
        yield Diagnosis(
            self.name,
            gate.name,
            said,
            value,
            "<=",
            float(E if C is None else C),
            "E·max p_i",
            "N24: nothing is dropped ⇔ E·max p_i ≤ C" + ("" if C is not None else " (no C is given: C = E)"),
            f"a capacity factor of {value:.3g}; or balance the loads, for which an affine gate needs its biases alone "
            "(lower b_i of the crowded experts, as in loss-free balancing)",
            Known.SAMPLED,
            len(gate.seen),
            (),
            Bars(f"{gate.name}: E·p_i", gate.experts, E * p, C, f"capacity C = {C:g}" if C is not None else "", tuple(over.tolist())),
        )
