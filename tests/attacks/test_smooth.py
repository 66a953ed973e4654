"""Smooth nets and product lanes with something changed in their files, hashes mended: nothing is confirmed that is not so."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import builtin
from atlasmoe.cli.main import main
from atlasmoe.constructions.relu.samples import Target
from atlasmoe.constructions.smooth import fit
from atlasmoe.errors import FolderError
from atlasmoe.moe import Affine, Model, Net
from atlasmoe.moe.activations import ACTIVATIONS
from atlasmoe.verify.check import check
from certificates import BOXES, CERTIFICATE, Arrays, Document, certified, edited, reweighted, tampered, why
from click.testing import CliRunner
from models import general, on
from safetensors import numpy as safetensors

EXPERT = "layers.1.experts.0."
ROOM = 1.02
"""Of a bound, for what samples do not find and floats add."""


def by_hand(activation: str, gated: bool, width: int) -> Model:
    """One expert on a rectangle, fitted to the target."""
    task = on(builtin("box", dimension=2, domain=[[-1, 1], [0, 1]], charts=1), "exp(x1)*sin(2*x2)")

    def draw(count: int, seed: int, held_out: bool) -> tuple[np.ndarray, np.ndarray]:
        x = np.random.default_rng(seed).uniform([-1.05, -0.05], [1.05, 1.05], (count, 2))
        return x, np.exp(x[:, :1]) * np.sin(2 * x[:, 1:])

    net = fit(Target(draw, "g", "by hand"), width, activation=ACTIVATIONS[activation], gated=gated).net
    model = atlasmoe.compile(task, width=8)
    *before, layer = model.network.layers
    return replace(model, network=replace(model.network, layers=(*before, replace(layer, experts=(net,)))))


KINDS = {"silu": ("silu", False, 24), "gelu": ("gelu", False, 24), "silu lanes": ("silu", True, 6), "relu2": ("relu2", False, 24)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Certified models by kind."""
    place = tmp_path_factory.mktemp("smooth")
    return {name: certified(by_hand(*how), place / name.replace(" ", "-"), tightness=2.0) for name, how in KINDS.items()}


@pytest.mark.parametrize("name", KINDS)
def test_what_is_proved_is_confirmed(folders: dict[str, Path], name: str) -> None:
    report = check(folders[name])
    assert report.verdict == "confirmed", why(report)
    assert {"total", "total.float64"} <= set(report.claims)
    assert report.boxes <= 1.5 * report.leaves


def largest(folder: Path) -> float:
    """The largest error on a grid with its edges and corners."""
    model = atlasmoe.load(folder)
    x = np.stack(np.meshgrid(np.linspace(-1, 1, 161), np.linspace(0, 1, 81)), axis=-1).reshape(-1, 2)
    with np.errstate(all="ignore"):
        return float(np.nan_to_num(np.abs(model.network(x) - np.exp(x[:, :1]) * np.sin(2 * x[:, 1:])), nan=np.inf).max())


def scaled(name: str, factor: float, entry: int) -> Callable[[Arrays], None]:
    def change(arrays: Arrays) -> None:
        flat = arrays[EXPERT + name].reshape(-1)
        flat[entry % flat.size] *= factor

    return change


def swapped(arrays: Arrays) -> None:
    """Gates and lanes exchanged."""
    for kind in ("weight", "bias"):
        up, down = f"{EXPERT}ups.0.{kind}", f"{EXPERT}affines.0.{kind}"
        arrays[up], arrays[down] = arrays[down], arrays[up]


def shuffled(arrays: Arrays) -> None:
    """Every lane at its neighbour."""
    for kind in ("weight", "bias"):
        arrays[f"{EXPERT}ups.0.{kind}"] = np.roll(arrays[f"{EXPERT}ups.0.{kind}"], 1, axis=0).copy()


def mutations(gated: bool) -> Iterator[Callable[[Arrays], None]]:
    for entry, factors in ((0, (1.1, 1 + 1e-9)), (7, (-1.0,))):
        for factor in factors:
            yield scaled("affines.0.weight", factor, 2 * entry)
            yield scaled("affines.0.bias", factor, entry)
            yield scaled("affines.1.weight", factor, entry)
            if gated:
                yield scaled("ups.0.weight", factor, entry)
    if gated:
        yield from (swapped, shuffled)


