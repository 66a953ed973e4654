"""Misrouted inputs: the winner's chart does not hold x.

Statement (4.8, step 3; N2). A mixture computes f through charts if every input goes to experts whose chart holds it: M ∩ P_i ⊂ U_i, P_i the
cell of expert i. Any x ∈ P_i∖U_i is a witness that fails it: there the expert's chart says nothing.

Where nobody says which chart an expert is for, the hypothesis is that there is one: for every alive expert some chart holds all of its
rows. The chart that holds most of them is taken, which is the most favourable reading, and the other rows are witnesses.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...moe.ledger import Known
from ..diagnosis import Bars, Diagnosis, Unanswered, as_witness
from ..patient import Bools, Gate, Patient
from .base import Answer, Sign, listed


class Misrouted(Sign):
    name, title = "misrouted", "misrouted inputs"
    of_task = True

    def look(self, patient: Patient) -> Iterator[Answer]:
        if patient.misrouted is not None:
            yield self._of_model(patient, patient.misrouted)
            return
        found = [gate for gate in patient.gates if gate.charts is not None and not gate.charts.own and gate.routes is not None]
        if not found and patient.kind == "model":
            yield Unanswered(
                self.name, patient.name, "points that all lie on the manifold of its task; leave others out of {data=points.npy}"
            )
        elif not found:
            yield Unanswered(self.name, patient.name, "a task on one manifold, which says which charts hold an input; give {task=SPEC}")
        for gate in found:
            yield self._at_best(gate, patient)

    def _of_model(self, patient: Patient, wrong: Bools) -> Diagnosis:
        points = patient.points
        assert points is not None
        return Diagnosis(
            self.name,
            patient.name,
            f"{int(wrong.sum()):,} of {len(wrong):,} inputs go to a chart or piece that does not hold them",
            float(wrong.mean()),
            "<=",
            0.0,
            "share misrouted",
            "4.8, step 3: x ∈ U_i for every expert i that x goes to",
            "compile the task again (`atlasmoe.compile`), whose gate is proved; or freeze its gate when you train, as fine-tuning moves it",
            Known.SAMPLED,
            len(wrong),
            tuple(as_witness(points[k]) for k in np.flatnonzero(wrong)[:3]),
            self._shares(patient, wrong),
        )

    def _shares(self, patient: Patient, wrong: Bools) -> Bars | None:
        gate = next((g for g in patient.gates if g.routes is not None), None)
        if gate is None:
            return None
        routes = gate.seen
        bad = np.bincount(routes[wrong][routes[wrong] >= 0], minlength=len(gate))
        return Bars(f"{gate.name}: misrouted rows", gate.experts, bad.astype(float), None, "", tuple(np.flatnonzero(bad).tolist()))

    def _at_best(self, gate: Gate, patient: Patient) -> Diagnosis:
        charts, routes = gate.charts, gate.seen
        assert charts is not None
        wrong, taken = np.zeros(len(routes), bool), []
        counts = np.zeros(len(gate))
        for i in np.flatnonzero(gate.alive):
            rows = np.flatnonzero((routes == i).any(1))
            best = int(charts.hold[rows].sum(0).argmax())
            out = rows[~charts.hold[rows, best]]
            counts[i] = len(out)
            wrong[out] = True
            if len(out):
                taken.append(f"{gate.experts[i]} ({len(out):,} of its {len(rows):,} rows are outside {charts.names[best]})")
        points = patient.points
        return Diagnosis(
            self.name,
            gate.name,
            f"{int(wrong.sum()):,} of {len(wrong):,} rows go to an expert whose cell lies in no one {charts.noun}"
            + (f": {listed(tuple(taken), 3)}" if taken else ""),
            float(wrong.mean()),
            "<=",
            0.0,
            "share misrouted",
            f"N2, 4.8: the cell of every expert lies in one {charts.noun}",
            "a gate with the cells of the task: `atlasmoe.compile` builds one, affine on balls (B1, B16) and with a hidden layer "
            "(N1) where no "
            "affine gate can route the charts (N2); or more experts, so that cells are smaller",
            Known.SAMPLED,
            len(wrong),
            () if points is None else tuple(as_witness(points[k]) for k in np.flatnonzero(wrong)[:3]),
            Bars(f"{gate.name}: rows outside the best chart", gate.experts, counts, None, "", tuple(np.flatnonzero(counts).tolist())),
        )
