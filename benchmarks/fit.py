"""Sup error against width: constructed two-layer nets beside random features, SWIM, and trained networks; and by activation.

    OMP_NUM_THREADS=1 python benchmarks/fit.py [--widths 64 256 1024] [--targets franke …] [--methods SiLU …] [--cap SECONDS]

Errors are the largest on 100,000 points that nothing was fitted to, faces and corners among them; seconds are CPU seconds. `ReLU`
and `SiLU` are constructed, pruned from too wide (`effort="thorough"`); `SwiGLU` are product lanes, as many as store the same numbers;
`polished` have their neurons moved afterwards by nonlinear least squares (ReLU: knots only; others up to 256 neurons);
`refined`, on targets in the plane that bend along curves, has as many neurons in many charts. `trained` is Adam, then L-BFGS, on a
two-layer net of the same width; `deep` the same on four hidden layers with the same number of parameters, both with ReLU and with
GELU; each gets 10 times the time of the construction that did best, at least 2 s and no more than the cap. What is in the results
already is not run again, so that a run can be stopped and completed; `--again` runs the named methods anew. Prints Markdown tables
of all that is known, and draws the figure of errors by activation.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from atlasmoe.moe.activations import ACTIVATIONS
from fitting import table
from fitting.baselines import DEEP_LAYERS, deep_width, random_features, swim, trained
from fitting.ours import lanes, lanes_for, polished, relu_ridges, smooth_ridges
from fitting.refined import refined
from fitting.targets import TARGETS, Predictor, sup_error

RESULTS = Path(__file__).parents[1] / "docs" / "benchmarks" / "fit.json"
FIGURE = Path(__file__).parents[1] / "docs" / "images" / "fit.png"
OURS = ("ReLU", "SiLU", "SwiGLU", "refined")
POLISHED = ("ReLU polished", "SiLU polished", "SwiGLU polished")
"""Not among those whose time is what training gets ten times of."""
FIXED = ("random features", "SWIM")
TRAINED = {
    "trained ReLU": (False, torch.nn.ReLU),
    "trained GELU": (False, torch.nn.GELU),
    "deep ReLU": (True, torch.nn.ReLU),
    "deep GELU": (True, torch.nn.GELU),
}
METHODS = (*OURS, *POLISHED, *FIXED, *TRAINED)
WIDTHS = (64, 256, 1024)
REFINED = "curved kink, d=2"
WIDEST_LANES = 256
"""Product lanes have d + 1 unknowns each: as many as 1024 neurons store take minutes."""
TRAINING_FACTOR, LEAST_TRAINING = 10, 2.0
BY_ACTIVATION = {
    "chart, d=1": (4, 6, 8, 12, 16, 24, 32, 64),
    "chart, d=2": (16, 32, 64, 128, 256),
    "chart, d=3": (32, 64, 128, 256),
}


def row(name: str, width: int, methods: list[str], cap: float, known: table.Row) -> table.Row:
    """Error and seconds of those of the methods that are not known yet."""
    results = dict(known)
    dimension = TARGETS[name][0]

    def measure(method: str, make: Callable[[], Predictor]) -> None:
        if method in methods and method not in results:
            start = time.process_time()
            predict = make()
            seconds = time.process_time() - start
            results[method] = sup_error(name, predict), seconds

    measure("ReLU", lambda: relu_ridges(name, width).net)
    measure("SiLU", lambda: smooth_ridges(name, width, ACTIVATIONS["silu"]).net)
    if width <= WIDEST_LANES:
        measure("SwiGLU", lambda: lanes(name, lanes_for(dimension, width), ACTIVATIONS["silu"]).net)
    measure("ReLU polished", lambda: relu_ridges(name, width, "polished").net)
    if width <= WIDEST_LANES:
        measure("SiLU polished", lambda: polished(name, width, ACTIVATIONS["silu"]).net)
        measure("SwiGLU polished", lambda: polished(name, lanes_for(dimension, width), ACTIVATIONS["silu"], gated=True).net)
    if name == REFINED:
        measure("refined", lambda: refined(name, width)[0])
    measure("random features", lambda: random_features(name, width))
    measure("SWIM", lambda: swim(name, width))
    ours = [results[method] for method in OURS if method in results]
    if ours and cap > 0:
        seconds = min(cap, max(LEAST_TRAINING, TRAINING_FACTOR * min(ours)[1]))
        for method, (deep, activation) in TRAINED.items():
            widths = [deep_width(dimension, width)] * DEEP_LAYERS if deep else [width]
            measure(method, lambda widths=widths, activation=activation: trained(name, widths, width, activation, seconds))
    return results


def by_activation(name: str, width: int, known: table.Row) -> table.Row:
    """Error and seconds of constructed nets of the same width with each activation, and of product lanes."""
    results = dict(known)
    makers: dict[str, Callable[[], Predictor]] = {"relu": lambda: relu_ridges(name, width).net}
    for activation in (a for a in ACTIVATIONS.values() if a.name in ("relu2", "gelu", "silu")):
        makers[activation.name] = lambda activation=activation: smooth_ridges(name, width, activation).net
    makers["silu lanes"] = lambda: lanes(name, width, ACTIVATIONS["silu"]).net
    for method, make in makers.items():
        # Narrower than the linear part of the benchmark's ReLU fits there is nothing to compare.
        if method not in results and not (method == "relu" and width < 8):
            start = time.process_time()
            predict = make()
            results[method] = sup_error(name, predict), time.process_time() - start
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs="*", default=list(WIDTHS))
    parser.add_argument("--targets", nargs="+", default=[""], help="parts of their names")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS), help="training needs the time of a construction")
    parser.add_argument("--cap", type=float, default=6.0, help="most CPU seconds for one trained network; 0: none is trained")
    parser.add_argument("--again", action="store_true", help="run the named methods anew where they are known")
    parser.add_argument("--no-activations", action="store_true", help="leave the table by activation as it is")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where they are kept")
    parser.add_argument("--figure", type=Path, default=FIGURE)
    options = parser.parse_args()
    torch.set_num_threads(1)
    known = json.loads(options.results.read_text()) if options.results.exists() else {}
    rows, activations = table.loaded(known.get("rows", [])), table.loaded(known.get("activations", []))

    def store() -> None:
        options.results.parent.mkdir(parents=True, exist_ok=True)
        options.results.write_text(json.dumps({"rows": table.stored(rows), "activations": table.stored(activations)}, indent=1) + "\n")

    names = [name for name in TARGETS if any(part in name for part in options.targets)]
    if not options.no_activations:
        for name, widths in BY_ACTIVATION.items():
            for width in widths if name in names else ():
                activations[name, width] = by_activation(name, width, {} if options.again else activations.get((name, width), {}))
                store()
    for width, name in itertools.product(options.widths, names):
        before = rows.get((name, width), {})
        if options.again:
            before = {method: result for method, result in before.items() if method not in options.methods}
        rows[name, width] = row(name, width, options.methods, options.cap, before)
        store()
        print(f"{name}, {width}: " + ", ".join(f"{m} {e:.1e} ({s:.1f})" for m, (e, s) in rows[name, width].items()), flush=True)
    print(table.markdown(rows, METHODS, list(TARGETS)))
    print(table.markdown(activations, ("relu", "relu2", "gelu", "silu", "silu lanes"), list(TARGETS)))
    table.figure(activations, options.figure)


if __name__ == "__main__":
    main()
