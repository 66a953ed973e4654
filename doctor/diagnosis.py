"""`Diagnosis`: one thing that was examined, the number beside the threshold that a theorem sets, and what to do; `Health`: all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..atlas import Array
from ..errors import InvalidArgument
from ..moe.ledger import Known

SENSES = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "<": lambda a, b: a < b, ">": lambda a, b: a > b}


@dataclass(frozen=True, eq=False)
class Bars:
    """One number a name, with a line that none, or all, should cross: what a figure shows of loads."""

    title: str
    names: tuple[str, ...]
    values: Array
    limit: float | None
    label: str
    marked: tuple[int, ...] = ()
    """Bars that stand out: what is ill."""


@dataclass(frozen=True, eq=False)
class Spread:
    """Many numbers and the threshold among them: what a figure shows of margins, errors and distances, on a logarithmic scale."""

    title: str
    values: Array
    limit: float
    label: str
    said: str
    """What the threshold is."""


@dataclass(frozen=True, eq=False)
class Curve:
    """Points and a line through them, beside other lines: what a figure shows of distances, and of profiles along a segment."""

    title: str
    x: Array
    lines: tuple[tuple[str, Array], ...]
    labels: tuple[str, str]
    dots: bool = False
    """Whether the first line is drawn as dots."""


Picture = Bars | Spread | Curve


@dataclass(frozen=True, eq=False)
class Diagnosis:
    """What one examination found at one place. Healthy is `value sense threshold`."""

    sign: str
    """Which examination: its name in the registry, e.g. "dead"."""
    where: str
    """The gate, layer or part."""
    what: str
    """What was found, a sentence."""
    value: float
    sense: Literal["<=", ">=", "<", ">"]
    threshold: float
    quantity: str
    """What `value` is, in few words."""
    hypothesis: str
    """Which hypothesis of which theorem sets the threshold, and holds or fails."""
    remedy: str
    """What to do, where it is ill."""
    known: Known
    rows: int | None = None
    """How many rows it was seen on; None if no rows were needed."""
    witnesses: tuple[tuple[float, ...], ...] = ()
    """Rows or points that show it, the worst first."""
    picture: Picture | None = None

    @property
    def ill(self) -> bool:
        """Whether the hypothesis fails; NaN never meets a threshold."""
        return not SENSES[self.sense](self.value, self.threshold)

    def to_dict(self) -> dict[str, Any]:
        keys = ("sign", "where", "ill", "what", "quantity", "value", "sense", "threshold", "hypothesis", "remedy", "rows", "witnesses")
        return {key: getattr(self, key) for key in keys} | {"known": str(self.known)}


@dataclass(frozen=True)
class Unanswered:
    """What an examination could not find out, and what it would need to know."""

    sign: str
    where: str
    needs: str


@dataclass(frozen=True, eq=False)
class Health:
    """What `doctor` answers."""

    name: str
    kind: str
    """What was examined: a model, a module, a checkpoint."""
    source: str
    """Where the rows come from that reach the gates."""
    assumes: tuple[str, ...]
    """What is taken for granted and was not checked."""
    diagnoses: tuple[Diagnosis, ...]
    unanswered: tuple[Unanswered, ...]

    @property
    def healthy(self) -> bool:
        return not any(one.ill for one in self.diagnoses)

    @property
    def ill(self) -> tuple[Diagnosis, ...]:
        """What is ill."""
        return tuple(one for one in self.diagnoses if one.ill)

    def __iter__(self) -> Iterator[Diagnosis]:
        return iter(self.diagnoses)

    def of(self, sign: str) -> tuple[Diagnosis, ...]:
        """What one examination found. Raises `InvalidArgument` for a sign that nobody looked for."""
        known = {one.sign for one in self.diagnoses} | {one.sign for one in self.unanswered}
        if sign not in known:
            raise InvalidArgument(f"nothing was looked for under {sign!r}; the signs are {', '.join(sorted(known))}")
        return tuple(one for one in self.diagnoses if one.sign == sign)

    def __str__(self) -> str:
        """One line a diagnosis."""
        lines = [f"{self.name}: {'healthy' if self.healthy else f'{len(self.ill)} ill'}"]
        for one in self.diagnoses:
            mark = "✗" if one.ill else "✓"
            lines.append(f"{mark} {one.sign} at {one.where}: {one.quantity} {one.value:.4g} {one.sense} {one.threshold:.4g}; {one.what}")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "kind": self.kind,
            "source": self.source,
            "assumes": list(self.assumes),
            "healthy": self.healthy,
            "diagnoses": [one.to_dict() for one in self.diagnoses],
            "unanswered": [{"sign": one.sign, "where": one.where, "needs": one.needs} for one in self.unanswered],
        }


def as_witness(row: Array) -> tuple[float, ...]:
    """A row as it is kept."""
    return tuple(np.asarray(row, float).tolist())
