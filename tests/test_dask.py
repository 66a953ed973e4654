"""Experts built and proofs found on a Dask cluster: the same weights and boxes, bit for bit, from closures that travel as such."""

from __future__ import annotations

import json
import os
import re
import runpy
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import atlasmoe
import joblib
import numpy as np
import pytest
import sympy
from atlasmoe import CallableTarget, ExpressionMap, ExpressionTarget, ManifoldTask, Model, builtin
from atlasmoe.moe import Known
from atlasmoe.verify.enclosure import TaylorForms
from atlasmoe.verify.prove import Certificate, certify, problem
from atlasmoe.verify.prove.tried import BOXES

distributed = pytest.importorskip("distributed", reason="the extra `dask` is not installed")
dask_distributed = pytest.importorskip("dask.distributed")

WORKERS = {"n_workers": 2, "threads_per_worker": 1}
"""What docs/scaling.md starts."""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Two worker processes on this machine, and a client."""
    with (
        distributed.LocalCluster(**WORKERS, dashboard_address=None) as local,
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


def on(x: tuple[sympy.Symbol, ...], value: sympy.Expr) -> ExpressionTarget:
    return ExpressionTarget(ExpressionMap(x, (value,)))


def product(y: TaylorForms) -> TaylorForms:
    return y[:, 0] * y[:, 1]


@pytest.fixture(scope="module", params=["scores", "surface", "closure"])
def proved_model(request: pytest.FixtureRequest) -> Model:
    """Scores are followed on a circle; a surface takes rounds; a target that is a closure."""
    x = sympy.symbols("x1:4", real=True)
    if request.param == "scores":
        return atlasmoe.compile(ManifoldTask("c", builtin("circle", charts=3), on(x[:2], x[0] * x[1])), width=48, theorem="4.8")
    if request.param == "surface":
        return atlasmoe.compile(ManifoldTask("s", builtin("sphere", atlas="ball", charts=6), on(x, x[0] * x[1])), width=96)
    target = CallableTarget(lambda y: y[:, :1] * y[:, 1:2], name="product", enclosure=lambda y: product(y))
    return atlasmoe.compile(ManifoldTask("f", builtin("circle", atlas="ball", charts=4), target), width=16)


def written(certificate: Certificate) -> bytes:
    """All that a certificate says, but how long it took."""
    document = json.dumps(replace(certificate, seconds=0.0).to_dict(), sort_keys=True)
    trees = [*certificate.trees.values(), *certificate.scores.values()]
    return document.encode() + b"".join(getattr(tree, field.name).tobytes() for tree in trees for field in fields(tree))


@pytest.mark.parametrize("backend", ["threading", "loky", "dask"])
def test_proofs_are_the_same_bits_everywhere(proved_model: Model, cluster: Any, monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    monkeypatch.setattr(problem, "BATCH", 512)  # many parts, many rounds
    monkeypatch.setattr(problem, "BATCH_PER_EXPERT", 16)
    alone = certify(proved_model, epsilon=1e9, tightness=1.02)
    assert alone.status is Known.PROVED
    with joblib.parallel_config(backend=backend, n_jobs=2):
        spread = certify(proved_model, epsilon=1e9, tightness=1.02)
    assert written(spread) == written(alone)


def test_parts_of_a_proof_run_on_the_workers(cluster: Any, tmp_path: Path) -> None:
    """The enclosure of a target says itself in which process it ran, and on how many boxes: here on single points at most."""
    folder = str(tmp_path)

    def enclosure(y: TaylorForms) -> TaylorForms:
        with Path(folder, str(os.getpid())).open("a") as file:
            file.write(f"{len(y)}\n")
        return product(y)

    target = CallableTarget(lambda y: y[:, :1] * y[:, 1:2], name="product", enclosure=enclosure)
    model = atlasmoe.compile(ManifoldTask("f", builtin("circle", atlas="ball", charts=4), target), width=16)
    with joblib.parallel_config(backend="dask"):
        assert certify(model, epsilon=0.1, tightness=None).status is Known.PROVED
    boxes = {int(path.name): [int(line) for line in path.read_text().split()] for path in tmp_path.iterdir()}
    here = boxes.pop(os.getpid(), [])
    assert set(here) <= {1, BOXES}  # those at which it is tried before anything is proved
    assert boxes
    assert set(boxes) <= set(cluster.run(os.getpid).values())


def test_the_documented_script_runs(cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """docs/scaling.md, as it stands: to a budget, every expert with its own width. The cluster is the one that is there already: as many
    workers as the script asks for, whose start would take longer than all that is compared."""
    text = (Path(__file__).parent.parent / "docs" / "scaling.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert 'if __name__ == "__main__":' in script, "workers that are started import it"
    (tmp_path / "script.py").write_text(script, encoding="utf-8")
    started: list[dict[str, int]] = []

    def start(**asked: int) -> Any:
        started.append(asked)
        return nullcontext(cluster.cluster)

    monkeypatch.setattr(dask_distributed, "LocalCluster", start)
    monkeypatch.setattr(dask_distributed, "Client", lambda _: nullcontext(cluster))
    monkeypatch.chdir(tmp_path)
    runpy.run_path("script.py", run_name="__main__")
    assert started == [WORKERS]
    there = atlasmoe.load(tmp_path / "out" / "circle")
    here = atlasmoe.compile(atlasmoe.ManifoldTask("circle", builtin("circle", atlas="ball", charts=12), there.task.target), epsilon=1e-2)
    for one, other in zip(arrays(here), arrays(there), strict=True):
        np.testing.assert_array_equal(one, other)
