"""Continuity of the target: where it changes most between neighbouring points, halved until it is a jump or is none.

Formulas say where their branches meet (`kinks`); this asks any target the same, also one in Python. Of what is declared of a Python
function (`declared`), the same pairs of points, and random ones, are tried as counterexamples.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ...errors import Finding
from ...expressions.box import Array
from ..declared import ROUNDING
from ..graph import TaskGraph
from ..targets import about, labelled
from ..task import CallableTarget, ManifoldTask
from .probe import Probe, error, number

PAIRS = 4096
"""Pairs of points of a chart, at most."""
NEAR = 1 / 32
"""How far apart, in parts of a box width."""
FOLLOWED = 8
HALVINGS = 40
JUMP = 1e-3
"""What is left of a difference after all halvings counts from this part of the target's range."""
SLACK = 1 + 1e-6
"""A declared bound is refuted by more than rounding."""


def check_continuous(task: ManifoldTask, probes: list[Probe]) -> list[Finding]:
    """One finding for the worst jump on any chart; and one for every declared bound that a pair of points refutes."""
    if isinstance(task.target, CallableTarget) and task.target.function is None:
        return []
    where = f"target {task.target.name!r}" if isinstance(task.target, CallableTarget) else "target"
    jumps: list[tuple[float, Probe, Array]] = []
    found: list[Finding] = []
    for probe in probes:

        def value(u: Array, probe: Probe = probe) -> Array:
            with np.errstate(all="ignore"):
                return task.evaluate(task.atlas.parametrise(probe.index, u))

        a, b = _pairs(probe)
        gap = np.abs(value(a) - value(b)).max(-1, initial=0.0)
        at = value(a)
        size = float(np.ptp(at[np.isfinite(at).all(-1)], axis=0).max(initial=0.0)) if len(at) else 0.0
        gap = np.where(np.isfinite(gap), gap, 0.0)
        # Of values of this size nothing smaller can be told from rounding.
        enough = max(JUMP * size, ROUNDING * float(np.abs(at).max(initial=0.0, where=np.isfinite(at))))
        worst = np.argsort(-gap, kind="stable")[:FOLLOWED]
        if not len(worst) or size == 0 or gap[worst[0]] <= enough:
            continue
        left, point = _halved(value, a[worst], b[worst], enough)
        k = int(np.argmax(left))
        if left[k] > enough:
            jumps.append((float(left[k]), probe, point[k]))
    if jumps:
        height, probe, point = max(jumps, key=lambda jump: jump[0])
        problem = f'jumps by {number(height)} on chart "{probe.chart.name}"'
        remedy = "make it continuous: the theorems ask for it, and ε would be no smaller than half the jump"
        found.append(error(where, problem, remedy, point))
    if not jumps and isinstance(task.target, CallableTarget):
        found += _declared(task, task.target, where, probes)
    return found


def counterexamples(task: ManifoldTask | TaskGraph, seed: int = 0) -> list[Finding]:
    """Pairs of points that refute what is declared of the targets, of those that are Python functions of which anything is."""
    found, probes = [], list[Probe]()
    for label, part in labelled(task) if isinstance(task, ManifoldTask) else ():
        target = part.target
        if isinstance(target, CallableTarget) and target.declares and target.function is not None:
            probes = probes or [Probe(i, chart, PAIRS, seed + 100 * i) for i, chart in enumerate(part.atlas.parametrising)]
            found += about(label, _declared(part, target, f"target {target.name!r}", probes))
    return found


def _pairs(probe: Probe) -> tuple[Array, Array]:
    """Pairs of neighbours in the chart."""
    rng = np.random.default_rng(probe.seed)
    box = probe.box
    low, high = np.array(box.lower), np.array(box.upper)
    a = rng.uniform(low, high, (min(PAIRS, probe.samples), box.dimension))
    b = np.clip(a + rng.uniform(-NEAR, NEAR, a.shape) * (high - low), low, high)
    inside = probe.chart.inside(a) & probe.chart.inside(b)
    return a[inside], b[inside]


