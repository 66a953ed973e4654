"""`embed`: a random isometry R^k → R^D, so that a d-dimensional manifold lives in a space of any larger dimension."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...expressions.box import Array
from ...expressions.given import of_kind
from .. import arguments
from ..atlas import Atlas

MAX_AMBIENT = 65_536
"""The largest ambient dimension an embedding may have."""


def embed(atlas: Atlas, dimension: Any, seed: Any = 0) -> Atlas:
    """The same manifold in R^D, D = `dimension`, as the image of y ↦ Q·y with orthonormal columns Q: |Qy − Qz| = |y − z|.

    Q depends on k, D and `seed` only. Embedding an embedded atlas composes the two isometries.
    Raises `InvalidArgument` if D is smaller than the dimension the manifold already lives in.
    """
    of_kind("embed: atlas", atlas, Atlas, 'give an Atlas, like builtin("circle")')
    D = arguments.integer("embed dimension", dimension, atlas.ambient_dimension, MAX_AMBIENT)
    seed = arguments.integer("embed seed", seed, 0, 2**63 - 1)
    Q = random_isometry(atlas.ambient_dimension, D, seed)
    recipe = None
    if atlas.embedding is None and atlas.recipe is not None:
        recipe = {**atlas.recipe, "embed": {"dimension": D, "seed": seed}}
    return dataclasses.replace(atlas, embedding=Q if atlas.embedding is None else Q @ atlas.embedding, recipe=recipe)


def random_isometry(k: int, D: int, seed: int) -> Array:
    """A (D, k) matrix with orthonormal columns, uniformly distributed: Q of a Gaussian = QR with positive diagonal of R."""
    Q, R = np.linalg.qr(np.random.default_rng(seed).standard_normal((D, k)))
    return Q * np.where(np.diag(R) < 0, -1.0, 1.0)
