"""UNKNOWN explains itself: why boxes stayed open, from what enclosures say of some of them, and what would help.

The worst open boxes are enclosed again, part by part. Causes are looked for in this order, and named (a), (b), (c) in it: a part of a
chart or of f that is not known to be defined, or is not bounded; experts among which the gate stays undecided, or whose chart is not
proved to hold the box; a bound that would have to come closer to the error than is worth its boxes, or boxes and time that ran out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import sympy

from ...atlas import ChartTarget, ExpressionMap, ExpressionTarget
from ...expressions.conditions import demand_of
from ...expressions.text import text_of
from ...expressions.tree import Node, postorder
from ...intervals import Decoration, Interval, NaturalEnclosure, NotEnclosed
from ...moe.ledger import Claim, Known
from .error import EnclosedTarget
from .manifold import Place
from .problem import Solution
from .sites import ReadOut, SiteProof
from .tree import SMALLEST, UNSETTLED, Indices, Tree

LOOKED = 8
"""Open boxes of a chart that are enclosed again: half the smallest, half the largest."""
NAMED, LONGEST = 3, 120
"""Experts that a cause names, and characters of a part that it shows."""
FAR = 1024
"""Times what rounding may add from which on it is a small part of ε."""
NEAR = 1.05
"""ε below this times the largest error found is too close to it."""


@dataclass(frozen=True)
class Cause:
    """Something that keeps a claim from being proved, and what to do about it."""

    what: str
    remedy: str

    def to_dict(self) -> dict[str, str]:
        return {"what": self.what, "remedy": self.remedy}

    def __str__(self) -> str:
        return f"{self.what}; {self.remedy}"


def diagnosed(
    claims: Sequence[Claim], sites: Mapping[str, SiteProof], read_out: ReadOut | None, epsilon: float | None, alone: bool
) -> dict[str, tuple[Cause, ...]]:
    """Claim ↦ likely causes, of those that are unknown because boxes are open, or because errors add up to too much."""
    unknown = {claim.name for claim in claims if claim.known is Known.UNKNOWN}
    found: dict[str, tuple[Cause, ...]] = {}
    for name, site in sites.items():
        label = "total" if alone else f"{site.kind}[{name}].error"
        if label in unknown and not site.solution.settled:
            found[label] = tuple(_causes(site, epsilon if alone else None))
    if "total" in unknown and not alone:
        if found:
            what = f"it rests on {' and '.join(list(found)[:NAMED])}"
            return {"total": (Cause(what, "what keeps these from being proved follows"),), **found}
        if read_out is not None and epsilon is not None and read_out.bound > epsilon:
            found["total"] = (_added(sites, read_out, epsilon),)
    return found


def _added(sites: Mapping[str, SiteProof], read_out: ReadOut, epsilon: float) -> Cause:
    largest = sorted(sites.values(), key=lambda site: -site.solution.bound)[:NAMED]
    parts = ", ".join(f"{site.name} {site.solution.bound:.3g}" for site in largest)
    what = f"every site is proved, but their errors add up to {read_out.bound:.6g}, above ε = {epsilon:.6g} (largest: {parts})"
    return Cause(what, "compile with a smaller --epsilon, or prove with --tightness nearer 1")


def _causes(site: SiteProof, epsilon: float | None) -> Iterator[Cause]:
    """What keeps the open boxes of a site open, in the order in which causes are tried."""
    seen: list[Cause] = []
    solutions = [proof.solution for proof in site.parts if not proof.solution.settled] or [site.solution]
    with np.errstate(all="ignore"):
        for solution, p, (name, tree) in ((s, *item) for s in solutions for item in enumerate(s.trees.items())):
            if not tree.settled:
                lower, upper = (corner[_worst(tree)] for corner in tree.leaves())
                place = solution.manifold.place(p, lower, upper)
                seen += _undefined(solution, place, name) or _undecided(solution, place, name)
    yield from list({cause.what.split(" on chart ")[0]: cause for cause in reversed(seen)}.values())[::-1][:NAMED]
    yield _short(solutions[0], epsilon)


def _worst(tree: Tree) -> Indices:
    """Some open leaves: the smallest, which were cut most often, and the largest."""
    rows = np.flatnonzero(tree.tags == UNSETTLED)
    lower, upper = tree.leaves()
    order = rows[np.argsort((upper - lower)[rows].prod(1), kind="stable")]
    return np.unique(np.concatenate([order[: LOOKED // 2], order[-LOOKED // 2 :]]))


def _where(place: Place, row: int, name: str) -> str:
    sides = " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(place.lower[row], place.upper[row], strict=True))
    return f'on chart "{name}", {sides}'


def _undefined(solution: Solution, place: Place, name: str) -> list[Cause]:
    """A part of φ⁻¹ or of f that is not known to be defined, or not bounded."""
    problem, chart = solution.problem, solution.manifold.charts[place.chart].chart
    u = Interval(place.lower, place.upper)
    lost = np.flatnonzero(~place.defined)
    if len(lost):
        return [_part(chart.inverse, u, int(lost[0]), f'the inverse of chart "{name}"', _where(place, int(lost[0]), name))]
    truth = EnclosedTarget(problem.task)(place)
    lost = np.flatnonzero(~np.isfinite(truth.radius).all(1))
    if not len(lost):
        return []
    row, target = int(lost[0]), problem.task.target
    match target:
        case ExpressionTarget():
            return [_part(target.function, place.y.range(), row, "f", _where(place, row, name))]
        case ChartTarget():
            return [_part(target.functions[place.chart], u, row, "f", _where(place, row, name))]
    return [Cause(f"the enclosure of the target says nothing {_where(place, row, name)}", "mend it there, or keep the domain away")]


def _part(function: ExpressionMap, box: Interval, row: int, what: str, where: str) -> Cause:
    """The first part of a map, inside out, of which too little is known."""
    sides = [Interval(box.lower[[row], k], box.upper[[row], k]) for k in range(function.inputs)]
    for node in postorder(*function.trees):
        if (lacking := _lacking(function, node, sides)) is None:
            continue
        demand = demand_of(node)
        shown = text_of(node)[:LONGEST]
        if lacking == "bounds" or demand is None:
            return Cause(
                f"{shown} in {what} is not bounded {where}",
                "keep the domain away from where it grows, or write it in a way that stays bounded",
            )
        asked = f"{' and '.join(text_of(a)[:LONGEST] for a in demand[1])} {demand[0].value}"
        return Cause(
            f"{shown} in {what} is not known to be defined {where}: it is not proved that {asked}",
            "keep the domain away from where that fails, or say with Piecewise or Max what holds there",
        )
    return Cause(f"{what} is not known to be bounded {where}", "write it so that every part is bounded there, or split the chart")


def _lacking(function: ExpressionMap, node: Node, sides: Sequence[Interval]) -> str | None:
    """What is lacking of one part: that it is defined, or that it is bounded; None if nothing is, or it is a condition."""
    try:
        alone = ExpressionMap(function.variables, (sympy.Integer(0),), (node,))
        (found,) = NaturalEnclosure(alone)(sides)
    except (NotEnclosed, AttributeError, TypeError):  # conditions have no enclosure of their own
        return None
    if np.any(found.decoration < Decoration.DEFINED):
        return "definition"
    return None if np.isfinite(found.lower).all() and np.isfinite(found.upper).all() else "bounds"


def _undecided(solution: Solution, place: Place, name: str) -> list[Cause]:
    """Experts among which the gate does not decide, or whose chart is not proved to hold the box."""
    problem = solution.problem
    last = solution.enclosed.layers[-1]
    if problem.chosen is not None and problem.chosen[place.chart] is not None:
        return []
    state = solution.enclosed.before_last(place.z, solution.eta)
    row, gate = last.chosen(state, solution.eta)
    names, box = last.layer.names, state.box[row]
    if problem.valid:
        for j in np.unique(gate):
            rows = np.unique(box[gate == j])
            lost = rows[~solution.manifold.inside(place.subset(rows), int(j) // problem.copies)]
            if len(lost):
                where = _where(place, int(lost[0]), name)
                what = f'expert "{names[j]}" may win {where}, but its chart is not proved to hold the box'
                return [Cause(what, "let charts overlap more, or give the router a larger margin (compile, more charts)")]
    count = np.bincount(box, minlength=len(place))
    crowded = int(count.argmax())
    if count[crowded] > problem.copies * (last.layer.top_k + place.dimension):
        among = np.unique(gate[box == crowded])
        listed = ", ".join(f'"{names[j]}"' for j in among[:NAMED]) + (f" and {len(among) - NAMED} more" if len(among) > NAMED else "")
        what = f"the gate does not decide between {listed} {_where(place, crowded, name)}, its logits known to ±{solution.eta:.3g}"
        return [Cause(what, "look for gate outputs with equal logits, or route with a larger margin")]
    return []


def _short(solution: Solution, epsilon: float | None) -> Cause:
    """ε is too close to the error, or there were too few boxes."""
    goal = solution.goal
    if goal.hopeless:
        what = f"ε = {goal.epsilon:.3g} is no more than what evaluation in float64 may add, {goal.slack:.3g}, so no box was looked at"
        return Cause(what, f"ask for a larger --epsilon, {FAR * goal.slack:.1g} or more")
    if epsilon is not None and goal.found > 0 and epsilon < NEAR * goal.found:
        what = f"ε = {epsilon:.6g} is within {epsilon / goal.found - 1:.1%} of the largest error found, {goal.found:.6g}"
        return Cause(what, "ask for a larger --epsilon, or compile with a smaller one")
    trees = solution.trees.values()
    open_ = sum(int((tree.tags == UNSETTLED).sum()) for tree in trees)
    smallest = min(_least_side(tree) for tree in trees if not tree.settled)
    if smallest <= 2 * SMALLEST:
        what = f"boxes were cut until floats end, and {open_:,} stay open"
        return Cause(what, "something there cannot be enclosed better: change the expression or the chart there")
    what = f"boxes or time ran out: {open_:,} of {solution.boxes:,} boxes are open, and a bound of {goal.enough:.3g} would settle one"
    return Cause(what, "give more --boxes or --seconds (what was cut is kept), or a --tightness further from 1")


def _least_side(tree: Tree) -> float:
    """The smallest side of an open leaf, as a part of the root's."""
    lower, upper = tree.leaves()
    rows = tree.tags == UNSETTLED
    return float(((upper - lower)[rows] / (tree.upper - tree.lower)).max(1).min(initial=1.0))


def in_words(found: Mapping[str, Sequence[Cause]]) -> list[str]:
    """Sentences: of every claim its causes, lettered in the order in which they were tried."""
    lines = []
    for name, causes in found.items():
        letter: Callable[[int], str] = lambda n: chr(ord("a") + n)  # noqa: E731
        listed = [f"({letter(n)}) {cause}" for n, cause in enumerate(causes)] if len(causes) > 1 else [str(cause) for cause in causes]
        lines.append(f"{name} is not proved, likely because {'; '.join(listed)}")
    return lines
