"""`to_torch` computes what the numpy network computes, sending every row through exactly one expert."""

from __future__ import annotations

import itertools

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.export import dispatch
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet


def random_net(rng: np.random.Generator, sizes: list[int]) -> ReLUNet:
    affines = tuple(Affine(rng.normal(size=(b, a)) / np.sqrt(a), rng.normal(size=b)) for a, b in itertools.pairwise(sizes))
    return ReLUNet(affines, tuple((NeuronGroup("random", m, "test"),) for m in sizes[1:-1]))


def random_layer(rng: np.random.Generator, inputs: int, outputs: int, experts: int, gates: int, hidden: int = 1) -> MoELayer:
    nets = tuple(random_net(rng, [inputs - 1, *rng.integers(3, 20, hidden).tolist(), outputs]) for _ in range(experts))
    serves = tuple(i % experts for i in range(gates))
    gate = Affine(rng.normal(size=(gates, inputs)), rng.normal(size=gates))
    names = tuple(f"e{i}" for i in range(gates))
    reads = tuple(range(inputs - 1, 0, -1))
    return MoELayer(gate, nets, serves, names, tuple(f"y{j}" for j in range(outputs)), reads)


def random_network(experts: int, seed: int = 0) -> Network:
    rng = np.random.default_rng(seed)
    return Network((random_layer(rng, 5, 7, experts, experts + 2, 2), random_layer(rng, 7, 3, experts, experts)), tuple("abcde"))


@pytest.mark.parametrize("experts", [1, 4, 60])
@pytest.mark.parametrize("count", [0, 1, 3, 50, 3000])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-5)])
def test_equals_the_numpy_network(experts: int, count: int, dtype: str, tolerance: float) -> None:
    network = random_network(experts).astype(dtype)
    x = np.random.default_rng(1).normal(size=(count, 5)).astype(dtype)
    trace = network.trace(x)
    with torch.no_grad():
        result = atlasmoe.to_torch(network)(torch.from_numpy(x), return_routes=True)
        y = atlasmoe.to_torch(network)(torch.from_numpy(x))
    # an argmax that is tied to rounding may fall either way, so compare where the routes are the same: nearly everywhere
    same = np.all([np.asarray(a) == b for a, b in zip(result.routes, trace.routes, strict=True)], axis=0)
    assert same.sum() >= count - 1
    assert y.numpy().dtype == dtype
    np.testing.assert_allclose(y.numpy()[same], trace.output[same], rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.y.numpy()[same], trace.output[same], rtol=0, atol=tolerance)
    for ours, theirs in zip(result.logits, trace.logits, strict=True):
        np.testing.assert_allclose(ours.numpy()[same], theirs[same], rtol=0, atol=tolerance)


