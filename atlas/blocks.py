"""`block_diagonal`: maps side by side, each of its own variables."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..expressions.box import Array


def block_diagonal(parts: Sequence[Array]) -> Array:
    """The matrix with these along its diagonal, and zeros elsewhere."""
    sizes = np.array([part.shape for part in parts])
    whole = np.zeros(sizes.sum(0))
    for part, (row, column) in zip(parts, np.cumsum(sizes, axis=0) - sizes, strict=True):
        whole[row : row + len(part), column : column + part.shape[1]] = part
    return whole
