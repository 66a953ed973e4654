"""Can gradient descent find the construction, can it keep it, and does training from it beat both?

    python examples/experiments/training_dynamics.py [--short] [--out out/experiments] [--publish]

Small tasks, compiled; their networks are trained from the construction, from the construction with noise, and from random weights, by SGD
and Adam, with and without load balancing, with one and with two experts for each input; and, around the rates at which N25 predicts
that the construction is left, at constant rates. Before and after, what can be proved of the weights is proved. The page is in
docs/experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import atlasmoe
import numpy as np
import torch
from atlasmoe import Block, Box, Combine, Input, ManifoldTask, Model, TaskGraph, Tiling
from atlasmoe.atlas.spec import task_from_spec
from lab import dynamics_report as report
from lab.curvature import reach, sharpness
from lab.measuring import loads, measure, routes
from lab.mixture import Mixture
from lab.store import Run
from lab.training import BALANCE, Data, Recipe, train, tuned
from torch import nn

ADAM = 1e-3
"""Adam's rate where the construction is to be kept; SGD gets half of its threshold, 1/λ_max. Random starts get the rule of `tuned`."""
NOISES = (0.01, 0.1)
STEPS, LONG = 800, 6000
POWER = 8
"""Of the norm whose minimum is nearer to the largest error."""
AROUND = (0.5, 1.0, 1.9, 2.1, 2.5, 4.0)
"""lr·λ_max of the sweep for SGD; the threshold is 2."""
ALONG = (0.1, 0.3, 1.0, 3.0, 10.0)
"""lr·max Σ|∂Ψ|/ε of the sweep for Adam; the threshold is 1."""
FULL, SWEEP = 2048, 150
"""Points of a full batch, and steps, of the sweeps."""
LEFT = 2.0
"""The construction counts as left where the largest error exceeds so many times what it was."""


@dataclass(frozen=True)
class Case:
    """A task and how it is compiled."""

    name: str
    make: Callable[[], ManifoldTask | TaskGraph]
    options: dict[str, Any]

    @property
    def key(self) -> dict[str, Any]:
        return {"case": self.name}


def circle() -> ManifoldTask:
    """That of the paper's first experiment: a circle in R^16, here in 8 balls."""
    manifold = {"builtin": "sphere", "dimension": 1, "atlas": "ball", "charts": 8, "embed": {"dimension": 16, "seed": 0}}
    target = {"expression": "sin(5*x1) + cos(3*x2)"}
    found = task_from_spec({"task": {"name": "circle"}, "manifold": manifold, "target": target})
    assert isinstance(found, ManifoldTask)
    return found


def nine() -> TaskGraph:
    """f_1(x_1) + f_2(x_2) on [0, 3]², three pieces each, which jump by 1 or 2 at the integers."""
    box = Input("x", Box((0.0, 0.0), (3.0, 3.0)))
    blocks = []
    for name, read, levels in (("f1", "x_1", (0, 1, -1)), ("f2", "x_2", (-1, 0, 1))):
        blocks.append(Block.parse(name, (read,), Tiling.intervals((0, 1, 2, 3)), [f"{level} + sin(2*{read})" for level in levels]))
    return TaskGraph("nine pieces", (box, *blocks, Combine.parse("f", ("f1", "f2"), "f1 + f2")), "f")


CASES = {
    case.name: case
    for case in (
        Case("circle, K = 1", circle, {"width": 16}),
        Case("circle, K = 2", circle, {"width": 16, "top_k": 2}),
        Case("nine pieces, two layers", nine, {"width": 8, "depth": "L"}),
        Case("nine pieces, top-2", nine, {"width": 8, "depth": "1"}),
        Case("nine pieces, halves", nine, {"width": 8, "depth": "1", "weighting": "uniform"}),
    )
}
FROM_ALL = ("circle, K = 1", "nine pieces, two layers", "circle, K = 2")
TRAINED = (*FROM_ALL, "nine pieces, top-2")
"""From all starts, and from the construction; halves and smooth neurons are in the sweeps only."""
LONGER = "circle, K = 1"
SMOOTH = Case("circle, K = 1, SiLU", circle, {"width": 8, "activation": "silu"})


@cache
def built(name: str) -> tuple[ManifoldTask | TaskGraph, Model]:
    case = (CASES | {SMOOTH.name: SMOOTH})[name]
    task = case.make()
    return task, atlasmoe.compile(task, seed=0, **case.options)


@cache
def data(name: str, count: int = 1 << 14) -> Data:
    return Data.of(built(name)[0], count, dtype=torch.float64)


