"""Does the error of a mixture on a manifold see its dimension d or the ambient D? Constructed and trained mixtures, and dense networks.

    python examples/experiments/manifold_validation.py [--short] [--out out/experiments] [--publish]

A function on the Swiss roll, on the sphere (d = 2) and on SO(3) (d = 3), all covered by balls, the roll embedded isometrically in R^D. Of
every size there are a constructed mixture (one layer, nearest-centre gate, two-layer ReLU experts), mixtures of that shape trained from
random weights, and dense two-layer networks of as many active and of as many total numbers, constructed and trained. docs/experiments has
the page.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import sympy
from atlasmoe import InvalidArgument, ManifoldTask, Model
from atlasmoe.progress import track
from lab.measuring import loads, measure, slope
from lab.mixture import Mixture, Shape, dense
from lab.store import Run, Store, markdown
from lab.training import BALANCE, Data, Recipe, tuned

SMALLEST = {"swiss_roll": 24, "sphere": 24, "so3": 100}
"""Balls: on the roll and on SO(3) about the fewest whose tangent charts are injective."""
INTRINSIC = {"swiss_roll": 2, "sphere": 2, "so3": 3}
NATURAL = {"swiss_roll": 3, "sphere": 3, "so3": 9}
"""The dimension that each lives in without an embedding."""
WIDEST = 2048
"""Neurons of dense networks, at most."""
RECIPE, LONG = Recipe(1500), 6000
SEEDS = (0, 1)

MIXTURES = {"trained": ("all", 0.0), "trained, balanced": ("all", BALANCE), "trained, fixed gate": ("chosen", 0.0)}
"""How weighted, and the weight of the load-balancing loss. With the paper's own weights no gradient reaches the gate (N25)."""
DENSE = ("active", "total")


@dataclass(frozen=True)
class Setting:
    """A manifold, where it lives, and the size of the mixture."""

    manifold: str
    D: int
    E: int
    m: int

    @property
    def key(self) -> dict[str, Any]:
        return {"manifold": self.manifold, "D": self.D, "E": self.E, "m": self.m}

    def numbers(self, which: str) -> int:
        """Active or total numbers of the mixture."""
        return self.E * (self.D + 1) + (self.m * (self.D + 2) + 1) * (1 if which == "active" else self.E)

    def dense_width(self, which: str) -> int:
        """Of the widest two-layer network with no more."""
        return (self.numbers(which) - 1) // (self.D + 2)


def at(manifold: str, m: int, E: int | None = None, D: int | None = None) -> Setting:
    return Setting(manifold, D or NATURAL[manifold], E or SMALLEST[manifold], m)


@cache
def task(setting: Setting) -> ManifoldTask:
    """f neither follows the manifold nor is a sum over coordinates."""
    x = sympy.symbols(f"x1:{NATURAL[setting.manifold] + 1}", real=True)
    if setting.manifold == "so3":
        target = sympy.sin(x[0] + 2 * x[5]) * sympy.cos(x[7] - x[2]) + x[3] * x[8]
    else:
        target = sympy.sin(4 * x[0] + 2 * x[1]) * sympy.cos(3 * x[2] - x[1]) + x[0] * x[1]
    options: dict[str, Any] = {"turns": 1.0} if setting.manifold == "swiss_roll" else {}
    if NATURAL[setting.manifold] != setting.D:
        options["embed"] = {"dimension": setting.D, "seed": setting.D}
    atlas = atlasmoe.builtin(setting.manifold, atlas="ball", charts=setting.E, **options)
    return ManifoldTask(setting.manifold, atlas, atlasmoe.ExpressionTarget(atlasmoe.ExpressionMap(x, (target,))))


@cache
def compiled(setting: Setting) -> tuple[Model, float]:
    """The model and the CPU seconds that it took."""
    started = time.process_time()
    return atlasmoe.compile(task(setting), width=setting.m), time.process_time() - started


@cache
def data(setting: Setting) -> Data:
    return Data.of(task(setting))


def constructed(setting: Setting) -> dict[str, Any]:
    model, seconds = compiled(setting)
    found = measure(task(setting), model.network)
    return {**found.row(), "made": seconds, "active": model.network.active_parameters, "total": model.network.parameters}


def dense_constructed(setting: Setting, which: str) -> dict[str, Any]:
    """Empty if that would be too wide."""
    started = time.process_time()
    try:
        made = atlasmoe.dense_baseline(compiled(setting)[0], which, max_width=WIDEST)
    except InvalidArgument:
        return {}
    return {**measure(task(setting), made.network).row(), "made": time.process_time() - started, "width": made.facts["baseline"]["width"]}


