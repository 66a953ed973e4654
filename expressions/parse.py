"""Text to trees and sympy, by a grammar of our own: `read_expression`, `parse_expression`, `parse_number`, `caret`.

A text becomes a tree in which nothing is rewritten (`tree.py`, which says what it means) and the sympy expression that constructions
work with. No text of a user is ever evaluated as code. And since sympy evaluates what it is given at once (9**9**9**9 would not
return), every node is bounded before it is built: the value of each constant part is tracked in exact fractions or in
floats, and so is the degree of nested powers. What `parse_expression` accepts, `format_expression` writes, within the
same limits, as a text that parses to the same expression.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from types import MappingProxyType
from typing import Any, NoReturn

from ..errors import Finding, Severity, SpecError
from .builder import Builder, Refused, excerpt
from .builder import Node as Part
from .fields import Component
from .grammar import FUNCTIONS, MAX_DEPTH, MAX_EXPONENT, MAX_LENGTH, MAX_NODES, RESERVED
from .later import sympy
from .maps import Formula, real_symbols
from .parsed import Tree
from .reader import END, Unexpected, Unknown, parse
from .scope import MAX_CONSTANT, Given, Scope, scope_of, with_constants
from .spelling import SIGNS, name_like
from .survey import survey
from .syntax import Syntax
from .text import format_expression, text_of
from .tree import And, Call, Comparison, Lookup, Node, Or, Piecewise, Power, Reciprocal, Truth, depth, free_names, postorder

__all__ = [
    "Formula",
    "caret",
    "coordinates",
    "format_expression",
    "parse_expression",
    "parse_number",
    "read_constant",
    "read_expression",
    "real_symbols",
    "wrong_name",
]

Names = Mapping[str, Any]
"""What a text may use: coordinates, as sympy symbols or as their names, which stand for real symbols, and components of fields."""

MAX_NAME = 40
NAME = re.compile(rf"[A-Za-z_][A-Za-z_0-9]{{0,{MAX_NAME - 1}}}")

MAX_REWRITES = 4
"""sympy's automatic simplification may need more than one pass until text and expression agree."""

MAX_LEVELS = 4 * MAX_DEPTH
"""Levels of the tree: signs, quotients and sums are levels of their own there."""

LANGUAGE = "an expression is made of numbers, declared names, + - * / **, parentheses and functions such as sin(x)"


def coordinates(names: Iterable[str]) -> dict[str, str]:
    """What `read_expression` and `ExpressionMap.of` know coordinates by of which only the names are known: sympy may not be loaded yet."""
    return {name: name for name in names}


