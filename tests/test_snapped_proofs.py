"""Groups of balls (N20) are proved for every point, from the scores that an evaluation compares, and confirmed by other code; forged
certificates and gates that are off by little are not.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Combine, Input, TaskGraph, ball_atlas, builtin
from atlasmoe.errors import FolderError
from atlasmoe.moe import Affine, Known, Model, MoELayer, Net, Network, NeuronGroup
from atlasmoe.verify.check import check
from atlasmoe.verify.check.groups import written_out
from atlasmoe.verify.check.layers import Layer
from atlasmoe.verify.check.nets import Map
from atlasmoe.verify.check.nets import Net as CheckNet
from atlasmoe.verify.check.snaps import grid_of
from atlasmoe.verify.prove import certify
from atlasmoe.verify.prove.groups import groups_in
from certificates import certified, claim, reweighted, tampered, why
from scipy.linalg import block_diag
from test_snapped import tori


def spheres() -> TaskGraph:
    """A function on S² × S¹."""
    p, q = ball_atlas(builtin("sphere"), charts=14), ball_atlas(builtin("circle"), charts=5)
    blocks = Block.parse("f", ("x", "y", "z"), p, "x*y + z"), Block.parse("g", ("u", "v"), q, "u*v")
    return TaskGraph(
        "spheres", (Input("p", p, ("x", "y", "z")), Input("q", q, ("u", "v")), *blocks, Combine.parse("h", ("f", "g"), "f - 2*g")), "h"
    )


def product() -> TaskGraph:
    """A product of two circles' functions: one layer of two groups, and one for the product."""
    p, q = ball_atlas(builtin("circle"), charts=6), ball_atlas(builtin("circle"), charts=5)
    blocks = Block.parse("f", ("x", "y"), p, "x*y"), Block.parse("g", ("u", "v"), q, "u*v + u")
    return TaskGraph("product", (Input("p", p, ("x", "y")), Input("q", q, ("u", "v")), *blocks, Combine.parse("h", ("f", "g"), "f*g")), "h")


MODELS: dict[str, tuple[Callable[[], TaskGraph], dict[str, Any]]] = {
    "torus": (lambda: tori(2), {"epsilon": 0.5, "depth": "1"}),
    "with an interval": (lambda: tori(2, plus=True), {"epsilon": 0.5, "depth": "1", "dtype": "float32"}),
    "spheres": (spheres, {"epsilon": 0.4, "depth": "1", "dtype": "float32", "weighting": "uniform"}),
    "product": (product, {"epsilon": 0.4, "depth": "path"}),
}


