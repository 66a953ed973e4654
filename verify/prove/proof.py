"""`Proof`: one proof per site, then composition; few proofs for many pieces.

The network is cut into slices (`slices`): what computes the channels of a site reads a few inputs and a few earlier values and nothing
else, whatever the other channels are. So Σ E_l proofs are about all ∏ E_l pieces (B9); a task on one manifold is one site, whose slice is
all of the network. Where a node reads values that are off by up to e_k, a block on charts is proved for every z within e_k of its
points. On boxes it is proved on all z within e_k of what they may be, and |f(v) − Ψ(z)| ≤ |f(z) − Ψ(z)| + |f(v) − f(z)|, whose second
part is at most Σ sup|∂_k f|·e_k plus what f jumps at interfaces (`spread`). What float64 adds is part of each e_k.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import cast

import numpy as np
import sympy

from ...atlas import Array, Atlas, Block, Box, ChartTarget, Combine, ExpressionMap, Input, ManifoldTask, TaskGraph, Tiling
from ...atlas.blocks import block_diagonal
from ...atlas.graph import BoxPiece
from ...atlas.graph.finite import Places
from ...expressions.formulas import named, written_out
from ...expressions.parse import real_symbols
from ...expressions.tree import free_names
from ...moe.channels import Value as ValueChannel
from ...moe.design import Design
from ...moe.layout import tensors
from ...moe.network import Network
from .beyond import over, reaching
from .checkpoint import Checkpoint
from .evaluation import evaluations
from .goal import Goal
from .hats import CLOSE
from .manifold import EnclosedManifold
from .parts import Component, Part, parts_of
from .problem import NEGLIGIBLE, Attempt, Problem, ScoreAttempt, Solution, base_size, run
from .rounding import GENEROUS
from .sites import NotProvableError, Site, SiteProof, Value
from .slices import Origin, Slice, Slicer
from .split import SLACK, PartProof, SplitAttempt, added
from .spread import enlarged, spread
from .tiling import tiling_router
from .ungroup import Ungrouped, ungrouped

TIGHTEST = 1.05
"""Tightness of the parts where none is asked for: errors add up, so none may be wasted."""


@dataclass(frozen=True)
class Asked:
    """What `certify` was asked for."""

    epsilon: float | None
    tightness: float | None
    boxes: int
    """In all searches of errors together, and as many in those of scores."""
    deadline: float
    seed: int
    dtypes: tuple[str, ...] = ()
    """Half precisions about which something is to be claimed."""
    flushed: bool = False
    """Whether something is to be claimed where subnormal numbers may be flushed to 0."""


Opened = tuple[Site, Attempt | SplitAttempt]
"""A site whose searches are running."""


class Proof:
    """Proves the sites of a graph, those that read no values of each other side by side."""

    def __init__(self, network: Network, design: Design, graph: TaskGraph, asked: Asked, saved: Checkpoint, scale: float) -> None:
        """`scale`: an error from a `NEGLIGIBLE` part of which on no bound is sharpened."""
        written_out = Ungrouped(network.plainly(), design) if graph.blocks[0].given is not None else ungrouped(network.plainly(), design)
        self.network, self.design, self.groups, self.dtype = written_out.network, written_out.design, written_out.found, network.dtype
        self.close, self.snapped = written_out.close, written_out.snapped
        self.graph, self.asked, self.saved, network = graph, asked, saved, written_out.network
        self.floor = NEGLIGIBLE * scale
        self.alone = len(graph.nodes) == 2 and not self.groups
        """Whether there is one site, which is all of the network."""
        self.slicer = Slicer(network)
        self.ways = evaluations(network, asked.dtypes, str(self.dtype), asked.flushed)
        self.sites: dict[str, SiteProof] = {}
        self.values: dict[str, Value] = {}
        """Components with a channel and a proof."""
        self.formulas = named(graph.coordinates)
        """Every component in terms of coordinates, components with a channel, and components of folded blocks."""
        self.folded: dict[str, Block] = {}
        """Components that are computed inside the read-out only, and their block."""
        self.missing: dict[str, str] = {}
        """Why nothing can be proved of some nodes, in words."""
        matrices = [np.eye(n.base_dimension) if n.domain.embedding is None else n.domain.embedding for n in graph.inputs]
        self.embedding: Array = block_diagonal(matrices)
        """(D, coordinates): what the network reads of the coordinates."""
        self.waiting = sum(len(block.domain.parametrising) for block in graph.blocks) + len(graph.combines)
        """Searches that are still to be begun, at most."""
        self.left = asked.boxes

    def prove(self) -> None:
        """All nodes but what is folded into the read-out."""
        nodes: list[Block | Combine] = [node for node in self.graph.order if node.kind != "input"]
        while nodes:
            unknown = {name for node in nodes for name in node.components}
            level = [node for node in nodes if not unknown & set(node.reads)]
            self.solve([opened for node in level if (opened := self._attempt(node)) is not None])
            nodes = [node for node in nodes if node not in level]
        order = {node.name: n for n, node in enumerate(self.graph.order)}
        self.sites = dict(sorted(self.sites.items(), key=lambda item: order[item[0]]))

    def follow_scores(self) -> None:
        """Where scores are promised, prove that τ follows them."""
        promises = {site.block: site.promise for site in self.design.sites if site.promise is not None and not site.promise.balls}
        named = [name for name, proved in self.sites.items() if name in promises and proved.charts and not proved.folded]
        attempts = [ScoreAttempt(self.sites[name].solution, promises[name], self.saved) for name in named]
        most = self.asked.boxes // max(1, sum(len(attempt.searches) for attempt in attempts))
        run(attempts, "proving scores", most, self.asked.deadline, self.saved)
        for name, attempt in zip(named, attempts, strict=True):
            self.sites[name] = replace(self.sites[name], scores=attempt.solution())

    @property
    def unplaced(self) -> bool:
        """Whether a layer that stands for a group of snapped scores is that of no site, which would show that they are on the grid."""
        known = [site for site in self.sites.values() if site.charts and np.isfinite(site.solution.eta)]
        return not self.snapped <= {site.channels[0][0] for site in known if site.part.network.layers[-1].gate is not None}

    @property
    def together(self) -> bool:
        """Whether every group of snapped scores takes one output, which the routes of all groups of a layer rest on."""
        return not self.snapped or (not self.unplaced and all(site.solution.settled for site in self.sites.values()))

    def _attempt(self, node: Block | Combine) -> Opened | None:
        """The node's searches; none of a node without channels, nor of one about which nothing can be said."""
        try:
            return self._block(node) if node.kind == "block" else self._combine(node)
        except NotProvableError as why:
            self.missing[node.name] = str(why)
            return None

    def _block(self, block: Block) -> Opened | None:
        channels = self._channels(block)
        if channels is None:
            self.folded |= dict.fromkeys(block.components, block)
            self.formulas |= named(block.components)
            return None
        part = self.cut(channels, block.reads, choosing=not block.domain.exclusive)
        task = self.task(block)
        return self.open(self.site(block, channels, part, block.reads), task)

    def _combine(self, node: Combine) -> Opened | None:
        whole = written_out(node.function, {name: self.formulas[self._stated(name)] for name in node.reads})
        channels = self._channels(node)
        if channels is None or (node.name == self.graph.output and is_affine([formula.expression for formula in whole])):
            self.formulas |= dict(zip(node.components, whole, strict=True))
            return None
        names = tuple(sorted(free_names(*(formula.tree for formula in whole)))) or node.reads[:1]
        errors = self.errors(names)
        lower, upper = zip(*(self._range(name) for name in names), strict=True)
        domain = Tiling.whole(enlarged(Box(lower, upper), errors), names)
        target = ChartTarget((ExpressionMap.of(real_symbols(names).values(), whole),))
        task = ManifoldTask(node.name, _box_atlas(domain), target)
        return self.open(self.site(node, channels, self.cut(channels, names), names), task)

    def _stated(self, name: str) -> str:
        """A component of which something is known. Raises `NotProvableError` for others."""
        if name not in self.formulas:
            node = self.graph.sources[name].name
            raise NotProvableError(self.missing.get(node, f"nothing is proved of {node}"))
        return name

    def _channels(self, node: Block | Combine) -> tuple[Origin, ...] | None:
        """Where the network computes the node's components, all behind one layer; None where they are folded into what reads them."""
        found = [self.slicer.computed(self.design, ValueChannel(name)) for name in node.components]
        last = len(self.network.layers)
        if node.name == self.graph.output:
            found = [(last, c) for c in range(len(self.network.outputs))]
        known = tuple(origin for origin in found if origin is not None)
        return known if len(known) == len(found) and len({layer for layer, _ in known}) == 1 else None

    def cut(self, channels: Sequence[Origin], reads: Sequence[str], *, choosing: bool = False) -> Slice:
        """The slice that computes these channels from inputs and proved values; `choosing`: its last gate stays, whatever it decides."""
        if self.alone and channels[0][0] == len(self.network.layers):
            return Slice(self.network, tuple((0, k) for k in range(len(self.network.inputs))))
        known = {value.origin for value in self.values.values()}
        return self.slicer.slice(channels[0][0], [c for _, c in channels], known, self._anything(reads), choosing=choosing)

    def _anything(self, names: Sequence[str]) -> Origin:
        """A number that a node reads."""
        for name in names:
            if name in self.values:
                return self.values[name].origin
            if name in self.graph.coordinates:
                return 0, int(np.flatnonzero(self.embedding[:, self.graph.coordinates.index(name)])[0])
        return 0, 0

    def _range(self, name: str) -> tuple[float, float]:
        """What a coordinate or component lies in."""
        if name in self.values:
            return _wider(self.values[name].lower, self.values[name].upper)
        source, k = self._input(name)
        if source.box is None:
            raise NotProvableError(f"{name} is a coordinate of a manifold, which a combination reads directly")
        return source.box.lower[k], source.box.upper[k]

    def _input(self, coordinate: str) -> tuple[Input, int]:
        """The input that a coordinate is of, and which of its it is."""
        for node in self.graph.inputs:
            if coordinate in node.coordinates:
                return node, node.coordinates.index(coordinate)
        raise NotProvableError(f"{coordinate} is no coordinate of an input")

    def size_of(self, coordinate: str) -> float:
        """|coordinate| at most, on M."""
        source, k = self._input(coordinate)
        if source.box is not None:
            return float(np.abs(self._range(coordinate)).max())
        return float(base_size(EnclosedManifold(cast(Atlas, source.domain)))[k])

    def errors(self, names: Sequence[str]) -> Array:
        """How far what the network has in place of these components may be from them.

        Raises `NotProvableError` for one whose site has open boxes: what it lies in is not known there.
        """
        for name in names:
            if name in self.values and not self.sites[self.graph.sources[name].name].solution.settled:
                raise NotProvableError(f"{name}, which it reads, is not proved on all boxes")
        return np.array([self.values[name].error if name in self.values else 0.0 for name in names])

    def matrix(self, part: Slice, names: Sequence[str]) -> Array:
        """What each number that the slice reads is, as a combination of these components, (reads, names)."""
        place = {self.values[name].origin: n for n, name in enumerate(names) if name in self.values}
        matrix = np.zeros((len(part.reads), len(names)))
        columns = [names.index(c) if c in names else -1 for c in self.graph.coordinates]
        for row, origin in zip(matrix, part.reads, strict=True):
            if origin in place:
                row[place[origin]] = 1.0
                continue
            if origin[0] != 0:
                raise NotProvableError("it reads an affine combination of computed values")
            for k in np.flatnonzero(self.embedding[origin[1]]):
                if columns[k] < 0:
                    raise NotProvableError(f"it reads part of an embedded input, and the network mixes {self.graph.coordinates[k]} in")
                row[columns[k]] = self.embedding[origin[1], k]
        return matrix

    def task(self, block: Block) -> ManifoldTask:
        """The block as a task on what it reads: on its charts, or on its pieces, wider on the outside by what is read amiss."""
        names = list(block.reads)
        if unknown := [name for name in names if name not in self.values and name not in self.graph.coordinates]:
            node = self.graph.sources[unknown[0]].name
            raise NotProvableError(self.missing.get(node, f"it reads {unknown[0]}, an affine combination of computed values"))
        domain = block.domain
        if domain.noun == "chart":
            return block.task
        errors, tiling = self.errors(names), self.tiling(block)
        boxes = tuple(BoxPiece(piece.name, enlarged(piece.box, errors, tiling.domain), piece.closed) for piece in tiling.pieces)
        target = ChartTarget(tuple(block.local(i) for i in range(len(block))))
        return ManifoldTask(block.name, _box_atlas(Tiling(boxes, block.reads)), target)

    def tiling(self, block: Block) -> Tiling:
        """The pieces of a block, the outer ones as far as what it reads may be beyond them by rounding (`Tiling.reaching`).

        Raises `NotProvableError`, which says what to write, where it may be farther out.
        """
        values = [self.values.get(name) for name in block.reads]
        ranges = [self._range(n) if v is None else (v.lower, v.upper) for n, v in zip(block.reads, values, strict=True)]
        return reaching(block, cast(Tiling, block.domain), np.array(ranges), [v is not None for v in values])

    def open(self, site: Site, task: ManifoldTask) -> Opened:
        """The searches of a site that is to follow a task on its variables."""
        matrix, part = self.matrix(site.part, site.variables), site.part
        known = {value.origin: value for value in self.values.values()}
        computed = {
            way.name: np.array([known[o].rounding.get(way.name, np.inf) if o in known else 0.0 for o in part.reads]) for way in self.ways
        }
        moved = bool(site.moves.any() or site.over)
        problem = Problem(
            site.name,
            part.network,
            ManifoldTask(task.name, _with_embedding(task.atlas, matrix), task.target),
            chosen=None if site.tiling is None else tiling_router(part.network, site.tiling, matrix, beyond=moved, dtype=self.dtype),
            valid=site.charts,
            either=site.charts and any(place.block == site.name and place.either for place in self.design.sites),
            computed=computed,
            moves=site.moves if site.charts and site.moves.any() else None,
            ways=self.ways,
            places=None if site.charts else Places.of(self.graph.finite, site.variables, site.moves),
        )
        if site.kind == "combine" and (found := self._parts(site, task, matrix)) is not None:
            return site, SplitAttempt(problem, *found, site.moves, goal=self._goal(), seed=self.asked.seed, saved=self.saved)
        attempt = Attempt(problem, self._goal(), self.asked.seed, self.saved)
        if not np.isfinite(attempt.eta) and all(np.isfinite(array).all() for array in tensors(self.network).values()):
            raise NotProvableError(
                f"its logits may overflow in {self.dtype}: measure what it reads in other units, or store float64 weights"
            )
        if self.close and not attempt.eta < CLOSE:
            raise NotProvableError(f"its logits are known to {attempt.eta:.3g} only, and rectified ones have to be to less than {CLOSE}")
        return site, attempt

    def _parts(self, site: Site, task: ManifoldTask, matrix: Array) -> tuple[list[Part], list[Component]] | None:
        """The parts of a combination, and what its network computes, if it falls into some."""
        assert isinstance(task.target, ChartTarget)
        return parts_of(task.target.functions[0].trees, site.variables, site.part, matrix)

    def site(self, node: Block | Combine, channels: tuple[Origin, ...], part: Slice, names: Sequence[str], folded: bool = False) -> Site:
        tiling = self.tiling(node) if node.kind == "block" and node.atlas is None else None
        return Site(
            name=node.name,
            kind=node.kind,
            components=node.components,
            channels=channels,
            part=part,
            variables=tuple(names),
            moves=self.errors(names),
            tiling=tiling,
            over=over(tiling, node),
            folded=folded,
        )

    def _goal(self) -> Goal:
        """The whole task's, if there is but one site; errors of several add up, so each has to be small, and none has an ε."""
        if self.alone:
            return Goal(np.inf if self.asked.epsilon is None else self.asked.epsilon, self.asked.tightness, self.floor)
        tightness = TIGHTEST if self.asked.tightness is None else self.asked.tightness
        return Goal(np.inf, tightness, self.floor / len(self.graph.nodes))

    def solve(self, level: Sequence[Opened]) -> None:
        """Run the searches of some sites, and keep what they prove."""
        attempts = [part for _, attempt in level for part in attempt.attempts]
        searches = [search for attempt in attempts for search in attempt.searches]
        most = max(0, self.left) // max(self.waiting, len(searches), 1)
        names = "" if self.alone else " " + ", ".join(site.name for site, _ in level)
        run(attempts, f"proving{names}", most, self.asked.deadline, self.saved)
        self.waiting -= len(searches)
        self.left -= sum(search.nodes for search in searches)
        for site, attempt in level:
            parts = tuple(attempt.proofs()) if isinstance(attempt, SplitAttempt) else ()
            solution = attempt.together(parts) if isinstance(attempt, SplitAttempt) else attempt.solution()
            values = () if site.folded else tuple(_values(site, solution, parts))
            self.values |= {value.component: value for value in values}
            self.formulas |= {} if site.folded else named(site.components)
            self.sites[site.name] = SiteProof(**vars(site), solution=solution, values=values, parts=parts)


