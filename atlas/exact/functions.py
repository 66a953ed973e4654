"""Trees of expressions as functions near a point."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from fractions import Fraction

import mpmath
import numpy as np
import sympy

from ...expressions.box import Array
from ...expressions.from_sympy import tree_of
from ...expressions.implicit import Tube
from ...expressions.maps import ExpressionMap
from ...expressions.root import root_function
from ...expressions.tree import (
    And,
    Call,
    Comparison,
    Constant,
    Name,
    Negative,
    Node,
    Number,
    Or,
    Piecewise,
    Power,
    Product,
    Reciprocal,
    Root,
    Roots,
    Sum,
    Truth,
)
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
        self._solutions: dict[Node, int] = {}
        """Generators that are solutions of equations."""
        for angle in angles:
            self.turn(self.of(tree_of(angle), self.inputs))

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

    def of(self, tree: Node, into: Mapping[str, Quotient]) -> Quotient:
        """The tree with functions in the places of its names."""
        match tree:
            case Name(name):
                return into[name]
            case Number():
                return self.constant(Fraction(tree.value))
            case Constant("pi"):
                return self.pi
            case Constant("E"):
                return self.exponential(self.constant(1))
            case Sum(terms):
                return functools.reduce(self.plus, [self.of(term, into) for term in terms])
            case Product(factors):
                return functools.reduce(self.times, [self.of(factor, into) for factor in factors])
            case Negative(part):
                return self.times(self.of(part, into), -1)
            case Reciprocal(part):
                return self.over(self.constant(1), self.of(part, into))
            case Power(base, exponent):
                return self._raised(self.of(base, into), exponent, into)
            case Call(name, arguments):
                return self._called(name, [self.of(argument, into) for argument in arguments])
            case Piecewise(cases):
                return self._piece(cases, into)
            case Root(Roots(tube, arguments), component, None):
                return self._root(tree, tube, component, [self.of(argument, into) for argument in arguments])
        raise Unsettled(f"{type(tree).__name__} is not followed")

    def _root(self, tree: Node, tube: Tube, component: int, parts: Sequence[Quotient]) -> Quotient:
        """A generator of its own, of which nothing is known: at the variables themselves only."""
        own = list(self.inputs.values())
        if len(parts) != len(own) or any(self.minus(a, b).top for a, b in zip(parts, own, strict=True)):
            raise Unsettled("a solution of equations at other coordinates is not followed")
        if tree not in self._solutions:
            value = float(tube.solve(np.array([float(self.value(part)) for part in parts]))[component])
            made = root_function(tube, component)(*(self.expression(part) for part in parts))
            self._solutions[tree] = self.new(made, mpmath.mpf(value))
        return self.generator(self._solutions[tree])

    def _raised(self, base: Quotient, exponent: Node, into: Mapping[str, Quotient]) -> Quotient:
        n = exponent.exact
        if n is not None and n.denominator == 1:
            return self.power(base, int(n))
        if n is not None and n.denominator == 2:
            return self.power(self.root(base), int(2 * n))
        self.require(base, strict=True)
        return self.exponential(self.times(self.of(exponent, into), self.logarithm(base)))

    def _called(self, name: str, parts: Sequence[Quotient]) -> Quotient:
        a, one = parts[0], self.constant(1)
        if name in ("sin", "cos", "tan", "cot"):
            c, s = self.turn(a)
            return {"sin": s, "cos": c}[name] if name in ("sin", "cos") else self.over(s, c) if name == "tan" else self.over(c, s)
        if name in ("sinh", "cosh", "tanh"):
            return self._hyperbolic(name, self.exponential(a))
        if name in ("asin", "acos"):
            other = self.root(self.minus(one, self.power(a, 2)))
            return self.angle(a, other) if name == "asin" else self.angle(other, a)
        if name in ("atan", "atan2"):
            return self.angle(a, one if name == "atan" else parts[1])
        if name in ("Max", "Min"):
            return self._extreme(parts, 1 if name == "Max" else -1)
        simple = {"exp": self.exponential, "log": self.logarithm, "sqrt": self.root, "Abs": self.size}
        if name not in simple:
            raise Unsettled(f"{name} is not followed")
        return simple[name](a)

    def _hyperbolic(self, name: str, up: Quotient) -> Quotient:
        down = self.over(self.constant(1), up)
        minus, plus = self.times(self.minus(up, down), Fraction(1, 2)), self.times(self.plus(up, down), Fraction(1, 2))
        return {"sinh": minus, "cosh": plus}[name] if name != "tanh" else self.over(minus, plus)

    def _extreme(self, parts: Sequence[Quotient], sign: int) -> Quotient:
        """The part that is largest at the point, or least."""
        best = max(parts, key=lambda part: sign * self.value(part))
        for part in parts:
            if part is not best:
                self.require(self.times(self.minus(best, part), sign))
        return best

    def _piece(self, cases: Sequence[tuple[Node, Node]], into: Mapping[str, Quotient]) -> Quotient:
        for value, condition in cases:
            if self._holds(condition, into):
                return self.of(value, into)
        raise Unsettled("no case of Piecewise holds at the point")

    def _holds(self, condition: Node, into: Mapping[str, Quotient]) -> bool:
        """Whether the condition holds at the point; that it does, or does not, is required."""
        match condition:
            case Truth(holds):
                return holds
            case And(parts):
                return all(self._holds(part, into) for part in parts)
            case Or(parts):
                return any(self._holds(part, into) for part in parts)
            case Comparison(relation, left, right) if relation in ("<", "<=", ">", ">="):
                gap = self.minus(self.of(left, into), self.of(right, into))
                gap = gap if relation in (">", ">=") else self.times(gap, -1)
                strict = relation in ("<", ">")
                holds = bool(self.value(gap) > 0 if strict else self.value(gap) >= 0)
                self.require(gap if holds else self.times(gap, -1), strict if holds else not strict)
                return holds
        raise Unsettled("a condition that is not followed")


def substituted(functions: Functions, outer: ExpressionMap, inner: Sequence[Quotient]) -> list[Quotient]:
    """outer∘inner, of what was written."""
    into = dict(zip(map(str, outer.variables), inner, strict=True))
    return [functions.of(tree, into) for tree in outer.trees]