def trained(setting: Setting, how: str, recipe: Recipe, seed: int) -> dict[str, Any]:
    """A mixture of the same shape, or a dense network, by the rule of rates; empty if that would be too wide."""
    started = time.process_time()
    if how.startswith("dense") and setting.dense_width(how.split()[1].rstrip(",")) > WIDEST:
        return {}

    def start() -> Mixture:
        if how.startswith("dense"):
            return dense(setting.D, setting.dense_width(how.split()[1].rstrip(",")), seed=seed)
        return Mixture([Shape(setting.D, 1, setting.E, (setting.m,), weighting=MIXTURES[how][0])], seed)

    balance = MIXTURES[how][1] if how in MIXTURES else 0.0
    module, result = tuned(start, data(setting), replace(recipe, balance=balance, seed=seed))
    row = {**measure(task(setting), module).row(), "made": time.process_time() - started, "rate": result.rate, "loss": result.loss}
    if how in MIXTURES:
        (load,) = loads(module, task(setting))
        row |= {"used": load.used, "effective": load.effective}
    return row


def found(store: Store, setting: Setting, how: str, recipe: Recipe, seed: int = 0) -> dict[str, Any]:
    """The row of one network; constructed ones depend on no recipe."""
    key = {**setting.key, "how": how}
    if how == "constructed":
        return store.row(key, lambda: constructed(setting))
    if how.startswith("dense") and "trained" not in how:
        return store.row(key, lambda: dense_constructed(setting, how.split()[1]))
    return store.row({**key, "seed": seed, "steps": recipe.steps}, lambda: trained(setting, how, recipe, seed))


CONSTRUCTED = ("constructed", "dense active", "dense total")
TRAINED = ("trained", "trained, balanced", "dense active, trained", "dense total, trained")


@dataclass(frozen=True)
class Plan:
    """Which sizes are made how."""

    widths: tuple[int, ...] = (16, 23, 32, 45, 64, 91, 128)
    trained_widths: tuple[int, ...] = (16, 32, 64)
    so3_widths: tuple[int, ...] = (16, 32, 64, 128)
    experts: tuple[int, ...] = (24, 34, 48, 68, 96, 136, 192)
    trained_experts: tuple[int, ...] = (24, 48, 96)
    dimensions: tuple[int, ...] = (3, 16, 128, 1024)
    recipe: Recipe = RECIPE
    long: int = LONG
    seeds: tuple[int, ...] = SEEDS
    manifolds: tuple[str, ...] = tuple(SMALLEST)
    """On the first one E and D vary too."""
    m: int = 32
    """The width where it does not vary."""

    @property
    def first(self) -> str:
        return self.manifolds[0]

    def jobs(self) -> Iterable[tuple[Setting, str, Recipe, int]]:
        """What is constructed first."""
        first, centre = self.first, at(self.first, self.m)
        for name in self.manifolds:
            for m in self.so3_widths if name == "so3" else self.widths:
                for how in CONSTRUCTED if name != "so3" else CONSTRUCTED[:2]:
                    yield at(name, m), how, self.recipe, 0
        along = [at(first, self.m, E=E) for E in self.experts] + [at(first, self.m, D=D) for D in self.dimensions]
        for setting in along:
            yield from ((setting, how, self.recipe, 0) for how in CONSTRUCTED[:2])
        for m in self.trained_widths:
            yield from ((at(first, m), how, self.recipe, 0) for how in TRAINED)
        for D in self.dimensions:
            yield from ((at(first, self.m, D=D), how, self.recipe, 0) for how in ("trained, balanced", "dense active, trained"))
        for E in self.trained_experts:
            yield from ((at(first, self.m, E=E), how, self.recipe, 0) for how in ("trained", "trained, balanced"))
        for seed in self.seeds:
            yield from ((centre, how, self.recipe, seed) for how in MIXTURES)
        for name in self.manifolds[1:]:
            for m in self.trained_widths if name != "so3" else (centre.m,):
                yield from ((at(name, m), how, self.recipe, 0) for how in TRAINED[1:3])
        if self.long:
            yield from ((centre, how, replace(self.recipe, steps=self.long), 0) for how in ("trained, balanced", "dense total, trained"))


