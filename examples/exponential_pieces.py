"""E^L pieces from L·E experts (Theorem 5.3), beside a single layer with as many experts, which has L·E regions and no more.

    python examples/exponential_pieces.py [--most 16] [--wide] [--out out/]

f(x) = sin(2·Σ_l f_l(x_l)) on [0, E]^L, where f_l jumps at every integer: piece i of f_l is a parabola with a level of its own. For E = 4
and L = 1, 2, 4, 8, 16 the task graph is compiled, and compared with f at points whose routes are drawn uniformly from all E^L.

The single layer gets L·E experts, wider ones, and is told where the pieces are: its cells are a grid of as many boxes, cut at integers
along as many axes as that number allows, and its experts are two-layer nets with random hidden neurons and least-squares output.
For L = 1 that is all there is to know. For 4^16 ≈ 4.3·10⁹ pieces, 64 boxes know three coordinates of sixteen. `--wide` adds E = 8,
L = 32: 7.9·10²⁸ pieces, 256 experts.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import atlasmoe
import numpy as np
from atlasmoe.moe import Affine, Model, MoELayer, Network, NeuronGroup, ReLUNet
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

Array = NDArray[np.float64]

DEPTHS = (1, 2, 4, 8, 16)
EPSILON = 0.05
POINTS = 20_000
"""Test points, all with routes of their own."""
WIDTH = 32
"""Of the single layer's experts, about three times that of the compiled ones."""
INDEPENDENT = 1e-3
"""Combinations of their neurons that are smaller than this part of the largest are left out: they would only fit the sample."""
TRAINING = 512
"""Points that each of them is fitted to."""


def task(E: int, L: int) -> atlasmoe.TaskGraph:
    """The graph: L inputs on [0, E], L blocks of E unit intervals, and the sine of twice their sum."""
    rng = np.random.default_rng(E)
    knots = np.arange(E + 1.0)
    nodes: list[atlasmoe.Input | atlasmoe.Block | atlasmoe.Combine] = [atlasmoe.Input("x", atlasmoe.Box((0.0,) * L, (float(E),) * L))]
    names = nodes[0].components
    levels = rng.permutation(np.arange(E)) / E * 2 - 1
    for l, name in enumerate(names, 1):
        pieces = [f"{level:.3f} + ({name} - {i})*({i + 1} - {name})" for i, level in enumerate(np.roll(levels, l))]
        nodes.append(atlasmoe.Block.parse(f"f{l}", (name,), atlasmoe.Tiling.intervals(knots.tolist()), pieces))
    blocks = tuple(f"f{l}" for l in range(1, L + 1))
    nodes.append(atlasmoe.Combine.parse("f", blocks, f"sin(2*({' + '.join(blocks)}))"))
    return atlasmoe.TaskGraph(f"{E}^{L}", tuple(nodes), "f")


def boxes(E: int, L: int) -> tuple[Array, Array]:
    """Centres and half widths (E·L, L) of a grid of E·L boxes in [0, E]^L: E parts along the first axes, fewer along the next one."""
    parts, left = np.ones(L, int), E * L
    for axis in range(L):
        parts[axis] = np.gcd(left, E) if left > 1 else 1
        left //= parts[axis]
    sides = [(np.arange(n) + 0.5) * E / n for n in parts]
    centers = np.stack([side.ravel() for side in np.meshgrid(*sides, indexing="ij")], axis=1)
    return centers, np.broadcast_to(E / parts / 2, centers.shape)


def single_layer(graph: atlasmoe.TaskGraph, E: int, seed: int = 0) -> Network:
    """One layer of L·E experts on the boxes: nearest-centre gate (B1), two-layer experts of WIDTH by least squares."""
    rng = np.random.default_rng(seed)
    L = graph.ambient_dimension
    nets = []
    centers, halves = boxes(E, L)
    for center, half in zip(centers, halves, strict=True):
        x = center + half * rng.uniform(-1, 1, (TRAINING, L))
        rows = rng.normal(size=(WIDTH, L))
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        hidden = Affine(rows, -np.sum(rows * x[:WIDTH], axis=1))
        columns = np.column_stack([np.ones(TRAINING), np.maximum(hidden(x), 0)])
        solution = np.linalg.lstsq(columns, graph(x)[:, 0], rcond=INDEPENDENT)[0]
        group = NeuronGroup("random", WIDTH, "random features")
        nets.append(ReLUNet((hidden, Affine(solution[None, 1:].copy(), solution[:1].copy())), ((group,),)))
    gate = Affine(centers, -(centers**2).sum(1) / 2)
    names = tuple(f"box{k}" for k in range(len(nets)))
    return Network((MoELayer(gate, tuple(nets), tuple(range(len(nets))), names, ("y[f]",)),), tuple(f"x[{k}]" for k in range(L)))


