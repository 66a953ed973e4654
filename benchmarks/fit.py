"""Sup error against width: constructed two-layer nets beside random features, SWIM, and trained networks.

    OMP_NUM_THREADS=1 python benchmarks/fit.py [--quick | --full] [--widths 64 256] [--targets franke …] [--training-cap SECONDS]

Errors are the largest on 100,000 points that nothing was fitted to. `trained` is Adam, then L-BFGS, on a two-layer net of
the same width; `deep` the same on four hidden layers with the same number of parameters; each gets 20 times the time of
the thorough construction, but no more than the cap. Prints a Markdown table and writes out/fit.png.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from atlasmoe.constructions.relu import Target, fit

Array = np.ndarray
Predictor = Callable[[Array], Array]
TRAINING_FACTOR = 20
ADAM_SHARE = 0.5
DEEP_LAYERS = 4


def radius(u: Array) -> Array:
    return np.sqrt(((u - 0.5) ** 2).sum(1))


def separable(u: Array) -> Array:
    return np.sin(2 * np.pi * u + np.arange(u.shape[1])).sum(1)


def franke(u: Array) -> Array:
    """Franke's function, and Renka's extension of it to three variables."""
    v = 9 * u

    def square(*centre: float) -> Array:
        return (v - np.array(centre)[: u.shape[1]]) ** 2

    first, last = square(-1, -1, -1), (v[:, 1:] + 1).sum(1) / 10
    return np.asarray(
        0.75 * np.exp(-square(2, 2, 2).sum(1) / 4)
        + 0.75 * np.exp(-first[:, 0] / 49 - last)
        + 0.5 * np.exp(-square(7, 3, 5).sum(1) / 4)
        - 0.2 * np.exp(-square(4, 7, 5).sum(1))
    )


TARGETS: dict[str, tuple[int, Callable[[Array], Array]]] = {
    "sine, d=1": (1, lambda u: np.sin(2 * np.pi * u[:, 0])),
    "separable, d=2": (2, separable),
    "sin 8πr, d=2": (2, lambda u: np.sin(8 * np.pi * radius(u))),
    "exp(−50r²), d=2": (2, lambda u: np.exp(-50 * radius(u) ** 2)),
    "Franke, d=2": (2, franke),
    "straight kink, d=2": (2, lambda u: np.abs(u @ [np.cos(0.7), np.sin(0.7)] - 0.6)),
    "curved kink, d=2": (2, lambda u: np.abs(radius(u) - 0.3)),
    "separable, d=3": (3, separable),
    "Franke, d=3": (3, franke),
    "additive, d=4": (4, separable),
    "additive, d=5": (5, separable),
    "additive, d=6": (6, separable),
}
QUICK = ("Franke, d=2", "straight kink, d=2", "curved kink, d=2", "additive, d=5")


def sample(name: str, count: int, seed: int) -> tuple[Array, Array]:
    dimension, function = TARGETS[name]
    u = np.random.default_rng([seed, dimension]).random((count, dimension))
    return u, function(u)[:, None]


def sup_error(name: str, predict: Predictor) -> float:
    u, values = sample(name, 100_000, 777)
    return float(max(np.abs(predict(a) - b).max() for a, b in zip(np.array_split(u, 25), np.array_split(values, 25), strict=True)))


def constructed(name: str, width: int, effort: str) -> Predictor:
    return fit(Target(lambda count, seed, _: sample(name, count, seed), name, "benchmark"), width, effort=effort).net


def output_weights(hidden: Callable[[Array], Array], u: Array, values: Array) -> Predictor:
    """Linear least squares on given hidden neurons, by singular values."""
    columns = np.concatenate([hidden(u), np.ones((len(u), 1))], axis=1)
    solution = np.linalg.lstsq(columns, values, rcond=1e-10)[0]
    return lambda x: np.concatenate([hidden(x), np.ones((len(x), 1))], axis=1) @ solution


def random_features(name: str, width: int) -> Predictor:
    """Directions uniform on the sphere, knots uniform on the range that the cube has along them."""
    u, values = sample(name, 10 * width + 1000, 1)
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(width, u.shape[1]))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    low, high = np.minimum(rows, 0).sum(1), np.maximum(rows, 0).sum(1)
    knots = low + (high - low) * rng.random(width)
    return output_weights(lambda x: np.maximum(x @ rows.T - knots, 0), u, values)


def swim(name: str, width: int) -> Predictor:
    """SWIM's rule for ReLU (Bolager and others, 2023): pairs of samples, likelier the steeper the target is between them.

    The neuron of the pair (x, x′) is σ(w·(u − x)), w = (x′ − x)/|x′ − x|². Agrees with swimnetworks 0.0.2 up to chance.
    """
    u, values = sample(name, 10 * width + 1000, 1)
    rng = np.random.default_rng(0)
    first, second = rng.integers(len(u), size=(2, 20 * width))
    apart = np.linalg.norm(u[second] - u[first], axis=1)
    steep = np.where(apart > 0, np.abs(values[second] - values[first]).max(1) / np.maximum(apart, 1e-12), 0)
    chosen = rng.choice(len(steep), width, replace=False, p=steep / steep.sum())
    rows = (u[second] - u[first])[chosen] / apart[chosen, None] ** 2
    offsets = (rows * u[first][chosen]).sum(1)
    return output_weights(lambda x: np.maximum(x @ rows.T - offsets, 0), u, values)


def trained(name: str, widths: list[int], width: int, seconds: float) -> Predictor:
    """A network with these hidden widths: Adam on batches with a cosine schedule, then L-BFGS on all samples; float64."""
    torch.manual_seed(0)
    u, values = (torch.from_numpy(array) for array in sample(name, 10 * width + 1000, 1))
    sizes = [u.shape[1], *widths, 1]
    layers: list[torch.nn.Module] = []
    for before, after in itertools.pairwise(sizes):
        layers += [torch.nn.Linear(before, after, dtype=torch.float64), torch.nn.ReLU()]
    net = torch.nn.Sequential(*layers[:-1])
    start = time.perf_counter()
    adam = torch.optim.Adam(net.parameters(), lr=3e-3)
    while (spent := (time.perf_counter() - start) / (ADAM_SHARE * seconds)) < 1:
        for group in adam.param_groups:
            group["lr"] = 3e-3 * 0.5 * (1 + np.cos(np.pi * spent)) + 1e-6
        rows = torch.randint(len(u), (256,))
        adam.zero_grad()
        torch.nn.functional.mse_loss(net(u[rows]), values[rows]).backward()
        adam.step()
    lbfgs = torch.optim.LBFGS(net.parameters(), max_iter=5, history_size=20, line_search_fn="strong_wolfe", tolerance_change=0.0)

    def closure() -> torch.Tensor:
        lbfgs.zero_grad()
        loss = torch.nn.functional.mse_loss(net(u), values)
        loss.backward()
        return loss

    while time.perf_counter() - start < seconds:
        lbfgs.step(closure)

    def predict(x: Array) -> Array:
        with torch.no_grad():
            return net(torch.from_numpy(x)).numpy()

    return predict


def deep_width(dimension: int, width: int) -> int:
    """Width of DEEP_LAYERS hidden layers with about as many parameters as one hidden layer of `width`."""
    total = width * (dimension + 2) + 1
    return max(2, max(h for h in range(1, width + 1) if h * (dimension + 2) + (DEEP_LAYERS - 1) * h * (h + 1) + 1 <= max(total, 12)))


def row(name: str, width: int, cap: float) -> dict[str, tuple[float, float]]:
    """Error and seconds of every method."""
    results: dict[str, tuple[float, float]] = {}

    def timed(make: Callable[[], Predictor]) -> tuple[Predictor, float]:
        start = time.perf_counter()
        return make(), time.perf_counter() - start

    for method, make in (
        ("quick", lambda: constructed(name, width, "quick")),
        ("thorough", lambda: constructed(name, width, "thorough")),
        ("random features", lambda: random_features(name, width)),
        ("SWIM", lambda: swim(name, width)),
    ):
        predict, seconds = timed(make)
        results[method] = sup_error(name, predict), seconds
    if cap > 0:
        seconds = min(cap, TRAINING_FACTOR * results["thorough"][1])
        deep = [deep_width(TARGETS[name][0], width)] * DEEP_LAYERS
        for method, widths in (("trained", [width]), ("deep", deep)):
            predict, spent = timed(lambda widths=widths: trained(name, widths, width, seconds))
            results[method] = sup_error(name, predict), spent
    return results


def figure(rows: dict[tuple[str, int], dict[str, tuple[float, float]]], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names = sorted({name for name, _ in rows}, key=list(TARGETS).index)
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    canvas, axes = plt.subplots(lines, columns, figsize=(3.6 * columns, 3 * lines), squeeze=False, layout="constrained")
    for axis, name in zip(axes.flat, names, strict=False):
        widths = sorted(width for other, width in rows if other == name)
        for method in rows[name, widths[0]]:
            points = [(w, rows[name, w][method][0]) for w in widths if method in rows[name, w]]
            axis.loglog(*zip(*points, strict=True), marker="o", label=method, linewidth=2 if method == "thorough" else 1)
        axis.set(title=name, xlabel="width", ylabel="sup error")
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    axes.flat[0].legend(fontsize="small")
    path.parent.mkdir(exist_ok=True)
    canvas.savefig(path, dpi=130)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="four targets at width 64, a few minutes at most (the default)")
    size.add_argument("--full", action="store_true", help="all targets at widths 64, 256 and 1024")
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--targets", nargs="+", help="parts of their names")
    parser.add_argument("--training-cap", type=float, help="most seconds for one trained network; 0: none is trained")
    options = parser.parse_args()
    torch.set_num_threads(1)
    widths = options.widths or ([64, 256, 1024] if options.full else [64])
    names = (
        [n for n in TARGETS if any(part in n for part in options.targets)] if options.targets else list(TARGETS if options.full else QUICK)
    )
    cap = options.training_cap if options.training_cap is not None else (120.0 if options.full else 15.0)
    methods = ["quick", "thorough", "random features", "SWIM", *(["trained", "deep"] if cap > 0 else [])]
    print(f"Training is cut off after {cap:g} s.\n" if cap > 0 else "Nothing is trained.\n")
    print("| target | width | " + " | ".join(methods) + " |")
    print("|---|---|" + "---|" * len(methods))
    rows = {}
    for name in names:
        for width in widths:
            results = rows[name, width] = row(name, width, cap)
            cells = " | ".join(f"{results[method][0]:.1e} ({results[method][1]:.1f} s)" for method in methods)
            print(f"| {name} | {width} | {cells} |", flush=True)
    figure(rows, Path("out/fit.png"))


if __name__ == "__main__":
    main()
