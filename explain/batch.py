"""`explain_points`: many points one after the other, each exactly as `explain_point` has it, and `Summary`, what they say together.

Rows are read, explained and given away one at a time, so that nothing grows with their number. A row that is no point says why, and the
others go on.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from ..atlas.graph import as_graph
from ..moe.model import Model
from ..moe.opened import opened
from .explanation import Explanation
from .point import explain_point
from .points_file import rows_of

MOST_BAD = 20
"""Rows that are no points of which a summary tells one by one."""


@dataclass(frozen=True, eq=False)
class Explained:
    """One row, and its explanation or what is wrong with it."""

    number: int
    """Counted from 0, of the rows of numbers."""
    where: str
    """How a person finds it: "row 3", "line 5"."""
    explanation: Explanation | None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """As JSON; what `explain --at … --json` says stands under `explanation`."""
        said = {"row": self.number, "where": self.where}
        return said | ({"problem": self.problem} if self.explanation is None else {"explanation": self.explanation.to_dict()})


@dataclass
class BlockSummary:
    """What the points did in one block."""

    pieces: Counter[str] = field(default_factory=Counter)
    """How many took each piece, as the first of those that were chosen."""
    wrong: int = 0
    """How many took a piece that does not hold the point."""
    margin: float = float("inf")
    """The least of all margins…"""
    at: str = ""
    """…and which row has it."""


@dataclass
class Summary:
    """What rows say together; `add` takes one after the other."""

    epsilon: float
    points: int = 0
    outside: int = 0
    """Points off the domain, of which nothing is claimed."""
    bad: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    """The first rows that are no points, and why."""
    compared: int = 0
    """Points at which f is known."""
    worst: float = 0.0
    worst_at: str = ""
    total: float = 0.0
    """Sum of the errors."""
    missed: int = 0
    """Points with an error above ε, or that is no number."""
    missed_at: str = ""
    blocks: dict[str, BlockSummary] = field(default_factory=dict)

    @property
    def mean(self) -> float | None:
        return self.total / self.compared if self.compared else None

    def add(self, row: Explained) -> None:
        """One more row."""
        found = row.explanation
        if found is None:
            self.bad += 1
            if self.bad <= MOST_BAD:
                self.problems.append((row.where, row.problem))
            return
        self.points += 1
        self.outside += bool(found.outside)
        if found.error is not None:
            self._compare(found.error, row.where)
        for choice in found.blocks:
            block = self.blocks.setdefault(choice.block, BlockSummary())
            block.pieces[choice.piece] += 1
            block.wrong += choice.right is False
            if choice.margin < block.margin:
                block.margin, block.at = choice.margin, row.where

    def _compare(self, error: float, where: str) -> None:
        self.compared += 1
        self.total += error
        if not error <= self.worst:
            self.worst, self.worst_at = error, where
        if not error <= self.epsilon:
            self.missed += 1
            self.missed_at = self.missed_at or where

    def to_dict(self) -> dict[str, Any]:
        keys = ("epsilon", "points", "outside", "bad", "compared", "worst", "worst_at", "mean", "missed", "missed_at")
        blocks = {
            name: {"pieces": dict(one.pieces.most_common()), "wrong": one.wrong, "margin": one.margin, "at": one.at}
            for name, one in self.blocks.items()
        }
        problems = [{"where": where, "problem": problem} for where, problem in self.problems]
        return {key: getattr(self, key) for key in keys} | {"problems": problems, "blocks": blocks}


def explain_points(model: Model | str | Path, points: ArrayLike | str | Path) -> Iterator[Explained]:
    """Explain every row of an array [N, D] or [N, k] (before embedding), or of a .npy or .csv file, one after the other.

    The numbers are those of `explain_point`, bit for bit, as it is asked for each row. Raises `InvalidArgument`, before the first row, for
    files and arrays that are none of points (`points_file.rows_of`).
    """
    opened_model = opened(model, "explain_points")
    rows = rows_of(points, as_graph(opened_model.task))
    return (
        Explained(row.number, row.where, None if row.point is None else explain_point(opened_model, row.point), row.problem) for row in rows
    )
