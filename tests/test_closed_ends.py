"""What is true gets proved: functions that are defined up to a closed end of a domain, or only because of a condition."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify

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


def test_what_is_not_real_stays_refused(tmp_path: Path) -> None:
    spec = tmp_path / "task.toml"
    spec.write_text('[task]\nname = "cube root"\n[manifold]\nbuiltin = "interval"\ndomain = [-1, 1]\n[target]\nexpression = "x1**(1/3)"\n')
    with pytest.raises(atlasmoe.errors.AtlasMoEError, match=r"not finite|not defined|undefined"):
        atlasmoe.compile(atlasmoe.load_task(spec), epsilon=0.02)
