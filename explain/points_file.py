"""Files of points: rows of an .npy or .csv file, one at a time, so that a file may be larger than the memory."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from ..atlas import Array, TaskGraph
from ..errors import InvalidArgument
from ..expressions.given import floats

SUFFIXES = (".npy", ".csv")


@dataclass(frozen=True, eq=False)
class Given:
    """One row as it was given: the ambient point [D] that it means, or what is wrong with it."""

    number: int
    """Counted from 0."""
    where: str
    """How a person finds it: "row 3", "line 5"."""
    point: Array | None
    problem: str = ""


def rows_of(points: ArrayLike | str | Path, graph: TaskGraph) -> Iterator[Given]:
    """The rows of an array [N, D] or [N, k], or of a file of them.

    A row has the D coordinates that the network reads, or the k before embedding. An .npy file is mapped into memory; a .csv file is read
    line by line, and its first line may name the coordinates, in any order. Rows with another count, or what is no finite number, come
    with their problem. Raises `InvalidArgument` for files and arrays that hold no rows at all.
    """
    if not isinstance(points, str | Path):
        return _of_array(floats("points", points, f"give rows of {_expected(graph)}"), graph)
    path = Path(points)
    if path.suffix.lower() not in SUFFIXES:
        raise InvalidArgument(f"{path}: points are read from files ending in {' or '.join(SUFFIXES)}; write one with numpy.save")
    if not path.is_file():
        raise InvalidArgument(f"{path}: there is no such file")
    if path.suffix.lower() == ".csv":
        return _of_lines(path, graph)
    try:
        mapped = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise InvalidArgument(f"{path}: not an .npy file of numbers; write one with numpy.save") from error
    if mapped.dtype.kind not in "fiub":
        raise InvalidArgument(f"{path}: holds {mapped.dtype}, no numbers")
    return _of_array(mapped, graph)


def count_of(points: ArrayLike | str | Path) -> int | None:
    """How many rows there are, where that is known before they are read."""
    if isinstance(points, str | Path) and Path(points).suffix.lower() != ".npy":
        return None
    shape = np.shape(np.load(points, mmap_mode="r", allow_pickle=False) if isinstance(points, str | Path) else np.asarray(points))
    return shape[0] if len(shape) == 2 else 1


def _of_array(rows: np.ndarray, graph: TaskGraph) -> Iterator[Given]:
    if rows.ndim == 1 and len(rows) in _counts(graph):
        rows = rows[None]
    if rows.ndim != 2 or rows.shape[1] not in _counts(graph):
        raise InvalidArgument(f"points are rows of {_expected(graph)}; got an array of shape {rows.shape}")
    return (_given(n, f"row {n}", np.asarray(row, float), graph) for n, row in enumerate(rows))


def _of_lines(path: Path, graph: TaskGraph) -> Iterator[Given]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        order: Sequence[int] | None = None
        number = 0
        lines = csv.reader(file)
        try:
            for cells in lines:
                texts = [cell.strip() for cell in cells]
                if not any(texts):
                    continue
                if number == 0 and order is None and not any(_is_number(text) for text in texts):
                    order = _named(texts, graph, path)
                    continue
                yield _read(number, f"line {lines.line_num}", texts, order, graph)
                number += 1
        except (csv.Error, UnicodeDecodeError) as error:
            raise InvalidArgument(f"{path}: line {lines.line_num + 1} is no line of numbers ({error})") from error


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _named(texts: Sequence[str], graph: TaskGraph, path: Path) -> list[int]:
    """Where every coordinate stands in a row, by the names of the first line."""
    if sorted(texts) != sorted(graph.coordinates):
        raise InvalidArgument(
            f"{path}: its first line names {', '.join(texts[:12])}, the coordinates are {', '.join(graph.coordinates[:12])}; "
            "name them all, or none"
        )
    return [texts.index(name) for name in graph.coordinates]


def _read(number: int, where: str, texts: Sequence[str], order: Sequence[int] | None, graph: TaskGraph) -> Given:
    wrong = [text for text in texts if not _is_number(text)]
    if wrong:
        return Given(number, where, None, f"{wrong[0][:40]!r} is no number")
    if order is not None and len(texts) != len(order):
        return Given(number, where, None, f"has {len(texts)} numbers, the first line names {len(order)}")
    values = np.array([float(text) for text in texts])
    return _given(number, where, values if order is None else values[list(order)], graph)


def _given(number: int, where: str, row: Array, graph: TaskGraph) -> Given:
    base, ambient = len(graph.coordinates), graph.ambient_dimension
    if len(row) not in (base, ambient):
        return Given(number, where, None, f"has {len(row)} numbers, points have {_expected(graph)}")
    if not np.isfinite(row).all():
        return Given(number, where, None, f"{row[~np.isfinite(row)][0]} is no finite number")
    return Given(number, where, graph.embed(row[None])[0] if len(row) == base else row)


def _counts(graph: TaskGraph) -> tuple[int, int]:
    return len(graph.coordinates), graph.ambient_dimension


def _expected(graph: TaskGraph) -> str:
    base, ambient = _counts(graph)
    return f"{base} coordinates" + (f" (or {ambient} after embedding)" if ambient != base else "")
