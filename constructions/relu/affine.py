"""Samples of an affine function: no search is needed, and no more neurons than its rank."""

from __future__ import annotations

import numpy as np

from ...atlas import Array
from ...moe.ridge import Dictionary, Ridge
from ..structure.affine import ACTIVE, carried
from .dictionary import Coordinates


def affine_ridge(inputs: Array, values: Array) -> Ridge:
    """The affine function that fits values (N, q) at inputs (N, n) best, in as few neurons as it takes, at least one."""
    coordinates = Coordinates.of(inputs)
    z = coordinates(inputs)
    solution = np.linalg.lstsq(np.concatenate([z, np.ones((len(z), 1))], axis=1), values, rcond=None)[0]
    constant = solution[-1]
    # What is left of a function without slope is rounding, in units of its values.
    forms, shares, _ = carried(solution[:-1].T, np.ones(z.shape[1]), np.abs(values).max(0))
    if not len(forms):
        rows = np.eye(1, inputs.shape[1])
        return Ridge(Dictionary(rows, (1,), np.zeros(1), np.ones(1)), np.zeros((len(constant), 1)), constant)
    shifts = ACTIVE * np.abs(forms).sum(1)
    rows = (forms / coordinates.scale) @ coordinates.basis.T
    dictionary = Dictionary(rows, (1,) * len(rows), rows @ coordinates.center - shifts, np.ones(len(rows)))
    return Ridge(dictionary, shares, constant - shares @ shifts)
