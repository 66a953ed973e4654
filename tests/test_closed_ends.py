"""What is true gets proved: functions that are defined up to a closed end of a domain, or only because of a condition."""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import atlasmoe
import pytest
from atlasmoe import Model
from atlasmoe.verify.check import CheckReport, check
from atlasmoe.verify.prove import Certificate, certify

CASES = [
    ("sqrt(x1)", [[0, 1]], 0.02),
    ("x1**1.5", [[0, 1]], 0.01),
    ("x1**2.5", [[0, 1]], 0.01),
    ("x1**(1/3)", [[0, 1]], 0.05),
    ("x1**2.0", [[-1, 1]], 0.01),
    ("x1**4.0 + 1", [[-1, 1]], 0.01),
    ("x1**(-1.0)", [[-2, -1]], 0.01),
    ("asin(x1)", [[-1, 1]], 0.05),
    ("acosh(x1)", [[1, 2]], 0.05),
    ("sqrt(1 - x1**2)", [[-1, 1]], 0.05),
    ("sqrt(1 - x1**2/4)", [[-2, 2]], 0.05),
    ("sqrt(x1)**2 + sqrt(1 - x1)", [[0, 1]], 0.05),
    ("Piecewise((sqrt(-x1)**3, x1 < 0), (sqrt(x1)**3, True))", [[-2, 2]], 0.02),
    ("Piecewise((0, x1 <= 0), (exp(-1/x1), True))", [[-1, 1]], 0.02),
    ("Piecewise((sqrt(1 - x1**2), abs(x1) <= 1), (0, True))", [[-2, 2]], 0.05),
    ("x1**x2", [[0.5, 2], [-2, 2]], 0.02),
    (["x2", "sqrt(x1)"], [[0, 1], [-1, 1]], 0.03),
]


@pytest.mark.parametrize(("text", "domain", "epsilon"), CASES)
def test_closed_ends_are_proved_and_confirmed(text: str | list[str], domain: list[list[float]], epsilon: float, tmp_path: Path) -> None:
    spec = tmp_path / "task.toml"
    texts = [text] if isinstance(text, str) else text
    manifold = f'[manifold]\nbuiltin = "box"\ndimension = {len(domain)}\ndomain = {domain}\n'
    spec.write_text(f'[task]\nname = "ends"\n{manifold}[target]\nexpression = {texts}\n')
    model = atlasmoe.compile(atlasmoe.load_task(spec), epsilon=epsilon)
    certificate = certify(model)
    assert certificate.status.startswith("proved")
    assert certificate.bound <= epsilon
    folder = atlasmoe.save(model, tmp_path / "model")
    certificate.write(folder)
    report = check(folder)
    assert report.verdict == "confirmed", report.failures


def test_a_half_circle_as_a_graph(tmp_path: Path) -> None:
    """The inverse of its one chart is not Lipschitz at either end."""
    spec = tmp_path / "task.toml"
    spec.write_text(
        '[task]\nname = "half circle"\n[manifold]\nambient = ["x", "y"]\nintrinsic = ["u"]\n'
        '[[chart]]\nname = "top"\ndomain = [[-1, 1]]\nboundary = [[true, true]]\ninverse = ["u", "sqrt(1 - u**2)"]\nforward = ["x"]\n'
        '[target]\nexpression = "x + y"\n'
    )
    model = atlasmoe.compile(atlasmoe.load_task(spec), epsilon=0.05)
    certificate = certify(model)
    assert certificate.status.startswith("proved")
    folder = atlasmoe.save(model, tmp_path / "model")
    certificate.write(folder)
    report = check(folder)
    assert report.verdict == "confirmed", report.failures


SPEC = """[task]
name = "ends"
kind = "graph"
output = "y"
[[input]]
name = "x"
domain = [0, 1]
[[block]]
name = "a"
reads = ["x"]
[[block.piece]]
domain = [0, 1]
expression = "{inner}"
[[block]]
name = "y"
reads = ["a"]
[[block.piece]]
domain = [{low}, 0.1]
expression = "a"
[[block.piece]]
domain = [0.1, {high}]
expression = "{outer}"
"""


