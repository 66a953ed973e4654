"""How well does a method of circuit discovery find a circuit that is known?

A task graph of two blocks is compiled; `atlasmoe.circuit` says what every neuron is for. The question is which neurons make one value, a.
The truth is what leads to its channel along weights that are not 0, carried channels and gates. Three methods answer it from the outside,
by hooks of PyTorch on the compiled module: each neuron is set to its mean, to 0, or to what it is at another input, and counts by how much
a moves. A method that sees inputs of one piece only misses what the other pieces need: the truth does not depend on data, discoveries do.

    python examples/circuit_discovery.py
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import atlasmoe
import numpy as np
import torch
from atlasmoe import Block, Box, Combine, Input, TaskGraph, Tiling
from scipy.stats import rankdata

TARGET = "a"
MOVED = 1e-9
"""A neuron counts as found where it moves the target by more."""


def task() -> TaskGraph:
    """f = a(r)·b(s) + t, each of a and b in three pieces."""
    a = Block.parse("a", ("r",), Tiling.intervals((0, 0.6, 1.3, 2)), ["r", "1.2 - r", "r**2 - 1.79"])
    b = Block.parse("b", ("s",), Tiling.intervals((0, 0.3, 0.5, 1)), ["s", "0.6 - s", "s**2 - 0.15"])
    box = Input("x", Box((0, 0, 0), (2, 1, 1)), ("r", "s", "t"))
    return TaskGraph("two blocks", (box, a, b, Combine.parse("f", ("t", "a", "b"), "a*b + t")), output="f")


def true_circuit(found: dict[str, Any]) -> set[str]:
    """Every node that leads to the target where the network first has it."""
    before: dict[str, set[str]] = defaultdict(set)
    for net in found["nets"]:
        for one in net["maps"]:
            for source, target, _ in one["edges"]:
                before[target].add(source)
    for layer in found["layers"]:
        gates = {output["id"] for output in layer["outputs"]}
        experts = {output["expert"] for output in layer["outputs"]}
        for source, target in layer["carries"]:
            before[target].add(source)
        if len(experts) > 1:  # a choice among experts that differ matters for all that they write, unless all write the same there
            for node in different(found, experts):
                before[node] |= gates
    start = min((one["state"], one["id"]) for one in found["channels"] if one.get("component") == TARGET)[1]
    seen, waiting = {start}, [start]
    while waiting:
        fresh = before[waiting.pop()] - seen
        seen |= fresh
        waiting += fresh
    return seen


def different(found: dict[str, Any], experts: set[str]) -> Iterator[str]:
    """The channels that experts of a layer do not all compute alike: others are carried by each of them with the same weights."""
    nets = [net for net in found["nets"] if net["id"] in experts]
    carry = {one["id"] for one in found["groups"] if one["name"] == "carry"}
    group = {neuron["id"]: neuron["group"] for neuron in found["neurons"]}
    for node in nets[0]["writes"]:
        sources = [source for net in nets for one in net["maps"] for source, target, _ in one["edges"] if target == node]
        biased = any(node in one["bias"] for net in nets for one in net["maps"])
        if biased or not all(group.get(source) in carry for source in sources):
            yield node


def neurons(found: dict[str, Any], module: Any) -> Iterator[tuple[str, list[Any], int]]:
    """Every neuron with the modules of PyTorch that compute it, and its column there."""
    groups = {one["id"]: one for one in found["groups"]}
    served = defaultdict(list)
    for layer in found["layers"]:
        for output in layer["outputs"]:
            served[output["expert"]].append((layer["layer"] - 1, output["name"]))
    for neuron in found["neurons"]:
        group = groups[neuron["group"]]
        parts = [module.layers[number].each[name] for number, name in served[group["net"]]]
        yield neuron["id"], [getattr(part, f"hidden{group['hidden']}") for part in parts], int(neuron["id"].rsplit(".", 1)[1])


def moved(module: Any, x: torch.Tensor, state: Callable[[], torch.Tensor], parts: list[Any], column: int, how: str) -> float:
    """How far the target moves on average if one neuron is replaced."""

    def replaced(_: Any, __: Any, out: torch.Tensor) -> torch.Tensor:
        out = out.clone()
        own = out[:, column]
        out[:, column] = {"mean": own.mean(), "zero": torch.zeros_like(own), "resample": own.roll(1)}[how]
        return out

    before = state().clone()
    handles = [part.register_forward_hook(replaced) for part in parts]
    module(x)
    after = state().clone()
    for handle in handles:
        handle.remove()
    module(x)
    return float((after - before).abs().mean())


def scored(effect: np.ndarray, truth: np.ndarray) -> tuple[float, float, float]:
    """Area under the ROC curve, and precision and recall of what moves the target at all."""
    ranks, positive = rankdata(effect), int(truth.sum())
    area = (ranks[truth].sum() - positive * (positive + 1) / 2) / (positive * (len(truth) - positive))
    found = effect > MOVED
    return area, float(truth[found].mean()) if found.any() else 1.0, float(found[truth].mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=256)
    points = parser.parse_args().points
    graph = task()
    model = atlasmoe.compile(graph, epsilon=0.05)
    found, module = atlasmoe.circuit(model), atlasmoe.to_torch(model)
    place = min((one["state"], int(one["id"].split(".")[1])) for one in found["channels"] if one.get("component") == TARGET)
    seen: list[torch.Tensor] = []
    module.layers[place[0] - 1].register_forward_hook(lambda _, __, out: seen.append(out[:, place[1]].detach()))
    listed, circuit = list(neurons(found, module)), true_circuit(found)
    truth = np.array([name in circuit for name, _, _ in listed])
    print(f"{len(listed)} neurons, {truth.sum()} of them make {TARGET}: layers up to {place[0]}")
    inputs = graph.sample(points, 0)
    one_piece = inputs.copy()
    one_piece[:, 0] *= 0.3  # r in [0, 0.6): the first piece of a
    print(f"{'inputs':<12} {'method':<10} {'area':>6} {'precision':>10} {'recall':>7}")
    for data, x in (("everywhere", inputs), ("one piece", one_piece)):
        tensor = torch.tensor(x)
        with torch.no_grad():
            module(tensor)
            for how in ("mean", "zero", "resample"):
                effect = np.array([moved(module, tensor, lambda: seen[-1], parts, column, how) for _, parts, column in listed])
                area, precision, recall = scored(effect, truth)
                print(f"{data:<12} {how:<10} {area:6.3f} {precision:10.3f} {recall:7.3f}")


if __name__ == "__main__":
    main()
