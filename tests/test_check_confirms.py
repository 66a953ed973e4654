"""`check` confirms what `certify` calls proved: intervals, boxes, exact targets, dynamical systems, examples; in so many boxes."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import atlasmoe
import pytest
from atlasmoe.atlas import ManifoldTask, TaskGraph
from atlasmoe.atlas.spec import task_from_spec
from atlasmoe.verify.check import check
from certificates import certified, why

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "examples" / "experiments")]

from certified_approximations import SYSTEMS  # noqa: E402
from compositional import task as compositional_task  # noqa: E402

LARGEST, IN_THREE_DIMENSIONS = 8.0, 32.0
"""Boxes a leaf that `check` may look at, and where many open neurons meet in three dimensions (6 times the CPU of the search)."""


def box(*texts: str, domain: list[list[float]], charts: int = 1) -> Callable[[], ManifoldTask | TaskGraph]:
    manifold = {"builtin": "box", "dimension": len(domain), "domain": domain, "charts": charts}
    return lambda: task_from_spec({"task": {"name": "t"}, "manifold": manifold, "target": {"expression": list(texts)}})


def system(name: str) -> Callable[[], ManifoldTask | TaskGraph]:
    return box(*SYSTEMS[name].f, domain=[list(side) for side in SYSTEMS[name].domain])


CASES: dict[str, tuple[Callable[[], ManifoldTask | TaskGraph], float]] = {
    "x²": (box("x1**2", domain=[[-1, 1]]), 1e-2),
    "sin 3x": (box("sin(3*x1)", domain=[[-1, 1]]), 1e-3),
    "sin 3x on two charts": (box("sin(3*x1)", domain=[[-1, 1]], charts=2), 1e-3),
    "hit exactly": (box("2*x1 - 1/2", domain=[[0, 1]]), 1e-2),
    "hit exactly on two charts": (box("2*x1 - 1/2", domain=[[0, 1]], charts=2), 1e-2),
    "nearly hit exactly in three dimensions": (box("x1 - x2/7 + x3", domain=[[0, 1]] * 3), 5e-2),
    "a product of three": (box("x1*x2*x3", domain=[[-1, 1]] * 3), 1e-1),
    "two outputs": (box("x1*x2", "x1**2 - x2", domain=[[-1, 1]] * 2), 1e-2),
    "exponential pieces": (lambda: compositional_task(4, 4), 5e-2),
    "the robot arm": (lambda: atlasmoe.load_task(ROOT / "examples" / "robot_arm.toml"), 2e-2),
    **{
        name: (system(name), SYSTEMS[name].theirs[0][1])
        for name in ("WaterTank", "JetEngine", "SteamGovernor", "Exponential", "NonLinear1")
    },
}


@pytest.mark.parametrize("name", CASES)
def test_what_is_proved_is_confirmed(name: str, tmp_path: Path) -> None:
    task, epsilon = CASES[name]
    report = check(certified(atlasmoe.compile(task(), epsilon=epsilon), tmp_path / "model", tightness=1.1))
    assert report.verdict == "confirmed", why(report)
    assert report.bound is not None
    assert report.bound <= epsilon
    assert report.boxes <= (IN_THREE_DIMENSIONS if name == "SteamGovernor" else LARGEST) * report.leaves