def start(name: str, which: str) -> Mixture:
    """ "constructed", "noise 0.1", "random", or "random, all": weighed by the softmax over all experts, through which gates are trained."""
    model = built(name)[1]
    if which.startswith("random"):
        shapes = Mixture.of(model, "all" if which.endswith("all") else None).shapes
        return Mixture(shapes, 100, torch.float64)
    mixture = Mixture.of(model)
    return mixture.perturbed(float(which.split()[1]), 0) if which.startswith("noise") else mixture


def starts(name: str) -> Iterator[str]:
    """Every start of a case. Of two experts the softmax over the chosen trains the gate; of one, only that over all."""
    yield "constructed"
    if name in FROM_ALL:
        yield from (*(f"noise {noise:g}" for noise in NOISES), "random")
        if built(name)[1].network.layers[-1].top_k == 1:
            yield "random, all"


def proved(name: str, mixture: Mixture, sup: float) -> dict[str, Any]:
    """What `certify` proves of the weights, with the design of the construction, which says where routes and blocks should be."""
    model = built(name)[1]
    if mixture.template is None or not math.isfinite(sup):
        return {"bound": None, "why": "no design: random weights have no atlas" if math.isfinite(sup) else "diverged"}
    certificate = atlasmoe.certify(replace(model, network=mixture.network()), epsilon=2 * sup + 1e-6, seconds=6.0)
    if math.isfinite(certificate.bound):
        return {"bound": certificate.bound, "why": ""}
    refuted = [f"{claim.name}: {claim.note}" for claim in certificate.claims if str(claim.known) == "refuted"]
    return {"bound": None, "why": refuted[0] if refuted else next((claim.note for claim in certificate.claims if claim.note), "unknown")}


def moved(mixture: Mixture, before: dict[str, torch.Tensor], part: str) -> float:
    """|θ − θ_0|/|θ_0| of the gates or of the experts."""
    pairs = [(p.detach(), before[name]) for name, p in mixture.named_parameters() if f".{part}." in name]
    far = sum(float((p - q).square().sum()) for p, q in pairs)
    return math.sqrt(far / sum(float(q.square().sum()) for _, q in pairs))


def rerouted(name: str, mixture: Mixture) -> float:
    """The share of points of which some layer sends one to other experts than the construction does."""
    task, model = built(name)
    x = task.atlas.sample(1 << 13, 5).ambient if isinstance(task, ManifoldTask) else task.sample(1 << 13, 5)
    pairs = zip(routes(mixture, x), routes(Mixture.of(model), x), strict=True)
    return float(np.mean(np.any([np.any(np.sort(a, 1) != np.sort(b, 1), 1) for a, b in pairs], 0)))


def trained(name: str, which: str, optimiser: str, balance: float, steps: int, power: float = 2) -> dict[str, Any]:
    """One training, measured before and after."""
    task, points = built(name)[0], data(name)
    begun = start(name, which)
    before = {key: p.detach().clone() for key, p in begun.named_parameters()}
    first = measure(task, begun)
    rate: float | None = ADAM
    if which.startswith("random"):
        rate = None
    elif optimiser == "sgd":
        rate = 1 / constants(name)["sharpness"]
    recipe = Recipe(steps=steps, batch=256, optimiser=optimiser, rate=rate, balance=balance, power=power)
    mixture, log = tuned(lambda: start(name, which), points, recipe)
    last = measure(task, mixture) if not log.diverged else None
    found: dict[str, Any] = {"rate": log.rate, "diverged": log.diverged, "sup before": first.sup, "rms before": first.rms}
    if last is None:
        return found
    load = loads(mixture, task)
    found |= {
        "sup": last.sup,
        "rms": last.rms,
        "gate moved": moved(mixture, before, "gate"),
        "experts moved": moved(mixture, before, "experts"),
        "rerouted": None if which.startswith("random") else rerouted(name, mixture),
        "dead": sum(one.experts - one.used for one in load),
        "effective": min(one.effective / one.experts for one in load),
    }
    if which != "random, all":
        found |= {"proved before": proved(name, begun, first.sup), "proved": proved(name, mixture, last.sup)}
    return found


def module(name: str) -> nn.Module:
    """The construction, to be trained: a `Mixture`, or what `to_torch` makes of smooth neurons."""
    model = built(name)[1]
    return atlasmoe.to_torch(model) if name == SMOOTH.name else Mixture.of(model)


@cache
def constants(name: str) -> dict[str, float]:
    """ε, λ_max and max Σ|∂Ψ| of a construction, and what flows into its gates."""
    task, points = built(name)[0], data(name, FULL)
    one = module(name)
    x = points.read(points.x)
    loss = (one(x) - points.y).square().mean()
    gates = [p for key, p in one.named_parameters() if ".gate." in key or ".router." in key]
    flow = torch.autograd.grad(loss, gates, allow_unused=True)
    gate = max((float(g.abs().max()) for g in flow if g is not None), default=0.0)
    return {
        "epsilon": measure(task, one).sup,
        "sharpness": sharpness(one, x, points.y),
        "reach": reach(one, x[:512]),
        "gate gradient": gate,
    }


