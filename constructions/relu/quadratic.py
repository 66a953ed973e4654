"""Samples of a quadratic function, which no formula says to be one: its forms and knots are known without a search."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from ...atlas import Array
from ...errors import AtlasMoEError
from ...moe.ridge import Dictionary, Ridge
from ..structure.profiles import Profiles, written
from ..structure.splines import spline_sum
from .dictionary import Coordinates

MOST_VARIABLES = 8
EXACT = 1e-10
"""A polynomial of degree 2 that misses the samples by no more than this part of their size is the function."""


def quadratic_ridge(inputs: Array, values: Array, budget: float, limit: int) -> Ridge | None:
    """The ridge for values (N, q) at inputs (N, n) to `budget` on the box of the samples, in at most `limit` neurons; None for what is not
    quadratic, and where that does not suffice.
    """
    coordinates = Coordinates.of(inputs)
    r = coordinates.rank
    if not 2 <= r <= MOST_VARIABLES:
        return None
    z = coordinates(inputs)
    pairs = [(i, j) for i in range(r) for j in range(i, r)]
    columns = np.concatenate([np.ones((len(z), 1)), z, np.stack([z[:, i] * z[:, j] for i, j in pairs], axis=1)], axis=1)
    solution = np.linalg.lstsq(columns, values, rcond=None)[0]
    size = np.abs(values).max(0)
    if (np.abs(columns @ solution - values).max(0) > EXACT * size).any():
        return None
    forms = []
    for j, row in enumerate(solution[1 + r :].T):
        terms = ((pair, float(c)) for pair, c in zip(pairs, row, strict=True) if abs(c) > EXACT * size[j])
        forms.append({tuple((k == a) + (k == b) for k in range(r)): Fraction(c) for (a, b), c in terms})
    blank = Profiles(np.zeros(r), np.ones(r), np.ones(r), solution[1 : 1 + r].T, solution[0])
    try:
        found = spline_sum(written(blank, forms, np.zeros(len(forms))), epsilon=budget, limit=limit)
    except AtlasMoEError:
        return None
    if found is None:
        return None
    dictionary = found.ridge.dictionary
    rows = (dictionary.directions / coordinates.scale) @ coordinates.basis.T
    knots = dictionary.knots + np.repeat(rows @ coordinates.center, dictionary.counts)
    return Ridge(Dictionary(rows, dictionary.counts, knots, dictionary.facing), found.ridge.weights, found.ridge.constant)
