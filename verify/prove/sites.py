"""What is known of a site once it is proved: the boxes, and what the nodes that read its values may rely on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ...atlas import Array, Tiling
from .problem import ScoreProof, Solution
from .slices import Origin, Slice
from .split import PartProof


class NotProvableError(Exception):
    """Why nothing can be proved about a node, in words; becomes an unknown claim."""


@dataclass(frozen=True, eq=False)
class Value:
    """A component that has a channel: where, what it lies in, and how far the channel is from it."""

    component: str
    origin: Origin
    lower: float
    upper: float
    spread: float
    """How much the node changes where what it reads is off."""
    error: float
    """In real arithmetic and in float64."""
    rounding: Mapping[str, float]
    """dtype ↦ what evaluation in it adds."""

    @property
    def size(self) -> float:
        """Its largest absolute value, bounded."""
        return max(abs(self.lower), abs(self.upper))


@dataclass(frozen=True, eq=False)
class Site:
    """A block, or a combination with an expert of its own, and the slice of the network that computes it."""

    name: str
    kind: str
    """block or combine."""
    components: tuple[str, ...]
    channels: tuple[Origin, ...]
    """What the slice computes."""
    part: Slice
    variables: tuple[str, ...]
    """The coordinates and components that its boxes are about."""
    moves: Array
    """How far what the network has in the place of each may be from it."""
    tiling: Tiling | None
    """The pieces of a block that is cut into pieces, the outer ones as far as what it reads may reach by rounding."""
    over: float = 0.0
    """How far that is, at most."""
    folded: bool = False
    """Whether it has no channels of its own, and the read-out computes it."""
    shift: tuple[float, ...] = ()
    """Of a share of the output that a group adds to it, called block.output (`shares`): what of a constant is in it."""

    @property
    def charts(self) -> bool:
        """Whether boxes are of coordinates of charts, or of the variables themselves."""
        return self.kind == "block" and self.tiling is None


@dataclass(frozen=True, eq=False)
class SiteProof(Site):
    """A site and the boxes on which its slice follows it."""

    solution: Solution = field(kw_only=True)
    values: tuple[Value, ...] = ()
    """None of a block that is folded into the read-out."""
    scores: ScoreProof | None = None
    parts: tuple[PartProof, ...] = ()
    """Of a combination that is proved part by part, what each tree of `solution` is about."""

    @property
    def refuted(self) -> bool:
        """Whether a point was found that ends its searches."""
        scores = () if self.scores is None else self.scores.judges
        return self.solution.goal.refuted or any(judge.refuted for judge in scores)

    @property
    def routed(self) -> bool:
        """Once all is settled: whether every point gets an expert whose chart contains it, or whose piece is within `astray` of it."""
        return self.charts or self.solution.problem.chosen is not None

    @property
    def astray(self) -> float:
        """How far a point v may be, in any coordinate, from the piece whose expert it gets; 0: that piece owns it.

        An exact router takes the piece that owns z, which stands in the place of v, or, for z beyond all pieces, the nearest point to z of
        what they fill. Where v is in there too, that point is no further from it than z: at most e_k in coordinate k. Where v is beyond it
        by rounding, at most δ, the point is z if z is in there, and no further than δ if not.
        """
        return 0.0 if self.charts else max(self.over, float(self.moves.max(initial=0.0)))


@dataclass(frozen=True, eq=False)
class ReadOut:
    """How |f − Ψ| follows: what was proved of the output's own site, or f = Σ a_k·v_k + g against Σ w_k·(v_k + δ_k) + g̃ (R10)."""

    error: Array
    """(outputs,)."""
    rounding: Mapping[str, float]
    """dtype ↦ what evaluation of the whole network in it adds."""
    site: str | None = None
    components: tuple[str, ...] = ()
    task: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """a, (outputs, components)."""
    network: Array = field(default_factory=lambda: np.zeros((0, 0)))
    """w."""
    block: str | None = None
    """The folded site that g is."""
    constant: Array = field(default_factory=lambda: np.zeros(0))
    """|g − g̃| where both are constant."""
    spread: Array = field(default_factory=lambda: np.zeros(0))

    @property
    def bound(self) -> float:
        return float(self.error.max())
