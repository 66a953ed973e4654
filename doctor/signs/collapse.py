"""Routing collapse: what is still chosen no longer covers the inputs.

Statement (B16, N14). Let the gate choose K balls B(c_i, r_i), its logits off by at most η, and let κ_K be the least over M of the K-th
largest power r_i² − |x − c_i|². If 4η < κ_K every chosen ball holds x. Over the balls that are alive κ_K ≤ 4η is collapse: somewhere
fewer than K of them hold x by more than the floats hide. For charts or pieces of another kind the hypothesis is that at every x some
alive one holds it; seen on the rows.

Statement (pigeonhole). If no one says which chart an expert is for: where every cell of a mixture lies in a chart, the charts of the alive
experts cover M. So it has at least as many alive experts as the smallest number of charts that covers the rows.

Statement (N3). A gate that takes the same experts for all inputs, with weights that depend on the logits alone, is a dense layer: of E
experts K are used. With no task at hand, one route for all rows is collapse. Rows may agree by chance: if loads are equal, each set S of
experts has p_S ≤ K/E, and n different rows take one set with the chance Σ_S p_S^n ≤ (K/E)^{n−1}, at most 5 % from
n ≥ 1 + ln 20/ln(E/K) on; with fewer nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atlas import Array
from ...moe.ledger import Known
from ..diagnosis import Bars, Diagnosis, Unanswered, as_witness
from ..patient import Bools, Charts, Gate, Patient
from .base import Answer, GateSign, listed

REVIVE = (
    "build the gate from centres that cover the inputs (`atlasmoe.compile` of the task, or k-means centres c_i of the rows with "
    "weight c_i and bias −|c_i|²/2, B1), then train the experts with the gate frozen"
)


class Collapse(GateSign):
    name, title = "collapse", "routing collapse"

    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        charts = gate.charts
        if charts is None:
            enough = int(np.ceil(1 + np.log(20) / np.log(len(gate) / gate.choice.top_k))) if gate.choice.top_k < len(gate) else 0
            different = len(gate.seen) if gate.rows is None else len(np.unique(gate.rows, axis=0))
            if different < enough:
                needs = f"at least 1 + ln 20/ln(E/K) = {enough} different rows to tell one route from chance; got {different}"
                yield Unanswered(self.name, gate.name, needs)
            else:
                yield self._one_route(gate)
        elif not charts.own:
            yield self._pigeonhole(gate, charts)
        elif charts.powers is not None:
            yield self._balls(gate, charts.powers)
        else:
            yield self._covered(gate, charts, patient)

    def _picture(self, gate: Gate) -> Bars:
        even = 1 / len(gate)
        return Bars(
            f"{gate.name}: share of choices", gate.experts, gate.shares, even, "equal shares 1/E", tuple(np.flatnonzero(~gate.alive))
        )

    def _one_route(self, gate: Gate) -> Diagnosis:
        routes = np.sort(gate.seen, axis=1)
        distinct = len(np.unique(routes, axis=0))
        alive, E = int(gate.alive.sum()), len(gate)
        E_eff = 1 / float((gate.shares**2).sum())
        more = 1.0 if gate.choice.top_k < E else 0.0  # a gate that takes all experts always has one route
        return Diagnosis(
            self.name,
            gate.name,
            f"{alive} of {E} experts are chosen, in {distinct:,} different sets of {gate.choice.top_k}; as even as {E_eff:.3g} "
            "experts would be",
            float(distinct),
            ">",
            more,
            "different routes",
            "N3: a gate that always takes the same experts is a dense layer",
            REVIVE,
            Known.SAMPLED,
            len(gate.seen),
            (),
            self._picture(gate),
        )

    def _balls(self, gate: Gate, powers: Array) -> Diagnosis:
        K = gate.choice.top_k
        alive = np.where(gate.alive, powers, -np.inf)
        largest = np.partition(alive, -K, axis=1)[:, -K]
        worst = int(largest.argmin())
        eta = 0.0 if gate.error is None else float(gate.error.max())
        kappa = float(largest[worst])
        dead = tuple(np.array(gate.experts)[~gate.alive].tolist())
        return Diagnosis(
            self.name,
            gate.name,
            f"κ over the {int(gate.alive.sum())} alive of {len(gate)} balls is {kappa:.4g}"
            + (f"; never chosen: {listed(dead)}" if dead else ""),
            kappa,
            ">",
            4 * eta,
            "κ over alive balls",
            "B16: 4η < κ = min_x max_i (r_i² − |x − c_i|²), over balls that are chosen",
            REVIVE,
            Known.SAMPLED,
            len(powers),
            () if gate.rows is None else (as_witness(gate.rows[worst]),),
            self._picture(gate),
        )

    def _covered(self, gate: Gate, charts: Charts, patient: Patient) -> Diagnosis:
        bare = np.asarray(~(charts.hold & gate.alive).any(1) & charts.hold.any(1))
        points = patient.points
        witness = () if points is None else tuple(as_witness(points[k]) for k in np.flatnonzero(bare)[:3])
        return Diagnosis(
            self.name,
            gate.name,
            f"{int(bare.sum()):,} of {len(bare):,} rows are in no {charts.noun} that is ever chosen",
            float(bare.mean()),
            "<=",
            0.0,
            "share of rows left",
            f"4.8, step 3: at every x some {charts.noun} that holds it is chosen",
            REVIVE,
            Known.SAMPLED,
            len(bare),
            witness,
            self._picture(gate),
        )

    def _pigeonhole(self, gate: Gate, charts: Charts) -> Diagnosis:
        needed = cover_number(charts.hold)
        alive = int(gate.alive.sum())
        return Diagnosis(
            self.name,
            gate.name,
            f"{alive} of {len(gate)} experts are chosen; the rows lie in no fewer than {needed} {charts.noun}s",
            float(alive),
            ">=",
            float(needed),
            "alive experts",
            f"4.8 (N2): every cell lies in one {charts.noun}; so alive experts are no fewer than the {charts.noun}s that cover the inputs",
            REVIVE,
            Known.SAMPLED,
            len(charts.hold),
            (),
            self._picture(gate),
        )


def cover_number(hold: Bools) -> int:
    """A lower bound on how many charts it takes to cover the rows that lie in some: the linear relaxation of set cover, rounded up.

    The dual is what counts: y ≥ 0 on the rows with Σ_{n in chart} y_n ≤ 1 for every chart gives at least Σ y, whatever floats made of it
    once it is scaled to meet the constraints.
    """
    from scipy.optimize import linprog

    patterns = np.unique(hold[hold.any(1)], axis=0)
    if not len(patterns):
        return 0
    done = linprog(-np.ones(len(patterns)), A_ub=patterns.T.astype(float), b_ub=np.ones(patterns.shape[1]), method="highs")
    y = np.clip(done.x, 0, None) if done.status == 0 else np.zeros(len(patterns))
    y = y / max(1.0, float((patterns.T @ y).max()))
    return int(np.ceil(float(y.sum()) - 1e-6)) or 1
