"""What floating-point arithmetic may add, in one constant."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike


def gamma(n: int, dtype: DTypeLike = float) -> float:
    """γ_n = n·u/(1 − n·u), u the unit roundoff of the dtype: of n roundings in any order; ∞ for more terms than 1/u."""
    u = float(np.finfo(dtype).eps) / 2
    return n * u / (1 - n * u) if n * u < 1 else np.inf
