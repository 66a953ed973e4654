"""What Python functions of the user's return, as numbers.

Such a function is code that nobody here has read: it may write into the points that it is given, return nothing or complex numbers,
raise anything, or end the program. What is measured of it, and with it every bound that rests on a declared constant, is of the points
that were meant; so it is given a copy of them, and what is no array of real numbers is refused instead of made one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidArgument
from ..expressions.box import Array

LONGEST = 200
"""Characters of a message of somebody else's that are told."""


def said(error: BaseException) -> str:
    """What somebody else's error says, on one line."""
    return " ".join(str(error).split())[:LONGEST]


def shape_remedy(shape: tuple[int, ...], points: int, outputs: int) -> str:
    """What to do about a function that returns an array of this shape for so many points, and should return so many outputs."""
    if len(shape) == 2 and shape[0] == points and shape[1] > 0:
        told = f"say that it has {shape[1]} components, outputs = {shape[1]} in [target] and as many names in [[target]]"
        return f"{told}, or name a function that returns {outputs} of them"
    return "points are rows: take coordinates as y[:, 0], y[:, 1], … and return a value for every row"


def numbers_of(function: Callable[[Array], ArrayLike], base: Array) -> Array:
    """f at a copy of the points (N, k), of whatever shape. Raises `InvalidArgument` with what it does instead, and what to do."""
    at = f"for points of shape {base.shape}"
    try:
        found = function(np.array(base, float))
    except SystemExit as error:
        raise InvalidArgument(f"ends the program (SystemExit: {error.code}) {at}; let it return values, or raise an error") from None
    except Exception as error:  # the user's code: whatever it raises is the finding
        told = f"raises {type(error).__name__} {at}: {said(error)}"
        raise InvalidArgument(f"{told}; correct the function, which gets all points at once, one a row") from None
    if found is None:
        raise InvalidArgument(f"returns None {at}; let it return an array of one value a row")
    try:
        values = np.asarray(found)
        real = values if values.dtype.kind == "c" else np.asarray(values, float)
    except (TypeError, ValueError) as error:
        raise InvalidArgument(f"returns what is no array of numbers {at}: {said(error)}; let it return an array of floats") from None
    if real.dtype.kind == "c":
        raise InvalidArgument(f"returns complex numbers {at}; return real and imaginary parts as two components")
    return real
