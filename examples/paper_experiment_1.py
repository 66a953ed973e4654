"""Experiment I of the paper, without training: f = sin 5x₁ + cos 3x₂ on the unit circle in the first two coordinates of R^D.

    python examples/paper_experiment_1.py [--points 1000000] [--out out/]

The architecture is the paper's 1-4-MoE: one MoE layer, linear router, four experts, each a two-layer ReLU net of width 10.
The numbers of the paper are test errors after training with Adam; ours come from a construction:

* Router: C·x with four centres on the circle, a quarter turn apart. They are equally long, so the largest c_i·x belongs to the nearest
  centre (B1) and no bias is needed.
* Expert: on the circle a neuron σ(cos(θ − α) − t) is zero outside |θ − α| < arccos t and a sinusoid inside. So between the knots an
  expert lies in span{1, cos θ, sin θ}, three numbers a piece, where a spline in one coordinate has two: its error falls like h³, not h².
  Neurons are chosen one at a time from a fine grid of (α, t), then exchanged, each for the one on the grid that leaves the least
  mean square when all output weights are solved for again (linear least squares); the grid is then refined around them.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

Array = NDArray[np.float64]

PAPER = {16: 3.40e-4, 32: 3.38e-4, 64: 3.17e-4, 128: 3.42e-4}
"""Dimension: test error of the paper's 1-4-MoE."""
DIMENSIONS = (*PAPER, 1024)
EXPERTS, WIDTH = 4, 10
QUADRATURE = 360
"""Midpoints on one expert's quarter of the circle."""
DIRECTIONS, THRESHOLDS = 144, 96
"""Of the grid of neurons."""
SWEEPS, ZOOMS = 10, 30
SHRINK = 0.75
"""Of the refined grid from one zoom to the next."""
INDEPENDENT = 1e-5
"""A neuron must keep this part of its length when the others are projected out: this keeps the output weights small."""
ROTATIONS = 4
"""Positions of the four centres that are tried, over a quarter turn."""
CHUNK = 1 << 13


def target(theta: Array) -> Array:
    """f at the angle θ."""
    return np.sin(5 * np.cos(theta)) + np.cos(3 * np.sin(theta))


@dataclass(frozen=True, eq=False)
class Quarter:
    """The part of the circle within an eighth of a turn of `center`, and f there."""

    center: float

    @property
    def theta(self) -> Array:
        return self.center + np.pi / 2 * ((np.arange(QUADRATURE) + 0.5) / QUADRATURE - 0.5)

    def features(self, neurons: Array) -> Array:
        """σ(cos(θ − α) − t) for neurons (…, 2) of (α, t), as (…, QUADRATURE)."""
        return np.maximum(np.cos(self.theta - neurons[..., :1]) - neurons[..., 1:], 0)


@dataclass(frozen=True, eq=False)
class Expert:
    """constant + Σ weights_j·σ(cos(θ − α_j) − t_j), with its mean square error on its quarter."""

    neurons: Array
    """(width, 2), of (α, t)."""
    weights: Array
    constant: float
    error: float


def solve(quarter: Quarter, neurons: Array) -> Expert:
    """The output weights that minimise the mean square over the quadrature points."""
    columns = np.column_stack([np.ones(QUADRATURE), quarter.features(neurons).T])
    solution = np.linalg.lstsq(columns, target(quarter.theta), rcond=None)[0]
    error = float(np.mean((columns @ solution - target(quarter.theta)) ** 2))
    return Expert(neurons, solution[1:], float(solution[0]), error)


def best_addition(quarter: Quarter, others: Array, candidates: Array, features: Array) -> Array:
    """The candidate (α, t) that beside the `others` leaves the least mean square: largest (r·q)²/|q|², q its part off their span."""
    basis = np.linalg.qr(np.column_stack([np.ones(QUADRATURE), quarter.features(others).T]))[0]
    residual = target(quarter.theta)
    residual = residual - basis @ (basis.T @ residual)
    size = np.einsum("ij,ij->i", features, features)
    left = size - np.sum((features @ basis) ** 2, axis=1)
    gain = np.where(left > INDEPENDENT * size, (features @ residual) ** 2 / np.where(left > 0, left, 1), -1.0)
    return candidates[np.argmax(gain)]


