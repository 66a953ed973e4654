"""Layer-2 experts: f on one chart's routed cell, as g∘ψ (Theorem 4.8 step 4) or g∘φ (Corollary 4.9)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..atlas import Array, ManifoldTask, Points, concatenate
from ..errors import InvalidArgument
from .ledger import Claim, Known
from .network import Affine, NeuronGroup, ReLUNet
from .relu import Fit, Target, fit, fit_to
from .routing import HELD_OUT_SAFETY, Routing

LIPSCHITZ_SAMPLES = 4096
REMEDY = "refine the atlas (more charts), raise max_width, or allow a larger epsilon"


@dataclass(frozen=True, eq=False)
class Expert:
    """The network of one chart with its claims and the widths it took."""

    net: ReLUNet
    claim: Claim
    chart_fit: Fit | None
    """ψ; None where φ is affine and used exactly."""
    target_fit: Fit


def routed_points(task: ManifoldTask, routing: Routing, chart: int, count: int, seed: int) -> tuple[Array, Points]:
    """`count` points of the chart's routed cell, with local coordinates: rejection from U_chart."""
    coordinates: list[Array] = []
    parts: list[Points] = []
    found, tried = 0, 0
    while found < count:
        u, points = task.atlas.sample_chart(chart, 2 * count, seed + 7919 * len(parts))
        keep = routing.routed(chart, points.base)
        coordinates.append(u[keep])
        parts.append(points[keep])
        found, tried = found + int(keep.sum()), tried + len(keep)
        if found < count and tried > 64 * count:
            if found == 0:
                raise InvalidArgument(f'chart "{task.atlas.names[chart]}" is never the best of the atlas: remove it')
            break
    return np.concatenate(coordinates)[:count], concatenate(parts)[:count]


def lipschitz(g: ReLUNet, coordinates: Array) -> float:
    """max over components and the points u [N, d] of ‖∇g(u)‖₁, g two-layer: the dual norm for errors of φ in ‖·‖∞ (R5, B15).

    The gradient of the piece of g that holds each point, exactly; the largest seen, not a bound.
    """
    hidden, output = g.affines
    active = hidden(coordinates) > 0
    partials = [np.abs((active * hidden.weight[:, k]) @ output.weight.T) for k in range(coordinates.shape[1])]
    return float(np.sum(partials, axis=0).max())


def _target_of_local(task: ManifoldTask, routing: Routing, chart: int) -> Target:
    def draw(count: int, seed: int) -> tuple[Array, Array]:
        u, points = routed_points(task, routing, chart, count, seed)
        return u, task.evaluate(points)

    return Target(draw, f"expert[{task.atlas.names[chart]}].g", "local target F = f∘φ⁻¹, Theorem 4.8 step 4 by Lemma 3.1")


def _target_of_chart(task: ManifoldTask, routing: Routing, chart: int) -> Target:
    def draw(count: int, seed: int) -> tuple[Array, Array]:
        u, points = routed_points(task, routing, chart, count, seed)
        return points.ambient, u

    return Target(draw, f"expert[{task.atlas.names[chart]}].psi", "chart map φ, Theorem 4.8 step 4 by Lemma 3.1")


def _reach(target: Target, budget: float | None, width: int | None, start: int, limit: int, seed: int, count: int | None) -> Fit:
    """By width if one is given, else by budget."""
    if width is not None:
        return fit(target, width, seed=seed, direction_count=count, search=count is None)
    assert budget is not None
    return fit_to(target, budget, start=start, limit=limit, seed=seed, direction_count=count, remedy=REMEDY)


