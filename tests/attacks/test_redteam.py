"""A seeded sample of every attack of the red team; `make redteam` makes them all."""

from __future__ import annotations

import pytest
from redteam import ATTACKS


@pytest.mark.parametrize("name", [name for name, (_, _, few) in ATTACKS.items() if few])
def test_nothing_false_is_believed(name: str) -> None:
    attack, _, few = ATTACKS[name]
    outcomes = list(attack(1, few))
    assert len(outcomes) == few
    assert [(outcome.name, *fault) for outcome in outcomes for fault in outcome.faults] == []
