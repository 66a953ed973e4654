"""`ScorePromise`: what a construction promises about the scores τ that its last gate compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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
    """

    floor: float
    delta: float
    plateau_level: float | None = None
    """The level of `Atlas.plateau` if t are plateau bumps; None if t is the partition of unity."""

    def __post_init__(self) -> None:
        if not 0 < self.delta < self.floor / 2:
            raise InvalidArgument(f"scores known to ±{self.delta} cannot route by a floor of {self.floor}: need 0 < delta < floor/2")

    @property
    def symbol(self) -> str:
        """ρ or b, for statements."""
        return "ρ" if self.plateau_level is None else "b"

    def reference(self, atlas: Atlas, base: Array) -> Array:
        """t at points of M in coordinates before embedding, [N, k] to [N, E]."""
        return atlas.rho(base) if self.plateau_level is None else atlas.plateau(base, self.plateau_level)

    @staticmethod
    def from_facts(facts: Mapping[str, Any], charts: int) -> ScorePromise:
        """The promise of a compiled model; the theorem's constants are taken from the theorem, not from the facts."""
        routing, delta = facts["routing"], float(facts["delta"])
        if routing == "theorem":
            return ScorePromise(1 / charts, 1 / (4 * charts))
        if routing == "plateau":
            return ScorePromise(1.0, delta, float(facts["plateau_level"]))
        if routing == "multiplicity":
            # 1/N bounds max ρ from below with certainty, the measured μ often allows a larger delta.
            by_count = 1 / float(facts["multiplicity"])
            return ScorePromise(by_count if delta < by_count / 2 else float(facts["mu"]), delta)
        raise InvalidArgument(f'routing {routing!r} is not one of "theorem", "multiplicity", "plateau"')
