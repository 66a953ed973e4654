"""Specs of task graphs: what they mean, that graphs survive being written, and that wrong ones are refused."""

from __future__ import annotations

import tomllib

import numpy as np
import pytest
import tomli_w
from atlasmoe import Atlas, Block, Box, BoxPiece, Combine, Input, LintError, SpecError, TaskGraph, Tiling, ball_atlas, builtin, embed
from atlasmoe.atlas import task_from_spec, task_to_spec

MIXED = """
[task]
name = "mixed"
kind = "graph"
output = "f"

[[input]]
name = "c"
manifold = { builtin = "circle", charts = 3, embed = { dimension = 10, seed = 1 } }
[[input]]
name = "t"
domain = [0, 1]
[[input]]
name = "own"
coordinates = ["x", "y"]
manifold = { intrinsic = ["s"] }
[[input.chart]]
name = "right"
domain = [[-2, 2]]
inverse = ["cos(s)", "sin(s)"]
forward = ["atan2(y, x)"]
[[input.chart]]
name = "left"
domain = [[-2, 2]]
inverse = ["-cos(s)", "-sin(s)"]
forward = ["atan2(-y, -x)"]

[[block]]
name = "a"
reads = ["c"]
expression = "c_1*c_2"
[[block]]
name = "b"
reads = "own"
[[block.chart]]
name = "left"
expression = ["x", "y"]
[[block.chart]]
name = "right"
expression = ["cos(s)", "sin(s)"]
[[block]]
name = "d"
reads = ["t"]
[[block.piece]]
domain = [0, "1/3"]
closed = "upper"
expression = "t"
[[block.piece]]
domain = ["1/3", 1]
closed = "none"
expression = "1 - t"
[[block]]
name = "e"
reads = ["t", "d"]
outputs = "energy"
manifold = { builtin = "box", domain = [[0, 1], [0, 1]], charts = 2 }
expression = "t*d"

[[combine]]
name = "f"
expression = ["a*b_1 + b_2*d", "t - energy"]
"""


def read(text: str) -> TaskGraph:
    task = task_from_spec(tomllib.loads(text))
    assert isinstance(task, TaskGraph)
    return task


def again(graph: TaskGraph) -> TaskGraph:
    """Written as TOML and read back."""
    spec, arrays = task_to_spec(graph)
    task = task_from_spec(tomllib.loads(tomli_w.dumps(spec)), arrays=arrays)
    assert isinstance(task, TaskGraph)
    assert task_to_spec(task)[0] == spec
    return task


def findings(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        read(text)
    return [str(finding) for finding in caught.value.findings]


def test_a_spec_means_what_it_says() -> None:
    graph = read(MIXED)
    assert [len(block) for block in graph.blocks] == [3, 2, 2, 4]
    assert graph.pieces == 48
    x = graph.sample(400, 0)
    c1, c2, t, a, b = graph.unembed(x).T
    d = np.where(t <= 1 / 3, t, 1 - t)
    np.testing.assert_allclose(graph(x), np.stack([c1 * c2 * a + b * d, t - t * d], axis=1), atol=1e-9)
    third = np.append(x[0], [])
    third[10] = 1 / 3
    assert graph.trace(third[None]).routes[0, 2] == 0  # closed above, as the spec says


def test_names_of_nodes_stand_for_their_components() -> None:
    graph = read(MIXED)
    assert graph["a"].reads == ("c_1", "c_2")
    assert graph["b"].components == ("b_1", "b_2")
    assert graph["f"].reads == ("t", "a", "b_1", "b_2", "d", "energy")


def test_options_of_blocks_are_read_and_written() -> None:
    text = MIXED.replace('name = "a"\n', 'name = "a"\nrouting = "plateau"\n').replace('name = "d"\n', 'name = "d"\ntheorem = "5.3"\n')
    graph = again(read(text))
    assert {block.name: dict(block.options) for block in graph.blocks} == {
        "a": {"routing": "plateau"},
        "b": {},
        "d": {"theorem": "5.3"},
        "e": {},
    }
    block = Block.parse("a", ("s",), Tiling.intervals((0, 0.5, 1)), ["s", "1 - s"], theorem="5.3")
    assert block.options == {"theorem": "5.3"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"routeing": "plateau"},
            "block \"a\": has an unknown option 'routeing'; did you mean 'routing'? the options are routing, theorem, activation, gated, "
            "gate, experts, top_k, weighting, shared",
        ),
        ({"theorem": 4.8}, 'block "a": theorem: expected a text, got 4.8; write it in quotes'),
        ({"routing": ""}, "block \"a\": routing: expected a text, got ''; write it in quotes"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, str | float], message: str) -> None:
    block = Block.parse("a", ("s",), Tiling.intervals((0, 0.5, 1)), ["s", "1 - s"], **options)
    with pytest.raises(LintError) as caught:
        TaskGraph("wrong", (Input("s", Box((0,), (1,))), block), "a")
    assert [str(finding) for finding in caught.value.findings] == [message]


