"""`to_torch` computes what the numpy network computes, sending every row through its chosen experts only."""

from __future__ import annotations

import copy
import itertools

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.export import dispatch, listed, quick, stacks
from atlasmoe.export.from_torch import network_of
from atlasmoe.export.stages import Stage
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.moe.layer import Weighting
from atlasmoe.moe.sums import Sums
from general_layers import KINDS, experts, general_network
from smooth_nets import mixed_network


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


@pytest.mark.parametrize("kind", ["top 3, softmax", "everything"])
@pytest.mark.parametrize("way", dispatch.WAYS.values())
def test_several_experts_by_every_way_of_dispatch(kind: str, way: dispatch.Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    network = general_network(kind)
    x = np.random.default_rng(2).normal(size=(90, 2))
    monkeypatch.setattr(stacks, "choose_dispatch", lambda stages, rows, expert, sums: way)
    y = atlasmoe.to_torch(network)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, network(x), rtol=0, atol=1e-13)


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


@pytest.mark.parametrize("way", dispatch.WAYS.values())
@pytest.mark.parametrize("count", [0, 1, 9, 400])
def test_every_way_of_dispatch_agrees(way: dispatch.Dispatch, count: int) -> None:
    rng = np.random.default_rng(2)
    maps = [(torch.tensor(rng.normal(size=(6, o, i))), torch.tensor(rng.normal(size=(6, o)))) for i, o in ((4, 9), (9, 5), (5, 2))]
    stages = [Stage(weight, bias, ((slice(0, weight.shape[1]), "relu"),) if n < 2 else ()) for n, (weight, bias) in enumerate(maps)]
    x, expert = torch.tensor(rng.normal(size=(count, 4))), torch.tensor(rng.choice([0, 2, 3, 5], count, p=[0.9, 0.05, 0.03, 0.02]))
    expected = torch.empty(count, 2, dtype=torch.float64)
    for n in range(count):
        h = x[n]
        for layer, (weight, bias) in enumerate(maps):
            h = weight[expert[n]] @ (h if layer == 0 else h.relu()) + bias[expert[n]]
        expected[n] = h
    torch.testing.assert_close(way(stages, x, expert), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("way", [*dispatch.WAYS, "listed"])
@pytest.mark.parametrize("count", [0, 1, 9, 400])
@pytest.mark.parametrize("kind", ["relu", "silu, relu", "relu, gelu, relu2"])
def test_without_gradients_every_way_agrees(way: str, count: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place, in blocks of 64 rows, chunks of 16 and products of one or two by NumPy, experts unevenly loaded."""
    monkeypatch.setattr(quick, "cheapest", lambda stages, rows, listed: way)
    monkeypatch.setattr(quick, "block_rows", lambda stages: 64)
    monkeypatch.setattr(quick, "chunk_rows", lambda stages: 16)
    monkeypatch.setattr(listed, "PRODUCT", 300)
    network = random_network(6) if kind == "relu" else mixed_network(kind, lanes=True)
    module = atlasmoe.to_torch(network)
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(count, len(network.inputs))))
    before = x.clone()
    with torch.no_grad():
        y, again = module(x), module(x)
    assert torch.equal(x, before)
    assert torch.equal(y, again)
    assert y.data_ptr() != again.data_ptr() or not count
    np.testing.assert_allclose(y, network(x.numpy()), rtol=0, atol=1e-11)


def test_views_of_weights_follow_the_weights() -> None:
    """In place, by `data`, by `load_state_dict`, by conversion, in copies: what runs is what is there."""
    network = random_network(5)
    module, x = atlasmoe.to_torch(network), torch.from_numpy(np.random.default_rng(3).normal(size=(300, 5)))
    with torch.no_grad():
        for change in (lambda p: None, lambda p: p.mul_(2), lambda p: setattr(p, "data", p.data + 0.1)):
            for parameter in module.parameters():
                change(parameter)
            np.testing.assert_allclose(module(x), network_of(module)(x.numpy()), rtol=0, atol=1e-9)
        twin = copy.deepcopy(module)
        module.load_state_dict(atlasmoe.to_torch(network).state_dict())
        np.testing.assert_allclose(module(x), network(x.numpy()), rtol=0, atol=1e-12)
        np.testing.assert_allclose(twin(x), network_of(twin)(x.numpy()), rtol=0, atol=1e-9)
        assert module.float()(x).dtype == torch.float32
    module(x).sum().backward()
    tangent = torch.func.jvp(lambda rows: module(rows).double(), (x,), (torch.ones_like(x),))[1]
    assert torch.isfinite(tangent).all()


def test_parts_that_are_replaced_are_seen() -> None:
    """Parameters, parts, parametrised weights, weights lent for one call; and memory that a thread keeps serves every mode."""
    network = random_network(5)
    module, other = atlasmoe.to_torch(network), atlasmoe.to_torch(random_network(5, seed=1))
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(300, 5)))

    def right(one: torch.nn.Module) -> None:
        for rows in (1, 300):
            np.testing.assert_allclose(one(x[:rows]), network_of(one)(x[:rows].numpy()), rtol=0, atol=1e-9)

    with torch.inference_mode():
        right(module)
    with torch.no_grad():
        lent = torch.func.functional_call(module, dict(other.named_parameters()), (x,))
        torch.testing.assert_close(lent, other(x), rtol=0, atol=1e-12)
        right(module)
        stack = module.stack[1].experts
        stack.maps[0].weight = torch.nn.Parameter(stack.maps[0].weight * 2)
        right(module)
        stack[0] = copy.deepcopy(stack.maps[0])
        stack.maps[0].weight.mul_(-1)
        right(module)
        torch.nn.utils.parametrizations.weight_norm(stack.maps[0])
        right(module)
        stack.maps[0].parametrizations.weight.original0.mul_(3)
        right(module)


def test_weights_lie_as_rows_are_multiplied_and_are_saved_row_by_row() -> None:
    network = random_network(5)
    module = atlasmoe.to_torch(network)
    stack = module.stack[0].experts.maps[0]
    assert stack.weight[0].mT.is_contiguous()
    saved = module.state_dict()
    assert all(tensor.is_contiguous() for tensor in saved.values())
    assert torch.equal(saved["layers.0.experts.0.weight"], stack.weight)
    other = atlasmoe.to_torch(network)
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    other.load_state_dict(saved)
    assert other.stack[0].experts.maps[0].weight[0].mT.is_contiguous()
    x = torch.from_numpy(np.random.default_rng(3).normal(size=(30, 5)))
    with torch.no_grad():
        assert torch.equal(module(x), other(x))


@pytest.mark.parametrize("seed", range(20))
def test_cuts_cover_all_rows_and_no_product_is_large(seed: int) -> None:
    """Every row once, by its own expert, in order; at most `step` rows a piece and `most` a product."""
    rng = np.random.default_rng(seed)
    counts, step, most = rng.integers(1, 40, size=rng.integers(1, 9)).tolist(), int(rng.integers(1, 30)), int(rng.integers(1, 30))
    owners = []
    for start, members, starts, ends in listed.cuts(counts, step, most):
        assert (start, starts[0]) == (len(owners), 0)
        assert ends[-1] <= step
        assert starts[1:] == ends[:-1]
        assert all(0 < end - first <= most for first, end in zip(starts, ends, strict=True))
        owners += np.repeat(members, np.subtract(ends, starts)).tolist()
    assert owners == np.repeat(np.arange(len(counts)), counts).tolist()


def test_full_experts_are_left_out_of_the_batch() -> None:
    """Two of 64 experts have most rows: those are segments, and others a batch with as many rows as the fullest of them."""
    stages = [
        Stage(torch.randn(64, 64, 4), torch.randn(64, 64), ((slice(0, 64), "relu"),)),
        Stage(torch.randn(64, 2, 64), torch.randn(64, 2)),
    ]
    counts = [400, 300, *[5] * 62]
    most, above, cost = dispatch.capacity(stages, counts)
    assert (most, sorted(above)) == (5, [0, 1])
    assert cost < dispatch.costs(stages, sum(counts), most=400)["padded"]
    expert = torch.arange(64).repeat_interleave(torch.tensor(counts))[torch.randperm(sum(counts))]
    x = torch.randn(len(expert), 4)
    with torch.no_grad():
        found = quick._padded(quick.Slices().of(stages), stages, x, expert)
    torch.testing.assert_close(found, dispatch.direct(stages, x, expert))


def test_every_way_is_the_cheapest_somewhere() -> None:
    small, large = (
        [Stage(torch.zeros(64, m, 4), torch.zeros(64, m)), Stage(torch.zeros(64, 2, m), torch.zeros(64, 2))] for m in (64, 1 << 14)
    )
    expert = torch.zeros(1, dtype=torch.int64)
    assert dispatch.cheapest(small, 1) == "direct"
    assert dispatch.cheapest(small, 60) == "gathered"
    assert dispatch.cheapest(small, 2000) == "padded"
    assert dispatch.cheapest(small, 100_000) == "segmented"
    assert dispatch.cheapest(small, 20_000, listed=True) == "listed"
    assert dispatch.cheapest(small, 1_000_000, listed=True) == "segmented"
    assert dispatch.cheapest(large, 100) == "segmented"
    assert {dispatch.cheapest(small, rows, Sums.FLOAT64, listed=True) for rows in (1, 60, 1000, 100_000)} == {"direct", "segmented"}
    assert dispatch.choose_dispatch(small, 2000, expert) is dispatch.padded
    assert dispatch.choose_dispatch(small, 100_000, None) is dispatch.dense


def test_one_full_expert_is_not_padded_to() -> None:
    """64 experts of which one has nearly all rows: a batch of 64 times as many would be 64 times the work."""
    stages = [
        Stage(torch.randn(64, 64, 4), torch.randn(64, 64), ((slice(0, 64), "relu"),)),
        Stage(torch.randn(64, 2, 64), torch.randn(64, 2)),
    ]
    x, expert = torch.randn(2000, 4), torch.zeros(2000, dtype=torch.int64)
    expert[:10] = torch.arange(10)
    assert dispatch.cheapest(stages, 2000) == "padded"
    assert dispatch.costs(stages, 2000, most=1991)["padded"] > 1.5 * dispatch.costs(stages, 2000)["segmented"]
    torch.testing.assert_close(dispatch.padded(stages, x, expert), dispatch.direct(stages, x, expert))


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


@pytest.mark.parametrize("way", [dispatch.direct, dispatch.segmented])
@pytest.mark.parametrize("count", [5, 900])
def test_every_row_runs_through_one_expert_only(count: int, way: dispatch.Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stacks, "choose_dispatch", lambda stages, rows, expert, sums: way)
    network = random_network(4)
    module = atlasmoe.to_torch(network)
    rows: dict[int, int] = {}
    run = dispatch.run

    def counting(stages: dispatch.Stages, k: int, x: torch.Tensor, sums: Sums) -> torch.Tensor:
        if len(stages) == 2:  # the second layer's experts have two affine maps, the first's three
            rows[k] = rows.get(k, 0) + len(x)
        return run(stages, k, x, sums)

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
            for stage in spoiled.stack[1].experts.stages:
                kept = stage.weight[chosen].clone()
                stage.weight.fill_(torch.nan)
                stage.weight[chosen] = kept
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
