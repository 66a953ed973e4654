"""`Choice`: how a gate picks K of E experts from their logits, as the classes of the wild do it, and how far floats may be off in that.

| on      | what is compared                               | who                                        |
|---------|------------------------------------------------|--------------------------------------------|
| logits  | z                                              | GptOss, this library                       |
| softmax | exp(z)/Σexp(z), rounded to float32             | Mixtral, OLMoE, Qwen-MoE, DeepSeek-V2      |
| sigmoid | 1/(1+exp(−z)) + b, b a correction that is stored | DeepSeek-V3, GLM-4, NemotronH            |

In groups, the groups with the largest sums of their two best scores are picked first (the largest score where `sums` is false), and
experts inside them.

Softmax is increasing, so it is the logits that are compared here, with what its rounding hides: p is computed to a relative accuracy of
(|z − max z| + 8)·u (a difference, an exponential that is trusted to four units, a sum and a quotient; the sum is common to all), and
log is the inverse, so two experts are told apart if their logits differ by more than the sum of those. A sigmoid is compared as such: its
slope is ≤ 1/4, and it is trusted to 8 units, plus one for the sum with b.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..atlas import Array
from ..errors import InvalidArgument

Indices = NDArray[np.intp]
On = Literal["logits", "softmax", "sigmoid"]
SINGLE = 2.0**-24
"""Unit roundoff of float32, in which probabilities and sigmoids are taken."""


@dataclass(frozen=True, eq=False)
class Choice:
    """The rule; the module says what it is. Raises `InvalidArgument` where it does not fit itself."""

    top_k: int = 1
    on: On = "logits"
    correction: Array | None = None
    """b, (E,), added to sigmoids before they are compared."""
    groups: int = 1
    taken_groups: int = 1
    sums: bool = True
    """Whether a group counts by its two best scores, or by the best."""

    def __post_init__(self) -> None:
        if self.on not in ("logits", "softmax", "sigmoid"):
            raise InvalidArgument(f"a gate chooses on logits, softmax or sigmoid, not on {self.on!r}; give {{on=logits}}")
        if self.top_k < 1 or not 1 <= self.taken_groups <= self.groups:
            raise InvalidArgument(f"{self.top_k} experts from {self.taken_groups} of {self.groups} groups cannot be chosen")

    def scores(self, logits: Array) -> Array:
        """What is compared, (N, E)."""
        if self.on != "sigmoid":
            return logits
        with np.errstate(over="ignore"):
            return np.asarray(1 / (1 + np.exp(-logits)) + (0 if self.correction is None else self.correction))

    def slack(self, logits: Array, error: Array) -> Array:
        """How far what is compared may be off, (N, E), if logits are off by `error`."""
        if self.on == "logits":
            return error
        if self.on == "softmax":
            return np.asarray(error + SINGLE * (np.abs(logits - logits.max(-1, keepdims=True)) + 8))
        return np.asarray(error / 4 + SINGLE * 9 * np.abs(self.scores(logits)).clip(1))

    def choose(self, logits: Array) -> Indices:
        """The K experts, best first; the first of equal ones; (N, K)."""
        scores = self.scores(logits)
        if self.groups > 1:
            scores = np.where(self._open(scores), scores, -np.inf)
        if self.top_k == 1:
            return np.argmax(scores, axis=1)[:, None]
        return np.argsort(-scores, axis=1, kind="stable")[:, : self.top_k]

    def lead(self, logits: Array, error: Array, chosen: Indices) -> tuple[Array, Array]:
        """How much better the last chosen expert is than the first that is not, and how much better it must be for every rounding to choose
        the same, both (N,): of all pairs that with the least difference of the two; ∞ where there is no other.
        """
        scores, off = self.scores(logits), self.slack(logits, error)
        inside = np.zeros(scores.shape, bool)
        np.put_along_axis(inside, chosen, True, 1)
        rival = ~inside
        if self.groups > 1:
            rival &= self._open(scores)
        worst, best = np.where(inside, scores - off, np.inf), np.where(rival, scores + off, -np.inf)
        i, j = worst.argmin(1)[:, None], best.argmax(1)[:, None]
        there = rival.any(1)
        at = np.take_along_axis
        with np.errstate(invalid="ignore"):
            lead = (at(scores, i, 1) - at(scores, j, 1))[:, 0]
        needed = (at(off, i, 1) + at(off, j, 1))[:, 0]
        lead, needed = np.where(there, lead, np.inf), np.where(there, needed, 0.0)
        if self.groups > 1 and self.taken_groups < self.groups:
            lead, needed = self._group_lead(scores, off, lead, needed)
        return lead, needed

    def _by_group(self, scores: Array) -> Array:
        """What counts of every group, (N, groups)."""
        parts = np.sort(scores.reshape(len(scores), self.groups, -1), axis=-1)
        return np.asarray(parts[..., -2:].sum(-1) if self.sums and parts.shape[-1] > 1 else parts[..., -1])

    def _open(self, scores: Array) -> NDArray[np.bool_]:
        """Which experts are in the groups that are taken, (N, E)."""
        value = self._by_group(scores)
        taken = np.zeros(value.shape, bool)
        np.put_along_axis(taken, np.argsort(-value, axis=1, kind="stable")[:, : self.taken_groups], True, 1)
        return np.repeat(taken, scores.shape[1] // self.groups, axis=1)

    def _group_lead(self, scores: Array, off: Array, lead: Array, needed: Array) -> tuple[Array, Array]:
        """The same of groups, where that is closer."""
        value = -np.sort(-self._by_group(scores), axis=1)
        gap = value[:, self.taken_groups - 1] - value[:, self.taken_groups]
        most = (4 if self.sums else 2) * off.max(1)
        closer = gap - most < lead - needed
        return np.where(closer, gap, lead), np.where(closer, most, needed)
