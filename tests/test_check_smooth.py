"""What `check` knows of activations and lanes: each enclosure holds what it encloses, at points and to many digits."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import mpmath
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.intervals.patch import Patch
from atlasmoe.moe.activations import ACTIVATIONS
from atlasmoe.verify.check import activations
from atlasmoe.verify.check.between import Between, activated
from atlasmoe.verify.check.course import DEGREES
from atlasmoe.verify.check.expressions import Functions, JetMap
from atlasmoe.verify.check.jets import Jets
from atlasmoe.verify.check.layers import Layer
from atlasmoe.verify.check.nets import GELU, GELU_TANH, IDENTITY, KINDS, RELU, RELU2, SILU, Map, Net
from atlasmoe.verify.check.networks import Frame
from atlasmoe.verify.check.polynomials import lower_terms, space
from atlasmoe.verify.check.profiles import BEYOND, prepared, through
from atlasmoe.verify.check.rounding import Sized, Way, rounding

NAMES = {kind: name for name, kind in KINDS.items()}
POINTS = (0.0, 1e-9, 0.3, -0.7, 2.5, -4.1, 7.9, -8.3, 9.2, -20.0, 31.0)
MIXTURES = [[SILU], [GELU], [GELU_TANH], [RELU, SILU], [RELU2], [IDENTITY, GELU, RELU2, RELU]]


def exact(kind: int, z: mpmath.mpf) -> mpmath.mpf:
    if kind == SILU:
        return z / (1 + mpmath.exp(-z))
    if kind == GELU:
        return z * mpmath.erfc(-z / mpmath.sqrt(2)) / 2
    if kind == GELU_TANH:
        return z / (1 + mpmath.exp(-2 * mpmath.sqrt(2 / mpmath.pi) * (z + mpmath.mpf("0.044715") * z**3)))
    return max(z, mpmath.mpf(0)) ** (2 if kind == RELU2 else 1)


def values(net: Net, x: np.ndarray) -> np.ndarray:
    """By the activations that evaluate networks."""
    hidden = x
    for map_ in net.maps[:-1]:
        z = hidden @ map_.weight.T + map_.bias
        for kind in np.unique(map_.kinds[map_.kinds > IDENTITY]):
            z[:, map_.kinds == kind] = ACTIVATIONS[NAMES[kind]](z[:, map_.kinds == kind])
        hidden = z if map_.up is None else z * (hidden @ map_.up.weight.T + map_.up.bias)
    return hidden @ net.maps[-1].weight.T + net.maps[-1].bias + x @ net.skip.T


def random_net(rng: np.random.Generator, inputs: int, widths: list[int], kinds: list[int], lanes: bool, directions: int = 0) -> Net:
    maps, n = [], inputs
    for width in widths:
        rows = rng.normal(size=(width, n))
        if directions:
            rows = rows[rng.integers(directions, size=width)] * rng.choice([-1, 1], width)[:, None]
        up = None
        if lanes:
            up = Map(rng.normal(size=(width, n)), rng.normal(size=width))
            up.weight[::3], up.bias[::3] = 0, 1
        maps.append(Map(rows, rng.normal(size=width), rng.choice(kinds, width).astype(np.uint8), up))
        n = width
    return Net.of([*maps, Map(rng.normal(size=(2, n)) / np.sqrt(n), rng.normal(size=2))])


@pytest.mark.parametrize("kind", activations.SMOOTH, ids=NAMES.get)
def test_taylor_coefficients_are_within_their_slack(kind: int) -> None:
    z = np.array(POINTS)
    found = activations.taylor(kind, z, 9)
    with mpmath.workdps(60):
        for n, point in enumerate(POINTS):
            for i, true in enumerate(mpmath.taylor(lambda x: exact(kind, x), mpmath.mpf(point), 9)):
                a, b = activations.slack(kind, i)
                assert abs(mpmath.mpf(found[i][n]) - true) <= (a + b * abs(point)) * activations.U
                assert i == 0 or abs(true) <= activations.supremum(kind, i)


@pytest.mark.parametrize("kind", activations.SMOOTH, ids=NAMES.get)
def test_suprema_are_known_of_every_order_that_jets_ask_for(kind: int) -> None:
    """Up to two above their polynomials, for jets of the highest degree."""
    order = max(map(max, DEGREES.values())) + BEYOND + 2
    (largest,) = np.abs(activations.taylor(kind, np.linspace(-6, 6, 4001), order)[order]).max(keepdims=True)
    assert largest <= activations.supremum(kind, order) < np.inf


@pytest.mark.parametrize("kind", activations.SMOOTH, ids=NAMES.get)
def test_suprema_are_none_too_large(kind: int) -> None:
    """At most twice what is there, up to the seventh order; of the cubic in tanh less is known."""
    grid = np.linspace(-6, 6, 4001)
    for i, part in enumerate(activations.taylor(kind, grid, 5)[1:], 1):
        assert np.abs(part).max() <= activations.supremum(kind, i) <= 1.2 * np.abs(part).max()


@pytest.mark.parametrize("kind", [RELU, RELU2, *activations.SMOOTH], ids=NAMES.get)
def test_fractions_are_taken_through_activations(kind: int) -> None:
    with mpmath.workdps(60):
        for point in (*POINTS, -1500.5, 2000.0):
            for wide in (Fraction(0), Fraction(1, 7)):
                z = Fraction(point)
                found = activated(kind, Between(z - wide, z + wide))
                for end in (z - wide, z, z + wide):
                    true = exact(kind, mpmath.mpf(end.numerator) / end.denominator)
                    room = mpmath.mpf(10) ** -50 * abs(true)
                    low, high = (mpmath.mpf(side.numerator) / side.denominator for side in found)
                    assert low - room <= true <= high + room
                assert wide or found.high - found.low < Fraction(1, 10**40)


def test_polynomials_are_between_their_bernstein_coefficients() -> None:
    rng = np.random.default_rng(0)
    for d, n in ((1, 6), (2, 4), (3, 3), (9, 2)):
        ring = space(d, n)
        coefficients = rng.normal(size=(ring.size, 5))
        low, high = ring.between(coefficients)
        t = rng.uniform(-1, 1, (500, d))
        found = np.stack([np.prod(t ** np.array(e), axis=1) for e in ring.exponents], 1) @ coefficients
        assert (low <= found).all()
        assert (found <= high).all()
        assert ((high - low) <= 2 * np.abs(coefficients).sum(0)).all()
    x = np.linspace(-1, 1, 201)
    for i in range(2, 12):
        assert np.abs(x**i - np.polyval(lower_terms(i)[::-1], x)).max() <= 2.0 ** (1 - i) + 1e-15


TEXTS = (
    *("sqrt(1 - x**2 - y**2/4)*sin(3*x + y)", "exp(-x*y)/(2 + x)", "log(2 + x*y)**3", "atan2(y + 3/2, x - 6/5)", "atan2(y, x - 2)"),
    *("tanh(2*x) + acos(x/2)*tan(y)", "Abs(x - y/3) + Max(x, y) - Min(x*y, 0)", "(1 + x/2)**(7/3) + cosh(x)*asinh(y) + acosh(2 + x)"),
    *(
        "atanh(x/2) + asin(y/2) + cot(x + 2) - sinh(y) + atan(x) + cos(y)",
        "(x + y)**5 + (x + 2)**9",
        "Piecewise((sqrt(x), x > 0), (x, True))",
    ),
)


def test_jets_of_expressions_hold_them() -> None:
    x, y = sympy.symbols("x y", real=True)
    function = ExpressionMap((x, y), [sympy.sympify(text, locals={"x": x, "y": y}, rational=True) for text in TEXTS])
    rng = np.random.default_rng(1)
    middle, radius = rng.uniform(-0.6, 0.6, (80, 2)), 10 ** rng.uniform(-3, -1, (80, 2))
    lower, upper = middle - radius, middle + radius
    for n in (2, 5):
        found = JetMap(function)(Functions.coordinates(space(2, n), lower, upper))
        for _ in range(8):
            points = lower + (upper - lower) * rng.uniform(0, 1, lower.shape)
            true = function(points).T
            gap = np.abs(true - at(found.jets, lower, upper, points))
            assert (gap <= found.jets.rest + 1e-13).all()
            assert ((found.value.lower - 1e-13 <= true) & (true <= found.value.upper + 1e-13)).all()
    smooth = found.jets.rest[[0, 1, 2, 3, 4, 5, 7, 8, 9]]
    assert (np.median(smooth, axis=1) < 1e-6).all()


def test_a_function_without_a_value_is_unknown() -> None:
    x = sympy.Symbol("x", real=True)
    function = ExpressionMap((x,), (sympy.sqrt(x), 1 / x, sympy.log(x) * 0 + x))
    lower, upper = np.array([[-1.0], [0.5]]), np.array([[0.5], [1.0]])
    rest = JetMap(function)(Functions.coordinates(space(1, 3), lower, upper)).jets.rest
    assert np.isinf(rest[:2, 0]).all()
    assert np.isfinite(rest[:, 1]).all()


def at(jets: Jets, lower: np.ndarray, upper: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The polynomials at a point of every box."""
    middle = lower + (upper - lower) / 2
    t = (points - middle) / np.maximum(upper - middle, middle - lower)
    parts = [part * np.prod(t ** np.array(e), axis=1) for part, e in zip(jets.coefficients, jets.space.exponents, strict=True)]
    return np.sum(parts, axis=0)


