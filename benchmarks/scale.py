"""How compiling grows with the number of charts E and the ambient dimension D: seconds, peak memory, parameters, slopes.

    OMP_NUM_THREADS=1 python benchmarks/scale.py [--quick | --full] [--only sphere torus embedded]

Three series, all on ball atlases (affine router) and at a fixed width, so that an expert costs the same throughout:

* `sphere`: S² ⊂ R³, width 16, E = 64 … 4096;
* `torus`: T³ ⊂ R⁶, width 32, E = 256 … 4096;
* `embedded`: S² of 256 charts, width 16, embedded isometrically in R^D, D = 10 … 1000.

Every case runs in a process of its own, which reports its largest resident set; `bare` is that of a process that only imports
atlasmoe. `atlas` are CPU seconds for choosing the centres, `compile` CPU and wall seconds of `compile` itself. `error` is the
largest on 20,000 fresh points. Slopes are least squares of the logarithms over the cases of the same run.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

SERIES = {
    "sphere": [(E, 3) for E in (64, 256, 1024, 4096)],
    "torus": [(E, 6) for E in (256, 1024, 4096)],
    "embedded": [(256, D) for D in (10, 100, 1000)],
}
"""(E, D) of every case."""
QUICK = {
    "sphere": [(E, 3) for E in (64, 128, 256)],
    "torus": [(E, 6) for E in (128, 256)],
    "embedded": [(64, D) for D in (10, 100, 1000)],
}
MEASURED = ("atlas", "cpu", "wall", "memory", "parameters")


def case(series: str, experts: int, ambient: int) -> dict[str, float]:
    """Compile one case in this process."""
    import atlasmoe
    import numpy as np
    import sympy

    bare = peak()
    manifold, dimension, width = ("torus", 3, 32) if series == "torus" else ("sphere", 2, 16)
    started = time.process_time()
    atlas = atlasmoe.builtin(manifold, dimension=dimension, atlas="ball", charts=experts)
    if atlas.ambient_dimension < ambient:
        atlas = atlasmoe.embed(atlas, ambient)
    built = time.process_time() - started
    x = tuple(sympy.Symbol(name, real=True) for name in atlas.coordinates)
    expression = sympy.sin(2 * x[0]) * x[1] + x[2] * x[-1]
    task = atlasmoe.ManifoldTask("scale", atlas, atlasmoe.ExpressionTarget(atlasmoe.ExpressionMap(x, (expression,))))
    started, wall = time.process_time(), time.perf_counter()
    model = atlasmoe.compile(task, width=width)
    cpu, wall = time.process_time() - started, time.perf_counter() - wall
    memory = peak()
    points = atlas.sample(20_000, 99)
    error = float(np.abs(model(points.ambient) - task.evaluate(points)).max())
    sizes = {name: model.facts[name] for name in ("parameters", "active_parameters")}
    return {"atlas": built, "cpu": cpu, "wall": wall, "bare": bare, "memory": memory, **sizes, "error": error}


def peak() -> float:
    """The largest resident set of this process so far, in MiB."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20


def apart(series: str, experts: int, ambient: int) -> dict[str, float]:
    """`case` in a process of its own."""
    command = [sys.executable, __file__, "--case", series, str(experts), str(ambient)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def slope(sizes: list[int], values: list[float]) -> float:
    """p of values ≈ c·sizes^p."""
    import numpy as np

    return float(np.polyfit(np.log(sizes), np.log(values), 1)[0])


def report(series: str, cases: list[tuple[int, int]]) -> None:
    """Run and print one series as a Markdown table, and what it grows like."""
    which = 0 if cases[0][0] != cases[-1][0] else 1
    print(f"\n{series}\n\n| E | D | atlas s | compile CPU s | wall s | MiB (bare) | parameters | per input | error |")
    print("|---|---|---|---|---|---|---|---|---|")
    rows = []
    for experts, ambient in cases:
        r = apart(series, experts, ambient)
        rows.append(r)
        print(
            f"| {experts} | {ambient} | {r['atlas']:.1f} | {r['cpu']:.1f} | {r['wall']:.1f} | {r['memory']:.0f} ({r['bare']:.0f}) "
            f"| {r['parameters']:,} | {r['active_parameters']:,} | {r['error']:.1e} |",
            flush=True,
        )
    sizes = [c[which] for c in cases]
    found = {name: slope(sizes, [r[name] for r in rows]) for name in MEASURED}
    # What only importing takes is no part of the growth.
    found["memory"] = slope(sizes, [r["memory"] - r["bare"] for r in rows])
    print(f"\nslopes in {'ED'[which]}: " + ", ".join(f"{name} {p:.2f}" for name, p in found.items()), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="small cases, about a minute (the default)")
    size.add_argument("--full", action="store_true", help="up to 4096 charts: a quarter of an hour")
    parser.add_argument("--only", nargs="+", choices=list(SERIES), default=list(SERIES))
    parser.add_argument("--case", nargs=3, metavar=("SERIES", "E", "D"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(case(options.case[0], int(options.case[1]), int(options.case[2]))))
        return
    for series in options.only:
        report(series, (SERIES if options.full else QUICK)[series])


if __name__ == "__main__":
    main()
