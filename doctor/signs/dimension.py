"""The intrinsic dimension of the data against d.

Statement. The theorems are about M of dimension d, experts read ℓ ≥ d numbers, and no continuous injection takes a set with interior of
dimension d̂ > ℓ into R^ℓ (invariance of domain). So d̂ > d says that the data do not lie on the M that is described, and d̂ > ℓ that no
expert can tell its inputs apart.

Estimator (two nearest neighbours: Facco, d'Errico, Rodriguez, Laio 2017). For points with a locally constant density on a set of
dimension d the ratio μ = r₂/r₁ of distances to the second and the first neighbour has P(μ > t) = t^{−d}. So Σ ln μ over n independent
points is a Gamma variable, 2d·Σ ln μ ~ χ²_{2n}: d̂ = n/Σ ln μ, and with confidence 95 % d ∈ [χ²_{2n, 0.025}, χ²_{2n, 0.975}]/(2Σ ln μ).
What is assumed: points are independent, and the density hardly changes between a point and its second neighbour. Where it does (boundaries,
many dimensions, few points) d̂ is too small, never too large by much. Where points keep apart from each other (grids, low-discrepancy
sequences, rounded numbers) ratios crowd at 1 and d̂ is too large, without a bound. So the assumption is tested before anything is called
ill: by Dvoretzky, Kiefer, Wolfowitz and Massart sup |F_n − F| ≤ √(ln 40/(2n)) with confidence 95 %, F(μ) = 1 − μ^{−d}; it is
taken at d̂, which follows the points, so that sound data are let pass more often still. Points that occur twice are counted once; ratios are
taken at the points of a subset, so that they are nearly independent.

Ill is an interval all of whose numbers round to more than d, of ratios that pass.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atlas import Array
from ...moe.ledger import Known
from ..diagnosis import Curve, Diagnosis, Unanswered
from ..patient import Patient
from .base import Answer, Sign

LEAST, MOST = 64, 4096
"""Different points that it takes, and that are compared."""


class Dimension(Sign):
    name, title = "dimension", "intrinsic dimension"

    def look(self, patient: Patient) -> Iterator[Answer]:
        if patient.dimension is not None and patient.points is not None:
            yield self._judged(patient.name, patient.points, patient.dimension, "d of the task", "the theorems are about M of dimension d")
            return
        for gate in patient.gates:
            if gate.rows is None:
                yield Unanswered(self.name, gate.name, "rows that reach it; give {data=points.npy}")
            elif gate.reads is not None:
                yield self._judged(
                    gate.name,
                    gate.rows,
                    gate.reads,
                    "ℓ, the numbers that an expert reads",
                    "N10: Enc : M → R^ℓ is injective, for which ℓ ≥ d (invariance of domain)",
                )

    def _judged(self, where: str, rows: Array, d: int, called: str, hypothesis: str) -> Answer:
        found = two_nearest(rows)
        if found is None:
            return Unanswered(self.name, where, f"at least {LEAST} different rows")
        estimate, low, high, ratios = found
        n = len(ratios)
        if low >= d + 0.5 and not pareto(ratios, estimate):
            return Unanswered(
                self.name, where, "rows that are independent draws; ratios of neighbours' distances are not those of any, but as on a grid"
            )
        t = np.log(np.sort(ratios)[: int(0.98 * n)])
        seen = -np.log1p(-np.arange(1, len(t) + 1) / (n + 1))
        return Diagnosis(
            self.name,
            where,
            f"the rows have dimension {estimate:.2f} (95 %: {low:.2f} to {high:.2f}, {n:,} ratios); {called} is {d}",
            low,
            "<",
            d + 0.5,
            "lower end of 95 %",
            f"{hypothesis}; every number of the interval rounds to more than {d} where it fails",
            f"describe the data by charts of dimension {round(estimate)} or more; or take away what raises it (noise in all "
            "directions does)",
            Known.SAMPLED,
            n,
            (),
            Curve(
                f"{where}: −ln(1 − F(μ)) against ln μ",
                t,
                (("seen", seen), (f"slope {estimate:.2f}", estimate * t), (f"slope d = {d}", d * t)),
                ("ln μ, μ = r₂/r₁", "−ln(1 − F)"),
                dots=True,
            ),
        )


def pareto(ratios: Array, d: float) -> bool:
    """Whether sup |F_n − F| ≤ √(ln 40/(2n)) for F(μ) = 1 − μ^{−d}."""
    F = -np.expm1(-d * np.log(np.sort(ratios)))
    n, k = len(F), np.arange(len(F))
    return bool(max((F - k / n).max(), ((k + 1) / n - F).max()) <= np.sqrt(np.log(40) / (2 * n)))


def two_nearest(rows: Array, seed: int = 0) -> tuple[float, float, float, Array] | None:
    """(d̂, lower, upper, ratios) of the rows; None for too few different ones."""
    from scipy.spatial import cKDTree
    from scipy.special import gammaincinv

    points = np.unique(rows, axis=0)
    if len(points) < LEAST:
        return None
    rng = np.random.default_rng(seed)
    points = points[rng.permutation(len(points))[:MOST]]
    at = points[: max(LEAST // 2, len(points) // 2)]
    distances, _ = cKDTree(points).query(at, k=3)
    near, far = distances[:, 1], distances[:, 2]
    ratios = far[near > 0] / near[near > 0]
    total, n = float(np.log(ratios).sum()), len(ratios)
    if not total > 0:
        return None
    low, high = (float(gammaincinv(n, q)) / total for q in (0.025, 0.975))
    return n / total, low, high, ratios
