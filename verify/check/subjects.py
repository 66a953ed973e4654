"""What the leaves of a site are about, and what is said of those that fail."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ...atlas import Array
from ...atlas.graph.finite import Places
from .charts import Boxes, Charts, Truth
from .layers import Layer


@dataclass(frozen=True)
class Failure:
    """Something that is wrong with a certificate (`rejected`), or that could not be confirmed."""

    rejected: bool
    reason: str
    chart: str | None = None
    box: tuple[tuple[float, float], ...] | None = None

    def __str__(self) -> str:
        at = "" if self.box is None else " on " + " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in self.box)
        return f'chart "{self.chart}"{at}: {self.reason}' if self.chart is not None else self.reason


class Followed(NamedTuple):
    """What is said of the logits τ of the last gate: how far from reference scores t, leaf by leaf, and how large the largest."""

    level: float | None
    """t are plateaus of this level; None: t = ρ."""
    floor: float
    """max τ ≥ floor."""


class Subject(NamedTuple):
    """What the leaves of a site are about: a slice of the network that is to follow a function."""

    name: str
    """In front of the names of pieces; empty for the one block of a manifold."""
    domain: Charts | Boxes
    layers: tuple[Layer, ...]
    """The slice; its last layer is the one that routes."""
    matrix: Array | None
    """What the slice reads of the coordinates; None for themselves."""
    moves: Array
    """(k,): how far what the network has in their place may be from them."""
    truth: Truth
    routes: tuple[int, ...] | None
    """Per piece the gate output that is known to win; None: what the gate allows."""
    eta: float
    """What the logits are taken to be known to."""
    bound: float
    """What every leaf has to be within: the largest of their own, which are only what the search found."""
    covered: bool = False
    """Whether charts are said to have no bare edge."""
    by_chart: bool = False
    """Whether the function is given chart by chart: then no leaf may be left to other charts."""
    amiss: float | None = None
    """What experts may weigh together whose charts do not hold a point; None: winners have to hold it."""
    places: Places | None = None
    """Where in boxes of its variables the points are, if these take finitely many values; None: everywhere."""
