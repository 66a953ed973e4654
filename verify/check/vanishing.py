"""x^r·(log x)^m near 0, by another inequality than the search's (`intervals.vanishing`).

Lemma. log t ≤ t/e for t > 0, the tangent at e. With t = x^{−q}, q > 0: −log x ≤ x^{−q}/(q·e). So for 0 < x ≤ h ≤ 1 and 0 < q ≤ s,

    0 ≤ −x^s·log x ≤ h^{s−q}/(q·e),

and q = s holds for all x in (0, 1]. For x in [1, h] it is 0 ≤ x^s·log x ≤ h^s·(h^q − 1)/q, as log x ≤ (x^q − 1)/q.
About x = 0 nothing is said.
"""

from __future__ import annotations

import numpy as np

from ...intervals import Interval
from ...intervals.vanishing import E, met

HALVINGS = 7
"""q = s, s/2, s/4, …: the best is near 1/|log h|."""


def bounded(found: Interval, x: Interval, power: Interval, logs: int) -> Interval:
    """What was found of x^power·(log x)^logs, and what the lemma says where x is between 0 and a number."""
    with np.errstate(all="ignore"):
        known = (x.lower >= 0) & (x.upper > 0) & (x.upper < np.inf)
        top = Interval.of(np.where(known, x.upper, 1.0))
        if not logs:
            return met(found, Interval(np.zeros_like(top.upper), top.raised(power).upper), known)
        s = power / Interval.of(float(logs))
        deepest, highest = np.full_like(top.upper, np.inf), np.full_like(top.upper, np.inf)
        for k in range(HALVINGS):
            q = s.times(2.0**-k)
            below = (q * E).inverse()
            if k:
                below = top.raised(s - q) * below
            deepest = np.where((k == 0) | (top.upper <= 1), np.minimum(deepest, below.upper), deepest)
            above = top.raised(s) * (top.raised(q) - Interval.of(1.0)) * q.inverse()
            highest = np.minimum(highest, above.upper)
        said = Interval(-deepest, np.where(top.upper <= 1, 0.0, np.maximum(highest, 0.0)))
    return met(found, said.power(logs), known)
