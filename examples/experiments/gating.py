"""Does the gate have to be nonlinear? The same function on the same roll, under atlases of 2, 3 and 6 charts and of balls, gate by gate.

    python examples/experiments/gating.py [--short] [--out out/experiments] [--publish]

Gates: linear, affine (B1), nonlinear (N1), two layers as in Theorem 4.8, and top-K. Affine gates for charts are found by a linear
programme; where there is none, a certificate proves it (`lab.separation`). Beside them stand gates that are trained to hit a chart that
holds the point, and mixtures that are trained as a whole. docs/experiments has the page.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import sympy
import torch
from atlasmoe import Affine, Atlas, ManifoldTask, Model, Network
from atlasmoe.progress import track
from lab.measuring import measure, routes
from lab.mixture import Mixture, Nets
from lab.separation import affine_gate, certificate
from lab.store import Run, Store, markdown
from lab.training import BALANCE, Data, Recipe, tuned
from numpy.typing import NDArray
from torch import Tensor, nn

Array = NDArray[np.float64]

TURNS = 1.5
EPSILON = 0.1
"""Of a range of 2.3."""
TESTED, SOLVED = 1 << 15, 2000
"""Points on which routes are judged, and for which a linear gate is sought."""
ALONG = (31, 121, 721)
"""Points of the roll's middle line, among which certificates are sought: the fewest that have one."""
RECIPE = Recipe(1500)
GATES = ("linear", "affine", "nonlinear", "two layers", "top-2")
LEARNED = ("affine, trained", "nonlinear, trained", "affine, all trained", "nonlinear, all trained")


def roll(charts: int | str) -> ManifoldTask:
    """The target of the manifold experiment, on a roll of one and a half turns; "balls" instead of so many charts."""
    x = sympy.symbols("x1:4", real=True)
    target = sympy.sin(4 * x[0] + 2 * x[1]) * sympy.cos(3 * x[2] - x[1]) + x[0] * x[1]
    options: dict[str, Any] = {"atlas": "ball"} if charts == "balls" else {"charts": charts}
    atlas = atlasmoe.builtin("swiss_roll", turns=TURNS, **options)
    return ManifoldTask(f"swiss roll, {charts}", atlas, atlasmoe.ExpressionTarget(atlasmoe.ExpressionMap(x, (target,))))


@cache
def task(charts: int | str) -> ManifoldTask:
    return roll(charts)


@cache
def points(charts: int | str, count: int, seed: int) -> tuple[Array, NDArray[np.bool_]]:
    """Points (N, 3) and the charts that hold each, (N, E)."""
    found = task(charts).atlas.sample(count, seed)
    return found.base, task(charts).atlas.membership(found.base)


@cache
def compiled(charts: int | str, gate: str) -> tuple[Model, float]:
    """The model and its CPU seconds."""
    started = time.process_time()
    theorem = "4.9" if charts == "balls" else "4.8"
    options: dict[str, Any] = {"theorem": theorem, "gate": "nonlinear"}
    match gate:
        case "affine":
            options = {"theorem": "affine"}
        case "two layers":
            options = {"theorem": theorem}
        case "top-2":
            options = {"theorem": "affine", "top_k": 2} if charts == "balls" else options | {"top_k": 2}
    return atlasmoe.compile(task(charts), epsilon=EPSILON, **options), time.process_time() - started


def judged(names: tuple[str, ...], logits: Array, chosen: Array, atlas: Atlas, valid: NDArray[np.bool_]) -> dict[str, float]:
    """The share of points with a chosen chart that does not hold them, and the least margin of the best chart that does over the best that
    does not, in parts of the range of logits."""
    column = np.array([atlas.names.index(name) for name in names])
    good = valid[:, column]
    wrong = ~np.take_along_axis(good, chosen, axis=1).all(1)
    gap = np.where(good, logits, -np.inf).max(1) - np.where(good, -np.inf, logits).max(1)
    return {"wrong": float(wrong.mean()), "margin": float(gap[np.isfinite(gap)].min() / np.ptp(logits))}


