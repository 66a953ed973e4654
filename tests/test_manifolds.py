"""Every manifold of the library keeps the contract, with each of its atlases."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Array, Box, Chart, ExpressionMap, PartitionOfUnity, ball_atlas, builtin, embed, product
from atlasmoe.atlas.atlas import Atlas
from atlasmoe.atlas.manifolds.overlap import arcs
from atlasmoe.errors import InvalidArgument
from manifold_contract import ManifoldContract
from scipy.spatial.transform import Rotation


def outside(values: Array, lower: float, upper: float) -> Array:
    """How far values are from [lower, upper]."""
    return np.maximum(np.maximum(lower - values, values - upper), 0)


def on_sphere(rng: np.random.Generator, count: int, n: int) -> Array:
    normal = rng.standard_normal((count, n + 1))
    return normal / np.linalg.norm(normal, axis=1, keepdims=True)


def turn(angle: Array) -> Array:
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


class TestInterval(ManifoldContract):
    manifold = "interval"
    cases: ClassVar = [{}, {"domain": [-1, 2], "charts": 5}, {"atlas": "ball", "charts": 4}]

    def residual(self, y: Array, options: dict) -> Array:
        return outside(y, *options.get("domain", [0, 1])).max(1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        lower, upper = options.get("domain", [0, 1])
        return np.concatenate([[[lower], [upper]], rng.uniform(lower, upper, (count - 2, 1))])


class TestBox(ManifoldContract):
    manifold = "box"
    cases: ClassVar = [{}, {"dimension": 3, "charts": 2}, {"domain": [[0, 3], [0, 3]], "charts": 3}, {"atlas": "ball", "charts": 12}]

    def upper(self, options: dict) -> float:
        return 3 if "domain" in options else 1

    def residual(self, y: Array, options: dict) -> Array:
        return outside(y, 0, self.upper(options)).max(1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        d = options.get("dimension", 2)
        corners = Box((0,) * d, (self.upper(options),) * d).corners()
        return np.concatenate([corners, rng.uniform(0, self.upper(options), (count - len(corners), d))])


class TestCircle(ManifoldContract):
    manifold = "circle"
    cases: ClassVar = [
        {},
        {"charts": 2},
        {"charts": 7, "partition": "smooth"},
        {"atlas": "stereographic"},
        {"atlas": "graph"},
        {"atlas": "ball", "charts": 5},
        {"embed": {"dimension": 128, "seed": 1}},
    ]

    def residual(self, y: Array, options: dict) -> Array:
        return np.linalg.norm(y, axis=1) - 1

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        seams = np.arange(12) * np.pi / 6
        return turn(np.concatenate([seams, rng.uniform(0, 2 * np.pi, count - 12)]))


class TestSphere(ManifoldContract):
    manifold = "sphere"
    cases: ClassVar = [
        {},
        {"atlas": "graph"},
        {"dimension": 3},
        {"dimension": 4, "atlas": "graph"},
        {"atlas": "ball", "charts": 24},
        {"dimension": 3, "atlas": "ball", "charts": 40, "seed": 2},
    ]

    def residual(self, y: Array, options: dict) -> Array:
        return np.linalg.norm(y, axis=1) - 1

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        n = options.get("dimension", 2)
        poles = np.concatenate([np.eye(n + 1), -np.eye(n + 1), np.full((1, n + 1), (n + 1) ** -0.5)])
        return np.concatenate([poles, on_sphere(rng, count - len(poles), n)])


class TestEllipsoid(ManifoldContract):
    manifold = "ellipsoid"
    cases: ClassVar = [{}, {"axes": [2.0, 1.0, 0.5], "atlas": "graph"}, {"atlas": "ball", "charts": 40}]

    def axes(self, options: dict) -> Array:
        return np.array(options.get("axes", [1.0, 0.8, 0.6]))

    def residual(self, y: Array, options: dict) -> Array:
        return np.linalg.norm(y / self.axes(options), axis=1) - 1

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        return on_sphere(rng, count, 2) * self.axes(options)


class TestTorus(ManifoldContract):
    manifold = "torus"
    cases: ClassVar = [{}, {"charts": 2}, {"dimension": 3}, {"atlas": "ball", "charts": 40}]

    def residual(self, y: Array, options: dict) -> Array:
        return np.abs(np.linalg.norm(y.reshape(len(y), -1, 2), axis=2) - 1).max(1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        return turn(rng.uniform(0, 2 * np.pi, (count, options.get("dimension", 2)))).reshape(count, -1)


class TestCylinder(ManifoldContract):
    manifold = "cylinder"
    cases: ClassVar = [{}, {"height": 1.0, "charts": 3}, {"atlas": "ball", "charts": 30}]

    def residual(self, y: Array, options: dict) -> Array:
        half = options.get("height", 2.0) / 2
        return np.maximum(np.abs(np.linalg.norm(y[:, :2], axis=1) - 1), outside(y[:, 2], -half, half))

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        half = options.get("height", 2.0) / 2
        height = rng.uniform(-half, half, (count, 1))
        height[:2] = [[-half], [half]]
        return np.concatenate([turn(rng.uniform(0, 2 * np.pi, count)), height], axis=1)


class TestSwissRoll(ManifoldContract):
    manifold = "swiss_roll"
    cases: ClassVar = [{}, {"charts": 1}, {"turns": 1.0, "height": 0.5, "charts": 3}, {"atlas": "ball", "charts": 80}]

    def last(self, options: dict) -> float:
        return np.pi * (1.5 + 2 * options.get("turns", 1.5))

    def residual(self, y: Array, options: dict) -> Array:
        half = options.get("height", 1.0) / 2
        t = np.hypot(y[:, 0], y[:, 2]) * self.last(options)
        spiral = np.stack([np.cos(t), np.sin(t)], 1) * (t / self.last(options))[:, None]
        off = np.linalg.norm(y[:, [0, 2]] - spiral, axis=1)
        return off + outside(t, 1.5 * np.pi - 1e-9, self.last(options) + 1e-9) + outside(y[:, 1], -half, half)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        t = rng.uniform(1.5 * np.pi, self.last(options), count)
        t[:2] = 1.5 * np.pi, self.last(options)
        r = t / self.last(options)
        half = options.get("height", 1.0) / 2
        return np.stack([r * np.cos(t), rng.uniform(-half, half, count), r * np.sin(t)], 1)


class TestMoebiusBand(ManifoldContract):
    manifold = "moebius_band"
    cases: ClassVar = [{}, {"charts": 2}, {"charts": 5, "width": 1.2}, {"atlas": "ball", "charts": 20}]

    def residual(self, y: Array, options: dict) -> Array:
        """The distance from the strip over the point's own angle, and how far out on the strip it is."""
        theta = np.arctan2(y[:, 1], y[:, 0])
        across = np.stack([np.cos(theta / 2), np.sin(theta / 2)], 1)
        place = np.stack([np.hypot(y[:, 0], y[:, 1]) - 1, y[:, 2]], 1)
        w = (across * place).sum(1)
        half = options.get("width", 0.8) / 2
        return np.linalg.norm(place - w[:, None] * across, axis=1) + outside(w, -half - 1e-12, half + 1e-12)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        half = options.get("width", 0.8) / 2
        theta, w = rng.uniform(0, 2 * np.pi, count), rng.uniform(-half, half, count)
        theta[:4], w[:2] = [0, 2 * np.pi, np.pi, 1.5 * np.pi], [half, -half]
        return np.concatenate([(1 + w * np.cos(theta / 2))[:, None] * turn(theta), (w * np.sin(theta / 2))[:, None]], 1)

    def test_going_round_once_turns_the_strip_over(self, atlas: Atlas) -> None:
        chart = atlas.parametrising[0]
        w = 0.3
        there, back = (chart.inverse([[angle, side]])[0] for angle, side in ((2 * np.pi, w), (0.0, -w)))
        np.testing.assert_allclose(there, back, atol=1e-12)


