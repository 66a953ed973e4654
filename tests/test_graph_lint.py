"""What `lint` says of task graphs, whether tilings are checked exactly, and that no spec whatever gives a traceback."""

from __future__ import annotations

import copy
import itertools
import tomllib
from typing import Any

import numpy as np
import pytest
from atlasmoe import Block, Box, BoxPiece, Combine, Input, LintError, Severity, SpecError, TaskGraph, Tiling, builtin, lint
from atlasmoe.atlas import task_from_spec
from atlasmoe.atlas.graph.tiling_checks import cut, disputed
from atlasmoe.expressions import ExpressionMap
from atlasmoe.expressions.fields import SMOOTH, Field, callables, key_of
from atlasmoe.expressions.parse import read_expression, real_symbols
from test_graph import experiment_2
from test_graph_spec import MIXED


def said(graph: TaskGraph) -> list[tuple[str, str]]:
    return [(str(finding.severity), f"{finding.where}: {finding.problem}") for finding in lint(graph)]


def test_a_sound_graph_has_no_findings() -> None:
    assert said(experiment_2()) == []


def test_counts_beyond_64_bits_are_reported() -> None:
    names = [f"y{l}" for l in range(21)]
    nodes = [Input(f"x{l}", Box((0,), (8,))) for l in range(21)]
    blocks = [Block.parse(f"y{l}", (f"x{l}",), Tiling.intervals(range(9)), f"2*x{l}") for l in range(21)]
    graph = TaskGraph("wide", (*nodes, *blocks, Combine.parse("f", names, " + ".join(names))), "f")
    assert graph.pieces == 2**63
    assert said(graph) == [
        ("warning", "graph: has 9.223e+18 pieces (168 subtasks in 21 blocks of 8), more than a 64-bit counter holds"),
    ]


def test_jumps_between_pieces_say_who_owns_the_point() -> None:
    tiling = Tiling.intervals((0, 1, 2), "upper", ("low", "high"))
    graph = TaskGraph("jump", (Input("x", Box((0,), (2,))), Block.parse("f", ("x",), tiling, ["x", "x + 1/2"])), "f")
    assert said(graph) == [("warning", 'block "f": pieces: jump by 0.5 between "low" and "high", where the point belongs to "low"')]
    assert lint(graph)[0].witness == (1.0,)


def test_coordinates_that_nobody_reads_are_mentioned() -> None:
    square = Input("x", Box((0, 0), (1, 1)), ("u", "v"))
    graph = TaskGraph("idle", (square, Block.parse("f", ("v",), Tiling.intervals((0, 1)), "v**2")), "f")
    assert said(graph) == [("warning", 'input "x": no node reads u: f does not depend on it')]


def test_kinks_inside_a_piece_are_warnings_on_its_borders_nothing() -> None:
    pieces = Tiling.intervals((-1, 0, 1))
    graph = TaskGraph("kinks", (Input("x", Box((-1,), (1,))), Block.parse("f", ("x",), pieces, ["-x", "abs(x - 1/2) - 1/2"])), "f")
    assert [severity for severity, _ in said(graph)] == ["warning"]
    assert 'piece "piece2": expression: has a kink' in said(graph)[0][1]


class Ramp(Field):
    """Python code of a user: a steep ramp at 0.3 of a width, or a step where that is 0."""

    inputs = outputs = 1
    lower, upper = np.array([-np.inf]), np.array([np.inf])

    def __init__(self, width: float) -> None:
        self.name, self.width, self.key = "ramp", width, key_of("ramp", [repr(width).encode()])

    def evaluate(self, component: int, orders: Any, points: np.ndarray) -> np.ndarray:
        x = points[:, 0] - 0.3
        if any(orders):
            return np.zeros(len(x))
        return (x > 0) * 1.0 if self.width == 0 else np.clip(x / self.width, 0, 1)

    def enclose(self, component: int, orders: Any, lower: np.ndarray, upper: np.ndarray, *, again: bool = False) -> Any:
        return np.full(len(lower), -np.inf), np.full(len(lower), np.inf)

    def order(self, lower: np.ndarray, upper: np.ndarray) -> Any:
        return np.full(len(lower), SMOOTH)

    def exactly(self, component: int, orders: Any, at: Any) -> None:
        return None


