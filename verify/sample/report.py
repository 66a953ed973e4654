"""`Report`: what sampling found out about each claim."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ...errors import InvalidArgument
from ...moe.ledger import Claim, Known

CONFIDENCE = 0.99
NAMED = 24
"""Experts that a warning names."""


def clopper_pearson(violations: int, trials: int, confidence: float = CONFIDENCE) -> float:
    """The exact one-sided upper confidence bound on a probability after `violations` in `trials` independent trials.

    It is the p at which seeing at most `violations` has probability 1 − confidence: the `confidence` quantile of
    Beta(violations + 1, trials − violations), and 1 if every trial violated. With no violation: 1 − (1 − confidence)^(1/trials).
    """
    if not 0 <= violations <= trials or trials == 0:
        raise InvalidArgument(f"{violations} violations in {trials} trials")
    if violations == trials:
        return 1.0
    if violations == 0:
        return -math.expm1(math.log1p(-confidence) / trials)
    from scipy.special import betaincinv

    return float(betaincinv(violations + 1, trials - violations, confidence))


@dataclass(frozen=True)
class ViolationRate:
    """How often a point of the sampling measure violates the conclusion: observed, and bounded with confidence."""

    violations: int
    trials: int
    bound: float
    confidence: float
    measure: str
    """The distribution of points that the bound is about; it says nothing about any other."""

    def __str__(self) -> str:
        return (
            f"{self.violations} of {self.trials:,} i.i.d. points violate; "
            f"violation rate ≤ {self.bound:.3g} with {self.confidence:.0%} confidence, for {self.measure}"
        )


@dataclass(frozen=True)
class WorstPoint:
    """The worst point found for one quantity."""

    quantity: str
    value: float
    ambient: tuple[float, ...]
    intrinsic: tuple[float, ...]
    chart: str
    """The parametrising chart that `intrinsic` belongs to; empty for a task graph, whose coordinates before embedding `intrinsic` holds."""
    route: str
    """The chart chosen by the last gate; for a task graph the pieces chosen, block by block."""
    kind: str
    """How it was found: "uniform", "low discrepancy", "face", "edge", "tie" or "ascent"; of a task graph also "pieces", "interface"."""


def counted(number: int) -> str:
    """A count for people, of any size: beyond 10^15 its first three digits, never as a float, which it may be too large for."""
    digits = str(number)
    return f"{number:,}" if len(digits) <= 15 else f"about {digits[0]}.{digits[1:3]}e{len(digits) - 1}"


@dataclass(frozen=True)
class Pieces:
    """How many of a task graph's ∏ E_l pieces were looked at."""

    seen: int
    """Distinct tuples of charts and pieces that the network took, at points of all kinds."""
    total: int
    """∏ E_l."""
    drawn: int
    """Tuples that a point was looked for in."""
    empty: int
    """Those of them for which none was found: pieces that share coordinates and do not meet, or values that never get there."""
    every: bool
    """Whether every tuple was drawn; else strata, in which every piece of a block occurs equally often."""

    def __str__(self) -> str:
        shown = f"{self.seen:,} of {counted(self.total)}"
        drawn = "every piece was drawn" if self.every else f"{self.drawn:,} drawn so that every expert of every layer occurs"
        missing = f"; for {self.empty:,} of the drawn ones no point was found" if self.empty else ""
        return f"{shown} distinct pieces seen; {drawn}{missing}"


@dataclass(frozen=True)
class Report:
    """Every claim of the construction as it stands on sampled points: SAMPLED, or REFUTED with a witness; nothing is proved."""

    task: str
    epsilon: float
    dtype: str
    seed: int
    claims: tuple[Claim, ...]
    counts: Mapping[str, int]
    """Points evaluated, per kind."""
    worst: Mapping[str, WorstPoint]
    """Claim name ↦ the point that decided it."""
    routes: Mapping[str, int]
    """Chart name ↦ how many of the i.i.d. points were routed to it. For a task graph see `blocks`."""
    never: tuple[str, ...]
    """Charts that no point of any kind was routed to."""
    rate: ViolationRate
    measured: Mapping[str, float]
    """mu: min max t; multiplicity: most charts over one point; gap: least difference of the two largest scores at an i.i.d.
    or low-discrepancy point; noise: largest change of a score between batch sizes; rerouted: points that changed route with it."""
    seconds: float
    versions: Mapping[str, str]
    blocks: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """For a task graph: block ↦ piece ↦ how many of the i.i.d. points took it; `routes` and `never` then name block[piece]."""
    pieces: Pieces | None = None
    """For a task graph."""

    @property
    def holds(self) -> bool:
        """Whether no claim was refuted."""
        return all(claim.holds for claim in self.claims)

    @property
    def points(self) -> int:
        """How many points were evaluated, of all kinds."""
        return sum(self.counts.values())

    @property
    def warnings(self) -> tuple[str, ...]:
        """What does not refute anything but deserves a look."""
        if not self.never:
            return ()
        names = ", ".join(self.never[:NAMED]) + (f" and {len(self.never) - NAMED} more" if len(self.never) > NAMED else "")
        return (f"no sampled point was routed to {names}: these experts are dead weight, or their cells are tiny",)

    def __getitem__(self, name: str) -> Claim:
        for claim in self.claims:
            if claim.name == name:
                return claim
        raise InvalidArgument(f"no claim {name!r} in the report; it has {', '.join(c.name for c in self.claims)}")

    def to_dict(self) -> dict[str, Any]:
        """A JSON document; infinities and NaN are the strings "Infinity", "-Infinity" and "NaN"."""
        data = {
            "task": self.task,
            "holds": self.holds,
            "epsilon": self.epsilon,
            "dtype": self.dtype,
            "seed": self.seed,
            "claims": [claim.to_dict() for claim in self.claims],
            "points": self.points,
            "counts": dict(self.counts),
            "worst": {name: asdict(point) for name, point in self.worst.items()},
            "routes": dict(self.routes),
            "never": list(self.never),
            "rate": asdict(self.rate),
            "measured": dict(self.measured),
            "warnings": list(self.warnings),
            "seconds": self.seconds,
            "versions": dict(self.versions),
        }
        if self.pieces is not None:
            data |= {"blocks": {name: dict(counts) for name, counts in self.blocks.items()}, "pieces": asdict(self.pieces)}
        return {key: _plain(value) for key, value in data.items()}

    def __str__(self) -> str:
        verdict = "holds on every sampled point" if self.holds else "REFUTED"
        lines = [f"{self.task} ({self.dtype}): {verdict}; {self.points:,} points, {self.seconds:.1f} s"]
        for claim in self.claims:
            mark = "✗" if claim.known is Known.REFUTED else "✓"
            lines.append(f"  {mark} {claim.name}: {claim.bound:.6g} {claim.sense} {claim.budget:.6g}   {claim.statement}")
            if claim.known is Known.REFUTED and claim.name in self.worst:
                point = self.worst[claim.name]
                where = f" of chart {point.chart}" if point.chart else ""
                lines.append(f"      at {format_point(point.intrinsic)}{where}, routed to {point.route}")
        lines.append(f"  {self.rate}")
        lines += [] if self.pieces is None else [f"  {self.pieces}"]
        lines += [f"  warning: {warning}" for warning in self.warnings]
        return "\n".join(lines)


def format_point(coordinates: tuple[float, ...], most: int = 8) -> str:
    """A point for people: six digits, at most `most` coordinates."""
    shown = ", ".join(f"{v:.6g}" for v in coordinates[:most])
    return f"({shown}, … {len(coordinates)} coordinates)" if len(coordinates) > most else f"({shown})"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
