"""`check`: confirm a certificate without the search that found it, by other enclosures, from the files alone.

A certificate (docs/certificate.md) says of every leaf of binary trees of boxes why a site of the network follows its function there,
and how the error of the whole follows from those of the sites. This folder shares no code with what writes certificates: it reads
tensors and config.json itself, finds in the weights what each site is computed from, cuts the boxes again, and proves each leaf's
inequality from values at the vertices of boxes and second derivatives between them (`intervals.patch`), where the search goes by Taylor
forms around their middles; where neurons are smooth from jets of higher order, by other formulas (`course`). Leaves that this does not
confirm at once are cut further, up to a depth; what is then still open is reported as undecided, never accepted.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ...atlas.checks.continuity import counterexamples
from ...expressions.given import place
from ...moe.premises import standing
from .claims import inconsistent
from .composition import Composition
from .documents import Documents, number_or_none
from .engines import ForEngine, confirmed
from .files import read
from .implicit import unshown
from .readout import check_read_out
from .refused import Refused
from .refutation import REFUTATION, Looked, look
from .subjects import Failure
from .targets import each

NAMED = 12
"""Failures that a report names."""


@dataclass(frozen=True)
class CheckReport:
    """What became of a certificate: "confirmed"; "refuted" if it says so and its point shows it; "rejected" if something in it is
    wrong; else "undecided".
    """

    verdict: str
    task: str
    status: str
    """What the certificate says of itself: proved, unknown or refuted."""
    epsilon: float | None
    bound: float | None
    """The certificate's bound of |f − Ψ|; of a manifold for real arithmetic, of a graph for float64 too."""
    targets: tuple[tuple[str, float | None, float | None], ...]
    """Of several targets the name, ε and the certificate's bound of each; `bound` is then the largest of these over its ε."""
    claims: tuple[str, ...]
    """Names of the claims that are proved: all that the certificate says are, if the verdict is "confirmed"."""
    assumptions: tuple[str, ...]
    """Names of what is taken from the task, and not proved of it."""
    engines: tuple[ForEngine, ...]
    """Of whose evaluation of exported files something is proved, if the verdict is "confirmed"; each with what it assumes of them."""
    leaves: int
    confirmed: int
    rejected: int
    undecided: int
    """Leaves of each fate; those that are not settled when one is rejected have none."""
    boxes: int
    """Boxes that were looked at: leaves, parts of leaves, and several leaves together."""
    failures: tuple[Failure, ...]
    """The first of them."""
    refutation: str
    """What the point of refutation.json shows, if the verdict is "refuted"."""
    seconds: float

    @property
    def holds(self) -> bool:
        return self.verdict == "confirmed"

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        failures = [{"rejected": f.rejected, "reason": f.reason, "chart": f.chart, "box": f.box} for f in self.failures]
        said = {key: value for key, value in self.__dict__.items() if key != "targets"}
        targets = [{"name": name, "epsilon": epsilon, "bound": bound} for name, epsilon, bound in self.targets]
        return {
            **said,
            **({"targets": targets} if targets else {}),
            "claims": list(self.claims),
            "assumptions": list(self.assumptions),
            "engines": [engine._asdict() for engine in self.engines],
            "failures": failures,
            "remedies": list(self.remedies),
        }

    @property
    def remedies(self) -> tuple[str, ...]:
        """Of a certificate that is undecided: likely causes and what to do about them, in the order in which to try them."""
        if self.verdict != "undecided":
            return ()
        if self.status == "unknown":
            return ("the certificate itself proves nothing: `atlasmoe certify` says why, claim by claim, and what would help",)
        if self.status == "refuted":
            return ("refutation.json does not show it: `atlasmoe certify` writes the point anew",)
        open_ = "some bounds are closer to the error than other enclosures come: certify again with --tightness 1.3 or none"
        part = (
            "a function, or the overlap of two charts, is not enclosed here as well as it was there: the first lines say which, and where"
        )
        return (open_, part) if self.undecided else (part,)

    def __str__(self) -> str:
        """The verdict in words, with what it assumes."""
        assuming = f", assuming {', '.join(self.assumptions)}" if self.assumptions and self.holds else ""
        return f"{self.verdict}{assuming}"


