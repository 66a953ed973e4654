"""Pairs of options: each makes a model that is proved and confirmed, or is refused in words; none is left out silently."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import tomli_w
from atlasmoe import Block, Box, Combine, InvalidArgument, ManifoldTask, Tiling, builtin, check, compile, to_torch
from atlasmoe.atlas import ExpressionMap, ExpressionTarget, TaskGraph, ball_atlas
from atlasmoe.atlas import graph as nodes
from atlasmoe.atlas.spec import task_to_spec
from atlasmoe.cli.main import main
from certificates import certified
from click.testing import CliRunner
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


def embedded() -> ManifoldTask:
    """The same circle in R^6."""
    atlas = builtin("circle", atlas="ball", charts=8, embed={"dimension": 6, "seed": 0})
    x1, x2 = symbols("x1:3", real=True)
    return ManifoldTask("embedded", atlas, ExpressionTarget(ExpressionMap((x1, x2), (x1 * x2,))))


TASKS = {"sum": cache(sum_of_pieces), "circle": cache(circle), "embedded": cache(embedded)}


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
        ("circle", {"depth": "1", "gate": "tree", "experts": "factorised"}),
        ("sum", {"depth": "1", "experts": "auto", "shared": "auto"}),
        ("embedded", {"shared": True, "experts": "factorised", "form": "residual"}),
        ("embedded", {"shared": True, "experts": "encoder", "top_k": 2}),
    ],
)
def test_pairs_that_make_sense_work(task: str, options: dict[str, Any], tmp_path: Path) -> None:
    agrees(compile(TASKS[task](), epsilon=EPSILON, **options), tmp_path / "model")


def test_a_nonlinear_gate_may_store_more_than_scores() -> None:
    """In residual form a layer of scores carries nothing inside: then a layer is saved, and no numbers, which is no reason to refuse."""
    model = compile(TASKS["circle"](), epsilon=EPSILON, gate="nonlinear", form="residual", top_k=2, routing="duplicates")
    claim = model.ledger["gate.numbers"]
    assert claim.holds
    assert "fewer" in claim.statement
    assert len(model.network.layers) == 1


def test_the_command_line_names_nodes_with_lanes(tmp_path: Path) -> None:
    """`--gated` alone, before the spec too, for one node, and for what is neither."""
    spec = tmp_path / "sum.toml"
    task, _ = task_to_spec(TASKS["sum"]())
    spec.write_text(tomli_w.dumps(task))

    def run(*words: str) -> Any:
        return CliRunner().invoke(main, ["compile", *words, "--epsilon", "0.1", "--force", "-o", str(tmp_path / "out"), "--json"])

    for words, expected in (
        (("--gated", str(spec)), {"u": True, "v": True}),
        ((str(spec), "--gated", "v=true"), {"u": False, "v": True}),
        ((str(spec), "--gated", "u=true,v=false"), {"u": True, "v": False}),
    ):
        done = run(*words)
        assert done.exit_code == 0, done.output
        asked = json.loads(done.stdout)["facts"]["neurons"]["asked"]
        assert {block: asked.get(block, {"gated": False})["gated"] for block in expected} == expected
    refused = run(str(spec), "--gated", "w=true")
    assert refused.exit_code == 2
    assert "there is no block 'w'" in refused.stdout


def test_refusals_write_options_as_their_reader_does() -> None:
    refused = InvalidArgument("leave {shared=true} out, or use {depth=L}, {top_k=2}")
    assert str(refused) == 'leave shared=True out, or use depth="L", top_k=2'
    assert refused.on_the_command_line() == "leave --shared true out, or use --depth L, --top-k 2"


def test_explanations_say_which_list_a_tree_gate_used() -> None:
    atlas = ball_atlas(builtin("circle"), charts=128)
    x1, x2 = symbols("x1:3", real=True)
    task = ManifoldTask("many", atlas, ExpressionTarget(ExpressionMap((x1, x2), (x1,))))
    model = compile(task, epsilon=0.5, gate="tree")
    tree = model.network.layers[-1].tree
    assert tree is not None
    x = atlas.sample(10, 0).ambient
    for point in x:
        (step,) = model.explain(point).layers
        assert step.looked_up.groups == len(tree.groups)
        if step.looked_up.group is not None:
            group = tree.groups[step.looked_up.group - 1]
            assert step.looked_up.candidates == len(group.candidates)
            assert step.expert in [model.network.layers[-1].names[k] for k in group.candidates]
    assert model.explain(x[0] * 50).layers[0].looked_up.candidates == 128, "far from all centres, all are compared"
