"""Decorations in the sense of IEEE 1788: what is known of a function on a whole box, beside where its values lie.

Lemma. Let g_1, …, g_n be functions on a set S with values in the intervals X_1, …, X_n where they are defined, and f a function of n
variables. Each of "is defined everywhere", "… and continuous", "… and Lipschitz", "… and C²" holds of f(g_1, …, g_n) on S if it holds of
every g_k on S and of the restriction of f to X_1 × … × X_n. For continuity and Lipschitz bounds this is composition of restrictions (on a
compact box S the values of continuous g_k lie in a compact part of the product). For C²: what is C² on a product of intervals up to its
closed ends, with one-sided derivatives there, is the restriction of a C² function on R^n, to which the chain rule applies.

So decorations of an expression are the least of those of its parts and of its operation on the ranges of its parts (`least`).
Where the range of a part is a single interval, closed at an end of the domain of f, the restriction is what counts: √ is continuous on
[0, 1], x^{3/2} Lipschitz, x^{5/2} twice continuously differentiable.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

Decorations = NDArray[np.uint8]


class Decoration(IntEnum):
    """What holds on all of a box; each says what the ones before it say, and more."""

    NOTHING = 0
    """It may be undefined somewhere."""
    DEFINED = 1
    CONTINUOUS = 2
    LIPSCHITZ = 3
    SMOOTH = 4
    """Twice continuously differentiable, one-sidedly at closed ends."""


SURE: Decorations = np.array(Decoration.SMOOTH, np.uint8)
"""Of whatever nothing can go wrong with: one shared number, so that arithmetic with it costs nothing."""
SURE.flags.writeable = False


def least(a: Decorations, b: Decorations) -> Decorations:
    """What holds of a function of two parts."""
    if a is SURE or a is b:
        return b
    return a if b is SURE else np.minimum(a, b)


def lowered(decoration: Decorations, where: NDArray[np.bool_], level: Decoration) -> Decorations:
    """At most `level` where the condition holds."""
    if not np.count_nonzero(where):
        return decoration
    return np.where(where, np.minimum(decoration, np.uint8(level)), decoration)
