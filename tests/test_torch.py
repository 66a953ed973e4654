"""`to_torch` computes what the numpy network computes, sending every row through its chosen experts only."""

from __future__ import annotations

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, MoELayer, Network
from atlasmoe.moe.layer import Weighting
from general_layers import KINDS, experts, general_network
from random_networks import random_net, random_network


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


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("count", [0, 1, 7, 1000])
@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 2e-5)])
def test_layers_of_every_kind_equal_the_numpy_network(kind: str, count: int, dtype: str, tolerance: float) -> None:
    network = general_network(kind).astype(dtype)
    x = np.random.default_rng(1).normal(size=(count, 2)).astype(dtype)
    trace = network.trace(x)
    module = atlasmoe.to_torch(network)
    with torch.no_grad():
        result = module(torch.from_numpy(x), return_routes=True)
        y = module(torch.from_numpy(x))
    for number, layer in enumerate(network.layers):
        chosen, weights = trace.chosen[number], layer.weights(trace.chosen[number], trace.logits[number])
        if layer.top_k == 1:
            chosen, weights = chosen[:, 0], weights[:, 0]
        np.testing.assert_array_equal(result.routes[number].numpy(), chosen)
        np.testing.assert_allclose(result.logits[number].numpy(), trace.logits[number], rtol=0, atol=tolerance)
        np.testing.assert_allclose(result.weights[number].numpy(), weights, rtol=0, atol=tolerance)
        assert result.weights[number].numpy().dtype == dtype
    assert y.numpy().dtype == dtype
    np.testing.assert_allclose(y.numpy(), trace.output, rtol=0, atol=tolerance)
    np.testing.assert_allclose(result.y.numpy(), trace.output, rtol=0, atol=tolerance)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_of_every_kind(kind: str) -> None:
    """Backwards is the derivative of forwards, in x and in all weights; of gates where the weights of experts depend on them."""
    module = atlasmoe.to_torch(general_network(kind))
    torch.manual_seed(0)
    x = torch.randn(200, 2, dtype=torch.float64, requires_grad=True)
    module(x).sum().backward()
    step = 1e-7
    moved = [(parameter, torch.randn_like(parameter)) for parameter in (x, *module.parameters())]
    slope = sum((parameter.grad * along).sum().item() for parameter, along in moved if parameter.grad is not None)
    values = []
    with torch.no_grad():
        routes = module(x, return_routes=True).routes
        for sign in (1, -1):
            for parameter, along in moved:
                parameter += sign * step * along
            result = module(x, return_routes=True)
            assert all(torch.equal(ours, theirs) for ours, theirs in zip(result.routes, routes, strict=True))
            values.append(result.y.sum().item())
            for parameter, along in moved:
                parameter -= sign * step * along
    assert abs((values[0] - values[1]) / (2 * step) - slope) < 1e-4 * abs(slope)
    last = module.stack[-1]
    gate_learns = any(parameter.grad is not None and parameter.grad.any() for parameter in last.router.parameters())
    assert gate_learns == (last.weighting is Weighting.RECTIFIED or (last.weighting is Weighting.SOFTMAX and last.top_k > 1))


@pytest.mark.parametrize("weighting", Weighting)
@pytest.mark.parametrize("top_k", [1, 2, 3, 5, 40])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_of_equal_logits_the_first_are_chosen(weighting: Weighting, top_k: int, dtype: str) -> None:
    """Integer gates on integer points: logits are exact in both, and every row has ties, between 0.0 and −0.0 too."""
    rng = np.random.default_rng(4)
    rows = rng.integers(-2, 3, (4, 2)).astype(float)
    gate = Affine(rows[rng.integers(0, 4, 40)] * rng.choice([1.0, -0.0], 40)[:, None], rng.choice([0.0, -0.0], 40))
    names = tuple(f"e{k}" for k in range(40))
    serves = tuple(k % 3 for k in range(40))
    layer = MoELayer(gate.net, experts(rng, 3, 2, 1), serves, names, ("f",), top_k=top_k, weighting=weighting)
    network = Network((layer,), ("x", "y")).astype(dtype)
    x = np.stack(np.meshgrid(np.arange(-3, 4), np.arange(-3, 4)), -1).reshape(-1, 2).astype(dtype)
    trace = network.trace(x)
    result = atlasmoe.to_torch(network)(torch.from_numpy(x), return_routes=True)
    np.testing.assert_array_equal(result.logits[0].detach().numpy(), trace.logits[0])
    np.testing.assert_array_equal(result.routes[0].numpy().reshape(len(x), top_k), trace.chosen[0])
    best_first = -np.sort(-trace.logits[0], axis=1)[:, :top_k]
    np.testing.assert_array_equal(np.take_along_axis(trace.logits[0], trace.chosen[0], 1), best_first)
    equal_neighbours = np.diff(best_first) == 0
    assert top_k == 1 or equal_neighbours.any()
    assert (np.diff(trace.chosen[0])[equal_neighbours] > 0).all()
    y = atlasmoe.to_torch(network)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, trace.output, rtol=0, atol=1e-12 if dtype == "float64" else 2e-4)


