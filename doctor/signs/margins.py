"""Thin margins and ties, against what floats may be off in a logit.

Statement (N24). Let the computed scores be within η_i of the true ones. If the last chosen expert leads the best other one by more than
η_i + η_j, every order of summation, batch size and library chooses the same experts: the route is stable. With charts, if every
expert that is chosen, and every one that may take its place, holds x, a change of route is harmless; what must not happen is that the best
expert that does not hold x comes within η_i + η_j of the K-th best that does: then the route may be wrong. Logits that are exact,
η_i = η_j = 0, may tie, as they do where pieces meet: the first of equal ones is taken, whatever the order of summation, and that one
has to hold x.

η is a running error bound for the dtype of the gate (`rounding`) or, of checkpoints, that of a float32 sum that is rounded once; and
what probabilities and sigmoids hide comes on top (`choice`). Continuous logits over a connected set have ties somewhere (N17): what is
said is said of the rows.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atlas import Array
from ...moe.ledger import Known
from ..diagnosis import Diagnosis, Spread, Unanswered, as_witness
from ..patient import Charts, Gate, Patient
from .base import NO_ROWS, Answer, GateSign


class Margins(GateSign):
    name, title = "margins", "thin margins"

    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        if gate.logits is None or gate.error is None:
            yield Unanswered(self.name, gate.name, NO_ROWS)
        elif gate.either or len(gate) <= gate.choice.top_k:
            return
        elif gate.charts is not None and gate.charts.own:
            ratio = valid_lead(gate, gate.charts)
            noun = gate.charts.noun
            yield self._judged(
                gate,
                ratio,
                f"N24: the best {noun} that does not hold x is behind the K-th best that does, by more than their logits may be off",
                f"a {noun} that does not hold it",
            )
        else:
            lead, needed = gate.choice.lead(gate.logits, gate.error, gate.seen)
            with np.errstate(divide="ignore", invalid="ignore"):
                ratio = np.where(needed > 0, lead / needed, np.where(lead > 0, np.inf, 0.0))
            yield self._judged(
                gate, ratio, "N24: s_(K) − s_(K+1) > η_i + η_j, so that every rounding takes the same route", "another expert"
            )

    def _judged(self, gate: Gate, ratio: Array, hypothesis: str, other: str) -> Diagnosis:
        thin = ~(ratio > 1)
        order = np.argsort(ratio, kind="stable")
        least = float(ratio[order[0]])
        rows = gate.rows
        finite = ratio[np.isfinite(ratio)]
        return Diagnosis(
            self.name,
            gate.name,
            f"at {int(thin.sum()):,} of {len(ratio):,} rows ({thin.mean():.3g}) another order of summation in {gate.dtype} may take "
            f"{other}; "
            f"the least margin is {least:.3g} times what the logits may be off",
            least,
            ">",
            1.0,
            "least margin / (η_i + η_j)",
            hypothesis,
            remedy(gate),
            Known.SAMPLED,
            len(ratio),
            () if rows is None else tuple(as_witness(rows[k]) for k in order[:3] if thin[k]),
            Spread(f"{gate.name}: margins in {gate.dtype}", finite, 1.0, "margin / (η_i + η_j)", "1: above it the route is stable"),
        )


def remedy(gate: Gate) -> str:
    """What to do about margins of this gate."""
    if gate.dtype in ("bfloat16", "float16"):
        return "compute the logits of the router in float32 (rows and weights cast before the product): then η is that of a float32 sum"
    if gate.choice.on != "logits":
        return "choose on the logits, in float64, and take probabilities afterwards: softmax and sigmoids hide differences"
    if gate.dtype == "float32":
        return 'compute the logits in float64: η falls by the factor 2^29; or with sums="float64", the same bits in every batch'
    return 'take sums in one fixed order (to_torch with sums="float64"): then ties are decided alike everywhere'


def valid_lead(gate: Gate, charts: Charts) -> Array:
    """(K-th best score that holds x − best that does not) / (η_i + η_j), (N,): the least over pairs; ∞ where nothing can go wrong."""
    assert gate.logits is not None and gate.error is not None  # noqa: PT018
    scores, off = gate.choice.scores(gate.logits), gate.choice.slack(gate.logits, gate.error)
    K, hold = gate.choice.top_k, charts.hold
    known = hold.sum(1) >= K  # elsewhere the task says nothing, or `misrouted` does
    low = np.where(hold, scores - off, -np.inf)
    i = np.argsort(-low, axis=1, kind="stable")[:, K - 1 : K]
    j = np.where(hold, -np.inf, scores + off).argmax(1)[:, None]
    at = np.take_along_axis
    gap, needed = (at(scores, i, 1) - at(scores, j, 1))[:, 0], (at(off, i, 1) + at(off, j, 1))[:, 0]
    with np.errstate(divide="ignore", invalid="ignore"):
        first = (i < j)[:, 0]  # of logits that are exact and equal the first is taken, in every order of summation
        ratio = np.where(needed > 0, gap / needed, np.where((gap > 0) | ((gap == 0) & first), np.inf, 0.0))
    return np.asarray(np.where(known & ~hold.all(1), ratio, np.inf))
