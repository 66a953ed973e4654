"""Certificates of layers of groups are confirmed from the files alone, and forged ones are not."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from atlasmoe.errors import FolderError
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.model import Model
from atlasmoe.verify.check import check
from certificates import WEIGHTS, certified, claim, reweighted, tampered, why
from grouped import grouped_model, grouped_network, hat_network, sum_of_blocks

KNOTS = ((-1.0, -0.3, 0.0, 1.0), (0.0, 0.1, 0.7), (-2.0, -1.0, 1.0, 2.0))
FACTORS = (1.0, -0.5, 0.25)
HOLDERS = [import_module(f"atlasmoe.{name}") for name in ("export.folder", "verify.check.files")]


def model(dtype: str = "float64", closed: str = "lower", weighting: str = "softmax", nulls: int = 0) -> Model:
    network = grouped_network(KNOTS, FACTORS, 0.75, closed, dtype=dtype, weighting=Weighting(weighting), nulls=nulls)
    return grouped_model(sum_of_blocks(KNOTS, FACTORS, 0.75, closed), network, 0.1)


@pytest.fixture(autouse=True)
def _without_sites(monkeypatch: pytest.MonkeyPatch) -> None:
    """The networks are by hand, and their designs say of no block where it is."""
    for module in HOLDERS:
        monkeypatch.setattr(module, "require_design", lambda *_: None)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(HOLDERS[0], "require_design", lambda *_: None)
        return certified(model(), tmp_path_factory.mktemp("groups") / "model", tightness=1.2)


@pytest.mark.parametrize(
    ("dtype", "closed", "weighting", "nulls"),
    [("float64", "lower", "softmax", 0), ("float32", "upper", "uniform", 1), ("float32", "lower", "softmax", 2)],
)
def test_one_layer_is_confirmed(dtype: str, closed: str, weighting: str, nulls: int, tmp_path: Path) -> None:
    report = check(certified(model(dtype, closed, weighting, nulls), tmp_path / "model", tightness=1.2))
    assert report.verdict == "confirmed", why(report)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_hats_are_confirmed_and_no_narrower_ones(dtype: str, tmp_path: Path) -> None:
    graph, network = hat_network(0.25, dtype)
    folder = certified(grouped_model(graph, network, 0.1), tmp_path / "model", tightness=1.02)
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    assert check(tampered(folder, tmp_path / "less", lambda data: smaller(data, 0.05))).verdict == "rejected"

    def wider(arrays: dict[str, np.ndarray]) -> None:
        arrays["layers.0.gate.affines.0.weight"] *= 0.9

    assert check(reweighted(folder, tmp_path / "wider", wider)).verdict in ("rejected", "undecided")


def site(data: dict[str, Any], name: str) -> dict[str, Any]:
    return next(site for site in data["sites"] if site["name"] == name)


def smaller(data: dict[str, Any], part: float) -> None:
    """The total and the read-out by a part less, which is what the blocks do not add up to."""
    said = data["readout"]
    said["error"] = [error * (1 - part) for error in said["error"]]
    data["bound"] = claim(data, "total")["bound"] = said["error"][0]


def other(path: str, value: Callable[[Any], Any]) -> Callable[[dict[str, Any]], None]:
    """A field of the site b1 changed."""

    def change(data: dict[str, Any]) -> None:
        found = site(data, "b1")
        found[path] = value(found[path])

    return change


def plain(data: dict[str, Any]) -> None:
    """Said of all points, numbers or not."""
    total = claim(data, "total")
    total["statement"] = total["statement"].replace(" at which all that gates of groups read are float64 numbers, 0 or normal", "")


FORGED: dict[str, Callable[[dict[str, Any]], None]] = {
    "a smaller total": lambda data: smaller(data, 0.01),
    "another shift": other("shift", lambda shift: [shift[0] + 0.01]),
    "no shift": lambda data: site(data, "b1").pop("shift") and None,
    "two shifts": other("shift", lambda shift: shift * 2),
    "no number": other("shift", lambda shift: [None]),
    "another name": other("components", lambda names: ["b0.f"]),
    "the block's own name": other("components", lambda names: ["b1"]),
    "other routes": other("routes", lambda routes: routes[::-1]),
    "no routes": other("routes", lambda routes: None),
    "another group's channel": other("channels", lambda channels: [[1, 3]]),
    "the sum": other("channels", lambda channels: [[4, 0]]),
    "other winners": other("winners", lambda winners: winners[::-1]),
    "no rounding": other("rounding", lambda rounding: {"float64": 0.0}),
    "folded": other("folded", lambda folded: True),
    "of all points": plain,
    "weights of the read-out": lambda data: data["readout"]["network"][0].__setitem__(1, 0.5),
    "its constant": lambda data: data["readout"].__setitem__("constant", [0.0]) or smaller(data, 1e-9),
    "a block less": lambda data: data["sites"].pop() and None,
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_certificates_are_refused(name: str, folder: Path, tmp_path: Path) -> None:
    try:
        report = check(tampered(folder, tmp_path / "forged", FORGED[name]))
    except FolderError:
        return
    assert report.verdict in ("rejected", "undecided"), name


@pytest.mark.parametrize("factor", [1 - 2.0**-30, 1 + 2.0**-30, 2.0])
def test_thresholds_of_other_weights_are_refused(factor: float, folder: Path, tmp_path: Path) -> None:
    """The certificate of the right network beside one whose gate is a little off: a number between two thresholds has no owner."""

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["layers.0.gate.affines.0.bias"][0] *= factor

    report = check(reweighted(folder, tmp_path / "off", change))
    assert report.verdict in ("rejected", "undecided")
    assert WEIGHTS