def of_network(network: Network, charts: int | str, finer: Atlas | None = None) -> dict[str, Any]:
    """Routes of the last layer with a choice, errors, numbers. `finer`: the atlas that the network was built on, if it was refined: K > 1
    experts share a point only where K charts hold it."""
    x, valid = points(charts, TESTED, 5)
    atlas = task(charts).atlas if finer is None else finer
    valid = valid if finer is None else finer.membership(x)
    trace = network.trace(x)
    last = max(n for n, layer in enumerate(network.layers) if len(layer.experts) > 1 or layer.top_k < len(layer))
    layer = network.layers[last]
    before = sum(one.parameters for one in network.layers[:last])
    found = judged(layer.names, trace.logits[last], trace.chosen[last], atlas, valid)
    numbers = {"gate": before + layer.gate.parameters, "active": network.active_parameters, "stored": network.parameters}
    return {**found, **numbers, **measure(task(charts), network).row(), "experts": len(layer.experts)}


def replaced(charts: int | str, weights: Array) -> Network:
    """The mixture of the nonlinear gate, with an affine one in its place."""
    network = compiled(charts, "nonlinear")[0].network
    (layer,) = network.layers
    order = [task(charts).atlas.names.index(name) for name in layer.names]
    gate = Affine(weights[order, :-1].copy(), weights[order, -1].copy())
    return Network((replace(layer, gate=gate.net, sees=None),), network.inputs)


def linear(charts: int | str, bias: bool) -> dict[str, Any]:
    """A linear or affine gate, by programme, and the mixture with it; or whether it is proved that there is not even an affine one."""
    x, valid = points(charts, SOLVED, 3)
    weights, _ = affine_gate(x, valid, bias)
    if weights is not None:
        return {"verdict": "found", **of_network(replaced(charts, weights), charts)}
    if charts != "balls":
        atlas = task(charts).atlas
        for count in ALONG:
            u = np.stack([np.linspace(atlas.charts[0].domain.lower[0], atlas.charts[-1].domain.upper[0], count), np.zeros(count)], axis=1)
            proof = certificate(atlas, u, (0, 2))
            if proof is not None and proof.holds(atlas):
                return {"verdict": "none: proved", "proof": [[which, *u] for which, u in proof.points]}
    return {"verdict": "none found"}


def built(charts: int | str, gate: str) -> dict[str, Any]:
    if gate == "linear" or (gate == "affine" and charts != "balls"):
        return linear(charts, gate == "affine")
    model, seconds = compiled(charts, gate)
    return {"verdict": "constructed", **of_network(model.network, charts, model.task.atlas), "made": seconds}


class Missing(nn.Module):
    """√(−log of the probability that a gate gives to charts that hold the point): its mean square is the loss of a gate alone."""

    def __init__(self, inputs: int, widths: tuple[int, ...], experts: int, seed: int) -> None:
        super().__init__()
        self.inputs, self.gate = inputs, Nets(1, (inputs, *widths, experts), torch.Generator().manual_seed(seed), torch.float32)

    def logits(self, x: Tensor) -> Tensor:
        return self.gate.everywhere(x.to(torch.float32))[0]

    def forward(self, both: Tensor) -> Tensor:
        x, valid = both[:, : self.inputs], both[:, self.inputs :] > 0
        logits = self.logits(x)
        loss = logits.logsumexp(1) - logits.masked_fill(~valid, -torch.inf).logsumexp(1)
        return (loss + 1e-9).sqrt()[:, None]


def gate_widths(charts: int | str, gate: str) -> tuple[int, ...]:
    """Hidden widths of a trained gate: none, or those of the constructed one."""
    return () if gate.startswith("affine") else compiled(charts, "nonlinear")[0].network.layers[0].gate.widths


