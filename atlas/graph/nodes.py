"""The nodes of a task graph: `Input`, `Block` and `Combine`.

A node reads and offers *components*, scalar values with names: the coordinates of an input, the outputs of a block or a
combination. Expressions are written in the names that their node reads. A node is checked when it becomes part of a graph.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import InvalidArgument
from ...expressions.box import Array, Box
from ...expressions.given import lists_of, parts_of
from ...expressions.maps import ExpressionMap
from ...expressions.parse import read_expression
from .. import distinct
from ..atlas import Atlas
from ..chart import Chart
from ..domain import first_valid
from ..options import OptionValue
from ..points import Points
from ..task import ChartTarget, ExpressionTarget, ManifoldTask
from .tiling import Tiling

Texts = str | Sequence[str]


def component_names(name: str, count: int) -> tuple[str, ...]:
    """What the components of a node are called by default: like the node, or name_1, name_2, … if there are several."""
    return (name,) if count == 1 else tuple(f"{name}_{i + 1}" for i in range(count))


def expression_map(reads: Sequence[str], texts: Texts, where: str = "expression") -> ExpressionMap:
    """The map that one or several expressions in the names `reads` describe. Raises `SpecError` like `parse_expression`."""
    listed = [texts] if isinstance(texts, str) else texts
    return ExpressionMap.of(reads, [read_expression(text, reads, where) for text in listed])


def before_embedding(atlas: Atlas) -> Atlas:
    """The same atlas without its embedding: what blocks on an embedded input live on."""
    if atlas.embedding is None:
        return atlas
    recipe = None if atlas.recipe is None else {key: value for key, value in atlas.recipe.items() if key != "embed"}
    return dataclasses.replace(atlas, embedding=None, recipe=recipe)


@dataclass(frozen=True, eq=False)
class Input:
    """A named group of coordinates that ranges over a box, or over a manifold M ⊂ R^k that may be embedded in R^D."""

    name: str
    manifold: Box | Atlas
    coordinates: tuple[str, ...] = ()
    """The k names, before any embedding; () for the default (`component_names`)."""
    values: tuple[tuple[float, ...], ...] = ()
    """Of a box: for every coordinate all values that it takes, ascending; () for all of the box. The task is about these points alone."""
    kind: ClassVar[Literal["input"]] = "input"

    def __post_init__(self) -> None:
        parts_of(self, name=str, manifold=(Box, Atlas))
        if not self.coordinates:
            k = self.manifold.dimension if isinstance(self.manifold, Box) else self.manifold.base_dimension
            object.__setattr__(self, "coordinates", component_names(self.name, k))

    @classmethod
    def finite(cls, name: str, values: Sequence[float] | Sequence[Sequence[float]], coordinates: Sequence[str] = ()) -> Input:
        """The input whose coordinates take these values and no others: a list for every coordinate, or one for each of them."""
        listed = [tuple(map(float, axis if isinstance(axis, Sequence) else (axis,))) for axis in values]
        if not any(isinstance(axis, Sequence) for axis in values):
            listed = [tuple(v for axis in listed for v in axis)] * max(1, len(coordinates))
        box = Box(tuple(min(axis) for axis in listed), tuple(max(axis) for axis in listed))
        return cls(name, box, tuple(coordinates), tuple(listed))

    @property
    def components(self) -> tuple[str, ...]:
        return self.coordinates

    @property
    def reads(self) -> tuple[str, ...]:
        return ()

    @property
    def cases(self) -> int | None:
        """How many points it has; None where these are not finitely many."""
        return math.prod(map(len, self.values)) if self.values else None

    def chosen(self, points: Array) -> Array:
        """Points of the box, [..., k], spread over the values: a uniform one becomes each of the values as often as any other."""
        for k, axis in enumerate(self.values):
            low, high = self.manifold.lower[k], self.manifold.upper[k]  # type: ignore[union-attr]
            place = np.floor((points[..., k] - low) / (high - low) * len(axis))
            points[..., k] = np.array(axis)[np.clip(place, 0, len(axis) - 1).astype(np.intp)]
        return points

    def nearest(self, points: Array) -> Array:
        """The points of the input next to points of its box, [..., k]; these themselves where it has them all."""
        for k, axis in enumerate(map(np.array, self.values)):
            points[..., k] = axis[np.searchsorted((axis[1:] + axis[:-1]) / 2, points[..., k])]
        return points

    @cached_property
    def domain(self) -> Atlas | Tiling:
        """The manifold as a `Domain`: a box is the tiling of one piece, called like the input."""
        match self.manifold:
            case Box() as box:
                return Tiling.whole(box, self.coordinates, self.name)
            case atlas:
                return atlas

    @property
    def box(self) -> Box | None:
        """The box it ranges over; None for a manifold given by charts."""
        return self.domain.box

    @property
    def atlas(self) -> Atlas | None:
        """The manifold it ranges over, given by charts; None for a box."""
        return None if isinstance(self.manifold, Box) else self.manifold

    @property
    def base_dimension(self) -> int:
        """k."""
        return self.domain.base_dimension

    @property
    def ambient_dimension(self) -> int:
        """D, what the network reads of this input."""
        return self.domain.ambient_dimension

    def embed(self, base: Array) -> Array:
        """[..., k] to [..., D]."""
        return self.domain.embed(base)

    def unembed(self, ambient: Array) -> Array:
        """[..., D] to [..., k]."""
        return self.domain.unembed(ambient)


@dataclass(frozen=True, eq=False)
class Block:
    """A function given piece by piece: subtask i on chart i of an atlas, or on piece i of a tiling, i = 1..E.

    The components read, in their order, are the k coordinates of `domain`. A subtask is a map of those (its variables are
    `reads`), or for a chart of an atlas of its intrinsic coordinates (its variables are those of the chart's inverse).
    Subtasks of charts agree where charts overlap; those of pieces may disagree where pieces meet (R7).
    """

    name: str
    reads: tuple[str, ...]
    domain: Atlas | Tiling
    subtasks: tuple[ExpressionMap, ...]
    outputs: tuple[str, ...] = ()
    """The names of the values; () for the default (`component_names`)."""
    given: ManifoldTask | None = None
    """The task on one manifold that this block is all of (`as_graph`); its atlas may be embedded, and its target of any kind."""
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """By names of `atlas.options.OPTIONS`; what is not said here is what `compile` is asked for, or its own choice."""
    kind: ClassVar[Literal["block"]] = "block"

    def __post_init__(self) -> None:
        parts_of(self, name=str, domain=(Atlas, Tiling))
        lists_of(self, reads=str, subtasks=ExpressionMap)
        if not self.outputs and self.subtasks:
            object.__setattr__(self, "outputs", component_names(self.name, self.subtasks[0].outputs))

    @classmethod
    def parse(
        cls,
        name: str,
        reads: Sequence[str],
        domain: Atlas | Tiling,
        expressions: str | Sequence[Texts],
        outputs: Sequence[str] = (),
        **options: OptionValue,
    ) -> Block:
        """The block whose subtasks are texts in the names `reads`: one text for all of it, or an entry for each chart or piece.

        An entry is a text, or a list of texts if the block has several outputs. More keywords are the block's `options`. Raises
        `SpecError` naming the expression at fault.
        """
        entries = [expressions] * len(domain) if isinstance(expressions, str) else expressions
        labels = [f'block "{name}": subtask {i + 1}' for i in range(len(entries))]
        if isinstance(expressions, str):
            subtasks = (expression_map(reads, expressions, f'block "{name}": expression'),) * len(domain)
        else:
            subtasks = tuple(expression_map(reads, entry, label) for entry, label in zip(entries, labels, strict=True))
        return cls(name, tuple(reads), domain, subtasks, tuple(outputs), options=options)

    def __len__(self) -> int:
        """E, the number of subtasks."""
        return len(self.domain)

    @property
    def components(self) -> tuple[str, ...]:
        return self.outputs

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the charts or pieces."""
        return self.domain.names

    @cached_property
    def tiling(self) -> Tiling | None:
        """The domain, if it is cut into pieces that own their interfaces (Theorem 5.3)."""
        return self.domain if isinstance(self.domain, Tiling) else None

    @cached_property
    def atlas(self) -> Atlas | None:
        """The domain, if it has charts that overlap (Theorem 5.2)."""
        return self.domain if isinstance(self.domain, Atlas) else None

    @cached_property
    def uniform(self) -> bool:
        """Whether one map of the coordinates read is the subtask everywhere."""
        if not self.subtasks:
            return False
        first = self.subtasks[0]
        same = all(map(first.same, self.subtasks[1:]))
        return same and not self.is_intrinsic(0)

    def is_intrinsic(self, piece: int) -> bool:
        """Whether that subtask is written in the intrinsic coordinates of its chart."""
        return self.subtasks[piece].names != self.reads

    def contains(self, values: Array) -> NDArray[np.bool_]:
        """In which charts or pieces the values read lie: (N, k) to (N, E). At least one column is True in the domain."""
        return self.domain.membership(values)

    def subtask(self, piece: int, values: Array) -> Array:
        """Subtask `piece` at values read that lie in its chart or piece: (N, k) to (N, outputs)."""
        if self.given is not None and not self.subtasks:
            return self.given.evaluate(self.given.locate(values))
        function = self.subtasks[piece]
        if not self.is_intrinsic(piece):
            return function(values)
        chart = self._chart(piece)
        return function(chart.coordinates(values))

    def values(self, read: Array, valid: Mapping[str, NDArray[np.bool_]], located: Points | None = None) -> Array:
        """The values (N, outputs) at values read, by the first subtask that is valid at each point; NaN where none is.

        `valid` holds under the block's name what `contains` says. A block that is all of a given task has the values of that
        task, at points `located` on its charts if they are known.
        """
        if self.given is not None:
            return self.given.evaluate(self.given.locate(read) if located is None else located)
        which = first_valid(valid[self.name])
        if self.uniform:
            which = np.minimum(which, 0)
        result = np.full((len(read), len(self.outputs)), np.nan)
        for i in distinct.numbers(which[which >= 0]):
            rows = which == i
            result[rows] = self.subtask(int(i), read[rows])
        return result

    def local(self, piece: int) -> ExpressionMap:
        """F_i = f_i∘φ_i⁻¹ in the intrinsic coordinates of chart i of `domain.parametrising`; for pieces in those that are read.

        Raises `InvalidArgument` for a Python function.
        """
        if self.given is not None:
            return self.given.target.local(piece, self.domain.parametrising[piece])
        place = 0 if self.uniform else piece
        if self.domain.exclusive or self.is_intrinsic(place):
            return self.subtasks[place]
        return ExpressionTarget(self.subtasks[place]).local(piece, self.domain.parametrising[piece])

    def _chart(self, piece: int) -> Chart:
        chart = None if self.atlas is None else self.atlas.charts[piece]
        if not isinstance(chart, Chart):
            raise InvalidArgument(f'block "{self.name}": {self.names[piece]} has no intrinsic coordinates that a subtask could use')
        return chart

    @cached_property
    def task(self) -> ManifoldTask:
        """The block alone as a task on its atlas: what Theorem 4.8 compiles and `lint` looks at. Only for atlases."""
        if self.given is not None:
            return self.given
        if self.atlas is None:
            raise InvalidArgument(f'block "{self.name}" is cut into pieces: it is no task on an atlas')
        if self.uniform:
            return ManifoldTask(self.name, self.atlas, ExpressionTarget(self.subtasks[0].renamed(self.atlas.coordinates)))
        return ManifoldTask(self.name, self.atlas, ChartTarget(tuple(self.local(i) for i in range(len(self)))))


@dataclass(frozen=True, eq=False)
class Combine:
    """f_out: one map of components that earlier nodes offer."""

    name: str
    reads: tuple[str, ...]
    function: ExpressionMap
    """Its variables are `reads`."""
    outputs: tuple[str, ...] = ()
    options: Mapping[str, OptionValue] = field(default_factory=dict)
    """By names of `atlas.options.COMBINE_OPTIONS`."""
    kind: ClassVar[Literal["combine"]] = "combine"
    tiling: ClassVar[None] = None
    atlas: ClassVar[None] = None
    """It takes one map everywhere: there is nothing to route."""

    def __post_init__(self) -> None:
        parts_of(self, name=str, function=ExpressionMap)
        lists_of(self, reads=str)
        if not self.outputs:
            object.__setattr__(self, "outputs", component_names(self.name, self.function.outputs))

    @classmethod
    def parse(cls, name: str, reads: Sequence[str], expressions: Texts, outputs: Sequence[str] = (), **options: OptionValue) -> Combine:
        """The combination that one or several texts in the names `reads` describe; more keywords are its `options`."""
        function = expression_map(reads, expressions, f'combine "{name}": expression')
        return cls(name, tuple(reads), function, tuple(outputs), options)

    @property
    def components(self) -> tuple[str, ...]:
        return self.outputs


Node = Input | Block | Combine
