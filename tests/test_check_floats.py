"""Claims about evaluation in float32, order by order: `check` derives their numbers again, and rejects those that are too small."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.errors import FolderError
from atlasmoe.moe import Known, Model
from atlasmoe.verify.check import check
from atlasmoe.verify.prove import certify
from certificates import certified, claim, edited, tampered, why

WAYS = ("float64", "float32", "float32.blocks", "float32.float64")


@pytest.fixture(scope="module")
def sphere() -> Model:
    x = sympy.symbols("x1:4", real=True)
    target = ExpressionTarget(ExpressionMap(x, (sympy.sin(2 * x[0]) * x[1] + x[2] ** 2,)))
    return atlasmoe.compile(ManifoldTask("sphere", atlasmoe.builtin("sphere", atlas="ball", charts=6), target), width=96, dtype="float32")


@pytest.fixture(scope="module")
def folder(sphere: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certified(sphere, tmp_path_factory.mktemp("floats") / "model", epsilon=0.02)


def test_every_order_is_confirmed(folder: Path) -> None:
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    assert {f"total.{way}" for way in WAYS} <= set(report.claims)


def test_the_figures_are_worth_having(sphere: Model) -> None:
    """Each order adds less than the one before, and none much more than it is seen to add."""
    certificate = certify(sphere, epsilon=0.02, tightness=None)
    (site,) = certificate.sites
    added = {way: found.outputs for way, found in site.solution.roundings.items()}
    assert tuple(sorted(added, key=lambda way: added[way])) == ("float64", "float32.float64", "float32.blocks", "float32")
    assert added["float32.float64"] < 3e-6
    assert added["float32"] < 4e-5
    points = sphere.task.atlas.sample(20000, 5).ambient
    wide = sphere.network.astype(float)
    for way in WAYS[1:]:
        trace = sphere.network.trace(points, sums=way.partition(".")[2] or "plain")
        exact = wide.trace(points, trace.routes)
        off = np.abs(trace.output - exact.output).max()
        assert added[way] / 200 < off <= added[way]
        assert np.abs(trace.logits[0] - exact.logits[0]).max() <= certificate.eta
    assert all(certificate[f"total.{way}"].known is Known.PROVED for way in WAYS)


def smaller(number: float) -> float:
    return number / 2


@pytest.mark.parametrize("way", WAYS)
def test_numbers_that_are_too_small_are_rejected(folder: Path, tmp_path: Path, way: str) -> None:
    report = check(tampered(folder, tmp_path / "model", edited(f"sites/0/rounding/{way}", smaller)))
    assert report.verdict == "rejected"
    assert f"rounding in {way} may add" in why(report)


def test_an_eta_that_is_too_small_is_rejected(folder: Path, tmp_path: Path) -> None:
    def change(data: dict) -> None:
        data["sites"][0]["eta"] /= 2
        data["eta"] = data["sites"][0]["eta"]

    report = check(tampered(folder, tmp_path / "model", change))
    assert report.verdict == "rejected"
    assert "η =" in why(report)


@pytest.mark.parametrize("way", WAYS[2:])
def test_claims_say_what_they_are_about(folder: Path, tmp_path: Path, way: str) -> None:
    def plain(data: dict) -> None:
        claim(data, f"total.{way}")["statement"] = claim(data, "total.float32")["statement"]

    assert check(tampered(folder, tmp_path / "words", plain)).verdict == "rejected"
    report = check(tampered(folder, tmp_path / "bound", edited(f"@total.{way}/bound", lambda bound: bound * (1 - 1e-3))))
    assert report.verdict == "rejected"
    report = check(tampered(folder, tmp_path / "gone", lambda data: data["sites"][0]["rounding"].pop(way)))
    assert report.verdict == "rejected"


def test_orders_that_nobody_knows_are_no_evaluation(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=r"'float32\.kahan' is no evaluation"):
        check(tampered(folder, tmp_path / "model", edited("sites/0/rounding/float32.kahan", 1.0)))


def test_a_certificate_may_leave_orders_unclaimed(folder: Path, tmp_path: Path) -> None:
    """As those that older versions wrote do."""

    def change(data: dict) -> None:
        for way in WAYS[2:]:
            del data["sites"][0]["rounding"][way], data["readout"]["rounding"][way]
        data["claims"] = [found for found in data["claims"] if found["name"] not in {f"total.{way}" for way in WAYS[2:]}]

    copy = tampered(folder, tmp_path / "model", change)
    assert check(copy).verdict == "confirmed", why(check(copy))
