"""`Way`: of which neurons an expert is made, and so how it is fitted. ReLU neurons as the theorems have them, smooth ones, product lanes.

Where a target is smooth, smooth neurons reach a small error with a tenth of the numbers and less, lanes with fewer still; where it bends,
or ε is coarse, ReLU neurons do. "auto" means: what stores the least, found out on one expert.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ...atlas import Array
from ...errors import InvalidArgument
from ...moe.activations import ACTIVATIONS, RELU, Activation
from ...moe.ridge import Ridge
from .. import relu, smooth
from ..relu import Fit, Target
from ..relu.shared import SharedSamples
from ..relu.shared import fit_shared as fit_shared_relu

AUTO = "auto"
FIRST_WIDTH = {1: 32, 2: 64}
"""Where the search for a ReLU expert's width starts, by dimension; 64 from two on."""


class Shared(Protocol):
    """Nets of many functions with the same hidden neurons."""

    @property
    def direction_count(self) -> int:
        """What a search at another width may start from."""
        ...

    @property
    def errors(self) -> Array:
        """The largest held-out error of each."""
        ...

    def ridge(self, index: int) -> Ridge:
        """The net of one function."""
        ...


@dataclass(frozen=True)
class Way:
    """One kind of neurons."""

    activation: Activation = RELU
    gated: bool = False

    @property
    def plain(self) -> bool:
        """Whether these are the ReLU neurons of the theorems."""
        return self.activation is RELU and not self.gated

    @property
    def name(self) -> str:
        return f"gated {self.activation.name}" if self.gated else self.activation.name

    @property
    def narrowest(self) -> int:
        return relu.NARROWEST if self.plain else smooth.NARROWEST

    @property
    def patient(self) -> int:
        """Below so many neurons errors need not fall."""
        return 0 if self.plain else smooth.PATIENT

    @property
    def steepest(self) -> float:
        """Errors of a resolved target fall about like width to the −this at most."""
        return 3.0 if self.plain else 12.0

    def numbers(self, width: int, inputs: int, outputs: int) -> int:
        """Stored numbers of a two-layer net."""
        return width * (inputs + 1) * (2 if self.gated else 1) + outputs * (width + 1)

    def room(self, numbers: int, inputs: int, outputs: int) -> int:
        """The greatest width of a net that stores at most so many."""
        return max(0, (numbers - outputs) // ((inputs + 1) * (2 if self.gated else 1) + outputs))

    def fit(self, target: Target, width: int, *, seed: int, direction_count: int | None = None, dtype: str = "float64") -> Fit:
        """The best net of a width; `direction_count` of an earlier fit of the like saves the search for it."""
        width = max(width, self.narrowest)
        if self.plain:
            return relu.fit(target, width, seed=seed, direction_count=direction_count, search=direction_count is None)
        return smooth.fit(
            target, width, activation=self.activation, gated=self.gated, seed=seed, direction_count=direction_count, dtype=dtype
        )

    def fit_to(
        self,
        target: Target,
        budget: float,
        *,
        dimension: int,
        limit: int,
        seed: int,
        start: int | None = None,
        direction_count: int | None = None,
        dtype: str = "float64",
        remedy: str,
    ) -> Fit:
        """The narrowest net found whose error is within the budget; the search starts from `start` if that is known."""
        if self.plain:
            first = FIRST_WIDTH.get(dimension, FIRST_WIDTH[2])
            return relu.fit_to(
                target, budget, start=max(first, start or 0), limit=limit, seed=seed, direction_count=direction_count, remedy=remedy
            )
        return smooth.fit_to(
            target,
            budget,
            activation=self.activation,
            gated=self.gated,
            start=start or smooth.START,
            limit=limit,
            seed=seed,
            direction_count=direction_count,
            dtype=dtype,
            remedy=remedy,
        )

    def fit_shared(self, samples: SharedSamples, width: int, direction_count: int | None, dtype: str, budget: float | Array) -> Shared:
        """Nets of many functions at one width, with one factorisation; `budget`: what each may err by, 0 if unknown."""
        if self.plain:
            return fit_shared_relu(samples, width, direction_count)
        return smooth.fit_shared(samples, width, direction_count, activation=self.activation, gated=self.gated, dtype=dtype, budget=budget)


PLAIN = Way()
TRIED = ("silu", "relu")
"""The activations that "auto" tries; GELU costs and reaches what SiLU does."""


def ways(activation: str, gated: bool) -> tuple[Way, ...]:
    """The ways that the options of a block allow: one; for "auto" several, with lanes and without, or lanes alone if `gated`.

    Raises `InvalidArgument` for an activation that does not exist.
    """
    if activation == AUTO:
        both = [Way(ACTIVATIONS[name], up) for name in TRIED for up in ((True,) if gated else (False, True))]
        return tuple(way for way in both if gated or way.activation is not RELU or not way.gated)
    if activation not in ACTIVATIONS:
        raise InvalidArgument(f"activation {activation!r} is not one of {', '.join(ACTIVATIONS)}, {AUTO}")
    return (Way(ACTIVATIONS[activation], gated),)
