"""Rows reach their experts in many ways, which compute the same: every row through its own expert only, each way where it is cheapest."""

from __future__ import annotations

import copy

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.export import dispatch, kernel, listed, quick, stacks
from atlasmoe.export.from_torch import network_of
from atlasmoe.export.stages import Stage
from atlasmoe.moe.sums import Sums
from general_layers import general_network
from random_networks import random_network
from smooth_nets import mixed_network


def with_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has evaluated for a while."""
    pytest.importorskip("numba", reason="the extra `fast` is not installed")
    monkeypatch.setattr(kernel, "WORTH", -1)


@pytest.mark.parametrize("kind", ["top 3, softmax", "everything"])
@pytest.mark.parametrize("way", dispatch.WAYS.values())
def test_several_experts_by_every_way_of_dispatch(kind: str, way: dispatch.Dispatch, monkeypatch: pytest.MonkeyPatch) -> None:
    network = general_network(kind)
    x = np.random.default_rng(2).normal(size=(90, 2))
    monkeypatch.setattr(stacks, "choose_dispatch", lambda stages, rows, expert, sums: way)
    y = atlasmoe.to_torch(network)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, network(x), rtol=0, atol=1e-13)


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


@pytest.mark.parametrize("way", [*dispatch.WAYS, "listed", "kernel"])
@pytest.mark.parametrize("count", [0, 1, 9, 400])
@pytest.mark.parametrize("kind", ["relu", "silu, relu", "relu, gelu, relu2"])
def test_without_gradients_every_way_agrees(way: str, count: int, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place, in blocks of 64 rows, chunks of 16 and products of one or two by NumPy, experts unevenly loaded."""
    monkeypatch.setattr(quick, "cheapest", lambda stages, rows, also: way)
    if way == "kernel":
        with_kernel(monkeypatch)
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
    assert dispatch.cheapest(small, 20_000, also=("listed",)) == "listed"
    assert dispatch.cheapest(small, 1000, also=("listed", "kernel")) == "kernel"
    assert dispatch.cheapest(small, 1_000_000, also=("listed",)) == "segmented"
    assert dispatch.cheapest(large, 100) == "segmented"
    ordered = {dispatch.cheapest(small, rows, Sums.FLOAT64, also=("listed", "kernel")) for rows in (1, 60, 1000, 100_000)}
    assert ordered == {"direct", "segmented"}
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
