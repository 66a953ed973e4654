"""How long proofs take: every point of seven manifolds, routing and rounding included, to within 1.1 of the largest error found.

    OMP_NUM_THREADS=1 python benchmarks/certify.py [--quick] [--only circle sphere …] [--models FOLDER]

CPU seconds are those of `certify` alone (time.process_time); models are compiled first, and kept in FOLDER if one is given. `boxes` are
the leaves of the proof. `aim` is what the case should take on an idle core, and the seconds over it. `ideal` is what it takes, in the
same run, to evaluate the network in float64 at as many points as there are boxes, which proves nothing, and the seconds over that. `s3`
and `so3` are proved to ε, 10⁻³ of the range of f. `s2_silu`, `s3_silu` and `so3_silu` are made of SiLU neurons for ε, 2·10⁻⁶ of the range,
and proved to it: what they took to compile and what they store is on lines of their own. `tuned` is the sphere with every weight changed a
little, so that no two neurons share a direction. `expert` is one two-layer expert on one box, beside interval and linear bounds
(`linear_bounds.py`) of the kind that general verifiers use. --quick leaves out what takes more than half a minute. With numba (the extra
`fast`) hot loops are compiled.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import sympy
from atlasmoe.expressions.parse import parse_expression
from atlasmoe.moe import Affine, Network, ReLUNet
from atlasmoe.verify.enclosure.fast import engine
from atlasmoe.verify.prove import certify

TIGHTNESS = 1.1
SLOW = ("s3", "so3", "tuned", "s3_silu", "so3_silu")
AIMS = {"circle": 1.0, "sphere": 3.0, "torus": 5.0, "swiss_roll": 5.0, "s3": 120.0, "so3": 120.0, "tuned": 15.0}
AIMS |= {"s2_silu": 3.0, "s3_silu": 60.0, "so3_silu": 240.0}
EPSILON = {"s3": 1e-3, "so3": 2.9e-3, "s2_silu": 3.5e-6, "s3_silu": 2e-6, "so3_silu": 7.9e-6}
"""Of cases that are proved to ε."""
MOST_POINTS = 1 << 15
"""At which networks are evaluated to say what as many as there are boxes take."""
HEADER = (
    f"{'case':12} {'E':>4} {'width':>6} {'found':>9} {'proved':>9} {'ratio':>6} {'boxes':>9} {'CPU s':>7} {'boxes/s':>8} "
    f"{'aim':>5} {'/aim':>6} {'ideal':>6} {'/ideal':>7}  status"
)


def task(name: str, atlas: atlasmoe.Atlas, text: str) -> atlasmoe.ManifoldTask:
    symbols = {name: sympy.Symbol(name, real=True) for name in atlas.coordinates}
    target = parse_expression(text, symbols, name)
    return atlasmoe.ManifoldTask(name, atlas, atlasmoe.ExpressionTarget(atlasmoe.ExpressionMap(tuple(symbols.values()), (target,))))


def circle() -> atlasmoe.Model:
    return atlasmoe.compile(task("circle", atlasmoe.builtin("circle", charts=4), "cos(3*x2) + sin(5*x1)"), epsilon=1e-5)


def sphere() -> atlasmoe.Model:
    atlas = atlasmoe.builtin("sphere", atlas="ball", charts=6)
    return atlasmoe.compile(task("sphere", atlas, "sin(2*x1)*x2 + x3**2"), width=2048)


def torus() -> atlasmoe.Model:
    """T² ⊂ R⁴ with 3 × 3 arcs: three-layer experts behind scores (Theorem 4.8)."""
    return atlasmoe.compile(task("torus", atlasmoe.builtin("torus", charts=3), "x1*x3 + x2*x4/2"), epsilon=3e-3)


def swiss_roll() -> atlasmoe.Model:
    atlas = atlasmoe.embed(atlasmoe.builtin("swiss_roll"), 100)
    x, _, z = atlas.coordinates
    return atlasmoe.compile(task("swiss roll", atlas, f"sin({x}/4)*cos({z}/4)"), width=256)


def s3() -> atlasmoe.Model:
    atlas = atlasmoe.builtin("sphere", dimension=3, atlas="ball", charts=64)
    return atlasmoe.compile(task("s3", atlas, "x1*x2 + x3*x4"), width=320)


def so3() -> atlasmoe.Model:
    return atlasmoe.compile(task("so3", atlasmoe.builtin("so3", atlas="ball", charts=100), "x9 + x1*x5"), width=384)


def smooth(name: str, given: atlasmoe.ManifoldTask) -> atlasmoe.Model:
    """SiLU experts for ε, as narrow as compile finds them."""
    started = time.process_time()
    model = atlasmoe.compile(given, epsilon=EPSILON[name], activation="silu")
    print(f"{name}: compiled in {time.process_time() - started:.1f} CPU s, {model.network.parameters:,} numbers", flush=True)
    return model


def s2_silu() -> atlasmoe.Model:
    return smooth("s2_silu", task("s2", atlasmoe.builtin("sphere", atlas="ball", charts=24), "sin(2*x1)*x2 + x3**2"))


def s3_silu() -> atlasmoe.Model:
    return smooth("s3_silu", task("s3", atlasmoe.builtin("sphere", dimension=3, atlas="ball", charts=128), "x1*x2 + x3*x4"))


def so3_silu() -> atlasmoe.Model:
    return smooth("so3_silu", task("so3", atlasmoe.builtin("so3", atlas="ball", charts=256), "x9 + x1*x5"))


def tuned(model: atlasmoe.Model) -> Network:
    """Every weight of the experts moved by 10⁻⁶ of the largest of its map: generic directions."""
    rng = np.random.default_rng(0)

    def moved(array: np.ndarray) -> np.ndarray:
        return array + 1e-6 * np.abs(array).max(initial=0.0) * rng.standard_normal(array.shape)

    last = model.network.layers[-1]
    experts = tuple(ReLUNet(tuple(Affine(moved(a.weight), moved(a.bias)) for a in net.affines), net.groups) for net in last.experts)
    return Network((*model.network.layers[:-1], replace(last, experts=experts)), model.network.inputs)


CASES: dict[str, Callable[[], atlasmoe.Model]] = {
    "circle": circle, "sphere": sphere, "torus": torus, "swiss_roll": swiss_roll, "s3": s3, "so3": so3,
    "s2_silu": s2_silu, "s3_silu": s3_silu, "so3_silu": so3_silu,
}  # fmt: skip


def compiled(name: str, models: Path | None) -> atlasmoe.Model:
    """The model of a case, from FOLDER if it is there."""
    if models is not None and (models / name / "config.json").is_file():
        return atlasmoe.load(models / name)
    model = CASES[name]()
    if models is not None:
        atlasmoe.save(model, models / name)
    return model


def report(name: str, network: Network, given: atlasmoe.ManifoldTask) -> None:
    epsilon = EPSILON.get(name)
    started = time.process_time()
    found = certify(network, given, epsilon=epsilon, tightness=TIGHTNESS if epsilon is None else None, seconds=1800, boxes=20_000_000)
    cpu = time.process_time() - started
    points = given.atlas.sample(min(found.boxes, MOST_POINTS), 0).ambient
    started = time.process_time()
    network.astype(float)(points)
    ideal = (time.process_time() - started) * found.boxes / len(points)
    last = network.layers[-1]
    width = max(max(net.widths) for net in last.experts)
    print(
        f"{name:12} {len(last):4} {width:6} {found.found:9.2e} {found.bound:9.2e} {found.bound / found.found:6.3f} "
        f"{found.boxes:9,} {cpu:7.2f} {found.boxes / cpu:8,.0f} {AIMS[name]:5.0f} {cpu / AIMS[name]:6.2f} {ideal:6.2f} {cpu / ideal:7.2f}  "
        f"{found.status}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", nargs="+", choices=(*CASES, "tuned", "expert"), default=(*CASES, "tuned", "expert"))
    parser.add_argument("--models", type=Path)
    arguments = parser.parse_args()
    print(f"loops: {engine()}\n{HEADER}")
    for name in arguments.only:
        if arguments.quick and name in SLOW:
            continue
        if name == "expert":
            from linear_bounds import compare

            compare(compiled("sphere", arguments.models))
        else:
            model = compiled("sphere" if name == "tuned" else name, arguments.models)
            report(name, tuned(model) if name == "tuned" else model.network, model.task)
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:,.0f} MiB")


if __name__ == "__main__":
    main()