class TestRotations(ManifoldContract):
    manifold = "so3"
    cases: ClassVar = [{}, {"atlas": "ball", "charts": 64}]

    def residual(self, y: Array, options: dict) -> Array:
        R = y.reshape(-1, 3, 3)
        orthogonal = np.abs(np.swapaxes(R, 1, 2) @ R - np.eye(3)).max((1, 2))
        return orthogonal + np.abs(np.linalg.det(R) - 1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        half_turns = np.stack([np.diag(v) for v in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1])])
        return np.concatenate([half_turns, Rotation.random(count - 4, random_state=rng).as_matrix()]).reshape(count, 9)


class TestFunctionGraph(ManifoldContract):
    manifold = "graph"
    cases: ClassVar = [
        {"expression": "sin(2*u1)*u2/2"},
        {"expression": "sin(2*u1)*u2/2", "charts": 2},
        {"expression": ["u1**2", "exp(u1)"], "dimension": 1, "domain": [0, 1]},
        {"expression": "sin(2*u1)*u2/2", "atlas": "ball", "charts": 60},
    ]

    def values(self, u: Array, options: dict) -> Array:
        return np.concatenate([u**2, np.exp(u)], 1) if "dimension" in options else np.sin(2 * u[:, :1]) * u[:, 1:] / 2

    def residual(self, y: Array, options: dict) -> Array:
        d = options.get("dimension", 2)
        return np.abs(y[:, d:] - self.values(y[:, :d], options)).max(1) + outside(y[:, :d], 0 if d == 1 else -1, 1).max(1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        d = options.get("dimension", 2)
        u = rng.uniform(0 if d == 1 else -1, 1, (count, d))
        return np.concatenate([u, self.values(u, options)], 1)


class TestProduct(ManifoldContract):
    """S² with graph charts (balls as domains) times an interval (boxes with boundary)."""

    manifold = "product"
    factors: ClassVar = [{"builtin": "sphere", "atlas": "graph"}, {"builtin": "interval", "charts": 2}]
    cases: ClassVar = [{"factors": factors}, {"factors": factors, "atlas": "ball", "charts": 100}]

    def residual(self, y: Array, options: dict) -> Array:
        return np.abs(np.linalg.norm(y[:, :3], axis=1) - 1) + outside(y[:, 3], 0, 1)

    def draw(self, rng: np.random.Generator, count: int, options: dict) -> Array:
        return np.concatenate([on_sphere(rng, count, 2), rng.uniform(0, 1, (count, 1))], 1)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("shpere", {}, "unknown manifold 'shpere'; did you mean 'sphere'?"),
        ("sphere", {"dimenson": 3}, "manifold \"sphere\": unknown option 'dimenson'; did you mean 'dimension'?"),
        ("sphere", {"atlas": "grpah"}, "unknown atlas 'grpah'; did you mean 'graph'? (accepted: stereographic, graph, ball)"),
        ("sphere", {"radius": 0.3}, "the option 'radius' needs atlas = \"ball\""),
        ("sphere", {"dimension": True}, "dimension must be an integer from 1 to 64, got True"),
        ("sphere", {"dimension": 0}, "dimension must be an integer from 1 to 64, got 0"),
        ("torus", {"dimension": 9}, "charts = 3 per circle makes 3^9 charts"),
        ("box", {"domain": [[0, 1], [1, 0]]}, "domain[1]: need lower < upper"),
        ("box", {"domain": [[0, 1], [0, float("inf")]]}, "domain[1] must be a finite number"),
        ("ellipsoid", {"axes": [1, -1, 1]}, "axes[1] must be a finite number above 0"),
        ("ellipsoid", {"axes": "abc"}, "axes must be a list"),
        ("circle", {"charts": 1}, "charts must be an integer from 2 to 4096, got 1"),
        ("circle", {"atlas": "graph", "charts": 4}, "unknown option"),
        ("circle", {"partition": "foo"}, "unknown partition 'foo' (accepted: polynomial, smooth)"),
        ("circle", {"partition_power": 0}, "partition_power must be an integer from 1 to 64, got 0"),
        ("circle", {"embed": {"dimension": 1}}, "embed dimension must be an integer from 2 to 65536, got 1"),
        ("circle", {"embed": {"dimension": 4, "sed": 1}}, "unknown embed option 'sed'; did you mean 'seed'?"),
        ("circle", {"embed": 4}, "embed must be a table"),
        ("moebius_band", {"width": 2.0}, "width must be a number between 0 and 2, both excluded"),
        ("graph", {}, "needs an expression in u1, u2"),
        ("graph", {"expression": "1/u1"}, "is not finite at (0, 0)"),
        ("graph", {"expression": sympy.Symbol("v")}, "unknown name in the expression: 'v'"),
        ("product", {"factors": [{"builtin": "circle"}]}, "at least two tables"),
        ("product", {"factors": [{"builtin": "circle"}, {"builtin": "cirle"}]}, "unknown manifold 'cirle'; did you mean 'circle'?"),
    ],
)
def test_wrong_options_are_named(name: str, options: dict, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        builtin(name, **options)
    assert message in str(caught.value)


def test_graph_charts_are_affine_and_stay_so_under_an_embedding() -> None:
    atlas = builtin("sphere", atlas="graph", embed={"dimension": 20})
    points = atlas.sample(30, 0)
    for i, chart in enumerate(atlas.charts):
        affine = atlas.affine(i)
        assert affine is not None
        np.testing.assert_allclose(points.ambient @ affine[0].T + affine[1], chart.forward(points.base), atol=1e-12)


def test_embedding_twice_composes() -> None:
    twice = embed(embed(builtin("circle"), 5, seed=1), 9, seed=2)
    assert (twice.ambient_dimension, twice.base_dimension) == (9, 2)
    np.testing.assert_allclose(twice.embedding.T @ twice.embedding, np.eye(2), atol=1e-12)


def test_product_of_embedded_factors_keeps_their_embeddings() -> None:
    a, b = builtin("circle", embed={"dimension": 3, "seed": 1}), builtin("interval")
    both = product(a, b)
    y = np.array([[0.6, 0.8, 0.25]])
    np.testing.assert_allclose(both.embed(y), np.concatenate([a.embed(y[:, :2]), y[:, 2:]], 1))


def test_product_multiplies_partitions_that_charts_bring_along() -> None:
    u, x = sympy.symbols("u1 x1", real=True)
    one = ExpressionMap((x,), (x,))

    def chart(name: str, rho: sympy.Expr) -> Chart:
        return Chart(name, Box((0,), (1,)), ExpressionMap((u,), (u,)), one, ((True, True),), partition=ExpressionMap((x,), (rho,)))

    atlas = Atlas(("x1",), (chart("left", 1 - x), chart("right", x)))
    np.testing.assert_allclose(product(atlas, atlas).rho([[0.25, 0.5]]), [[0.375, 0.375, 0.125, 0.125]])
    with pytest.raises(InvalidArgument, match="only one factor brings its own partition"):
        product(atlas, builtin("interval"))


def test_products_that_make_no_sense_are_refused() -> None:
    circle = builtin("circle")
    with pytest.raises(InvalidArgument, match="product of ball atlases"):
        product(ball_atlas(circle, charts=4), circle)
    with pytest.raises(InvalidArgument, match="different partitions"):
        product(circle, builtin("circle", partition="smooth"))


def test_partition_options_reach_the_atlas() -> None:
    assert builtin("sphere", partition="smooth").partition == PartitionOfUnity("smooth")
    assert builtin("sphere", atlas="ball", charts=10, partition_power=2).partition == PartitionOfUnity(power=2)


@pytest.mark.parametrize("count", [2, 3, 4, 7, 31, 997, 4096])
def test_arcs_end_at_the_floats_nearest_to_their_angles(count: int) -> None:
    exact = sympy.pi * sympy.Rational(5, 3 * count)
    assert arcs(count)[0].half_width == float(exact)
