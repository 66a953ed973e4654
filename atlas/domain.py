"""`Domain`: what a block lives on and an input ranges over, an `Atlas` or a `Tiling`; one protocol is all that is asked of them.

Theorem 4.8 routes among charts of a manifold that overlap: in an overlap either chart will do, for its subtasks agree there. Theorem 5.3
routes among pieces of a box that meet: there subtasks may disagree, so an interface point has one owner. Everything else is
the same for both: a domain is a list of maps φ⁻¹ from boxes (or the part of them where a region is positive), points are
drawn by these maps, and every point lies in some of the charts or pieces. A box is the tiling of one piece.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..expressions.box import Array, Box
from .chart import Chart
from .points import Points


class Domain(Protocol):
    """Charts or pieces i = 1..E that cover M ⊂ R^k, perhaps embedded isometrically in R^D.

    Shapes: base points [..., k] are in `coordinates`, before any embedding; ambient points [..., D] are what a network reads.
    """

    @property
    def noun(self) -> str:
        """What messages call one of the E: "chart" or "piece"."""

    @property
    def exclusive(self) -> bool:
        """Whether every point belongs to exactly one of the E (pieces), or may lie in several that agree there (charts)."""

    @property
    def box(self) -> Box | None:
        """The box that M is; None for a manifold given by charts."""

    @property
    def coordinates(self) -> tuple[str, ...]:
        """The k names of the coordinates before embedding."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the E charts or pieces."""

    @property
    def parametrising(self) -> tuple[Chart, ...]:
        """The (φ⁻¹, box, region) that together parametrise M: the charts, the `cover` of a ball atlas, the pieces (φ = id)."""

    @property
    def embedding(self) -> Array | None:
        """(D, k) with orthonormal columns; None: D = k and nothing moves."""

    @property
    def dimension(self) -> int:
        """d."""

    @property
    def base_dimension(self) -> int:
        """k, before embedding."""

    @property
    def ambient_dimension(self) -> int:
        """D, what a network reads."""

    def __len__(self) -> int:
        """E."""

    def embed(self, base: ArrayLike) -> Array:
        """[..., k] to [..., D]."""

    def unembed(self, ambient: ArrayLike) -> Array:
        """[..., D] to [..., k]."""

    def membership(self, base: ArrayLike) -> NDArray[np.bool_]:
        """In which charts or pieces each point lies: [..., k] to [..., E]; some column is True at every point of M."""

    def rho(self, base: ArrayLike) -> Array:
        """The partition of unity, [..., k] to [..., E]: of pieces their indicators. NaN where no chart's bump is positive."""

    def local(self, chart: int, base: ArrayLike) -> Array | None:
        """φ of chart or piece number `chart`, [..., k] to [..., d]; None if it is not known."""

    def owner(self, base: ArrayLike) -> NDArray[np.intp]:
        """The first chart or piece that each point lies in, [..., k] to [...]; −1 off M. Of pieces there is one at most."""

    def margin(self, base: ArrayLike) -> Array:
        """How far each point of M is from where its owner changes hands with one that may disagree, [..., k] to [...]; 0 there.

        For pieces the distance (largest norm) to the nearest interface, the margin of B10; for charts the depth of the deepest
        chart, which is never far below the level of B12 and says how wrong scores may be before a chart is chosen that y is not in.
        """

    def locate(self, base: ArrayLike) -> Points:
        """Points (N, k) of M with a chart of `parametrising` that holds them and their coordinates there; NaN where none does."""

    def parametrise(self, chart: ArrayLike, intrinsic: ArrayLike) -> Points:
        """The points φ⁻¹(u) for indices (N,) into `parametrising` and intrinsic coordinates (N, d)."""

    def sample(self, count: int, seed: int, *, low_discrepancy: bool = False) -> Points:
        """Exactly `count` points of M: independent, or a Sobol sequence with `low_discrepancy`. Deterministic for a seed."""

    def sample_chart(self, chart: int, count: int, seed: int) -> tuple[Array, Points]:
        """`count` points in chart or piece number `chart`: their local coordinates (count, d), and the points."""


def first_valid(valid: NDArray[np.bool_]) -> NDArray[np.intp]:
    """The first True column of each row, [..., E] to [...]; −1 where there is none."""
    return np.where(valid.any(-1), valid.argmax(-1), -1).astype(np.intp)
