"""How much the profiles of a ridge bend: what a proof pays for, and so a part of what is fitted in three dimensions.

An enclosure of degree n follows each profile q_k by a polynomial of that degree and is off by |q_k^(n+1)|·h^(n+1)/((n + 1)!·2^n) on a box
of half-length h (Chebyshev). What the directions are off by adds up, and boxes number as that sum to the power d/(n + 1). The profiles of
a least squares fit cancel each other, which is not seen in the error. With

    |A·w − y|² + μ²·Σ_k ∫ |q_k^(n+1)|²

in the place of |A·w − y|² + λ²·|w|² the sum is 3 to 10 times smaller at about the same error (a ball of S³, 256 neurons in 32 directions,
5e-6 of the range: 0.007 of the range in place of 0.025 to 0.05).
"""

from __future__ import annotations

from math import factorial

import numpy as np

from ...atlas import Array
from .forms import Lattice

ORDER = 5
"""n + 1, for forms of degree 4; proofs in three dimensions and more compare by one more (`verify.prove.degree`)."""
LEAST_RANK = 3
"""In fewer dimensions boxes are few."""
PLACES = 16
"""Points of each direction's data at which its profile's derivative is looked at."""


def bending(form: Lattice, inputs: Array) -> Array:
    """(K, PLACES·b, p): times coefficients (p, q), what enclosures of profile k over all of the data `inputs` (N, n) would be off by, at
    places along its direction; b profiles a direction, those of lanes as if |z| were 1.
    """
    dictionary, blocks = form.dictionary, form.blocks
    projected = inputs @ dictionary.directions.T
    middle, half = (projected.max(0) + projected.min(0)) / 2, np.ptp(projected, axis=0) / 2
    order = np.linspace(-1, 1, PLACES)
    columns = blocks.shape[1]
    found = np.zeros((len(half), columns, PLACES, int(form.size)))
    starts = np.cumsum([0, *dictionary.counts])
    for k, (m, h) in enumerate(zip(middle, half, strict=True)):
        own = np.arange(starts[k], starts[k + 1])
        facing = dictionary.facing[own]
        z = facing * ((m + h * order)[:, None] - dictionary.knots[own])
        bent = dictionary.activation.derivatives(z, ORDER)[0][ORDER] * (facing * h) ** ORDER / (factorial(ORDER) * 2 ** (ORDER - 1))
        for c in range(columns):
            found[k, c][:, blocks[own, c]] = bent
    return found.reshape(len(half), columns * PLACES, -1)
