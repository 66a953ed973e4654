"""A sample of what `tests/attacks/enclosures.py` compares in full."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from atlasmoe.intervals import Interval

sys.path.insert(0, str(Path(__file__).parent / "attacks"))

from enclosures import Found, fuzz

PAIRS = 400


@pytest.mark.parametrize("seed", range(2))
def test_no_enclosure_says_what_is_not_so(seed: int) -> None:
    found = Found()
    counts = fuzz(PAIRS, seed, found)
    assert found.misses == []
    assert counts["pairs"] == PAIRS
    for what in ("values", "first", "second", "undefined", "natural known", "first slope known", "second known", "between vertices"):
        assert counts[what] > PAIRS / 10, what


def test_a_false_claim_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Intervals that forget where they may be undefined."""
    monkeypatch.setattr(Interval, "at_most", lambda self, level, where: self)
    found = Found()
    fuzz(PAIRS, 0, found)
    assert len(found.misses) > 10
