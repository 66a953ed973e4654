"""Expressions as functions near a point."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import mpmath
import sympy

from ...expressions.box import Array
from ...expressions.maps import ExpressionMap
from .angles import Angles
from .field import DIGITS, Quotient, Unsettled


class Functions(Angles):
    """A field with all functions of specifications that it can follow."""

    def __init__(self, variables: Sequence[sympy.Symbol], point: Array, angles: Sequence[sympy.Expr] = ()) -> None:
        super().__init__(variables, point)
        self._exponents: list[tuple[Quotient, Quotient]] = []
        """Arguments of exp, and its values."""
        self._logarithms: dict[int, Quotient] = {}
        """Generators that are logarithms, and of what."""
        for angle in angles:
            self.turn(self.of(angle, self.inputs))

    def exponential(self, a: Quotient) -> Quotient:
        for k, inside in self._logarithms.items():
            if (n := self._coefficient(a, k)) and n.denominator == 1:
                return self.times(self.power(inside, int(n)), self.exponential(self.minus(a, self.times(self.generator(k), n))))
        if not a.top:
            return self.constant(1)
        if len(a.top) > 1 and a.bottom.is_ground:
            part = self.first_term(a)
            return self.times(self.exponential(part), self.exponential(self.minus(a, part)))
        for known, found in self._exponents:
            ratio = self.rational(self.over(a, known))
            if ratio is not None and ratio.denominator == 1:
                return self.power(found, int(ratio))
        with mpmath.workdps(DIGITS):
            k = self.new(sympy.exp(self.expression(a)), mpmath.exp(self.value(a)))
        self._exponents.append((a, self.generator(k)))
        return self.generator(k)

    def logarithm(self, a: Quotient) -> Quotient:
        for known, found in self._exponents:
            for n in (1, -1):
                if not self.minus(a, self.power(found, n)).top:
                    return self.times(known, n)
        for k, inside in self._logarithms.items():
            if not self.minus(a, inside).top:
                return self.generator(k)
        with mpmath.workdps(DIGITS):
            k = self.new(sympy.log(self.expression(a)), mpmath.log(self.value(a)))
        self._logarithms[k] = a
        return self.generator(k)

    def of(self, e: sympy.Expr, into: dict[sympy.Symbol, Quotient]) -> Quotient:
        """The expression with functions in the places of its symbols."""
        if e.is_Symbol:
            return into[e]
        if e.is_Rational or (e.is_Float and e.is_finite):
            exact = sympy.Rational(e)
            return self.constant(Fraction(int(exact.p), int(exact.q)))
        if e is sympy.pi:
            return self.pi
        if e is sympy.E:
            return self.exponential(self.constant(1))
        if isinstance(e, sympy.Piecewise):
            return self._piece(e, into)
        if not e.args:
            raise Unsettled(f"{e} is no number that is followed")
        parts = [self.of(part, into) for part in e.args]
        if isinstance(e, sympy.Add | sympy.Mul):
            combine = self.plus if isinstance(e, sympy.Add) else self.times
            total = parts[0]
            for part in parts[1:]:
                total = combine(total, part)
            return total
        if isinstance(e, sympy.Pow):
            return self._raised(parts[0], parts[1])
        return self._called(type(e).__name__, parts)

    def _raised(self, base: Quotient, exponent: Quotient) -> Quotient:
        n = self.rational(exponent)
        if n is not None and n.denominator <= 2:
            return self.power(base, int(n)) if n.denominator == 1 else self.power(self.root(base), int(2 * n))
        self.require(base, strict=True)
        return self.exponential(self.times(exponent, self.logarithm(base)))

    def _called(self, name: str, parts: Sequence[Quotient]) -> Quotient:
        a, one = parts[0], self.constant(1)
        if name in ("sin", "cos", "tan"):
            c, s = self.turn(a)
            return {"sin": s, "cos": c}[name] if name != "tan" else self.over(s, c)
        if name in ("sinh", "cosh", "tanh"):
            up = self.exponential(a)
            down = self.over(one, up)
            minus, plus = self.times(self.minus(up, down), Fraction(1, 2)), self.times(self.plus(up, down), Fraction(1, 2))
            return {"sinh": minus, "cosh": plus}[name] if name != "tanh" else self.over(minus, plus)
        if name in ("asin", "acos"):
            other = self.root(self.minus(one, self.power(a, 2)))
            return self.angle(a, other) if name == "asin" else self.angle(other, a)
        if name == "atan2":
            return self.angle(a, parts[1])
        if name == "Abs":
            return self.size(a)
        if name in ("Max", "Min"):
            return self._extreme(parts, 1 if name == "Max" else -1)
        if name == "atan":
            return self.angle(a, one)
        if name in ("exp", "log"):
            return self.exponential(a) if name == "exp" else self.logarithm(a)
        raise Unsettled(f"{name} is not followed")

    def _extreme(self, parts: Sequence[Quotient], sign: int) -> Quotient:
        best = max(parts, key=lambda part: sign * self.value(part))
        for part in parts:
            if part is not best:
                self.require(self.times(self.minus(best, part), sign))
        return best

    def _piece(self, e: sympy.Piecewise, into: dict[sympy.Symbol, Quotient]) -> Quotient:
        for value, condition in e.args:
            if self._holds(condition, into):
                return self.of(value, into)
        raise Unsettled("no case of Piecewise holds at the point")

    def _holds(self, condition: sympy.Basic, into: dict[sympy.Symbol, Quotient]) -> bool:
        """Whether the condition holds at the point; that it does, or does not, is required."""
        if condition in (sympy.true, sympy.false):
            return bool(condition)
        if not isinstance(condition, sympy.Gt | sympy.Ge | sympy.Lt | sympy.Le):
            raise Unsettled("a compound condition")
        gap = self.minus(self.of(condition.gts, into), self.of(condition.lts, into))
        strict = isinstance(condition, sympy.Gt | sympy.Lt)
        holds = bool(self.value(gap) > 0 if strict else self.value(gap) >= 0)
        self.require(gap if holds else self.times(gap, -1), strict if holds else not strict)
        return holds


def substituted(functions: Functions, outer: ExpressionMap, inner: Sequence[Quotient]) -> list[Quotient]:
    """outer∘inner."""
    into = dict(zip(outer.variables, inner, strict=True))
    return [functions.of(e, into) for e in outer.expressions]
