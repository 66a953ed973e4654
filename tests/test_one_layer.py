"""∏ E_l pieces in one layer (N15, N19): exactly one expert of every block, for every number of the dtype, and what breaks it."""

from __future__ import annotations

import itertools
import re
from math import comb

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, BoxPiece, Combine, Input, TaskGraph, Tiling
from atlasmoe.constructions.grouped_layer import side_by_side
from atlasmoe.constructions.routers.grouped import group, half_lines, margin, owned, slope
from atlasmoe.errors import InvalidArgument
from atlasmoe.explain import explain_neuron
from atlasmoe.moe import Affine, Net
from atlasmoe.moe.channels import Input as X
from atlasmoe.moe.layer import MoELayer
from atlasmoe.verify.sample import verify

KNOTS = (-3.0, -1 / 3, 0.0, 0.1, 1.0, np.pi, 1e6)
"""Thirds and tenths that no dtype holds, a power of two, whose neighbours are at different distances, 0 and its denormals."""
SAMPLES = 400


def tilings() -> list[Tiling]:
    """Intervals with lower and with upper ends, and boxes of the plane that no grid is, faces owned as they come."""
    middle = (Box((0.1, 0.1), (0.3, 0.7)), ((True, False), (False, True)))
    around = [
        (Box((0, 0), (1, 0.1)), ((True, True), (True, True))),
        (Box((0, 0.7), (1, 1)), ((True, True), (False, True))),
        (Box((0, 0.1), (0.1, 0.7)), ((True, False), (False, True))),
        (Box((0.3, 0.1), (1, 0.7)), ((True, True), (False, True))),
    ]
    boxes = [BoxPiece(f"b{k}", box, closed) for k, (box, closed) in enumerate([middle, *around])]
    return [Tiling.intervals(KNOTS), Tiling.intervals(KNOTS, "upper"), Tiling(tuple(boxes))]


