"""Which numbers there are among many, and which rows. `np.unique` says it too, and loads all of numpy's masked arrays to do so."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T", bound=np.generic)


def numbers(whole: NDArray[np.intp]) -> NDArray[np.intp]:
    """Each integer of an array once, in order: counted, which takes no sorting, where they are small, as the indices of charts are."""
    flat = whole.reshape(-1)
    if len(flat) and flat.min() >= 0 and flat.max() <= len(flat):
        return np.flatnonzero(np.bincount(flat))
    return rows(whole.reshape(-1, 1))[:, 0]


def rows(table: NDArray[T]) -> NDArray[T]:
    """Each row of (n, k) once, in the order of their first entries, of the second ones where these are equal, and so on."""
    table = table[np.lexsort(table.T[::-1])]
    new = np.ones(len(table), bool)
    new[1:] = (table[1:] != table[:-1]).any(1)
    return table[new]
