"""A small model built by hand: three charts on the circle, f = x·y, experts of different widths."""

from __future__ import annotations

import gc

import numpy as np
import pytest
import sympy
from atlasmoe.atlas import Atlas, Box, Chart, ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.cli.main import GARBAGE
from atlasmoe.moe import Affine, Claim, Known, Ledger, Model, MoELayer, Network, NeuronGroup, ReLUNet

CHARTS = {"east": 0, "north": 2, "south": -2}
"""Chart name: its centre's angle in units of π/3."""
WIDTHS = {"east": 24, "north": 32, "south": 40}
EPSILON = 0.02


def circle_task() -> ManifoldTask:
    """f = x·y on S¹ with three arcs of half-length 1.4."""
    x, y, u = sympy.symbols("x y u", real=True)
    charts = []
    for name, third in CHARTS.items():
        c = sympy.pi * third / 3
        inverse = ExpressionMap((u,), (sympy.cos(u + c), sympy.sin(u + c)))
        forward = ExpressionMap((x, y), (sympy.atan2(y * sympy.cos(c) - x * sympy.sin(c), x * sympy.cos(c) + y * sympy.sin(c)),))
        charts.append(Chart(name, Box((-1.4,), (1.4,)), inverse, forward))
    return ManifoldTask("circle", Atlas(("x", "y"), tuple(charts)), ExpressionTarget(ExpressionMap((x, y), (x * y,))))


def carry(inputs: int) -> tuple[np.ndarray, np.ndarray]:
    """(inner, outer) weights of x = σ(x) − σ(−x)."""
    eye = np.eye(inputs)
    return np.vstack([eye, -eye]), np.hstack([eye, -eye])


def spline(angle: float, width: int) -> ReLUNet:
    """f = x·y near `angle`, interpolated at `width` knots of the tangential coordinate s = sin(θ − angle)."""
    knots = np.linspace(-0.98, 0.98, width)
    theta = angle + np.arcsin(knots)
    values = np.cos(theta) * np.sin(theta)
    slopes = np.diff(values) / np.diff(knots)
    jumps = np.concatenate([[0.0, slopes[0]], np.diff(slopes)])
    tangent = np.array([-np.sin(angle), np.cos(angle)])
    inner = Affine(np.outer(np.ones(width), tangent), -np.concatenate([[0.98], knots[:-1]]))
    outer = Affine(jumps[None], values[:1].copy())
    return ReLUNet((inner, outer), ((NeuronGroup("knot", width, "Lemma 3.1: interpolation knots"),),))


def circle_model(dtype: str = "float64") -> Model:
    """Theorem 4.8's shape: layer 1 appends scores (here: cosines of the angles to the centres), layer 2 routes on them."""
    task = circle_task()
    angles = {name: np.pi * third / 3 for name, third in CHARTS.items()}
    centers = np.array([[np.cos(c), np.sin(c)] for c in angles.values()])
    inner, outer = carry(2)
    passing = ReLUNet(
        (Affine(inner, np.zeros(4)), Affine(np.vstack([outer, centers @ outer]), np.zeros(5))),
        ((NeuronGroup("carry", 4, "R1: x = σ(x) − σ(−x)"),),),
    )
    names = tuple(CHARTS)
    scores = MoELayer(Affine(np.zeros((3, 2)), np.zeros(3)), (passing,), (0, 0, 0), names, ("x", "y", *(f"tau[{name}]" for name in names)))
    gate = Affine(np.hstack([np.zeros((3, 2)), np.eye(3)]), np.zeros(3))
    experts = tuple(spline(angles[name], WIDTHS[name]) for name in names)
    answer = MoELayer(gate, experts, (0, 1, 2), names, ("f",), reads=(0, 1))
    network = Network((scores, answer), ("x", "y")).astype(dtype)
    points = task.atlas.sample(2000, seed=0)
    error = float(np.abs(network(points.ambient) - task.evaluate(points)).max())
    margin = Claim("routing", "max τ > 0", "B16", 0.0, 0.5, Known.FORMULA, sense=">", note="three centres, 120° apart")
    root = Claim("total", "|f − Ψ| ≤ ε", "Theorem 4.8", EPSILON, error, Known.SAMPLED, samples=2000, children=(margin,))
    facts = {"theorem": "4.8", "routing": "multiplicity", "epsilon": EPSILON, "delta": 0.125, "multiplicity": 2, "m": 40, "seed": 0}
    return Model(network, Ledger(root), task, facts)


def pytest_collection_finish() -> None:
    """Tests and libraries stay until the end: looking through them for what can be thrown away is 3 % of all that is computed.

    For what comes after them it is looked as seldom as commands do: 8 % more.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(GARBAGE)


@pytest.fixture(scope="session")
def circle() -> Model:
    return circle_model()


@pytest.fixture(scope="session")
def circle32() -> Model:
    return circle_model("float32")
