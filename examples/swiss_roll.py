"""The Swiss roll in R^D: the error sees the intrinsic dimension d = 2, not D; and experts against width, the law B3.

    python examples/swiss_roll.py                 # both panels, a few minutes of one core
    python examples/swiss_roll.py --full          # more points on the curves, and wider dense networks: many minutes
    python examples/swiss_roll.py --adam 60       # also a dense network trained with Adam, for 60 s per point

Left: sup error against the experts' width m, for the same roll embedded isometrically in R^3, R^10, R^100, R^1000, each compiled
and measured by itself. Right: sup error against the number of experts E at fixed m; by B3 it falls like (E·m)^(−K/d), K/d = 5/4 at
most, while the smoothness of the target limits, and like E^(−2/d)·m^(−2) = E^(−1)·m^(−2) in the end.

Beside them stand dense two-layer networks with as many parameters as one input meets in the mixture (active), and as
many as the mixture has (total). They are constructed like the experts, by the same fit of Lemma 3.1, but on ambient points of the
whole roll: no charts, no router, no training. `--adam` trains networks of the same sizes instead, briefly, from PyTorch's random weights.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import atlasmoe
import numpy as np
import sympy
from atlasmoe.constructions.relu import Target, fit
from atlasmoe.progress import track
from rich.console import Console
from rich.table import Table

Array = np.ndarray
TURNS = 1.0
DIMENSIONS = (3, 10, 100, 1000)
WIDTHS = (16, 32, 64, 128)
"""Of experts; by default without the last, and only the second where the point is that the dimension does not matter."""
DENSE_IN = 100
"""The ambient dimension in which dense networks are compared; their error does not depend on it either, their parameters do."""
WIDEST_DENSE = 1024, 2048
"""By default, with --full: dense networks of the same total size would soon be wider, and take minutes and gigabytes of least squares."""
TEST_POINTS = 40_000
ROWS = 4_000


@dataclass(frozen=True)
class Point:
    """One network on one curve."""

    experts: int
    width: int
    dimension: int
    active: int
    total: int
    error: float


@cache
def roll(experts: int, dimension: int) -> atlasmoe.ManifoldTask:
    """A smooth target on the roll, which neither follows its windings nor is a sum over coordinates."""
    x = sympy.symbols("x1:4", real=True)
    target = sympy.sin(4 * x[0] + 2 * x[1]) * sympy.cos(3 * x[2] - x[1]) + x[0] * x[1]
    embed = {"dimension": dimension, "seed": dimension}
    atlas = atlasmoe.builtin("swiss_roll", turns=TURNS, atlas="ball", charts=experts, embed=embed)
    return atlasmoe.ManifoldTask(f"swiss roll in R^{dimension}", atlas, atlasmoe.ExpressionTarget(atlasmoe.ExpressionMap(x, (target,))))


def sup_error(task: atlasmoe.ManifoldTask, network: Callable[[Array], Array]) -> float:
    """The largest error on TEST_POINTS points of M that nothing was fitted to: a little below the true sup."""
    points = task.atlas.sample(TEST_POINTS, 271828)
    truth = task.evaluate(points)
    blocks = (slice(start, start + ROWS) for start in range(0, TEST_POINTS, ROWS))
    return max(float(np.abs(network(points.ambient[rows]) - truth[rows]).max()) for rows in blocks)


@cache
def mixture(experts: int, width: int, dimension: int) -> Point:
    task = roll(experts, dimension)
    model = atlasmoe.compile(task, width=width)
    network = model.network
    return Point(experts, width, dimension, network.active_parameters, network.parameters, sup_error(task, network))


def dense_width(parameters: int, dimension: int) -> int:
    """The hidden width of a two-layer network R^D → R with about so many parameters: m·(D + 2) + 1."""
    return max(8, round((parameters - 1) / (dimension + 2)))


def constructed(width: int, dimension: int) -> float:
    """Sup error of a dense two-layer network from the fit of Lemma 3.1 to ambient points."""
    task = roll(SMALLEST, dimension)

    def draw(count: int, seed: int, held_out: bool) -> tuple[Array, Array]:
        points = task.atlas.sample(count, 2 * seed + held_out, low_discrepancy=True)
        return points.ambient, task.evaluate(points)

    return sup_error(task, fit(Target(draw, "dense", "Lemma 3.1 on ambient points"), width).net)


def trained(width: int, dimension: int, seconds: float) -> float:
    """Sup error of a dense two-layer ReLU network after so many seconds of Adam from PyTorch's initial weights."""
    import torch

    torch.manual_seed(0)
    task = roll(SMALLEST, dimension)
    points = task.atlas.sample(20_000, 1)
    inputs, values = torch.tensor(points.ambient, dtype=torch.float32), torch.tensor(task.evaluate(points), dtype=torch.float32)
    network = torch.nn.Sequential(torch.nn.Linear(dimension, width), torch.nn.ReLU(), torch.nn.Linear(width, 1))
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        optimiser.param_groups[0]["lr"] = 3e-3 * max(left / seconds, 0.01)
        batch = torch.randint(len(inputs), (1024,))
        optimiser.zero_grad()
        torch.nn.functional.mse_loss(network(inputs[batch]), values[batch]).backward()
        optimiser.step()
    with torch.no_grad():
        return sup_error(task, lambda x: network(torch.tensor(x, dtype=torch.float32)).numpy())