def swept(name: str, optimiser: str, factor: float, steps: int) -> dict[str, Any]:
    """Full batches at a constant rate: the largest error after one step, at most on the way, and at the end."""
    task, points, at = built(name)[0], data(name, FULL), constants(name)
    rate = factor / at["sharpness"] if optimiser == "sgd" else factor * at["epsilon"] / at["reach"]
    one = module(name)
    seen: list[float] = []

    def watch(_: int, now: nn.Module) -> None:
        seen.append(measure(task, now, samples=1 << 12, climbed=0).sampled)

    recipe = Recipe(optimiser=optimiser, rate=rate, batch=FULL, constant=True)
    first = train(one, points, replace(recipe, steps=1))
    watch(1, one)
    one = module(name)
    log = train(one, points, replace(recipe, steps=steps), watch=watch, every=max(1, steps // 20))
    most = max(seen) if not log.diverged else math.inf
    return {"rate": rate, "first": seen[0], "most": most, "last": seen[-1], "loss": log.loss, "diverged": log.diverged or first.diverged}


def around(run: Run) -> list[dict[str, Any]]:
    """Both sweeps."""
    names = [*CASES, SMOOTH.name] if not run.short else ["nine pieces, halves"]
    store, steps = run.store, 40 if run.short else SWEEP
    rows = []
    for name in names:
        for optimiser, factors in (("sgd", AROUND), ("adam", ALONG)):
            for factor in factors if not run.short else (1.9, 3.0) if optimiser == "sgd" else (1.0,):
                key = {"sweep": name, "optimiser": optimiser, "factor": factor, "steps": steps}
                rows.append(store.row(key, lambda key=key: swept(key["sweep"], key["optimiser"], key["factor"], key["steps"])))
    return rows


def trainings(run: Run) -> list[dict[str, Any]]:
    """All starts, optimisers, with and without balancing."""
    store, steps = run.store, 60 if run.short else STEPS
    rows = []
    for name in TRAINED if not run.short else ("nine pieces, halves",):
        for which in starts(name) if not run.short else ("constructed",):
            for optimiser in ("sgd", "adam"):
                for balance in (0.0, BALANCE) if not run.short else (0.0,):
                    asked = (name, which, optimiser, balance, steps)
                    key = dict(zip(("case", "start", "optimiser", "balance", "steps"), asked, strict=True))
                    rows.append(store.row(key, lambda asked=asked: trained(*asked)))
    return rows


def longer(run: Run) -> list[dict[str, Any]]:
    """More than seven times as many steps of Adam, from two starts on the circle."""
    store, rows = run.store, []
    for which in () if run.short else ("constructed", "random"):
        key = {"case": LONGER, "start": which, "optimiser": "adam", "balance": 0.0, "steps": LONG}
        rows.append(store.row(key, lambda which=which: trained(LONGER, which, "adam", 0.0, LONG)))
    return rows


def farther(run: Run) -> list[dict[str, Any]]:
    """From the construction by Adam, for the p-norm in the place of the mean square."""
    store, steps, rows = run.store, STEPS, []
    for name in () if run.short else TRAINED:
        key = {"case": name, "start": "constructed", "optimiser": "adam", "balance": 0.0, "steps": steps, "power": POWER}
        rows.append(store.row(key, lambda name=name: trained(name, "constructed", "adam", 0.0, steps, POWER)))
    return rows


def main(arguments: Sequence[str] | None = None) -> tuple[list[dict[str, Any]], list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Runs what is not in the store; returns sweeps, trainings and constants."""
    torch.set_num_threads(1)
    run = Run.asked("training_dynamics", __doc__, arguments)
    sweeps, rows = around(run), [*trainings(run), *farther(run)]
    names = dict.fromkeys(row["sweep"] for row in sweeps)
    store = run.store
    known = {name: store.row({"constants": name}, lambda name=name: constants(name)) for name in names}
    epsilons = {name: row["epsilon"] for name, row in known.items()}
    tables = {
        "thresholds": report.thresholds(list(known.values())),
        "SGD": report.sweep(sweeps, "sgd", epsilons),
        "Adam": report.sweep(sweeps, "adam", epsilons),
        "after training": report.after(rows, ("sup", "rms")),
        "proofs": report.proofs(rows),
        "longer": report.longer(longer(run)),
        "8-norm": report.beyond(rows),
    }
    run.write(tables, lambda path: report.draw(sweeps, rows, epsilons, path))
    return sweeps, rows, known


if __name__ == "__main__":
    main()