def numbers(knots: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Every knot in the dtype, its four nearest neighbours, and as many between; denormals next to 0 included."""
    found = [np.asarray(knots, dtype)]
    for side in (-np.inf, np.inf):
        step = found[0]
        for _ in range(2):
            step = np.nextafter(step, np.asarray(side, dtype))
            found.append(step)
    middles = np.asarray((knots[1:] + knots[:-1]) / 2, dtype)
    return np.unique(np.concatenate([*found, middles]))


def layer_of(parts: list[Tiling], dtype: str, power: int | None = None, closed: bool = False) -> tuple[MoELayer, list[list[int]]]:
    """A layer of one group for each tiling, each of coordinates of its own; `closed`: with faces that belong to both of their pieces."""
    starts = np.cumsum([0, *(part.dimension for part in parts)])
    orders = [list(range(len(part))) for part in parts]
    gates = []
    for part, order, start in zip(parts, orders, starts, strict=False):
        own = part if not closed else Tiling(tuple(BoxPiece(p.name, p.box, ((True, True),) * part.dimension) for p in part.pieces))
        net = group(own, order, dtype, **({} if power is None else {"power": power}))
        wide = np.zeros((len(net.affines[0].weight), int(starts[-1])))
        wide[:, start : start + part.dimension] = net.affines[0].weight
        gates.append(net.with_maps((Affine(wide, net.affines[0].bias), *net.affines[1:])))
    gate = side_by_side(gates)
    expert = Affine(np.zeros((1, int(starts[-1]))), np.zeros(1)).net
    names = tuple(f"{k}" for k in range(gate.outputs))
    layer = MoELayer(gate, (expert,), (0,) * gate.outputs, names, ("y",), top_k=len(parts))
    return layer.astype(dtype), orders


def points(parts: list[Tiling], dtype: str, count: int) -> np.ndarray:
    """Random choices among the numbers of every axis, and all pairs of the first two axes."""
    rng = np.random.default_rng(0)
    axes = [numbers(knots, np.dtype(dtype)) for part in parts for knots in part.knots]
    x = np.stack([rng.choice(axis, count) for axis in axes], axis=1)
    pairs = np.array(list(itertools.product(axes[0], axes[1])), dtype)
    more = x[rng.integers(count, size=len(pairs))]
    more[:, :2] = pairs
    return np.concatenate([x, more])


def owners(parts: list[Tiling], x: np.ndarray) -> np.ndarray:
    """The gate outputs that own a point, [N, L], those outside of the domain as their nearest point in it."""
    found, start, first = [], 0, 0
    for part in parts:
        z = np.clip(x[:, start : start + part.dimension].astype(float), part.domain.lower, part.domain.upper)
        found.append(first + part.owner(z))
        start, first = start + part.dimension, first + len(part)
    return np.stack(found, axis=1)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exactly_one_of_every_group_for_every_number(dtype: str) -> None:
    parts = [*tilings(), *tilings()]
    layer, _ = layer_of(parts, dtype)
    x = points(parts, dtype, 20_000)
    logits = layer.logits(x)
    zeros = logits == 0
    right = owners(parts, x)
    assert (zeros.sum(1) == len(parts)).all()
    assert np.take_along_axis(zeros, right, 1).all()
    assert (np.sort(layer.choose(logits), axis=1) == right).all()
    weights = layer.weights(layer.choose(logits), logits)
    assert (weights == weights[0, 0]).all()
    assert weights[0, 0] == np.asarray(1, dtype) / len(parts)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_faces_that_belong_to_both_pieces_choose_a_group_twice(dtype: str) -> None:
    """B10's scores, which a tie decides, will not do where groups share a layer: that is what predecessors are for."""
    parts = tilings()[:2]
    layer, _ = layer_of(parts, dtype, closed=True)
    x = points(parts, dtype, 100)
    chosen = layer.choose(layer.logits(x))
    twice = ((chosen < len(parts[0])).sum(1) != 1).mean()
    assert twice > 0.01


def probabilities(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def sigmoids(logits: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-np.maximum(logits, -80)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", [probabilities, sigmoids])
def test_routers_that_select_on_probabilities(dtype: str, kind) -> None:
    """Faces away from 0: slopes of 2^8 in units of the face survive, slopes of 1 do not."""
    parts = [Tiling.intervals((-3.0, -1 / 3, 0.1, 1.0, np.pi, 40.0))] * 3
    x = points(parts, dtype, 5_000)
    right = owners(parts, x)
    unit = float(np.finfo(dtype).eps) / 2

    def wrong(power: int) -> int:
        layer, _ = layer_of(parts, dtype, power)
        # Stored thresholds and slopes are what is promised: −z ≥ 2^p·u off the piece.
        assert margin(layer.gate, dtype) >= 2**power * unit
        chosen = layer.choose(kind(layer.logits(x)))
        return int((np.sort(chosen, axis=1) != right).any(1).sum())

    assert wrong(8) == 0
    assert wrong(0) > 0


def test_thresholds_are_the_nearest_numbers_on_their_side() -> None:
    for dtype in (np.float32, np.float64):
        for t in (*KNOTS, 1e-300, 5e-324):
            for side, own in itertools.product((1, -1), (True, False)):
                found = dtype(owned(t, side, own, dtype))
                before = np.nextafter(found, dtype(-side * np.inf))
                inside, beyond = (float(found) - t) * side, (float(before) - t) * side
                assert inside > 0 or (inside == 0 and own)
                assert beyond < 0 or (beyond == 0 and not own)
                s = slope(t, dtype)
                assert np.frexp(s)[0] == 0.5
                assert float(dtype(s * float(found))) == s * float(found), "a power of two changes no digit"


def test_a_face_at_zero_survives_flushed_denormals() -> None:
    """No weight of it is denormal: x = 0 is told from the piece below with denormals flushed to 0 too."""
    import torch

    layer, _ = layer_of([Tiling.intervals((-1, 0, 1))] * 2, "float32")
    smallest = np.finfo(np.float32).tiny
    for map_ in layer.gate.affines:
        assert (np.abs(map_.bias[map_.bias != 0]) >= smallest).all()
    x = torch.tensor([[0.0, -1e-37], [-1e-37, 0.0], [0.5, 0.0]], dtype=torch.float32)
    torch.set_flush_denormal(True)
    try:
        first, last = (tuple(torch.from_numpy(a.copy()) for a in (m.weight, m.bias)) for m in layer.gate.affines)
        logits = torch.relu(x @ first[0].T + first[1]) @ last[0].T + last[1]
        zero = (logits == 0).numpy()
    finally:
        torch.set_flush_denormal(False)
    assert (zero == np.array([[0, 1, 1, 0], [1, 0, 0, 1], [0, 1, 0, 1]], bool)).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_half_lines_need_no_hidden_layer(dtype: str) -> None:
    """N19: the largest L of 2L affine logits."""
    parts = [Tiling.intervals((-3.0, t, 7.0), closed) for t, closed in ((1 / 3, "lower"), (0.0, "upper"), (1.0, "upper"), (0.1, "lower"))]
    nets = [half_lines(part, [0, 1], dtype) for part in parts]
    x = points(parts, dtype, 2_000)
    logits = np.concatenate([net.astype(dtype)(x[:, [k]]) for k, net in enumerate(nets)], axis=1)
    assert all(net.widths == () for net in nets)
    assert ((logits >= 0).sum(1) == 4).all()
    assert np.take_along_axis(logits >= 0, owners(parts, x), 1).all()
    assert half_lines(Tiling.intervals((0, 1, 2, 3)), [0, 1, 2], dtype) is None


def graph(L: int, knots: tuple[float, ...] = (0, 1, 2, 3, 4), output: str = "", box: tuple[float, float] | None = None) -> TaskGraph:
    """A sum of L functions that jump at their knots, plus a part of x_1 and a constant; or another output."""
    rng = np.random.default_rng(L)
    low, high = box or (knots[0], knots[-1])
    names = [f"x{l}" for l in range(1, L + 1)]
    nodes: list[Input | Block | Combine] = [Input("x", Box((low,) * L, (high,) * L), tuple(names))]
    for l, name in enumerate(names, 1):
        levels = rng.permutation(len(knots) - 1).tolist()
        pieces = [f"{level} + ({name} - {a})*({b} - {name})" for level, a, b in zip(levels, knots, knots[1:], strict=False)]
        nodes.append(Block.parse(f"f{l}", (name,), Tiling.intervals(knots, "upper" if l % 2 else "lower"), pieces))
    text = output or " + ".join(f"{l}*f{l}" for l in range(1, L + 1)) + " - 0.5*x1 + 3"
    reads = [word for word in (*(f"f{l}" for l in range(1, L + 1)), *names) if re.search(rf"\b{word}\b", text)]
    return TaskGraph("sum", (*nodes, Combine.parse("f", tuple(reads), text)), "f")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_sum_of_blocks_is_one_layer(dtype: str, tmp_path) -> None:
    task = graph(3)
    model = atlasmoe.compile(task, epsilon=0.2, depth="1", dtype=dtype)
    (layer,) = model.network.layers
    assert (len(layer), layer.top_k, layer.gate.widths) == (12, 3, (18,))
    assert [site.first for site in model.design.sites] == [0, 4, 8]
    claims = {claim.name: claim for _, claim in model.ledger.root.walk()}
    assert claims["routing.one_per_group"].known == "exact"
    assert claims["routing.active_sets"].bound == 4**3 <= claims["routing.active_sets"].budget == comb(12, 3)
    assert verify(model, samples=SAMPLES).holds
    # All pieces, at points on interfaces and next to them: blocks one by one, as the expert chosen shows.
    x = points([block.tiling for block in task.blocks], dtype, 4_000)
    x = np.clip(x, 0, 4)
    trace = model.network.trace(x)
    for block in task.blocks:
        site = model.design[block.name]
        taken, _ = site.taken(trace.chosen[0])
        k = task.coordinates.index(block.reads[0])
        assert taken.shape[1] == 1
        assert (np.array(site.pieces)[taken[:, 0]] == np.array(block.names)[block.tiling.owner(x[:, [k]].astype(float))]).all()
    assert np.abs(trace.output.astype(float) - task(x.astype(float))).max() <= 0.2
    back = atlasmoe.load(atlasmoe.save(model, tmp_path / "m"))
    assert back.design == model.design
    assert (back.network(x) == model.network(x)).all()


def test_explanations_name_one_piece_of_every_block() -> None:
    model = atlasmoe.compile(graph(2), epsilon=0.2, depth="1")
    found = model.explain([1.0, 1.0])
    assert [choice.piece for choice in found.blocks] == ["piece1", "piece2"], "f1 owns upper ends, f2 lower ones"
    assert all(choice.right and choice.chosen == ((choice.piece, 0.5),) for choice in found.blocks)
    assert found.error <= 0.2
    origin = explain_neuron(model, 1, "gate", 0)
    assert "N15" in origin.origin
    assert set(origin.reads) <= {"x1", "x2"}
    assert len(origin.reads) == 1


def test_torch_takes_the_same_experts() -> None:
    import torch

    model = atlasmoe.compile(graph(3), epsilon=0.2, depth="1")
    x = points([block.tiling for block in model.task.blocks], "float64", 500)
    found = atlasmoe.to_torch(model)(torch.from_numpy(x), return_routes=True)
    trace = model.network.trace(x)
    assert (np.sort(found.routes[0].numpy(), 1) == np.sort(trace.chosen[0], 1)).all()
    assert np.abs(found.y.detach().numpy() - trace.output).max() < 1e-12


def test_a_block_that_reads_another_takes_the_longest_path() -> None:
    inner = Block.parse("a", ("s",), Tiling.intervals((0, 1, 2)), ["s/2", "2 + s/2"])
    other = Block.parse("b", ("t",), Tiling.intervals((0, 0.5, 2)), ["t", "1 - t"])
    outer = Block.parse("c", ("a",), Tiling.intervals((0, 1.5, 3)), ["3*a", "-a"])
    task = TaskGraph(
        "two levels", (Input("x", Box((0, 0), (2, 2)), ("s", "t")), inner, other, outer, Combine.parse("f", ("b", "c"), "b + c")), "f"
    )
    with pytest.raises(InvalidArgument, match='block "c" reads a, which is computed first'):
        atlasmoe.compile(task, epsilon=0.01, depth="1")
    for form in ("paper", "residual"):
        model = atlasmoe.compile(task, epsilon=0.01, depth="path", form=form)
        assert [layer.top_k for layer in model.network.layers] == [2, 1]
        assert verify(model, samples=SAMPLES).holds


@pytest.mark.parametrize(
    ("task", "options", "said"),
    [
        (graph(2, output="sin(f1 + f2)"), {}, 'combination "f" is no affine map'),
        (graph(2), {"weighting": {"f1": "uniform"}}, "blocks that share a layer have one weighting"),
    ],
    ids=["not affine", "two weightings"],
)
def test_graphs_without_such_a_layer(task: TaskGraph, options: dict, said: str) -> None:
    with pytest.raises(InvalidArgument, match=said):
        atlasmoe.compile(task, epsilon=0.1, depth="1", **options)


def test_a_rotated_coordinate_is_no_number_of_the_dtype() -> None:
    task = TaskGraph(
        "turned",
        (
            Input("x", Box((0, 0), (1, 1)), ("s", "t")),
            Combine.parse("u", ("s", "t"), "s + t"),
            Block.parse("a", ("u",), Tiling.intervals((0, 1, 2)), ["u", "3 - u"]),
            Block.parse("b", ("s",), Tiling.intervals((0, 0.5, 1)), ["s", "3 - s"]),
            Combine.parse("f", ("a", "b"), "2*a + b"),
        ),
        "f",
    )
    with pytest.raises(InvalidArgument, match=r'block "a" reads u, an affine form of 2 channels'):
        atlasmoe.compile(task, epsilon=0.1, depth="1")


def test_one_block_needs_no_group() -> None:
    """A layer of one block keeps closed faces, of which the first wins, and of charts the gate of nearest centres."""
    model = atlasmoe.compile(graph(1, output="2*f1"), epsilon=0.1, depth="1")
    (layer,) = model.network.layers
    assert layer.top_k == 1
    assert model.design.sites[0].router == "intervals"
    assert atlasmoe.certify(model)["total"].known == "proved"
    balls = atlasmoe.ball_atlas(atlasmoe.builtin("circle"), charts=6)
    nodes = (Input("p", balls), Block.parse("a", ("p_1", "p_2"), balls, "p_1"))
    task = TaskGraph("circle", (*nodes, Combine.parse("f", ("a",), "2*a")), "f")
    model = atlasmoe.compile(task, epsilon=0.1, depth="1")
    assert [layer.gate.widths for layer in model.network.layers] == [()]
    assert verify(model, samples=SAMPLES).holds


def test_a_domain_that_overflows() -> None:
    wide = Tiling.intervals((-1e30, 0, 1e30))
    with pytest.raises(InvalidArgument, match="overflows float32"):
        group(wide, [0, 1], "float32")
    assert group(wide, [0, 1], "float64").widths == (2,)


def test_a_group_of_one_piece_is_always_chosen() -> None:
    task = TaskGraph(
        "one piece",
        (
            Input("x", Box((0, 0), (1, 1)), ("s", "t")),
            Block.parse("a", ("s",), Tiling.intervals((0, 1)), "s**2"),
            Block.parse("b", ("t",), Tiling.intervals((0, 0.5, 1)), ["t", "2 - t"]),
            Combine.parse("f", ("a", "b"), "a + b"),
        ),
        "f",
    )
    for weighting in ("softmax", "uniform"):
        model = atlasmoe.compile(task, epsilon=0.05, depth="1", weighting=weighting)
        (layer,) = model.network.layers
        assert (len(layer), layer.top_k, layer.gate.widths) == (3, 2, () if weighting == "uniform" else (2,))
        assert verify(model, samples=SAMPLES).holds


def test_the_count_is_attained() -> None:
    """Of n = K·E experts in K groups no sizes give more sets than equal ones, (n/K)^K."""
    n, K = 12, 3
    best = max(a * b * (n - a - b) for a in range(1, n) for b in range(1, n - a))
    assert best == (n // K) ** K <= comb(n, K)


def test_input_channels_are_read_as_they_are() -> None:
    model = atlasmoe.compile(graph(2, output="f1 + f2"), epsilon=0.2, depth="1")
    assert model.design.states[0] == (X(0), X(1))
    assert isinstance(model.network.layers[0].gate, Net)
    assert model.network.layers[0].shared is None
