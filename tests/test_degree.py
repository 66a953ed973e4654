"""Which degree a proof takes, and that a higher one proves the same with fewer boxes and refutes what is false."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module

import numpy as np
import pytest
import sympy
from atlasmoe import CallableTarget, ExpressionMap, ExpressionTarget, ManifoldTask, Network, builtin
from atlasmoe.expressions.fields import callables
from atlasmoe.expressions.parse import read_expression, real_symbols
from atlasmoe.intervals.harmonics import Harmonics
from atlasmoe.moe import Affine, MoELayer, Net, NeuronGroup
from atlasmoe.moe.activations import GELU, RELU, SILU, Activation
from atlasmoe.moe.layer import Weighting
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.degree import degree_of

EPSILON = 1e-5
problem = import_module("atlasmoe.verify.prove.problem")


def task(d: int, off: float = 0.0) -> ManifoldTask:
    """x ↦ Σ_k silu(a_k·x + b_k)·w_k on a box, written out; plus a small bump."""
    x = sympy.symbols(f"x1:{d + 1}", real=True)
    rng = np.random.default_rng(d)
    total: sympy.Expr = sympy.Float(off) / (1 + 50 * sum((c - 1) ** 2 for c in x))
    for row, b, w in zip(*neurons(d, rng), strict=True):
        z = sum(sympy.Float(float(a)) * c for a, c in zip(row, x, strict=True)) + sympy.Float(float(b))
        total += sympy.Float(float(w)) * z / (1 + sympy.exp(-z))
    return ManifoldTask("written out", builtin("box", dimension=d, charts=1), ExpressionTarget(ExpressionMap(x, (total,))))


def neurons(d: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    directions = rng.normal(size=(2, d))
    return np.repeat(directions, 3, axis=0), np.tile([-1.0, 0.0, 1.5], 2), rng.normal(size=6)


def network(d: int, activation: Activation = SILU) -> Network:
    rows, biases, weights = neurons(d, np.random.default_rng(d))
    net = Net((Affine(rows, biases), Affine(weights[None], np.zeros(1))), ((NeuronGroup("n", 6, "by hand", activation),),))
    layer = MoELayer(None, (net,), (0,), ("all",), ("y",))
    return Network((layer,), tuple(f"x{k + 1}" for k in range(d)))


@pytest.mark.parametrize("d", [1, 2, 3])
def test_the_degree_that_is_taken(d: int) -> None:
    """Higher for smooth experts in two dimensions and more, and for fields that are expanded; 2 with kinks, with moves, for Python
    functions, and where experts are mixed."""
    smooth, given, higher = network(d), task(d), {1: 2, 2: 4, 3: 5}[d]
    assert degree_of(smooth, given, None) == higher
    assert degree_of(network(d, GELU), given, None) == higher
    assert degree_of(network(d, RELU), given, None) == 2
    assert degree_of(smooth, given, np.ones(d)) == 2
    assert degree_of(smooth, replace(given, target=CallableTarget(lambda x: x[:, :1], 1)), None) == 2
    to_third = CallableTarget(lambda x: x[:, :1], 1, degree=3)
    assert degree_of(smooth, replace(given, target=to_third), None) == min(higher, 3)
    x = real_symbols([f"x{k + 1}" for k in range(d)])
    names = {**x, **callables(Harmonics("B", np.ones((1, 2, 3)), False))}
    expanded = ExpressionTarget(ExpressionMap.of(x.values(), [read_expression("B(x1, 1, 0) + x1", names)]))
    assert degree_of(smooth, replace(given, target=expanded), None) == (2 if d == 1 else 5)
    (layer,) = smooth.layers
    gate = Affine(np.ones((2, d)), np.zeros(2))
    two = replace(layer, gate=gate, serves=(0, 0), names=("a", "b"))
    assert degree_of(replace(smooth, layers=(two,)), given, None) == higher
    assert degree_of(replace(smooth, layers=(replace(two, top_k=2),)), given, None) == 2
    assert degree_of(replace(smooth, layers=(replace(two, weighting=Weighting.RECTIFIED),)), given, None) == 2
    assert degree_of(replace(smooth, layers=(replace(layer, shared=network(d, RELU).layers[0].experts[0]),)), given, None) == 2


@pytest.mark.parametrize(("d", "epsilon"), [(2, 3e-5), (3, 1e-2)])
def test_higher_degrees_take_fewer_boxes(d: int, epsilon: float, monkeypatch: pytest.MonkeyPatch) -> None:
    boxes = {}
    for degree in (2, 3, 4, 5):
        monkeypatch.setattr(problem, "degree_of", lambda *_, degree=degree: degree)
        found = certify(network(d), task(d), epsilon=epsilon, tightness=None)
        assert found.status == "proved", degree
        assert found.bound <= found.epsilon
        boxes[degree] = sum(site.solution.boxes for site in found.sites)
    assert boxes[3] < 0.7 * boxes[2]
    assert boxes[5] <= boxes[4] <= boxes[3]


@pytest.mark.parametrize("degree", [3, 4, 5])
def test_what_is_false_is_refuted_at_any_degree(degree: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problem, "degree_of", lambda *_: degree)
    monkeypatch.setattr(problem, "look_for_errors", lambda *_: None)  # the search has to find it
    found = certify(network(2), task(2, off=1e-4), epsilon=EPSILON, tightness=None)
    assert found.status == "refuted"
    assert found.refutation is not None
    assert EPSILON < found.refutation.error <= 1e-4 * (1 + 1e-9)
