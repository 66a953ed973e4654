"""From a task on a manifold back to the tables of a spec: `manifold_to_spec`."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...errors import AtlasMoEError, InvalidArgument, SpecError
from ...expressions.fields import callables
from ...expressions.maps import ExpressionMap
from ...expressions.parse import coordinates, format_expression, read_expression, wrong_name
from ...expressions.text import text_of
from ..atlas import Atlas
from ..chart import Chart
from ..cut import cut
from ..manifolds import builtin, embed
from ..partition import PartitionOfUnity
from ..renaming import renamed
from ..targets import parts
from ..task import CallableTarget, ChartTarget, ExpressionTarget, ManifoldTask
from .arrays import BALL_ARRAYS, EMBEDDING, ball_arrays
from .implicit import implicit_tables
from .python_target import DECLARED
from .several import target_tables


def manifold_to_spec(task: ManifoldTask) -> tuple[dict[str, Any], dict[str, NDArray]]:
    """The tables and arrays from which `task_from_spec` makes the same task: same charts, same floats, same values.

    A library manifold is written as its `[manifold]` table if that still makes it, any other atlas chart by chart. The
    function of a `CallableTarget` is not written, only its name, its number of outputs and what is declared of it. Raises
    `InvalidArgument` if an expression is not one that a spec can hold, or a name not one that it may have.
    """
    atlas = task.atlas
    table, charts, arrays = atlas_tables(atlas)
    named = {"outputs": list(task.names)} if task.names and not task.wanted else {}
    spec: dict[str, Any] = {"task": {"name": task.name, "kind": "manifold", **named, **task.options}, "manifold": table}
    if charts is not None:
        spec["chart"] = charts
    if task.wanted:
        each = [_target_table(one, charts) for one in parts(task)]
        spec["target"] = target_tables(each, task.wanted, task.names)
        return spec, arrays
    table = _target_table(task, charts)
    if charts is None or "charts" not in table:
        spec["target"] = table
    else:
        for chart_table, texts in zip(charts, table["charts"], strict=True):
            chart_table["target"] = texts
    return spec, arrays


def _target_table(task: ManifoldTask, charts: list[dict[str, Any]] | None) -> dict[str, Any]:
    """What `[target]` says of f. `charts`: the tables of charts that are written out."""
    atlas = task.atlas
    match task.target:
        case CallableTarget() as target:
            declared = {key: value for key in DECLARED if (value := getattr(target, key)) is not None}
            return {"callable": target.name, "outputs": target.outputs, **declared}
        case ChartTarget(functions=functions):
            listed = []
            for chart, function in zip(atlas.parametrising, functions, strict=True):
                names = _names(chart.inverse) if charts is None else _names(atlas.parametrising[0].inverse)
                listed.append(texts_of(function, names, f'chart "{chart.name}": target'))
            return {"charts": listed}
        case ExpressionTarget() as expression:
            return {"expression": texts_of(expression.function, atlas.coordinates, "target: expression")}
    raise AssertionError("several targets are written one by one")


def atlas_tables(atlas: Atlas) -> tuple[dict[str, Any], list[dict[str, Any]] | None, dict[str, NDArray]]:
    """The `[manifold]` table, the `[[chart]]` tables unless a library manifold brings them, and the arrays of an atlas."""
    arrays = ball_arrays(atlas)
    if atlas.embedding is not None:
        arrays[EMBEDDING] = np.array(atlas.embedding, float)
    if atlas.implicit is not None:
        table, tubes = implicit_tables(atlas)
        if atlas.embedding is not None:
            table["embed"] = {"dimension": atlas.ambient_dimension}
        arrays |= tubes
        return {**table, "arrays": list(arrays)}, None, arrays
    library = library_table(atlas)
    return (library, None, arrays) if library is not None else (*written_out(atlas), arrays)


def written_out(atlas: Atlas) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The `[manifold]` table and the `[[chart]]` tables of an atlas that no recipe makes."""
    intrinsic = _names(atlas.parametrising[0].inverse)
    for name in (*atlas.coordinates, *intrinsic):
        if why := wrong_name(name):
            raise InvalidArgument(f"the coordinate {name!r} {why}, so it cannot stand in a spec; rename it")
    if len({*atlas.coordinates, *intrinsic}) < len(atlas.coordinates) + len(intrinsic):
        raise InvalidArgument(
            f"the coordinates {atlas.coordinates} and {intrinsic} share a name, so a spec cannot tell them apart; rename them"
        )
    table: dict[str, Any] = {"ambient": list(atlas.coordinates), "intrinsic": list(intrinsic)}
    default = PartitionOfUnity()
    if atlas.partition != default:
        table |= {"partition": atlas.partition.profile, "partition_power": atlas.partition.power}
    if atlas.region is not None:
        table["region"] = texts_of(atlas.region, atlas.coordinates, "manifold: region")[0]
    needed: list[str] = []
    if atlas.cover:
        table |= {"atlas": "ball", "charts": len(atlas)}
        needed += BALL_ARRAYS
    if atlas.embedding is not None:
        table["embed"] = {"dimension": atlas.ambient_dimension}
        needed.append(EMBEDDING)
    if needed:
        table["arrays"] = needed
    return table, [_chart_table(chart, intrinsic, atlas.coordinates) for chart in atlas.parametrising]