def _halved(value: Callable[[Array], Array], a: Array, b: Array, enough: float) -> tuple[Array, Array]:
    """What differences are between the ends of the halves in which they are larger, again and again until all are small; and where."""
    at, other = value(a), value(b)
    for _ in range(HALVINGS):
        if not (np.abs(other - at).max(-1) > enough).any():
            break
        middle = (a + b) / 2
        here = value(middle)
        first, second = np.abs(here - at).max(-1), np.abs(other - here).max(-1)
        left = (first >= second)[:, None]
        a, at = np.where(left, a, middle), np.where(left, at, here)
        b, other = np.where(left, middle, b), np.where(left, here, other)
    gap = np.abs(other - at).max(-1)
    return np.where(np.isfinite(gap), gap, 0.0), a


def _declared(task: ManifoldTask, target: CallableTarget, where: str, probes: list[Probe]) -> list[Finding]:
    """Counterexamples to what is declared, among pairs of points of M, and among points beside each other."""
    if target.lipschitz is None and target.second_derivative is None:
        return []
    found = []
    steepest: tuple[float, Array, Array] | None = None
    bent: tuple[float, Array] | None = None
    for probe in probes:
        for scale in (1.0, 1e-2, 1e-4):
            a, b = _pairs(probe)
            b = a + (b - a) * scale
            x, y = (task.atlas.parametrise(probe.index, u) for u in (a, b))
            fx, fy = task.evaluate(x), task.evaluate(y)
            distance = np.sqrt(((x.base - y.base) ** 2).sum(-1))
            slack = 2 * ROUNDING * (1 + np.abs(fx).max(-1, initial=0.0))
            with np.errstate(all="ignore"):
                slope = np.where(distance > 0, (np.abs(fx - fy).max(-1) - slack) / distance, 0.0)
            k = int(np.nanargmax(slope)) if len(slope) else 0
            if len(slope) and (steepest is None or slope[k] > steepest[0]):
                steepest = float(slope[k]), x.base[k], y.base[k]
            bent = max(filter(None, (bent, _bend(target, x.base, scale))), key=lambda one: one[0], default=None)
    if target.lipschitz is not None and steepest is not None and steepest[0] > target.lipschitz * SLACK:
        problem = f"the Lipschitz constant {number(target.lipschitz)} is declared, but from {_at(steepest[1])} to {_at(steepest[2])}"
        found.append(
            error(where, f"{problem} it changes {steepest[0]:.6g} times as much as the point", "declare a larger one", steepest[1])
        )
    if target.second_derivative is not None and bent is not None and bent[0] > target.second_derivative * SLACK:
        problem = f"second derivatives are declared to be at most {number(target.second_derivative)}, but one is {bent[0]:.6g}"
        found.append(error(where, problem, "declare a larger bound, or only a Lipschitz constant", bent[1]))
    return found


def _bend(target: CallableTarget, base: Array, scale: float) -> tuple[float, Array] | None:
    """The largest second difference over the square of its step, less what rounding may be, along the axes and their diagonals."""
    k = base.shape[1]
    step = 1e-3 if scale == 1.0 else 1e-2 if scale == 1e-2 else 0.1
    directions = [np.eye(k)[j] for j in range(k)] + [np.eye(k)[i] + s * np.eye(k)[j] for i in range(k) for j in range(i) for s in (1, -1)]
    best: tuple[float, Array] | None = None
    points = base[:256]
    if not len(points):
        return None
    here = target.values(points)
    for direction in directions:
        up, down = target.values(points + step * direction), target.values(points - step * direction)
        slack = 4 * ROUNDING * (1 + np.abs(here).max(-1))
        # |D²f[v, v]| ≤ H·|v|₁² for every direction v.
        bend = (np.abs(up + down - 2 * here).max(-1) - slack) / (step * np.abs(direction).sum()) ** 2
        bend = np.where(np.isfinite(bend), bend, 0.0)
        j = int(np.argmax(bend))
        if best is None or bend[j] > best[0]:
            best = float(bend[j]), points[j]
    return best


def _at(point: Array) -> str:
    return f"({', '.join(f'{v:.6g}' for v in point)})"
