"""Modules come back as models: what was changed is to be proved again, and what was broken is refuted with a witness."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument, PrecisionWarning
from atlasmoe.export.from_torch import from_torch, network_of
from atlasmoe.export.torch_layer import MoE
from atlasmoe.moe import Known, Model
from atlasmoe.moe.layout import tensors
from general_layers import KINDS, general_network
from smooth_nets import mixed_network
from test_certify_graph import sum_graph


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_there_and_back_bit_for_bit(kind: str, dtype: str) -> None:
    network = general_network(kind).astype(dtype)
    back = network_of(atlasmoe.to_torch(network))
    mine, theirs = tensors(network), tensors(back)
    assert mine.keys() == theirs.keys()
    assert all(np.array_equal(mine[key], theirs[key]) and mine[key].dtype == theirs[key].dtype for key in mine)
    for before, after in zip(network.layers, back.layers, strict=True):
        for part in ("names", "serves", "channels", "reads", "writes", "carries", "sees", "top_k", "weighting"):
            assert getattr(before, part) == getattr(after, part)
        for ours, other in zip(before.nets, after.nets, strict=True):
            assert ours.groups == other.groups


@pytest.mark.parametrize("lanes", [False, True])
def test_mixed_activations_and_lanes_there_and_back(lanes: bool) -> None:
    network = mixed_network("relu, gelu, relu2", lanes=lanes)
    back = network_of(atlasmoe.to_torch(network))
    assert tensors(network).keys() == tensors(back).keys()
    assert all(np.array_equal(array, tensors(back)[key]) for key, array in tensors(network).items())


@pytest.mark.parametrize("kind", ["top 1, softmax", "everything"])
def test_whatever_is_done_to_the_weights_the_network_computes_what_the_module_computes(kind: str) -> None:
    """Noise on every parameter, padding included: neurons of padding that it fills are neurons of the network."""
    network = general_network(kind)
    module, x = atlasmoe.to_torch(network), np.random.default_rng(1).normal(size=(500, 2))
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        back = network_of(module)
        np.testing.assert_allclose(back(x), module(torch.from_numpy(x)), rtol=0, atol=1e-12)
    widths = [net.widths[0] for net in network.layers[-1].experts]
    assert [net.widths[0] for net in back.layers[-1].experts] == [max(widths)] * len(widths)
    assert back.layers[-1].experts[0].neuron(0, max(widths) - 1)[1].origin.startswith("padding of a stack")


@pytest.mark.parametrize("kind", ["top 2, softmax", "shared", "two-layer gate"])
def test_training_leaves_padding_alone(kind: str) -> None:
    network = general_network(kind)
    module, x = atlasmoe.to_torch(network), torch.from_numpy(np.random.default_rng(1).normal(size=(500, 2)))
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2)
    for _ in range(5):
        optimizer.zero_grad()
        module(x).square().sum().backward()
        optimizer.step()
    back = network_of(module)
    assert [net.widths for net in back.layers[-1].experts] == [net.widths for net in network.layers[-1].experts]
    np.testing.assert_allclose(back(x.numpy()), module(x).detach(), rtol=0, atol=1e-12)


def test_an_unchanged_module_is_its_model(circle: Model) -> None:
    assert atlasmoe.from_torch(atlasmoe.to_torch(circle), circle) is circle


def changed(model: Model, change: Callable[[atlasmoe.export.torch_module.AtlasMoE], None]) -> Model:
    module = atlasmoe.to_torch(model)
    with torch.no_grad():
        change(module)
    return atlasmoe.from_torch(module, model.task)


def test_a_small_change_is_proved_again_and_travels(circle: Model, tmp_path: Path) -> None:
    """Every number that is known of the changed weights was found out about them."""

    def nudge(module: torch.nn.Module) -> None:
        module.stack[1].experts.stages[1].weight.mul_(1 + 1e-5)

    model = changed(circle, nudge)
    assert model.network is not circle.network
    assert model.certificate is None
    assert {claim.known for claim in model.ledger} == {Known.SAMPLED, Known.UNKNOWN}
    assert model.ledger.root.known is Known.SAMPLED
    assert [claim.budget for claim in model.ledger] == [claim.budget for claim in circle.ledger]
    assert all(np.isnan(claim.bound) and "weights were changed" in claim.note for claim in list(model.ledger)[1:])
    certificate = atlasmoe.certify(model, tightness=None)
    assert certificate.status is Known.PROVED
    assert certificate.bound <= certificate.epsilon
    assert atlasmoe.verify(model, samples=2000).holds == atlasmoe.verify(circle, samples=2000).holds
    atlasmoe.save(model, tmp_path / "changed")
    assert "compiled, and changed afterwards" in (tmp_path / "changed" / "README.md").read_text()
    again = atlasmoe.load(tmp_path / "changed")
    x = circle.task.atlas.sample(100, seed=0).ambient
    assert np.array_equal(again(x), model(x))
    assert again.facts["changed"]["by"] == "from_torch"
    certificate.write(tmp_path / "changed")
    assert atlasmoe.check(tmp_path / "changed").holds
    explained = model.explain(x[0])
    assert str(explained)


def test_an_ablated_expert_is_refuted_with_a_witness(circle: Model) -> None:
    def ablate(module: torch.nn.Module) -> None:
        north = module.stack[1].each["north"].number
        module.stack[1].experts.stages[1].weight[north] = 0
        module.stack[1].experts.stages[1].bias[north] = 0

    model = changed(circle, ablate)
    root = model.ledger.root
    assert root.known is Known.REFUTED
    assert root.witness is not None
    error = np.abs(model(np.array([root.witness])) - np.prod(root.witness))
    assert abs(error - root.bound) < 1e-12
    certificate = atlasmoe.certify(model)
    assert certificate.status is Known.REFUTED
    (witness,) = {claim.witness for claim in certificate.claims if claim.name == "total"}
    point = np.array([witness])
    assert np.abs(model(point) - point.prod()) > certificate.epsilon
    assert model.network.trace(point).routes[1] == 1, "north was to serve it"
    assert not atlasmoe.verify(model, samples=500).holds


def test_graphs_too(tmp_path: Path) -> None:
    compiled = atlasmoe.compile(sum_graph(2, 2), epsilon=0.1, dtype="float32")
    model = changed(compiled, lambda module: module.stack[-1].experts.stages[-1].bias.add_(1e-4))
    assert model.facts["changed"] == {"by": "from_torch", "largest": None}
    assert model.ledger.root.known is Known.SAMPLED
    assert atlasmoe.certify(model).status is Known.PROVED
    atlasmoe.save(model, tmp_path / "graph")
    assert atlasmoe.load(tmp_path / "graph").ledger.root.known is Known.SAMPLED


def test_rounded_modules_are_models_of_their_own(circle32: Model) -> None:
    module = atlasmoe.to_torch(circle32)
    with pytest.warns(PrecisionWarning):
        module.bfloat16()
    model = atlasmoe.from_torch(module, circle32)
    assert model.network.dtype == np.float32
    rounded = circle32.network.rounded("bfloat16")
    assert all(np.array_equal(array, tensors(rounded)[key]) for key, array in tensors(model.network).items())
    assert 0 < model.facts["changed"]["largest"] < 0.1


def test_what_cannot_come_back_is_refused(circle: Model, circle32: Model) -> None:
    module = atlasmoe.to_torch(circle)
    with pytest.raises(InvalidArgument, match="Linear is no module of to_torch"):
        atlasmoe.from_torch(torch.nn.Linear(2, 1), circle)
    with pytest.raises(InvalidArgument, match="give from_torch the model, not its task"):
        atlasmoe.from_torch(atlasmoe.to_torch(circle.network), circle.task)
    with pytest.raises(InvalidArgument, match="not made of this model"):
        atlasmoe.from_torch(atlasmoe.to_torch(general_network("shared")), circle)
    handle = module.stack[1].each["north"].register_forward_hook(lambda _, __, out: out)
    with pytest.raises(InvalidArgument, match="layer 2 has hooks, which are no weights"):
        atlasmoe.from_torch(module, circle)
    handle.remove()
    with torch.no_grad():
        module.stack[1].experts.stages[0].bias[0, 0] = torch.inf
    with pytest.raises(InvalidArgument, match=r"layers\.1\.experts\.0\.bias holds numbers that are not finite"):
        atlasmoe.from_torch(module, circle)


def test_a_module_with_other_parts_is_no_model(circle: Model) -> None:
    """Wires, activations and shapes are not weights: changed ones are named, and never taken for the model that was compiled."""

    def refused(change: Callable[[MoE], object], said: str) -> None:
        module = atlasmoe.to_torch(circle)
        change(module.stack[-1])
        with pytest.raises(InvalidArgument, match=said):
            from_torch(module, circle)

    def moved(layer: MoE) -> None:
        for index in (layer.sees, layer.reads, layer.origins):
            if index is not None and len(index) > 1:
                index.copy_(index.flip(0))
                return
        layer.serves.copy_(layer.serves.flip(0))

    def bent(layer: MoE) -> None:
        (rows, _), *rest = layer.experts.maps[0].bend
        layer.experts.maps[0].bend = ((rows, "silu"), *rest)

    def twice(layer: MoE) -> None:
        for part in layer.experts.maps:
            part.weight, part.bias = (torch.nn.Parameter(torch.cat([array, array])) for array in (part.weight, part.bias))

    refused(moved, "were changed")
    refused(bent, "activations of .* were changed")
    refused(twice, "do not fit")
    refused(lambda layer: setattr(layer.experts.maps[0], "bias", None), "do not fit")
    refused(lambda layer: setattr(layer.experts.maps[0], "weight", torch.nn.Parameter(torch.zeros(2, 3, 3))), "do not fit")
    refused(lambda layer: layer.to("meta"), "has no numbers")
