"""Site by site: what each one is about, found in task and weights, and whether the numbers of the certificate follow (B9, R10).

`Composition` goes through the sites of a certificate in their order. What one may rely on is what was confirmed of those before it: their
channels are known origins, their values lie in their ranges, and are off by no more than their errors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple, cast

import numpy as np
import sympy

from ...atlas import Array, Atlas, Block, Box, CallableTarget, ChartTarget, Combine, ExpressionMap, ExpressionTarget, Input, Tiling
from ...atlas.blocks import block_diagonal
from ...atlas.graph.finite import Places
from ...expressions.formulas import named, written_out
from ...expressions.maps import Formula
from ...expressions.parse import real_symbols
from ...expressions.tree import free_names
from ...intervals import NotEnclosed
from ...intervals.patch import GROW
from .amiss import may_be_amiss
from .beyond import reaching
from .charts import Boxes, Charts, Truth
from .claims import states
from .direct import behind, what_is_left, without_inputs
from .documents import Documents, Site, Value
from .extent import extent
from .floats import Floats, Stated
from .functions import moves_little, within
from .hats import NEAR
from .inverse import not_inverted
from .leaves import Judge
from .parts import MOST_DIMENSIONS, part_by_part, whole_box, widened
from .refused import Refused
from .roots import require_outputs, require_roots
from .rounding import HALF, Way, holds, overflows, read
from .routers import exact_routes
from .shares import share_of, shares_of, with_shares
from .slices import NONE, Origin, Slice, Slicer, without_linear
from .subjects import Failure, Followed, Subject
from .trees import OUTSIDE, PROVED, UNSETTLED, Tree
from .zeros import require_zeros


class Known(NamedTuple):
    """A component with a confirmed channel."""

    origin: Origin
    value: Value
    rounding: dict[str, float]


class Composition:
    """All sites of a certificate."""

    def __init__(self, found: Documents) -> None:
        self.found, self.graph = found, found.graph
        self.slicer = Slicer(found.inputs, found.plain)
        matrices = [np.eye(n.base_dimension) if n.domain.embedding is None else n.domain.embedding for n in self.graph.inputs]
        self.embedding: Array = block_diagonal(matrices)
        self.known: dict[str, Known] = {}
        self.formulas = named(self.graph.coordinates)
        """Every component in terms of coordinates, components with a channel, and components of blocks without one."""
        self.folded: dict[str, Block] = {}
        self.fates: list[Failure | None] = []
        self.boxes = 0
        self.rounded: set[str] = set()
        """Sites whose numbers for evaluation in floats are confirmed."""
        layers, widths = (*found.layers, *found.plain), [found.inputs]
        widths += [len(layer.carries) for layer in layers] + [len(m.bias) for la in layers for net in la.everything for m in net.stored]
        self.longest = max(widths)
        """Products of the longest sum in the network, at most."""
        self.sizes: Array = np.zeros(0)  # max |y_k| of all coordinates
        self.tilings: dict[str, Tiling] = {}
        """Site ↦ its pieces, the outer ones as far as what it reads may reach."""
        self.functions: dict[str, list[ExpressionMap]] = {}
        """Site ↦ the functions of its pieces where these are boxes."""

    def check(self, covered: set[str], inverted: set[str], followed: set[str]) -> Iterator[Failure]:
        """Whatever is wrong or open, site by site, up to the first one that is rejected. Of `covered`,
        `inverted` and `followed` sites something is claimed about edges, forward maps, scores.
        """
        if overflow := self._overflow():
            return (yield Failure(states(self.found, overflow), f"a number of the network may overflow in {overflow}"))
        for site in self.found.sites:
            try:
                failures = list(self._site(site, site.name in covered, site.name in inverted, site.name in followed))
            except (Refused, NotEnclosed) as why:
                rejected = isinstance(why, Refused) and why.rejected
                yield Failure(rejected, f"{site.name[:80]}: {why}" if not self.found.manifold else str(why))
                return
            yield from failures
            if failures or any(fate is not None and fate.rejected for fate in self.fates):
                return

    def _site(self, site: Site, covered: bool, inverted: bool, followed: bool) -> Iterator[Failure]:
        node = self._node(site)
        self._write_out(node)
        part = self._slice(site)
        if site.parts:
            return (yield from self._in_parts(site, node, part))
        subject, self.functions[site.name] = self._subject(site, node, part)
        judge = Judge(subject._replace(covered=covered))
        if any(not site.bound >= tree.largest for tree in site.trees):
            raise Refused("its bound is below that of a leaf")
        if judge.charts is not None and (inverted or self.found.schema < 3):
            self._inverted(site, judge.charts)
        require_zeros(self.found, site.name, None if judge.charts is None else judge.charts.atlas)
        if failures := list(self._rounded(site, judge.subject, site.trees)):
            return (yield from failures)
        fates, count = judge.settle(site.trees)
        if followed and site.scores is not None and not any(fate is not None and fate.rejected for fate in fates):
            scored = Judge(subject._replace(bound=site.scores.bound), Followed(site.scores.level, site.scores.least))
            more, again = scored.settle(site.followed)
            fates, count = fates + more, count + again
        self.fates, self.boxes = self.fates + fates, self.boxes + count
        if not self.found.manifold or all(fate is None for fate in fates):
            self._values(site, judge)

    def _inverted(self, site: Site, charts: Charts) -> None:
        """Whether forward maps invert as closely as is claimed."""
        name = f"{self.found.prefix}inverse" if self.found.manifold else f"{self.found.prefix}block[{site.name}].inverse"
        claims = [claim for claim in self.found.certificate.children("claims") if claim.get("name") == name]
        exactly = any(claim.get("bound") == 0 for claim in claims)
        if (chart := not_inverted(charts, exactly)) is not None:
            raise Refused(f'the forward map of chart "{chart}" is not shown to be the inverse of its inverse', rejected=False)

    def _overflow(self) -> str | None:
        """The first dtype in which some number of the network may overflow, wherever that is multiplied by 0 for what is looked at."""
        self.sizes = size = np.concatenate([self._extent(node) for node in self.graph.inputs])
        for dtype in sorted({"float64", self.found.dtype}):
            way = Way(dtype, self.longest)
            if overflows(self.found.layers, read(self.embedding, -size[None], size[None], np.zeros(len(size)), way), way):
                return dtype
        return None

    def ways(self, stated: Mapping[str, float]) -> list[str]:
        """The evaluations about which a site, or the read-out, has to say something, and those of the same dtypes about which it does."""
        dtypes = {"float64", self.found.dtype}
        return sorted(dtypes | {name for name in stated if Way(name, 0).dtype in dtypes})

    def _extent(self, node: Input) -> Array:
        """max |y_k| on an input."""
        if node.box is not None:
            return np.maximum(np.abs(node.box.lower), np.abs(node.box.upper))
        domain = Charts(cast(Atlas, node.domain))
        return extent(domain, [(low[None], high[None]) for low, high in zip(domain.lower, domain.upper, strict=True)])

    def _node(self, site: Site) -> Block | Combine:
        """The node of a site, about which nothing was said yet."""
        nodes: tuple[Block | Combine, ...] = (*self.graph.blocks, *self.graph.combines)
        node = next((node for node in nodes if node.name == site.name), None)
        wanted = shares_of(site, self.graph) if len(site.shift) else () if node is None else node.components
        if node is None or node.kind != site.kind or site.components != wanted:
            raise Refused(f"the task has no {site.kind} of this name with components {site.components}")
        if site.name in self.functions:
            raise Refused("it is there twice")
        if not 0 <= site.eta < (NEAR if self.found.near else np.inf) or len(site.pieces) != len(site.trees):
            raise Refused("η, or the number of its trees, is none, or η is too large")
        return node

    def _write_out(self, until: Block | Combine | None) -> None:
        """Express all nodes before this one that are no sites: combinations by what they read, blocks as folded into the read-out."""
        names = {site.name for site in self.found.sites if not site.folded and not len(site.shift)}
        for node in self.graph.order:
            if node is until:
                return
            if node.kind == "combine" and node.name not in names and node.components[0] not in self.formulas:
                self.formulas |= dict(zip(node.components, self._expanded(node), strict=True))
            elif node.kind == "block" and node.name not in names:
                self.folded |= dict.fromkeys(node.components, node)
                self.formulas |= named(node.components)

    def _expanded(self, node: Combine) -> list[Formula]:
        """A combination written out."""
        if missing := [name for name in node.reads if name not in self.formulas]:
            raise Refused(f"it reads {missing[0]}, of which nothing was confirmed")
        return written_out(node.function, {name: self.formulas[name] for name in node.reads})

    def _slice(self, site: Site) -> Slice:
        """What computes the site's channels; of a folded block without what is linear in earlier values."""
        (last, *more) = {layer for layer, _ in site.channels} or {-1}
        outputs = tuple((len(self.found.plain), c) for c in range(self.graph.outputs))
        final = site.folded or (site.name == self.graph.output and not len(site.shift))
        if more or len(site.channels) != len(outputs if site.folded else site.components) or (final and site.channels != outputs):
            raise Refused("its channels are not those of one layer, one a component")
        if not final and not all(layer > 0 and self.slicer.has((layer, c)) for layer, c in site.channels):
            raise Refused("one of its channels is not computed where it is said to be")
        part = self.cut(last, [c for _, c in site.channels], site.charts)
        if site.folded:
            part, _ = without_inputs(self.stripped(part)[0], self.embedding, [name in site.variables for name in self.graph.coordinates])
        if not set(part.reads) <= site.reads or not all(self.slicer.has(origin) for origin in site.reads):
            raise Refused(f"its channels are computed from {sorted(set(part.reads) - site.reads)[:4]} too, or from what is not there")
        gated = part.layers[-1].gate is not None or self.found.manifold
        names = self.found.plain[last - 1].names if gated else ("all",)
        if site.winners != names:
            raise Refused(f"its winners are {str(site.winners)[:80]}, those of the layer {str(names)[:80]}")
        return part

    def cut(self, last: int, channels: Sequence[int], gated: bool) -> Slice:
        return self.slicer.slice(last, channels, {known.origin for known in self.known.values()}, gated)

    def stripped(self, part: Slice) -> tuple[Slice, dict[str, Array]]:
        """The slice without what is linear in components with a channel, and their weights in its outputs."""
        weights = {}
        for name, known in self.known.items():
            if known.origin in part.reads:
                weights[name], part = without_linear(part, part.reads.index(known.origin))
        return part, weights

    def matrix(self, part: Slice, variables: Sequence[str]) -> Array:
        """What each number that a slice reads is, as a combination of the variables, (reads, variables)."""
        place = {self.known[name].origin: n for n, name in enumerate(variables) if name in self.known}
        matrix = np.zeros((len(part.reads), len(variables)))
        for row, origin in zip(matrix, part.reads, strict=True):
            if origin in place:
                row[place[origin]] = 1.0
                continue
            needed = np.flatnonzero(self.embedding[origin[1]]) if origin[0] == 0 else NONE
            names = [self.graph.coordinates[k] for k in needed]
            if origin[0] != 0 or not set(names) <= set(variables):
                raise Refused(f"the network reads {origin} there, which is nothing that it is about", rejected=False)
            row[[variables.index(name) for name in names]] = self.embedding[origin[1], needed]
        return matrix

    def _subject(self, site: Site, node: Block | Combine, part: Slice) -> tuple[Subject, list[ExpressionMap]]:
        """What the leaves of a site are about, and the functions of its pieces where these are boxes."""
        whole = self._expanded(node) if node.kind == "combine" else []
        variables = self._variables(site, node, whole)
        matrix = self.matrix(part, variables)
        routes, functions = None, []
        if node.kind == "block" and node.atlas is not None:
            domain: Charts | Boxes = (charts := Charts(self._atlas(site, node), self._assumed(site)))
            truth = self._truth(site, node, charts)
        else:
            if node.kind == "block":
                pieces, functions = cast(Tiling, node.domain), [self._after(site, node.local(i)) for i in range(len(node))]
                self.tilings[site.name] = tiling = reaching(site, pieces, [self._range(name) for name in site.variables], self.known)
                routes = exact_routes(part, matrix, tiling, bool(site.moves.any()) or tiling is not pieces, self.found.dtype)
            else:
                lower, upper = zip(*(self._range(name) for name in variables), strict=True)
                tiling = Tiling.whole(Box(lower, upper), variables)
                functions = [ExpressionMap.of(real_symbols(variables).values(), whole)]
            require_roots(site, tiling)
            domain = Boxes(tiling.names, *np.stack([tree.root for tree in site.trees], axis=1))
            if site.routes is not None and site.routes != routes:
                raise Refused(f"its gate is not shown to route as {str(site.routes)[:80]} says")
            routes, truth = site.routes, domain.of_coordinates(functions)
        if tuple(name for name, _ in site.pieces) != domain.names or [n for _, n in site.pieces] != [len(t.tags) for t in site.trees]:
            raise Refused("its pieces are not those of the task, each with its number of boxes")
        if domain.dimension + np.count_nonzero(site.moves) * site.charts > MOST_DIMENSIONS:
            raise Refused(f"functions of {domain.dimension} coordinates are not followed, {MOST_DIMENSIONS} are", rejected=False)
        embedding = None if np.array_equal(matrix, np.eye(*matrix.shape)) and len(matrix) == matrix.shape[1] else matrix
        # Boxes of the variables hold all that may be read in their place.
        moves = site.moves if site.charts else 0 * site.moves
        by_chart = node.kind == "block" and node.atlas is not None and node.task.target.by_chart
        places = None if site.charts else Places.of(self.graph.finite, site.variables, site.moves)
        name = "" if self.found.manifold else f"{site.name}/"
        amiss = may_be_amiss(site, part.layers[-1], self.found.either)
        about = Subject(name, domain, part.layers, embedding, moves, truth, routes, site.eta, site.bound, False, by_chart, amiss, places)
        return about, functions

    def _assumed(self, site: Site) -> frozenset[str]:
        """Names of what the certificate says that it assumes of the charts of a site."""
        prefix = "" if self.found.manifold else f"block[{site.name}]."
        listed = self.found.certificate.children("assumptions") if "assumptions" in self.found.certificate else []
        return frozenset(name.removeprefix(prefix) for taken in listed if (name := taken.text("name")).startswith(prefix))

    def _variables(self, site: Site, node: Block | Combine, whole: Sequence[Formula]) -> tuple[str, ...]:
        """What the boxes of a site are about; what the network has in its place is off by no more than the site says."""
        variables = node.reads if node.kind == "block" else tuple(sorted(free_names(*(f.tree for f in whole)))) or node.reads[:1]
        known = {name for name in variables if name in self.known}
        if site.variables != variables or len(site.moves) != len(variables) or not known | set(self.graph.coordinates) >= set(variables):
            raise Refused(f"its variables are {str(site.variables)[:80]}, but it reads {str(variables)[:80]}, or they are not known yet")
        errors = np.array([self.known[name].value.error if name in known else 0.0 for name in variables])
        if not (np.isfinite(site.moves) & (site.moves >= errors)).all():
            raise Refused(f"what it reads may be off by {errors}, not by {site.moves}")
        return variables

    def _in_parts(self, site: Site, node: Block | Combine, part: Slice) -> Iterator[Failure]:
        """A combination that is proved part by part."""
        whole = self._expanded(node) if node.kind == "combine" else []
        variables = self._variables(site, node, whole)
        matrix, box = self.matrix(part, variables), widened(np.array([self._range(name) for name in variables]), site.moves)
        self.functions[site.name] = []
        if failures := list(self._rounded(site, *whole_box(part, matrix, box, site.eta))):
            return (yield from failures)
        fates, count = part_by_part(site, [formula.tree for formula in whole], part, matrix, box)
        self.fates, self.boxes = self.fates + fates, self.boxes + count
        self._relied_on(site)

    def _atlas(self, site: Site, block: Block) -> Atlas:
        """The charts that the site is about; its trees have to fill their domains."""
        atlas = block.task.atlas
        if len(site.trees) != len(atlas.parametrising) or not site.charts or site.routes is not None:
            raise Refused("it has not one tree for every chart, or says how pieces are routed")
        require_outputs(site, len(atlas))
        domains = [np.array([chart.domain.lower, chart.domain.upper]) for chart in atlas.parametrising]
        for trees in (site.trees, *([site.followed] if site.scores is not None else ())):
            for chart, domain, tree in zip(atlas.parametrising, domains, trees, strict=True):
                if not np.array_equal(tree.root, domain):
                    raise Refused(f'the root box of chart "{chart.name}" is not its domain')
        return atlas

    def _truth(self, site: Site, block: Block, charts: Charts) -> Truth:
        """The block's function on boxes of coordinates of a chart."""
        target = block.task.target
        if isinstance(target, ExpressionTarget):
            return charts.of_point(self._after(site, target.function))
        if isinstance(target, CallableTarget):
            return charts.of_point(target.declared(block.reads))
        assert isinstance(target, ChartTarget)
        bases = [c.inverse.renamed(f.variables).expressions for c, f in zip(charts.charts, target.functions, strict=True)]
        return charts.of_coordinates([self._after(site, *both) for both in zip(target.functions, bases, strict=True)])

    def _after(self, site: Site, function: ExpressionMap, read: Sequence[sympy.Expr] | None = None) -> ExpressionMap:
        """A block's function; of a folded block with what is left of the read-out after it. `read`: as of `behind`."""
        if not site.folded and not len(site.shift):
            return function
        self._write_out(None)
        if len(site.shift):
            return share_of(self.formulas, site, self.graph).after(function)
        left, blocks = self.left()
        if blocks != {site.name}:
            raise Refused(f"it is called folded into a read-out that mixes {sorted(blocks)} with other things")
        return behind(left, cast(Block, self.graph[site.name]), function, read)

    def left(self) -> tuple[list[sympy.Expr], set[str]]:
        """The output with 0 for what is known (`what_is_left`), and the names of the blocks that are left in it."""
        return what_is_left(self.output(), self.known, self.folded, self.graph.coordinates)

    def output(self) -> list[sympy.Expr]:
        """The output in components that have a channel, shares among them, and what else there is."""
        self._write_out(None)
        return with_shares(self.formulas, [site for site in self.found.sites if set(site.components) <= set(self.known)], self.graph)

    def _range(self, name: str) -> tuple[float, float]:
        """What a coordinate of a box, or a component with a channel, lies in."""
        if name in self.known:
            return self.known[name].value.lower, self.known[name].value.upper
        for node in self.graph.inputs:
            if name in node.components and node.box is not None:
                k = node.components.index(name)
                return node.box.lower[k], node.box.upper[k]
        raise Refused(f"{name} is a coordinate of a manifold, which it reads directly", rejected=False)

    def _rounded(self, site: Site, subject: Subject, trees: Sequence[Tree]) -> Iterator[Failure]:
        """Whether η and the numbers for evaluation in floats leave as much room as rounding may take."""
        names = self.ways(site.rounding)
        if missing := [name for name in names if name not in site.rounding]:
            raise Refused(f"it does not say what rounding in {missing[0]} adds")
        if other := [name for name in names if name in HALF and not (self.found.manifold and holds(self.found.layers, name))]:
            raise Refused(f"its weights are not those of {other[0]}")
        known = [self.known[name].rounding if name in self.known else None for name in site.variables]
        computed = {way: np.array([0.0 if of is None else of.get(way, np.inf) for of in known]) for way in names}
        stated = Stated(site.eta, {name: site.rounding[name] for name in names})
        where = "" if self.found.manifold else f"{site.name}: "
        for bad in Floats(subject, computed, self.longest).failures(trees, stated):
            yield from (Failure(bad.false, f"{where}{words}") for words in bad.words(stated))
        self.rounded.add(site.name)

    def _values(self, site: Site, judge: Judge) -> None:
        """The numbers that later sites rely on."""
        if self.found.schema == 1 or site.folded:
            return
        if tuple(value.component for value in site.values) != site.components:
            raise Refused("its values are not those of its components")
        lower, upper = (np.array([getattr(value, end) for value in site.values]) for end in ("lower", "upper"))
        for p, tree in enumerate(site.trees):
            rows = tree.tags != OUTSIDE if self.functions[site.name] else (tree.tags == PROVED) | (tree.tags == UNSETTLED)
            if not within(partial(judge.truth, p), tree.lower[rows], tree.upper[rows], lower, upper):
                raise Refused("its values are not shown to lie between the bounds given", rejected=False)
        self.check_spread(site, [value.spread for value in site.values])
        self._relied_on(site)

    def _relied_on(self, site: Site) -> None:
        """The values of a site are known, if their errors are what its numbers add up to."""
        finite = all(np.isfinite(value.error) for value in site.values)
        needed: Array = site.bound + np.array([value.spread for value in site.values]) + site.rounding["float64"]
        if not (needed * GROW <= [value.error for value in site.values]).all():
            raise Refused(f"the errors of its values are below {needed}, what its bound, spread and rounding add up to", rejected=finite)
        for value, origin in zip(site.values, site.channels, strict=True):
            self.known[value.component] = Known(origin, value, dict(site.rounding))
        self.formulas |= named(site.components)

    def check_spread(self, site: Site, stated: Sequence[float]) -> None:
        """How much the function on boxes may change with what is read."""
        functions = self.functions[site.name]
        if not all(spread >= 0 for spread in stated):
            raise Refused(f"{stated} is no bound of how much a function changes")
        if not functions or not site.moves.any():
            return
        tiling, roots = self.tilings.get(site.name), [tree.root for tree in site.trees]
        places = Places.of(self.graph.finite, site.variables, site.moves)
        if not moves_little(functions, roots, tiling, site.moves, np.array(stated), places):
            raise Refused(f"the function is not shown to change by at most {stated} where what it reads is off by {site.moves}", False)
