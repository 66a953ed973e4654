"""A seeded sample of every attack of the red team; `make redteam` makes them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.errors import InvalidArgument
from atlasmoe.verify.prove import certify
from holes import BASES, whole
from redteam import ATTACKS


@pytest.mark.parametrize("name", [name for name, (_, _, few) in ATTACKS.items() if few])
def test_nothing_false_is_believed(name: str) -> None:
    attack, _, few = ATTACKS[name]
    outcomes = list(attack(1, few))
    assert len(outcomes) == few
    assert [(outcome.name, *fault) for outcome in outcomes for fault in outcome.faults] == []


def test_a_region_without_a_value_at_its_centre_is_said_to_have_none(tmp_path: Path) -> None:
    sound = whole("region", tmp_path)
    spec = tmp_path / "nowhere.toml"
    spec.write_text(BASES["region"].replace('region = "0.4 - t"', 'region = "0.4 - t + 0*log(t - 0.1)"'))
    task = atlasmoe.load_task(str(spec))
    assert any("region" in finding.where for finding in atlasmoe.lint(task))
    with pytest.raises(InvalidArgument, match="no value at the centre"):
        certify(replace(sound.model, task=task), tightness=None, boxes=1500)