def construct(center: float, sweeps: int = SWEEPS, zooms: int = ZOOMS) -> Expert:
    """An expert of width WIDTH for the quarter around `center`: greedy choice, exchange, refinement."""
    quarter = Quarter(center)
    alpha = center + 2 * np.pi * np.arange(DIRECTIONS) / DIRECTIONS
    t = np.cos(np.pi * (np.arange(THRESHOLDS) + 0.5) / THRESHOLDS)
    grid = np.stack(np.meshgrid(alpha, t, indexing="ij"), axis=-1).reshape(-1, 2)
    features = quarter.features(grid)
    bends = (features.min(1) == 0) & (features.max(1) > 0)
    # A neuron that never bends is x ↦ w·x + b: any two of them give all linear functions.
    bends |= (grid[:, 1] == t[-1]) & np.isin(grid[:, 0], alpha[[0, DIRECTIONS // 4]])
    grid, features = grid[bends], features[bends]

    neurons = np.zeros((0, 2))
    for _ in range(WIDTH):
        neurons = np.vstack([neurons, best_addition(quarter, neurons, grid, features)])
    best = solve(quarter, neurons)
    for _ in range(sweeps):
        before = best.error
        for _ in range(WIDTH):
            best = exchanged(quarter, best, grid, features)
        if best.error > 0.999 * before:
            break
    radius = np.array([2 * np.pi / DIRECTIONS, np.pi / THRESHOLDS])
    steps = np.stack(np.meshgrid(np.linspace(-1, 1, 11), np.linspace(-1, 1, 11), indexing="ij"), axis=-1).reshape(-1, 2)
    for _ in range(zooms):
        for _ in range(WIDTH):
            near = best.neurons[0] + radius * steps
            best = exchanged(quarter, best, near, quarter.features(near))
        radius = SHRINK * radius
    return best


def exchanged(quarter: Quarter, expert: Expert, candidates: Array, features: Array) -> Expert:
    """The expert with its first neuron replaced by the best candidate, if that is better, and moved to the end."""
    others = expert.neurons[1:]
    other = solve(quarter, np.vstack([others, best_addition(quarter, others, candidates, features)]))
    if other.error < expert.error:
        return other
    return Expert(np.roll(expert.neurons, -1, 0), np.roll(expert.weights, -1), expert.constant, expert.error)


def network(experts: list[Expert], centers: Array, dimension: int) -> Network:
    """The MoE on R^D: the plane is the first two coordinates, all other weights are 0."""

    def plane(rows: Array) -> Array:
        return np.hstack([rows, np.zeros((len(rows), dimension - 2))])

    nets = []
    for number, expert in enumerate(experts):
        alpha, t = expert.neurons.T
        hidden = Affine(plane(np.stack([np.cos(alpha), np.sin(alpha)], axis=1)), -t)
        group = NeuronGroup(f"expert[{number}].g", WIDTH, "σ(cos(θ − α) − t), least squares")
        nets.append(ReLUNet((hidden, Affine(expert.weights[None], np.array([expert.constant]))), ((group,),)))
    gate = Affine(plane(np.stack([np.cos(centers), np.sin(centers)], axis=1)), np.zeros(EXPERTS))
    names = tuple(f"arc{i}" for i in range(EXPERTS))
    layer = MoELayer(gate, tuple(nets), tuple(range(EXPERTS)), names, ("y[0]",))
    return Network((layer,), tuple(f"x[{k}]" for k in range(dimension)))


def points(theta: Array, dimension: int) -> Array:
    """The unit circle in the first two coordinates of R^D."""
    x = np.zeros((len(theta), dimension))
    x[:, 0], x[:, 1] = np.cos(theta), np.sin(theta)
    return x


def mean_square(moe: Network, theta: Array) -> float:
    """Mean of (f − Ψ)² over the given angles, a chunk at a time."""
    total = 0.0
    for start in range(0, len(theta), CHUNK):
        part = theta[start : start + CHUNK]
        total += float(np.sum((moe(points(part, len(moe.inputs)))[:, 0] - target(part)) ** 2))
    return total / len(theta)


def build() -> tuple[list[Expert], Array]:
    """The four experts and the angles of their centres, at the best of ROTATIONS positions."""
    quarters = np.pi / 2 * np.arange(EXPERTS)
    rotations = np.pi / 2 * np.arange(ROTATIONS) / ROTATIONS
    # f(x₁, −x₂) = f(x₁, x₂): rotations beyond an eighth of a turn are mirror images.
    rotations = rotations[rotations <= np.pi / 4 + 1e-9]
    tried = [([construct(rotation + q) for q in quarters], rotation + quarters) for rotation in rotations]
    return min(tried, key=lambda pair: sum(expert.error for expert in pair[0]))


def draw(experts: list[Expert], centers: Array, path: Path) -> None:
    """f and Ψ over the angle with the routes, and the error."""
    from atlasmoe.report.palette import FAINT, FEW, INK, tidy
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    moe = network(experts, centers, 2)
    theta = np.linspace(-np.pi, np.pi, 8001)
    trace = moe.trace(points(theta, 2))
    routes, error = trace.routes[0], trace.output[:, 0] - target(theta)
    figure = Figure(figsize=(9, 5), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
    top.plot(theta, target(theta), color=FAINT, linewidth=4, label="f")
    top.plot(theta, trace.output[:, 0], color=INK, linewidth=1, label="Ψ")
    bottom.plot(theta, error, color=INK, linewidth=0.7)
    for axes in (top, bottom):
        for part in np.split(np.arange(len(theta)), np.flatnonzero(np.diff(routes)) + 1):
            axes.axvspan(theta[part[0]], theta[min(part[-1] + 1, len(theta) - 1)], color=FEW[routes[part[0]]], alpha=0.16, linewidth=0)
    handles = [
        *top.get_legend_handles_labels()[0],
        *(Patch(color=FEW[k], alpha=0.16, label=f"expert {k + 1}") for k in range(len(experts))),
    ]
    figure.legend(handles=handles, fontsize=8, frameon=False, loc="outside lower center", ncols=len(handles))
    tidy(top, "sin 5x₁ + cos 3x₂ on the circle: four experts of width 10 (background: the route)", ylabel="f, Ψ", xlim=(-np.pi, np.pi))
    tidy(bottom, f"Ψ − f, mean square {np.mean(error[:-1] ** 2):.2g}, largest {np.abs(error).max():.2g}", xlabel="angle θ", ylabel="Ψ − f")
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000, help="uniform test points")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the figure")
    arguments = parser.parse_args()
    console = Console()

    started = time.perf_counter()
    experts, centers = build()
    seconds = time.perf_counter() - started
    theta = np.random.default_rng(0).uniform(-np.pi, np.pi, arguments.points)
    table = Table(title="Experiment I: mean squared test error, 1-4-MoE of width 10")
    for column in ("D", "paper, trained", "constructed", "ratio", "constructed, float32"):
        table.add_column(column, justify="right")
    for dimension in DIMENSIONS:
        moe = network(experts, centers, dimension)
        ours = mean_square(moe, theta)
        paper = PAPER.get(dimension)
        printed = ("–", "–") if paper is None else (f"{paper:.2e}", f"{paper / ours:.0f}×")
        table.add_row(str(dimension), printed[0], f"{ours:.4e}", printed[1], f"{mean_square(moe.astype(np.float32), theta):.4e}")
    console.print(table)
    console.print(f"{len(theta):,} test points; construction took {seconds:.1f} s, once for all D")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "paper_experiment_1.png"
    draw(experts, centers, path)
    console.print(f"figure: {path}")


if __name__ == "__main__":
    main()
