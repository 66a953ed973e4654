"""`ManifoldTask`: a manifold with an atlas, and the function to be compiled on it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidArgument
from ..expressions.box import Array
from ..expressions.given import lists_of, parts_of, shown
from ..expressions.maps import ExpressionMap
from . import distinct
from .arguments import integer
from .atlas import Atlas
from .chart import Chart
from .declared import Declared
from .fields import field_map
from .foreign import numbers_of, shape_remedy
from .options import OptionValue, findings
from .points import Points
from .wanted import Wanted


@dataclass(frozen=True, eq=False)
class ExpressionTarget:
    """f written once, in the ambient coordinates before embedding."""

    function: ExpressionMap
    by_chart: ClassVar = False
    """Whether it has to be known on which chart a point lies."""

    def __post_init__(self) -> None:
        parts_of(self, function=ExpressionMap)

    @property
    def outputs(self) -> int:
        return self.function.outputs

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        """What it is made of."""
        return (self.function,)

    @property
    def functions_in_python(self) -> tuple[CallableTarget, ...]:
        """What else it is made of."""
        return ()

    def misfit(self, atlas: Atlas) -> str | None:
        """Why it is no target on this atlas."""
        fits = self.function.names == atlas.coordinates
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

    def __post_init__(self) -> None:
        lists_of(self, functions=ExpressionMap)

    @property
    def outputs(self) -> int:
        return self.functions[0].outputs

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        return self.functions

    @property
    def functions_in_python(self) -> tuple[CallableTarget, ...]:
        return ()

    def misfit(self, atlas: Atlas) -> str | None:
        fits = len(self.functions) == len(atlas.parametrising)
        return None if fits else f"{len(self.functions)} chart targets for {len(atlas.parametrising)} charts"

    def subtasks(self, atlas: Atlas) -> tuple[ExpressionMap, ...]:
        return () if atlas.cover else self.functions

    def local(self, index: int, chart: Chart) -> ExpressionMap:
        return self.functions[index]

    def evaluate(self, points: Points) -> Array:
        values = np.empty((len(points), self.outputs))
        for i in distinct.numbers(points.chart):
            rows = points.chart == i
            values[rows] = self.functions[i](points.intrinsic[rows])
        return values


@dataclass(frozen=True, eq=False)
class CallableTarget:
    """f as a vectorised function (N, k) → (N,) or (N, outputs) of the coordinates before embedding.

    Nothing can be *proved* about such a target, only sampled, unless it says more of itself. It may bring its `enclosure`, a function
    that takes Taylor forms of the k coordinates (`verify.enclosure.TaylorForms`) to those of the outputs, of the degree that it is given;
    or declare constants (`declared`), on which proofs then rest by name. `name` is what model cards and errors call it.
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
    lipschitz: float | None = None
    """L: |f_j(x) − f_j(y)| ≤ L·|x − y|, Euclidean, for every component and all x, y on boxes around M."""
    second_derivative: float | None = None
    """H: f is differentiable there, and |∂_k f_j(x) − ∂_k f_j(y)| ≤ H·|x − y|₁."""
    by_chart: ClassVar = False

    def __post_init__(self) -> None:
        if self.function is not None and not callable(self.function):
            raise InvalidArgument(f"target {self.name!r}: {shown(self.function)} cannot be called; give a function of rows (N, k)")
        object.__setattr__(self, "outputs", integer(f"target {self.name!r}: outputs", self.outputs, 1))
        for what, value in (("lipschitz", self.lipschitz), ("second_derivative", self.second_derivative)):
            if value is not None and not (isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf):
                raise InvalidArgument(f"target {self.name!r}: {what}={value!r} is no number from 0 on; give the bound, or None")

    @property
    def declares(self) -> bool:
        """Whether constants are declared, from which it is enclosed."""
        return self.lipschitz is not None or self.second_derivative is not None

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        return ()

    @property
    def functions_in_python(self) -> tuple[CallableTarget, ...]:
        return (self,)

    def declared(self, coordinates: Sequence[str]) -> ExpressionMap:
        """f as a map that is enclosed by what is declared of it. Raises `InvalidArgument` where the function is not there."""
        if not self.declares:
            raise InvalidArgument(f"nothing is declared of the Python function {self.name!r}; give CallableTarget lipschitz=…")
        if self.function is None:
            raise self.absent()
        field = Declared(self.name, self.values, len(coordinates), self.outputs, self.lipschitz, self.second_derivative, id(self.function))
        return field_map(field, coordinates)

    def absent(self) -> InvalidArgument:
        """What is said where f is asked for and is not there."""
        problem = f"the target is the Python function {self.name!r}, which no file can hold"
        return InvalidArgument(f"{problem}; {self.to_be_given}")

    @property
    def to_be_given(self) -> str:
        """How a function is given that is known by name only."""
        trusted = ", or add --trust-code on the command line, which runs its code" if ":" in self.name else ""
        return f"pass it when loading: load(folder, target=CallableTarget(function)){trusted}"

    def values(self, base: Array) -> Array:
        """f at points (N, k), (N, outputs). Raises `InvalidArgument` where the function returns another shape."""
        if self.function is None:
            raise self.absent()
        try:
            found = numbers_of(self.function, base)
        except InvalidArgument as error:
            raise InvalidArgument(f"target {self.name!r}: {error}") from None
        if found.shape[:1] != (len(base),) or found.size != len(base) * self.outputs:
            problem = f"returns shape {found.shape} for {len(base)} points, not ({len(base)}, {self.outputs})"
            raise InvalidArgument(f"target {self.name!r}: {problem}; {shape_remedy(found.shape, len(base), self.outputs)}")
        values = found.reshape(len(base), self.outputs)
        if (wrong := ~np.isfinite(values).all(1)).any():
            at = ", ".join(f"{number:.6g}" for number in base[int(wrong.argmax())])
            problem = f"is not finite at ({at})"
            raise InvalidArgument(f"target {self.name!r}: {problem}; define it on all of M, and near M too if constants are declared")
        return values

    def misfit(self, atlas: Atlas) -> str | None:
        return None

    def subtasks(self, atlas: Atlas) -> tuple[ExpressionMap, ...]:
        return ()

    def local(self, index: int, chart: Chart) -> ExpressionMap:
        raise InvalidArgument(f"the target is the Python function {self.name!r}, not an expression; write f in a spec")

    def evaluate(self, points: Points) -> Array:
        if self.pointwise is not None:
            return np.asarray(self.pointwise(points), float).reshape(len(points), self.outputs)
        return self.values(points.base)


