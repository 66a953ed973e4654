"""What is written for Coq about routes: the balls and forward maps of the last gate's outputs. Without coqc."""

from __future__ import annotations

import re
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
from atlasmoe import compile, load_task
from atlasmoe.atlas import Atlas
from atlasmoe.errors import InvalidArgument
from atlasmoe.moe import Model, Network
from atlasmoe.verify.coq.project import files
from atlasmoe.verify.coq.statement import statement_of

SPEC = """
[task]
name = "interval"

[manifold]
builtin = "interval"
charts = 3

[target]
expression = "0.5*x1**2"
"""
BALLS = """
[task]
name = "circle"

[manifold]
builtin = "circle"
atlas = "ball"
charts = 8

[target]
expression = "x1*x2"
"""


def compiled(text: str, folder: Path, **options: str) -> Model:
    (folder / "spec.toml").write_text(text)
    return compile(load_task(folder / "spec.toml"), epsilon=0.1, **options)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def balls(tmp_path_factory: pytest.TempPathFactory) -> Model:
    return compiled(BALLS, tmp_path_factory.mktemp("balls"))


def written(model: Model) -> dict[str, str]:
    statement = statement_of(model, routes=True)
    return files(statement, [[0]] * len(statement.charts), "fast")


def test_balls_are_written_exactly_and_in_the_order_of_the_gate(balls: Model) -> None:
    text = written(balls)["Domains.v"]
    atlas = balls.manifold_task.atlas
    found = re.findall(r"\(\* Output (\d+): (\w+) \*\)\nDefinition domain_\d+ : option domain := Some \(Ball \((.*)\)%expr\)\.", text)
    assert [name for _, name, _ in found] == list(balls.network.layers[-1].names)
    charts = {chart.name: chart for chart in atlas.charts}
    for _, name, depth in found:
        pairs = [Fraction(int(m)) * Fraction(2) ** int(e) for m, e in re.findall(r"\(Dec \((-?\d+),(-?\d+)\)%Z\)", depth)]
        assert pairs == [Fraction(charts[name].radius), *(Fraction(c) for c in charts[name].center.tolist())]  # type: ignore[union-attr]
        assert re.sub(r"\(Dec \S+\)%Z\)", "d", depth) == "d ^ 2 - ((x1 - d) ^ 2 + (x2 - d) ^ 2)"
    assert "R.accepted_routes Chart0.chart None domains Q network" in written(balls)["Route0.v"]


def test_charts_are_asked_by_their_forward_maps_and_know_their_own_output(tmp_path: Path) -> None:
    model = compiled(SPEC, tmp_path)
    found = written(model)
    assert "Definition domain_0 : option domain := Some (Forward [(x1)%expr] Task.Chart0.chart)." in found["Domains.v"]
    assert (
        "chart_of_output : list (option chart) := [Some Task.Chart0.chart; Some Task.Chart1.chart; Some Task.Chart2.chart]."
        in found["Domains.v"]
    )
    assert "R.accepted_routes Chart1.chart (Some 1%nat) domains Q network" in found["Route1.v"]
    assert "routes_valid" in found["README.md"]
    assert "Routed.vo: Route0.vo Route1.vo Route2.vo" in found["Makefile"]
    assert re.search(r"^all: .*\bRouted\.vo$", found["Makefile"], re.MULTILINE)
    plain = files(statement_of(model), [[0]] * 3, "fast")
    assert not any("Rout" in name and name != "theory/Routes.v" for name in plain)


def test_routes_that_cannot_be_stated_are_refused_by_name(balls: Model, circle: Model, tmp_path: Path) -> None:
    layer = balls.network.layers[-1]
    named = replace(layer, names=("nowhere", *layer.names[1:]))
    with pytest.raises(InvalidArgument, match="output 'nowhere' of the last gate has the name of no chart"):
        written(replace(balls, network=Network((named,), balls.network.inputs)))
    with pytest.raises(InvalidArgument, match="the last layer of the network has no gate"):
        written(compiled(BALLS, tmp_path, theorem="dense"))
    task = circle.manifold_task
    atlas = Atlas(task.atlas.coordinates, tuple(replace(chart, forward=None) for chart in task.atlas.charts))  # type: ignore[type-var]
    with pytest.raises(InvalidArgument, match="chart 'east' has no forward map"):
        written(replace(circle, task=replace(task, atlas=atlas)))
