"""Piecewise quadratic experts in ReGLU lanes: √3/216·h³·max|F‴|, as many lanes as pieces (N22)."""

from __future__ import annotations

import atlasmoe as am
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.constructions.relu.spline.a_priori import a_priori_spline
from atlasmoe.constructions.structure.quadratics import CONSTANT, quadratic_spline

T = sympy.Symbol("t", real=True)


def spline_of(*expressions, **how):
    function = ExpressionMap((T,), expressions)
    return function, quadratic_spline(function, 0.0, 2.0, limit=4096, **how)


def largest(function, spline):
    t = np.linspace(0, 2, 40001)[:, None]
    return float(np.abs(spline.ridge.to_net("expert", "")(t) - function(t)).max())


def test_the_constant_is_sharp_for_cubics():
    """F‴ = 6, and four pieces of length 1/2: the bound is attained, so 2 % less would be wrong."""
    function, spline = spline_of(T**3, width=4)
    assert spline.bound == pytest.approx(np.sqrt(3) / 216 * 6 / 8, rel=1e-9)
    assert 0.999 * spline.bound < largest(function, spline) <= spline.bound
    assert largest(function, spline) > 0.98 * CONSTANT * 6 / 8


@pytest.mark.parametrize("expression", [sympy.sin(3 * T), sympy.exp(2 * T), 1 / (T + 1) + 1000])
@pytest.mark.parametrize("epsilon", [1e-3, 1e-6])
def test_bounds_hold_and_lanes_are_fewer(expression, epsilon):
    function, spline = spline_of(expression, epsilon=epsilon)
    assert largest(function, spline) <= spline.bound <= epsilon
    assert len(spline.knots) - 1 == len(spline.ridge.dictionary.knots)
    linear = a_priori_spline((expression,), T, 0.0, 2.0, epsilon=epsilon, limit=40000)
    assert len(spline.knots) - 1 <= 0.5 * linear.pieces


def test_several_outputs_and_what_has_no_third_derivative():
    function, spline = spline_of(sympy.sin(T), T**2 - 3, sympy.exp(-T), epsilon=1e-4)
    assert largest(function, spline) <= spline.bound <= 1e-4
    assert spline_of(sympy.Abs(T - 1), epsilon=1e-4)[1] is None
    assert spline_of(sympy.sqrt(T), epsilon=1e-4)[1] is None


def test_blocks_on_intervals_take_them(tmp_path):
    pieces = [{"domain": [0, 1], "expression": "exp(s)"}, {"domain": [1, 2], "expression": "cos(2*s) + s"}]
    spec = {
        "task": {"name": "curve", "kind": "graph", "output": "f"},
        "input": [{"name": "s", "domain": [0, 2]}],
        "block": [{"name": "f", "reads": ["s"], "piece": pieces, "activation": "relu", "gated": True}],
    }
    task = task_from_spec(spec)
    model, plain = am.compile(task, epsilon=1e-5), am.compile(task, epsilon=1e-5, gated={"f": False})
    leaves = [c for _, c in model.ledger.root.walk() if c.source.endswith("N22")]
    assert len(leaves) == 2
    assert all("F‴" in claim.statement or "F‴" in claim.note for claim in leaves)
    assert model.facts["parameters"] < plain.facts["parameters"]
    assert am.verify(model, samples=1000).holds
    assert am.certify(model).status == "proved"


def test_charts_of_curves_take_them():
    atlas = am.builtin("circle", charts=3)
    x, y = (sympy.Symbol(name, real=True) for name in atlas.coordinates)
    task = am.ManifoldTask("curve", atlas, am.ExpressionTarget(ExpressionMap((x, y), (sympy.sin(2 * x) + x * y,))))
    model = am.compile(task, epsilon=1e-3, gated=True)
    leaves = [c for _, c in model.ledger.root.walk() if c.source == "N22"]
    # Where a fit stores fewer numbers, that is taken.
    assert leaves
    assert all("F‴" in claim.statement and claim.holds for claim in leaves)
    assert am.certify(model).status == "proved"
