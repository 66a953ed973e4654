"""Every format beside the network in numpy and in PyTorch, on the same points in the same run: size, load, speed, differences, routes.

    OMP_NUM_THREADS=1 python benchmarks/exports.py [--models sphere sphere-silu 4^16 swiss-roll] [--formats c onnx …] [--rows 1 …]

    OMP_NUM_THREADS=1 python benchmarks/exports.py [--models sphere sphere-silu 4^16 swiss-roll] [--formats c onnx …] [--rows 1 …]
for all rows, everything else from Python. Float32 weights. `load`: CPU milliseconds until the first point can be run, the engine itself
already imported. Formats that are registered are found by themselves; where one cannot hold a model, it says why.
"""

from __future__ import annotations

import argparse
import ctypes
import runpy
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import torch
from atlasmoe.atlas.graph import as_graph
from atlasmoe.export.formats import FORMATS, compared
from atlasmoe.export.formats.base import Written
from atlasmoe.export.formats.c_run import build, compiler
from atlasmoe.export.formats.c_source import identifier
from atlasmoe.moe import Model
from numpy.typing import NDArray

EXAMPLES = Path(__file__).parents[1] / "examples"
TURNS, LEAST = 5, 0.05
"""Turns of which the best counts, and CPU seconds that one takes at least."""
VARIANTS: dict[str, tuple[dict[str, str], ...]] = {"c": ({}, {"quantise": "int16"}), "onnx": ({}, {"operator": "moe"})}
"""Options of a format that are rows of their own."""
MANY = """#include "{name}.h"
void many(const {name}_real *x, {name}_real *y, unsigned rows)
{{
    unsigned n;
    for (n = 0U; n < rows; n++)
    {{
        {name}_evaluate(&x[n * {upper}_INPUTS], &y[n * {upper}_OUTPUTS], NULL);
    }}
}}
"""
Function = Callable[[NDArray[Any]], object]


@dataclass(frozen=True)
class Ready:
    """A form that can be run: what it weighs, how long it took to load, and how it agrees with the network."""

    name: str
    run: Function
    kilobytes: float
    load: float
    difference: float
    flips: int


def sphere(activation: str) -> Model:
    task = atlasmoe.load_task(EXAMPLES / "sphere.toml")
    return atlasmoe.compile(task, epsilon=2e-2, dtype="float32", activation=activation)


def graph() -> Model:
    sys.path.insert(0, str(EXAMPLES / "experiments"))
    task = runpy.run_path(str(EXAMPLES / "experiments" / "compositional.py"))["task"]
    return atlasmoe.compile(task(4, 16), epsilon=0.1, dtype="float32", form="residual")


def swiss_roll() -> Model:
    task = atlasmoe.load_task(EXAMPLES / "swiss_roll_R100.toml")
    return atlasmoe.compile(task, epsilon=5e-2, dtype="float32")


MODELS: dict[str, Callable[[], Model]] = {
    "sphere": lambda: sphere("relu"),
    "sphere-silu": lambda: sphere("silu"),
    "4^16": graph,
    "swiss-roll": swiss_roll,
}


def forms(model: Model, wanted: list[str], folder: Path) -> Iterator[Ready | str]:
    """Every format that can hold the model, and why others cannot."""
    for name in wanted:
        for options in VARIANTS.get(name, ({},)):
            label = " ".join([name, *options.values()])
            form, place = FORMATS[name], folder / label.replace(" ", "-")
            place.mkdir()
            try:
                if problem := form.unfit(model.network):
                    raise atlasmoe.InvalidArgument(problem)
                written = form.write(model, place, **options)
            except atlasmoe.AtlasMoEError as error:
                yield f"{label}: {error}"
                continue
            if written.run is None:
                yield f"{label}: {written.how}"
                continue
            found = compared(model if written.model is None else written.model, written.run, written.network)
            size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file() and not file.name.startswith("test_")) / 1024
            run = in_c(model, place) if name == "c" else by_run(written)
            yield Ready(label, run, size, loaded(name, place, model), found.difference, found.flips)


def by_run(written: Written) -> Function:
    run = written.run
    assert run is not None
    return run


