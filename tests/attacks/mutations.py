"""Changed networks against `certify` and `check`: what is called proved, refuted or confirmed of them, and what is so.

The judge looks for the largest error by sampling, densely around the change, and evaluates the worst places to 60 digits (`exact`). A bound
below an error that is so found is a *false PROVED*, in a claim or in a leaf of an unfinished proof; a witness that does not miss ε is a
*false REFUTED*; a certificate of the unchanged network that `check` confirms for the changed one, although a claim of it fails, is a
*false confirmed*. A changed network may well keep its promises: then nothing is asked.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import atlasmoe
import mpmath
import numpy as np
from atlasmoe.atlas import Atlas, ManifoldTask, Points, TaskGraph
from atlasmoe.errors import AtlasMoEError
from atlasmoe.moe import Known, Network
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import Certificate, certify
from changes import changes
from exact import Exact, Place, Truth, behind, exactly, gap, passed
from models import Subject
from signing import signed
from spikes import with_needle

BOXES = 4000
"""Boxes of one proof: whatever is not settled then stays unknown."""
RADII = (-9.0, -1.5)
"""Decimal exponents of the radii of needles."""
SLACK = mpmath.mpf(10) ** -25
"""Of numbers that were computed to 60 digits."""


@dataclass(frozen=True)
class Mutant:
    """A network, what was done to it, and where something is likely to be wrong."""

    kind: str
    network: Network
    near: tuple[Place, ...] = ()
    radius: float = 0.0


@dataclass(frozen=True)
class Fault:
    """Something that was said of a mutant and is not so."""

    what: str
    """false PROVED, false REFUTED, false confirmed or traceback."""
    subject: str
    kind: str
    seed: int
    number: int
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.subject}, {self.kind} (seed {self.seed}, number {self.number}): {self.detail}"


class Sampler:
    """Places of a task, many at a time, and errors at them in floats."""

    def __init__(self, subject: Subject) -> None:
        self.task, self.truth = subject.task, Truth(subject.task)
        self.domains = self.truth.domains
        self.counts = [len(domain.parametrising) if isinstance(domain, Atlas) else 1 for domain in self.domains]
        self.parts = list(itertools.product(*(range(count) for count in self.counts)))

    def box(self, part: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        """The box of coordinates of one chart of every input."""
        boxes = [
            domain.parametrising[p].domain if isinstance(domain, Atlas) else domain for domain, p in zip(self.domains, part, strict=True)
        ]
        return np.concatenate([box.lower for box in boxes]), np.concatenate([box.upper for box in boxes])

    def split(self, u: np.ndarray) -> list[np.ndarray]:
        """Coordinates of every input."""
        sizes = [domain.dimension for domain in self.domains]
        return np.split(u, np.cumsum(sizes)[:-1], axis=1)

    def place(self, part: tuple[int, ...], u: np.ndarray) -> Place:
        return Place(part, tuple(tuple(map(float, v[0])) for v in self.split(self.nearest(u[None]))))

    def nearest(self, u: np.ndarray) -> np.ndarray:
        """The points of the task that are nearest, where coordinates take finitely many values."""
        if not isinstance(self.task, TaskGraph) or not any(node.values for node in self.task.inputs):
            return u
        u = u.copy()
        for v, node in zip(self.split(u), self.task.inputs, strict=True):
            for column, values in zip(v.T, node.values, strict=False):
                column[:] = np.array(values, float)[np.abs(column[:, None] - np.array(values, float)).argmin(1)]
        return u

    def inside(self, part: tuple[int, ...], u: np.ndarray) -> np.ndarray:
        """Whether coordinates are in their boxes and regions."""
        found = np.ones(len(u), bool)
        for domain, p, v in zip(self.domains, part, self.split(u), strict=True):
            found &= domain.parametrising[p].inside(v) if isinstance(domain, Atlas) else domain.contains(v)
        return found

    def errors(self, network: Network, part: tuple[int, ...], u: np.ndarray) -> np.ndarray:
        """|f − Ψ|, largest component; infinite where it is no number, −1 off M."""
        u = self.nearest(u)
        located: list[Points] = [
            domain.parametrise(p, v) if isinstance(domain, Atlas) else None
            for domain, p, v in zip(self.domains, part, self.split(u), strict=True)
        ]
        x = np.concatenate([v if points is None else points.ambient for points, v in zip(located, self.split(u), strict=True)], axis=1)
        with np.errstate(all="ignore"):
            values = self.task.evaluate(located[0]) if isinstance(self.task, ManifoldTask) else self.task.evaluate(x)
            found = np.abs(np.asarray(network(x.astype(network.dtype)), float) - values).max(1)
        return np.where(self.inside(part, u), np.where(np.isnan(found), np.inf, found), -1.0)


def worst(sampler: Sampler, mutant: Mutant, keep: int = 2) -> list[Place]:
    """Places at which the error is largest, as far as samples tell: on a grid, on finer ones around its worst, and around the change."""
    found: list[tuple[float, Place]] = [(np.inf, place) for place in mutant.near]
    for part in sampler.parts:
        lower, upper = sampler.box(part)
        d = len(lower)
        side = max(3, int(1500 ** (1 / d)))
        grid = np.stack(np.meshgrid(*[np.linspace(0, 1, side)] * d, indexing="ij"), axis=-1).reshape(-1, d)
        u = np.minimum(lower + grid * (upper - lower), upper)
        values, step = sampler.errors(mutant.network, part, u), (upper - lower) / (side - 1)
        middle = u[np.argsort(-values)[:4]]
        offsets = np.random.default_rng(0).uniform(-1, 1, (60, d))
        around = [middle]
        for _ in range(5):
            tried = np.clip(middle[:, None] + step * offsets, lower, upper)
            errors = sampler.errors(mutant.network, part, tried.reshape(-1, d)).reshape(len(middle), -1)
            middle = tried[np.arange(len(middle)), errors.argmax(1)]
            around.append(middle)
            step = step / 5
        for place in mutant.near:
            if place.charts == part:
                at = np.concatenate(place.coordinates)
                scales = mutant.radius * np.array([0.01, 0.1, 0.5, 1, 3])
                around.append(np.clip(at + (scales[:, None, None] * offsets).reshape(-1, d), lower, upper))
        u = np.concatenate([u, *around])
        values = sampler.errors(mutant.network, part, u)
        for row in np.argsort(-values)[:keep]:
            found.append((float(values[row]), sampler.place(part, u[row])))
    found.sort(key=lambda entry: -entry[0])
    return [place for _, place in found[: len(mutant.near) + keep]]


def needles(subject: Subject, sampler: Sampler, rng: np.random.Generator) -> Iterator[Mutant]:
    """Endless needles, at random places, at edges of charts, at corners, and where two logits tie; in outputs and in scores."""
    network = subject.model.network
    while True:
        for where in ("anywhere", "edge", "corner", "tie"):
            part = sampler.parts[rng.integers(len(sampler.parts))]
            lower, upper = sampler.box(part)
            u = lower + rng.uniform(0, 1, len(lower)) * (upper - lower)
            radius = float(10 ** rng.uniform(*RADII))
            if where in ("edge", "corner"):
                sides = rng.random(len(u)) < 0.5 if where == "edge" else np.ones(len(u), bool)
                sides[rng.integers(len(u))] = True
                near = rng.choice([0.0, radius, 1e-3]) * (upper - lower)
                u = np.where(sides, np.where(rng.random(len(u)) < 0.5, lower + near, upper - near), u)
            if where == "tie":
                u = _tie(sampler, network, part, u, rng)
            if not sampler.inside(part, u[None])[0]:
                continue
            place = sampler.place(part, u)
            x = np.array([float(v) for v in sampler.truth.ambient(place)])
            height = subject.epsilon * rng.choice([1.2, 3.0, 100.0]) * rng.choice([-1, 1])
            layer, output = len(network.layers) - 1, None
            if len(network.layers) > 1 and rng.random() < 0.3:
                layer = int(rng.integers(len(network.layers) - 1))
                output = int(rng.integers(network.layers[layer].experts[0].outputs))
            with np.errstate(all="ignore"):
                changed = with_needle(network, x.astype(network.dtype).astype(float), radius, float(height), rng, layer, output)
            yield Mutant(f"needle, {where}", changed, (place,), radius)


def _tie(sampler: Sampler, network: Network, part: tuple[int, ...], u: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A place where the last gate changes its mind, between u and another one; u itself if it does not."""
    lower, upper = sampler.box(part)
    v = lower + rng.uniform(0, 1, len(lower)) * (upper - lower)

    def route(w: np.ndarray) -> int:
        x = np.array([[float(c) for c in sampler.truth.ambient(sampler.place(part, w))]])
        return int(network.trace(x.astype(network.dtype)).chosen[-1][0, 0])

    here = route(u)
    if route(v) == here:
        return u
    for _ in range(50):
        middle = (u + v) / 2
        u, v = (middle, v) if route(middle) == here else (u, middle)
    return u