@pytest.mark.parametrize("kinds", MIXTURES, ids=lambda kinds: "-".join(NAMES.get(k, "identity") for k in kinds))
@pytest.mark.parametrize("lanes", [False, True], ids=["plain", "lanes"])
def test_nets_are_within_their_jets_and_frames(kinds: list[int], lanes: bool) -> None:
    rng = np.random.default_rng(len(kinds) + 10 * kinds[0] + lanes)
    for widths, directions in (([9], 0), ([12], 3), ([6, 5], 0)):
        d = int(rng.integers(1, 4))
        net = random_net(rng, d, widths, kinds, lanes, directions)
        middle, radius = rng.uniform(-1, 1, (30, d)), 10 ** rng.uniform(-3, -0.5, (30, d))
        lower, upper = middle - radius, middle + radius
        jets = through(net, prepared(net), Jets.coordinates(space(d, int(rng.integers(2, 5))), lower, upper))
        frame = Frame(Patch.coordinates(lower, upper))
        held = frame.range(frame.net(net, frame.start(None)))
        for _ in range(6):
            points = lower + (upper - lower) * rng.uniform(0, 1, lower.shape)
            true = values(net, points)
            room = 1e-12 * (1 + np.abs(true))
            assert (np.abs(true.T - at(jets, lower, upper, points)) <= jets.rest + room.T).all()
            assert ((held.lower - room <= true) & (true <= held.upper + room)).all()