def test_compiled_shape(circle: atlasmoe.Model, circle32: atlasmoe.Model) -> None:
    for model, tolerance in ((circle, 1e-14), (circle32, 1e-5)):
        x = model.task.atlas.sample(500, seed=3).ambient
        y = atlasmoe.to_torch(model)(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(y, model(x), rtol=0, atol=tolerance)


@pytest.mark.parametrize("way", [dispatch.direct, dispatch.segmented, dispatch.bucketed])
@pytest.mark.parametrize("count", [0, 1, 9, 400])
def test_every_way_of_dispatch_agrees(way: dispatch.Dispatch, count: int) -> None:
    rng = np.random.default_rng(2)
    maps = [(torch.tensor(rng.normal(size=(6, o, i))), torch.tensor(rng.normal(size=(6, o)))) for i, o in ((4, 9), (9, 5), (5, 2))]
    x, expert = torch.tensor(rng.normal(size=(count, 4))), torch.tensor(rng.choice([0, 2, 3, 5], count, p=[0.9, 0.05, 0.03, 0.02]))
    expected = torch.empty(count, 2, dtype=torch.float64)
    for n in range(count):
        h = x[n]
        for layer, (weight, bias) in enumerate(maps):
            h = weight[expert[n]] @ (h if layer == 0 else h.relu()) + bias[expert[n]]
        expected[n] = h
    torch.testing.assert_close(way(maps, x, expert), expected, rtol=0, atol=1e-12)


def test_the_three_ways_are_all_chosen() -> None:
    small, large = ([(torch.zeros(64, m, 4), torch.zeros(64, m)), (torch.zeros(64, 2, m), torch.zeros(64, 2))] for m in (8, 1 << 14))
    expert = torch.zeros(1, dtype=torch.int64)
    assert dispatch.choose_dispatch(small, 5, expert) is dispatch.direct
    assert dispatch.choose_dispatch(small, 100, expert) is dispatch.bucketed
    assert dispatch.choose_dispatch(large, 100, expert) is dispatch.segmented
    assert dispatch.choose_dispatch(small, 100_000, expert) is dispatch.segmented
    assert dispatch.choose_dispatch(small, 100_000, None) is dispatch.dense


@pytest.mark.parametrize("count", [5, 900])
def test_every_row_runs_through_one_expert_only(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    network = random_network(4)
    module = atlasmoe.to_torch(network)
    rows: dict[int, int] = {}
    run = dispatch.run

    def counting(maps: dispatch.Maps, k: int, x: torch.Tensor) -> torch.Tensor:
        if len(maps) == 2:  # the second layer's experts have two affine maps, the first's three
            rows[k] = rows.get(k, 0) + len(x)
        return run(maps, k, x)

    monkeypatch.setattr(dispatch, "run", counting)
    result = module(torch.randn(count, 5, dtype=torch.float64), return_routes=True)
    assert sum(rows.values()) == count
    assert rows == {k: n for k, n in enumerate(torch.bincount(result.routes[1], minlength=4).tolist()) if n}


def test_only_the_chosen_expert_matters() -> None:
    """Whatever the other experts hold, NaN included, does not reach the output."""
    module = atlasmoe.to_torch(random_network(60))
    for count in (3, 40, 3000):
        x = torch.randn(count, 5, dtype=torch.float64)
        with torch.no_grad():
            before = module(x[:1])
            chosen = module(x[:1], return_routes=True).routes[1].item()
            x = x[:1].expand(count, -1)
            spoiled = atlasmoe.to_torch(random_network(60))
            for weight, _ in spoiled.stack[1].experts.maps:
                kept = weight[chosen].clone()
                weight.fill_(torch.nan)
                weight[chosen] = kept
            torch.testing.assert_close(spoiled(x), before.expand(count, -1), rtol=0, atol=1e-12)


def test_first_index_wins_a_tie() -> None:
    layer = random_network(4).layers[1]
    tied = MoELayer(Affine(np.zeros((4, 7)), np.zeros(4)), layer.experts, layer.serves, layer.names, layer.channels, layer.reads)
    network = Network((tied,), tuple("abcdefg"))
    routes = atlasmoe.to_torch(network)(torch.randn(300, 7, dtype=torch.float64), return_routes=True).routes[0]
    assert not routes.any()


def test_batch_shapes(circle: atlasmoe.Model) -> None:
    module = atlasmoe.to_torch(circle)
    x = torch.tensor(circle.task.atlas.sample(24, seed=0).ambient)
    y = module(x)
    torch.testing.assert_close(module(x.reshape(2, 3, 4, 2)), y.reshape(2, 3, 4, 1))
    torch.testing.assert_close(module(x[0]), y[0])
    assert module(x.reshape(4, 6, 2), return_routes=True).routes[1].shape == (4, 6)
    with pytest.raises(InvalidArgument, match=r"reads \[..., 2\], got \(24, 3\)"):
        module(torch.zeros(24, 3))


@pytest.mark.parametrize("count", [4, 60, 2000])
def test_gradients_flow_through_the_chosen_expert(count: int) -> None:
    module = atlasmoe.to_torch(random_network(60))
    x = torch.randn(count, 5, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    assert x.grad is not None
    step = 1e-6 * torch.randn_like(x)
    with torch.no_grad():
        change = (module(x + step) - module(x - step)).sum() / 2
    assert abs(change - (x.grad * step).sum()) < 1e-4 * step.abs().sum()
    used = module(x, return_routes=True).routes[1].unique()
    grad = module.stack[1].experts.maps[-1][1].grad
    assert grad is not None
    assert (grad.abs().sum(1).nonzero()[:, 0] == used).all()


def test_state_dict_and_conversion(circle: atlasmoe.Model) -> None:
    module = atlasmoe.to_torch(circle)
    assert set(module.state_dict()) == {
        *(f"layers.{la}.{part}.{kind}" for la in (0, 1) for part in ("router", "experts.0", "experts.1") for kind in ("weight", "bias")),
        "layers.0.serves",
        "layers.1.serves",
        "layers.1.reads",
    }
    assert module.stack[0].experts.maps[0][0].shape == (1, 4, 2), "equal experts are stored once"
    assert module.stack[1].experts.maps[0][0].shape == (3, 40, 2), "narrower experts are padded"
    other = atlasmoe.to_torch(circle)
    with torch.no_grad():
        other.stack[1].experts.maps[0][0].zero_()
    other.load_state_dict(module.state_dict())
    x = torch.tensor(circle.task.atlas.sample(50, seed=0).ambient)
    assert torch.equal(other(x), module(x))
    single = module.to(torch.float32)(x)
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.detach().numpy(), circle(x.numpy()), rtol=0, atol=1e-5)


def test_experts_of_different_depth_are_refused() -> None:
    rng = np.random.default_rng(0)
    nets = (random_net(rng, [2, 3, 1]), random_net(rng, [2, 3, 3, 1]))
    layer = MoELayer(Affine(np.zeros((2, 2)), np.zeros(2)), nets, (0, 1), ("a", "b"), ("y",))
    with pytest.raises(InvalidArgument, match=r"equally many affine maps .* \[2, 3\]"):
        atlasmoe.to_torch(Network((layer,), ("p", "q")))
