"""Read-outs that take coordinates of inputs as well: proved, confirmed, and not with a number more or less."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling, ball_atlas, builtin
from atlasmoe.atlas import Atlas
from atlasmoe.errors import FolderError
from atlasmoe.moe import Affine, Known, Network
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from certificates import certified, claim, reweighted, tampered, why


def steps(text: str = "2*a + b - 1 + 3*s - t/2") -> TaskGraph:
    """Two functions that jump, and the coordinates that they read."""
    blocks = (
        Block.parse("a", ("s",), Tiling.intervals((0, 1, 2, 3)), ["s*s", "4 - s", "-s"]),
        Block.parse("b", ("t",), Tiling.intervals((0, 0.5, 2), closed="upper"), ["t/2", "3 - t"]),
    )
    return TaskGraph("steps", (Input("x", Box((0, 0), (3, 2)), ("s", "t")), *blocks, Combine.parse("f", ("a", "b", "s", "t"), text)), "f")


def unread() -> TaskGraph:
    """A coordinate that no block reads, beside one block only: it has no channel of its own."""
    block = Block.parse("a", ("s",), Tiling.intervals((0, 1, 2, 3)), ["s*s", "4 - s", "-s"])
    inputs = Input("x", Box((0, -1), (3, 1)), ("s", "r"))
    return TaskGraph("unread", (inputs, block, Combine.parse("f", ("a", "s", "r"), "a/2 + s/3 + 5*r")), "f")


def embedded() -> TaskGraph:
    """Two circles, one in R^5, where a coordinate is a combination of channels."""
    circle = ball_atlas(builtin("circle"), charts=6)
    rows, _ = np.linalg.qr(np.random.default_rng(0).normal(size=(5, 2)))
    other = ball_atlas(builtin("circle"), charts=5)
    wide = Atlas(circle.coordinates, circle.charts, circle.partition, circle.cover, rows)
    blocks = Block.parse("f", ("x", "y"), circle, "x*y"), Block.parse("g", ("u", "v"), other, "u*v + u")
    inputs = Input("p", wide, ("x", "y")), Input("q", other, ("u", "v"))
    return TaskGraph("embedded", (*inputs, *blocks, Combine.parse("h", ("f", "g", "x", "v"), "f + g + x/2 - v")), "h")


MODELS: dict[str, tuple[Callable[[], TaskGraph], dict[str, Any]]] = {
    "one layer": (steps, {"depth": "1"}),
    "one layer, float32": (lambda: steps("2*a + b/3 - s + 7*t - 3/7"), {"depth": "1", "dtype": "float32"}),
    "channels": (steps, {"depth": "L+1"}),
    "a block alone": (unread, {"depth": "1"}),
    "embedded": (embedded, {"depth": "1"}),
}


@pytest.mark.parametrize("name", MODELS)
def test_read_outs_with_coordinates_are_proved(name: str, tmp_path: Path) -> None:
    task, options = MODELS[name]
    model = atlasmoe.compile(task(), epsilon=0.4, **options)
    report = check(certified(model, tmp_path / "model"))
    assert report.verdict == "confirmed", why(report)
    points = model.task.sample(3000, 2)
    x = points.astype(model.network.dtype) if name != "embedded" else points
    error = np.abs(np.asarray(model.network(x), float) - model.task.evaluate(x.astype(float))).max()
    assert error <= report.bound + 1e-5 * (options.get("dtype") == "float32")


def smaller(data: dict[str, Any]) -> None:
    said = data["readout"]
    said["error"] = [0.99 * error for error in said["error"]]
    data["bound"] = claim(data, "total")["bound"] = said["error"][0]


def test_other_coefficients_are_not(tmp_path: Path) -> None:
    """The shared expert that has the coordinates is off by a little, the certificate by one per cent, the task by a sign."""
    model = atlasmoe.compile(steps(), epsilon=0.4, depth="1")
    folder = certified(model, tmp_path / "model")
    (layer,) = model.network.layers
    *inner, last = layer.shared.affines
    for n in range(last.weight.size):
        weight = last.weight.copy()
        weight.flat[n] += 0.25
        shared = layer.shared.with_maps((*inner, Affine(weight, last.bias)))
        off = Network((replace(layer, shared=shared),), model.network.inputs)
        certificate = certify(off, model.task, epsilon=0.4, tightness=None, boxes=5000)
        points = model.task.sample(3000, 1)
        error = np.abs(off(points) - model.task.evaluate(points)).max()
        assert error > 0.2
        assert certificate.status is not Known.PROVED or error <= certificate.bound

    def change(arrays: dict[str, np.ndarray]) -> None:
        name = next(name for name in sorted(arrays, reverse=True) if ".shared." in name and name.endswith("weight"))
        arrays[name].flat[0] += 1e-3

    for copy in (tampered(folder, tmp_path / "less", smaller), reweighted(folder, tmp_path / "off", change)):
        try:
            assert check(copy).verdict in ("rejected", "undecided")
        except FolderError:
            continue
