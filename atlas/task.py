"""`ManifoldTask`: a manifold with an atlas, and the function to be compiled on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidArgument
from ..expressions.box import Array
from ..expressions.maps import ExpressionMap
from .atlas import Atlas
from .chart import Chart
from .options import OptionValue, findings
from .points import Points


@dataclass(frozen=True, eq=False)
class ExpressionTarget:
    """f written once, in the ambient coordinates before embedding."""

    function: ExpressionMap
    by_chart: ClassVar = False
    """Whether it has to be known on which chart a point lies."""

    @property
    def outputs(self) -> int:
        return self.function.outputs

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        """What it is made of."""
        return (self.function,)

    def misfit(self, atlas: Atlas) -> str | None:
        """Why it is no target on this atlas."""
        fits = tuple(map(str, self.function.variables)) == atlas.coordinates
        return None if fits else f"the target must be a function of {atlas.coordinates}"

    def subtasks(self, atlas: Atlas) -> tuple[ExpressionMap, ...]:
        """f on every chart, in its ambient or its intrinsic coordinates; () where no expression says it."""
        return (self.function,) * len(atlas)

    def local(self, index: int, chart: Chart) -> ExpressionMap:
        """F_i = f∘φ_i⁻¹ for parametrising chart number `index`."""
        return self.function.after(chart.inverse)

    def evaluate(self, points: Points) -> Array:
        """f at points of M, (N, outputs)."""
        return self.function(points.base)


@dataclass(frozen=True, eq=False)
class ChartTarget:
    """f written as F_i = f∘φ_i⁻¹, once per parametrising chart, in its intrinsic coordinates; they agree on overlaps."""

    functions: tuple[ExpressionMap, ...]
    by_chart: ClassVar = True

    @property
    def outputs(self) -> int:
        return self.functions[0].outputs

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        return self.functions

    def misfit(self, atlas: Atlas) -> str | None:
        fits = len(self.functions) == len(atlas.parametrising)
        return None if fits else f"{len(self.functions)} chart targets for {len(atlas.parametrising)} charts"

    def subtasks(self, atlas: Atlas) -> tuple[ExpressionMap, ...]:
        return () if atlas.cover else self.functions

    def local(self, index: int, chart: Chart) -> ExpressionMap:
        return self.functions[index]

    def evaluate(self, points: Points) -> Array:
        values = np.empty((len(points), self.outputs))
        for i in np.unique(points.chart):
            rows = points.chart == i
            values[rows] = self.functions[i](points.intrinsic[rows])
        return values


@dataclass(frozen=True, eq=False)
class CallableTarget:
    """f as a vectorised function (N, k) → (N,) or (N, outputs) of the coordinates before embedding.

    Nothing can be *proved* about such a target, only sampled, unless it brings its `enclosure`: a function that takes Taylor
    forms of the k coordinates (`verify.enclosure.TaylorForms`) to those of the outputs, of the degree that it is given. `name` is what
    model cards and errors call it.
    """

    function: Callable[[Array], ArrayLike] | None
    """None for a model read from a folder without it: then f cannot be evaluated."""
    outputs: int = 1
    name: str = "callable"
    enclosure: Callable[[Any], Any] | None = None
    degree: int = 2
    """The highest degree of forms that `enclosure` takes; where experts are smooth, 3 needs far fewer boxes than 2."""
    pointwise: Callable[[Points], ArrayLike] | None = None
    """f at points, in the place of `function`: of what is left of another target beside a network, which may be given chart by chart."""
    by_chart: ClassVar = False

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        return ()

    def misfit(self, atlas: Atlas) -> str | None:
        return None

    def subtasks(self, atlas: Atlas) -> tuple[ExpressionMap, ...]:
        return ()

    def local(self, index: int, chart: Chart) -> ExpressionMap:
        raise InvalidArgument(f"the target is the Python function {self.name!r}, not an expression; write f in a spec")

    def evaluate(self, points: Points) -> Array:
        if self.pointwise is not None:
            return np.asarray(self.pointwise(points), float).reshape(len(points), self.outputs)
        if self.function is None:
            problem = f"the target is the Python function {self.name!r}, which no file can hold"
            raise InvalidArgument(f"{problem}; pass it when loading: load(folder, target=CallableTarget(function))")
        return np.asarray(self.function(points.base), float).reshape(len(points), self.outputs)


Target = ExpressionTarget | ChartTarget | CallableTarget


@dataclass(frozen=True, eq=False)
class ManifoldTask:
    """Approximate `target` on the manifold that `atlas` covers, in the sup norm (largest component)."""

    name: str
    atlas: Atlas
    target: Target
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """By names of `atlas.options.OPTIONS`, as of a block of a graph."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """The loop values ("i = 0, j = 1") behind the charts that a loop of the spec made, by label (`chart "c01"`), for messages."""

    def __post_init__(self) -> None:
        if problem := self.target.misfit(self.atlas):
            raise InvalidArgument(f"task {self.name!r}: {problem}")
        if wrong := findings(f"task {self.name!r}", self.options):
            raise InvalidArgument("\n".join(map(str, wrong)))

    @property
    def outputs(self) -> int:
        return self.target.outputs

    def evaluate(self, points: Points) -> Array:
        """f at points of M, (N, outputs): the oracle that every network is compared with."""
        return self.target.evaluate(points)

    def __call__(self, ambient: ArrayLike) -> Array:
        """f at ambient points [N, D] of M, (N, outputs); a chart-wise target needs the forward maps."""
        return self.evaluate(self.locate(self.atlas.unembed(ambient)))

    def locate(self, base: ArrayLike) -> Points:
        """Points (N, k) before embedding, with what the target needs to know of them."""
        if self.target.by_chart:
            return self.atlas.locate(base)
        base = np.atleast_2d(np.asarray(base, float))
        nowhere = np.full((len(base), self.atlas.dimension), np.nan)
        return Points(np.zeros(len(base), np.intp), nowhere, base, self.atlas.embed(base))
