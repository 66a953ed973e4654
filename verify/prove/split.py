"""The search for a site whose function is a sum: one problem for every part, and what their bounds add up to (`parts`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from ...atlas import Array, Atlas, Box, ChartTarget, ManifoldTask, Tiling
from ...intervals import Interval
from .cells import Cells
from .checkpoint import Checkpoint
from .evaluation import evaluations
from .forward import EnclosedNetwork
from .goal import Goal
from .manifold import EnclosedManifold
from .parts import Component, Part, form_range
from .problem import Attempt, Problem, Solution, base_size, look_for_errors
from .rounding import GENEROUS
from .spread import spread

SLACK = 2.0**-40
"""Part by which ranges of values are widened, so that other enclosures can confirm them."""
TIMES = 64
"""Where the network is exact only rounding is left of a bound, and that of other enclosures may be so many times as much."""
PROBES = 4096
"""Points from which the constant of a part is chosen."""


@dataclass(frozen=True, eq=False)
class PartProof:
    """A part and the boxes on which its neurons follow its terms."""

    part: Part
    matrix: Array
    """(forms, variables): what each of its variables is."""
    slope: Array
    """The linear function of its variables that its neurons were given…"""
    offset: float
    """…and the constant."""
    solution: Solution
    bound: float
    """Of the part: what its boxes have; `TIMES` as much as far as that is good enough whatever was found."""
    lower: float
    """Its function is at least this…"""
    upper: float
    """…and at most this."""
    spread: float
    """How much it changes where what it reads is off."""


class SplitAttempt:
    """A problem on a box that is solved part by part."""

    def __init__(
        self, problem: Problem, parts: Sequence[Part], whole: Sequence[Component], moves: Array, *, goal: Goal, seed: int, saved: Checkpoint
    ) -> None:
        """`problem` is the whole on one box, and `whole` what its network computes; `goal` is that of each of its components."""
        task = problem.task
        (chart,) = task.atlas.parametrising
        self.problem, self.whole, self.moves = problem, whole, moves
        self.names, self.box = task.atlas.coordinates, chart.domain
        self.manifold = EnclosedManifold(task.atlas)
        size = base_size(self.manifold)
        self.enclosed = EnclosedNetwork(problem.network, task.atlas.embedding, size)
        ways = evaluations(problem.network) if problem.ways is None else problem.ways
        self.roundings = Cells(problem.network, self.manifold, size, problem.computed, problem.chosen, ways).whole()
        self.goal = Goal(goal.epsilon, None, goal.floor)
        look_for_errors(self.goal, problem, seed)
        self.parts = list(parts)
        tasks = [_task(part, self._box(part)) for part in self.parts]
        self.affine = self._affine(tasks)
        tightness, floor = goal.tightness, goal.floor / len(self.parts)
        self.attempts = [
            Attempt(Problem(f"{problem.name}/{n}", part.network(*given), task, valid=False), Goal(np.inf, tightness, floor), seed, saved)
            for n, (part, task, given) in enumerate(zip(self.parts, tasks, self.affine, strict=True))
        ]
        self.searches = [search for attempt in self.attempts for search in attempt.searches]

    def _box(self, part: Part) -> Box:
        lower, upper = (dict(zip(self.names, ends, strict=True)) for ends in (self.box.lower, self.box.upper))
        return Box(*zip(*(form_range(form, lower, upper) for form in part.forms.values()), strict=True))

    def _affine(self, tasks: Sequence[ManifoldTask]) -> list[tuple[Array, float]]:
        """Slope and constant for every part: the network's slope in variables that no other part of the component has, least squares in
        others, and as much error above as below. The last of a component that has a variable, or is the last, has what is left.
        """
        given = []
        left = [list(component.slope) for component in self.whole]
        constants = [component.constant for component in self.whole]
        for n, (part, task) in enumerate(zip(self.parts, tasks, strict=True)):
            later = [other for other in self.parts[n + 1 :] if other.component == part.component]
            firsts = [next(iter(form)) for form in part.forms.values()]
            shared = np.array([any(name in form for other in later for form in other.forms.values()) for name in firsts])
            points = task.atlas.sample(PROBES, 0, low_discrepancy=True)
            error = (task.evaluate(points) - part.network(np.zeros(len(firsts)), 0.0)(points.base))[:, 0]
            columns = [self.names.index(name) for name in firsts]
            slope = np.array([float(left[part.component][k]) for k in columns])
            if shared.any():
                error -= points.base @ np.where(shared, 0.0, slope)
                centred = points.base[:, shared] - points.base[:, shared].mean(0)
                slope[shared] = np.nan_to_num(np.linalg.lstsq(centred, error - error.mean(), rcond=None)[0])
                error -= points.base[:, shared] @ slope[shared]
            else:
                error -= points.base @ slope
            middle = float(error.max() + error.min()) / 2
            offset = float(constants[part.component]) if not later or not np.isfinite(middle) else middle
            for form, s in zip(part.forms.values(), slope.tolist(), strict=True):
                for name, c in form.items():
                    left[part.component][self.names.index(name)] -= Fraction(s) * c
            constants[part.component] -= Fraction(offset)
            given.append((slope, offset))
        self.left, self.constants = left, constants
        return given

    def gap(self, component: int) -> float:
        """What the parts' affine functions miss of the network's, at most, for one component."""
        sizes = [max(abs(Fraction(low)), abs(Fraction(high))) for low, high in zip(self.box.lower, self.box.upper, strict=True)]
        missed = abs(self.constants[component]) + sum(abs(s) * size for s, size in zip(self.left[component], sizes, strict=True))
        return float(missed) * GENEROUS

    def matrix(self, part: Part) -> Array:
        """(forms, variables)."""
        return np.array([[float(form.get(name, 0)) for name in self.names] for form in part.forms.values()])

    def proofs(self) -> list[PartProof]:
        """What came of every part."""
        found = []
        for part, (slope, offset), attempt in zip(self.parts, self.affine, self.attempts, strict=True):
            solution, matrix, goal = attempt.solution(), self.matrix(part), attempt.goal
            low, high = float(solution.values.lower[0]), float(solution.values.upper[0])
            slack = SLACK * max(abs(low), abs(high))
            moved = spread(solution.problem.task, np.abs(matrix) @ self.moves * GENEROUS, None)
            bound = max(solution.bound, min(TIMES * solution.bound, goal.floor))
            found.append(PartProof(part, matrix, slope, offset, solution, bound, low - slack, high + slack, float(moved[0])))
        return found

    def together(self, proofs: Sequence[PartProof]) -> Solution:
        """What the parts amount to."""
        count = self.problem.task.outputs
        totals = np.zeros((4, count))
        for component in range(count):
            mine = [proof for proof in proofs if proof.part.component == component]
            bound = sum(proof.bound for proof in mine) + self.gap(component)
            ends = [added([proof.lower for proof in mine], -np.inf), added([proof.upper for proof in mine], np.inf)]
            totals[:, component] = bound * GENEROUS, *ends, sum(proof.spread for proof in mine) * GENEROUS
        return Solution(
            problem=self.problem,
            manifold=self.manifold,
            enclosed=self.enclosed,
            goal=self.goal,
            roundings=self.roundings,
            trees={f"{n}: {proof.part.label}": tree for n, proof in enumerate(proofs) for tree in proof.solution.trees.values()},
            values=Interval(totals[1], totals[2]),
            sums=totals[0],
        )


def _task(part: Part, box: Box) -> ManifoldTask:
    """The part's function on a box of its own variables."""
    tiling = Tiling.whole(box, tuple(part.forms))
    return ManifoldTask(part.label, Atlas(tiling.coordinates, tiling.parametrising), ChartTarget((part.function,)))


def added(numbers: Sequence[float], towards: float) -> float:
    """Their sum, rounded in one direction."""
    if not np.isfinite(numbers).all():
        return towards
    exact = sum(map(Fraction, numbers), Fraction(0))
    near = float(exact)
    within = Fraction(near) <= exact if towards < 0 else Fraction(near) >= exact
    return near if within else float(np.nextafter(near, towards))
