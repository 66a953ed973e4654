"""Kinds of false proofs of layers that weigh several experts, of dense layers, and of copies: each was confirmed once, or proved."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import Block, Box, Combine, Input, TaskGraph, Tiling
from atlasmoe.errors import AtlasMoEError, InvalidArgument
from atlasmoe.moe import Affine, Known, Model, MoELayer, Network, NeuronGroup
from atlasmoe.moe.gate_tree import GateTree
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.nets import Net
from atlasmoe.moe.sums import Sums
from atlasmoe.verify.check import CheckReport, check
from atlasmoe.verify.check.groups import Effort, tile
from atlasmoe.verify.prove import certify
from grouped import grouped_model
from signing import CONFIG, resign, signed, with_document


def pieces(**how: object) -> Model:
    u, v = Input("u", Box((0.0,), (2.0,))), Input("v", Box((-1.0,), (1.0,)))
    a = Block.parse("a", ("u",), Tiling.intervals([0, 0.75, 2]), ["u**2/2", "1 - u/2"])
    b = Block.parse("b", ("v",), Tiling.intervals([-1, 0.25, 1]), ["v", "v + 1"])
    return atlasmoe.compile(TaskGraph("pieces", (u, v, a, b, Combine.parse("f", ("a", "b"), "a + b")), "f"), epsilon=0.05, **how)


def written(model: Model, folder: Path) -> Path:
    certificate = certify(model, epsilon=0.2, tightness=None)
    assert certificate.status is Known.PROVED
    atlasmoe.save(model, folder)
    certificate.write(folder)
    return folder


def beside(model: Model, network: Network, folder: Path, honest: Path) -> CheckReport:
    """The certificate of a model beside other weights, every hash right."""
    atlasmoe.save(replace(model, network=network), folder)
    signed(honest, folder)
    return check(folder)


def test_a_dense_layer_is_not_weighed_by_logits_that_it_has_not(tmp_path: Path) -> None:
    """σ(0) = 0 would weigh its expert, so that the layer computes nothing."""
    model = pieces(form="residual")
    number = next(n for n, layer in enumerate(model.network.layers) if layer.gate is None)
    with pytest.raises(InvalidArgument, match="no logits that could weigh"):
        replace(model.network.layers[number], weighting=Weighting.RECTIFIED)
    folder = written(model, tmp_path / "model")
    assert check(folder).verdict == "confirmed"
    with_document(folder, lambda data: data["network"]["layers"][number].update(weighting="rectified"), CONFIG)
    resign(folder)
    with pytest.raises(AtlasMoEError, match="weighting"):
        check(folder)


def test_copies_of_a_wrong_expert_are_not_confirmed(tmp_path: Path) -> None:
    """Of a piece that is known to win its first copy is the one winner on record: fewer than the K that are chosen."""
    u, a = Input("u", Box((0.0,), (2.0,))), Block.parse("a", ("u",), Tiling.intervals([0, 0.75, 2]), ["u**2/2", "1 - u/2"])
    model = atlasmoe.compile(TaskGraph("pieces", (u, a, Combine.parse("f", ("a",), "2*a")), "f"), epsilon=0.1, top_k=3)
    folder = written(model, tmp_path / "model")
    assert check(folder).verdict == "confirmed"
    for number, layer in enumerate(model.network.layers):
        if layer.top_k < 3:
            continue
        maps = layer.experts[0].affines
        wrong = layer.experts[0].with_maps((*maps[:-1], Affine(maps[-1].weight, maps[-1].bias + 0.5)))
        layers = list(model.network.layers)
        layers[number] = replace(layer, experts=(wrong, *layer.experts[1:]))
        report = beside(model, replace(model.network, layers=tuple(layers)), tmp_path / f"{number}", folder)
        assert report.verdict != "confirmed", number


def single(value: float) -> float:
    return float(np.float32(value))


def intruder(rng: np.random.Generator, top: float) -> tuple[float, Affine]:
    """x and two neurons z with top − Σ σ(z) = `top` there in float32, while in real arithmetic one of σ(z) is above top + 1/2 wherever
    the other is not.
    """
    while True:
        x, s, t = (single(v) for v in (rng.uniform(0.005, 0.02), rng.uniform(1, 2) * 2.0**60, rng.uniform(1, 2) * 2.0**60))
        b, c = -single(s * x), single(t * x)
        high, low = (Fraction(top + 0.5) - Fraction(b)) / Fraction(s), (Fraction(c) - Fraction(top + 0.5)) / Fraction(t)
        if high * (1 + Fraction(1, 2**30)) < low < Fraction(x):
            return x, Affine(np.array([[s, 0.0], [-t, 0.0]]), np.array([b, c]))


@pytest.mark.parametrize("value", [0.0, 2.0**-20])
def test_hats_whose_logits_nobody_bounds_keep_their_places(value: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An output that is never chosen in real arithmetic, but by float32 in the place of a hat; its expert writes nothing, or a constant."""
    for name in ("export.folder", "verify.check.files"):
        monkeypatch.setattr(import_module(f"atlasmoe.{name}"), "require_design", lambda *_: None)
    x, neurons = intruder(np.random.default_rng(0), 4.0)
    inputs = [Input(f"x{k}", Box((-1.0,), (1.0,))) for k in range(2)]
    blocks = [Block.parse(f"b{k}", (f"x{k}",), Tiling.intervals([-1, 0, 1]), [f"10 - x{k}", f"10 + x{k}"]) for k in range(2)]
    graph = TaskGraph("hats", (*inputs, *blocks, Combine.parse("f", ["b0", "b1"], "b0 + b1/2")), "f")
    rows = [side / 0.25 * np.eye(2)[k] for k in range(2) for side in (1.0, -1.0)]
    experts = [
        Affine(-side * factor * np.eye(2)[k][None], np.array([10 * factor])).net
        for k, factor in enumerate((1.0, 0.5))
        for side in (1.0, -1.0)
    ]
    hidden = Affine(np.concatenate([rows, neurons.weight]), np.concatenate([np.full(4, 0.5), neurons.bias]))
    out = -np.kron(np.eye(5), np.ones((1, 2)))[:, [0, 2, 4, 6, 8, 9]]
    gate = Net((hidden, Affine(out, np.array([1.0, 1.0, 1.0, 1.0, 4.0]))), ((NeuronGroup("ramp", 6, "by hand"),),))
    nets = (*experts, Affine(np.zeros((1, 2)), np.array([value])).net)
    layer = MoELayer(gate, nets, tuple(range(5)), tuple("abcde"), ("f",), top_k=4, weighting=Weighting.RECTIFIED)
    network = Network((layer,), ("x0", "x1")).astype(np.float32)
    at = np.array([[x, single(0.003)]])
    error = float(np.abs(network(at) - graph.evaluate(at)).max())
    assert error > 4
    certificate = certify(network, graph, epsilon=0.1, tightness=None)
    assert all(claim.known is not Known.PROVED or claim.bound > error for claim in certificate.claims if claim.name.startswith("total"))
    honest = replace(layer, top_k=5)
    folder = tmp_path / "honest"
    shown = certify(Network((honest,), network.inputs).astype(np.float32), graph, epsilon=0.1, tightness=None)
    atlasmoe.save(grouped_model(graph, Network((honest,), network.inputs).astype(np.float32), 0.1), folder)
    shown.write(folder)
    assert beside(grouped_model(graph, network, 0.1), network, tmp_path / "forged", folder).verdict != "confirmed"


