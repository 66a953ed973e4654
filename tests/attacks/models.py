"""Small models, one of every kind of network and of task, with the ε that they keep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import atlasmoe
import sympy
from atlasmoe.atlas import (
    Atlas,
    Box,
    Chart,
    ChartTarget,
    ExpressionMap,
    ExpressionTarget,
    ManifoldTask,
    TaskGraph,
    Tiling,
    ball_atlas,
    builtin,
)
from atlasmoe.atlas.graph import Block, Combine, Input
from atlasmoe.moe import Claim, Known, Ledger, Model
from atlasmoe.verify.prove import Certificate, certify
from general_layers import NAMES, general_network

ROOM = 1.03
"""ε over the bound that is proved of the model before it is changed."""
LEAST = 1e-9
"""ε of a model that is exact."""


@dataclass(frozen=True)
class Subject:
    """A model, its task, and what was proved of it."""

    name: str
    model: Model
    certificate: Certificate
    epsilon: float

    @property
    def task(self) -> ManifoldTask | TaskGraph:
        return self.model.task


def on(atlas: Atlas, *texts: str) -> ManifoldTask:
    symbols = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    values = tuple(sympy.sympify(text, locals=dict(zip(atlas.coordinates, symbols, strict=True))) for text in texts)
    return ManifoldTask("t", atlas, ExpressionTarget(ExpressionMap(symbols, values)))


def chartwise() -> ManifoldTask:
    """x·y on the circle, written in the angle of each arc."""
    atlas = builtin("circle", charts=3)
    functions = []
    for chart in atlas.charts:
        x, y = chart.inverse.expressions
        functions.append(ExpressionMap(chart.inverse.variables, (x * y,)))
    return ManifoldTask("chartwise", atlas, ChartTarget(tuple(functions)))


def square() -> ManifoldTask:
    """A square that three charts share, so that every gate output is right everywhere."""
    x, y = sympy.symbols("x y", real=True)
    u, box = sympy.symbols("u v", real=True), Box((-1.0, -1.0), (1.0, 1.0))
    inverse, forward = ExpressionMap(u, u), ExpressionMap((x, y), (x, y))
    charts = tuple(Chart(name, box, inverse, forward, ((True, True),) * 2) for name in NAMES)
    return ManifoldTask("square", Atlas(("x", "y"), charts), ExpressionTarget(ExpressionMap((x, y), (x * y / 4,))))


def pieces() -> TaskGraph:
    """Pieces that jump where they meet, multiplied and added up."""
    u, v = Input("u", Box((0.0,), (2.0,))), Input("v", Box((-1.0,), (1.0,)))
    a = Block.parse("a", ("u",), Tiling.intervals([0, 0.75, 2]), ["u**2/2", "1 - u/2"])
    b = Block.parse("b", ("v",), Tiling.intervals([-1, 0.3, 1]), ["sin(v)", "v**2 - 1"])
    return TaskGraph("pieces", (u, v, a, b, Combine.parse("f", ("a", "b"), "a*b + a")), "f")


def chained() -> TaskGraph:
    """A block that reads what another computes, next to a kink."""
    a = Block.parse("a", ("u",), Tiling.intervals([0, 1, 2]), ["u**2/2", "u - 1/2"])
    b = Block.parse("b", ("a",), Tiling.intervals([-1, 0.6, 3]), ["a", "3/5 + 2*(a - 3/5)"])
    return TaskGraph("chained", (Input("u", Box((0.0,), (2.0,))), a, b), "b")


def mixed() -> TaskGraph:
    """A circle and an interval, and a combination of what is computed of both."""
    circle = Input("c", builtin("circle", charts=3))
    around = Block.parse("around", circle.coordinates, circle.manifold, "c_1*c_2")
    along = Block.parse("along", ("t",), Tiling.intervals([-1, 0, 1]), ["-t", "t**2"])
    nodes = (circle, Input("t", Box((-1.0,), (1.0,))), around, along, Combine.parse("f", ("around", "along"), "around + along/2"))
    return TaskGraph("mixed", nodes, "f")


def halves() -> TaskGraph:
    """A sum of pieces that do not jump, for hats."""
    u, v = Input("u", Box((0.0,), (2.0,))), Input("v", Box((-1.0,), (1.0,)))
    a = Block.parse("a", ("u",), Tiling.intervals([0, 0.75, 2]), ["u**2/2", "u**2/2"])
    b = Block.parse("b", ("v",), Tiling.intervals([-1, 0, 1]), ["-v", "v"])
    return TaskGraph("halves", (u, v, a, b, Combine.parse("f", ("a", "b"), "a - 2*b + 1/2")), "f")


def jumping() -> TaskGraph:
    """A sum of pieces that jump, for groups, and the coordinate of one."""
    u, v = Input("u", Box((0.0,), (2.0,))), Input("v", Box((-1.0,), (1.0,)))
    a = Block.parse("a", ("u",), Tiling.intervals([0, 0.75, 2]), ["u**2/2", "1 - u/2"])
    b = Block.parse("b", ("v",), Tiling.intervals([-1, 0, 0.3, 1]), ["sin(v)", "v", "v**2 - 1"])
    return TaskGraph("jumping", (u, v, a, b, Combine.parse("f", ("a", "b", "u"), "a - 2*b + u/2")), "f")


def counted() -> TaskGraph:
    """Four bits, their number, and a table of it."""
    bits = [Input.finite(f"t{k}", [0, 1]) for k in range(4)]
    steps = [Block.parse(f"b{k}", (f"t{k}",), Tiling.intervals([0, 0.5, 1]), ["0", "1"]) for k in range(4)]
    table = Block.parse("f", ("s",), Tiling.intervals([-0.5, 0.5, 1.5, 2.5, 3.5, 4.5]), ["3", "1", "4", "1", "5"])
    return TaskGraph("counted", (*bits, *steps, Combine.parse("s", ("b0", "b1", "b2", "b3"), "b0 + b1 + b2 + b3"), table), "f")


def waves() -> TaskGraph:
    """Pieces that have a term in common."""
    a = Block.parse("a", ("u",), Tiling.intervals([0, 0.75, 2]), ["sin(3*u) + u", "sin(3*u) - u/2"])
    return TaskGraph("waves", (Input("u", Box((0.0,), (2.0,))), a, Combine.parse("f", ("a",), "2*a + 1")), "f")


def balls(charts: int = 6, **how: object) -> ManifoldTask:
    return on(builtin("circle", atlas="ball", charts=charts, **how), "x1*x2")


def arms() -> TaskGraph:
    """Products of what four blocks compute, which fall apart into parts of two."""
    inputs = [Input(f"x{name}", Box((0.0,), (2.0,))) for name in "abcd"]
    blocks = [Block.parse(name, (f"x{name}",), Tiling.intervals(range(3)), [f"sin(x{name})", f"1 - x{name}/3"]) for name in "abcd"]
    return TaskGraph("arms", (*inputs, *blocks, Combine.parse("f", tuple("abcd"), "a*b + c*d - a")), "f")


def saddle() -> TaskGraph:
    """A quadratic function of two variables on two pieces."""
    block = Block.parse("f", ("u", "v"), Tiling.grid([[-1, 0, 1], [-1, 1]]), ["u*v", "u*v + u**2"])
    return TaskGraph("saddle", (Input("p", Box((-1.0, -1.0), (1.0, 1.0)), ("u", "v")), block), "f")


def tori() -> TaskGraph:
    """A sum of functions on two circles of balls."""
    p, q = ball_atlas(builtin("circle"), charts=6), ball_atlas(builtin("circle"), charts=5)
    f, g = Block.parse("f", ("x", "y"), p, "x*y"), Block.parse("g", ("u", "v"), q, "u*v")
    nodes = (Input("p", p, ("x", "y")), Input("q", q, ("u", "v")), f, g, Combine.parse("h", ("f", "g"), "f - 2*g"))
    return TaskGraph("tori", nodes, "h")


def general(kind: str) -> Model:
    root = Claim("total", "|f − Ψ| ≤ ε", "by hand", 20.0, 20.0, Known.SAMPLED)
    facts = {"theorem": "4.8", "routing": "hinge", "epsilon": 20.0, "delta": 0.1, "mu": 0.5, "multiplicity": 3, "plateau_level": None}
    return Model(general_network(kind), Ledger(root), square(), facts | {"m": 6, "true_width": 6, "seed": 0})


def compiled(task: ManifoldTask | TaskGraph, **how: object) -> Model:
    return atlasmoe.compile(task, **how)


MODELS: dict[str, Callable[[], Model]] = {
    "4.8": lambda: compiled(on(builtin("circle", charts=3), "x1*x2"), epsilon=0.1, theorem="4.8"),
    "hinge": lambda: compiled(on(builtin("circle", charts=3), "x1*x2"), epsilon=0.1, routing="hinge"),
    "4.9": lambda: compiled(on(builtin("interval", charts=3), "sin(3*x1)"), epsilon=0.02, theorem="4.9"),
    "balls": lambda: compiled(on(builtin("circle", atlas="ball", charts=6), "x1*x2"), epsilon=0.05),
    "sphere": lambda: compiled(on(builtin("sphere", atlas="ball", charts=14), "x1*x2"), width=8),
    "embedded": lambda: compiled(on(builtin("circle", charts=3, embed={"dimension": 5, "seed": 1}), "x1*x2", "x1"), epsilon=0.1),
    "chart-wise": lambda: compiled(chartwise(), epsilon=0.1),
    "float32": lambda: compiled(on(builtin("circle", charts=3), "x1*x2"), epsilon=0.1, dtype="float32"),
    "top-K": lambda: general("top 2, softmax"),
    "everything": lambda: general("everything"),
    "residual": lambda: compiled(pieces(), epsilon=0.1, form="residual"),
    "pieces": lambda: compiled(pieces(), epsilon=0.1),
    "chained": lambda: compiled(chained(), epsilon=0.05),
    "mixed": lambda: compiled(mixed(), epsilon=0.1),
}
VARIANTS: dict[str, Callable[[], Model]] = {
    "overlap": lambda: compiled(on(ball_atlas(builtin("circle"), charts=8), "x1*x2"), epsilon=0.05, top_k=2),
    "overlap, float32": lambda: compiled(
        on(ball_atlas(builtin("circle"), charts=8), "x1*x2"), epsilon=0.05, top_k=2, weighting="uniform", dtype="float32"
    ),
    "copies": lambda: compiled(balls(), epsilon=0.05, top_k=3, routing="duplicates"),
    "copies of pieces": lambda: compiled(pieces(), epsilon=0.1, top_k=3),
    "groups": lambda: compiled(jumping(), epsilon=0.1, depth="1"),
    "groups by signs": lambda: compiled(jumping(), epsilon=0.1, depth="1", weighting="uniform"),
    "hats": lambda: compiled(halves(), epsilon=0.1, depth="1", weighting="rectified"),
    "finite": lambda: compiled(counted(), epsilon=0.1),
    "shared": lambda: compiled(on(builtin("circle", atlas="ball", charts=5), "x1*x2 + x1**2"), epsilon=0.2, shared=True),
    "shared pieces": lambda: compiled(waves(), epsilon=0.1, shared=True),
    "handed on": lambda: compiled(jumping(), epsilon=0.2, depth="shared", form="residual"),
    "encoder": lambda: compiled(balls(embed={"dimension": 6, "seed": 1}), epsilon=0.1, experts="encoder"),
    "factorised": lambda: compiled(balls(embed={"dimension": 12, "seed": 1}), epsilon=0.1, experts="factorised"),
    "nonlinear gate": lambda: compiled(balls(), epsilon=0.1, gate="nonlinear"),
    "exact products": lambda: compiled(pieces(), epsilon=0.1, activation={"f": "exact"}),
    "quadratic": lambda: compiled(pieces(), epsilon=1e-3, activation="relu", gated=True),
    "SwiGLU": lambda: compiled(balls(), epsilon=0.02, activation="silu", gated=True),
    "exact parts": lambda: compiled(arms(), epsilon=0.1, activation={"f": "exact"}),
    "quadratic form": lambda: compiled(saddle(), epsilon=0.02),
    "scaled": lambda: compiled(on(builtin("circle", atlas="ball", charts=8), "x1*x2"), epsilon=0.05, top_k=2, routing="scaled"),
    "snapped": lambda: compiled(tori(), epsilon=0.5, depth="1"),
    "no mixture": lambda: compiled(balls(), epsilon=0.1, theorem="dense"),
    "no mixture of pieces": lambda: compiled(halves(), epsilon=0.1, theorem="dense"),
    "all charts in parallel": lambda: compiled(balls(), epsilon=0.1, theorem="chen"),
    "substituted": lambda: atlasmoe.substitute(compiled(balls(), epsilon=0.05), "silu", epsilon=0.01),
}
"""What tasks may ask for beside that, which only the full run attacks."""


@cache
def subject(name: str) -> Subject:
    """The model of a name, proved."""
    model = (MODELS | VARIANTS)[name]()
    loose = certify(model, epsilon=10.0 * float(model.facts["epsilon"]), tightness=1.05, boxes=40_000)
    epsilon = max(ROOM * loose.bound, LEAST)
    certificate = certify(model, epsilon=epsilon, tightness=None, boxes=40_000)
    assert certificate.status is Known.PROVED, f"{name}: {[str(claim) for claim in certificate.claims]}"
    ledger = Ledger(replace(model.ledger.root, budget=epsilon))
    return Subject(name, replace(model, ledger=ledger, facts={**model.facts, "epsilon": epsilon}), certificate, epsilon)
