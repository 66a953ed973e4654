"""Specs that once failed, from text to certificate: ends of domains, whole exponents, constant pieces, exact hits, charts of graphs."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.errors import AtlasMoEError, Severity
from atlasmoe.moe import Known
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from certificates import why

SPECS = Path(__file__).parent / "specs"
RIGHT = {
    "float_square": 0.01,
    "pow_var": 0.02,
    "sqrt": 0.02,
    "guarded_roots": 0.02,
    "min": 0.01,
    "const_one_piece": 0.01,
    "affine_interval": 0.01,
    "half_circle": 0.05,
    "circle_graph": 0.05,
}
"""Spec ↦ ε that is proved and confirmed."""


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_true_is_proved_and_confirmed(name: str, tmp_path: Path) -> None:
    task = atlasmoe.load_task(str(SPECS / f"{name}.toml"))
    assert [finding for finding in atlasmoe.lint(task) if finding.severity is Severity.ERROR] == []
    model = atlasmoe.compile(task, epsilon=RIGHT[name])
    certificate = certify(model, tightness=None)
    assert {claim.name: claim.note for claim in certificate.claims if claim.known is not Known.PROVED} == {}
    folder = atlasmoe.save(model, tmp_path / "model")
    certificate.write(folder)
    report = check(folder)
    assert report.verdict == "confirmed", why(report)


def test_a_root_of_negative_numbers_is_refused() -> None:
    with pytest.raises(AtlasMoEError):
        atlasmoe.compile(atlasmoe.load_task(str(SPECS / "cube_root.toml")), epsilon=0.02)


def test_a_domain_that_sympy_would_lose_is_found(tmp_path: Path) -> None:
    task = atlasmoe.load_task(str(SPECS / "domain_lost.toml"))
    errors = [finding for finding in atlasmoe.lint(task) if finding.severity is Severity.ERROR]
    assert errors
    assert all(finding.witness is not None and finding.witness[0] < 0 for finding in errors)


def test_every_spec_is_used() -> None:
    assert {path.stem for path in SPECS.glob("*.toml")} == {*RIGHT, "cube_root", "domain_lost"}
