"""The least that meets a budget: built to budgets that what is found of the result moves down, or up, until it is near enough."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ..shares import LEAF_SAFETY, LOOSENINGS, SHARPENINGS, SHARPER, TIGHT

Made = TypeVar("Made")


def tightened(
    build: Callable[[float], Made],
    reached: Callable[[Made], float],
    size: Callable[[Made], int],
    allowed: float,
    fixed: Callable[[Made], bool] = lambda _: False,
) -> Made:
    """The smallest of what `build` makes for budgets near `allowed` that in truth reaches an error of at most `allowed`.

    What misses is built again to a lower budget; what stays below TIGHT of `allowed`, to a higher one, as long as that makes it smaller;
    what is `fixed`, which no budget changes, never. If nothing meets it, the last attempt. Whatever `build` raises for the first of its
    budgets goes through.
    """
    budget = allowed / LEAF_SAFETY
    best: Made | None = None
    sharpened = loosened = 0
    while True:
        made = build(budget)
        if fixed(made):
            return made
        error = reached(made)
        if error <= allowed:
            if best is not None and size(made) >= size(best):
                return best
            best = made
            if error >= TIGHT * allowed or loosened == LOOSENINGS:
                return best
            loosened += 1
            budget *= min(SHARPER * allowed / max(error, allowed * 2.0**-20), 64.0)
        else:
            if best is not None:
                return best
            if sharpened == SHARPENINGS:
                return made
            sharpened += 1
            budget *= SHARPER * allowed / error