def wrong_name(name: object) -> str | None:
    """Why `name` cannot name a coordinate, or None if it can; with a name like it that can."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        near = name_like(name) if isinstance(name, str) and len(name) <= MAX_NAME else ""
        like = f", as {near!r} is" if NAME.fullmatch(near) and near not in RESERVED else ""
        return f"is not a name (letters a to z and A to Z, digits and _, no digit first, at most {MAX_NAME} in all){like}"
    return "is reserved by the expression language" if name in RESERVED else None


def parse_expression(text: str, names: Sequence[str] | Names, where: str = "expression") -> sympy.Expr:
    """What sympy makes of a text; it may be defined where the text is not. See `read_expression`."""
    return read_expression(text, names, where).expression


def read_expression(text: str, names: Sequence[str] | Names, where: str = "expression", *, kept: bool = False) -> Formula:
    """What `text` says, over the declared names only; all symbols are real. A name may be that of a field, which the text then calls.

    `where` names the field in messages. Decimal numbers are float64; integers and fractions of integers are exact.
    Raises `SpecError` with a finding for the first syntax error, or for every name that is not declared; each finding
    carries the text and the column (from 1). A `Scoped` text may also name its constants.

    A text that was `kept` in a file of ours was read before it was written. What sympy makes of it is made when it is asked for, and
    what sympy would refuse is refused then; what is wrong with it otherwise is found here as ever.
    """
    symbols = dict(names) if isinstance(names, Mapping) else coordinates(names)
    scope, text = scope_of(text), _one_line(text, where)
    if kept and not scope and (tree := _in_grammar(text, symbols)) is not None:
        return Formula(tree, lambda: read_expression(text, symbols, where).expression)
    try:
        expression = _stable(*_read(text, symbols, where, scope), symbols, where)
        return Formula(_tree(text, symbols, scope), lambda: expression)
    except Refused as refused:
        _fail(where, text, refused)
    except RecursionError:
        _fail(where, text, Refused(1, "is nested too deeply", "split it into simpler parts"))


def _in_grammar(text: str, symbols: Names) -> Node | None:
    """The tree of a text of the grammar, in these names; None if it is none, and `Builder` knows why."""
    try:
        tree = _tree(text, symbols, {})
    except (Refused, RecursionError, ArithmeticError, ValueError):
        return None
    named = free_names(tree) <= {name for name, what in symbols.items() if not isinstance(what, Component)}
    return tree if named and all(map(_good, postorder(tree))) else None


def _good(node: Node) -> bool:
    """Whether a text may say this node, whose parts it may say."""
    match node:
        case Call(function, arguments):
            return function in FUNCTIONS and FUNCTIONS[function].takes(len(arguments))
        case Lookup(field, _, _, arguments):
            return len(arguments) == field.inputs
        case Reciprocal(part):
            return part.exact != 0
        case Power(_, exponent) if exponent.exact is not None:
            return abs(exponent.exact) <= MAX_EXPONENT
        case Comparison(_, left, right):
            return bool(free_names(left, right))
        case And(conditions) | Or(conditions):
            return not any(isinstance(condition, Truth) for condition in conditions)
        case Piecewise(cases):
            return [isinstance(condition, Truth) for _, condition in cases] == [False] * (len(cases) - 1) + [True]
    return True


def _tree(text: str, symbols: Names, scope: Scope) -> Node:
    """The tree of a text that can be read, within the limits of what is written back."""
    tree: Node = Syntax(symbols).transform(with_constants(_parse(text), scope, symbols))
    if depth(tree) > MAX_LEVELS:
        raise Refused(1, f"has {depth(tree)} levels of signs, sums and products", f"the limit is {MAX_LEVELS}: split it into simpler parts")
    if len(text_of(tree)) > MAX_LENGTH:
        raise Refused(1, f"is longer than {MAX_LENGTH} characters when written out", "split it into simpler parts")
    return tree


def _stable(expression: sympy.Expr, text: str, symbols: Names, where: str) -> sympy.Expr:
    """The expression as it comes back from its own text: what a saved task will hold."""
    for _ in range(MAX_REWRITES):
        try:
            again, text = _read(text, symbols, where, known=(expression, text))
        except Refused as refused:
            raise Refused(1, f"simplifies to a text in which {refused.problem}", refused.remedy) from None
        if again == expression:
            return expression
        expression = again
    raise Refused(1, "has no stable form", "write it differently")


def _read(
    text: str, symbols: Names, where: str, scope: Scope = MappingProxyType({}), known: tuple[sympy.Expr, str] | None = None
) -> tuple[sympy.Expr, str]:
    """One pass from text to sympy, within all limits, and the text of what was read; `known` is within them."""
    builder, parsed = Builder(text, symbols, scope), with_constants(_parse(text), scope, symbols)
    try:
        node = builder.transform(parsed)
        if known is not None and node.expression == known[0] and not builder.refused:
            return known
        written = "" if builder.refused else _check_result(node.expression)
    except (Refused, RecursionError):
        raise
    except Exception as failure:  # sympy's rewriting may stumble over parts that are real nowhere, such as atanh(pi)
        problem = f"holds a part that sympy cannot work with ({type(failure).__name__})"
        raise Refused(1, problem, "look for a part that is no real number, and write it differently") from failure
    if builder.refused:
        raise SpecError([_finding(where, text, refused) for refused in builder.refused])
    return node.expression, written


def parse_number(value: object, where: str = "number") -> float:
    """A finite float64 from a TOML number, or from a text that is a constant expression ("pi/2"), computed in float64."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = float("inf")
        if abs(number) < float("inf"):
            return number
        raise SpecError([Finding(Severity.ERROR, where, f"{excerpt(repr(value))} is not finite", "give a finite number")])
    if not isinstance(value, str):
        problem = f"expected a number, got {excerpt(repr(value))}"
        raise SpecError([Finding(Severity.ERROR, where, problem, 'give a number, or a constant as text such as "pi/2"')])
    return float(_constant(value, where).value or 0)