def test_state_dict_of_every_place() -> None:
    module = atlasmoe.to_torch(general_network("everything"))
    keys = set(module.state_dict())
    affine = {"weight", "bias"}
    first, last = ({key.removeprefix(f"layers.{n}.") for key in keys if key.startswith(f"layers.{n}.")} for n in (0, 1))
    assert first == {f"{part}.{kind}" for part in ("router", "experts.0", "experts.1") for kind in affine} | {
        *("serves", "reads", "origins", "sums")
    }
    nets = ("router.0", "router.2", "shared.0", "shared.2", "experts.0", "experts.1")
    assert last == {f"{part}.{kind}" for part in nets for kind in affine} | {"serves", "reads"}


def test_carried_channels_pass_bit_for_bit() -> None:
    """Whatever the experts compute, NaN included, it does not reach a channel that is carried and not written."""
    module = atlasmoe.to_torch(general_network("carries"))
    layer = module.stack[0]
    with torch.no_grad():
        for stage in layer.experts.stages:
            stage.weight.fill_(torch.nan)
            stage.bias.fill_(torch.nan)
        x = torch.randn(500, 2, dtype=torch.float64) * 1e300
        state = layer(x)
    names = layer.channels
    assert torch.equal(state[:, names.index("x")], x[:, 0])
    assert torch.equal(state[:, names.index("y")], x[:, 1])
    assert state[:, names.index("c")].isnan().all()


def test_compiled_shape(circle: atlasmoe.Model, circle32: atlasmoe.Model) -> None:
    for model, tolerance in ((circle, 1e-14), (circle32, 1e-5)):
        x = model.task.atlas.sample(500, seed=3).ambient
        y = atlasmoe.to_torch(model)(torch.from_numpy(x)).detach().numpy()
        np.testing.assert_allclose(y, model(x), rtol=0, atol=tolerance)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device here")
@pytest.mark.parametrize("kind", KINDS)
def test_on_a_gpu(kind: str) -> None:
    network = general_network(kind).astype("float32")
    module = atlasmoe.to_torch(network).cuda()
    for count in (1, 7, 500, 20_000):
        x = np.random.default_rng(1).normal(size=(count, 2)).astype(np.float32)
        trace = network.trace(x)
        with torch.no_grad():
            found, y = module(torch.from_numpy(x).cuda(), return_routes=True), module(torch.from_numpy(x).cuda())
        assert y.is_cuda
        same = (found.routes[-1].cpu().numpy().reshape(trace.chosen[-1].shape) == trace.chosen[-1]).all(1)
        assert same.mean() > 0.99
        np.testing.assert_allclose(y.cpu()[same], trace.output[same], rtol=0, atol=1e-3)
    seen = []
    module.stack[-1].each[0].register_forward_hook(lambda _, __, out: seen.append(out.is_cuda))
    module(torch.from_numpy(x).cuda())
    assert seen == [True]


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
    grad = module.stack[1].experts.stages[-1].bias.grad
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
    assert module.stack[0].experts.stages[0].weight.shape == (1, 4, 2), "equal experts are stored once"
    assert module.stack[1].experts.stages[0].weight.shape == (3, 40, 2), "narrower experts are padded"
    other = atlasmoe.to_torch(circle)
    with torch.no_grad():
        other.stack[1].experts.stages[0].weight.zero_()
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
