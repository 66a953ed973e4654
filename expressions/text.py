"""From sympy back to text: `format_expression`."""

from __future__ import annotations

import sympy

from ..errors import InvalidArgument
from .builder import survey
from .grammar import HEADS

_SUM, _PRODUCT, _SIGN, _POWER, _ATOM = range(5)
"""How tightly a text holds together, loosest first."""


def format_expression(expression: sympy.Expr) -> str:
    """The expression as a text of the grammar; `parse_expression` makes the same expression of it again.

    Floats are written with all their digits, and fractions exactly. Raises `InvalidArgument` if the expression is not
    one of the grammar (another function, an integral, an infinite or complex constant).
    """
    problem = survey(expression).problem
    if problem:
        raise InvalidArgument(f"this expression {problem}, so it cannot be written in a spec: {str(expression)[:200]}")
    return _write(expression, _SUM)


def _write(part: sympy.Basic, tightness: int) -> str:
    """The text of a part, in parentheses if it would fall apart where `tightness` is needed."""
    text, own = _text(part)
    return text if own >= tightness else f"({text})"


def _text(part: sympy.Basic) -> tuple[str, int]:
    match part:
        case sympy.Float():
            return repr(float(part)), _SIGN if part < 0 else _ATOM
        case sympy.Integer():
            return str(part.p), _SIGN if part < 0 else _ATOM
        case sympy.Rational():
            return f"{part.p}/{part.q}", _PRODUCT
        case sympy.Symbol():
            return part.name, _ATOM
        case sympy.Add():
            return _sum(part), _SUM
        case sympy.Mul():
            return _product(part), _PRODUCT
        case sympy.Pow():
            return _power(part)
        case sympy.Piecewise():
            return f"Piecewise({', '.join(f'({_write(value, _SUM)}, {_condition(condition)})' for value, condition in part.args)})", _ATOM
    if part is sympy.pi or part is sympy.E:
        return str(part), _ATOM
    return f"{HEADS[type(part)]}({', '.join(_write(argument, _SUM) for argument in part.args)})", _ATOM


def _sum(part: sympy.Add) -> str:
    numbers = [term for term in part.args if term.is_Number]
    text = ""
    for term in [term for term in part.args if not term.is_Number] + numbers:  # x - 1 rather than -1 + x
        written = _write(term, _PRODUCT)
        text += written if not text else f" - {written[1:]}" if written.startswith("-") else f" + {written}"
    return text


def _product(part: sympy.Mul) -> str:
    above, below, sign = [], [], ""
    for factor in part.args:
        base, exponent = factor.as_base_exp() if factor.is_Pow else (factor, sympy.S.One)
        if factor is sympy.S.NegativeOne:
            sign = "-"
        elif isinstance(factor, sympy.Rational) and not isinstance(factor, sympy.Integer):
            sign = "-" if factor.p < 0 else ""
            if abs(factor.p) != 1:
                above.append(str(abs(factor.p)))
            below.append(str(factor.q))
        elif factor.is_Pow and isinstance(exponent, sympy.Rational) and exponent < 0 and not base.is_Number:
            below.append(_write(sympy.Pow(base, -exponent, evaluate=False) if exponent != -1 else base, _POWER))
        else:
            above.append(_write(factor, _SIGN if not above else _POWER))
    return sign + "*".join(above or ["1"]) + "".join(f"/{factor}" for factor in below)


def _power(part: sympy.Pow) -> tuple[str, int]:
    base, exponent = part.args
    if exponent == sympy.Rational(1, 2):
        return f"sqrt({_write(base, _SUM)})", _ATOM
    if exponent is sympy.S.NegativeOne:
        return f"1/{_write(base, _POWER)}", _PRODUCT
    return f"{_write(base, _ATOM)}**{_write(exponent, _POWER)}", _POWER


def _condition(part: sympy.Basic) -> str:
    match part:
        case sympy.And():
            return " and ".join(_joined(argument) for argument in part.args)
        case sympy.Or():
            return " or ".join(_joined(argument) for argument in part.args)
        case sympy.core.relational.Relational():
            return f"{_write(part.lhs, _SUM)} {part.rel_op} {_write(part.rhs, _SUM)}"
    return "True"


def _joined(part: sympy.Basic) -> str:
    text = _condition(part)
    return text if isinstance(part, sympy.core.relational.Relational) else f"({text})"
