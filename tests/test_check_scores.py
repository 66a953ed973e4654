"""`check` follows scores between balls: their bumps are functions of the point, in the place of coordinates of charts."""

from __future__ import annotations

from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.verify.check import check
from atlasmoe.verify.check.charts import Charts
from atlasmoe.verify.check.scores import Scores
from test_check import certified, tampered, task_of, why


def exact(arrays: dict[str, np.ndarray]) -> None:
    """The scores are said to be the reference itself, but where the claim's bound is reached."""
    names = [name for name in arrays if name.startswith("scores.") and name.endswith(".bounds")]
    largest = max(arrays[name].max() for name in names)
    for name in names:
        arrays[name] = np.where(arrays[name] == largest, largest, 0.0)


@pytest.mark.parametrize("routing", ["plateau", "multiplicity"])
def test_scores_between_balls_are_confirmed_and_smaller_bounds_of_them_rejected(routing: str, tmp_path: Path) -> None:
    atlas = atlasmoe.builtin("circle", atlas="ball", charts=4)
    model = atlasmoe.compile(task_of(atlas, "x1*x2"), epsilon=0.05, theorem="4.8", routing=routing)
    folder = certified(model, tmp_path / "m")
    report = check(folder)
    assert report.holds, why(report)
    assert {"routing.tau", "routing.max_tau"} <= set(report.claims)
    report = check(tampered(folder, tmp_path / "copy", boxes=exact))
    assert report.verdict == "rejected"
    assert report.rejected > 0, "an inequality of a leaf is seen to be false"


def test_the_bump_of_a_ball_is_that_of_the_atlas() -> None:
    """ρ and the plateaus as `check` writes them, at points."""
    atlas = atlasmoe.builtin("sphere", dimension=2, atlas="ball", charts=30)
    base = atlas.sample(50, seed=0).base
    for level, reference in ((None, atlas.rho(base)), (0.25, atlas.plateau(base, 0.25))):
        scores = Scores(Charts(atlas), level)
        bumps = np.stack([np.maximum(bump(base)[:, 0], 0) for bump in scores.bumps], axis=-1)
        np.testing.assert_allclose(scores.shares(bumps), reference, rtol=0, atol=1e-12)