SMALLEST = 24
"""The least number of balls, doubling from three, whose tangent charts are injective on this roll."""
Dense = dict[tuple[str, int], float]
"""Sup errors of dense networks by (how made, width)."""


def dense_networks(points: list[Point], widest: int, adam: float) -> Dense:
    """One dense network for every number of parameters, active or total, of these mixtures, as far as it is not too wide."""
    widths = sorted({dense_width(count, DENSE_IN) for point in points for count in (point.active, point.total)})
    found: Dense = {}
    for width in track([width for width in widths if width <= widest], "dense networks"):
        found["constructed", width] = constructed(width, DENSE_IN)
        if adam:
            found["trained", width] = trained(width, DENSE_IN, adam)
    return found


def table(title: str, points: list[Point], dense: Dense, adam: float) -> Table:
    drawn = Table(title=title, title_justify="left")
    columns = ["D", "E", "m", "active", "total", "mixture", "dense, active", "dense, total"]
    for column in (*columns, *(["Adam, active", "Adam, total"] if adam else [])):
        drawn.add_column(column, justify="right")
    for p in points:
        cells = [f"{p.dimension}", f"{p.experts}", f"{p.width}", f"{p.active:,}", f"{p.total:,}", f"{p.error:.3e}"]
        for made in ("constructed", *(["trained"] if adam else [])):
            for count in (p.active, p.total):
                error = dense.get((made, dense_width(count, p.dimension))) if p.dimension == DENSE_IN else None
                cells.append("–" if error is None else f"{error:.2e}")
        drawn.add_row(*cells)
    return drawn


