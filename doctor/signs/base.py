"""`Sign`: one way in which a mixture can be ill.

Every sign is a file of this folder: the statement whose hypothesis sets its threshold, with the constants, and how it is looked for. A sign
knows patients and nothing of where they come from. Three to begin with: an expert is chosen nowhere (`dead`), a gate takes one route for
all inputs (`collapse`), inputs lie off the manifold (`manifold`).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from ..diagnosis import Diagnosis, Unanswered
from ..patient import Gate, Patient

Answer = Diagnosis | Unanswered
NO_ROWS = "rows that reach it; give {data=points.npy}"


class Sign(ABC):
    """One object of each subclass is in the registry."""

    name: ClassVar[str]
    title: ClassVar[str]
    """In words, for people."""
    of_task: ClassVar[bool] = False
    """Whether it is looked for in what a task says, of which hidden states have none."""

    @abstractmethod
    def look(self, patient: Patient) -> Iterator[Answer]:
        """What is found, gate by gate or of the whole; nothing where the sign makes no sense."""


class GateSign(Sign):
    """A sign that is looked for at every gate on its own."""

    def look(self, patient: Patient) -> Iterator[Answer]:
        for gate in patient.gates:
            if gate.routes is None:
                yield from self.without_rows(gate, patient)
            else:
                yield from self.at(gate, patient)

    @abstractmethod
    def at(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        """What is found at one gate whose routes are known."""

    def without_rows(self, gate: Gate, patient: Patient) -> Iterator[Answer]:
        """What is found at one gate of which no rows are known."""
        yield Unanswered(self.name, gate.name, NO_ROWS)


def listed(names: tuple[str, ...], most: int = 6) -> str:
    """Names in a sentence."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
