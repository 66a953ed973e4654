"""What a release is made of says one version, and holds every package."""

from __future__ import annotations

import configparser
import re
from pathlib import Path

import atlasmoe

ROOT = Path(__file__).parent.parent


def test_one_version() -> None:
    (said,) = re.findall(r"^version: (.+)$", (ROOT / "CITATION.cff").read_text(encoding="utf-8"), re.MULTILINE)
    assert said == atlasmoe.__version__
    assert f"## {said}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_wheel_holds_every_package() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    listed = set(setup["options"]["packages"].split())
    beside = {"tests", "examples", "benchmarks", "build"}
    places = [path.parent.relative_to(ROOT) for path in ROOT.rglob("__init__.py")]
    found = {
        ".".join(("atlasmoe", *place.parts)) for place in places if not beside.intersection(place.parts) and ".venv" not in place.parts
    }
    assert listed == found


def test_what_contributing_names_is_there() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for name in re.findall(r"`((?:atlas|constructions|moe|verify|export|tests|docs)/[\w/.]+)`", text):
        assert (ROOT / name).exists(), name