def overlapping() -> TaskGraph:
    pieces = (
        BoxPiece("low", Box((0, 0), (0.1, 1)), ((True, True), (True, False))),
        BoxPiece("high", Box((0.1, 0), (1, 1)), ((False, False), (True, False))),
    )
    return TaskGraph(
        "overlapping",
        (
            Combine.parse("f", ("a", "b"), "a - b/3"),
            Block.parse("a", ("x1", "x2"), Tiling(pieces), ["x1 + 0.1*x2", "x1*x2"]),
            Block.parse("b", ("x2", "x3"), Tiling.grid([(0, 1 / 3, 1), (0, 1)]), ["x3 - x2", "x3**2"]),
            Input("x", Box((0, 0, 0), (1, 1, 1)), ("x1", "x2", "x3")),
        ),
        "f",
    )


def renamed_charts() -> TaskGraph:
    """A block on a library atlas that no recipe makes any more, so its charts are written out in the names it reads."""
    circle = builtin("circle", charts=3)
    atlas = Atlas(circle.coordinates, circle.charts, circle.partition)
    return TaskGraph("charts", (Input("c", atlas), Block.parse("f", ("c_2", "c_1"), atlas, ["c_1 + c_2", "c_2 + c_1", "c_1 + c_2"])), "f")


def balls() -> TaskGraph:
    circle = ball_atlas(builtin("circle"), charts=6)
    return TaskGraph("balls", (Input("c", embed(circle, 9, 0)), Block.parse("a", ("c_1", "c_2"), circle, "c_1*c_2")), "a")


@pytest.mark.parametrize("make", [overlapping, renamed_charts, balls, lambda: read(MIXED)], ids=["pieces", "charts", "balls", "mixed"])
def test_graphs_survive_being_written(make) -> None:
    graph = make()
    same = again(graph)
    x = graph.sample(300, 0)
    np.testing.assert_array_equal(same(x), graph(x))
    np.testing.assert_array_equal(same.trace(x).routes, graph.trace(x).routes)
    assert [block.name for block in same.blocks] == [block.name for block in graph.blocks]


def test_interface_points_survive_being_written() -> None:
    graph = overlapping()
    x = np.array([[0.1, 0.5, 0.5], [0.1, 1 / 3, 0.2], [0.2, 1 / 3, 1.0]])
    np.testing.assert_array_equal(again(graph).trace(x).routes, graph.trace(x).routes)


@pytest.mark.parametrize(
    "text", ["", "[task]\nkind = 'graph'", "[task]\nname='g'\nkind='graph'\noutput='f'\ninput=3\nblock=[1]\ncombine=['x']"]
)
def test_nothing_gives_a_traceback(text: str) -> None:
    assert findings(text)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('reads = ["t"]', "reads = 3"),
        ('reads = ["t"]', 'reads = ["t", 3]'),
        ('closed = "none"', "closed = 3"),
        ('closed = "none"', "closed = [[]]"),
        ("domain = [0, 1]", "domain = [[0, 1], 3]"),
        ("domain = [0, 1]", 'domain = "x"'),
        ("domain = [0, 1]", "domain = []"),
        ('manifold = { builtin = "circle"', "manifold = { builtin = 3"),
        ('manifold = { intrinsic = ["s"] }', "manifold = 3"),
        ('manifold = { intrinsic = ["s"] }', "manifold = {}"),
        ('manifold = { intrinsic = ["s"] }', 'manifold = { intrinsic = ["x"] }'),
        ('name = "left"\nexpression', 'name = "leftt"\nexpression'),
        ('name = "left"\nexpression', "name = []\nexpression"),
        ('expression = ["x", "y"]', "expression = []"),
        ('expression = ["x", "y"]', 'expression = ["x + s", "y"]'),
        ('outputs = "energy"', 'outputs = ["energy", "more"]'),
        ('outputs = "energy"', 'outputs = "sin"'),
        ('output = "f"', "output = []"),
        ('name = "f"\n', ""),
        ('name = "d"\n', ""),
    ],
)
def test_every_wrong_field_is_a_finding(old: str, new: str) -> None:
    assert MIXED.count(old) >= 1
    for finding in findings(MIXED.replace(old, new)):
        assert ": " in finding
        assert "; " in finding
