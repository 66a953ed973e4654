"""Standard forward hooks read and patch whatever is inside a module, and what follows is what numpy makes of it."""

from __future__ import annotations

import copy
from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
import torch
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Network
from general_layers import KINDS, general_network
from smooth_nets import mixed_network
from torch import Tensor, nn


def points(count: int = 400) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(count, 2))


def reading(module: nn.Module, seen: dict[str, list[Tensor]]) -> list[torch.utils.hooks.RemovableHandle]:
    """A hook on every module inside that keeps what comes out."""
    return [
        part.register_forward_hook(lambda _, __, out, name=name: seen.setdefault(name, []).append(out.detach().clone()))
        for name, part in module.named_modules()
        if name and not isinstance(part, nn.ModuleList | type(module.stack[0].each))
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_everything_inside_is_read_once_and_agrees_with_numpy(kind: str) -> None:
    network = general_network(kind)
    module, x = atlasmoe.to_torch(network), points()
    before = module(torch.from_numpy(x))
    seen: dict[str, list[Tensor]] = {}
    handles = reading(module, seen)
    after = module(torch.from_numpy(x))
    trace = network.trace(x)
    np.testing.assert_allclose(after.detach(), before.detach(), rtol=0, atol=1e-13)
    state = x
    for n, layer in enumerate(network.layers):
        at, chosen = f"layers.{n}", trace.chosen[n]
        np.testing.assert_allclose(seen[at][0], trace.states[n], rtol=0, atol=1e-13)
        np.testing.assert_array_equal(seen[f"{at}.routes"][0], chosen)
        np.testing.assert_allclose(seen[f"{at}.weighing"][0], layer.weights(chosen, trace.logits[n]), rtol=0, atol=1e-13)
        if layer.gate is not None:
            np.testing.assert_allclose(seen[f"{at}.router"][0], trace.logits[n], rtol=0, atol=1e-13)
        if layer.shared is not None:
            np.testing.assert_allclose(seen[f"{at}.shared"][0], layer.shared(layer.read(state)), rtol=0, atol=1e-13)
        for i, name in enumerate(layer.names):
            rows, net = np.nonzero(chosen.flatten() == i)[0] // layer.top_k, layer.experts[layer.serves[i]]
            own = f"{at}.each.{name}"
            assert (own in seen) == (len(rows) > 0)
            if len(rows):
                h = layer.read(state)[rows]
                for j in range(len(net.groups)):
                    np.testing.assert_allclose(seen[f"{own}.pre{j + 1}"][0], net.affines[j](h), rtol=0, atol=1e-13)
                    h = net.hidden(j, h)
                    np.testing.assert_allclose(seen[f"{own}.hidden{j + 1}"][0], h, rtol=0, atol=1e-13)
                np.testing.assert_allclose(seen[own][0], net.affines[-1](h), rtol=0, atol=1e-13)
        state = trace.states[n]
    assert all(len(calls) == 1 for name, calls in seen.items() if ".experts." not in name)
    for handle in handles:
        handle.remove()
    assert torch.equal(module(torch.from_numpy(x)), before), "without hooks it is the module that it was"
    assert not any(layer.watch.hooked for layer in module.stack)


@pytest.mark.parametrize("kind", ["top 1, softmax", "top 2, softmax", "top 3, uniform", "top 1, rectified", "everything"])
def test_an_expert_is_ablated(kind: str) -> None:
    """North's output is 0: on its own rows only, although south and east share another expert's weights."""
    network = general_network(kind)
    module, x = atlasmoe.to_torch(network), points()
    for name in ("north", "east"):
        handle = module.stack[-1].each[name].register_forward_hook(lambda _, __, out: torch.zeros_like(out))
        y = module(torch.from_numpy(x)).detach().numpy()
        handle.remove()
        trace, layer = network.trace(x), network.layers[-1]
        state = x if len(network.layers) == 1 else trace.states[-2]
        i = layer.names.index(name)
        w = layer.weights(trace.chosen[-1], trace.logits[-1]) * (trace.chosen[-1] == i)
        gone = w.sum(1, keepdims=True) * layer.experts[layer.serves[i]](layer.read(state))
        assert np.abs(gone).max() > 0.1
        np.testing.assert_allclose(y, trace.output - gone, rtol=0, atol=1e-13)


@pytest.mark.parametrize("kind", ["top 1, softmax", "top 2, softmax", "two-layer gate", "carries, written too", "everything"])
def test_logits_are_replaced(kind: str) -> None:
    """Logits reversed, from outside: routes and weights are those of the network with the gate's last rows reversed."""
    network = general_network(kind)
    *before, last = network.layers
    top = last.gate.affines[-1]
    gate = last.gate.with_maps([*last.gate.affines[:-1], Affine(top.weight[::-1].copy(), top.bias[::-1].copy())])
    other = replace(network, layers=(*before, replace(last, gate=gate)))
    module, x = atlasmoe.to_torch(network), points()
    module.stack[-1].router.register_forward_hook(lambda _, __, out: out.flip(-1))
    found, trace = module(torch.from_numpy(x), return_routes=True), other.trace(x)
    np.testing.assert_array_equal(found.routes[-1].numpy().reshape(trace.chosen[-1].shape), trace.chosen[-1])
    np.testing.assert_allclose(found.logits[-1].detach(), trace.logits[-1], rtol=0, atol=1e-13)
    for y in (found.y, module(torch.from_numpy(x))):
        np.testing.assert_allclose(y.detach(), trace.output, rtol=0, atol=1e-13)


def test_routes_and_weights_are_replaced() -> None:
    network, x = general_network("top 1, softmax"), points()
    module = atlasmoe.to_torch(network)
    forced = np.arange(len(x)) % 3
    handle = module.stack[0].routes.register_forward_hook(lambda _, __, out: torch.from_numpy(forced)[:, None])
    expected = network.trace(x, routes=[forced]).output
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), expected, rtol=0, atol=1e-13)
    doubled = module.stack[0].weighing.register_forward_hook(lambda _, __, out: 2 * out)
    np.testing.assert_allclose(module(torch.from_numpy(x)).detach(), 2 * expected, rtol=0, atol=1e-13)
    handle.remove(), doubled.remove()
    module.stack[0].routes.register_forward_hook(lambda _, __, out: out + 3)
    with pytest.raises(InvalidArgument, match="hook on routes gave"):
        module(torch.from_numpy(x))


