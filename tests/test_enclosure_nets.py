"""Nothing lies outside: enclosures of ReLU nets against the exact function of their stored weights."""

from __future__ import annotations

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap
from atlasmoe.errors import InvalidArgument
from atlasmoe.intervals import Interval
from atlasmoe.moe.network import Affine, NeuronGroup, ReLUNet
from atlasmoe.moe.ridge import Ridge
from atlasmoe.verify.enclosure import Enclosed, ExpressionEnclosure, TaylorForms, enclose, fast, prepare, relu
from exact_values import exact_function, inside_form, random_boxes, random_points
from flint import arb, arb_mat, ctx

BITS = 400
SYMBOLS = sympy.symbols("u v w", real=True)


def net_of(*layers: tuple[np.ndarray, np.ndarray], dtype: str = "float64") -> ReLUNet:
    affines = tuple(Affine(np.array(W, dtype), np.array(b, dtype)) for W, b in layers)
    return ReLUNet(affines, tuple((NeuronGroup("hidden", len(a.bias), ""),) for a in affines[:-1]))


def exact_values(net: ReLUNet, x: list[arb]) -> list[arb]:
    """The net in real arithmetic, to BITS bits."""
    x = arb_mat([[s] for s in x])
    for number, affine in enumerate(net.affines):
        x = arb_mat(affine.weight.astype(float).tolist()) * x + arb_mat(affine.bias[:, None].astype(float).tolist())
        if number < len(net.affines) - 1:
            x = arb_mat([[s.max(arb(0))] for s in x.entries()])
    return x.entries()


def ridge(rng: np.random.Generator, n: int, directions: int, each: int, outputs: int) -> tuple[list, list]:
    """Few directions, some of them axes with knots at multiples of 1/8, each neuron with its own sign and power of two."""
    a = rng.normal(size=(directions, n))
    a[: min(n, directions)] = np.eye(n)[:directions]
    shape = (directions, each)
    knots = np.where(rng.random(shape) < 0.5, rng.integers(-12, 13, shape) / 8, rng.normal(size=shape))
    scale = rng.choice([-1.0, 1.0], directions * each) * 2.0 ** rng.integers(-3, 4, directions * each)
    rows = np.repeat(a, each, axis=0) * scale[:, None]
    m = directions * each
    return (rows, -knots.ravel() * scale), (rng.normal(size=(outputs, m)) / scale, rng.normal(size=outputs))


def scattered(rng: np.random.Generator, n: int, m: int, outputs: int) -> tuple[list, list]:
    rows = rng.normal(size=(m, n))
    rows[:2] = 0
    return (rows, rng.normal(size=m)), (rng.normal(size=(outputs, m)), rng.normal(size=outputs))


def mixed(rng: np.random.Generator, n: int, extreme: int) -> tuple[list, list]:
    """Both, and neurons with weights of extreme sizes."""
    (a, b), (v, c) = ridge(rng, n, 3, 5, 2)
    (a2, b2), (v2, _) = scattered(rng, n, 6, 2)
    size = 10.0 ** rng.choice([-extreme, 0, extreme], 6)
    return (np.concatenate([a, a2 * size[:, None]]), np.concatenate([b, b2 * size])), (np.concatenate([v, v2 / size], axis=1), c)


def random_net(rng: np.random.Generator, n: int, kind: str, dtype: str) -> ReLUNet:
    match kind:
        case "ridge":
            return net_of(*ridge(rng, n, 4, 8, 1), dtype=dtype)
        case "scattered":
            return net_of(*scattered(rng, n, 16, 2), dtype=dtype)
        case "mixed":
            return net_of(*mixed(rng, n, 150 if dtype == "float64" else 15), dtype=dtype)
        case "composed":  # two ridge nets, the affine maps in the middle merged
            first, (outputs, constant) = ridge(rng, n, 3, 5, 2)
            (rows, knots), last = ridge(rng, 2, 3, 5, 2)
            return net_of(first, (rows @ outputs, rows @ constant + knots), last, dtype=dtype)
        case _:
            first, second = scattered(rng, n, 8, 6)
            return net_of(first, second, (rng.normal(size=(2, 6)), rng.normal(size=2)), dtype=dtype)


