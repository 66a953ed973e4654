"""`Wanted`: one of several targets on one atlas: what its values are called, how many there are, and its own ε.

Several targets are one function f with stacked components, one partition of unity and one router; what tells them apart is how large an
error may be, component by component. Errors are compared with each other in units of these ε: Ψ is within all of them if and only if

    max_j |f_j − Ψ_j| / ε_j ≤ 1.

A target alone, with an ε that stands in no spec, is the case of units of 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidArgument
from ..expressions.box import Array
from ..expressions.parse import wrong_name

IN_UNITS = "in units of each target's own ε"
"""How people are told of errors of several targets at once."""


ALONE, TOGETHER = "|f − Ψ|", "max_j |f_j − Ψ_j|/ε_j"
"""What an error is, of one target and of several."""
LARGEST = 1e300
"""Of an ε and of one over it: what is built is in units of ε."""


@dataclass(frozen=True)
class Wanted:
    """A target by its name, the components of f that are its, one after the other, and the error that it may have."""

    name: str
    epsilon: float | str
    """A number, or until something is built for it a percentage of what the target ranges over, "1%"."""
    outputs: int = 1

    def __post_init__(self) -> None:
        if why := wrong_name(self.name):
            raise InvalidArgument(f"the target name {self.name!r} {why}; choose another name")
        if isinstance(self.outputs, bool) or not isinstance(self.outputs, int) or self.outputs < 1:
            raise InvalidArgument(f"target {self.name!r}: outputs={self.outputs!r} is no number of components; give 1 or more")
        if why := misfit(self.epsilon):
            raise InvalidArgument(f"target {self.name!r}: {why}")


def misfit(epsilon: object) -> str | None:
    """Why this is no ε."""
    remedy = 'give a positive number, or a percentage of its range like "1%"'
    value = epsilon
    if isinstance(epsilon, str):
        try:
            value = float(epsilon.strip().removesuffix("%"))
        except ValueError:
            return f"epsilon {epsilon[:40]!r} is neither a number nor a percentage; {remedy}"
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        return f"epsilon {epsilon!r} is not positive and finite; {remedy}"
    if not 1 / LARGEST <= value <= LARGEST:
        return f"epsilon {epsilon!r} is not between {1 / LARGEST:g} and {LARGEST:g}; give f and epsilon in another unit"
    return None


def columns(wanted: Sequence[Wanted]) -> Iterator[tuple[Wanted, slice]]:
    """Every target with its components."""
    start = 0
    for one in wanted:
        yield one, slice(start, start + one.outputs)
        start += one.outputs


def measure(wanted: Sequence[Wanted]) -> str:
    """What the error of a task is, in symbols."""
    return TOGETHER if wanted else ALONE


def epsilons(wanted: Sequence[Wanted]) -> str:
    """The ε of all targets, in words."""
    return ", ".join(
        f"{one.name} ε = {one.epsilon:.3g}" if isinstance(one.epsilon, float) else f"{one.name} ε = {one.epsilon}" for one in wanted
    )


def units(wanted: Sequence[Wanted]) -> Array:
    """ε_j of every component, (outputs,). All have to be numbers."""
    return np.repeat([float(one.epsilon) for one in wanted], [one.outputs for one in wanted])


def largest(errors: Array, wanted: Sequence[Wanted]) -> Array:
    """max_j |e_j|/ε_j over the last axis, [..., outputs] to [...]; max_j |e_j| if nothing is said of any ε."""
    sizes = np.abs(errors)
    return np.asarray((sizes / units(wanted) if wanted else sizes).max(-1))
