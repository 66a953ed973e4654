"""The search for the best lattice of a width: how many directions, how far apart the knots, how far beyond the data.

Each shape tried is one factorisation. Small ones are cheap, so more of them are tried: first numbers of directions, then steps and
reaches for the best of those.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np

from ...atlas import Array
from ...moe.activations import Activation
from ..relu.dictionary import Coordinates
from ..relu.samples import Data
from .bending import LEAST_RANK, bending
from .forms import Form, Lattice, form, neurons, unknowns
from .kinks import Bent, Kinks, find_kinks
from .lattice import Shape, lines
from .least_squares import STRENGTH, STRENGTHS, Cost, Solved, solve
from .pruning import prune

STEPS = (0.5, 0.75, 1.0, 1.25)
REACHES = (0.0, 0.15, 0.3)
FIRST = Shape(0, 1.0, 0.15)
"""Where steps and reaches start."""
SHARES = (0.5, 0.7, 0.85, 1.0, 1.15, 1.3, 1.5)
"""Numbers of directions tried, in units of count^{(r−1)/r}."""
FEWER_SHARES, ONE_SHARE = (0.7, 0.9, 1.2), (0.85,)
CHEAP, DEAR, DEAREST = 200, 500, 1200
"""Unknowns up to which everything is tried, and from which little and almost nothing is."""
SAMPLES_PER_UNKNOWN, FEWER = 4, 2
"""Points fitted to, per unknown; the second while a large search goes on."""
LEAST_SAMPLES = 512
JUDGED = 1536
"""Held-out points that shapes are compared on, at least; the finalists are compared on all."""
FINALISTS = 2
FEW, MANY, MOST, SCANNED = {1: 8, 2: 32, 3: 64}, {1: 24, 2: 128, 3: 192}, 512, 2048
"""Smooth neurons, by dimension, beside which kinks are found, and made exact (MANY, or as many as the width, up to MOST); points that
show them."""
FACTORS, MORE, AFFORDABLE = (1.5, 2.0), (1.0, 1.4), 800
"""Pruning starts so many times too wide, with so many times the directions, and where a round takes no more than a quarter of a second."""
LIKE = 3
"""Numbers of directions tried that are nearest to a good one."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """A form of a shape (or pruned from wider ones of it) with its coefficients (p, q), the largest held-out error and the objective."""

    shape: Shape
    form: Form
    weights: Array
    error: float
    objective: float


@dataclass(frozen=True, eq=False)
class Search:
    """Data and coordinates of a target, at one width."""

    known: Array
    """Directions (K, n) that the target is known to vary along."""
    data: Data
    """Of one target, or of several side by side."""
    coordinates: Coordinates
    width: int
    outputs: int
    """q, of each target."""
    activation: Activation
    gated: bool
    cost: Cost
    kinks: Kinks | None = None
    tried: dict[Shape, Attempt] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Neurons of the lattice."""
        bent = 0 if self.kinks is None else len(self.kinks)
        return neurons(self.width - bent, self.coordinates.rank, self.outputs, self.activation, self.gated)

    @property
    def neurons(self) -> int:
        """With those of the linear part, for plain ones."""
        return self.count if self.gated or not self.activation.reflects else self.count + self.coordinates.rank

    @property
    def unknowns(self) -> int:
        return unknowns(self.count, self.coordinates.rank, self.gated)

    def lattice(self, shape: Shape) -> Lattice:
        along = lines(self.known, self.coordinates, shape.count)
        return form(self.coordinates(self.data.inputs), self.coordinates, along, self.count, shape, self.activation, self.gated)

    def form(self, shape: Shape) -> Form:
        return self.with_kinks(self.lattice(shape))

    def with_kinks(self, smooth: Lattice) -> Form:
        return smooth if self.kinks is None else Bent(smooth, self.kinks, self.coordinates)

    def bends(self, inputs: Array) -> Array:
        """The columns of the kinks."""
        return np.zeros((len(inputs), 0)) if self.kinks is None else self.kinks.features(self.coordinates(inputs))

    def find_kinks(self) -> Kinks | None:
        """The straight kinks of the data; None if there are none."""
        rank = self.coordinates.rank
        few, many = FEW[min(rank, 3)], max(MANY[min(rank, 3)], min(self.width, MOST))
        plain = [replace(self, width=width, gated=False, kinks=None, tried={}) for width in (few, many)]
        forms = [search.form(Shape(round(search.guess) if rank > 1 else 0, FIRST.step, FIRST.reach)) for search in plain]
        seen = max(SCANNED, SAMPLES_PER_UNKNOWN * many)
        return find_kinks(forms[0], forms[1], self.coordinates, self.data.inputs[:seen], self.data.values[:seen])

    def solved(self, made: Form, samples: int, judged: int, strengths: tuple[float, ...] = STRENGTHS) -> Solved:
        """The form fitted to the first `samples` points, and judged by the first `judged` held-out ones; `strengths`: μ tried."""
        inputs, held = self.data.inputs[:samples], self.data.held_inputs[:judged]
        values, held_values = self.data.values[:samples], self.data.held_values[:judged]
        bends = None
        if self.cost.budget is not None and self.coordinates.rank >= LEAST_RANK and self.activation.smooth and isinstance(made, Lattice):
            bends = bending(made, inputs)
        return solve(made.columns(inputs), values, made.columns(held), held_values, self.cost, bends, strengths)

    def attempt(self, shape: Shape, made: Form, samples: int, judged: int, strengths: tuple[float, ...] = STRENGTHS) -> Attempt:
        solved = self.solved(made, samples, judged, strengths)
        return Attempt(shape, made, solved.weights, float(solved.errors.max()), float(solved.objectives.max()))

    @property
    def enough(self) -> int:
        """Samples that the width deserves."""
        return max(SAMPLES_PER_UNKNOWN * self.unknowns, LEAST_SAMPLES)

    def full(self, shape: Shape) -> Attempt:
        """With all points that the width deserves, judged by all held-out ones."""
        return self.attempt(shape, self.form(shape), self.enough, len(self.data.held_inputs))

    def pruned(self, shape: Shape, factor: float, more: float) -> Attempt:
        """From a lattice `factor` times as wide with `more` times the directions."""
        wide = replace(self, width=int(factor * self.width), tried={})
        inputs, values = self.data.inputs[: wide.enough], self.data.values[: wide.enough]
        made = wide.lattice(replace(shape, count=round(more * shape.count)))
        made = prune(made, inputs, values, self.neurons, self.bends(inputs))
        return self.attempt(shape, self.with_kinks(made), self.enough, len(self.data.held_inputs))

    def sharpened(self, quick: Attempt) -> Attempt:
        """The best of `quick` and of those pruned from wider lattices, with as many and with more directions."""
        tried = [quick]
        for more in MORE if quick.shape.count else (1.0,):
            tried += [self.pruned(quick.shape, factor, more) for factor in FACTORS if factor * self.unknowns <= AFFORDABLE]
        return min(tried, key=lambda attempt: attempt.objective)

    def quick(self, shapes: Iterable[Shape]) -> None:
        """Tries the shapes that were not tried before."""
        per = FEWER if self.unknowns > DEAR else SAMPLES_PER_UNKNOWN
        for shape in shapes:
            if shape not in self.tried:
                samples = max(per * self.unknowns, LEAST_SAMPLES)
                self.tried[shape] = self.attempt(shape, self.form(shape), samples, max(JUDGED, 2 * self.unknowns), STRENGTH)

    def best(self, count: int) -> list[Shape]:
        """The best shapes tried so far."""
        return sorted(self.tried, key=lambda shape: self.tried[shape].objective)[:count]

    @property
    def guess(self) -> float:
        """count^{(r−1)/r}: as many directions as make knots and directions equally dense."""
        return float(self.count ** ((self.coordinates.rank - 1) / self.coordinates.rank))

    def counts(self) -> list[int]:
        """Numbers of directions worth trying: the axes, and about as many quasi-uniform ones as the guess."""
        rank = self.coordinates.rank
        if rank == 1:
            return [0]
        # What varies across the gates' directions the products carry; plain neurons need directions that span.
        least = 1 if self.gated else rank
        shares = SHARES if self.unknowns <= DEAR else FEWER_SHARES if self.unknowns <= DEAREST else ONE_SHARE
        return sorted({0} | {n for n in (round(share * self.guess) for share in shares) if least <= n <= self.count})

    def around(self, shape: Shape) -> list[Shape]:
        """The shapes with other steps and reaches."""
        steps = (1.0,) if self.activation.homogeneous else STEPS
        return [Shape(shape.count, step, reach) for step in steps for reach in REACHES]

    def run(self, start: int | None = None) -> list[Attempt]:
        """The finalists, best first. `start`: the number of directions, where it is known."""
        counts = self.counts() if start is None else [start]
        self.quick(Shape(count, FIRST.step, FIRST.reach) for count in counts)
        if self.unknowns <= CHEAP:
            for shape in self.best(2):
                self.quick(self.around(shape))
        elif self.unknowns <= DEAREST:
            self.descend(1 if self.unknowns > DEAR else 2)
        finalists = FINALISTS if self.unknowns <= DEAR else 1
        return sorted((self.full(shape) for shape in self.best(finalists)), key=lambda attempt: attempt.objective)

    def like(self, shape: Shape, guess: float) -> list[Attempt]:
        """The best of the shapes with the step and reach of one that was good where the guess was another."""
        generic = [n for n in self.counts() if n]
        wanted = shape.count * self.guess / guess
        counts = sorted(generic, key=lambda n: abs(np.log(n / wanted)))[:LIKE] if shape.count else []
        self.quick(Shape(count, shape.step, shape.reach) for count in counts or [0])
        return [self.full(shape) for shape in self.best(1)]

    def descend(self, rounds: int) -> None:
        """Steps and reaches one after the other, from the best shape."""
        for _ in range(rounds):
            best = self.best(1)[0]
            self.quick(shape for shape in self.around(best) if shape.reach == best.reach)
            best = self.best(1)[0]
            self.quick(shape for shape in self.around(best) if shape.step == best.step)