SHORT = Plan(
    widths=(16,),
    trained_widths=(16,),
    experts=(24,),
    trained_experts=(24,),
    dimensions=(3, 12),
    recipe=Recipe(40, batch=128, rate=1e-2),
    long=0,
    seeds=(0,),
    manifolds=("sphere",),
    m=16,
)

Rows = list[dict[str, Any]]


def curve(rows: Rows, how: str, along: str, setting: Setting, recipe: Recipe) -> Rows:
    """The rows of one way along m, E or D, everything else as in the setting."""
    fixed = {name: value for name, value in setting.key.items() if name != along}
    some = [r for r in rows if r["how"] == how and all(r[n] == v for n, v in fixed.items()) and r.get("seed", 0) == 0 and "sup" in r]
    return sorted((r for r in some if r.get("steps", recipe.steps) == recipe.steps), key=lambda r: r[along])


def theory(along: str, d: int) -> str:
    """What exponents the theorems allow for a smooth target and ReLU experts."""
    best = (d + 3) / (2 * d)
    if along == "m":
        return f"−0.5 (4.8), −{best:.2f} (class), −2 (B4)"
    return f"−{best:.2f} … −{2 / d:.2f} (B3)" if along == "E" else "0 (d), not D"


def slopes(rows: Rows, plan: Plan) -> str:
    lines = []
    for along, names in (("m", plan.manifolds), ("E", plan.manifolds), ("D", [plan.first])):
        for name in names:
            for how in (
                "constructed",
                "trained",
                "trained, balanced",
                "dense active",
                "dense total",
                "dense active, trained",
                "dense total, trained",
            ):
                some = curve(rows, how, along, at(name, plan.m), plan.recipe)
                if len(some) < 2:
                    continue
                x = [r[along] for r in some]
                by = [str(slope(x, [r[kind] for r in some])) for kind in ("sup", "rms")]
                said = theory(along, INTRINSIC[name]) if how in ("constructed", "trained", "trained, balanced") else None
                lines.append([name, along, how, f"{x[0]}–{x[-1]}", *by, said])
    return markdown(["manifold", "against", "network", "from–to", "slope of sup", "slope of L²", "theory"], lines)


def sizes(rows: Rows, plan: Plan) -> str:
    """The middle size of each manifold, every way, every seed."""
    lines = []
    for name in plan.manifolds:
        setting = at(name, plan.m)
        for r in rows:
            if all(r[n] == v for n, v in setting.key.items()) and "sup" in r:
                dense_one = r["how"].startswith("dense")
                which = r["how"].split()[1].rstrip(",") if dense_one else None
                active = setting.numbers(which or "active")
                steps, seed = r.get("steps"), r.get("seed")
                made = [r["how"], None if steps is None else f"{steps:,}", seed]
                load = f"{r['effective']:.1f} of {setting.E}" if "effective" in r else None
                total = active if dense_one else setting.numbers("total")
                lines.append([name, *made, active, total, r["sup"], r["rms"], load, r.get("rate"), round(r["made"], 1)])
    columns = ["manifold", "network", "steps", "seed", "active", "total", "sup", "L²", "effective experts", "rate", "CPU s"]
    return markdown(columns, lines)


def dimensions(rows: Rows, plan: Plan) -> str:
    hows = ("constructed", "trained, balanced", "dense active", "dense active, trained")
    lines = []
    for D in plan.dimensions:
        cells: list[Any] = [D, at(plan.first, plan.m, D=D).numbers("active")]
        for how in hows:
            some = [r for r in curve(rows, how, "D", at(plan.first, plan.m), plan.recipe) if r["D"] == D]
            cells += [some[0]["sup"], some[0]["rms"]] if some else [None, None]
        lines.append(cells)
    return markdown(["D", "active", *(f"{how}: {kind}" for how in hows for kind in ("sup", "L²"))], lines)


STYLES = {
    "constructed": (0, "o-"),
    "trained": (5, "s--"),
    "trained, balanced": (1, "D--"),
    "dense active": (7, "v-"),
    "dense active, trained": (3, "v:"),
    "dense total": (2, "^-"),
    "dense total, trained": (4, "^:"),
}


