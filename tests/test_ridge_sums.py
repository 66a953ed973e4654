"""Quadratic polynomials and ReLUs in few directions: one box in the place of all cells, twice, and nothing false among what is proved."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Box
from atlasmoe.atlas import Atlas, ExpressionMap, ExpressionTarget, ManifoldTask, Tiling
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals import Interval
from atlasmoe.moe.activations import IDENTITY, RELU
from atlasmoe.moe.layer import MoELayer
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.moe.network import Network
from atlasmoe.verify.check import check, layers, nets
from atlasmoe.verify.check import quadratics as by_values
from atlasmoe.verify.check.charts import Charts
from atlasmoe.verify.check.ridges import Ridges
from atlasmoe.verify.check.subjects import Subject
from atlasmoe.verify.prove import quadratics as by_terms
from atlasmoe.verify.prove.checkpoint import Checkpoint
from atlasmoe.verify.prove.goal import Goal
from atlasmoe.verify.prove.problem import Attempt, Problem
from certificates import CERTIFICATE, Arrays, certified, reweighted, tampered, why

NAMES = ("x1", "x2", "x3")
LORENZ = ["10*(x2-x1)", "x1*(28-x3)-x2", "x1*x2-8*x3/3"]


def test_both_ways_to_read_a_tree_find_the_same_polynomial():
    for text in ("x1*x2", "(x1 - 2*x2)*(x3/7 + 1) - x1**2/3 + 0.1", "-(x1 + x2 + x3)**2", "5 - 2*x3", "x1*(28-x3)-x2", "3", "(x1**1)*2"):
        tree = read_expression(text, NAMES).tree
        first, second = by_terms.quadratic(tree, NAMES), by_values.quadratic(tree, NAMES)
        assert first is not None
        assert second is not None
        assert (first.slope, first.constant) == (second.slope, second.constant)
        for (i, j), value in second.curve.items():
            assert value == first.square[i][j] * (1 if i == j else 2)
        point = {"x1": Fraction(3, 7), "x2": Fraction(-5, 3), "x3": Fraction(11, 2)}
        direct = Fraction(
            eval(
                text.replace("0.1", "Fraction(0.1)").replace("3", "Fraction(3)").replace("xFraction(3)", "x3"),
                {"Fraction": Fraction} | point,
            )
        )
        y = list(point.values())
        found = sum((first.square[i][j] * y[i] * y[j] for i in range(3) for j in range(3)), first.constant)
        assert found + sum((a * b for a, b in zip(first.slope, y, strict=True)), Fraction(0)) == direct


@pytest.mark.parametrize(
    "text",
    ["x1**3 - x1**3 + x1*x2", "1/x1", "Abs(x1)", "x1*x2 + 0*log(x1)", "sqrt(x1)**4", "x1*x2*x3", "x1**2*x2", "pi*x1", "x1**(-1)",
     "Piecewise((x1, x1 > 0), (x2, True))", "x1**x2", "x1/x1"],
)  # fmt: skip
def test_what_is_no_quadratic_polynomial_by_its_tree_is_not_taken_for_one(text: str):
    tree = read_expression(text, NAMES).tree
    assert by_terms.quadratic(tree, NAMES) is None
    assert by_values.quadratic(tree, NAMES) is None


class Made:
    """A quadratic function on a box and some ReLUs, with both bounds of their difference."""

    def __init__(
        self,
        expressions: list[str],
        box: Box,
        rows: np.ndarray,
        biases: np.ndarray,
        weights: np.ndarray,
        shift: np.ndarray,
        linear: int = 0,
    ):
        names, m = NAMES[: len(box.lower)], len(rows)
        self.function, self.box = (
            ExpressionMap(tuple(real_symbols(names).values()), [read_expression(e, names).expression for e in expressions]),
            box,
        )
        tiling = Tiling.whole(box, names)
        task = ManifoldTask("made", Atlas(tiling.coordinates, tiling.parametrising), ExpressionTarget(self.function))
        groups = (NeuronGroup("a", linear, "linear", IDENTITY), NeuronGroup("b", m - linear, "bent", RELU))
        net = Net((Affine(rows, biases), Affine(weights, shift)), (groups,), (None,))
        self.network = Network((MoELayer(None, (net,), (0,), ("all",), tuple(map(str, range(len(weights))))),), names)
        attempt = Attempt(Problem("made", self.network, task), Goal(np.inf, None), 0, Checkpoint(None, self.network, task, {}))
        self.manifold, self.sums = attempt.manifold, attempt.judges[0].sums
        kinds = np.array([nets.IDENTITY] * linear + [nets.RELU] * (m - linear), np.uint8)
        stored = nets.Net.of([nets.Map(rows, biases, kinds), nets.Map(weights, shift)])
        k, o = len(names), len(weights)
        layer = layers.Layer(None, np.arange(k), (stored,), np.zeros(1, np.intp), ("all",), np.arange(k), np.arange(o), np.full(o, -1))
        charts = Charts(task.atlas)
        self.ridges = Ridges.of(Subject("", charts, (layer,), None, np.zeros(k), charts.of_point(self.function), None, 0.0, np.inf))

    def bounds(self, lower: np.ndarray, upper: np.ndarray) -> list[np.ndarray]:
        assert self.sums is not None
        assert self.ridges is not None
        return [self.sums(0, self.manifold.place(0, lower, upper)), self.ridges.bound(0, 0, Interval(lower, upper))]

    def error(self, point: np.ndarray) -> Fraction:
        """At a point, exactly."""
        y = [Fraction(float(v)) for v in point]
        (net,) = self.network.layers[0].experts
        hidden, last = net.affines
        values = []
        for j, (row, bias) in enumerate(zip(hidden.weight.tolist(), hidden.bias.tolist(), strict=True)):
            z = sum((Fraction(a) * b for a, b in zip(row, y, strict=True)), Fraction(bias))
            values.append(z if j < net.groups[0][0].count else max(z, Fraction(0)))
        q = [
            sum((Fraction(w) * v for w, v in zip(row, values, strict=True)), Fraction(b))
            for row, b in zip(last.weight.tolist(), last.bias.tolist(), strict=True)
        ]
        names = [str(v) for v in self.function.variables]
        found = [by_terms.quadratic(tree, names) for tree in self.function.trees]
        k, worst = len(y), Fraction(0)
        for f, value in zip(found, q, strict=True):
            assert f is not None
            here = sum((f.square[i][j] * y[i] * y[j] for i in range(k) for j in range(k)), f.constant)
            worst = max(worst, abs(here + sum((a * b for a, b in zip(f.slope, y, strict=True)), Fraction(0)) - value))
        return worst


def random(seed: int) -> Made:
    """Rows that are multiples of a few, knots on corners, equal knots, neurons without a row or a weight, identities, any scale."""
    rng = np.random.default_rng(seed)
    k, m, outputs = int(rng.integers(1, 4)), int(rng.integers(2, 24)), int(rng.integers(1, 3))
    scale = float(rng.choice([1, 1, 30, 1e-3, 1e6]))
    low = np.round(rng.normal(size=k) * scale, 3)
    box = Box(tuple(low), tuple(low + np.round(rng.uniform(0.5, 2, k) * scale, 3)))
    texts = []
    for _ in range(outputs):
        squares = [f"({rng.normal():.2f})*x{i + 1}*x{j + 1}" for i in range(k) for j in range(i, k) if rng.random() < 0.7]
        texts.append(" + ".join([*squares, *(f"({rng.normal():.2f})*x{i + 1}" for i in range(k)), f"({rng.normal():.2f})"]))
    directions = rng.integers(-2, 3, (int(rng.integers(1, 5)), k)).astype(float)
    rows = directions[rng.integers(0, len(directions), m)] * rng.choice([1, -1, 0.5, -0.25, 3], m)[:, None]
    places = np.array(box.lower) + np.diff([box.lower, box.upper], axis=0)[0] * rng.choice([0, 1, 0.5, rng.random(), -0.3], (m, k))
    biases, weights = -(rows * places).sum(1), rng.normal(size=(outputs, m)) * (rng.random((outputs, m)) < 0.8)
    return Made(texts, box, rows, biases, weights * scale, rng.normal(size=outputs), int(rng.integers(0, 2)))


@pytest.mark.parametrize("seed", range(12))
def test_no_error_on_a_box_exceeds_either_bound(seed: int):
    made, rng = random(seed), np.random.default_rng(seed)
    low, high = np.array(made.box.lower), np.array(made.box.upper)
    corners = np.sort(low + (high - low) * rng.random((2, 4, len(low))), axis=0)
    lower, upper = np.concatenate([low[None], corners[0]]), np.concatenate([high[None], corners[1]])
    bounds = made.bounds(lower, upper)
    tried = 0
    for n in range(len(lower)):
        for t in (*rng.random((6, len(low))), *rng.integers(0, 2, (4, len(low)))):
            error = made.error(np.clip(lower[n] + (upper[n] - lower[n]) * t, lower[n], upper[n]))
            for bound in bounds:
                assert not np.isfinite(bound[n]) or error <= Fraction(float(bound[n]))
                tried += bool(np.isfinite(bound[n]))
    assert tried > 0


def squares(count: int) -> Made:
    """x1² − x2²/2 on [0, 1]² by `count` pieces of each: of the error of one, h²/4 at most, and of the other the sum is attained."""
    knots = np.arange(count) / count
    slopes = np.full(count, 2 / count)
    slopes[0] = 1 / count
    rows = np.concatenate([np.tile([1.0, 0.0], (count, 1)), np.tile([0.0, 1.0], (count, 1))])
    weights = np.concatenate([slopes, -slopes / 2])
    return Made(["x1**2 - x2**2/2"], Box((0.0, 0.0), (1.0, 1.0)), rows, -np.tile(knots, 2), weights[None], np.zeros(1))


def test_the_sum_of_the_largest_is_sharp_where_all_are_attained():
    """Interpolants of x1² lie up to h²/4 above, those of −x2²/2 h²/8 below: together h²/4, at middles of the one, knots of the other."""
    for bound in squares(16).bounds(np.zeros((1, 2)), np.ones((1, 2))):
        assert 1 <= bound[0] * 4 * 16**2 < 1 + 1e-6


def test_neurons_whose_pieces_a_box_does_not_touch_do_not_count():
    """Where x1 is left of its kink nothing of it is seen."""
    made = Made(["x2"], Box((-1.0, 0.0), (1.0, 1.0)), np.eye(2), np.zeros(2), np.array([[5.0, 1.0]]), np.zeros(1))
    for bound in made.bounds(np.array([[-1.0, 0.0], [-1.0, 0.0]]), np.array([[-0.25, 1.0], [1.0, 1.0]])):
        assert bound[1] >= 5
    left, right = np.array([[-1.0, 0.0]]), np.array([[-0.25, 1.0]])
    assert max(bound[0] for bound in made.bounds(left, right)) < 6


def test_a_number_that_is_read_twice_is_not_followed():
    made = squares(4)
    layer = made.network.layers[0]
    twice = MoELayer(None, layer.experts, (0,), ("all",), layer.channels, reads=(0, 0))
    assert made.manifold.atlas.dimension == 2
    task = ManifoldTask("twice", made.manifold.atlas, ExpressionTarget(made.function))
    network = Network((twice,), made.network.inputs)
    attempt = Attempt(Problem("twice", network, task), Goal(np.inf, None), 0, Checkpoint(None, network, task, {}))
    assert attempt.judges[0].sums is None


SPECS = {
    "product": ({"builtin": "box", "dimension": 2, "domain": [[-1, 1], [-1, 1]]}, "x1*x2", 1e-3),
    "lorenz": ({"builtin": "box", "dimension": 3, "domain": [[-30, 30], [-30, 30], [0, 60]]}, LORENZ, 2.0),
    "charts": ({"builtin": "circle", "atlas": "ball", "charts": 6}, "x1*x2 + x2/2", 0.01),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Certified models, made once."""
    made: dict[str, Path] = {}

    def folder(name: str) -> Path:
        if name not in made:
            manifold, expression, epsilon = SPECS[name]
            task = task_from_spec({"task": {"name": name}, "manifold": manifold, "target": {"expression": expression}})
            made[name] = certified(atlasmoe.compile(task, epsilon=epsilon), tmp_path_factory.mktemp(name) / "model", tightness=1.1)
        return made[name]

    return folder