@pytest.mark.parametrize("name", KINDS)
def test_changed_weights_are_confirmed_only_where_the_bound_still_holds(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    bound = json.loads((folders[name] / CERTIFICATE).read_text())["bound"]
    refused = 0
    for n, mutation in enumerate(mutations(KINDS[name][1])):
        copy = reweighted(folders[name], tmp_path / str(n), mutation)
        report, error = check(copy), largest(copy)
        assert not (report.verdict == "confirmed" and error > bound), (n, error, bound)
        assert report.verdict == "rejected" or error <= ROOM * bound, (n, report.verdict, error, bound)
        refused += report.verdict != "confirmed"
        shutil.rmtree(copy)
    assert refused >= 3


def renamed(name: str) -> Callable[[Document], None]:
    def change(config: Document) -> None:
        for group in config["network"]["layers"][-1]["experts"][0]["hidden"][0]:
            group["activation"] = name

    return change


def without_name(config: Document) -> None:
    for group in config["network"]["layers"][-1]["experts"][0]["hidden"][0]:
        group.pop("activation", None)


def gates(*flags: Any) -> Callable[[Document], None]:
    def change(config: Document) -> None:
        config["network"]["layers"][-1]["experts"][0]["gated"] = list(flags)

    return change


def without_lanes(arrays: Arrays) -> None:
    for kind in ("weight", "bias"):
        arrays.pop(f"{EXPERT}ups.0.{kind}", None)


@pytest.mark.parametrize("other", ["relu", "gelu", "gelu_tanh", "silu", "relu2", None])
@pytest.mark.parametrize("name", ["silu", "silu lanes"])
def test_another_activation_is_another_net(folders: dict[str, Path], name: str, other: str | None, tmp_path: Path) -> None:
    copy = reweighted(folders[name], tmp_path / "copy", lambda arrays: None, without_name if other is None else renamed(other))
    assert check(copy).verdict == ("confirmed" if other == "silu" else "rejected")


def test_lanes_that_are_called_none_are_missed(folders: dict[str, Path], tmp_path: Path) -> None:
    bare = reweighted(folders["silu lanes"], tmp_path / "bare", without_lanes, gates(False))
    assert check(bare).verdict == "rejected"
    for n, (weights, config) in enumerate([(lambda a: None, gates(False)), (without_lanes, gates(True)), (lambda a: None, gates())]):
        with pytest.raises(FolderError):
            check(reweighted(folders["silu lanes"], tmp_path / str(n), weights, config))
    with pytest.raises(FolderError):
        check(reweighted(folders["silu"], tmp_path / "lanes", lambda arrays: None, gates(True)))


@pytest.mark.parametrize("name", ["swish", "", "linear", "SILU", 3, None])
def test_an_unknown_activation_is_no_model(folders: dict[str, Path], name: Any, tmp_path: Path) -> None:
    copy = reweighted(folders["silu"], tmp_path / "copy", lambda arrays: None, renamed(name))
    with pytest.raises(FolderError, match="activation"):
        check(copy)
    done = CliRunner().invoke(main, ["check", str(copy)])
    assert done.exit_code == 2
    assert "activation" in done.output


def larger_group(config: Document) -> None:
    config["network"]["layers"][-1]["experts"][0]["hidden"][0][0]["count"] += 1


def test_groups_have_as_many_neurons_as_there_are_rows(folders: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(FolderError, match="neurons"):
        check(reweighted(folders["silu"], tmp_path / "copy", lambda arrays: None, larger_group))


def lowered(arrays: Arrays) -> None:
    arrays["0.0.bounds"] = arrays["0.0.bounds"] / 100


@pytest.mark.parametrize("name", KINDS)
def test_smaller_bounds_are_rejected(folders: dict[str, Path], name: str, tmp_path: Path) -> None:
    assert check(tampered(folders[name], tmp_path / "leaves", boxes=lowered)).verdict == "rejected"

    def less(data: Document) -> None:
        part = 0.3
        data["sites"][0]["bound"] *= part
        for claim in data["claims"]:
            if claim["name"].startswith("total"):
                claim["bound"] *= part
        data["bound"] *= part
        data["sites"][0]["values"][0]["error"] = data["sites"][0]["bound"]

    assert check(tampered(folders[name], tmp_path / "site", less, lowered)).verdict == "rejected"
    quiet = edited("sites/0/rounding/float64", 1e-30)
    assert check(tampered(folders[name], tmp_path / "floats", quiet)).verdict != "confirmed"
    arrays = safetensors.load_file(folders[name] / BOXES)
    assert arrays["0.0.bounds"].min() > 0


def bent(net: Net, rng: np.random.Generator, lanes: bool) -> Net:
    """The same weights behind other activations, perhaps times random lanes."""
    names = ["silu", "gelu", "relu2", "relu"]
    groups = tuple(tuple(replace(g, activation=ACTIVATIONS[str(rng.choice(names))]) for g in layer) for layer in net.groups)
    ups = tuple(Affine(rng.normal(size=a.weight.shape) / 2, rng.normal(size=a.bias.shape)) for a in net.affines[:-1])
    return Net(net.affines, groups, ups if lanes else ())


@pytest.mark.parametrize("kind", ["top 2, softmax", "top 3, rectified", "shared", "dense", "everything"])
def test_general_layers_with_bent_neurons(kind: str, tmp_path: Path) -> None:
    """Gates, dense layers, shared experts, sums of K: confirmed as proved, and with no smaller bound. Where weights do not add up to 1,
    experts that are all close say nothing of their sum.
    """
    rng, model = np.random.default_rng(77), general(kind)
    layers = []
    for layer in model.network.layers:
        gate, shared = (net and bent(net, rng, False) for net in (layer.gate, layer.shared))
        layers.append(replace(layer, gate=gate, shared=shared, experts=tuple(bent(net, rng, True) for net in layer.experts)))
    model = replace(model, network=replace(model.network, layers=tuple(layers)))
    x = np.stack(np.meshgrid(np.linspace(-1, 1, 81), np.linspace(-1, 1, 81)), axis=-1).reshape(-1, 2)
    found = float(np.abs(model.network(x)[:, 0] - x[:, 0] * x[:, 1] / 4).max())
    folder = certified(model, tmp_path / "model", epsilon=1.3 * found, boxes=4000)
    assert check(folder).verdict == "confirmed"

    def less(data: Document) -> None:
        site = data["sites"][0]
        site["bound"] = data["bound"] = 0.97 * found
        for claim in data["claims"]:
            if claim["name"].startswith("total"):
                claim["bound"] = site["bound"] + site["rounding"].get(claim["name"][6:], 0.0)
        site["values"][0]["error"] = found

    def leaves(arrays: Arrays) -> None:
        for name in arrays:
            if name.endswith("bounds"):
                arrays[name] = np.minimum(arrays[name], 0.97 * found)

    assert check(tampered(folder, tmp_path / "less", less, leaves)).verdict == "rejected"