def _chart_table(chart: Chart, u: tuple[str, ...], y: tuple[str, ...]) -> dict[str, Any]:
    label = f'chart "{chart.name}"'
    table: dict[str, Any] = {
        "name": chart.name,
        "domain": [[low, high] for low, high in zip(chart.domain.lower, chart.domain.upper, strict=True)],
        "inverse": texts_of(chart.inverse, u, f"{label}: inverse"),
    }
    if chart.forward is not None:
        table["forward"] = texts_of(chart.forward, y, f"{label}: forward")
    if any(any(faces) for faces in chart.boundary):
        table["boundary"] = [list(faces) for faces in chart.boundary]
    for key, function in (("region", chart.fading), ("bump", chart.bump), ("partition", chart.partition)):
        if function is not None:
            names = u if function.names == chart.inverse.names else y
            table[key] = texts_of(function, names, f"{label}: {key}")[0]
    return table


def texts_of(function: ExpressionMap, names: tuple[str, ...], where: str) -> list[str]:
    """The components as texts, with the variables under `names`; each is read back once, so that it can be read later.

    What was read from text is written as it was, not as sympy rewrote it.
    """
    if len(names) != function.inputs:
        raise InvalidArgument(f"{where}: is a function of {function.inputs} coordinates, not of {names}")
    known = {**coordinates(names), **callables(*function.fields)}
    renamed = function.renamed(names)
    texts = []
    for k, tree in enumerate(renamed.written or (None,) * function.outputs):
        try:
            text = format_expression(renamed.expressions[k]) if tree is None else text_of(tree)
            again = read_expression(text, known, where)
            texts.append(format_expression(again.expression) if tree is None else text)
        except SpecError as error:
            raise InvalidArgument(f"{'; '.join(map(str, error.findings))}; such an expression cannot be saved") from None
        except InvalidArgument as error:
            raise InvalidArgument(f"{where}: {error}") from None
    return texts


def _names(function: ExpressionMap) -> tuple[str, ...]:
    return function.names


def library_table(atlas: Atlas) -> dict[str, Any] | None:
    """The recipe of an atlas, if it still makes the charts that parametrise it; else None."""
    if atlas.recipe is None or (atlas.cover and atlas.recipe.get("atlas") != "ball"):
        return None
    table = dict(atlas.recipe)
    left_out = {"builtin", *(("atlas", "charts", "radius", "seed") if atlas.cover else ())}
    left_out |= {"region", "embed"} if "region" in table else set()
    left_out |= {"coordinates", "intrinsic"}
    try:
        again = builtin(table["builtin"], **{key: value for key, value in table.items() if key not in left_out})
        if "coordinates" in table or "intrinsic" in table:
            again = renamed(again, table.get("coordinates", ()), table.get("intrinsic", ()))
        if atlas.region is not None:
            again = cut(again, atlas.region, drop=True)
            if "embed" in table:
                again = embed(again, table["embed"]["dimension"], table["embed"].get("seed", 0))
    except (AtlasMoEError, KeyError):
        return None
    if again.cover or (again.coordinates, again.partition) != (atlas.coordinates, atlas.partition):
        return None
    if len(again.charts) != len(atlas.parametrising) or not all(map(_same_chart, again.parametrising, atlas.parametrising)):
        return None
    if atlas.embedding is None or again.embedding is None:
        if again.embedding is not None:
            return None
        return table if atlas.embedding is None else {**table, "embed": {"dimension": atlas.ambient_dimension}, "arrays": [EMBEDDING]}
    if again.embedding.shape != atlas.embedding.shape or not np.allclose(again.embedding, atlas.embedding, rtol=0, atol=1e-9):
        return {**table, "embed": {"dimension": atlas.ambient_dimension}, "arrays": [EMBEDDING]}
    return table


def maps_of_atlas(atlas: Atlas) -> list[ExpressionMap | None]:
    """Every map of the charts that parametrise it."""
    return [function for chart in atlas.parametrising for function in _maps(chart)]


def _same_chart(a: Chart, b: Chart) -> bool:
    if (a.name, a.domain, a.boundary, a.edge) != (b.name, b.domain, b.boundary, b.edge):
        return False
    maps = zip(_maps(a), _maps(b), strict=True)
    return all((p is None and q is None) or (p is not None and q is not None and p.same(q)) for p, q in maps)


def _maps(chart: Chart) -> tuple[ExpressionMap | None, ...]:
    return chart.inverse, chart.forward, chart.region, chart.bump, chart.partition
