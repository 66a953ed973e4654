"""Many points explained at once: each as alone, rows that are none named, and nothing kept but what is summed up."""

from __future__ import annotations

import json
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe import Block, Box, Combine, Input, Model, TaskGraph, Tiling
from atlasmoe.atlas.graph import as_graph
from atlasmoe.cli import main
from atlasmoe.errors import InvalidArgument
from atlasmoe.explain import Summary, explain_points
from atlasmoe.moe.typed_json import finite_json
from click.testing import CliRunner


@pytest.fixture(scope="module")
def model() -> Model:
    a = Block.parse("a", ("r",), Tiling.intervals((0, 0.7, 2)), ["r", "3 - r"])
    graph = TaskGraph("one", (Input("x", Box((0, 0), (2, 1)), ("r", "s")), a, Combine.parse("f", ("a", "s"), "a + s")), output="f")
    return atlasmoe.compile(graph, epsilon=0.1)


@pytest.fixture(scope="module")
def folder(model: Model, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(atlasmoe.save(model, tmp_path_factory.mktemp("points") / "model"))


def test_every_point_is_explained_as_alone(model: Model, folder: Path, tmp_path: Path) -> None:
    points = as_graph(model.task).sample(40, 0)
    np.save(tmp_path / "points.npy", points.astype(np.float32))
    np.savetxt(tmp_path / "points.csv", points, delimiter=",", fmt="%.17g")
    done = CliRunner().invoke(main, ["explain", str(folder), "--points", str(tmp_path / "points.csv"), "-o", str(tmp_path / "out.jsonl")])
    assert done.exit_code == 0
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [line["explanation"] for line in lines] == [finite_json(model.explain(x).to_dict()) for x in points]
    assert [line["row"] for line in lines] == list(range(40))
    assert lines[0]["where"] == "line 1"
    rounded = list(explain_points(folder, tmp_path / "points.npy"))
    assert [row.explanation for row in rounded] == [model.explain(x) for x in points.astype(np.float32)]
    assert [row.explanation for row in explain_points(model, points)] == [model.explain(x) for x in points]


def test_a_summary_is_of_all_rows(model: Model) -> None:
    points = np.concatenate([as_graph(model.task).sample(300, 1), [[5.0, 0.5]]])
    rows, found = list(explain_points(model, points)), Summary(1e-9)
    for row in rows:
        found.add(row)
    inside = [row.explanation for row in rows[:-1] if row.explanation is not None]
    errors = [one.error for one in inside if one.error is not None]
    assert (found.points, found.outside, found.bad, found.compared) == (301, 1, 0, 300)
    assert found.worst == max(errors)
    assert found.worst_at == f"row {int(np.argmax(errors))}"
    assert found.mean == pytest.approx(np.mean(errors))
    assert found.missed == sum(error > 1e-9 for error in errors)
    block = found.blocks["a"]
    assert block.pieces == {"piece1": int((points[:, 0] < 0.7).sum()), "piece2": int((points[:, 0] >= 0.7).sum())}
    assert block.margin == min(row.explanation.blocks[0].margin for row in rows if row.explanation)
    assert block.wrong == 0
    wrong = Summary(1.0)
    wrong.add(rows[0])
    assert wrong.missed == 0


def test_rows_that_are_no_points_are_named(model: Model, folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "points.csv"
    path.write_text("s, r\n0.5,0.1\n\n0.5,x\n1\n0.5,inf\n0.25,1.5,3\n1,0.2\n", encoding="utf-8")
    done = CliRunner().invoke(main, ["explain", str(folder), "--points", str(path), "-o", str(tmp_path / "out.jsonl"), "--json"])
    assert done.exit_code == 2
    said = json.loads(done.stdout)
    assert (said["points"], said["bad"]) == (2, 4)
    assert [one["where"] for one in said["problems"]] == ["line 4", "line 5", "line 6", "line 7"]
    assert "'x' is no number" in said["problems"][0]["problem"]
    assert "inf is no finite number" in said["problems"][2]["problem"]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ["explanation" in line for line in lines] == [True, False, False, False, False, True]
    assert lines[0]["explanation"]["coordinates"] == {"r": 0.1, "s": 0.5}  # by the names of the first line
    shown = CliRunner().invoke(main, ["explain", str(folder), "--points", str(path), "-o", str(tmp_path / "out.jsonl")])
    assert "line 4 is no point: 'x' is no number" in shown.stdout
    rows = list(explain_points(model, [[0.5, np.nan], [0.5, 0.5]]))
    assert [row.problem for row in rows] == ["nan is no finite number", ""]


def test_points_that_miss_are_an_exit_code(model: Model, folder: Path, tmp_path: Path) -> None:
    exact = model.explain([0.3, 0.5]).error
    assert exact is not None
    network = model.network
    broken = tmp_path / "broken"
    layers = network.layers
    moved = [np.array(a.bias) for a in layers[-1].experts[0].affines]
    moved[-1][0] += 1
    net = layers[-1].experts[0]
    maps = [atlasmoe.Affine(np.array(a.weight), bias) for a, bias in zip(net.affines, moved, strict=True)]
    from dataclasses import replace

    last = replace(layers[-1], experts=(net.with_maps(maps), *layers[-1].experts[1:]))
    atlasmoe.save(Model(replace(network, layers=(*layers[:-1], last)), model.ledger, model.task, model.facts, model.design), broken)
    np.save(tmp_path / "points.npy", [[0.3, 0.5], [1.5, 0.5]])
    done = CliRunner().invoke(main, ["explain", str(broken), "--points", str(tmp_path / "points.npy"), "-o", str(tmp_path / "o.jsonl")])
    assert done.exit_code == 1
    assert "miss ε" in done.stdout


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("points.txt", b"1,2", "ending in .npy or .csv"),
        ("points.npy", b"nothing", "not an .npy file"),
        ("points.csv", b"r,q\n1,2\n", "the coordinates are r, s"),
        ("points.csv", b"0.1,0.2\n\xff\xfe,1\n", "no line of numbers"),
        ("missing.csv", None, "there is no such file"),
    ],
)
def test_files_that_hold_no_points_are_refused(
    model: Model, folder: Path, tmp_path: Path, name: str, content: bytes | None, problem: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InvalidArgument, match=problem):
        list(explain_points(model, tmp_path / name))
    done = CliRunner().invoke(main, ["explain", str(folder), "--points", str(tmp_path / name), "-o", str(tmp_path / "out.jsonl")])
    assert done.exit_code == 2
    assert not list(tmp_path.glob("*out.jsonl*"))  # nothing half-written


def test_arrays_of_other_shapes_and_kinds_are_refused(model: Model, tmp_path: Path) -> None:
    for wrong in (np.zeros((3, 5)), np.zeros((2, 2, 2)), np.zeros(5)):
        with pytest.raises(InvalidArgument, match="points are rows of 2 coordinates"):
            explain_points(model, wrong)
    np.save(tmp_path / "texts.npy", np.array([["a", "b"]]))
    with pytest.raises(InvalidArgument, match="no numbers"):
        explain_points(model, tmp_path / "texts.npy")
    np.save(tmp_path / "objects.npy", np.array([[None, 1]], dtype=object), allow_pickle=True)
    with pytest.raises(InvalidArgument, match=r"not an \.npy file of numbers"):
        explain_points(model, tmp_path / "objects.npy")
    assert len(list(explain_points(model, [0.1, 0.2]))) == 1
