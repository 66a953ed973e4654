"""Nothing lies outside: intervals and Taylor forms against 160-bit values, on random functions and random boxes."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, parse_expression
from atlasmoe.errors import SpecError
from atlasmoe.intervals.derivatives import SMOOTH
from atlasmoe.verify.enclosure import Enclosed, ExpressionEnclosure
from exact_values import evaluate, inside_form, random_boxes, random_point
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


def outside(found: Enclosed, b: int, t: np.ndarray, value: arb) -> bool:
    """Whether the value at t on box b is certainly not where it was said to be."""
    lower, upper = float(found.bounds.lower[b, 0]), float(found.bounds.upper[b, 0])
    return bool(value < lower or value > upper or not inside_form(found.forms, b, 0, t, value))


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
