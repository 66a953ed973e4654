"""`ManifoldTask`: a manifold with an atlas, and the function to be compiled on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidArgument
from ..expressions.box import Array
from ..expressions.maps import ExpressionMap
from .atlas import Atlas
from .points import Points


@dataclass(frozen=True, eq=False)
class ExpressionTarget:
    """f written once, in the ambient coordinates before embedding."""

    function: ExpressionMap

    @property
    def outputs(self) -> int:
        return self.function.outputs


@dataclass(frozen=True, eq=False)
class ChartTarget:
    """f written as F_i = f∘φ_i⁻¹, once per parametrising chart, in its intrinsic coordinates; they agree on overlaps."""

    functions: tuple[ExpressionMap, ...]

    @property
    def outputs(self) -> int:
        return self.functions[0].outputs


@dataclass(frozen=True, eq=False)
class CallableTarget:
    """f as a vectorised function (N, k) → (N,) or (N, outputs) of the coordinates before embedding.

    Nothing can be *proved* about such a target, only sampled, unless it brings its `enclosure`: a function that takes Taylor
    forms of the k coordinates (`verify.enclosure.TaylorForms`) to those of the outputs. `name` is what model cards and errors call it.
    """

    function: Callable[[Array], ArrayLike] | None
    """None for a model read from a folder without it: then f cannot be evaluated."""
    outputs: int = 1
    name: str = "callable"
    enclosure: Callable[[Any], Any] | None = None


Target = ExpressionTarget | ChartTarget | CallableTarget


@dataclass(frozen=True, eq=False)
class ManifoldTask:
    """Approximate `target` on the manifold that `atlas` covers, in the sup norm (largest component)."""

    name: str
    atlas: Atlas
    target: Target

    def __post_init__(self) -> None:
        if isinstance(self.target, ChartTarget) and len(self.target.functions) != len(self.atlas.parametrising):
            raise InvalidArgument(
                f"task {self.name!r}: {len(self.target.functions)} chart targets for {len(self.atlas.parametrising)} charts"
            )
        if isinstance(self.target, ExpressionTarget) and tuple(map(str, self.target.function.variables)) != self.atlas.coordinates:
            raise InvalidArgument(f"task {self.name!r}: the target must be a function of {self.atlas.coordinates}")

    @property
    def outputs(self) -> int:
        return self.target.outputs

    def evaluate(self, points: Points) -> Array:
        """f at points of M, (N, outputs): the oracle that every network is compared with."""
        if isinstance(self.target, ExpressionTarget):
            return self.target.function(points.base)
        if isinstance(self.target, CallableTarget):
            if self.target.function is None:
                problem = f"the target of task {self.name!r} is the Python function {self.target.name!r}, which no file can hold"
                raise InvalidArgument(f"{problem}; pass it when loading: load(folder, target=CallableTarget(function))")
            return np.asarray(self.target.function(points.base), float).reshape(len(points), self.outputs)
        values = np.empty((len(points), self.outputs))
        for i in np.unique(points.chart):
            rows = points.chart == i
            values[rows] = self.target.functions[i](points.intrinsic[rows])
        return values

    def __call__(self, ambient: ArrayLike) -> Array:
        """f at ambient points [N, D] of M, (N, outputs); a chart-wise target needs the forward maps."""
        return self.evaluate(self.locate(self.atlas.unembed(ambient)))

    def locate(self, base: ArrayLike) -> Points:
        """Points (N, k) before embedding, with what the target needs to know of them."""
        if isinstance(self.target, ChartTarget):
            return self.atlas.locate(base)
        base = np.atleast_2d(np.asarray(base, float))
        nowhere = np.full((len(base), self.atlas.dimension), np.nan)
        return Points(np.zeros(len(base), np.intp), nowhere, base, self.atlas.embed(base))
