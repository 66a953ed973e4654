"""What is saved is what was written: every spec there is, saved and read again, is the same functions, to the letter from then on."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import atlasmoe
import numpy as np
import pytest
import tomli_w
from atlasmoe.atlas import (
    Atlas,
    Block,
    ChartTarget,
    Combine,
    ExpressionMap,
    ExpressionTarget,
    Input,
    TaskGraph,
    load_task,
    task_from_spec,
    task_to_spec,
)
from atlasmoe.errors import LintError

ROOT = Path(__file__).parent.parent
COSTLY = {"implicit_clebsch", "implicit_genus_two", "implicit_rotations"}
"""Written like implicit_ovals; to find and prove their charts takes half a minute."""
SPECS = [path for path in sorted((ROOT / "examples").glob("*.toml")) if path.stem not in COSTLY]
BLOCKS = re.findall(r'```toml title="complete"\n(.*?)```', (ROOT / "docs/spec.md").read_text(encoding="utf-8"), re.S)


def maps(task: Any) -> list[ExpressionMap]:
    """Every map of a task, in an order of its own."""
    if isinstance(task, TaskGraph):
        found = []
        for node in task.nodes:
            match node:
                case Input():
                    found += [] if node.atlas is None else charts(node.atlas)
                case Block():
                    found += [*node.subtasks, *([] if node.atlas is None else charts(node.atlas))]
                case Combine():
                    found.append(node.function)
        return found
    target = task.target
    functions = [target.function] if isinstance(target, ExpressionTarget) else target.functions if isinstance(target, ChartTarget) else ()
    return [*functions, *charts(task.atlas)]


def charts(atlas: Atlas) -> list[ExpressionMap]:
    return [f for c in atlas.parametrising for f in (c.inverse, c.forward, c.region, c.bump, c.partition) if f is not None]


def check_saved(task: Any) -> None:
    spec, arrays = task_to_spec(task)
    again = task_from_spec(spec, arrays=arrays)
    assert all(f.same(g) for f, g in zip(maps(task), maps(again), strict=True))
    spec_again, arrays_again = task_to_spec(again)
    assert tomli_w.dumps(spec_again) == tomli_w.dumps(spec)
    assert all(np.array_equal(arrays[name], arrays_again[name]) for name in arrays)


@pytest.mark.parametrize("path", SPECS, ids=lambda path: path.stem)
def test_examples_are_saved_as_they_were_written(path):
    check_saved(load_task(path))


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_specs_of_the_documentation_are_saved_as_they_were_written(number, tmp_path):
    (tmp_path / "task.toml").write_text(BLOCKS[number], encoding="utf-8")
    check_saved(load_task(tmp_path / "task.toml"))


GRAPH = {
    "task": {"name": "written", "kind": "graph", "output": "f"},
    "input": [
        {"name": "x", "domain": [0.5, 1]},
        {"name": "c", "coordinates": ["p", "q"], "manifold": {"builtin": "circle", "charts": 3}},
        {
            "name": "m",
            "coordinates": ["s", "t"],
            "manifold": {"intrinsic": ["w"]},
            "chart": [
                {
                    "name": "only",
                    "domain": [[1, 2]],
                    "boundary": [[True, True]],
                    "inverse": ["w", "sqrt(w)**4"],
                    "forward": ["exp(log(s))"],
                    "bump": "1 + 0*(t/t)",
                }
            ],
        },
    ],
    "block": [
        {"name": "a", "reads": ["x"], "piece": [{"domain": [0.5, 1], "expression": ["sqrt(x)**2", "x/x"]}]},
        {"name": "b", "reads": ["c"], "expression": "p**2.0 + (q + 1) - 1.0"},
        {"name": "d", "reads": ["m"], "chart": [{"name": "only", "expression": "s - s + w*w/w"}]},
        {"name": "e", "reads": ["m"], "expression": "abs(s)*max(t, 0.0)"},
    ],
    "combine": [{"name": "f", "expression": "a_1 - a_1 + a_2*b + (d - -e)*1e-3"}],
}


def test_graphs_are_saved_as_they_were_written():
    del GRAPH["block"][2]["chart"]
    GRAPH["block"][2]["expression"] = "s - s + t*t/t"
    graph = task_from_spec(GRAPH)
    check_saved(graph)
    spec, _ = task_to_spec(graph)
    assert spec["combine"][0]["expression"] == ["a_1 - a_1 + a_2*b + (d - -e)*0.001"]
    assert spec["combine"][0]["reads"] == ["a_1", "a_2", "b", "d", "e"]
    assert spec["block"][0]["piece"][0]["expression"] == ["sqrt(x)**2", "x/x"]
    assert spec["block"][1]["expression"] == ["p**2.0 + (q + 1) - 1.0"]
    assert spec["block"][3]["expression"] == ["Abs(s)*Max(t, 0.0)"]
    assert spec["input"][2]["chart"][0]["inverse"] == ["w", "sqrt(w)**4"]


def test_a_lost_domain_is_refused_and_the_text_is_kept(tmp_path):
    """The saved task once said 2*x1, and a proof of that was printed."""
    text = "sqrt(x1)**2 + exp(log(x1))"
    spec = {"task": {"name": "lost"}, "manifold": {"builtin": "interval", "domain": [-1, 1]}, "target": {"expression": text}}
    with pytest.raises(LintError, match=r"sqrt\(x1\) has a value only where x1 is not negative"):
        atlasmoe.compile(task_from_spec(spec), width=16)
    task = task_from_spec({**spec, "manifold": {"builtin": "interval", "domain": [0.5, 1]}})
    atlasmoe.save(atlasmoe.compile(task, width=16), tmp_path / "model")
    assert f'"{text}"' in (tmp_path / "model" / "task.toml").read_text(encoding="utf-8")
    assert atlasmoe.load(tmp_path / "model").task.target.function.texts == (text,)
