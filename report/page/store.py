"""`Store`: the arrays of a page, as one text; the page reads them in place as typed arrays."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

KINDS = {"f8": "<f8", "f4": "<f4", "u4": "<u4", "u2": "<u2", "u1": "u1"}
"""What the page calls a kind of number, and how its bytes stand."""
ALIGNED = 8


class Store:
    """Bytes of arrays one after the other, each from a multiple of eight on."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0
        """Bytes so far."""

    def put(self, values: ArrayLike, kind: str) -> list[Any]:
        """Keep an array; what the page finds it by: where it begins, how many numbers, of which kind."""
        data = np.ascontiguousarray(np.asarray(values).astype(KINDS[kind])).tobytes()
        place = [self.size, np.asarray(values).size, kind]
        padded = data + b"\0" * (-len(data) % ALIGNED)
        self._parts.append(padded)
        self.size += len(padded)
        return place

    def text(self) -> str:
        """All of it, in base 64."""
        return base64.b64encode(b"".join(self._parts)).decode()
