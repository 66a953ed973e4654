"""Square roots: √(q²·r) = |q|·√r, with a generator for √r."""

from __future__ import annotations

from fractions import Fraction

import mpmath
import sympy
from sympy.polys.domains import QQ
from sympy.polys.rings import PolyElement

from .field import DIGITS, Field, Quotient, Unsettled

LONGEST = 400
"""Bits of a number whose root is taken."""


class Roots(Field):
    """A field with square roots."""

    def root(self, a: Quotient) -> Quotient:
        """√a."""
        if (number := self.rational(a)) is not None:
            return self._root_of_number(number)
        whole = self.reduced(a.top * a.bottom)
        if not whole:
            return self.constant(0)
        square, rest = min(
            (self._square_part(p) for p in self._rewritten(whole)), key=lambda parts: len(parts[1]) * (not parts[1].is_ground)
        )
        outside = self.size(self.quotient(square, a.bottom))
        if rest.is_ground:
            return self.times(outside, self._root_of_number(Fraction(int(rest.LC.numerator), int(rest.LC.denominator))))
        scale = abs(rest.LC)
        rest = rest.quo_ground(scale)
        outside = self.times(outside, self._root_of_number(Fraction(int(scale.numerator), int(scale.denominator))))
        k = next((k for k, known in self.squares.items() if known == rest and self.meaning[k].is_Pow), None)
        if k is None:
            inside = Quotient(rest, self.ring.one)
            with mpmath.workdps(DIGITS):
                k = self.new(sympy.sqrt(self.expression(inside)), mpmath.sqrt(self.value(inside)), rest)
        return self.times(outside, self.generator(k))

    def _root_of_number(self, number: Fraction) -> Quotient:
        if number < 0:
            raise Unsettled("the root of a negative number")
        whole, divisor = number.numerator * number.denominator, number.denominator
        if whole.bit_length() > LONGEST:
            raise Unsettled("the root of a number of many digits")
        square = Fraction(1)
        with_root = sympy.sqrt(sympy.Integer(whole), evaluate=True)
        factor, root = with_root.as_coeff_Mul()
        square = Fraction(int(factor.p), int(factor.q)) / divisor
        if root == 1:
            return self.constant(square)
        inside = self.ring.ground_new(QQ(int(root**2)))
        k = next((k for k, known in self.squares.items() if known == inside), None)
        if k is None:
            with mpmath.workdps(DIGITS):
                k = self.new(root, mpmath.sqrt(int(root**2)), inside)
        return self.times(self.generator(k), square)

    def _rewritten(self, p: PolyElement) -> list[PolyElement]:
        """The polynomial with some cosines squared written as 1 − sin²."""
        forms = [p]
        for s, square in self.squares.items():
            if self.meaning[s].func is sympy.sin and len(forms) < 8:
                c = next(k for k in range(s) if square == self.ring.one - self.ring.gens[k] ** 2)
                other = self.ring.one - self.ring.gens[s] ** 2
                if any(m[c] > 1 or m[s] for m in p):
                    forms += [self.without_squares(form, c, other) for form in forms]
        return forms

    def _square_part(self, p: PolyElement) -> tuple[PolyElement, PolyElement]:
        """q, r with p = q²·r."""
        used = self._used(p)
        number, factors = self._narrow(p, used).sqf_list()
        factors = [(self._wide(factor, used), n) for factor, n in factors]
        q, r = self.ring.one, self.ring.ground_new(number)
        for factor, n in factors:
            q, r = q * factor ** (n // 2), r * factor if n % 2 else r
        return q, r
