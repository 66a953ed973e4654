"""What Coq is told of a task graph beside the statement: ranges of values, what boxes are about, how exact each layer is.

None of it is trusted: where a hint is wrong, coqc does not accept the file that rests on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ...atlas import Block, Combine, ExpressionMap
from ...errors import InvalidArgument
from ...intervals import Interval, NaturalEnclosure
from ...moe.channels import Value
from ...moe.design import Site
from ...moe.ledger import Known
from .graph_inputs import by_chart
from .graph_statement import GraphStatement, Maker
from .group_hints import group_hint, grouped
from .hint_records import Effort, GroupHint, Hint, News

Array = NDArray[np.float64]
ROOMS = (1.5, 1.4, 1.3, 1.2, 1.15, 1.1, 1.07, 1.05, 1.03, 1.02)
"""By how much errors of every layer may be larger than the ledger and slopes of f say: the first with which ε is kept."""
FULL = 0.97
SAMPLED_ROOM = 1.2
"""Likewise where the ledger says what was sampled."""
KINK = 1.7
"""Likewise where pieces end along what is computed: boxes do not tell which of two pieces is taken there."""
LEAST = 1e-4
"""The part of ε that every layer may add, if it adds less: room for rounding in Coq."""
WIDER = 1e-4
"""How much wider ranges are made than what intervals say, of their size."""
MOST_CUTS = 14
"""Halvings after which a range is looked for no longer."""
MOST_SIDES = 6
"""Of boxes that are halved for a range; what reads more values is enclosed as a whole."""
SAMPLES = 512
MANY = 1 << 15
"""Samples for ranges of what is computed on manifolds."""
NARROW = 2e-3
"""How much wider, of their size, those ranges are made at least: networks follow a combination hardly beyond what its values are."""
PARALLEL = 1e-9


@dataclass
class Hints:
    """All hints of a statement."""

    statement: GraphStatement
    ranges: list[tuple[float, float]] = field(init=False)
    efforts: list[Effort] = field(init=False)

    def __post_init__(self) -> None:
        self.errors: dict[str, float] = {}
        self.ranges, self.efforts = [], []
        for given in self.statement.givens:
            ranges = given.ranges
            if ranges is None:
                atlas = given.node.atlas
                assert atlas is not None
                points, room = atlas.sample(MANY, seed=1).base, _short(atlas.parametrising[0].dimension)
                ranges = [_wider(float(low), float(high), room) for low, high in zip(points.min(0), points.max(0), strict=True)]
            self.ranges += [*ranges, *given.ranges_beside]
        for maker in self.statement.makers:
            effort, ranges = self._node(maker)
            self.efforts.append(effort)
            self.ranges += ranges

    @cached_property
    def inputs(self) -> Array:
        """Random inputs."""
        return self.statement.task.sample(SAMPLES, seed=3)

    @cached_property
    def points(self) -> dict[str, Array]:
        """Values of all components there."""
        return self._values(self.inputs)

    @cached_property
    def many(self) -> dict[str, Array]:
        """The same at more inputs."""
        return self._values(self.statement.task.sample(MANY, seed=3))

    def _values(self, inputs: Array) -> dict[str, Array]:
        found: Mapping[str, Array] = self.statement.task.trace(inputs).values
        values = {name: np.asarray(found[name], float) for name in self.statement.components if name in found}
        for node in self.statement.embeddings.values():
            values |= dict(zip(node.components, node.function(np.stack([values[r] for r in node.reads], axis=1)).T, strict=True))
        return values

    @cached_property
    def states(self) -> Sequence[Array]:
        """What arrives at every layer there, and what the last one leaves."""
        return (self.inputs, *(np.asarray(state, float) for state in self.statement.model.network.trace(self.inputs).states))

    def _manifolds(self, reads: Sequence[str]) -> tuple[int, ...]:
        """The inputs on charts that are read."""
        return tuple(n for n, given in enumerate(self.statement.givens) if given.charts and set(given.coordinates) & set(reads))

    def _node(self, node: Maker) -> tuple[Effort, list[tuple[float, float]]]:
        """Ranges of a node's values, and how they are found."""
        places = self.statement.places
        manifolds = self._manifolds(node.reads)
        if manifolds:
            values = np.stack([self.many[name] for name in node.components], axis=1)
            dimension = self._dimension(manifolds)
            effort = Effort(tuple(places[r] for r in node.reads if not self._of(r, manifolds)), (), manifolds, dimension)
            return effort, [
                _wider(float(low), float(high), _short(dimension)) for low, high in zip(values.min(0), values.max(0), strict=True)
            ]
        sides = np.array([self.ranges[places[r]] for r in node.reads]).reshape(-1, 2)
        pieces = [(sides[:, 0], sides[:, 1], f) for f in (_functions(node) if not isinstance(node, Block) else ())]
        if isinstance(node, Block):
            assert node.tiling is not None
            boxes = node.tiling
            for p in range(len(node)):
                lower, upper = np.maximum(boxes.lower[p], sides[:, 0]), np.minimum(boxes.upper[p], sides[:, 1])
                if (lower <= upper).all():
                    pieces.append((lower, upper, node.local(p)))
        cutting = 0 if all(f.affine is not None for _, _, f in pieces) else len(node.reads)
        best: Array | None = None
        for halvings in range(0, MOST_CUTS + 1, max(1, cutting)):
            found = np.array([_enclosed(f, lower, upper, halvings) for lower, upper, f in pieces])
            if np.isfinite(found).all():
                ends = np.array([found[:, 0].min(0), found[:, 1].max(0)])
                if best is not None:
                    ends = np.array([np.maximum(ends[0], best[0]), np.minimum(ends[1], best[1])])
                settled = cutting == 0 or (best is not None and (np.abs(ends - best) <= WIDER * np.ptp(ends, axis=0)).all())
                best = ends
                if settled:
                    break
            if cutting == 0 or len(node.reads) > MOST_SIDES:
                break
        if best is not None:
            ranges = [_wider(float(a), float(b), WIDER) for a, b in best.T]
            return Effort(tuple(places[r] for r in node.reads), (), (), cutting, MOST_CUTS + 2 * cutting), ranges
        raise InvalidArgument(f"{node.kind} {node.name!r}: its values are not enclosed by {1 << MOST_CUTS} boxes, so Coq is not asked")

    def _of(self, read: str, inputs: Sequence[int]) -> bool:
        return any(read in self.statement.givens[n].coordinates for n in inputs)

    def _dimension(self, inputs: Sequence[int]) -> int:
        return sum(self.statement.givens[n].charts[0].dimension for n in inputs)

    @cached_property
    def layers(self) -> tuple[Hint | GroupHint, ...]:
        """A hint for every layer, with as much room for errors as ε leaves."""
        for room in ROOMS:
            self.errors, self.planned = {}, 0.0
            found = self._layers(room)
            if self.planned <= FULL * self.statement.epsilon:
                break
        return found

    def _layers(self, room: float) -> tuple[Hint | GroupHint, ...]:
        design = self.statement.model.design
        routed, together = {site.layer: site for site in design.sites}, grouped(self.statement)
        found: list[Hint | GroupHint] = []
        for n, layer in enumerate(self.statement.model.network.layers):
            site = routed.get(n) if layer.gate is not None else None
            before = {c.component for c in design.states[n] if isinstance(c, Value)}
            known = before | set(self.statement.task.coordinates)
            new = [(k, c.component) for k, c in enumerate(design.states[n + 1]) if isinstance(c, Value) and c.component not in before]
            last = n + 1 == len(self.statement.model.network.layers)
            if n in together:
                hint = group_hint(self, n, together[n], new, known, room)
                self.planned = max(self.planned, *(sum(s.within for s in t.shares) for t in hint.computed)) if last else self.planned
                self.errors |= {name: total.within for (_, name), total in zip(new, hint.computed, strict=True)}
                found.append(hint)
                continue
            computed = tuple(self._news(k, name, known, site, last, room) for k, name in new)
            self.errors |= {name: news.within for (_, name), news in zip(new, computed, strict=True)}
            found.append(replace(self._hint(site, computed), mixed=layer.top_k > 1))
        return tuple(found)

    def _hint(self, site: Site | None, computed: tuple[News, ...]) -> Hint:
        if site is None:
            return Hint(None, (), computed)
        block = self.statement.task[site.block]
        assert isinstance(block, Block)
        offset = self.statement.offsets[site.block]
        gate = self.statement.model.network.layers[site.layer].gate
        assert gate is not None
        exact = set(block.reads) <= set(self.statement.task.coordinates) or _uncut(block, self.statement)
        if block.tiling is None or not exact or (site.scores is None and not gate.groups):
            return Hint(offset, (), computed)
        return Hint(offset, tuple(site.pieces.index(name) for name in block.names), computed)

    def _news(self, channel: int, name: str, known: set[str], site: Site | None, last: bool, room: float) -> News:
        """How a new value follows from what is known."""
        statement, places = self.statement, self.statement.places
        through: list[Maker] = []
        base: list[str] = []
        self.chain(name, known, through, base)
        for maker in through:
            if (
                isinstance(maker, Block)
                and len(maker) > 1
                and (maker.tiling is not None or by_chart(maker))
                and (site is None or maker.name != site.block)
            ):
                raise InvalidArgument(f"{name} is computed through block {maker.name!r} in a layer that does not route it (N15)")
        slopes = self.slopes(name, through, base)
        incoming = sum(float(np.abs(s).max()) * self.errors.get(b, 0.0) for s, b in zip(slopes, base, strict=True))
        kinks = site is not None and set(statement.task[site.block].reads) & (known - set(statement.task.coordinates))
        planned = room * (self.local(name) + (KINK if kinks else 1.0) * incoming)
        within = statement.epsilon if last else planned
        if last:
            self.planned = max(self.planned, planned)
        offsets = (*statement.through(base), *(statement.offsets[maker.name] for maker in through))
        return News(channel, places[name], within, offsets, self.effort(base, slopes))

    def local(self, name: str) -> float:
        """What the layer itself may add: a little more than what the ledger says that it does."""
        node = self.statement.sources[name]
        entries = [e for e in self.statement.model.ledger.root.children if e.name == f"{node.kind}[{node.name}]"]
        if entries and entries[0].bound is not None and 0 < entries[0].bound < np.inf:
            room = SAMPLED_ROOM if entries[0].known is Known.SAMPLED else 1.0
            return max(room * float(entries[0].bound), LEAST * self.statement.epsilon)
        return self.statement.epsilon / max(1, len(self.statement.makers))

    def chain(self, name: str, known: set[str], through: list[Maker], base: list[str]) -> None:
        """The nodes between what is known and a value, in order, and what they read of it."""
        node = self.statement.sources[name]
        if node in through:
            return
        for read in node.reads:
            if read not in known:
                self.chain(read, known, through, base)
            elif read not in base:
                base.append(read)
        through.append(node)

    def slopes(self, name: str, through: Sequence[Maker], base: Sequence[str]) -> list[Array]:
        """∂ value/∂ base at random inputs, by differences along the piece that each is in: (N,) for each."""
        values = dict(self.points)
        steps = [1e-6 * max(1e-3, self.ranges[self.statement.places[b]][1] - self.ranges[self.statement.places[b]][0]) for b in base]
        found = []
        for b, step in zip(base, steps, strict=True):
            moved = []
            for sign in (1, -1):
                shifted = {**values, b: values[b] + sign * step}
                for maker in through:
                    if isinstance(maker, Block) and by_chart(maker):
                        continue  # reads coordinates alone, which are exact
                    read = np.stack([shifted[r] for r in maker.reads], axis=1)
                    at = np.stack([values[r] for r in maker.reads], axis=1)
                    shifted |= dict(zip(maker.components, _at(maker, read, at).T, strict=True))
                moved.append(shifted[name])
            found.append(np.nan_to_num((moved[0] - moved[1]) / (2 * step)))
        return found

    def effort(self, base: Sequence[str], slopes: Sequence[Array]) -> Effort:
        """Which values are halved: those on which the value depends, but not linearly; one sum of them if it depends on that only."""
        places = self.statement.places
        manifolds = self._manifolds(base)
        bent = [k for k, s in enumerate(slopes) if np.ptp(s) > 1e-6 * max(1.0, float(np.abs(s).max()))]
        bent = [k for k in bent if not self._of(base[k], manifolds)]
        rest = [k for k in range(len(base)) if k not in bent and not self._of(base[k], manifolds)]
        dimension = self._dimension(manifolds)
        if len(bent) > 1 and (factors := _one_direction([slopes[k] for k in bent])) is not None:
            total = tuple((places[base[k]], f) for k, f in zip(bent, factors, strict=True))
            others = (*(places[base[k]] for k in bent[1:]), *(places[base[k]] for k in rest))
            return Effort(others, total, manifolds, dimension + 1)
        return Effort(tuple(places[base[k]] for k in (*bent, *rest)), (), manifolds, dimension + len(bent))


