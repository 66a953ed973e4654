"""Taylor forms of expressions: nothing lies outside, on random functions and random boxes against 160-bit values."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.errors import InvalidArgument, SpecError
from atlasmoe.expressions.parse import parse_expression
from atlasmoe.intervals import Decoration, NotEnclosed
from atlasmoe.intervals.derivatives import SMOOTH
from atlasmoe.verify.enclosure import Enclosed, ExpressionEnclosure, TaylorForms
from exact_values import exact_function, inside_form, random_boxes, random_points
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
        function, (t, points) = exact_function(expression, variables), random_points(rng, lower, upper)
        for b in range(BOXES):
            value = function(points[b])
            if value.is_finite():
                compared += 1
                known += bool(np.isfinite(found.forms.radius[b, 0]))
                assert not outside(found, b, t[b], value), (expression, lower[b], upper[b], t[b], value)
    assert compared > EXPRESSIONS * BOXES / 2 * 0.7
    assert known > 0.8 * compared


def enclosed(text: str, lower: list, upper: list) -> Enclosed:
    expression = parse_expression(text, NAMES[: len(lower[0])])
    variables = tuple(sympy.Symbol(name, real=True) for name in NAMES[: len(lower[0])])
    return ExpressionEnclosure(ExpressionMap(variables, (expression,))).over(np.array(lower), np.array(upper))


@pytest.mark.parametrize(
    "text", ["sin(3*u)*exp(v)", "u/(2 + v**2)", "sqrt(3 + u)*atan2(v + 2, u)", "log(4 + u*v)**3", "tanh(u - v)*acos(u/2)"]
)
def test_radii_are_of_third_order(text: str) -> None:
    """Halving smooth boxes divides the radius by 8, until rounding is all that is left."""
    center = np.array([[0.3, 0.4]])
    radii = [enclosed(text, center - h, center + h).forms.radius[0, 0] for h in 2.0 ** -np.arange(4, 10)]
    ratios = np.array(radii[:-1]) / np.array(radii[1:])
    assert ((ratios > 7) & (ratios < 9.5)).all()
    assert enclosed(text, center, center).forms.radius[0, 0] < 1e-13


def test_ends_of_domains() -> None:
    """Known where a natural interval extension keeps what a form forgets; unknown where values are not real."""
    corner = ([[-0.5, -0.5]], [[0.5, 0.5]])
    assert enclosed("sqrt(u**2 + v**2)", *corner).bounds.lower[0, 0] == 0
    assert enclosed("sqrt(u**2 + v**2)", *corner).known.all()
    assert enclosed("(u**2)**(1/3) + Abs(v)**0.7", *corner).known.all()
    across = enclosed("atan2(u, v)", [[-0.5, -0.5]], [[0.5, -0.25]])
    assert across.bounds.upper[0, 0] < 3.2
    assert across.bounds.decoration[0, 0] == Decoration.DEFINED
    for text in ("atan2(u, v)", "sqrt(u)", "log(u)", "1/u", "asin(4*u)", "acosh(u)", "tan(4*u)", "u**0.3", "u**v", "atanh(2*u)"):
        found = enclosed(text, *corner)
        assert not found.known.any()
        assert np.isinf(found.forms.radius).all()
        assert np.isfinite(found.forms.coefficients).all()
        assert np.isinf(found.forms.range().upper).all()
    assert not enclosed("Piecewise((1/u, v > 1/10), (u, True))", *corner).known.any()
    inside = enclosed("Piecewise((1/u, u > 1/10), (u, True))", *corner).bounds  # 1/u is asked for where u > 1/10
    assert (inside.lower[0, 0], np.floor(inside.upper[0, 0])) == (-0.5, 10)
    assert enclosed("Piecewise((1/u, u > 1/10), (u, True))", [[0.2], [-1.0]], [[0.3], [0.09]]).known.all()


def test_forms_select_and_combine() -> None:
    rng = np.random.default_rng(1)
    lower = rng.normal(size=(7, 3))
    forms = TaylorForms.variables(lower, lower + rng.random((7, 3)))
    assert (len(forms), forms.dimension, forms.functions, forms.coefficients.shape) == (7, 3, 3, (7, 10, 3))
    product = forms[:, 0] * forms[:, 2]
    both = TaylorForms.concatenate([forms, product])
    np.testing.assert_array_equal(both[:, 3].coefficients, product.coefficients)
    np.testing.assert_array_equal(both.subset([4, 2]).radius, both.radius[[4, 2]])
    np.testing.assert_array_equal(both.subset(slice(2, 5)).coefficients, both.coefficients[2:5])
    W, b = rng.normal(size=(5, 4)), rng.normal(size=5)
    t = rng.uniform(-1, 1, (7, 3))
    values, image = both.at(t), both.affine(W, b).at(t)
    middle = values.middle @ W.T + b
    assert ((image.lower <= middle) & (middle <= image.upper)).all()
    assert (image.upper - image.lower).max() < 1e-13
    spans = both.range()
    assert ((spans.lower <= values.lower) & (values.upper <= spans.upper)).all()
    for wrong in (lambda: forms[0, 1], lambda: forms.affine(np.ones((2, 5)))):
        with pytest.raises(InvalidArgument):
            wrong()


def test_ranges_of_quadratics_are_exact_along_an_axis() -> None:
    """max and min of c + l·t + q·t² over [−1, 1], vertices inside and outside."""
    coefficients = np.random.default_rng(0).normal(size=(500, 3, 1))
    forms = TaylorForms(coefficients, np.zeros((500, 1)))
    t = np.linspace(-1, 1, 20001)
    c, l, q = coefficients[:, :, 0].T[:, :, None]
    values = c + l * t + q * t * t
    spans = forms.range()
    np.testing.assert_allclose(spans.lower[:, 0], values.min(1), atol=1e-8)
    np.testing.assert_allclose(spans.upper[:, 0], values.max(1), atol=1e-8)
    assert (spans.lower[:, 0] <= values.min(1)).all()
    assert (spans.upper[:, 0] >= values.max(1)).all()


def test_boxes_and_functions_that_are_refused() -> None:
    for shapes in (((2, 2), (3, 2)), ((2,), (2,))):
        with pytest.raises(InvalidArgument, match="corners"):
            TaylorForms.variables(np.zeros(shapes[0]), np.ones(shapes[1]))
    with pytest.raises(InvalidArgument, match="box 1 is empty"):
        TaylorForms.variables([[0.0], [1.0]], [[1.0], [0.5]])
    unknown = TaylorForms.variables([[0.0, np.nan]], [[np.inf, 1.0]])
    assert np.isinf(unknown.radius).all()
    u = SYMBOLS[0]
    for bad in (sympy.gamma(u), sympy.Piecewise((u, sympy.Eq(u, 1)), (1, True)), sympy.besselj(0, sympy.sin(u))):
        with pytest.raises(NotEnclosed, match="has no enclosure"):
            ExpressionEnclosure(ExpressionMap((u,), (u + bad,)))
    with pytest.raises(InvalidArgument, match="1 variables was given 2 forms"):
        ExpressionEnclosure(ExpressionMap((u,), (u,)))(TaylorForms.variables([[0.0, 0.0]], [[1.0, 1.0]]))


def test_compositions_keep_what_is_known() -> None:
    """f(x(u)) of a chart of the sphere: x² + y² + z² is 1 to third order in the size of the boxes, sqrt(x² + y² + z²) likewise."""
    u, v, w = SYMBOLS
    s = 1 + u**2 + v**2
    chart = ExpressionEnclosure(ExpressionMap((u, v), (2 * u / s, 2 * v / s, (1 - u**2 - v**2) / s)))
    norm = ExpressionEnclosure(ExpressionMap((u, v, w), (u**2 + v**2 + w**2, sympy.sqrt(u**2 + v**2 + w**2))))
    lower = np.random.default_rng(0).uniform(-1.2, 1.2, (200, 2))
    widths = []
    for h in (0.02, 0.01):
        found = norm.enclosed(chart.over(lower, lower + h))
        assert ((found.bounds.lower <= 1) & (found.bounds.upper >= 1)).all()
        spans = found.forms.range()
        widths.append((spans.upper - spans.lower).max())
    assert widths[0] < 1e-4
    assert widths[0] / widths[1] > 6
