"""From the syntax tree of an expression to sympy, every node bounded before sympy sees it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from ..errors import did_you_mean
from .fields import Component
from .grammar import COMPARISONS, CONNECTIVES, CONSTANTS, FUNCTIONS, MAX_BITS, MAX_DEGREE, MAX_DEPTH, MAX_EXPONENT, MAX_TOWER
from .later import sympy
from .parsed import Fold, Token
from .survey import bits, structure

ELSEWHERE = {
    **{"ln": "log", "arctan": "atan", "arcsin": "asin", "arccos": "acos", "arctan2": "atan2", "arsinh": "asinh", "fabs": "abs"},
    **{"e": "E", "Pi": "pi", "PI": "pi", "sgn": "sign", "maximum": "max", "minimum": "min"},
}
"""What functions and constants are called in other languages."""
JUMPS = ("floor", "ceil", "ceiling", "round", "trunc", "mod", "fmod", "heaviside", "step")
JUMPING = "it jumps, and f is continuous but where pieces of a block meet; write those, or Piecewise; "

CANCELLATION = 1e-13
"""A sum of irrational constants smaller than this, relative to its largest term, may be 0 in disguise."""

Constant = Fraction | float


class Refused(Exception):
    """An expression is not accepted: the column (from 1) of the part at fault, what is wrong with it, and the remedy."""

    def __init__(self, column: int, problem: str, remedy: str) -> None:
        super().__init__(problem)
        self.column, self.problem, self.remedy = column, problem, remedy


@dataclass(frozen=True)
class Node:
    """A part of an expression, characters [start, end) of the text."""

    expression: Any
    """sympy: an Expr, or a Boolean for a condition."""
    start: int
    end: int
    value: Constant | None = None
    """Of a part without names: the exact fraction if it is one, else its value in floats."""
    degree: int = 1
    """By how much a power can multiply out: 0 for exact numbers."""
    depth: int = 1


def excerpt(text: str, *, tail: bool = False, length: int = 30) -> str:
    """The text, cut to `length` characters (the last ones if `tail`)."""
    if len(text) <= length:
        return text
    return "…" + text[-length:] if tail else text[:length] + "…"


class Builder(Fold):
    """Builds sympy from the tree of one text, bottom up. Names that are not declared collect in `refused`.

    `constants` are the names of constants that stand in the tree already; messages name them beside the coordinates.
    """

    def __init__(self, text: str, names: Mapping[str, Any], constants: Collection[str] = ()) -> None:
        self.text, self.constants = text, constants
        self.symbols = {name: symbol for name, symbol in names.items() if not isinstance(symbol, Component)}
        self.fields = {name: field for name, field in names.items() if isinstance(field, Component)}
        self.refused: list[Refused] = []

    def start(self, children: list[Node]) -> Node:
        return children[0]

    def number(self, children: list[Token]) -> Node:
        (start, end), token = _span(children[0]), str(children[0])
        if token.isdigit():
            if len(token) * math.log2(10) > MAX_BITS + 3:
                problem = f"the integer {excerpt(token)!r} has {len(token)} digits"
                raise Refused(start + 1, problem, "write it with an exponent, such as 1e100")
            return self._settled(sympy.Integer(int(token)), start, end)
        value = float(token)
        if math.isinf(value) or (value == 0 and any(c in "123456789" for c in token.lower().split("e")[0])):
            size = "small" if value == 0 else "large"
            raise Refused(start + 1, f"the number {excerpt(token)!r} is too {size} for float64", "rescale the expression")
        return self._settled(sympy.Float(value), start, end)

    def name(self, children: list[Token]) -> Node:
        (start, end), token = _span(children[0]), str(children[0])
        if token in self.symbols:
            symbol = self.symbols[token]
            return Node(sympy.Symbol(symbol, real=True) if isinstance(symbol, str) else symbol, start, end)
        if token in CONSTANTS:
            return Node(getattr(sympy, token), start, end, CONSTANTS[token])
        if token in FUNCTIONS or token in self.fields:
            raise Refused(start + 1, f"the function {token!r} has no arguments", f"write {token}(...)")
        declared = [*self.symbols, *self.constants]
        remedy = (
            f"{_meant(token, [*declared, *CONSTANTS])}the names here are {_listed(declared)}" if declared else "no names are allowed here"
        )
        self.refused.append(Refused(start + 1, f"unknown name {excerpt(token)!r}", remedy))
        return Node(sympy.Dummy(real=True), start, end)

    def signed(self, children: list[Any]) -> Node:
        sign, node = children
        if sign == "+":
            return node
        value = None if node.value is None else -node.value
        # All factors at once: sympy would multiply -1 into a lone first factor that is a sum.
        expression = sympy.Mul(-1, *sympy.Mul.make_args(node.expression))
        return self._settled(expression, sign.start, node.end, value, node.degree, node.depth)

    def sum(self, children: list[Any]) -> Node:
        terms: list[Node] = [children[0]]
        for sign, node in zip(children[1::2], children[2::2], strict=True):
            terms.append(node if sign == "+" else self.signed([sign, node]))
        expression = sympy.Add(*(term.expression for term in terms))
        start, end = terms[0].start, terms[-1].end
        value: Constant | None = None
        values = [term.value for term in terms if term.value is not None]
        if len(values) == len(terms):
            exact = [v for v in values if isinstance(v, Fraction)]
            total = math.fsum(map(float, values))
            value = sum(exact, Fraction(0)) if len(exact) == len(values) else total
            if not expression.is_Number and abs(total) <= CANCELLATION * max(abs(float(v)) for v in values):
                problem = f"the constant {self._quoted(start, end)} cancels to 0, or nearly"
                raise Refused(start + 1, problem, "write its value, or 0")
        return self._settled(expression, start, end, value, max(t.degree for t in terms), 1 + max(t.depth for t in terms))

    def product(self, children: list[Any]) -> Node:
        factors: list[Node] = [children[0]]
        for sign, node in zip(children[1::2], children[2::2], strict=True):
            factors.append(node if sign == "*" else self._reciprocal(node))
        start, end = factors[0].start, factors[-1].end
        value: Constant | None = None
        if _known([factor.value for factor in factors]):
            value = Fraction(1)
            for factor in factors:
                value = self._computed(lambda a, b: a * b, [value, factor.value], start, end)
                self._bounded(value, start, end)
        expression = sympy.Mul(*(factor.expression for factor in factors))
        return self._settled(expression, start, end, value, sum(f.degree for f in factors), 1 + max(f.depth for f in factors))

    def _reciprocal(self, node: Node) -> Node:
        """1/node, with the depth of node: a quotient is one level, not two."""
        if node.value is not None and node.value == 0:
            raise Refused(node.start + 1, f"division by {self._quoted(node.start, node.end)}, which is 0", "divide by something else")
        value = None if node.value is None else self._computed(lambda v: 1 / v, [node.value], node.start, node.end)
        return self._settled(sympy.Pow(node.expression, -1), node.start, node.end, value, node.degree, node.depth)

    def power(self, children: list[Any]) -> Node:
        base, _, exponent = children
        start, end = base.start, exponent.end
        degree, value = max(1, base.degree), None
        if exponent.value is not None:
            if abs(exponent.value) > MAX_EXPONENT:
                problem = f"the exponent {self._quoted(exponent.start, exponent.end)} is too large"
                raise Refused(exponent.start + 1, problem, f"the limit is {MAX_EXPONENT} in absolute value")
            degree = max(degree, base.degree * math.ceil(abs(exponent.value)))
            if degree > MAX_DEGREE:
                problem = f"{self._quoted(start, end)} has degree {degree} or more"
                raise Refused(start + 1, problem, f"the limit is {MAX_DEGREE}")
            if base.value is not None:
                value = self._power(base.value, exponent.value, start, end)
                self._towering(exponent, value, start)
        expression = sympy.Pow(base.expression, exponent.expression)
        return self._settled(expression, start, end, value, degree, 1 + max(base.depth, exponent.depth))

    def _power(self, base: Constant, exponent: Constant, start: int, end: int) -> Constant:
        integer = exponent == int(exponent)
        if base == 0 and exponent < 0:
            raise Refused(start + 1, f"{self._quoted(start, end)} divides by 0", "divide by something else")
        if base < 0 and not integer:
            raise self._not_real(start, end)
        if isinstance(base, Fraction) and isinstance(exponent, Fraction) and integer:
            if base not in (-1, 0, 1) and bits(base) * abs(exponent) > 2 * MAX_BITS:
                raise Refused(start + 1, f"{self._quoted(start, end)} is too long a number", f"the limit is {MAX_BITS} bits; use a decimal")
            return base ** int(exponent)
        value = self._computed(lambda a, b: float(a) ** float(b), [base, exponent], start, end)
        if value == 0 and base != 0:
            raise self._too_small(start, end)
        return value

    def group(self, children: list[Any]) -> Node:
        opened, node, closed = children
        return replace(node, start=opened.start, end=closed.end)

    def call(self, children: list[Any]) -> Node:
        token, arguments = str(children[0]), children[2:-1]
        start, end = _span(children[0])[0], _span(children[-1])[1]
        if token in self.symbols or token in self.constants or token in CONSTANTS:
            raise Refused(start + 1, f"{token!r} is not a function", "is a * missing after it?")
        if token in self.fields:
            return self._field(self.fields[token], arguments, start, end)
        if token not in FUNCTIONS:
            every = [*self.fields, *FUNCTIONS]
            remedy = f"{JUMPING if token.lower() in JUMPS else _meant(token, every)}the functions are {', '.join(every)}"
            self.refused.append(Refused(start + 1, f"unknown function {excerpt(token)!r}", remedy))
            return Node(sympy.Dummy(real=True), start, end)
        function = FUNCTIONS[token]
        if not function.takes(len(arguments)):
            raise Refused(start + 1, f"{token!r} takes {function.arity}, got {len(arguments)}", "give it those")
        depth = 1 + max(argument.depth for argument in arguments)
        values = [argument.value for argument in arguments]
        if not _known(values):
            from .looked import Looked

            expression = function.build(*(argument.expression for argument in arguments))
            if any(type(atom) not in structure() and not isinstance(atom, Looked) for atom in expression.atoms(sympy.Function)):
                # sympy's rewriting left the grammar, as atan2(0, x) would with a Heaviside function.
                expression = function.build(*(argument.expression for argument in arguments), evaluate=False)
            return self._settled(expression, start, end, None, 1, depth)
        value = self._computed(function.value, [float(v) for v in values], start, end)
        if value == 0 and token == "exp":
            raise self._too_small(start, end)
        match token:
            case "Max" | "max" | "Min" | "min":
                chosen = arguments[[float(v) for v in values].index(value)]
                return Node(chosen.expression, start, end, chosen.value, chosen.degree, chosen.depth)
            case "abs" | "Abs":
                expression = arguments[0].expression if values[0] >= 0 else -arguments[0].expression
            case "sign":
                expression = sympy.Integer(int(value))
            case _:
                self._towering(arguments[0], value, start)
                expression = function.build(*(argument.expression for argument in arguments))
        return self._settled(expression, start, end, value, 1, depth)

    def _field(self, component: Component, arguments: Sequence[Node], start: int, end: int) -> Node:
        field, name = component.field, component.text
        if len(arguments) != field.inputs:
            takes = "1 argument" if field.inputs == 1 else f"{field.inputs} arguments"
            raise Refused(start + 1, f"{name!r} takes {takes}, got {len(arguments)}", "give it those")
        if _known([argument.value for argument in arguments]):
            raise Refused(start + 1, f"{self._quoted(start, end)} is a constant", "write its value")
        from .looked import looked

        expression = looked(field, component.index, (0,) * field.inputs, tuple(a.expression for a in arguments))
        return self._settled(expression, start, end, None, 1, 1 + max(argument.depth for argument in arguments))

    def case(self, children: list[Node]) -> tuple[Node, Node]:
        value, condition = children
        return value, condition

    def piecewise(self, children: list[Any]) -> Node:
        cases = children[2:-1]
        start, end = _span(children[0])[0], _span(children[-1])[1]
        for k, (_, condition) in enumerate(cases):
            if (condition.expression == sympy.true) != (k == len(cases) - 1):
                problem = "the last case of a Piecewise, and only the last, has the condition True"
                raise Refused(condition.start + 1, problem, "end with (value, True)")
        depth = 1 + max(node.depth for case in cases for node in case)
        if len(cases) == 1:
            return cases[0][0]
        expression = sympy.Piecewise(*((value.expression, condition.expression) for value, condition in cases), evaluate=False)
        return self._settled(expression, start, end, None, 1, depth)

    def comparison(self, children: list[Any]) -> Node:
        left, sign, right = children
        expression = getattr(sympy, COMPARISONS[sign])(left.expression, right.expression, evaluate=False)
        if not expression.free_symbols:
            problem = f"the condition {self._quoted(left.start, right.end)} depends on no coordinate"
            raise Refused(left.start + 1, problem, "leave out the cases that never apply")
        return Node(expression, left.start, right.end, depth=1 + max(left.depth, right.depth))

    def true(self, children: list[Token]) -> Node:
        return Node(sympy.true, *_span(children[0]))

    def conjunction(self, children: list[Node]) -> Node:
        return self._connected("conjunction", children)

    def disjunction(self, children: list[Node]) -> Node:
        return self._connected("disjunction", children)

    def _connected(self, connective: str, children: list[Node]) -> Node:
        if len(children) == 1:
            return children[0]
        for child in children:
            if child.expression == sympy.true:
                raise Refused(child.start + 1, "True is joined to another condition", "leave it out")
        expression = getattr(sympy, CONNECTIVES[connective])(*(child.expression for child in children), evaluate=False)
        return Node(expression, children[0].start, children[-1].end, depth=1 + max(child.depth for child in children))

    def _towering(self, exponent: Node, value: Constant, start: int) -> None:
        """Refuse a constant that is a power to a power to a power …"""
        if not isinstance(exponent.value, Fraction) and _tower(exponent.expression) >= MAX_TOWER:
            raise Refused(start + 1, f"constant powers are nested more than {MAX_TOWER} levels deep", f"write the value, {float(value)!r}")

    def _computed(self, function: Callable[..., Any], arguments: Sequence[Any], start: int, end: int) -> Any:
        """The function's value at constants, which must be real and finite."""
        try:
            value = function(*arguments)
        except (ValueError, ZeroDivisionError):
            raise self._not_real(start, end) from None
        except OverflowError:
            value = math.inf
        if not math.isfinite(value):
            raise Refused(start + 1, f"{self._quoted(start, end)} is too large for float64", "rescale the expression")
        return value

    def _settled(
        self, expression: sympy.Expr, start: int, end: int, value: Constant | None = None, degree: int = 1, depth: int = 1
    ) -> Node:
        """The node, once sympy has evaluated it: numbers get their exact value, and what is not finite is refused."""
        if depth > MAX_DEPTH:
            raise Refused(start + 1, f"nested more than {MAX_DEPTH} levels deep", "split it into simpler parts")
        if expression in (sympy.nan, sympy.zoo, sympy.oo, -sympy.oo):
            raise self._not_real(start, end)
        if isinstance(expression, sympy.Rational):
            exact = Fraction(int(expression.p), int(expression.q))
            self._bounded(exact, start, end)
            return Node(expression, start, end, exact, 0, 1)
        if isinstance(expression, sympy.Float):
            return Node(expression, start, end, self._computed(float, [expression], start, end), 1, 1)
        if expression.is_Mul and isinstance(expression.args[0], sympy.Rational):
            coefficient = expression.args[0]
            self._bounded(Fraction(int(coefficient.p), int(coefficient.q)), start, end)
        if value is None and not expression.free_symbols:
            raise Refused(start + 1, f"the names in {self._quoted(start, end)} cancel", "write the constant that is left")
        if value is not None:
            value = self._computed(float, [value], start, end)
        return Node(expression, start, end, value, max(1, degree), depth)

    def _bounded(self, value: Constant, start: int, end: int) -> None:
        if isinstance(value, Fraction) and bits(value) > MAX_BITS:
            raise Refused(start + 1, f"{self._quoted(start, end)} is too long a number", f"the limit is {MAX_BITS} bits; use a decimal")

    def _not_real(self, start: int, end: int) -> Refused:
        return Refused(start + 1, f"{self._quoted(start, end)} is not a finite real number", "correct this constant")

    def _too_small(self, start: int, end: int) -> Refused:
        return Refused(start + 1, f"{self._quoted(start, end)} is too small for float64", "rescale the expression")

    def _quoted(self, start: int, end: int) -> str:
        return repr(excerpt(self.text[start:end]))


def _tower(expression: sympy.Basic) -> int:
    """How many powers stand in exponents of one another."""
    above = max((_tower(part) for part in expression.args), default=0)
    return above + (isinstance(expression, sympy.Pow | sympy.exp) and not expression.exp.is_Rational)


def _known(values: Sequence[Constant | None]) -> bool:
    return all(value is not None for value in values)


def _span(token: Token) -> tuple[int, int]:
    """Where a token stands in the text."""
    return token.start, token.end


def _meant(token: str, known: Collection[str]) -> str:
    """A question, if a name that is known goes by another one elsewhere, or is written nearly so."""
    if (name := ELSEWHERE.get(token)) in known:
        return f"did you mean {name!r}? "
    return did_you_mean(token, known, "", " ")


def _listed(names: Sequence[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f", … ({len(names)} in all)" if len(names) > most else "")
