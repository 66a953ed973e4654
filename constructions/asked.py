"""What is asked of a site, and what arrives there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from ..atlas import Array
from .ranges import Values


@dataclass(frozen=True, eq=False)
class Missed:
    """What a proof could not settle of one expert: it is built again to a lower budget, and looks at these points."""

    factor: float = 1.0
    """What the expert's budget is multiplied by, in (0, 1]."""
    points: Array | None = None
    """(N, k), what the block reads where it was missed: fitted and validated on, beside what is drawn; None if no place is known."""


NOTHING_MISSED: Mapping[str, Missed] = MappingProxyType({})


@dataclass(frozen=True)
class Asked:
    """What must be reached: an error of at most `budget`, or else a width of at most `width`; with weights of `dtype`."""

    budget: float | None
    width: int | None
    limit: int
    seed: int
    dtype: str = "float64"
    activation: str = "relu"
    """Of the experts: a name of `moe.activations`, or "auto", the smallest that meets the budget."""
    gated: bool = False
    """Whether experts have product lanes."""
    missed: Mapping[str, Missed] = field(default_factory=lambda: NOTHING_MISSED)
    """Chart or piece ↦ what a proof of an earlier attempt could not settle there."""
    formula: float | None = None
    """What a bound by a formula may be in place of `budget`, where nothing but rounding comes on top of it."""

    def less(self, spent: float) -> Asked:
        """The budget without what has been spent of it."""
        return self if self.budget is None else replace(self, budget=self.budget - spent)


@dataclass(frozen=True, eq=False)
class Reading:
    """What arrives at a node, component by component."""

    values: tuple[Values, ...]
    """All values that the component has in the task; () where nobody needs them."""
    error: Array
    """How far what arrives may be from that (k,); 0 for inputs, which are carried exactly."""
    plain: tuple[bool, ...]
    """Whether the component is one of the network's inputs itself, and no affine form of several."""
    embedding: Array | None = None
    """Q (D, k), if what is read is all of an input that lies in R^D, in its order."""

    @property
    def exact(self) -> bool:
        """Whether nothing that is read has been approximated."""
        return not (self.error > 0).any()
