"""`implicit`: the atlas of tangent charts of the zeros of equations in a box, with a proof that it leaves none out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...errors import InvalidArgument
from ...expressions.box import Array, Box
from ...expressions.from_sympy import tree_of
from ...expressions.implicit import Tube
from ...expressions.later import sympy
from ...expressions.maps import ExpressionMap
from ...expressions.tree import Call, Node
from ...progress import gauge, remark
from .. import arguments
from ..atlas import Atlas
from ..cut import cut
from ..manifolds.overlap import intrinsic_symbols
from .charts import chart_of, in_tube
from .choose import NoChart, chosen
from .components import Component, components, meant
from .continuation import continued
from .cover import Search, cover, edge_cell
from .grow import grown
from .singular import singular_point
from .zeros import Implicit, ZeroSet, checked

SAMPLES, MOST_SAMPLES = 2000, 20_000
"""Zeros that charts are chosen by, for one dimension; doubled for each more, up to the most."""
AROUND = 4096
CORE = 0.85
"""Of the half-widths of a chart, in which points count as its own: the rest is overlap."""
PROVED = 0.97
"""Of the half-widths, in which the cover is proved, so that edges of charts lie inside others."""
LARGEST = 0.5
"""The largest half-width of a chart, in parts of the narrowest side of the box."""
LEAST = 1e-3
"""The least, of the same."""
WANTED = 0.5
"""Cells are no wider than this part of the shortest half-width where it is asked whether a chart is missing."""
FEW_CELLS = 1 << 18
"""In which it is tried to prove that there is no zero at all."""
MOST_CHARTS = 4096
PROVED_UP_TO = 5
"""Coordinates of a space whose cells prove that no zero is left out; of more they are too many, and charts grow over whole components."""


def implicit(
    equations: ExpressionMap | str | Sequence[str],
    box: Any,
    *,
    coordinates: Sequence[str] | None = None,
    region: ExpressionMap | str | None = None,
    component: Any = None,
    boundary: Any = False,
    seed: Any = 0,
) -> Atlas:
    """The tangent charts of M = {x ∈ box : g(x) = 0, h(x) ≥ 0}, h the `region`, or of one of its connected components.

    Equations and region as maps, or as texts in the names `coordinates`; the box as such, or as pairs [lower, upper].
    Every chart is x = c + T·u + N·w(u) on a box of u, of which interval arithmetic proves that it is the graph of a C² function w
    (`intervals.implicit`). Up to `PROVED_UP_TO` coordinates, branch and bound proves that every zero in the box lies in a chart (`cover`);
    in more, that charts have no edge where M goes on: they are whole components of the zeros (`continuation`).

    `component`: "all", or a number from 1 to how many there are, in the order of their least coordinates, or a point near the one that is
    asked for; needed only if more than one is found. `boundary`: whether M may end at the faces of the box. Charts reach beyond them, and
    beyond h = 0, and are cut off there (`cut`). Deterministic for a seed.

    Raises `InvalidArgument`, with a witness, if no zero is found or there is none, where Dg has not full rank, where M meets the faces of
    the box unannounced, or for a cell of the box that may hold a zero outside of all charts.
    """
    equations = _read(equations, coordinates, "equations")
    region = None if region is None else _read(region, equations.names, "region")
    if not isinstance(box, Box):
        pairs = arguments.intervals("box", box, equations.inputs)
        box = Box(tuple(low for low, _ in pairs), tuple(high for _, high in pairs))
    checked(equations, box)
    seed = arguments.seed(seed)
    if not isinstance(boundary, bool):
        raise InvalidArgument(f"boundary must be true or false, got {boundary!r}")
    if region is not None and region.outputs != 1:
        raise InvalidArgument(f"the region must be one function of the coordinates, got {region.outputs}; join them by Min")
    zeros = ZeroSet(equations, box, region)
    points = _sampled(zeros, seed)
    if not boundary and box.dimension <= PROVED_UP_TO:
        _require_inside(zeros)
    tubes = _charts(zeros, _starts(zeros, points, component))
    found = components(tubes, points, CORE)
    if len(found) > 1:
        remark(_listed(found))
    keep = meant(found, component, tubes, zeros)
    if keep is None:
        raise InvalidArgument(f'{_listed(found)}; say which one is meant, component = 1 to {len(found)} or a point near it, or "all"')
    kept = set(keep)
    return of_tubes(zeros, [tubes[i] for i in keep], [tube for i, tube in enumerate(tubes) if i not in kept], boundary=boundary, drop=True)


def _read(given: ExpressionMap | str | Sequence[str], names: Sequence[str] | None, what: str) -> ExpressionMap:
    """A map, read from texts if it is none."""
    if isinstance(given, ExpressionMap):
        return given
    if names is None:
        raise InvalidArgument(f'the {what} are texts, so their coordinates have to be named: coordinates=["x", "y", "z"]')
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, Sequence) or not texts or not all(isinstance(text, str) for text in texts):
        raise InvalidArgument(f"{what} must be an expression or a list of them, got {given!r}")
    from ...expressions.parse import read_expression, real_symbols

    symbols = real_symbols(names)
    return ExpressionMap.of(symbols.values(), [read_expression(text, symbols, f"{what}[{n}]") for n, text in enumerate(texts)])


def of_tubes(zeros: ZeroSet, tubes: Sequence[Tube], aside: Sequence[Tube], *, boundary: bool, drop: bool = False) -> Atlas:
    """The atlas of these tangent charts, cut off where h < 0, and where the box ends if M may end there."""
    variables = intrinsic_symbols(zeros.dimension)
    charts = tuple(chart_of(f"chart{n}", tube, variables) for n, tube in enumerate(tubes, 1))
    atlas = Atlas(zeros.equations.names, charts, implicit=Implicit(zeros, boundary, tuple(aside)))
    ends = _ends(zeros, boundary)
    if ends is None:
        return atlas
    left = cut(atlas, ends, drop=drop)
    if len(left.parametrising) < len(tubes):
        _require_all(zeros, [chart.tube for chart in left.parametrising if chart.tube is not None], aside)
    return left


def _require_all(zeros: ZeroSet, tubes: Sequence[Tube], aside: Sequence[Tube]) -> None:
    """The charts that are left hold all that is left of M: that the others have next to nothing is sampled. Raises `InvalidArgument`."""
    if zeros.box.dimension > PROVED_UP_TO:
        at = continued(zeros, tubes).open
        cell = None if at is None else (at, at)
    else:
        cell = cover(zeros, [*tubes, *aside]).open
    if cell is None:
        return
    middle = _at(zeros, (cell[0] + cell[1]) / 2)
    raise InvalidArgument(
        f"the region seems to touch M near {middle}: next to nothing of M is left there, one point perhaps, which no chart can hold; "
        "let the region cross M, or stay away from it"
    )


def _ends(zeros: ZeroSet, boundary: bool) -> ExpressionMap | None:
    """The least of h and of the distances from the faces of the box; None where M has no edge."""
    x = zeros.equations.variables
    parts: list[tuple[Node, sympy.Expr]] = []
    if zeros.within is not None:
        parts += zip(zeros.within.trees, zeros.within.expressions, strict=True)
    for v, low, high in zip(x, zeros.box.lower, zeros.box.upper, strict=True) if boundary else ():
        for made in (v - sympy.Float(low), sympy.Float(high) - v):
            parts.append((tree_of(made), made))
    if not parts:
        return None
    trees, made = zip(*parts, strict=True)
    if len(parts) == 1:
        return ExpressionMap(x, made, trees)
    return ExpressionMap(x, (sympy.Min(*made),), (Call("Min", trees),))


def _sampled(zeros: ZeroSet, seed: int) -> Array:
    """Zeros to choose charts by. Raises `InvalidArgument` where there is none, and where one is singular."""
    around = zeros.box.low_discrepancy(AROUND, seed)
    bad = ~np.isfinite(zeros.equations(around)).all(1)
    if bad.any():
        raise InvalidArgument(
            f"an equation has no finite value at {_at(zeros, around[int(bad.argmax())])}; choose a box in which all are defined"
        )
    _require_defined(zeros, around)
    points = zeros.sample(min(SAMPLES * 2 ** (zeros.dimension - 1), MOST_SAMPLES), seed)
    if not len(points):
        none = zeros.box.dimension <= PROVED_UP_TO and cover(zeros, (), most=FEW_CELLS).open is None
        where = "there is no zero of the equations in the box" if none else "no zero of the equations was found in the box"
        remedy = "enlarge the box, or correct the equations"
        if zeros.within is not None and len(ZeroSet(zeros.equations, zeros.box).sample(1, seed)):
            where = "the region is negative, or nearly so, at all zeros of the equations in the box that were found"
            remedy = "turn its sign round, or move it: it has to be positive on an open part of M"
        raise InvalidArgument(f"{where}; {remedy}")
    if (witness := singular_point(zeros, points, around)) is not None:
        problem = f"the gradients of the equations are not independent at the zero {_at(zeros, witness)}, where M need be no manifold"
        raise InvalidArgument(f"{problem}; change the equations (x**2 = 0 is x = 0), or the box so that it stays away")
    return points


def _require_defined(zeros: ZeroSet, around: Array) -> None:
    """The region has a value wherever the equations are 0, at points of the box taken to zeros. Raises `InvalidArgument`."""
    if zeros.within is None:
        return
    x = zeros.projected(around)
    x = x[zeros.box.contains(x)]
    with np.errstate(all="ignore"):
        bad = ~np.isfinite(zeros.within(x)).all(1)
    if bad.any():
        raise InvalidArgument(
            f"the region has no finite value at the zero {_at(zeros, x[int(bad.argmax())])} of the equations; "
            "give one that is defined at all zeros in the box, as y - 0.01 in the place of sqrt(y) - 0.1"
        )


def _require_inside(zeros: ZeroSet) -> None:
    """M stays away from the faces of the box. Raises `InvalidArgument`."""
    cell = edge_cell(zeros)
    if cell is None:
        return
    middle = (cell[0] + cell[1]) / 2
    raise InvalidArgument(
        f"M meets the edge of the box, or may, near {_at(zeros, middle)}; enlarge the box, or write boundary = true if M is to end there"
    )


def _starts(zeros: ZeroSet, points: Array, component: Any) -> Array:
    """Zeros that charts have to hold: all of these, or, in many coordinates, the one next to a point of the component that is meant."""
    given = isinstance(component, Sequence | np.ndarray) and not isinstance(component, str) and len(component) == zeros.box.dimension
    if zeros.box.dimension <= PROVED_UP_TO or not given:
        return points
    asked = np.array([arguments.number(f"component[{i}]", v, -np.inf) for i, v in enumerate(component)])
    near = zeros.projected(asked[None])
    return near if zeros.holds(near)[0] else points[np.linalg.norm(points - asked, axis=1).argmin()][None]


def _charts(zeros: ZeroSet, points: Array) -> list[Tube]:
    """Tubes whose middle parts hold all of the points, and that are shown to hold all zeros, or components. Raises `InvalidArgument`."""
    sizes = LEAST * float(zeros.box.widths.min()), LARGEST * float(zeros.box.widths.min())
    try:
        if len(zeros.box.lower) > PROVED_UP_TO:
            return grown(zeros, points, CORE, PROVED, sizes, MOST_CHARTS)[0]
        tubes = _thinned(chosen(zeros, points, CORE, sizes, MOST_CHARTS), points)
        search = Search(zeros)
        with gauge("proof that the charts are all", 1):
            while True:
                done, missing = search.goes_on(tubes, PROVED, WANTED * min(min(tube.halves) for tube in tubes))
                if done.open is None:
                    return tubes
                if not len(missing):
                    raise InvalidArgument(_open(done.open))
                tubes += chosen(zeros, missing, CORE, sizes, MOST_CHARTS - len(tubes))
    except NoChart as found:
        raise InvalidArgument(_refusal(zeros, found, sizes[0])) from None


def _refusal(zeros: ZeroSet, found: NoChart, least: float) -> str:
    where = f"around the zero {_at(zeros, found.center)}"
    if found.many:
        return f"M needs more than {MOST_CHARTS} charts; it is bent too much for its box"
    problem = f"{where} no chart of half-width {least:.3g} is proved: gradients may be dependent or not smooth nearby, or M is bent more"
    return f"{problem}; change the equations, or choose a smaller box"


def _open(cell: tuple[Array, Array]) -> str:
    sides = " × ".join(f"[{low:.6g}, {high:.6g}]" for low, high in zip(*cell, strict=True))
    return (
        f"it is not shown that the cell {sides} holds no zero, and none was found near it: the gradients may be dependent there; "
        "change the equations or the box"
    )


def _thinned(tubes: list[Tube], points: Array) -> list[Tube]:
    """Without those whose points are all in others, the smallest first; the largest come first in the result."""
    held = np.stack([in_tube(tube, points, CORE) for tube in tubes])
    count = held.sum(0)
    kept = []
    for i in sorted(range(len(tubes)), key=lambda i: (int(held[i].sum()), i)):
        if (count[held[i]] > 1).all():
            count -= held[i]
        else:
            kept.append(i)
    return [tubes[i] for i in sorted(kept, key=lambda i: (-float(np.prod(tubes[i].halves)), i))]


def _listed(found: Sequence[Component]) -> str:
    parts = "; ".join(
        f"{n} near ({', '.join(f'{v:.4g}' for v in part.point)}), of {len(part.charts)} charts" for n, part in enumerate(found, 1)
    )
    return f"the zeros in the box have {len(found)} connected components: {parts}"


def _at(zeros: ZeroSet, point: Array) -> str:
    return "(" + ", ".join(f"{name} = {value:.6g}" for name, value in zip(zeros.equations.variables, point, strict=True)) + ")"
