"""Folders of a manifold that ends at a region, changed, hashes made right: none is confirmed of which its certificate is not true."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas import load_task
from atlasmoe.errors import FolderError
from certificates import BOXES, CERTIFICATE, OUTSIDE, PROVED, Arrays, bind, retold, tampered

CAP = Path(__file__).parents[2] / "examples" / "paraboloid_cap.toml"
EPSILON = 0.4
F, REGION = '"sin(2*x) + z*y"', '"1**2 - x**2 - y**2"'


def made(folder: Path, radius: float) -> Path:
    """The cap up to a radius, compiled, certified and saved."""
    spec = folder / "cap.toml"
    folder.mkdir()
    text = CAP.read_text(encoding="utf-8").replace("radius = 1\n", f"radius = {radius}\n").replace('"radius + 1/10"', "1.1")
    spec.write_text(text, encoding="utf-8")
    model = atlasmoe.compile(load_task(spec), epsilon=EPSILON)
    atlasmoe.save(model, folder / "model")
    certificate = atlasmoe.certify(model, epsilon=EPSILON, tightness=None)
    assert certificate.status == "proved"
    certificate.write(folder / "model")
    return folder / "model"


@pytest.fixture(scope="module")
def cap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("caps") / "whole", 1)


def verdict(folder: Path) -> str:
    """Of check; a folder that cannot be read for what it is is none that is confirmed."""
    with contextlib.suppress(FolderError):
        return atlasmoe.check(folder).verdict
    return "unreadable"


def test_what_is_attacked_is_confirmed(cap: Path) -> None:
    assert verdict(cap) == "confirmed"


LARGER = {
    "a larger disc": '"105/100 - x**2 - y**2"',
    "larger by a hair": '"1 + 1/10**5 - x**2 - y**2"',
    "a horn": '"Max(1 - x**2 - y**2, 1/10**4 - (x - 1)**2 - (y - 1/5)**2)"',
    "all of the charts": '"2"',
    "the other side": '"x**2 + y**2 - 1"',
    "of the height": '"11/10 - z"',
    "an edge that is in": '"abs(1 - x**2 - y**2)"',
}


@pytest.mark.parametrize("name", LARGER)
def test_another_region_is_not_confirmed(cap: Path, tmp_path: Path, name: str) -> None:
    """Of which points are on M that were off it, or of which nobody knows where it ends."""
    assert verdict(retold(cap, tmp_path / "copy", REGION, LARGER[name])) != "confirmed"


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("        -1.1,\n        0.3,", "        -1.1,\n        -0.2,"),  # a gap between the charts
        ("        -1.1,\n        0.3,", "        -0.9,\n        0.3,"),  # which ends before the region does
        ("        -0.3,\n        1.1,", "        0.31,\n        1.1,"),
        ("        -1.1,\n        1.1,", "        -1.1,\n        0.99,"),
        ("        -1.1,\n        1.1,", "        -1.2,\n        1.2,"),
        ('    "u**2 + v**2",', '    "u**2 + v**2 + Max(0, u - 99/100)",'),
    ],
)
def test_other_charts_under_the_same_region_are_not_confirmed(cap: Path, tmp_path: Path, old: str, new: str) -> None:
    assert verdict(retold(cap, tmp_path / "copy", old, new)) != "confirmed"


@pytest.mark.parametrize(
    ("angle", "inside", "steep"), [(0.4, 1e-3, 8), (2.0, 1e-5, 12), (3.9, 1e-6, 14), (5.5, 1e-4, 10), (np.pi, 0.0, 12)]
)
def test_a_narrow_bump_at_the_edge_is_not_confirmed(cap: Path, tmp_path: Path, angle: float, inside: float, steep: int) -> None:
    """f is larger by 3 at one point of M that hardly any leaf's middle comes near: between the edge and what sticks out of it."""
    x, y = ((1 - inside) * np.array([np.cos(angle), np.sin(angle)])).tolist()
    bump = f"3*exp(-10**{steep}*((x - ({x!r}))**2 + (y - ({y!r}))**2))"
    assert verdict(retold(cap, tmp_path / "copy", F, f'"sin(2*x) + z*y + {bump}"')) != "confirmed"


def called_off(arrays: Arrays) -> None:
    """A leaf of M is said to be off it."""
    arrays["0.0.tags"][np.flatnonzero(arrays["0.0.tags"] == PROVED)[-1]] = OUTSIDE


def all_called_off(arrays: Arrays) -> None:
    for name in ("0.0.tags", "0.1.tags"):
        arrays[name][:] = OUTSIDE


def called_on(arrays: Arrays) -> None:
    """A leaf off M is said to be proved, with no bound at all."""
    k = np.flatnonzero(arrays["0.1.tags"] == OUTSIDE)[0]
    arrays["0.1.tags"][k], arrays["0.1.bounds"][k] = PROVED, 0.0


def cut_less(arrays: Arrays) -> None:
    """Where a leaf of M ends is moved: one cut is along another axis."""
    cuts = np.flatnonzero(arrays["0.0.cuts"] < 2)
    arrays["0.0.cuts"][cuts[-1]] ^= 1


def shorter(arrays: Arrays) -> None:
    """The last leaves of a tree are left out."""
    for name in ("tags", "bounds"):
        arrays[f"0.0.{name}"] = arrays[f"0.0.{name}"][:-1]
    arrays["0.0.offsets"] = arrays["0.0.offsets"][:-1]


def narrower(arrays: Arrays) -> None:
    """A tree that begins inside the region."""
    arrays["0.0.lower"] = arrays["0.0.lower"] + 0.2


def exchanged(arrays: Arrays) -> None:
    """The leaves of one chart for those of the other."""
    for name in [name for name in arrays if name.startswith("0.0.")]:
        other = "0.1." + name[4:]
        arrays[name], arrays[other] = arrays[other], arrays[name]


@pytest.mark.parametrize("edit", [called_off, all_called_off, called_on, cut_less, shorter, narrower, exchanged])
def test_other_leaves_are_not_confirmed(cap: Path, tmp_path: Path, edit: Callable[[Arrays], None]) -> None:
    assert verdict(tampered(cap, tmp_path / "copy", boxes=edit)) != "confirmed"


def test_the_certificate_of_a_smaller_cap_is_none_of_a_larger_one(cap: Path, tmp_path: Path) -> None:
    """Not with the files of the larger, nor those of the smaller under the name of the larger region."""
    small = made(tmp_path / "small", 0.8)
    assert verdict(small) == "confirmed"
    mixed = tmp_path / "mixed"
    shutil.copytree(cap, mixed)
    for name in (CERTIFICATE, BOXES):
        shutil.copy(small / name, mixed / name)
    data = json.loads((mixed / CERTIFICATE).read_text())
    bind(mixed, data)
    (mixed / CERTIFICATE).write_text(json.dumps(data))
    assert verdict(mixed) != "confirmed"
    text = (small / "task.toml").read_text(encoding="utf-8")
    region = next(line for line in text.splitlines() if line.startswith("region"))
    assert verdict(retold(small, tmp_path / "retold", region, f"region = {REGION}")) != "confirmed"