@pytest.mark.parametrize("sums", list(Sums))
def test_two_levels_leave_what_may_overflow_to_the_flat_gate(sums: Sums) -> None:
    """In float32 a logit of such inputs may be ∞ − ∞, and the largest is then the first that is no number."""
    rng = np.random.default_rng(0)
    weight = rng.normal(size=(40, 4)) * 10.0 ** rng.uniform(-2, 14, (40, 1))
    gate = Affine(weight.astype(np.float32), (-(weight**2).sum(1) / 2).astype(np.float32))
    x = (rng.normal(size=(3000, 4)) * 10.0 ** rng.uniform(10, 30, (3000, 1))).astype(np.float32)
    with np.errstate(all="ignore"):
        logits = gate(x, sums)
        assert not np.isfinite(logits).all()
        for count in (1, 4, 12):
            routes = GateTree.with_groups(gate, count).choose(x, lambda part: gate(x[part], sums), 100, sums)
            flat = np.concatenate([gate(x[k : k + 100], sums).argmax(1) for k in range(0, len(x), 100)])
            assert (routes == flat).all()


def test_boxes_that_take_long_to_fill_space_are_given_up() -> None:
    """One box for every axis and one beyond all of them: few boxes, but 2^40 cells if the axes come in this order."""
    d, beyond = 40, (0.0, np.inf)
    boxes = [{d - 1 - j: beyond for j in range(k)} | {d - 1 - k: (-np.inf, 0.0)} for k in range(d)]
    assert tile([{d - 1 - axis: side for axis, side in box.items()} for box in [*boxes, dict.fromkeys(range(d), beyond)]])
    assert not tile([*boxes, dict.fromkeys(range(d), beyond)], Effort(1 << 16))
