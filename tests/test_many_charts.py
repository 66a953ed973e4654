"""Lint of many charts looks at neighbours only, and says once what holds of many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import atlasmoe
import numpy as np
import pytest
from atlasmoe.atlas.named import grouped, said
from atlasmoe.atlas.partition import PartitionOfUnity
from atlasmoe.cli.main import main
from atlasmoe.errors import Finding, Severity
from click.testing import CliRunner


def circle(charts: int) -> atlasmoe.ManifoldTask:
    from atlasmoe.atlas.spec import task_from_spec

    spec = {
        "task": {"name": "c", "kind": "manifold"},
        "manifold": {"builtin": "circle", "charts": charts},
        "target": {"expression": "x1*x2"},
    }
    return task_from_spec(spec)  # type: ignore[return-value]


def test_bumps_ask_the_charts_nearby(monkeypatch: pytest.MonkeyPatch) -> None:
    atlas = circle(48).atlas
    points = atlas.charts[5].inverse(np.linspace(atlas.charts[5].domain.lower[0], atlas.charts[5].domain.upper[0], 50)[:, None])
    every = np.stack([atlas.partition.bump(chart, points) for chart in atlas.charts], axis=-1)
    asked, bump = [], PartitionOfUnity.bump

    def counted(self: PartitionOfUnity, chart: atlasmoe.Chart, at: np.ndarray) -> np.ndarray:
        asked.append(chart.name)
        return bump(self, chart, at)

    monkeypatch.setattr(PartitionOfUnity, "bump", counted)
    assert np.array_equal(atlas.bumps(points), every)
    assert 3 <= len(asked) <= 6
    assert np.array_equal(atlas.bumps(np.array([[np.nan, 0.0], [1.0, 0.0]]))[1], atlas.bumps(np.array([1.0, 0.0])))


def test_lint_is_linear_in_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    bump, calls = PartitionOfUnity.bump, [0]

    def counted(self: PartitionOfUnity, chart: atlasmoe.Chart, at: np.ndarray) -> np.ndarray:
        calls[0] += len(np.atleast_2d(at))
        return bump(self, chart, at)

    monkeypatch.setattr(PartitionOfUnity, "bump", counted)
    points = []
    for charts in (33, 66):
        calls[0] = 0
        assert atlasmoe.lint(circle(charts), samples=64) == []
        points.append(calls[0])
    assert points[1] < 2.6 * points[0], "twice the charts, twice the work"


def test_a_hole_between_many_charts_is_seen() -> None:
    task = circle(40)
    with_hole = replace(task.atlas, charts=tuple(c for k, c in enumerate(task.atlas.charts) if k not in (7, 8, 9)))
    found = atlasmoe.lint(replace(task, atlas=with_hole), samples=64)
    assert {finding.where for finding in found} == {'chart "arc6"', 'chart "arc10"'}
    assert all(len(finding.coordinates) == 1 for finding in found)


def test_a_chart_that_comes_again_is_seen() -> None:
    task = circle(40)
    again = replace(task.atlas.charts[3], name="again")
    found = atlasmoe.lint(replace(task, atlas=replace(task.atlas, charts=(*task.atlas.charts, again))), samples=64)
    assert [f.where for f in found if "duplicated" in f.problem] == ['chart "again"']


def test_what_is_said_of_many_is_said_once() -> None:
    many = [Finding(Severity.WARNING, f'block "b{k}": pieces', f"jump by {k / 7:.2g}", "nothing has to be done") for k in range(41)]
    other = Finding(Severity.ERROR, "target", "is not finite", "define it", (0.5, 1.0), coordinates=("u", "v"))
    groups = grouped([other, *many])
    assert [len(group) for group in groups] == [1, 41]
    assert said(groups[0]) == "target: is not finite at (u = 0.5, v = 1); define it"
    assert said(groups[1]).startswith('block "b0": pieces: jump by 0; nothing has to be done; and 40 more like it: block "b1": pieces, ')
    assert said(groups[1]).endswith(", …")


def test_the_command_line_groups_and_json_does_not(tmp_path: Path) -> None:
    pieces = ", ".join(f'{{ domain = [{k}, {k + 1}], expression = "{k}*x" }}' for k in range(2))
    blocks = "".join(f'[[block]]\nname = "b{k}"\nreads = ["x"]\npiece = [{pieces}]\n' for k in range(5))
    total = " + ".join(f"b{k}" for k in range(5))
    spec = tmp_path / "many.toml"
    spec.write_text(
        '[task]\nname = "many"\nkind = "graph"\noutput = "f"\n[[input]]\nname = "x"\ndomain = [0, 2]\n'
        f'{blocks}[[combine]]\nname = "f"\nexpression = "{total}"\n'
    )
    lines = " ".join(CliRunner().invoke(main, ["lint", str(spec)]).stdout.split())
    assert lines.count("jump by") == 1
    assert "(x = 1)" in lines
    assert "and 4 more like it: block" in lines