def _graph(folder: Path, inner: str, low: float, high: float, outer: str = "a") -> Model:
    spec = folder / "task.toml"
    spec.write_text(SPEC.format(inner=inner, low=low, high=high, outer=outer))
    return atlasmoe.compile(atlasmoe.load_task(spec), epsilon=0.05)


def _checked(model: Model, certificate: Certificate, folder: Path) -> CheckReport:
    saved = atlasmoe.save(model, folder / "model")
    certificate.write(saved)
    return check(saved)


@pytest.mark.parametrize(("inner", "high", "outer"), [("x*(1-x)", 0.25, "10*a**2"), ("1-cos(x)", 0.5, "a"), ("0.3*x", 0.3, "a")])
def test_values_that_end_where_pieces_do(inner: str, high: float, outer: str, tmp_path: Path) -> None:
    """Proved ranges are a little wider than ranges: here by 2e-13 to 7e-12."""
    model = _graph(tmp_path, inner, 0, high, outer)
    certificate = certify(model)
    assert certificate.status == "proved"
    (routing,) = [claim for claim in certificate.claims if claim.name == "block[y].routing"]
    assert "belong to the outer ones" in routing.note
    report = _checked(model, certificate, tmp_path)
    assert report.verdict == "confirmed", report.failures


WAVE = "sin(3.141592653589793*x)"


def test_values_known_to_less_are_proved_once_the_pieces_are_as_wide_as_is_said(tmp_path: Path) -> None:
    certificate = certify(_graph(tmp_path, WAVE, 0, 1))
    assert certificate.status == "unknown"
    note = next(claim.note for claim in certificate.claims if claim.name == "total")
    wider = re.search(r'let the pieces of block "y" reach over \[(-\S+), (\S+)\]', note)
    assert wider is not None, note
    model = _graph(tmp_path, WAVE, *map(float, wider.groups()))
    certificate = certify(model)
    assert certificate.status == "proved"
    assert _checked(model, certificate, tmp_path).verdict == "confirmed"


def test_values_that_leave_the_pieces_are_not_proved(tmp_path: Path) -> None:
    """By 1e-6, at places that no sample meets."""
    spike = "0.2 - 0.200001*exp(-(10000*(x - 0.3372113))**2)"
    spec = tmp_path / "task.toml"
    spec.write_text(SPEC.format(inner=spike, low=0, high=0.3, outer="a"))
    model = atlasmoe.compile(atlasmoe.load_task(spec), width=16)
    assert certify(model).status == "unknown"


def test_no_more_than_rounding_is_confirmed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _graph(tmp_path, WAVE, 0, 1)
    with monkeypatch.context() as patched:
        patched.setattr("atlasmoe.atlas.graph.tiling.OVER", 1e-3)
        certificate = certify(model)
    assert certificate.status == "proved"
    report = _checked(model, certificate, tmp_path)
    assert report.verdict == "rejected"
    assert "the pieces fill" in report.failures[0].reason


def test_pieces_have_to_be_looked_at_as_far_as_values_reach(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = _graph(tmp_path, "x*(1-x)", 0, 0.25)
    with monkeypatch.context() as patched:
        module = importlib.import_module("atlasmoe.verify.prove.proof")
        patched.setattr(module, "reaching", lambda block, tiling, *rest: tiling)
        patched.setattr(module, "enlarged", lambda box, *rest: box)
        certificate = certify(model)
    report = _checked(model, certificate, tmp_path)
    assert report.verdict == "rejected"
    assert "root box" in report.failures[0].reason


def test_what_is_not_real_stays_refused(tmp_path: Path) -> None:
    spec = tmp_path / "task.toml"
    spec.write_text('[task]\nname = "cube root"\n[manifold]\nbuiltin = "interval"\ndomain = [-1, 1]\n[target]\nexpression = "x1**(1/3)"\n')
    with pytest.raises(atlasmoe.errors.AtlasMoEError, match=r"not finite|not defined|undefined"):
        atlasmoe.compile(atlasmoe.load_task(spec), epsilon=0.02)
