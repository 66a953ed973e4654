"""E^L pieces from L·E experts: what constructed mixtures reach, what trained ones of the same shape reach, at what cost per input.

    python examples/experiments/compositional.py [--short] [--out out/experiments] [--publish]

f(x) = sin(2·Σ_l f_l(x_l)/√L) on [0, E]^L, where f_l jumps at every integer: piece i of f_l is a parabola with a level of its own. Mixtures
are constructed in 2L layers (Theorem 5.3), in L layers with nonlinear gates (N1) and in one layer that takes L experts (N15), each with a
dense layer behind it for the sine; and trained from random weights in exactly these shapes.

The flat mixture has as many experts, L·E, in one layer of K = 1. Constructed, it is told where pieces are: its cells are a grid of as many
boxes, cut at integers along as many axes as that number allows, and its experts are two-layer nets with random hidden neurons and
least-squares output. docs/experiments has the page.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
from atlasmoe import Affine, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.progress import track
from lab.measuring import function, routes
from lab.mixture import Mixture, Shape, dense
from lab.store import Run, Store, markdown
from lab.training import BALANCE, Data, Recipe, tuned
from numpy.typing import NDArray

Array = NDArray[np.float64]

EPSILON, LOOSE = 0.05, 0.2
"""Within which a piece counts, of a range of 2; and within which it counts for the lenient."""
PIECES, INSIDE = 1024, 16
"""Pieces that are looked at, all if there are no more, and points in each of them."""
WIDTH = 32
"""Of the flat mixture's experts, several times that of the compiled ones."""
INDEPENDENT = 1e-3
"""Combinations of their neurons that are smaller than this part of the largest are left out: they would only fit the sample."""
FITTED = 512
"""Points that each of them is fitted to."""
RECIPE = Recipe(1500)

DEPTHS: dict[str, dict[str, str]] = {
    "2L layers": {},
    "L layers": {"depth": "L", "gate": "nonlinear"},
    "one layer, top-L": {"depth": "path"},
}
"""Shapes, and the options that compile them."""
WIDER = 4


def task(E: int, L: int, scale: float = 2.0) -> atlasmoe.TaskGraph:
    """The graph: L inputs on [0, E], L blocks of E unit intervals, and the sine of `scale` times their sum."""
    rng = np.random.default_rng(E)
    knots = np.arange(E + 1.0)
    nodes: list[atlasmoe.Input | atlasmoe.Block | atlasmoe.Combine] = [atlasmoe.Input("x", atlasmoe.Box((0.0,) * L, (float(E),) * L))]
    names = nodes[0].components
    levels = rng.permutation(np.arange(E)) / E * 2 - 1
    for l, name in enumerate(names, 1):
        pieces = [f"{level:.3f} + ({name} - {i})*({i + 1} - {name})" for i, level in enumerate(np.roll(levels, l))]
        nodes.append(atlasmoe.Block.parse(f"f{l}", (name,), atlasmoe.Tiling.intervals(knots.tolist()), pieces))
    blocks = tuple(f"f{l}" for l in range(1, L + 1))
    nodes.append(atlasmoe.Combine.parse("f", blocks, f"sin({scale:.7g}*({' + '.join(blocks)}))"))
    return atlasmoe.TaskGraph(f"{E}^{L}", tuple(nodes), "f")


def boxes(E: int, L: int) -> tuple[Array, Array]:
    """Centres and half widths (E·L, L) of a grid of E·L boxes in [0, E]^L: E parts along the first axes, fewer along the next ones."""
    parts, left = np.ones(L, int), E * L
    for axis in range(L):
        parts[axis] = np.gcd(left, E) if np.gcd(left, E) > 1 else left
        left //= parts[axis]
    sides = [(np.arange(n) + 0.5) * E / n for n in parts]
    centers = np.stack([side.ravel() for side in np.meshgrid(*sides, indexing="ij")], axis=1)
    return centers, np.broadcast_to(E / parts / 2, centers.shape)


def flat(graph: atlasmoe.TaskGraph, E: int, seed: int = 0) -> Network:
    """One layer of L·E experts on the boxes: nearest-centre gate (B1), two-layer experts of WIDTH by least squares."""
    rng = np.random.default_rng(seed)
    L = graph.ambient_dimension
    nets = []
    centers, halves = boxes(E, L)
    for center, half in zip(centers, halves, strict=True):
        x = center + half * rng.uniform(-1, 1, (FITTED, L))
        rows = rng.normal(size=(WIDTH, L))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        hidden = Affine(rows, -np.sum(rows * x[:WIDTH], axis=1))
        columns = np.column_stack([np.ones(FITTED), np.maximum(hidden(x), 0)])
        solution = np.linalg.lstsq(columns, graph(x)[:, 0], rcond=INDEPENDENT)[0]
        group = NeuronGroup("random", WIDTH, "random features")
        nets.append(ReLUNet((hidden, Affine(solution[None, 1:].copy(), solution[:1].copy())), ((group,),)))
    gate = Affine(centers, -(centers**2).sum(1) / 2)
    names = tuple(f"box{k}" for k in range(len(nets)))
    return Network((MoELayer(gate, tuple(nets), tuple(range(len(nets))), names, ("y[f]",)),), tuple(f"x[{k}]" for k in range(L)))


