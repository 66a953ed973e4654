"""`Goal`: when a bound is good enough, what was found so far, and when a search is over because something is refuted.

REFUTED is a proof too. An error above ε that was seen in floats, or that an enclosure of floats shows, is a candidate; it counts once an
enclosure of f and of the network at that very point excludes ε (`refutation`). A candidate that is not confirmed ends nothing, and does not
stand in the way of a proof: what is found is never above ε unless it is confirmed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...atlas import Array

CANDIDATES, DOUBTS = 8, 64
"""Sampled points that are looked at exactly, the worst first; and candidates in all that may turn out to be none."""
CLOSE = 1 - 2.0**-20
"""Part of a sampled error that has to be proved for others not to be looked at."""

Place = tuple[int, Array]
"""A chart and coordinates in it."""
Confirm = Callable[[int, Array], float]
"""A lower bound of the error at a point, proved; ∞ where f surely has no value, −∞ where nothing is known."""
Astray = Callable[[int, Array], bool]
"""Whether the network surely takes an expert whose chart surely does not hold the point."""


@dataclass(eq=False)
class Goal:
    """When a bound is good enough, and the largest error found so far."""

    epsilon: float
    """∞ if no error is too large."""
    tightness: float | None
    """Bounds up to this times the largest error found are good enough; None: up to ε."""
    floor: float = 0.0
    """Bounds up to this are good enough whatever was found: where the network is exact, rounding leaves nothing to be close to."""
    found: float = 0.0
    """The largest error proved to be reached at some point."""
    where: Place | None = None
    """Its chart and coordinates."""
    slack: float = 0.0
    """What rounding may add to a bound; it has to fit below ε too."""
    confirm: Confirm | None = None
    """None where nothing but enclosures can tell."""
    astray: Astray | None = None
    """None where a winner's chart need not hold the point, or nothing can tell."""
    missed: bool = False
    """Whether ε is proved to be missed at `where`."""
    misrouted: Place | None = None
    """Where a point is proved to be routed to an expert whose chart does not hold it."""
    doubted: int = 0
    """Candidates that were none."""

    @property
    def enough(self) -> float:
        """The bound that settles a box."""
        allowed = self.epsilon - self.slack
        return allowed if self.tightness is None else min(allowed, max(self.tightness * self.found, self.floor))

    @property
    def hopeless(self) -> bool:
        """Whether rounding alone is as large as ε, so that no bound is small enough."""
        return self.slack >= self.epsilon

    @property
    def refuted(self) -> bool:
        return self.missed or self.misrouted is not None

    def note(self, error: float, chart: int, at: Array) -> None:
        """Take notice of an error that an enclosure shows at a point."""
        if self.missed or not error > self.found:
            return
        if error > self.epsilon and self.confirm is not None:
            if self.doubted >= DOUBTS:
                return
            error = self.confirm(chart, at)
            self.doubted += not error > self.epsilon
        if error > self.found:
            self._take(float(error), (chart, np.asarray(at)))

    def sampled(self, errors: Array, charts: NDArray[np.intp], coordinates: Array) -> None:
        """Take notice of errors that were seen in floats, which may be cancellation: of the worst of them, as far as they are proved."""
        for n in np.argsort(-errors, kind="stable")[:CANDIDATES]:
            if self.missed or not errors[n] > self.found:
                return
            proved = min(float(errors[n]), self.epsilon) if self.confirm is None else self.confirm(int(charts[n]), coordinates[n])
            if proved > self.found:
                self._take(proved, (int(charts[n]), coordinates[n]))
            if proved >= CLOSE * errors[n]:
                return

    def _take(self, error: float, where: Place) -> None:
        self.found, self.where, self.missed = error, where, error > self.epsilon or error == np.inf

    def route(self, chart: int, at: Array) -> None:
        """Take notice of a point that seems to be taken to an expert whose chart does not hold it."""
        if self.misrouted is None and self.astray is not None and self.doubted < DOUBTS:
            if self.astray(chart, at):
                self.misrouted = (chart, np.asarray(at))
            else:
                self.doubted += 1
