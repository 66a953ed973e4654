"""Real functions of a few variables near a point, as quotients of polynomials in generators of which some squares are known."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

import mpmath
import sympy
from sympy.polys.domains import QQ
from sympy.polys.orderings import lex
from sympy.polys.rings import PolyElement, PolyRing

from ...expressions.box import Array

DIGITS = 40
GENERATORS, TERMS = 32, 1200
"""Beyond so many of either nothing is decided."""


class Unsettled(Exception):
    """The arithmetic does not reach so far."""


class Quotient(NamedTuple):
    """top/bottom."""

    top: PolyElement
    bottom: PolyElement


class Condition(NamedTuple):
    """expression ≥ 0, or > 0 if strict."""

    expression: sympy.Expr
    strict: bool


class Field:
    """Sums, products and quotients; the branches that were taken at the point, and what they need elsewhere."""

    def __init__(self, variables: Sequence[sympy.Symbol], point: Array) -> None:
        self.variables = tuple(variables)
        self.ring = PolyRing([f"g{k}" for k in range(GENERATORS)], QQ, lex)
        self.meaning: list[sympy.Expr] = [*self.variables, sympy.pi]
        """Generator ↦ what it stands for: the variables, π, and parts that are no quotients of others."""
        with mpmath.workdps(DIGITS):
            self.values = [*(mpmath.mpf(float(x)) for x in point), +mpmath.pi]
        self.squares: dict[int, PolyElement] = {}
        """Generator ↦ its square, in earlier ones."""
        self.conditions: list[Condition] = []
        self.inputs = {str(v): self.generator(k) for k, v in enumerate(self.variables)}
        self.pi = self.generator(len(self.variables))

    def constant(self, value: Fraction | int) -> Quotient:
        value = Fraction(value)
        return Quotient(self.ring.ground_new(QQ(value.numerator, value.denominator)), self.ring.one)

    def quotient(self, top: PolyElement, bottom: PolyElement) -> Quotient:
        """In lowest terms."""
        top, bottom = self.reduced(top), self.reduced(bottom)
        if not bottom:
            raise Unsettled("a denominator vanishes")
        if not top:
            return Quotient(self.ring.zero, self.ring.one)
        if bottom.is_ground:
            return Quotient(top.quo_ground(bottom.LC), self.ring.one)
        if max(len(top), len(bottom)) > TERMS:
            raise Unsettled("the formulas grow too large")
        used = self._used(top, bottom)
        return Quotient(*(self._wide(part, used) for part in self._narrow(top, used).cancel(self._narrow(bottom, used))))

    def plus(self, a: Quotient, b: Quotient) -> Quotient:
        if a.bottom == b.bottom:
            return self.quotient(a.top + b.top, a.bottom)
        return self.quotient(a.top * b.bottom + b.top * a.bottom, a.bottom * b.bottom)

    def times(self, a: Quotient, b: Quotient | Fraction | int) -> Quotient:
        b = b if isinstance(b, Quotient) else self.constant(b)
        if len(a.top) * len(b.top) > 16 * TERMS:
            raise Unsettled("the formulas grow too large")
        return self.quotient(a.top * b.top, a.bottom * b.bottom)

    def minus(self, a: Quotient, b: Quotient) -> Quotient:
        return self.plus(a, self.times(b, -1))

    def over(self, a: Quotient, b: Quotient) -> Quotient:
        return self.times(a, self.quotient(b.bottom, b.top))

    def power(self, a: Quotient, n: int) -> Quotient:
        if n < 0:
            return self.power(self.quotient(a.bottom, a.top), -n)
        if n > 16:
            raise Unsettled("a large power")
        total = self.constant(1)
        for _ in range(n):
            total = self.times(total, a)
        return total

    def first_term(self, a: Quotient) -> Quotient:
        """One term of a polynomial."""
        exponents, coefficient = a.top.terms()[0]
        return self.quotient(self.ring.from_dict({exponents: coefficient}), a.bottom)

    def value(self, a: Quotient) -> mpmath.mpf:
        """At the point, to about 40 digits."""
        with mpmath.workdps(DIGITS):
            bottom = self._value(a.bottom)
            if bottom == 0:
                raise Unsettled("a denominator vanishes at the point")
            return self._value(a.top) / bottom

    def expression(self, a: Quotient) -> sympy.Expr:
        """As sympy writes it."""
        known = [*self.meaning, *([sympy.Integer(0)] * (GENERATORS - len(self.meaning)))]
        return a.top.as_expr(*known) / a.bottom.as_expr(*known)

    def rational(self, a: Quotient) -> Fraction | None:
        """Its value, if it is a rational constant."""
        if not a.top.is_ground or not a.bottom.is_ground:
            return None
        number = a.top.LC / a.bottom.LC if a.top else QQ(0)
        return Fraction(int(number.numerator), int(number.denominator))

    def affine(self, a: Quotient) -> tuple[Fraction, ...] | None:
        """The slopes in the variables and the constant, if it is affine in them with rational coefficients."""
        if not a.bottom.is_ground or any(sum(m) > 1 or any(m[len(self.variables) :]) for m in a.top):
            return None
        unit = [self.ring.gens[k].leading_expv() for k in range(len(self.variables))] + [self.ring.one.leading_expv()]
        found = [a.top.get(m, QQ(0)) / a.bottom.LC for m in unit]
        return tuple(Fraction(int(c.numerator), int(c.denominator)) for c in found)

    def _value(self, p: PolyElement) -> mpmath.mpf:
        total = mpmath.mpf(0)
        for exponents, coefficient in p.terms():
            part = mpmath.mpf(int(coefficient.numerator)) / int(coefficient.denominator)
            for value, n in zip(self.values, exponents, strict=False):
                part = part * value**n if n else part
            total += part
        return total

    def reduced(self, p: PolyElement) -> PolyElement:
        """With no square of a generator of which it is known."""
        for k in sorted(self.squares, reverse=True):
            if any(m[k] > 1 for m in p):
                p = self.without_squares(p, k, self.squares[k])
        return p

    def without_squares(self, p: PolyElement, k: int, square: PolyElement) -> PolyElement:
        total = self.ring.zero
        for m, coefficient in p.terms():
            term = self.ring.from_dict({(*m[:k], m[k] % 2, *m[k + 1 :]): coefficient})
            total = total + (term * square ** (m[k] // 2) if m[k] > 1 else term)
        return total

    def _used(self, *polynomials: PolyElement) -> tuple[int, ...]:
        """The generators that occur."""
        return tuple(k for k in range(len(self.meaning)) if any(m[k] for p in polynomials for m in p))

    def _narrow(self, p: PolyElement, used: tuple[int, ...]) -> PolyElement:
        """In a ring of these generators alone, where divisors are found faster."""
        ring = PolyRing([f"g{k}" for k in used] or ["g"], QQ, lex)
        return ring.from_dict({tuple(m[k] for k in used) or (0,): coefficient for m, coefficient in p.items()})

    def _wide(self, p: PolyElement, used: tuple[int, ...]) -> PolyElement:
        """Back in the ring of all."""
        return self.ring.from_dict({self._spread(m, used): coefficient for m, coefficient in p.items()})

    @staticmethod
    def _spread(m: tuple[int, ...], used: tuple[int, ...]) -> tuple[int, ...]:
        exponents = [0] * GENERATORS
        for k, n in zip(used, m, strict=False):
            exponents[k] = n
        return tuple(exponents)

    def generator(self, k: int) -> Quotient:
        return Quotient(self.ring.gens[k], self.ring.one)

    def new(self, meaning: sympy.Expr, value: mpmath.mpf, square: PolyElement | None = None) -> int:
        k = len(self.meaning)
        if k >= GENERATORS:
            raise Unsettled("too many parts")
        if not mpmath.isfinite(value) or mpmath.im(value) != 0:
            raise Unsettled("a part is not real at the point")
        self.meaning.append(meaning)
        self.values.append(value)
        if square is not None:
            self.squares[k] = square
        return k

    def require(self, a: Quotient, strict: bool = False) -> None:
        """Note that a ≥ 0 is needed, unless it is a constant for which that is so."""
        known = self.rational(a)
        if known is None:
            self.conditions.append(Condition(self.expression(a), strict))
        elif known < 0 or (strict and known == 0):
            raise Unsettled("a branch that is never taken")

    def size(self, a: Quotient) -> Quotient:
        """|a|, as a or −a."""
        found = a if self.value(a) >= 0 else self.times(a, -1)
        self.require(found)
        return found