def _short(dimension: int) -> float:
    """By how much of its size a sampled range may be too small: the nearest of n samples is within about (log n/n)^(1/d) of an extreme."""
    return max(NARROW, 2 * (np.log(MANY) / MANY) ** (2 / dimension))


def _wider(low: float, high: float, part: float) -> tuple[float, float]:
    room = part * max(high - low, 1e-3)
    return low - room, high + room


def _functions(node: Maker) -> tuple[ExpressionMap, ...]:
    return (node.function,) if isinstance(node, Combine) else ()


def _at(node: Maker, read: Array, at: Array) -> Array:
    """A node's values at `read`, by the pieces in which `at` lies."""
    if isinstance(node, Combine):
        return node.function(read)
    if node.tiling is None:
        return node.subtasks[0](read)
    owner = node.tiling.owner(at)
    found = np.full((len(read), len(node.components)), np.nan)
    for p in np.unique(owner[owner >= 0]):
        rows = owner == p
        found[rows] = node.local(int(p))(read[rows])
    return found


def _uncut(block: Block, statement: GraphStatement) -> bool:
    """Whether no piece ends along what is computed."""
    tiling = block.tiling
    if tiling is None:
        return False
    computed = [k for k, r in enumerate(block.reads) if r not in statement.task.coordinates]
    whole_low = (tiling.lower[:, computed] == np.array(tiling.domain.lower)[computed]).all()
    return bool(whole_low and (tiling.upper[:, computed] == np.array(tiling.domain.upper)[computed]).all())


