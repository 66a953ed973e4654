"""The boxes of a certificate: trees as `certificate.safetensors` holds them, cut again here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array
from ...errors import FolderError
from .nets import Flags

NODES, MEMBERS = 1 << 24, 1 << 29
"""Boxes of a tree, and leaves times winners, that are read at most."""
OUTSIDE, ELSEWHERE, PROVED, UNSETTLED = 0, 1, 2, 255
TAGS = {str(OUTSIDE): "outside", str(ELSEWHERE): "elsewhere", str(PROVED): "proved", str(UNSETTLED): "unknown"}
ARRAYS = {"lower": "f8", "upper": "f8", "cuts": "u1", "tags": "u1", "bounds": "f8", "offsets": "i8", "members": "i4"}


class Tree(NamedTuple):
    """The leaves of one piece: boxes (N, d), tags and bounds (N,), and which gate outputs are in each one's set (N, E)."""

    root: Array
    """(2, d): lower and upper corner of the whole."""
    lower: Array
    upper: Array
    tags: NDArray[np.uint8]
    bounds: Array
    members: Flags

    @property
    def largest(self) -> float:
        """Of the bounds of leaves that are not outside."""
        return float(self.bounds[self.tags != OUTSIDE].max(initial=0.0))

    @property
    def open(self) -> bool:
        return bool((self.tags == UNSETTLED).any())


def read_tree(arrays: Mapping[str, NDArray], prefix: str, path: Path, dimension: int, winners: int, scores: bool) -> Tree | str:
    """The tree of that name, or what is wrong with it. Raises `FolderError` for arrays that are missing or of other dtypes."""
    for name, dtype in ARRAYS.items():
        array = arrays.get(f"{prefix}{name}")
        if array is None or array.dtype != np.dtype(dtype) or array.ndim != 1 or len(array) > NODES:
            raise FolderError(f"{path}: has no array {prefix}{name} of dtype {np.dtype(dtype)}, one-dimensional, below {NODES} entries")
    lower, upper, cuts, tags, bounds, offsets, members = (arrays[f"{prefix}{name}"] for name in ARRAYS)
    if not len(lower) == len(upper) == dimension or not (np.isfinite(lower) & np.isfinite(upper) & (lower <= upper)).all():
        return f"the root box {lower[:8]} … {upper[:8]} is no box of {dimension} dimensions"
    leaves = cut(tuple(lower.tolist()), tuple(upper.tolist()), cuts)
    if leaves is None or not len(leaves) == len(tags) == len(bounds) == len(offsets) - 1:
        return "the cuts are not the preorder of a tree with as many leaves as there are tags"
    sizes = np.diff(offsets)
    if offsets[0] != 0 or (sizes < 0).any() or offsets[-1] != len(members) or ((members < 0) | (members >= winners)).any():
        return "the sets of winners are not one set of gate outputs a leaf"
    proved = tags == PROVED
    if not np.isin(tags, (OUTSIDE, ELSEWHERE, PROVED, UNSETTLED)).all():
        return "there is a leaf whose tag is none"
    if (not scores and (sizes[proved] == 0).any()) or not (bounds[proved] >= 0).all() or not np.isfinite(bounds[proved]).all():
        return "there is a leaf tagged proved without winners or without a bound"
    if len(tags) * winners > MEMBERS:
        return f"{len(tags)} leaves with sets of {winners} winners are more than is checked"
    chosen = np.zeros((len(tags), winners), bool)
    chosen[np.repeat(np.arange(len(tags)), sizes), members] = True
    corners = np.array(leaves).reshape(len(tags), 2, -1)
    return Tree(np.stack([lower, upper]), corners[:, 0], corners[:, 1], tags, bounds, chosen)


def cut(lower: tuple[float, ...], upper: tuple[float, ...], cuts: NDArray[np.uint8]) -> list[tuple[float, ...]] | None:
    """Corners of the leaves of a preorder, (lower, upper) each: k + 1 cuts side k at lower + (upper − lower)/2. None if it is no tree."""
    d = len(lower)
    waiting, leaves = [lower + upper], []
    for side in cuts.tolist():
        if not waiting or side > d:
            return None
        box = waiting.pop()
        if side == 0:
            leaves.append(box)
            continue
        k = side - 1
        low, high = box[k], box[d + k]
        middle = low + (high - low) / 2
        if not low < middle < high:
            return None
        waiting.append((*box[:k], middle, *box[k + 1 :]))
        waiting.append((*box[: d + k], middle, *box[d + k + 1 :]))
    return None if waiting else leaves
