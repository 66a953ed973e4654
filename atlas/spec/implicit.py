"""The `[manifold]` table of an implicit manifold, `implicit = ["x**2 + y**2 - 1"]`, and the arrays that its charts are kept in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AtlasMoEError
from ...expressions.implicit import Tube
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates
from ..arguments import MAX_CHARTS
from ..atlas import Atlas
from ..implicit.build import implicit, of_tubes
from ..implicit.zeros import ZeroSet
from .arrays import Arrays, fits
from .charts import MAX_COORDINATES, Written, read_domain, read_names
from .fields import Fields, shown

IMPLICIT_KEYS = ("ambient", "implicit", "box", "region", "component", "boundary", "atlas", "charts", "radius", "seed", "embed", "arrays")
IMPLICIT_ARRAYS = ("tube_centers", "tube_reflections", "tube_halves", "tube_heights", "tube_aside")
"""(E, k), (E, r, k) whole numbers, (E, d), (E, m), and (E,) which is 1 for charts that are no part of M.

m ≤ r < k, and rows of zeros after the m-th are no reflections.
"""
KINDS = ("ball", "power", "tangent")
LARGEST_WHOLE = 1 << 12
"""Of the vectors that charts are reflected in."""


def read_implicit(fields: Fields, table: Any, arrays: Arrays) -> Written:
    """The tangent charts of the manifold, before any balls or embedding: those of the arrays, or computed."""
    table = fields.table(table, "manifold", IMPLICIT_KEYS)
    names = read_names(fields, table, "ambient", MAX_COORDINATES)
    if "box" not in table:
        fields.error("manifold", "the key 'box' is missing", "give the box in which zeros are looked for, box = [[lower, upper], ...]")
    if table.get("atlas", "ball") not in KINDS:
        fields.error("manifold: atlas", f"unknown atlas {shown(table['atlas'])}", 'write atlas = "ball", the default, "power" or "tangent"')
    for key in ("charts", "radius"):
        if key in table and table.get("atlas") == "tangent":
            fields.error("manifold", f"the key {key!r} is for balls only", 'remove it, or atlas = "tangent"')
    if names is None or "box" not in table:
        return Written(None, names)
    box = read_domain(fields, table["box"], "manifold: box", len(names))
    x = coordinates(names)
    equations = _map(fields, table, "implicit", x)
    region = fields.expression(table["region"], "manifold: region", dict(x)) if "region" in table else None
    within = None if region is None else ExpressionMap.of(x.values(), (region,))
    if fields.findings or box is None or equations is None:
        return Written(None, names)
    try:
        if all(name in arrays for name in IMPLICIT_ARRAYS):
            tubes = _tubes(fields, equations, arrays)
            atlas = None if tubes is None else of_tubes(ZeroSet(equations, box, within), *tubes, boundary=table.get("boundary") is True)
        else:
            options = {key: table[key] for key in ("component", "boundary", "seed") if key in table}
            atlas = implicit(equations, box, region=within, **options)
    except AtlasMoEError as error:
        fields.failure("manifold", error, "correct the [manifold] table")
        return Written(None, names)
    return Written(atlas, names)


def _map(fields: Fields, table: Mapping[str, Any], key: str, x: Mapping[str, Any]) -> ExpressionMap | None:
    given = table[key]
    read = fields.expressions([given] if isinstance(given, str) else given, f"manifold: {key}", dict(x), None)
    return None if read is None else ExpressionMap.of(x.values(), read)


def _tubes(fields: Fields, equations: ExpressionMap, arrays: Arrays) -> tuple[list[Tube], list[Tube]] | None:
    """The tubes of M and those beside it; None, with findings, if the arrays do not fit."""
    k, m, E = equations.inputs, equations.outputs, len(arrays["tube_aside"])
    r = arrays["tube_reflections"].shape[1] if arrays["tube_reflections"].ndim == 3 else m
    shapes = {
        "tube_centers": (E, k),
        "tube_reflections": (E, min(max(r, m), k - 1), k),
        "tube_halves": (E, k - m),
        "tube_heights": (E, m),
        "tube_aside": (E,),
    }
    if not all(fits(fields, name, arrays[name], shape) for name, shape in shapes.items()):
        return None
    centers, vectors, halves, heights, aside = (np.asarray(arrays[name]) for name in IMPLICIT_ARRAYS)
    whole = vectors == np.rint(vectors)
    good = (
        0 < E <= MAX_CHARTS
        and not aside.all()
        and np.isin(aside, (0, 1)).all()
        and whole.all()
        and (np.abs(vectors) <= LARGEST_WHOLE).all()
    )
    if not good or not (vectors[:, :m] != 0).any(2).all() or not (halves > 0).all() or not (heights > 0).all():
        fields.error("arrays", "the tangent charts are none", "save the task again")
        return None
    made = [
        Tube(equations, tuple(c), tuple(tuple(map(int, v)) for v in rows if any(v)), tuple(s), tuple(h))
        for c, rows, s, h in zip(centers.tolist(), vectors.tolist(), halves.tolist(), heights.tolist(), strict=True)
    ]
    return [t for t, beside in zip(made, aside, strict=True) if not beside], [t for t, beside in zip(made, aside, strict=True) if beside]


def implicit_tables(atlas: Atlas) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The `[manifold]` table of an implicit manifold, without embedding, and its arrays."""
    assert atlas.implicit is not None
    zeros, tubes = atlas.implicit.zeros, [chart.tube for chart in atlas.parametrising if chart.tube is not None]
    table: dict[str, Any] = {
        "ambient": list(atlas.coordinates),
        "implicit": list(zeros.equations.texts),
        "box": [[low, high] for low, high in zip(zeros.box.lower, zeros.box.upper, strict=True)],
    }
    region = atlas.region if zeros.within is None and not atlas.implicit.boundary else zeros.within
    if region is not None:
        table["region"] = region.texts[0]
    if atlas.implicit.boundary:
        table["boundary"] = True
    table["atlas"] = "ball" if atlas.cover else "tangent"
    every = [*tubes, *atlas.implicit.aside]
    most, none = max(len(tube.reflections) for tube in every), (0,) * len(atlas.coordinates)
    arrays: dict[str, NDArray] = {
        "tube_centers": np.array([tube.center for tube in every]),
        "tube_reflections": np.array([(*tube.reflections, *[none] * (most - len(tube.reflections))) for tube in every], float),
        "tube_halves": np.array([tube.halves for tube in every]),
        "tube_heights": np.array([tube.heights for tube in every]),
        "tube_aside": np.array([0.0] * len(tubes) + [1.0] * (len(every) - len(tubes))),
    }
    return table, arrays
