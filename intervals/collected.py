"""Equal terms and factors taken together: x·x is the square of one number, which intervals of x times x do not know.

Only what leaves the domain as it is: x/x stays a quotient, and x − x is 0·x, which is not defined where x is not.
"""

from __future__ import annotations

from fractions import Fraction

from ..expressions.tree import Negative, Node, Power, Product, Reciprocal, Sum

Factors = dict[tuple[Node, bool], int]
"""(a, False) ↦ n for a^n, (a, True) ↦ n for a^{−n}, n > 0."""


def factors(product: Node) -> tuple[Fraction, Factors]:
    """The number in front of a product or quotient, and its other factors."""
    number, found = Fraction(1), Factors()
    pending = [(factor, False) for factor in reversed(product.factors if isinstance(product, Product) else (product,))]
    while pending:
        factor, below = pending.pop()
        if factor.exact is not None and not (below and factor.exact == 0):
            number *= 1 / factor.exact if below else factor.exact
            continue
        count = 1
        match factor:
            case Negative(part):
                number = -number
                pending.append((part, below))
                continue
            case Reciprocal(part) if not below:
                pending.append((part, True))
                continue
            case Product(parts) if below:
                pending.extend((part, True) for part in reversed(parts) if not isinstance(part, Reciprocal))
                inner = [part for part in parts if isinstance(part, Reciprocal)]
                found |= {(part, True): found.get((part, True), 0) + 1 for part in inner}
                continue
            case Power(base, _) as power if power.whole and not (below and power.whole < 0):
                factor, below, count = base, below or power.whole < 0, abs(power.whole)
        found[factor, below] = found.get((factor, below), 0) + count
    return number, found


def terms(total: Sum) -> tuple[Fraction, dict[Node, Fraction]]:
    """The number in a sum, and how often its other terms are in it."""
    number, found = Fraction(0), dict[Node, Fraction]()
    for term in total.terms:
        sign = 1
        while isinstance(term, Negative) and term.exact is None:
            sign, term = -sign, term.part
        if term.exact is not None:
            number += sign * term.exact
        else:
            found[term] = found.get(term, Fraction(0)) + sign
    return number, found