def read_constant(name: str, value: str, where: str, kind: str, used: set[str]) -> Given:
    """What a name stands for whose value is the text of a constant expression, perhaps in constants declared before it.

    Raises `SpecError` if it is no finite real constant of at most `MAX_CONSTANT` characters.
    """
    text, parsed = _value_of(value, where) if scope_of(value) else _value_alone(value, where)
    return Given(name, str(value), text, parsed, kind, used)


def _value_of(value: str, where: str) -> tuple[str, Tree]:
    """A constant as a text without names and what the parser sees in it."""
    node = _constant(value, where)
    if isinstance(node.value, Fraction):
        text = format_expression(sympy.Rational(node.value.numerator, node.value.denominator))
    else:
        text = text_of(_tree(str(value), {}, scope_of(value)))
    if len(text) > MAX_CONSTANT:
        _fail(where, value, Refused(1, f"is a constant of {len(text)} characters", f"the limit is {MAX_CONSTANT}"))
    return text, _parse(text)


_value_alone = functools.lru_cache(1 << 12)(_value_of)
"""Of a text that names nothing: inner loops read theirs again and again."""


def _constant(value: str, where: str) -> Part:
    """The node of a text without coordinates."""
    scope, text = scope_of(value), _one_line(value, where)
    builder = Builder(text, {}, scope)
    try:
        node = builder.transform(with_constants(_parse(text), scope, {}))
        if not builder.refused and node.value is None:
            raise Refused(1, "is not a constant", "give a number")
    except Refused as refused:
        _fail(where, text, refused)
    except RecursionError:
        _fail(where, text, Refused(1, "is nested too deeply", "split it into simpler parts"))
    if builder.refused:
        raise SpecError([_finding(where, text, refused) for refused in builder.refused])
    return node


