"""A seeded sample of edited files: nothing raises what is not raised on purpose, nothing false is confirmed."""

from __future__ import annotations

from documents import EDITS, FILES, fuzz

EVERY = 8
"""Edits of each file; `python tests/attacks/documents.py 300` makes as many of each as it is told."""


def test_no_edit_of_a_file_is_believed() -> None:
    outcomes = list(fuzz(EVERY, 5))
    assert len(outcomes) == EVERY * (len(FILES) - 1), "none of these tasks has large arrays"
    assert [(done, *fault) for done, faults in outcomes for fault in faults] == []


def test_every_kind_of_file_has_its_edits() -> None:
    assert {f".{name.rsplit('.', 1)[1]}" for name in FILES} == set(EDITS)