@pytest.mark.parametrize("place", ["pre1", "hidden1"])
def test_neurons_are_patched(place: str) -> None:
    """Neuron 2 of north is held at 1, before or behind the activation; other neurons, and padding, stay."""
    network, x = general_network("top 1, softmax"), points()
    layer = network.layers[0]
    module = atlasmoe.to_torch(network)
    probe = module.stack[0].each["north"].get_submodule(place)
    assert probe.names[2] == "h0[2]"

    def hold(_: nn.Module, __: object, out: Tensor) -> Tensor:
        out = out.clone()
        out[:, 2] = 1
        return out

    probe.register_forward_hook(hold)
    y = module(torch.from_numpy(x)).detach().numpy()
    net, chosen = layer.experts[layer.serves[1]], network.trace(x).chosen[0][:, 0]
    hidden = net.hidden(0, layer.read(x))
    hidden[:, 2] = 1
    expected = np.where((chosen == 1)[:, None], net.affines[1](hidden), network(x))
    assert np.abs(expected - network(x)).max() > 0.01
    np.testing.assert_allclose(y, expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("lanes", [False, True])
@pytest.mark.parametrize("kind", ["silu", "relu, gelu, relu2"])
def test_neurons_of_mixed_experts_are_in_the_order_of_the_net(kind: str, lanes: bool) -> None:
    """Stacks put neurons of one activation side by side; probes show them as they were compiled, lanes' factors too."""
    network = mixed_network(kind, lanes=lanes)
    (layer,) = network.layers
    x = np.random.default_rng(3).normal(size=(300, len(network.inputs)))
    module, seen = atlasmoe.to_torch(network), {}
    reading(module, seen)
    y = module(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(y, network(x), rtol=0, atol=1e-11)
    chosen = network.trace(x).chosen[0][:, 0]
    for i, name in enumerate(layer.names):
        h, net = x[chosen == i], layer.experts[i]
        for j in range(2 if len(h) else 0):
            h, into = net.hidden(j, h), h
            np.testing.assert_allclose(seen[f"layers.0.each.{name}.pre{j + 1}"][0], net.affines[j](into), rtol=0, atol=1e-11)
            np.testing.assert_allclose(seen[f"layers.0.each.{name}.hidden{j + 1}"][0], h, rtol=0, atol=1e-11)
            if net.ups[j] is not None:
                np.testing.assert_allclose(seen[f"layers.0.each.{name}.up{j + 1}"][0], net.ups[j](into), rtol=0, atol=1e-11)
    hidden = layer.gate.hidden(0, x)
    np.testing.assert_allclose(seen["layers.0.router.1"][0], hidden, rtol=0, atol=1e-12)


def test_pre_hooks_gradients_and_copies() -> None:
    network, x = general_network("top 1, softmax"), torch.from_numpy(points())
    module = atlasmoe.to_torch(network)
    module.stack[0].each["north"].register_forward_pre_hook(lambda _, args: (args[0] + 1,))
    shifted = module(x)
    north = module(x, return_routes=True).routes[0] == 1
    twin = copy.deepcopy(module)
    assert torch.equal(twin(x), shifted), "a copy has the hooks"
    assert twin.stack[0].watch.parts[0] is twin.stack[0].each["north"]
    plain = atlasmoe.to_torch(network)
    assert torch.equal(((shifted - plain(x)).abs() > 1e-9).any(1), north)
    shifted.sum().backward()
    plain(x).sum().backward()
    mine, theirs = module.stack[0].experts.stages[0].weight.grad, plain.stack[0].experts.stages[0].weight.grad
    assert mine is not None
    assert not torch.equal(mine, theirs)
    flowing = []
    plain.stack[0].each["north"].hidden1.register_full_backward_hook(lambda _, __, out: flowing.append(out[0].shape))
    plain(x).sum().backward()
    assert flowing == [(int(north.sum()), 6)]


def test_names_of_modules_read_like_the_spec(circle: atlasmoe.Model) -> None:
    module, network = atlasmoe.to_torch(circle), circle.network
    assert [expert.name for expert in module.stack[1].each] == list(network.layers[1].names)
    assert module.inputs == circle.task.atlas.coordinates  # the user's names of x[0], x[1]
    assert module.stack[1].arriving == (*circle.task.atlas.coordinates, *network.layers[0].channels[2:])
    assert module.stack[1].channels == network.outputs
    named = dict(module.named_modules())
    for k, name in enumerate(network.layers[1].names):
        assert named[f"layers.1.each.{name}"] is module.stack[1].each[k] is module.stack[1].each[name]
        net = network.layers[1].experts[network.layers[1].serves[k]]
        assert named[f"layers.1.each.{name}.hidden1"].names == tuple(net.neuron(0, j)[0] for j in range(net.widths[0]))
    with pytest.raises(InvalidArgument, match="there is no expert 'nowhere'; this layer has"):
        module.stack[1].each["nowhere"]


def test_awkward_names_are_modules_too() -> None:
    (layer,) = general_network("top 1, softmax").layers
    module = atlasmoe.to_torch(Network((replace(layer, names=("forward", "a.b", "a.b")),), ("x", "y")))
    assert [name for name, _ in module.stack[0].each.named_children()] == ["forward_", "a·b", "a·b_"]
    assert [expert.name for expert in module.stack[0].each] == ["forward", "a.b", "a.b"]


def test_a_graph_would_leave_hooks_out_and_is_refused() -> None:
    module = atlasmoe.to_torch(general_network("top 1, softmax"))
    x = torch.from_numpy(points(4))
    handle = module.stack[0].each["north"].register_forward_hook(lambda _, __, out: out)
    with pytest.raises(Exception, match="a graph holds no hooks inside layers"):
        torch.export.export(module, (x,))
    handle.remove()
    torch.export.export(module, (x,))


def test_two_level_gates_show_their_logits(circle: atlasmoe.Model) -> None:
    module = atlasmoe.to_torch(circle, gates="tree")
    seen: dict[str, list[Tensor]] = {}
    reading(module, seen)
    x = circle.task.atlas.sample(50, seed=0).ambient
    module(torch.from_numpy(x))
    np.testing.assert_allclose(seen["layers.1.router"][0], circle.network.trace(x).logits[1], rtol=0, atol=1e-13)
