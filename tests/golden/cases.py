"""What the golden files are about: tasks, how each is compiled, and how closely it is looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
NEVER = 1e9
"""Seconds that a proof may take: it must not be the clock that ends it."""


@dataclass(frozen=True)
class Case:
    """One task, compiled in one way, and everything that is then asked of the model."""

    name: str
    spec: Path
    compile: Mapping[str, Any]
    """Keyword arguments of `compile`."""
    samples: int = 3000
    """Independent points of `verify`."""
    certify: Mapping[str, Any] | None = field(default_factory=lambda: {"tightness": 1.5})
    """Keyword arguments of `certify`; None: too costly here."""
    check: bool = True
    """Whether the certificate is checked; those of task graphs cannot be."""
    at: tuple[tuple[float, ...], ...] = ()
    """Points to explain, before embedding, beside those that are drawn."""
    quick: bool = False
    """Part of the quick subset."""
    fitted: bool = True
    """Whether parts of the network are fitted by least squares, and not just splines: see `differences`."""
    kept: bool = False
    """Whether the loose part of its record is kept beside this file, for the test; all of these are quick too."""


def graph(name: str, spec: str, at: tuple[tuple[float, ...], ...], certify: Mapping[str, Any] | None = None, **options: Any) -> Case:
    """A task graph of this folder."""
    extra = {key: options.pop(key) for key in ("quick", "kept", "fitted") if key in options}
    proof = {"tightness": 1.5} if certify is None else certify
    return Case(name, HERE / f"{spec}.toml", options, certify=proof, check=False, at=at, **extra)


def circle(name: str, **options: Any) -> Case:
    """The circle of this folder."""
    extra = {key: options.pop(key) for key in ("quick", "kept", "fitted") if key in options}
    return Case(name, HERE / "circle.toml", options, at=((0.6, 0.8), (-1.0, 0.0)), **extra)


QUICK = {"quick": True, "fitted": False}
KEPT = {**QUICK, "kept": True}
FIT = {**KEPT, "fitted": True}
JUMPS = ((0.1, 0.7), (0.3, 0.5), (1 / 3, 2.0), (0.2, -1.0))
"""On interfaces, and within a piece."""
SHARED = ((0.5, 0.3, 0.2), (0.25, 0.7, 1.0), (0.9, 0.1, 0.4))
TREE = ((1.0, 0.5, 0.0), (1.1, 0.2, -0.7), (0.4, 0.9, 0.3))
PAIR = ((1.0, 0.5), (2.5, 2.0))
CONSTANT = ((1.0,), (0.5,))
MIXED = ((1.0, 0.0, 0.6, 0.0, 0.8, 0.3), (0.6, -0.8, 0.0, 0.0, -1.0, 0.9))
ARM = ((1.0, 0.0, 0.6, 0.8, 0.0, 1.0),)

CASES = (
    # The examples, with an ε that keeps them cheap.
    Case("example-sphere", EXAMPLES / "sphere.toml", {"epsilon": 0.05}, at=((0.6, 0.0, 0.8), (0.0, 0.0, -1.0)), quick=True),
    Case("example-sphere-graph", EXAMPLES / "sphere_graph.toml", {"epsilon": 0.05}, at=((0.6, 0.0, 0.8),)),
    Case("example-circle-d128", EXAMPLES / "circle_D128.toml", {"epsilon": 0.1}, at=((0.6, 0.8),), quick=True),
    Case("example-swiss-roll-r100", EXAMPLES / "swiss_roll_R100.toml", {"epsilon": 0.1}),
    # 45 000 boxes even where ε alone has to be proved; the check is left out.
    Case("example-so3", EXAMPLES / "so3.toml", {"epsilon": 0.1}, certify={"tightness": None}, check=False),
    Case("example-robot-arm", EXAMPLES / "robot_arm.toml", {"epsilon": 0.05}, certify={"tightness": 2.0}, check=False, at=ARM),
    Case("example-robot-arm-l1", EXAMPLES / "robot_arm.toml", {"epsilon": 0.05, "depth": "L+1"}, check=False, at=ARM),
    # Task graphs.
    graph("graph-pair-paper", "pair", PAIR, epsilon=0.05, depth="paper", **KEPT),
    graph("graph-pair-l1", "pair", PAIR, epsilon=0.05, depth="L+1", **KEPT),
    graph("graph-pair-l", "pair", PAIR, epsilon=0.05, depth="L", **KEPT),
    graph("graph-jumps", "jumps", JUMPS, epsilon=0.01, **KEPT),
    # Not to be proved, however many boxes: 20 000 will do.
    graph("graph-jumps-l1-float32", "jumps", JUMPS, {"boxes": 20_000}, epsilon=0.01, depth="L+1", dtype="float32", **QUICK),
    graph("graph-shared", "shared", SHARED, {"tightness": 1.5, "epsilon": 0.1}, epsilon=0.05, **KEPT),
    graph("graph-shared-l1-width", "shared", SHARED, width=24, depth="L+1", **QUICK),
    graph("graph-tree", "tree", TREE, epsilon=0.05, **KEPT),
    graph("graph-tree-l1", "tree", TREE, epsilon=0.05, depth="L+1", **QUICK),
    graph("graph-constant", "constant", CONSTANT, epsilon=0.05, **QUICK),
    graph("graph-mixed", "mixed", MIXED, epsilon=0.3, **FIT),
    graph("graph-mixed-l1", "mixed", MIXED, epsilon=0.3, depth="L+1"),
    # One manifold: theorems, routing, dtype, what is asked for.
    circle("circle-theorem", epsilon=0.02, routing="theorem", **FIT),
    circle("circle-multiplicity", epsilon=0.02, routing="multiplicity", quick=True),
    circle("circle-plateau", epsilon=0.02, routing="plateau", **FIT),
    circle("circle-hinge", epsilon=0.02, routing="hinge", **FIT),
    circle("circle-float32", epsilon=0.02, dtype="float32", quick=True),
    circle("circle-affine", epsilon=0.02, theorem="affine", **KEPT),
    circle("circle-width", width=48, quick=True),
    circle("circle-minimise", epsilon=0.02, minimise="total", fitted=False),
    Case("balls", HERE / "circle_balls.toml", {"epsilon": 0.02}, at=((0.6, 0.8),), **KEPT),
    Case("balls-4.9", HERE / "circle_balls.toml", {"epsilon": 0.02, "theorem": "4.9"}, at=((0.6, 0.8),), quick=True),
    Case("chartwise", HERE / "chartwise.toml", {"epsilon": 0.02}, at=((0.6, 0.8),), **FIT),
    Case("torus-balls", HERE / "torus_balls.toml", {"epsilon": 0.1}),
)
