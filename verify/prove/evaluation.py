"""Evaluations in floats about which something is claimed: a dtype, an order of sums, what experts are rounded to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log2

import numpy as np

from ...atlas import Array
from ...moe.engines import FLUSHED
from ...moe.network import Affine, Network
from ...moe.sums import BLOCK, Sums


@dataclass(frozen=True)
class Evaluation:
    """A dtype and an order of sums."""

    dtype: str
    sums: Sums
    terms: int
    """Products of the longest sum of the whole network, at most; slices of it have fewer."""
    half: str | None = None
    """What the experts behind the last gate are evaluated in, their sums in `dtype`: bfloat16, float16; None: nothing else."""
    flushed: bool = False
    """Whether subnormal numbers may be taken to 0 (`moe.engines`), with sums in any order."""

    @property
    def name(self) -> str:
        """As in certificates: float32 is that of plain sums."""
        if self.flushed:
            return f"{self.dtype}.{FLUSHED}"
        return self.half or (self.dtype if self.sums is Sums.PLAIN else f"{self.dtype}.{self.sums}")

    @property
    def unit(self) -> float:
        """u."""
        return float(np.finfo(self.dtype).eps) / 2

    @property
    def tiny(self) -> float:
        """What an operation adds where its result is too small for u to say it."""
        return self.flush if self.flushed else float(np.finfo(self.dtype).smallest_subnormal)

    @property
    def flush(self) -> float:
        """What is taken to 0 is below this; 0 where nothing is."""
        return float(np.finfo(self.dtype).tiny) if self.flushed else 0.0

    def moved(self, map_: Affine) -> tuple[Array, Array] | None:
        """How far the weights (out, in) and biases (out,) are that it has in the place of a map's; None where they are the map's."""
        return None

    def operations(self, products: Array) -> Array:
        """Of a sum of so many products and a bias, those whose results may be off by `tiny`: sums of subnormal numbers that are kept are
        exact.
        """
        return 2 * products + 2 if self.flushed else products + 1

    @property
    def largest(self) -> float:
        return float(np.finfo(self.dtype).max)

    def roundings(self, products: Array) -> Array:
        """N: through how many roundings a product goes at most, if so many are not 0.

        One of its own, as many sums as there are partial sums that are not 0, and one with the bias. In a block there are no more
        than BLOCK − 1 sums before those between blocks; in a tree as many as it is deep.
        """
        if self.sums is Sums.PLAIN:
            return products + 1
        blocks = 1 if self.sums is Sums.FLOAT64 else BLOCK
        return np.minimum(products, blocks + ceil(log2(max(1, -(-self.terms // blocks))))) + 1


def evaluations(network: Network, halves: Sequence[str] = (), dtype: str | None = None, flushed: bool = False) -> tuple[Evaluation, ...]:
    """Those about which something is claimed: float64, and of float32 weights all orders of float32, and those `halves`. `dtype`: that of
    the weights, if it is not the network's; `flushed`: also in that dtype with subnormal numbers that may be flushed.
    """
    hidden = (width for part in network.layers for net in part.nets for width in net.widths)
    terms = max(len(network.inputs), *(len(part.channels) for part in network.layers), *hidden)
    double = Evaluation("float64", Sums.PLAIN, terms)
    dtype = str(network.dtype) if dtype is None else dtype
    orders = () if dtype == "float64" else tuple(Evaluation(dtype, sums, terms) for sums in Sums)
    small = (Evaluation(dtype, Sums.PLAIN, terms, flushed=True),) if flushed else ()
    return (double, *orders, *(Evaluation("float32", Sums.PLAIN, terms, half) for half in halves), *small)
