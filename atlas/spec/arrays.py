"""The arrays that go with a spec: the geometry of ball atlases and embeddings, which need not be computed again."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...expressions.box import Array, Box
from ..atlas import Atlas
from ..chart import BallChart, Chart, Piece
from ..manifolds.embedding import random_isometry
from .fields import Fields

Arrays = Mapping[str, NDArray]

BALL_ARRAYS = ("centers", "frames", "radii", "piece_ball", "piece_chart", "piece_lower", "piece_upper")
"""(E, k), (E, k, d), (E,); and for P boxes: the ball and the chart they belong to, (P,), and their corners, (P, d)."""
EMBEDDING = "embedding"
ROUNDED = 1e-9
"""By how much what is computed again may differ from arrays: no more than linear algebra elsewhere rounds otherwise."""
"""(D, k)."""


def ball_arrays(atlas: Atlas) -> dict[str, NDArray]:
    """The geometry of a ball atlas as arrays; empty for any other atlas."""
    balls = [chart for chart in atlas.charts if isinstance(chart, BallChart)]
    if not balls:
        return {}
    pieces = [(i, piece) for i, ball in enumerate(balls) for piece in ball.pieces]
    return {
        "centers": np.stack([ball.center for ball in balls]),
        "frames": np.stack([ball.frame for ball in balls]),
        "radii": np.array([ball.radius for ball in balls], float),
        "piece_ball": np.array([i for i, _ in pieces], np.int64),
        "piece_chart": np.array([piece.chart for _, piece in pieces], np.int64),
        "piece_lower": np.array([piece.box.lower for _, piece in pieces], float),
        "piece_upper": np.array([piece.box.upper for _, piece in pieces], float),
    }


def with_balls(fields: Fields, atlas: Atlas, arrays: Arrays, said: Mapping[str, Any]) -> Atlas | None:
    """The ball atlas over the charts of `atlas` that the arrays describe; None, with findings, if they do not fit it, or what the spec
    says of balls."""
    E, k, d, P = len(arrays["radii"]), atlas.base_dimension, atlas.dimension, len(arrays["piece_ball"])
    shapes = {"centers": (E, k), "frames": (E, k, d), "radii": (E,), "piece_ball": (P,), "piece_chart": (P,)}
    shapes |= {"piece_lower": (P, d), "piece_upper": (P, d)}
    if not all(fits(fields, name, arrays[name], shape) for name, shape in shapes.items()):
        return None
    which, charts = arrays["piece_ball"], arrays["piece_chart"]
    if E == 0 or P == 0 or set(np.unique(which)) != set(range(E)) or charts.min() < 0 or charts.max() >= len(atlas.parametrising):
        fields.error("arrays", "the pieces do not belong to the balls and charts", "save the task again")
        return None
    with np.errstate(over="ignore"):
        squares = arrays["radii"] ** 2
    if not (arrays["radii"] > 0).all() or not ((squares > 0) & np.isfinite(squares)).all():
        fields.error("arrays: radii", "expected positive radii whose squares are neither 0 nor infinite as floats", "save the task again")
        return None
    if not (arrays["piece_lower"] < arrays["piece_upper"]).all():
        fields.error("arrays", "a piece is empty", "save the task again")
        return None
    pieces: list[list[Piece]] = [[] for _ in range(E)]
    corners = zip(arrays["piece_lower"].tolist(), arrays["piece_upper"].tolist(), strict=True)
    for i, chart, (lower, upper) in zip(which.tolist(), charts.tolist(), corners, strict=True):
        pieces[i].append(Piece(chart, Box(tuple(lower), tuple(upper))))
    balls = tuple(
        BallChart(f"ball{i}", arrays["centers"][i], arrays["frames"][i], float(arrays["radii"][i]), tuple(pieces[i])) for i in range(E)
    )
    radii, charts_said, radius = arrays["radii"], said.get("charts", E), said.get("radius")
    if charts_said != E:
        fields.error("manifold: charts", f"there are to be {charts_said!r} balls, but the arrays have {E}", "save the task again")
        return None
    if said.get("atlas") == "ball" and isinstance(radius, int | float) and np.abs(radii - radius).max() > ROUNDED * abs(radius):
        fields.error("manifold: radius", f"the radius is {radius!r}, but the arrays have {float(radii.max())!r}", "save the task again")
        return None
    cover: tuple[Chart, ...] = atlas.parametrising
    return dataclasses.replace(atlas, charts=balls, cover=cover)


def embedding_matrix(fields: Fields, atlas: Atlas, arrays: Arrays, said: Mapping[str, Any]) -> Array | None:
    """The (D, k) matrix of the arrays; None, with findings, if its columns are not orthonormal, or the spec says another one."""
    Q = np.asarray(arrays[EMBEDDING])
    if not fits(fields, EMBEDDING, Q, (len(Q) if Q.ndim else 0, atlas.base_dimension)):
        return None
    if len(Q) < Q.shape[1] or np.abs(Q.T @ Q - np.eye(Q.shape[1])).max() > 1e-9:
        fields.error("arrays: embedding", "its columns are not orthonormal", "save the task again")
        return None
    if (D := said.get("dimension", len(Q))) != len(Q):
        fields.error("manifold: embed", f"the dimension is {D!r}, but the arrays embed in R^{len(Q)}", "save the task again")
        return None
    seed = said.get("seed")
    if isinstance(seed, int) and seed >= 0 and np.abs(random_isometry(Q.shape[1], len(Q), seed) - Q).max() > ROUNDED:
        fields.error("manifold: embed", f"seed {seed} does not make the embedding of the arrays", "save the task again")
        return None
    return Q


def fits(fields: Fields, name: str, array: NDArray, shape: tuple[int, ...]) -> bool:
    kind = "i" if name in ("piece_ball", "piece_chart") else "f"
    array = np.asarray(array)
    if array.dtype.kind != kind or array.shape != shape or not np.isfinite(array).all():
        what = "integers" if kind == "i" else "finite floats"
        fields.error(
            f"arrays: {name}", f"expected {what} of shape {shape}, got {array.dtype} of shape {array.shape}", "save the task again"
        )
        return False
    return True