@pytest.mark.parametrize("kind", activations.SMOOTH, ids=NAMES.get)
def test_jets_of_nets_fall_with_their_order(kind: int) -> None:
    rng = np.random.default_rng(4)
    net, x = random_net(rng, 2, [24], [kind], False, 4), rng.uniform(-1, 1, (20, 2))
    rests = [through(net, prepared(net), Jets.coordinates(space(2, n), x - 0.05, x + 0.05)).rest.max() for n in (2, 3, 4, 5)]
    assert all(later < earlier / 4 for earlier, later in pairwise(rests))


def test_pairs_are_linear_whatever_reflects() -> None:
    """act(z) − act(−z) = z also behind lanes; z₊² − (−z)₊² is no such thing."""
    rng = np.random.default_rng(2)
    row, up = rng.normal(size=3), Map(np.repeat(rng.normal(size=(1, 3)), 2, 0), np.array([0.5, 0.5]))
    for kind in {*KINDS.values()} - {IDENTITY}:
        for lane in (None, up):
            hidden = Map(np.stack([row, -row]), np.array([0.25, -0.25]), np.full(2, kind, np.uint8), lane)
            net = Net.of([hidden, Map(np.array([[1.5, -1.5]]), np.zeros(1))])
            assert net.maps[0].kinds.tolist() == ([kind] * 2 if kind == RELU2 else [IDENTITY])
            x = rng.normal(size=(7, 3))
            assert np.allclose(values(net, x), values(Net(net.stored, net.stored, net.skip), x))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_what_floats_add_is_bounded(dtype: str) -> None:
    rng = np.random.default_rng(5)
    for lanes in (False, True):
        for kinds in ([SILU], [GELU, GELU_TANH], [RELU2, RELU]):
            net = random_net(rng, 3, [14], kinds, lanes)
            stored = [single(map_, dtype) for map_ in net.stored]
            net = Net.of(stored)
            layer = Layer(None, np.arange(3), (net,), np.zeros(1, int), ("all",), np.arange(3), np.arange(2), np.full(2, -1))
            low, high = np.full((1, 3), -1.0), np.full((1, 3), 1.0)
            x = rng.uniform(-1, 1, (2000, 3)).astype(dtype)
            _, found = rounding([layer], Sized(low, high, np.zeros((1, 3))), Way(dtype, 14))
            with mpmath.workdps(40):
                true = np.array([[evaluated(stored, point)] for point in x[:40].astype(float)]).reshape(40, 2)
            here = floats(stored, x[:40], dtype)
            assert (np.abs(here.astype(float) - true) <= found.error).all()
            assert found.error.max() <= 300 * np.finfo(dtype).eps * 14
            every = values(net, x.astype(float))
            assert ((found.low <= every + 1e-9) & (every - 1e-9 <= found.high)).all()


def single(map_: Map, dtype: str) -> Map:
    up = None if map_.up is None else single(map_.up, dtype)
    return map_._replace(weight=map_.weight.astype(dtype).astype(float), bias=map_.bias.astype(dtype).astype(float), up=up)


def evaluated(stored: list[Map], point: np.ndarray) -> list[float]:
    """To many digits, rounded once at the end."""

    def affine(map_: Map, x: list) -> list:
        return [mpmath.fdot(row, x) + b for row, b in zip(map_.weight.tolist(), map_.bias.tolist(), strict=True)]

    x = [mpmath.mpf(float(entry)) for entry in point]
    for map_ in stored[:-1]:
        found = [exact(int(kind), z) for kind, z in zip(map_.kinds, affine(map_, x), strict=True)]
        x = found if map_.up is None else [a * b for a, b in zip(found, affine(map_.up, x), strict=True)]
    return [float(value) for value in affine(stored[-1], x)]


def floats(stored: list[Map], x: np.ndarray, dtype: str) -> np.ndarray:
    """In that dtype throughout."""
    for map_ in stored[:-1]:
        z = x @ map_.weight.T.astype(dtype) + map_.bias.astype(dtype)
        for kind in np.unique(map_.kinds):
            z[:, map_.kinds == kind] = ACTIVATIONS[NAMES[kind]](z[:, map_.kinds == kind])
        x = z if map_.up is None else z * (x @ map_.up.weight.T.astype(dtype) + map_.up.bias.astype(dtype))
    return x @ stored[-1].weight.T.astype(dtype) + stored[-1].bias.astype(dtype)
