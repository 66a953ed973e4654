"""`ScorePromise`: what a construction promises about the scores τ that its last gate compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..atlas import Array, Atlas
from ..errors import InvalidArgument


@dataclass(frozen=True)
class ScorePromise:
    """|t_i − τ_i| ≤ delta for all i, where the reference scores t satisfy max_i t_i ≥ floor everywhere on M.

    Then max_i τ_i ≥ floor − delta, and the winner has t ≥ floor − 2·delta. Three cases (THEORY: 4.8, B11, B12):

    | routing        | t                 | floor                     | delta    |
    |----------------|-------------------|---------------------------|----------|
    | "theorem"      | ρ                 | 1/E                       | 1/(4E)   |
    | "multiplicity" | ρ                 | 1/N, N the multiplicity   | < 1/(2N) |
    | "plateau"      | b (plateau bumps) | 1                         | < 1/2    |

    And, with scores compared up to what is common to all of them (B1, B16):

    | "affine", "power" | s = (r² − |x − c|²)/2 | κ/2                | η < κ/4  |
    """

    floor: float
    delta: float
    plateau_level: float | None = None
    """The level of `Atlas.plateau` if t are plateau bumps; None if t is the partition of unity or a power."""
    balls: bool = False
    """Whether t are half the powers of the balls of a ball atlas."""

    def __post_init__(self) -> None:
        if not 0 < self.delta < self.floor / 2:
            raise InvalidArgument(f"scores known to ±{self.delta} cannot route by a floor of {self.floor}: need 0 < delta < floor/2")

    @property
    def symbol(self) -> str:
        """ρ, b or s, for statements."""
        return "s" if self.balls else "ρ" if self.plateau_level is None else "b"

    def reference(self, atlas: Atlas, base: Array) -> Array:
        """t at points of M in coordinates before embedding, [N, k] to [N, E]."""
        if self.balls:
            return atlas.powers(base) / 2
        return atlas.rho(base) if self.plateau_level is None else atlas.plateau(base, self.plateau_level)

    def deviation(self, reference: Array, logits: Array) -> Array:
        """max_i |t_i − τ_i|, (N, E) to (N,): of powers after the summand common to all logits, which no argmax sees, is taken out."""
        gap = reference - logits
        return (gap.max(-1) - gap.min(-1)) / 2 if self.balls else np.abs(gap).max(-1)

    @staticmethod
    def from_facts(facts: Mapping[str, Any], charts: int) -> ScorePromise | None:
        """The promise of a compiled model; the theorem's constants are taken from the theorem, not from the facts.

        None for hinge scores (B14): the half-spaces are known to the weights only, whose routes are checked against the charts.
        """
        routing, delta = facts["routing"], float(facts["delta"])
        if routing == "theorem":
            return ScorePromise(1 / charts, 1 / (4 * charts))
        if routing == "plateau":
            return ScorePromise(1.0, delta, float(facts["plateau_level"]))
        if routing == "multiplicity":
            # 1/N bounds max ρ from below with certainty, the measured μ often allows a larger delta.
            by_count = 1 / float(facts["multiplicity"])
            return ScorePromise(by_count if delta < by_count / 2 else float(facts["mu"]), delta)
        if routing in ("affine", "power"):
            return ScorePromise(float(facts["mu"]), delta, balls=True)
        if routing == "hinge":
            return None
        raise InvalidArgument(f'routing {routing!r} is not one of "theorem", "multiplicity", "plateau", "hinge", "affine", "power"')
