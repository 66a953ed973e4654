"""A seeded sample of every attack of the red team; `make redteam` makes them all."""

from __future__ import annotations

import pytest
from atlasmoe.verify.check import leaves
from redteam import ATTACKS

EFFORT = 2
"""Boxes a leaf that `check` spends where a hole is hidden. There are always some that nothing settles, however small they get, and it is
what is said of boxes that is attacked here; `make redteam` tries as many as everybody's `check`."""


@pytest.mark.parametrize("name", [name for name, (_, _, few) in ATTACKS.items() if few])
def test_nothing_false_is_believed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if name == "holes":
        monkeypatch.setattr(leaves, "EFFORT", EFFORT)
    attack, _, few = ATTACKS[name]
    outcomes = list(attack(1, few))
    assert len(outcomes) == few
    assert [(outcome.name, *fault) for outcome in outcomes for fault in outcome.faults] == []