def build(
    task: ManifoldTask,
    routing: Routing,
    chart: int,
    *,
    epsilon: float | None,
    width: int | None,
    affine: bool,
    limit: int,
    seed: int,
    pilot: Expert | None = None,
) -> Expert:
    """The expert of one chart with |f − expert| ≤ ε / HELD_OUT_SAFETY on its routed cell, or of a given width.

    With an approximated chart the budget is shared evenly: |F − g| and Lip(g)·|φ − ψ| get half each (B15). `pilot` is an expert
    of the same atlas that is already built; its widths and direction counts are where the search starts.
    """
    name = task.atlas.names[chart]
    budget = None if epsilon is None else epsilon / HELD_OUT_SAFETY
    start = 32 if task.atlas.dimension == 1 else 64

    def begin(previous: Fit | None) -> tuple[int, int | None]:
        return (start, None) if previous is None else (max(start, previous.width), previous.direction_count)

    width_g, count_g = begin(pilot and pilot.target_fit)
    half = budget if affine or budget is None else budget / 2
    g = _reach(_target_of_local(task, routing, chart), half, width, width_g, limit, seed, count_g)
    if affine:
        weight, bias = task.atlas.affine(chart) or (None, None)
        assert weight is not None
        assert bias is not None
        outer = g.net.affines
        net = ReLUNet((outer[0].after(Affine(weight, bias)), *outer[1:]), g.net.groups)
        return Expert(net, _claim(task, routing, chart, net, (_leaf(name, "target", g, half),), budget, seed), None, g)
    slope = lipschitz(g.net, routed_points(task, routing, chart, LIPSCHITZ_SAMPLES, seed)[0])
    width_psi, count_psi = begin(pilot and pilot.chart_fit)
    chart_budget = None if half is None else half / max(slope, np.finfo(float).tiny)
    psi = _reach(_target_of_chart(task, routing, chart), chart_budget, width, width_psi, limit, seed, count_psi)
    net = psi.net.then(g.net)
    leaves = (_leaf(name, "target", g, half), _leaf(name, "chart", psi, chart_budget, slope))
    return Expert(net, _claim(task, routing, chart, net, leaves, budget, seed), psi, g)


def _leaf(name: str, part: str, reached: Fit, budget: float | None, slope: float | None = None) -> Claim:
    statement = {
        "target": f"|F − g| ≤ budget on φ of the routed cell of {name}, F = f∘φ⁻¹",
        "chart": f"|φ − ψ|∞ ≤ budget on the routed cell of {name}; it counts Lip(g) = {slope or 0:.3g} times",
    }[part]
    allowed = HELD_OUT_SAFETY * reached.error if budget is None else budget
    witness = tuple(map(float, reached.witness))
    source = "Theorem 4.8 step 4, Lemma 3.1"
    return Claim(
        f"expert[{name}].{part}", statement, source, allowed, reached.error, Known.SAMPLED, samples=reached.samples, witness=witness
    )


def _claim(
    task: ManifoldTask, routing: Routing, chart: int, net: ReLUNet, leaves: tuple[Claim, ...], budget: float | None, seed: int
) -> Claim:
    """|f − expert| on fresh points of the routed cell."""
    _, points = routed_points(task, routing, chart, 2 * LIPSCHITZ_SAMPLES, seed + 104729)
    error = np.abs(net(points.ambient) - task.evaluate(points)).max(1)
    worst = int(np.argmax(error))
    name = task.atlas.names[chart]
    allowed = HELD_OUT_SAFETY * float(error[worst]) if budget is None else budget
    inner = "g∘ψ" if len(leaves) == 2 else "g∘φ"
    return Claim(
        f"expert[{name}]",
        f"|f − {inner}| ≤ ε/{HELD_OUT_SAFETY:g} on the routed cell of {name}",
        "Theorem 4.8 (8), B15" if len(leaves) == 2 else "Corollary 4.9 (9)",
        allowed,
        float(error[worst]),
        Known.SAMPLED,
        samples=len(error),
        witness=tuple(map(float, points.ambient[worst])),
        children=leaves,
    )


def passthrough(dimension: int) -> tuple[Affine, NeuronGroup]:
    """The 2D neurons σ(x), σ(−x) whose difference carries x exactly, in floats too (R1)."""
    identity = np.eye(dimension)
    group = NeuronGroup("carry", 2 * dimension, "x = σ(x) − σ(−x), Theorem 4.8 step 2 (R1)")
    return Affine(np.concatenate([identity, -identity]), np.zeros(2 * dimension)), group