@pytest.fixture(params=["numpy", "compiled"])
def loops(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hot loops in numpy, and compiled."""
    if request.param == "compiled":
        pytest.importorskip("numba", reason="the extra `fast` is not installed")
    monkeypatch.setattr(fast, "WORTH", np.inf if request.param == "numpy" else -1)
    monkeypatch.setattr(relu, "WIDE", np.inf if request.param == "numpy" else 1)


@pytest.mark.usefixtures("loops")
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("kind", ["ridge", "scattered", "mixed", "composed", "deep"])
def test_exact_values_lie_in_the_enclosure(kind: str, dtype: str) -> None:
    rng = np.random.default_rng([len(kind), len(dtype)])
    for number in range(24):
        d = 1 + number % 3
        variables = SYMBOLS[:d]
        u, v = variables[0], variables[-1]
        curved = ExpressionMap(variables, (u, v, sympy.sin(u) * v, u * v / 3 + u**2))
        inputs = curved if number % 2 else ExpressionMap(variables, tuple(variables))
        net = random_net(rng, inputs.outputs, kind, dtype)
        prepared = prepare(net)
        assert (prepared.directions > 0) == (kind in ("ridge", "mixed", "composed"))
        assert (prepared.scattered > 0) == (kind in ("scattered", "mixed", "deep"))
        lower, upper = random_boxes(rng, 100, d)
        found = prepared(ExpressionEnclosure(inputs).over(lower, upper).forms)
        assert np.isfinite(found.radius).mean() > 0.8  # squares of 1e200 are not
        spans = found.range()
        ctx.prec = BITS
        functions, (t, points) = [exact_function(e, variables) for e in inputs.expressions], random_points(rng, lower, upper)
        for b in range(len(lower)):
            values = exact_values(net, [function(points[b]) for function in functions])
            for k, value in enumerate(values):
                assert inside_form(found, b, k, t[b], value), (number, lower[b], upper[b], t[b], k, value)
                assert not value < float(spans.lower[b, k])
                assert not value > float(spans.upper[b, k])


def test_lines_are_exact_and_kinks_cost_a_part_of_their_size() -> None:
    """Boxes without a kink inside: rounding only, also if a corner is one. Boxes with one: less than a quarter of its largest error."""
    hat = net_of(([[1.0], [1.0], [-1.0]], [0.0, -0.5, -0.25]), ([[1.0, -2.0, 4.0]], [0.0]))
    assert prepare(hat).directions == 1
    edges = np.array([-0.75, -0.25, 0.0, 0.5, 1.0])
    found = enclose(hat, TaylorForms.variables(edges[:-1, None], edges[1:, None]))
    assert found.radius.max() < 1e-13
    spans = found.range()
    np.testing.assert_allclose(spans.lower[:, 0], [0, 0, 0, 0], atol=1e-13)
    np.testing.assert_allclose(spans.upper[:, 0], [2, 0, 0.5, 0.5], atol=1e-13)
    kink = net_of(([[1.0, 0.0]], [0.0]), ([[1.0]], [0.0]))
    for half in (1.0, 1e-3, 1e-9):
        corner = np.array([[half, half]])
        assert enclose(kink, TaylorForms.variables(-corner, corner)).radius[0, 0] < half / 12


def test_curvature_of_a_spline_cancels_against_its_target() -> None:
    """A linear spline of x² with spacing h errs by h²/4; f − net is proved to h², over boxes 16 times as wide as h."""
    h = 1 / 64
    knots = np.arange(-1, 1, h)
    slopes = np.full(len(knots), 2 * h)
    spline = net_of((np.ones((len(knots), 1)), -knots), (slopes[None], np.array([1.0])))
    u = SYMBOLS[0]
    edges = np.linspace(-0.9, 0.9, 8)
    forms = TaylorForms.variables(edges[:-1, None], edges[1:, None])
    gap = ExpressionEnclosure(ExpressionMap((u,), (u**2 + (2 + h) * u,)))(forms) - enclose(spline, forms)
    spans = gap.range()
    assert (spans.upper - spans.lower).max() < h * h


def test_structure_is_found_in_stored_weights() -> None:
    rng = np.random.default_rng(5)
    (rows, bias), (outputs, constant) = ridge(rng, 3, 7, 16, 2)
    for dtype in ("float64", "float32"):
        prepared = prepare(Ridge.of(net_of((rows, bias), (outputs, constant), dtype=dtype)).to_relu("expert", "Lemma 3.1"))
        assert prepared.directions == 7
        assert prepared.scattered == 0


@pytest.mark.usefixtures("loops")
def test_what_is_not_finite_is_unknown() -> None:
    boxes = np.zeros((3, 2)), np.ones((3, 2))
    for bad in (np.nan, np.inf):
        for place in range(4):
            layers = [np.ones((5, 2)), np.ones(5), np.ones((1, 5)), np.ones(1)]
            layers[place].flat[0] = bad
            found = enclose(net_of((layers[0], layers[1]), (layers[2], layers[3])), TaylorForms.variables(*boxes))
            assert np.isinf(found.radius).all()
            assert np.isinf(found.range().lower).all()
    upper = np.array([[1.0, 1.0], [np.nan, 1.0], [np.inf, 1.0]])
    for layers in (ridge(np.random.default_rng(0), 2, 2, 4, 1), scattered(np.random.default_rng(0), 2, 8, 1)):
        found = enclose(net_of(*layers), TaylorForms.variables(np.zeros((3, 2)), upper))
        assert np.isfinite(found.radius[0, 0])
        assert np.isinf(found.radius[1:]).all()


def test_nets_without_neurons_and_wrong_inputs() -> None:
    net = net_of((np.zeros((2, 2)), [0.1, -1.0]), ([[3.0, 1.0]], [0.25]))
    found = enclose(net, TaylorForms.variables(np.zeros((2, 2)), np.ones((2, 2)))).range()
    assert ((found.lower <= 0.55) & (found.upper >= 0.55) & (found.upper - found.lower < 1e-14)).all()
    with pytest.raises(InvalidArgument, match="2 inputs was given 1 forms"):
        enclose(net, TaylorForms.variables(np.zeros((2, 1)), np.ones((2, 1))))
    assert isinstance(Enclosed.of(TaylorForms.variables(*np.zeros((2, 1, 2)))).bounds, Interval)
