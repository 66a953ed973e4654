"""Substitution (N21): GELU, its tanh form or SiLU in the place of σ, with a constant that is proved and a bound that holds."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import sympy
import torch
from atlasmoe import Block, Combine, Input, TaskGraph, check, compile, load, save, substitute, to_torch, verify
from atlasmoe.atlas import Atlas, Box, ExpressionMap, ExpressionTarget, ManifoldTask, Tiling, ball_atlas, builtin
from atlasmoe.constructions.sensitivity import Slot, moved, slots_of, through
from atlasmoe.constructions.substitution import carried_beside, substituted
from atlasmoe.errors import EpsilonNotReached, InvalidArgument
from atlasmoe.moe import ACTIVATIONS, Affine, Known, Model, MoELayer, Net, Network, NeuronGroup
from atlasmoe.moe.activations import GELU, GELU_TANH, RELU2, SILU, Activation
from atlasmoe.moe.layer import Weighting
from certificates import certified
from click.testing import CliRunner
from flint import arb, ctx

TAKEN = (GELU, GELU_TANH, SILU)


def task_on(atlas: Atlas, text: str) -> ManifoldTask:
    symbols = sympy.symbols(atlas.coordinates, real=True)
    return ManifoldTask(
        "test", atlas, ExpressionTarget(ExpressionMap(symbols, (sympy.sympify(text, dict(zip(atlas.coordinates, symbols, strict=True))),)))
    )


def below(name: str, t: arb) -> arb:
    """e(t) = σ(t) − a(t) for t ≥ 0, which is t·(1 − share of t)."""
    if name == "gelu":
        return t * (t / arb(2).sqrt()).erfc() / 2
    w = t if name == "silu" else 2 * (2 / arb.pi()).sqrt() * (t + arb("0.044715") * t**3)
    return t / (1 + w.exp())


def steepness(name: str, t: arb) -> arb:
    """e′(t)."""
    if name == "gelu":
        return (t / arb(2).sqrt()).erfc() / 2 - t * (-t * t / 2).exp() / (2 * arb.pi()).sqrt()
    scale = 2 * (2 / arb.pi()).sqrt()
    w, dw = (t, arb(1)) if name == "silu" else (scale * (t + arb("0.044715") * t**3), scale * (1 + 3 * arb("0.044715") * t * t))
    s = 1 / (1 + w.exp())
    return s - t * dw * s * (1 - s)


@pytest.fixture
def digits():
    before = ctx.prec
    ctx.prec = 120
    yield
    ctx.prec = before


@pytest.mark.parametrize("act", TAKEN, ids=str)
def test_the_constant_is_proved_and_sharp(act: Activation, digits: None) -> None:
    """0 ≤ e ≤ c on [0, ∞) in ball arithmetic, and so on R, as e is even; 98 % of c is too little."""
    waiting, cells, found = [(0.0, 16.0)], 0, 0.0
    while waiting:
        low, high = waiting.pop()
        middle, width = (low + high) / 2, (high - low) / 2
        cell = arb(middle, width)
        bound = below(act.name, arb(middle)) + abs(steepness(act.name, cell)) * width
        found = max(found, float(below(act.name, arb(middle)).lower()))
        cells += 1
        if not (below(act.name, cell) <= arb(act.gap) or bound <= arb(act.gap)):
            assert width > 1e-12, f"e exceeds {act.gap} near {middle}"
            waiting += [(low, middle), (middle, high)]
    assert cells < 5000
    # e(t) = t·share(t) with a share that falls like exp(−t) at least: beyond 16 it is below 16·exp(−16) < 0.98·c.
    assert 16 * np.exp(-16) < act.gap
    assert 0.98 * act.gap < found <= act.gap
    for t in np.linspace(-30, 30, 301):
        assert max(t, 0.0) - float(act(np.array(t))) >= -1e-15
    assert RELU2.gap == np.inf


def random_net(seed: int, *sizes: int) -> Net:
    rng = np.random.default_rng(seed)
    affines = tuple(Affine(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b)) for a, b in pairwise(sizes))
    return Net(affines, tuple((NeuronGroup(f"h{k}", width, "by hand"),) for k, width in enumerate(sizes[1:-1])))


def test_a_single_neuron_moves_as_far_as_the_bound_says() -> None:
    """c·|A|/(2β), at z = 0 one way and where e is largest the other."""
    net = Net((Affine(np.ones((1, 1)), np.zeros(1)), Affine(np.full((1, 1), -3.0), np.zeros(1))), ((NeuronGroup("h", 1, "by hand"),),))
    x = np.linspace(-1, 1, 200_001)[:, None]
    for act in TAKEN:
        gap = substituted(net, act, [8.0])(x) - net(x)
        (bound,) = through(net, np.zeros(1), [act.gap / 8])
        assert bound == pytest.approx(act.gap * 3 / 16, rel=1e-5)
        assert 0.98 * bound < gap.max() <= bound
        assert -0.98 * bound > gap.min() >= -bound


@pytest.mark.parametrize("sizes", [(3, 20, 2), (2, 16, 12, 2), (2, 9, 8, 7, 1)], ids=str)
def test_the_bound_holds_in_deeper_nets(sizes: tuple[int, ...]) -> None:
    net, rng = random_net(len(sizes), *sizes), np.random.default_rng(3)
    x, depth = rng.normal(size=(20_000, sizes[0])) * 2, len(sizes) - 2
    for betas in ([4.0] * depth, [2.0 ** (k + 2) for k in range(depth)]):
        gap = np.abs(substituted(net, SILU, betas)(x) - net(x)).max(0)
        bound = through(net, np.zeros(sizes[0]), [SILU.gap / beta for beta in betas])
        assert (gap <= bound).all()
        assert (gap > 0.02 * bound).all()


def test_what_is_carried_does_not_move() -> None:
    """a(z) − a(−z) = z, whatever its weight, and pairs of other weights move by what is left of them."""
    rows = np.array([[1.0, 2.0], [-1.0, -2.0], [0.5, 1.0], [-0.5, -1.0]])
    bias = np.array([0.0, 0.0, 3.0, -3.0])
    net = Net(
        (Affine(rows, bias), Affine(np.array([[1.0, -1.0, 0.0, 0.0], [0.0, 0.0, 2.0, -0.5]]), np.zeros(2))), ((NeuronGroup("h", 4, "x"),),)
    )
    bound = through(net, np.zeros(2), [SILU.gap / 4])
    assert bound[0] == 0
    assert bound[1] == pytest.approx(1.5 * SILU.gap / 8, rel=1e-5)
    x = np.random.default_rng(0).normal(size=(5000, 2)) * 3
    gap = np.abs(substituted(net, SILU, [4.0])(x) - net(x)).max(0)
    assert gap[0] < 1e-14
    assert 0.98 * bound[1] < gap[1] <= bound[1]
    # What arrives with an error passes a pair once, and not twice.
    np.testing.assert_allclose(through(net, np.array([0.1, 0.0]), [0.0]), [0.1, 0.1], rtol=1e-5)


def test_weights_move_with_their_logits() -> None:
    """Of two experts ±ε at equal scores that move by ±h the mixture moves by ε·tanh(h), at most 2·(1 − 1/2)·ε·h."""
    scores = Net((Affine(np.ones((1, 1)), np.zeros(1)), Affine(np.array([[1.0], [-1.0]]), np.zeros(2))), ((NeuronGroup("h", 1, "x"),),))
    first = MoELayer(None, (scores,), (0,), ("all",), ("s", "t"))
    experts = tuple(Affine(np.zeros((1, 2)), np.array([epsilon])).net for epsilon in (0.5, -0.5))
    network = Network((first, MoELayer(Affine(np.eye(2), np.zeros(2)), experts, (0, 1), ("a", "b"), ("f",), top_k=2)), ("x",))
    gap = SILU.gap / 8
    changed = replace(network, layers=(replace(first, experts=(substituted(scores, SILU, [8.0]),)), network.layers[1]))
    found = float(np.abs(changed([[0.0]]) - network([[0.0]])).max())
    (bound,) = moved(network, {Slot(0, False, 0): gap}, {1: 0.5}).states[-1]
    assert 0.98 * bound < found <= bound == pytest.approx(0.5 * gap / 2, rel=1e-4)
    with pytest.raises(InvalidArgument, match="how near to each other"):
        moved(network, {Slot(0, False, 0): gap}, {})
    equal = replace(network, layers=(first, replace(network.layers[1], weighting=Weighting.UNIFORM)))
    assert moved(equal, {Slot(0, False, 0): gap}, {}).states[-1] == 0


CIRCLE, SPHERE = builtin("circle"), builtin("sphere")
TASKS = {
    "balls": (task_on(ball_atlas(CIRCLE, charts=8), "sin(2*x1)*x2"), {"epsilon": 0.02}),
    "scores": (task_on(CIRCLE, "x1*x2"), {"epsilon": 0.02, "routing": "plateau"}),
    "float32": (task_on(ball_atlas(SPHERE, charts=24), "x1*x2 + x3"), {"epsilon": 0.05, "dtype": "float32"}),
}
UNIT = Input("x", Box((0, 0), (1, 1)), ("a", "b"))
GRAPH = TaskGraph(
    "graph",
    (
        UNIT,
        Block.parse("u", ("a",), Tiling.intervals([0, 0.5, 1]), ["a*a", "a - 1/4"]),
        Block.parse("v", ("b",), Tiling.intervals([0, 0.4, 1]), ["sin(3*b)", "sin(3*b)"]),
        Combine.parse("f", ("u", "v"), "u*v"),
    ),
    "f",
)


@cache
def made(name: str) -> Model:
    task, asked = TASKS.get(name, (GRAPH, {"epsilon": 0.05, "depth": "L"}))
    return compile(task, **asked)


@pytest.fixture(scope="module", params=[*TASKS, "graph"])
def pair(request: pytest.FixtureRequest) -> tuple[Model, Model]:
    return made(request.param), substitute(made(request.param), "silu")


def test_substituted_models_are_models(pair: tuple[Model, Model], tmp_path: Path) -> None:
    """Their ledger holds and is true, they verify, a proof of their own confirms them, and other tools load them."""
    before, model = pair
    claim, share = model.ledger["substitution"], before.ledger.root.budget / 16
    assert model.ledger.holds
    assert claim.known is Known.FORMULA
    assert 0 < claim.bound <= claim.budget < share
    assert model.ledger.root.budget == pytest.approx(before.ledger.root.budget + share)
    names = {group.activation.name for layer in model.network.layers for net in layer.nets for groups in net.groups for group in groups}
    assert names == {"silu"}
    report = verify(model, samples=4000)
    assert report.holds, [c for c in report.claims if not c.holds]
    x = before.task.sample(500, 3) if isinstance(before.task, TaskGraph) else before.task.atlas.sample(500, 3).ambient
    routes = [chosen[:, 0] for chosen in before.network.trace(x).chosen]
    if model.facts["routing"] != "plateau":
        for mine, theirs in zip(model.network.trace(x).routes, routes, strict=True):
            np.testing.assert_array_equal(mine, theirs)
    save(model, tmp_path / "model")
    again = load(tmp_path / "model")
    np.testing.assert_array_equal(again(x), model(x))
    y = to_torch(model)(torch.from_numpy(np.asarray(x, model.network.dtype))).detach().numpy()
    np.testing.assert_allclose(y, model(x), rtol=0, atol=1e-5 if model.network.dtype == np.float32 else 1e-12)
    explained = model.explain(x[0])
    assert explained.output[next(iter(explained.output))] == pytest.approx(float(model(x[:1])[0, 0]), abs=1e-6)


def test_a_proof_of_its_own(tmp_path: Path) -> None:
    model = substitute(made("balls"), "gelu", epsilon=1e-3)
    report = check(certified(model, tmp_path / "model"))
    assert report.verdict == "confirmed"
    assert report.bound <= model.ledger.root.budget


def test_finer_epsilon_takes_a_steeper_activation() -> None:
    model = made("balls")
    coarse, fine = (substitute(model, "gelu_tanh", epsilon=e) for e in (1e-2, 1e-4))
    (slot,) = slots_of(carried_beside(model.network, model.design)[0])
    assert slot == Slot(0, False, 0)
    both = [one.facts["substituted"]["beta"][str(slot)] for one in (coarse, fine)]
    assert both[0] < both[1]
    for one, beta, epsilon in zip((coarse, fine), both, (1e-2, 1e-4), strict=True):
        assert float(np.log2(beta)) == int(np.log2(beta))
        largest = float(moved(model.network, {slot: GELU_TANH.gap / beta}, {}).states[-1].max())
        assert largest <= 15 / 16 * epsilon < 2.01 * largest  # half of β would not do
        assert one.ledger["substitution"].bound == pytest.approx(largest)


def test_what_cannot_be_substituted_is_refused() -> None:
    model = made("balls")
    with pytest.raises(InvalidArgument, match="cannot take the place of ReLU neurons; use one of gelu, gelu_tanh, silu"):
        substitute(model, "relu2")
    with pytest.raises(InvalidArgument, match="epsilon must be a positive number"):
        substitute(model, "silu", epsilon=0.0)
    with pytest.raises(InvalidArgument, match="no ReLU neurons"):
        substitute(substitute(model, "silu"), "gelu")
    with pytest.raises(EpsilonNotReached, match="float32") as missed:
        substitute(made("float32"), "silu", epsilon=1e-9)
    assert missed.value.reached > 1e-7
    with pytest.raises(InvalidArgument, match="scores of faces are exact or nothing"):
        substitute(compile(GRAPH, epsilon=0.05), "silu")
    lanes = compile(TASKS["balls"][0], epsilon=0.02, gated=True)
    with pytest.raises(InvalidArgument, match="product lanes"):
        substitute(lanes, "silu")


def test_a_network_that_does_not_carry_what_it_says_is_refused() -> None:
    model = made("scores")
    first = model.network.layers[0]
    (net,) = first.experts
    last = net.affines[-1]
    weight = last.weight.copy()
    weight[0] *= 2
    wrong = replace(first, experts=(net.with_maps((*net.affines[:-1], Affine(weight, last.bias))),))
    broken = replace(model, network=replace(model.network, layers=(wrong, *model.network.layers[1:])))
    with pytest.raises(InvalidArgument, match="does not carry the channel"):
        substitute(broken, "silu")


def test_the_command_line(tmp_path: Path) -> None:
    from atlasmoe.cli.main import main

    save(made("balls"), tmp_path / "model")
    ran = CliRunner().invoke(main, ["substitute", str(tmp_path / "model"), "--activation", "gelu", "-o", str(tmp_path / "gelu")])
    assert ran.exit_code == 0, ran.output
    assert load(tmp_path / "gelu").facts["substituted"]["activation"] == "gelu"
    wrong = CliRunner().invoke(main, ["substitute", str(tmp_path / "model"), "--activation", "relu", "-o", str(tmp_path / "b")])
    assert wrong.exit_code == 2
    assert "relu" in ACTIVATIONS
