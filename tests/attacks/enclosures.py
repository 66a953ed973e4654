"""Random expressions on random boxes: is there a point where an enclosure says what is not so?

Every enclosure is asked: natural intervals, slopes, jets, Taylor forms, patches, and both kinds of composition. At points of a box, and at
points next to where something switches (found by bisection along a line between two of them), what is claimed of values, first and second
derivatives is compared with arbitrary precision; and that a function is defined, continuous, Lipschitz, C² is compared with points
where it is undefined, jumps, has a kink or a slope without bound. Run as a script: `python enclosures.py [pairs] [seed]`.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import sympy
from arb_trees import Dual, Point, Undecided, Undefined
from atlasmoe.expressions import ExpressionMap
from atlasmoe.expressions.text import text_of
from atlasmoe.expressions.tree import Node
from atlasmoe.intervals import Decoration, Interval, NaturalEnclosure
from atlasmoe.intervals.gradients import GradientEnclosure
from atlasmoe.intervals.patch import Patch, PatchMap, signs
from atlasmoe.verify.enclosure import Enclosed, ExpressionEnclosure
from atlasmoe.verify.enclosure.taylor import middle_half
from flint import arb, ctx
from random_trees import Trees, random_boxes

PRECISION = 512
BOXES, POINTS = 24, 4
"""Of one expression, and of one box."""
NAMES = ("u", "v")
WIDEST = 1e9
"""Boxes, of those on which a switch is looked for."""
NEAR, NEARER = 100, 140
"""Bisections after which the two sides of a switch are compared."""
DEEP, DEEP_PRECISION = 1200, 2600
"""The same where they seem to contradict what is claimed: below all floats."""


@dataclass
class Found:
    """What was compared, and what is wrong."""

    counts: Counter[str] = field(default_factory=Counter)
    misses: list[str] = field(default_factory=list)


@dataclass
class Claims:
    """What the enclosures say of one function on N boxes."""

    tree: Node
    lower: np.ndarray
    upper: np.ndarray
    values: dict[str, Interval]
    """(N,), by the name of the enclosure."""
    first: dict[str, Interval]
    """(N, d)."""
    second: Interval
    enclosed: list[Enclosed]
    patches: list[Patch]

    @staticmethod
    def of(maps: list[ExpressionMap], tree: Node, lower: np.ndarray, upper: np.ndarray, degree: int) -> Claims:
        """Of a map, or a map of another map; forms are of degree 2, and of this degree."""
        d = lower.shape[1]
        sides = [Interval(lower[:, k], upper[:, k]) for k in range(d)]
        composed = ExpressionMap(maps[0].variables, [sympy.Integer(0)], [tree])
        (natural,) = NaturalEnclosure(composed)(sides)
        (slope,), (partials,) = GradientEnclosure(composed)(sides)
        whole, patch = ExpressionEnclosure(composed).over(lower, upper), PatchMap(composed)(Patch.coordinates(lower, upper))
        high = ExpressionEnclosure(composed).over(lower, upper, degree)
        enclosed, patches = [whole, high], [patch]
        values = {
            "natural": natural,
            "slope": slope,
            "bounds": whole.bounds[:, 0],
            "range": whole.forms.range()[:, 0],
            "high bounds": high.bounds[:, 0],
            "high range": high.forms.range()[:, 0],
            "lowered range": high.forms.lowered(3).range()[:, 0],
            "patch": patch.value[:, 0],
        }
        if len(maps) > 1:
            inner, outer = maps
            part = ExpressionEnclosure(inner).over(lower, upper, degree)
            enclosed.append(ExpressionEnclosure(outer).enclosed(part))
            forms = ExpressionEnclosure(outer)(ExpressionEnclosure(inner)(Enclosed.variables(lower, upper).forms))
            patches.append(PatchMap(outer)(PatchMap(inner)(Patch.coordinates(lower, upper))))
            assert forms.bounds is not None
            values |= {"composed": enclosed[2].bounds[:, 0], "forms": forms.bounds[:, 0], "patches": patches[1].value[:, 0]}
        for k, part in enumerate(patches):
            values[f"vertices {k}"] = part.range()[:, 0]
        first = {"slope": _beside(partials), **{f"patch {k}": part.first[..., 0] for k, part in enumerate(patches)}}
        return Claims(tree, lower, upper, values, first, patch.second[..., 0], enclosed, patches)


def _beside(parts: list[Interval]) -> Interval:
    return Interval(np.stack([p.lower for p in parts], axis=1), np.stack([p.upper for p in parts], axis=1))


def _outside(value: arb, x: Interval, index: object) -> bool:
    return bool(value < float(x.lower[index]) or value > float(x.upper[index]))


class Judge:
    """Compares what is claimed of one box with points of it."""

    def __init__(self, claims: Claims, b: int, found: Found) -> None:
        self.claims, self.b, self.found = claims, b, found
        self.d = claims.lower.shape[1]
        self.low, self.high = ([arb(float(x)) for x in ends[b]] for ends in (claims.lower, claims.upper))
        self.middle, self.half = (ends[b] for ends in middle_half(claims.lower, claims.upper))
        self.level = {
            name: int(np.broadcast_to(x.decoration, x.lower.shape)[b]) for name, x in claims.values.items() if "range" not in name
        }

    def miss(self, what: str, shares: list[arb]) -> None:
        at = [str(x.mid().str(30, radius=False)) for x in self.place(shares)]
        box = list(zip(self.claims.lower[self.b].tolist(), self.claims.upper[self.b].tolist(), strict=True))
        self.found.misses.append(f"{what} of {text_of(self.claims.tree)} on {box} at {at}")

    def place(self, shares: list[arb]) -> list[arb]:
        return [low + share * (high - low) for low, high, share in zip(self.low, self.high, shares, strict=True)]

    def evaluate(self, shares: list[arb], direction: list[arb]) -> tuple[Dual | None, list[object]]:
        """The function with its derivatives along a direction, None where it is undefined; and the branches that were taken."""
        names = {name: Dual(x, step, arb(0)) for name, x, step in zip(NAMES, self.place(shares), direction, strict=False)}
        point = Point(names)
        try:
            return point(self.claims.tree), point.branches
        except Undefined:
            return None, [*point.branches, "undefined"]

    def point(self, shares: list[arb]) -> None:
        """All that is claimed, at one point."""
        claims, b, counts = self.claims, self.b, self.found.counts
        unit = [[arb(int(k == j)) for j in range(self.d)] for k in range(self.d)]
        duals = []
        for direction in unit:
            dual, _ = self.evaluate(shares, direction)
            if dual is None:
                self.undefined(shares)
                return
            duals.append(dual)
        value = duals[0].value
        counts["values"] += 1
        for name, x in claims.values.items():
            counts[f"{name} known"] += bool(np.isfinite(x.lower[b]) and np.isfinite(x.upper[b]))
            if _outside(value, x, b):
                self.miss(f"value {name}", shares)
        for k, enclosed in enumerate(claims.enclosed):
            if not self._inside(enclosed, shares, value):
                self.miss(f"form {k}", shares)
        for k, patch in enumerate(claims.patches):
            self._between(k, patch, shares, value)
        for k, dual in enumerate(duals):
            if dual.first is not None and dual.first.is_finite():
                counts["first"] += 1
                for name, x in claims.first.items():
                    counts[f"first {name} known"] += bool(np.isfinite(x.lower[b, k]) and np.isfinite(x.upper[b, k]))
                    if _outside(dual.first, x, (b, k)):
                        self.miss(f"first derivative {name} by {NAMES[k]}", shares)
            if dual.second is not None and dual.second.is_finite():
                counts["second"] += 1
                counts["second known"] += bool(np.isfinite(claims.second.lower[b, k]) and np.isfinite(claims.second.upper[b, k]))
                for j, patch in enumerate(claims.patches):
                    if _outside(dual.second, patch.second[..., 0], (b, k)):
                        self.miss(f"second derivative {j} by {NAMES[k]}", shares)

    def undefined(self, shares: list[arb]) -> None:
        self.found.counts["undefined"] += 1
        for name, x in self.claims.values.items():
            if np.isfinite(x.lower[self.b]) or np.isfinite(x.upper[self.b]) or self.level.get(name, 0) > 0:
                self.miss(f"{name} known where undefined: value", shares)

    def _inside(self, enclosed: Enclosed, shares: list[arb], value: arb) -> bool:
        radius = float(enclosed.forms.radius[self.b, 0])
        if radius == np.inf:
            return True
        t = []
        for x, m, h in zip(self.place(shares), self.middle, self.half, strict=True):
            t.append((x - arb(float(m))) / arb(float(h)) if h > 0 else arb(0))
        total = arb(0)
        for c, exponents in zip(enclosed.forms.coefficients[self.b, :, 0].tolist(), enclosed.forms.monomials, strict=True):
            monomial = arb(c)
            for x, e in zip(t, exponents, strict=True):
                monomial *= x**e
            total += monomial
        return not abs(value - total) > radius

    def _between(self, number: int, patch: Patch, shares: list[arb], value: arb) -> None:
        """The theorem of patches."""
        b = self.b
        down, up = (part[b, :, 0] for part in patch.deviation)
        at_low, at_high = patch.at.lower[b, :, 0], patch.at.upper[b, :, 0]
        if not (np.isfinite(down + up).all() and np.isfinite(at_low).all() and np.isfinite(at_high).all()):
            return
        self.found.counts["between vertices"] += 1
        low = high = arb(0)
        for tau, l, h in zip(signs(self.d), at_low.tolist(), at_high.tolist(), strict=True):
            weight = arb(1)
            for side, share in zip(tau, shares, strict=True):
                weight *= share if side > 0 else 1 - share
            low, high = low + weight * arb(l), high + weight * arb(h)
        for share, lack, more in zip(shares, down.tolist(), up.tolist(), strict=True):
            bend = 4 * share * (1 - share)
            low, high = low - bend * arb(lack), high + bend * arb(more)
        if value < low or value > high:
            self.miss(f"deviation of patch {number}", shares)

    def line(self, start: list[arb], end: list[arb]) -> None:
        """Where something switches on the way: is what is claimed of the whole box so there?"""
        if (self.claims.upper[self.b] - self.claims.lower[self.b]).max() > WIDEST:
            return
        direction = [(b - a) * (high - low) for a, b, low, high in zip(start, end, self.low, self.high, strict=True)]

        def on(s: arb) -> list[arb]:
            return [a + s * (b - a) for a, b in zip(start, end, strict=True)]

        first, last = self.evaluate(start, direction)[1], self.evaluate(end, direction)[1]
        if first == last:
            return
        self.found.counts["switches"] += 1
        left, right, sides = self._switch(on, direction, first, (NEAR, NEARER))
        for s in (left, right):
            self.point(on(s))
        level, reason = self._level(sides)
        if max(self.level.values()) > level:
            # What looks like a jump from here may be steep, as min(u, 1e-200) is next to 0.
            with ctx.workprec(DEEP_PRECISION):
                left, right, sides = self._switch(on, direction, first, (DEEP - NEARER + NEAR, DEEP))
                level, reason = self._level(sides)
        self.found.counts[f"at most {Decoration(level).name}"] += 1
        for name, claimed in self.level.items():
            if claimed > level:
                self.miss(f"{name} claims {Decoration(claimed).name} where there is {reason}:", on(left))

    def _switch(
        self, on: Callable[[arb], list[arb]], direction: list[arb], first: list[object], depths: tuple[int, int]
    ) -> tuple[arb, arb, list[list[Dual | None]]]:
        """Where something first switches on a line, to so many bisections, and what is on both sides."""
        left, right = arb(0), arb(1)
        sides = []
        for step in range(depths[1]):
            middle = (left + right) / 2
            if self.evaluate(on(middle), direction)[1] == first:
                left = middle
            else:
                right = middle
            if step + 1 in depths:
                sides.append([self.evaluate(on(s), direction)[0] for s in (left, right)])
        return left, right, sides

    @staticmethod
    def _level(sides: list[list[Dual | None]]) -> tuple[int, str]:
        """The most that can be true of what lies between two points on either side, nearer and nearer."""
        (a, b), (c, d) = sides
        if any(dual is None for dual in (a, b, c, d)):
            return 0, "a hole"
        for level, reason, order in ((1, "a jump", "value"), (2, "a kink", "first"), (3, "a jump of the second derivative", "second")):
            parts = [getattr(dual, order) for dual in (a, b, c, d)]
            if any(part is None or not part.is_finite() for part in parts):
                # One of the points is on the switch itself: only growth on the other side can be seen.
                for far, near in ((parts[0], parts[2]), (parts[1], parts[3])):
                    if far is not None and near is not None and abs(near) > 64 * abs(far) + 1e-30 and order != "value":
                        return level, "a slope without bound" if order == "first" else "a curvature without bound"
                continue
            far, near = abs(parts[0] - parts[1]), abs(parts[2] - parts[3])
            size = abs(parts[2]) + abs(parts[3])
            if any(abs(parts[k + 2]) > 64 * abs(parts[k]) + 1e-30 for k in (0, 1)) and order != "value":
                return level, "a slope without bound" if order == "first" else "a curvature without bound"
            if near > 1e-9 * size and near > 0.9 * far:
                return level + (order == "first"), reason
        return 4, ""


def fuzz(pairs: int, seed: int, found: Found | None = None) -> dict[str, int]:
    """Counts of what was compared over so many pairs of an expression and a box; `misses` has to be 0."""
    ctx.prec = PRECISION
    rng = np.random.default_rng(seed)
    found = Found() if found is None else found
    counts = found.counts
    while counts["pairs"] < pairs:
        boxes = min(BOXES, pairs - counts["pairs"])
        d = int(rng.integers(1, 3))
        make = Trees(rng, NAMES[:d])
        tree = make(int(rng.integers(1, 5)))
        variables = tuple(sympy.Symbol(name, real=True) for name in NAMES[:d])
        maps = [ExpressionMap(variables, [sympy.Integer(0)], [tree])]
        if rng.random() < 0.25:
            outer = Trees(rng, ("w",))(int(rng.integers(1, 3)))
            w = sympy.Symbol("w", real=True)
            maps.append(ExpressionMap((w,), [sympy.Integer(0)], [outer]))
            tree = maps[1].after(maps[0]).trees[0]
        lower, upper = random_boxes(rng, boxes, d)
        counts["expressions"] += 1
        counts["pairs"] += boxes
        claims = Claims.of(maps, tree, lower, upper, 3 + counts["expressions"] % 2)
        for b in range(boxes):
            judge = Judge(claims, b, found)
            chosen = [[arb(int(n)) / 64 for n in _shares(rng, d)] for _ in range(POINTS)]
            for shares in chosen:
                _trying(counts, judge.point, shares)
            for end in chosen[1:3]:
                _trying(counts, judge.line, chosen[0], end)
    counts["misses"] = len(found.misses)
    return dict(counts)


def _shares(rng: np.random.Generator, d: int) -> np.ndarray:
    return np.where(rng.random(d) < 0.4, rng.choice([0, 64], d), rng.integers(0, 65, d))


def _trying(counts: Counter[str], act: object, *arguments: object) -> None:
    try:
        act(*arguments)  # type: ignore[operator]
    except Undecided:
        counts["undecided"] += 1


def main() -> int:
    pairs, seed = (int(a) for a in (*sys.argv[1:], 10_000, 0)[:2]) if len(sys.argv) < 3 else map(int, sys.argv[1:3])
    found, started = Found(), time.process_time()
    counts = fuzz(pairs, seed, found)
    for name, count in sorted(counts.items()):
        print(f"{name:32s} {count:10,d}")
    print(f"{time.process_time() - started:.1f} CPU s")
    for miss in found.misses[:40]:
        print(miss)
    return int(bool(found.misses))


if __name__ == "__main__":
    sys.exit(main())
