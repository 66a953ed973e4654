"""C¹ quadratic splines in relu² neurons: 1/24·h³·max|F‴| and √3/216·h³·max|F‴| + 49/1152·h⁴·max|F⁗| (N23), one neuron more than pieces."""

from __future__ import annotations

import atlasmoe as am
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.constructions.structure.quadratics import CONSTANT
from atlasmoe.constructions.structure.smooth_splines import ALTERNATING, a_priori, smooth_spline

T = sympy.Symbol("t", real=True)


def spline_of(*expressions, **how):
    function = ExpressionMap((T,), expressions)
    return function, smooth_spline(function, 0.0, 2.0, limit=4096, **how)


def largest(function, spline):
    t = np.linspace(0, 2, 40001)[:, None]
    return float(np.abs(spline.ridge.to_net("expert", "")(t) - function(t)).max())


def test_the_constant_is_sharp_for_alternating_third_derivatives():
    """(x² + δ²)^(3/2)/6 has |F‴| < 1 and is |x|³/6 but for δ: at the knot x = 0 the error is h³/24, so 2 % less would be wrong."""
    function, spline = spline_of(((T - 1) ** 2 + sympy.Rational(1, 10**6)) ** sympy.Rational(3, 2) / 6, width=5)
    h = float(spline.knots[1] - spline.knots[0])
    assert spline.knots[2] == pytest.approx(1, abs=1e-9)
    error = largest(function, spline)
    assert 0.98 * ALTERNATING * h**3 < error <= a_priori(1.0, np.inf, h) <= spline.bound


def test_the_constant_is_sharp_for_cubics():
    function, spline = spline_of(T**3, width=5)
    assert 0.98 * CONSTANT * 6 / 8 < largest(function, spline) <= spline.bound
    assert spline.bound == pytest.approx(CONSTANT * 6 / 8, rel=1e-9)


@pytest.mark.parametrize("expression", [sympy.sin(3 * T), sympy.exp(2 * T), 1 / (T + 1) + 1000])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-6])
def test_bounds_hold(expression, epsilon):
    """The ends, where F is continued, are where two of these bend the most."""
    function, spline = spline_of(expression, epsilon=epsilon)
    assert largest(function, spline) <= spline.bound <= epsilon
    assert spline.ridge.dictionary.width == len(spline.knots)


def test_the_slope_is_continuous():
    _, spline = spline_of(sympy.sin(4 * T), sympy.exp(T), width=9)
    net, t = spline.ridge.to_net("expert", ""), spline.knots[1:-1, None]
    before, after = (
        np.diff(net(np.concatenate([t, t + side]).reshape(2, -1).T.reshape(-1, 1)), axis=0)[::2] / side for side in (-1e-6, 1e-6)
    )
    np.testing.assert_allclose(before, after, rtol=0, atol=1e-4)


def test_several_outputs_and_what_has_no_third_derivative():
    function, spline = spline_of(sympy.sin(T), T**2 - 3, sympy.exp(-T), epsilon=1e-4)
    assert largest(function, spline) <= spline.bound <= 1e-4
    assert spline_of(sympy.Abs(T - 1), epsilon=1e-4)[1] is None
    assert spline_of(sympy.sqrt(T), epsilon=1e-4)[1] is None
    with pytest.raises(am.AtlasMoEError):
        smooth_spline(ExpressionMap((T,), (sympy.sin(9 * T),)), 0.0, 2.0, epsilon=1e-9, limit=64)


def test_blocks_on_intervals_take_them():
    pieces = [{"domain": [0, 1], "expression": "s**3"}, {"domain": [1, 2], "expression": "cos(2*s) + s"}]
    spec = {
        "task": {"name": "curve", "kind": "graph", "output": "f"},
        "input": [{"name": "s", "domain": [0, 2]}],
        "block": [{"name": "f", "reads": ["s"], "piece": pieces, "activation": "relu2"}],
    }
    model = am.compile(task_from_spec(spec), epsilon=1e-6)
    leaves = [c for _, c in model.ledger.root.walk() if c.source.endswith("N23")]
    assert len(leaves) == 2
    assert all("F‴" in claim.statement or "F‴" in claim.note for claim in leaves)
    assert am.verify(model, samples=1000).holds
    assert am.certify(model).status == "proved"
