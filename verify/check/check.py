"""`check`: confirm a certificate without the search that found it, by other enclosures, from the files alone.

A certificate (docs/certificate.md) says of every leaf of a binary tree of boxes of chart coordinates why f and the network agree there.
This and `checking/` share no code with what writes certificates: they read tensors and config.json themselves, cut the boxes again,
and prove each leaf's inequality from values at the vertices of boxes and second derivatives between them (`intervals.patch`), where the
search goes by Taylor forms around their middles. Leaves that this does not confirm at once are cut further, up to a depth; what is then
still open is reported as undecided, never accepted.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .claims import inconsistent
from .documents import Documents, number_or_none, read
from .leaves import Failure, Followed, Judge

NAMED = 12
"""Failures that a report names."""


@dataclass(frozen=True)
class CheckReport:
    """What became of a certificate: "confirmed", "rejected" if something in it is wrong, else "undecided"."""

    verdict: str
    task: str
    status: str
    """What the certificate says of itself: proved, unknown or refuted."""
    epsilon: float | None
    bound: float | None
    """The certificate's bound of |f − Ψ|, for real arithmetic."""
    claims: tuple[str, ...]
    """Names of the claims that are proved: all that the certificate says are, if the verdict is "confirmed"."""
    leaves: int
    confirmed: int
    rejected: int
    undecided: int
    """Leaves of each fate; those after a rejected batch have none."""
    boxes: int
    """Boxes that were looked at: leaves, and parts of leaves."""
    failures: tuple[Failure, ...]
    """The first of them."""
    seconds: float

    @property
    def holds(self) -> bool:
        return self.verdict == "confirmed"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        failures = [{"rejected": f.rejected, "reason": f.reason, "chart": f.chart, "box": f.box} for f in self.failures]
        return {**self.__dict__, "claims": list(self.claims), "failures": failures}


def check(folder: str | os.PathLike[str]) -> CheckReport:
    """Re-verify the certificate in a model folder: that it is about these files, covers every chart, and that each leaf's inequality holds.

    Raises `FolderError` if files are missing or cannot be read for what they are.
    """
    started = time.monotonic()
    found = read(Path(folder))
    failures = [Failure(True, problem) for problem in found.problems or inconsistent(found)]
    claims = {claim.text("name"): claim for claim in found.certificate.children("claims")}
    proved = {name for name, claim in claims.items() if claim.get("known") == "proved"}
    fates: list[Failure | None] = []
    boxes = 0
    if not failures:
        with np.errstate(all="ignore"):
            failures, fates, boxes = _leaves(found, {name: number_or_none(claim, "bound") for name, claim in claims.items()}, proved)
    failures += sorted((fate for fate in fates if fate is not None), key=lambda fate: not fate.rejected)
    status = found.certificate.text("status")
    if status != "proved":
        failures.append(Failure(False, f"the certificate itself only says that what it claims is {status}"))
    verdict = "rejected" if any(failure.rejected for failure in failures) else "undecided" if failures else "confirmed"
    return CheckReport(
        verdict=verdict,
        task=found.task.name,
        status=status,
        epsilon=number_or_none(found.certificate, "epsilon"),
        bound=number_or_none(found.certificate, "bound"),
        claims=tuple(sorted(proved)) if verdict == "confirmed" else (),
        leaves=sum(len(tree.tags) for tree in (*found.trees, *(found.scores if "routing.tau" in proved else ()))),
        confirmed=sum(fate is None for fate in fates),
        rejected=sum(fate is not None and fate.rejected for fate in fates),
        undecided=sum(fate is not None and not fate.rejected for fate in fates),
        boxes=boxes,
        failures=tuple(failures[:NAMED]),
        seconds=round(time.monotonic() - started, 3),
    )


def _leaves(found: Documents, stated: dict[str, float | None], proved: set[str]) -> tuple[list[Failure], list[Failure | None], int]:
    """What rounding contradicts, the fates of leaves, and the number of boxes looked at."""
    bounds = {name: np.inf if bound is None else bound for name, bound in stated.items()}
    judge = Judge(found.task, found.layers, found.certificate.number("eta"), "cover" in proved)
    failures = judge.rounding(found.trees, bounds, found.dtype)
    if failures:
        return failures, [], 0
    fates, boxes = judge.settle(found.trees)
    followed = {"routing.tau", "routing.max_tau"} & proved
    if followed and not any(fate is not None and fate.rejected for fate in fates):
        follows = Followed(found.level, bounds["routing.max_tau"] if "routing.max_tau" in proved else -np.inf)
        more, count = Judge(found.task, found.layers, judge.eta, False, follows).settle(found.scores)
        fates, boxes = fates + more, boxes + count
    return failures, fates, boxes