@pytest.mark.parametrize("width", [0.0, 1e-6])
@pytest.mark.parametrize("charts", [False, True])
def test_python_functions_in_blocks_are_sampled_for_jumps(width: float, charts: bool) -> None:
    """A step is found on a piece as on a chart, a steep ramp is none."""
    symbols = real_symbols(["x"])
    f = ExpressionMap.of(symbols.values(), [read_expression("ramp(x) + x", {**symbols, **callables(Ramp(width))})])
    where = builtin("interval", domain=[0, 1]) if charts else Tiling.intervals([0, 1])
    graph = TaskGraph("t", (Input("x", where if charts else Box((0.0,), (1.0,))), Block("b", ("x",), where, (f,))), "b")
    found = [finding for finding in lint(graph, samples=2000) if "jumps by 1" in finding.problem]
    assert len(found) == (width == 0)
    assert all(abs(finding.witness[0] - 0.3) < 1e-6 for finding in found)


def test_the_atlas_of_an_input_and_of_a_block_is_looked_at_once() -> None:
    circle = builtin("circle", charts=3)
    broken = type(circle)(circle.coordinates, circle.charts[:2], circle.partition)
    graph = TaskGraph("open", (Input("c", broken), Block.parse("f", ("c_1", "c_2"), broken, "c_1")), "f")
    errors = [finding.where for finding in lint(graph) if finding.severity is Severity.ERROR]
    assert errors
    assert all(where.startswith('block "f": ') for where in errors)


def test_values_just_outside_the_pieces_of_a_later_block_are_found() -> None:
    """a reaches 2 at one corner of the square only."""
    graph = TaskGraph(
        "corner",
        (
            Input("x", Box((0, 0), (1, 1))),
            Block.parse("a", ("x_1", "x_2"), Tiling.grid([(0, 1), (0, 1)]), "x_1 + x_2"),
            Block.parse("f", ("a",), Tiling.intervals((0, 1, 1.999)), ["a", "1"]),
        ),
        "f",
    )
    (finding,) = [finding for finding in lint(graph) if finding.severity is Severity.ERROR]
    assert finding.witness == (2.0,)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_gaps_and_overlaps_are_those_that_counting_finds(dimension: int) -> None:
    """Boxes on a lattice of side 4, compared with the count of boxes over every cell of the lattice."""
    rng = np.random.default_rng(dimension)
    cells = np.array(list(itertools.product(range(4), repeat=dimension))) + 0.5
    seen = set()
    for trial in range(200):
        tiling = Tiling.grid([[0, *sorted(rng.choice([1, 2, 3], rng.integers(0, 4), replace=False)), 4] for _ in range(dimension)])
        pieces = list(tiling.pieces)
        if trial % 4 == 1 and len(pieces) > 2:
            pieces.pop(int(rng.integers(1, len(pieces) - 1)))
        if trial % 4 >= 2:
            low = rng.integers(0, 4, dimension)
            pieces.append(BoxPiece("more", Box(tuple(low), tuple(np.minimum(low + rng.integers(1, 3, dimension), 4)))))
        tiling = Tiling(tuple(pieces))
        over = ((cells[:, None] > tiling.lower) & (cells[:, None] < tiling.upper)).all(-1)
        within = tiling.domain.contains(cells)
        found = cut(tiling)
        gaps = np.zeros(len(cells), bool)
        for gap in found.gaps:
            gaps |= gap.contains(cells)
        np.testing.assert_array_equal(gaps, within & (over.sum(1) == 0))
        doubled = np.zeros(len(cells), bool)
        for overlap in found.overlaps:
            doubled |= overlap.box.contains(cells)
            assert (over[:, [overlap.first, overlap.second]].all(1) == overlap.box.contains(cells)).all()
        np.testing.assert_array_equal(doubled, over.sum(1) > 1)
        assert not found.intricate
        seen.add((bool(found.gaps), bool(found.overlaps)))
    assert len(seen) >= 3


