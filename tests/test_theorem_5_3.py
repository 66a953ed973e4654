"""Theorem 5.3: blocks on intervals and boxes, with jumps, recomputed from the arrays and looked at float by float."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from atlasmoe import Block, Box, BoxPiece, Combine, Input, InvalidArgument, Known, TaskGraph, Tiling, compile
from atlasmoe.constructions.routers.faces import directed, scores_net
from atlasmoe.constructions.routers.intervals import affine_scores

KNOTS = (0.0, 0.1, 0.3, 1 / 3, 1.0)
JUMPING = ["sin(x)", "x+1", "-2", "x**2"]
EPSILON = 1e-3


def on_interval(closed: str, knots=KNOTS, pieces=JUMPING) -> TaskGraph:
    block = Block.parse("y", ("x",), Tiling.intervals(list(knots), closed), list(pieces))
    return TaskGraph("jumps", (Input("x", Box((knots[0],), (knots[-1],))), block), "y")


def around(value: float, dtype: str, steps: int = 3) -> list[float]:
    """The number of the dtype next to `value`, and some on either side."""
    kind = np.dtype(dtype).type
    nearest = kind(value)
    found = [nearest]
    for towards in (-np.inf, np.inf):
        at = nearest
        for _ in range(steps):
            at = np.nextafter(at, kind(towards))
            found.append(at)
    return [float(v) for v in found]


@pytest.mark.parametrize(
    ("closed", "dtype", "depth"), list(itertools.product(("lower", "upper"), ("float32", "float64"), ("paper", "L+1")))
)
def test_every_float_around_an_interface_goes_to_its_owner(closed, dtype, depth):
    graph = on_interval(closed)
    model = compile(graph, epsilon=EPSILON, dtype=dtype, depth=depth)
    x = np.array([v for t in KNOTS[1:-1] for v in around(t, dtype)])[:, None]
    # Pieces differ by far more than ε here, so that a wrong owner could not be missed.
    jumps = np.abs(np.diff([graph(np.array([[t + s]]))[0, 0] for t in KNOTS[1:-1] for s in (-1e-6, 1e-6)]))[::2]
    assert jumps.min() > 100 * EPSILON
    assert np.abs(model(x) - graph(x)).max() <= EPSILON
    assert model.ledger.holds
    assert ("below" if closed == "upper" else "above") in model.ledger["block[y].routing"].note


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("closed", ["lower", "upper"])
def test_three_intervals_need_no_scores_and_stay_exact(closed, dtype):
    graph = on_interval(closed, (0, 0.1, 1 / 3, 1), ["sin(x)", "x+1", "-2"])
    model = compile(graph, epsilon=EPSILON, dtype=dtype, depth="L")
    assert len(model.network.layers) == 1
    x = np.array([v for t in (0.1, 1 / 3) for v in around(t, dtype)])[:, None]
    assert np.abs(model(x) - graph(x)).max() <= EPSILON


def test_more_jumping_intervals_refuse_affine_scores():
    with pytest.raises(InvalidArgument, match=r'block "y": its pieces jump by .* at x = 0\.1.*use depth "L\+1"'):
        compile(on_interval("lower"), epsilon=EPSILON, depth="L")


def test_five_continuous_intervals_take_affine_scores():
    graph = on_interval("lower", (0, 0.1, 0.3, 0.7, 0.8, 1), ["x", "x", "sin(x-3/10)+3/10", "sin(2/5)+3/10", "sin(2/5)+x-1/2"])
    model = compile(graph, epsilon=EPSILON, depth="L")
    assert len(model.network.layers) == 1
    assert "within" in model.ledger["block[y].routing"].statement
    x = np.array([v for t in (0.1, 0.3, 0.7, 0.8) for v in around(t, "float64")])[:, None]
    assert np.abs(model(x) - graph(x)).max() <= EPSILON


def test_scores_are_zero_exactly_on_the_closed_piece():
    tiling = Tiling.grid([[0, 0.1, 0.7, 1], [-1, 0.3, 2]])
    net = scores_net(tiling, range(len(tiling)), (True, True), "float64")
    assert net.widths == (2 * (3 - 1) + 2 * (2 - 1),)
    axes = [[0, *around(0.1, "float64"), *around(0.7, "float64"), 1], [-1, *around(0.3, "float64"), 2]]
    z = np.array(list(itertools.product(*axes)))
    inside = ((z[:, None] >= tiling.lower) & (z[:, None] <= tiling.upper)).all(-1)
    scores = net(z)
    assert ((scores == 0) == inside).all()
    assert (scores[~inside] < 0).all()


@pytest.mark.parametrize("value", [0.1, 1 / 3, 0.5, -0.7])
def test_faces_are_rounded_to_their_own_side(value):
    for side in (-1, 1):
        stored = directed(value, side, "float32")
        assert np.float32(stored) == stored
        assert (stored - value) * side >= 0
        assert abs(stored - value) <= np.spacing(np.float32(abs(value)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_boxes_that_are_no_grid(dtype):
    # A pinwheel: no line cuts it through.
    boxes = {
        "south": ((0, 0), (0.7, 0.3)), "east": ((0.7, 0), (1, 0.7)), "north": ((0.3, 0.7), (1, 1)),
        "west": ((0, 0.3), (0.3, 1)), "middle": ((0.3, 0.3), (0.7, 0.7)),
    }  # fmt: skip
    tiling = Tiling(tuple(BoxPiece(name, Box(*corners)) for name, corners in boxes.items()))
    block = Block.parse("y", ("a", "b"), tiling, ["1", "2+a", "3+b", "4+a*b", "5"])
    graph = TaskGraph("pinwheel", (Input("p", Box((0, 0), (1, 1)), ("a", "b")), block), "y")
    model = compile(graph, epsilon=0.01, dtype=dtype)
    places = sorted({v for t in (0.3, 0.7) for v in around(t, dtype, 1)} | {0.0, 0.5, 1.0})
    x = np.array(list(itertools.product(places, places)))
    assert np.abs(model(x) - graph(x)).max() <= 0.01
    with pytest.raises(InvalidArgument, match=r'block "y": the pieces are no grid'):
        compile(graph, epsilon=0.01, depth="L")


def test_affine_scores_of_a_grid():
    tiling = Tiling.grid([[0, 1, 3, 4, 6], [0, 2, 5]])
    gate, _ = affine_scores(tiling, range(len(tiling)), True, "float64")
    z = tiling.domain.uniform(4000, np.random.default_rng(0))
    assert (gate(z).argmax(1) == tiling.contains(z).argmax(1)).all()


@pytest.fixture(scope="module")
def pair() -> TaskGraph:
    nodes = (
        Input("x", Box((0, 0, -1), (3, 3, 1)), ("a", "b", "c")),
        Block.parse("f1", ("a",), Tiling.intervals([0, 1, 2, 3]), ["a*(1-a)", "2*(a-1)*(2-a)", "cos(a)"]),
        Block.parse("f2", ("b",), Tiling.intervals([0, 0.5, 3]), ["exp(b)", "-b"]),
        Combine.parse("f", ("f1", "f2", "c"), "2*f1 - f2 + c/4 + 1"),
    )
    return TaskGraph("pair", nodes, "f")


@pytest.mark.parametrize(("depth", "layers"), [("paper", 4), ("L+1", 3), ("L", 2)])
def test_depth(pair, depth, layers):
    model = compile(pair, epsilon=0.05, depth=depth)
    assert len(model.network.layers) == model.facts["depth"] == layers
    x = pair.sample(2000, 1)
    assert np.abs(model(x) - pair(x)).max() <= 0.05
    assert model.ledger["routing"].bound == 0
    assert model.ledger["propagation"].known is Known.FORMULA


def test_network_recomputed_from_its_arrays(pair):
    """Layer by layer as the theorem has it: append τ, route on it, write y beside what is still needed, read out."""
    model = compile(pair, epsilon=0.05)
    layers = model.network.layers
    x = np.array([[0.3, 2.5, 0.7], [1.0, 0.5, -0.2], [2.9, 0.1, 1.0], [2.0, 0.499, 0.0]])
    for point in x:
        state = dict(zip(model.network.inputs, point, strict=True))
        for l, block in enumerate(pair.blocks):
            score, route = layers[2 * l], layers[2 * l + 1]
            assert (model.design[block.name].scores, model.design[block.name].layer) == (2 * l, 2 * l + 1)
            before = state if l == 0 else dict(state)
            arriving = model.network.inputs if l == 0 else layers[2 * l - 1].channels
            written = run(score.experts[0], point_of(before, arriving, score.reads))
            assert len(score.experts) == 1
            state = dict(zip(score.channels, written, strict=True))
            z = {"f1": point[0], "f2": point[1]}[block.name]
            for piece, low, high in zip(block.names, block.domain.lower[:, 0], block.domain.upper[:, 0], strict=True):
                low = -np.inf if low == 0 else low
                high = np.inf if high == 3 else high
                assert state[f"tau[{block.name}][{piece}]"] == -max(low - z, 0) - max(z - high, 0)
            assert all(state[name] == before[name] for name in set(state) & set(before))  # carried exactly
            logits = [sum(w * state[name] for w, name in zip(row, score.channels, strict=True)) for row in route.gate.weight]
            best = next(k for k, value in enumerate(logits) if value == max(logits))
            assert block.names.index(route.names[best]) == int(block.domain.contains(np.array([[z]]))[0].argmax())
            values = run(route.experts[route.serves[best]], point_of(state, score.channels, route.reads))
            kept = {name: state[name] for name in route.channels if name in state}
            state = dict(zip(route.channels, values, strict=True))
            assert all(state[name] == kept[name] for name in kept)
            if l == 0:  # R2: nothing that is needed later is gone
                assert {"y[f1]", "x[1]", "x[2]"} == set(route.channels)
                truth = pair.trace(point[None]).values["f1"][0]
                assert abs(state["y[f1]"] - truth) <= model.ledger["block[f1]"].budget
        assert state["y[f]"] == pytest.approx(model(point[None])[0, 0], abs=1e-14)


def point_of(state: dict[str, float], channels, reads) -> np.ndarray:
    chosen = channels if reads is None else [channels[k] for k in reads]
    return np.array([state[name] for name in chosen])


def run(net, x: np.ndarray) -> np.ndarray:
    for affine in net.affines[:-1]:
        x = np.maximum(affine.weight @ x + affine.bias, 0)
    return net.affines[-1].weight @ x + net.affines[-1].bias


def test_y_takes_the_place_of_x(pair):
    """In-place, as 5.3 has it: x_l is dropped in the layer that writes y_l, as nothing reads it any more."""
    model = compile(pair, epsilon=0.05)
    assert [len([c for c in layer.channels if not c.startswith("tau")]) for layer in model.network.layers] == [3, 3, 3, 1]


def test_theorem_5_2_needs_charts(pair):
    with pytest.raises(InvalidArgument, match=r'block "f1" is given on pieces'):
        compile(pair, epsilon=0.05, theorem="5.2")
