"""Functions that are not defined at some point where they are used, hidden where nothing that is computed shows it.

A text of a task (f, a chart's inverse or bump, a piece, a combination) has a part added that is 0 wherever it has a value,
and has none at one point, or on one side of it. Whatever is then proved of the task, or confirmed by the certificate of the task without
the hole, is false: the claim `defined` says that φ⁻¹ and f are defined on all of M.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import atlasmoe
import numpy as np
from atlasmoe.errors import AtlasMoEError
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from signing import copied, resign

HOLES = (
    "0*(1/({v} - {a}))",
    "0/({v} - {a})**2",
    "0*log({v} - {a})",
    "0*sqrt({v} - {a})",
    "(({v} - {a})/({v} - {a}) - 1)",
    "(sqrt({v} - {a})**2 - ({v} - {a}))",
    "(exp(log({v} - {a})) - {v} + {a})",
    "(sin(asin({v} - {a} + 1)) - ({v} - {a} + 1))",
    "0*atan(1/({v} - {a}))",
    "0*sin(1/({v} - {a}))",
    "0*atan2({v} - {a}, {v} - {a})",
    "0*Abs(log(({v} - {a})**2))",
    "0*sign(1/({v} - {a}))",
    "0*Max(1, log(({v} - {a})**2))",
    "0*Min(0, 1/({v} - {a})**2)",
    "Piecewise((0, 1/({v} - {a}) > 0), (0, True))",
    "Piecewise((0, {v} < {a} - 1e-9), (0*log({v} - {a} - 1e-9), {v} < {a}), (0, True))",
    "0*(({v} - {a})**2)**(-1/2)",
    "0*(({v} - {a})**2)**(-0.7)",
    "(({v} - {a})**0 - ({v} - {a})**1*({v} - {a})**(-1))",
    "0*tan(pi/2 + {v} - {a})",
    "1e-30/({v} - {a})**2",
    "0*acosh(1 + {v} - {a})",
    "0*({v} - {a})**1.5",
)
"""Parts that are 0, or tiny, where they are defined; not at v = a, or not on one side of it."""

ARC = """
[[chart]]
name = "{name}"
domain = [[-2, 2]]
inverse = ["{sign}cos(t)", "{sign}sin(t)"]
forward = ["atan2({sign}y, {sign}x)"]
{more}
"""
CIRCLE = '[task]\nname = "t"\n[manifold]\nambient = ["x", "y"]\nintrinsic = ["t"]\n'
INTERVAL = '[task]\nname = "t"\n[manifold]\nbuiltin = "interval"\ncharts = 3\n[target]\nexpression = "exp(x1) + 0*x1"\n'
HALVES = """
[task]
name = "t"
[manifold]
ambient = ["x"]
intrinsic = ["t"]
[[chart]]
name = "left"
domain = [[-1, 0.5]]
boundary = [[true, false]]
region = "0.4 - t"
inverse = ["t"]
forward = ["x"]
[[chart]]
name = "right"
domain = [[-0.5, 1]]
boundary = [[false, true]]
region = "t + 0.4"
inverse = ["t"]
forward = ["x"]
[target]
expression = "exp(x)"
"""
GRAPH = """
[task]
name = "g"
kind = "graph"
output = "f"
[[input]]
name = "u"
domain = [-1, 1]
[[input]]
name = "v"
domain = [-1, 1]
[[block]]
name = "a"
reads = ["u"]
[[block.piece]]
domain = [-1, 0]
expression = "u**2"
[[block.piece]]
domain = [0, 1]
expression = "1 - u"
[[block]]
name = "b"
reads = ["v"]
expression = "sin(v)"
[[combine]]
name = "f"
expression = "a*b + a"
"""


def circle(right: str, left: str, end: str = "") -> str:
    return CIRCLE + ARC.format(name="right", sign="", more=right) + ARC.format(name="left", sign="-", more=left) + end


PRODUCT = '[target]\nexpression = "x*y"\n'
BASES = {
    "interval": INTERVAL,
    "circle": circle("", "", PRODUCT),
    "bumps": circle('bump = "Max(0, x + 0.4)"', 'bump = "Max(0, 0.4 - x)"', PRODUCT),
    "region": HALVES,
    "chart-wise": circle('target = "sin(t)*cos(t)"', 'target = "sin(t)*cos(t)"'),
    "graph": GRAPH,
}
PLACES = {
    "interval": [('expression = "', "x1", (0.2, 0.8))],
    "circle": [('expression = "', "x", (-0.9, 0.9)), ('expression = "', "y", (-0.9, 0.9)), ('inverse = ["', "t", (-1.9, 1.9))],
    "bumps": [('bump = "', "x", (-0.3, 0.3)), ('bump = "', "y", (-0.9, 0.9)), ('inverse = ["', "t", (-1.9, 1.9))],
    "region": [('expression = "', "x", (-0.9, 0.9)), ('inverse = ["', "t", (-0.35, 0.35))],
    "chart-wise": [('target = "', "t", (-1.9, 1.9)), ('inverse = ["', "t", (-1.9, 1.9))],
    "graph": [
        ('expression = "u**2', "u", (-0.9, -0.1)), ('expression = "1 - u', "u", (0.1, 0.9)), ('expression = "sin(v)', "v", (-0.9, 0.9)),
        ('expression = "a*b + a', "a", (0.1, 0.9)), ('expression = "a*b + a', "b", (-0.5, 0.5)),
    ],
}  # fmt: skip
"""Base ↦ where a hole can be: in front of which text, in which coordinate, and within what."""


@dataclass(frozen=True)
class Whole:
    """A task without a hole, compiled and proved."""

    text: str
    model: Model
    folder: Path


@cache
def whole(base: str, folder: Path) -> Whole:
    spec = folder / f"{base}.toml"
    spec.write_text(BASES[base])
    model = atlasmoe.compile(atlasmoe.load_task(str(spec)), epsilon=0.15)
    certificate = certify(model, tightness=None)
    assert certificate.status is Known.PROVED, f"{base}: {[str(claim) for claim in certificate.claims]}"
    place = folder / base
    atlasmoe.save(model, place)
    certificate.write(place)
    return Whole((place / "task.toml").read_text(), model, place)


def holed(text: str, start: str, variable: str, hole: str, rng: np.random.Generator) -> str:
    """The text of a task with a hole in one of the places that begin so."""
    at = [k + len(start.split('"')[0]) + 1 for k in range(len(text)) if text.startswith(start, k)]
    begin = at[rng.integers(len(at))]
    return text[:begin] + hole + " + " + text[begin:]


def attacks(rng: np.random.Generator) -> Iterator[tuple[str, str, str]]:
    """Endless (base, what was done, the text of the task with the hole)."""
    number = 0
    while True:
        for base in BASES:
            places = PLACES[base]
            start, variable, (low, high) = places[number % len(places)]
            hole = HOLES[(number * 7 + len(base)) % len(HOLES)]
            a = float(rng.choice([round(float(rng.uniform(low, high)), 3), float(rng.uniform(low, high)), low + (high - low) * 0.5]))
            done = hole.format(v=variable, a=repr(a) if a >= 0 else f"({a!r})")
            yield base, f"{start} {done}", holed(BASES[base], start, variable, done, rng)
        number += 1


def _said(whole: bool, claims: set[str], done: str) -> bool:
    """Whether something is said that cannot be so. Where a bump has no value it is not used, but for what the scores are compared with."""
    return whole if "bump" not in done else "routing.tau" in claims


def judged(base: str, done: str, text: str, number: int, folder: Path) -> Iterator[tuple[str, str]]:
    """(what, detail) of every fault."""
    sound = whole(base, folder)
    spec = folder / f"holed {number}.toml"
    spec.write_text(text)
    try:
        task = atlasmoe.load_task(str(spec))
    except AtlasMoEError:
        return  # refused while reading
    try:
        certificate = certify(replace(sound.model, task=task), tightness=None, boxes=1500, seconds=5.0)
        proved = {claim.name for claim in certificate.claims if claim.known is Known.PROVED}
        if _said(certificate.status is Known.PROVED, proved, done) and not certificate.assumptions:
            yield "false PROVED", f"bound {certificate.bound!r} of a function that is not defined somewhere"
    except AtlasMoEError:
        pass
    place = copied(sound.folder, folder / f"folder {number}")
    try:
        atlasmoe.save(replace(sound.model, task=task), folder / f"text {number}")
    except AtlasMoEError:
        return
    (place / "task.toml").write_bytes((folder / f"text {number}" / "task.toml").read_bytes())
    resign(place)
    try:
        report = check(place)
    except AtlasMoEError:
        return
    if _said(report.verdict == "confirmed", set(report.claims), done):
        yield "false confirmed", f"bound {report.bound!r} of a function that is not defined somewhere"