def _values(site: Site, solution: Solution, parts: Sequence[PartProof]) -> Iterator[Value]:
    """What may be relied on of a site's components."""
    if parts:
        moved = np.array([added([p.spread for p in parts if p.part.component == k], np.inf) for k in range(len(site.components))])
    else:
        problem = solution.problem
        moved = np.zeros(len(site.components)) if site.charts else spread(problem.task, site.moves, site.tiling, problem.places)
    rounding = {dtype: found.outputs for dtype, found in solution.roundings.items()}
    for k, (name, origin) in enumerate(zip(site.components, site.channels, strict=True)):
        lower, upper = float(solution.values.lower[k]), float(solution.values.upper[k])
        slack = SLACK * max(abs(lower), abs(upper))
        error = GENEROUS * (solution.bound + float(moved[k]) + rounding["float64"])
        yield Value(name, origin, lower - slack, upper + slack, spread=float(moved[k]), error=error, rounding=rounding)


def is_affine(expressions: Sequence[sympy.Expr]) -> bool:
    return all(not sympy.diff(e, s).free_symbols for e in expressions for s in e.free_symbols)


def _wider(lower: float, upper: float) -> tuple[float, float]:
    """A box needs some width."""
    return (lower, upper) if lower < upper else (float(np.nextafter(lower, -np.inf)), float(np.nextafter(upper, np.inf)))


def _with_embedding(atlas: Atlas, matrix: Array) -> Atlas:
    """The atlas in the coordinates that a slice reads; its maps stay what they are."""
    identity = matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))
    return Atlas(atlas.coordinates, atlas.charts, atlas.partition, atlas.cover, None if identity else matrix, implicit=atlas.implicit)


def _box_atlas(tiling: Tiling) -> Atlas:
    """Pieces as charts of their own coordinates; nothing has to cover their faces, which belong to them."""
    return Atlas(tiling.coordinates, tiling.parametrising)
