"""Certificates of task graphs: one proof per block and per smooth combination, put together by interval arithmetic.

The network is cut into slices (`slices`): what computes y[block] reads a few inputs and a few earlier values and nothing else, whatever
the other channels are. So Σ E_l proofs are about all ∏ E_l pieces (B9). Where a node reads values that are off by up to e_k, it is
proved on all z within e_k of what they may be, and |f(v) − Ψ(z)| ≤ |f(z) − Ψ(z)| + |f(v) − f(z)|, whose second part is at most
Σ sup|∂_k f|·e_k plus what f jumps at interfaces (`spread`). Affine combinations add Σ |w_k|·e_k (R10). Bounds hold in real arithmetic
and for evaluation in float64: what float64 adds is part of each e_k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy
from scipy.linalg import block_diag

from ...atlas import Array, Atlas, Block, Box, Chart, ChartTarget, Combine, ExpressionMap, ExpressionTarget, ManifoldTask, TaskGraph, Tiling
from ...expressions.parse import real_symbols
from ...moe.network import MoELayer, Network
from .linear import without_linear
from .manifold import EnclosedManifold
from .problem import Problem, Solution, base_size, solve
from .rounding import GENEROUS
from .rounding import network as network_rounding
from .slices import Origin, Slice, Slicer
from .spread import enlarged, spread
from .tiling import tiling_router


class NotProvableError(Exception):
    """Why nothing can be proved about a node, in words; becomes an unknown claim."""


@dataclass(frozen=True, eq=False)
class Value:
    """A component that has a channel: where, what it lies in, and how far the channel is from it."""

    origin: Origin
    lower: float
    upper: float
    error: float
    """In real arithmetic and in float64."""
    rounding: Mapping[str, float]
    """dtype ↦ what evaluation in it adds."""


@dataclass(eq=False)
class GraphProof:
    """Proves the nodes of a graph one after the other."""

    network: Network
    graph: TaskGraph
    tightness: float
    floor: float
    """Bounds of nodes that are not sharpened further."""
    boxes: int
    deadline: float
    seed: int
    slicer: Slicer = field(init=False)
    values: dict[str, Value] = field(default_factory=dict)
    """Components with a channel and a proof."""
    expressions: dict[str, sympy.Expr] = field(default_factory=dict)
    """Every component in terms of coordinates, components with a channel, and components of the folded block."""
    folded: dict[str, Block] = field(default_factory=dict)
    """Components that are computed inside the read-out only, and their block."""
    solutions: dict[str, Solution] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)
    """dtype ↦ what evaluation of the whole network in it adds."""
    routed: dict[str, bool] = field(default_factory=dict)
    """Block ↦ whether every point is proved to get the right piece or a chart that contains it."""

    def __post_init__(self) -> None:
        self.slicer = Slicer(self.network)
        symbols = real_symbols(self.graph.coordinates)
        self.expressions |= symbols
        embeddings = [
            np.eye(node.base_dimension) if isinstance(node.manifold, Box) or node.manifold.embedding is None else node.manifold.embedding
            for node in self.graph.inputs
        ]
        self.embedding: Array = block_diag(*embeddings)
        """(D, coordinates): what the network reads of the coordinates."""

    def prove(self) -> None:
        """All nodes; raises `NotProvableError` at the first of which nothing can be said."""
        for node in self.graph.order:
            if isinstance(node, Block):
                self._block(node)
            elif isinstance(node, Combine):
                self._combine(node)

    def _channels(self, node: Block | Combine) -> list[Origin] | None:
        found = [self.slicer.computed(f"y[{name}]") for name in node.components]
        last = len(self.network.layers)
        if node.name == self.graph.output:
            found = [(last, c) for c in range(len(self.network.outputs))]
        if any(origin is None for origin in found) or len({origin[0] for origin in found if origin is not None}) != 1:
            return None
        return [origin for origin in found if origin is not None]

    def _block(self, block: Block) -> None:
        origins = self._channels(block)
        if origins is None:
            self.folded |= dict.fromkeys(block.components, block)
            self.expressions |= real_symbols(block.components)
            return
        part = self._slice(origins)
        task, matrix = self._task(block, part)
        moved = spread(task, self._errors(block.reads), block.domain) if isinstance(block.domain, Tiling) else np.zeros(len(origins))
        self._keep(block, origins, self._solve(block.name, part, task, matrix, block), moved)

    def _combine(self, node: Combine) -> None:
        into = {symbol: self.expressions[str(symbol)] for symbol in node.function.variables}
        whole = [expression.xreplace(into) for expression in node.function.expressions]
        origins = self._channels(node)
        if origins is None or (node.name == self.graph.output and _is_affine(whole)):
            self.expressions |= dict(zip(node.components, whole, strict=True))
            return
        names = sorted({str(symbol) for expression in whole for symbol in expression.free_symbols})
        part = self._slice(origins)
        lower, upper = zip(*(self._range(name) for name in names), strict=True)
        atlas = _box_atlas(names, [enlarged(Box(lower, upper), self._errors(names))], ("all",))
        target = ChartTarget((ExpressionMap(tuple(real_symbols(names).values()), tuple(whole)),))
        task = ManifoldTask(node.name, atlas, target)
        solution = self._solve(node.name, part, task, self._matrix(part, names), None)
        self._keep(node, origins, solution, spread(task, self._errors(names), None))

    def _slice(self, origins: list[Origin]) -> Slice:
        known = {value.origin for value in self.values.values()}
        return self.slicer.slice(origins[0][0], [c for _, c in origins], known)

    def _range(self, name: str) -> tuple[float, float]:
        """What a coordinate or component lies in."""
        if name in self.values:
            return _wider(self.values[name].lower, self.values[name].upper)
        for node in self.graph.inputs:
            if name in node.coordinates and isinstance(node.manifold, Box):
                k = node.coordinates.index(name)
                return node.manifold.lower[k], node.manifold.upper[k]
        raise NotProvableError(f"{name} is a coordinate of a manifold, which a combination reads directly")

    def _errors(self, names: Sequence[str]) -> Array:
        """How far what the network has in place of these components may be from them."""
        return np.array([self.values[name].error if name in self.values else 0.0 for name in names])

    def _matrix(self, part: Slice, names: list[str]) -> Array:
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

    def _task(self, block: Block, part: Slice) -> tuple[ManifoldTask, Array]:
        """The block as a task on what it reads, and what the slice reads of it."""
        names = list(block.reads)
        if unknown := [name for name in names if name not in self.values and name not in self.graph.coordinates]:
            raise NotProvableError(f"it reads {unknown[0]}, an affine combination of computed values")
        if isinstance(block.domain, Atlas):
            if any(name in self.values for name in names):
                raise NotProvableError("it reads computed values as points of a manifold")
            matrix = self._matrix(part, names)
            task = block.task
            return ManifoldTask(block.name, _with_embedding(task.atlas, matrix), task.target), matrix
        domain, errors = block.domain.domain, self._errors(names)
        for name, low, high in zip(names, domain.lower, domain.upper, strict=True):
            least, most = self._range(name)
            if least < low or most > high:
                raise NotProvableError(f"{name} may be anywhere in [{least:.6g}, {most:.6g}], the pieces fill [{low:.6g}, {high:.6g}] only")
        boxes = [enlarged(piece.box, errors, domain) for piece in block.domain.pieces]
        atlas = _box_atlas(names, boxes, block.names)
        target = ChartTarget(tuple(block.local(i) for i in range(len(block))))
        return ManifoldTask(block.name, atlas, target), self._matrix(part, names)

    def _solve(self, name: str, part: Slice, task: ManifoldTask, matrix: Array, block: Block | None) -> Solution:
        known = {value.origin: value for value in self.values.values()}
        computed = {
            str(dtype): np.array([known[o].rounding.get(str(dtype), 0.0) if o in known else 0.0 for o in part.reads])
            for dtype in {np.dtype(float), self.network.dtype}
        }
        chosen: tuple[int, ...] | None = None
        if block is not None and isinstance(block.domain, Tiling):
            moved = any(origin in known for origin in part.reads)
            chosen = tiling_router(part.network, block.domain, matrix, beyond=moved)
            self.routed[block.name] = chosen is not None and not moved
        elif block is not None:
            self.routed[block.name] = True
        embedded = ManifoldTask(task.name, _with_embedding(task.atlas, matrix), task.target)
        problem = Problem(part.network, embedded, chosen, block is not None and isinstance(block.domain, Atlas), computed)
        solution = solve(
            problem,
            epsilon=None,
            tightness=self.tightness,
            floor=self.floor,
            boxes=self.boxes,
            deadline=self.deadline,
            seed=self.seed,
            doing=f"proving {name}",
        )
        self.solutions[name] = solution
        return solution

    def _keep(self, node: Block | Combine, origins: list[Origin], solution: Solution, moved: Array) -> None:
        bound = bound_of(solution)
        rounding = {dtype: float(found.outputs.max()) for dtype, found in solution.roundings.items()}
        for k, (name, origin) in enumerate(zip(node.components, origins, strict=True)):
            lower, upper = float(solution.values.lower[k]), float(solution.values.upper[k])
            self.values[name] = Value(origin, lower, upper, GENEROUS * (bound + float(moved[k]) + rounding["float64"]), rounding)
            self.expressions[name] = real_symbols([name])[name]

    def read_out(self) -> float:
        """|f − Ψ| ≤ this for every point: what the output's own proof says, or the affine read-out of proved values."""
        output = self.graph[self.graph.output]
        if output.name in self.solutions:
            self.extra = {dtype: max(self.values[name].rounding[dtype] for name in output.components) for dtype in self._dtypes}
            return max(self.values[name].error for name in output.components)
        return self._folded([self.expressions[name] for name in output.components])

    def _folded(self, whole: list[sympy.Expr]) -> float:
        """f = Σ a_k·v_k + g, Ψ = Σ w_k·(v_k + δ_k) + g̃: |f − Ψ| ≤ Σ (|w_k|·e_k + |a_k − w_k|·|v_k|) + |g − g̃| (R10)."""
        last = len(self.network.layers)
        part = self._slice([(last, c) for c in range(len(self.network.outputs))])
        network, linear = part.network, {}
        for name, value in self.values.items():
            if value.origin in part.reads:
                linear[name], network = _stripped(network, part.reads.index(value.origin))
        symbols = {str(s): s for e in whole for s in e.free_symbols}
        error = np.zeros(len(whole))
        for name, value in self.values.items():
            a = np.array([float(sympy.diff(e, symbols[name])) if name in symbols else 0.0 for e in whole])
            w = linear.get(name, np.zeros(len(whole)))
            # a is rounded from the task's exact number, hence the last term.
            size = max(abs(value.lower), abs(value.upper))
            error += GENEROUS * (np.abs(w) * value.error + (np.abs(a - w) + np.finfo(float).eps * np.abs(a)) * size)
        rest = [e.xreplace({symbols[name]: sympy.Integer(0) for name in self.values if name in symbols}) for e in whole]
        blocks = {self.folded[str(s)].name: self.folded[str(s)] for e in rest for s in e.free_symbols if str(s) in self.folded}
        if len(blocks) > 1 or any(str(s) not in self.folded for e in rest for s in e.free_symbols):
            raise NotProvableError("the read-out mixes more than one block with coordinates")
        bare = Slicer(network).slice(len(network.layers), range(len(network.outputs)), ())
        remaining = Slice(bare.network, tuple(part.reads[k] for _, k in bare.reads))
        self.extra = {dtype: self._rounding_of(part, np.dtype(dtype)) for dtype in self._dtypes}
        rounding = self.extra["float64"]
        if not blocks:
            constant = np.abs(network(np.zeros((1, len(part.reads))))[0] - np.array([float(e) for e in rest]))
            error += GENEROUS * constant + rounding
        else:
            (block,) = blocks.values()
            solution = self._solve(block.name, remaining, *self._combined(block, remaining, rest), block)
            error += GENEROUS * (bound_of(solution) + rounding)
            if isinstance(block.domain, Tiling):
                error += GENEROUS * spread(solution.problem.task, self._errors(block.reads), block.domain)
        return float(error.max())

    def _combined(self, block: Block, part: Slice, rest: list[sympy.Expr]) -> tuple[ManifoldTask, Array]:
        """The block's task with the read-out's affine map after it."""
        task, matrix = self._task(block, part)
        names = real_symbols(block.components)

        def after(function: ExpressionMap) -> ExpressionMap:
            into = dict(zip(names.values(), function.expressions, strict=True))
            return ExpressionMap(function.variables, tuple(e.xreplace(into) for e in rest))

        target = task.target
        if isinstance(target, ChartTarget):
            return ManifoldTask(task.name, task.atlas, ChartTarget(tuple(map(after, target.functions)))), matrix
        assert isinstance(target, ExpressionTarget)
        return ManifoldTask(task.name, task.atlas, ExpressionTarget(after(target.function))), matrix

    @property
    def _dtypes(self) -> set[str]:
        return {"float64", str(self.network.dtype)}

    def _rounding_of(self, part: Slice, dtype: np.dtype) -> float:
        """What evaluation in `dtype` adds in the read-out, carried values included."""
        known = {value.origin: value for value in self.values.values()}
        sizes, errors = [], []
        for origin in part.reads:
            value = known.get(origin)
            if value is None:
                names = [self.graph.coordinates[k] for k in np.flatnonzero(self.embedding[origin[1]])]
                sizes.append(sum(abs(self.embedding[origin[1], self.graph.coordinates.index(n)]) * self._size(n) for n in names))
                errors.append(0.0)
            else:
                sizes.append(max(abs(value.lower), abs(value.upper)) + value.error)
                errors.append(value.rounding[str(dtype)])
        return float(network_rounding(part.network, np.array(sizes), np.array(errors), dtype).outputs.max())

    def _size(self, coordinate: str) -> float:
        """|coordinate| at most, on M."""
        for node in self.graph.inputs:
            if coordinate in node.coordinates:
                k = node.coordinates.index(coordinate)
                if isinstance(node.manifold, Box):
                    return max(abs(node.manifold.lower[k]), abs(node.manifold.upper[k]))
                return float(base_size(EnclosedManifold(node.manifold))[k])
        raise NotProvableError(f"{coordinate} is no coordinate of an input")


