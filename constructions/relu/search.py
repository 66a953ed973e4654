"""The search for the best sum of ridge profiles of a given width: how many directions, and where the knots go."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ...atlas import Array
from ...moe.ridge import Ridge
from . import lawson
from .dictionary import Coordinates
from .directions import directions
from .free_knots import freed
from .knots import profile_grid, snapped, uniform_grid, with_knots
from .profiles import Grid, least_squares
from .pruning import prune
from .samples import Data, Target

DIRECTION_COUNTS = (0, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128)
"""0 stands for the coordinate axes: sums of functions of one coordinate each need no other."""
FACTORS, AFFORDABLE = (5, 3, 2), 1024
"""How many times too wide pruning starts: the widest does not always win. Those that exceed AFFORDABLE knots, where a round
takes about a tenth of a second, are left out, but for the last."""
CLOUD, CLOSE, CLOSEST = 256, 3.0, 7
"""Samples around a peak of the error: so many, within so many mean distances of held-out points, and nearer by up to 2^CLOSEST."""
FINALISTS = 2
"""Pruned fits that are reweighted towards the sup norm."""
PATIENCE = 2
"""Pruning thrives on more directions than a full dictionary of the same width: steps up the ladder without progress before it stops."""


@dataclass(frozen=True, eq=False)
class Model:
    """A sum of ridge profiles, the number of generic directions it came from, and its sup error on the held-out points."""

    grid: Grid
    levels: Array
    count: int
    error: float


@dataclass(frozen=True, eq=False)
class Search:
    """One target, its data, normalised coordinates and straight kinks, at one width."""

    target: Target
    data: Data
    coordinates: Coordinates
    kinks: tuple[Array, tuple[Array, ...]]
    width: int
    tip: Array | None = None
    """A point (n,) at which the target has a tip: every direction gets a knot on it."""
    free: bool = False
    """Whether the knots of finalists move."""

    @property
    def room(self) -> int:
        """Knots of a net of this width: r neurons go into the linear part."""
        return max(0, self.width - self.coordinates.rank)

    def lines(self, count: int) -> Array:
        """Unit directions (K, n) of input space: the target's own, and `count` quasi-uniform ones or the coordinate axes."""
        rank = self.coordinates.rank
        kept: list[Array] = []
        known = self.coordinates.from_input(np.array(self.target.directions).reshape(-1, len(self.coordinates.center)))
        for z in np.concatenate([known, directions(count, rank) if count else np.eye(rank)]):
            if all(abs(z @ other) < 1 - 1e-6 for other in kept):
                kept.append(z)
        return self.coordinates.to_input(np.array(kept))

    def special(self) -> tuple[Array, tuple[Array, ...]]:
        """Directions (j, n) with knots that need no search: straight kinks, and hints if they leave half of the width."""
        lines, knots = self.kinks
        hints = [hint for hint in self.target.hints if np.linalg.norm(hint.direction @ self.coordinates.basis) > 0]
        if not hints or sum(len(hint.knots) for hint in hints) > self.width // 2:
            return lines, knots
        rows, places = [], []
        for hint in hints:
            inside = self.coordinates.basis @ (self.coordinates.basis.T @ hint.direction)
            length = float(np.linalg.norm(inside))
            # What the direction has off the data's hull only shifts the knots.
            shift = float((hint.direction - inside) @ self.coordinates.center)
            rows.append(inside / length)
            places.append((np.array(hint.knots) - shift) / length)
        return np.concatenate([lines, np.array(rows)]), (*knots, *places)

    def grid(self, count: int, knots: int, *, uniform: bool = False) -> Grid:
        """A grid of at most `knots` knots: the special ones, the others where the profiles bend or equispaced."""
        lines, places = self.special()
        generic = max(0, knots - sum(map(len, places)))
        if uniform:
            grid = uniform_grid(self.data.inputs, self.lines(count), generic)
        else:
            bent = [np.maximum(self.data.inputs @ a - t, 0) for a, along in zip(lines, places, strict=True) for t in along]
            grid = profile_grid(self.data.inputs, self.data.values, self.lines(count), generic, bent)
        if self.tip is not None:
            grid = snapped(grid, self.tip)
        return with_knots(grid, self.data.inputs, lines, places) if places else grid

    def error(self, grid: Grid, levels: Array) -> float:
        """The sup error on the held-out points."""
        return float(np.abs(grid.hats(self.data.held_inputs) @ levels - self.data.held_values).max())

    def model(self, grid: Grid, levels: Array, count: int) -> Model:
        return Model(grid, levels, count, self.error(grid, levels))

    def lifted(self, model: Model) -> Model:
        """With its levels lifted, if that helps on the held-out points."""
        return min(model, self.model(model.grid, model.grid.lifted(model.levels), model.count), key=lambda m: m.error)

    def solve(self, count: int, *, uniform: bool = False) -> Model:
        """Least squares over `count` generic directions, or the axes, beside the known ones."""
        grid = self.grid(count, self.room, uniform=uniform)
        return self.model(grid, least_squares(grid, self.data.inputs, self.data.values), count)

    def ridge(self, model: Model) -> Ridge:
        """The model as a ridge of at most `width` neurons, or 2r where even a linear function takes that many."""
        room = self.room
        while True:
            ridge = model.grid.ridge(model.levels, self.coordinates)
            excess = ridge.dictionary.width - self.width
            if excess <= 0 or not model.grid.knots:
                return ridge
            # Directions without knots need a second neuron for their share of the linear part.
            room = max(0, min(room, model.grid.knots) - excess)
            model = self.model(*prune(model.grid, self.data.inputs, self.data.values, room), model.count)

    def ladder(self) -> list[int]:
        """Numbers of generic directions worth trying: they must span, and leave two knots each."""
        known = len(self.target.directions)
        rank = self.coordinates.rank
        return [c for c in DIRECTION_COUNTS if c == 0 or (c + known >= rank and 2 * (c + known) <= self.width - rank)]

    def finer(self, count: int) -> int:
        """The next number of directions, which pruning thrives on; axes stay axes."""
        return min((c for c in self.ladder() if c > count > 0), default=count)

    def climb(self, start: int | None) -> Model:
        """Along the ladder of direction counts until both neighbours are worse, from `start`, or axes, and rules of thumb."""
        ladder = self.ladder()
        # About m^{1/3} directions suit smooth functions in two dimensions, m^{1/2} rough ones and those of three or more variables.
        guesses = [self.width ** (1 / 2), *([0.0, self.width ** (1 / 3)] if start is None else [float(start)])]
        found: dict[int, Model] = {}

        def visit(step: int) -> None:
            if 0 <= step < len(ladder) and step not in found:
                found[step] = self.solve(ladder[step])

        for guess in guesses:
            visit(int(np.argmin([abs(np.log((count + 1) / (guess + 1))) for count in ladder])))
        while True:
            here = min(found, key=lambda step: found[step].error)
            visit(here + 1)
            visit(here - 1)
            if here == min(found, key=lambda step: found[step].error):
                break
        return self.lifted(min(found[here], self.solve(ladder[here], uniform=True), key=lambda model: model.error))

    def towards(self, peaks: Array) -> Search:
        """With samples in shrinking clouds around points (·, n), to be fitted and held out."""
        assert self.target.evaluate is not None
        rank, rng = self.coordinates.rank, np.random.default_rng(len(self.data.inputs))
        widest = 2 * CLOSE * len(self.data.held_inputs) ** (-1 / rank)
        parts = []
        for _ in range(2):
            radii = widest * 2.0 ** -rng.uniform(0, CLOSEST, (len(peaks), CLOUD, 1))
            moves = radii * rng.uniform(-1, 1, (len(peaks), CLOUD, rank)) * self.coordinates.scale
            points = np.concatenate([peaks, (peaks[:, None] + moves @ self.coordinates.basis.T).reshape(-1, peaks.shape[1])])
            values = self.target.evaluate(points)
            known = np.isfinite(values).all(1)
            parts += [points[known], values[known]]
        data = self.data
        old = data.inputs, data.values, data.held_inputs, data.held_values
        return replace(self, data=Data(*(np.concatenate(both) for both in zip(old, parts, strict=True))))

    def refitted(self, grid: Grid, count: int) -> Model:
        """Least squares with these knots."""
        return self.lifted(self.model(grid, least_squares(grid, self.data.inputs, self.data.values), count))

    def pruned(self, count: int, factor: float) -> Model:
        """From `factor` times as many knots as there is room for, those that can be spared are taken out."""
        wide = self.grid(count, int(factor * self.room))
        return self.model(*prune(wide, self.data.inputs, self.data.values, self.room), count)

    def sharpen(self, quick: Model) -> Model:
        """The best of `quick` and fits pruned from too wide ones, with as many and with more directions; then reweighted."""
        factors = [f for f in FACTORS if f * self.width <= AFFORDABLE] or [FACTORS[-1]]
        tried = [quick]
        # Where a step takes seconds: one, to more directions, and one finalist.
        slow = self.width > AFFORDABLE // 2
        counts = [0] if quick.count == 0 else [c for c in DIRECTION_COUNTS if c >= quick.count]
        if slow:
            counts = [self.finer(quick.count)]
        since = 0
        for count in counts:
            least = min(model.error for model in tried)
            tried += [self.pruned(count, factor) for factor in factors]
            since = 0 if min(model.error for model in tried) < least else since + 1
            if since == PATIENCE:
                break
        finalists = 1 if slow else FINALISTS
        return min(map(self.reweighted, sorted(tried, key=lambda model: model.error)[:finalists]), key=lambda model: model.error)

    def reweighted(self, model: Model) -> Model:
        """Towards the sup norm, if that helps on the held-out points; of knots that have moved to where least squares wants them."""
        if self.free:
            moved = self.model(*freed(model.grid, model.levels, self.data.inputs, self.data.values), model.count)
            model = min(model, moved, key=lambda m: m.error)
        levels = lawson.towards_sup(model.grid, model.levels, self.data.inputs, self.data.values, lambda c: self.error(model.grid, c))
        return self.lifted(self.model(model.grid, levels, model.count))
