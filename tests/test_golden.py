"""What the library made of a set of tasks once is what it makes of them now, but for rounding: names, routes, numbers, proofs.

Recorded by tests/golden/record.py, which also compares weights bit by bit, on one machine. After a change that is meant to change
something: `python tests/golden/record.py --output tests/golden --kept`, and look at the difference.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
sys.path.insert(0, str(GOLDEN))

from cases import CASES  # noqa: E402
from differences import differences  # noqa: E402
from observe import observe  # noqa: E402

KEPT = [case for case in CASES if case.kept]


@pytest.mark.parametrize("case", KEPT, ids=lambda case: case.name)
def test_nothing_but_rounding_has_changed(case):
    old = json.loads((GOLDEN / f"{case.name}.json").read_text(encoding="utf-8"))
    assert differences(old, observe(case), loose=True) == []


def test_every_file_has_its_case():
    assert {path.stem for path in GOLDEN.glob("*.json")} == {case.name for case in KEPT}


def test_a_difference_is_found():
    old = {"bound": 0.25, "known": "proved", "note": "1,024 boxes; found 0.125", "sha256": "a", "boxes": [3, 4]}
    assert differences(old, {**old, "sha256": "b", "bound": 0.25 + 1e-11, "note": "1,024 boxes;  found 0.126"}, loose=True) == []
    for change in ({"bound": 0.26}, {"known": "unknown"}, {"note": "1,025 boxes; found 0.125"}, {"boxes": [3]}, {"more": 1}):
        assert len(differences(old, {**old, **change}, loose=True)) == 1
    assert len(differences(old, {**old, "sha256": "b", "bound": 0.25 + 1e-16})) == 2