def sampled(folder: Path) -> float:
    """The largest error at many points."""
    model = atlasmoe.load(folder)
    assert isinstance(model.task, ManifoldTask)
    points = model.task.atlas.sample(20_000, 5)
    return float(np.abs(model.network(points.ambient) - model.task.evaluate(points)).max())


@pytest.mark.parametrize("name", SPECS)
def test_what_has_few_directions_is_proved_and_confirmed(name: str, folders: Callable[[str], Path]):
    report = check(folders(name))
    assert report.verdict == "confirmed", why(report)
    assert report.bound is not None
    assert sampled(folders(name)) <= report.bound <= SPECS[name][2]
    if name != "charts":
        assert report.boxes <= 1024


@pytest.mark.parametrize("name", ["product", "lorenz"])
def test_no_smaller_bound_is_confirmed(name: str, folders: Callable[[str], Path], tmp_path: Path):
    def lowered(value: object, key: str = "") -> object:
        if isinstance(value, dict):
            return {k: lowered(v, k) for k, v in value.items()}
        if isinstance(value, list):
            return [lowered(v, key) for v in value]
        return 0.98 * value if key in ("bound", "error", "found") and isinstance(value, float) and value > 1e-4 else value

    def boxes(arrays: Arrays) -> None:
        for key in arrays:
            if key.endswith("bounds") and not key.startswith("scores"):
                arrays[key] = arrays[key] * 0.98

    forged = tampered(folders(name), tmp_path / "forged", lambda data: data.update(lowered(data)), boxes)
    assert check(forged).verdict in ("rejected", "undecided")


@pytest.mark.parametrize("seed", range(8))
def test_no_model_with_another_weight_that_misses_the_bound_is_confirmed(seed: int, folders: Callable[[str], Path], tmp_path: Path):
    rng = np.random.default_rng(seed)

    def change(arrays: Arrays) -> None:
        (first, last) = sorted(key for key in arrays if key.startswith("layers.1.experts.0") and key.endswith("weight"))
        key = [first, last, first.replace("weight", "bias"), last.replace("weight", "bias")][seed % 4]
        at = tuple(rng.integers(0, size) for size in arrays[key].shape)
        arrays[key][at] = -arrays[key][at] if seed < 4 and arrays[key][at] else arrays[key][at] + 0.01 * (1 + abs(arrays[key][at]))

    changed = reweighted(folders("product"), tmp_path / "changed", change)
    report, missed = check(changed), sampled(changed) > json.loads((changed / CERTIFICATE).read_text())["bound"]
    assert missed
    assert not report.holds