def check(folder: str | os.PathLike[str], *, trust_code: bool = False) -> CheckReport:
    """Re-verify the certificate in a model folder: that it is about these files, that every site has boxes which cover it and whose
    inequalities hold, and that the errors of the sites amount to what it says of the whole.

    Of a target that is a Python function nothing is confirmed unless `trust_code`: its code is then imported and run, and what is confirmed
    rests on what is declared of it.

    Raises `FolderError` if files are missing or cannot be read for what they are.
    """
    started = time.monotonic()
    folder = place("check", folder)
    found = read(folder, trust_code)
    failures = [Failure(True, problem) for problem in found.problems or inconsistent(found)]
    given = found.graph.blocks[0].given if found.manifold else None
    failures += [Failure(True, str(finding)) for finding in counterexamples(given)] if given is not None else []
    proved = {claim.text("name") for claim in found.certificate.children("claims") if claim.get("known") == "proved"}
    status, looked, fates, boxes = found.certificate.text("status"), None, list[Failure | None](), 0
    if status == "refuted" and not failures:
        looked = _refuted(found, folder)
        failures = [] if looked.shown else [Failure(looked.rejected, looked.words)]
    elif not failures:
        for part in each(found):
            sites = Composition(part)
            with np.errstate(all="ignore"):
                failures += _composed(sites, part, proved)
            fates, boxes = fates + sites.fates, boxes + sites.boxes
    failures += sorted((fate for fate in fates if fate is not None), key=lambda fate: not fate.rejected)
    listed = [taken.text("name") for taken in found.certificate.children("assumptions")] if found.schema > 2 else []
    if status == "unknown":
        failures.append(Failure(False, f"the certificate itself only says that what it claims is {status}"))
    verdict = "rejected" if any(failure.rejected for failure in failures) else "undecided" if failures else "confirmed"
    if verdict == "confirmed" and looked is not None:
        verdict = "refuted"
    return CheckReport(
        verdict=verdict,
        task=found.graph.name,
        status=status,
        epsilon=number_or_none(found.certificate, "epsilon"),
        bound=number_or_none(found.certificate, "bound"),
        targets=tuple(_targets(found)),
        claims=tuple(sorted(proved)) if verdict == "confirmed" else (),
        assumptions=tuple(sorted({*listed, *(taken.name for taken in standing(found.graph))})),
        engines=confirmed(found) if verdict == "confirmed" else (),
        leaves=sum(len(tree.tags) for site in found.sites for tree in (*site.trees, *site.followed)),
        confirmed=sum(fate is None for fate in fates),
        rejected=sum(fate is not None and fate.rejected for fate in fates),
        undecided=sum(fate is not None and not fate.rejected for fate in fates),
        boxes=boxes,
        failures=tuple(failures[:NAMED]),
        refutation=looked.words if looked is not None and looked.shown else "",
        seconds=round(time.monotonic() - started, 3),
    )


def _targets(found: Documents) -> Iterator[tuple[str, float | None, float | None]]:
    for one in found.certificate.children("targets") if "targets" in found.certificate else ():
        yield one.text("name"), number_or_none(one, "epsilon"), number_or_none(one, "bound")


def _refuted(found: Documents, folder: Path) -> Looked:
    """Whether the refutation that a certificate goes by shows what it says."""
    if found.refutation is None:
        return Looked(False, False, f"nothing shows that it is refuted: there is no {REFUTATION}")
    return look(found.refutation, folder / REFUTATION, found, found.hashes)


def _composed(sites: Composition, found: Documents, proved: set[str]) -> list[Failure]:
    """What is wrong with the sites, or with what they add up to, or not confirmed of either."""

    def claimed(*endings: str) -> set[str]:
        prefix = found.prefix + ("" if found.manifold else "block[{}].")
        return {site.name for site in found.sites if {prefix.format(site.name) + ending for ending in endings} & proved}

    for atlas in (block.atlas for block in found.graph.blocks if block.atlas is not None):
        if (chart := unshown(atlas)) is not None:  # first, as boxes of what is not known would be cut without an end in sight
            reason = "it is not shown that over each of its coordinates its tube holds one zero of the equations, and no more"
            return [Failure(False, f'chart "{chart}": {reason}')]
    failures = list(sites.check(claimed("cover"), claimed("inverse"), claimed("routing.tau", "routing.max_tau")))
    if failures or any(fate is not None for fate in sites.fates) or found.schema == 1:
        return failures
    shown = {site.channels[0][0] for site in found.sites if site.charts and site.name in sites.rounded}
    if not found.snapped <= shown:
        return [Failure(False, "scores that are snapped to a grid belong to no site, and nothing shows that they are on it")]
    if found.read_out is not None:
        try:
            check_read_out(sites, found.read_out)
        except Refused as why:
            failures.append(Failure(why.rejected, f"read-out: {why}"))
    return failures