def mutants(subject: Subject, sampler: Sampler, rng: np.random.Generator) -> Iterator[Mutant]:
    """Changes and needles by turns."""
    spoiled, spiked = changes(subject.model.network, rng), needles(subject, sampler, rng)
    while True:
        kind, network = next(spoiled)
        yield Mutant(kind, network)
        yield next(spiked)


class Judge:
    """What is wrong with what is said of mutants of one model."""

    def __init__(self, subject: Subject, folder: Path) -> None:
        self.subject, self.sampler, self.folder = subject, Sampler(subject), folder
        self.honest = folder / "honest"
        self.tally: Counter[str] = Counter()
        atlasmoe.save(subject.model, self.honest)
        subject.certificate.write(self.honest)

    def __call__(self, mutant: Mutant, number: int, *, checked: bool = True) -> Iterator[tuple[str, str]]:
        """(what, detail) of every fault."""
        places = worst(self.sampler, mutant)
        truths = [Found.at(self.sampler.truth, mutant.network, place) for place in places]
        try:
            certificate = certify(
                mutant.network, self.subject.task, epsilon=self.subject.epsilon, tightness=None, boxes=BOXES, seconds=60.0
            )
        except AtlasMoEError:
            certificate = None  # said in words what cannot be proved
        error = max(found.error for found in truths)
        self.tally[f"{'wrong' if error > self.subject.epsilon else 'right'}, {certificate and str(certificate.status)}"] += 1
        if certificate is not None:
            yield from self._claims(certificate, mutant, truths)
            yield from self._leaves(certificate, truths)
            yield from self._refuted(certificate, mutant)
        if checked:
            yield from self._checked(mutant, truths, number)

    def _claims(self, certificate: Certificate, mutant: Mutant, truths: list[Found]) -> Iterator[tuple[str, str]]:
        proved = {claim.name: claim for claim in certificate.claims if claim.known is Known.PROVED}
        for found in truths:
            for problem in found.contradicts(proved.keys(), certificate.bound, self.subject, _eta(certificate)):
                yield "false PROVED", problem
            for dtype in ("float64", "float32"):
                if (claim := proved.get(f"total.{dtype}")) is not None:
                    network = mutant.network.astype(dtype) if dtype == "float64" else mutant.network
                    x = np.array([[float(v) for v in found.x]]).astype(dtype)
                    error = gap(exactly(np.asarray(network(x), float)[0]), found.value)
                    if error > claim.bound:
                        yield "false PROVED", f"{claim.name} says {claim.bound!r}, but it is {mpmath.nstr(error, 12)} at {found.place}"

    def _leaves(self, certificate: Certificate, truths: list[Found]) -> Iterator[tuple[str, str]]:
        """Leaves say what they say even of a proof that is not whole: only of one site on charts or pieces of the input itself."""
        if isinstance(self.subject.task, ManifoldTask):
            trees = list(certificate.trees.values())
            for found in truths:
                (p,), u = found.place.charts, np.array(found.place.coordinates[0])
                tree = trees[p]
                lower, upper = tree.leaves()
                for row in np.flatnonzero(((lower <= u) & (u <= upper)).all(1)):
                    if tree.tags[row] == 2 and found.error > mpmath.mpf(float(tree.bounds[row])) + SLACK:
                        yield "false PROVED", f"a leaf says {tree.bounds[row]!r}, but it is {mpmath.nstr(found.error, 12)} at {found.place}"

    def _refuted(self, certificate: Certificate, mutant: Mutant) -> Iterator[tuple[str, str]]:
        total = certificate["total"]
        if certificate.status is not Known.REFUTED or total.known is not Known.REFUTED:
            return
        if total.witness is None:
            yield "false REFUTED", "no witness"
        elif isinstance(self.subject.task, ManifoldTask) and not self.subject.task.target.by_chart:
            x = exactly(total.witness)
            Q = self.subject.task.atlas.embedding
            y = x if Q is None else [mpmath.fsum(mpmath.mpf(float(q)) * v for q, v in zip(column, x, strict=True)) for column in Q.T]
            truth = self.sampler.truth
            error = gap(passed(mutant.network, x).output, truth.functions(self.subject.task.target.function, y))  # type: ignore[union-attr]
            if error <= certificate.epsilon * (1 - 1e-9):
                yield "false REFUTED", f"ε = {certificate.epsilon!r}, but at the witness the error is {mpmath.nstr(error, 12)}"

    def _checked(self, mutant: Mutant, truths: list[Found], number: int) -> Iterator[tuple[str, str]]:
        """The certificate of the honest network beside the weights of the mutant, with every hash right again."""
        folder = self.folder / str(number)
        try:
            atlasmoe.save(replace(self.subject.model, network=mutant.network), folder)
        except AtlasMoEError:
            return
        signed(self.honest, folder)
        try:
            report = check(folder)
        except AtlasMoEError:
            return
        self.tally[report.verdict] += 1
        if report.verdict != "confirmed":
            return
        for found in truths:
            for problem in found.contradicts(set(report.claims), float(report.bound or 0.0), self.subject, _eta(self.subject.certificate)):
                yield "false confirmed", problem


