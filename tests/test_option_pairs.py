"""Pairs of options: each makes a model that is proved and confirmed, or is refused in words; none is left out silently."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, InvalidArgument, ManifoldTask, Tiling, builtin, check, compile, to_torch
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, TaskGraph, ball_atlas
from atlasmoe.atlas import graph as nodes
from certificates import certified
from sympy import symbols

EPSILON = 0.1


def sum_of_pieces() -> TaskGraph:
    """Two blocks of pieces that meet, added up."""
    made = (
        nodes.Input("x", Box((0, 0), (1, 1)), ("a", "b")),
        Block.parse("u", ("a",), Tiling.intervals([0, 0.5, 1]), ["a*a", "a - 1/4"]),
        Block.parse("v", ("b",), Tiling.intervals([0, 0.25, 0.5, 1]), ["b", "b/2 + 1/8", "b*b + 1/8"]),
        Combine.parse("f", ("u", "v"), "u + v"),
    )
    return TaskGraph("sum", made, "f")


def circle() -> ManifoldTask:
    """Eight balls of a circle."""
    x1, x2 = symbols("x1:3", real=True)
    return ManifoldTask("circle", ball_atlas(builtin("circle"), charts=8), ExpressionTarget(ExpressionMap((x1, x2), (x1 * x2,))))


TASKS = {"sum": cache(sum_of_pieces), "circle": cache(circle)}


@pytest.mark.parametrize("options", [{"activation": "silu"}, {"activation": "gelu"}, {"gated": True}, {"activation": "relu2"}])
def test_sums_of_smooth_pieces_are_confirmed(options: dict[str, Any], tmp_path: Path) -> None:
    """The read-out is one cell, all of M, on which experts are bent; and what is exact is known to every enclosure's own rounding."""
    model = compile(TASKS["sum"](), epsilon=EPSILON, **options)
    report = check(certified(model, tmp_path / "model"))
    assert report.verdict == "confirmed", report.failures
    assert report.bound < EPSILON / 100


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("sum", {"theorem": "4.8"}, "is given on pieces, which is Theorem 5.3"),
        ("sum", {"depth": "1", "shared": True}, "adds up the experts of all, and shares none; leave shared=True out, or use depth='L'"),
        ("sum", {"depth": "1", "experts": "factorised"}, "stores experts whole; leave experts='factorised' out, or use depth='L'"),
        ("sum", {"depth": "1", "top_k": 2}, "chooses one expert of each; leave top_k out, or use depth 'L'"),
        ("sum", {"depth": "1", "gate": "nonlinear"}, "leave gate 'nonlinear' out, or use depth 'L'"),
    ],
)
def test_pairs_that_make_no_sense_are_refused(task: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        compile(TASKS[task](), epsilon=EPSILON, **options)
    assert message in str(refused.value).replace('"', "'")


def agrees(model: atlasmoe.Model, folder: Path) -> None:
    """Proved, confirmed, and the same from the folder and in PyTorch."""
    import torch

    task = model.task
    x = task.sample(200, 5) if isinstance(task, TaskGraph) else task.atlas.sample(200, 5).ambient
    report = check(certified(model, folder))
    assert report.verdict == "confirmed", report.failures
    np.testing.assert_array_equal(atlasmoe.load(folder)(x), model(x))
    np.testing.assert_allclose(to_torch(model)(torch.from_numpy(x)).detach().numpy(), model(x), rtol=0, atol=1e-12)
    assert model.explain(x[0]).error <= EPSILON


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("circle", {"depth": "1", "top_k": 2}),
        ("circle", {"depth": "1", "gate": "nonlinear"}),
        ("circle", {"depth": "1", "gate": "tree"}),
        ("sum", {"depth": "1", "experts": "auto", "shared": "auto"}),
    ],
)
def test_pairs_that_make_sense_work(task: str, options: dict[str, Any], tmp_path: Path) -> None:
    agrees(compile(TASKS[task](), epsilon=EPSILON, **options), tmp_path / "model")
