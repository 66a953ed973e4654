"""Experiment II of the paper, without training: f = f_{1,i}(x₁)·f_{2,j}(x₂) on [0, 3]², pieces i, j of length 1.

    python examples/paper_experiment_2.py [--points 1000000] [--out out/]

    f_{1,i}(z) = i(i−1−z)(z−i),   f_{2,i}(z) = i(i−1−z)²(z−i)²,   z in [i−1, i], i = 1, 2, 3

The numbers of the paper are test errors after training; ours come from a construction in the same architectures, whose widths count
every hidden neuron:

* 2-3-MoE. Layer 1 routes on x₂ with the affine scores 1 − x₂, 0, x₂ − 2 (Theorem 5.3, B2). Its experts pass x₁ ≥ 0 on with one
  neuron and make y = f_{2,j}(x₂) with all others: a free-knot spline. Layer 2 routes on x₁. With u = x₁ − i + 1/2 its experts have to make
  i(1/4 − u²)·y, and as (u + βv)³ − (u − βv)³ = 6βu²v + 2(βv)³, that is a sum of functions of the three directions u ± βv and v,
  v = y − c. Knots are placed where these bend, weighed by how often their arguments occur; output weights are least squares.
* 1-6-MoE. One layer, two linear functions of three and two slopes: six boxes, [i − 1, i] × [0, 2] and × [2, 3]. A six-expert
  layer cannot tell nine products apart, so three of its experts have a kink inside. Each is a ridge fit (Lemma 3.1).
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from atlasmoe.constructions.relu import Target, fit
from atlasmoe.moe import Affine, MoELayer, Network, NeuronGroup, ReLUNet
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

Array = NDArray[np.float64]

PAPER = {16: (8.32e-5, 7.96e-5), 32: (1.41e-5, 2.17e-5), 64: (4.73e-6, 2.65e-5), 128: (2.59e-6, 4.60e-5)}
"""Width: test errors of the paper's 2-3-MoE and 1-6-MoE."""
PIECES = 3
SAMPLES = 4096
"""Places at which the curvature of a profile is looked at."""
ACROSS, ALONG = 40, 120
"""Quadrature points in u, and in x₂ on every piece."""
BETAS, CENTERS = (1.0, 1.5, 2.0), (0.0, 0.03)
"""Of β and c in u ± β(y − c), those that are tried."""
THIRD = (1.0, 2.0)
"""How many of the knots that theory gives the profile of v it gets; the theory is one of many knots."""
BINS = 400
"""Of the histogram of a direction's argument."""
SPLIT = 2.0
"""Where the 1-6-MoE cuts x₂: the last piece, where f is largest, has experts of its own."""
COLOURS = "viridis"
INDEPENDENT = 1e-7
"""Combinations of columns shorter than this part of the longest count as dependent."""
CHUNK = 1 << 13


def first(i: int, z: Array) -> Array:
    """f_{1,i}."""
    return i * (i - 1 - z) * (z - i)


def second(i: int, z: Array) -> Array:
    """f_{2,i}."""
    return i * (i - 1 - z) ** 2 * (z - i) ** 2


def target(x: Array) -> Array:
    """f at points (N, 2)."""
    i, j = np.clip(np.floor(x).astype(int) + 1, 1, PIECES).T
    return first(i, x[:, 0]) * second(j, x[:, 1])


def midpoints(low: float, high: float, count: int) -> Array:
    return low + (high - low) * (np.arange(count) + 0.5) / count


def knots(t: Array, bend: Array, count: int) -> Array:
    """`count` knots on the span of the ascending t; equally much of ∫bend lies between neighbours, the first is left of the span."""
    share = np.concatenate([[0.0], np.cumsum(bend)])
    edges = np.concatenate([t[:1], (t[1:] + t[:-1]) / 2, t[-1:]])
    found = np.interp(np.arange(count) / count, share / share[-1], edges)
    found[0] = t[0] - (t[-1] - t[0])
    return found


