"""`builtin(name, **options)`: the manifold of a spec's `[manifold]` table, and `LIBRARY`, the list of those there are."""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np

from ...errors import InvalidArgument
from ...expressions.later import sympy
from ...expressions.parse import format_expression
from .. import arguments
from ..atlas import Atlas
from ..ball import ball_atlas
from ..partition import PROFILES, PartitionOfUnity
from . import (
    circle,
    complex_projective,
    function_graph,
    grassmann,
    helicoid,
    interval,
    klein_bottle,
    moebius,
    products,
    radial,
    rotations,
    sphere,
    stiefel,
    swiss_roll,
    torus,
)
from .embedding import embed
from .product import product


@dataclass(frozen=True)
class Entry:
    """One manifold of the library."""

    name: str
    summary: str
    build: Callable[..., Atlas]
    """Keyword options to the atlas in default partition; raises `InvalidArgument` on a bad value."""
    options: Mapping[str, str]
    """What `build` accepts, with a description of each."""
    atlases: tuple[str, ...]
    """The values of the option `atlas`, the default first. "ball" is there for every manifold."""


COMMON_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "atlas": "which atlas",
        "partition": f"profile of the default bumps: {' or '.join(PROFILES)}",
        "partition_power": "power of the polynomial bump",
        "embed": "{ dimension = D, seed = 0 }: a random isometry into R^D",
    }
)
"""Options of every manifold."""

BALL_OPTIONS: Mapping[str, str] = MappingProxyType(
    {
        "charts": "number of balls",
        "radius": "radius of the balls (instead of their number)",
        "seed": "seed of the centres",
    }
)
"""Options of every manifold with `atlas = "ball"`; `charts` then no longer counts the charts that parametrise it."""


def _entry(name: str, summary: str, build: Callable[..., Atlas], atlases: tuple[str, ...], **described: str) -> Entry:
    return Entry(name, summary, build, MappingProxyType(described), (*atlases, "ball"))


def _product(factors: Any = None) -> Atlas:
    """The product of the library manifolds in a list of tables."""
    if not isinstance(factors, Sequence) or isinstance(factors, str) or not 2 <= len(factors) <= arguments.MAX_DIMENSION:
        raise InvalidArgument(f"factors must be a list of at least two tables {{ builtin = …, … }}, got {factors!r}")
    atlases = []
    for i, table in enumerate(factors):
        if not isinstance(table, Mapping) or not isinstance(table.get("builtin"), str) or not all(isinstance(k, str) for k in table):
            raise InvalidArgument(f"factors[{i}] must be a table {{ builtin = …, … }}, got {table!r}")
        if whole := [key for key in ("region", "coordinates", "intrinsic") if key in table]:
            problem = f"factors[{i}]: {whole[0]!r} is said of the whole product"
            raise InvalidArgument(f"{problem}; write it beside factors, in the coordinates of all of them")
        atlases.append(builtin(table["builtin"], **{k: v for k, v in table.items() if k != "builtin"}))
    return functools.reduce(product, atlases)


_DIMENSION = "intrinsic dimension"
_SPHERE_ATLASES = ("stereographic", "graph")

LIBRARY: Mapping[str, Entry] = MappingProxyType(
    {
        entry.name: entry
        for entry in (
            _entry("interval", "[a, b] in R", interval.interval, ("boxes",), domain="[a, b]", charts="overlapping pieces"),
            _entry("box", "a box in R^d", interval.box, ("boxes",), dimension=_DIMENSION, domain="[[a1, b1], …]", charts="pieces per axis"),
            _entry("circle", "the unit circle in R^2", circle.circle, ("arcs", *_SPHERE_ATLASES), charts="overlapping arcs"),
            _entry("sphere", "the unit sphere S^n in R^{n+1}", sphere.sphere, _SPHERE_ATLASES, dimension=_DIMENSION),
            _entry("ellipsoid", "an ellipsoid in R^{n+1}", sphere.ellipsoid, _SPHERE_ATLASES, axes="[a1, …, a_{n+1}], half-axes"),
            _entry("torus", "the flat torus T^n in R^{2n}", torus.torus, ("arcs",), dimension=_DIMENSION, charts="arcs per circle"),
            _entry("cylinder", "circle times interval, in R^3", torus.cylinder, ("arcs",), height="of the axis", charts="arcs"),
            _entry(
                "swiss_roll",
                "a rectangle rolled up in R^3",
                swiss_roll.swiss_roll,
                ("turns",),
                turns="how often it goes round",
                height="width of the rectangle",
                charts="overlapping pieces along the spiral",
            ),
            _entry(
                "moebius_band",
                "the Möbius band in R^3",
                moebius.moebius_band,
                ("strips",),
                width="across the strip",
                charts="strips around",
            ),
            _entry(
                "klein_bottle",
                "the Klein bottle in R^4",
                klein_bottle.klein_bottle,
                ("arcs",),
                tube="radius of the tube",
                charts="arcs around either circle",
            ),
            _entry(
                "helicoid",
                "a line that turns while it climbs, in R^3",
                helicoid.helicoid,
                ("turns",),
                turns="how often it turns",
                height="of the axis",
                width="of the line",
                charts="overlapping pieces along the axis",
            ),
            _entry("disc", "the unit disc in R^2", radial.disc, ("shells",)),
            _entry("annulus", "the plane between two circles", radial.annulus, ("shells",), inner="radius", outer="radius"),
            _entry("ball", "the unit ball in R^n", radial.ball, ("shells",), dimension=_DIMENSION),
            _entry("shell", "R^n between two spheres", radial.shell, ("shells",), dimension=_DIMENSION, inner="radius", outer="radius"),
            _entry("spheres", "a product of unit spheres", products.spheres, _SPHERE_ATLASES, dimensions="list of their dimensions"),
            _entry(
                "real_projective", "the projective space RP^n, matrices x·xᵀ", grassmann.real_projective, ("graphs",), dimension=_DIMENSION
            ),
            _entry(
                "complex_projective",
                "the projective space CP^n, Hermitian projectors",
                complex_projective.complex_projective,
                ("graphs",),
                dimension="complex dimension",
            ),
            _entry(
                "grassmann",
                "the k-dimensional subspaces of R^n, as projectors",
                grassmann.grassmann,
                ("graphs",),
                k="dimension of the subspaces",
                n="of the space",
            ),
            _entry("stiefel", "k orthonormal vectors of R^n", stiefel.stiefel, ("cayley",), k="how many vectors", n="of the space"),
            _entry("so3", "the rotations SO(3), matrices in R^9 row by row", rotations.rotations, ("quaternion",)),
            _entry("se3", "rotations times a box of translations, in R^12", products.rigid_motions, ("product",), domain="[[a1, b1], …]"),
            _entry(
                "graph",
                "the graph of a function over a box",
                function_graph.graph,
                ("boxes",),
                expression="the function of u1, …, ud, or a list of them",
                dimension=_DIMENSION,
                domain="[[a1, b1], …]",
                charts="pieces per axis",
            ),
            _entry(
                "product", "the product of other library manifolds", _product, ("product",), factors="list of tables { builtin = …, … }"
            ),
        )
    }
)


