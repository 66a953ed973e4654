"""The general layer as `check` reads and follows it: what it says of boxes holds at their points, and certificates are confirmed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, Box, Chart, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.intervals.patch import Patch
from atlasmoe.moe import Claim, Known, Ledger, Model, Network
from atlasmoe.moe.layer import MoELayer
from atlasmoe.moe.layout import describe, tensors
from atlasmoe.moe.nets import Affine, Net, NeuronGroup
from atlasmoe.moe.typed_json import Fields
from atlasmoe.verify.check import check
from atlasmoe.verify.check.floats import Floats, Stated
from atlasmoe.verify.check.layers import read_layers
from atlasmoe.verify.check.networks import Frame, beside
from atlasmoe.verify.check.parts import whole_box
from atlasmoe.verify.check.rounding import Sized, Way, rounding
from atlasmoe.verify.check.slices import Slice, Slicer
from certificates import certified, why
from general_layers import KINDS, NAMES, general_network, paper_form


def layers_of(network: Network) -> tuple:
    _, _, layers = read_layers(Fields.of(describe(network), Path("config.json")), tensors(network))
    return layers


def boxes(count: int, width: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    lower = np.random.default_rng(seed).uniform(-1, 1, (count, 2))
    return lower, lower + width


def behind(layers: tuple, lower: np.ndarray, upper: np.ndarray, moves: float = 0.0):
    """What a frame knows of the last layer's channels on boxes, (rows, channels), and which box each row is about."""
    frame = Frame(beside(Patch.coordinates(lower, upper), moves * np.eye(lower.shape[1])))
    state = frame.start(None)
    for layer in layers:
        state = frame.behind(layer, state, 0.0)
    return frame.range(state), state.box


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("width", "moves"), [(0.4, 0.0), (0.02, 0.0), (0.02, 0.05)])
def test_values_lie_where_they_are_said_to(kind: str, width: float, moves: float) -> None:
    """Of every point, also of one that is read amiss, some row of its box holds the output."""
    network = general_network(kind)
    lower, upper = boxes(60, width, 1)
    found, box = behind(layers_of(network), lower, upper, moves)
    rng = np.random.default_rng(2)
    for _ in range(20):
        z = lower + rng.uniform(0, 1, lower.shape) * (upper - lower) + rng.uniform(-moves, moves, lower.shape)
        values = network(z)[box]
        held = ((found.lower <= values + 1e-12) & (values - 1e-12 <= found.upper)).all(1)
        assert np.array_equal(np.unique(box[held]), np.arange(len(lower)))


@pytest.mark.parametrize("kind", KINDS)
def test_small_boxes_are_followed_closely(kind: str) -> None:
    lower, upper = boxes(40, 1e-6, 3)
    found, _ = behind(layers_of(general_network(kind)), lower, upper)
    assert np.quantile((found.upper - found.lower).max(1), 0.9) < 1e-4


@pytest.mark.parametrize("kind", KINDS)
def test_rounding_is_bounded(kind: str) -> None:
    """float32 against float64, on the same weights."""
    network = general_network(kind).astype(np.float32)
    points = np.random.default_rng(4).uniform(-1, 1, (4000, 2)).astype(np.float32)
    trace, exact = network.trace(points), network.astype(float).trace(points.astype(float))
    same = np.all([(a == b).all(1) for a, b in zip(trace.chosen, exact.chosen, strict=True)], axis=0)
    whole = Sized(-np.ones((1, 2)), np.ones((1, 2)), np.zeros((1, 2)))
    eta, behind = rounding(layers_of(network), whole, Way("float32", 64))
    assert np.abs(trace.output - exact.output)[same].max() <= behind.error.max() < 1e-2
    assert max(np.abs(a - b)[same].max() for a, b in zip(trace.logits, exact.logits, strict=True)) <= eta.max() < 1e-4


@pytest.mark.parametrize("kind", ["carries", "carries, written too", "everything"])
def test_slices_of_both_forms_read_the_same_numbers(kind: str) -> None:
    network = general_network(kind)
    written = Network((paper_form(network.layers[0], 2), *network.layers[1:]), network.inputs)
    origins = [Slicer(2, layers_of(net)).origins[1] for net in (network, written)]
    assert origins[0] == origins[1]
    assert (0, 0) in origins[0]
    layers = layers_of(network)
    part = Slicer(2, layers).slice(len(layers), [0], ())
    points = np.random.default_rng(5).uniform(-1, 1, (50, 2))
    reads = points[:, [c for _, c in part.reads]]
    found, box = behind(part.layers, reads, reads)
    values = network(points)[box]
    held = (found.lower <= values + 1e-12) & (values - 1e-12 <= found.upper)
    assert np.array_equal(np.unique(box[held.all(1)]), np.arange(50))


def square() -> ManifoldTask:
    """Three charts that are all of a square, which ends at every face, and a function on it."""
    x, y = sympy.symbols("x y", real=True)
    u = sympy.symbols("u v", real=True)
    chart = (Box((-1.0, -1.0), (1.0, 1.0)), ExpressionMap(u, u), ExpressionMap((x, y), (x, y)), ((True, True), (True, True)))
    atlas = Atlas(("x", "y"), tuple(Chart(name, *chart) for name in NAMES))
    return ManifoldTask("square", atlas, ExpressionTarget(ExpressionMap((x, y), (sympy.sin(x) * y,))))


@pytest.mark.parametrize("kind", KINDS)
def test_certificates_of_general_layers_are_confirmed(kind: str, tmp_path: Path) -> None:
    root = Claim("total", "|f − Ψ| ≤ ε", "by hand", 20.0, 20.0, Known.SAMPLED)
    facts = {"theorem": "4.8", "routing": "hinge", "epsilon": 20.0, "delta": 0.1, "mu": 0.5, "multiplicity": 3, "plateau_level": None}
    facts |= {"m": 6, "true_width": 6, "seed": 0}
    model = Model(general_network(kind), Ledger(root), square(), facts)
    report = check(certified(model, tmp_path / "model", tightness=2.0))
    assert report.verdict == "confirmed", why(report)


def test_rounding_on_boxes_of_many_variables_asks_for_no_vertices() -> None:
    """40 variables have 2^40 of them."""
    neurons = NeuronGroup("f", 2, "sums")
    net = Net((Affine(np.ones((2, 40)), np.zeros(2)), Affine(np.ones((1, 2)), np.zeros(1))), ((neurons,),))
    network = Network((MoELayer(None, (net,), (0,), ("all",), ("f",)),), tuple(f"x{k}" for k in range(40)))
    subject, trees = whole_box(Slice(layers_of(network), ()), np.eye(40), np.stack([np.zeros(40), np.ones(40)]), 0.0)
    floats = Floats(subject, {"float64": np.zeros(40)}, 41)
    assert not list(floats.failures(trees, Stated(0.0, {"float64": 1e-11})))
    assert list(floats.failures(trees, Stated(0.0, {"float64": 1e-17})))
