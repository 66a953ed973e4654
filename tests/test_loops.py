"""Compiled loops and their numpy references give the same numbers, zeros up to their sign, and so do proofs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe import ExpressionMap, ExpressionTarget, ManifoldTask, builtin
from atlasmoe.intervals.derivatives import SMOOTH, powers
from atlasmoe.verify.enclosure import TaylorForms, fast, relu
from atlasmoe.verify.enclosure.monomials import monomials
from atlasmoe.verify.enclosure.relu import Neurons
from atlasmoe.verify.enclosure.ridge import Profile, Profiles
from atlasmoe.verify.enclosure.smooth import compose
from atlasmoe.verify.enclosure.taylor import UNKNOWN
from atlasmoe.verify.prove import certify

pytest.importorskip("numba", reason="the extra `fast` is not installed")


@pytest.fixture
def both(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[], Any]], tuple[Any, Any]]:
    """Something done by numpy, and by compiled loops."""

    def run(work: Callable[[], Any]) -> tuple[Any, Any]:
        monkeypatch.setattr(fast, "WORTH", np.inf)
        by_numpy = work()
        monkeypatch.setattr(fast, "WORTH", -1)
        assert fast.loops(0, 0) is not None
        return by_numpy, work()

    return run


def forms(d: int, functions: int, seed: int, boxes: int = 400, degree: int = 2) -> TaylorForms:
    """Of all sizes; some without linear or quadratic part, some unknown."""
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=(boxes, len(monomials(d, degree)), functions)) * 10.0 ** rng.integers(-12, 3, (boxes, 1, 1))
    coefficients[::7, 1:] = 0
    coefficients[::5, 1 + d :] = 0
    coefficients[3] *= 1e-310
    radius = 10.0 ** rng.uniform(-18, -1, (boxes, functions))
    radius[::11], coefficients[::11] = UNKNOWN, 0.0
    return TaylorForms(coefficients, radius, degree=degree)


@pytest.mark.parametrize(("d", "degree"), [(1, 2), (2, 2), (3, 2), (5, 2), (1, 3), (3, 3), (2, 4), (3, 4)])
def test_ranges_and_products(both: Any, d: int, degree: int) -> None:
    a, b = forms(d, 3, 0, degree=degree), forms(d, 3, 1, degree=degree)
    for one, other in (both(a.range), both((a * b).range)):
        np.testing.assert_array_equal(one.lower, other.lower)
        np.testing.assert_array_equal(one.upper, other.upper)
        assert np.isinf(one.lower).any()
        assert np.isfinite(one.lower).any()
    one, other = both(lambda: a * b)
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
    np.testing.assert_array_equal(one.radius, other.radius)


@pytest.mark.parametrize(("d", "degree"), [(1, 3), (2, 4), (3, 3), (3, 4)])
def test_elementary_functions(both: Any, d: int, degree: int) -> None:
    """Of forms of all sizes, some unknown; with a derivative that is one number for all boxes."""
    a = forms(d, 2, 0, boxes=600, degree=degree)
    a = TaylorForms(a.coefficients * 1e-3, a.radius, degree=degree)
    found = a.range()
    for rule in (SMOOTH["sin"], SMOOTH["exp"], lambda x, orders: powers(x, 2, orders)):
        image = rule(found, (0,))[0]
        one, other = both(lambda rule=rule, image=image: compose(rule, a, found, image))
        np.testing.assert_array_equal(one.coefficients, other.coefficients)
        np.testing.assert_array_equal(one.radius, other.radius)
        assert (one.coefficients[:, 1 + d :] != 0).any()


@pytest.mark.parametrize("d", [1, 2, 3, 5])
@pytest.mark.parametrize("half", [1e-9, 0.01, 0.3])
def test_profiles(both: Any, d: int, half: float) -> None:
    """Boxes with no knot inside, one, and many; knots that coincide; boxes about which nothing is known."""
    rng = np.random.default_rng(7)
    center = rng.uniform(-1, 1, (500, d))
    x = TaylorForms.variables(center - half * rng.random((500, d)), center + half)
    x = x.unknown_where((np.arange(500) % 50 == 0)[:, None])
    profiles = []
    for m in (1, 2, 40, 300):
        knots = np.round(rng.uniform(-1, 1, m), 2 if m == 300 else 9)
        profiles.append(Profile.of(knots, rng.normal(size=(m, 2)), np.where(rng.random(m) < 0.5, 1.0, -1.0)))
    sum_ = Profiles(rng.normal(size=(4, d)), tuple(profiles))
    one, other = both(lambda: sum_(x * x if d == 1 else x))
    np.testing.assert_array_equal(one.radius, other.radius)
    np.testing.assert_array_equal(one.coefficients, other.coefficients)
    assert np.isinf(one.radius[::50]).all()
    assert np.isfinite(np.delete(one.radius, np.s_[::50], axis=0)).all()


@pytest.mark.parametrize("d", [1, 2, 3])
@pytest.mark.parametrize("half", [1e-6, 0.02, 0.4])
def test_scattered_neurons(monkeypatch: pytest.MonkeyPatch, d: int, half: float) -> None:
    """Boxes beside each other, so that neurons are folded for many at once: as the reference but for rounding, which both bound."""
    rng = np.random.default_rng([d, 3])
    net = Neurons(rng.normal(size=(200, 3)), rng.normal(size=200), rng.normal(size=(2, 200)))
    center = np.sort(rng.uniform(-1, 1, (300, d)), axis=0)
    u = TaylorForms.variables(center - half, center + half)
    x = TaylorForms.concatenate([u[:, 0], u[:, d - 1], u[:, 0] * u[:, d - 1]])
    x = x.unknown_where((np.arange(300) % 60 == 0)[:, None])
    monkeypatch.setattr(relu, "WIDE", np.inf)
    one = net(x)
    monkeypatch.setattr(relu, "WIDE", 1)
    other = net(x)
    rounding = 1e-12 * np.abs(one.coefficients).sum(1)
    assert (np.abs(one.coefficients - other.coefficients).max(1) <= rounding).all()
    known = np.isfinite(one.radius)
    np.testing.assert_array_equal(np.isfinite(other.radius), known)
    assert not known[::60].any()
    np.testing.assert_allclose(one.radius[known], other.radius[known], rtol=1e-6, atol=rounding[known].max())
    t = rng.uniform(-1, 1, (300, d))
    with np.errstate(invalid="ignore"):
        values = np.maximum(x.at(t).middle @ net.weight.T + net.bias, 0) @ net.outputs.T
    found = other.at(t)
    slack = 1e-9 + x.radius.max(1, keepdims=True) * 1e3
    assert ((values >= found.lower - slack) & (values <= found.upper + slack))[known].all()


def test_a_proof_is_the_same(both: Any) -> None:
    x = sympy.symbols("x1:4", real=True)
    target = ExpressionTarget(ExpressionMap(x, (x[0] * x[1], sympy.sin(x[2]))))
    model = atlasmoe.compile(ManifoldTask("s", builtin("sphere", atlas="ball", charts=6), target), width=64)
    one, other = both(lambda: certify(model, epsilon=1e9, tightness=1.2))
    assert one.claims == other.claims
    for tree, again in zip(one.trees.values(), other.trees.values(), strict=True):
        np.testing.assert_array_equal(tree.cuts, again.cuts)
        np.testing.assert_array_equal(tree.bounds, again.bounds)


def test_numpy_alone_when_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    fast.available.cache_clear()
    monkeypatch.setenv(fast.VARIABLE, "0")
    assert fast.engine() == "numpy"
    fast.available.cache_clear()
    monkeypatch.delenv(fast.VARIABLE)
    assert fast.engine().startswith("numba")
