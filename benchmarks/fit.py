"""Sup error against width: constructed two-layer nets beside random features, SWIM, and trained networks.

    OMP_NUM_THREADS=1 python benchmarks/fit.py [--quick | --full] [--widths 64 256] [--targets franke …] [--training-cap SECONDS]

Errors are the largest on 100,000 points that nothing was fitted to; seconds are CPU seconds. `thorough` and `quick` are the
two efforts of `atlasmoe.constructions.relu.fit`; `refined`, on targets in the plane that bend along curves, has as many neurons in many
charts. `trained` is Adam, then L-BFGS, on a two-layer net of the same width; `deep` the same on four hidden layers with the same number
of parameters; each gets 20 times the time of the thorough construction, but no more than the cap. Results are kept in out/fit.json,
so that a run can be completed by another; prints a Markdown table of all of them and writes out/fit.png.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from atlasmoe.constructions.relu import Target, fit
from fitting.baselines import DEEP_LAYERS, deep_width, random_features, swim, trained
from fitting.refined import refined
from fitting.targets import TARGETS, Predictor, sample, sup_error

QUICK = ("Franke, d=2", "straight kink, d=2", "curved kink, d=2", "additive, d=5")
REFINED = "curved kink, d=2"
METHODS = ("quick", "thorough", "refined", "random features", "SWIM", "trained", "deep")
TRAINING_FACTOR = 20

Row = dict[str, tuple[float, float]]
"""Error and CPU seconds by method."""


def constructed(name: str, width: int, effort: str) -> Predictor:
    return fit(Target(lambda count, seed, _: sample(name, count, seed), name, "benchmark"), width, effort=effort).net


def row(name: str, width: int, methods: list[str], cap: float, known: Row) -> Row:
    """Error and seconds of those of the methods that are not known yet."""
    results = dict(known)

    def measure(method: str, make: Callable[[], Predictor]) -> None:
        if method in methods and method not in results:
            start = time.process_time()
            predict = make()
            seconds = time.process_time() - start
            results[method] = sup_error(name, predict), seconds

    measure("quick", lambda: constructed(name, width, "quick"))
    measure("thorough", lambda: constructed(name, width, "thorough"))
    if name == REFINED:
        measure("refined", lambda: refined(name, width)[0])
    measure("random features", lambda: random_features(name, width))
    measure("SWIM", lambda: swim(name, width))
    if cap > 0 and "thorough" in results:
        seconds = min(cap, TRAINING_FACTOR * results["thorough"][1])
        deep = [deep_width(TARGETS[name][0], width)] * DEEP_LAYERS
        measure("trained", lambda: trained(name, [width], width, seconds))
        measure("deep", lambda: trained(name, deep, width, seconds))
    return results


def load(path: Path) -> dict[tuple[str, int], Row]:
    if not path.exists():
        return {}
    return {(name, width): {m: (e, s) for m, (e, s) in row.items()} for name, width, row in json.loads(path.read_text())}


def store(rows: dict[tuple[str, int], Row], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([[name, width, row] for (name, width), row in rows.items()], indent=1))


def table(rows: dict[tuple[str, int], Row]) -> str:
    """Errors (CPU seconds); the least error of a line is bold."""
    lines = ["| target | width | " + " | ".join(METHODS) + " |", "|---|---|" + "---|" * len(METHODS)]
    for name, width in sorted(rows, key=lambda key: (list(TARGETS).index(key[0]), key[1])):
        results = rows[name, width]
        least = min(error for error, _ in results.values())
        cells = []
        for method in METHODS:
            if method not in results:
                cells.append("–")
                continue
            error, seconds = results[method]
            mark = "**" if error == least and len(results) > 1 else ""
            cells.append(f"{mark}{error:.1e}{mark} ({seconds:.1f})")
        lines.append(f"| {name} | {width} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def figure(rows: dict[tuple[str, int], Row], path: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    names = sorted({name for name, _ in rows}, key=list(TARGETS).index)
    columns = min(4, len(names))
    lines = -(-len(names) // columns)
    canvas, axes = plt.subplots(lines, columns, figsize=(3.6 * columns, 3 * lines), squeeze=False, layout="constrained")
    for axis, name in zip(axes.flat, names, strict=False):
        widths = sorted(width for other, width in rows if other == name)
        for number, method in enumerate(METHODS):
            points = [(w, rows[name, w][method][0]) for w in widths if method in rows[name, w]]
            if points:
                style = {"color": f"C{number}", "linewidth": 2 if method == "thorough" else 1}
                axis.loglog(*zip(*points, strict=True), marker="o", label=method, **style)
        axis.set(title=name, xlabel="neurons", ylabel="sup error")
        if name == names[0] or name == REFINED:
            axis.legend(fontsize="small")
    for axis in axes.flat[len(names) :]:
        axis.axis("off")
    path.parent.mkdir(exist_ok=True)
    canvas.savefig(path, dpi=110)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="four targets at width 64, a few minutes at most (the default)")
    size.add_argument("--full", action="store_true", help="all targets at widths 64, 256 and 1024")
    parser.add_argument("--widths", type=int, nargs="+")
    parser.add_argument("--targets", nargs="+", help="parts of their names")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="training needs the time of `thorough`")
    parser.add_argument("--training-cap", type=float, help="most CPU seconds for one trained network; 0: none is trained")
    parser.add_argument("--keep", action="store_true", help="complete the results of an earlier run")
    parser.add_argument("--results", type=Path, default=Path("out/fit.json"), help="where they are kept (default out/fit.json)")
    options = parser.parse_args()
    torch.set_num_threads(1)
    widths = options.widths or ([64, 256, 1024] if options.full else [64])
    names = (
        [n for n in TARGETS if any(part in n for part in options.targets)] if options.targets else list(TARGETS if options.full else QUICK)
    )
    cap = options.training_cap if options.training_cap is not None else (120.0 if options.full else 15.0)
    rows = load(options.results) if options.keep else {}
    for width in widths:
        for name in names:
            rows[name, width] = row(name, width, options.methods, cap, rows.get((name, width), {}))
            store(rows, options.results)
    print(f"Training is cut off after {cap:g} s.\n" if cap > 0 else "Nothing was trained in this run.\n")
    print(table(rows))
    figure(rows, options.results.with_suffix(".png"))


if __name__ == "__main__":
    main()
