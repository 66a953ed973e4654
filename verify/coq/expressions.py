"""The trees of task.toml in Coq, node by node as they are written: nothing is rewritten, nothing goes through sympy."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from fractions import Fraction

from ...errors import InvalidArgument
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
    Sum,
    Truth,
    postorder,
)
from .numbers import dyadic, number

FUNCTIONS = {
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "tanh": "Tanh",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
    "Abs": "Abs",
    "sign": "Sign",
}
"""Functions of the grammar ↦ what `Semantics.v` calls them."""
FOLDED = {"Max": "Max", "Min": "Min"}
LARGEST = 1 << 12
"""Whole exponents beyond which a power is not followed."""
SUPPORTED = "what is supported: + - * / **, the functions of one and two arguments, Max, Min, Piecewise, pi, E"
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
TAKEN = frozenset(
    word
    for line in (
        "Abs Acos Acosh Add Always Asin Asinh AtMost Atan Atan2 Atanh Both",
        "Axiom CoFixpoint Definition Fixpoint Hypothesis Parameter Theorem Variable",
        "Chart Cos Cosh D2R Dec E Either Euler Exp Fun I If Int Inv Less Log Max Min Mul N Neg",
        "None Pi Pow Power Prop R SProp Set Sign Sin Sinh Some Sqrt Tan Tanh Type Undefined Var Z as at box by cofix else end exists",
        "exists2 f fix for forall fun if in inverse let list match mod nat region return then using where with",
        "Ball Closed Effort Forall2 Forward Free G Graph Hint In News OfValue Open Piece Psi Q Rabs Rle after arriving belongs bool chart",
        "chart_of_output charts claimed_routes computes cond denote depth domain domains dyadic effort efforts embedded eps evaluates expr",
        "finding func graph hint in_box in_domain inputs network network_of node nodes nth option outputs piece point_of ranges reach",
        "routes_of value values wide Forall GroupHint H Share Total_ after_groups compared computes_off gap gaps group_hint has_digits",
        "off_gaps on_charts map app at_most_d_correct nth_error_In Forall_cons Forall2_cons Forall2_nil",
        "pick network_reads computes_reading computes_off_reading Exactly",
    )
    for word in line.split()
)
"""Names that mean something to Coq or in our files."""
NUMBERED = re.compile(r"(?:(?:domain|hint|input|known|layer|layers|node)_|Block|Chart|Input|Route)\d.*|Target_.*")
"""What our files call their own parts."""


def names_of(variables: Sequence[str]) -> dict[str, str]:
    """What coordinates are called in Coq: as in the task, with a stroke where Coq has another use for the name."""
    found: dict[str, str] = {}
    for k, name in enumerate(variables):
        plain = name if IDENTIFIER.fullmatch(name) else f"x{k}_"
        if NUMBERED.fullmatch(plain):
            plain = f"x{k}_"
        while plain in TAKEN or plain in found.values():
            plain += "_"
        found[name] = plain
    return found


def expression(tree: Node, names: Mapping[str, str], where: str) -> str:
    """The tree as a term of `Semantics.expr`. Raises `InvalidArgument` for what the proofs do not follow, which it names."""
    known: dict[Node, str] = {}
    for node in postorder(tree):
        known[node] = _node(node, known, names, where)
    return known[tree]


def _node(node: Node, known: Mapping[Node, str], names: Mapping[str, str], where: str) -> str:
    match node:
        case Number(value):
            return _number(value)
        case Constant(name):
            return "Pi" if name == "pi" else "Euler" if name == "E" else _refuse(where, f"the constant {name}")
        case Name(name):
            return names[name]
        case Sum(terms):
            later = (f" - {known[t.part]}" if isinstance(t, Negative) else f" + {known[t]}" for t in terms[1:])
            return f"({known[terms[0]]}{''.join(later)})"
        case Negative(part):
            return f"(- {known[part]})"
        case Product(factors):
            later = (f" / {known[f.part]}" if isinstance(f, Reciprocal) else f" * {known[f]}" for f in factors[1:])
            return f"({known[factors[0]]}{''.join(later)})"
        case Reciprocal(part):
            return f"(Inv {known[part]})"
        case Power(base, exponent):
            return _power(node, known[base], known[exponent], where)
        case Call(function, arguments):
            return _call(function, [known[a] for a in arguments], where)
        case Piecewise(cases):
            text = "Undefined"
            for then, condition in reversed(cases):
                text = f"(If {known[condition]} {known[then]} {text})"
            return text
        case Comparison(relation, left, right):
            smaller, larger = (left, right) if relation.startswith("<") else (right, left)
            return f"({'AtMost' if relation.endswith('=') else 'Less'} {known[smaller]} {known[larger]})"
        case And(conditions) | Or(conditions):
            joined = known[conditions[-1]]
            for condition in reversed(conditions[:-1]):
                joined = f"({'Both' if isinstance(node, And) else 'Either'} {known[condition]} {joined})"
            return joined
        case Truth(holds):
            return "Always" if holds else _refuse(where, "the condition False")
    named = {"Lookup": "a table", "Roots": "a root of an equation", "Root": "a root of an equation"}
    return _refuse(where, named.get(type(node).__name__, f"a {type(node).__name__}"))


def _number(value: Fraction | float) -> str:
    if isinstance(value, float):
        return f"(Dec {number(dyadic(value))}%Z)"
    whole = f"({value.numerator})" if value.numerator < 0 else str(value.numerator)
    return whole if value.denominator == 1 else f"({whole} / {value.denominator})"


def _power(node: Power, base: str, exponent: str, where: str) -> str:
    n = node.whole
    if n is None:
        return f"(Power {base} {exponent})"
    if abs(n) > LARGEST:
        return _refuse(where, f"the exponent {n}")
    return f"({base} ^ {n})" if n >= 0 else f"(Inv ({base} ^ {-n}))"


def _call(function: str, arguments: Sequence[str], where: str) -> str:
    if function in FUNCTIONS:
        return f"(Fun {FUNCTIONS[function]} {arguments[0]})"
    if function == "cot":
        return f"(Fun Cos {arguments[0]} / Fun Sin {arguments[0]})"
    if function == "atan2":
        return f"(Atan2 {arguments[0]} {arguments[1]})"
    if function in FOLDED:
        text = arguments[0]
        for argument in arguments[1:]:
            text = f"({FOLDED[function]} {text} {argument})"
        return text
    return _refuse(where, f"the function {function}")


def _refuse(where: str, what: str) -> str:
    raise InvalidArgument(f"{where}: {what} is not among what Coq is asked to follow; {SUPPORTED}")
