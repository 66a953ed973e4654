"""Reading arguments that users write: every value checked, every message naming the option and what it accepts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np

from ..errors import InvalidArgument, did_you_mean
from ..expressions.parse import parse_number

MAX_CHARTS = 4096
"""The most charts an atlas made by the library has; more is taken for a slip of the pen."""

MAX_DIMENSION = 64
"""The largest intrinsic dimension of a library manifold."""


def unknown(kind: str, given: object, accepted: Iterable[str]) -> InvalidArgument:
    """The error for a name that is not one of `accepted`, with the nearest of them as a suggestion."""
    accepted = list(accepted)
    hint = did_you_mean(given, accepted)
    return InvalidArgument(f"unknown {kind} {given!r}{hint} (accepted: {', '.join(accepted) or 'none'})")


def integer(name: str, value: Any, lowest: int, highest: int | None = None) -> int:
    """`value` as an integer in [lowest, highest]; a float that is one, such as 1e4, counts."""
    whole = isinstance(value, int | np.integer) or (isinstance(value, float | np.floating) and float(value).is_integer())
    if isinstance(value, bool | np.bool_) or not whole or value < lowest or (highest is not None and value > highest):
        most = "up" if highest is None else f"to {highest}"
        raise InvalidArgument(f"{name} must be an integer from {lowest} {most}, got {value!r}")
    return int(value)


def seed(value: Any) -> int:
    """A seed of random numbers."""
    return integer("seed", value, 0, 2**63 - 1)


def number(name: str, value: Any, above: float, below: float = np.inf) -> float:
    """`value` as a finite number in the open interval (above, below)."""
    numeric = isinstance(value, Real | Decimal | np.number) and not isinstance(value, bool | np.complexfloating)
    try:
        found = float(value) if numeric else np.nan
    except OverflowError:  # 10**400
        found = np.inf
    if not above < found < below:
        raise InvalidArgument(f"{name} must be {_range(above, below)}, got {value!r:.60}")
    return found


def _range(above: float, below: float) -> str:
    """An open interval in words."""
    if np.isinf(below):
        return "a finite number" if np.isinf(above) else f"a finite number above {above:g}"
    return f"a number between {above:g} and {below:g}, both excluded"


def dtype_name(value: Any) -> Any:
    """What a dtype is called that is given by numpy, torch or its name: np.float32 is "float32". Anything else as it is."""
    if value is float:
        return "float64"
    if isinstance(value, np.dtype) or (isinstance(value, type) and issubclass(value, np.generic)):
        return np.dtype(value).name
    text = str(value)
    return text.removeprefix("torch.") if text.startswith("torch.") else value


def numbers(name: str, value: Any, above: float, below: float = np.inf) -> tuple[float, ...]:
    """`value` as a non-empty tuple of finite numbers in the open interval (above, below)."""
    if isinstance(value, str) or not isinstance(value, Sequence | np.ndarray) or not 1 <= len(value) <= MAX_DIMENSION + 1:
        raise InvalidArgument(f"{name} must be a list of 1 to {MAX_DIMENSION + 1} numbers, got {value!r}")
    return tuple(number(f"{name}[{i}]", entry, above, below) for i, entry in enumerate(value))


def choice(name: str, value: Any, accepted: Sequence[str]) -> str:
    """`value` if it is one of the accepted words."""
    if value not in accepted:
        raise unknown(name, value, accepted)
    return str(value)


def intervals(name: str, value: Any, dimension: int) -> tuple[tuple[float, float], ...]:
    """`value` as `dimension` pairs (lower, upper) with lower < upper; a single pair may be given for one dimension."""
    if dimension == 1 and isinstance(value, list | tuple) and len(value) == 2 and not isinstance(value[0], list | tuple):
        value = [value]
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != dimension:
        raise InvalidArgument(f"{name} must be a list of {dimension} pairs [lower, upper], got {value!r}")
    pairs = []
    for i, pair in enumerate(value):
        if isinstance(pair, str) or not isinstance(pair, Sequence) or len(pair) != 2:
            raise InvalidArgument(f"{name}[{i}] must be a pair [lower, upper], got {pair!r}")
        lower, upper = (number(f"{name}[{i}]", _constant(end, f"{name}[{i}]"), -np.inf) for end in pair)
        if not lower < upper:
            raise InvalidArgument(f"{name}[{i}]: need lower < upper, got [{lower:g}, {upper:g}]")
        pairs.append((lower, upper))
    return tuple(pairs)


def _constant(value: Any, where: str) -> Any:
    """The number that a text such as "pi/2" says; anything else as it is."""
    return parse_number(value, where) if isinstance(value, str) else value