@dataclass(frozen=True)
class Row:
    """What was measured for one graph."""

    E: int
    L: int
    pieces: int
    seconds: float
    experts: int
    numbers: int
    nonzero: int
    wrong: int
    """Points with a block sent to a piece that does not hold its coordinate."""
    error: float
    spread: float
    """The largest error of the constant (max f + min f)/2 at the same points."""
    flat: float
    """The largest error of the single layer…"""
    flat_mean: float
    """…and its root mean square, in parts of the standard deviation of f."""


def measure(E: int, L: int) -> tuple[Row, Model]:
    graph = task(E, L)
    started = time.process_time()
    model = atlasmoe.compile(graph, epsilon=EPSILON)
    seconds = time.process_time() - started
    routes = graph.draw_routes(POINTS, 1)
    x, found = graph.sample_routes(routes, 2)
    assert found.all()
    trace = model.network.trace(x)
    wrong = np.zeros(len(x), bool)
    for l, block in enumerate(graph.blocks):
        layer = model.design[block.name].layer
        order = [block.names.index(name) for name in model.network.layers[layer].names]
        wrong |= np.array(order)[trace.routes[layer]] != routes[:, l]
    truth = graph(x)[:, 0]
    flat = single_layer(graph, E)(x)[:, 0] - truth
    error = float(np.abs(trace.output[:, 0] - truth).max())
    facts = model.facts
    relative = float(np.sqrt(np.mean(flat**2)) / truth.std())
    row = Row(
        E, L, graph.pieces, seconds, facts["experts"], facts["parameters"], facts["nonzero"], int(wrong.sum()), error,
        float(np.ptp(truth) / 2), float(np.abs(flat).max()), relative,
    )  # fmt: skip
    return row, model


def show(console: Console, rows: list[Row]) -> None:
    table = Table(title=f"E^L pieces from L·E experts, ε = {EPSILON:g}")
    for column in (
        "E", "L", "pieces", "experts", "compile, CPU s", "numbers", "not 0", "wrong routes", "largest error", "single layer", "rms / std f",
    ):  # fmt: skip
        table.add_column(column, justify="right")
    for r in rows:
        table.add_row(
            str(r.E), str(r.L), f"{r.pieces:.3g}", str(r.experts), f"{r.seconds:.2f}", f"{r.numbers:,}", f"{r.nonzero:,}",
            f"{r.wrong} of {POINTS}", f"{r.error:.2e}", f"{r.flat:.2e}", f"{r.flat_mean:.2f}",
        )  # fmt: skip
    console.print(table)


def draw(rows: list[Row], path: Path) -> None:
    """Left: pieces, and what they cost. Right: the errors of both mixtures with equally many experts."""
    from atlasmoe.report.palette import FEW, tidy
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    fours = [r for r in rows if r.E == 4]
    experts = [r.experts for r in fours]
    left.loglog(experts, [float(r.pieces) for r in fours], "o-", color=FEW[0], label="pieces, 4^L")
    left.loglog(experts, experts, "s-", color=FEW[1], label="experts, 4·L: regions of the single layer")
    left.loglog(experts, [r.seconds for r in fours], "^-", color=FEW[2], label="CPU seconds to compile")
    left.legend(fontsize=8, frameon=False)
    tidy(left, "What the same number of experts tells apart", xlabel="experts")
    right.semilogy(experts, [r.flat / r.spread for r in fours], "s-", color=FEW[1], label="single layer of as many experts")
    right.semilogy(experts, [r.error / r.spread for r in fours], "o-", color=FEW[0], label="compiled, 2L + 1 layers")
    right.axhline(1, color="0.6", linewidth=0.8, linestyle=":")
    right.text(experts[0], 1.07, "the best constant", fontsize=8, color="0.4")
    right.set_xscale("log")
    for axes in (left, right):
        axes.set_xticks(experts, [f"{r.experts}\nL = {r.L}" for r in fours])
        axes.minorticks_off()
    right.legend(fontsize=8, frameon=False, loc="center right")
    tidy(right, f"Largest error at {POINTS:,} points of random pieces, in parts of f's range", xlabel="experts")
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--most", type=int, default=DEPTHS[-1], help="largest L for E = 4")
    parser.add_argument("--wide", action="store_true", help="also E = 8, L = 32")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the figure")
    arguments = parser.parse_args()
    console = Console(width=140)
    sizes = [(4, L) for L in DEPTHS if arguments.most >= L] + ([(8, 32)] if arguments.wide else [])
    rows = [measure(E, L)[0] for E, L in sizes]
    show(console, rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "exponential_pieces.png"
    draw(rows, path)
    console.print(f"figure: {path}")


if __name__ == "__main__":
    main()
