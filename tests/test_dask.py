"""Experts built on a Dask cluster: the same weights, bit for bit, from tasks that are closures and travel as such."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import atlasmoe
import joblib
import numpy as np
import pytest
import sympy
from atlasmoe import CallableTarget, ExpressionMap, ExpressionTarget, ManifoldTask, Model, builtin

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes on this machine, and a client: what docs/scaling.md starts."""
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as local,
        distributed.Client(local) as client,
    ):
        yield client


def arrays(model: Model) -> list[np.ndarray]:
    """Every number of the network."""
    affines = [layer.gate for layer in model.network.layers]
    affines += [affine for layer in model.network.layers for net in layer.experts for affine in net.affines]
    return [array for affine in affines for array in (affine.weight, affine.bias)]


def assert_same(one: Model, other: Model) -> None:
    assert len(arrays(one)) == len(arrays(other))
    for here, there in zip(arrays(one), arrays(other), strict=True):
        np.testing.assert_array_equal(here, there)
    assert one.ledger == other.ledger


def test_expressions_with_a_shared_dictionary(cluster: Any) -> None:
    """Sixteen experts or more: the samples of their local targets are drawn on the workers."""
    x = sympy.symbols("x1:3", real=True)
    target = ExpressionTarget(ExpressionMap(x, (sympy.sin(5 * x[0]) + sympy.cos(3 * x[1]), x[0] * x[1])))
    task = ManifoldTask("circle", builtin("circle", atlas="ball", charts=16, embed={"dimension": 5}), target)
    here = atlasmoe.compile(task, width=16)
    with joblib.parallel_config(backend="dask"):
        there = atlasmoe.compile(task, width=16)
    assert_same(here, there)


def test_closures_travel_and_run_on_the_workers(cluster: Any, tmp_path: Path) -> None:
    """Theorem 4.8 with a target that no module holds: it says itself in which process it ran."""
    folder = str(tmp_path)

    def wave(y: np.ndarray) -> np.ndarray:
        Path(folder, str(os.getpid())).touch()
        return np.sin(3 * y[:, 0]) * y[:, 1]

    task = ManifoldTask("wave", builtin("circle"), CallableTarget(wave, name="wave"))
    here = atlasmoe.compile(task, width=24)
    assert {path.name for path in tmp_path.iterdir()} == {str(os.getpid())}
    with joblib.parallel_config(backend="dask"):
        there = atlasmoe.compile(task, width=24)
    assert_same(here, there)
    ran = {int(path.name) for path in tmp_path.iterdir()} - {os.getpid()}
    assert ran, "the work left this process"
    assert ran <= set(cluster.run(os.getpid).values())


def test_the_documented_script_runs(tmp_path: Path) -> None:
    """docs/scaling.md, as it stands: to a budget, every expert with its own width."""
    text = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    subprocess.run([sys.executable, "script.py"], cwd=tmp_path, check=True, timeout=300)
    there = atlasmoe.load(tmp_path / "out" / "circle")
    here = atlasmoe.compile(atlasmoe.ManifoldTask("circle", builtin("circle", atlas="ball", charts=12), there.task.target), epsilon=1e-3)
    for one, other in zip(arrays(here), arrays(there), strict=True):
        np.testing.assert_array_equal(one, other)
