"""Three dozen random tasks, manifolds of the library × targets × ε × activations: compiled, proved and confirmed, none far below its ε."""

from __future__ import annotations

import statistics
import sys
from pathlib import Path

import pytest
from atlasmoe.atlas.spec import task_from_spec

sys.path.insert(0, str(Path(__file__).parent.parent / "benchmarks"))

from random_tasks import KINDS, NEURONS, Outcome, RandomTask, outcome, random_task

COUNT = 36


def test_every_random_task_is_proved_and_confirmed() -> None:
    found = [outcome(random_task(number)) for number in range(COUNT)]
    assert [str(one) for one in found if one.verdict != "proved, confirmed"] == []
    assert all(one.found <= one.bound <= one.epsilon for one in found)
    assert statistics.median(one.ratio for one in found) <= 2.5
    assert {tuple(one.asked.options.items()) for one in found} == {tuple(options.items()) for options in NEURONS}


def test_tasks_are_random_and_come_again() -> None:
    tasks = [random_task(number) for number in range(2 * len(KINDS))]
    assert len({task.expression for task in tasks}) > 1.8 * len(KINDS)
    assert (tasks[7].expression, tasks[7].manifold) == (random_task(7).expression, random_task(7).manifold)
    assert random_task(7, seed=1).expression != tasks[7].expression


@pytest.mark.parametrize("number", range(len(KINDS)))
def test_what_a_line_shows_is_a_spec(number: int) -> None:
    task = random_task(number)
    task_from_spec({"task": {"name": "again", **task.options}, "manifold": dict(task.manifold), "target": {"expression": task.expression}})


def test_what_is_refused_says_why() -> None:
    hard = RandomTask(0, {"builtin": "interval", "domain": [0, 1]}, "sqrt(x1 - 2)", 1)
    assert outcome(hard).verdict.startswith("refused: ")
    assert Outcome(hard).ratio == float("inf")
