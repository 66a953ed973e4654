"""Hostile atlases: something about the charts is false, and the network is wrong just where a proof that believed it would not look.

None of them may be proved or confirmed, unless what is false is among the assumptions that the certificate names.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Affine, Claim, Known, Ledger, Model, MoELayer, Network, NeuronGroup, ReLUNet
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify

EPSILON = 0.1
FACTS = {"theorem": "4.9", "routing": "hinge", "epsilon": EPSILON, "delta": 0.0, "multiplicity": 2, "m": 5, "seed": 0}


@dataclass(frozen=True)
class Attack:
    """An atlas with a gate of one affine logit a chart; f = x. The network is off by 1 at a point, across a direction."""

    charts: tuple[str, ...]
    gate: tuple[tuple[float, ...], ...]
    at: tuple[float, ...]
    radius: float
    across: tuple[float, ...] | None = None
    ambient: tuple[str, ...] = ("x", "y")
    intrinsic: tuple[str, ...] = ("t",)
    target: str = 'expression = "x"'
    allowed: tuple[str, ...] = ()
    """Assumptions one of which has to be named if it is proved."""
    refused: bool = False
    """Whether nothing can be enclosed there at all."""

    def spec(self) -> str:
        charts = "".join(f'[[chart]]\nname = "{name}"\n{text}\n' for name, text in zip("ABCD", self.charts, strict=False))
        head = f'[task]\nname = "hostile"\n[manifold]\nambient = {list(self.ambient)}\nintrinsic = {list(self.intrinsic)}\n'
        return f"{head.replace(chr(39), chr(34))}{charts}[target]\n{self.target}\n"

    def model(self, height: float = 1.0) -> Model:
        """A network that is exact but for a ridge of this height."""
        task = task_from_spec(tomllib.loads(self.spec()))
        x, D = np.array(self.at), len(self.ambient)
        across = np.array(self.across or (1.0, *[0.3] * (D - 1)))
        across = across / np.linalg.norm(across)
        first, middle = np.eye(D)[0], float(across @ x)
        inner = Affine(np.stack([first, -first, *[across] * 3]), np.array([0, 0, self.radius - middle, -middle, -self.radius - middle]))
        outer = Affine(np.array([[1.0, -1.0, *(height / self.radius * np.array([1.0, -2.0, 1.0]))]]), np.zeros(1))
        expert = ReLUNet((inner, outer), ((NeuronGroup("h", 5, "by hand"),),))
        names = tuple(task.atlas.names)
        gate = Affine(np.array([row[:-1] for row in self.gate], float), np.array([row[-1] for row in self.gate], float))
        layer = MoELayer(gate, (expert,), (0,) * len(names), names, ("y[0]",))
        root = Claim("total", "|f − Ψ| ≤ ε", "by hand", EPSILON, 0.0, Known.SAMPLED)
        return Model(Network((layer,), tuple(f"x[{k}]" for k in range(D))), Ledger(root), task, FACTS)


def chart(domain: str, inverse: str, forward: str, *more: str) -> str:
    return "\n".join([f"domain = [{domain}]", f"inverse = [{inverse}]", f"forward = [{forward}]" if forward else "", *more])


BOTH, LINE = "boundary = [[true, true]]", ((0.0, 0.0, 0.0), (0.0, 0.0, 1.0))
RIGHT = ("[-2, 2]", '"cos(t)", "sin(t)"', '"atan2(y, x)"')
LEFT = ("[-2, 2]", '"-cos(t)", "-sin(t)"', '"atan2(-y, -x)"')
CIRCLE = ((1.0, 0.0, 0.0), (-1.0, 0.0, 0.0))
ON = (float(np.cos(0.3)), float(np.sin(0.3)))
LEAK = 'bump = "Max(0, -x + 0.4) + 9*Max(0, 1 - ((x - cos(0.3))**2 + (y - sin(0.3))**2)*1e10)"'
STRONG, WEAK = 'bump = "3 + 0.01*t**2"', 'bump = "0.05 + 0.01*t**2"'
LOWER = chart("[-1.5, 0.5]", '"t", "0"', '"x"', STRONG, BOTH)


def above(gap: str) -> str:
    return chart("[-1, 0.5]", f'"t", "{gap}"', '"x"', WEAK, BOTH)


ATTACKS = {
    "a bump that leaks": Attack((chart(*RIGHT, 'bump = "Max(0, x + 0.4)"'), chart(*LEFT, LEAK)), CIRCLE, ON, 2e-6),
    "a bump that leaks, of a chart without a forward map": Attack(
        (chart(*RIGHT, 'bump = "Max(0, x + 0.4)"'), chart(LEFT[0], LEFT[1], "", LEAK)), CIRCLE, ON, 2e-6, allowed=("support[B]",)
    ),
    "an inverse that jumps": Attack(
        (above("Piecewise((0, t < 0.001), (1, t < 0.001 + 1e-6), (0, True))"), LOWER), LINE, (0.0010005, 1.0), 0.5, (0.0, 1.0)
    ),
    "sheets 1e-7 apart": Attack((above("1e-7"), LOWER), LINE, (0.2, 1e-7), 5e-8, (0.0, 1.0)),
    "sheets 1e-13 apart": Attack((above("1e-13"), LOWER), LINE, (0.2, 1e-13), 5e-14, (0.0, 1.0)),
    "sheets 1e-17 apart": Attack((above("1e-17"), LOWER), LINE, (0.2, 1e-17), 5e-18, (0.0, 1.0), allowed=("open[A, B]",)),
    "curves that cross": Attack((above("t"), LOWER), LINE, (1e-5, 1e-5), 5e-6, (0.0, 1.0)),
    "curves that touch": Attack((above("t**3"), LOWER), LINE, (1e-3, 1e-9), 5e-10, (0.0, 1.0)),
    "a forward map that is wrong on a sliver": Attack(
        (above("Piecewise((0, t < 0.3), ((t - 0.3)*(0.3001 - t), t < 0.3001), (0, True))"), LOWER),
        LINE,
        (0.30005, 2.5e-9),
        1e-9,
        (0.0, 1.0),
    ),
    "a forward map that says what it likes": Attack(
        (chart(*RIGHT, 'bump = "0.1 + 0*t"'), chart(LEFT[0], LEFT[1], '"0.1 + 0*x"', 'bump = "5 + 0*t"')), CIRCLE, ON, 2e-6
    ),
    "an arc of 3 pi": Attack((chart("[-4.7, 4.7]", RIGHT[1], RIGHT[2]),), ((0.0, 0.0, 0.0),), ON, 2e-6),
    "a bump that is negative": Attack(
        (
            chart(*RIGHT, 'bump = "x + 0.4 - 99*Max(0, 1 - ((x - cos(0.3))**2 + (y - sin(0.3))**2)*1e10)"'),
            chart(*LEFT, 'bump = "Max(0, -x + 0.4)"'),
        ),
        CIRCLE,
        ON,
        2e-6,
    ),
    "bumps that are negative together": Attack(
        (chart("[-0.5, 0.5]", '"t", "0"', '"x"', 'bump = "t - 2"', BOTH), chart("[-0.5, 0.5]", '"t", "0"', '"x"', 'bump = "t - 1"', BOTH)),
        LINE,
        (0.2, 0.0),
        2e-6,
    ),
    "an inverse that is nowhere on a sliver": Attack(
        (chart("[-1, 0.5]", '"t", "0*sqrt((t - 0.2)**2 - 1e-12)"', '"x"', BOTH),), ((0.0, 0.0, 0.0),), (0.2, 0.0), 1e-7, refused=True
    ),
    "a target that is nowhere on a sliver": Attack(
        (chart("[-1, 0.5]", '"t", "0"', '"x"', BOTH),),
        ((0.0, 0.0, 0.0),),
        (0.2, 0.0),
        1e-7,
        target='expression = "x + 0*log((x - 0.2)**2 - 1e-12)"',
    ),
    "chart-wise targets that disagree on a sliver": Attack(
        (chart(*RIGHT), chart(*LEFT)),
        CIRCLE,
        (5.0, 5.0),
        2e-6,
        target='charts = ["cos(t)", "-cos(t) + Piecewise((0, t < 2 - 1e-6), (1, True))"]',
    ),
    "chart-wise targets that disagree in the middle of an overlap": Attack(
        (chart(*RIGHT), chart(*LEFT)),
        CIRCLE,
        (5.0, 5.0),
        2e-6,
        target='charts = ["cos(t)", "-cos(t) + Piecewise((0, t < 1.9), (1, t < 1.900001), (0, True))"]',
    ),
    "boxes that are too small by 1e-9": Attack(
        (chart('["-pi/2 + 1e-9", "pi/2 - 1e-9"]', RIGHT[1], RIGHT[2]), chart('["-pi/2 + 1e-9", "pi/2 - 1e-9"]', LEFT[1], LEFT[2])),
        CIRCLE,
        (5.0, 5.0),
        1e-3,
    ),
    "a face of the boundary that goes on": Attack(
        (chart("[-1, 0.5000004]", '"t", "0"', '"x"', WEAK, BOTH), LOWER), LINE, (0.5000003, 0.0), 5e-8, (1.0, 0.0), allowed=("faces[B]",)
    ),
    "a bump that is not a number somewhere": Attack(
        (chart(*RIGHT, 'bump = "1/((x - cos(0.3))**2 + (y - sin(0.3))**2)"'), chart(*LEFT, 'bump = "9 + 0*x"')), CIRCLE, ON, 2e-6
    ),
    "a partition that does not add up to one": Attack(
        (chart(*RIGHT, 'partition = "0.01 + 0*x"'), chart(*LEFT, 'partition = "0.02 + 0*x"')), CIRCLE, ON, 2e-6
    ),
}
BAND = "boundary = [[false, false], [true, true]]"
STRIP = '"(1 + w*cos(t/2))*cos(t)", "(1 + w*cos(t/2))*sin(t)", "w*sin(t/2)"'
FLIPPED = '"(1 - w*cos(t/2))*cos(t)", "(1 - w*cos(t/2))*sin(t)", "w*sin(t/2)"'
HEIGHT = '"(sqrt(x**2 + y**2) - 1)*cos(atan2(y, x)/2) + z*sin(atan2(y, x)/2)"'
BACK = '"pi + atan2(-y, -x)", "(sqrt(x**2 + y**2) - 1)*cos((pi + atan2(-y, -x))/2) + z*sin((pi + atan2(-y, -x))/2)"'


def band(back: str, at: tuple[float, float, float], forward: str = BACK) -> Attack:
    front = chart("[-2.2, 2.2], [-0.4, 0.4]", STRIP, f'"atan2(y, x)", {HEIGHT}', BAND)
    other = chart('["pi - 2.2", "pi + 2.2"], [-0.4, 0.4]', back, forward, BAND)
    gate = ((1.0, 0.0, 0.0, 0.0), (-1.0, 0.0, 0.0, 0.0))
    return Attack((front, other), gate, at, 0.01, (0.0, 0.0, 1.0), ("x", "y", "z"), ("t", "w"))


def on_strip(t: float, w: float, sign: float = 1.0) -> tuple[float, float, float]:
    r = 1 + sign * w * np.cos(t / 2)
    return float(r * np.cos(t)), float(r * np.sin(t)), float(w * np.sin(t / 2))


ATTACKS |= {
    "a band that is glued the wrong way": band(FLIPPED, on_strip(1.2, 0.3, -1.0)),
    "a band glued to a cylinder": band(
        '"cos(t)", "sin(t)", "w"', (float(np.cos(1.2)), float(np.sin(1.2)), 0.3), '"pi + atan2(-y, -x)", "z"'
    ),
}


def is_named(attack: Attack, names: set[str]) -> bool:
    return bool(names & set(attack.allowed))


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_false_is_not_proved(name: str, tmp_path: Path) -> None:
    attack = ATTACKS[name]
    model = attack.model()
    try:
        certificate = certify(model, epsilon=EPSILON, tightness=None, boxes=20_000, seconds=60)
    except InvalidArgument:
        assert attack.refused
        return
    names = {taken.name for taken in certificate.assumptions}
    assert certificate.status is not Known.PROVED or is_named(attack, names)
    atlasmoe.save(model, tmp_path / "model")
    certificate.write(tmp_path / "model")
    report = check(tmp_path / "model")
    assert report.verdict != "confirmed" or is_named(attack, set(report.assumptions))


TRUE = {
    "a circle": replace(ATTACKS["a bump that leaks"], charts=(chart(*RIGHT), chart(*LEFT))),
    "a circle with bumps": replace(
        ATTACKS["a bump that leaks"], charts=(chart(*RIGHT, 'bump = "Max(0, x + 0.4)"'), chart(*LEFT, 'bump = "Max(0, -x + 0.4)"'))
    ),
    "one line twice": Attack((above("0"), LOWER), LINE, (0.2, 0.0), 1e-3, (1.0, 0.0)),
    "one line twice, in other words": Attack((above("(t + 1)**2 - t**2 - 2*t - 1"), LOWER), LINE, (0.2, 0.0), 1e-3, (1.0, 0.0)),
    "chart-wise": Attack((chart(*RIGHT), chart(*LEFT)), CIRCLE, ON, 2e-6, target='charts = ["cos(t)", "-cos(t)"]'),
    "a Moebius band": band(STRIP, on_strip(1.2, 0.3)),
}


@pytest.mark.parametrize("name", TRUE)
def test_what_is_true_is_proved_without_assumptions(name: str, tmp_path: Path) -> None:
    model = TRUE[name].model(height=0.0)
    certificate = certify(model, epsilon=EPSILON, tightness=None, boxes=20_000, seconds=60)
    assert certificate.status is Known.PROVED
    assert certificate.assumptions == ()
    atlasmoe.save(model, tmp_path / "model")
    certificate.write(tmp_path / "model")
    report = check(tmp_path / "model")
    assert report.verdict == "confirmed", "\n".join(map(str, report.failures))


@pytest.mark.parametrize("name", TRUE)
def test_a_ridge_on_a_true_atlas_is_seen(name: str) -> None:
    certificate = certify(TRUE[name].model(), epsilon=EPSILON, tightness=None, boxes=20_000, seconds=60)
    assert certificate.status is not Known.PROVED
