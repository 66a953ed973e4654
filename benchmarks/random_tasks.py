"""Random tasks from one number: manifolds of the library × random targets × ε × activations, each compiled, proved and confirmed.

    OMP_NUM_THREADS=1 python benchmarks/random_tasks.py [--count 60] [--seed 0] [--only 17 …] [--activation NAME]

A task is a spec: what a line shows can be pasted into a file. CPU seconds are of one thread (time.process_time).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import atlasmoe
import numpy as np
from atlasmoe.atlas.relative import absolute_epsilon
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.errors import AtlasMoEError
from atlasmoe.verify.check.check import check

T = TypeVar("T")
Generator = np.random.Generator

Kind = tuple[int, Callable[[Generator], dict[str, Any]], Sequence[float]]

INTERVAL: Kind = (1, lambda rng: {"builtin": "interval", "domain": side(rng), "charts": draw(rng, (1, 2, 3))}, (0.2, 0.5, 1, 2))
HALVES: Kind = (2, lambda rng: {"builtin": "circle", "atlas": "graph"}, (0.5, 1, 2))
ARCS: Kind = (2, lambda rng: {"builtin": "circle", "atlas": "arcs", "charts": 3}, (5, 10))
CURVED: Kind = (2, lambda rng: {"builtin": "circle", "atlas": "stereographic"}, (5, 10))
TORUS: Kind = (2, lambda rng: {"builtin": "torus", "dimension": 1, "charts": draw(rng, (3, 4))}, (5, 10))
CIRCLE: Kind = (2, lambda rng: {"builtin": "circle", "atlas": "ball", "charts": draw(rng, (6, 10))}, (0.2, 0.5, 1, 2))
CURVE: Kind = (2, lambda rng: {"builtin": "graph", "expression": draw(rng, ("u1**2", "sin(3*u1)/2"))}, (0.5, 1, 2))
BOX: Kind = (2, lambda rng: {"builtin": "box", "dimension": 2, "domain": [side(rng), side(rng)]}, (1, 2, 5))
SPHERE: Kind = (3, lambda rng: {"builtin": "sphere", "atlas": "ball", "charts": draw(rng, (16, 24))}, (2, 5))
ELLIPSOID: Kind = (3, lambda rng: {"builtin": "ellipsoid", "axes": [1, draw(rng, (0.8, 1.2)), 1], "atlas": "ball"}, (5,))
TUBE: Kind = (3, lambda rng: {"builtin": "product", "factors": [{"builtin": "circle"}, {"builtin": "interval"}], "atlas": "ball"}, (5,))
TORI: Kind = (4, lambda rng: {"builtin": "torus", "atlas": "ball"}, (20,))
ROUND: Kind = (3, lambda rng: {"builtin": "sphere", "atlas": "stereographic"}, (20,))
BAND: Kind = (3, lambda rng: {"builtin": "moebius_band", "atlas": "ball"}, (5,))
KINDS: Sequence[Kind] = (
    *(INTERVAL, BOX, CIRCLE, CURVE, BOX, BOX, INTERVAL, BOX, HALVES, CURVE),
    *(INTERVAL, BOX, CIRCLE, ROUND, BOX, INTERVAL, INTERVAL, BOX, CURVE, CIRCLE),
    *(INTERVAL, BOX, CIRCLE, CURVE, TORUS, BOX, INTERVAL, INTERVAL, TUBE, ELLIPSOID),
    *(INTERVAL, BOX, CIRCLE, CURVE, BOX, SPHERE, INTERVAL, BOX, CURVED, BOX),
    *(INTERVAL, BOX, CIRCLE, TORI, BOX, ARCS, INTERVAL, SPHERE, INTERVAL, BOX),
    *(INTERVAL, BOX, CIRCLE, CURVE, BAND, BOX, INTERVAL, TORUS, SPHERE, ARCS),
)
"""Coordinates, options of a spec's [manifold], and ε in per cent of the target's range: by the number of the task."""
NEURONS: Sequence[dict[str, Any]] = (
    *({}, {"activation": "silu"}, {}, {"activation": "gelu", "gated": True}, {}, {"activation": "auto"}, {}),
    *({"activation": "gelu_tanh"}, {}, {"activation": "relu2"}, {}, {"activation": "silu", "gated": True}, {}),
)
"""Options by the number of the task: as many as have no common factor with 60."""
FINER = 0.1
"""ε is so much smaller where neurons are smooth: at what takes ten ReLUs two of them are far too good."""


def draw(rng: Generator, choices: Sequence[T]) -> T:
    return choices[int(rng.integers(len(choices)))]


def side(rng: Generator) -> list[float]:
    low = round(float(rng.uniform(-2, 1)), 2)
    return [low, round(low + float(rng.uniform(0.5, 2)), 2)]


def coefficient(rng: Generator, least: float = 0.5, most: float = 2.0) -> float:
    return round(float(rng.choice((-1, 1)) * rng.uniform(least, most)), 2)


FACTORS: Sequence[Callable[[Generator, str], str]] = (
    lambda rng, x: x,
    lambda rng, x: x,
    lambda rng, x: f"{x}**2",
    lambda rng, x: f"sin({coefficient(rng)}*{x} + {coefficient(rng)})",
    lambda rng, x: f"cos({coefficient(rng)}*{x})",
    lambda rng, x: f"exp({coefficient(rng, 0.3, 1.0)}*{x})",
    lambda rng, x: f"tanh({coefficient(rng)}*{x})",
    lambda rng, x: f"1/(3 + {x}**2)",
    lambda rng, x: f"abs({x} + {coefficient(rng, 0.1, 0.5)})",
)


KINKS = 3
"""From so many coordinates on targets may have kinks, or on boxes: on curves these take thousands of neurons."""


def target(rng: Generator, coordinates: int, kinks: bool) -> str:
    """A sum of one to three terms, each a coefficient times one or two factors of one coordinate each."""
    names = [f"x{k + 1}" for k in range(coordinates)]
    terms = []
    for _ in range(int(rng.integers(1, 4))):
        factors = [draw(rng, FACTORS if kinks else FACTORS[:-1])(rng, draw(rng, names)) for _ in range(int(rng.integers(1, 3)))]
        terms.append("*".join([str(coefficient(rng)), *factors]))
    return " + ".join(terms)


@dataclass(frozen=True)
class RandomTask:
    """What is asked for."""

    number: int
    manifold: Mapping[str, Any]
    expression: str
    percent: float
    options: Mapping[str, Any] = field(default_factory=dict)

    @cached_property
    def task(self) -> atlasmoe.ManifoldTask:
        spec = {"task": {"name": f"random {self.number}"}, "manifold": self.manifold, "target": {"expression": self.expression}}
        found = task_from_spec(spec)
        assert isinstance(found, atlasmoe.ManifoldTask)
        return found

    @cached_property
    def epsilon(self) -> float:
        return absolute_epsilon(f"{self.percent}%", self.task)


@dataclass(frozen=True)
class Outcome:
    """What came of it; seconds are of compile with its proof, and of check."""

    asked: RandomTask
    epsilon: float = 0.0
    verdict: str = ""
    found: float = 0.0
    bound: float = 0.0
    numbers: int = 0
    models: int = 0
    """Built until one was proved."""
    seconds: tuple[float, ...] = ()

    @property
    def ratio(self) -> float:
        """ε over the largest error found."""
        return self.epsilon / self.found if self.found > 0 else float("inf")

    def __str__(self) -> str:
        asked = self.asked
        options = " ".join(f"{name}={value}" for name, value in asked.options.items())
        times = "/".join(f"{second:.2f}" for second in self.seconds)
        return (
            f"{asked.number:3d} {self.verdict:20s} ε={self.epsilon:<9.3g} ε/error={self.ratio:<6.3g} numbers={self.numbers:<7d} "
            f"models={self.models} s={times:11s} "
            f"{asked.percent}% {options} {dict(asked.manifold)} {asked.expression}"
        )


def random_task(number: int, seed: int = 0, options: Mapping[str, Any] | None = None) -> RandomTask:
    """Task `number` of a seed, whatever others there are."""
    rng = np.random.default_rng([seed, number])
    coordinates, manifold, percents = KINDS[number % len(KINDS)]
    mine = NEURONS[number % len(NEURONS)] if options is None else options
    kinks = KINDS[number % len(KINDS)] is BOX or coordinates >= KINKS
    made, expression, percent = manifold(rng), target(rng, coordinates, kinks), draw(rng, percents)
    smooth = mine.get("activation", "relu") not in ("relu", "auto")
    return RandomTask(number, made, expression, round(percent * (FINER if smooth else 1), 6), mine)


def outcome(asked: RandomTask) -> Outcome:
    """Compile, prove, confirm."""
    try:
        task, epsilon = asked.task, asked.epsilon
        started = time.process_time()
        model = atlasmoe.compile(task, epsilon=epsilon, prove=True, **asked.options)
        proved = time.process_time()
    except AtlasMoEError as refused:
        return Outcome(asked, verdict=f"refused: {refused}")
    with tempfile.TemporaryDirectory() as folder:
        atlasmoe.save(model, Path(folder) / "model")
        begun = time.process_time()
        report = check(Path(folder) / "model")
        seconds = (proved - started, time.process_time() - begun)
    proof = model.facts["proof"]
    verdict = f"proved, {report.verdict}"
    return Outcome(asked, epsilon, verdict, proof["found"], proof["bound"], model.network.parameters, len(proof["rounds"]), seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, nargs="*")
    parser.add_argument("--activation")
    given = parser.parse_args()
    options = None if given.activation is None else {"activation": given.activation}
    found = []
    for number in given.only or range(given.count):
        found.append(outcome(random_task(number, given.seed, options)))
        print(found[-1], flush=True)
    print(f"{sum(one.verdict == 'proved, confirmed' for one in found)} of {len(found)} proved and confirmed")
    print(f"ε/error: median {statistics.median(one.ratio for one in found):.3g}")
    print("CPU seconds:", *(f"{sum(one.seconds[k] for one in found if len(one.seconds) > k):.1f}" for k in range(2)))


if __name__ == "__main__":
    main()