def _eta(certificate: Certificate) -> float:
    return max((site.solution.eta for site in certificate.sites), default=0.0)


@dataclass(frozen=True)
class Found:
    """What is so at one place."""

    place: Place
    x: Exact
    value: Exact
    error: mpmath.mpf
    errors: tuple[tuple[int, mpmath.mpf, mpmath.mpf, mpmath.mpf], ...]
    """Gate output of the last layer, how far its logit is below the largest, the error of its expert, how deep in its chart."""

    @classmethod
    def at(cls, truth: Truth, network: Network, place: Place) -> Found:
        x, value = truth.ambient(place), truth.value(place)
        found, layer = passed(network, x), network.layers[-1]
        errors = []
        if isinstance(truth.task, ManifoldTask) and layer.unit and found.logits:
            top, (y,) = max(found.logits), truth.base(place)
            for j, logit in enumerate(found.logits):
                if top - logit < mpmath.mpf(10) ** -6:
                    error = gap(behind(layer, found.arriving, [j])[0], value)
                    errors.append((j, top - logit, error, truth.depth(truth.task.atlas.charts[j], y)))
        return cls(place, x, value, gap(found.output, value), tuple(errors))

    def contradicts(self, claims: set[str], bound: float, subject: Subject, eta: float) -> Iterator[str]:
        """What of the claims is not so here."""
        if "total" in claims:
            if self.error > mpmath.mpf(bound) + SLACK:
                yield f"total says {bound!r}, but it is {mpmath.nstr(self.error, 12)} at {self.place}"
            for j, below, error, _ in self.errors:
                if below <= 2 * eta and error > mpmath.mpf(bound) + SLACK:
                    yield f"total says {bound!r}, but expert {j}, which may be chosen, errs by {mpmath.nstr(error, 12)} at {self.place}"
        if "routing.valid" in claims:
            for j, below, _, depth in self.errors:
                if below <= 2 * eta and depth < -SLACK:
                    yield f"routing.valid, but the gate may choose {j}, whose chart does not hold {self.place}"
