"""Which pieces of a task graph are visited, where, and how they are counted; interface points belong to the side that the spec says."""

from __future__ import annotations

from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.verify.sample import Pieces, verify, verify_network
from atlasmoe.verify.sample.points import interfaces
from atlasmoe.verify.sample.product import Product
from atlasmoe.verify.sample.sample import ALL_PIECES
from atlasmoe.verify.sample.survey import tuples_of
from handmade import Arrays, with_expert
from jumping import SAMPLES, jumping, refuted, wrong_at


@pytest.mark.parametrize(
    ("closed", "dtype", "depth"), [("upper", "float32", "L"), ("lower", "float32", "L+1"), ("upper", "float64", "paper")]
)
def test_jumps_with_either_closing(closed: str, dtype: str, depth: str) -> None:
    """An interface point belongs to the side that the spec says; a network for the other closing is wrong at just those points."""
    model = atlasmoe.compile(jumping(closed), epsilon=0.2, dtype=dtype, depth=depth)
    report = verify(model, samples=SAMPLES)
    assert report.holds, str(report)
    other = replace(model, task=jumping("lower" if closed == "upper" else "upper"))
    against = verify(other, samples=SAMPLES)
    assert {"total", "routing.valid"} <= refuted(against)
    witness = against["routing.valid"].witness
    assert witness is not None
    assert set(witness) & {1.0, 0.3}, "only an interface point itself tells them apart"
    assert against.rate.violations == 0


def test_interface_points_lie_on_both_sides_and_on_the_interface() -> None:
    for dtype in (np.dtype("float64"), np.dtype("float32")):
        places = interfaces(Product(jumping(), dtype), 100, 0)
        s = places.ambient[:, 0]
        np.testing.assert_array_equal(s.astype(dtype).astype(float), s)
        one = np.asarray(1, dtype)
        wanted = {1.0, float(np.nextafter(one, np.asarray(2, dtype))), float(np.nextafter(one, np.asarray(0, dtype)))}
        assert wanted <= set(s.tolist())
        assert (np.abs(s - 0.3) < 1e-6).sum() >= 4


def test_pieces_that_cannot_be_met_are_counted() -> None:
    graph = TaskGraph(
        "shared",
        (
            Input("x", Box((0,), (1,))),
            Block.parse("a", ("x",), Tiling.intervals((0, 0.5, 1)), ["x", "1 - x"]),
            Block.parse("b", ("x",), Tiling.intervals((0, 0.25, 1)), ["x**2", "x/4"]),
            Combine.parse("f", ("a", "b"), "a - b"),
        ),
        "f",
    )
    report = verify(atlasmoe.compile(graph, epsilon=0.05, depth="L"), samples=SAMPLES)
    assert report.holds, str(report)
    assert report.pieces is not None
    assert (report.pieces.seen, report.pieces.total, report.pieces.empty) == (3, 4, 1)


def test_four_to_the_sixteen_by_strata() -> None:
    """4.3 billion pieces: strata exercise every expert of every layer though the sample is small."""
    L, E = 16, 4
    inputs = [Input(f"x{l}", Box((0,), (E,))) for l in range(L)]
    blocks = [
        Block.parse(f"y{l}", (f"x{l}",), Tiling.intervals(range(E + 1)), [f"{(i * (l + 1)) % 5} - x{l}/{i + 1}" for i in range(E)])
        for l in range(L)
    ]
    last = Combine.parse("f", [f"y{l}" for l in range(L)], "+".join(f"y{l}" for l in range(L)))
    model = atlasmoe.compile(TaskGraph("many", (*inputs, *blocks, last), "f"), epsilon=1e-3, depth="L+1")
    assert isinstance(model.task, TaskGraph)
    epsilon, design = model.facts["epsilon"], model.design
    report = verify_network(model.network, model.task, epsilon=epsilon, design=design, samples=64, adversarial=False)
    assert report.holds, str(report)
    assert report.pieces is not None
    assert report.pieces.total == 4**16 > ALL_PIECES
    assert not report.pieces.every
    assert report.pieces.empty == 0
    assert report.never == ()
    assert report.pieces.drawn <= report.pieces.seen <= report.points
    # One expert of the sixty-four, wrong in one of its weights.
    number = model.design["y11"].layer
    column = model.network.layers[number].channels.index("y[y11]")

    def bend(arrays: Arrays) -> None:
        arrays[-1][1][column] += 0.01

    broken = with_expert(model.network, number, 2, bend)
    against = verify_network(broken, model.task, epsilon=epsilon, design=design, samples=64, adversarial=False)
    assert {"total", "block[y11]"} == refuted(against)
    assert wrong_at(broken, against, model)


def test_counts_too_large_for_a_float_are_shown() -> None:
    assert str(Pieces(3, 4**600, 3, 0, False)).startswith("3 of about 1.72e361 distinct pieces seen")
    assert str(Pieces(9, 9, 9, 0, True)) == "9 of 9 distinct pieces seen; every piece was drawn"


def test_tuples_are_counted_exactly() -> None:
    rng = np.random.default_rng(0)
    routes = rng.integers(8, size=(5000, 32))
    found: set[bytes] = set()
    for part in np.array_split(np.concatenate([routes, routes[:100]]), 7):
        found |= tuples_of(part)
    found |= tuples_of(np.where(np.arange(32) == 3, -1, routes[:5]))
    assert len(found) == 5000