def least_squares(features: Array, values: Array) -> Array:
    """Weights of the columns, the constant first: the smallest ones, so that float32 computes them as well."""
    columns = np.column_stack([np.ones(len(values)), features])
    scale = np.linalg.norm(columns, axis=0)
    return np.linalg.lstsq(columns / scale, values, rcond=INDEPENDENT)[0] / scale


@dataclass(frozen=True, eq=False)
class Spline:
    """constant + Σ weights_k·σ(z − knots_k)."""

    knots: Array
    weights: Array
    constant: float

    def __call__(self, z: Array) -> Array:
        return self.constant + np.maximum(z[:, None] - self.knots, 0) @ self.weights


def spline(j: int, width: int) -> Spline:
    """f_{2,j} on its piece. In the mean square, knots are best placed by |F″|^{2/5}."""
    z = midpoints(0, 1, SAMPLES)
    at = knots(z, np.abs(2 - 12 * z + 12 * z**2) ** 0.4, width) + j - 1
    z = z + j - 1
    solution = least_squares(np.maximum(z[:, None] - at, 0), second(j, z))
    return Spline(at, solution[1:], float(solution[0]))


@dataclass(frozen=True, eq=False)
class Product:
    """constant + Σ weights_k·σ(rows_k·(u, y) − knots_k), for (1/4 − u²)·y; and its mean square error."""

    rows: Array
    knots: Array
    weights: Array
    constant: float
    error: float


def product(u: Array, y: Array, truth: Array, width: int) -> Product:
    """The best of the tried β, c and shares on quadrature points u, y (N,) with the exact values `truth`."""
    tried = (_product(u, y, truth, width, *choice) for choice in itertools.product(BETAS, CENTERS, THIRD))
    return min(tried, key=lambda made: made.error)


