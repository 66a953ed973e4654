"""`check` still reads certificates of schema 1 (one manifold, its trees numbered by chart alone) and of schema 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.errors import FolderError
from atlasmoe.verify.check import check
from certificates import Arrays, Document, certified, claim, edited, in_older_schema, tampered, why


@pytest.fixture(scope="module")
def newest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    atlas = atlasmoe.builtin("circle", charts=3)
    x, y = sympy.symbols(atlas.coordinates, real=True)
    task = ManifoldTask("t", atlas, ExpressionTarget(ExpressionMap((x, y), (x * y,))))
    return certified(atlasmoe.compile(task, epsilon=0.3), tmp_path_factory.mktemp("circle") / "model")


@pytest.fixture(scope="module")
def folder(newest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return in_older_schema(newest, tmp_path_factory.mktemp("first") / "model", 1)


def test_schema_2_is_judged_by_the_same_obligations(newest: Path, tmp_path: Path) -> None:
    second = in_older_schema(newest, tmp_path / "second", 2)
    report = check(second)
    assert report.verdict == "confirmed", why(report)
    assert {*report.claims, "defined", "inverse"} == set(check(newest).claims)
    for n, change in enumerate((edited("sites/0/scores/delta", 0.2), edited("@total/source", "B99"), smaller_total)):
        assert check(tampered(second, tmp_path / str(n), change)).verdict == "rejected"
    with pytest.raises(FolderError, match="'trust' is no field"):
        check(tampered(second, tmp_path / "field", edited("trust", "me")))


def test_an_honest_one_is_confirmed(folder: Path) -> None:
    report = check(folder)
    assert report.verdict == "confirmed", why(report)
    assert set(report.claims) == {"total", "total.float64", "routing.valid", "cover", "routing.tau", "routing.max_tau"}


def smaller_total(data: Document) -> None:
    data["bound"] = claim(data, "total")["bound"] = claim(data, "total")["bound"] / 2


def no_rounding(data: Document) -> None:
    claim(data, "total.float64")["bound"] = claim(data, "total")["bound"]


def score_lowered(arrays: Arrays) -> None:
    arrays["scores.0.bounds"] = arrays["scores.0.bounds"] / 8


def shrunk(arrays: Arrays) -> None:
    arrays["0.upper"] = np.nextafter(arrays["0.upper"], 0)


EDITS = [smaller_total, no_rounding, edited("eta", 0.0), edited("winners", ["a", "b", "c"]), edited("charts/0/boxes", 1)]


@pytest.mark.parametrize("change", EDITS)
def test_edited_documents_are_rejected(change: Callable[[Document], object], folder: Path, tmp_path: Path) -> None:
    assert check(tampered(folder, tmp_path / "copy", change)).verdict == "rejected"


@pytest.mark.parametrize("change", [score_lowered, shrunk])
def test_changed_boxes_are_rejected(change: Callable[[Arrays], object], folder: Path, tmp_path: Path) -> None:
    assert check(tampered(folder, tmp_path / "copy", boxes=change)).verdict == "rejected"


@pytest.mark.parametrize("change", [edited("charts", 3), edited("winners", None), edited("eta", []), edited("schema", 2)])
def test_what_is_no_certificate_is_said_to_be_none(change: Callable[[Document], object], folder: Path, tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        check(tampered(folder, tmp_path / "copy", change))