def in_c(model: Model, folder: Path) -> Function:
    """The C function, called for all rows from C."""
    name, cc = identifier(model.task.name), compiler()
    assert cc is not None
    (folder / "many.c").write_text("#include <stddef.h>\n" + MANY.format(name=name, upper=name.upper()))
    build(
        cc,
        [
            "-O3",
            "-shared",
            "-fPIC",
            "-I",
            str(folder),
            str(folder / f"{name}.c"),
            str(folder / "many.c"),
            "-o",
            str(folder / "many.so"),
            "-lm",
        ],
    )
    many = ctypes.CDLL(str(folder / "many.so")).many

    def run(x: NDArray[Any]) -> NDArray[Any]:
        y = np.empty((len(x), len(model.network.outputs)), x.dtype)
        many(ctypes.c_void_p(x.ctypes.data), ctypes.c_void_p(y.ctypes.data), ctypes.c_uint(len(x)))
        return y

    (folder / "many.c").unlink()
    return run


def loaded(name: str, folder: Path, model: Model) -> float:
    """CPU milliseconds that loading takes; NaN where this script does not know how."""
    stem = identifier(model.task.name)
    start = time.process_time()
    if name == "c":
        ctypes.CDLL(str((folder / "many.so").rename(folder / "again.so")))
    elif name == "numpy":
        runpy.run_path(str(folder / f"{stem}.py"))
    elif name == "onnx":
        import onnxruntime

        start = time.process_time()
        onnxruntime.InferenceSession(str(folder / f"{stem}.onnx"), providers=["CPUExecutionProvider"])
    elif name == "pt2":
        torch.export.load(folder / f"{stem}.pt2").module()
    else:
        return float("nan")
    return 1e3 * (time.process_time() - start)


def ratios(functions: dict[str, Function], x: NDArray[Any], against: str) -> dict[str, float]:
    """CPU time of each over that of one, best of several turns, taken in turn so that a busy machine hits all alike."""
    counts, best = {}, dict.fromkeys(functions, float("inf"))
    for name, function in functions.items():
        function(x)
        start = time.process_time()
        function(x)
        counts[name] = max(1, int(LEAST / max(time.process_time() - start, 1e-7)))
    for _ in range(TURNS):
        for name, function in functions.items():
            start = time.process_time()
            for _ in range(counts[name]):
                function(x)
            best[name] = min(best[name], (time.process_time() - start) / counts[name])
    print(f"    {against}: {1e6 * best[against] / len(x):.3g} µs a row of {len(x):,}", flush=True)
    return {name: value / best[against] for name, value in best.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=list(MODELS))
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--rows", nargs="+", type=int, default=[1, 100_000])
    given = parser.parse_args()
    torch.set_num_threads(1)
    for name in given.models:
        model = MODELS[name]()
        network, module = model.network, atlasmoe.to_torch(model)
        print(f"{name}: {network.parameters:,} numbers, {network.active_parameters:,} for one input, {network.dtype}", flush=True)

        def by_torch(x: NDArray[Any], module: torch.nn.Module = module) -> object:
            with torch.no_grad():
                return module(torch.from_numpy(x))

        with tempfile.TemporaryDirectory() as place:
            found = list(forms(model, given.formats, Path(place)))
            ready = [one for one in found if isinstance(one, Ready)]
            functions: dict[str, Function] = {"torch": by_torch, "ours in numpy": model, **{one.name: one.run for one in ready}}
            table = [ratios(functions, as_graph(model.task).sample(rows, 5).astype(network.dtype), "torch") for rows in given.rows]
            columns = " | ".join(f"N = {rows:,}" for rows in given.rows)
            print(f"    | format | size, KiB | load, ms | {columns} | largest difference | routes changed |")
            print("    |" + "---|" * (5 + len(given.rows)))
            for label in functions:
                one = next((one for one in ready if one.name == label), None)
                said = ("–", "–") if one is None else (f"{one.kilobytes:.0f}", "–" if np.isnan(one.load) else f"{one.load:.1f}")
                seen = ("–", "–") if one is None else (f"{one.difference:.1e}", str(one.flips))
                print(
                    f"    | {label} | {' | '.join(said)} | {' | '.join(f'{row[label]:.2f}' for row in table)} | {' | '.join(seen)} |",
                    flush=True,
                )
            for problem in found:
                if isinstance(problem, str):
                    print(f"    {problem}", flush=True)


if __name__ == "__main__":
    main()