def _product(u: Array, y: Array, truth: Array, width: int, beta: float, c: float, third: float) -> Product:
    directions = np.array([[1.0, beta], [1.0, -beta], [0.0, 1.0]])
    # |q_k″| for the three profiles of u²v, up to a common factor.
    bends: list[Callable[[Array], Array]] = [np.abs, np.abs, lambda t: 2 * beta**3 * np.abs(t)]
    spread, costs = [], []
    for row, bend in zip(directions, bends, strict=True):
        t = row[0] * u + row[1] * (y - c)
        counts, edges = np.histogram(t, BINS)
        middle, width_of = (edges[1:] + edges[:-1]) / 2, edges[1] - edges[0]
        # The mean square of a linear spline with n pieces is least, ∝ (∫(density·q″²)^{1/5})⁵/n⁴, for pieces of equal shares.
        density = (counts / (counts.sum() * width_of) * bend(middle) ** 2) ** 0.2
        spread.append((middle, density))
        costs.append(density.sum() * width_of)
    last = max(2, round(third * width * costs[2] / sum(costs)))
    shares = np.array([(width - last + 1) // 2, (width - last) // 2, last])
    places = [knots(*parts, count) for parts, count in zip(spread, shares, strict=True)]
    rows = np.repeat(directions, shares, axis=0)
    at = np.concatenate(places) + c * rows[:, 1]
    features = np.maximum(np.outer(u, rows[:, 0]) + np.outer(y, rows[:, 1]) - at, 0)
    solution = least_squares(features, truth)
    error = float(np.mean((solution[0] + features @ solution[1:] - truth) ** 2))
    return Product(rows, at, solution[1:], float(solution[0]), error)


def two_layers(width: int) -> Network:
    """The 2-3-MoE."""
    splines = [spline(j, width - 1) for j in range(1, PIECES + 1)]
    names = tuple(f"piece{i}" for i in range(1, PIECES + 1))
    slopes = np.arange(PIECES) - 1.0
    offsets = np.array([1.0, 0.0, -2.0])
    inner = []
    for j, made in enumerate(splines, 1):
        hidden = Affine(np.vstack([[1.0, 0.0], *[[0.0, 1.0]] * (width - 1)]), np.concatenate([[0.0], -made.knots]))
        out = np.zeros((2, width))
        out[0, 0], out[1, 1:] = 1, made.weights
        groups = (NeuronGroup("carry", 1, "x₁ = σ(x₁), x₁ ≥ 0"), NeuronGroup(f"f2[{j}]", width - 1, "free-knot spline"))
        inner.append(ReLUNet((hidden, Affine(out, np.array([0.0, made.constant]))), (groups,)))
    gate = Affine(np.column_stack([np.zeros(PIECES), slopes]), offsets.copy())
    layers = [MoELayer(gate, tuple(inner), (0, 1, 2), names, ("x[0]", "y[f2]"))]

    # Layer 2 sees y as layer 1 makes it; f_{1,i} is i times the same function of u.
    u = midpoints(-0.5, 0.5, ACROSS)
    z = np.concatenate([midpoints(j - 1, j, ALONG) for j in range(1, PIECES + 1)])
    exact = np.concatenate([second(j, z[(j - 1) * ALONG : j * ALONG]) for j in range(1, PIECES + 1)])
    y = np.concatenate([made(z[j * ALONG : (j + 1) * ALONG]) for j, made in enumerate(splines)])
    truth = np.outer(0.25 - u**2, exact).ravel()
    made = product(np.repeat(u, len(y)), np.tile(y, ACROSS), truth, width)
    outer = []
    for i in range(1, PIECES + 1):
        hidden = Affine(made.rows.copy(), -made.knots - made.rows[:, 0] * (i - 0.5))
        group = NeuronGroup(f"product[{i}]", width, "u²v as a sum of three profiles, least squares")
        outer.append(ReLUNet((hidden, Affine(i * made.weights[None], np.array([i * made.constant]))), ((group,),)))
    gate = Affine(np.column_stack([slopes, np.zeros(PIECES)]), offsets.copy())
    layers.append(MoELayer(gate, tuple(outer), (0, 1, 2), names, ("y[f]",)))
    return Network(tuple(layers), ("x[0]", "x[1]"))


def strip(low: float, high: float, width: int) -> ReLUNet:
    """f on [0, 1] × [low, high] as one two-layer net; it is i times as much on [i − 1, i] × [low, high]."""

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        points = np.random.default_rng([seed, held_out]).uniform((0, low), (1, high), (count, 2))
        return points, target(points)[:, None]

    return fit(Target(draw, "product", "Lemma 3.1"), width, effort="thorough").net


def one_layer(width: int) -> Network:
    """The 1-6-MoE: its gate compares sums of the scores of three intervals of x₁ and of two intervals of x₂."""
    nets, weights, biases, names = [], [], [], []
    for low, high, side in ((0.0, SPLIT, 0.0), (SPLIT, float(PIECES), 1.0)):
        base = strip(low, high, width)
        for i in range(1, PIECES + 1):
            moved = base.affines[0].bias - base.affines[0].weight[:, 0] * (i - 1)
            hidden = Affine(base.affines[0].weight.copy(), moved)
            nets.append(ReLUNet((hidden, Affine(i * base.affines[1].weight, i * base.affines[1].bias)), base.groups))
            weights.append([i - 2.0, side])
            biases.append([1.0, 0.0, -2.0][i - 1] - side * SPLIT)
            names.append(f"[{i - 1}, {i}] × [{low:g}, {high:g}]")
    layer = MoELayer(Affine(np.array(weights), np.array(biases)), tuple(nets), tuple(range(6)), tuple(names), ("y[f]",))
    return Network((layer,), ("x[0]", "x[1]"))


def mean_square(moe: Network, x: Array) -> float:
    """Mean of (f − Ψ)² over the points (N, 2), a chunk at a time."""
    parts = np.array_split(x, max(1, len(x) // CHUNK))
    return float(sum(np.sum((moe(part)[:, 0] - target(part)) ** 2) for part in parts) / len(x))


def draw(two: Network, one: Network, ours: dict[int, tuple[float, float]], path: Path) -> None:
    """f, the errors by width, the routes of both networks of the largest width, and their errors on one scale."""
    from atlasmoe.report.palette import FEW, tidy
    from matplotlib.colors import LogNorm, to_rgb
    from matplotlib.figure import Figure

    side = midpoints(0, PIECES, 450)
    x = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    shape, extent = (len(side), len(side)), (0, PIECES, 0, PIECES)
    inner, outer = two.trace(x).routes
    colours = np.array([to_rgb(colour) for colour in FEW])
    figure = Figure(figsize=(11, 7), layout="constrained")
    axes = figure.subplots(2, 3)

    def show(place: object, values: Array, title: str, **options: object) -> object:
        image = place.imshow(values, origin="lower", extent=extent, interpolation="nearest", **options)
        place.set_title(title, fontsize=9)
        place.set_xlabel("x₁", fontsize=8)
        place.set_ylabel("x₂", fontsize=8)
        return image

    figure.colorbar(show(axes[0, 0], target(x).reshape(shape), "f", cmap=COLOURS), ax=axes[0, 0], shrink=0.85)
    mixed = 0.5 * colours[outer] + 0.5 * colours[PIECES + inner]
    show(axes[0, 1], mixed.reshape(*shape, 3), "2-3-MoE: the routes, nine pieces of six experts")
    show(axes[1, 1], colours[one.trace(x).routes[0]].reshape(*shape, 3), "1-6-MoE: the routes, six pieces of six experts")
    errors = [np.maximum(np.abs(moe(x)[:, 0] - target(x)), 1e-9).reshape(shape) for moe in (two, one)]
    norm = LogNorm(1e-7, max(float(e.max()) for e in errors))
    for place, name, error in zip((axes[0, 2], axes[1, 2]), ("2-3-MoE", "1-6-MoE"), errors, strict=True):
        image = show(place, error, f"{name}: |f − Ψ|, mean square {np.mean(error**2):.2g}", cmap=COLOURS, norm=norm)
    figure.colorbar(image, ax=axes[:, 2], shrink=0.85)
    widths = list(PAPER)
    for column, colour, name in ((0, FEW[0], "2-3-MoE"), (1, FEW[1], "1-6-MoE")):
        axes[1, 0].loglog(widths, [PAPER[m][column] for m in widths], "o--", color=colour, label=f"{name}, paper, trained")
        axes[1, 0].loglog(widths, [ours[m][column] for m in widths], "s-", color=colour, label=f"{name}, constructed")
    axes[1, 0].set_xticks(widths, map(str, widths))
    axes[1, 0].minorticks_off()
    axes[1, 0].set_ylim(1e-12, 1e-3)
    axes[1, 0].legend(fontsize=8, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    tidy(axes[1, 0], "Mean squared error by expert width", xlabel="expert width")
    figure.savefig(path, dpi=160)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--points", type=int, default=1_000_000, help="uniform test points")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the figure")
    arguments = parser.parse_args()
    console = Console(width=120)
    x = np.random.default_rng(0).uniform(0, PIECES, (arguments.points, 2))
    table = Table(title="Experiment II: mean squared test error")
    for column in ("expert width", "2-3: paper, trained", "constructed", "ratio", "float32", "1-6: paper, trained", "constructed "):
        table.add_column(column, justify="right")
    started = time.perf_counter()
    measured = partial(mean_square, x=x)
    ours: dict[int, tuple[float, float]] = {}
    for width, (paper, flat) in PAPER.items():
        two, one = two_layers(width), one_layer(width)
        ours[width] = measured(two), measured(one)
        rounded = measured(two.astype(np.float32))
        first_column = (f"{paper:.2e}", f"{ours[width][0]:.2e}", f"{paper / ours[width][0]:.0f}×", f"{rounded:.2e}")
        table.add_row(str(width), *first_column, f"{flat:.2e}", f"{ours[width][1]:.2e}")
    console.print(table)
    console.print(f"{len(x):,} test points; construction and tests took {time.perf_counter() - started:.0f} s")
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / "paper_experiment_2.png"
    draw(two, one, ours, path)
    console.print(f"figure: {path}")


if __name__ == "__main__":
    main()
