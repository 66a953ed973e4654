"""Scrambled Sobol points, those of `scipy.stats.qmc.Sobol` bit for bit, without loading scipy.stats.

The j-th bit of the i-th point of an axis is a sum mod 2 of direction numbers, and scrambling is a random lower triangular matrix over
GF(2) and a digital shift (Matoušek 1998). Direction numbers are those of Joe and Kuo (SIAM J. Sci. Comput. 30, 2008) that scipy takes;
the recurrence that makes all of an axis from its first few is that of Bratley and Fox (ACM TOMS 14, 1988).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

BITS = 30
AXES = (
    (3, (1,)),
    (7, (1, 3)),
    (11, (1, 3, 1)),
    (13, (1, 1, 1)),
    (19, (1, 1, 3, 3)),
    (25, (1, 3, 5, 13)),
    (37, (1, 1, 5, 5, 17)),
    (41, (1, 1, 5, 5, 5)),
    (47, (1, 1, 7, 11, 19)),
    (55, (1, 1, 5, 1, 1)),
    (59, (1, 1, 1, 3, 11)),
    (61, (1, 3, 5, 5, 31)),
    (67, (1, 3, 3, 9, 7, 49)),
    (91, (1, 1, 1, 15, 21, 21)),
    (97, (1, 3, 1, 13, 27, 49)),
)
"""Of the second axis to the sixteenth: the primitive polynomial over GF(2), its bits those of a number, and the first direction numbers."""


def sobol(dimension: int, exponent: int, seed: int) -> NDArray[np.float64]:
    """The first 2^`exponent` points of the scrambled sequence in [0, 1)^d, (2^exponent, d). Deterministic for a seed.

    With more than `AXES` knows of, scipy.stats is loaded.
    """
    if dimension > len(AXES) + 1 or exponent > BITS:
        from scipy.stats import qmc

        points: NDArray[np.float64] = qmc.Sobol(dimension, seed=seed).random_base2(exponent)
        return points
    rng = np.random.default_rng(seed)
    shift = rng.integers(2, size=(dimension, BITS), dtype=np.uint32).astype(np.int64) @ (1 << np.arange(BITS))
    lower = np.tril(rng.integers(2, size=(dimension, BITS, BITS), dtype=np.uint32)).astype(np.int64)
    lower[:, range(BITS), range(BITS)] = 1
    places = np.arange(BITS - 1, -1, -1)
    digits = _directions(dimension)[:, :, None] >> places & 1
    scrambled = (np.einsum("dpk,djk->djp", lower, digits) & 1) @ (1 << places)
    # The Gray code of i and of i − 1 differ in as many places from the right as i has zeros there.
    counter = np.arange(1, 1 << exponent)
    changed = np.log2(counter & -counter).astype(np.intp)
    steps = np.concatenate([shift[None], scrambled[:, changed].T])
    return np.asarray(np.bitwise_xor.accumulate(steps, axis=0) * 2.0**-BITS)


def _directions(dimension: int) -> NDArray[np.int64]:
    """Direction numbers as fractions of 2^BITS, (d, BITS)."""
    rows = [[1] * BITS]
    for polynomial, first in AXES[: dimension - 1]:
        row, degree = list(first), len(first)
        for j in range(degree, BITS):
            new = row[j - degree]
            for k in range(degree):
                if polynomial >> (degree - 1 - k) & 1:
                    new ^= row[j - k - 1] << (k + 1)
            row.append(new)
        rows.append(row)
    return np.array(rows, np.int64) << np.arange(BITS - 1, -1, -1)
