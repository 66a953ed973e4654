"""The `[manifold]` table of a spec: charts of the user's own or a manifold of the library, cut into balls, embedded."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ...errors import AtlasMoEError, SpecError
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates
from ...expressions.scope import NAME
from ..atlas import Atlas
from ..ball import ball_atlas
from ..cut import cut
from ..manifolds import builtin, embed
from ..power import power_atlas
from ..renaming import renamed
from .arrays import BALL_ARRAYS, EMBEDDING, Arrays, embedding_matrix, with_balls
from .charts import MANIFOLD_KEYS, MAX_COORDINATES, Written, read_charts, read_names
from .fields import Fields, shown
from .implicit import IMPLICIT_ARRAYS, read_implicit
from .unroll import without_names

BALL_KEYS = ("charts", "radius", "seed")
BALLS = ("ball", "power")
"""Atlases of balls: of one radius, and of radii that follow the manifold."""


def read_manifold(fields: Fields, table: Any, charts: Any, arrays: Arrays) -> Written:
    """The atlas: read from the charts or taken from the library, then cut into balls, then embedded."""
    if isinstance(table, Mapping):
        _check_arrays(fields, table, arrays)
    if isinstance(table, Mapping) and "implicit" in table:
        if charts is not None:
            fields.error("chart", "an implicit manifold brings its own charts", "remove [[chart]], or implicit")
        written, recipe = read_implicit(fields, table, arrays), None
        table = {"atlas": "ball", **{key: value for key, value in table.items() if key != "region"}}
    elif not isinstance(table, Mapping) or "builtin" not in table:
        table = fields.table(table, "manifold", MANIFOLD_KEYS)
        written = read_charts(fields, table, charts)
        kind = table.get("atlas")
        if kind not in (None, *BALLS):
            fields.error(
                "manifold: atlas",
                f"unknown atlas {shown(kind)}",
                'write atlas = "ball" or "power", or leave it out to use the charts as they are',
            )
        for key in BALL_KEYS:
            if key in table and kind is None:
                fields.error("manifold", f"the key {key!r} is for balls only", 'add atlas = "ball", or remove it')
        recipe = None
    else:
        if charts is not None:
            fields.error("chart", f"the builtin manifold {shown(table['builtin'])} brings its own charts", "remove [[chart]], or builtin")
        for key, remedy in (
            ("name", "the name of the task stands in [task]"),
            ("ambient", "write coordinates = [...], the names that you give"),
        ):
            if key in table:
                fields.error("manifold", f"unknown key {key!r}", remedy)
                return Written(None, None)
        table = plain_of(fields, table)
        balls = table.get("atlas") == "ball" and "centers" in arrays
        later = balls or table.get("atlas") == "power" or ("region" in table and table.get("atlas") == "ball")
        left_out = {"builtin", "arrays", "region", "coordinates", "intrinsic", *(("atlas", *BALL_KEYS) if later else ())}
        left_out |= {"embed"} if EMBEDDING in arrays or "region" in table else set()
        renamed_options = in_library_names(fields, table)
        if renamed_options is None:
            return Written(None, None)
        try:
            options = {key: value for key, value in table.items() if key not in left_out}
            atlas = builtin(table["builtin"], **options | renamed_options)
        except AtlasMoEError as error:
            name = table["builtin"]
            fields.failure(
                f'manifold "{name}"' if isinstance(name, str) and name.isprintable() else "manifold", error, "correct the [manifold] table"
            )
            return Written(None, None)
        atlas = _named(fields, table, atlas)
        written = Written(atlas, atlas.coordinates)
        recipe = {key: value for key, value in table.items() if key != "arrays"}
    if written.atlas is None or fields.findings:
        return dataclasses.replace(written, atlas=None)
    whole = written.atlas
    left = _cut(fields, whole, table["region"], drop=recipe is not None) if "region" in table else whole
    finished = None if left is None else _finished(fields, left, table, recipe, arrays)
    return dataclasses.replace(written, atlas=finished)


def plain_of(fields: Fields, table: Mapping[str, Any]) -> dict[str, Any]:
    """The table of a library manifold with its constants put in, as the recipe is kept and saved."""
    try:
        return {key: without_names(value, key) for key, value in table.items()}
    except SpecError as error:
        fields.findings.extend(error.findings)
        return {key: value for key, value in table.items() if key == "builtin"}


def in_library_names(fields: Fields, table: Mapping[str, Any]) -> dict[str, Any] | None:
    """The `expression` of a `graph` whose coordinates have names of the user's, in u1, u2, …; None with findings, {} where nothing changes.

    Its variables are the intrinsic coordinates, and the first of the ambient ones, which are the same numbers. u1, u2, … go on to mean
    themselves, unless they are names of the user's for something else.
    """
    given, listed = table.get("expression"), [table.get(key) for key in ("coordinates", "intrinsic")]
    named = [names for names in listed if isinstance(names, list) and all(isinstance(name, str) for name in names)]
    if table.get("builtin") != "graph" or given is None or not named:
        return {}
    texts = given if isinstance(given, list) else [given]
    d = table.get("dimension", 2)
    if not isinstance(d, int) or not all(isinstance(text, str) for text in texts):
        return {}
    meant = {f"u{k + 1}": f"u{k + 1}" for k in range(d)}
    for names in named:
        meant |= {name: f"u{k + 1}" for k, name in enumerate(names[:d])}
    own = [name for names in named for name in names[:d]]
    if fields.expressions(texts, "manifold: expression", coordinates([*own, *(u for u in meant if u not in own)]), None) is None:
        return None
    done = [NAME.sub(lambda found: meant.get(found[0], found[0]), text) for text in texts]
    return {"expression": done if isinstance(given, list) else done[0]}


def _named(fields: Fields, table: Mapping[str, Any], atlas: Atlas) -> Atlas:
    """A library manifold under the names of the user."""
    before = len(fields.findings)
    given = {key: read_names(fields, table, key, MAX_COORDINATES) for key in ("coordinates", "intrinsic") if key in table}
    for key, count in (("coordinates", atlas.base_dimension), ("intrinsic", atlas.dimension)):
        names = given.get(key)
        if names is not None and len(names) != count:
            fields.error(f"manifold: {key}", f"there are {len(names)} names for {count} coordinates", "name every one of them")
            return atlas
    ambient = given.get("coordinates") or atlas.coordinates
    intrinsic = given.get("intrinsic") or atlas.parametrising[0].inverse.names
    for name in sorted(set(ambient) & set(intrinsic)):
        fields.error("manifold", f"the name {name!r} is both ambient and intrinsic", "rename one of the two")
    return renamed(atlas, ambient, intrinsic) if given and len(fields.findings) == before else atlas


def _cut(fields: Fields, atlas: Atlas, value: Any, *, drop: bool) -> Atlas | None:
    """The part of the manifold where the region is not negative."""
    symbols = coordinates(atlas.coordinates)
    read = fields.expression(value, "manifold: region", symbols)
    if read is None:
        return None
    try:
        return cut(atlas, ExpressionMap.of(symbols.values(), (read,)), drop=drop)
    except AtlasMoEError as error:
        fields.failure("manifold: region", error, "correct the region")
        return None


def _finished(fields: Fields, atlas: Atlas, table: Mapping[str, Any], recipe: Mapping[str, Any] | None, arrays: Arrays) -> Atlas | None:
    """The atlas cut into balls and embedded, by the arrays where there are any, else by computation."""
    done: Atlas | None = atlas
    kind = table.get("atlas")
    if kind == "power" and "charts" in table:
        problem = "the key 'charts' is for balls of one radius; of unequal radii there are as many as it takes"
        fields.error("manifold", problem, 'remove it, or write atlas = "ball"; radius is the largest that a ball may have')
        return None
    try:
        if kind in BALLS and not atlas.cover:
            if "centers" in arrays:
                done = with_balls(fields, atlas, arrays, table)
            elif kind == "ball":
                done = ball_atlas(atlas, **{key: table[key] for key in BALL_KEYS if key in table})
            else:
                done = power_atlas(atlas, **{name: table[key] for name, key in (("largest", "radius"), ("seed", "seed")) if key in table})
        if done is None:
            return None
        if EMBEDDING in arrays:
            said = table.get("embed")
            Q = embedding_matrix(fields, done, arrays, said if isinstance(said, Mapping) else {})
            done = None if Q is None else dataclasses.replace(done, embedding=Q)
        elif "embed" in table and done.embedding is None:
            options = fields.table(table["embed"], "manifold: embed", ("dimension", "seed"))
            if "dimension" not in options:
                fields.error("manifold: embed", "the key 'dimension' is missing", "write embed = { dimension = 100, seed = 0 }")
                return None
            done = embed(done, options["dimension"], options.get("seed", 0))
    except AtlasMoEError as error:
        fields.failure("manifold", error, "correct the [manifold] table")
        return None
    return None if done is None else dataclasses.replace(done, recipe=recipe)


def _check_arrays(fields: Fields, table: Mapping[str, Any], arrays: Arrays) -> None:
    """That the arrays are ones that belong to a spec, and all those are there that this one cannot do without."""
    for name in arrays:
        if name not in (known := (*BALL_ARRAYS, EMBEDDING, *IMPLICIT_ARRAYS)):
            fields.error("arrays", f"unknown array {shown(name)}", f"the arrays are {', '.join(known)}")
    listed = table.get("arrays", [])
    needed = {name for name in listed if isinstance(name, str)} if isinstance(listed, list) else set()
    for together in (BALL_ARRAYS, IMPLICIT_ARRAYS):
        if set(together) & set(arrays):
            needed |= set(together)
    missing = sorted(needed - set(arrays))
    if missing:
        fields.error(
            "manifold: arrays", f"the arrays {', '.join(missing)} are missing", "load the whole folder that this spec was saved in"
        )
