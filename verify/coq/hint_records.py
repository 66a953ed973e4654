"""What Coq is told of the layers of a task graph, as records; none of it is trusted."""

from __future__ import annotations

from dataclasses import dataclass

FUEL = 24
"""Halvings of one side, at most."""


@dataclass(frozen=True)
class Effort:
    """What boxes are about: values, a sum of values with its factors, inputs, by number; how many sides are halved, how often."""

    values: tuple[int, ...] = ()
    total: tuple[tuple[int, float], ...] = ()
    """The first one has the factor 1."""
    inputs: tuple[int, ...] = ()
    cutting: int = 0
    fuel: int = FUEL


@dataclass(frozen=True)
class News:
    """A channel is a value to within so much, computed by these nodes."""

    channel: int
    value: int
    within: float
    through: tuple[int, ...]
    effort: Effort


@dataclass(frozen=True)
class Hint:
    """Of a layer: whose pieces its gate tells apart, the gate output that wins on each of them if that is exact, what it computes."""

    routed: int | None = None
    winners: tuple[int, ...] = ()
    computed: tuple[News, ...] = ()
    mixed: bool = False
    """Whether the layer takes several experts of its block."""


@dataclass(frozen=True)
class Share:
    """What one block adds to a value: Σ factor·value + constant, to within so much, computed by its nodes."""

    factors: tuple[tuple[float, int], ...]
    constant: float
    within: float
    through: tuple[int, ...]
    effort: Effort


@dataclass(frozen=True)
class Total:
    """A channel is a value to within so much: a sum of shares, one of each block, by these nodes."""

    channel: int
    value: int
    within: float
    through: tuple[int, ...]
    rest: float
    effort: Effort
    shares: tuple[Share, ...]


@dataclass(frozen=True)
class GroupHint:
    """The blocks of a layer by number, each with the gate outputs of its pieces, and what the layer computes."""

    members: tuple[tuple[int, tuple[int, ...]], ...]
    computed: tuple[Total, ...]
