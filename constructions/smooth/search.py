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
from .forms import Form, Plain, form, neurons, unknowns
from .kinks import Bent, Kinks, find_kinks
from .lattice import Shape, lines
from .least_squares import Solved, solve
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
FACTORS, MORE, AFFORDABLE = (1.5, 2.0), (1.0, 1.3, 1.7), 1024
"""Pruning starts so many times too wide, with so many times the directions, and where a round takes no more than half a second."""
LIKE = 3
"""Numbers of directions tried that are nearest to a good one."""


@dataclass(frozen=True, eq=False)
class Attempt:
    """A shape with its coefficients (p, q), the largest held-out error and the objective."""

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
    penalty: float
    kinks: Kinks | None = None
    tried: dict[Shape, Attempt] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Neurons of the lattice."""
        bent = 0 if self.kinks is None else len(self.kinks)
        return neurons(self.width - bent, self.coordinates.rank, self.outputs, self.activation, self.gated)

    @property
    def unknowns(self) -> int:
        return unknowns(self.count, self.coordinates.rank, self.gated)

    def form(self, shape: Shape) -> Form:
        along = lines(self.known, self.coordinates, shape.count)
        smooth = form(self.coordinates(self.data.inputs), self.coordinates, along, self.count, shape, self.activation, self.gated)
        return smooth if self.kinks is None else Bent(smooth, self.kinks, self.coordinates)

    def bent(self) -> Search | None:
        """The same with a ReLU on each straight kink of the data; None if there is none."""
        rank = self.coordinates.rank
        few, many = FEW[min(rank, 3)], max(MANY[min(rank, 3)], min(self.width, MOST))
        plain = [replace(self, width=width, gated=False, kinks=None, tried={}) for width in (few, many)]
        forms = [search.form(Shape(round(search.guess) if rank > 1 else 0, FIRST.step, FIRST.reach)) for search in plain]
        seen = max(SCANNED, SAMPLES_PER_UNKNOWN * many)
        kinks = find_kinks(forms[0], forms[1], self.coordinates, self.data.inputs[:seen], self.data.values[:seen])
        if kinks is None or 2 * len(kinks) > self.width:
            return None
        return replace(self, kinks=kinks, tried={})

    def solved(self, made: Form, samples: int, judged: int) -> Solved:
        """The form fitted to the first `samples` points, and judged by the first `judged` held-out ones."""
        inputs, held = self.data.inputs[:samples], self.data.held_inputs[:judged]
        values, held_values = self.data.values[:samples], self.data.held_values[:judged]
        return solve(made.columns(inputs), values, made.columns(held), held_values, self.penalty)

    def attempt(self, shape: Shape, made: Form, samples: int, judged: int) -> Attempt:
        solved = self.solved(made, samples, judged)
        return Attempt(shape, made, solved.weights, float(solved.errors.max()), float(solved.objectives.max()))

    @property
    def enough(self) -> int:
        """Samples that the width deserves."""
        return max(SAMPLES_PER_UNKNOWN * self.unknowns, LEAST_SAMPLES)

    def full(self, shape: Shape) -> Attempt:
        """With all points that the width deserves, judged by all held-out ones."""
        return self.attempt(shape, self.form(shape), self.enough, len(self.data.held_inputs))

    def pruned(self, shape: Shape, factor: float) -> Attempt:
        """From a lattice `factor` times as wide; of plain neurons only."""
        wide = replace(self, width=int(factor * self.width), tried={})
        made = wide.form(shape)
        assert isinstance(made, Plain)
        made = prune(made, self.data.inputs[: wide.enough], self.data.values[: wide.enough], self.width)
        return self.attempt(shape, made, self.enough, len(self.data.held_inputs))

    def sharpened(self, quick: Attempt) -> Attempt:
        """The best of `quick` and of those pruned from wider lattices, with as many and with more directions."""
        tried = [quick]
        for more in MORE if quick.shape.count else (1.0,):
            shape = replace(quick.shape, count=round(more * quick.shape.count))
            tried += [self.pruned(shape, factor) for factor in FACTORS if factor * self.width <= AFFORDABLE]
        return min(tried, key=lambda attempt: attempt.objective)

    def quick(self, shapes: Iterable[Shape]) -> None:
        """Tries the shapes that were not tried before."""
        per = FEWER if self.unknowns > DEAR else SAMPLES_PER_UNKNOWN
        for shape in shapes:
            if shape not in self.tried:
                samples = max(per * self.unknowns, LEAST_SAMPLES)
                self.tried[shape] = self.attempt(shape, self.form(shape), samples, max(JUDGED, 2 * self.unknowns))

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
