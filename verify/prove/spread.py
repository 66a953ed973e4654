"""How much a function given on boxes changes when what it reads moves a little: |f(v) − f(z)| for |v_k − z_k| ≤ e_k."""

from __future__ import annotations

import numpy as np

from ...atlas import Array, Box, ChartTarget, ExpressionMap, ManifoldTask, Tiling
from ...atlas.graph.finite import Places
from ...expressions.box import box_cells
from ...intervals import Interval
from ...intervals.gradients import GradientEnclosure
from ..enclosure import ExpressionEnclosure, TaylorForms

BOXES = 1 << 12
"""Per piece, on which gradients are enclosed."""


def enlarged(box: Box, errors: Array, domain: Box | None = None) -> Box:
    """The box, wider by e_k on every side, or only on those that are sides of `domain`."""
    lower, upper = np.array(box.lower), np.array(box.upper)
    low = np.ones(len(lower), bool) if domain is None else lower == np.array(domain.lower)
    high = np.ones(len(upper), bool) if domain is None else upper == np.array(domain.upper)
    moves = errors > 0
    lower = np.where(low & moves, np.nextafter(lower - errors, -np.inf), lower)
    upper = np.where(high & moves, np.nextafter(upper + errors, np.inf), upper)
    return Box(tuple(lower), tuple(upper))


def spread(task: ManifoldTask, errors: Array, tiling: Tiling | None, places: Places | None = None) -> Array:
    """sup |f(v) − f(z)| over the boxes of a task whose charts are boxes, (outputs,), bounded.

    On the segment from v to z f changes by Σ sup|∂_k f|·e_k within pieces, and at every interface it crosses by what the two pieces differ
    by there; it crosses at most one interface per axis, and one more for every narrowest piece that e_k spans. It
    crosses none along axes of finitely many values, at `places`, that are all further from every interface.
    """
    if not errors.any():
        return np.zeros(task.outputs)
    assert isinstance(task.target, ChartTarget)
    total = np.zeros(task.outputs)
    for chart, function in zip(task.atlas.parametrising, task.target.functions, strict=True):
        slopes = _slopes(function, chart.domain)
        total = np.maximum(total, (slopes * errors).sum(1))
    if tiling is not None and len(tiling) > 1:
        loose = errors if places is None else places.loose(tiling.knots, errors)
        if loose.any():
            total = total + _crossings(tiling, loose) * _jump(task, tiling, loose)
    return np.where(np.isnan(total), np.inf, total) * (1 + 2.0**-20)


def _slopes(function: ExpressionMap, box: Box) -> Array:
    """sup |∂_k f| over a box, (outputs, d); ∞ where f may jump."""
    lower, upper = box.cells(BOXES)
    _, partials = GradientEnclosure(function)([Interval(low, high) for low, high in zip(lower.T, upper.T, strict=True)])
    return np.array([[float(partial.magnitude.max()) for partial in row] for row in partials])


def _crossings(tiling: Tiling, errors: Array) -> float:
    """Interfaces between v and z, at most."""
    narrowest = [float(np.diff(knots).min()) for knots in tiling.knots]
    return float(sum(1 + np.floor(e / width) for e, width in zip(errors, narrowest, strict=True) if e > 0))


def _jump(task: ManifoldTask, tiling: Tiling, errors: Array) -> Array:
    """max |f_p − f_q| on faces that two pieces share and a segment may cross, (outputs,)."""
    assert isinstance(task.target, ChartTarget)
    functions = task.target.functions
    worst = np.zeros(task.outputs)
    for p in range(len(tiling)):
        for q in range(p + 1, len(tiling)):
            lower, upper = np.maximum(tiling.lower[p], tiling.lower[q]), np.minimum(tiling.upper[p], tiling.upper[q])
            flat = lower == upper
            if (lower > upper).any() or not (flat & (errors > 0)).any():
                continue
            forms = TaylorForms.variables(*box_cells(lower, upper, BOXES))
            difference = ExpressionEnclosure(functions[p])(forms) - ExpressionEnclosure(functions[q])(forms)
            worst = np.maximum(worst, difference.range().magnitude.max(0))
    return worst