@dataclass(frozen=True, eq=False)
class StackedTarget:
    """f as several functions on all of M, their components one after the other: expressions and Python functions side by side.

    Nothing is proved of it as a whole; whoever proves looks at its parts one by one (`atlas.targets.parts`).
    """

    parts: tuple[ExpressionTarget | CallableTarget, ...]
    by_chart: ClassVar = False

    def __post_init__(self) -> None:
        lists_of(self, parts=(ExpressionTarget, CallableTarget))

    @property
    def outputs(self) -> int:
        return sum(part.outputs for part in self.parts)

    @property
    def maps(self) -> tuple[ExpressionMap, ...]:
        return tuple(function for part in self.parts for function in part.maps)

    @property
    def functions_in_python(self) -> tuple[CallableTarget, ...]:
        return tuple(function for part in self.parts for function in part.functions_in_python)

    def misfit(self, atlas: Atlas) -> str | None:
        return next(filter(None, (part.misfit(atlas) for part in self.parts)), None)

    def subtasks(self, atlas: Atlas) -> tuple[ExpressionMap, ...]:
        return ()

    def local(self, index: int, chart: Chart) -> ExpressionMap:
        names = ", ".join(repr(function.name) for function in self.functions_in_python)
        raise InvalidArgument(f"some of the target is in Python, {names}, and no expression; write f in a spec")

    def values(self, base: Array) -> Array:
        """f at points (N, k), (N, outputs)."""
        found = [part.values(base) if isinstance(part, CallableTarget) else part.function(base) for part in self.parts]
        return np.concatenate(found, axis=1)

    def evaluate(self, points: Points) -> Array:
        return self.values(points.base)


