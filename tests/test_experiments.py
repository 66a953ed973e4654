"""The three experiments in short: what they conclude holds where it is an identity or a theorem, and is measured everywhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "experiments"))
import compositional
import gating
import manifold_validation


def written(out: Path, name: str) -> None:
    assert (out / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert (out / f"{name}.md").read_text(encoding="utf-8").count("\n|") > 2


def test_the_manifold_experiment(tmp_path: Path) -> None:
    rows = manifold_validation.main(["--short", "--out", str(tmp_path)])
    written(tmp_path, "manifold_validation")
    low, high = (next(r for r in rows if r["how"] == "constructed" and r["D"] == D) for D in (3, 12))
    assert high["sup"] == pytest.approx(low["sup"], rel=1e-6)
    for row in (low, high):
        setting = manifold_validation.Setting(row["manifold"], row["D"], row["E"], row["m"])
        assert [setting.numbers(which) for which in ("active", "total")] == [row["active"], row["total"]]
        dense = next(r for r in rows if r["how"] == "dense active" and r["D"] == row["D"])
        assert dense["width"] == setting.dense_width("active")
        assert row["rms"] <= row["sampled"] <= row["sup"] < dense["sup"]
    assert {r["how"] for r in rows} >= {*manifold_validation.CONSTRUCTED, *manifold_validation.TRAINED, *manifold_validation.MIXTURES}


def test_the_compositional_experiment(tmp_path: Path) -> None:
    rows = compositional.main(["--short", "--out", str(tmp_path)])
    written(tmp_path, "compositional")
    for row in rows:
        if row["how"] == "constructed" and row["shape"] != "flat":
            pieces = row["E"] ** row["L"]
            assert row["sup"] <= compositional.EPSILON
            assert (row["within"], row["experts"]) == (1.0, row["E"] * row["L"])
            assert row["tuples"] == row["looked"] == min(pieces, row["looked"])
        if row["shape"] == "flat":
            assert row["tuples"] <= row["experts"] == row["E"] * row["L"]
    flat = [row for row in rows if (row["how"], row["shape"]) == ("constructed", "flat")]
    assert [row["within"] < 0.5 for row in flat] == [True, True]


def test_the_gating_experiment(tmp_path: Path) -> None:
    rows = gating.main(["--short", "--out", str(tmp_path)])
    written(tmp_path, "gating")
    assert [(row["charts"], row["verdict"]) for row in rows] == [(2, "none: proved"), (3, "none: proved")]