def _stripped(network: Network, leaf: int) -> tuple[Array, Network]:
    """The part w of the outputs that is linear in one input, and the network without it.

    Only what all experts of the last layer share counts; what they do not share stays in the network.
    """
    last = network.layers[-1]
    reads = range(last.affine_gate.weight.shape[1]) if last.reads is None else last.reads
    origins = Slicer(network).origins[-2]
    channels = [n for n, channel in enumerate(reads) if origins[channel] == (0, leaf)]
    if len(channels) != 1:
        return np.zeros(len(network.outputs)), network
    parts = [without_linear(expert, channels[0]) for expert in last.experts]
    weights = parts[0][0]
    if any(not np.array_equal(w, weights) for w, _ in parts):
        return np.zeros(len(network.outputs)), network
    dtype = network.dtype
    stripped = MoELayer(last.gate, tuple(net.astype(dtype) for _, net in parts), last.serves, last.names, last.channels, last.reads)
    return weights, Network((*network.layers[:-1], stripped), network.inputs)


def bound_of(solution: Solution) -> float:
    """What the boxes of a solution prove, ∞ if one is open."""
    return max(float(tree.bounds.max(initial=0.0)) for tree in solution.trees.values())


def _is_affine(expressions: list[sympy.Expr]) -> bool:
    return all(not sympy.diff(e, s).free_symbols for e in expressions for s in e.free_symbols)


def _wider(lower: float, upper: float) -> tuple[float, float]:
    """A box needs some width."""
    return (lower, upper) if lower < upper else (float(np.nextafter(lower, -np.inf)), float(np.nextafter(upper, np.inf)))


def _with_embedding(atlas: Atlas, matrix: Array) -> Atlas:
    """The atlas in the coordinates that a slice reads; its maps stay what they are."""
    identity = matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))
    return Atlas(atlas.coordinates, atlas.charts, atlas.partition, atlas.cover, None if identity else matrix)


def _box_atlas(names: list[str], boxes: list[Box], labels: tuple[str, ...]) -> Atlas:
    """Boxes as charts of their own coordinates; nothing has to cover their faces, which belong to them."""
    symbols = tuple(real_symbols(names).values())
    identity = ExpressionMap(symbols, symbols)
    edge = ((True, True),) * len(names)
    return Atlas(tuple(names), tuple(Chart(label, box, identity, identity, edge) for label, box in zip(labels, boxes, strict=True)))
