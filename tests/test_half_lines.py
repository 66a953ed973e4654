"""Linear gates of half-lines (N19), compiled: proved and confirmed; a threshold that is off by one number of the dtype is neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.errors import FolderError
from atlasmoe.moe import Affine, Known, Model, Network
from atlasmoe.verify.check import check
from atlasmoe.verify.check.groups import boxes_of
from atlasmoe.verify.check.nets import Map, Net
from atlasmoe.verify.prove import certify
from certificates import certified, reweighted, why


def lines(L: int) -> TaskGraph:
    """A sum of L functions that jump once each, one of them at 0."""
    blocks = [
        Block.parse(f"b{k}", (f"x{k}",), Tiling.intervals((-1, 0.1 * k, 2), "lower" if k % 2 else "upper"), [f"x{k}*x{k}/2", f"1 - x{k}"])
        for k in range(L)
    ]
    inputs = [Input(f"x{k}", Box((-1,), (2,)), (f"x{k}",)) for k in range(L)]
    return TaskGraph("lines", (*inputs, *blocks, Combine.parse("f", [b.name for b in blocks], " + ".join(b.name for b in blocks))), "f")


def planes() -> TaskGraph:
    """Half-planes beside half-lines."""
    a = Block.parse("a", ("s", "t"), Tiling.grid([(-1, 0, 1), (-1, 1)]), ["s + t", "s*t"])
    b = Block.parse("b", ("r",), Tiling.intervals((0, 0.5, 1)), ["r", "1 - r"])
    inputs = Input("p", Box((-1, -1, 0), (1, 1, 1)), ("s", "t", "r"))
    return TaskGraph("planes", (inputs, a, b, Combine.parse("f", ("a", "b"), "a - b")), "f")


TASKS: dict[str, tuple[Callable[[], TaskGraph], str]] = {
    "three": (lambda: lines(3), "float64"),
    "four": (lambda: lines(4), "float32"),
    "planes": (planes, "float64"),
}


def made(name: str) -> Model:
    task, dtype = TASKS[name]
    model = atlasmoe.compile(task(), epsilon=0.2, depth="1", weighting="uniform", dtype=dtype)
    assert model.network.layers[0].gate.widths == ()
    return model


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified(made("three"), tmp_path_factory.mktemp("lines") / "model", tightness=1.2)


@pytest.mark.parametrize("name", TASKS)
def test_linear_gates_are_proved_and_confirmed(name: str, tmp_path: Path) -> None:
    model = made(name)
    report = check(certified(model, tmp_path / "model", tightness=1.2))
    assert report.verdict == "confirmed", why(report)
    assert all(f"block[{block.name}].routing" in report.claims for block in model.task.blocks)
    x = model.task.sample(4000, 1).astype(model.network.dtype)
    for block in model.task.blocks:
        columns = [model.task.coordinates.index(name) for name in block.reads]
        inner = [t for t in block.tiling.knots[0] if block.tiling.domain.lower[0] < t < block.tiling.domain.upper[0]]
        kind = model.network.dtype.type
        around = [kind(inner[0]), *(np.nextafter(kind(inner[0]), kind(side)) for side in (-np.inf, np.inf))]
        around = [t for t in around if t == 0 or abs(t) >= np.finfo(kind).smallest_normal]
        x[:: 7 + len(columns), columns[0]] = np.resize(around, len(x[:: 7 + len(columns)]))
    error = np.abs(np.asarray(model.network(x), float) - model.task.evaluate(x.astype(float))).max()
    assert error <= report.bound + 1e-5 * (model.network.dtype == np.float32)


BIAS, WEIGHT = "layers.0.gate.bias", "layers.0.gate.weight"


def next_to(n: int, side: float) -> Callable[[dict[str, np.ndarray]], None]:
    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays[BIAS][n] = np.nextafter(arrays[BIAS][n], side)

    return change


OFF: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    **{f"bias {n} {'up' if side > 0 else 'down'}": next_to(n, side) for n in (2, 3, 4, 5) for side in (-np.inf, np.inf)},
    "no power of two": lambda a: np.multiply(a[WEIGHT], 1.5, out=a[WEIGHT]),
    "the other way": lambda a: np.negative(a[WEIGHT], out=a[WEIGHT]),
    "two coordinates": lambda a: a[WEIGHT].__setitem__((0, 1), 1.0),
    "no threshold": lambda a: a[WEIGHT].__setitem__((0, slice(None)), 0.0),
}


@pytest.mark.parametrize("name", OFF)
def test_gates_that_are_off_are_neither_proved_nor_confirmed(name: str, folder: Path, tmp_path: Path) -> None:
    model = atlasmoe.load(folder)
    (layer,) = model.network.layers
    arrays = {WEIGHT: np.array(layer.gate.affine.weight), BIAS: np.array(layer.gate.affine.bias)}
    OFF[name](arrays)
    off = Network((replace(layer, gate=Affine(arrays[WEIGHT], arrays[BIAS]).net),), model.network.inputs)
    assert certify(off, model.task, epsilon=0.2, tightness=None, boxes=500).status is not Known.PROVED
    try:
        assert check(reweighted(folder, tmp_path / "off", OFF[name])).verdict in ("rejected", "undecided")
    except FolderError:
        return


def test_softmax_weights_of_linear_gates_are_none(folder: Path, tmp_path: Path) -> None:
    """Logits that are ≥ 0, and not 0, weigh experts by what they are: no groups for either."""

    def softmax(config: dict) -> None:
        config["network"]["layers"][0]["weighting"] = "softmax"

    try:
        verdict = check(reweighted(folder, tmp_path / "softmax", id, softmax)).verdict
    except FolderError:
        return
    assert verdict in ("rejected", "undecided")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_where_half_lines_begin_and_end(dtype: str) -> None:
    """s·x + b ≥ 0 from −b/s on, −s·x + b ≥ 0 up to b/s and no further; only for uniform weights, and where products are exact."""
    kind = np.dtype(dtype).type
    t = float(kind(0.3))
    after = float(np.nextafter(kind(t), kind(1)))

    def found(weight: float, bias: float, signs: bool = True) -> object:
        return boxes_of(Net.of([Map(np.array([[weight]]), np.array([bias]))]), dtype, signs)

    assert found(256.0, -256 * t) == [{0: (t, np.inf)}]
    assert found(-256.0, 256 * t) == [{0: (-np.inf, after)}]
    assert found(0.0, 0.0) == [{}]
    assert found(256.0, -256 * t, signs=False) is None
    assert found(3.0, -3 * t) is None
    assert found(0.0, 1.0) is None
    assert found(2.0**-30, -float(np.finfo(kind).smallest_normal)) is None  # products that may be rounded