def trained_gate(charts: int | str, gate: str, recipe: Recipe) -> dict[str, Any]:
    """A gate alone, for charts as they are, in front of the constructed experts if it is affine."""

    def drawn(count: int, seed: int) -> Tensor:
        x, valid = points(charts, count, seed)
        return torch.from_numpy(np.hstack([x, valid])).to(torch.float32)

    started = time.process_time()
    x, held = drawn(1 << 15, 7), drawn(1 << 12, 8)
    data = Data(x, torch.zeros(len(x), 1), held, torch.zeros(len(held), 1))
    E = len(task(charts).atlas)
    widths = gate_widths(charts, gate)
    module, result = tuned(lambda: Missing(3, widths, E, recipe.seed), data, recipe)
    test, valid = points(charts, TESTED, 5)
    with torch.no_grad():
        logits = module.logits(torch.from_numpy(test)).double().numpy()
    found = judged(task(charts).atlas.names, logits, logits.argmax(1)[:, None], task(charts).atlas, valid)
    row = {"verdict": "trained", **found, "gate": module.gate.numbers, "rate": result.rate}
    if not widths:
        weights = np.hstack([module.gate.weights[0][0].detach().double().numpy(), module.gate.biases[0].detach().double().numpy().T])
        network = replaced(charts, weights)
        row |= {**measure(task(charts), network).row(), "active": network.active_parameters, "stored": network.parameters}
    return {**row, "made": time.process_time() - started}


def trained(charts: int | str, gate: str, recipe: Recipe) -> dict[str, Any]:
    """Gate and experts together, of the shape of the constructed mixture; which charts it should use is not said."""
    started = time.process_time()
    (shape,) = Mixture.of(compiled(charts, "affine" if charts == "balls" else "nonlinear")[0]).shapes
    shape = replace(shape, gate_widths=gate_widths(charts, gate), weighting="all")
    module, result = tuned(lambda: Mixture([shape], recipe.seed), Data.of(task(charts)), replace(recipe, balance=BALANCE))
    used = len(np.unique(routes(module, points(charts, TESTED, 5)[0])[0]))
    numbers = {"gate": shape.numbers[0], "active": module.active, "stored": module.stored, "experts": used, "rate": result.rate}
    return {"verdict": "trained", **numbers, **measure(task(charts), module).row(), "made": time.process_time() - started}


@dataclass(frozen=True)
class Plan:
    charts: tuple[int | str, ...] = (2, 3, 6, "balls")
    gates: tuple[str, ...] = (*GATES, *LEARNED)
    recipe: Recipe = RECIPE


SHORT = Plan((2, 3), ("affine",), Recipe(50, batch=128, rate=1e-2))
Rows = list[dict[str, Any]]


def found(store: Store, charts: int | str, gate: str, recipe: Recipe) -> dict[str, Any]:
    key = {"charts": charts, "kind": gate}
    if gate not in LEARNED:
        return store.row(key, lambda: built(charts, gate))
    make: Callable[[int | str, str, Recipe], dict[str, Any]] = trained if "all" in gate else trained_gate
    return store.row({**key, "steps": recipe.steps}, lambda: make(charts, gate, recipe))


def table(rows: Rows) -> str:
    lines = []
    for r in rows:
        wrong = None if "wrong" not in r else "0" if r["wrong"] == 0 else f"{100 * r['wrong']:.2g} %"
        numbers = [r.get(name) for name in ("gate", "active", "stored")]
        lines.append([_called(r["charts"]), r["kind"], r["verdict"], wrong, r.get("margin"), *numbers, r.get("sup"), r.get("rms")])
    columns = ["atlas", "gate", "verdict", "misrouted", "least margin", "gate's numbers", "multiply-adds", "stored", "sup", "L²"]
    return markdown(columns, lines)


def _called(charts: int | str) -> str:
    return f"{len(task(charts).atlas)} balls" if charts == "balls" else f"{charts} charts"


