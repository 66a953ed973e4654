"""The least width for each of many experts that are built together: the widths of a ladder, from the bottom."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

RUNGS = (8, 10, 12, 14)
"""The ladder: these, their doublings, the doublings of those and so on; below them every width."""
FLAT, FLATTEST, BEYOND = 1.0, 0.5, 8.0
"""An error that fell no faster than like width^−FLAT, and at that rate, at least FLATTEST, is still above the budget at BEYOND times the
greatest width, is without hope. If all that are left are, nothing is tried further."""

Made = TypeVar("Made")
At = Callable[[int, Sequence[int]], tuple[dict[int, Made], dict[int, float]]]
"""Those of the experts that a width serves, and the errors of all."""


@dataclass(frozen=True)
class Tried(Generic[Made]):
    """What was found for one expert."""

    made: Made
    width: int
    narrower: tuple[int, float] | None
    """The widest of the narrower ones that missed the budget, and its error."""


def ladder(least: int, limit: int) -> list[int]:
    """The widths that are tried, `limit` the last of them."""
    rungs = [*range(1, RUNGS[0]), *(2**k * rung for k in range(max(1, limit.bit_length())) for rung in RUNGS)]
    return [*(rung for rung in rungs if least <= rung < limit), limit]


def narrowest(
    at: At[Made],
    experts: Sequence[int],
    budget: float,
    *,
    least: int,
    limit: int,
    steepest: float,
    patient: int = 0,
) -> dict[int, Tried[Made]]:
    """For each of the experts the first width of the ladder at which `at` accepts it; those are missing that none serves.

    `at(width, experts)` gives those that it accepts and the errors of all. Errors are taken to fall no faster than like width^−`steepest`
    when rungs are left out on the way up; those below are tried if they did. Nothing is given up below `patient` neurons.
    """
    rungs = ladder(least, limit)
    found: dict[int, tuple[Made, int]] = {}
    missed: dict[int, tuple[int, float]] = {}
    tried: set[int] = set()
    last: dict[int, tuple[int, float]] = {}
    pending, rung = list(experts), 0
    while pending:
        easiest, todo, hope = np.inf, pending, False
        for step in range(rung, -1, -1):
            if step in tried or not todo:
                break
            tried.add(step)
            accepted, errors = at(rungs[step], todo)
            if step == rung:
                left = {i: error for i, error in errors.items() if i not in accepted}
                easiest = min(left.values(), default=0.0)
                hope = rungs[step] < patient or any(_hope(last.get(i), rungs[step], error, budget, limit) for i, error in left.items())
                last = {i: (rungs[step], error) for i, error in left.items()}
            for i, error in errors.items():
                if i in accepted:
                    found[i] = accepted[i], rungs[step]
                elif i not in missed or missed[i][0] < rungs[step]:
                    missed[i] = rungs[step], error
            todo = list(accepted)
        pending = [i for i in pending if i not in found]
        if rung == len(rungs) - 1 or not hope:
            break
        hoped = rungs[rung] * (easiest / budget) ** (1 / steepest)
        rung = min(max(rung + 1, int(np.searchsorted(rungs, hoped))), len(rungs) - 1)
    return {i: Tried(made, width, missed.get(i)) for i, (made, width) in found.items()}


def _hope(before: tuple[int, float] | None, width: int, error: float, budget: float, limit: int) -> bool:
    """Whether an error that has fallen to `error` since `before`, (width, error), may come within the budget at all."""
    if before is None or error <= 0:
        return True
    slope = float(np.log(before[1] / error) / np.log(width / before[0]))
    return slope > FLAT or width * (error / budget) ** (1 / max(slope, FLATTEST)) <= BEYOND * limit
