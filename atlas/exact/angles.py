"""Sines and cosines by the theorems of addition, and angles from sine and cosine."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import product
from typing import TypeVar

import mpmath
import sympy
from sympy.polys.domains import QQ

from ...expressions.box import Array
from .field import DIGITS, Quotient, Unsettled
from .roots import Roots

CLOSE = 1e-25
"""Numbers known to 40 digits that agree to this are tried as equal; the ring then decides."""
FINEST = 720
"""Angles are looked for among multiples of π by fractions with denominators up to this."""
T = TypeVar("T")


class FinerError(Exception):
    """An angle turned up that is a fraction of one that was taken for indivisible; all has to be computed again with it."""

    def __init__(self, angle: sympy.Expr) -> None:
        super().__init__()
        self.angle = angle


def with_finer_angles(compute: Callable[[Sequence[sympy.Expr]], T]) -> T:
    """The result of a computation that takes the angles to begin with; begun again while fractions of them turn up."""
    angles: list[sympy.Expr] = []
    for _ in range(6):
        try:
            return compute(angles)
        except FinerError as finer:
            angles.insert(0, finer.angle)
    raise Unsettled("angles in too many fractions")


class Angles(Roots):
    """A field with trigonometric functions and their inverses."""

    def __init__(self, variables: Sequence[sympy.Symbol], point: Array) -> None:
        super().__init__(variables, point)
        self.any_turn = False
        """Whether angles need not be those of atan2: for whoever wants a formula, and tests by itself what it is good for."""
        self._angles: list[tuple[Quotient, Quotient, Quotient]] = []
        """Indivisible arguments of trigonometric functions, with their cosines and sines."""
        self._turned: dict[int, tuple[Quotient, Quotient]] = {}
        """Generators that are angles in (−π, π], of which only cosine and sine are known."""
        self._constants: dict[Fraction, tuple[Quotient, Quotient]] = {}

    def angle(self, y: Quotient, x: Quotient) -> Quotient:
        """atan2(y, x): an angle among those that are known and their sums, turned by a rational multiple of π; or a new generator."""
        with mpmath.workdps(DIGITS):
            at = mpmath.atan2(self.value(y), self.value(x))
        for theta in self._candidates(at):
            c, s = self.turn(theta)
            if not self.minus(self.times(y, c), self.times(x, s)).top:
                if not self.any_turn:
                    self.require(self.plus(self.times(x, c), self.times(y, s)))
                    self.require(self.plus(theta, self.pi), strict=True)
                    self.require(self.minus(self.pi, theta))
                return theta
        radius = self.root(self.plus(self.power(x, 2), self.power(y, 2)))
        k = self.new(sympy.atan2(self.expression(y), self.expression(x)), at)
        self._turned[k] = self.over(x, radius), self.over(y, radius)
        return self.generator(k)

    def _candidates(self, at: mpmath.mpf) -> list[Quotient]:
        """Angles that have this value at the point."""
        found = []
        bases = [angle for angle, _, _ in self._angles][:3]
        with mpmath.workdps(DIGITS):
            for factors in sorted(product(range(-2, 3), repeat=len(bases)), key=lambda f: sum(map(abs, f))):
                sum_ = self.constant(0)
                for n, base in zip(factors, bases, strict=True):
                    sum_ = self.plus(sum_, self.times(base, n))
                turns = (at - self.value(sum_)) / mpmath.pi
                near = Fraction(mpmath.nstr(turns, 20)).limit_denominator(FINEST)
                if abs(turns - mpmath.mpf(near.numerator) / near.denominator) < CLOSE:
                    found.append(self.plus(sum_, self.times(self.pi, near)))
        return found[:4]

    def turn(self, a: Quotient) -> tuple[Quotient, Quotient]:
        """cos a and sin a."""
        rest, turns = self._without_pi(a)
        if not rest.top:
            return self._constant_turn(turns)
        for k in range(len(self.meaning)):
            if k in self._turned and (n := self._coefficient(rest, k)):
                part = self._multiple(*self._turned[k], n) if n.denominator == 1 else self._halves(k, n)
                return self._added(part, self.turn(self.minus(a, self.times(self.generator(k), n))))
        if len(rest.top) > 1 and rest.bottom.is_ground:
            part = self.first_term(rest)
            return self._added(self.turn(part), self.turn(self.minus(a, part)))
        for base, c, s in self._angles:
            inner, offset = self._without_pi(base)
            ratio = self.rational(self.over(rest, inner))
            if ratio is None:
                continue
            if ratio.denominator != 1:
                raise FinerError(self.expression(self.times(base, Fraction(1, ratio.denominator))))
            return self._added(self._multiple(c, s, ratio), self._constant_turn(turns - ratio * offset))
        with mpmath.workdps(DIGITS):
            self._angles.append((a, *self._pair(self.expression(a), self.value(a))))
        return self._angles[-1][1:]

    def _pair(self, angle: sympy.Expr, value: mpmath.mpf) -> tuple[Quotient, Quotient]:
        """Generators for the cosine and the sine of an angle."""
        c = self.new(sympy.cos(angle), mpmath.cos(value))
        s = self.new(sympy.sin(angle), mpmath.sin(value), self.ring.one - self.ring.gens[c] ** 2)
        return self.generator(c), self.generator(s)

    def _without_pi(self, a: Quotient) -> tuple[Quotient, Fraction]:
        """The angle without its rational multiple of π, and that."""
        if not a.bottom.is_ground:
            return a, Fraction(0)
        n = self._coefficient(a, len(self.variables))
        return self.minus(a, self.times(self.pi, n)), n

    def _coefficient(self, a: Quotient, k: int) -> Fraction:
        """Of generator k by itself."""
        if not a.bottom.is_ground:
            return Fraction(0)
        found = a.top.get(self.ring.gens[k].leading_expv(), QQ(0)) / a.bottom.LC
        return Fraction(int(found.numerator), int(found.denominator))

    def _added(self, a: tuple[Quotient, Quotient], b: tuple[Quotient, Quotient]) -> tuple[Quotient, Quotient]:
        """Cosine and sine of a sum."""
        return (
            self.minus(self.times(a[0], b[0]), self.times(a[1], b[1])),
            self.plus(self.times(a[1], b[0]), self.times(a[0], b[1])),
        )

    def _multiple(self, c: Quotient, s: Quotient, n: Fraction | int) -> tuple[Quotient, Quotient]:
        if not -16 <= n <= 16:
            raise Unsettled("a large multiple of an angle")
        found = self.constant(1), self.constant(0)
        for _ in range(abs(int(n))):
            found = self._added(found, (c, s))
        return found if n >= 0 else (found[0], self.times(found[1], -1))

    def _halves(self, k: int, n: Fraction) -> tuple[Quotient, Quotient]:
        """Of n times an angle in (−π, π], n an odd multiple of 1/2: its half has a cosine ≥ 0."""
        if n.denominator != 2:
            raise Unsettled("a small fraction of an angle")
        c, s = self._turned[k]
        half = self.root(self.times(self.plus(self.constant(1), c), Fraction(1, 2)))
        self.require(half, strict=True)
        return self._multiple(half, self.over(s, self.times(half, 2)), n * 2)

    def _constant_turn(self, turns: Fraction) -> tuple[Quotient, Quotient]:
        """cos and sin of turns·π."""
        turns %= 2
        if turns > 1:
            c, s = self._constant_turn(2 - turns)
            return c, self.times(s, -1)
        if turns > Fraction(1, 2):
            c, s = self._constant_turn(1 - turns)
            return self.times(c, -1), s
        if turns > Fraction(1, 4):
            c, s = self._constant_turn(Fraction(1, 2) - turns)
            return s, c
        if turns == 0:
            return self.constant(1), self.constant(0)
        if turns not in self._constants:
            angle = sympy.Rational(turns.numerator, turns.denominator) * sympy.pi
            pair = sympy.cos(angle), sympy.sin(angle)
            if any(part.has(sympy.cos, sympy.sin) for part in pair):
                with mpmath.workdps(DIGITS):
                    self._constants[turns] = self._pair(angle, mpmath.pi * turns.numerator / turns.denominator)
            else:
                self._constants[turns] = self._number(pair[0]), self._number(pair[1])
        return self._constants[turns]

    def _number(self, e: sympy.Expr) -> Quotient:
        """A number made of rationals and square roots."""
        if e.is_Rational:
            return self.constant(Fraction(int(e.p), int(e.q)))
        parts = [self._number(part) for part in e.args]
        if isinstance(e, sympy.Pow):
            root = self.root(parts[0])
            return self.power(root, int(2 * e.exp))
        total = parts[0]
        for part in parts[1:]:
            total = self.plus(total, part) if isinstance(e, sympy.Add) else self.times(total, part)
        return total
