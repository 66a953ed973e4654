"""`refine`: the same manifold and target on as many balls as are asked for.

E experts of width m and E/2 of width 2m are interchangeable up to the law B3, but only m and the gate are paid per input:
a task therefore wants to be tried on finer atlases. Points of M, the oracle and the embedding stay what they were, because the
charts that parametrise M stay; only the charts U_i change.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from ..errors import InvalidArgument
from . import arguments
from .atlas import Atlas
from .ball import ball_atlas
from .task import ManifoldTask


def refine(task: ManifoldTask, *, experts: Any = None, factor: Any = None, seed: Any = 0) -> ManifoldTask:
    """The task on a ball atlas of `experts` = E charts, or of `factor` > 1 times as many as it has now, rounded up.

    The manifold, its embedding and the target are those of `task`, point by point; its charts become the E balls of
    `ball_atlas` (Example 4.6), so experts on them are two-layer and the router is affine (B1). Charts of any kind can be refined:
    arcs, balls, or a user's own. Bumps and partitions that the user gave for the old charts do not
    carry over: balls have the default ones. Deterministic for a `seed`.

    Raises `InvalidArgument` if `task` is no manifold task, if not exactly one of `experts` and `factor` is given, if E is not from 1 to
    4096, or if E balls are too few for their tangent charts to be injective.
    """
    if not isinstance(task, ManifoldTask):
        raise InvalidArgument(f"refine takes a ManifoldTask, whose one atlas it makes finer, got {type(task).__name__}")
    if (experts is None) == (factor is None):
        raise InvalidArgument("give refine either experts (how many charts) or factor (how many times as many as now), and not both")
    now = len(task.atlas)
    if factor is None:
        count = arguments.integer("experts", experts, 1, arguments.MAX_CHARTS)
    else:
        wanted = -(-now * arguments.number("factor", factor, 1) // 1)
        if wanted > arguments.MAX_CHARTS:
            raise InvalidArgument(f"factor = {factor:g} makes {wanted:.0f} of {now} charts, more than {arguments.MAX_CHARTS}")
        count = int(wanted)
    try:
        balls = ball_atlas(task.atlas, charts=count, seed=seed)
    except InvalidArgument as error:
        raise InvalidArgument(f"task {task.name!r} cannot be refined to {count} balls: {error}") from None
    return dataclasses.replace(task, atlas=_with_recipe(balls, task.atlas.recipe, count, seed))


def _with_recipe(balls: Atlas, before: Mapping[str, Any] | None, count: int, seed: int) -> Atlas:
    """The recipe of a library manifold that was cut into balls before says how many there are now."""
    if balls.recipe is not None or before is None or before.get("atlas") != "ball":
        return balls
    kept = {key: value for key, value in before.items() if key not in ("charts", "radius", "seed")}
    return dataclasses.replace(balls, recipe={**kept, "charts": count, "seed": seed})
