"""What floats make of an expression is what it says: no digits are lost in differences of large numbers, nor by sympy's floats.

Everything that is compiled and sampled is compared with the values of `ExpressionMap`, everything that is proved with the text.
"""

from __future__ import annotations

import numpy as np

from ...errors import Finding, InvalidArgument
from ...expressions.box import Array
from ...expressions.evaluate import evaluate
from ...expressions.maps import ExpressionMap
from ...expressions.precise import Enclosed, enclose_at
from ...expressions.tree import Node
from .. import distinct
from .domains import Use
from .probe import Probe, number, warning

POINTS = 256
EXACTLY = 9
"""Points at which doubtful values are computed to many digits."""
LOST = 1e-6
"""A difference counts from this fraction of the expression's range."""


def check_digits(probe: Probe, where: str, function: ExpressionMap, *, through: ExpressionMap | None = None, of: str = "") -> list[Finding]:
    """A map of intrinsic coordinates, or of ambient ones `through` φ⁻¹, is evaluated to LOST of its range; else a warning."""
    if function.written is None:
        return []
    use = Use(probe, function, through, probe.thin(probe.closed, POINTS), True)
    values = function(use.points if through is None else through(use.points))
    columns = use.columns(use.points)
    found = []
    for k, tree in enumerate(function.trees):
        try:
            known = evaluate([tree], columns)[tree]
            doubt = np.nan_to_num(np.abs(values[:, k] - known.value) + known.error)
            size = float(np.ptp(np.nan_to_num(known.value)))
            if not doubt.max() > LOST * size:
                continue
            rows = distinct.numbers(np.array([doubt.argmax(), *np.linspace(0, len(doubt) - 1, EXACTLY).astype(int)]))
            true = np.array([_exactly(use, tree, use.points[row]) for row in rows])
        except InvalidArgument:
            continue  # a function that no text can say
        off = np.nan_to_num(np.abs(values[rows, k] - true))
        if off.max() > LOST * max(float(np.ptp(np.nan_to_num(true))), LOST * float(np.abs(np.nan_to_num(true)).max())):
            j = int(off.argmax())
            name = f"{where}[{k}]" if function.outputs > 1 else where
            problem = f"loses its digits{of}: it comes out as {number(values[rows[j], k])} where it is {number(true[j])}"
            found.append(warning(name, problem, "write it without differences of large numbers", use.points[rows[j]]))
    return found


def _exactly(use: Use, tree: Node, point: Array) -> float:
    """The value at a point of the box; NaN where it is not known."""
    found = enclose_at(*use.exactly(tree, point))
    return float(found.lower) if isinstance(found, Enclosed) else float("nan")
