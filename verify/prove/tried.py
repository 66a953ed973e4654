"""What a proof rests on where a Python function brings an enclosure of its own, tried before anything is proved.

Statement (assumed, and named by certificates: `moe.premises.enclosed`). For every box of coordinates of a chart, and all its points u,
f(φ⁻¹(u)) lies in what the enclosure makes of the Taylor forms of φ⁻¹ on that box.
It cannot be proved of code; random boxes of all sizes and random points in them, corners included, refute most that are wrong.
"""

from __future__ import annotations

import numpy as np

from ...atlas import Array, CallableTarget, ManifoldTask
from ...atlas.targets import about, labelled
from ...errors import AtlasMoEError, Finding, InvalidArgument, Severity
from ..enclosure import TaylorForms
from .error import EnclosedTarget
from .manifold import EnclosedManifold, Place

BOXES, POINTS = 256, 8
"""Boxes of a chart, and points of each, of which the first are its middle and a corner."""
SMALLEST = 2.0**-30
"""Of the sides of a chart: half-widths are spread evenly in their logarithm, from here to all of it."""
ROUNDING = 1e-9
"""What f is computed to may be off by this part of 1 + |f|: nothing less refutes an enclosure."""


def escapes(task: ManifoldTask, seed: int = 0) -> list[Finding]:
    """The point farthest outside what a target's own enclosure says of a box, of every target for which there is one.

    Raises `InvalidArgument` for an enclosure that fails, or makes no forms of as many functions as f has, or of other boxes.
    """
    return [finding for label, part in labelled(task) for finding in about(label, _escapes(part, seed))]


def _escapes(task: ManifoldTask, seed: int) -> list[Finding]:
    target = task.target
    if not isinstance(target, CallableTarget) or target.enclosure is None or target.function is None:
        return []
    manifold, enclosed = EnclosedManifold(task.atlas), EnclosedTarget(task)
    worst: tuple[float, Finding] | None = None
    for p, chart in enumerate(task.atlas.parametrising):
        rng = np.random.default_rng([seed, p])
        lower, upper = _boxes(np.array(chart.domain.lower), np.array(chart.domain.upper), rng)
        for degree in range(2, max(2, target.degree) + 1):
            place = manifold.place(p, lower, upper, degree)
            forms = _asked(target, enclosed, place)
            for k in range(POINTS):
                t = np.zeros(lower.shape) if k == 0 else rng.choice((-1.0, 1.0), lower.shape) if k == 1 else rng.uniform(-1, 1, lower.shape)
                found = _farthest(task, target, place, forms, t)
                if found is not None and (worst is None or found[0] > worst[0]):
                    worst = found
    return [] if worst is None else [worst[1]]


def _boxes(low: Array, high: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Of all sizes, all over the chart, the whole of it the last."""
    half = (high - low) / 2 * SMALLEST ** rng.uniform(0, 1, (BOXES, 1)) * rng.uniform(0.5, 1, (BOXES, len(low)))
    center = rng.uniform(low + half, high - half)
    lower, upper = np.maximum(center - half, low), np.minimum(center + half, high)
    lower[-1], upper[-1] = low, high
    return lower, upper


def _asked(target: CallableTarget, enclosed: EnclosedTarget, place: Place) -> TaylorForms:
    """What the enclosure says of the boxes."""
    try:
        with np.errstate(all="ignore"):
            forms = enclosed(place)
    except AtlasMoEError:
        raise
    except Exception as why:
        raise InvalidArgument(f"the enclosure of the Python function {target.name!r} fails: {type(why).__name__}: {why}") from why
    if len(forms) != len(place) or forms.functions != target.outputs:
        raise InvalidArgument(
            f"the enclosure of the Python function {target.name!r} makes forms of {forms.functions} functions on {len(forms)} boxes of "
            f"{len(place)}; of the same boxes it has to make those of all {target.outputs} outputs"
        )
    return forms


def _farthest(task: ManifoldTask, target: CallableTarget, place: Place, forms: TaylorForms, t: Array) -> tuple[float, Finding] | None:
    """How far outside f is at the point t of every box, where that is farthest, in parts of 1 + |f|."""
    middle, half = place.lower + (place.upper - place.lower) / 2, (place.upper - place.lower) / 2
    u = np.clip(middle + half * t, place.lower, place.upper)
    chart = task.atlas.parametrising[place.chart]
    rows = np.flatnonzero(chart.inside(u))
    if not len(rows):
        return None
    points = task.atlas.parametrise(place.chart, u[rows])
    with np.errstate(all="ignore"):
        value, said = task.evaluate(points), forms.subset(rows).at(t[rows])
        known = np.isfinite(said.lower) | np.isfinite(said.upper)
        off = np.maximum(said.lower - value, value - said.upper) / (1 + np.abs(value))
    off = np.where(np.isnan(off), np.where(known, np.inf, -np.inf), off)
    i, j = np.unravel_index(int(np.argmax(off)), off.shape)
    if not off[i, j] > ROUNDING:
        return None
    sides = ", ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(place.lower[rows[i]], place.upper[rows[i]], strict=True))
    component = f"_{j + 1}" if target.outputs > 1 else ""
    interval = f"[{said.lower[i, j]:.9g}, {said.upper[i, j]:.9g}]"
    text = f'its enclosure says of the box {sides} of chart "{chart.name}" that f{component} is in {interval}, but it is {value[i, j]:.9g}'
    remedy = "mend the enclosure: it has to hold f at every point of every box, degree by degree"
    return float(off[i, j]), Finding(Severity.ERROR, f"target {target.name!r}", text, remedy, tuple(map(float, points.base[i])))
