"""What a certificate says of the engines that run exported files: a claim of its own, and what that assumes of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ...moe.engines import ENGINES, Needs, assumed, statement
from ...moe.ledger import Assumption, Claim, Known
from .described import number


@dataclass(frozen=True)
class ForEngine:
    """One engine: the claim of the certificate that holds of its evaluation, if it is as assumed."""

    name: str
    statement: str
    claim: str
    bound: float
    known: Known
    assumptions: tuple[Assumption, ...]

    @staticmethod
    def of(name: str, of: Needs, claims: Sequence[Claim]) -> ForEngine:
        """Where nothing was proved there is no such claim: it is then unknown."""
        engine = ENGINES[name]
        found = next((claim for claim in claims if claim.name == of.claim), None)
        bound, known = (float("inf"), Known.UNKNOWN) if found is None else (found.bound, found.known)
        return ForEngine(name, statement(engine, of.dtype), of.claim, bound, known, tuple(assumed(engine, of)))

    def to_dict(self) -> dict[str, Any]:
        """As in certificate.json."""
        return {
            "format": self.name,
            "statement": self.statement,
            "claim": self.claim,
            "bound": number(self.bound),
            "known": str(self.known),
            "assumptions": [{"name": taken.name, "statement": taken.statement} for taken in self.assumptions],
        }