def draw(rows: Rows, plan: Plan, path: Path) -> None:
    """Sup error against m on each manifold, against E and against D on the first; and how many experts are used."""
    from atlasmoe.report.palette import FEW, INK, tidy
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    figure = Figure(figsize=(12, 8), layout="constrained")
    places = figure.subplots(2, 3)
    panels = dict(zip(plan.manifolds, places[0], strict=False))
    for name, place in panels.items():
        _panel(place, rows, plan, at(name, plan.m), "m")
    for along, place in zip("ED", places[1], strict=False):
        _panel(place, rows, plan, at(plan.first, plan.m), along)
    last = places[1, 2]
    for how in ("trained", "trained, balanced"):
        some = curve(rows, how, "E", at(plan.first, plan.m), plan.recipe)
        last.plot([r["E"] for r in some], [r["effective"] for r in some], STYLES[how][1], color=FEW[STYLES[how][0]], markersize=4.5)
    last.plot(plan.trained_experts, plan.trained_experts, color=INK, linewidth=0.8, label="last panel: all, evenly")
    _logarithmic(last, plan.trained_experts)
    tidy(last, f"Experts that training uses, {TITLES[plan.first]}", xlabel="number of experts E", ylabel="effective number, 1/Σp²")
    for place in places[0, len(panels) :]:
        place.axis("off")
    known: dict[str, Any] = {}
    for place in places.flat:
        for handle, label in zip(*place.get_legend_handles_labels(), strict=True):
            known.setdefault(label, handle)
    known["powers that theorems allow"] = Line2D([], [], color=INK, linewidth=0.9, linestyle="-.")
    figure.legend(known.values(), known.keys(), loc="outside lower center", ncols=-(-len(known) // 2), fontsize=8, frameon=False)
    figure.savefig(path, dpi=150)


TITLES = {"swiss_roll": "Swiss roll", "sphere": "sphere", "so3": "SO(3)"}


def _panel(place: Any, rows: Rows, plan: Plan, setting: Setting, along: str) -> None:
    """One curve for every way, and the exponents of the theory below."""
    from atlasmoe.report.palette import FEW, INK, tidy

    for how, (colour, style) in STYLES.items():
        if some := curve(rows, how, along, setting, plan.recipe):
            x, y = [r[along] for r in some], [r["sup"] for r in some]
            place.plot(x, y, style, color=FEW[colour], markersize=4.5, linewidth=1.1, label=how)
    some, d = curve(rows, "constructed", along, setting, plan.recipe), INTRINSIC[setting.manifold]
    best = -(d + 3) / (2 * d)
    x = np.array([r[along] for r in some], float)
    for exponent, line in zip({"m": (-0.5, best, -2.0), "E": (best, -2 / d), "D": ()}[along], (":", "-.", "--"), strict=False):
        place.plot(x, 0.5 * some[0]["sup"] * (x / x[0]) ** exponent, line, color=INK, linewidth=0.9)
        at = x[-1], 0.5 * some[0]["sup"] * (x[-1] / x[0]) ** exponent
        power = f"${along}^{{{exponent:.3g}}}$"
        place.annotate(power, at, xytext=(4, 0), textcoords="offset points", va="center", fontsize=7)
    _logarithmic(place, {"m": (16, 32, 64, 128), "E": (24, 48, 96, 192), "D": plan.dimensions}[along])
    fixed = {"m": f"E = {setting.E}, D = {setting.D}", "E": f"m = {setting.m}, D = {setting.D}", "D": f"E = {setting.E}, m = {setting.m}"}
    label = {"m": "width m of an expert", "E": "number of experts E", "D": "ambient dimension D"}[along]
    tidy(place, f"{TITLES[setting.manifold]}, d = {d}, {fixed[along]}", xlabel=label, ylabel="sup |f − Ψ|")


def _logarithmic(place: Any, ticks: tuple[int, ...]) -> None:
    from matplotlib.ticker import NullFormatter, NullLocator

    place.set(xscale="log", yscale="log")
    place.xaxis.set_minor_locator(NullLocator())
    place.set_xticks(ticks, [str(t) for t in ticks])
    place.yaxis.set_minor_formatter(NullFormatter())


def main(arguments: list[str] | None = None) -> Rows:
    run = Run.asked("manifold_validation", __doc__, arguments)
    plan, store = SHORT if run.short else Plan(), run.store
    rows = [found(store, *job) for job in track(list(plan.jobs()), "networks")]
    rows = list({id(row): row for row in rows if row}.values())
    tables = {"slopes": slopes(rows, plan), "sizes": sizes(rows, plan), "dimensions": dimensions(rows, plan)}
    run.write(tables, lambda path: draw(rows, plan, path))
    return rows


if __name__ == "__main__":
    main()