@cache
def made(name: str) -> Model:
    task, options = MODELS[name]
    return atlasmoe.compile(task(), **options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified(made("torus"), tmp_path_factory.mktemp("snapped") / "model", tightness=1.2)


@pytest.mark.parametrize("name", MODELS)
def test_groups_of_balls_are_proved_and_confirmed(name: str, tmp_path: Path) -> None:
    """And no evaluation in the dtype is further off, where two balls are equally near on both circles at once least of all."""
    model = made(name)
    dtype, blocks = model.network.dtype, [block for block in model.task.blocks if block.atlas is not None]
    certificate = certify(model, tightness=None)
    assert certificate.status is Known.PROVED
    atlasmoe.save(model, tmp_path / "model")
    certificate.write(tmp_path / "model")
    report = check(tmp_path / "model")
    assert report.verdict == "confirmed", why(report)
    said = f"gates of groups of balls evaluated in {dtype}"
    assert all(said in certificate[claim].statement for claim in ("total", f"block[{blocks[0].name}].routing"))
    assert ("on pieces read are float32 numbers" in certificate["total"].statement) == (name == "with an interval")
    points = np.concatenate([model.task.sample(2000, 2), near_ties(model.task, blocks)])
    found = np.asarray(model.network(points.astype(dtype)), float)
    bound = certificate["total.float32" if dtype == np.float32 else "total"].bound
    slack = 16 * float(np.finfo(dtype).eps)  # points are rounded to the dtype, and f with them
    assert np.abs(found - model.task.evaluate(points)).max() <= bound + slack


def near_ties(task: TaskGraph, blocks: list[Block]) -> np.ndarray:
    """Points of M equally near to two neighbours of every block on balls, up to some steps of float64."""
    points, rng = task.sample(2000, 3), np.random.default_rng(0)
    for block in blocks:
        columns = [task.coordinates.index(name) for name in block.reads]
        centers, _ = block.atlas.balls
        middles = points[:, columns]
        nearest = np.argsort(((middles[:, None] - centers) ** 2).sum(2), axis=1)[:, :2]
        a, b = centers[nearest[:, 0]], centers[nearest[:, 1]]
        off = ((middles - (a + b) / 2) * (b - a)).sum(1) / ((b - a) ** 2).sum(1)
        middles -= off[:, None] * (b - a)
        middles /= np.linalg.norm(middles, axis=1, keepdims=True)
        points[:, columns] = middles + 2.0**-52 * rng.integers(-2, 3, middles.shape)
    return points


def site(data: dict[str, Any], name: str = "f1") -> dict[str, Any]:
    return next(found for found in data["sites"] if found["name"] == name)


def unsaid(data: dict[str, Any]) -> None:
    """Said of the real-arithmetic function, which near ties is another one."""
    total = claim(data, "total")
    total["statement"] = total["statement"].replace(", gates of groups of balls evaluated in float64", "")


def smaller(data: dict[str, Any], part: float) -> None:
    said = data["readout"]
    said["error"] = [error * (1 - part) for error in said["error"]]
    data["bound"] = claim(data, "total")["bound"] = said["error"][0]


FORGED: dict[str, Callable[[dict[str, Any]], object]] = {
    "a smaller total": lambda data: smaller(data, 0.01),
    "of real arithmetic": unsaid,
    "η of a plain score": lambda data: site(data).__setitem__("eta", site(data)["eta"] / 16) or data.__setitem__("eta", data["eta"] / 16),
    "no η": lambda data: site(data).__setitem__("eta", 0.0),
    "another group's channel": lambda data: site(data).__setitem__("channels", site(data, "f2")["channels"]),
    "the sum's channel": lambda data: site(data).__setitem__("channels", [[3, 0]]),
    "other winners": lambda data: site(data).__setitem__("winners", site(data)["winners"][::-1]),
    "routes": lambda data: site(data).__setitem__("routes", [0, 1, 2, 3, 4]),
    "no gate": lambda data: site(data).__setitem__("winners", ["all"]),
    "another shift": lambda data: site(data).__setitem__("shift", [site(data)["shift"][0] + 0.01]),
    "a block less": lambda data: data["sites"].pop() and None,
}


@pytest.mark.parametrize("name", FORGED)
def test_forged_certificates_are_refused(name: str, folder: Path, tmp_path: Path) -> None:
    try:
        report = check(tampered(folder, tmp_path / "forged", FORGED[name]))
    except FolderError:
        return
    assert report.verdict in ("rejected", "undecided"), name


@pytest.mark.parametrize("members", [0, 1, 3])
def test_other_sets_of_winners_are_refused(members: int, folder: Path, tmp_path: Path) -> None:
    """Near a tie two balls may be taken, whichever is ahead in real arithmetic."""

    def change(arrays: dict[str, np.ndarray]) -> None:
        arrays["0.0.members"][:] = members

    assert check(tampered(folder, tmp_path / "forged", boxes=change)).verdict in ("rejected", "undecided")


GATE = "layers.0.gate.affines."
OFF: dict[str, Callable[[dict[str, np.ndarray]], object]] = {
    "scores below the grid": lambda a: np.subtract(a[GATE + "0.bias"], 16.0, out=a[GATE + "0.bias"]),
    "scores above it": lambda a: np.add(a[GATE + "0.bias"], 16.0, out=a[GATE + "0.bias"]),
    "another grid": lambda a: np.multiply(a[GATE + "1.bias"], 2.0, out=a[GATE + "1.bias"]),
    "a number beside the grid": lambda a: a[GATE + "1.bias"].__setitem__(0, np.nextafter(a[GATE + "1.bias"][0], 0)),
    "coarser steps": lambda a: np.multiply(a[GATE + "2.weight"], 0.5, out=a[GATE + "2.weight"]),
    "both before each other": lambda a: a[GATE + "2.bias"].__setitem__(0, 0.5),
    "none before the other": lambda a: np.abs(a[GATE + "2.bias"], out=a[GATE + "2.bias"]),
    "small weights": lambda a: np.multiply(a[GATE + "3.weight"], 0.5, out=a[GATE + "3.weight"]),
    "a pair that nothing reads": lambda a: a[GATE + "3.weight"].__setitem__((0, 0), 0.0),
    "a score of another ball": lambda a: a[GATE + "1.weight"].__setitem__((0, slice(0, 2)), (0.0, 1.0)),
    "one ball far ahead": lambda a: a[GATE + "0.bias"].__setitem__(0, a[GATE + "0.bias"][0] + 0.5),
}


@pytest.mark.parametrize("name", OFF)
def test_gates_that_are_off_are_neither_proved_nor_confirmed(name: str, folder: Path, tmp_path: Path) -> None:
    model = made("torus")
    (layer,) = model.network.layers
    arrays = {f"{GATE}{n}.{k}": np.array(getattr(map_, k)) for n, map_ in enumerate(layer.gate.affines) for k in ("weight", "bias")}
    OFF[name](arrays)
    maps = [Affine(arrays[f"{GATE}{n}.weight"], arrays[f"{GATE}{n}.bias"]) for n in range(4)]
    off = Network((replace(layer, gate=layer.gate.with_maps(maps)),), model.network.inputs)
    assert certify(off, model.task, epsilon=0.5, tightness=None, boxes=3000).status is not Known.PROVED

    try:
        verdict = check(reweighted(folder, tmp_path / "off", OFF[name])).verdict
    except FolderError:
        return
    assert verdict in ("rejected", "undecided")


def by_hand(scores: Affine, M: float, order: list[int], strict: Callable[[int, int], bool]) -> Net:
    """A gate that compares some scores, output i against all others, strictly before where it is said."""
    E, steps = len(order), 2.0**52 / M
    pairs = [(i, j) for i in order for j in order if i != j]
    ahead, out = np.zeros((len(pairs), E)), np.zeros((E, len(pairs)))
    for n, (i, j) in enumerate(pairs):
        ahead[n, j], ahead[n, i] = steps, -steps
        out[i, n] = -1
    bias = np.array([0.5 if strict(i, j) else -0.5 for i, j in pairs])
    groups = tuple((NeuronGroup("by hand", count, "by hand"),) for count in (E, E, len(pairs)))
    return Net((scores, Affine(np.eye(E), np.full(E, -M)), Affine(ahead, bias), Affine(out, np.zeros(E))), groups)


def looked_at(gate: Net) -> tuple[bool, bool]:
    """Whether search and check find two runs of snapped scores in two copies of a gate."""
    maps = [Affine(block_diag(m.weight, m.weight), np.tile(m.bias, 2)) for m in gate.affines]
    twice = Net(tuple(maps), tuple(tuple(replace(g, count=2 * g.count) for g in groups) for groups in gate.groups))
    E = twice.outputs
    nets = tuple(Affine(np.zeros((1, twice.inputs)), np.ones(1)).net for _ in range(E))
    layer = MoELayer(twice, nets, tuple(range(E)), tuple(map(str, range(E))), ("y",), top_k=2)
    found = groups_in(layer, "float64")
    stored = CheckNet.of([Map(m.weight, m.bias) for m in twice.affines])
    plain = tuple(CheckNet.of([Map(net.affines[0].weight, net.affines[0].bias)]) for net in nets)
    places, reads, one = np.arange(E), np.arange(twice.inputs), np.zeros(1, np.intp)
    other = Layer(stored, reads, plain, places, layer.names, reads, one, np.full(1, -1), top_k=2)
    runs = [grid_of(part) for part in written_out(twice.inputs, [other], "float64").layers]
    return found is not None and len(found.snapped) == 2, sum(M is not None for M in runs) == 2


def test_ties_that_go_round_are_no_groups() -> None:
    """Of three equal scores each strictly before the next: no logit would be 0. An order is one, and 0.2 steps more are none."""
    scores = Affine(np.eye(3), np.full(3, 10.0))
    assert looked_at(by_hand(scores, 8.0, [0, 1, 2], lambda i, j: j < i)) == (True, True)
    assert looked_at(by_hand(scores, 8.0, [0, 1, 2], lambda i, j: j == (i + 1) % 3)) == (False, False)
    assert looked_at(by_hand(scores, 9.0, [0, 1, 2], lambda i, j: j < i)) == (False, False)
    x = np.zeros((1, 3))
    assert not (by_hand(scores, 8.0, [0, 1, 2], lambda i, j: j == (i + 1) % 3)(x) == 0).any()


def test_experts_that_decide_nothing_leave_scores_unknown() -> None:
    """No site shows that scores are on the grid where a group computes nothing: two of another group might be taken."""
    model = made("torus")
    (layer,) = model.network.layers
    silent = [replace_last(net) if n >= 5 else net for n, net in enumerate(layer.experts)]
    off = Network((replace(layer, experts=tuple(silent)),), model.network.inputs)
    assert groups_in(layer, "float64") is not None
    certificate = certify(off, model.task, epsilon=10.0, tightness=None, boxes=3000)
    assert certificate.status is not Known.PROVED


def replace_last(net: Net) -> Net:
    *inner, last = net.affines
    return net.with_maps((*inner, Affine(0 * last.weight, 0 * last.bias)))
