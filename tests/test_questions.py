"""examples: nine tasks; examples/experiments: other sparsity. What their pages claim, on small cases."""

from __future__ import annotations

import sys
from pathlib import Path

import atlasmoe
import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
sys.path.insert(0, str(EXAMPLES))
sys.path.insert(0, str(EXAMPLES / "experiments"))
import mathematics_and_language as nine  # noqa: E402
import other_sparsity as sparsity  # noqa: E402
from lab import flat_mixture  # noqa: E402


@pytest.mark.parametrize("task", [nine.composed(), nine.pair()], ids=lambda task: task.name)
def test_four_layers_of_three_experts_do_nine_tasks(task: atlasmoe.TaskGraph, tmp_path: Path) -> None:
    model = atlasmoe.compile(task, epsilon=0.01)
    assert task.pieces == 9
    assert [len(layer.names) for layer in model.network.layers] == [3, 3, 3, 3]
    certificate = atlasmoe.certify(model)
    assert certificate.bound <= 0.01
    atlasmoe.save(model, tmp_path / "model")
    certificate.write(tmp_path / "model")
    assert atlasmoe.check(tmp_path / "model").verdict == "confirmed"


def test_every_task_is_understood_and_solved_by_its_own_two_experts() -> None:
    rows = nine.rows(atlasmoe.compile(nine.composed(), epsilon=0.01))
    assert len({row.experts for row in rows}) == 9
    read = {"English": lambda a, b: a + b / 10, "French": lambda a, b: 2 * a + b / 10, "German": lambda a, b: a / 10 + b}
    solved = {
        "geometry": lambda n: np.pi * n**2 / 4,
        "algebra": lambda n: np.sqrt(n + 1 / 4) - 1 / 2,
        "analysis": lambda n: 1 - np.exp(-n),
    }
    for row in rows:
        assert row.experts == (row.language, row.topic)
        n = read[row.language](*row.point[1:3])
        assert row.understood == pytest.approx(n, abs=1e-12)
        assert row.answer == pytest.approx(solved[row.topic](n), abs=0.01)
        assert row.error <= 0.01


def test_regions_are_those_that_points_fall_into() -> None:
    case = sparsity.grid(2)
    x = np.random.default_rng(0).uniform(size=(40_000, case.D))
    cells = np.stack([np.digitize(x[:, axis], walls) for axis, walls in enumerate(case.axes)], axis=1)
    assert len(np.unique(cells, axis=0)) == case.regions == 81


def test_f_jumps_at_every_wall_by_what_the_floor_counts_on() -> None:
    case = sparsity.sequence(4)
    rng = np.random.default_rng(0)
    for axis, walls in enumerate(case.axes):
        for wall in walls:
            x = rng.uniform(size=(500, case.D))
            left, right = x.copy(), x.copy()
            left[:, axis], right[:, axis] = wall - 1e-9, wall + 1e-9
            assert np.abs(case.task(left) - case.task(right)).min() >= sparsity.JUMP - 1e-6


def test_the_gate_of_a_grid_finds_every_box_and_stays_within_its_number() -> None:
    walls = [[0.3, 0.6], [0.5], []]
    gate = flat_mixture.told(walls, 6)
    x = np.random.default_rng(0).uniform(size=(2000, 3))
    boxes = np.digitize(x[:, 0], walls[0]) * 2 + np.digitize(x[:, 1], walls[1])
    assert len({(a, b) for a, b in zip(np.argmax(gate(x), 1), boxes, strict=True)}) == 6
    assert len(flat_mixture.told(walls, 5).bias) == 3


def test_flat_mixtures_of_fewer_experts_than_regions_are_off_by_half_a_jump(tmp_path: Path) -> None:
    (row,) = sparsity.main(["--short", "--out", str(tmp_path)])
    assert row["status"] == "proved"
    assert row["found"] <= row["proved"] <= sparsity.EPSILON
    assert (row["experts"], row["different"], row["regions"]) == (8, 4, 12)
    case = sparsity.sequence(3)
    assert flat_mixture.best(case.task, case.axes, 500, 20_000, most=8).largest >= sparsity.JUMP / 2
    assert (tmp_path / "other_sparsity.png").stat().st_size > 10_000