def _one_direction(slopes: Sequence[Array]) -> list[float] | None:
    """Factors λ, λ_1 = 1, if all gradients are multiples of λ."""
    rows = np.stack(slopes, axis=1)
    best = rows[np.abs(rows[:, 0]).argmax()]
    if best[0] == 0:
        return None
    factors: Array = best / best[0]
    rounded = np.round(factors * 2**10) / 2**10
    factors = np.where(np.abs(rounded - factors) < 1e-6, rounded, factors)
    off = np.abs(rows - rows[:, :1] * factors).max()
    return [float(f) for f in factors] if off <= 1e-5 * np.abs(rows).max() else None


def _enclosed(function: ExpressionMap, lower: Array, upper: Array, halvings: int) -> Array:
    """(2, outputs): bounds of a function over a box, from 2^halvings equal boxes."""
    low, high = lower[None], upper[None]
    for n in range(halvings):
        k = n % len(lower)
        middle = (low[:, k] + high[:, k]) / 2
        first, second = high.copy(), low.copy()
        first[:, k], second[:, k] = middle, middle
        low, high = np.concatenate([low, second]), np.concatenate([first, high])
    parts = NaturalEnclosure(function)([Interval(low[:, k], high[:, k]) for k in range(len(lower))])
    return np.array([[part.lower.min() for part in parts], [part.upper.max() for part in parts]])