def caret(text: str, column: int, width: int = 100) -> str:
    """Two lines: `text`, cut to about `width` characters around the column (from 1), and a caret under that column."""
    line = "".join(c if c.isprintable() else " " for c in text)
    start = max(0, min(column - 1 - width // 2, len(line) - width))
    shown = line[start : start + width]
    left, right = "…" if start else "", "…" if start + width < len(line) else ""
    return f"{left}{shown}{right}\n{' ' * (len(left) + column - 1 - start)}^"


def _one_line(text: object, where: str) -> str:
    """The text with every white space a plain space, so that columns count characters; checked for length and nesting."""
    if not isinstance(text, str):
        raise SpecError([Finding(Severity.ERROR, where, f"expected a text, got {excerpt(repr(text))}", 'write it in quotes: "x + 1"')])
    if len(text) > MAX_LENGTH:
        _fail(where, text, Refused(MAX_LENGTH + 1, f"is {len(text)} characters long", f"the limit is {MAX_LENGTH}"))
    text = re.sub(r"\s", " ", str(text))
    depth = 0
    for column, character in enumerate(text, 1):
        depth += (character == "(") - (character == ")")
        if depth > MAX_DEPTH:
            _fail(where, text, Refused(column, f"parentheses are nested more than {MAX_DEPTH} deep", "split it into simpler parts"))
    return text


def _parse(text: str) -> Tree:
    """The syntax tree of the text; raises `Refused` at the first character or word that the grammar does not expect."""
    try:
        return parse(text)
    except Unknown as error:
        column = error.place + 1
        raise Refused(column, f"unexpected character {excerpt(repr(text[column - 1]))}", _hint(text, column, text[column - 1])) from None
    except Unexpected as error:
        if error.token.kind == END:
            end = len(text.rstrip())
            if not end:
                raise Refused(1, "is empty", "write an expression") from None
            raise Refused(end + 1, f"ends after {excerpt(text[:end], tail=True)!r}", _ending(text, error)) from None
        column = error.token.start + 1
        raise Refused(column, f"unexpected {excerpt(str(error.token))!r}", _hint(text, column, error.token)) from None


def _hint(text: str, column: int, token: str) -> str:
    """What to write instead of an unexpected token or character."""
    before = text[: column - 1].rstrip()
    if token == "^":
        return "write ** for powers"
    if token in SIGNS:
        return f"write {SIGNS[token]}"
    if not token.isascii() and (near := name_like(token)):
        return f"names are of the letters a to z and A to Z, digits and _: write {near}"
    if token in ("<", ">", "<=", ">=") and re.search(r"Piecewise.*,[^,]*[<>][^,]*$", before):
        return "comparisons are not chained: write 0 < x and x < 1"
    if token in ("<", ">", "<=", ">=", "&", "|", "and", "or", "True"):
        return "comparisons belong in the conditions of Piecewise((value, condition), ..., (value, True)), joined by and, or"
    if token in (".", "_"):
        return LANGUAGE
    if token in ("=", "!", "~"):
        return "the comparisons are < <= > >=" + ("; of an equation a = b write a - (b)" if token == "=" else "")
    if token in ("Piecewise", "if", "else") or (token == "," and "Piecewise" in before):
        return "write Piecewise((value, condition), ..., (value, True))"
    if token == ")" and before.count("(") <= before.count(")"):
        return "this parenthesis was not opened"
    called = re.search(r"(?<![A-Za-z_0-9])[A-Za-z]\w*$", before)
    if called and called[0] in FUNCTIONS:
        return f"write {called[0]}(...)"
    if (token == "(" or re.match(r"[A-Za-z_0-9.]", token)) and before and (before[-1].isalnum() or before[-1] in "_)."):
        return "is a * missing before it?"
    return LANGUAGE


def _ending(text: str, error: Unexpected) -> str:
    opened = text.count("(") - text.count(")")
    if error.closes and opened > 0:
        return f"{opened} parenthes{'is is' if opened == 1 else 'es are'} not closed"
    return "something is missing after it"


def _check_result(expression: sympy.Expr) -> str:
    """The text of the finished expression, which is within the limits, and so is every text that `format_expression` makes of it."""
    found = survey(expression)
    if found.problem:
        remedy = "write it in smaller terms" if found.problem.startswith("contains") else "every part must be a finite real number"
        raise Refused(1, found.problem, remedy)
    if found.depth > MAX_DEPTH or found.nodes > MAX_NODES:
        raise Refused(
            1,
            f"has {found.nodes} nodes on {found.depth} levels",
            f"the limits are {MAX_NODES} nodes and {MAX_DEPTH} levels: split it into simpler parts",
        )
    text = format_expression(expression)
    if len(text) > MAX_LENGTH:
        raise Refused(1, f"is longer than {MAX_LENGTH} characters when written out", "split it into simpler parts")
    return text


def _finding(where: str, text: str, refused: Refused) -> Finding:
    return Finding(Severity.ERROR, where, f"column {refused.column}: {refused.problem}", refused.remedy, text=text, column=refused.column)


def _fail(where: str, text: str, refused: Refused) -> NoReturn:
    raise SpecError([_finding(where, text, refused)])
