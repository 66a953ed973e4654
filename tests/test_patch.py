"""Functions on boxes between their vertices: no sample is ever outside what `check` goes by, and what it goes by is sharp."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.expressions.parse import parse_expression, real_symbols
from atlasmoe.intervals import CurvatureEnclosure, Interval, Jet
from atlasmoe.intervals.patch import Patch, PatchMap, deviation, highest
from atlasmoe.verify.check.compared import difference
from atlasmoe.verify.check.nets import IDENTITY, Map, Net
from atlasmoe.verify.check.networks import Frame
from atlasmoe.verify.check.rounding import Sized, Way, evaluated

TEXTS = [
    "u**2*v - 3*u*v", "sin(3*u)*cos(v)", "exp(u - v**2)", "1/(2 + u**2 + v**2)", "sqrt(3 + u*v)", "atan2(v + 2, u)", "atan2(u, v)",
    "abs(u - v/2)", "max(u, v, u*v)", "min(sin(u), v)", "tanh(2*u) + log(3 + v)", "u**3*v**4", "max(0, 1 - u**2)**4*v", "abs(u)*u",
    "asin(u/3)*acos(v/3)", "(2 + u)**1.5", "sign(u)*v",
]  # fmt: skip
"""Of two coordinates in [−1, 1]²; some with kinks and jumps."""
U = real_symbols(["u", "v"])


def boxes(rng: np.random.Generator, count: int, size: float) -> tuple[np.ndarray, np.ndarray]:
    middle, half = rng.uniform(-1, 1, (count, 2)), rng.uniform(0, size, (count, 2))
    return np.maximum(middle - half, -1), np.minimum(middle + half, 1)


def inside(rng: np.random.Generator, lower: np.ndarray, upper: np.ndarray, count: int) -> np.ndarray:
    """(count, N, 2): corners, and points of the box."""
    share = rng.uniform(0, 1, (count, *lower.shape))
    share[: count // 4] = np.round(share[: count // 4])
    return np.clip(lower + share * (upper - lower), lower, upper)


@pytest.mark.parametrize("size", [1.0, 0.05])
@pytest.mark.parametrize("text", TEXTS)
def test_no_value_and_no_derivative_is_outside(text: str, size: float) -> None:
    rng = np.random.default_rng(len(text))
    function = ExpressionMap(tuple(U.values()), (parse_expression(text, U),))
    lower, upper = boxes(rng, 200, size)
    patch = PatchMap(function)(Patch.coordinates(lower, upper))
    points = inside(rng, lower, upper, 60)
    values = function(points)[..., 0]
    found = patch.range()[:, 0]
    slack = 1e-12 * (1 + np.abs(values))
    assert not ((values < found.lower - slack) | (values > found.upper + slack)).any()
    if not any(word in text for word in ("abs", "max", "min", "sign")):
        for k, variable in enumerate(U.values()):
            for order, enclosed in ((1, patch.first), (2, patch.second)):
                derivative = ExpressionMap(tuple(U.values()), (sympy.diff(function.expressions[0], variable, order),))(points)[..., 0]
                room = 1e-10 * (1 + np.abs(derivative))
                known = np.isfinite(derivative)
                outside = (derivative < enclosed.lower[:, k, 0] - room) | (derivative > enclosed.upper[:, k, 0] + room)
                assert not (outside & known).any()


def test_small_boxes_are_enclosed_to_third_order() -> None:
    """Halving a box divides what the range adds to the true one by about eight."""
    function = ExpressionMap(tuple(U.values()), (parse_expression("sin(3*u)*exp(v) - u*v", U),))
    rng = np.random.default_rng(0)
    middle = rng.uniform(-0.9, 0.9, (100, 2))
    excess = []
    for half in (0.04, 0.01):
        lower, upper = middle - half, middle + half
        found = PatchMap(function)(Patch.coordinates(lower, upper)).range()[:, 0]
        grid = np.stack(np.meshgrid(*[np.linspace(-half, half, 65)] * 2), -1).reshape(-1, 1, 2)
        values = function(middle + grid)[..., 0]
        excess.append(np.mean(found.upper - values.max(0)))
    assert excess[1] < excess[0] / 30


def test_interpolants_stay_below_their_highest() -> None:
    rng = np.random.default_rng(1)
    for d in (1, 2, 3):
        at, up = rng.normal(size=(300, 2**d, 1)), rng.exponential(size=(300, d, 1)) * rng.integers(0, 2, (300, 1, 1))
        t = rng.uniform(-1, 1, (400, d))
        corners = np.array(np.meshgrid(*[(-1, 1)] * d, indexing="ij")).reshape(d, -1).T
        weights = np.prod((1 + t[:, None] * corners[None]) / 2, axis=2)
        values = np.einsum("tv,nvc->tn", weights, at) + np.einsum("tk,nkc->tn", 1 - t**2, up)
        assert (values.max(0) <= highest(at, up)[:, 0] + 1e-12).all()
        assert (highest(at, up)[:, 0] <= at.max((1, 2)) + up.sum((1, 2)) + 1e-9).all()


def test_a_kink_is_at_most_as_far_as_its_slopes_allow() -> None:
    patch = PatchMap(ExpressionMap((U["u"],), (parse_expression("abs(u)", U),)))(Patch.coordinates(np.array([[-1.0]]), np.array([[1.0]])))
    down, _ = deviation(patch.upper - patch.lower, patch.first, patch.second)
    assert 1 <= down[0, 0, 0] <= 1 + 1e-9  # |u| lies 1 below its chord at 0


def ranges(text: str, low: float, high: float) -> tuple[float, float]:
    patch = PatchMap(ExpressionMap((U["u"],), (parse_expression(text, U),)))(Patch.coordinates(np.array([[low]]), np.array([[high]])))
    return patch.range().lower[0, 0], patch.range().upper[0, 0]


@pytest.mark.parametrize("text", ["1/u**2", "1/u**10", "exp(u) + 1e-30/(u - 0.3)**2", "1/u**3", "tan(2*u)"])
def test_poles_are_not_bounded(text: str) -> None:
    """An even power of an unknown number is not negative, which does not make what has a pole convex."""
    assert ranges(text, -1.0, 2.0) == (-np.inf, np.inf)


@pytest.mark.parametrize("scale", [1.0, 1e-160, 1e-200, 1e-300, 1e-305, 1e200, 1e305])
def test_no_scale_is_too_small_or_too_large(scale: float) -> None:
    low, high = ranges(f"{scale!r}*(u - u**2 + u/2)", 0.0, 1.0)
    top = 0.5625 * scale
    assert low <= 0
    assert top <= high <= top * (1 + 1e-9) + 1e-300
    assert deviation(np.array([[1e-200]]), Interval.of([[[0.0]]], [[[1e-200]]]), Interval.of([[[0.0]]], [[[1e300]]]))[0] > 0


def test_what_is_not_finite_is_not_below_anything() -> None:
    at, up = np.array([[[0.0], [1.0]]]), np.array([[[1.0]]])
    for strange in (np.inf, np.nan):
        assert highest(np.array([[[0.0], [strange]]]), up) == np.inf
        assert highest(at, np.array([[[strange]]])) == np.inf
    infinite = Interval.of(np.full((1, 1, 1), -np.inf), np.full((1, 1, 1), np.inf))
    zero = Interval.of(np.zeros((1, 1, 1)))
    assert deviation(np.array([[1.0]]), infinite, zero)[0] == np.inf


def random_net(rng: np.random.Generator, widths: tuple[int, ...]) -> Net:
    maps = [Map(rng.normal(size=(b, a)), rng.normal(size=b) / 2) for a, b in pairwise(widths)]
    for inner, outer in pairwise(maps):  # two carried pairs in every hidden layer
        for first, second in ((0, 1), (4, 2)):
            inner.weight[second], inner.bias[second], outer.weight[:, second] = (
                -inner.weight[first], -inner.bias[first], -outer.weight[:, first]
            )  # fmt: skip
    return Net.of(maps)


def evaluate(maps: tuple[Map, ...], x: np.ndarray) -> np.ndarray:
    for map_ in maps[:-1]:
        x = np.maximum(x @ map_.weight.T + map_.bias, 0)
    return x @ maps[-1].weight.T + maps[-1].bias


@pytest.mark.parametrize("size", [1.0, 0.1, 0.01])
@pytest.mark.parametrize("hidden", [(12,), (12, 9), (8, 8, 8)])
def test_no_error_of_a_net_is_beyond_its_bound(hidden: tuple[int, ...], size: float) -> None:
    rng = np.random.default_rng(len(hidden))
    inverse = ExpressionMap(tuple(U.values()), tuple(parse_expression(t, U) for t in ("sin(u)", "u*v", "cos(v)")))
    function = ExpressionMap(tuple(U.values()), tuple(parse_expression(t, U) for t in ("u + v**2", "exp(u)")))
    embedding = np.linalg.qr(rng.normal(size=(5, 3)))[0]
    lower, upper = boxes(rng, 80, size)
    u = Patch.coordinates(lower, upper)
    y, truth = PatchMap(inverse)(u), PatchMap(function)(u)
    points = inside(rng, lower, upper, 200)
    for _ in range(5):
        net = random_net(rng, (5, *hidden, 2))
        assert [(map_.kinds == IDENTITY).sum() for map_ in net.maps[:-1]] == [2] * len(hidden)
        frame = Frame(y)
        bound, attained = difference(truth, frame, frame.net(net, frame.start(embedding)))
        error = np.abs(function(points) - evaluate(net.stored, inverse(points) @ embedding.T)).max(2)
        assert (error <= bound * (1 + 1e-12)).all()
        assert (attained <= bound).all()
        if size < 0.1:
            assert np.median(bound / error.max(0)) < 1.2


@pytest.mark.parametrize("size", [1.0, 0.1, 0.01])
def test_what_is_not_lipschitz_is_anything_in_its_range(size: float) -> None:
    """A root at the closed end of its domain, and a jump, as coordinates of a net: no error is beyond the bound."""
    rng = np.random.default_rng(7)
    named = real_symbols(["a", "b", "c"])
    inverse = ExpressionMap(tuple(U.values()), tuple(parse_expression(t, U) for t in ("u", "sqrt(1 - u**2)", "sign(v)*u")))
    function = ExpressionMap(tuple(named.values()), tuple(parse_expression(t, named) for t in ("a*b + c", "exp(c) - b**2")))
    lower, upper = boxes(rng, 80, size)
    lower[:20, 0], upper[20:40, 0] = -1, 1
    lower[40:60, 1] = -upper[40:60, 1]
    lower, upper = np.minimum(lower, upper), np.maximum(lower, upper)
    y = PatchMap(inverse)(Patch.coordinates(lower, upper)).loosened()
    assert all(np.isfinite(part).all() for part in y.deviation)
    truth, points = PatchMap(function)(y), inside(rng, lower, upper, 200)
    for _ in range(5):
        net = random_net(rng, (3, 12, 2))
        frame = Frame(y)
        bound, attained = difference(truth, frame, frame.net(net, frame.start(None)))
        error = np.abs(function(inverse(points)) - evaluate(net.stored, inverse(points))).max(2)
        assert (error <= bound * (1 + 1e-12)).all()
        assert (attained <= bound).all()


@pytest.mark.parametrize("size", [1.0, 0.1])
def test_whoever_wins_is_not_said_to_lose(size: float) -> None:
    rng = np.random.default_rng(5)
    lower, upper = boxes(rng, 200, size)
    inverse = ExpressionMap(tuple(U.values()), (parse_expression("sin(3*u)", U), parse_expression("v*u", U)))
    y = PatchMap(inverse)(Patch.coordinates(lower, upper))
    gate = Map(rng.normal(size=(6, 2)), rng.normal(size=6) / 2)
    frame = Frame(y)
    losing, first = frame.losing(Net.of([gate]), 1, frame.start(None), 0.01)
    points = inside(rng, lower, upper, 100)
    logits = inverse(points) @ gate.weight.T + gate.bias
    near = logits >= logits.max(-1, keepdims=True) - 0.01
    assert not (near & losing).any()
    assert losing.any()
    assert (near.any(0) >= first).all() or size == 1.0
    assert not (first & losing).any()


def test_rounding_of_an_evaluation_is_within_its_bound() -> None:
    rng = np.random.default_rng(2)
    map_ = Map(rng.normal(size=(20, 50)).astype(np.float32).astype(float), rng.normal(size=20).astype(np.float32).astype(float))
    x = rng.normal(size=(500, 50))
    rounded = x.astype(np.float32)
    got = rounded @ map_.weight.astype(np.float32).T + map_.bias.astype(np.float32)
    found = evaluated(map_, Sized(x, x, np.abs(x - rounded)), Way("float32", 50))
    exact = x @ map_.weight.T + map_.bias
    assert (np.abs(got - exact) <= found.error).all()
    assert ((found.low <= exact) & (exact <= found.high)).all()


def test_a_kink_between_functions_without_a_bend_has_one() -> None:
    """max(a, b) of jets that say nothing of second derivatives: they are 0 on either side, and unknown where the sides may change."""
    one = Interval.of(np.ones(2))
    a, b = Jet(Interval.of(np.array([-1.0, 2.0]), np.array([1.0, 3.0])), {0: one}, {}), Jet(Interval.of(np.zeros(2)), {1: one}, {})
    (found,) = CurvatureEnclosure(ExpressionMap(tuple(real_symbols("ab").values()), (parse_expression("Max(a, b)", ["a", "b"]),)))(
        [a, b], 2
    )
    assert np.isinf(found.second[0].magnitude).tolist() == [True, False]
    assert np.isinf(found.second[1].magnitude).tolist() == [True, False]
    assert found.first[0].lower.tolist() == [0, 1]


@pytest.mark.parametrize("scale", [1.0, 1e-100, 1e-200, 1e-290])
def test_a_kink_is_not_too_small_to_be_seen(scale: float) -> None:
    """σ(y) lies half of the range of y below its chord, whatever the scale."""
    names = real_symbols(["a"])
    one = Map(np.array([[1.0]]), np.array([0.0]))
    for d, text in ((1, f"{scale!r}*u"), (2, f"{scale!r}*(u + v)/2")):
        symbols = dict(list(U.items())[:d])
        inverse = ExpressionMap(tuple(symbols.values()), (parse_expression(text, symbols),))
        chord = ExpressionMap(tuple(names.values()), (parse_expression(f"(a + {scale!r})/2", names),))
        y = PatchMap(inverse)(Patch.coordinates(-np.ones((1, d)), np.ones((1, d))))
        frame = Frame(y)
        bound, _ = difference(PatchMap(chord)(y), frame, frame.net(Net.of([one, one]), frame.start(None)))
        assert bound[0] >= scale / 2