KEPT = 16
"""Atlases that are kept: who reads the same task again, or checks what was just compiled, has its charts as they were prepared."""
_KEPT: dict[str, Atlas] = {}
"""By what was asked for, the last asked for last."""


def builtin(name: str, **given: Any) -> Atlas:
    """The library manifold `name` with the options of a `[manifold]` table; its `recipe` is that table.

    Raises `InvalidArgument` naming the manifold, option or value that is not accepted, and those that are.
    """
    if not isinstance(name, str) or name not in LIBRARY:
        raise arguments.unknown("manifold", name, LIBRARY)
    try:
        key = json.dumps([name, given])
    except (TypeError, ValueError):  # not from a table: there is nothing to know it by
        return _made(name, given)
    atlas = _KEPT.pop(key, None)
    if atlas is None or atlas.recipe != _recipe(name, given):  # a recipe is a table that whoever has the atlas can write into
        atlas = _made(name, given)
    _KEPT[key] = atlas
    if len(_KEPT) > KEPT:
        del _KEPT[next(iter(_KEPT))]
    return atlas


def _made(name: str, given: Mapping[str, Any]) -> Atlas:
    try:
        atlas = _build(LIBRARY[name], given)
    except InvalidArgument as error:
        raise InvalidArgument(f'manifold "{name}": {error}') from None
    return dataclasses.replace(atlas, recipe=_recipe(name, given))


def _recipe(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = _plain({"builtin": name, **given})
    return found


def _plain(value: Any) -> Any:
    """The value in the types of a TOML file: expressions as text, arrays as lists."""
    match value:
        case Mapping():
            return {str(k): _plain(v) for k, v in value.items()}
        case np.ndarray() | np.generic():
            return _plain(value.tolist())
        case list() | tuple():
            return [_plain(v) for v in value]
        case None | str() | int() | float():
            return value
        case sympy.Basic():
            return format_expression(value)
        case _:
            return value


def _build(entry: Entry, given: Mapping[str, Any]) -> Atlas:
    kind = arguments.choice("atlas", given.get("atlas", entry.atlases[0]), entry.atlases)
    balls = kind == "ball"
    accepted = {**entry.options, **COMMON_OPTIONS, **(BALL_OPTIONS if balls else {})}
    for option in given:
        if option not in accepted:
            if option in BALL_OPTIONS:
                raise InvalidArgument(f'the option {option!r} needs atlas = "ball" here; without it the options are {", ".join(accepted)}')
            raise arguments.unknown("option", option, accepted)
    rest = {k: v for k, v in given.items() if k not in COMMON_OPTIONS and not (balls and k in BALL_OPTIONS)}
    if len(entry.atlases) > 2 and not balls:
        rest["atlas"] = kind
    atlas = entry.build(**rest)
    if "partition" in given or "partition_power" in given:
        atlas = dataclasses.replace(atlas, partition=_partition(given))
    if balls:
        atlas = ball_atlas(atlas, **{k: given[k] for k in BALL_OPTIONS if k in given})
    if "embed" in given:
        atlas = _embed(atlas, given["embed"])
    return atlas


def _partition(given: Mapping[str, Any]) -> PartitionOfUnity:
    default = PartitionOfUnity()
    return PartitionOfUnity(
        arguments.choice("partition", given.get("partition", default.profile), PROFILES),
        arguments.integer("partition_power", given.get("partition_power", default.power), 1, 64),
    )


def _embed(atlas: Atlas, table: Any) -> Atlas:
    if not isinstance(table, Mapping) or "dimension" not in table:
        raise InvalidArgument(f"embed must be a table with a dimension, e.g. {{ dimension = 100, seed = 0 }}, got {table!r}")
    for key in table:
        if key not in ("dimension", "seed"):
            raise arguments.unknown("embed option", key, ("dimension", "seed"))
    return embed(atlas, table["dimension"], table.get("seed", 0))
