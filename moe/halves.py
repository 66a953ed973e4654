"""Numbers of half precision, held in wider ones: what float16 and bfloat16 can represent."""

from __future__ import annotations

import numpy as np

from ..errors import InvalidArgument
from .nets import Floats

HALVES = ("bfloat16", "float16")


def rounded(array: Floats, dtype: str) -> Floats:
    """The nearest numbers of that dtype, ties to even, by way of float32 as PyTorch does it; in the array's own dtype.

    Raises `InvalidArgument` for other dtypes, and for a number that is too large for this one.
    """
    if dtype not in HALVES:
        raise InvalidArgument(f"dtype {dtype!r} is not one of {', '.join(HALVES)}")
    single = np.asarray(array, np.float32)
    with np.errstate(over="ignore"):
        found = single.astype(np.float16) if dtype == "float16" else _bfloat16(single)
    if not np.isfinite(found).all():
        worst = float(np.abs(array).max())
        raise InvalidArgument(f"{worst:.6g} is beyond what {dtype} can hold; choose the other one of {', '.join(HALVES)}")
    return found.astype(array.dtype)


def _bfloat16(single: Floats) -> Floats:
    """The upper 16 bits of float32 numbers, rounded."""
    bits = np.ascontiguousarray(single).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) & np.uint32(0xFFFF0000)).view(np.float32)
