"""The ledger: every inequality the proof uses, with the budget it was given, the bound reached, and how that is known."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields
from enum import StrEnum
from typing import Any, Literal

import numpy as np

from ..errors import InvalidArgument
from ..expressions.given import lists_of, parts_of
from .typed_json import Fields

SENSES = ("<=", ">=", ">")
"""How a bound stands to its budget."""


class Known(StrEnum):
    """How a bound is known."""

    EXACT = "exact"
    """By construction: an identity of the weights, or arithmetic on other claims."""
    FORMULA = "formula"
    """A closed-form a-priori bound."""
    PROVED = "proved"
    """Enclosed with outward rounding at every point."""
    SAMPLED = "sampled"
    """Measured on `samples` points: evidence, no proof."""
    REFUTED = "refuted"
    """A witness violates it."""
    UNKNOWN = "unknown"


EVERYWHERE = (Known.EXACT, Known.FORMULA, Known.PROVED)
"""How a bound is known that holds at every point."""


@dataclass(frozen=True)
class Claim:
    """`bound sense budget` for one quantity: an error that must stay below, or a margin that must stay above, its budget."""

    name: str
    """Short and unique in its ledger, e.g. `expert[north].target`."""
    statement: str
    """The inequality in words and symbols."""
    source: str
    """Its place: "Theorem 4.8 step 3", "B11"."""
    budget: float
    bound: float
    known: Known
    sense: Literal["<=", ">=", ">"] = "<="
    samples: int | None = None
    witness: tuple[float, ...] | None = None
    """The ambient point where the bound was reached."""
    children: tuple[Claim, ...] = ()
    """The claims that this one follows from."""
    note: str = ""

    def __post_init__(self) -> None:
        number = (int, float, np.number)
        parts_of(self, name=str, statement=str, source=str, budget=number, bound=number)
        lists_of(self, children=Claim)
        for field, words in (("known", tuple(Known)), ("sense", SENSES)):
            if getattr(self, field) not in words:
                raise InvalidArgument(f"claim {self.name!r}: {field} {getattr(self, field)!r} is not one of {', '.join(words)}")
        object.__setattr__(self, "known", Known(self.known))

    @property
    def holds(self) -> bool:
        """Whether the bound meets the budget (NaN never does) and nothing has refuted it."""
        met = {"<=": self.bound <= self.budget, ">=": self.bound >= self.budget, ">": self.bound > self.budget}[self.sense]
        return met and self.known is not Known.REFUTED

    @property
    def slack(self) -> float:
        """How far the bound stays on the right side of the budget; negative if it does not."""
        return self.budget - self.bound if self.sense == "<=" else self.bound - self.budget

    def walk(self, depth: int = 0) -> Iterator[tuple[int, Claim]]:
        """This claim and all below it, depth first, with their depth."""
        yield depth, self
        for child in self.children:
            yield from child.walk(depth + 1)

    def to_dict(self) -> dict[str, Any]:
        data = {key: getattr(self, key) for key in ("name", "statement", "source", "budget", "bound", "sense", "samples", "note")}
        witness = None if self.witness is None else list(self.witness)
        return {**data, "known": str(self.known), "witness": witness, "children": [child.to_dict() for child in self.children]}

    @staticmethod
    def read(data: Fields) -> Claim:
        """What `to_dict` wrote, as JSON. Raises `FolderError` for anything else."""
        data.only(*(field.name for field in fields(Claim)))
        known, sense = data.text("known"), data.text("sense")
        if known not in set(Known):
            raise data.error(f'"known" is {known!r}, not one of {", ".join(Known)}')
        if sense not in SENSES:
            raise data.error(f'"sense" is {sense!r}, not one of <=, >=, >')
        return Claim(
            name=data.text("name"),
            statement=data.text("statement"),
            source=data.text("source"),
            budget=data.number("budget"),
            bound=data.number("bound"),
            known=Known(known),
            sense=sense,  # type: ignore[arg-type]
            samples=None if data["samples"] is None else data.integer("samples"),
            witness=None if data["witness"] is None else data.numbers("witness"),
            children=tuple(Claim.read(child) for child in data.children("children")),
            note=data.text("note"),
        )


def require_same(config: Fields, root: Claim) -> None:
    """Raises `FolderError` where the facts of a config.json say another ε than the ledger, or integers of which no claim knows."""
    facts = config.child("facts")
    if (epsilon := facts.number("epsilon")) != root.budget:
        raise config.error(f"facts: epsilon is {epsilon!r}, but the budget of the ledger's {root.name!r} is {root.budget!r}")
    if facts.get("quantised") is not None and not any(claim.name == "quantised" for _, claim in root.walk()):
        raise config.error(f"facts: quantised is {facts.get('quantised')!r}, but the ledger has no such claim")


@dataclass(frozen=True)
class Assumption:
    """What a proof takes from a task and cannot prove of it: a name, short and unique, and the statement."""

    name: str
    statement: str


@dataclass(frozen=True)
class Ledger:
    """A tree of claims; `root` is the theorem's conclusion |f − Ψ| ≤ ε."""

    root: Claim

    def __post_init__(self) -> None:
        parts_of(self, root=Claim)

    def __str__(self) -> str:
        """One line a claim, indented by what it follows from."""
        lines = []
        for depth, claim in self.root.walk():
            mark = "✓" if claim.holds else "✗"
            lines.append(f"{'  ' * depth}{mark} {claim.name}: {claim.bound:.4g} {claim.sense} {claim.budget:.4g} ({claim.known})")
        return "\n".join(lines)

    def __iter__(self) -> Iterator[Claim]:
        return (claim for _, claim in self.root.walk())

    def __getitem__(self, name: str) -> Claim:
        for claim in self:
            if claim.name == name:
                return claim
        raise InvalidArgument(f"no claim {name!r} in the ledger; it has {', '.join(c.name for c in self)}")

    @property
    def holds(self) -> bool:
        return all(claim.holds for claim in self)
