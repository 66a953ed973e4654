"""`Points`: points of a domain, with the coordinates that they were made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..expressions.box import Array


@dataclass(frozen=True, eq=False)
class Points:
    """N points of M, each with the parametrising chart and the intrinsic coordinates it was made from."""

    chart: NDArray[np.intp]
    """(N,) index into `Domain.parametrising`."""
    intrinsic: Array
    """(N, d)."""
    base: Array
    """(N, k) in the coordinates that targets and charts are written in."""
    ambient: Array
    """(N, D) after the embedding: what the network reads."""

    def __len__(self) -> int:
        return len(self.chart)

    def __getitem__(self, index: Any) -> Points:
        return Points(self.chart[index], self.intrinsic[index], self.base[index], self.ambient[index])


def concatenate(parts: Sequence[Points]) -> Points:
    """Several `Points` as one."""
    return Points(*(np.concatenate([getattr(part, name) for part in parts]) for name in ("chart", "intrinsic", "base", "ambient")))
