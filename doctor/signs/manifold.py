"""Points off the manifold, of which no theorem says anything.

Statement (N11). On a ball B(c, r) of a manifold of reach τ_M with the tangent chart Enc x = Vᵀ(x − c), Dec u = c + V·u, every x ∈ M ∩
B(c, r) has |x − Dec Enc x| ≤ |x − c|²/(2τ_M) ≤ r²/(2τ_M). So a point of the ball with a larger residual is proved to be none of M.

For a chart with its own inverse the residual |φ⁻¹(φ(x)) − x| of a point of U is 0; a point whose residual exceeds what float64 leaves of
0 in every chart that it could be of is off M. Boxes: by how much x leaves them.

"Proved" takes one thing for granted: that charts evaluated in float64 are right to 10⁻⁶·(1 + |x|), which the bounds leave.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...moe.ledger import Known
from ..diagnosis import Diagnosis, Spread, Unanswered, as_witness
from ..patient import Patient
from .base import Answer, Sign


class OffManifold(Sign):
    name, title = "manifold", "points off the manifold"
    of_task = True

    def look(self, patient: Patient) -> Iterator[Answer]:
        if patient.points is None or not patient.given:
            yield Unanswered(
                self.name, patient.name, "points of yours; give {data=points.npy} (those drawn from the task lie on its manifold)"
            )
            return
        if patient.distance is None:
            yield Unanswered(self.name, patient.name, "a task that says what the manifold is; give {task=SPEC}")
            return
        residual, bound, said = patient.distance(patient.points)
        off = ~(residual <= bound)
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.where(off & (bound <= 0), np.inf, residual / bound)
        order = np.argsort(-np.nan_to_num(ratio, nan=np.inf, posinf=1e300), kind="stable")
        yield Diagnosis(
            self.name,
            patient.name,
            f"{int(off.sum()):,} of {len(off):,} points are proved to be off the manifold: {said}",
            float(off.mean()),
            "<=",
            0.0,
            "share off the manifold",
            "N11: |x − Dec Enc x| ≤ r²/(2τ_M) for points of M; the theorems speak of x ∈ M",
            "project the points onto the manifold first, or describe the set that they lie on (more charts, a higher dimension)",
            Known.PROVED if off.any() else Known.SAMPLED,
            len(off),
            tuple(as_witness(patient.points[k]) for k in order[:3] if off[k]),
            Spread(
                "residual of every point",
                ratio,
                1.0,
                "residual / bound",
                "1: above it the point is off the manifold",
            ),
        )