@cache
def graph_of(E: int, L: int) -> atlasmoe.TaskGraph:
    """With a sine whose argument varies as much for every L."""
    return task(E, L, round(2 / math.sqrt(L), 6))


@cache
def compiled(E: int, L: int, shape: str) -> Model:
    return atlasmoe.compile(graph_of(E, L), epsilon=EPSILON, **DEPTHS[shape])


def looked_at(E: int, L: int, seed: int = 2) -> tuple[Array, Array, Array]:
    """Points (P·INSIDE, L), f there, and the piece of each, 0 … P − 1: all pieces, or PIECES different ones at random."""
    graph = graph_of(E, L)
    if E**L <= PIECES:
        tuples = np.array(list(itertools.product(range(E), repeat=L)))
    else:
        tuples = np.unique(graph.draw_routes(PIECES, seed), axis=0)
    x, inside = graph.sample_routes(np.repeat(tuples, INSIDE, axis=0), seed)
    assert inside.all()
    return x, graph(x)[:, 0], np.repeat(np.arange(len(tuples)), INSIDE)


def judged(E: int, L: int, network: Mixture | Network) -> dict[str, Any]:
    """Errors, the shares of pieces that are within ε at all points looked at, and how many tuples of experts were taken."""
    x, truth, piece = looked_at(E, L)
    error = np.abs(function(network)(x)[:, 0] - truth).reshape(-1, INSIDE).max(1)
    taken = routes(network, x)
    tuples = np.concatenate([np.sort(one, axis=1) for one in taken], axis=1) if taken else np.zeros((len(x), 1), int)
    whole = function(network)(x)[:, 0] - truth
    return {
        "sup": float(error.max()),
        "relative": float(np.sqrt(np.mean(whole**2)) / truth.std()),
        "within": float(np.mean(error <= EPSILON)),
        "loosely": float(np.mean(error <= LOOSE)),
        "points": float(np.mean(np.abs(whole) <= EPSILON)),
        "looked": int(piece[-1]) + 1,
        "tuples": len(np.unique(tuples, axis=0)),
    }


def constructed(E: int, L: int, shape: str) -> dict[str, Any]:
    started = time.process_time()
    network = flat(graph_of(E, L), E) if shape == "flat" else compiled(E, L, shape).network
    made = time.process_time() - started
    sizes = {"active": network.active_parameters, "stored": network.parameters, "layers": len(network.layers)}
    experts = len(network.layers[0]) if shape == "flat" else compiled(E, L, shape).facts["experts"]
    return {**judged(E, L, network), **sizes, "experts": experts, "made": made}


def shapes_of(E: int, L: int, shape: str) -> list[Shape]:
    """The layers that are trained. Gates of K = 1 learn by the softmax over all experts, as with the paper's weights they learn nothing."""
    if shape.startswith("flat"):
        return [Shape(L, 1, L * E, (WIDTH,), weighting="all")]
    found = Mixture.of(compiled(E, L, shape.removesuffix(", wider"))).shapes
    factor = WIDER if shape.endswith(", wider") else 1
    some = [replace(one, widths=tuple(factor * m for m in one.widths)) for one in found]
    return [replace(one, weighting="chosen" if one.top_k > 1 else "all") for one in some]


