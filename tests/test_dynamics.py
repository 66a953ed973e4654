"""examples/experiments: what N25 predicts of training from a construction, and low-dimensional experts; short runs."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "experiments"))
import low_dimensional
import training_dynamics as dynamics
from lab.curvature import reach, sharpness
from lab.training import Data, Recipe, train


def affine(seed: int = 0) -> tuple[nn.Linear, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(50, 3, generator=generator, dtype=torch.float64)
    return nn.Linear(3, 1, dtype=torch.float64), x, x.sum(1, keepdim=True) ** 2


def test_sharpness_is_the_largest_eigenvalue_of_the_hessian() -> None:
    module, x, y = affine()
    columns = torch.cat([x, torch.ones(50, 1, dtype=torch.float64)], 1)
    assert sharpness(module, x, y) == pytest.approx(float(torch.linalg.eigvalsh(2 / 50 * columns.T @ columns)[-1]), rel=1e-2)


def test_reach_is_the_largest_sum_of_derivatives() -> None:
    module, x, _ = affine()
    assert reach(module, x) == pytest.approx(float(x.abs().sum(1).max()) + 1)


def test_a_high_norm_is_least_near_the_middle() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.zeros(1, 1))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.value.expand(len(x), 1)

    x, y = torch.zeros(4, 1), torch.tensor([[0.0], [0.0], [0.0], [1.0]])
    found = {}
    for power in (2, 8):
        module = Constant()
        train(module, Data(x, y, x, y), Recipe(steps=400, batch=4, optimiser="adam", rate=1e-2, power=power))
        found[power] = float(module.value.detach())
    assert found[2] == pytest.approx(0.25, abs=0.01)
    assert found[8] == pytest.approx(1 / (1 + 3 ** (1 / 7)), abs=0.01)  # 3c⁷ = (1 − c)⁷


def test_the_construction_stays_below_the_threshold_and_is_left_above(tmp_path: Path) -> None:
    sweeps, (sgd, adam), known = dynamics.main(["--short", "--out", str(tmp_path)])
    ((name, at),) = known.items()
    assert at["gate gradient"] == 0  # weights do not depend on logits
    most = {row["factor"]: row["most"] / at["epsilon"] for row in sweeps if row["optimiser"] == "sgd"}
    assert most[1.9] < dynamics.LEFT
    assert most[3.0] > 10
    (first,) = [row["first"] for row in sweeps if row["optimiser"] == "adam"]
    assert at["epsilon"] * 1.2 < first < at["epsilon"] * 2.05  # ε + lr·S = 2ε, to first order
    for row in (sgd, adam):
        assert row["gate moved"] == row["rerouted"] == 0
        assert row["proved before"]["bound"] <= 1.1 * row["sup before"]
        assert row["rms"] < row["rms before"]
        assert row["sup"] > row["sup before"]  # the mean square pays with the largest error
    assert name in (tmp_path / "training_dynamics.md").read_text()


def test_projected_experts_read_two_numbers_of_sixteen(tmp_path: Path) -> None:
    (row,) = low_dimensional.main(["--short", "--out", str(tmp_path)])
    found = row["projected"]
    assert found["read"] == 2
    assert 2 * 16 < found["stored"] <= 2 * 16 + 12 * (found["width"] * (2 + 2) + 1)
    assert found["status"] == "proved"
    assert found["bound"] <= row["epsilon"]