def draw(rows: Rows, path: Path) -> None:
    """The two cores whose hulls meet; where the best affine gate errs; the balls and their cells; error by numbers."""
    from atlasmoe.report.palette import FAINT, FEW, INK, LIMIT, tidy
    from matplotlib.figure import Figure
    from matplotlib.patches import Polygon

    figure = Figure(figsize=(12, 4.3), layout="constrained")
    places = figure.subplots(1, 3)
    atlas = task(2).atlas
    ends = atlas.charts[0].domain.lower[0], atlas.charts[-1].domain.upper[0]
    t = np.linspace(*ends, 2000)
    middle = atlas.charts[0].inverse(np.stack([t, 0 * t], axis=1))
    held = np.stack([(t >= c.domain.lower[0]) & (t <= c.domain.upper[0]) for c in atlas.charts], axis=1)
    first = places[0]
    for name, some, colour in (("first only", [1, 0], FEW[0]), ("both", [1, 1], FAINT), ("second only", [0, 1], FEW[1])):
        part = np.where((held == np.array(some, bool)).all(1)[:, None], middle, np.nan)
        first.plot(part[:, 0], part[:, 2], color=colour, linewidth=3, label=f"in {name}" if "only" in name else "in both charts")
    proof = next((r["proof"] for r in rows if r["charts"] == 2 and "proof" in r), [])
    for which, colour in ((0, FEW[0]), (1, FEW[1])):
        corner = atlas.charts[0].inverse(np.array([u for w, *u in proof if w == which]))[:, [0, 2]]
        first.add_patch(Polygon(corner, closed=False, fill=False, edgecolor=INK, linewidth=1.2))
        first.plot(*corner.T, "o", color=colour, markeredgecolor=INK, markersize=7)
    first.plot([], [], "-o", color=INK, markerfacecolor="white", markersize=6, linewidth=1.2, label="points of cores whose hulls meet")
    first.legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2)
    first.set_aspect("equal")
    tidy(first, "Two charts: hulls of cores meet, no affine gate", xlabel="x₁", ylabel="x₃")
    if any(r["charts"] == "balls" for r in rows):
        balls = task("balls").atlas
        center = balls.balls[0]
        flat = atlas.charts[0].inverse(np.stack([t, 0 * t], axis=1))
        cell = ((flat[:, None] - center) ** 2).sum(2).argmin(1)
        along = {number: k for k, number in enumerate(dict.fromkeys(cell.tolist()))}
        places[1].scatter(flat[:, 0], flat[:, 2], c=[FEW[along[number] % len(FEW)] for number in cell.tolist()], s=5)
        places[1].plot(center[:, 0], center[:, 2], "+", color=INK, markersize=4, linewidth=0.5, label="centres, of all h")
        places[1].legend(fontsize=7, frameon=False, loc="upper center", bbox_to_anchor=(0.5, -0.14))
        places[1].set_aspect("equal")
        tidy(places[1], f"{len(balls)} balls: cells of nearest centres on h = 0", xlabel="x₁", ylabel="x₃")
    else:
        places[1].axis("off")
    marks = {2: "o", 3: "s", 6: "^", "balls": "*"}
    reached = [r for r in rows if "sup" in r]
    colours = {
        kind: colour for kind, colour in zip((*GATES, *LEARNED), (*FEW, INK), strict=True) if any(r["kind"] == kind for r in reached)
    }
    for k, r in enumerate(reached):
        bad, colour = r.get("wrong", 0) > 0, colours[r["kind"]]
        # Open from the second on a place, so that what is behind is seen.
        hidden = any(
            r["active"] < 1.1 * s["active"] < 1.21 * r["active"] and r["sup"] < 1.1 * s["sup"] < 1.21 * r["sup"] for s in reached[:k]
        )
        style = {"markerfacecolor": "white"} if bad else {"markersize": 11, "fillstyle": "none"} if hidden else {}
        places[2].loglog(r["active"], r["sup"], marks[r["charts"]], color=colour, **{"markersize": 7, "markeredgewidth": 1.4} | style)
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=colour, linewidth=3, label=kind) for kind, colour in colours.items()]
    handles += [Line2D([], [], color=INK, linestyle="", marker=mark, label=_called(charts)) for charts, mark in marks.items()]
    places[2].legend(handles=handles, fontsize=6.5, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    places[2].axhline(EPSILON, color=LIMIT, linewidth=0.8, linestyle="--")
    tidy(places[2], "Sup error (white: misroutes; dashed: ε; rings: at one place)", xlabel="multiply-adds per input", ylabel="sup |f − Ψ|")
    figure.savefig(path, dpi=150)


def main(arguments: list[str] | None = None) -> Rows:
    run = Run.asked("gating", __doc__, arguments)
    plan, store = SHORT if run.short else Plan(), run.store
    jobs = [(charts, gate) for charts in plan.charts for gate in plan.gates]
    found_rows = (found(store, charts, gate, plan.recipe) for charts, gate in track(jobs, "gates"))
    rows = [row for row in found_rows if row]
    run.write({"gates": table(rows)}, lambda path: draw(rows, path))
    return rows


if __name__ == "__main__":
    main()
