"""Nothing lies outside: intervals and Taylor forms against 160-bit values, on random functions and random boxes."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, parse_expression
from atlasmoe.errors import SpecError
from atlasmoe.intervals.derivatives import SMOOTH
from atlasmoe.verify.enclosure import Enclosed, ExpressionEnclosure, TaylorForms
from atlasmoe.verify.enclosure.taylor import middle_half, pairs
from exact_values import evaluate, exact
from flint import arb, ctx

NAMES = ("u", "v", "w")
SYMBOLS = sympy.symbols("u v w", real=True)
EXPRESSIONS, BOXES = 500, 200


class RandomText:
    """Random expressions in the language of specifications."""

    def __init__(self, rng: np.random.Generator, names: tuple[str, ...]) -> None:
        self.rng, self.names = rng, names

    def __call__(self, depth: int) -> str:
        if depth == 0 or self.rng.random() < 0.1:
            if self.rng.random() < 0.75:
                return str(self.rng.choice(self.names))
            return str(self.rng.choice(["2", "3", "0.3", "-1.7", "1/3", "pi", "E", "1e-3", "1e5", "0.1"]))
        match self.rng.integers(12):
            case 0 | 1 | 2:
                return f"({self(depth - 1)} + {self(depth - 1)})"
            case 3:
                return f"({self(depth - 1)} - {self(depth - 1)})"
            case 4 | 5:
                return f"({self(depth - 1)})*({self(depth - 1)})"
            case 6:
                return f"({self(depth - 1)})/({self(depth - 1)})"
            case 7:
                return (
                    f"({self(depth - 1)})**({self.rng.choice(['2', '3', '-1', '-2', '5', '1/2', '3/2', '-1/2', '1/3', '0.7', 'u', '17'])})"
                )
            case 8 | 9:
                return f"{self.rng.choice(['sqrt', 'Abs', 'sign', *SMOOTH])}({self(depth - 1)})"
            case 10:
                return f"{self.rng.choice(['Max', 'Min', 'atan2'])}({self(depth - 1)}, {self(depth - 1)})"
            case _:
                condition = f"{self(depth - 1)} {self.rng.choice(['<', '<=', '>', '>='])} {self(depth - 1)}"
                return f"Piecewise(({self(depth - 1)}, {condition}), ({self(depth - 1)}, True))"


def random_boxes(rng: np.random.Generator, N: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """Corners (N, d): of all sizes, some without width, some huge, some that touch or hold 0, ±1 and 2^-k exactly."""
    lower = rng.normal(size=(N, d)) * 10.0 ** rng.choice([-3, -1, 0, 0, 0, 1, 3], (N, 1))
    upper = lower + 10.0 ** rng.uniform(-9, 0.5, (N, d)) * (rng.random((N, d)) < 0.9)
    special = rng.choice([0.0, -0.0, 1.0, -1.0, 0.5, 2.0, 1e-300, 1e200], (N, d))
    at_lower, at_upper = rng.random((2, N, d)) < 0.1
    shift = np.where(at_lower, special - lower, np.where(at_upper, special - upper, 0.0))
    lower, upper = np.where(at_lower, special, lower + shift), np.where(at_upper & ~at_lower, special, upper + shift)
    return np.minimum(lower, upper), np.maximum(lower, upper)


def value_of_form(forms: TaylorForms, b: int, t: np.ndarray) -> arb:
    """The quadratic of function 0 on box b at t, exactly."""
    at = [exact(float(s)) for s in t]
    monomials = [arb(1), *at, *(at[i] * at[j] for i, j in pairs(len(t)))]
    return sum((exact(float(c)) * m for c, m in zip(forms.coefficients[b, :, 0], monomials, strict=True)), arb(0))


def outside(found: Enclosed, b: int, t: np.ndarray, value: arb) -> bool:
    """Whether the value at t on box b is certainly not where it was said to be."""
    lower, upper, radius = (float(part[b, 0]) for part in (found.bounds.lower, found.bounds.upper, found.forms.radius))
    if value < lower or value > upper:
        return True
    return np.isfinite(radius) and bool(abs(value - value_of_form(found.forms, b, t)) > radius)


def random_point(rng: np.random.Generator, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, list[arb]]:
    """A dyadic t, often a corner, and the exact point x(t); the middle instead where rounding left that outside the box."""
    middle, half = middle_half(lower[None], upper[None])
    t = rng.choice([-1.0, 1.0, 0.0, *np.arange(-7, 8) / 8], len(lower))
    point = []
    for j in range(len(lower)):
        x = exact(float(middle[0, j])) + exact(float(half[0, j])) * exact(float(t[j]))
        if x < float(lower[j]) or x > float(upper[j]):
            t[j], x = 0.0, exact(float(middle[0, j]))
        point.append(x)
    return t, point


@pytest.mark.parametrize("seed", range(2))
def test_values_of_random_expressions_lie_in_their_enclosures(seed: int) -> None:
    """10^5 pairs of an expression and a box, half of them per seed."""
    ctx.prec = 160
    rng = np.random.default_rng(seed)
    compared = known = 0
    for number in range(EXPRESSIONS // 2):
        d = 1 + number % 3
        expression = None
        while expression is None or not expression.free_symbols:
            try:
                expression = parse_expression(RandomText(rng, NAMES[:d])(int(rng.integers(1, 5))), NAMES[:d])
            except SpecError:
                continue  # a constant that is not real, or too long
        variables = tuple(sympy.Symbol(name, real=True) for name in NAMES[:d])
        lower, upper = random_boxes(rng, BOXES, d)
        found = ExpressionEnclosure(ExpressionMap(variables, (expression,))).over(lower, upper)
        for b in range(BOXES):
            t, point = random_point(rng, lower[b], upper[b])
            value = evaluate(expression, dict(zip(variables, point, strict=True)))
            if value.is_finite():
                compared += 1
                known += bool(np.isfinite(found.forms.radius[b, 0]))
                assert not outside(found, b, t, value), (expression, lower[b], upper[b], t, value)
    assert compared > EXPRESSIONS * BOXES / 2 * 0.7
    assert known > 0.8 * compared
