"""Blocks on pieces that share, with an affine read-out folded into their layer: proved and confirmed, in either form and dtype."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.moe import Affine, Known, Model, Network
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from certificates import certified, claim, tampered, why


def graph(text: str = "b + w/2") -> TaskGraph:
    """b shares sin 12s on its pieces; w has a channel, which the read-out adds."""
    w = Block.parse("w", ("t",), Tiling.intervals((0, 0.5, 1)), ["t*t", "1 - t"])
    b = Block.parse("b", ("s",), Tiling.intervals((0, 1, 2, 3)), ["sin(12*s) + s", "sin(12*s) + 1 - s", "sin(12*s)"])
    inputs = Input("x", Box((0,), (3,)), ("s",)), Input("y", Box((0,), (1,)), ("t",))
    return TaskGraph("shared", (*inputs, w, b, Combine.parse("f", ("b", "w"), text)), "f")


CASES: dict[str, tuple[str, dict[str, Any]]] = {
    "paper": ("b + w/2", {"depth": "paper"}),
    "residual": ("2*b - w/3 + 1", {"depth": "L+1", "form": "residual"}),
    "float32": ("b/2 + 3*w", {"depth": "L+1", "dtype": "float32"}),
}


def made(name: str) -> Model:
    text, options = CASES[name]
    model = atlasmoe.compile(graph(text), epsilon=0.1, shared={"b": True}, **options)
    assert model.network.layers[-1].shared is not None
    return model


@pytest.mark.parametrize("name", CASES)
def test_shared_experts_with_a_read_out_are_proved(name: str, tmp_path: Path) -> None:
    model = made(name)
    folder = certified(model, tmp_path / "model", tightness=1.2)
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    x = model.task.sample(3000, 1).astype(model.network.dtype)
    error = np.abs(np.asarray(model.network(x), float) - model.task.evaluate(x.astype(float))).max()
    assert error <= report.bound + 1e-4 * (model.network.dtype == np.float32)

    def smaller(data: dict[str, Any]) -> None:
        data["readout"]["error"] = [0.98 * error for error in data["readout"]["error"]]
        data["bound"] = claim(data, "total")["bound"] = data["readout"]["error"][0]

    assert check(tampered(folder, tmp_path / "less", smaller)).verdict == "rejected"


def test_shared_experts_that_are_off_are_not() -> None:
    model = made("paper")
    *before, layer = model.network.layers
    *inner, last = layer.shared.affines
    for n in np.flatnonzero(last.weight.ravel())[::9]:
        weight = last.weight.copy()
        weight.flat[n] += 0.5
        off = Network((*before, replace(layer, shared=layer.shared.with_maps((*inner, Affine(weight, last.bias))))), model.network.inputs)
        x = model.task.sample(3000, 1)
        error = np.abs(off(x) - model.task.evaluate(x)).max()
        certificate = certify(replace(model, network=off), tightness=None, boxes=3000)
        assert certificate.status is not Known.PROVED or error <= certificate.bound