def test_every_choice_of_owners_that_is_one_has_an_order_of_precedence() -> None:
    """Three intervals, all 4³ choices of closed ends: each is found sound or not as the interface points say."""
    words = [(a, b) for a in (True, False) for b in (True, False)]
    sound = 0
    for choice in itertools.product(words, repeat=3):
        pieces = tuple(BoxPiece(f"p{i}", Box((i,), (i + 1,)), (closed,)) for i, closed in enumerate(choice))
        tiling = Tiling(pieces)
        once = all(choice[i][1] != choice[i + 1][0] for i in range(2))
        assert (disputed(tiling) == []) == once
        if once:
            sound += 1
            assert tiling.precedence is not None
            for point in (1.0, 2.0):
                first = next(i for i in tiling.precedence if i <= point <= i + 1)
                assert tiling.contains([[point]])[0, first]
    assert sound == 16


def test_pieces_in_a_pinwheel() -> None:
    """Five rectangles around each other: no grid, and every corner has one owner."""
    boxes = [((0, 0), (2, 1)), ((2, 0), (3, 2)), ((1, 2), (3, 3)), ((0, 1), (1, 3)), ((1, 1), (2, 2))]
    tiling = Tiling(tuple(BoxPiece(f"p{i}", Box(*box)) for i, box in enumerate(boxes)))
    assert cut(tiling).gaps == cut(tiling).overlaps == ()
    assert disputed(tiling) == []
    assert tiling.precedence is not None
    points = np.array(list(itertools.product(range(4), repeat=2)), float)
    assert (tiling.contains(points).sum(1) == 1).all()
    for point, owner in zip(points, tiling.contains(points).argmax(1), strict=True):
        meeting = ((tiling.lower <= point) & (point <= tiling.upper)).all(1)
        assert next(i for i in tiling.precedence if meeting[i]) == owner


def test_large_grids_are_checked_at_once() -> None:
    tiling = Tiling.grid([(0, 0.5, 1)] * 10)
    block = Block.parse("f", [f"x_{k + 1}" for k in range(10)], tiling, "x_1")
    graph = TaskGraph("cells", (Input("x", Box((0,) * 10, (1,) * 10)), block), "f")
    assert graph.pieces == 1024
    points, found = graph.sample_routes(np.arange(1024)[:, None], 0)
    assert found.all()
    np.testing.assert_array_equal(graph.trace(points).routes[:, 0], np.arange(1024))


TEXTS = ("", "x", "f", "c_1", "(((", "1/0")
TABLES = ([], [[]], {}, [0, 1], ["t", "t"], {"builtin": "circle"})
JUNK: tuple[Any, ...] = (None, True, 0, -1, 1e308, float("nan"), *TEXTS, *TABLES)


def mutated(spec: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    """The spec with one or two of its fields, anywhere, replaced by junk, left out, or called differently."""
    spec = copy.deepcopy(spec)
    for _ in range(int(rng.integers(1, 3))):
        place: Any = spec
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            key = keys[int(rng.integers(len(keys)))]
            if isinstance(place[key], dict | list) and place[key] and rng.random() < 0.8:
                place = place[key]
                continue
            break
        action = rng.random()
        if action < 0.75:
            place[key] = copy.deepcopy(JUNK[int(rng.integers(len(JUNK)))])
        elif isinstance(place, dict) and action < 0.9:
            place[f"{key}x"] = place.pop(key)
        else:
            del place[key]
    return spec


def findings(spec: dict[str, Any]) -> int:
    """How many things are wrong with a spec."""
    try:
        task_from_spec(spec)
    except SpecError as error:
        return len(error.findings)
    return 0


def test_no_spec_gives_a_traceback() -> None:
    rng = np.random.default_rng(0)
    spec = tomllib.loads(MIXED)
    counts = [findings(mutated(spec, rng)) for _ in range(250)]
    assert 0 < counts.count(0) < 125


@pytest.mark.parametrize("output", ["f", "a", "x", "", "nothing"])
def test_wrong_graphs_made_in_python_are_refused_with_findings(output: str) -> None:
    with pytest.raises(LintError) as caught:
        TaskGraph("wrong", (Input("x", Box((0,), (1,))), Combine.parse("a", ("b",), "b"), Combine.parse("b", ("a",), "a")), output)
    assert any("cycle: a → b → a" in finding.problem for finding in caught.value.findings)
    assert any("there is no block" in finding.problem for finding in caught.value.findings)
