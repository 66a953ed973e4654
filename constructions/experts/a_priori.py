"""A-priori bounds for the experts of charts of dimension 1: |F − g| ≤ bound before anything is sampled (B4, B19).

F = f∘φ⁻¹ is put together from the task's expressions. On a `Chart` it is a function of the intrinsic coordinate. On a `BallChart` it
has no closed form, but a parameter: F(s) = f(γ(u)) at s = Vᵀ(γ(u) − c), where γ is the inverse of the chart that the ball was cut from.
"""

from __future__ import annotations

import numpy as np
import sympy

from ...atlas import Array, BallChart, Box, CallableTarget, Chart, ExpressionMap, ManifoldTask, Piece
from ...errors import AtlasMoEError
from ...moe.ledger import Claim, Known
from ...moe.ridge import Ridge
from ..relu import Fit, Target
from ..relu.spline.a_priori import a_priori_spline
from ..relu.spline.proof import Local
from ..relu.spline.spline import Spline
from ..structure.exact import Exact
from .cells import Cell


def local_expression(task: ManifoldTask, piece: Piece, chart: int) -> Local | None:
    """F = f∘φ⁻¹ of chart number `chart` on a piece of it (a box of the parametrising chart `piece.chart`), or None.

    None if the intrinsic dimension is not 1, the target is a callable, or a chart that is no ball is parametrised by another.
    """
    target, mapped = task.target, task.atlas.charts[chart]
    if task.atlas.dimension != 1 or isinstance(target, CallableTarget):
        return None
    if isinstance(mapped, Chart) and piece.chart != chart:
        return None
    curve, function = task.atlas.parametrising[piece.chart].inverse, target.local(piece.chart, task.atlas.parametrising[piece.chart])
    variable = curve.variables[0]
    expressions = tuple(e.xreplace({function.variables[0]: variable}) for e in function.expressions)
    along = None
    if isinstance(mapped, BallChart):
        offsets = [x - sympy.Float(float(c)) for x, c in zip(curve.expressions, mapped.center, strict=True)]
        along = sympy.Add(*(sympy.Float(float(v)) * x for v, x in zip(mapped.frame[:, 0], offsets, strict=True)))
    return Local(expressions, variable, piece.box.lower[0], piece.box.upper[0], along)


def spline_of(local: Local, *, width: int | None = None, epsilon: float | None = None, limit: int) -> Spline | None:
    """The a-priori spline of F as `a_priori_spline` makes it, or None where F has no bound or the limit does not suffice."""
    try:
        return a_priori_spline(
            local.expressions,
            local.variable,
            local.lower,
            local.upper,
            width=width,
            epsilon=epsilon,
            along=local.along,
            limit=limit,
        )
    except AtlasMoEError:
        return None


def local_map(task: ManifoldTask, cell: Cell) -> tuple[ExpressionMap, Array, Array] | None:
    """F = f∘φ⁻¹ in two or more coordinates of a `Chart`, with the box of its cell; all of the chart's box if it is the only one."""
    target, chart = task.target, task.atlas.charts[cell.chart]
    if task.atlas.dimension < 2 or isinstance(target, CallableTarget) or not isinstance(chart, Chart):
        return None
    if any(piece.chart != cell.chart for piece in cell.pieces):
        return None
    boxes = [chart.domain] if len(task.atlas) == 1 else [piece.box for piece in cell.pieces]
    lower, upper = np.min([box.lower for box in boxes], axis=0), np.max([box.upper for box in boxes], axis=0)
    return target.local(cell.chart, chart), lower, upper


def exact_claim(name: str, found: Exact, lower: Array, upper: Array, budget: float) -> Claim:
    """The ledger's line `expert[name].a_priori` where F has exact structure."""
    box = " × ".join(f"[{a:.6g}, {b:.6g}]" for a, b in zip(lower, upper, strict=True))
    statement = f"|F − g| everywhere on {box}, {found.how}"
    return Claim(f"expert[{name}].a_priori", statement, found.source, budget, found.bound, found.known, note="in real arithmetic")


def a_priori_fit(ridge: Ridge, target: Target, samples: int, seed: int) -> Fit:
    """What a formula gave as a fit, with its error on `samples` held-out points of the target."""
    net = ridge.to_relu(target.name, target.origin)
    inputs, values = target.draw(samples, 2 * seed + 1, True)
    error = np.abs(net(inputs) - values).max(1)
    worst = int(np.argmax(error))
    return Fit(ridge, net, float(error[worst]), inputs[worst], len(error), len(ridge.dictionary.directions))


def a_priori_claim(name: str, spline: Spline, local: Local, budget: float) -> Claim:
    """The ledger's line `expert[name].a_priori`: |F − g| ≤ bound on all of the local domain, by a formula."""
    box = Box((float(spline.knots[0]),), (float(spline.knots[-1]),))
    kind = "" if local.along is None else ", F a function of the tangent coordinate"
    return Claim(
        f"expert[{name}].a_priori",
        f"|F − g| everywhere on [{box.lower[0]:.6g}, {box.upper[0]:.6g}], from enclosures of F″ on {spline.pieces} pieces{kind}",
        "B4, B19",
        budget,
        np.inf if spline.bound is None else spline.bound,
        Known.UNKNOWN if spline.bound is None else Known.FORMULA,
        note="in real arithmetic",
    )