def draw(by_width: list[Point], by_experts: list[Point], dense: Dense, path: Path) -> None:
    """Both panels on logarithmic axes."""
    from atlasmoe.report.palette import FEW, tidy
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullFormatter

    figure = Figure(figsize=(11, 5), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    measured = [p for p in by_width if p.dimension == DENSE_IN]
    for dimension, marker, color, size in zip(DIMENSIONS, "os^D", FEW, (13, 9.5, 6.5, 3.5), strict=False):
        curve = [p for p in by_width if p.dimension == dimension]
        if not curve:
            continue
        left.plot(
            [p.width for p in curve],
            [p.error for p in curve],
            color=color,
            marker=marker,
            markersize=size,
            linewidth=1,
            linestyle="-" if len(curve) == len(measured) else "none",
            label=f"mixture in $\\mathbb{{R}}^{{{dimension}}}$",
        )
    _dense(left, measured, [p.width for p in measured], dense)
    _dense(right, by_experts, [p.experts for p in by_experts], dense)
    E, error = np.array([p.experts for p in by_experts], float), np.array([p.error for p in by_experts])
    right.plot(E, error, "^-", color=FEW[2], markersize=6.5, linewidth=1, label=f"mixture, m = {by_experts[0].width}")
    # Guides a little off the curve: through the first point, and through the last.
    right.plot(E, 0.6 * error[0] * (E / E[0]) ** -1.25, ":", color="#666666", linewidth=1.2, label=r"$(E\,m)^{-K/d}$, $K/d = 5/4$")
    right.plot(E, 0.6 * error[-1] * (E / E[-1]) ** -1.0, "--", color="#666666", linewidth=1.2, label=r"$E^{-2/d} = E^{-1}$")
    tidy(
        left,
        f"against the width, E = {by_width[0].experts}: the same in every D",
        xlabel="hidden width m of an expert",
        ylabel="sup |f − Ψ|",
    )
    tidy(right, f"against the number of experts, m = {by_experts[0].width}", xlabel="number of experts E")
    for axes, ticks in ((left, [p.width for p in measured]), (right, [p.experts for p in by_experts])):
        axes.set(xscale="log", yscale="log")
        axes.set_xticks(ticks, [str(tick) for tick in ticks])
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(axis="y", color="#dddddd", linewidth=0.5)
        axes.legend(fontsize=7.5, frameon=False)
    figure.suptitle(
        f"A Swiss roll (d = 2), compiled without training; dense networks with as many parameters, in $\\mathbb{{R}}^{{{DENSE_IN}}}$",
        x=0.01,
        ha="left",
        fontsize=10,
    )
    figure.savefig(path, dpi=160)


def _dense(axes: object, points: list[Point], x: list[int], dense: Dense) -> None:
    """Dense networks of the same sizes as mixtures at positions x."""
    from atlasmoe.report.palette import FEW, INK

    for made, style in (("constructed", "-"), ("trained", "none")):
        for which, marker, color in (("active", "v", FEW[5]), ("total", "P", INK)):
            errors = [dense.get((made, dense_width(getattr(p, which), DENSE_IN)), np.nan) for p in points]
            if np.isfinite(errors).any():
                fill = color if made == "constructed" else "white"
                label = f"dense, same {which} parameters" + (" (Adam)" if made == "trained" else "")
                axes.plot(x, errors, marker, linestyle=style, color=color, markerfacecolor=fill, markersize=6, linewidth=0.8, label=label)


def slopes(points: list[Point]) -> str:
    """d log error / d log E between neighbours."""
    pairs = itertools.pairwise(points)
    return ", ".join(f"{np.log(b.error / a.error) / np.log(b.experts / a.experts):.2f}" for a, b in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--full", action="store_true", help="more points on the curves, wider dense networks")
    parser.add_argument("--adam", type=float, default=0.0, metavar="S", help="also train dense networks, S seconds each (default: no)")
    parser.add_argument("--out", type=Path, default=Path("out"), help="folder of the figure (default out)")
    options = parser.parse_args()
    dimensions = DIMENSIONS if options.full else (DIMENSIONS[0], DENSE_IN, DIMENSIONS[-1])
    counts = (SMALLEST, 48, 96, 192, 384) if options.full else (SMALLEST, 48, 96)

    started = time.process_time()
    jobs = [
        (SMALLEST, width, dimension)
        for dimension in dimensions
        for width in (WIDTHS if options.full else WIDTHS[:3] if dimension == DENSE_IN else WIDTHS[1:2])
    ]
    along = len(jobs)
    jobs += [(count, WIDTHS[1], DENSE_IN) for count in counts]
    points = [mixture(*job) for job in track(jobs, "mixtures")]
    by_width, by_experts = points[:along], points[along:]
    dense = dense_networks([*(p for p in by_width if p.dimension == DENSE_IN), *by_experts], WIDEST_DENSE[options.full], options.adam)

    console = Console()
    console.print(table("sup error against m, in R^D", by_width, dense, options.adam))
    console.print(table("sup error against E", by_experts, dense, options.adam))
    console.print(f"slopes between neighbouring E: {slopes(by_experts)}")
    spread = max(
        max(p.error for p in some) / min(p.error for p in some)
        for some in ([q for q in by_width if q.width == m] for m in {p.width for p in by_width})
    )
    console.print(f"largest ratio of errors between the D at one m: {spread:.6f}")
    options.out.mkdir(parents=True, exist_ok=True)
    path = options.out / "swiss_roll.png"
    draw(by_width, by_experts, dense, path)
    console.print(f"figure: {path} ({time.process_time() - started:.0f} CPU seconds)")


if __name__ == "__main__":
    main()
