"""A circle model written by hand, without the compiler: exact linear experts, scores fitted to ρ by least squares."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import sympy
from atlasmoe.atlas import Atlas, Box, CallableTarget, Chart, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.moe import Affine, Claim, Known, Ledger, Model, MoELayer, Network, NeuronGroup, ReLUNet

Arrays = list[tuple[np.ndarray, np.ndarray]]
"""Weight and bias of each affine map of an expert."""

X1, X2, T = sympy.symbols("x1 x2 t")


def circle(E: int = 4, half_width: float = 1.2, embedding: np.ndarray | None = None) -> Atlas:
    """E arcs of half-width `half_width` around equidistant points of the unit circle."""
    charts = []
    for i in range(E):
        c = 2 * sympy.pi * i / E
        along, across = X1 * sympy.cos(c) + X2 * sympy.sin(c), X2 * sympy.cos(c) - X1 * sympy.sin(c)
        charts.append(
            Chart(
                name=f"arc{i}",
                domain=Box((-half_width,), (half_width,)),
                inverse=ExpressionMap((T,), (sympy.cos(T + c), sympy.sin(T + c))),
                forward=ExpressionMap((X1, X2), (sympy.atan2(across, along),)),
            )
        )
    return Atlas(("x1", "x2"), tuple(charts), embedding=embedding)


def net(*affines: tuple[np.ndarray, np.ndarray], name: str = "neuron") -> ReLUNet:
    maps = tuple(Affine(np.array(w, float), np.array(b, float)) for w, b in affines)
    return ReLUNet(maps, tuple((NeuronGroup(name, m.weight.shape[0], "by hand"),) for m in maps[:-1]))


def circle_model(
    E: int = 4,
    *,
    coefficients: tuple[float, float] = (1.5, -0.5),
    epsilon: float = 1e-6,
    features: int = 96,
    embedding: np.ndarray | None = None,
    seed: int = 0,
) -> Model:
    """f = c·x on the circle, compiled by hand into the two layers of Theorem 4.8."""
    atlas = circle(E, embedding=embedding)
    D = atlas.ambient_dimension
    c = np.array(coefficients)
    task = ManifoldTask("circle by hand", atlas, ExpressionTarget(ExpressionMap((X1, X2), (c[0] * X1 + c[1] * X2,))))

    rng = np.random.default_rng(seed)
    angles = rng.uniform(0, 2 * np.pi, features)
    planar = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    directions = planar if embedding is None else planar @ embedding.T
    thresholds = rng.uniform(-1, 1, features)
    grid = atlas.sample(4000, seed)
    hidden = np.maximum(grid.ambient @ directions.T - thresholds, 0)
    design = np.concatenate([hidden, np.ones((len(grid), 1))], axis=1)
    solution = np.linalg.lstsq(design, atlas.rho(grid.base), rcond=1e-10)[0].T

    eye = np.eye(D)
    carry = net(
        (np.concatenate([eye, -eye, directions]), np.concatenate([np.zeros(2 * D), -thresholds])),
        (
            np.block([[eye, -eye, np.zeros((D, features))], [np.zeros((E, 2 * D)), solution[:, :-1]]]),
            np.concatenate([np.zeros(D), solution[:, -1]]),
        ),
    )
    inputs = tuple(f"x[{k}]" for k in range(D))
    names = atlas.names
    first = MoELayer(Affine(np.zeros((E, D)), np.zeros(E)), (carry,), (0,) * E, names, (*inputs, *(f"tau[{n}]" for n in names)))
    weight = np.concatenate([c if embedding is None else embedding @ c, np.zeros(E)])[None]
    expert = [net((np.concatenate([weight, -weight]), np.zeros(2)), (np.array([[1.0, -1.0]]), np.zeros(1))) for _ in range(E)]
    gate = Affine(np.concatenate([np.zeros((E, D)), np.eye(E)], axis=1), np.zeros(E))
    second = MoELayer(gate, tuple(expert), tuple(range(E)), names, ("y[0]",))
    root = Claim("total", "|f − Ψ| ≤ ε", "Theorem 4.8", epsilon, epsilon / 2, Known.SAMPLED)
    facts = {
        "theorem": "4.8",
        "routing": "theorem",
        "epsilon": epsilon,
        "delta": 1 / (4 * E),
        "mu": 0.5,
        "multiplicity": 2,
        "plateau_level": None,
        "m": features,
        "true_width": features + 2 * D,
        "seed": seed,
    }
    return Model(Network((first, second), inputs), Ledger(root), task, facts)


def with_target(model: Model, function: Callable[[np.ndarray], np.ndarray]) -> Model:
    """The same network for another target, a function of (N, 2) arrays."""
    return replace(model, task=replace(model.task, target=CallableTarget(function)))


def with_expert(network: Network, layer: int, expert: int, change: Callable[[Arrays], None]) -> Network:
    """The network with one expert's list of (weight, bias) arrays changed in place by `change`."""
    old = network.layers[layer]
    arrays = [(a.weight.copy(), a.bias.copy()) for a in old.experts[expert].affines]
    change(arrays)
    changed = ReLUNet(tuple(Affine(w, b) for w, b in arrays), old.experts[expert].groups)
    experts = tuple(changed if k == expert else e for k, e in enumerate(old.experts))
    layers = tuple(replace(old, experts=experts) if k == layer else la for k, la in enumerate(network.layers))
    return Network(layers, network.inputs)


def with_gate(network: Network, weight: np.ndarray) -> Network:
    """The network with another weight in its last gate."""
    last = network.layers[-1]
    return Network((*network.layers[:-1], replace(last, gate=Affine(weight, last.gate.bias.copy()))), network.inputs)