def trained(E: int, L: int, shape: str, recipe: Recipe) -> dict[str, Any]:
    """From random weights, by the rule of rates."""
    started = time.process_time()
    data = Data.of(graph_of(E, L), 1 << 16)

    def start() -> Mixture:
        if shape.startswith("dense"):
            numbers = compiled(E, L, "L layers").network.active_parameters
            return dense(L, (numbers - 1) // (L + 2), seed=recipe.seed)
        return Mixture(shapes_of(E, L, shape), recipe.seed)

    balance = 0.0 if shape.startswith("dense") else BALANCE
    module, result = tuned(start, data, replace(recipe, balance=balance))
    made = time.process_time() - started
    sizes = {"active": module.active, "stored": module.stored, "layers": len(module.shapes)}
    experts = sum(s.experts for s in module.shapes if s.experts > 1)
    return {**judged(E, L, module), **sizes, "experts": experts, "made": made, "rate": result.rate}


@dataclass(frozen=True)
class Plan:
    """Which sizes are constructed and trained, and how."""

    built: tuple[tuple[int, int], ...] = ((4, 1), (4, 2), (4, 4), (4, 6), (4, 8), (4, 16), (8, 32))
    learned: tuple[tuple[int, int], ...] = ((4, 2), (4, 4), (4, 6))
    shapes: tuple[str, ...] = (*DEPTHS, "one layer, top-L, wider", "flat", "dense")
    recipe: Recipe = RECIPE

    def jobs(self) -> Iterable[tuple[str, int, int, str]]:
        for size, shape in itertools.product(self.built, (*DEPTHS, "flat")):
            yield "constructed", *size, shape
        for size, shape in itertools.product(self.learned, self.shapes):
            yield "trained", *size, shape


SHORT = Plan(((4, 2), (4, 6)), ((4, 2),), ("one layer, top-L", "flat", "dense"), Recipe(60, batch=128, rate=1e-2))
Rows = list[dict[str, Any]]


def found(store: Store, plan: Plan, how: str, E: int, L: int, shape: str) -> dict[str, Any]:
    key = {"how": how, "E": E, "L": L, "shape": shape}
    if how == "constructed":
        return store.row(key, lambda: constructed(E, L, shape))
    return store.row({**key, "steps": plan.recipe.steps}, lambda: trained(E, L, shape, plan.recipe))


def table(rows: Rows, how: str) -> str:
    lines = []
    for r in rows:
        if r["how"] == how:
            pieces = r["E"] ** r["L"]
            sizes = [r["layers"], r["experts"], r["active"], r["stored"]]
            shares = [f"{100 * r[name]:.0f} %" for name in ("points", "within", "loosely")]
            many = f"{pieces:,}" if pieces < 10**5 else f"{pieces:.1e}"
            line = [f"{r['E']}^{r['L']}", many, r["shape"], *sizes, r["sup"], r["relative"], *shares, f"{r['tuples']:,}"]
            lines.append([*line, *([r["rate"]] if how == "trained" else []), round(r["made"], 1)])
    columns = ["task", "pieces", f"{how}", "layers", "experts", "multiply-adds", "stored", "sup", "L² / std f"]
    columns += [
        f"points within {EPSILON:g}",
        f"pieces within {EPSILON:g}",
        f"within {LOOSE:g}",
        "tuples of experts",
        *(["rate"] if how == "trained" else []),
        "CPU s",
    ]
    return markdown(columns, lines)


MARKS = {"2L layers": ("o", 0), "L layers": ("s", 2), "one layer, top-L": ("^", 5), "one layer, top-L, wider": ("v", 6)}
MARKS |= {"flat": ("X", 1), "dense": ("D", 7)}


def draw(rows: Rows, path: Path) -> None:
    """Pieces within ε by multiply-adds, constructed; the share of points within ε; tuples of experts by pieces there are."""
    from atlasmoe.report.palette import FEW, INK, tidy
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(12, 4.7), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    fours = [r for r in rows if r["E"] == 4]
    for shape, (marker, colour) in MARKS.items():
        built = [r for r in fours if (r["how"], r["shape"]) == ("constructed", shape)]
        learned = [r for r in fours if (r["how"], r["shape"]) == ("trained", shape)]
        color = FEW[colour]
        if built:
            reached = [max(r["within"] * 4.0 ** r["L"], 0.5) for r in built]
            left.loglog([r["active"] for r in built], reached, marker + "-", color=color, markersize=5)
        middle.semilogx([r["active"] for r in built], [r["points"] for r in built], marker + "-", color=color, markersize=5, linewidth=0.8)
        for place, name in ((middle, "points"), (right, "tuples")):
            x = [r["active"] if place is middle else 4.0 ** r["L"] for r in learned]
            place.plot(x, [r[name] for r in learned], marker + "--", color=color, markerfacecolor="white", markersize=5, linewidth=0.8)
        some = [r for r in built if r["L"] <= 6]
        right.plot([4.0 ** r["L"] for r in some], [r["tuples"] for r in some], marker + "-", color=color, markersize=5, linewidth=0.8)
    right.set(xscale="log", yscale="log")
    right.axhline(PIECES, color=INK, linewidth=0.7, linestyle=":")
    right.annotate("pieces that were looked at", (4, 1.1 * PIECES), fontsize=7)
    right.set_ylim(0.8, 4 * PIECES)
    tidy(left, f"Pieces within {EPSILON:g}, constructed, L = 1 … 16", xlabel="multiply-adds per input", ylabel="pieces of 4^L (½: none)")
    tidy(middle, f"Share of points within {EPSILON:g}", xlabel="multiply-adds per input")
    tidy(right, "Tuples of experts taken, L ≤ 6", xlabel="pieces, 4^L", ylabel="different tuples")
    handles = [Line2D([], [], color=FEW[c], marker=m, linestyle="", label=shape) for shape, (m, c) in MARKS.items()]
    handles += [Line2D([], [], color=INK, marker="o", linestyle="-", label="constructed")]
    handles += [Line2D([], [], color=INK, marker="o", linestyle="--", markerfacecolor="white", label="trained")]
    figure.legend(handles=handles, loc="outside lower center", ncols=8, fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> Rows:
    run = Run.asked("compositional", __doc__, arguments)
    plan, store = SHORT if run.short else Plan(), run.store
    found_rows = (found(store, plan, *job) for job in track(list(plan.jobs()), "networks"))
    rows = [row for row in found_rows if row]
    tables = {how: table(rows, how) for how in ("constructed", "trained")}
    run.write(tables, lambda path: draw(rows, path))
    return rows


if __name__ == "__main__":
    main()
