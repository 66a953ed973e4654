"""examples/experiments/lab: what trained mixtures compute, how they are trained and measured, and the store of results."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe import Affine, InvalidArgument, Model, MoELayer, Network, NeuronGroup, ReLUNet

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "experiments"))
import itertools

from lab.measuring import Load, Measured, loads, measure, slope
from lab.mixture import Mixture, Shape, dense, load_mixture, save_mixture
from lab.separation import affine_gate, certificate
from lab.store import Store, fill, markdown
from lab.training import RATES, Data, Recipe, held_out, train, tuned


def net(rng: np.random.Generator, *sizes: int) -> ReLUNet:
    maps = tuple(Affine(rng.standard_normal((n, m)), rng.standard_normal(n)) for m, n in itertools.pairwise(sizes))
    return ReLUNet(maps, tuple((NeuronGroup("n", n, "random"),) for n in sizes[1:-1]))


def network(top_k: int = 2, weighting: str = "softmax") -> Network:
    """Two layers: a dense one, and one with a two-layer gate, four outputs for three experts of different widths, K of them."""
    rng = np.random.default_rng(0)
    first = MoELayer(net(rng, 2, 3).affine, (net(rng, 2, 5, 3),), (0, 0, 0), ("a", "b", "c"), ("p", "q", "r"))
    experts = (net(rng, 2, 3, 1), net(rng, 2, 6, 1), net(rng, 2, 4, 1))
    names = ("a", "b", "c", "d")
    second = MoELayer(net(rng, 2, 4, 4), experts, (0, 1, 2, 1), names, ("y",), reads=(2, 0), sees=(1, 2), top_k=top_k, weighting=weighting)
    return Network((first, second), ("x", "y"))


@pytest.mark.parametrize(("top_k", "weighting"), [(1, "softmax"), (2, "softmax"), (2, "uniform"), (1, "rectified")])
def test_a_mixture_is_the_network_it_was_made_from_and_gives_it_back(top_k: int, weighting: str) -> None:
    made = network(top_k, weighting)
    x = np.random.default_rng(1).standard_normal((500, 2))
    mixture = Mixture.of(made)
    assert np.allclose(mixture(torch.from_numpy(x)).detach().numpy(), made(x), rtol=0, atol=1e-13)
    again = mixture.perturbed(0.1, 0).network()
    assert not np.allclose(again(x), made(x), atol=1e-3)
    assert np.allclose(mixture(torch.from_numpy(x)).detach().numpy(), again(x), rtol=0, atol=1e-12)
    assert [net.widths for net in again.layers[1].experts] == [(3,), (6,), (4,), (6,)]


@pytest.mark.parametrize("numbers", [0, 1 << 20])
def test_inputs_run_through_their_experts_alone_or_through_all(numbers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lab.mixture.TOGETHER", numbers)
    mixture = Mixture([Shape(3, 2, 5, (4,), top_k=2, weighting="all")], seed=1, dtype=torch.float64)
    x = torch.randn(64, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (step,) = mixture.steps(x)
    probabilities = step.logits.softmax(1)
    (w0, w1), (b0, b1) = mixture.layers[0].experts.weights, mixture.layers[0].experts.biases
    for n in range(64):
        best = probabilities[n].sort(descending=True).indices[:2]
        expected = sum(probabilities[n, k] * (w1[k] @ (w0[k] @ x[n] + b0[k]).relu() + b1[k]) for k in best)
        assert torch.allclose(step.output[n], expected, rtol=0, atol=1e-14)


def test_the_gate_of_the_papers_layer_gets_no_gradient() -> None:
    """N25: K = 1 with softmax over the chosen."""
    x = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    for weighting, trained in (("chosen", False), ("all", True)):
        mixture = Mixture([Shape(3, 1, 4, (8,), weighting=weighting)])
        mixture(x).square().mean().backward()
        gradients = [p.grad for p in mixture.layers[0].gate.parameters()]
        assert all((g is not None and bool(g.abs().max() > 0)) == trained for g in gradients)
        assert all(p.grad is not None for p in mixture.layers[0].experts.parameters())


def test_padding_stays_zero_in_training_and_under_noise() -> None:
    mixture = Mixture.of(network()).perturbed(0.3, 1)
    data = Data(*(torch.randn(100, n, generator=torch.Generator().manual_seed(n)).double() for n in (2, 1, 2, 1)))
    train(mixture, data, Recipe(steps=5, batch=50, rate=1e-2))
    assert mixture.real
    named = dict(mixture.named_parameters())
    assert all(not named[name][real == 0].any() and named[name][real == 1].all() for name, real in mixture.real.items())


def test_what_no_mixture_can_hold_is_refused() -> None:
    layer = network().layers[1]
    carried = MoELayer(layer.gate, layer.experts, layer.serves, layer.names, ("y", "p"), layer.reads, (0,), (-1, 0), sees=layer.sees)
    with pytest.raises(InvalidArgument, match="carries"):
        Mixture.of(Network((network().layers[0], carried), ("x", "y")))
    with pytest.raises(InvalidArgument, match="softmax over all experts"):
        Mixture([Shape(2, 1, 3, (4,), weighting="all")]).network()


def test_balancing_evens_the_load_out(circle: Model) -> None:
    data = Data.of(circle.task, 2048)
    found = []
    for balance in (0.0, 1.0):
        mixture = Mixture([Shape(2, 1, 6, (4,), weighting="all")], seed=0)
        train(mixture, data, Recipe(steps=300, batch=256, rate=1e-2, balance=balance))
        found.append(loads(mixture, circle.task)[0].effective)
    assert found[1] > 5.5 > found[0]


def test_training_learns_and_the_rule_takes_the_best_rate(circle: Model) -> None:
    data = Data.of(circle.task, 2048)
    module, trained = tuned(lambda: dense(2, 16), data, Recipe(steps=400, batch=128))
    assert trained.rate in RATES[:2]
    assert trained.loss == held_out(module, data) < 0.02 < held_out(dense(2, 16), data)
    again, same = tuned(lambda: dense(2, 16), data, Recipe(steps=400, batch=128))
    assert same == trained
    assert all(torch.equal(p, q) for p, q in zip(module.parameters(), again.parameters(), strict=True))
    wild = train(dense(2, 16), data, Recipe(steps=50, optimiser="sgd", rate=1e6, constant=True))
    assert wild.diverged


def test_measured_errors_are_those_of_the_network(circle: Model) -> None:
    found = measure(circle.task, circle.network, samples=1 << 10)
    theta = np.linspace(-np.pi, np.pi, 400_001)
    x = np.stack([np.cos(theta), np.sin(theta)], 1)
    error = np.abs(circle.network(x)[:, 0] - x[:, 0] * x[:, 1])
    assert found.sampled <= found.sup
    assert found.sup == pytest.approx(error.max(), rel=1e-3)
    points = circle.task.atlas.sample(50_000, 7)
    rms = np.sqrt(np.mean((circle.network(points.ambient) - circle.task.evaluate(points)) ** 2))
    assert found.rms == pytest.approx(float(rms), rel=0.03)
    assert measure(circle.task, Mixture.of(circle)).sup == pytest.approx(found.sup, rel=1e-2)


def test_loads_and_slopes() -> None:
    assert Load.of(np.array([0, 0, 1, 1]), 4) == Load(4, 2, 2.0, 2.0)
    x = np.array([1.0, 2, 4, 8, 16])
    exact = slope(x, 3 * x**-1.5)
    assert (exact.value, exact.half) == (pytest.approx(-1.5), pytest.approx(0, abs=1e-12))
    rng = np.random.default_rng(0)
    inside = [abs((s := slope(x, x**-1.0 * np.exp(0.2 * rng.standard_normal(5)))).value + 1) <= s.half for _ in range(400)]
    assert 0.92 < np.mean(inside) < 0.98


def test_the_store_computes_each_row_once(tmp_path: Path) -> None:
    made = []

    def make() -> dict[str, float]:
        made.append(1)
        return Measured(2.0, 1.0, 0.5).row()

    first = Store(tmp_path / "a.json").row({"m": 16}, make)
    assert Store(tmp_path / "a.json").row({"m": 16}, make) == first
    assert (first["m"], first["sup"], len(made)) == (16, 2.0, 1)
    assert Store(tmp_path / "a.json", closed=True).row({"m": 32}, make) == {}
    Store(tmp_path / "a.json").row({"m": 32}, make)
    assert len(json.loads((tmp_path / "a.json").read_text())) == len(made) == 2
    page = tmp_path / "page.md"
    page.write_text("a\n<!-- t -->\nold\n<!-- end of t -->\nb\n")
    fill(page, "t", markdown(["m", "sup"], [[16, 0.012345], ["x", None]]))
    assert page.read_text() == "a\n<!-- t -->\n\n| m | sup |\n|---|---:|\n| 16 | 0.012 |\n| x | – |\n\n<!-- end of t -->\nb\n"


def test_mixtures_are_saved_and_read(tmp_path: Path) -> None:
    mixture = Mixture([Shape(3, 4, 1, (5,)), Shape(4, 1, 6, (7, 8), top_k=2, gate_widths=(9,), weighting="all")], seed=3)
    save_mixture(mixture, tmp_path / "m")
    again = load_mixture(tmp_path / "m")
    x = torch.randn(20, 3)
    assert torch.equal(mixture(x), again(x))
    assert again.shapes == mixture.shapes
    assert mixture.stored == sum(p.numel() for p in mixture.parameters())
    assert atlasmoe.Network is type(Mixture([Shape(2, 1, 3, (4,))]).network())


def test_certificates_against_affine_gates_hold_and_others_do_not() -> None:
    """N2: on a roll of one and a half turns two charts have cores whose convex hulls meet; six charts have a gate, so no certificate."""
    two, six = (atlasmoe.builtin("swiss_roll", turns=1.5, charts=n) for n in (2, 6))
    ends = two.charts[0].domain.lower[0], two.charts[-1].domain.upper[0]
    u = np.stack([np.linspace(*ends, 61), np.zeros(61)], axis=1)
    proof = certificate(two, u, (0, 2))
    assert proof is not None
    assert proof.holds(two)
    assert not proof.holds(six)
    for k, (which, (t, h)) in enumerate(proof.points):
        for moved in ((1 - which, (t, h)), (which, (t + 0.1, 0.1)), (which, (t + (3.0 if which == 0 else -3.0), h))):
            assert not replace(proof, points=(*proof.points[:k], moved, *proof.points[k + 1 :])).holds(two)
    same = replace(proof, points=(*proof.points[:-1], proof.points[-2]))
    assert not same.holds(two), "minors that are 0 decide nothing"
    points = six.sample(1500, 0)
    weights, margin = affine_gate(points.base, six.membership(points.base))
    assert weights is not None
    assert margin > 1e-3
    fresh = six.sample(4000, 1)
    chosen = (fresh.base @ weights[:, :-1].T + weights[:, -1]).argmax(1)
    assert six.membership(fresh.base)[np.arange(4000), chosen].mean() > 0.999
    points = two.sample(600, 0)
    assert affine_gate(points.base, two.membership(points.base)) == (None, 0.0)
