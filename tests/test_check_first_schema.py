"""`check` still reads certificates of schema 1: one manifold, its trees numbered by chart alone."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
import sympy
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, ManifoldTask
from atlasmoe.errors import FolderError
from atlasmoe.verify.check import check
from certificates import BOXES, CERTIFICATE, Arrays, Document, certified, claim, edited, tampered, why
from safetensors import numpy as safetensors


def in_first_schema(folder: Path) -> Path:
    """The certificate of a folder, written as schema 1 has it."""
    data, arrays = json.loads((folder / CERTIFICATE).read_text()), safetensors.load_file(folder / BOXES)
    (site,) = data.pop("sites")
    del data["readout"]
    data |= {"schema": 1, "charts": site["pieces"], "winners": site["winners"]}
    renamed = {name.replace("scores.0.", "scores.") if name.startswith("scores.") else name[2:]: array for name, array in arrays.items()}
    (folder / BOXES).write_bytes(safetensors.save(renamed))
    data["sha256"][BOXES] = hashlib.sha256((folder / BOXES).read_bytes()).hexdigest()
    (folder / CERTIFICATE).write_text(json.dumps(data, indent=1))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    atlas = atlasmoe.builtin("circle", charts=3)
    x, y = sympy.symbols(atlas.coordinates, real=True)
    task = ManifoldTask("t", atlas, ExpressionTarget(ExpressionMap((x, y), (x * y,))))
    return in_first_schema(certified(atlasmoe.compile(task, epsilon=0.3), tmp_path_factory.mktemp("circle") / "model"))


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
