"""∏ E_l pieces in one layer (N15) beside the same graph in 2L and in L + 1 layers, and what breaks its routes.

    python benchmarks/one_layer.py [--graphs 4^16 8^32] [--out docs/images/one_layer.png]

The graph is f = Σ_l f_l(x_l) on [0, E]^L, f_l of E parabolas that jump at every integer. Times are CPU time per input of numpy and
PyTorch. The figure is for 4^2: how many logits are 0 near a corner of four pieces by two gates, in steps of float32; beside it the points
of 4^16 that are sent astray by routers that select on something else than logits, by slope.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import torch
from atlasmoe import Block, Box, Combine, Input, Tiling
from atlasmoe.constructions.grouped_layer import side_by_side
from atlasmoe.constructions.routers.faces import scores_net
from atlasmoe.constructions.routers.grouped import group
from atlasmoe.moe import Affine, Net

EPSILON = 0.05
ROWS = 4096
FORMS = (("paper", "residual"), ("L+1", "residual"), ("1", "paper"))
"""depth and form, in the order of the table."""
POWERS = (-4, -2, 0, 2, 4, 6, 8, 10)


def task(E: int, L: int) -> atlasmoe.TaskGraph:
    """f = Σ f_l."""
    rng = np.random.default_rng(E)
    levels = rng.permutation(np.arange(E)) / E * 2 - 1
    names = tuple(f"x{l}" for l in range(1, L + 1))
    nodes: list[Input | Block | Combine] = [Input("x", Box((0.0,) * L, (float(E),) * L), names)]
    for l, name in enumerate(names, 1):
        pieces = [f"{level:.3f} + ({name} - {i})*({i + 1} - {name})" for i, level in enumerate(np.roll(levels, l))]
        nodes.append(Block.parse(f"f{l}", (name,), Tiling.intervals(list(range(E + 1))), pieces))
    blocks = tuple(f"f{l}" for l in range(1, L + 1))
    return atlasmoe.TaskGraph(f"{E}^{L}", (*nodes, Combine.parse("f", blocks, " + ".join(blocks))), "f")


def microseconds(function: Callable[[], object]) -> float:
    """CPU time per row, the best of three turns."""
    function()
    times = []
    for _ in range(3):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return 1e6 * min(times) / ROWS


def table(E: int, L: int) -> None:
    graph = task(E, L)
    x = graph.sample(ROWS, 0)
    rows = torch.from_numpy(x)
    for depth, form in FORMS:
        start = time.process_time()
        model = atlasmoe.compile(graph, epsilon=EPSILON, depth=depth, form=form)
        seconds = time.process_time() - start
        network, module = model.network, atlasmoe.to_torch(model)
        with torch.no_grad():
            times = microseconds(lambda network=network: network(x)), microseconds(lambda module=module: module(rows))
        error = float(np.abs(network(x) - graph(x)).max())
        gate = max((sum(layer.gate.widths) for layer in network.layers if layer.gate is not None), default=0)
        counts = f"{network.parameters:,} | {model.facts['nonzero']:,} | {network.active_parameters:,}"
        took = f"{seconds:.1f} | {times[0]:.1f} | {times[1]:.1f}"
        print(f"| {E}^{L} | `{depth}` | {len(network.layers)} | {gate} | {counts} | {took} | {error:.3f} |")


def gates(E: int, kind: str, power: int = 8) -> Net:
    """Two groups of [0, E] side by side: N15's, closed faces, or faces at t on both sides."""
    tiling = Tiling.intervals(list(range(E + 1)))
    one = group(tiling, list(range(E)), "float32", power)
    if kind == "closed":
        one = scores_net(tiling, list(range(E)), [True], "float32")
    parts = []
    for k in range(2):
        wide = np.zeros((len(one.affines[0].bias), 2))
        wide[:, [k]] = one.affines[0].weight
        parts.append(one.with_maps((Affine(wide, one.affines[0].bias), *one.affines[1:])))
    return side_by_side(parts).astype("float32")


def astray(power: int, kind: Callable[[np.ndarray], np.ndarray]) -> float:
    """The part of points next to interfaces at which a router on `kind` of the logits does not choose one of each of 16 groups."""
    tiling = Tiling.intervals([0, 1, 2, 3, 4])
    one = group(tiling, [0, 1, 2, 3], "float32", power).astype("float32")
    rng = np.random.default_rng(0)
    t = rng.integers(1, 4, size=(4000, 16)).astype("float32")
    steps = rng.integers(-1, 2, size=t.shape)
    x = np.where(steps == 0, t, np.nextafter(t, np.where(steps > 0, np.float32(9), np.float32(-9))))
    z = np.concatenate([one(x[:, [k]]) for k in range(16)], axis=1)
    right = np.stack([4 * k + tiling.owner(x[:, [k]].astype(float)) for k in range(16)], axis=1)
    chosen = np.argsort(-kind(z), axis=1, kind="stable")[:, :16]
    return float((np.sort(chosen, axis=1) != right).any(1).mean())


def softmax(z: np.ndarray) -> np.ndarray:
    powers = np.exp(z)
    return np.asarray(powers / powers.sum(1, keepdims=True))


def sigmoid(z: np.ndarray) -> np.ndarray:
    return np.asarray(1 / (1 + np.exp(-np.maximum(z, np.float32(-80)))))


def draw(path: Path) -> None:
    from atlasmoe.report.palette import FEW, tidy
    from matplotlib.colors import ListedColormap
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.6), layout="constrained")
    axes = figure.subplots(1, 3, width_ratios=(1, 1, 1.35))
    line = [np.float32(1)]
    for _ in range(3):
        line = [np.nextafter(line[0], np.float32(0)), *line, np.nextafter(line[-1], np.float32(2))]
    x = np.stack(np.meshgrid(line, line), axis=-1).reshape(-1, 2)
    ticks = ["−3", "−2", "−1", "t", "+1", "+2", "+3"]
    for place, kind, title in ((axes[0], "closed", "Closed faces (B10)"), (axes[1], "own", "Faces of N15")):
        zeros = (gates(4, kind)(x) == 0).sum(1).reshape(7, 7)
        place.imshow(zeros, origin="lower", cmap=ListedColormap([FEW[2], FEW[1], FEW[5]]), vmin=2, vmax=4)
        for (i, j), count in np.ndenumerate(zeros):
            place.text(j, i, str(count), ha="center", va="center", fontsize=9)
        place.set_xticks(range(7), ticks)
        place.set_yticks(range(7), ticks)
        tidy(place, f"{title}: logits that are 0", xlabel="x₁, steps of float32 from the interface t = 1", ylabel="x₂")
    for k, (kind, called) in enumerate(((softmax, "probabilities"), (sigmoid, "sigmoids"), (lambda z: z, "logits"))):
        axes[2].plot(POWERS, [astray(power, kind) for power in POWERS], "os^"[k] + "-", color=FEW[k], label=f"selects on {called}")
    axes[2].axvline(8, color="#222222", linewidth=0.8, linestyle=":", label="as compiled")
    figure.legend(*axes[2].get_legend_handles_labels(), fontsize=8, frameon=False, loc="outside lower right", ncols=4)
    title = "4^16: of 4,000 points on interfaces and next to them"
    tidy(axes[2], title, xlabel="p, slopes of faces are $2^p$", ylabel="share sent astray")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--graphs", nargs="*", default=["4^16", "8^32"])
    parser.add_argument("--out", type=Path, default=Path("docs/images/one_layer.png"))
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name in arguments.graphs:
        table(*map(int, name.split("^")))
    draw(arguments.out)


if __name__ == "__main__":
    main()
