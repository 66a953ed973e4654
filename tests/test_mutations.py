"""Wrong networks are never proved: 112 random mutations of two models that are, against an independent search for the largest error.

The judge here shares nothing with `certify`: points are drawn from angles, f is written out again, and the largest error is that of a
dense grid, zoomed in on where it is largest. What it finds is a lower bound of the supremum; where it exceeds ε, PROVED would be a lie.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.moe import Affine, Known, Network, ReLUNet
from atlasmoe.verify.prove import certify
from conftest import circle_model

Points = np.ndarray
CASES = {"circle": 48, "sphere": 64}
"""Mutations of each model."""
ROOM = 1.05
"""ε over the largest error of the model before it is changed."""


def on_circle(angles: np.ndarray) -> Points:
    return np.stack([np.cos(angles[:, 0]), np.sin(angles[:, 0])], axis=1)


def on_sphere(angles: np.ndarray) -> Points:
    height, around = np.sin(angles[:, 0]), np.cos(angles[:, 0])
    return np.stack([around * np.cos(angles[:, 1]), around * np.sin(angles[:, 1]), height], axis=1)


MAPS: dict[str, tuple[Callable[[np.ndarray], Points], list[tuple[float, float, int]]]] = {
    "circle": (on_circle, [(0.0, 2 * np.pi, 8001)]),
    "sphere": (on_sphere, [(-np.pi / 2, np.pi / 2, 81), (0.0, 2 * np.pi, 160)]),
}


def largest_error(name: str, network: Network) -> float:
    """Of |x₁·x₂ − Ψ(x)| on a dense grid of angles, and on ever finer ones around its eight worst points."""
    place, axes = MAPS[name]
    angles = np.stack(np.meshgrid(*(np.linspace(*axis) for axis in axes), indexing="ij"), axis=-1).reshape(-1, len(axes))
    steps = np.array([(high - low) / (count - 1) for low, high, count in axes])

    def error(angles: np.ndarray) -> np.ndarray:
        x = place(angles)
        with np.errstate(all="ignore"):
            found = np.abs(network(x)[:, 0] - x[:, 0] * x[:, 1])
        return np.where(np.isnan(found), np.inf, found)

    values = error(angles)
    worst = angles[np.argsort(-values)[:8]]
    offsets = np.stack(np.meshgrid(*[np.linspace(-1, 1, 9)] * len(axes), indexing="ij"), axis=-1).reshape(-1, len(axes))
    best = values.max()
    for _ in range(8):
        tried = worst[:, None] + steps * offsets
        found = error(tried.reshape(-1, len(axes))).reshape(len(worst), -1)
        worst, best = tried[np.arange(len(worst)), found.argmax(1)], max(best, found.max())
        steps = steps / 4
    return float(best)


def target(atlas: atlasmoe.Atlas) -> ManifoldTask:
    symbols = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    return ManifoldTask("product", atlas, ExpressionTarget(ExpressionMap(symbols, (symbols[0] * symbols[1],))))


@pytest.fixture(scope="module")
def models() -> dict[str, tuple[Network, ManifoldTask, float]]:
    """Network, task and ε: two layers by hand (Theorem 4.8), and one layer with an affine router."""
    circle = circle_model()
    task = target(atlasmoe.builtin("sphere", atlas="ball", charts=14))
    sphere = atlasmoe.compile(task, width=16, theorem="affine").network
    found = {"circle": (circle.network, target(circle.task.atlas)), "sphere": (sphere, task)}
    return {name: (network, task, ROOM * largest_error(name, network)) for name, (network, task) in found.items()}


def changed(network: Network, layer: int, **parts: object) -> Network:
    layers = tuple(replace(old, **parts) if k == layer else old for k, old in enumerate(network.layers))
    return Network(layers, network.inputs)


def with_maps(network: Network, layer: int, expert: int, maps: list[tuple[np.ndarray, np.ndarray]]) -> Network:
    old = network.layers[layer].experts
    new = ReLUNet(tuple(Affine(w, b) for w, b in maps), old[expert].groups)
    return changed(network, layer, experts=tuple(new if k == expert else e for k, e in enumerate(old)))


def mutations(network: Network, rng: np.random.Generator) -> Iterator[tuple[str, Network]]:
    """Endless random changes, kind by kind."""
    while True:
        for kind in ("weight", "bias", "sign", "neurons", "outputs", "gate rows", "router", "knots"):
            layer = int(rng.integers(len(network.layers))) if kind in ("weight", "bias", "sign") else len(network.layers) - 1
            block = network.layers[layer]
            expert = int(rng.integers(len(block.experts)))
            maps = [(a.weight.copy(), a.bias.copy()) for a in block.experts[expert].affines]
            which = int(rng.integers(len(maps)))
            weight, bias = maps[which]
            size = 10 ** rng.uniform(-2, 0) * rng.choice([-1, 1])
            gate = block.gate.weight.copy(), block.gate.bias.copy()
            match kind:
                case "weight":
                    weight[tuple(rng.integers(weight.shape))] += size * np.abs(weight).max()
                case "bias":
                    bias[rng.integers(len(bias))] += size
                case "sign":
                    j, k = rng.integers(weight.shape)
                    weight[j, k] *= -1
                    bias[j] *= -1
                case "neurons":  # the first map alone: output weights meet the wrong neurons
                    order = rng.permutation(len(maps[0][1]))
                    maps[0] = maps[0][0][order], maps[0][1][order]
                case "knots":  # every neuron takes its neighbour's bias
                    maps[0] = maps[0][0], np.roll(maps[0][1], int(rng.choice([-1, 1])))
                case "outputs":
                    a, b = rng.choice(len(block.serves), 2, replace=False)
                    serves = list(block.serves)
                    serves[a], serves[b] = serves[b], serves[a]
                    yield kind, changed(network, layer, serves=tuple(serves))
                    continue
                case "gate rows":
                    a, b = rng.choice(len(block.serves), 2, replace=False)
                    for array in gate:
                        array[[a, b]] = array[[b, a]]
                    yield kind, changed(network, layer, gate=Affine(*gate))
                    continue
                case "router":
                    row = rng.integers(len(gate[1]))
                    gate[1][row] += size
                    yield kind, changed(network, layer, gate=Affine(*gate))
                    continue
            yield kind, with_maps(network, layer, expert, maps)


@pytest.mark.parametrize("name", CASES)
def test_the_models_are_proved_before_anything_is_changed(name: str, models: dict[str, tuple[Network, ManifoldTask, float]]) -> None:
    network, task, epsilon = models[name]
    assert certify(network, task, epsilon=epsilon, tightness=None).status is Known.PROVED


@pytest.mark.parametrize("name", CASES)
def test_no_mutation_that_misses_epsilon_is_proved(name: str, models: dict[str, tuple[Network, ManifoldTask, float]]) -> None:
    network, task, epsilon = models[name]
    wrong, seen, refuted = Counter(), Counter(), 0
    rng = np.random.default_rng(7)
    for _, (kind, mutant) in zip(range(CASES[name]), mutations(network, rng), strict=False):
        error = largest_error(name, mutant)
        certificate = certify(mutant, task, epsilon=epsilon, tightness=None, boxes=6000)
        seen[kind] += 1
        if error > epsilon:
            wrong[kind] += 1
            refuted += certificate.status is Known.REFUTED
            assert certificate.status is not Known.PROVED, f"{kind}: {error:.6g} > {epsilon:.6g}"
        if certificate.status is Known.PROVED:
            assert error <= certificate.bound <= epsilon, kind
        if certificate.status is Known.REFUTED:
            x = np.array([certificate["total"].witness])
            assert abs(mutant(x)[0, 0] - x[0, 0] * x[0, 1]) > epsilon, kind
    assert sum(wrong.values()) >= CASES[name] / 2, "otherwise nothing was tested"
    assert set(wrong) == set(seen), "every kind of mutation has done harm"
    assert refuted >= 0.9 * sum(wrong.values()), "a wrong network is almost always refuted, not only unproved"


@pytest.mark.parametrize("name", CASES)
def test_harmless_mutations_stay_proved(name: str, models: dict[str, tuple[Network, ManifoldTask, float]]) -> None:
    """Neurons together with their output weights, and experts together with the routes to them, in another order."""
    network, task, epsilon = models[name]
    rng = np.random.default_rng(8)
    last = len(network.layers) - 1
    for expert in range(2):
        (inner, bias), (outer, constant) = ((a.weight, a.bias) for a in network.layers[last].experts[expert].affines)
        order = rng.permutation(len(bias))
        network = with_maps(network, last, expert, [(inner[order], bias[order]), (outer[:, order], constant)])
    block = network.layers[last]
    order = rng.permutation(len(block.experts))
    place = np.argsort(order)
    shuffled = changed(network, last, experts=tuple(block.experts[k] for k in order), serves=tuple(int(place[k]) for k in block.serves))
    certificate = certify(shuffled, task, epsilon=epsilon, tightness=None)
    assert certificate.status is Known.PROVED
    assert certificate.bound >= largest_error(name, shuffled)