Target = ExpressionTarget | ChartTarget | CallableTarget | StackedTarget

APART = "give each target a function of its own: StackedTarget((CallableTarget(…), CallableTarget(…)))"


@dataclass(frozen=True, eq=False)
class ManifoldTask:
    """Approximate `target` on the manifold that `atlas` covers, in the sup norm (largest component)."""

    name: str
    atlas: Atlas
    target: Target
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """By names of `atlas.options.OPTIONS`, as of a block of a graph."""
    names: tuple[str, ...] = ()
    """What the components of f are called; () for numbers."""
    origins: Mapping[str, str] = field(default_factory=dict)
    """The loop values ("i = 0, j = 1") behind the charts that a loop of the spec made, by label (`chart "c01"`), for messages."""
    wanted: tuple[Wanted, ...] = ()
    """The targets that f is made of, each with an ε of its own; () for one whose ε is said when something is built for it."""

    def __post_init__(self) -> None:
        parts_of(self, name=str, atlas=Atlas, target=(ExpressionTarget, ChartTarget, CallableTarget, StackedTarget))
        if problem := self.target.misfit(self.atlas):
            raise InvalidArgument(f"task {self.name!r}: {problem}")
        if self.names and (
            len(self.names) != self.outputs or len({*self.names, *self.atlas.coordinates}) < self.outputs + len(self.atlas.coordinates)
        ):
            problem = _misnamed(self.names, self.outputs, self.atlas.coordinates)
            raise InvalidArgument(f"task {self.name!r}: {problem}")
        if isinstance(self.target, StackedTarget) and not self.wanted:
            problem = "f is stacked of functions, which are several targets; give wanted=(Wanted(name, epsilon, outputs), …), one for each"
            raise InvalidArgument(f"task {self.name!r}: {problem}")
        if self.wanted and (why := self._mismatch()):
            raise InvalidArgument(f"task {self.name!r}: {why}")
        if wrong := findings(f"task {self.name!r}", self.options):
            raise InvalidArgument("\n".join(map(str, wrong)))

    def _mismatch(self) -> str | None:
        """Why f is not made of the targets that are wanted."""
        names = [one.name for one in self.wanted]
        if len(set(names)) < len(names):
            return f"targets called {', '.join(names)}; give every target its own name"
        if taken := sorted(set(names) & set(self.atlas.coordinates)):
            return f"the target {taken[0]!r} is called like a coordinate; choose another name"
        if (count := sum(one.outputs for one in self.wanted)) != self.outputs:
            return f"the targets have {count} components, f has {self.outputs}; say of every target how many of them are its"
        if (why := self._across()) is not None:
            return why
        return None if self.names else "several targets need names of components; give `names`, one for each"

    def _across(self) -> str | None:
        """Why some target is not one of the functions that f is made of, or a part of an expression: code cannot be taken apart."""
        listed = self.target.parts if isinstance(self.target, StackedTarget) else (self.target,)
        start, ends = 0, {0, *np.cumsum([one.outputs for one in self.wanted]).tolist()}
        for part in listed:
            stop = start + part.outputs
            if not {start, stop} <= ends:
                return f"components {start + 1} to {stop} are one function, which belongs to several targets in part; {APART}"
            if isinstance(part, CallableTarget) and any(start < end < stop for end in ends):
                return f"the Python function {part.name!r} has components of several targets; {APART}"
            start = stop
        return None

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


def _misnamed(names: Sequence[str], count: int, coordinates: Sequence[str]) -> str:
    """What is wrong with names of components, and what to do."""
    listed = f"the outputs {', '.join(names)}"
    if len(names) != count:
        return f"{listed} are {len(names)} names for {count} components; name every one of them"
    if taken := sorted({*names} & {*coordinates}):
        return f"the output {taken[0]!r} has the name of a coordinate; give it another name"
    twice = next(name for name in names if names.count(name) > 1)
    return f"{listed} have the name {twice!r} twice; give each its own"
